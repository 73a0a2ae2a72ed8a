"""ArraySource: arrays as they lie, and what is refused at the door."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from numpy.typing import NDArray

from linnet.block import InputError
from linnet.design import Design, Feature
from linnet.sources import open_source
from linnet.sources.arrays import ArraySource, as_float, as_matrix, as_vector, prediction_rows

Floats = NDArray[np.float64]
X = np.arange(12.0).reshape(6, 2)
Y = np.arange(6.0)


def read(source: ArraySource) -> tuple[Any, Any]:
    blocks = list(source.blocks())
    return np.concatenate([b.X for b in blocks]), np.concatenate([b.y for b in blocks if b.y is not None])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_blocks_are_views_in_the_order_of_the_array(order: Any, dtype: Any) -> None:
    data, target = np.asarray(X, dtype=dtype, order=order), Y.astype(dtype)
    source = ArraySource(data, target, block_rows=4)
    blocks = list(source.blocks())
    assert [(b.rows, b.start) for b in blocks] == [(4, 0), (2, 4)]
    for block in blocks:
        assert np.shares_memory(block.X, data)
        assert block.X.dtype == dtype
        assert block.X.flags.c_contiguous == (order == "C")
        assert block.weight is None
    assert (source.rows, source.dropped, source.rereadable, source.shuffle) == (6, 0, True, "rows")
    assert source.design.names == ("x1", "x2")
    assert source.where(1234) == "row 1,235"


@pytest.mark.parametrize("block_rows", [1, 4, 6, 100])
def test_every_row_once_and_again(block_rows: int) -> None:
    source = ArraySource(X, Y, weight=Y + 1, block_rows=block_rows)
    for _ in range(2):
        rows, target = read(source)
        assert np.array_equal(rows, X)
        assert np.array_equal(target, Y)
        assert np.array_equal(np.concatenate([b.weight for b in source.blocks() if b.weight is not None]), Y + 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_targets_of_any_layout_are_read_alike(dtype: Any) -> None:
    """Loops are compiled for each layout that they meet, which takes seconds."""
    columns = np.column_stack([Y, Y, X]).astype(dtype)
    for y in (columns[:, 0], columns[::-1][::-1, 1], columns[:, :1], np.asfortranarray(columns)[:, :1]):
        held = ArraySource(columns[:, 2:], y, weight=columns[:, 0] + 1).held()
        assert held is not None
        assert held.y is not None
        assert held.weight is not None
        np.testing.assert_array_equal(held.y, Y.astype(dtype))
        assert held.y.flags.c_contiguous
        assert held.weight.flags.c_contiguous


def strided() -> Floats:
    wide = np.zeros((12, 6))
    wide[::2, ::3] = X
    return wide[::2, ::3]


def read_only() -> Floats:
    array = X.copy()
    array.flags.writeable = False
    return array


LIKE = {
    "int64": X.astype(np.int64),
    "uint8": X.astype(np.uint8),
    "float16": X.astype(np.float16),
    "float32": X.astype(np.float32),
    "longdouble": X.astype(np.longdouble),
    "big-endian": X.astype(">f8"),
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "objects": X.astype(object),
    "read-only": read_only(),
    "strided": strided(),
    "backwards": X[::-1].copy()[::-1],
    "fortran": np.asfortranarray(X),
    "masked nowhere": np.ma.array(X, mask=False),
    "matrix": np.asmatrix(X),
}


@pytest.mark.parametrize("name", LIKE)
def test_whatever_holds_the_same_numbers_reads_the_same(name: str) -> None:
    rows, _ = read(ArraySource(LIKE[name], Y))
    assert np.array_equal(rows, X)
    assert rows.dtype in (np.float32, np.float64)
    column = as_matrix(LIKE[name], "X")[:, 0]
    _, target = read(ArraySource(X, column.copy()))
    assert np.array_equal(target, X[:, 0])


def test_booleans_and_series() -> None:
    rows, target = read(ArraySource(X > 4, pd.Series(Y, index=range(10, 16))))
    assert np.array_equal(rows, (X > 4) * 1.0)
    assert np.array_equal(target, Y)


def test_torch_tensors_on_the_cpu() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (
        torch.tensor(X),
        torch.tensor(X, requires_grad=True),
        torch.tensor(X).float(),
        torch.tensor(X).half(),
    ):
        rows, _ = read(ArraySource(tensor, torch.tensor(Y, requires_grad=True), weight=torch.ones(6)))
        assert np.array_equal(rows, X)
    shared = torch.tensor(X)
    assert np.shares_memory(next(iter(ArraySource(shared, Y).blocks())).X, shared.numpy())
    for tensor, said in (
        (torch.tensor(X).bfloat16(), "BFloat16"),
        (torch.tensor(X).to_sparse(), "Sparse"),
        (torch.tensor(X).to("meta"), r"device meta: give X.cpu\(\)"),
        (torch.tensor(X + 0j), "complex"),
    ):
        with pytest.raises(InputError, match=said):
            ArraySource(tensor, Y)


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "no rows": (X[:0], Y[:0], "at least one row and one column"),
    "no columns": (X[:, :0], Y, "at least one row and one column"),
    "short target": (X, Y[:-1], "X has 6 rows, but y has 5 values"),
    "long target": (X, np.arange(7.0), "X has 6 rows, but y has 7 values"),
    "one dimension": (Y, Y, r"two dimensions .* reshape\(-1, 1\) makes one feature"),
    "three dimensions": (X[None], Y, r"two dimensions .* \(1, 6, 2\)"),
    "a scalar": (3.0, Y, "two dimensions"),
    "two targets": (X, X, r"y must have one dimension \(6,\), but has shape \(6, 2\)"),
    "a scalar target": (X, 3.0, "y must have one dimension"),
    "none": (None, Y, "two dimensions"),
    "no target": (X, None, "y must have one dimension"),
    "text": (X.astype(str), Y, "holds <U32 where numbers are needed"),
    "text target": (X, Y.astype(str), "y holds <U32 where numbers are needed: convert it"),
    "bytes": (X.astype("S"), Y, "where numbers are needed"),
    "text objects": (np.array([["a", 1], ["b", 2]], object), [1, 2], "cannot be read as an array of numbers"),
    "ragged": ([[1], [1, 2]], [1, 2], "cannot be read as an array of numbers"),
    "complex": (X + 0j, Y, "X is complex"),
    "complex target": (X, Y + 0j, "y is complex"),
    "masked complex": (np.ma.array(X + 0j), Y, "X is complex"),
    "dates": (X.astype("M8[D]"), Y, "datetime64"),
    "spans": (X, Y.astype("m8[s]"), "timedelta64"),
    "records": (np.zeros((6, 1), [("a", "f8")]), Y, "where numbers are needed"),
    "sparse array": (scipy.sparse.csr_array(X), Y, r"sparse: .* X.toarray\(\)"),
    "sparse matrix": (scipy.sparse.csc_matrix(X), Y, "sparse"),
    "huge integers": ([[10**400], [1]], [1, 2], "cannot be read as an array of numbers"),
    "huge target": ([[1], [2]], [1, 10**400], "cannot be read as an array of numbers"),
    "a function": (len, Y, "cannot be read|where numbers are needed|two dimensions"),
    "a dictionary": ([[{}], [{}]], [1, 2], "cannot be read as an array of numbers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_paragraph(name: str) -> None:
    data, target, said = REFUSED[name]
    with pytest.raises(InputError, match=said) as error:
        ArraySource(data, target)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (Y - 1, "is -1.0 in row 1: weights must be finite and at least 0"),
        (np.where(Y == 3, np.nan, 1.0), "is nan in row 4: weights must be"),
        (np.where(Y == 3, np.inf, 1.0), "is inf in row 4: weights must be"),
        (np.where(Y == 3, 1e-70, 1.0), "reach from 1e-70 to 1"),
        (np.full(6, 1e-300), "must lie between 1e-200 and 1e"),
        (np.full(6, 1e300), "must lie between 1e-200 and 1e"),
        (Y[:-1], "X has 6 rows, but weight has 5 values"),
        (X, "weight must have one dimension"),
        (2.0, "weight must have one dimension"),
        (Y + 0j, "weight is complex"),
        (["a"] * 6, "weight holds"),
    ],
)
def test_weights_that_are_no_weights(weight: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        ArraySource(X, Y, weight=weight)


def test_weights_of_any_real_type() -> None:
    for weight in (Y.astype(int), Y > 2, Y[:, None], Y.tolist(), Y.astype(np.float32)):
        (block,) = ArraySource(X, Y, weight=weight).blocks()
        assert block.weight is not None
        assert block.weight.dtype == np.float64
        assert np.array_equal(block.weight, np.asarray(weight, np.float64).ravel())


def gappy() -> tuple[Floats, Floats]:
    data, target = X.copy(), Y.copy()
    data[1, 0] = data[3, 1] = target[4] = np.nan
    return data, target


@pytest.mark.parametrize("block_rows", [1, 2, 100])
def test_drop(block_rows: int) -> None:
    """Rows 2, 4 and 5 go; the numbers of the others stay what they were."""
    source = ArraySource(*gappy(), weight=Y, missing="drop", block_rows=block_rows)
    for _ in range(2):
        rows, target = read(source)
        assert np.array_equal(target, [0, 2, 5])
        assert np.array_equal(rows, X[[0, 2, 5]])
        assert source.dropped == 3
    assert np.concatenate([b.weight for b in source.blocks() if b.weight is not None]).tolist() == [0, 2, 5]
    assert [b.start for b in source.blocks()] == list(range(0, 6, block_rows))
    for block in source.blocks():
        assert block.y is not None
        for at, y in enumerate(block.y):
            assert source.where(block.start + at) == f"row {int(y) + 1}"  # y numbers the rows


@pytest.mark.parametrize("block_rows", [1, 2, 100])
def test_mean(block_rows: int) -> None:
    """Features are filled with their mean over rows that have a target; a row without one is dropped."""
    source = ArraySource(*gappy(), missing="mean", block_rows=block_rows)
    rows, target = read(source)
    assert source.dropped == 1
    means = np.mean([0, 4, 6, 10]), np.mean([1, 3, 5, 11])
    assert [f.fill for f in source.design.inputs] == [(float(m),) for m in means]
    assert [f.filled for f in source.design.inputs] == [1, 1]
    want = X.copy()
    want[1, 0], want[3, 1] = means
    assert np.array_equal(rows, np.delete(want, 4, axis=0))
    assert np.array_equal(target, [0, 1, 2, 3, 5])


def test_mean_is_weighted() -> None:
    data = np.array([[1.0], [3.0], [np.nan], [100.0], [np.nan]])
    source = ArraySource(data, [1.0, 2, 3, 4, 5], weight=[1.0, 3, 1, 0, 0], missing="mean")
    assert source.design.inputs[0].fill == (2.5,)
    assert source.design.inputs[0].filled == 1  # a row of weight 0 does not count


def test_nothing_left() -> None:
    with pytest.raises(InputError, match="No row is left: each of the 6 has a missing value"):
        list(ArraySource(X, Y * np.nan, missing="drop").blocks())
    with pytest.raises(InputError, match="Column 'x2' has no value in any row"):
        ArraySource(X * [1, np.nan], Y, missing="mean")
    with pytest.raises(InputError, match="There are no rows to fit: every row is missing, dropped or has weight 0"):
        ArraySource(X, Y, weight=Y * 0, missing="mean")


def test_masked_values_are_missing() -> None:
    mask = np.zeros((6, 2), bool)
    mask[2, 1] = True
    source = ArraySource(np.ma.array(X.astype(int), mask=mask), np.ma.array(Y, mask=Y == 5), missing="drop")
    _, target = read(source)
    assert target.tolist() == [0, 1, 3, 4]


def test_prediction_rows() -> None:
    design = Design.numbers(["a", "b"])
    rows = prediction_rows(X.astype(int), design)
    assert np.array_equal(rows.X, X)
    assert rows.filled == {}
    assert rows.place(3) == "row 4"
    assert prediction_rows(X[:0], design).X.shape == (0, 2)
    for data, said in (
        (X[:, :1], "X has 1 columns, but the model was fitted on 2"),
        (Y, "two dimensions"),
        (X.astype(str), "where numbers are needed"),
        (np.where(X == 7, np.nan, X), "Column 'b' is missing .* row 4"),
        (np.where(X == 7, -np.inf, X), "Column 'b' is infinite in row 4"),
    ):
        with pytest.raises(InputError, match=said):
            prediction_rows(data, design)


def test_an_open_file_is_no_array_and_stays_open() -> None:
    with io.TextIOWrapper(io.BytesIO(b"1,2")) as file:
        with pytest.raises(InputError, match="cannot be read as an array of numbers"):
            as_matrix(file, "X")
        assert file.read() == "1,2"  # a tensor's detach() is another thing for a file


def test_prediction_rows_with_gaps() -> None:
    holes = np.where(X == 7, np.nan, X)
    dropped = prediction_rows(holes, Design.numbers(["a", "b"], "drop"))
    assert np.isnan(dropped.X[3]).all()
    assert np.array_equal(np.delete(dropped.X, 3, axis=0), np.delete(X, 3, axis=0))
    filled = prediction_rows(holes, Design((Feature("a", None, (-1.0,)), Feature("b", None, (-2.0,))), "mean"))
    assert filled.X[3].tolist() == [6, -2]
    assert {name: np.flatnonzero(mask).tolist() for name, mask in filled.filled.items()} == {"b": [3]}
    with pytest.raises(InputError, match="infinite"):
        prediction_rows(np.where(X == 7, np.inf, holes), Design.numbers(["a", "b"], "drop"))


def test_an_array_cannot_name_categories() -> None:
    with pytest.raises(InputError, match="categories among its features"):
        prediction_rows(X, Design((Feature("a", ("p", "q")), Feature("b"))))


def test_as_float_and_as_vector() -> None:
    assert as_float(Y) is Y
    assert as_float(Y.astype(np.int32)).dtype == np.float64
    assert as_float(Y > 1).tolist() == [0, 0, 1, 1, 1, 1]
    assert as_vector(Y[:, None], "y", 6).shape == (6,)


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_a_row_without_weight_is_dropped_as_in_a_frame(missing: Any) -> None:
    weight = np.array([1.0, np.nan, 2, 0, 1, 1])
    data = X.copy()
    data[1, 0], data[2, 1] = np.inf, np.nan  # the infinity is in the row that is dropped
    if missing == "drop":
        data[2, 1] = 7
    source = ArraySource(data, Y, weight=weight, missing=missing)
    rows, target = read(source)
    table = pd.DataFrame({"x1": data[:, 0], "x2": data[:, 1], "y": Y, "w": weight})
    frame = open_source(table, "y", weight="w", missing=missing)
    (block,) = frame.blocks()
    assert source.dropped == frame.dropped == 1
    assert target.tolist() == [0, 2, 3, 4, 5]
    np.testing.assert_allclose(rows, block.X, rtol=1e-15)
    assert [b.weights.tolist() for b in source.blocks()] == [block.weights.tolist()]
    with pytest.raises(InputError, match="weight 'weight' is nan in row 2"):
        ArraySource(data, Y, weight=weight)
    with pytest.raises(InputError, match="weight 'weight' is inf in row 2"):
        ArraySource(data, Y, weight=np.nan_to_num(weight, nan=np.inf), missing=missing)


def test_means_do_not_move_an_infinity_to_other_rows() -> None:
    data = np.array([[1.0], [np.nan], [3], [np.inf], [5]])
    with pytest.raises(InputError, match="'x1' is infinite in row 4, one of 1 such"):
        ArraySource(data, np.arange(5.0), missing="mean")
    source = ArraySource(data, np.arange(5.0), weight=[1, 1, 1, 0, 1], missing="mean")
    assert source.design.inputs[0].fill == (3.0,)
