"""FirstPass and Frame: what solvers of robust losses begin with, and the coordinates in which they seek a plane."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, InputError
from linnet.losses import Loss, Squared
from linnet.objective import Objective
from linnet.settings import Allowed, whole
from linnet.solution import EXTREME, Solution, ldexp
from linnet.solvers.exact import Exact
from linnet.solvers.solver import Step
from linnet.solvers.survey import WIDEST, Survey
from linnet.sources.source import Source

DIRECT = 12_000
"""Rows up to which all of them are solved at once."""
SAMPLE = 1 << 22
"""Numbers in a sample at most, 32 MB; fewer rows are all in it."""
PASSES: Allowed = ("a whole number from 3 on", (), lambda value: whole(value, 3))
"""How many times a solver may read the rows: once for the Frame, and at least twice in it."""


class Sample(Source):
    """A Source that keeps a sample of the rows that are read through it, all of them while they are few.

    Each row draws a number, and those with the smallest stay: which ones, the size of blocks does not matter to.
    """

    def __init__(self, source: Source) -> None:
        """Nothing is read yet."""
        self._source = source
        self.design, self.target, self.rows = source.design, source.target, source.rows
        self.rereadable = source.rereadable
        self.seen = 0
        self._parts: list[tuple[Float64s, Block]] = []
        self._below = 1.0

    @property
    def complete(self) -> bool:
        """Whether all rows are in it."""
        return self._below == 1.0

    def blocks(self) -> Iterator[Block]:
        """Read every row once, in order; the sample begins anew."""
        rng = np.random.default_rng(0)
        p = len(self.design.names) + 1
        most = max(1, SAMPLE // p)
        self.seen, self._parts, self._below = 0, [], 1.0
        if self.rows is not None and self.rows > most:  # not all of them: then no more than are needed
            self._below = min(2 * sample_size(self.rows, p), most) / self.rows
        for block in self._source.blocks():
            keys = rng.random(block.rows)
            if block.weight is not None:
                keys[block.weight == 0] = 2.0
            self.seen += int((keys < 2.0).sum())
            self._parts.append(_below(keys, block, self._below))
            while sum(part[0].size for part in self._parts) > most:
                self._below /= 2
                self._parts = [_below(*part, self._below) for part in self._parts]
            self.dropped, self.weightless = self._source.dropped, self._source.weightless
            yield block
        self.dropped, self.weightless = self._source.dropped, self._source.weightless

    def where(self, row: int) -> str:
        """As the Source says."""
        return self._source.where(row)

    def block(self, rows: int | None = None) -> Block:
        """The rows kept, as float64; at most so many, whichever drew the smallest numbers."""
        keys = np.concatenate([part[0] for part in self._parts])
        weighted = any(part[1].weight is not None for part in self._parts)
        X = np.concatenate([part[1].X for part in self._parts])
        y = np.concatenate([part[1].y for part in self._parts if part[1].y is not None])
        w = np.concatenate([part[1].weight for part in self._parts if part[1].weight is not None]) if weighted else None
        if rows is not None and rows < keys.size:
            few = np.sort(np.argpartition(keys, rows)[:rows])
            X, y, w = X[few], y[few], w[few] if w is not None else None
        return Block(X.astype(np.float64), y.astype(np.float64), w)


def sample_size(n: int, p: int) -> int:
    """Rows to sample of n, so that the sample and what it leaves undecided are about equally many."""
    return int(min(max(DIRECT / 2, (n * math.sqrt(p)) ** (2 / 3)), n))


def _below(keys: Float64s, block: Block, limit: float) -> tuple[Float64s, Block]:
    """Copies of the rows with keys below the limit."""
    few = np.flatnonzero(keys < limit)
    return keys[few], block.part(few)


@dataclass(frozen=True, eq=False)
class FirstPass:
    """What the pass that solves least squares leaves to the solver of another loss.

    Attributes:
        exact: its last Step.
        solution: what that solved.
        sample: of the rows.
    """

    exact: Step
    solution: Solution
    sample: Sample

    def survey(self, objective: Objective) -> Survey:
        """What is known of the rows beside the weights."""
        return Survey.of(self.solution, objective, self.exact.moments)

    def through(self, objective: Objective, settings: Mapping[str, Any], settled: Loss | None = None) -> Step:
        """The last Step where the least-squares plane goes through every row, which is then the best for any loss."""
        return self.exact._replace(
            objective=0.0,
            gap=0.0,
            squares=0.0,
            survey=self.survey(objective),
            settings=settings,
            settled=settled,
        )


def first_pass(solver: str, objective: Objective, source: Source) -> Generator[Step, None, FirstPass]:
    """Solve least squares, keeping a sample of the rows; a Step for each block.

    Raises:
        InputError: rows that can be read only once, too many features, numbers that are not finite, or no rows.
    """
    if not source.rereadable:
        raise InputError(
            f"The {solver} solver takes several passes, but these rows can be read only once: give a table or files."
        )
    d = len(source.design.names)
    if d > WIDEST:
        raise InputError(
            f'The {solver} solver takes up to {WIDEST:,} features, but there are {d:,}: use fewer, or solver="sgd".'
        )
    sample = Sample(source)
    exact: Step | None = None
    for step in Exact().steps(replace(objective, loss=Squared()), sample):
        exact = step
        yield Step(epoch=step.epoch, step=step.step, rows=step.rows)
    assert exact is not None
    assert exact.solution is not None
    return FirstPass(exact, exact.solution, sample)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Where rows lie: z = [base, ((x·before - centre)·after)·basis], and the target likewise.

    Attributes:
        unit: (3, d), before, centre and after of each feature.
        target: (3,), those of the target.
        basis: (d, r).
        base: 1 if rows share a coordinate, that of the intercept; else 0.
    """

    unit: Float64s
    target: Float64s
    basis: Float64s
    base: int

    @classmethod
    def same(cls, p: int) -> Coordinates:
        """Of rows that are in their p coordinates already."""
        unit = np.zeros((3, p))
        unit[::2] = 1.0
        return cls(unit, np.array([1.0, 0.0, 1.0]), np.eye(p), 0)

    @property
    def size(self) -> int:
        """p, how many there are."""
        return int(self.basis.shape[1]) + self.base

    @cached_property
    def most(self) -> float:
        """How many times the square of x, centred and scaled, that of the coordinates by the basis is at most."""
        return float(np.linalg.norm(self.basis, 2)) ** 2 if self.basis.size else 0.0

    @cached_property
    def spans(self) -> NDArray[np.int64]:
        """Of each column of the basis, (2, r), the rows from the first to after the last that is not 0."""
        there = self.basis != 0
        return np.array([there.argmax(axis=0), there.shape[0] - there[::-1].argmax(axis=0)], dtype=np.int64)

    def rows(self, block: Block) -> tuple[Float64s, Float64s, Float64s]:
        """Coordinates (p, m), targets and weights (m,)."""
        assert block.y is not None
        x = (block.X * self.unit[0] - self.unit[1]) * self.unit[2]
        Z = np.empty((self.size, block.rows))
        Z[: self.base] = 1.0
        np.matmul(self.basis.T, x.T, out=Z[self.base :])
        y = (block.y * self.target[0] - self.target[1]) * self.target[2]
        return Z, y, np.ones(block.rows) if block.weight is None else block.weight

    def plane(self, weights: Float64s) -> Float64s:
        """Level and slopes by x, (d+1,), of a plane with these weights (p,) by the coordinates."""
        return np.asarray(np.r_[weights[0] if self.base else 0.0, self.basis @ weights[self.base :]])

    def sums(self, sums: Float64s) -> Float64s:
        """Sums of w·[z, y, 1] (k, p+2), from those of w·[x, y, 1] (k, d+2)."""
        total = sums[:, -1:]
        return np.hstack([total * np.ones((1, self.base)), sums[:, :-2] @ self.basis, sums[:, -2:-1], total])


