"""Exact Moments: the same sums as integers, so that rows, blocks, threads and shards may come in any order.

Every number is an integer times a power of two. Each column gets one exponent, its integers are cut into signed
digits of 21 bits, and matrix products of digits add up to integers of at most 2^53, which float64 holds exactly
whatever order BLAS adds them in (the splitting of Ozaki, Ogita, Oishi and Rump 2012, Numerical Algorithms 59, 95-118,
here without its truncation). The sums are kept as whole integers in limbs of 21 bits. Nothing is rounded before the
equations are solved.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linnet.block import NO_ROWS, Block, Float64s, InputError
from linnet.double_double import quotient
from linnet.kernels import (
    DIGIT_BITS,
    carry,
    centred,
    deposit,
    digits,
    exponents_of,
    product_digits,
    realign,
    span,
    to_double_double,
    vector_to_double_double,
)
from linnet.moments import Moments, in_chunks
from linnet.normal import NormalEquations

Int64s = NDArray[np.int64]

PARALLEL = 200_000
"""Numbers in a block from which it is worth starting threads."""
WIDEST = 250
"""Bits that the numbers of a column may span within a chunk of rows."""
EXACT_FLOOR = 2.0**-98
"""Relative error that double-double arithmetic may leave on a pivot."""


@dataclass(frozen=True, eq=False)
class ExactMoments(Moments):
    """Moments as integers.

    Attributes:
        features: d.
        n: rows with a weight above 0.
        exponents: shape (d+2,), the power of two that is the unit of each column of [1, X, y].
        weight_exponent: the same for the weights.
        limbs: shape (L, d+2, d+2): entry (i, j) of the sums is Σ_l limbs[l]·2^(21·l), in units of
            2^(weight_exponent + exponents_i + exponents_j); carried, so that equal sums have equal limbs.
    """

    features: int
    n: int
    exponents: Int64s
    weight_exponent: int
    limbs: Int64s

    @classmethod
    def of(cls, block: Block, precision: str = "exact") -> ExactMoments:
        """Moments of a block.

        Raises:
            InputError: a number is not finite.
        """
        assert precision == "exact"
        parts = in_chunks(block, _chunk, PARALLEL) or [_chunk(block)]
        return sum(parts[1:], parts[0])

    def __add__(self, other: ExactMoments) -> ExactMoments:
        self._alike(other)
        return self._join(other, 1, self.n + other.n)

    def __sub__(self, other: ExactMoments) -> ExactMoments:
        self._alike(other)
        rest = self._join(other, -1, self._left(other))
        sums = rest.limbs.diagonal(axis1=1, axis2=2)[::-1]
        signs = np.take_along_axis(sums, (sums != 0).argmax(axis=0)[None], axis=0)  # of their highest limbs
        self._left(other, not (signs < 0).any())
        return rest

    def _join(self, other: ExactMoments, sign: int, n: int) -> ExactMoments:
        if not self.n and sign > 0:
            return other
        if not other.n:
            return self
        exponents = np.minimum(self.exponents, other.exponents)
        weight_exponent = min(self.weight_exponent, other.weight_exponent)
        a = self._in_units(exponents, weight_exponent)
        b = other._in_units(exponents, weight_exponent)
        limbs = np.zeros((max(len(a), len(b)) + 1, *a.shape[1:]), np.int64)
        limbs[: len(a)] += a
        limbs[: len(b)] += sign * b
        carry(limbs)
        return replace(
            self,
            n=n,
            exponents=exponents,
            weight_exponent=weight_exponent,
            limbs=_trimmed(limbs),
        )

    def _in_units(self, exponents: Int64s, weight_exponent: int) -> Int64s:
        """The limbs in finer units."""
        by = self.exponents - exponents
        of_weight = self.weight_exponent - weight_exponent
        if not by.any() and not of_weight:
            return self.limbs
        more = (2 * int(by.max()) + of_weight) // DIGIT_BITS + 2
        out = np.zeros((len(self.limbs) + more, *self.limbs.shape[1:]), np.int64)
        realign(self.limbs, by, of_weight, out)
        return out

    def normal(self, intercept: bool = True) -> NormalEquations:
        """The equations whose solution is the least-squares fit: centred exactly, rounded once to double-double."""
        if not self.n:
            raise InputError(NO_ROWS)
        L, q, _ = self.limbs.shape
        p = q - 1
        total = _double_double(self.limbs[:, :1, 0], np.zeros(1, np.int64))
        if not total[0][0] > 0:
            raise InputError("The rows that are left weigh nothing: subtract only Moments of rows that were added.")
        products = np.ascontiguousarray(self.limbs[:, 1:, 1:])
        if intercept:
            products = np.zeros((2 * L + 2, p, p), np.int64)
            centred(self.limbs, products, np.zeros(2 * L + 2, np.int64))
        top = np.empty(p, np.int64)
        exponents_of(products, top)
        # half of each diagonal entry's exponent, so that taking it out of row and column leaves [1/4, 1)
        half = np.where(top > -(1 << 29), -(-top // 2), 0)
        hi, lo = np.zeros((p, p)), np.zeros((p, p))
        to_double_double(products, -half, hi, lo)
        raw, _ = _double_double(self.limbs[:, range(1, q), range(1, q)], -2 * half)
        sums = _double_double(self.limbs[:, 0, 1:], -half)
        W = float(total[0][0])
        return NormalEquations(
            n=self.n,
            total=math.ldexp(W, self.weight_exponent),
            intercept=intercept,
            matrix=(hi, lo),
            mean=quotient(sums, total) if intercept else (np.zeros(p), np.zeros(p)),
            exponents=self.exponents[1:] + half,
            factor=math.ldexp(1.0 / W if intercept else 1.0, self.weight_exponent),
            raw=raw * W if intercept else raw,
            floor=EXACT_FLOOR,
            precision="exact",
        )


def _double_double(limbs: Int64s, exponents: Int64s) -> tuple[Float64s, Float64s]:
    """Carried limbs (L, p) times 2^exponents (p,)."""
    hi, lo = np.empty(exponents.size), np.empty(exponents.size)
    vector_to_double_double(np.ascontiguousarray(limbs), exponents, hi, lo)
    return hi, lo


def _trimmed(limbs: Int64s) -> Int64s:
    """Without the highest limbs that are 0 throughout."""
    L = len(limbs)
    while L > 1 and not limbs[L - 1].any():
        L -= 1
    return limbs[:L]


def _reach(rows: Float64s) -> tuple[Int64s, Int64s]:
    """For each column of rows (m, q): exponents e and t such that its numbers are integers times 2^e, below 2^t.

    Bits more than WIDEST below the largest number are left out: they could change no result, since columns are called
    dependent when they differ by less than 2^-50.

    Raises:
        InputError: a number is not finite.
    """
    largest, lowest = np.zeros(rows.shape[1]), np.full(rows.shape[1], np.inf)
    span(rows, largest, lowest)
    if not np.isfinite(largest).all():
        raise InputError("A number is missing (NaN) or infinite.")
    top = np.frexp(largest)[1].astype(np.int64)
    lowest[largest == 0.0] = 0.5
    bottom = np.frexp(lowest)[1].astype(np.int64) - 1
    top[largest == 0.0] = 0
    return np.maximum(bottom, top - WIDEST), top


def _powers(exponents: Int64s) -> tuple[Float64s, Float64s]:
    """2^exponents as two factors, since it can lie outside float64's range."""
    half = exponents // 2
    return np.ldexp(1.0, half), np.ldexp(1.0, exponents - half)


