"""InteriorPoint: the exact optimum of absolute and quantile loss, over few passes, with a certificate."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.losses import Absolute, Quantile
from linnet.moments import PARALLEL, in_chunks
from linnet.objective import Objective
from linnet.settings import kept
from linnet.solution import ldexp
from linnet.solvers.central_path import Problem
from linnet.solvers.frame import PASSES, FirstPass, Frame, Sample, first_pass, sample_size
from linnet.solvers.globs import Optimum, Plane, Seen, guess, optimum
from linnet.solvers.solver import Solver, Step, check_given
from linnet.solvers.survey import Survey
from linnet.sources.source import Source
from linnet.status import Status, not_unique
from linnet.text import last_place, power_of, to_place
from linnet.threads import one_thread_blas

ROUNDING = 2.0**-50
"""Relative error of an objective's value, which no certificate can be below."""
LEVEL = 1e-9
"""Movement of weights, relative to that of the plane's level, below which the intercept alone moves."""
CERTAIN = 1e-10
"""Relative gap that counts as solved."""
Penalties = Sequence[tuple[float, Float64s | None]]
"""Each quantile, and the penalty of its coordinates."""


@dataclass(frozen=True)
class InteriorPoint(Solver):
    """Absolute and quantile loss, solved to the corner in which d + 1 residuals are 0.

    A Frisch-Newton interior-point method with Mehrotra's correction leads to the optimum, and one step to its exact
    corner (Portnoy and Koenker 1997, Statistical Science 12, 279-300). Of many rows a sample is solved first. It tells
    on which side of the plane most rows lie, so that only their sums matter; the few that it leaves undecided are
    solved with those, and a pass over all rows verifies it, or finds which rows to decide anew. The optimum is thus the
    same, whatever the number of rows, and of what does not fit into memory only the undecided ones are kept.

    Attributes:
        passes: passes over the rows at most; three or four are usual.
    """

    name: ClassVar[str] = "interior-point"
    passes: int = 25

    def __post_init__(self) -> None:
        object.__setattr__(self, "passes", kept("passes", self.passes, PASSES))

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Read the rows a few times; a Step for each block, then the optimum.

        Raises:
            InputError: another loss, rows that can be read only once, too many features, numbers that are not finite,
                or no rows.
        """
        check_given(self, objective, source)
        (last,) = yield from self.several([objective], source)
        yield last

    def several(self, objectives: Sequence[Objective], source: Source) -> Generator[Step, None, list[Step]]:
        """As `steps`, for several quantiles of the same rows, which share the passes; their last Steps are returned."""
        quantiles = [_quantile(objective) for objective in objectives]
        l2 = objectives[0].l2
        first = yield from first_pass(self.name, objectives[0], source)
        sample = first.sample
        free = not l2 or not first.solution.weights.any()
        if first.solution.residual == 0 and free:
            return [first.through(objective, vars(objective.loss)) for objective in objectives]
        rows = sample.block()
        frame = one_thread_blas(lambda: Frame(first.solution, rows))
        if not frame.coordinates.size:
            return [_nothing(objective, first, source) for objective in objectives]
        start = np.zeros(frame.coordinates.size)  # level at the median, which a row far out does not move
        epoch = first.exact.epoch
        penalties = [(q, frame.penalty(l2 / factor)) for q, factor in quantiles]
        kept = None if sample.complete or source.held() is not None else rows
        if sample.complete:
            found, squares = one_thread_blas(lambda: _in_memory(rows, frame, penalties, start))
        else:
            searches = one_thread_blas(lambda: _searches(sample, frame, penalties, start))
            while not all(search.done for search in searches) and epoch < self.passes:
                epoch += 1
                yield from _round(epoch, [search for search in searches if not search.done], source)
            found = [search.best for search in searches]
            squares = [search.squares for search in searches]
        return [
            _last(objective, first, frame, each, square, factor, epoch, source.design.names)._replace(sample=kept)
            for objective, each, square, (_, factor) in zip(objectives, found, squares, quantiles, strict=True)
        ]


def _quantile(objective: Objective) -> tuple[float, float]:
    """Which quantile a loss is, and how many times that quantile's loss it is."""
    if isinstance(objective.loss, Absolute):
        return 0.5, 2.0
    if isinstance(objective.loss, Quantile):
        return float(objective.loss.q), 1.0
    raise InputError(
        f'The interior-point solver is for absolute and quantile loss, not {objective.loss.name}: use solver="auto".'
    )


