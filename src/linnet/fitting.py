"""fit(): opens the Source, picks a Solver, drains its Steps and builds the Fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from linnet.block import Float64s, InputError
from linnet.design import Design
from linnet.fitted import Fit
from linnet.inference import Uncertainty, f_upper
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.moments import Moments
from linnet.normal import EXTREMES
from linnet.objective import Objective
from linnet.progress import watch
from linnet.solution import Solution
from linnet.solvers.exact import Exact, answer
from linnet.solvers.solver import Solver, Step
from linnet.sources import open_source
from linnet.sources.source import Source
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.solvers.sgd import SGD

Errors = Literal["classical", "hc0", "hc1", "hc2", "hc3", "none"]
Precisions = Literal["auto", "float64", "exact"]


def _sgd() -> Solver:
    from linnet.solvers.sgd import SGD  # compiled kernels that only a learner waits for

    return SGD()


LOSSES: dict[str, Callable[[], Loss]] = {"squared": Squared, "absolute": Absolute, "huber": Huber, "quantile": Quantile}
SOLVERS: dict[str, Callable[[], Solver]] = {"auto": Exact, "exact": Exact, "sgd": _sgd}
SHOWN = 5  # dependencies spelled out before the rest is only counted


def fit(
    data: Any,
    target: Any,
    *,
    features: Sequence[str] | None = None,
    weight: Any = None,
    loss: str | Loss = "squared",
    solver: str | Solver = "auto",
    intercept: bool = True,
    l2: float = 0.0,
    missing: Literal["error", "drop", "mean"] = "error",
    errors: Errors = "classical",
    precision: Precisions = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> Fit:
    """Fit a linear regression, and say how sure it is.

    Args:
        data: an (n, d) array; a data frame or table (pandas, polars, pyarrow, anything with the Arrow C stream); a
            path, glob or folder of CSV, Parquet or Arrow files.
        target: an (n,) array with an array; otherwise a column's name.
        features: column names; default: every other column. Text and categories become indicator columns, the first
            level in sorted order being the reference.
        weight: row weights, at least 0: an array or a column's name. A weight of 2 fits like the row twice, 0 like the
            row left out; standard errors take weights as inverse variances, so that their overall size does not matter.
        loss: "squared", or an instance of Loss.
        solver: "auto", "exact", or an instance of Solver.
        intercept: whether to fit a bias.
        l2: ridge penalty (see Objective).
        missing: "error" refuses missing values, "drop" leaves their rows out, "mean" fills features with their mean.
        errors: standard errors: "classical", "hc0" to "hc3" (robust to unequal variances), or "none".
        precision: "float64", "exact", or "auto" (see Exact).
        progress: None shows progress on a terminal when the work is long; True, False, or a callable taking each Step.

    Raises:
        InputError: input that cannot be used; the message says where it is wrong and what to do about it.
    """
    source = open_source(data, target, features=features, weight=weight, missing=missing)
    return fit_source(
        source,
        loss=loss,
        solver=solver,
        intercept=intercept,
        l2=l2,
        errors=errors,
        precision=precision,
        progress=progress,
    )[0]


def fit_source(
    source: Source,
    *,
    loss: str | Loss = "squared",
    solver: str | Solver = "auto",
    intercept: bool = True,
    l2: float = 0.0,
    errors: Errors = "classical",
    precision: Precisions = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> tuple[Fit, Moments | None]:
    """`fit` for rows that are already open; with the Moments, where the solver has them, to which rows can be added."""
    if errors not in get_args(Errors):
        raise InputError(f"errors must be one of {', '.join(get_args(Errors))}, but is {errors!r}.")
    if errors.startswith("hc") and not source.rereadable:
        raise InputError(
            f'errors="{errors}" reads the rows twice, but these can be read only once: give a table or files.'
        )
    if not isinstance(intercept, bool | np.bool_):
        raise InputError(f"intercept must be True or False, but is {intercept!r}.")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise InputError(f"progress must be None, True, False or a callable taking each Step, but is {progress!r}.")
    objective = Objective(named_loss(loss), l2=l2, intercept=bool(intercept))
    chosen = _solver(solver, precision)
    if errors.startswith("hc") and not isinstance(objective.loss, Squared):
        raise InputError(
            f'errors="{errors}" is for loss="squared": there are no standard errors yet for {objective.loss.name} loss.'
        )
    last = _drain(chosen, objective, source, progress)
    dropped = source.dropped
    robust = errors.startswith("hc") and last.solution is not None
    uncertainty = last.solution.robust(source, errors) if robust and last.solution is not None else None
    fitted = _conclude(
        last,
        objective,
        source.design,
        source.target,
        uncertainty=uncertainty,
        errors=errors,
        solver=chosen.name,
        n_dropped=dropped,
        passes=last.epoch + robust,
    )
    return fitted, last.moments


def fit_from_moments(
    moments: Moments,
    *,
    design: Design,
    target: str,
    objective: Objective,
    errors: Errors = "classical",
) -> Fit:
    """The exact fit to rows of which only their Moments are left; its status says if they are not precise enough.

    Raises:
        InputError: there are no rows, or the errors asked for need the rows.
    """
    if errors not in ("classical", "none"):
        raise InputError(f"errors={errors!r} needs the rows, of which only Moments are left.")
    last = answer(moments, objective, 1)
    return _conclude(last, objective, design, target, errors=errors)


def _drain(
    solver: Solver, objective: Objective, source: Source, progress: bool | Callable[[Step], None] | None
) -> Step:
    """The last Step of a run; when somebody interrupts, of what it has learned by then."""
    steps = solver.steps(objective, source)
    last: Step | None = None
    try:
        for last in watch(steps, source.rows, progress, epochs=solver.epochs):  # noqa: B007
            pass
    except KeyboardInterrupt:
        if not isinstance(steps, Generator):
            raise
        last = steps.throw(KeyboardInterrupt)
    assert last is not None
    return last


def continue_sgd(solver: SGD, objective: Objective, source: Source, before: Fit | None) -> Fit:
    """Learn on from a Fit by one epoch over other rows; the new Fit speaks of these rows alone.

    Raises:
        InputError: rows that cannot be used.
    """
    start, done = None, 0
    if before is not None:
        start, done = tuple(before.coefficients.tolist()), int(before.settings.get("steps", 0))
    seed = solver.seed + done
    once = replace(solver, start=start, done=done, epochs=1, tol=None, checkpoint=None, resume=False, seed=seed)
    last = _drain(once, objective, source, False)
    return _conclude(last, objective, source.design, source.target, solver=solver.name, n_dropped=source.dropped)


def _conclude(
    last: Step,
    objective: Objective,
    design: Design,
    target: str,
    *,
    uncertainty: Uncertainty | None = None,
    errors: Errors = "classical",
    solver: str = Exact.name,
    n_dropped: int = 0,
    passes: int = 1,
) -> Fit:
    """The Fit that a run's last step leaves."""
    assert last.weights is not None
    assert last.bias is not None
    assert last.objective is not None
    solution, survey = last.solution, last.survey
    d, learned = last.weights.size, survey is not None
    exact = survey.optimum if survey is not None else None
    judged = solution if not learned or exact is not None else None  # least squares tells nothing of other losses
    if judged is not None and errors == "classical":
        uncertainty = judged.uncertainty
    if survey is not None:
        n, centre, scale = survey.n, survey.centre, survey.scale
        df = solution.df_residual if solution is not None else max(float(n - d - objective.intercept), 0.0)
        assert last.squares is not None
        unexplained = last.squares / scale[-1] ** 2 if scale[-1] > 0 else math.nan
        residual_sd = math.sqrt(last.squares * survey.total / df) if df > 0 else math.nan
        centre_value = last.bias + float(centre[:-1] @ last.weights)
    else:
        assert solution is not None
        n, centre, scale = solution.equations.n, solution.centre, solution.scale
        df, unexplained, residual_sd = solution.df_residual, solution.unexplained, solution.residual_sd
        centre_value = float(centre[-1])
    r2 = 1.0 - unexplained
    rank = judged.rank if judged is not None else 0
    f = math.nan
    if judged is not None and rank and df > 0 and not objective.l2 and r2 >= 0:
        f = _wald(judged, uncertainty) if errors.startswith("hc") else _ratio(r2 / rank, unexplained / df)
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
        df_residual=float(df),
        objective=last.objective,
        residual_sd=residual_sd,
        r2=r2,
        adjusted_r2=1.0 - unexplained * (n - objective.intercept) / df if df > 0 else math.nan,
        f_statistic=f,
        f_p_value=f_upper(f, rank, df),
        condition=math.nan if solution is None else solution.condition,
        status=last.status or _status(last, solution),
        notes=(*_notes(judged, design.names, objective), *last.notes),
        solver=solver,
        precision="float64" if solution is None else solution.equations.precision,
        passes=passes,
        exact=exact,
        settings=dict(last.settings),
        history=last.history or (record,),
        target=target,
        loss=objective.loss.name,
        errors=errors,
        l2=objective.l2,
        design=design,
    )


