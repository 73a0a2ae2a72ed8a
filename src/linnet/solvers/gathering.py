"""Rows: what a learner reads and what is known of it before the first step, gathered in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from linnet.block import NO_ROWS, Block, Float64s, InputError
from linnet.moments import Float64Moments, Moments
from linnet.objective import Objective
from linnet.solvers.exact import holds
from linnet.solvers.solver import Step
from linnet.solvers.survey import DOUBLE, ROUNDING, WIDEST, Survey
from linnet.sources.source import Source
from linnet.sources.spool import Spool
from linnet.survey_kernels import sum_of_squares

if TYPE_CHECKING:
    from linnet.solvers.sgd import SGD

NEIGHBOURS = 64
"""Rows in a piece, to see whether rows that lie together are alike,"""
ALIKE = 1.5
"""and how many times the variance of their mean must exceed that in a random order."""


class Tally:
    """Sums over blocks that a Survey is made of: Moments, or sums for each column alone where those were too many."""

    def __init__(self, features: int, like: Tally | None = None) -> None:
        """No rows yet, of so many features; sums are taken about the shift of another Tally, to which they then add."""
        self.features = features
        self.rounding = 0.0
        self.moments: Float64Moments | None = None
        self.origin: Float64s | None = None if like is None else like.origin
        self._sums = np.zeros((2, features + 1))
        self._total = 0.0
        self._n = 0

    def __add__(self, other: Tally) -> Tally:
        """The Tally of both; `other` was made like this one."""
        both = Tally(self.features, other)
        both.rounding = max(self.rounding, other.rounding)
        moments = [each.moments for each in (self, other) if each.moments is not None]
        both.moments = moments[0] + moments[1] if len(moments) > 1 else next(iter(moments), None)
        both._sums, both._total, both._n = self._sums + other._sums, self._total + other._total, self._n + other._n
        return both

    def add(self, block: Block) -> bool:
        """Add a block's rows; False when a sum is not finite."""
        self.rounding = ROUNDING[block.X.dtype]
        if self.features <= WIDEST:
            shift = None if self.moments is None else self.moments.shift
            part = Float64Moments.of(block, shift=shift)
            self.moments = part if self.moments is None else self.moments + part
            return part.finite
        assert block.y is not None
        rows = max(1, (1 << 22) // self.features)
        for i in range(0, block.rows, rows):
            z = np.column_stack([block.X[i : i + rows], block.y[i : i + rows]]).astype(np.float64)
            w = np.ones(len(z)) if block.weight is None else block.weight[i : i + rows]
            if self.origin is None:
                self.origin = (w if w.any() else np.ones(len(z))) @ z / (float(w.sum()) or len(z))
            z -= self.origin
            with np.errstate(over="ignore", invalid="ignore"):  # which is told by what is returned
                self._sums += w @ z, w @ np.square(z, out=z)
            self._total += float(w.sum())
            self._n += int(np.count_nonzero(w))
        return bool(np.isfinite(self._sums).all())

    @property
    def shift(self) -> float:
        """About the mean of the target."""
        shift = self.origin if self.moments is None else self.moments.shift
        return 0.0 if shift is None else float(shift[-1])

    def survey(self, objective: Objective, exact: Moments | None = None) -> Survey:
        """The Survey of all rows so far; `exact` are Moments to be used instead of these.

        Raises:
            InputError: there are no rows.
        """
        moments = exact or self.moments
        if moments is not None:
            return Survey.of(moments.solve(objective.l2, objective.intercept), objective, moments, self.rounding)
        if not self._n or self.origin is None:
            raise InputError(NO_ROWS)
        mean, square = self._sums / self._total
        if objective.intercept:
            return Survey(
                self._n, self._total, self.origin + mean, np.sqrt(np.maximum(square - mean**2, 0.0)), objective
            )
        root = np.sqrt(square + 2 * mean * self.origin + self.origin**2)
        return Survey(self._n, self._total, np.zeros_like(mean), root, objective)


class Past(NamedTuple):
    """What is known of all rows so far, those of runs before included.

    Attributes:
        rows: their number.
        weight: sum of their weights.
        square: sum of the target's weighted squares.
        tally: None if nothing asked for it.
    """

    rows: int = 0
    weight: float = 0.0
    square: float = 0.0
    tally: Tally | None = None

    @classmethod
    def of(cls, moments: Moments | None) -> Past:
        """The rows that were summed, as far as these sums tell."""
        if moments is None or not moments.n:
            return cls()
        known = moments.normal()
        with np.errstate(over="ignore"):
            mean = np.ldexp(known.mean[0], known.exponents)
            gram = np.zeros((mean.size + 1, mean.size + 1))
            powers = known.exponents[:, None] + known.exponents
            gram[0, 0], gram[1:, 1:] = known.total, known.factor * np.ldexp(known.matrix[0], powers)
        tally = Tally(mean.size - 1)
        tally.moments = Float64Moments(mean.size - 1, known.n, mean, gram)
        tally.rounding = DOUBLE
        return cls(known.n, known.total, float(gram[-1, -1] + known.total * mean[-1] ** 2), tally)


class Rows(NamedTuple):
    """The rows to learn from, and what a first look at them told.

    Attributes:
        spool: where they can be read in any order.
        survey: of these rows; None if nothing asked for it.
        scales: of all rows so far, likewise.
        past: all rows so far.
        ordered: whether rows that lie together are alike; None if not looked at.
    """

    spool: Spool
    survey: Survey | None
    scales: Survey | None
    past: Past
    ordered: bool | None

    @property
    def size(self) -> float:
        """Root of the target's mean square, of all rows so far."""
        return math.sqrt(self.past.square / (self.past.weight or 1.0))


def gather(solver: SGD, objective: Objective, source: Source, before: Past) -> Generator[Step, None, Rows]:
    """Read the rows once, unless they lie in memory already; Steps of epoch 0 meanwhile.

    Raises:
        InputError: numbers that are not finite, or no rows.
    """
    hashed, held = solver.checkpoint is not None, source.held()
    if held is not None:
        spool = Spool.over(held, batch_size=solver.batch_size, hashed=hashed)
        if solver.lr != "auto" and solver.tol is None:
            return Rows(spool, None, None, _later(before, spool, sum_of_squares(held.y, held.weights), None), None)
    d, alike = len(source.design.names), np.zeros(4)
    tally = Tally(d, before.tally)
    if held is not None:
        _add(tally, held, source)
        if solver.shuffle is not True:
            alike += _pieces(held, tally.shift)
    else:
        spool = Spool(d, batch_size=solver.batch_size, hashed=hashed)
        for block in source.blocks():
            _add(tally, block, source)
            spool.add(block)
            alike += _pieces(block, tally.shift)
            yield Step(epoch=0, step=0, rows=spool.rows)
    survey = scales = _survey(tally, objective, spool.blocks)
    if before.tally is not None:
        tally = before.tally + tally
        scales = tally.survey(objective)
    ordered = None
    if alike[0] > 1:
        pieces, count, total, square = alike
        spread = (square - total * total / count) / (pieces - 1)
        ordered = bool(spread > (ALIKE + 5 * (2 / pieces) ** 0.5) * survey.scale[-1] ** 2)
    squares = survey.total * math.hypot(survey.centre[-1], survey.scale[-1]) ** 2
    return Rows(spool, survey, scales, _later(before, spool, squares, tally), ordered)


def _later(before: Past, spool: Spool, square: float, tally: Tally | None) -> Past:
    """The Past with these rows too."""
    return Past(before.rows + spool.rows, before.weight + spool.weight_total, before.square + square, tally)


def _add(tally: Tally, block: Block, source: Source) -> None:
    if not tally.add(block):
        block.check(source.design.names, source.target, source.where)
        if tally.moments is None:  # these tell it when they are solved
            raise InputError("Sums of squares leave float64's range: rescale the columns.")


def _pieces(block: Block, shift: float) -> Float64s:
    """Number of pieces of rows that lie together, and of their rows; sums of the target's means there, and squares.

    The means are less `shift`, and each counts by its rows; with row weights, by as many as would tell as much.
    """
    assert block.y is not None
    pieces = block.rows // NEIGHBOURS
    y = np.subtract(block.y[: pieces * NEIGHBOURS].reshape(pieces, NEIGHBOURS), shift, dtype=np.float64)
    count = np.full(pieces, float(NEIGHBOURS))
    if block.weight is None:
        means = y.mean(axis=1)
    else:
        w = block.weight[: y.size].reshape(y.shape)
        w = w[held := w.any(axis=1)]
        w = w / w.max(axis=1, keepdims=True)  # since squares leave float64's range
        total = w.sum(axis=1)
        means, count = (w * y[held]).sum(axis=1) / total, total**2 / (w * w).sum(axis=1)
    return np.array([means.size, count.sum(), count @ means, count @ means**2])


def survey_of(blocks: Callable[[], Iterable[Block]], objective: Objective, source: Source) -> Survey:
    """The Survey of rows that were gathered without one, which `blocks` reads, once or twice.

    Raises:
        InputError: a number is not finite.
    """
    tally = Tally(len(source.design.names))
    for block in blocks():
        _add(tally, block, source)
    return _survey(tally, objective, blocks)


def _survey(tally: Tally, objective: Objective, blocks: Callable[[], Iterable[Block]]) -> Survey:
    """The Survey, by exact Moments where those in float64 would not hold."""
    survey = tally.survey(objective)
    if survey.solution is None or holds(survey.solution):
        return survey
    from linnet.exact_moments import ExactMoments

    exact: Moments | None = None
    for block in blocks():
        part = ExactMoments.of(block)
        exact = part if exact is None else exact + part
    return tally.survey(objective, exact)
