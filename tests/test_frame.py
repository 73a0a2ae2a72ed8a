"""Frame: a sample that no block size changes, and coordinates in which features are orthonormal."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import Block
from linnet.objective import Objective, residual
from linnet.solution import Solution
from linnet.solvers import frame as frames
from linnet.solvers.exact import Exact
from linnet.solvers.frame import Coordinates, Frame, Sample, sample_size
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]


def table(n: int = 500, d: int = 3, seed: int = 4) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * np.logspace(-3, 4, d) + 10 * rng.standard_normal(d)
    return X, X @ rng.standard_normal(d) + 100 + rng.standard_t(2, n), rng.uniform(0.1, 3, n)


def read(sample: Sample) -> Sample:
    for _ in sample.blocks():
        pass
    return sample


def test_few_rows_are_all_in_the_sample() -> None:
    X, y, w = table()
    for block_rows in (1, 7, 500):
        sample = read(Sample(ArraySource(X, y, weight=w, block_rows=block_rows)))
        assert sample.complete
        assert sample.seen == 500
        block = sample.block()
        assert block.y is not None
        assert block.weight is not None
        np.testing.assert_array_equal(block.X, X)
        np.testing.assert_array_equal(block.y, y)
        np.testing.assert_array_equal(block.weight, w)


def test_rows_of_weight_0_are_not_sampled() -> None:
    X, y, w = table()
    w[::3] = 0
    sample = read(Sample(ArraySource(X, y, weight=w)))
    assert sample.complete
    assert sample.seen == np.count_nonzero(w)
    np.testing.assert_array_equal(sample.block().X, X[w > 0])


def test_the_sample_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SAMPLE", 4 * 200)
    monkeypatch.setattr(frames, "DIRECT", 100)
    X, y, w = table(3000)
    w[::7] = 0
    kept = []
    for block_rows in (1, 7, 700, 3000):
        sample = Sample(ArraySource(X, y, weight=w, block_rows=block_rows))
        read(read(sample))  # a second pass begins anew
        assert not sample.complete
        assert sample.seen == np.count_nonzero(w)
        block, few = sample.block(), sample.block(60)
        assert few.rows == 60
        assert 60 < block.rows <= 200
        assert {row.tobytes() for row in few.X} <= {row.tobytes() for row in block.X}
        assert {row.tobytes() for row in block.X} <= {row.tobytes() for row in X[w > 0]}
        kept.append((block.X.tobytes(), few.X.tobytes()))
    assert len(set(kept)) == 1


def test_every_row_is_as_likely_to_be_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "SAMPLE", 2 * 4000)
    monkeypatch.setattr(frames, "DIRECT", 1000)
    at = np.arange(40_000.0)
    block = read(Sample(ArraySource(at[:, None], at, block_rows=999))).block(2000)
    counts = np.histogram(block.X[:, 0], 10, (0, 40_000))[0]
    assert ((counts - 200) ** 2).sum() / 200 < 30  # chi-squared of 9 degrees of freedom
    np.testing.assert_array_equal(block.X[:, 0], np.sort(block.X[:, 0]))


def test_the_sample_passes_on_what_its_source_says() -> None:
    X, y, _ = table()
    X[3, 1] = np.nan
    source = ArraySource(X, y, missing="drop")
    sample = read(Sample(source))
    assert sample.dropped == 1
    assert sample.block().rows == 499
    assert (sample.design, sample.target, sample.rows) == (source.design, "y", source.rows)
    assert sample.where(3) == source.where(3)


def test_float32_rows_become_float64() -> None:
    X, y, _ = table()
    block = read(Sample(ArraySource(X.astype(np.float32), y.astype(np.float32)))).block()
    assert block.y is not None
    assert block.X.dtype == block.y.dtype == np.float64
    np.testing.assert_array_equal(block.X, X.astype(np.float32))


def test_sample_size() -> None:
    assert sample_size(50, 3) == 50
    assert abs(sample_size(10**6, 1) - 10_000) <= 1
    assert abs(sample_size(10**6, 64) - 40_000) <= 1
    sizes = [sample_size(n, 10) for n in (10**4, 10**5, 10**6, 10**7, 10**8)]
    assert sizes == sorted(sizes)


def solution(X: Floats, y: Floats, w: Floats | None = None, intercept: bool = True) -> Solution:
    source = ArraySource(X, y, weight=w)
    last = list(Exact().steps(Objective(linnet.Squared(), intercept=intercept), source))[-1]
    assert last.solution is not None
    return last.solution


def frame(X: Floats, y: Floats, w: Floats | None = None, intercept: bool = True) -> Frame:
    return Frame(solution(X, y, w, intercept), Block(X, y, w))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_the_gram_matrix_is_the_identity(intercept: bool, weighted: bool) -> None:
    X, y, w = table()
    weight = w if weighted else None
    Z, target, row_weights = frame(X, y, weight, intercept).coordinates.rows(Block(X, y, weight))
    assert Z.shape == (3 + intercept, 500)
    assert Z.flags.c_contiguous
    np.testing.assert_allclose((Z * row_weights) @ Z.T / row_weights.sum(), np.eye(len(Z)), atol=1e-9)
    assert 0.3 < np.median(np.abs(target)) < 3
    if intercept:
        np.testing.assert_array_equal(Z[0], 1.0)
        assert np.median(target) == 0


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dependent", [True, False])
@pytest.mark.parametrize("power", [0, 300, -300, 950, -950])
def test_weights_give_the_residuals_of_their_plane(intercept: bool, dependent: bool, power: int) -> None:
    """Up to the target's unit, residuals in the frame are residuals outside it."""
    X, y, _ = table()
    if dependent:
        X = np.column_stack([X, X[:, 0] - X[:, 1], np.full(500, 3.0)])
    up = np.ldexp(X, power)
    of = frame(up, y, intercept=intercept)
    Z, target, _ = of.coordinates.rows(Block(up, y))
    assert len(Z) == 3 + (intercept or dependent)
    plane = np.random.default_rng(1).standard_normal(len(Z))
    weights, bias = of.weights(plane)
    want = np.ldexp(target - plane @ Z, of.power)
    ours = residual(Block(X, y), np.ldexp(weights, power), bias)
    np.testing.assert_allclose(ours, want, rtol=1e-7, atol=1e-7 * np.abs(want).max())
    assert intercept or bias == 0


