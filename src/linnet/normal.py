"""Normal equations: from Moments to the weights, in float64 or in double-double arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, InputError
from linnet.double_double import add_diagonal, back_substitute, cholesky, divide, multiply
from linnet.normal_kernels import eliminate, in_own_units, spread
from linnet.solution import DENSE, Solution, by_lanczos, ldexp, root

Doubled = tuple[Float64s, Float64s]
"""Double-double numbers: an unevaluated sum hi + lo of two arrays of one shape."""
Spread = tuple[Float64s, Float64s]
"""How far [features' mean, scaled weights] reach by independent coordinates, (k,) and (d, k)."""

ROUNDING = 2.0**-100
"""Square of 2^-50, eight times the relative rounding error of a float64 number: columns that differ by less than their
own rounding cannot be told apart."""
EXTREMES = float(np.finfo(np.float64).tiny), float(np.finfo(np.float64).max)
"""What a dependency's coefficients are cut to where they leave float64's range."""
NEGLIGIBLE = 1e-9
"""Standardised coefficients of a dependency below this are rounding, not part of it."""
NOTHING = np.empty((0, 0))
"""What the kept columns reproduce where none was left out."""
NARROW = 48
"""Features up to which our own kernel outruns LAPACK, which takes long to look at its arguments."""


@dataclass(frozen=True, eq=False)
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
    beta, V = np.empty(d), np.zeros((d, d))
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
        (np.arange(d), V, NOTHING),
        None,
        shrunk,
        max(residual, 0.0),
        np.ones(d, np.bool_),
    )


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
    """Solve in double-double, leaving out columns that depend on those before them."""
    d = equations.features
    hi, lo = np.triu(equations.matrix[0]), np.triu(equations.matrix[1])
    add_diagonal(hi, lo, ridge)
    kept = np.zeros(d, np.bool_)
    noise = np.maximum(ROUNDING * equations.raw, equations.floor * equations.diagonal)[:d]
    cholesky(hi, lo, noise, equations.floor, kept)
    rows = np.flatnonzero(kept)
    square, right = np.ix_(rows, rows), np.ix_(rows, np.r_[d, np.flatnonzero(~kept)])
    U = np.ascontiguousarray(hi[square]), np.ascontiguousarray(lo[square])
    X = np.ascontiguousarray(hi[right]), np.ascontiguousarray(lo[right])
    back_substitute(*U, *X)
    beta, reproduce = (X[0][:, 0].copy(), X[1][:, 0].copy()), X[0][:, 1:]
    residual = hi[d, d] - float(ridge[rows] @ beta[0] ** 2)
    if residual <= equations.floor * equations.diagonal[d]:
        residual = 0.0
    V = np.eye(rows.size), np.zeros((rows.size, rows.size))
    back_substitute(*U, *V)
    if not kept.all():
        return _least(equations, ridge, kept, beta[0], V[0], reproduce, residual)
    mean = equations.mean
    m = mean[0][None, :d], mean[1][None, :d]
    bias = _multiply(
        (np.r_[beta[0], -1.0][None, :], np.r_[beta[1], 0.0][None, :]),
        (np.r_[m[0][0], mean[0][d]], np.r_[m[1][0], mean[1][d]]),
    )
    reach = _multiply(m, V)
    shrunk = _shrunk(equations, noise, V) if ridge.any() else None
    return _solution(
        equations,
        ridge,
        beta[0],
        -float(bias[0][0]),
        (rows, V[0], NOTHING),
        (reach[0][0], V[0]),
        None if shrunk is None else (_multiply(m, shrunk)[0][0], shrunk[0]),
        residual,
        kept,
    )


def _shrunk(equations: NormalEquations, noise: Float64s, V: Doubled) -> Doubled:
    """A factor F (d, k) of the covariance of ridge weights per unit of residual variance, A·C·A with A = V·Vᵀ.

    With C = GᵀG it is A·Gᵀ: nothing is subtracted, so that neither a C that is nearly singular nor one that is small
    beside the ridge costs digits.
    """
    d = equations.features
    hi, lo = np.triu(equations.matrix[0][:d, :d]), np.triu(equations.matrix[1][:d, :d])
    kept = np.zeros(d, np.bool_)
    cholesky(hi, lo, noise, equations.floor, kept)
    hi, lo = _multiply((hi[kept], lo[kept]), V)
    return _multiply(V, (hi.T, lo.T))


