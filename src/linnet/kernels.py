"""Kernels: cutting numbers into digits and adding integer products of digits exactly, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from linnet.compiling import compiled
from linnet.double_double import add, fma, two_sum

DIGIT_BITS = 21
"""Bits of one digit. Digits are signed, |digit| <= 2^20, so that 2,048 products of sums of two digits add up to at
most 2^53: every partial sum in a float64 matrix product of digits is an exact integer."""

_BASE = 2.0**DIGIT_BITS
_HALF = 1 << (DIGIT_BITS - 1)
_LARGEST = float(np.finfo(np.float64).max)
_ROUND = 1.5 * 2.0**52  # adding and subtracting it rounds |t| < 2^51 to the nearest integer


@intrinsic
def _clear_lowest_bit(typingctx: Any, x: Any) -> Any:
    """x with the lowest set bit of its significand cleared; 0 when only the implicit bit is set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        i64 = ir.IntType(64)
        bits = builder.bitcast(args[0], i64)
        fraction = builder.and_(bits, ir.Constant(i64, (1 << 52) - 1))
        cleared = builder.and_(bits, builder.sub(bits, ir.Constant(i64, 1)))
        empty = builder.icmp_unsigned("==", fraction, ir.Constant(i64, 0))
        return builder.bitcast(builder.select(empty, ir.Constant(i64, 0), cleared), ir.DoubleType())

    return types.float64(types.float64), codegen


@compiled
def span(rows: Any, largest: Any, lowest: Any) -> None:
    """Widen, per column of `rows` (m, q), the largest magnitude and the lowest bit set, both as float64 (q,).

    The lowest bit of x is the largest power of two of which x is a multiple. Zeros have none. A NaN counts as infinite.
    """
    m, q = rows.shape
    for i in range(m):
        for j in range(q):
            x = abs(rows[i, j])
            low = x - _clear_lowest_bit(x)
            largest[j] = max(largest[j], x if x <= _LARGEST else np.inf)
            lowest[j] = min(lowest[j], low if x > 0.0 else lowest[j])


@compiled
def digits(rows: Any, scale1: Any, scale2: Any, count: Any, rest: Any, out: Any) -> None:
    """Cut `rows` (m, q) into signed digits `out` (K, m, q), digit 0 the lowest.

    Args:
        rows: float64; column j holds integers below 2^(21·count_j - 1) in magnitude, times a power of two.
        scale1: (q,) and
        scale2: (q,): powers of two whose product brings column j to units of its digit count_j - 1.
        count: (q,) digits of each column, at most K.
        rest: (q,) work space.
        out: float64.
    """
    m, q = rows.shape
    K = out.shape[0]
    for i in range(m):
        for j in range(q):
            rest[j] = rows[i, j] * scale1[j] * scale2[j]
        for k in range(K - 1, -1, -1):
            for j in range(q):
                here = k < count[j]
                t = rest[j] if here else 0.0
                d = (t + _ROUND) - _ROUND
                out[k, i, j] = d
                rest[j] = (t - d) * _BASE if here else rest[j]


@compiled
def product_digits(
    rows: Any, scale1: Any, scale2: Any, weight: Any, shift: Any, count: Any, rest: Any, out: Any
) -> None:
    """`digits` of weight (m,) times rows (m, q), each product held exactly as a double-double.

    `scale1 · scale2` (q,) bring the columns of `rows` to magnitudes of at most 1, as `weight` already is; `shift` (q,)
    then brings the products to units of digit count_j - 1. `rest` is (2, q) work space.
    """
    m, q = rows.shape
    K = out.shape[0]
    for i in range(m):
        w = weight[i]
        for j in range(q):
            x = rows[i, j] * scale1[j] * scale2[j]
            p = w * x
            rest[0, j] = p * shift[j]
            rest[1, j] = fma(w, x, -p) * shift[j]
        for k in range(K - 1, -1, -1):
            for j in range(q):
                here = k < count[j]
                t = rest[0, j] if here else 0.0
                d = (t + _ROUND) - _ROUND
                out[k, i, j] = d
                if here:
                    s, e = two_sum(t - d, rest[1, j])
                    rest[0, j], rest[1, j] = s * _BASE, e * _BASE


def summing(function: Any) -> Any:
    """Compile as `compiled` does, for sums of rounded products, which may be taken in any order."""
    return compiled(function, fastmath={"reassoc", "contract"})


