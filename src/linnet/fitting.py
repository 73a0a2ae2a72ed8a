"""fit(): opens the Source, picks a Solver, drains its Steps and builds the Fit."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

from linnet.block import InputError
from linnet.conclude import conclude, told
from linnet.design import Design
from linnet.fitted import Fit
from linnet.losses import Loss, Quantiles, Squared
from linnet.moments import Moments
from linnet.objective import Objective
from linnet.plan import OPTIMAL, SOLVERS, Errors, Precisions, planned
from linnet.progress import watch
from linnet.solvers.exact import answer
from linnet.solvers.solver import Solver, Step
from linnet.sources import open_source
from linnet.sources.source import Source
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.fits import Fits
    from linnet.inference import Uncertainty
    from linnet.sandwich import Assessment
    from linnet.solvers.learner import Learned
    from linnet.solvers.sgd import SGD


@overload
def fit(
    data: Any,
    target: Any = ...,
    *,
    features: Sequence[str] | None = ...,
    weight: Any = ...,
    loss: str | Loss = ...,
    solver: str | Solver = ...,
    intercept: bool = ...,
    l2: float = ...,
    missing: Literal["error", "drop", "mean"] = ...,
    errors: Errors = ...,
    precision: Precisions = ...,
    progress: bool | Callable[[Step], None] | None = ...,
) -> Fit: ...
@overload
def fit(
    data: Any,
    target: Any = ...,
    *,
    loss: Quantiles,
    features: Sequence[str] | None = ...,
    weight: Any = ...,
    solver: str | Solver = ...,
    intercept: bool = ...,
    l2: float = ...,
    missing: Literal["error", "drop", "mean"] = ...,
    errors: Errors = ...,
    precision: Precisions = ...,
    progress: bool | Callable[[Step], None] | None = ...,
) -> Fits: ...
def fit(
    data: Any,
    target: Any = None,
    *,
    features: Sequence[str] | None = None,
    weight: Any = None,
    loss: str | Loss | Quantiles = "squared",
    solver: str | Solver = "auto",
    intercept: bool = True,
    l2: float = 0.0,
    missing: Literal["error", "drop", "mean"] = "error",
    errors: Errors = "auto",
    precision: Precisions = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> Fit | Fits:
    """Fit a linear regression, and say how sure it is.

    Args:
        data: an (n, d) array; a data frame or table (pandas, polars, pyarrow, anything with the Arrow C stream); a
            path, glob or folder of CSV, Parquet or Arrow files, or a list of these, whose files are one table; or a
            Source.
        target: an (n,) array with an array; with a Source, which has one, nothing; otherwise a column's name, or with a
            table in memory also (n,) values. A pandas Series must have the index of a pandas table.
        features: column names; default: every other column. Text and categories become indicator columns, one for each
            level that occurs in a row in use (of a stream that is read once, that its first batch lists) but the first,
            the reference: in sorted order, or where categories in memory declare one (pandas' categories, polars' Enum,
            ordered dictionaries) in that.
        weight: row weights, at least 0: an array or a column's name, as for the target. A weight of 2 fits like the
            row twice, 0 like the row left out, only that its values must be numbers; standard errors take weights as
            inverse variances, so that their overall size does not matter. So does the scale of Huber(k=…,
            scale="concomitant"), whose degrees of freedom count rows: with it a weight of 2 is not quite like the row
            twice.
        loss: "squared", "absolute", "huber", "quantile", or an instance of Loss such as Huber(k=1.345), Quantile(0.9).
            Quantile([0.1, 0.5, 0.9]) gives several quantiles at once, as Fits.
        solver: "exact" (squared loss), "newton" (Huber), "interior-point" (absolute, quantile), "sgd", or an
            instance of Solver; "auto" takes the one that finds the loss's optimum, and SGD for a Loss of your own.
        intercept: whether to fit a bias.
        l2: ridge penalty (see Objective).
        missing: "error" refuses missing values, "drop" leaves their rows out, "mean" fills features with their mean,
            which standard errors take as observed; the Fit says how many.
        errors: standard errors. Squared loss: "classical", "hc0" to "hc3" (robust to unequal variances). Absolute and
            quantile loss: "nid" (whatever the spread of the residuals does), "iid" (when it is the same everywhere).
            Huber loss: "sandwich", "iid". All of them: "bootstrap", "none". "auto" is the first named of each, and
            "none" for a Loss of your own; "classical" means "iid" beside the robust losses. One that nothing in the
            rows tells is NaN, and a note says why.
        precision: "float64", "exact", or "auto" (see Exact).
        progress: None shows progress on a terminal when the work is long; True, False, or a callable taking each Step.

    Raises:
        InputError: input that cannot be used; the message says where it is wrong and what to do about it.
    """
    source = open_source(data, target, features=features, weight=weight, missing=missing)
    how: dict[str, Any] = {
        "solver": solver, "intercept": intercept, "l2": l2, "errors": errors, "precision": precision,
        "progress": progress,
    }  # fmt: skip
    if isinstance(loss, Quantiles):
        return fit_quantiles(source, loss, **how)
    return fit_source(source, loss=loss, **how)[0]


def fit_source(
    source: Source,
    *,
    loss: str | Loss = "squared",
    solver: str | Solver = "auto",
    intercept: bool = True,
    l2: float = 0.0,
    errors: Errors = "auto",
    precision: Precisions = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> tuple[Fit, Moments | None]:
    """`fit` for rows that are already open; with the Moments, where the solver has them, to which rows can be added."""
    (objective,), chosen, kind = planned(source, [loss], solver, intercept, l2, errors, precision, progress)
    last = _drain(chosen, objective, source, progress)
    return _fit_of(last, chosen, objective, source, kind), last.moments


def fit_quantiles(
    source: Source,
    loss: Quantiles,
    *,
    solver: str | Solver = "auto",
    intercept: bool = True,
    l2: float = 0.0,
    errors: Errors = "auto",
    precision: Precisions = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> Fits:
    """`fit` for several quantiles of rows that are already open, which share what passes they can."""
    from linnet.fits import Fits, crossing
    from linnet.solvers.interior_point import InteriorPoint

    objectives, chosen, kind = planned(source, loss.each(), solver, intercept, l2, errors, precision, progress)
    lasts: list[Step] = []

    def shared(solver: InteriorPoint) -> Iterator[Step]:
        lasts.extend((yield from solver.several(objectives, source)))

    if isinstance(chosen, InteriorPoint):
        for _ in watch(shared(chosen), source.rows, progress):
            pass
    else:
        for objective in objectives:
            lasts.append(_drain(chosen, objective, source, progress))
            if lasts[-1].status is Status.INTERRUPTED:  # those after it are not even begun
                break
    fits = [_fit_of(last, chosen, each, source, kind) for last, each in zip(lasts, objectives, strict=False)]
    return Fits(tuple(fits), tuple(map(str, loss.q[: len(fits)])), crossing(fits, source))


def _fit_of(last: Step, solver: Solver, objective: Objective, source: Source, errors: str) -> Fit:
    """The Fit that a run's last Step leaves, with what is found out about its weights by further passes."""
    last, more = told(last, solver.name, objective, source)
    dropped, weightless, passes = source.dropped, source.weightless, last.epoch + more
    solution, optimum = last.solution, None
    uncertainty: Uncertainty | None = None
    assessment: Assessment | None = None
    notes: tuple[str, ...] = ()
    squared = isinstance(objective.loss, Squared)
    finder, best = solver, last
    interrupted = last.status is Status.INTERRUPTED  # somebody wants an end, not more passes
    waiting = interrupted and source.held() is None
    if solution is not None and objective.loss.name in OPTIMAL and not squared and source.rereadable and not waiting:
        from linnet.sandwich import assess

        if last.gap is None:  # learned, so that the optimum is still to be found
            finder = SOLVERS[OPTIMAL[objective.loss.name]]()
            best = optimum = _drain(finder, objective, source, False)
            passes += best.epoch
        settled = replace(objective, loss=best.settled or objective.loss)
        assert best.weights is not None
        assert best.bias is not None
        kind = "none" if errors == "bootstrap" else errors
        assessment = assess(source, settled, solution, best.weights, best.bias, kind, best.sample)
        uncertainty = assessment.uncertainty
        passes += assessment.passes
    if solution is not None and errors == "bootstrap":
        from linnet.bootstrap import bootstrap

        if interrupted:
            notes = ("no standard errors: the bootstrap would fit many times more",)
        else:
            uncertainty, notes = bootstrap(finder, objective, source, solution)
    elif solution is not None and squared and errors.startswith("hc"):
        uncertainty, notes = solution.robust(source, errors)
        passes += 1
    return conclude(
        last,
        objective,
        source.design,
        source.target,
        errors=errors,
        uncertainty=uncertainty,
        assessment=assessment,
        optimum=optimum,
        solver=solver.name,
        n_dropped=dropped,
        n_weightless=weightless,
        passes=passes,
        notes=notes,
    )