def _least(
    equations: NormalEquations,
    ridge: Float64s,
    kept: NDArray[np.bool_],
    beta: Float64s,
    basis: Float64s,
    reproduce: Float64s,
    residual: float,
) -> Solution:
    """The smallest standardised weights among all that fit equally well.

    `beta` (r,) holds the scaled weights of the kept columns when the others are left out, `basis` (r, r) the inverse of
    their Cholesky factor, `reproduce` (r, d-r) the scaled coefficients by which they reproduce the left-out ones.
    """
    d = equations.features
    among, left_out = np.flatnonzero(kept), np.flatnonzero(~kept)
    sd = np.sqrt(equations.diagonal[:d])
    varies = equations.diagonal[:d] > ROUNDING * equations.raw[:d]
    T = np.divide(reproduce * sd[among][:, None], sd[left_out], out=np.zeros_like(reproduce), where=varies[left_out])
    T[np.abs(T) < NEGLIGIBLE] = 0.0
    # weights that leave predictions alone lie along [-T; 1]: take out of [beta; 0] its part in that space
    gain = np.linalg.solve(np.eye(left_out.size) + T.T @ T, T.T)
    blend = np.zeros((d, among.size))
    blend[among] = np.eye(among.size) - T @ gain
    blend[left_out] = gain
    blend = np.divide(blend * sd[among], sd[:, None], out=np.zeros_like(blend), where=varies[:, None])
    full = blend @ beta
    along = blend @ basis
    mean = equations.mean[0]
    identified = np.zeros(d, np.bool_)
    identified[among] = ~T.any(axis=1)
    dependencies = []
    spread_of_mean = math.sqrt(equations.factor / equations.total)  # `mean` is not in the units of `matrix`
    for at, column in enumerate(left_out):
        coefficients = np.zeros(d)
        there = T[:, at] != 0
        coefficients[among[there]] = reproduce[there, at]
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
    together = np.zeros((among.size, d))
    together[:, among], together[:, left_out] = np.eye(among.size), reproduce
    confounded = any(constant and own.any() for _, own, constant in dependencies)
    return _solution(
        equations,
        ridge,
        full,
        float(mean[d] - mean[:d] @ full),
        (among, basis, together),
        (mean[:d] @ along, along),
        None,
        residual,
        identified,
        tuple(dependencies),
        equations.intercept and not confounded,
    )


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
    d, basis = equations.features, kept[1]
    weights = np.empty(d)
    j = in_own_units(beta, equations.exponents, weights)
    if j >= 0:
        power = float(equations.exponents[d] - equations.exponents[j])
        size = math.log10(abs(beta[j])) + power * math.log10(2.0) if beta[j] else 0.0
        raise InputError(
            f"The weight of feature number {j + 1} is about 1e{size:+.0f}, outside float64's range: "
            "rescale that feature or the target."
        )
    # the value at the centre is as certain as a mean; the bias adds what the weights contribute on the way to 0
    centre = equations.factor / equations.total
    if not equations.intercept:
        bias = centre = 0.0  # the mean is 0, and with it what the weights contribute
    variances, known = np.empty(d + 2), shrunk or levers
    if levers is None:
        levers = np.zeros(d), basis
        spread(basis, equations.mean[0], centre, levers[0], variances)
    if known is not None:
        reach, along = known
        variances[:2] = centre + reach @ reach, centre
        variances[2:] = np.einsum("ij,ij->i", along, along)
    return Solution(
        equations=equations,
        ridge=ridge,
        weights=weights,
        bias=ldexp(float(bias), int(equations.exponents[d])),
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


def _multiply(A: Doubled, B: Doubled, onto: Doubled | None = None) -> Doubled:
    """A·B for two matrices, or a matrix and a vector, in double-double; added to `onto` where that is given."""
    shape = (len(A[0]), *B[0].shape[1:])
    columns = 1 if B[0].ndim == 1 else B[0].shape[1]
    out = (np.zeros((len(A[0]), columns)),) * 2 if onto is None else onto
    out = out[0].copy(), out[1].copy()
    multiply(*map(np.ascontiguousarray, A), *(np.ascontiguousarray(b.reshape(len(b), columns)) for b in B), *out)
    return out[0].reshape(shape), out[1].reshape(shape)


def quotient(a: Doubled, b: Doubled) -> Doubled:
    """a / b for a of shape (k,) and b of shape (1,), in double-double."""
    out = np.empty(a[0].size), np.empty(a[0].size)
    divide(*a, float(b[0][0]), float(b[1][0]), *out)
    return out