def _chunk(block: Block) -> ExactMoments:
    """Moments of a block small enough for one task."""
    assert block.y is not None
    weight = block.weight
    d = block.features
    rows = np.empty((block.rows, d + 2))
    rows[:, 0] = 1.0
    rows[:, 1:-1] = block.X
    rows[:, -1] = block.y
    if weight is not None and not weight.all():
        if not np.isfinite(rows).all():  # a row without weight is judged like any other
            raise InputError("A number is missing (NaN) or infinite.")
        rows, weight = rows[weight > 0], weight[weight > 0]
    if not len(rows):
        return ExactMoments(d, 0, np.zeros(d + 2, np.int64), 0, np.zeros((1, d + 2, d + 2), np.int64))
    bottom, top = _reach(rows)
    bits = top - bottom
    count = (bits + DIGIT_BITS) // DIGIT_BITS
    scales = _powers(-bottom - DIGIT_BITS * (count - 1))
    if weight is None:
        limbs, unit = _squares(rows, count, scales), 0
    else:
        (low,), (high,) = _reach(weight[:, None])
        of_products = (bits + (high - low) + DIGIT_BITS) // DIGIT_BITS
        shift = np.ldexp(1.0, bits + (high - low) - DIGIT_BITS * (of_products - 1))
        scaled = weight * np.prod(_powers(np.array([-high])), axis=0)
        unit = int(low)
        limbs = _products(
            rows,
            count,
            scales,
            lambda part, rest, out: product_digits(
                rows[part], *_powers(-top), scaled[part], shift, of_products, rest, out
            ),
            int(of_products.max()),
        )
    carry(limbs)
    return ExactMoments(d, len(rows), bottom, unit, _trimmed(limbs))