class Frame:
    """Coordinates in which the features' Gram matrix is the identity, and the target is of usual size about 0.

    The target is centred by its median and scaled by its spread about that, so that a row however far out costs the
    others no digits.
    """

    def __init__(self, solution: Solution, sample: Block) -> None:
        """Of the rows that `solution` was solved from; `sample` holds some of them."""
        assert sample.y is not None
        self.solution = solution
        equations = solution.equations
        lift = min(max(math.frexp(float(np.abs(sample.y).max()))[1], -EXTREME - 100), 1024)
        lift = lift if abs(lift) > EXTREME else 0  # far from 1, for the same reason
        y = np.ldexp(sample.y, -lift)
        shift = float(np.median(y)) if equations.intercept else 0.0
        away = np.abs(y - shift)
        away = away[away > 0]
        power = math.frexp(float(np.median(away)))[1] if away.size else 0
        basis = solution.stretched
        self._whole = basis if solution.levers[1] is solution.basis else solution.stretch * solution.levers[1]
        by_kept = np.zeros((equations.features, solution.rank))
        by_kept[solution.kept] = basis
        k = equations.exponents[:-1]
        half = k // 2  # two steps, since the whole of it may lie outside float64's range too
        # near float64's ends numbers must be scaled before they are centred, which elsewhere would cost digits
        extreme = bool((np.abs(equations.exponents) > EXTREME).any())
        if extreme:
            unit = [np.ldexp(1.0, -half), np.ldexp(equations.mean[0][:-1], k - half), np.ldexp(1.0, half - k)]
        else:
            unit = [np.ones(k.size), solution.centre[:-1], np.ldexp(1.0, -k)]
        target = np.array([math.ldexp(1.0, -lift), shift, math.ldexp(1.0, -power)])
        self.power, self._lift, self._shift = power + lift, lift, shift
        self.coordinates = Coordinates(np.array(unit), target, by_kept, int(equations.intercept))

    @property
    def offset(self) -> float:
        """How far from 0 the target lies, in the unit of its spread."""
        return abs(ldexp(self._shift, self._lift - self.power))

    def penalty(self, l2: float) -> Float64s | None:
        """Of l2, for a loss that is summed: (p, p)."""
        if not l2:
            return None
        base, p = self.coordinates.base, self.coordinates.size
        powers = self.power / 2 - self.solution.equations.exponents[:-1]
        root = math.sqrt(l2) * math.sqrt(self.solution.equations.total) * np.exp2(powers)  # its square may be too small
        rows = root[:, None] * self._whole
        matrix = np.zeros((p, p))
        matrix[base:, base:] = rows.T @ rows
        return matrix

    def weights(self, plane: Float64s) -> tuple[Float64s, float]:
        """Weights (d,) in their own units, and the bias, of weights (p,) by the coordinates."""
        base = self.coordinates.base
        weights = np.ldexp(self._whole @ plane[base:], self.power - self.solution.equations.exponents[:-1])
        if not base:
            return weights, 0.0
        level = ldexp(math.ldexp(float(plane[0]), self.power - self._lift) + self._shift, self._lift)
        return weights, level - float(self.solution.centre[:-1] @ weights)
