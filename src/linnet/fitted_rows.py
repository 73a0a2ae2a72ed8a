"""FittedRows: what rows sum to by the residuals that some weights leave."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, Floats
from linnet.lone_rows import LoneRows
from linnet.moments import PARALLEL, WIDE, in_chunks
from linnet.objective import residual
from linnet.residuals import Residuals
from linnet.solution import TILE, Solution, ldexp
from linnet.sources.source import Source

CLEAR = 2.0**-44
"""Residual, relative to what it is the difference of, that may be rounding alone."""

Factors = Callable[[Float64s, Float64s | None], Float64s]
"""What each row counts in each of k sums, (k, m), from the scaled residuals (m,) and row weights of mean 1 (m,)."""


@dataclass(frozen=True, eq=False)
class FittedRows:
    """Rows, and the weights fitted to them; residuals are in units of the scaled target."""

    source: Source
    solution: Solution
    weights: Float64s
    bias: float

    @property
    def rounding(self) -> float:
        """The scaled residual that may be rounding alone."""
        solution = self.solution
        terms = np.abs(self.weights) * np.hypot(solution.centre[:-1], solution.scale[:-1])
        size = terms.sum() + abs(self.bias) + math.hypot(solution.centre[-1], solution.scale[-1])
        return CLEAR * ldexp(float(size), -solution.target_power)

    def read(
        self,
        rows: Iterable[Block],
        factors: Factors | None,
        crossed: bool,
        residuals: Residuals | None,
        lone: LoneRows,
        within: float,
    ) -> tuple[Float64s, Float64s]:
        """Sums over rows.

        Args:
            rows: as Blocks.
            factors: what each row counts in each of k sums.
            crossed: whether products of the features are summed too.
            residuals: takes what it wants of residuals and targets, scaled.
            lone: takes the rows that decide their own fit,
            within: being among those with residuals, scaled, of at most this size.

        Returns:
            Σ a (k,) and Σ a·zzᵀ (k, r+1, r+1) for each of the factors a, over n, with the features whitened to z.
        """
        sums, grams = np.zeros(1), np.zeros((1, self.solution.rank + 1, self.solution.rank + 1))
        for block in rows:
            wanted = np.empty(0, np.intp) if residuals is None else residuals.places(block)
            work = partial(self._part, block.start, wanted, factors, crossed, within)
            wide = block.features > WIDE  # products are large, and BLAS has threads of its own for them
            for part_sums, part_grams, kept, alone in [work(block)] if wide else in_chunks(block, work, PARALLEL):
                sums = sums + part_sums
                grams = grams + part_grams
                lone.add(*alone)
                if residuals is not None:
                    residuals.add(kept)
        n = self.solution.equations.n
        return sums / n, grams / n

    def _part(
        self,
        start: int,
        wanted: NDArray[np.intp],
        factors: Factors | None,
        crossed: bool,
        within: float,
        part: Block,
    ) -> tuple[Float64s | float, Float64s | float, Float64s, tuple[int, NDArray[np.intp], Float64s]]:
        """What `read` sums and keeps of some rows of the block that begins at `start`."""
        assert part.y is not None
        equations, power = self.solution.equations, self.solution.target_power
        r = _in_units(residual(part, self.weights, self.bias), power)
        w = None if part.weight is None else part.weight * (equations.n / equations.total)
        first = part.start - start
        low, high = np.searchsorted(wanted, (first, first + part.rows))
        at: slice | NDArray[np.intp] = slice(None) if high - low == part.rows else wanted[low:high] - first
        kept = [r[at], _in_units(part.y[at].astype(np.float64), power)]
        if w is not None:
            kept.append(w[at])
        alone = part.start, *self.solution.alone(part, np.flatnonzero(np.abs(r) <= within))
        if factors is None:
            return 0.0, 0.0, np.array(kept), alone
        a = factors(r, w)
        return a.sum(axis=1), self._products(part.X, a) if crossed else 0.0, np.array(kept), alone

    def _products(self, X: Floats, a: Float64s) -> Float64s:
        """Σ a·zzᵀ for rows X (m, d) and each of the factors a (k, m)."""
        if len(a) == 1:
            counted = np.flatnonzero(a[0])
            if counted.size < a.shape[1] // 2:  # most rows lie outside a kernel
                X, a = X[counted], a[:, counted]
        total = np.zeros((len(a), self.solution.rank + 1, self.solution.rank + 1))
        for i in range(0, a.shape[1] if len(a) else 0, TILE):
            z = self.solution.whitened(self.solution.scaled(X[i : i + TILE], slice(0, X.shape[1])))
            for k, factor in enumerate(a[:, i : i + TILE]):
                total[k] += (z * factor[:, None]).T @ z
        return total

    def penalty(self, power: int = 0) -> Float64s:
        """What l2 adds to the mean of w·zzᵀ, (r+1, r+1), for a loss in units of the squared target over 2^power."""
        solution = self.solution
        added = np.zeros((solution.rank + 1, solution.rank + 1))
        added[1:, 1:] = solution.basis.T @ (solution.ridge[solution.kept, None] * solution.basis)
        return np.asarray(np.ldexp(added, power))


def _in_units(values: Float64s, power: int) -> Float64s:
    """Numbers in units of 2^power."""
    if abs(power) > 1000:  # 2^-power alone lies outside float64's range
        return np.ldexp(values, -power)
    return values * math.ldexp(1.0, -power)
