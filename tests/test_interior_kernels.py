"""The interior point's kernels against the same formulas in plain NumPy, on states drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.interior_kernels import FIRST, LEAST, STEP, TILE, S, T, U, V, W, Y, equations, foresee, reach

Floats = NDArray[np.float64]
sizes = pytest.mark.parametrize(("p", "n"), [(1, 1), (2, 7), (3, TILE), (4, TILE + 1), (7, 3 * TILE - 5)])


class Point(NamedTuple):
    """Somewhere inside all bounds, with a direction."""

    Z: Floats
    state: Floats
    q: float
    beta: Floats
    direction: Floats


def point(p: int, n: int) -> Point:
    rng = np.random.default_rng(100 * p + n)
    q, state = 0.3, np.zeros((8, n))
    state[Y], state[W] = rng.standard_normal(n), rng.uniform(0.1, 3, n)
    a = (rng.uniform(0.02, 0.98, n) - (1 - q)) * state[W]
    state[S], state[T] = q * state[W] - a, a + (1 - q) * state[W]
    state[U], state[V] = rng.uniform(0.01, 2, (2, n))
    state[FIRST], state[STEP] = 0.1 * rng.standard_normal((2, n))
    return Point(rng.standard_normal((p, n)), state, q, rng.standard_normal(p), rng.standard_normal(p))


def multiplier(state: Floats, q: float) -> Floats:
    return np.asarray(q * state[W] - state[S])


def corrected(state: Floats, first: Floats, da: Floats, mu: float) -> tuple[Floats, Floats]:
    """Directions of u and v that bring s·u and t·v to mu, with Mehrotra's terms of second order by the first one."""
    s, t, u, v = state[S], state[T], state[U], state[V]
    du_first, dv_first = u * first / s - u, -v * first / t - v
    du = (mu - s * u + u * da + first * du_first) / s
    dv = (mu - t * v - v * da - first * dv_first) / t
    return du, dv


