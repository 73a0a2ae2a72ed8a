"""What stands in for missing values is their column's mean, to the last bits."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import linnet
from linnet.sources.means import Means
from linnet.sources.source import numbered


@pytest.mark.parametrize("form", ["frame", "array", "parquet"])
@pytest.mark.parametrize("weighted", [False, True])
def test_means_keep_what_columns_have_in_common(tmp_path: Path, form: str, weighted: bool) -> None:
    """A mean that is off by its sum's rounding made a constant of 0.7 vary, and a weight of 1e12 of that."""
    rng = np.random.default_rng(0)
    n = 100_000
    count = rng.integers(1, 1000, n) * 1.0
    gap, lack = rng.random((2, n)) < 0.5
    table = pd.DataFrame({"x": rng.standard_normal(n), "same": 0.7, "count": count, "rest": 1000 - count})
    table.loc[gap, "same"] = np.nan
    table.loc[lack, ["count", "rest"]] = np.nan
    y, weight = rng.standard_normal(n), rng.random(n) if weighted else None
    data: Any = table.to_numpy() if form == "array" else table
    if form == "parquet":
        data = tmp_path / "table.parquet"
        table.assign(y=y, **({"w": weight} if weighted else {})).to_parquet(data)
        fit = linnet.fit(data, "y", weight="w" if weighted else None, missing="mean")
    else:
        fit = linnet.fit(data, y, weight=weight, missing="mean")
    fill = [feature.fill[0] for feature in fit.design.inputs if feature.fill]
    names = fit.names
    assert fill[1] == 0.7
    assert fit.status is linnet.Status.RANK_DEFICIENT
    told = " ".join(fit.notes)
    assert f"`{names[1]}` is constant (0.7)" in told
    assert f"`{names[3]}` = -`{names[2]}` + 1000" in told
    w = np.ones(n) if weight is None else weight
    there = ~lack
    exact = math.fsum((w * count)[there]) / math.fsum(w[there])
    assert fill[2] == pytest.approx(exact, rel=4e-16)


@pytest.mark.parametrize("pieces", [1, 7])
def test_means_of_numbers_of_any_size(pieces: int) -> None:
    """Against rational arithmetic, from the smallest numbers to the largest, in one block or several."""
    rng = np.random.default_rng(1)
    largest = np.finfo(np.float64).max
    columns = [np.full(70, largest), np.full(70, 5e-324), np.where(np.arange(70) % 2, largest, -largest)]
    columns += [rng.standard_normal(70) * size + near for size, near in ((1, 0), (1, 1e12), (1e-300, 0), (1e300, 1))]
    X, weight = np.column_stack(columns), rng.integers(0, 3, 70).astype(np.float64)
    X[3] = np.nan
    means = Means([f"x{j}" for j in range(X.shape[1])], numbered)
    for part in np.array_split(np.arange(70), pieces):
        means.add(X[part], weight[part], int(part[0]))
    there = ~np.isnan(X[:, 0])
    shares = [Fraction(w) for w in weight[there]]
    for column, mean in zip(X[there].T, means.values, strict=True):
        exact = sum((w * Fraction(x) for w, x in zip(shares, column, strict=True)), Fraction(0)) / sum(
            shares, Fraction(0)
        )
        assert abs(Fraction(float(mean)) - exact) <= Fraction(1, 2**52) * max(abs(Fraction(x)) for x in column)
        assert column.min() <= mean <= column.max()
    assert means.values[1] == 5e-324