@summing
def add_products(z: Any, total: Any) -> None:
    """Add the upper triangle of z·zᵀ, for z (q, m) with q a multiple of 4, to `total` (q, q).

    Sixteen sums at a time fill the vector registers, which BLAS's symmetric product does not for so few features.
    """
    q, m = z.shape
    for i in range(0, q, 4):
        a0, a1, a2, a3 = z[i], z[i + 1], z[i + 2], z[i + 3]
        for j in range(i, q, 4):
            b0, b1, b2, b3 = z[j], z[j + 1], z[j + 2], z[j + 3]
            s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = 0.0
            s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = 0.0
            for k in range(m):
                x0, x1, x2, x3 = a0[k], a1[k], a2[k], a3[k]
                y0, y1, y2, y3 = b0[k], b1[k], b2[k], b3[k]
                s00, s01, s02, s03 = s00 + x0 * y0, s01 + x0 * y1, s02 + x0 * y2, s03 + x0 * y3
                s10, s11, s12, s13 = s10 + x1 * y0, s11 + x1 * y1, s12 + x1 * y2, s13 + x1 * y3
                s20, s21, s22, s23 = s20 + x2 * y0, s21 + x2 * y1, s22 + x2 * y2, s23 + x2 * y3
                s30, s31, s32, s33 = s30 + x3 * y0, s31 + x3 * y1, s32 + x3 * y2, s33 + x3 * y3
            sums = (
                (s00, s01, s02, s03),
                (s10, s11, s12, s13),
                (s20, s21, s22, s23),
                (s30, s31, s32, s33),
            )
            for a in range(4):
                for b in range(4):
                    total[i + a, j + b] += sums[a][b]


@summing
def load(X: Any, unit: Any, start: int, m: int, out: Any) -> None:
    """Centred and scaled features of some rows of X (n, d), into `out` (d, m); `unit` (3, d): before, centre, after."""
    d = X.shape[1]
    if abs(X.strides[0]) <= abs(X.strides[1]):
        for j in range(d):
            before, centre, after, row = unit[0, j], unit[1, j], unit[2, j], out[j]
            for i in range(m):
                row[i] = (X[start + i, j] * before - centre) * after
    else:
        for i in range(m):
            for j in range(d):
                out[j, i] = (X[start + i, j] * unit[0, j] - unit[1, j]) * unit[2, j]


@compiled
def narrow_gram(X: Any, y: Any, weight: Any, shift: Any, z: Any, total: Any) -> None:
    """Add the upper triangle of Σ w·z·zᵀ over z = [1, [X, y] - shift] to `total` (q, q), in one call for many rows.

    Args:
        X: (d, n), each feature contiguous, float64 or float32.
        y: (n,), likewise.
        weight: (n,), or (0,) when all are 1.
        shift: (d+1,).
        z: (q, rows) zeros, as work space for so many rows at a time; q is a multiple of 4, at least d + 2.
        total: see above.
    """
    d, n = X.shape
    rows = z.shape[1]
    for start in range(0, n, rows):
        m = min(rows, n - start)
        for j in range(d + 2):
            s = shift[j - 1] if j > 0 else 0.0
            row = z[j]  # work space of one layout throughout is what lets the loops become vector instructions
            if j == 0:
                row[:m] = 1.0
            elif j <= d:
                x = X[j - 1]
                for i in range(m):
                    row[i] = x[start + i] - s
            else:
                for i in range(m):
                    row[i] = y[start + i] - s
            row[m:] = 0.0
        if weight.size:
            for i in range(m):
                root = np.sqrt(weight[start + i])
                for j in range(d + 2):
                    z[j, i] *= root
        add_products(z, total)


