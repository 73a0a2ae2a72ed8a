from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from linnet import residuals as module
from linnet.block import Block
from linnet.losses import Absolute, Huber, Loss, Quantile
from linnet.residuals import Residuals, deviation, middle, quartiles

Floats = NDArray[np.float64]


def residuals_of(r: Floats, y: Floats, w: Floats | None = None, rows: int = 10**9) -> Residuals:
    """Filled from blocks of so many rows."""
    kept = Residuals()
    for i in range(0, r.size, rows):
        part = slice(i, i + rows)
        weight = None if w is None else w[part]
        at = kept.places(Block(np.empty((r[part].size, 1)), None, weight, i))
        kept.add(np.array([v[part][at] for v in (r, y, w) if v is not None]))
    return kept


def test_all_rows_are_kept_but_those_of_weight_0() -> None:
    r = np.arange(10.0)
    kept = residuals_of(r, -r, np.array([1.0, 0, 1, 1, 0, 0, 2, 1, 1, 1]), rows=3)
    got, y, w = kept.rows()
    assert got.tolist() == [0, 2, 3, 6, 7, 8, 9]
    assert y.tolist() == (-got).tolist()
    assert w is not None
    assert w.tolist() == [1, 1, 1, 2, 1, 1, 1]
    assert residuals_of(r, -r).rows()[2] is None


@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_of_many_rows_evenly_spread_ones_are_kept(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(module, "MOST", 100)
    r = np.arange(1701.0)
    w = np.where(r % 17 == 16, 0.0, 1.0)  # 1,601 rows count
    kept = residuals_of(r, r, w, rows)
    assert kept.stride in {16, 32}
    counted = r[w > 0]
    assert kept.rows()[0].tolist() == counted[:: kept.stride].tolist()
    assert 50 <= kept.rows()[0].size <= 101


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.8])
@pytest.mark.parametrize("size", [1, 2, 5, 10, 100_000])
def test_middle_minimises_the_quantile_loss(rng: np.random.Generator, q: float, size: int) -> None:
    """No value nearby costs less, and a weight counts like so many rows."""
    values = rng.integers(-40, 40, size) / 4 + rng.integers(0, 2) * 1e6
    w = rng.integers(1, 4, size).astype(float)
    loss = Quantile(q)
    found = middle(values, w, q)
    assert found == middle(np.repeat(values, w.astype(int)), None, q)
    costs = [w @ loss.value(values - c) for c in (found - 0.01, found, found + 0.01)]
    assert costs[1] <= min(costs) * (1 + 1e-14)


def test_middle_of_the_median_is_numpys(rng: np.random.Generator) -> None:
    for size in (7, 8, 1001, 1002):
        values = rng.standard_normal(size)
        assert middle(values, None, 0.5) == pytest.approx(np.median(values), rel=1e-15)


@pytest.mark.parametrize("n", [7, 25, 300, 301])
def test_weights_that_are_all_alike_are_none(rng: np.random.Generator, n: int) -> None:
    values = rng.standard_normal(n)
    for weight in (1.0, 0.1, 1 / 3, 1e-8):
        for q in (0.1, 0.29, 0.5, 0.7):
            assert middle(values, np.full(n, weight), q) == middle(values, None, q)


def test_a_weighted_middle_is_that_of_rows_repeated_whatever_the_size_of_weights(rng: np.random.Generator) -> None:
    """Against exact arithmetic: the value at the share q of all rows, or the middle of two where it lies between."""
    for _ in range(300):
        n = int(rng.integers(1, 12))
        values, weight = rng.integers(-3, 4, n).astype(float), rng.integers(0, 4, n).astype(float)
        if not weight.any():
            continue
        rows = np.sort(np.repeat(values, weight.astype(int)))
        for q in (Fraction(1, 10), Fraction(29, 100), Fraction(1, 2), Fraction(7, 10)):
            at = q * rows.size
            expected = (rows[math.ceil(at) - 1] + rows[min(math.floor(at), rows.size - 1)]) / 2
            assert middle(rows, None, float(q)) == expected
            for size in (1.0, 0.1, 3.0, 1 / 3, 1e-9):
                assert middle(values, size * weight, float(q)) == expected


def test_many_weights_that_rounding_adds_up_wrongly_still_meet_a_border(rng: np.random.Generator) -> None:
    """Half of the weight lies on either side of 0, and sums of 0.1 drift by much more than one rounding."""
    half = np.r_[np.full(99_999, 0.1), 0.3]
    values = np.r_[-1 - rng.random(100_000), 1 + rng.random(100_000)]
    expected = (values[values < 0].max() + values[values > 0].min()) / 2
    order = rng.permutation(values.size)
    assert middle(values[order], np.r_[half, half][order], 0.5) == expected


