"""Double-double arithmetic against fractions: the published error bounds, and the linear algebra built on them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray

from linnet.double_double import (
    add,
    add_diagonal,
    back_substitute,
    cholesky,
    div,
    divide,
    fma,
    mul,
    multiply,
    sqrt,
    two_sum,
)
from rational import dot, invert, root

UNIT = Fraction(1, 2**106)
number = st.floats(-1e50, 1e50).filter(lambda x: x == 0 or abs(x) > 1e-50)
tail = st.floats(-0.5, 0.5)


@st.composite
def doubled(draw: st.DrawFn) -> tuple[float, float]:
    """hi + lo with |lo| at most half a unit in the last place of hi."""
    hi = draw(number)
    lo = draw(tail) * math.ulp(hi) if hi else 0.0
    return hi, (lo if hi + lo == hi else 0.0)


def value(pair: tuple[float, float]) -> Fraction:
    return Fraction(pair[0]) + Fraction(pair[1])


@njit  # type: ignore[untyped-decorator,unused-ignore]  # Numba's decorators have no type
def fused(a: float, b: float, c: float) -> Any:
    """The intrinsic, callable from Python."""
    return fma(a, b, c)


@given(number, number)
def test_two_sum_is_exact(a: float, b: float) -> None:
    s, e = two_sum(a, b)
    assert s == a + b
    assert Fraction(s) + Fraction(e) == Fraction(a) + Fraction(b)


@given(number, number, number)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    assert fused(a, b, c) == float(Fraction(a) * Fraction(b) + Fraction(c))


@given(doubled(), doubled())
def test_add(a: tuple[float, float], b: tuple[float, float]) -> None:
    exact = value(a) + value(b)
    assert abs(value(add(*a, *b)) - exact) <= 3 * UNIT * abs(exact)


@given(doubled(), doubled())
def test_mul(a: tuple[float, float], b: tuple[float, float]) -> None:
    exact = value(a) * value(b)
    assert abs(value(mul(*a, *b)) - exact) <= 5 * UNIT * abs(exact)


@given(doubled(), doubled().filter(lambda b: b[0] != 0))
def test_div(a: tuple[float, float], b: tuple[float, float]) -> None:
    exact = value(a) / value(b)
    assert abs(value(div(*a, *b)) - exact) <= 10 * UNIT * abs(exact)


@given(doubled().filter(lambda a: a[0] > 0))
def test_sqrt(a: tuple[float, float]) -> None:
    result = value(sqrt(*a))
    assert abs(result * result - value(a)) <= 16 * UNIT * value(a)


def gram(rows: int, columns: int, rng: np.random.Generator) -> tuple[list[list[Fraction]], NDArray[np.float64]]:
    """XᵀX of small integers, exact in float64, as fractions and as float64."""
    X = rng.integers(-50, 50, (rows, columns))
    A = X.T @ X
    return [[Fraction(int(v)) for v in row] for row in A], A.astype(np.float64)


def test_cholesky_reproduces_the_matrix(rng: np.random.Generator) -> None:
    exact, A = gram(20, 6, rng)
    hi, lo, order = A.copy(), np.zeros_like(A), np.arange(6)
    assert cholesky(hi, lo, np.zeros(6), 0.0, order, 0.0) == 6
    assert order.tolist() == [0, 1, 2, 3, 4, 5]
    for i in range(6):
        for j in range(i, 6):
            made = sum((value((hi[m, i], lo[m, i])) * value((hi[m, j], lo[m, j])) for m in range(i + 1)), Fraction(0))
            assert abs(made - exact[i][j]) <= 100 * UNIT * abs(root(exact[i][i] * exact[j][j]))


def test_cholesky_of_a_border_leaves_the_schur_complement(rng: np.random.Generator) -> None:
    """With d columns factored of d + 1, the corner is the residual sum of squares."""
    exact, A = gram(20, 5, rng)
    hi, lo = A.copy(), np.zeros_like(A)
    cholesky(hi, lo, np.zeros(4), 0.0, np.arange(4), 0.0)
    inverse = invert([row[:4] for row in exact[:4]])
    c = [row[4] for row in exact[:4]]
    schur = exact[4][4] - dot(c, [dot(row, c) for row in inverse])
    assert abs(value((hi[4, 4], lo[4, 4])) - schur) <= 1000 * UNIT * exact[4][4]


def test_cholesky_leaves_out_what_depends_on_the_columns_before(rng: np.random.Generator) -> None:
    X = rng.integers(-50, 50, (20, 3))
    X = np.column_stack([X[:, 0], 2 * X[:, 0], X[:, 1], X[:, 0] - 3 * X[:, 1], X[:, 2], np.zeros(20, np.int64)])
    A = (X.T @ X).astype(np.float64)
    noise = 2.0**-100 * A.diagonal()
    hi, lo, order = np.triu(A), np.zeros_like(A), np.arange(6)
    assert cholesky(hi, lo, noise, 2.0**-98, order, 0.0) == 1  # up to the first
    hi, lo, order = np.triu(A), np.zeros_like(A), np.arange(6)
    assert cholesky(hi, lo, noise, 2.0**-98, order, 0.01) == 3
    assert order[:3].tolist() == [0, 2, 4]
    U = hi[:3, :3]
    np.testing.assert_allclose(U.T @ hi[:3], A[np.ix_(order[:3], order)], rtol=1e-12, atol=1e-9)


def test_cholesky_bounds_the_coefficients_of_what_it_leaves_out() -> None:
    """In three rows, of a column and another 2^-28 beside it one is enough, though both come before the others."""
    X = np.array([[3.0, 3 + 2.0**-30, 1, 5, 2], [1, 1 - 2.0**-29, -2, 1, 0], [4, 4 + 2.0**-28, 4, -2, 7]])
    X = np.column_stack([X, X @ [1.0, 0, 1, 2, 0]])
    A = X.T @ X
    exact = [[dot(map(Fraction, a), map(Fraction, b)) for b in X.T.tolist()] for a in X.T.tolist()]
    low = np.array([[float(v - Fraction(A[i, j])) for j, v in enumerate(row)] for i, row in enumerate(exact)])
    noise = 2.0**-100 * A.diagonal()
    hi, lo, order = np.triu(A), np.triu(low), np.arange(6)
    rank = cholesky(hi, lo, noise, 2.0**-98, order, 0.01)
    assert rank == 3
    assert 1 not in order[:3]
    size = np.sqrt(A.diagonal()[order])
    assert (np.abs(hi[:3] / hi.diagonal()[:3, None] / size * size[:3, None]) <= 10).all()


def test_cholesky_passes_noise_on_to_columns_that_lean_on_a_noisy_one() -> None:
    """A pivot below what the noise of an earlier column, magnified by its coefficient, puts there is no pivot."""
    U = np.array([[1.0, 2.0**20], [0.0, 2.0**-4]])
    A = U.T @ U  # without rounding
    for noise, expected in ((0.0, True), (2.0**-50, True), (2.0**-47, False)):
        hi, lo = A.copy(), np.zeros_like(A)
        assert cholesky(hi, lo, np.array([noise, 0.0]), 0.0, np.arange(2), 0.0) == 1 + expected


def test_solving_a_hilbert_matrix() -> None:
    """Condition 1e16: float64 has no digit left, double-double 15."""
    p = 12
    scale = math.lcm(*range(1, 2 * p))
    exact = [[Fraction(scale, i + j + 1) for j in range(p)] for i in range(p)]
    hi = np.array([[float(v) for v in row] for row in exact])
    lo = np.array(
        [[float(v - Fraction(h)) for v, h in zip(row, hrow, strict=True)] for row, hrow in zip(exact, hi, strict=True)]
    )
    right = [sum(row, Fraction(0)) for row in exact]
    border = np.zeros((2, p + 1, p + 1))
    border[0, :p, :p], border[1, :p, :p] = hi, lo
    border[0, :p, p] = [float(v) for v in right]
    border[1, :p, p] = [float(v - Fraction(h)) for v, h in zip(right, border[0, :p, p], strict=True)]
    assert cholesky(border[0], border[1], np.zeros(p), 0.0, np.arange(p), 0.0) == p
    x = np.ascontiguousarray(border[0, :p, p:]), np.ascontiguousarray(border[1, :p, p:])
    back_substitute(np.ascontiguousarray(border[0, :p, :p]), np.ascontiguousarray(border[1, :p, :p]), *x)
    assert x[0][:, 0] == pytest.approx(np.ones(p), rel=1e-14)


def test_back_substitute_inverts(rng: np.random.Generator) -> None:
    U = np.triu(rng.integers(1, 20, (5, 5))).astype(np.float64)
    xh, xl = np.eye(5), np.zeros((5, 5))
    back_substitute(U, np.zeros((5, 5)), xh, xl)
    exact = invert([[Fraction(v) for v in row] for row in U])
    for i in range(5):
        for j in range(5):
            assert abs(value((xh[i, j], xl[i, j])) - exact[i][j]) <= 100 * UNIT * max(map(abs, exact[i]))


def test_multiply_divide_add_diagonal(rng: np.random.Generator) -> None:
    V = np.triu(rng.standard_normal((4, 4)))
    T = V * 2.0**-60
    full = [[value((V[i, j], T[i, j])) for j in range(4)] for i in range(4)]
    x = rng.standard_normal(4)
    yh, yl = np.zeros((4, 1)), np.zeros((4, 1))
    multiply(V, T, x[:, None], np.zeros((4, 1)), yh, yl)
    yh, yl = yh[:, 0].copy(), yl[:, 0].copy()
    for i in range(4):
        exact = dot(full[i], [Fraction(v) for v in x])
        assert abs(value((yh[i], yl[i])) - exact) <= 100 * UNIT * 10
    divide(yh, yl, 3.0, 2.0**-60, xh := np.empty(4), xl := np.empty(4))
    for i in range(4):
        exact = value((yh[i], yl[i])) / (3 + Fraction(2) ** -60)
        assert abs(value((xh[i], xl[i])) - exact) <= 10 * UNIT * abs(exact)
    hi, lo = np.eye(3), np.zeros((3, 3))
    add_diagonal(hi, lo, np.array([2.0**-70, 1.0]))
    assert hi.diagonal().tolist() == [1.0, 2.0, 1.0]
    assert lo.diagonal().tolist() == [2.0**-70, 0.0, 0.0]