def named_loss(loss: str | Loss) -> Loss:
    """The loss by that name.

    Raises:
        InputError: there is none.
    """
    if isinstance(loss, Loss):
        return loss
    if loss not in tuple(LOSSES):  # a tuple, since what cannot be hashed is no name either
        raise InputError(f"There is no loss {loss!r}: choose from {', '.join(LOSSES)}.")
    return LOSSES[loss]()


def _solver(solver: str | Solver, precision: Precisions) -> Solver:
    """The solver by that name."""
    if not isinstance(solver, Solver):
        if solver not in tuple(SOLVERS):
            raise InputError(f"There is no solver {solver!r}: choose from {', '.join(SOLVERS)}.")
        solver = SOLVERS[solver]()
        if isinstance(solver, Exact):
            return replace(solver, precision=precision)
    if precision != "auto":
        raise InputError(
            f'precision="{precision}" is a setting of the exact solver: leave it out, or give it to that, '
            "Exact(precision=…)."
        )
    return solver


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf


def _wald(solution: Solution, uncertainty: Uncertainty | None) -> float:
    """The F statistic of a robust covariance: its Wald statistic over the number of independent weights."""
    if uncertainty is None:
        return math.nan
    sd = uncertainty.sd[2:]
    t: Float64s = np.divide(solution.weights, sd, out=np.zeros_like(sd), where=sd > 0)
    inverse = np.linalg.pinv(uncertainty.correlation[2:, 2:], rcond=1e-12, hermitian=True)
    return float(t @ inverse @ t) / solution.rank


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


def _notes(solution: Solution | None, names: tuple[str, ...], objective: Objective) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    if solution is None:
        if not isinstance(objective.loss, Squared):
            yield f"there are no standard errors yet for {objective.loss.name} loss"
        return
    for column, coefficients, constant in solution.dependencies[:SHOWN]:
        yield _dependency(names, column, coefficients, constant, objective.intercept)
    if len(solution.dependencies) > SHOWN:
        yield f"and {len(solution.dependencies) - SHOWN:,} more columns are not separately identifiable"
    if not solution.df_residual > 0:
        yield f"{solution.equations.n:,} rows leave nothing to estimate standard errors from: add rows or drop features"
    if objective.l2:
        yield "l2 pulls the weights towards 0: standard errors tell their spread, not that bias"


def _dependency(names: tuple[str, ...], column: int, coefficients: Float64s, constant: float, intercept: bool) -> str:
    """`a` = 2·`b` + 3: not separately identifiable."""
    used = np.flatnonzero(coefficients)
    if not used.size:
        if intercept:
            return (
                f"`{names[column]}` is constant ({constant:.6g}): it cannot be told from the intercept, its weight is 0"
            )
        return f"`{names[column]}` is 0 throughout: its weight cannot be told, it is set to 0"
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
