"""Solution: the least-squares weights, and what the Fit and its inference need beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, Floats
from linnet.inference import Uncertainty, Withheld, directions, triangular
from linnet.lone_rows import LEAST_FREE, LoneRows
from linnet.normal_kernels import extremes, standard_errors
from linnet.sources.source import Source

if TYPE_CHECKING:
    from linnet.normal import NormalEquations

EXTREME = 900
"""Exponent of two from which scaling alone could leave float64's range."""
DENSE = 256
"""Features up to which all eigenvalues take no longer than the largest alone."""
TILE = 1024
"""Rows that are looked at together, so that they stay in the cache."""
PART = 1e-6
"""Share of a weight's variance, were all rows alike, from which a direction takes part in it; beyond rounding."""


@dataclass(eq=False)  # making a frozen one takes long, and small fits consist of little else
class Solution:
    """The least-squares weights, and what the Fit and its inference need beside them.

    Attributes:
        equations: what was solved; "scaled" below means in its units.
        ridge: (d,), what l2 added to the diagonal, scaled.
        weights: (d,).
        bias: 0 without an intercept.
        centre: (d+1,), weighted mean of each feature and of the target; nobody can write into it,
        scale: nor into their weighted standard deviations, (d+1,).
        bias_identified: whether the bias can be told from the weights.
        identified: (d,), whether each weight can be told from the others.
        dependencies: for each left-out column, its index, the coefficients (d,) by which other columns reproduce it,
            and the constant, in the columns' own units.
        scaled_weights: (d,).
        kept: (r,), indices of columns that are independent of each other, in an order in which each is so of those
            before it: their own where all are.
        basis: (r, r), upper triangular, row-major, the inverse of the Cholesky factor of the scaled equations of those
            columns: in it their Gram matrix is the identity.
        reproduce: (r, d), what brings scaled weights of all columns to those of the kept ones alone that predict the
            same; (0, 0) where all are kept.
        levers: how far the basis' coordinates reach: (r,) the features' mean by them, and (d, r) what each is in scaled
            weights, the smallest ones where columns were left out; where all are kept, that is `basis` itself.
        variances: (d+2,), scaled, of [bias, value at the centre, weights] per unit of residual variance.
        shrunk: with ridge, what stands for the levers in that covariance; otherwise None.
        residual: scaled residual sum of squares.
    """

    equations: NormalEquations
    ridge: Float64s
    weights: Float64s
    bias: float
    centre: Float64s
    scale: Float64s
    bias_identified: bool
    identified: NDArray[np.bool_]
    dependencies: tuple[tuple[int, Float64s, float], ...]
    scaled_weights: Float64s
    kept: NDArray[np.intp]
    basis: Float64s
    reproduce: Float64s
    levers: tuple[Float64s, Float64s]
    variances: Float64s
    shrunk: tuple[Float64s, Float64s] | None
    residual: float

    @property
    def rank(self) -> int:
        """Number of independent columns, r."""
        return self.kept.size

    @property
    def penalised(self) -> bool:
        """Whether l2 takes part."""
        return self.shrunk is not None

    @cached_property
    def condition(self) -> float:
        """Condition number of the standardised design: the root of that of the correlation matrix.

        Infinite when rank deficient. Beyond DENSE features it is known to two digits.
        """
        equations, d, V = self.equations, self.equations.features, self.basis
        if self.dependencies:
            return math.inf
        if d <= DENSE or self.penalised:
            high, inverse_low = extremes(equations.matrix[0], V, self.penalised)
        else:
            from scipy.linalg.blas import dsymv, dtrmv  # SciPy's BLAS throughout: NumPy's has threads of its own

            sd = np.sqrt(equations.diagonal[:d])
            whole, unit = equations.matrix[0].T, np.append(1.0 / sd, 0.0)  # with the target: a part would be copied
            high = by_lanczos(lambda x: unit * dsymv(1.0, whole, unit * x), d + 1)
            inverse_low = by_lanczos(lambda x: sd * dtrmv(V.T, dtrmv(V.T, sd * x, lower=1), lower=1, trans=1), d)
        return math.sqrt(high * inverse_low)

    @property
    def kept_condition(self) -> float:
        """The same of the columns that were kept alone, which those that depend on them leave as they are."""
        if not self.dependencies:
            return self.condition
        if self.rank < 2:
            return 1.0
        equations, kept = self.equations, self.kept
        products = np.ascontiguousarray(equations.matrix[0][np.ix_(kept, kept)])
        high, inverse_low = extremes(products, products, True)
        return math.sqrt(high * inverse_low)

    @property
    def df_model(self) -> float:
        """Degrees of freedom spent on the weights: their number, or with ridge the trace of the hat matrix."""
        if not self.penalised:
            return float(self.rank)
        return float(self.rank - np.sum(self.basis**2 * self.ridge[self.kept, None]))

    @cached_property
    def df_residual(self) -> float:
        """n less the weights and the bias; with ridge, less the trace of the hat matrix."""
        return max(self.equations.n - self.df_model - self.equations.intercept, 0.0)

    @property
    def target_power(self) -> int:
        """Exponent of the target's unit."""
        return int(self.equations.exponents[-1])

    @property
    def unexplained(self) -> float:
        """Residual over total sum of squares; NaN when the target does not vary."""
        total = float(self.equations.matrix[0][-1, -1])
        return self.residual / total if total > 0 else math.nan

    @property
    def residual_sd(self) -> float:
        """sqrt(Σ w·r² / df_residual); NaN without degrees of freedom."""
        if not self.df_residual > 0:
            return math.nan
        return ldexp(math.sqrt(self.residual * self.equations.factor / self.df_residual), self.target_power)

    @property
    def objective(self) -> float:
        """The Objective's loss term: Σ w·r²/2 / Σ w."""
        return ldexp(
            ldexp(self.residual * self.equations.factor / self.equations.total / 2, self.target_power),
            self.target_power,
        )

    @property
    def centre_value(self) -> float:
        """What is predicted at `centre`: the target's mean, and what the weights make of the means' rounding.

        Where features lie far from 0, that rounding is more than all other of a prediction.
        """
        mean, left = self.equations.mean
        return ldexp(float(mean[-1] + (left[-1] - left[:-1] @ self.scaled_weights)), self.target_power)

    @cached_property
    def uncertainty(self) -> Uncertainty | None:
        """Classical standard errors; None without degrees of freedom."""
        if not self.df_residual > 0:
            return None
        sd = self._in_own_units(self.variances, math.sqrt(self.residual / self.df_residual))
        centre, (reach, along) = float(self.variances[1]), self.shrunk or self.levers
        # these alone, so that the Uncertainty does not keep the whole Solution; the last column first, so that rows
        # end with the zeros of a triangle
        return Uncertainty(sd, lambda: directions(_joint(centre, reach, along)[:, ::-1]))

    def robust(self, source: Source, kind: str) -> tuple[Uncertainty | None, tuple[str, ...]]:
        """Standard errors that hold when the residuals' variances differ, by one more pass over the rows.

        The sandwich of White (1980) with the corrections HC0 to HC3 of MacKinnon and White (1985). Rows are first
        brought to a basis in which their Gram matrix is the identity, so that ill-conditioned designs do not cancel.
        Weights that LoneRows decide have none.

        Args:
            source: the rows that were fitted.
            kind: "hc0", "hc1", "hc2" or "hc3".

        Returns:
            The Uncertainty, None without degrees of freedom; and what a reader must know of it.
        """
        if not self.df_residual > 0:
            return None, ()
        lone = LoneRows(source)
        equations, d = self.equations, self.equations.features
        power = {"hc0": 0, "hc1": 0, "hc2": 1, "hc3": 2}[kind]
        meat = np.zeros((self.rank + 1, self.rank + 1))
        for block in source.blocks():
            assert block.y is not None
            weight = self.shares(block)
            x = self.scaled(block.X, slice(0, d))
            z = self.whitened(x)
            r = self.scaled(block.y, d) - x @ self.scaled_weights
            leverage = weight * np.einsum("ij,ij->i", z, z)
            lone.add(block.start, *LoneRows.among(z, weight, leverage))
            score = weight * r * np.maximum(1.0 - leverage, LEAST_FREE) ** (-power / 2)
            z *= score[:, None]
            meat += z.T @ z
        if self.residual == 0:  # residuals are rounding, which classical errors take for 0 too
            meat[:] = 0.0
        if kind == "hc1":
            meat *= equations.n / self.df_residual
        return self.sandwich(meat, None, lone.directions), lone.notes(self, kind)

    def alone(self, block: Block, rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], Float64s]:
        """Which of these rows of a block decide their own fit, and how each moves it (see LoneRows.among)."""
        found, directions = [rows[:0]], [np.empty((0, self.rank + 1))]
        for i in range(0, rows.size, TILE):
            part = block.part(rows[i : i + TILE])
            z = self.whitened(self.scaled(part.X, slice(0, part.features)))
            places, moves = LoneRows.among(z, self.shares(part))
            found.append(rows[i + places])
            directions.append(moves)
        return np.concatenate(found), np.concatenate(directions)

    def shares(self, block: Block) -> Float64s:
        """Of the sum of all row weights, that of each row of a block, (m,)."""
        share = np.full(block.rows, 1.0 / self.equations.total)
        if block.weight is not None:
            share *= block.weight
        return share

    def scaled(self, values: Floats, at: slice | int) -> Float64s:
        """Features (m, d) or the target (m,) of some rows, centred and scaled; `at` is their place among [X, y]."""
        powers, mean = -self.equations.exponents[at], self.equations.mean[0][at]
        # near float64's ends numbers must be scaled before they are centred, which elsewhere would cost digits
        if (np.abs(self.equations.exponents) > EXTREME).any():
            return np.asarray(np.ldexp(values.astype(np.float64), powers) - mean)
        off = np.asarray(values - self.centre[at], dtype=np.float64)
        off *= np.ldexp(1.0, powers)
        return off

    def whitened(self, x: Float64s) -> Float64s:
        """[1, features] of rows in the basis in which the mean of w·zzᵀ is the identity.

        With ridge it is that of w·zzᵀ and the penalty together, and without an intercept the first column is 0.

        Args:
            x: (m, d), scaled.

        Returns:
            (m, r+1).
        """
        z = np.empty((x.shape[0], self.rank + 1))
        z[:, 0] = self.equations.intercept
        np.matmul(x if self.rank == x.shape[1] else x[:, self.kept], self.stretched, out=z[:, 1:])
        return z

    def sandwich(self, meat: Float64s, bread: Float64s | None, unknown: Float64s | None) -> Uncertainty:
        """Standard errors of weights that bring the sum of the rows' scores to 0: bread⁻¹ · meat · bread⁻¹.

        Args:
            meat: (r+1, r+1), covariance of the sum of the scores, by the coordinates of `whitened`, the target scaled.
            bread: (r+1, r+1), positive definite but for the intercept's row where there is none: minus the derivative
                of that sum; None stands for the identity, which it is for least squares.
            unknown: (k, r+1), directions in these coordinates in which nothing tells the scores' spread: what takes
                part in them is withheld. The bread may be anything in them that does not mix them with others.
        """
        half = root(meat)
        if bread is not None:
            bread = bread.copy()
            bread[0, 0] += 0.0 if self.equations.intercept else max(1.0, float(bread.diagonal().max()))
            half = np.asarray(np.linalg.solve(bread, half), dtype=np.float64)
        rows = self.pull @ half
        sd = self._in_own_units(np.einsum("ij,ij->i", rows, rows))
        return Uncertainty(sd, lambda: directions(triangular(rows)), self.withheld(unknown))

    def withheld(self, unknown: Float64s | None) -> Withheld | None:
        """What cannot be told where nothing tells the spread in some directions, (k, r+1), as in `part`."""
        if unknown is None:
            return None
        own = np.r_[0, 0, -self.equations.exponents[:-1]]
        with np.errstate(over="ignore"):
            return Withheld(~self.part(unknown), np.ldexp(unknown @ self.pull.T, own))

    def part(self, directions: Float64s) -> NDArray[np.bool_]:
        """Whether each of [bias, value at the centre, weights] takes part in one of so many directions, (d+2,).

        Args:
            directions: (k, r+1), orthogonal, in the coordinates of `whitened`.
        """
        pull = self.pull
        unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        along = np.square(pull @ unit.T).sum(axis=1)
        return np.asarray(along > PART * np.square(pull).sum(axis=1))

    def weights_in(self, directions: Float64s, names: Sequence[str]) -> list[str]:
        """What a note calls the weights that take part in one of so many directions and can be told at all."""
        known = np.r_[self.equations.intercept and self.bias_identified, self.identified]
        part = np.flatnonzero(known & np.delete(self.part(directions), 1)).tolist()
        return [f"`{names[j - 1]}`" if j else "the intercept" for j in part]

    @property
    def pull(self) -> Float64s:
        """What each coordinate of `whitened` adds to scaled [bias, value at the centre, weights], (d+2, r+1)."""
        return _joint(float(self.equations.intercept), *(self.stretch * part for part in self.levers))

    @property
    def stretch(self) -> float:
        """What makes of row weights such whose sum is 1, in `basis`."""
        return math.sqrt(self.equations.total / self.equations.factor)

    @cached_property
    def stretched(self) -> Float64s:
        """`basis` for row weights whose sum is 1."""
        return self.basis * self.stretch

    def _in_own_units(self, variances: Float64s, factor: float = 1.0) -> Float64s:
        """Roots of scaled variances of [bias, value at the centre, weights], (d+2,), times a factor."""
        sd = np.empty(variances.size)
        standard_errors(variances, factor, self.equations.exponents, sd)
        return sd


