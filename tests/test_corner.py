"""The exact corner: against exact arithmetic over all corners, and its certificate against the dual's equations."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.solvers.central_path import Problem, central
from linnet.solvers.corner import Corner, corner, solve
from linnet.status import Status
from quantile_cases import KINDS, Case, enumerated, random_case, weights_of

Floats = NDArray[np.float64]


def problem(n: int = 120, p: int = 4, q: float = 0.3, seed: int = 1) -> Problem:
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((p, n))
    Z[0] = 1.0
    return Problem(Z, rng.standard_t(2, n), rng.uniform(0.1, 3, n), q)


def least(of: Problem) -> float:
    return Case(of.Z.T, of.y, of.q, of.w, intercept=False).highs() * float(of.w.sum())


def certified(of: Problem, found: Corner) -> None:
    """Feasible, complementary multipliers that solve the dual's equations: then nothing is better."""
    scale = of.w.sum() * np.abs(of.Z).max()
    assert (found.a <= of.q * of.w).all()
    assert (found.a >= (of.q - 1) * of.w).all()
    pull = 0.0 if of.penalty is None else of.penalty @ found.weights
    np.testing.assert_allclose(of.Z @ found.a - pull, 0, atol=1e-11 * scale)
    np.testing.assert_array_equal(found.a[found.r > 0], of.q * of.w[found.r > 0])
    np.testing.assert_array_equal(found.a[found.r < 0], (of.q - 1) * of.w[found.r < 0])
    np.testing.assert_allclose(of.y - found.weights @ of.Z, found.r, atol=1e-12 * np.abs(of.y).max())