def test_the_robust_scale_does_not_depend_on_the_size_of_row_weights() -> None:
    """Residuals between whose halves the median lies: with weights of any size it is that of rows repeated."""
    r = np.array([-2.0, -1, 0, 3, 4, 7, 9, 12])
    w = np.array([3.0, 3, 3, 1, 2, 2, 3, 3])
    expected = residuals_of(np.repeat(r, w.astype(int)), np.repeat(r, w.astype(int))).robust_scale()
    for size in (1.0, 3.0, 7.0, 0.1, 1 / 3, 1e-9):
        assert residuals_of(r, r, size * w).robust_scale() == expected


def test_weighted_middle_of_many_values_leaves_most_unsorted(rng: np.random.Generator) -> None:
    """Also where the sample misleads: all weight in a few rows, rows in order, ties."""
    many = 200_000
    values = rng.standard_normal(many)
    heavy = np.where(np.arange(many) == 12_345, 1e9, 1.0)
    assert middle(values, heavy, 0.5) == values[12_345]
    w = rng.uniform(0.1, 1.0, many)
    order = np.argsort(values)
    below = np.cumsum(w[order])
    for q in (0.001, 0.3, 0.5, 0.999):
        expected = values[order[np.searchsorted(below, q * below[-1])]]
        assert middle(values, w, q) == expected
        assert middle(values[order], w[order], q) == expected
    assert middle(np.zeros(many), w, 0.5) == 0


def test_quartiles_are_numpys(rng: np.random.Generator) -> None:
    for size in (1, 2, 3, 4, 5, 1002):
        values = rng.standard_normal(size)
        assert quartiles(values) == pytest.approx(np.quantile(values, (0.25, 0.75)), rel=1e-14)


def test_deviation(rng: np.random.Generator) -> None:
    values, w = rng.standard_normal(50) + 1e6, rng.integers(1, 4, 50)
    assert deviation(values, None) == pytest.approx(np.std(values), rel=1e-9)
    assert deviation(values, w.astype(float)) == pytest.approx(np.std(np.repeat(values, w)), rel=1e-9)


def test_robust_scale(rng: np.random.Generator) -> None:
    r, w = rng.standard_t(2, 501), rng.integers(1, 4, 501)
    mad = sm.robust.mad(r, c=0.6745)
    assert residuals_of(r, r).robust_scale() == pytest.approx(mad, rel=1e-14)
    repeated = residuals_of(np.repeat(r, w), np.repeat(r, w)).robust_scale()
    assert residuals_of(r, r, w.astype(float)).robust_scale() == pytest.approx(repeated, rel=1e-14)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("loss", [Absolute(), Quantile(0.2), Huber(0.3), Huber(1e-6), Huber(1e6)])
def test_pseudo_r2_compares_with_the_best_constant(
    rng: np.random.Generator, loss: Loss, weighted: bool, intercept: bool
) -> None:
    y = rng.standard_t(2, 300) * 3 + 40
    r = y - 40 - rng.standard_normal(300)
    w = rng.uniform(0.2, 2.0, 300) if weighted else np.ones(300)

    def cost(constant: float) -> float:
        return float(w @ loss.value(y - constant))

    best = min(cost(c) for c in y) if not isinstance(loss, Huber) else np.inf
    if isinstance(loss, Huber):
        found = minimize_scalar(cost, bounds=(y.min(), y.max()), method="bounded", options={"xatol": 1e-10})
        best = float(found.fun)
    expected = 1 - w @ loss.value(r) / (best if intercept else cost(0.0))
    q = loss.q if isinstance(loss, Quantile) else 0.5
    got = residuals_of(r, y, w if weighted else None).pseudo_r2(loss, q, intercept)
    assert got == pytest.approx(expected, rel=1e-6)


def test_pseudo_r2_of_a_constant_target_is_not_defined() -> None:
    assert np.isnan(residuals_of(np.zeros(5), np.full(5, 0.1)).pseudo_r2(Huber(1.0), 0.5, True))


def test_location_where_the_loss_is_flat() -> None:
    """Two far groups of equal size, nothing within delta of their middle: any value between them minimises it."""
    y = np.array([0.0, 0, 0, 100, 100, 100])
    assert residuals_of(y - 50, y).pseudo_r2(Huber(1.0), 0.5, True) == pytest.approx(0.0, abs=1e-12)
