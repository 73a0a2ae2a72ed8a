"""Globs: rows whose side of the plane is known are only summed, so that a few rows decide the optimum of all."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from linnet import glob_kernels as kernels
from linnet.block import Block, Float64s, InputError
from linnet.moments import PARALLEL, in_chunks
from linnet.solvers.central_path import Problem, central
from linnet.solvers.corner import solve
from linnet.solvers.frame import DIRECT, Coordinates, sample_size

DEVIATIONS = 3.5
"""How far the plane of a sample is expected to lie from that of all rows at most, in its standard errors."""
ROUGH = 1e-5
"""Relative gap to which a sample is solved, whose plane is an estimate only."""
NARROWER = 0.25
"""By how much closer the next plane is expected to be,"""
WIDER = 4.0
"""and by how much farther off at least, where it was not as close as expected."""
FEWER = 0.5
"""Share of rows left undecided up to which a sample of those is worth its while."""
BUDGET = 1 << 23
"""Numbers of undecided rows that are aimed at, 64 MB,"""
MOST = 1 << 26
"""and that are held at most."""
NEARLY = 1e-9
"""Residual, relative to what it is the difference of, below which a row may hold an end of a span."""
ROUNDS = 20
"""Rounds over rows in memory after which they are solved at once."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """What minimises a Problem.

    Attributes:
        weights: (p,).
        value: the objective there, not divided by the sum of the row weights.
        gap: by how much at most it lies above the minimum, for residuals as they were computed.
        rounding: by how much more at most (see Corner).
        unique: whether no other weights reach that.
        iterations: of the last central path, with the exchanges of rows after it.
        span: (2, p), steps to both ends of what does (see Corner); None where that is not known.
    """

    weights: Float64s
    value: float
    gap: float
    rounding: float
    unique: bool
    iterations: int
    span: Float64s | None


@dataclass(frozen=True, eq=False)
class Guess:
    """A plane, and how far from it the side of a row is not told.

    Attributes:
        weights: (p,), the plane.
        band: the residual up to which it does not tell a row's side, relative to the row's length.
        ruler: coordinates by which lengths are measured: those in which the rows of the sample are orthonormal, so that
            a row far from all of these is long, and the plane uncertain there.
        spread: (r, r), lower triangular, what turns those into the coordinates of the plane.
    """

    weights: Float64s
    band: float
    ruler: Coordinates
    spread: Float64s

    def distance(self, weights: Float64s) -> float:
        """By how much residuals of another plane (p,) differ at most, relative to the row's length."""
        away = weights - self.weights
        base = self.ruler.base
        return float(np.linalg.norm(np.r_[away[:base], self.spread.T @ away[base:]]))


@dataclass(frozen=True, eq=False)
class Seen:
    """What a look at some rows told.

    Attributes:
        near: their features (p, k), targets and weights (k,) where the guess does not tell the side.
        globs: (2, p+2), Σ w·[z, y, 1] over the other rows above the plane and below it.
        sums: (3,), the loss of all at the guess, their squared residuals, and the loss at stake: of rows that lie on
            another side than the guess before had told.
        rows: how many there were.
    """

    near: tuple[Float64s, Float64s, Float64s]
    globs: Float64s
    sums: Float64s
    rows: int


