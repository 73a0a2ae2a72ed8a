"""Normal equations: from Moments to the weights, in float64 or in double-double arithmetic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, InputError
from linnet.double_double import Doubled, add_diagonal, back_substitute, cholesky, part, product
from linnet.normal_kernels import eliminate, in_own_units, spread
from linnet.solution import DENSE, Solution, by_lanczos, ldexp, root

Spread = tuple[Float64s, Float64s]
"""How far [features' mean, scaled weights] reach by independent coordinates, (k,) and (d, k)."""

ROUNDING = 2.0**-100
"""Square of 2^-50, eight times the relative rounding error of a float64 number: columns that differ by less than their
own rounding cannot be told apart."""
EXTREMES = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
"""What a dependency's coefficients are cut to where they leave float64's range."""
NEGLIGIBLE = 1e-9
"""Standardised coefficients of a dependency below this are rounding, not part of it."""
SHARE = 0.01
"""Where columns depend on others, relative to the one of which those before it leave most: the share that they must
leave of a column for it to keep its turn (see `cholesky`)."""
NOTHING = np.empty((0, 0))
"""What the kept columns reproduce where none was left out."""
NARROW = 48
"""Features up to which our own kernel outruns LAPACK, which takes long to look at its arguments."""


@dataclass(eq=False)  # making a frozen one takes long, and small fits consist of little else
class NormalEquations:
    """C·w = c for the centred cross products C of the features and c with the target, in units that cannot overflow.

    With z = [X, y] and k = `exponents`, Σ w·(z - mean)(z - mean)ᵀ has the entries
    matrix_ij · 2^(k_i + k_j) · factor, and each diagonal entry of `matrix` lies in [1/4, 1), or is 0.

    Attributes:
        n: rows with a weight above 0.
        total: sum of the row weights.
        intercept: whether z was centred; otherwise the mean is 0.
        matrix: (d+1, d+1), symmetric; the target is last.
        mean: (d+1,), in units of 2^k.
        exponents: (d+1,).
        factor: see above.
        raw: (d+1,), Σ w·z² in the units of `matrix`: what rounding of the data is relative to.
        floor: relative error that a pivot may have from rounding in `matrix` and in arithmetic.
        precision: the rung of Moments that these come from.
    """

    n: int
    total: float
    intercept: bool
    matrix: Doubled
    mean: Doubled
    exponents: NDArray[np.int64]
    factor: float
    raw: Float64s
    floor: float
    precision: str

    @property
    def features(self) -> int:
        """d."""
        return self.exponents.size - 1

    @cached_property
    def diagonal(self) -> Float64s:
        """Diagonal of `matrix`, (d+1,)."""
        return np.maximum(self.matrix[0].diagonal(), 0.0)

    def solve(self, l2: float = 0.0) -> Solution:
        """Minimise the squared-loss Objective.

        Raises:
            InputError: a weight lies outside float64's range.
        """
        eased, ridge = self._with_ridge(l2)
        if eased.precision == "float64":
            solution = _by_cholesky(eased, ridge)
            if solution is not None:
                return solution
        return _by_double_double(eased, ridge)

    def largest_eigenvalue(self, scale: Float64s, l2: float, about_zero: bool = False) -> float:
        """Of the mean of z·zᵀ for z = scale · [1, x], (d+1,), where x is centred or about 0; plus l2·scale² for x."""
        d = self.features
        unit = np.ldexp(scale[1:], self.exponents[:d])
        M = np.zeros((d + 1, d + 1))
        M[0, 0] = scale[0] ** 2
        M[1:, 1:] = self.matrix[0][:d, :d] * (self.factor / self.total) * unit[:, None] * unit
        if about_zero:
            centre = self.mean[0][:d] * unit
            M[1:, 1:] += np.outer(centre, centre)
            M[0, 1:] = M[1:, 0] = scale[0] * centre
        M.flat[d + 2 :: d + 2] += l2 * scale[1:] ** 2
        if d < DENSE:
            return float(np.linalg.eigvalsh(M)[-1])
        return by_lanczos(lambda x: M @ x, d + 1)

    def _with_ridge(self, l2: float) -> tuple[NormalEquations, Float64s]:
        """What l2 adds to the diagonal, (d,); units are changed where that would dwarf the matrix out of range."""
        d = self.features
        if not l2:
            return self, np.zeros(d)
        parts = [math.frexp(self.total), math.frexp(l2), math.frexp(1.0 / self.factor)]
        m, e = math.prod(part[0] for part in parts), sum(part[1] for part in parts)
        by = np.maximum(-(-(e - 2 * self.exponents[:d]) // 2), 0)
        ridge = np.ldexp(m, e - 2 * (self.exponents[:d] + by))
        if not by.any():
            return self, ridge
        by = np.r_[by, 0]
        down = np.ldexp(1.0, -by)
        outer = down[:, None] * down
        eased = replace(
            self,
            matrix=(self.matrix[0] * outer, self.matrix[1] * outer),
            mean=(self.mean[0] * down, self.mean[1] * down),
            exponents=self.exponents + by,
            raw=self.raw * down * down,
        )
        return eased, ridge


def _by_cholesky(equations: NormalEquations, ridge: Float64s) -> Solution | None:
    """Solve in float64; None when a pivot is small enough for rounding to have made it."""
    d, mean = equations.features, equations.mean[0]
    beta, V, (order, every) = np.empty(d), np.zeros((d, d)), _whole(d)
    solve = eliminate if d <= NARROW else _by_lapack
    residual = float(solve(equations.matrix[0], ridge, equations.floor, beta, V))
    if math.isnan(residual):
        return None
    shrunk: Spread | None = None
    if np.count_nonzero(ridge):
        along = V @ (V.T @ root(equations.matrix[0][:d, :d]))
        shrunk = mean[:d] @ along, along
    return _solution(
        equations,
        ridge,
        beta,
        float(mean[d] - mean[:d] @ beta),
        (order, V, NOTHING),
        None,
        shrunk,
        max(residual, 0.0),
        every,
    )


@lru_cache(maxsize=8)  # many small fits mostly have as many columns
def _whole(d: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The numbers of d columns, and that each of them is so; nobody can write into either."""
    order, every = np.arange(d), np.ones(d, np.bool_)
    order.setflags(write=False)
    every.setflags(write=False)
    return order, every


def _by_lapack(matrix: Float64s, ridge: Float64s, floor: float, beta: Float64s, inverse: Float64s) -> float:
    """What `eliminate` does, for many features."""
    from scipy.linalg.lapack import dpotrf, dpotrs, dtrtri

    d = beta.size
    inverse[:] = matrix[:d, :d]
    inverse.flat[:: d + 1] += ridge
    before = inverse.diagonal().copy()
    # in place; LAPACK counts by columns, and to it the upper factor, row by row, is the lower one
    L, info = dpotrf(inverse.T, lower=1, clean=1, overwrite_a=1)
    if info or not (L.diagonal() ** 2 > floor * before).all():
        return math.nan
    beta[:], _ = dpotrs(L, matrix[:d, d], lower=1)
    dtrtri(L, lower=1, overwrite_c=1)
    return float(matrix[d, d] - matrix[d, :d] @ beta - ridge @ beta**2)


def _by_double_double(equations: NormalEquations, ridge: Float64s) -> Solution:
    """Solve in double-double, leaving out columns that depend on others."""
    d, matrix, mean, floor = equations.features, equations.matrix, equations.mean, equations.floor
    noise = np.maximum(ROUNDING * equations.raw, floor * equations.diagonal)[:d]
    half: Doubled | None = None
    if ridge.any():
        matrix, half = _without_rounding(equations, noise)
        add_diagonal(*matrix, ridge)
    U, order, rank = _factor(matrix, noise, floor)
    kept = order[:rank]
    residual = U[0][d, d]
    X = part(U, slice(rank), np.r_[d, rank:d])
    U = part(U, slice(rank), slice(rank))
    back_substitute(*U, *X)
    beta, T = part(X, slice(None), slice(1)), part(X, slice(None), slice(1, None))
    residual -= float(ridge[kept] @ beta[0][:, 0] ** 2)
    if residual <= floor * equations.diagonal[d]:
        residual = 0.0
    V = np.eye(rank), np.zeros((rank, rank))
    back_substitute(*U, *V)
    found = [beta, V]
    if half is not None:
        # a factor of the covariance of ridge weights per unit of residual variance, A·C·A with A = V·Vᵀ: with C = GᵀG
        # it is A·Gᵀ, where nothing is subtracted, so that neither a C that is nearly singular nor one that is small
        # beside the ridge costs digits
        hi, lo = product(part(half, slice(None), kept), V)
        found.append(product(V, (hi.T, lo.T)))
    together, identified = NOTHING, np.ones(d, np.bool_)
    dependencies: tuple[tuple[int, Float64s, float], ...] = ()
    if rank < d:
        found = _least(equations, order, T, found)
        identified, dependencies = _dependencies(equations, order, T[0])
        together = np.zeros((rank, d))
        together[:, kept], together[:, order[rank:]] = np.eye(rank), T[0]
    confounded = any(constant and own.any() for _, own, constant in dependencies)
    m = mean[0][None, :d], mean[1][None, :d]
    bias = product(m, found[0], (-mean[0][None, d:], -mean[1][None, d:]))
    levers, *shrunk = ((product(m, own)[0][0], own[0]) for own in found[1:])
    return _solution(
        equations,
        ridge,
        found[0][0][:, 0].copy(),
        -float(bias[0][0, 0]),
        (kept, V[0], together),
        levers,
        shrunk[0] if shrunk else None,
        residual,
        identified,
        dependencies,
        not equations.intercept or not confounded,
    )


def _factor(matrix: Doubled, noise: Float64s, floor: float) -> tuple[Doubled, NDArray[np.int64], int]:
    """The Cholesky factor of the features, bordered by the target, the order of columns in it, and how many it keeps.

    Where all are kept they keep their order.
    """
    for share in (0.0, SHARE):
        hi, lo, order = np.triu(matrix[0]), np.triu(matrix[1]), np.arange(noise.size)
        rank = int(cholesky(hi, lo, noise, floor, order, share))
        if rank == noise.size:
            break
    return (hi, lo), order, rank


def _without_rounding(equations: NormalEquations, noise: Float64s) -> tuple[Doubled, Doubled]:
    """The matrix as it were if columns that others reproduce but for rounding were reproduced exactly; and its factor.

    A ridge far smaller than that rounding's share of the weights would otherwise bring them to life: the weights
    would follow differences that nobody means, of a size that the sums are too coarse to tell.

    Returns:
        The matrix (d+1, d+1), and a G (r, d) for which GᵀG is that of the features.
    """
    d = equations.features
    U, order, rank = _factor(equations.matrix, noise, equations.floor)
    constant = rank + np.flatnonzero(~_varies(equations)[order[rank:]])
    hi, lo = equations.matrix[0].copy(), equations.matrix[1].copy()
    G = np.zeros((rank, d + 1)), np.zeros((rank, d + 1))
    for own, factor in zip(G, U, strict=True):
        own[:, np.r_[order, d]] = factor[:rank]
        own[:, order[constant]] = 0.0
    left_out = order[rank:]
    products = product((G[0][:, left_out].T, G[1][:, left_out].T), G)
    hi[left_out], lo[left_out] = products
    hi[:, left_out], lo[:, left_out] = products[0].T, products[1].T
    return (hi, lo), (G[0][:, :d], G[1][:, :d])


def _least(equations: NormalEquations, order: NDArray[np.int64], T: Doubled, alone: Sequence[Doubled]) -> list[Doubled]:
    """The smallest standardised weights among all that predict the same.

    Weights of the left-out columns may be anything, if T times them is taken from those of the kept ones: done in
    double-double, predictions keep their digits however large the weights are.

    Args:
        equations: what is solved.
        order: (d,), the r kept columns and then the others.
        T: (r, d-r), scaled coefficients by which the kept columns reproduce the others.
        alone: each (r, k), scaled weights of the kept columns when the others are left out.

    Returns:
        Each as (d, k).
    """
    r, left_out = len(T[0]), order[len(T[0]) :]
    sd, varies = np.sqrt(equations.diagonal[:-1]), _varies(equations)[left_out]
    # such weights differ from [alone; 0] along [-T; 1]: take out its part in that space. By QR, for TᵀT has the square
    # of T's condition
    Q, R = np.linalg.qr(np.vstack([_standardised(equations, order, T[0]), np.eye(left_out.size)]))
    gain = np.linalg.solve(R, Q[:r].T) * sd[order[:r]]
    gain = np.divide(gain, sd[left_out, None], out=np.zeros_like(gain), where=varies[:, None])
    found = []
    for own in alone:
        moved = gain @ own[0]
        full = np.zeros((order.size, moved.shape[1])), np.zeros((order.size, moved.shape[1]))
        full[0][left_out] = moved
        full[0][order[:r]], full[1][order[:r]] = product((-T[0], -T[1]), (moved, np.zeros_like(moved)), own)
        found.append(full)
    return found


def _standardised(equations: NormalEquations, order: NDArray[np.int64], T: Float64s) -> Float64s:
    """The coefficients T of `_least` for standardised columns; 0 for columns that do not vary."""
    kept, left_out = order[: len(T)], order[len(T) :]
    sd, varies = np.sqrt(equations.diagonal[:-1]), _varies(equations)[left_out]
    return np.divide(T * sd[kept, None], sd[left_out], out=np.zeros_like(T), where=varies)


def _varies(equations: NormalEquations) -> NDArray[np.bool_]:
    """Which features vary by more than the rounding of their size, (d,)."""
    return np.asarray(equations.diagonal[:-1] > ROUNDING * equations.raw[:-1])


def _dependencies(
    equations: NormalEquations, order: NDArray[np.int64], T: Float64s
) -> tuple[NDArray[np.bool_], tuple[tuple[int, Float64s, float], ...]]:
    """Which weights can be told from the others, and the Solution's dependencies; `order` and `T` as `_least` has."""
    d, kept, left_out = order.size, order[: len(T)], order[len(T) :]
    sd, mean = np.sqrt(equations.diagonal[:d]), equations.mean[0]
    takes_part = np.abs(_standardised(equations, order, T)) >= NEGLIGIBLE
    identified = np.zeros(d, np.bool_)
    identified[kept] = ~takes_part.any(axis=1)
    dependencies = []
    spread_of_mean = math.sqrt(equations.factor / equations.total)  # `mean` is not in the units of `matrix`
    for at in np.argsort(left_out):
        column, there = left_out[at], takes_part[:, at]
        coefficients = np.zeros(d)
        coefficients[kept[there]] = T[there, at]
        constant = mean[column] - coefficients @ mean[:d]
        if abs(constant) < NEGLIGIBLE * (
            abs(mean[column]) + np.abs(coefficients) @ np.abs(mean[:d]) + spread_of_mean * sd[column]
        ):
            constant = 0.0
        k = int(equations.exponents[column])
        with np.errstate(over="ignore", under="ignore"):
            own = np.ldexp(coefficients, k - equations.exponents[:d])
        own = np.where(coefficients != 0, np.sign(coefficients) * np.clip(np.abs(own), *EXTREMES), 0.0)
        dependencies.append((int(column), own, ldexp(float(constant), k)))
    return identified, tuple(dependencies)


def _solution(
    equations: NormalEquations,
    ridge: Float64s,
    beta: Float64s,
    bias: float,
    kept: tuple[NDArray[np.intp], Float64s, Float64s],
    levers: Spread | None,
    shrunk: Spread | None,
    residual: float,
    identified: NDArray[np.bool_],
    dependencies: tuple[tuple[int, Float64s, float], ...] = (),
    bias_identified: bool = True,
) -> Solution:
    """Bring what was solved into the data's units.

    `kept` are the Solution's kept, basis and reproduce; `levers` what it calls so, None where those of the basis itself
    are still to be worked out; `shrunk` stands for them in the covariance of ridge weights.
    """
    d, basis, k = equations.features, kept[1], equations.exponents
    weights, columns, share = np.empty(d), np.empty((2, d + 1)), equations.factor / equations.total
    j = in_own_units(beta, equations.mean[0], equations.matrix[0], share, k, weights, columns)
    if j >= 0:
        size = math.log10(abs(beta[j])) + float(k[d] - k[j]) * math.log10(2.0) if beta[j] else 0.0
        raise InputError(
            f"The weight of feature number {j + 1} is about 1e{size:+.0f}, outside float64's range: "
            "rescale that feature or the target."
        )
    # the value at the centre is as certain as a mean; the bias adds what the weights contribute on the way to 0
    if not equations.intercept:
        bias = share = 0.0  # the mean is 0, and with it what the weights contribute
    variances, known = np.empty(d + 2), shrunk or levers
    if levers is None:
        levers = np.zeros(d), basis
        spread(basis, equations.mean[0], share, levers[0], variances)
    if known is not None:
        variances[:2] = share + known[0] @ known[0], share
        variances[2:] = np.einsum("ij,ij->i", known[1], known[1])
    columns.setflags(write=False)
    return Solution(
        equations=equations,
        ridge=ridge,
        weights=weights,
        bias=ldexp(float(bias), int(k[d])),
        centre=columns[0],
        scale=columns[1],
        bias_identified=bias_identified,
        identified=identified,
        dependencies=dependencies,
        scaled_weights=beta,
        kept=kept[0],
        basis=basis,
        reproduce=kept[2],
        levers=levers,
        variances=variances,
        shrunk=shrunk,
        residual=float(residual),
    )
