"""Double-double arithmetic, and a Cholesky factorisation in it, compiled.

A number is an unevaluated sum hi + lo of two float64, about 106 bits (Dekker 1971, Numerische Mathematik 18, 224-242).
Nothing here may be compiled with fastmath: the error terms that this arithmetic lives on are zero in real arithmetic,
and would be optimised away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from linnet.block import Float64s
from linnet.compiling import compiled

Doubled = tuple[Float64s, Float64s]
"""Double-double numbers: an unevaluated sum hi + lo of two arrays of one shape."""


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:  # noqa: ARG001 - Numba dictates them
    """a·b + c, rounded once."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:  # noqa: ARG001 - likewise
        return builder.fma(*args)

    return types.float64(types.float64, types.float64, types.float64), codegen


@compiled
def two_sum(a: float, b: float) -> tuple[float, float]:
    """a + b as rounded sum and its error (Knuth)."""
    s = a + b
    z = s - a
    return s, (a - (s - z)) + (b - z)


@compiled
def add(ah: float, al: float, bh: float, bl: float) -> tuple[float, float]:
    """Sum of two double-doubles, relative error below 3·2^-106 (Joldes, Muller and Popescu 2017, algorithm 6)."""
    sh, sl = two_sum(ah, bh)
    th, tl = two_sum(al, bl)
    c = sl + th
    vh = sh + c
    vl = c - (vh - sh)
    w = tl + vl
    h = vh + w
    return h, w - (h - vh)


@compiled
def mul(ah: float, al: float, bh: float, bl: float) -> tuple[float, float]:
    """Product of two double-doubles, relative error below 5·2^-106 (the same, algorithm 12)."""
    p = ah * bh
    e = fma(ah, bh, -p)
    e += fma(ah, bl, al * bh)
    h = p + e
    return h, e - (h - p)


@compiled
def div(ah: float, al: float, bh: float, bl: float) -> tuple[float, float]:
    """Quotient of two double-doubles: three steps of long division."""
    q1 = ah / bh
    ph, pl = mul(bh, bl, q1, 0.0)
    rh, rl = add(ah, al, -ph, -pl)
    q2 = rh / bh
    ph, pl = mul(bh, bl, q2, 0.0)
    rh, rl = add(rh, rl, -ph, -pl)
    q3 = rh / bh
    h, e = two_sum(q1, q2)
    return add(h, e, q3, 0.0)


@compiled
def sqrt(ah: float, al: float) -> tuple[float, float]:
    """Square root of a positive double-double: one Newton step from the float64 root."""
    s = np.sqrt(ah)
    ph, pl = mul(s, 0.0, s, 0.0)
    rh, _ = add(ah, al, -ph, -pl)
    return two_sum(s, rh / (2.0 * s))


@compiled
def _eliminate(hi: Any, lo: Any, row: int, target: int) -> None:
    """hi+lo[target, target:] -= U[row, target] · U[row, target:]."""
    fh, fl = hi[row, target], lo[row, target]
    if fh == 0.0:
        return
    for j in range(target, hi.shape[1]):
        ph, pl = mul(fh, fl, hi[row, j], lo[row, j])
        hi[target, j], lo[target, j] = add(hi[target, j], lo[target, j], -ph, -pl)


@compiled
def _exchange(hi: Any, lo: Any, order: Any, i: int, j: int) -> None:
    """Exchange columns i <= j of a matrix of which `cholesky` has worked out the rows before i."""
    if i == j:
        return
    order[i], order[j] = order[j], order[i]
    for part in (hi, lo):
        for m in range(i):
            part[m, i], part[m, j] = part[m, j], part[m, i]
        for m in range(i + 1, j):
            part[i, m], part[m, j] = part[m, j], part[i, m]
        for m in range(j + 1, part.shape[1]):
            part[i, m], part[j, m] = part[j, m], part[i, m]
        part[i, i], part[j, j] = part[j, j], part[i, i]


