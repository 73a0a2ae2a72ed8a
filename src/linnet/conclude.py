"""From the last Step of a run to the Fit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from linnet.block import Float64s, InputError
from linnet.dependencies import Dependencies
from linnet.design import Design
from linnet.fitted import Fit
from linnet.inference import Uncertainty
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.normal import EXTREMES
from linnet.objective import Objective
from linnet.solution import Solution
from linnet.solvers.exact import Exact
from linnet.solvers.solver import Step
from linnet.solvers.survey import CLOSE, WIDEST
from linnet.sources.source import Source
from linnet.status import Status
from linnet.text import about, listed, plural

if TYPE_CHECKING:
    from linnet.sandwich import Assessment

SHARP = 0.05  # delta over the spread of residuals, below which hardly any of them is within delta
FAR = 1e3  # spreads that a target lies from 0, from where its rounding
ROUNDED = 2.0**-51  # takes part in residuals of less than so much of its size: four times the largest single rounding
SHOWN = 5  # dependencies spelled out before the rest is only counted


def conclude(
    last: Step,
    objective: Objective,
    design: Design,
    target: str,
    *,
    errors: str = "classical",
    uncertainty: Uncertainty | None = None,
    assessment: Assessment | None = None,
    optimum: Step | None = None,
    solver: str = Exact.name,
    n_dropped: int = 0,
    n_weightless: int = 0,
    passes: int = 1,
    notes: tuple[str, ...] = (),
) -> Fit:
    """The Fit that a run's last Step leaves.

    Args:
        last: the last Step.
        objective: what the run lowered.
        design: how columns became features.
        target: name of the target.
        errors: kind of standard errors.
        uncertainty: these; with classical ones None, since the Step's Solution has them.
        assessment: for other losses than squared, what was found out about the weights.
        optimum: of a run that learned with such a loss, the last Step of the solver that finds its optimum.
        solver: name of the solver.
        n_dropped: rows left out because a value was missing.
        n_weightless: rows of weight 0.
        passes: how many times the rows were read.
        notes: what a reader must know of the uncertainty.
    """
    assert last.weights is not None
    assert last.bias is not None
    assert last.objective is not None
    solution, survey, loss = last.solution, last.survey, last.settled or objective.loss
    squared, d = isinstance(loss, Squared), last.weights.size
    exact = survey.optimum if survey is not None else None
    if optimum is not None:
        exact = _coefficients(optimum)
    sure = squared or assessment is not None or uncertainty is not None
    judged = solution if sure else None  # what rank and tests are told by
    if judged is not None and squared and errors == "classical":
        uncertainty = judged.uncertainty
    if survey is not None:
        n, total, centre, scale = survey.n, survey.total, survey.centre, survey.scale
        df = solution.df_residual if solution is not None else max(float(n - d - objective.intercept), 0.0)
        assert last.squares is not None
        spread = float(scale[-1])
        unexplained = last.squares / spread**2 if 1e-150 < spread < 1e150 else math.nan
        residual_sd = math.sqrt(last.squares * survey.total / df) if df > 0 else math.nan
        centre_value = last.bias + float(centre[:-1] @ last.weights)
    else:
        assert solution is not None
        n, total, centre, scale = solution.equations.n, solution.equations.total, solution.centre, solution.scale
        df, unexplained, residual_sd = solution.df_residual, solution.unexplained, solution.residual_sd
        centre_value = solution.centre_value
    r2 = 1.0 - unexplained
    rank = judged.rank if judged is not None else 0
    f = math.nan
    if judged is not None and rank and df > 0 and not objective.l2 and (r2 >= 0 or not squared):
        classical = squared and errors in ("classical", "none")
        f = _ratio(r2 / rank, unexplained / df) if classical else _wald(judged, last.weights, uncertainty)
    record = {"epoch": float(last.epoch), "rows": float(last.rows), "objective": last.objective}
    return Fit(
        names=design.names,
        weights=last.weights,
        bias=last.bias,
        intercept=objective.intercept,
        identified=np.ones(d, np.bool_) if judged is None else judged.identified,
        bias_identified=True if judged is None else judged.bias_identified,
        uncertainty=uncertainty if judged is not None else None,
        centre=centre[:-1],
        centre_value=centre_value,
        scale=scale[:-1],
        target_scale=float(scale[-1]),
        n=n,
        n_dropped=n_dropped,
        n_weightless=n_weightless,
        mean_weight=total / n,
        df_residual=float(df),
        objective=last.objective,
        gap=math.nan if last.gap is None else last.gap,
        residual_sd=residual_sd,
        r2=r2,
        adjusted_r2=1.0 - unexplained * (n - objective.intercept) / df if df > 0 else math.nan,
        pseudo_r2=math.nan if assessment is None else _pseudo_r2(assessment, objective, last, optimum or last),
        robust_scale=math.nan if assessment is None else _scale(assessment, objective.loss, optimum or last),
        f_statistic=f,
        condition=math.nan if solution is None else solution.condition,
        dependencies=None if solution is None else Dependencies.of(solution.dependencies),
        status=last.status or _status(last, solution),
        notes=(
            *_filled(design, uncertainty),
            *_notes(judged, design.names, objective, last.weights, exact),
            *_rounded(target, float(centre[-1]), float(scale[-1]), residual_sd),
            *notes,
            *(assessment.notes if assessment is not None else ()),
            *(_bend(objective.loss, assessment.robust_scale) if assessment is not None else ()),
            *_farthest(last, exact, judged, uncertainty, design.names, "" if optimum is not None else errors),
            *last.notes,
        ),
        solver=solver,
        precision="float64" if solution is None else solution.equations.precision,
        passes=passes,
        exact=exact,
        settings=dict(last.settings),
        history=last.history or (record,),
        target=target,
        loss=loss.name,
        errors=errors,
        l2=objective.l2,
        design=design,
    )


def told(last: Step, solver: str, objective: Objective, source: Source) -> tuple[Step, int]:
    """A last Step with all that `conclude` needs, which that of somebody's own Solver need not have.

    Returns:
        The Step, and how many times the rows were read for it.

    Raises:
        InputError: there are no weights, or the rows cannot be read for what is missing.
    """
    d, weights, solution = len(source.design.names), last.weights, last.solution
    if weights is None or last.bias is None or np.shape(weights) != (d,):
        held = "no weights" if weights is None else f"weights of shape {np.shape(weights)}"
        raise InputError(
            f"The last Step of the solver {solver!r} must have a bias and {d} weights, one for each feature, but has "
            f"{held} and the bias {last.bias}."
        )
    if last.survey is not None:
        known = last.squares is not None
    elif solution is None or not isinstance(objective.loss, Squared):
        known = solution is not None and last.gap is not None
    else:  # weights that are not its own are not optimal
        same = weights is solution.weights or np.array_equal(weights, solution.weights)
        known = same and last.bias == solution.bias
    if known and last.objective is not None:
        return last, 0
    own, bias = np.array(weights, dtype=np.float64), float(last.bias)
    if not (np.isfinite(own).all() and math.isfinite(bias)):
        raise InputError(f"The solver {solver!r} ended with weights that are not finite: use smaller steps.")
    from linnet.solvers.ending import completed  # which exact fits need not wait for

    return completed(last._replace(weights=own, bias=bias), objective, source)


def _coefficients(step: Step) -> Float64s:
    """[bias, weights] of a last Step, (d+1,)."""
    assert step.weights is not None
    return np.asarray(np.r_[step.bias, step.weights])


def _pseudo_r2(assessment: Assessment, objective: Objective, last: Step, optimum: Step) -> float:
    """That of the optimum, brought to the loss of weights that were learned."""

    def loss(step: Step) -> float:
        assert step.weights is not None
        assert step.objective is not None
        return step.objective - objective.penalty(step.weights)

    least = loss(optimum)
    return 1.0 - (1.0 - assessment.pseudo_r2) * (loss(last) / least) if least > 0 else assessment.pseudo_r2


def _scale(assessment: Assessment, loss: Loss, optimum: Step) -> float:
    """The robust scale of the residuals: that which a Huber loss took its delta from, if it did."""
    settled = optimum.settled
    if isinstance(loss, Huber) and loss.k is not None and isinstance(settled, Huber) and optimum.settings["iterations"]:
        return settled.delta / loss.k
    return assessment.robust_scale


def _bend(loss: Loss, spread: float) -> Iterator[str]:
    """That a delta which was given, or left at 1, has another size than the residuals."""
    if isinstance(loss, Huber) and loss.k is None and 0 < loss.delta < SHARP * spread:
        yield (
            f"delta = {about(loss.delta, 4)} is small beside the residuals, which spread by {about(spread, 3)}: this "
            "is nearly absolute loss. Huber(k=1.345), or --k 1.345, takes delta from that spread"
        )


def _farthest(
    last: Step,
    exact: Float64s | None,
    solution: Solution | None,
    uncertainty: Uncertainty | None,
    names: tuple[str, ...],
    errors: str,
) -> Iterator[str]:
    """Which learned weight is farthest from its optimum, if that is more than small beside its standard error.

    With squared loss that is said elsewhere, unless these are other `errors` than those that ended the run.
    """
    told = errors in ("classical", "none") or (errors != "" and last.status is not Status.CONVERGED)
    if told or exact is None or uncertainty is None or solution is None:
        return
    sd = np.delete(uncertainty.shown, 1)
    away = np.abs(_coefficients(last) - exact) * np.r_[solution.bias_identified, solution.identified]
    far: Float64s = np.divide(away, sd, out=np.zeros_like(sd), where=sd > 0)
    worst = int(np.argmax(far))
    if far[worst] > CLOSE:
        name = f"`{names[worst - 1]}`" if worst else "the intercept"
        kind = f"{errors} " if errors else ""
        yield f"{name} is {about(far[worst], 2)} {kind}standard errors from its exact value"


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf


def _wald(solution: Solution, weights: Float64s, uncertainty: Uncertainty | None) -> float:
    """The F statistic of any other covariance: its Wald statistic over the number of independent weights.

    NaN where a weight's error is withheld: without it the statistic would test another hypothesis.
    """
    if uncertainty is None or np.isnan(uncertainty.shown[2:]).any():
        return math.nan
    if not uncertainty.sd[2:].any() and weights.any():
        return math.inf
    return uncertainty.wald(weights, solution.kept) / solution.rank


def _status(last: Step, solution: Solution | None) -> Status:
    """How an exact run ended."""
    assert solution is not None
    if not last.precise:
        return Status.IMPRECISE
    if solution.dependencies:
        return Status.RANK_DEFICIENT
    if not solution.df_residual > 0:
        return Status.SATURATED
    return Status.PERFECT if solution.residual == 0 else Status.SOLVED


def _filled(design: Design, uncertainty: Uncertainty | None) -> Iterator[str]:
    """That missing values were filled, which nothing else shows."""
    each = []
    if design.missing == "mean":
        each = [(feature.filled, f"`{feature.column}`") for feature in design.inputs if feature.filled]
    if not each:
        return
    shown = [f"{count:,} {plural('value', count)} of {name}" for count, name in each[:SHOWN]]
    if more := each[SHOWN:]:
        shown.append(f"{sum(count for count, _ in more):,} of {len(more):,} more {plural('column', len(more))}")
    were, them = ("was", "it") if sum(count for count, _ in each) == 1 else ("were", "them")
    means = "its mean" if len(each) == 1 else "the column's mean"
    taker = "the fit takes" if uncertainty is None else "standard errors take"
    yield f"{listed(shown, len(shown))} {were} filled with {means}: {taker} {them} as observed"


def _notes(
    solution: Solution | None,
    names: tuple[str, ...],
    objective: Objective,
    weights: Float64s,
    exact: Float64s | None,
) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    if solution is None:
        if not isinstance(objective.loss, Squared | Absolute | Huber | Quantile):
            yield f'of {objective.loss.name} loss the bootstrap alone tells standard errors: errors="bootstrap"'
        elif isinstance(objective.loss, Squared):
            yield (
                f"with {len(names):,} features there are neither standard errors nor exact weights to compare with: "
                f"both take Moments, which up to {WIDEST:,} have"
            )
        else:
            yield (
                f"standard errors for {objective.loss.name} loss need more passes over these rows than a run of SGD, "
                "and columns few enough for their Moments"
            )
        return
    for column, coefficients, constant in solution.dependencies[:SHOWN]:
        fate = ""  # a run that learned leaves a weight that cannot be told anywhere
        if weights[column] == 0 or (exact is not None and exact[column + 1] == 0):
            fate = f", its {'exact ' if weights[column] else ''}weight is 0"
        # in exact sums, what is above 0 is not rounding
        varies = solution.equations.precision == "exact" and solution.equations.diagonal[column] > 0
        if varies and objective.intercept and not coefficients.any():
            yield (
                f"`{names[column]}` varies by less than the rounding of its size ({constant:.6g}): it cannot be told "
                f"from the intercept{fate}. Subtract a number near that from it before it is rounded"
            )
            continue
        yield _dependency(names, column, coefficients, constant, objective.intercept, fate)
    if len(solution.dependencies) > SHOWN:
        yield f"and {len(solution.dependencies) - SHOWN:,} more columns are not separately identifiable"
    if not solution.df_residual > 0:
        n = solution.equations.n
        rows = "one row leaves" if n == 1 else f"{n:,} rows leave"
        yield f"{rows} nothing to estimate standard errors from: add rows or drop features"
    if objective.l2:
        yield "l2 pulls the weights towards 0: standard errors tell their spread, not that bias"


def _rounded(target: str, mean: float, spread: float, residual_sd: float) -> Iterator[str]:
    """That the rounding of a target far from 0 is a part of what is left of it, which all errors are told by."""
    if abs(mean) > FAR * spread and 0 < residual_sd < ROUNDED * abs(mean):
        yield (
            f"`{target}` is rounded to about {about(2.0**-52 * abs(mean), 2)}, being of size {about(mean, 6)}, and "
            f"what is left of it spreads by {about(residual_sd, 2)}: much of that may be its rounding. Subtract a "
            "number near that size from it before it is rounded"
        )


def _dependency(
    names: tuple[str, ...], column: int, coefficients: Float64s, constant: float, intercept: bool, fate: str
) -> str:
    """`a` = 2·`b` + 3: not separately identifiable."""
    used = np.flatnonzero(coefficients)
    if not used.size:
        if intercept:
            return f"`{names[column]}` is constant ({constant:.6g}): it cannot be told from the intercept{fate}"
        return f"`{names[column]}` is 0 throughout: nothing can be told of it{fate}"
    terms = ""
    for j in used[:6]:
        c = float(coefficients[j])
        size = "" if math.isclose(abs(c), 1.0, rel_tol=1e-9) else f"{abs(c):.6g}·"
        size = "…·" if abs(c) in EXTREMES else size  # beyond float64's range
        sign = (" - " if c < 0 else " + ") if terms else ("-" if c < 0 else "")
        terms += f"{sign}{size}`{names[j]}`"
    if used.size > 6:
        terms += f" + {used.size - 6:,} more terms"
    if constant:
        terms += f" {'-' if constant < 0 else '+'} {abs(constant):.6g}"
    return f"`{names[column]}` = {terms}: not separately identifiable"