def _pieces(rows: int, q: int) -> list[slice]:
    """Runs of rows whose digits stay in the cache, at most the 2,048 that exactness allows."""
    size = 512 if q <= 256 else 2048
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]


def _squares(rows: Float64s, count: Int64s, scales: tuple[Float64s, Float64s]) -> Int64s:
    """Sums of products of all pairs of columns, as limbs not yet carried.

    For digits a < b, Sₐᵀ·S_b + S_bᵀ·Sₐ = (Sₐ + S_b)ᵀ(Sₐ + S_b) - SₐᵀSₐ - S_bᵀS_b: squares cost half of products.
    """
    m, q = rows.shape
    K = int(count.max())
    parts = _pieces(m, q)
    totals = np.zeros((K, K, q, q), np.int64)
    cut = np.empty((K, parts[0].stop, q))
    both, product, rest = np.empty((parts[0].stop, q)), np.empty((q, q)), np.empty(q)
    for part in parts:
        size = part.stop - part.start
        digits(rows[part], *scales, count, rest, cut[:, :size])
        for a in range(K):
            for b in range(a, K):
                s = cut[a, :size] if a == b else np.add(cut[a, :size], cut[b, :size], out=both[:size])
                np.matmul(s.T, s, out=product)
                deposit(totals[a, b], product)
    limbs = np.zeros((2 * K + 2, q, q), np.int64)
    for a in range(K):
        limbs[2 * a] += totals[a, a]
        for b in range(a + 1, K):
            limbs[a + b] += totals[a, b] - totals[a, a] - totals[b, b]
    return limbs


def _products(
    rows: Float64s,
    count: Int64s,
    scales: tuple[Float64s, Float64s],
    weigh: Callable[[slice, Float64s, Float64s], None],
    weighed: int,
) -> Int64s:
    """The same, weighted: `weigh(part, work space, out)` cuts weight times rows into `weighed` digits."""
    m, q = rows.shape
    K = int(count.max())
    parts = _pieces(m, q)
    left, right = np.empty((weighed, parts[0].stop, q)), np.empty((K, parts[0].stop, q))
    product, rest = np.empty((q, q)), np.empty((2, q))
    limbs = np.zeros((K + weighed + 2, q, q), np.int64)
    for part in parts:
        size = part.stop - part.start
        digits(rows[part], *scales, count, rest[0], right[:, :size])
        weigh(part, rest, left[:, :size])
        for a in range(weighed):
            for b in range(K):
                np.matmul(left[a, :size].T, right[b, :size], out=product)
                deposit(limbs[a + b], product)
    return limbs