class Plane:
    """The search for one quantile's plane: each round over the rows checks the plane of the one before, and betters it.

    The preprocessing of Portnoy and Koenker (1997), section 5. The sum of rows on one side is a row of its own, a glob:
    its loss is never above theirs, and equal when they do lie on that side. The optimum with globs is therefore never
    above that of all rows, and is theirs when every row lies where it was expected.
    """

    def __init__(self, coordinates: Coordinates, q: float, penalty: Float64s | None, guess: Guess) -> None:
        """`guess` is the plane of a sample."""
        self.coordinates = coordinates
        self.q = q
        self.penalty = penalty
        self.guess = guess
        self.before: Guess | None = None
        self.done = False
        self.squares = math.nan
        self._parts: list[Seen] = []
        self._held = 0
        self._best: Optimum | None = None  # of the planes that all rows were looked at with
        self._solved: Optimum | None = None  # what the guess is the optimum of
        self._lowest, self._moved, self._wider = 0.0, 0.0, guess.band

    def begin(self) -> None:
        """Before a round."""
        self._parts, self._held = [], 0

    def look(self, rows: Block) -> Seen:
        """At some rows; in any thread."""
        X, at, ruler, before = rows.X, self.coordinates, self.guess.ruler, self.before or self.guess
        near, globs, sums = np.empty(rows.rows, np.int64), np.zeros((2, rows.features + 2)), np.zeros(3)
        count = kernels.look(
            X,
            rows.y,
            rows.weights,
            at.unit,
            at.target,
            ruler.basis,
            ruler.spans,
            float(ruler.base),
            ruler.most,
            self.q,
            np.array([at.plane(self.guess.weights), at.plane(before.weights)]),
            np.array([self.guess.band, -1.0 if self.before is None else before.band]),
            near,
            globs,
            sums,
        )
        return Seen(at.rows(rows.part(near[:count])), at.sums(globs), sums, rows.rows)

    def take(self, seen: Seen) -> None:
        """Add what was seen, in the order of the rows.

        Raises:
            InputError: too many rows lie on the plane.
        """
        self._parts.append(seen)
        self._held += seen.near[0].size
        if self._held > MOST:
            raise InputError(
                f"More than {MOST / self.guess.weights.size:,.0f} rows lie on the plane that is sought, or very near "
                "it, which is more than is held in memory: the target takes the same value too often. Fit a sample of "
                'the rows, or use solver="sgd".'
            )

    def conclude(self) -> None:
        """After a round: done if every row lay where it was expected, else the optimum of what is known now.

        A plane that turns out worse than the best one so far was sought too far away: then back to that one, with more
        rows undecided. A row of length l changes its residual by l·(distance of two planes) at most, so that bands as
        wide as planes move end the search.
        """
        loss, squares, stake = np.sum([part.sums for part in self._parts], axis=0)
        value, solved = float(loss) + self._cost(self.guess.weights), self._solved
        if self._best is not None and solved is not None and value >= self._best.value and stake > 0:
            self._wider = max(WIDER * self._wider, math.sqrt(self._wider * self._moved))
            self.guess = replace(self.guess, weights=self._best.weights, band=self._wider)
            self.before = self._solved = None
            return
        self.squares = float(squares)
        if solved is not None and stake == 0 and self._on_their_sides:
            self._best, self.done = replace(solved, weights=self.guess.weights, value=value), True
            return
        globs = np.sum([part.globs for part in self._parts], axis=0)
        self._empty = globs[:, -1] == 0
        globs[:, :-1] /= np.where(self._empty, 1.0, globs[:, -1])[:, None]  # means, of the size of a row
        self._globs = globs
        there = globs[~self._empty]
        Z = np.column_stack([*(part.near[0] for part in self._parts), there[:, :-2].T])
        y = np.concatenate([*(part.near[1] for part in self._parts), there[:, -2]])
        w = np.concatenate([*(part.near[2] for part in self._parts), there[:, -1]])
        few = y.size <= FEWER * sum(part.rows for part in self._parts)
        self._parts = []
        self._solved = optimum(Problem(Z, y, w, self.q, self.penalty), self.guess.weights, len(there), sample=few)
        self._lowest = max(self._lowest, self._solved.value - self._solved.gap)
        gap = value - self._lowest
        self._best = replace(self._solved, weights=self.guess.weights, value=value, gap=gap, span=None)
        self._moved, self._wider = self.guess.distance(self._solved.weights), self.guess.band
        wide = self.guess.band
        band = wide * (NARROWER if self._moved <= WIDER * wide else 1.0)
        self.before, self.guess = self.guess, replace(self.guess, weights=self._solved.weights, band=band)

    @property
    def best(self) -> Optimum:
        """The best plane of those that all rows were looked at with; its span goes no farther than they allow."""
        assert self._best is not None
        return self._best if self._apart(self._best) else replace(self._best, span=None)

    def best_of(self, rows: Problem) -> Optimum:
        """The same where these are all rows, at whose sides the span then ends."""
        assert self._best is not None
        weights, span = self._best.weights, self._best.span
        if span is None:
            return self._best
        r, size = rows.y - weights @ rows.Z, NEARLY * (np.abs(rows.y) + np.abs(weights) @ np.abs(rows.Z))
        ends = []
        for step in span:
            there = r - step @ rows.Z
            # a row that holds the plane here or there is in the span already, but for rounding
            leaves = (r * there < 0) & (np.minimum(np.abs(r), np.abs(there)) > size)
            ends.append(step * float((r[leaves] / (r - there)[leaves]).min(initial=1.0)))
        return replace(self._best, span=np.array(ends))

    @property
    def _on_their_sides(self) -> bool:
        """Whether the globs of the round before lie above and below the plane that was found with them."""
        above, below = self._globs[:, -2] - self._globs[:, :-2] @ self.guess.weights
        return bool((above >= 0 or self._empty[0]) and (below <= 0 or self._empty[1]))

    def _apart(self, found: Optimum) -> bool:
        """Whether no row that is only part of a glob can leave its side before the ends of the span."""
        before = self.before
        if before is None or found.span is None:
            return False
        return all(before.distance(found.weights + step) <= before.band for step in found.span)

    def _cost(self, weights: Float64s) -> float:
        return 0.0 if self.penalty is None else 0.5 * float(weights @ self.penalty @ weights)


