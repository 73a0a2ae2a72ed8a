from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.block import Block, InputError, check_weight


def where(row: int) -> str:
    """A row as a file would name it."""
    return f"data.csv, row {row + 1:,}"


def test_shape() -> None:
    block = Block(np.zeros((7, 3)), np.zeros(7))
    assert (block.rows, block.features, block.start) == (7, 3, 0)


def test_good_numbers_pass() -> None:
    block = Block(np.array([[1.7e308, -5e-324]]), np.array([0.0]), np.array([0.0]))
    block.check(["a", "b"], "y", where)
    Block(np.zeros((0, 2)), np.zeros(0), np.zeros(0)).check(["a", "b"], "y", where)
    Block(np.zeros((2, 1))).check(["a"], "y", where)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("value", "what"), [(np.nan, "missing (NaN)"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_the_first_column_and_row_at_fault_are_named(dtype: type, value: float, what: str) -> None:
    """Of two columns at fault the first, and in it the first row, counted on from the block's start."""
    X: NDArray[Any] = np.zeros((4000, 3), dtype)
    X[2500, 2] = X[1233, 1] = X[3000, 1] = value
    with pytest.raises(InputError) as error:
        Block(X, np.zeros(4000), start=1000).check(["a", "width [mm]", "c"], "y", where)
    message = str(error.value)
    assert f"Column 'width [mm]' is {what} in data.csv, row 2,234, one of 2 such values" in message
    assert "\n" not in message
    assert "remove" in message or "drop" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_target_is_checked(value: float) -> None:
    y = np.zeros(5)
    y[4] = value
    with pytest.raises(InputError, match=r"Column 'price' .* row 5"):
        Block(np.zeros((5, 1)), y).check(["a"], "price", where)


def test_weights_are_checked_with_the_block() -> None:
    with pytest.raises(InputError, match=r"weight.* is -1\.0 in data\.csv, row 12"):
        Block(np.zeros((3, 1)), np.zeros(3), np.array([0.0, -1.0, 2.0]), start=10).check(["a"], "y", where)


@pytest.mark.parametrize("value", [-1.0, -5e-324, np.nan, np.inf, -np.inf])
def test_bad_weights_are_refused(value: float) -> None:
    weight = np.ones(5)
    weight[3] = value
    with pytest.raises(InputError, match=r"'w' is .* in data\.csv, row 4: weights must be finite and at least 0"):
        check_weight(weight, where, "w")


@pytest.mark.parametrize("weight", [[1e-201, 1e-200], [1.0, 1e201], [5e-324, 0.0], [1e-31, 1e30]])
def test_weights_of_absurd_size_are_refused(weight: list[float]) -> None:
    """Their products would leave float64's range, or the light rows be lost in the rounding of the heavy ones."""
    with pytest.raises(
        InputError, match=r"must lie between 1e-200 and 1e\+200 and differ by a factor of at most 1e\+60"
    ):
        check_weight(np.array(weight), where)


def test_weights_of_0_are_good() -> None:
    check_weight(np.array([0.0, -0.0, 1e-30, 1e29]), where)
    check_weight(np.array([0.0, 1e200]), where)
    check_weight(np.zeros(3), where)
    check_weight(np.empty(0), where)


def test_input_error_is_a_value_error() -> None:
    assert issubclass(InputError, ValueError)


@pytest.mark.parametrize(
    ("X", "y", "weight", "said"),
    [
        ([[1.0]], np.zeros(1), None, "X is a list, but must be a plain NumPy array"),
        (np.zeros((5, 2)), [0.0] * 5, None, "y is a list"),
        (np.zeros((5, 2)), np.zeros(5), [1.0] * 5, "weight is a list"),
        (np.ma.masked_array(np.zeros((5, 2))), np.zeros(5), None, "X is a MaskedArray"),
        (np.zeros(5), np.zeros(5), None, r"X has shape \(5,\), but must have \(rows, features\)"),
        (np.zeros((5, 2)), np.zeros((5, 1)), None, r"y has shape \(5, 1\), but must have \(rows,\)"),
        (np.zeros((5, 2)), np.zeros(4), None, "X has 5 rows, but its y 4"),
        (np.zeros((5, 2)), np.zeros(1), None, "X has 5 rows, but its y 1"),
        (np.zeros((5, 2)), np.zeros(5000)[:6], None, "X has 5 rows, but its y 6"),
        (np.zeros((5, 2)), np.zeros(5), np.ones(1), "X has 5 rows, but its weight 1"),
        (np.zeros((5, 2), np.int64), np.zeros(5), None, "X holds int64, but must hold float64 or float32"),
        (np.zeros((5, 2), object), np.zeros(5), None, "X holds object"),
        (np.zeros((5, 2)), np.zeros(5, bool), None, "y holds bool"),
        (np.zeros((5, 2)), np.zeros(5), np.ones(5, np.float32), "weight holds float32, but must hold float64"),
        (np.zeros((5, 2), np.dtype(float).newbyteorder()), None, None, "float64 in another byte order"),
    ],
)
def test_what_compiled_loops_would_read_past_is_refused(X: Any, y: Any, weight: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        Block(X, y, weight)
    assert "\n" not in str(error.value)


def test_arrays_in_files_are_arrays(tmp_path: Path) -> None:
    X = np.memmap(tmp_path / "X", np.float64, "w+", shape=(5, 2))
    assert Block(X, X[:, 0]).rows == 5