def test_the_penalty_is_that_of_the_weights() -> None:
    """Σ w · l2/2 · ‖weights‖² in the units in which losses are summed."""
    X, y, w = table()
    of = frame(X, y, w)
    assert of.penalty(0.0) is None
    for l2 in (1e-8, 0.3, 1e8):
        matrix = of.penalty(l2)
        assert matrix is not None
        np.testing.assert_allclose(matrix, matrix.T, rtol=1e-12)
        assert not matrix[0].any()
        plane = np.random.default_rng(1).standard_normal(4)
        weights, _ = of.weights(plane)
        want = w.sum() * 0.5 * l2 * weights @ weights
        assert np.ldexp(0.5 * plane @ matrix @ plane, of.power) == pytest.approx(want, rel=1e-10)


def test_a_row_far_out_costs_the_others_no_digits() -> None:
    X, y, _ = table()
    y[3] = 1e20
    _, target, _ = frame(X, y).coordinates.rows(Block(X, y))
    assert 0.3 < np.median(np.abs(target)) < 3
    mostly = np.where(np.arange(500) % 10 == 0, y, 7.0)
    _, target, _ = frame(X, mostly).coordinates.rows(Block(X, mostly))
    assert np.count_nonzero(target) == 50
    assert 0.3 < np.median(np.abs(target[target != 0])) < 3


def test_coordinates_that_are_the_rows_own() -> None:
    X, y, w = table()
    same = Coordinates.same(3)
    Z, target, weights = same.rows(Block(X, y, w))
    np.testing.assert_array_equal(Z, X.T)
    np.testing.assert_array_equal(target, y)
    np.testing.assert_array_equal(weights, w)
    assert same.size == 3


def test_sums_and_planes_by_coordinates() -> None:
    """What is summed over features, sums over coordinates; and a plane's slopes are by the features."""
    X, y, w = table()
    at = frame(X, y, w).coordinates
    Z, target, _ = at.rows(Block(X, y, w))
    x = (X * at.unit[0] - at.unit[1]) * at.unit[2]
    sums = np.r_[w @ x, w @ target, w.sum()][None]
    np.testing.assert_allclose(at.sums(sums)[0], np.r_[Z @ w, w @ target, w.sum()], rtol=1e-9, atol=1e-9 * w.sum())
    plane = np.array([0.5, -1.0, 2.0, 3.0])
    level, *slopes = at.plane(plane)
    np.testing.assert_allclose(level + x @ slopes, plane @ Z, rtol=1e-9, atol=1e-12)
