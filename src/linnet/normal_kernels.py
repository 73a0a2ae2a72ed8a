"""Kernels of the normal equations: each does at once what would be a dozen calls of NumPy, compiled.

For a few columns such calls take ten times as long as their arithmetic; for many, each is a trip through memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from linnet.compiling import compiled
from linnet.kernels import mirror, summing

_TINY = float(np.finfo(np.float64).tiny)


@compiled
def _about(gram: Any, shift: Any, intercept: bool, i: int, j: int) -> float:
    """Entry ij of the products of columns taken about their means, or about 0."""
    s, r = gram[0, i + 1], gram[0, j + 1]
    if intercept:
        return float(gram[i + 1, j + 1] - s * (r / gram[0, 0]))
    return float(gram[i + 1, j + 1] + shift[i] * r + s * shift[j] + gram[0, 0] * shift[i] * shift[j])


@compiled
def centre_and_scale(gram: Any, shift: Any, intercept: bool, matrix: Any, mean: Any, exponents: Any, raw: Any) -> float:
    """Centre the sums of products of p columns, and bring each to units of a power of two.

    Args:
        gram: (p+1, p+1), sums of w·z·zᵀ over z = [1, columns - shift].
        shift: (p,).
        intercept: whether columns are taken about their means, or about 0.
        matrix: (p, p), becomes Σ w·zzᵀ over the z = columns so taken, entry ij in units of 2^(k_i + k_j), which leaves
            diagonal entries in [1/4, 1), or 0.
        mean: (2, p), becomes their means in units of 2^k, rounded, and what rounding left; 0 when taken about 0.
        exponents: (p,) int64, becomes k.
        raw: (p,), becomes Σ w·z² about 0, in the units of `matrix`.

    Returns:
        By how many times at most centring made a diagonal entry smaller than what it was the difference of.
    """
    p = shift.size
    total = gram[0, 0]
    scale = np.empty(p)
    cancelled = 1.0
    for j in range(p):
        off = gram[0, j + 1] / total
        own = _about(gram, shift, intercept, j, j)
        k = 0
        if own > 0.0:
            _, e = math.frexp(own)
            k = (e + 1) // 2  # half of it, since the unit is taken out of row and column
            cancelled = max(cancelled, max(gram[j + 1, j + 1], total * off * off) / own)
        unit = math.ldexp(1.0, -k)
        far = shift[j] + off
        added = far - shift[j]
        left = (shift[j] - (far - added)) + (off - added)
        exponents[j], scale[j] = k, unit
        mean[0, j], mean[1, j] = (far * unit, left * unit) if intercept else (0.0, 0.0)
        raw[j] = max(own, 0.0) * unit * unit + total * mean[0, j] * mean[0, j]
    for i in range(p):
        for j in range(i, p):
            matrix[i, j] = _about(gram, shift, intercept, i, j) * scale[i] * scale[j]
    mirror(matrix)
    return cancelled


@summing
def eliminate(matrix: Any, ridge: Any, floor: float, beta: Any, inverse: Any) -> float:
    """Solve (C + ridge)·beta = c by a Cholesky factorisation C + ridge = UᵀU, in row-major order throughout.

    Args:
        matrix: (d+1, d+1), symmetric: C, and c and the sum of squares t of the target as its last column.
        ridge: (d,), added to the diagonal.
        floor: share of a diagonal entry that rounding may leave of it where nothing should be left.
        beta: (d,), becomes the solution.
        inverse: (d, d) zeros, whose upper triangle becomes U⁻¹.

    Returns:
        t - 2·cᵀbeta + betaᵀ·C·beta, what the solution leaves of t; NaN when a pivot was below the floor, so that
        nothing else is of use.
    """
    d = beta.size
    U = matrix.copy()
    for i in range(d):
        pivot = U[i, i] + ridge[i]
        # not merely `<=`, which is false for NaN
        if not pivot > floor * (matrix[i, i] + ridge[i]):
            return np.nan
        root = np.sqrt(pivot)
        U[i, i] = root
        row = U[i]
        for j in range(i + 1, d + 1):
            row[j] /= root
        for k in range(i + 1, d + 1):
            below, share = U[k], row[k]
            for j in range(k, d + 1):
                below[j] -= share * row[j]
    left = U[d, d]
    for i in range(d - 1, -1, -1):
        row, own = U[i], inverse[i]
        rest = row[d]
        for j in range(i + 1, d):
            rest -= row[j] * beta[j]
        beta[i] = rest / row[i]
        left -= ridge[i] * beta[i] * beta[i]
        own[i] = -1.0
        for k in range(i + 1, d):
            later, share = inverse[k], row[k]
            for j in range(k, d):
                own[j] += share * later[j]
        for j in range(i, d):
            own[j] /= -row[i]
    return float(left)


@summing
def spread(V: Any, mean: Any, centre: float, reach: Any, variances: Any) -> None:
    """The variances of [bias, value at the centre, weights] per unit of residual variance, where V·Vᵀ is the weights'.

    Args:
        V: (d, d), upper triangular, row-major.
        mean: (d,) or more numbers, of which d are looked at.
        centre: the variance of the value at the centre.
        reach: (d,) zeros, becomes Vᵀ·mean.
        variances: (d+2,), becomes what the first line says.
    """
    d = reach.size
    total = 0.0
    for i in range(d):
        row, m = V[i], mean[i]
        own = 0.0
        for j in range(i, d):
            reach[j] += row[j] * m
            own += row[j] * row[j]
        variances[i + 2] = own
    for j in range(d):
        total += reach[j] * reach[j]
    variances[0], variances[1] = centre + total, centre


@compiled
def in_own_units(beta: Any, mean: Any, matrix: Any, share: float, exponents: Any, weights: Any, columns: Any) -> int:
    """Weights, means and standard deviations of columns in the data's units.

    Args:
        beta: (d,), weights of columns in units of 2^exponents.
        mean: (d+1,), their means in these units, the target's last.
        matrix: (d+1, d+1), with sums of squares about them on its diagonal, likewise,
        share: of which this makes means.
        exponents: (d+1,).
        weights: (d,), filled.
        columns: (2, d+1), filled with means and standard deviations.

    Returns:
        The first whose weight lies outside float64's range; -1 when none does.
    """
    lost = -1
    d = beta.size
    for j in range(d + 1):
        columns[0, j] = math.ldexp(mean[j], exponents[j])
        columns[1, j] = math.ldexp(np.sqrt(max(matrix[j, j], 0.0) * share), exponents[j])
    for j in range(d - 1, -1, -1):
        weights[j] = math.ldexp(beta[j], exponents[d] - exponents[j])
        size = abs(weights[j])
        if not size < np.inf or (size < _TINY and beta[j] != 0.0):
            lost = j
    return lost


@compiled
def standard_errors(variances: Any, factor: float, exponents: Any, sd: Any) -> None:
    """Roots of `variances` times `factor`, as `sd` in the data's units, all (d+2,): bias, value at the centre, weights.

    Columns are in units of 2^exponents (d+1,), the target's last.
    """
    d = exponents.size - 1
    for i in range(d + 2):
        power = exponents[d] - (exponents[i - 2] if i >= 2 else 0)
        sd[i] = math.ldexp(np.sqrt(max(variances[i], 0.0)) * factor, power)


@summing
def extremes(matrix: Any, V: Any, ridge: bool) -> tuple[float, float]:
    """Largest eigenvalue of the correlation matrix of d columns and of its inverse, infinite where that has none.

    The latter keeps its digits where the smallest eigenvalue of the matrix itself would have lost them.

    Args:
        matrix: (d, d) or more, their products; the target's may follow.
        V: (d, d), upper triangular, row-major, with V·Vᵀ the inverse of the features' products.
        ridge: whether V·Vᵀ is the inverse of something else, so that `matrix` has to tell both.
    """
    d = V.shape[0]
    R = np.zeros((d, d))  # only the lower triangles, which is where LAPACK looks
    inverse = np.zeros((d, d))
    for i in range(d):
        if not matrix[i, i] > 0.0:
            return np.inf, np.inf
        sd, row = np.sqrt(matrix[i, i]), V[i]
        for j in range(i + 1):
            scale = np.sqrt(matrix[j, j])
            R[i, j] = matrix[i, j] / (sd * scale)
            if not ridge:
                other, product = V[j], 0.0
                for k in range(i, d):
                    product += row[k] * other[k]
                inverse[i, j] = sd * scale * product
    if d == 2 and not ridge:  # what LAPACK takes as long for as all the rest
        a, b, c = inverse[0, 0], inverse[1, 0], inverse[1, 1]
        return 1.0 + abs(R[1, 0]), (a + c) / 2.0 + math.hypot((a - c) / 2.0, b)
    values = np.linalg.eigvalsh(R)
    if ridge:
        return values[-1], 1.0 / values[0] if values[0] > 0.0 else np.inf
    return values[-1], np.linalg.eigvalsh(inverse)[-1]