def fit_from_moments(
    moments: Moments,
    *,
    design: Design,
    target: str,
    objective: Objective,
    errors: str = "auto",
    n_weightless: int = 0,
) -> Fit:
    """The exact fit to rows of which only their Moments are left; its status says if they are not precise enough.

    How many more there were of weight 0, the Moments do not tell.

    Raises:
        InputError: there are no rows, or the errors asked for need the rows.
    """
    if errors not in ("auto", "classical", "none"):
        raise InputError(f"errors={errors!r} needs the rows, of which only Moments are left.")
    last = answer(moments, objective, 1)
    kind = "none" if errors == "none" else "classical"
    return conclude(last, objective, design, target, errors=kind, n_weightless=n_weightless)


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
    if last is None:
        raise InputError(f"The solver {solver.name!r} yielded no Step: the last one must have its weights and bias.")
    return last


def continue_sgd(
    solver: SGD, objective: Objective, source: Source, errors: str, before: Learned | None
) -> tuple[Fit, Learned]:
    """Learn on by one epoch over other rows; the new Fit speaks of these rows alone.

    Raises:
        InputError: rows that cannot be used.
    """
    seed = solver.seed + (0 if before is None else before.step)
    once = replace(solver, epochs=1, tol=None, checkpoint=None, resume=False, seed=seed)
    learned: list[Learned] = []

    def steps() -> Iterator[Step]:
        learned.append((yield from once.onward(objective, source, before)).learned())

    *_, last = steps()
    fit = conclude(
        last,
        objective,
        source.design,
        source.target,
        errors=errors,
        solver=solver.name,
        n_dropped=source.dropped,
        n_weightless=source.weightless,
    )
    return fit, learned[0]
