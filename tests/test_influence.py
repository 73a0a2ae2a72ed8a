from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from statsmodels.stats.outliers_influence import OLSInfluence

import linnet
from linnet import Fit, Huber, Source
from linnet.fitting import fit_source
from linnet.influence import LISTED, DecidingRows, deciding_rows
from linnet.solution import Solution
from linnet.sources import open_source
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]


@pytest.fixture
def rows(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """X (200, 3), far from 0 and of unlike sizes, and y with 25 rows far off."""
    X = rng.standard_normal((200, 3)) * [1, 10, 0.1] + [100, 0, 5]
    y = X @ [1.0, -0.2, 3.0] + rng.standard_normal(200)
    y[rng.choice(200, 25, replace=False)] += 12
    X[7] += [6, 60, 0.6]
    return X, y


def both(source: Source, delta: float = 1.0, **options: Any) -> tuple[Solution, Fit]:
    """The least-squares Solution, and the fit with Huber loss."""
    _, moments = fit_source(source, **options)
    assert moments is not None
    solution = moments.solve(options.get("l2", 0.0), options.get("intercept", True))
    return solution, fit_source(source, loss=Huber(delta), **options)[0]


def decide(source: Source, **options: Any) -> DecidingRows:
    return deciding_rows(source, *both(source, **options))


def numbers(deciding: DecidingRows) -> list[int]:
    return [int(row.where.split()[1].replace(",", "")) for row in deciding.rows]


def test_distances_are_statsmodels(rows: tuple[Floats, Floats]) -> None:
    X, y = rows
    deciding = decide(ArraySource(X, y), delta=1.5)
    peer = sm.OLS(y, sm.add_constant(X)).fit()
    influence = OLSInfluence(peer)
    cook = influence.cooks_distance[0]
    huber = linnet.fit(X, y, loss=Huber(1.5))
    trust = np.minimum(1, 1.5 / np.abs(y - huber.predict(X)))
    there = np.flatnonzero((trust < 0.5) & (cook > 4 / 200))
    assert deciding.count == there.size > LISTED
    assert deciding.distrusted == (trust < 0.5).sum()
    assert deciding.n == 200
    order = there[np.argsort(-cook[there])][:LISTED]
    assert numbers(deciding) == (order + 1).tolist()
    for i, row in zip(order, deciding.rows, strict=True):
        expected = (y[i], peer.fittedvalues[i], huber.predict(X[[i]])[0], trust[i], cook[i])
        got = (row.value, row.squared, row.huber, row.huber_weight, row.cooks_distance)
        np.testing.assert_allclose(got, expected, rtol=1e-9)
        assert row.leverage == pytest.approx(influence.hat_matrix_diag[i], rel=1e-9)


@pytest.mark.parametrize("options", [{}, {"intercept": False}, {"l2": 0.3}, {"l2": 0.3, "intercept": False}])
@pytest.mark.parametrize("weighted", [False, True])
def test_definition_by_plain_matrices(rows: tuple[Floats, Floats], weighted: bool, options: dict[str, Any]) -> None:
    X, y = rows
    w = np.random.default_rng(3).integers(0, 4, 200) / 2 if weighted else np.ones(200)
    deciding = decide(ArraySource(X, y, weight=w if weighted else None), **options)
    intercept = options.get("intercept", True)
    Z = np.column_stack([np.ones(200), X]) if intercept else X
    penalty = options.get("l2", 0.0) * w.sum() * np.diag([0.0] * intercept + [1.0] * 3)
    inverse = np.linalg.inv(Z.T @ (w[:, None] * Z) + penalty)
    hat = w[:, None] * Z @ inverse @ Z.T
    h, r = np.diag(hat), y - Z @ inverse @ Z.T @ (w * y)
    used, p = np.count_nonzero(w), np.trace(hat)
    cook = w * r**2 * h / (p * (w @ r**2 / (used - p)) * (1 - h) ** 2)
    for row, i in zip(deciding.rows, numbers(deciding), strict=True):
        assert row.cooks_distance == pytest.approx(cook[i - 1], rel=1e-8)
        assert w[i - 1] > 0
    huber = linnet.fit(X, y, weight=w, loss=Huber(1.0), **options)
    distrusted = (np.abs(y - huber.predict(X)) > 2.0) & (w > 0)
    assert deciding.n == used
    assert deciding.distrusted == distrusted.sum()
    assert deciding.count == (distrusted & (cook > 4 / used)).sum() >= 5


def test_leaving_the_row_out_moves_predictions_so_far(rows: tuple[Floats, Floats]) -> None:
    """What the formula claims, done: fit again without the row."""
    X, y = rows
    row = decide(ArraySource(X, y)).rows[0]
    i = numbers(decide(ArraySource(X, y)))[0] - 1
    whole, without = linnet.fit(X, y), linnet.fit(np.delete(X, i, 0), np.delete(y, i))
    moved = whole.predict(X) - without.predict(X)
    assert row.cooks_distance == pytest.approx(moved @ moved / (4 * whole.residual_sd**2), rel=1e-9)


def test_any_blocks_and_files_find_the_same(rows: tuple[Floats, Floats], tmp_path: Path) -> None:
    X, y = np.tile(rows[0], (20, 1)), np.tile(rows[1], 20)
    X[1001:] = X[1001:] * 1.0001  # so that no two rows are equal
    whole = decide(ArraySource(X, y))
    small = decide(ArraySource(X, y, block_rows=37))
    table = pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": y})
    pq.write_table(table.slice(0, 1500), tmp_path / "1.parquet", row_group_size=400)
    pq.write_table(table.slice(1500), tmp_path / "2.parquet", row_group_size=300)
    streamed = decide(open_source(tmp_path, "y"))
    for other in (small, streamed):
        assert (other.count, other.distrusted, other.n) == (whole.count, whole.distrusted, whole.n)
        for a, b in zip(whole.rows, other.rows, strict=True):
            np.testing.assert_allclose(dataclasses.astuple(a)[1:], dataclasses.astuple(b)[1:], rtol=1e-7)
    assert numbers(small) == numbers(whole)
    for name, row in zip(numbers(whole), streamed.rows, strict=True):
        file, at = ("1.parquet", name) if name <= 1500 else ("2.parquet", name - 1500)
        assert row.where.startswith(f"row {at:,} of ")
        assert file in row.where


def test_rows_with_missing_values_keep_their_numbers(rows: tuple[Floats, Floats]) -> None:
    frame = pd.DataFrame(rows[0], columns=["a", "b", "c"])
    frame["town"] = np.where(np.arange(200) % 3, "Bath", "York")
    frame["y"] = rows[1]
    clean = numbers(decide(open_source(frame, "y")))
    gaps = np.array([i for i in range(200) if i + 1 not in clean][::4])
    frame.loc[gaps, "a"] = np.nan
    deciding = decide(open_source(frame, "y", missing="drop"))
    kept = frame.drop(index=gaps)
    expected = decide(open_source(kept, "y"))
    assert numbers(deciding) == [int(kept.index[i - 1]) + 1 for i in numbers(expected)]
    assert deciding.n == 200 - gaps.size
    for row, i in zip(deciding.rows, numbers(deciding), strict=True):
        assert row.value == frame["y"][i - 1]


def test_a_perfect_fit_and_a_saturated_one_leave_nothing_to_decide() -> None:
    x = np.arange(10.0)[:, None]
    for X, y in ((x, 3 * x[:, 0] + 1), (x[:2], np.array([1.0, 5.0]))):
        deciding = decide(ArraySource(X, y))
        assert (deciding.rows, deciding.count) == ((), 0)


def test_a_row_that_alone_tells_a_weight_does_not_decide(rows: tuple[Floats, Floats]) -> None:
    """Its leverage is 1: it is fitted exactly by any loss, and no distance comes out of rounding."""
    X = np.column_stack([rows[0], np.arange(200) == 3])
    y = rows[1].copy()
    y[3] += 1e6
    deciding = decide(ArraySource(X, y))
    assert 4 not in numbers(deciding)
    assert all(math.isfinite(row.cooks_distance) for row in deciding.rows)


def test_columns_that_reproduce_one_another_change_nothing(rows: tuple[Floats, Floats]) -> None:
    X, y = rows
    doubled = decide(ArraySource(np.column_stack([X, X[:, 0] - X[:, 1]]), y))
    single = decide(ArraySource(X, y))
    assert numbers(doubled) == numbers(single)
    for a, b in zip(doubled.rows, single.rows, strict=True):
        assert a.cooks_distance == pytest.approx(b.cooks_distance, rel=1e-6)


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_sizes_near_the_ends_of_float64(rows: tuple[Floats, Floats], size: float) -> None:
    X, y = rows
    plain = decide(ArraySource(X, y))
    solution, huber = both(ArraySource(X, y))
    X = X * [size, 1, 1]
    _, moments = fit_source(ArraySource(X, y))
    assert moments is not None
    stretched = dataclasses.replace(
        huber, weights=huber.weights / [size, 1, 1], centre=huber.centre * [size, 1, 1], uncertainty=None
    )
    far = deciding_rows(ArraySource(X, y), moments.solve(), stretched)
    assert numbers(far) == numbers(plain)
    assert far.rows[0].cooks_distance == pytest.approx(plain.rows[0].cooks_distance, rel=1e-9)
    assert solution.weights.size == 3