def optimum(problem: Problem, start: Float64s, globs: int = 0, sample: bool = True) -> Optimum:
    """The optimum of rows in memory.

    Args:
        problem: what to minimise.
        start: (p,), weights to begin with.
        globs: how many rows at the end are sums of others, and no sample may leave out.
        sample: whether to try a sample of them first, where they are many.
    """
    p, n = problem.Z.shape
    m = sample_size(n, p)
    if sample and n > DIRECT and expected(problem.q, p, m) < 0.5 * m:
        rng = np.random.default_rng(0)
        chosen = np.r_[rng.choice(n - globs, m, replace=False), np.arange(n - globs, n)]
        weight = problem.w[chosen]
        weight[:m] *= (n - globs) / m
        few = Problem(np.ascontiguousarray(problem.Z[:, chosen]), problem.y[chosen], weight, problem.q, problem.penalty)
        same = Coordinates.same(p)
        plane = Plane(same, problem.q, problem.penalty, guess(few, start, n, same))
        rows = Block(problem.Z.T, problem.y, problem.w)
        for _ in range(ROUNDS):
            plane.begin()
            for seen in in_chunks(rows, plane.look, PARALLEL):
                plane.take(seen)
            plane.conclude()
            if plane.done:
                return plane.best_of(problem)
    found = solve(problem, start)
    return Optimum(found.weights, found.value, found.gap, found.rounding, found.unique, found.iterations, found.span)


def guess(sample: Problem, start: Float64s, rows: int, at: Coordinates) -> Guess:
    """The plane of a sample of so many rows, by coordinates, and how far from it the side of a row is not told."""
    p, m = sample.Z.shape
    near = central(sample, start, ROUGH)
    z = sample.Z[at.base :]
    spread = np.linalg.cholesky((z @ z.T + np.eye(len(z))) / m)  # directions that the sample lacks are uncertain
    inverse = np.linalg.inv(spread)
    length = np.sqrt(at.base + np.square(inverse @ z).sum(axis=0))
    ratio = np.divide(np.abs(near.r), length, out=np.full(m, np.inf), where=length > 0)
    share = min(expected(sample.q, p, m), BUDGET / p * m / rows, m - 1)
    ruler = replace(at, basis=at.basis @ inverse.T)
    return Guess(near.weights, float(np.partition(ratio, int(share))[int(share)]), ruler, spread)


def expected(q: float, p: int, m: int) -> float:
    """Rows of a sample of `m` that its plane leaves undecided.

    A row z has its fitted value from there with a standard error of s·√(q·(1-q)·zᵀz/m), for the sparsity s, which is
    one over the density of residuals at 0; and p is the mean of zᵀz.
    """
    return DEVIATIONS * 2.0 * math.sqrt(q * (1.0 - q) * p * m)
