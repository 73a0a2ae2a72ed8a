"""Digits and limbs against Python's own integers and fractions, which know no overflow and no rounding."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linnet.kernels import (
    DIGIT_BITS,
    carry,
    centred,
    deposit,
    digits,
    exponents_of,
    mirror,
    narrow_gram,
    product_digits,
    realign,
    short_gram,
    span,
    to_double_double,
    vector_to_double_double,
)
from rational import integer

HALF = 1 << (DIGIT_BITS - 1)
TINIEST = 5e-324


def powers(exponents: list[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """2^exponents in two factors, as their product can lie outside float64's range."""
    half = [e // 2 for e in exponents]
    return (
        np.array([math.ldexp(1.0, h) for h in half]),
        np.array([math.ldexp(1.0, e - h) for e, h in zip(exponents, half, strict=True)]),
    )


def lowest_bit(x: float) -> Fraction:
    """The largest power of two of which x is a multiple."""
    value = abs(Fraction(x))
    return Fraction(value.numerator & -value.numerator, value.denominator)


finite = st.floats(allow_nan=False, allow_infinity=False)


def column(width: int = 150) -> st.SearchStrategy[list[float]]:
    """Numbers within 2^±width, zeros among them, times some power of two."""
    numbers = st.floats(-1, 1).map(lambda x: 0.0 if abs(x) < 2.0**-width else x)
    return st.tuples(st.lists(numbers, min_size=1, max_size=8), st.integers(-700, 700)).map(
        lambda pair: [math.ldexp(x, pair[1]) for x in pair[0]]
    )


@given(st.lists(finite, min_size=1, max_size=6))
def test_span_finds_the_largest_number_and_the_lowest_bit(values: list[float]) -> None:
    largest, lowest = np.zeros(1), np.full(1, np.inf)
    span(np.array(values)[:, None], largest, lowest)
    assert largest[0] == max(map(abs, values))
    bits = [lowest_bit(x) for x in values if x]
    assert lowest[0] == (float(min(bits)) if bits else math.inf)


def test_span_widens_and_takes_nan_for_infinite() -> None:
    largest, lowest = np.array([8.0, 8.0, 0.0]), np.array([0.25, 0.25, np.inf])
    span(np.array([[3.0, np.nan, -np.inf], [0.0, 1.0, 1.0]]), largest, lowest)
    assert largest.tolist() == [8.0, np.inf, np.inf]
    assert lowest[0] == 0.25


@given(column())
def test_digits_add_up_to_the_number(values: list[float]) -> None:
    """Σ digit_k·2^(21·k)·unit is the number itself, and no digit exceeds 2^20."""
    rows = np.array(values)[:, None]
    bits = [lowest_bit(x) for x in values if x]
    bottom = math.frexp(float(min(bits)))[1] - 1 if bits else 0
    top = max(math.frexp(abs(x))[1] for x in values) if bits else 0
    count = max((top - bottom + DIGIT_BITS) // DIGIT_BITS, 1)
    K = count + 1  # another column might need more
    out = np.full((K, len(values), 1), np.nan)
    digits(rows, *powers([-bottom - DIGIT_BITS * (count - 1)]), np.array([count]), np.empty(1), out)
    assert (np.abs(out) <= HALF).all()
    assert (out[count:] == 0).all()
    for i, x in enumerate(values):
        whole = sum(int(out[k, i, 0]) << (DIGIT_BITS * k) for k in range(K))
        assert Fraction(whole) * Fraction(2) ** bottom == Fraction(x)


@given(column(100), st.lists(st.floats(2.0**-80, 1.0), min_size=8, max_size=8))
def test_product_digits_add_up_to_weight_times_number(values: list[float], weights: list[float]) -> None:
    rows = np.array(values)[:, None]
    weight = np.array(weights[: len(values)])
    bits = [lowest_bit(x) for x in values if x]
    bottom = math.frexp(float(min(bits)))[1] - 1 if bits else 0
    top = max(math.frexp(abs(x))[1] for x in values) if bits else 0
    low = min(math.frexp(float(lowest_bit(float(w))))[1] - 1 for w in weight)
    high = max(math.frexp(float(w))[1] for w in weight)
    scaled = np.ldexp(weight, -high)
    total = (top - bottom) + (high - low)
    count = (total + DIGIT_BITS) // DIGIT_BITS
    out = np.full((count, len(values), 1), np.nan)
    shift = np.array([math.ldexp(1.0, total - DIGIT_BITS * (count - 1))])
    product_digits(rows, *powers([-top]), scaled, shift, np.array([count]), np.empty((2, 1)), out)
    assert (np.abs(out) <= HALF).all()
    unit = Fraction(2) ** (bottom + low)
    for i, x in enumerate(values):
        whole = sum(int(out[k, i, 0]) << (DIGIT_BITS * k) for k in range(count))
        assert whole * unit == Fraction(float(weight[i])) * Fraction(x)


def test_deposit_adds_integers_of_2_to_the_53() -> None:
    total = np.full((2, 2), 1 << 60, np.int64)
    deposit(total, np.array([[2.0**53, -(2.0**53)], [1.0, 0.0]]))
    assert total.tolist() == [[(1 << 60) + (1 << 53), (1 << 60) - (1 << 53)], [(1 << 60) + 1, 1 << 60]]


limb = st.integers(-(1 << 62), 1 << 62)


@given(st.lists(limb, min_size=1, max_size=5))
def test_carry_keeps_the_integer_and_makes_it_unique(values: list[int]) -> None:
    limbs = np.zeros((len(values) + 4, 1, 1), np.int64)
    limbs[: len(values), 0, 0] = values
    carry(limbs)
    assert integer(limbs[:, 0, 0]) == sum(v << (DIGIT_BITS * k) for k, v in enumerate(values))
    assert (limbs[:-1] >= -HALF).all()
    assert (limbs[:-1] < HALF).all()
    again = limbs.copy()
    carry(again)
    assert np.array_equal(again, limbs)


def carried(values: list[int], shape: tuple[int, ...], more: int = 2) -> NDArray[np.int64]:
    """Integers as limbs, by Python."""
    length = max(max((abs(v).bit_length() for v in values), default=0) // DIGIT_BITS + more, 1)
    limbs = np.zeros((length, len(values)), np.int64)
    for at, value in enumerate(values):
        rest = value
        for place in range(length):
            low = (rest + HALF) % (1 << DIGIT_BITS) - HALF
            limbs[place, at] = low
            rest = (rest - low) >> DIGIT_BITS
        assert rest == 0
    return limbs.reshape(length, *shape)


big = st.integers(-(1 << 300), 1 << 300)


@given(st.lists(big, min_size=4, max_size=4), st.lists(st.integers(0, 90), min_size=2, max_size=2), st.integers(0, 90))
def test_realign_multiplies_by_powers_of_two(values: list[int], by: list[int], more: int) -> None:
    limbs = carried(values, (2, 2))
    extra = (2 * max(by) + more) // DIGIT_BITS + 2
    out = np.zeros((len(limbs) + extra, 2, 2), np.int64)
    realign(limbs, np.array(by), more, out)
    for i in range(2):
        for j in range(2):
            assert integer(out[:, i, j]) == values[2 * i + j] << (by[i] + by[j] + more)
    assert (np.abs(out[:-1]) <= HALF).all()


@given(st.lists(big, min_size=6, max_size=6))
def test_centred_is_w_times_g_minus_s_times_s(values: list[int]) -> None:
    """For q = 3: W and two sums in the first row, three products in the rest of the upper triangle."""
    W, s1, s2, g11, g12, g22 = values
    limbs = carried([W, s1, s2, s1, g11, g12, s2, g12, g22], (3, 3))
    L = len(limbs)
    out = np.full((2 * L + 2, 2, 2), 77, np.int64)
    centred(limbs, out, np.zeros(2 * L + 2, np.int64))
    assert integer(out[:, 0, 0]) == W * g11 - s1 * s1
    assert integer(out[:, 0, 1]) == W * g12 - s1 * s2
    assert integer(out[:, 1, 1]) == W * g22 - s2 * s2
    for i, j in ((0, 0), (0, 1), (1, 1)):
        assert (np.abs(out[:-1, i, j]) <= HALF).all()


@given(st.lists(st.integers(0, 1 << 400), min_size=2, max_size=2))
def test_exponents_of_the_diagonal(values: list[int]) -> None:
    limbs = carried([values[0], 5, -5, values[1]], (2, 2))
    out = np.empty(2, np.int64)
    exponents_of(limbs, out)
    for value, e in zip(values, out.tolist(), strict=True):
        if not value:
            assert e == -(1 << 30)
        else:
            # rounding to float64 may carry a number just below a power of two up to it
            assert value.bit_length() <= e <= (value + (value >> 52)).bit_length()


@given(st.lists(big, min_size=3, max_size=3), st.integers(-250, 250), st.integers(-250, 250))
def test_double_doubles_keep_104_bits(values: list[int], e0: int, e1: int) -> None:
    a, b, c = values
    limbs = carried([a, b, 99, c], (2, 2))
    hi, lo = np.zeros((2, 2)), np.zeros((2, 2))
    to_double_double(limbs, np.array([e0, e1]), hi, lo)
    for (i, j), value in {(0, 0): a, (0, 1): b, (1, 1): c}.items():
        exact = Fraction(value) * Fraction(2) ** ((e0, e1)[i] + (e0, e1)[j])
        assert abs(Fraction(hi[i, j]) + Fraction(lo[i, j]) - exact) <= abs(exact) / 2**104
        assert hi[i, j] == hi[i, j] + lo[i, j]
    assert (hi[1, 0], lo[1, 0]) == (hi[0, 1], lo[0, 1])
    vh, vl = np.empty(2), np.empty(2)
    vector_to_double_double(np.ascontiguousarray(limbs[:, 0, :]), np.array([e0, e1]), vh, vl)
    for j, value in enumerate((a, b)):
        exact = Fraction(value) * Fraction(2) ** (e0, e1)[j]
        assert abs(Fraction(vh[j]) + Fraction(vl[j]) - exact) <= abs(exact) / 2**104


@pytest.mark.parametrize("x", [TINIEST, 3 * TINIEST, 2.2250738585072014e-308, 1.7976931348623157e308, 2.0**1023])
def test_digits_at_the_ends_of_the_range(x: float) -> None:
    """Subnormal numbers and the largest ones, whose scale is outside float64's range."""
    bottom = lowest_bit(x)
    e = -(bottom.denominator.bit_length() - 1) if bottom < 1 else bottom.numerator.bit_length() - 1
    count = 4
    out = np.empty((count, 1, 1))
    digits(np.array([[x]]), *powers([-e - DIGIT_BITS * (count - 1)]), np.array([count]), np.empty(1), out)
    whole = sum(int(out[k, 0, 0]) << (DIGIT_BITS * k) for k in range(count))
    assert Fraction(whole) * Fraction(2) ** e == Fraction(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_narrow_gram(dtype: type[np.floating[Any]], weighted: bool, rng: np.random.Generator) -> None:
    """Whole pieces and a short last one, with what earlier pieces left in the work space."""
    X = np.asfortranarray(rng.standard_normal((70, 5)) + 3, dtype=dtype)
    y, shift = rng.standard_normal(70), rng.standard_normal(6)
    weight = rng.uniform(0, 2, 70) if weighted else np.empty(0)
    total = np.zeros((8, 8))
    narrow_gram(X.T, y, weight, shift, np.zeros((8, 32)), total)
    mirror(total)
    z = np.column_stack([np.ones(70), X - shift[:5], y - shift[5]])
    w = weight if weighted else np.ones(70)
    np.testing.assert_allclose(total[:7, :7], (z * w[:, None]).T @ z, rtol=1e-12, atol=1e-12)
    assert not total[7].any()
    assert not total[:, 7].any()


@pytest.mark.parametrize("n", [0, 1, 9, 70])
@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_short_gram(
    dtype: type[np.floating[Any]], order: Any, weighted: bool, d: int, n: int, rng: np.random.Generator
) -> None:
    """About the rows' own mean, far from 0, with rows of weight 0 among them, into outputs that held something else."""
    X = np.array(rng.standard_normal((n, d)) + 1000, order=order, dtype=dtype)
    y = rng.standard_normal(n).astype(dtype) - 50
    w = rng.integers(0, 4, n) / 3.0 if weighted else np.ones(n)
    shift, total = np.full(d + 1, np.nan), np.full((d + 2, d + 2), np.nan)
    short_gram(X, y, w if weighted else np.empty(0), shift, total)
    rows = np.column_stack([X, y]).astype(np.float64)
    mean = w @ rows / w.sum() if w.any() else np.zeros(d + 1)
    np.testing.assert_allclose(shift, mean, rtol=1e-14)
    z = np.column_stack([np.ones(n), rows - shift])
    np.testing.assert_allclose(total, (z * w[:, None]).T @ z, rtol=1e-12, atol=1e-10)
    assert total.tobytes() == total.T.copy().tobytes()


def test_mirror(rng: np.random.Generator) -> None:
    matrix = rng.standard_normal((77, 77))
    want = np.triu(matrix) + np.triu(matrix, 1).T
    mirror(matrix)
    assert np.array_equal(matrix, want)
