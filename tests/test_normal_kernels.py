"""The kernels of the normal equations against exact rational arithmetic and plain NumPy."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.normal import NARROW, _by_lapack
from linnet.normal_kernels import centre_and_scale, eliminate, extremes, in_own_units, spread, standard_errors

Floats = NDArray[np.float64]


def definite(rng: np.random.Generator, d: int) -> Floats:
    """Products of d features and a target, (d+1, d+1)."""
    Z = rng.standard_normal((4 * d + 8, d + 1)) @ (np.eye(d + 1) + 0.3)
    return np.asarray(Z.T @ Z / len(Z))


@pytest.mark.parametrize("intercept", [True, False])
def test_centring_against_fractions(intercept: bool, rng: np.random.Generator) -> None:
    """Columns of very different sizes, one of them 0 throughout: matrix, mean and raw, each in units of 2^k."""
    columns = np.column_stack([rng.standard_normal(9) * s + o for s, o in ((1e90, 0), (1e-90, 0), (3, 20), (0, 0))])
    w = rng.integers(1, 5, 9).astype(np.float64)
    shift = np.array([1e89, 2e-90, 19.0, 0.0])
    z = np.column_stack([np.ones(9), columns - shift])
    matrix, mean, raw, k = np.empty((4, 4)), np.empty((2, 4)), np.empty(4), np.empty(4, np.int64)
    cancelled = centre_and_scale((z.T * w) @ z, shift, intercept, matrix, mean, k, raw)

    weights = [Fraction(x) for x in w]
    exact = [[Fraction(x) / Fraction(2) ** int(e) for x in column] for column, e in zip(columns.T, k, strict=True)]
    means = [sum(a * x for a, x in zip(weights, c, strict=True)) / sum(weights) for c in exact]
    centre = means if intercept else [Fraction(0)] * 4
    for i in range(4):
        assert mean[0, i] == pytest.approx(float(centre[i]), rel=1e-13)
        assert abs(mean[1, i]) <= np.spacing(abs(mean[0, i]))
        assert raw[i] == pytest.approx(float(sum(a * x * x for a, x in zip(weights, exact[i], strict=True))), rel=1e-12)
        assert 0.25 <= matrix[i, i] < 1 or (i == 3 and matrix[i, i] == k[i] == 0)
        for j in range(4):
            products = (
                a * (x - centre[i]) * (v - centre[j]) for a, x, v in zip(weights, exact[i], exact[j], strict=True)
            )
            assert matrix[i, j] == pytest.approx(float(sum(products)), abs=1e-14)
            assert matrix[i, j] == matrix[j, i]
    assert cancelled >= 1


def test_cancellation_is_told() -> None:
    """A column about a shift that is 1000 of its standard deviations off loses six digits to centring."""
    x = np.array([-1.0, 1.0] * 8)
    z = np.column_stack([np.ones(16), x - 1000.0, x])
    out = np.empty((2, 2)), np.empty((2, 2)), np.empty(2, np.int64), np.empty(2)
    assert centre_and_scale(z.T @ z, np.array([1000.0, 0.0]), True, *out) == pytest.approx(1e6, rel=1e-5)


@pytest.mark.parametrize("l2", [0.0, 0.7])
@pytest.mark.parametrize("d", [1, 2, 7, NARROW])
@pytest.mark.parametrize("solve", [eliminate, _by_lapack])
def test_elimination_solves(solve: object, d: int, l2: float, rng: np.random.Generator) -> None:
    """Ours and LAPACK's: weights, what they leave, and the inverse of the upper factor."""
    assert callable(solve)
    M, ridge = definite(rng, d), l2 * rng.uniform(0, 1, d)
    kept = M.copy()
    beta, V = np.empty(d), np.zeros((d, d))
    left = solve(M, ridge, 2.0**-48, beta, V)
    assert np.array_equal(M, kept)
    A = M[:d, :d] + np.diag(ridge)
    np.testing.assert_allclose(beta, np.linalg.solve(A, M[:d, d]), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(V @ V.T, np.linalg.inv(A), rtol=1e-9, atol=1e-12)
    assert np.array_equal(V, np.triu(V))
    assert (V.diagonal() > 0).all()
    assert left == pytest.approx(M[d, d] - 2 * M[d, :d] @ beta + beta @ M[:d, :d] @ beta, rel=1e-11)


@pytest.mark.parametrize("solve", [eliminate, _by_lapack])
@pytest.mark.parametrize("what", ["zero", "duplicate", "NaN", "indefinite"])
def test_a_pivot_below_the_floor_is_refused(solve: object, what: str, rng: np.random.Generator) -> None:
    assert callable(solve)
    M = definite(rng, 4)
    if what == "zero":
        M[2] = M[:, 2] = 0.0
    elif what == "duplicate":
        M[3] = M[1]
        M[:, 3] = M[:, 1]
    else:
        M[2, 2] = math.nan if what == "NaN" else -1.0
    assert math.isnan(solve(M, np.zeros(4), 2.0**-48, np.empty(4), np.zeros((4, 4))))


def test_spread_is_the_variance_of_bias_and_weights(rng: np.random.Generator) -> None:
    d, V, mean = 5, np.triu(rng.standard_normal((5, 5))), rng.standard_normal(6)
    reach, variances = np.zeros(d), np.full(d + 2, np.nan)
    spread(V, mean, 0.3, reach, variances)
    inverse, m = V @ V.T, mean[:d]
    np.testing.assert_allclose(reach, V.T @ m, rtol=1e-12)
    np.testing.assert_allclose(variances, [0.3 + m @ inverse @ m, 0.3, *inverse.diagonal()], rtol=1e-12)


def test_weights_and_errors_in_own_units() -> None:
    k = np.array([3, -1000, 1000, 7])
    weights, columns = np.empty(3), np.empty((2, 4))
    known = np.array([0.5, -1.0, 0.0, 3.0]), np.diag([0.5, 2.0, -1e-20, 0.0]), 0.5, k, weights, columns
    assert in_own_units(np.array([1.5, 1.0, -1.0]), *known) == -1
    assert weights.tolist() == [24.0, 2.0**1007, -(2.0**-993)]
    assert columns.tolist() == [[4.0, -(2.0**-1000), 0.0, 384.0], [4.0, 2.0**-1000, 0.0, 0.0]]
    assert in_own_units(np.array([0.0, 2.0**20, 1.0]), *known) == 1  # too large
    assert in_own_units(np.array([2.0**-1030, 0.0, 2.0**-40]), *known) == 0  # both too small: the first is named
    assert in_own_units(np.array([0.0, 0.0, 0.0]), *known) == -1  # 0 is not too small
    sd = np.empty(5)
    standard_errors(np.array([4.0, 1.0, 9.0, 1.0, -1e-20]), 0.5, k, sd)
    assert sd.tolist() == [128.0, 64.0, 24.0, 2.0**1006, 0.0]


@pytest.mark.parametrize("d", [1, 2, 9, 40])
def test_extreme_eigenvalues(d: int, rng: np.random.Generator) -> None:
    M = definite(rng, d)
    sd = np.sqrt(M.diagonal())
    values = np.linalg.eigvalsh((M / np.outer(sd, sd))[:d, :d])
    V = np.linalg.inv(np.linalg.cholesky(M[:d, :d])).T.copy()
    for ridge in (False, True):
        assert extremes(M, V, ridge) == pytest.approx((values[-1], 1 / values[0]), rel=1e-10)
    M[0] = M[:, 0] = 0.0
    assert extremes(M, V, False) == (math.inf, math.inf)