@summing
def short_gram(X: Any, y: Any, weight: Any, shift: Any, total: Any) -> None:
    """As `narrow_gram`, for a few rows of any layout, with all of `total` (d+2, d+2), and with `shift` found here.

    Args:
        X: (n, d).
        y: (n,).
        weight: (n,), or (0,) when all are 1.
        shift: (d+1,), becomes the mean of the rows; 0 without any.
        total: becomes the sums.
    """
    n, d = X.shape
    z = np.zeros((-(-(d + 2) // 4) * 4, n))  # one contiguous feature after the other, for vector instructions
    root = z[0]  # of the weights: what the column of ones becomes
    whole = 0.0
    for i in range(n):
        w = weight[i] if weight.size else 1.0
        root[i] = np.sqrt(w)
        whole += w
    for j in range(d + 1):
        row = z[j + 1]
        if j < d:
            for i in range(n):
                row[i] = X[i, j]
        else:
            for i in range(n):
                row[i] = y[i]
        mean = 0.0
        for i in range(n):
            mean += (weight[i] if weight.size else 1.0) * row[i]
        shift[j] = mean = mean / whole if whole > 0.0 else 0.0
        for i in range(n):
            row[i] = (row[i] - mean) * root[i]
    sums = np.zeros((z.shape[0], z.shape[0]))
    add_products(z, sums)
    for i in range(d + 2):
        for j in range(i, d + 2):
            total[i, j] = total[j, i] = sums[i, j]


@compiled
def mirror(matrix: Any) -> None:
    """Copy what is above the diagonal of `matrix` (q, q) below it, tile by tile so that both stay in the cache."""
    q = matrix.shape[0]
    for a in range(0, q, 32):
        for b in range(a, q, 32):
            for i in range(a, min(a + 32, q)):
                for j in range(max(b, i + 1), min(b + 32, q)):
                    matrix[j, i] = matrix[i, j]


@compiled
def deposit(total: Any, product: Any) -> None:
    """Add the integers of `product` (q, q) float64 to `total` (q, q) int64."""
    q = total.shape[0]
    for i in range(q):
        for j in range(q):
            total[i, j] += np.int64(product[i, j])


@compiled
def carry(limbs: Any) -> None:
    """Bring integers Σ_l limbs[l]·2^(21·l), (L, q, q), to their unique form: limbs in [-2^20, 2^20)."""
    L, q, _ = limbs.shape
    for l in range(L - 1):
        for i in range(q):
            for j in range(q):
                up = (limbs[l, i, j] + _HALF) >> DIGIT_BITS
                limbs[l, i, j] -= up << DIGIT_BITS
                limbs[l + 1, i, j] += up


@compiled
def realign(limbs: Any, by: Any, more: int, out: Any) -> None:
    """Multiply entry (i, j) of carried `limbs` (L, q, q) by 2^(by_i + by_j + more), into zeros `out`, carried."""
    L, q, _ = limbs.shape
    for i in range(q):
        for j in range(q):
            whole, part = divmod(by[i] + by[j] + more, DIGIT_BITS)
            for l in range(L):
                if limbs[l, i, j] != 0:
                    out[l + whole, i, j] += limbs[l, i, j] << part
    carry(out)


@compiled
def _top(value: Any) -> int:
    """Index of the highest limb that is not 0; -1 for the integer 0."""
    top = value.shape[0] - 1
    while top >= 0 and value[top] == 0:
        top -= 1
    return top


@compiled
def _scaled(value: Any, last: int, exponent: int) -> tuple[float, float]:
    """Limbs `last` and up of an integer, in units of limb `last`, times 2^exponent, as a double-double."""
    hi = 0.0
    lo = 0.0
    for l in range(_top(value), last - 1, -1):
        hi, lo = add(hi * _BASE, lo * _BASE, float(value[l]), 0.0)
    half = exponent // 2  # 2^exponent alone can lie outside float64's range
    return (
        math.ldexp(math.ldexp(hi, half), exponent - half),
        math.ldexp(math.ldexp(lo, half), exponent - half),
    )


@compiled
def _to_double_double(value: Any, exponent: int) -> tuple[float, float]:
    """The carried integer Σ_l value[l]·2^(21·l) times 2^exponent, as a double-double."""
    # seven limbs hold at least 126 significant bits, which is more than a double-double keeps
    last = max(_top(value) - 6, 0)
    return _scaled(value, last, exponent + DIGIT_BITS * last)


@compiled
def exponents_of(limbs: Any, out: Any) -> None:
    """For each diagonal entry v of carried `limbs` (L, p, p), the e with 2^(e-1) <= v < 2^e; -2^30 for 0."""
    for i in range(limbs.shape[1]):
        value = limbs[:, i, i]
        last = max(_top(value) - 6, 0)
        _, e = math.frexp(_scaled(value, last, 0)[0])
        out[i] = e + DIGIT_BITS * last if _top(value) >= 0 else -(1 << 30)


@compiled
def centred(limbs: Any, out: Any, work: Any) -> None:
    """W·G_ij - s_i·s_j exactly, for G = limbs[:, 1:, 1:], s = limbs[:, 0, 1:] and W = limbs[:, 0, 0], carried.

    Args:
        limbs: (L, q, q) carried sums of products of [1, X, y].
        out: (2·L + 2, q - 1, q - 1), overwritten; only its upper triangle.
        work: (2·L + 2,) int64 work space.
    """
    L, q, _ = limbs.shape
    used_w = _top(limbs[:, 0, 0]) + 1
    for i in range(1, q):
        used_i = _top(limbs[:, 0, i]) + 1
        for j in range(i, q):
            work[:] = 0
            for a in range(used_w):
                w = limbs[a, 0, 0]
                for b in range(L):
                    work[a + b] += w * limbs[b, i, j]
            for a in range(used_i):
                s = limbs[a, 0, i]
                for b in range(L):
                    work[a + b] -= s * limbs[b, 0, j]
            for l in range(work.shape[0] - 1):
                up = (work[l] + _HALF) >> DIGIT_BITS
                out[l, i - 1, j - 1] = work[l] - (up << DIGIT_BITS)
                work[l + 1] += up
            out[work.shape[0] - 1, i - 1, j - 1] = work[work.shape[0] - 1]


@compiled
def to_double_double(limbs: Any, exponents: Any, hi: Any, lo: Any) -> None:
    """Entry (i, j) of carried `limbs` (L, p, p; upper triangle) times 2^(exponents_i + exponents_j), as hi + lo."""
    p = limbs.shape[1]
    for i in range(p):
        for j in range(i, p):
            hi[i, j], lo[i, j] = _to_double_double(limbs[:, i, j], exponents[i] + exponents[j])
            hi[j, i], lo[j, i] = hi[i, j], lo[i, j]


@compiled
def vector_to_double_double(limbs: Any, exponents: Any, hi: Any, lo: Any) -> None:
    """Entry j of carried `limbs` (L, p) times 2^exponents_j, as hi + lo (p,)."""
    for j in range(limbs.shape[1]):
        hi[j], lo[j] = _to_double_double(limbs[:, j], exponents[j])