def _joint(centre: float, reach: Float64s, along: Float64s) -> Float64s:
    """What the coordinates of [the centre, a basis] are in [bias, value at the centre, weights], (d+2, k+1).

    Args:
        centre: variance of the value at the centre.
        reach: (k,), the features' mean by the basis.
        along: (d, k), weights by the basis.
    """
    joint = np.zeros((along.shape[0] + 2, reach.size + 1))
    joint[:2, 0] = math.sqrt(centre)
    np.negative(reach, out=joint[0, 1:])
    joint[2:, 1:] = along
    return joint


def root(matrix: Float64s) -> Float64s:
    """An L (m, k) with L·Lᵀ = matrix, which is positive semi-definite; k is its rank, as far as rounding tells it."""
    from scipy.linalg.lapack import dpstrf

    if not np.isfinite(matrix).all():
        return np.full_like(matrix, np.nan)
    size = np.sqrt(np.maximum(matrix.diagonal(), 0.0))
    unit = np.where(size > 0, size, 1.0)
    factor, order, rank, _ = dpstrf(matrix / unit[:, None] / unit, lower=1)
    L = np.zeros((len(matrix), rank))
    L[order - 1] = np.tril(factor)[:, :rank]
    return L * unit[:, None]


def by_lanczos(multiply: Callable[[Float64s], Float64s], size: int) -> float:
    """Largest eigenvalue of the symmetric matrix with which `multiply` multiplies a vector, to two digits."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=lambda x: multiply(x.ravel()), dtype=np.float64)
    start = np.cos(np.arange(size, dtype=np.float64))
    return float(eigsh(operator, k=1, ncv=8, which="LA", tol=1e-2, v0=start, return_eigenvectors=False)[0])


def ldexp(x: float, e: int) -> float:
    """x · 2^e, infinite where that is too large."""
    try:
        return math.ldexp(x, e)
    except OverflowError:
        return math.copysign(math.inf, x)