@sizes
def test_equations(p: int, n: int) -> None:
    """The step taken, and the weighted products of what is left."""
    Z, state, q, beta, _ = point(p, n)
    far, wide, mu = 0.2, 0.3, 0.05
    before = state.copy()
    k = -(-(p + 1) // 4) * 4
    gram, sums = np.ones((k, k)), np.ones(2)
    equations(Z, state, q, beta, np.array([far, wide, mu]), 0, n, np.zeros((k, TILE)), gram, sums)
    du, dv = corrected(before, before[FIRST], before[STEP], mu)
    s, t = before[S] - wide * before[STEP], before[T] + wide * before[STEP]
    u, v = before[U] + far * du, before[V] + far * dv
    low = LEAST * np.stack([before[W], before[W], np.ones(n), np.ones(n)])
    s, t, u, v = np.maximum(np.stack([s, t, u, v]), low)
    np.testing.assert_allclose(state[[S, T, U, V]], [s, t, u, v], rtol=1e-11, atol=1e-14)
    np.testing.assert_array_equal(state[[Y, W]], before[[Y, W]])
    s, t, u, v = state[[S, T, U, V]]
    r = state[Y] - beta @ Z
    d = 1 / (u / s + v / t)
    np.testing.assert_allclose(np.triu(gram[:p, :p]) - np.triu(np.ones((p, p))), np.triu((Z * d) @ Z.T), atol=1e-9)
    np.testing.assert_allclose(gram[:p, p] - 1, Z @ (multiplier(state, q) + d * r), rtol=1e-9, atol=1e-9)
    gap = np.maximum(r, 0) @ s + np.maximum(-r, 0) @ t
    np.testing.assert_allclose(sums - 1, [s @ u + t @ v, gap], rtol=1e-10)


def test_a_step_to_the_bounds_stays_inside_them() -> None:
    Z, state, q, beta, _ = point(2, 9)
    state[STEP] = 1e3
    gram, sums = np.zeros((4, 4)), np.zeros(2)
    equations(Z, state, q, beta, np.array([1.0, 1.0, 0.0]), 0, 9, np.zeros((4, TILE)), gram, sums)
    assert (state[[S, T, U, V]] > 0).all()
    assert np.isfinite(state).all()
    assert np.isfinite(np.triu(gram)[:2, :3]).all()


def test_the_gap_is_that_of_loss_and_dual() -> None:
    """Σ loss(r) - Σ a·y for multipliers that satisfy the dual's equations, Z·a = 0."""
    Z, state, q, beta, _ = point(3, 60)
    state[W] = 1.0
    a = multiplier(state, q)
    a = 0.2 * (a - Z.T @ np.linalg.lstsq(Z.T, a, rcond=None)[0])
    state[S], state[T] = q * state[W] - a, a + (1 - q) * state[W]
    sums = np.zeros(2)
    equations(Z, state, q, beta, np.zeros(3), 0, 60, np.zeros((4, TILE)), np.zeros((4, 4)), sums)
    r = state[Y] - beta @ Z
    loss = state[W] @ np.maximum(q * r, (q - 1) * r)
    assert sums[1] == pytest.approx(loss - a @ state[Y], rel=1e-12)


def ends(state: Floats, du: Floats, dv: Floats, da: Floats) -> tuple[float, float]:
    """The longest steps that keep u and v, and s and t, at least 0."""
    far = [x / -dx for x, dx in zip(np.r_[state[U], state[V]], np.r_[du, dv], strict=True) if dx < 0]
    wide = [x / -dx for x, dx in zip(np.r_[state[S], state[T]], np.r_[-da, da], strict=True) if dx < 0]
    return min(far, default=np.inf), min(wide, default=np.inf)


@sizes
def test_foresee(p: int, n: int) -> None:
    Z, state, _, beta, direction = point(p, n)
    before = state.copy()
    sides, sums = np.ones((2, p)), np.array([np.inf, np.inf, 1.0, 1.0, 1.0, 1.0])
    foresee(Z, state, beta, direction, 0, n, np.empty((2, TILE)), sides, sums)
    s, t, u, v = before[[S, T, U, V]]
    d = 1 / (u / s + v / t)
    da = d * (before[Y] - (beta + direction) @ Z)
    du, dv = u / s * da - u, -v / t * da - v
    # they are Newton's: s·u and t·v vanish to first order, and du - dv is what the residual changes by
    np.testing.assert_allclose(s * u + s * du - u * da, 0, atol=1e-12)
    np.testing.assert_allclose(t * v + t * dv + v * da, 0, atol=1e-12)
    np.testing.assert_allclose((u + du) - (v + dv), before[Y] - (beta + direction) @ Z, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(state[FIRST], da, rtol=1e-10, atol=1e-13)
    rest = [i for i in range(8) if i != FIRST]
    np.testing.assert_array_equal(state[rest], before[rest])
    np.testing.assert_allclose(sums[:2], ends(before, du, dv, da), rtol=1e-9)

    def complementarity(far: float, wide: float) -> float:
        return float((s - wide * da) @ (u + far * du) + (t + wide * da) @ (v + far * dv))

    for far, wide in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.7, 0.9), (1.0, 1.0)):
        ahead = np.array([1.0, far, wide, far * wide]) @ (sums[2:] - 1)
        assert ahead == pytest.approx(complementarity(far, wide), rel=1e-9, abs=1e-9 * n)
    np.testing.assert_allclose(sides[0] - 1, Z @ (d * (1 / s - 1 / t)), rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(sides[1] - 1, Z @ (-d * da * (du / s + dv / t)), rtol=1e-9, atol=1e-8)


@sizes
def test_reach(p: int, n: int) -> None:
    Z, state, _, beta, direction = point(p, n)
    before, mu, sums = state.copy(), 0.07, np.array([np.inf, np.inf])
    reach(Z, state, beta, direction, mu, 0, n, sums)
    da = state[STEP]
    du, dv = corrected(before, before[FIRST], da, mu)
    u, v = before[[U, V]]
    np.testing.assert_allclose((u + du) - (v + dv), before[Y] - (beta + direction) @ Z, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(sums, ends(before, du, dv, da), rtol=1e-8)
    rest = [i for i in range(8) if i != STEP]
    np.testing.assert_array_equal(state[rest], before[rest])


@pytest.mark.parametrize("p", [1, 5])
def test_rows_cut_anywhere_add_up(p: int) -> None:
    """Sums over two ranges of rows are those over all."""
    n, cut = 2 * TILE + 3, 700
    taken, k = np.array([0.2, 0.3, 0.05]), -(-(p + 1) // 4) * 4
    results = []
    for ranges in ([(0, n)], [(0, cut), (cut, n)]):
        Z, state, q, beta, direction = point(p, n)
        gram, sums, sides = np.zeros((k, k)), np.zeros(2), np.zeros((2, p))
        ahead, last = np.array([np.inf, np.inf, 0.0, 0.0, 0.0, 0.0]), np.array([np.inf, np.inf])
        for start, stop in ranges:
            equations(Z, state, q, beta, taken, start, stop, np.zeros((k, TILE)), gram, sums)
        for start, stop in ranges:
            foresee(Z, state, beta, direction, start, stop, np.empty((2, TILE)), sides, ahead)
        for start, stop in ranges:
            reach(Z, state, beta, direction, 0.1, start, stop, last)
        results.append(np.r_[np.triu(gram[:p, : p + 1]).ravel(), sums, sides.ravel(), ahead, last, state.ravel()])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-9)