def _in_memory(rows: Block, frame: Frame, penalties: Penalties, start: Float64s) -> tuple[list[Optimum], list[float]]:
    """The optimum of each quantile and its Σ w·r², where there are no other rows."""
    Z, y, w = frame.coordinates.rows(rows)
    found = [optimum(Problem(Z, y, w, q, penalty), start) for q, penalty in penalties]
    return found, [_squares(y - each.weights @ Z, w) for each in found]


def _searches(sample: Sample, frame: Frame, penalties: Penalties, start: Float64s) -> list[Plane]:
    """Where to search the optimum of each quantile among all rows, from that of a few."""
    few = sample.block(sample_size(sample.seen, frame.coordinates.size))
    Z, y, w = frame.coordinates.rows(few)
    w = w * (sample.seen / few.rows)
    searches = []
    for q, penalty in penalties:
        near = guess(Problem(Z, y, w, q, penalty), start, sample.seen, frame.coordinates)
        searches.append(Plane(frame.coordinates, q, penalty, near))
    return searches


def _round(epoch: int, searches: Sequence[Plane], source: Source) -> Iterator[Step]:
    """One pass over the rows; all searches look at each block."""

    def look(part: Block) -> list[Seen]:
        return [search.look(part) for search in searches]

    for search in searches:
        search.begin()
    rows = 0
    for count, block in enumerate(source.blocks(), 1):
        for seen in one_thread_blas(partial(in_chunks, block, look, PARALLEL)):
            for search, each in zip(searches, seen, strict=True):
                search.take(each)
        rows += block.rows
        yield Step(epoch=epoch, step=count, rows=rows)
    for search in searches:
        one_thread_blas(search.conclude)


def _squares(r: Float64s, w: Float64s) -> float:
    """Σ w·r², infinite where that is too large."""
    with np.errstate(over="ignore"):
        return float(w @ (r * r))


def _nothing(objective: Objective, first: FirstPass, source: Source) -> Step:
    """The last Step where no feature varies and there is no bias: all weights are 0."""
    exact = first.exact
    assert exact.weights is not None
    assert exact.objective is not None
    value = objective.of(source, exact.weights, 0.0)
    survey, settings = first.survey(objective), vars(objective.loss)
    passes = exact.epoch + 1
    return exact._replace(
        epoch=passes, objective=value, gap=0.0, survey=survey, squares=2 * exact.objective, settings=settings
    )


def _widest(ends: Sequence[tuple[Float64s, float]], names: Sequence[str], survey: Survey) -> Iterator[str]:
    """How far weights can move between both `ends` of what fits as well: of the one that moves most for its column."""
    (first, low), (last, high) = ends
    moved = np.abs(last - first) * survey.scale[:-1]
    worst = int(np.argmax(moved)) if moved.size else 0
    level = abs(high - low + float(survey.centre[:-1] @ (last - first)))
    if moved.size and moved[worst] > LEVEL * level:
        name = f"`{names[worst]}`"
        why = "; by the spread of its column no other weight can move farther" if moved.size > 1 else ""
        low, high = float(first[worst]), float(last[worst])
    else:
        name, why = "the intercept", ""
    low, high = min(low, high), max(low, high)
    size = max(abs(low), abs(high))
    place = last_place(high - low, 2, size)
    if place <= power_of(high - low):  # else that is nearly rounding
        both = f"{to_place(low, place, size)} to {to_place(high, place, size)}"
        yield f"{name} can be anywhere from {both} at the same cost{why}"


def _last(
    objective: Objective,
    first: FirstPass,
    frame: Frame,
    found: Optimum,
    squares: float,
    factor: float,
    epoch: int,
    names: Sequence[str],
) -> Step:
    """The last Step of one quantile."""
    survey = first.survey(objective)
    weights, bias = frame.weights(found.weights)
    value = factor * ldexp(found.value / survey.total, frame.power)
    gap = max((found.gap + found.rounding) / found.value, ROUNDING) if found.value > 0 else 0.0
    status: Status | None = None
    notes: tuple[str, ...] = ()
    if found.gap > max(CERTAIN * found.value, found.rounding):  # no weights in float64 are certain beyond rounding
        status = Status.UNFINISHED
    elif not found.unique:
        status, notes = not_unique(bool(first.solution.dependencies))
        if status is not None and found.span is not None:
            ends = [frame.weights(found.weights + step) for step in found.span]
            notes = (*notes, *_widest(ends, names, survey))
    return Step(
        epoch=epoch,
        step=found.iterations,
        rows=survey.n,
        weights=weights,
        bias=bias,
        objective=value,
        solution=first.solution,
        moments=first.exact.moments,
        status=status,
        settings={**vars(objective.loss)},
        survey=survey,
        squares=ldexp(squares / survey.total, 2 * frame.power),
        gap=gap,
        notes=notes,
    )
