from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.block import InputError
from linnet.solvers.solver import Step
from linnet.synthetic import blocks, simulate, write


def test_the_truth_is_in_the_data() -> None:
    data = simulate([2, -3.4], 4.2, rows=10_000, noise=0.01)
    assert data.X.shape == (10_000, 2)
    assert (data.bias, data.noise, data.seed) == (4.2, 0.01, 0)
    residual = data.y - data.X @ data.weights - data.bias
    assert abs(residual.std() - 0.01) < 4 * 0.01 / np.sqrt(2 * 10_000)  # four standard errors
    assert abs(residual.mean()) < 4 * 0.01 / np.sqrt(10_000)
    np.testing.assert_allclose(np.cov(data.X.T), np.eye(2), atol=4 * np.sqrt(2 / 10_000))
    weights = np.linalg.lstsq(np.column_stack([np.ones(10_000), data.X]), data.y)[0]
    np.testing.assert_allclose(weights, [4.2, 2, -3.4], atol=5 * 0.01 / 100)


def test_no_noise_is_exact() -> None:
    data = simulate([0.5], 1.0, rows=100, noise=0.0)
    np.testing.assert_array_equal(data.y, 1.0 + 0.5 * data.X[:, 0])


@given(block_rows=st.integers(1, 120), seed=st.integers(0, 3), d=st.integers(1, 12))
def test_same_bits_whatever_the_block_size(block_rows: int, seed: int, d: int) -> None:
    whole = simulate(np.linspace(-1, 1, d), 0.5, rows=100, seed=seed)
    parts = list(blocks(np.linspace(-1, 1, d), 0.5, 100, 0.01, seed, block_rows))
    assert [p.start for p in parts] == list(range(0, 100, block_rows))
    np.testing.assert_array_equal(np.vstack([p.X for p in parts]), whole.X)
    np.testing.assert_array_equal(np.concatenate([np.asarray(p.y) for p in parts]), whole.y)


def test_seeds_differ() -> None:
    assert not np.array_equal(simulate([1.0], 0, 10, seed=1).X, simulate([1.0], 0, 10, seed=2).X)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_files_hold_the_same_bits(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    seen: list[Step] = []
    write(path, [2.0, -3.4], 4.2, rows=100_000, noise=0.5, seed=3, progress=seen.append)
    assert [step.rows for step in seen] == [65_536, 100_000]
    read = pyarrow.csv.read_csv if suffix == ".csv" else pyarrow.parquet.read_table
    table = read(path)
    data = simulate([2.0, -3.4], 4.2, rows=100_000, noise=0.5, seed=3)
    assert table.column_names == ["x1", "x2", "y"]
    np.testing.assert_array_equal(np.column_stack([table["x1"], table["x2"]]), data.X)
    np.testing.assert_array_equal(table["y"].to_numpy(), data.y)


def test_csv_begins_with_bare_names(tmp_path: Path) -> None:
    write(tmp_path / "out.csv", [1.0], 0.0, rows=1)
    assert (tmp_path / "out.csv").read_text().startswith("x1,y\n")


@pytest.mark.parametrize(
    "change", [{"weights": [1e308, 1e308]}, {"noise": 1.7e308}, {"weights": [1e308, -1e308, 1e308]}]
)
def test_a_target_beyond_float64_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """In the row in which it would be, even where other terms would bring it back, and without a warning or a file."""
    arguments: dict[str, Any] = {"weights": [1.0], "bias": 0.0, "rows": 70_000, "noise": 0.0, **change}
    z = np.random.default_rng(0).standard_normal((70_000, len(arguments["weights"]) + 1))
    with np.errstate(over="ignore", invalid="ignore"):
        y = np.cumsum([*(z[:, :-1] * arguments["weights"]).T, z[:, -1] * arguments["noise"]], axis=0)
    row = int(np.argmax(~np.isfinite(y).all(axis=0)))
    assert row > 0
    with pytest.raises(InputError, match=rf"^The target of row {row + 1:,} would be beyond float64's range: take sma"):
        simulate(**arguments)
    with pytest.raises(InputError, match=rf"row {row + 1:,} "):
        write(tmp_path / "out.csv", **arguments)
    assert not list(tmp_path.iterdir())


def test_a_row_of_a_later_block_is_named(tmp_path: Path) -> None:
    z = np.random.default_rng(5).standard_normal((100_000, 2))[:, 0]
    row = int(np.argmax(np.abs(z)))
    assert row >= 65_536
    largest = 1.7976931348623157e308 / np.sort(np.abs(z))[-2] * 0.999  # only that row goes beyond
    with pytest.raises(InputError, match=rf"row {row + 1:,} "):
        write(tmp_path / "out.csv", [largest], 0.0, 100_000, 0.0, seed=5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weights": []}, "at least one"),
        ({"weights": [1.0, float("nan")]}, "finite"),
        ({"weights": ["a"]}, "finite"),
        ({"weights": [[1.0]]}, "list of finite numbers"),
        ({"bias": float("inf")}, "bias"),
        ({"rows": 0}, "at least 1, but is 0"),
        ({"noise": -1.0}, "noise"),
        ({"seed": -1}, "seed"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    arguments: dict[str, Any] = {"weights": [1.0], "bias": 0.0, "rows": 10, **change}
    with pytest.raises(InputError, match=says):
        simulate(**arguments)
    with pytest.raises(InputError, match=says):
        write(tmp_path / "out.csv", **arguments)
    assert not list(tmp_path.iterdir())