@compiled
def cholesky(hi: Any, lo: Any, noise: Any, floor: float, order: Any, share: float) -> int:
    """Factor a positive semi-definite matrix A = UᵀU in place, in double-double, as far as columns are independent.

    Only the first d columns are factored, d being the length of `order`; what stands in the rest is then their Schur
    complement: for normal equations bordered by the target, the residual sum of squares.

    A column depends on those before it when what is left of its diagonal is no more than rounding of the data could
    have put there: noise_j + Σ_i T_ij²·noise_i, where T_ij are the coefficients by which the columns before it
    reproduce it, or no more than `floor` times its diagonal.

    With a `share` of 0 columns are taken in their order, up to the first that depends on those before it. Where some
    do, that order may keep two that are nearly alike and leave out what their difference is made of, with coefficients
    as large as that is small. Therefore, with a `share` above 0, columns that depend on others are moved behind these,
    and the next is the first of which at least that share is left, relative to the one of which most is left. What
    is left of a diagonal bounds its row of U, so that no coefficient in U_ij / U_ii exceeds 1/√share in units of the
    columns' roots of diagonals (complete pivoting; Higham 2002, "Accuracy and Stability of Numerical Algorithms",
    section 10.3). At most d - 1 are kept then, for it is known that not all are independent.

    Args:
        hi: (p, p), upper triangle of A on entry; of U on return, in the rows of the columns kept.
        lo: (p, p), likewise.
        noise: (d,), what rounding of the data adds to each diagonal.
        floor: relative error of the diagonal, from rounding in A itself.
        order: (d,) int64, 0 to d-1 on entry; which column of A each column of U is on return.
        share: see above.

    Returns:
        r: the first r in `order` were kept.
    """
    p = hi.shape[0]
    d = order.shape[0]
    reach = np.zeros(d)
    diagonal = np.empty(d)
    for j in range(d):
        diagonal[j] = hi[j, j]
    k, end = 0, d
    while k < end and (k < d - 1 or share == 0.0):
        if share > 0.0:
            most = 0.0
            for j in range(k, end):
                most = max(most, hi[j, j] / diagonal[order[j]] if diagonal[order[j]] > 0.0 else 0.0)
            first = -1
            for j in range(k, end):
                enough = hi[j, j] >= share * most * diagonal[order[j]]
                if enough and (first < 0 or order[j] < order[first]):
                    first = j
            _exchange(hi, lo, order, k, max(first, k))
        own = order[k]
        pivot = hi[k, k]
        limit = max(noise[own], floor * diagonal[own])
        if pivot > limit and pivot < 1e-4 * diagonal[own]:
            # only a small pivot can be noise inherited from the columns before: solve U·T = U[:, k]
            for i in range(k - 1, -1, -1):
                t = hi[i, k]
                for m in range(i + 1, k):
                    t -= hi[i, m] * reach[m]
                reach[i] = t / hi[i, i]
                limit += reach[i] * reach[i] * noise[order[i]]
        if not pivot > limit:
            if share == 0.0:
                return k
            end -= 1
            _exchange(hi, lo, order, k, end)
            continue
        rh, rl = sqrt(hi[k, k], lo[k, k])
        hi[k, k], lo[k, k] = rh, rl
        for j in range(k + 1, p):
            hi[k, j], lo[k, j] = div(hi[k, j], lo[k, j], rh, rl)
        for i in range(k + 1, p):
            _eliminate(hi, lo, k, i)
        k += 1
    return k


@compiled
def back_substitute(hi: Any, lo: Any, xh: Any, xl: Any) -> None:
    """Solve U·X = B in place, for upper triangular U (r, r) and B = xh + xl (r, k), in double-double."""
    r, k = xh.shape
    for i in range(r - 1, -1, -1):
        for m in range(i + 1, r):
            fh, fl = hi[i, m], lo[i, m]
            if fh != 0.0:
                for j in range(k):
                    ph, pl = mul(fh, fl, xh[m, j], xl[m, j])
                    xh[i, j], xl[i, j] = add(xh[i, j], xl[i, j], -ph, -pl)
        for j in range(k):
            xh[i, j], xl[i, j] = div(xh[i, j], xl[i, j], hi[i, i], lo[i, i])


@compiled
def multiply(ah: Any, al: Any, bh: Any, bl: Any, oh: Any, ol: Any) -> None:
    """Add A·B for A (r, k) and B (k, m), in double-double, to oh + ol (r, m)."""
    for i in range(ah.shape[0]):
        for k in range(ah.shape[1]):
            fh, fl = ah[i, k], al[i, k]
            for j in range(bh.shape[1]):
                ph, pl = mul(fh, fl, bh[k, j], bl[k, j])
                oh[i, j], ol[i, j] = add(oh[i, j], ol[i, j], ph, pl)


@compiled
def divide(ah: Any, al: Any, bh: float, bl: float, oh: Any, ol: Any) -> None:
    """a / b for a (k,), in double-double, into oh + ol (k,)."""
    for i in range(ah.shape[0]):
        oh[i], ol[i] = div(ah[i], al[i], bh, bl)


@compiled
def add_diagonal(hi: Any, lo: Any, extra: Any) -> None:
    """Add `extra` (k,) to the first k diagonal entries of hi + lo."""
    for i in range(extra.shape[0]):
        hi[i, i], lo[i, i] = add(hi[i, i], lo[i, i], extra[i], 0.0)


def part(A: Doubled, rows: slice, columns: slice | NDArray[np.int64]) -> Doubled:
    """Some rows and columns, contiguous."""
    return np.ascontiguousarray(A[0][rows, columns]), np.ascontiguousarray(A[1][rows, columns])


def product(A: Doubled, B: Doubled, onto: Doubled | None = None) -> Doubled:
    """A·B for two matrices, in double-double; added to `onto` where that is given."""
    zeros = np.zeros((len(A[0]), B[0].shape[1]))
    hi, lo = (zeros, zeros) if onto is None else onto
    out = hi.copy(), lo.copy()
    multiply(*map(np.ascontiguousarray, A), *map(np.ascontiguousarray, B), *out)
    return out


def quotient(a: Doubled, b: Doubled) -> Doubled:
    """a / b for a of shape (k,) and b of shape (1,), in double-double."""
    out = np.empty(a[0].size), np.empty(a[0].size)
    divide(*a, float(b[0][0]), float(b[1][0]), *out)
    return out