@pytest.mark.parametrize("q", [0.02, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("p", [1, 4, 12])
def test_it_passes_through_as_many_rows_as_there_are_weights(q: float, p: int) -> None:
    of = problem(q=q, p=p)
    found = solve(of, np.zeros(p))
    certified(of, found)
    assert np.count_nonzero(found.r == 0) == p
    assert found.unique
    assert found.value == pytest.approx(least(of), rel=1e-9)
    assert found.value == pytest.approx(of.value(found.r), rel=1e-15)
    assert 0 <= found.gap <= 1e-13 * found.value


@pytest.mark.parametrize("near", [0.3, 1e-2, 1e-4])
def test_from_a_path_that_ended_too_early_exchanges_of_rows_lead_to_it(near: float) -> None:
    for seed in range(5):
        of = problem(seed=seed)
        found = corner(of, central(of, np.zeros(4), near))
        certified(of, found)
        assert found.value == pytest.approx(solve(of, np.zeros(4)).value, rel=1e-14)
        assert found.unique


def test_rows_far_out_hide_nothing() -> None:
    """A row of 1e20, which weighs in the loss alone, leaves the others as exact as without it."""
    of = problem()
    plain = solve(of, np.zeros(4))
    for far in (1e6, 1e20, 1e200):
        y = of.y.copy()
        y[np.argmax(plain.r)] = far
        found = solve(Problem(of.Z, y, of.w, of.q), np.zeros(4))
        np.testing.assert_allclose(found.weights, plain.weights, rtol=1e-12)
        np.testing.assert_array_equal(found.r == 0, plain.r == 0)
        assert found.unique


def whole(seed: int) -> Case:
    """A small problem of whole numbers, full of ties."""
    rng = np.random.default_rng(seed)
    d, size = int(rng.integers(1, 3)), int(rng.integers(1, 6))
    n = int(rng.integers(d + 2, 11 if d == 2 else 14))
    X = rng.integers(-size, size + 1, (n, d)).astype(float)
    y = rng.integers(-size, size + 1, n).astype(float)
    weight = rng.integers(1, 4, n).astype(float) if seed % 3 == 0 else None
    q = float(rng.choice([0.25, 0.5, 0.5, 0.75, 0.125]))
    return Case(X, y, q, weight, bool(seed % 4))


@pytest.mark.parametrize("first", [0, 100, 200, 840, 1000])
def test_whole_numbers_against_every_corner_in_exact_arithmetic(first: int) -> None:
    """The value, and whether one corner alone reaches it."""
    seen = {True: 0, False: 0}
    for seed in range(first, first + 60):
        case = whole(seed)
        if np.linalg.matrix_rank(case.columns) < case.columns.shape[1]:
            continue
        value, reached = enumerated(case)
        step = case.fit()
        assert step.gap is not None
        assert case.at(step) == pytest.approx(float(value), rel=1e-13, abs=1e-14), seed
        if value:
            assert case.at(step) <= float(value) * (1 + step.gap) + 1e-14, seed
            assert step.status is (None if reached == 1 else Status.NOT_UNIQUE), seed
            seen[reached == 1] += 1
        else:
            assert step.gap == step.objective == 0
    assert min(seen.values()) > 0


def test_a_row_at_the_origin_of_a_plane_through_it() -> None:
    """Where the plane is nothing but rounding, and the target 0, it passes through the row: the optimum is unique."""
    X = np.array([[-1.0], [-1], [0], [0], [-1], [0], [1], [-1], [0], [1]])
    y = np.array([1.0, 1, 0, -1, 1, -1, -1, 0, 1, 0])
    case = Case(X, y, 0.5, np.array([1.0, 2, 1, 2, 1, 1, 3, 2, 2, 3]))
    assert enumerated(case)[1] == 1
    step = case.fit()
    np.testing.assert_allclose(weights_of(step), [0, -1], atol=1e-15)
    assert step.status is None


def test_of_a_face_it_gives_one_corner() -> None:
    """Even rows and one level: any level between the middle two, and it is one of these."""
    y = np.array([1.0, 2.0, 4.0, 8.0])
    for w in (1.0, 1e-30, 1e30):
        found = solve(Problem(np.ones((1, 4)), y, np.full(4, w), 0.5), np.zeros(1))
        assert not found.unique
        assert found.weights[0] in (2.0, 4.0)
        assert found.value == pytest.approx(4.5 * w, rel=1e-14)
        assert found.gap <= 1e-13 * found.value


def test_a_plane_through_every_row() -> None:
    rng = np.random.default_rng(2)
    Z = rng.standard_normal((3, 20))
    found = solve(Problem(Z, np.array([1.0, -2.0, 3.0]) @ Z, np.ones(20), 0.4), np.zeros(3))
    np.testing.assert_allclose(found.weights, [1, -2, 3], rtol=1e-12)
    assert found.value <= 1e-13
    assert found.gap <= 1e-13


@pytest.mark.parametrize("l2", [1e-10, 1e-2, 1.0, 1e2, 1e6])
@pytest.mark.parametrize("q", [0.1, 0.5])
def test_with_a_penalty(l2: float, q: float) -> None:
    """The certificate balances the penalty; fewer rows lie on the plane the stronger it is."""
    plain = problem(q=q)
    of = Problem(plain.Z, plain.y, plain.w, q, l2 * np.diag([0.0, 1, 1, 1]))
    found = solve(of, np.zeros(4))
    certified(of, found)
    assert of.penalty is not None
    assert found.value == pytest.approx(of.value(found.r) + 0.5 * found.weights @ of.penalty @ found.weights, rel=1e-14)
    assert found.gap <= 1e-9 * found.value
    assert 1 <= np.count_nonzero(found.r == 0) <= 4
    rng = np.random.default_rng(0)
    for size in (1e-6, 1e-3, 1.0):
        other = found.weights + size * rng.standard_normal(4)
        assert of.value(of.y - other @ of.Z) + 0.5 * other @ of.penalty @ other > found.value


def test_the_gap_bounds_the_distance_of_any_corner() -> None:
    """Also where the path ended far from the optimum and no exchange was tried."""
    for kind in ("normal", "Cauchy", "wild weights"):
        case = random_case(KINDS.index(kind))[1]
        of = Problem(np.ascontiguousarray(case.columns.T), case.y, case.w, case.q)
        best = case.highs() * case.w.sum()
        for near in (1.0, 1e-2, 1e-6):
            path = central(of, np.zeros(len(of.Z)), near)
            found = corner(of, path)
            assert found.value - best <= found.gap + 1e-9 * best
            assert of.value(path.r) - best <= path.gap + 1e-9 * best


def test_many_rows_on_the_plane_under_a_penalty() -> None:
    """Of 9,000 rows that lie on it, those that are independent tell the plane; the others' equations add nothing."""
    rng = np.random.default_rng(4)
    n, p = 15_000, 4
    Z = rng.standard_normal((p, n))
    Z[0] = 1.0
    y = np.where(rng.random(n) < 0.6, 0.0, np.abs(rng.standard_normal(n)))
    penalty = np.diag([0.0, 1.0, 1.0, 1.0]) * n
    found = solve(Problem(Z, y, np.ones(n), 0.4, penalty), np.zeros(p))
    np.testing.assert_allclose(found.weights, 0.0, atol=1e-12)  # a plane of zeros is best without the penalty too
    assert found.gap <= 1e-12 * found.value


def test_the_gap_under_a_penalty_bounds_the_distance() -> None:
    """Also where the penalty dwarfs the loss, and multipliers of other weights than these prove little."""
    rng = np.random.default_rng(5)
    for l2 in (1.0, 1e2, 1e4, 1e6):
        X, y = rng.standard_normal((150, 3)), rng.integers(0, 4, 150).astype(float)
        Z = np.vstack([np.ones(150), X.T])
        of = Problem(Z, y, np.ones(150), 0.3, 150 * l2 * np.diag([0.0, 1, 1, 1]))
        assert of.penalty is not None
        found = solve(of, np.zeros(4))
        assert found.unique  # 45 rows of 150 are no boundary between two of the four values
        assert found.gap <= 1e-10 * found.value
        for size in (1e-9, 1e-7, 1e-5, 1e-3):
            for way in rng.standard_normal((20, 4)) / np.array([1, l2, l2, l2]):
                other = found.weights + size * way
                value = of.value(y - other @ Z) + 0.5 * other @ of.penalty @ other
                assert value >= found.value - found.gap - 1e-13 * found.value
