from __future__ import annotations

import datetime as dt
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

import linnet
from linnet.block import InputError
from linnet.design import Design
from linnet.sources import open_source, prediction_blocks
from linnet.sources.columns import as_numpy, numbers
from linnet.sources.source import Source
from linnet.sources.tables import TableSource
from rational import least_squares, relative


class Stream:
    """Anything with the Arrow C stream, which opens a new stream each time."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        stream: object = self.table.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]
        return stream


def once(table: pa.Table, rows: int = 2) -> pa.RecordBatchReader:
    """A stream that can be read only once, in small batches."""
    return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(rows))


def gathered(source: Source) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """All rows of a source: X, y and weights."""
    blocks = list(source.blocks())
    assert all(block.y is not None for block in blocks)
    X = np.concatenate([block.X for block in blocks])
    y = np.concatenate([block.y for block in blocks if block.y is not None])
    weights = [block.weight for block in blocks if block.weight is not None]
    return X, y, np.concatenate(weights) if weights else None


def predicted(data: Any, design: Design) -> NDArray[Any]:
    """X for predictions, of all rows."""
    return np.concatenate([block.X for block in prediction_blocks(data, design)])


CATEGORIES = pd.DataFrame(
    {
        "size": [1, 2, 3, 4],
        "kind": ["b", "a", "c", "a"],
        "wet": [True, False, True, True],
        "y": [1.0, 2.0, 3.0, 4.0],
    }
)
ENCODED = [[1, 1, 0, 1], [2, 0, 0, 0], [3, 0, 1, 1], [4, 0, 0, 1]]


def arrow(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.mark.parametrize(
    "convert",
    [
        lambda frame: frame,
        lambda frame: frame.astype({"kind": object}),
        lambda frame: frame.astype({"kind": "category", "size": "Int64", "wet": "boolean", "y": "Float32"}),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.set_index(pd.Index([9, 9, 8, 7])),
        pl.from_pandas,
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("kind").cast(pl.Categorical)),
        lambda frame: pl.from_pandas(frame).with_columns(pl.col("kind").cast(pl.Enum(["a", "z", "b", "c"]))),
        arrow,
        lambda frame: arrow(frame).to_batches()[0],
        lambda frame: pa.concat_tables([arrow(frame)[:1], arrow(frame)[1:]]),
        lambda frame: Stream(arrow(frame)),
        lambda frame: Stream(pa.concat_tables([arrow(frame)[:3], arrow(frame)[3:]])),
        lambda frame: once(arrow(frame.astype({"kind": "category"}))),
    ],
)
def test_every_kind_of_table_gives_the_same_rows(convert: Callable[[pd.DataFrame], Any]) -> None:
    source = open_source(convert(CATEGORIES), "y")
    X, y, weight = gathered(source)
    assert source.design.names == ("size", "kind[b]", "kind[c]", "wet")
    assert X.tolist() == ENCODED
    assert y.tolist() == [1, 2, 3, 4]
    assert weight is None
    assert source.target == "y"
    assert source.rows in (4, None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, 2, None], pa.int8()), [1, 2, np.nan]),
        (pa.array([1, 2, 2**63], pa.uint64()), [1, 2, 2.0**63]),
        (pa.array([2**53 + 1, None, 2**53 + 3]), [2.0**53, np.nan, 2.0**53 + 4]),
        (pa.array([2**64 - 1, None, 2**63 + 1025], pa.uint64()), [2.0**64, np.nan, 2.0**63 + 2048]),
        (pa.array([np.float16(0.5), None, np.float16(np.nan)], pa.float16()), [0.5, np.nan, np.nan]),
        (pa.array([0.1, 0.2, None], pa.float32()), [np.float32(0.1), np.float32(0.2), np.nan]),
        (pa.array([Decimal("1.25"), None, Decimal(-3)]), [1.25, np.nan, -3]),
        (pa.array([True, False, None]), [1, 0, np.nan]),
        (pa.chunked_array([pa.array([1.0]), pa.array([], pa.float64()), pa.array([2.0, 3.0])]), [1, 2, 3]),
        (pa.array([9.0, 1, 2, 3, 9]).slice(1, 3), [1, 2, 3]),
        (pa.array([True, True, False, True]).slice(1), [1, 0, 1]),
        (pa.array([-1.7e308, 1e308, 1.7e308]), [-1.7e308, 1e308, 1.7e308]),
    ],
)
def test_numbers_of_every_type(values: Any, expected: list[float]) -> None:
    table = pa.table({"x": values, "y": [1.0, 2, 3]})
    design = Design.numbers(["x"], "drop")
    np.testing.assert_array_equal(predicted(table, design)[:, 0], expected)


@given(st.integers(-(10**38) + 1, 10**38 - 1), st.integers(-4, 38))
def test_decimals_are_rounded_once(digits: int, scale: int) -> None:
    value = Decimal(digits).scaleb(-scale, Context(prec=38))
    column = pa.chunked_array([pa.array([None, value], pa.decimal128(38, scale))])
    np.testing.assert_array_equal(numbers(column), [np.nan, float(value)])


def test_features_are_contiguous_and_float32_only_when_all_are() -> None:
    single = pa.table({"a": pa.array([1, 2], pa.float32()), "b": pa.array([3, 4], pa.float32()), "y": [1, 2]})
    for table, dtype in ((single, np.float32), (single.append_column("c", pa.array([1, 2])), np.float64)):
        (block,) = open_source(table, "y").blocks()
        assert block.X.dtype == dtype
        assert block.X.flags.f_contiguous


def test_unused_columns_are_not_even_converted() -> None:
    frame = CATEGORIES.assign(bad=[1, "a", None, object()])
    X, _, _ = gathered(open_source(frame, "y", features=["size"]))
    assert X.tolist() == [[1], [2], [3], [4]]
    with pytest.raises(InputError, match="Column 'bad' cannot be used"):
        open_source(frame, "y")


def test_features_in_the_order_asked_for_and_a_lone_name() -> None:
    assert open_source(CATEGORIES, "y", features=["wet", "size"]).design.names == ("wet", "size")
    assert open_source(CATEGORIES, "y", features="size").design.names == ("size",)


def test_target_and_weight_as_arrays() -> None:
    features = CATEGORIES[["size", "wet"]]
    for target in (CATEGORIES["y"], CATEGORIES["y"].to_numpy(), list(CATEGORIES["y"]), pl.Series("y", [1.0, 2, 3, 4])):
        source = open_source(features, target, weight=np.array([0, 1, 2, 3]))
        X, y, weight = gathered(source)
        assert source.design.names == ("size", "wet")
        assert source.target == "y"
        assert y.tolist() == [1, 2, 3, 4]
        assert weight is not None
        assert weight.tolist() == [0, 1, 2, 3]
        assert X.shape == (4, 2)


WEIGHTED = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 6], "z": [2.0, -1, 0, 1, 1, -2], "y": [5.0, 5, 9, 14, 15, 17]})


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas])
@pytest.mark.parametrize("features", [None, ["x", "z"]])
def test_weights_with_the_name_of_a_feature_leave_it_alone(convert: Callable[[Any], Any], features: Any) -> None:
    """1/x keeps the name x: the textbook's weights, beside the rational solution."""
    frame = convert(WEIGHTED)
    fit = linnet.fit(frame, "y", weight=1 / frame["x"], features=features)
    w = 1 / WEIGHTED["x"].to_numpy()
    want = least_squares(WEIGHTED[["x", "z"]].to_numpy(), WEIGHTED["y"].to_numpy(), w)
    assert fit.names == ("x", "z")
    assert max(relative(a, b) for a, b in zip(fit.coefficients, want.coefficients, strict=True)) < 1e-14


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas])
def test_a_series_that_is_a_column_stands_for_it(convert: Callable[[Any], Any]) -> None:
    frame = convert(WEIGHTED.assign(w=[1.0, 2, 3, 4, 5, 6], y=[5.0, np.nan, 9, 14, 15, 17]))
    by_name = open_source(frame, "y", weight="w", missing="drop")
    source = open_source(frame, frame["y"], weight=frame["w"], missing="drop")
    assert source.design == by_name.design
    assert source.target == "y"
    for ours, named in zip(gathered(source), gathered(by_name), strict=True):
        np.testing.assert_array_equal(ours, named)


def test_weights_with_the_name_of_the_target_or_of_themselves() -> None:
    source = open_source(WEIGHTED.assign(w=0.0), WEIGHTED["y"], weight=(1 / WEIGHTED["y"]).rename("y"))
    assert source.design.names == ("x", "z", "w")
    _, y, weight = gathered(source)
    assert weight is not None
    np.testing.assert_array_equal(weight, 1 / y)


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas])
def test_a_target_with_the_name_of_another_column(convert: Callable[[Any], Any]) -> None:
    """The next value of x, from x: refused until it is said that x is a feature, and then it is one."""
    frame = convert(WEIGHTED)
    with pytest.raises(InputError, match=r"Series named 'x', but the column .*features="):
        open_source(frame, frame["x"].shift(-1), missing="drop")
    source = open_source(frame, frame["x"].shift(-1), features=["x"], missing="drop")
    X, y, _ = gathered(source)
    assert (source.design.names, source.target) == (("x",), "x (target)")
    assert X[:, 0].tolist() == [1, 2, 3, 4, 5]
    assert y.tolist() == [2, 3, 4, 5, 6]


def test_a_series_whose_name_is_a_number_is_its_column() -> None:
    frame = pd.DataFrame([[1.0, 2.0, 3.0], [3.0, 4.0, 4.0]])
    source = open_source(frame, frame[0])
    assert (source.design.names, source.target) == (("1", "2"), "0")


@pytest.mark.parametrize("role", ["target", "weight"])
def test_a_series_in_another_order_is_refused(role: str) -> None:
    mixed = WEIGHTED["y"].iloc[[0, 1, 4, 3, 2, 5]]
    options = {"target": mixed} if role == "target" else {"target": "y", "weight": mixed}
    with pytest.raises(InputError, match=rf"{role} is a Series .* row 3 its label is 4, and the table's 2"):
        open_source(WEIGHTED, **options)
    labelled = WEIGHTED.set_index(pd.Index([1.0, np.nan, 3, 4, 5, np.nan]))
    open_source(labelled, labelled["y"])
    open_source(WEIGHTED, mixed.to_numpy(), weight=pl.Series(mixed.to_numpy()))
    unknown = WEIGHTED.set_index(pd.Index([1, pd.NA, 3, 4, 5, 6], dtype="Int64"))
    with pytest.raises(InputError, match="row 2 its label is 2, and the table's <NA>"):
        open_source(unknown, WEIGHTED["y"].set_axis(range(1, 7)))


@pytest.mark.parametrize(
    "target",
    [
        CATEGORIES["y"].to_numpy()[:, None],
        CATEGORIES[["y"]],
        pl.from_pandas(CATEGORIES[["y"]]),
        [[1], [2], [3], [4]],
    ],
)
def test_a_target_of_one_column(target: Any) -> None:
    for frame in (CATEGORIES[["size"]], pl.from_pandas(CATEGORIES[["size"]]), arrow(CATEGORIES[["size"]])):
        source = open_source(frame, target)
        assert gathered(source)[1].tolist() == [1, 2, 3, 4]
        assert source.target == "y"


def test_an_array_without_a_name_leaves_a_column_called_y_alone() -> None:
    source = open_source(CATEGORIES, np.arange(4))
    assert "y" in source.design.names
    assert gathered(source)[1].tolist() == [0, 1, 2, 3]


def test_names_that_are_numbers() -> None:
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]])
    source = open_source(frame, 1)
    assert source.design.names == ("0",)
    assert source.target == "1"
    numbers: list[tuple[Any, Any]] = [(1, [0]), (np.int64(1), np.array([0])), ("1", 0)]
    for target, features in numbers:
        assert open_source(frame, target, features=features).design.names == ("0",)


def test_names_in_an_array_become_plain_texts() -> None:
    columns: Any = np.array(["size", "wet"])
    source = open_source(CATEGORIES, np.str_("y"), features=columns)
    assert [type(name) for name in (*source.design.names, source.target)] == [str] * 3


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-9, 9),
            st.none() | st.sampled_from(["a", "b", "c"]),
            st.none() | st.sampled_from(["t", "u"]),
            st.none() | st.integers(0, 2),
            st.none() | st.integers(-9, 9),
        ),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["error", "drop", "mean"]),
    st.booleans(),
)
def test_levels_are_those_of_rows_in_use(rows: list[tuple[Any, ...]], missing: Any, ordered: bool) -> None:
    """As if the others, which lack a value or have weight 0, were not there."""
    kinds = {"x": float, "k": pd.CategoricalDtype(["c", "a", "b"], ordered), "m": "string", "w": float, "y": float}
    frame = pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
    kept = frame.dropna(subset={"error": ["w"], "drop": list(kinds), "mean": ["w", "y"]}[missing]).query("w > 0")
    if missing == "mean":  # which refuses a column that has no value
        assume(kept[["x", "k", "m"]].notna().any().all())
    designs = [open_source(each, "y", weight="w", missing=missing).design for each in (frame, kept)]
    assert [each.levels for each in designs[0].inputs] == [each.levels for each in designs[1].inputs]


@pytest.mark.parametrize("late", [[None, None], ["a", "a"], ["a", "b"]])
def test_a_category_without_a_value_in_any_row_in_use_is_refused_by_filling(late: list[Any]) -> None:
    """As numbers are: nothing could stand in for its values."""
    table = pa.table(
        {"k": pa.array([None, None, None, *late], pa.string()), "x": [1, 2, 4, 3, 5], "y": [1, 2, 3, None, None]}
    )
    with pytest.raises(InputError, match="'k' of the table has no value in any row that is used: leave it out"):
        open_source(table, "y", missing="mean")


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_a_level_of_rows_left_out_alone_is_no_feature_and_no_reference(missing: Any) -> None:
    rng = np.random.default_rng(3)
    levels, w = [*(list("bcd") * 10), "a", "z"], np.repeat([1.0, 0.0], [30, 2])
    frame = pd.DataFrame({"k": levels, "x": rng.standard_normal(32), "w": w})
    frame["y"] = frame["x"] + frame["k"].map(ord) + rng.standard_normal(32)
    fit = linnet.fit(frame, "y", weight="w", missing=missing)
    alone = linnet.fit(frame[:30], "y", weight="w", missing=missing)
    assert fit.names == alone.names == ("k[c]", "k[d]", "x")
    np.testing.assert_allclose(fit.coefficients, alone.coefficients, rtol=1e-12)
    np.testing.assert_allclose(fit.std_errors, alone.std_errors, rtol=1e-12)
    with pytest.raises(InputError, match="'k' holds 'a' in row 31, a level that the fit does not know"):
        fit.predict(frame)


def test_a_new_level_in_a_row_in_use_is_refused_wherever_others_are() -> None:
    """A stream that is read once lists its levels beforehand; here it has others, in rows of weight 0 and of 1."""
    schema = pa.schema({"k": pa.dictionary(pa.int8(), pa.string()), "w": pa.float64(), "y": pa.float64()})

    def batch(levels: list[str], last: float) -> pa.RecordBatch:
        k = pa.DictionaryArray.from_arrays(pa.array([0, 0, 1, 1], pa.int8()), levels)
        return pa.record_batch([k, pa.array([1.0, 1.0, 1.0, last]), pa.array([1.0, 2.0, 3.0, 5.0])], schema=schema)

    def stream(last: float) -> pa.RecordBatchReader:
        batches = [batch(["a", "b"], 1.0), batch(["a", "b"], 1.0), batch(["b", "q"], last).slice(3)]
        return pa.RecordBatchReader.from_batches(schema, batches)

    assert linnet.fit(stream(0.0), "y", weight="w").names == ("k[b]",)
    with pytest.raises(InputError, match="'k' holds 'q' in row 9, a level that the fit does not know"):
        linnet.fit(stream(1.0), "y", weight="w")


def test_only_levels_that_occur_are_levels() -> None:
    frame = pd.DataFrame({"k": pd.Categorical(["c", "a"], ["z", "c", "b", "a"]), "y": [1, 2]})
    assert open_source(frame, "y").design.inputs[0].levels == ("c", "a")


@pytest.mark.parametrize(
    "values",
    [
        pd.Categorical(["10", "1", "3", "2"], ["3", "1", "2", "10", "11"]),
        pd.Categorical([10, 1, 3, 2], [3, 1, 2, 10, 11], ordered=True),
        pl.Series(["10", "1", "3", "2"], dtype=pl.Enum(["3", "1", "2", "10", "11"])),
        pa.DictionaryArray.from_arrays(pa.array([3, 1, 0, 2]), ["3", "1", "2", "10", "11"], ordered=True),
    ],
)
def test_declared_levels_keep_their_order(values: Any) -> None:
    make = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}[type(values).__module__.split(".")[0]]
    source = open_source(make({"k": values, "y": [1, 2, 3, 4]}), "y")
    assert source.design.names == ("k[1]", "k[2]", "k[10]")
    assert gathered(source)[0].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert predicted(pa.table({"k": ["2", "3"]}), source.design).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert Design.from_dict(source.design.to_dict()) == source.design


def test_declared_levels_beside_a_null_in_their_list() -> None:
    one, other = (pa.array(texts, pa.string()) for texts in (["3", None, "1"], ["3", "2", None]))
    chunks = [pa.DictionaryArray.from_arrays(pa.array([2, 1, 0]), each, ordered=True) for each in (one, other)]
    source = open_source(pa.table({"k": pa.chunked_array(chunks), "y": [1.0] * 6}), "y", missing="drop")
    assert source.design.names == ("k[1]", "k[2]")
    assert gathered(source)[0].tolist() == [[1, 0], [0, 0], [0, 1], [0, 0]]


def test_levels_without_a_declared_order_are_sorted() -> None:
    values = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), ["b", "c", "a"])
    for column in (values, pl.Series(["b", "c", "a"], dtype=pl.Categorical)):
        table = pl.DataFrame({"k": column, "y": [1, 2, 3]}) if isinstance(column, pl.Series) else None
        source = open_source(pa.table({"k": column, "y": [1, 2, 3]}) if table is None else table, "y")
        assert source.design.names == ("k[b]", "k[c]")


def test_categories_of_numbers_are_spelled_out() -> None:
    frame = pd.DataFrame({"k": pd.Categorical([10, 2, 10]), "y": [1, 2, 3]})
    source = open_source(frame, "y")
    assert source.design.names == ("k[10]",)
    assert gathered(source)[0].tolist() == [[1], [0], [1]]
    assert predicted(pd.DataFrame({"k": [2, 10]}), source.design).tolist() == [[0], [1]]


def test_intervals_that_pandas_cuts_are_categories_in_their_order() -> None:
    x = np.arange(30.0)
    frame = pd.DataFrame({"k": pd.cut(x, [-1, 9, 19, 30]), "y": x})
    source = open_source(frame, "y")
    assert source.design.names == ("k[(9, 19]]", "k[(19, 30]]")
    assert gathered(source)[0].sum(axis=0).tolist() == [10, 10]
    assert predicted(frame[25:26], source.design).tolist() == [[0, 1]]


def test_sparse_columns_of_pandas() -> None:
    frame = CATEGORIES[["size", "y"]].assign(s=pd.arrays.SparseArray([0.0, 0, 3, np.nan], fill_value=0))
    assert gathered(open_source(frame, "y", missing="drop"))[0].tolist() == [[1, 0], [2, 0], [3, 3]]


@pytest.mark.parametrize("missing", [0, 3])
def test_a_category_may_have_a_thousand_levels(missing: int) -> None:
    """One more is refused; rows without a level do not count."""
    levels = [f"n{k}" for k in range(1001)]
    gaps = [None] * missing
    source = open_source(pa.table({"k": levels[:-1] + gaps, "y": np.ones(1000 + missing)}), "y", missing="drop")
    assert len(source.design.names) == 999
    with pytest.raises(InputError, match="more than 1,000 different texts"):
        open_source(pa.table({"k": levels + gaps, "y": np.ones(1001 + missing)}), "y", missing="drop")


def test_a_single_level_is_no_feature_but_is_checked() -> None:
    source = open_source(pd.DataFrame({"k": ["a", "a"], "x": [1, 2], "y": [1, 2]}), "y")
    assert source.design.names == ("x",)
    with pytest.raises(InputError, match="'b'"):
        predicted(pd.DataFrame({"k": ["b"], "x": [1]}), source.design)


GAPS = pd.DataFrame(
    {
        "a": [1.0, np.nan, 3.0, 4.0, 8.0],
        "k": ["u", "v", None, "v", "v"],
        "w": [1.0, 1.0, 2.0, 1.0, np.nan],
        "y": [1.0, 2.0, 3.0, np.nan, 5.0],
    }
)


@pytest.mark.parametrize("convert", [lambda frame: frame, pl.from_pandas, arrow, lambda frame: Stream(arrow(frame))])
class TestMissing:
    """What each word of missing= does."""

    def test_error_counts_them_all(self, convert: Callable[[pd.DataFrame], Any]) -> None:
        source = open_source(convert(GAPS), "y", weight="w")
        with pytest.raises(InputError) as caught:
            gathered(source)
        for part in ("5 rows", "1 in column 'a'", "1 in column 'k'", "1 in column 'w'", "1 in column 'y'", "row 2"):
            assert part in str(caught.value)
        assert 'missing="drop"' in str(caught.value)

    def test_drop(self, convert: Callable[[pd.DataFrame], Any]) -> None:
        source = open_source(convert(GAPS), "y", weight="w", missing="drop")
        for _ in range(2):
            X, y, weight = gathered(source)
            assert X.tolist() == [[1]]  # of one level, since no other row has all its values
            assert y.tolist() == [1]
            assert weight is not None
            assert weight.tolist() == [1]
            assert source.dropped == 4

    def test_drop_leaves_every_other_row_its_own_weight(self, convert: Callable[[pd.DataFrame], Any]) -> None:
        frame = pd.DataFrame({"a": [np.nan, 1, np.nan, 2, 3], "w": [1.0, 2, 3, 4, 5], "y": [6.0, 7, 8, 9, 10]})
        X, y, weight = gathered(open_source(convert(frame), "y", weight="w", missing="drop"))
        assert weight is not None
        assert np.column_stack([X, weight, y]).tolist() == [[1, 2, 7], [2, 4, 9], [3, 5, 10]]

    def test_mean_is_weighted_and_over_the_rows_in_use(self, convert: Callable[[pd.DataFrame], Any]) -> None:
        source = open_source(convert(GAPS), "y", weight="w", missing="mean")
        X, y, _ = gathered(source)
        assert source.dropped == 2  # no target, no weight
        assert y.tolist() == [1, 2, 3]
        assert [feature.filled for feature in source.design.inputs] == [1, 1]
        mean_a, share_v = (1 * 1 + 2 * 3) / 3, 1 / 2
        np.testing.assert_allclose(X, np.array([[1, 0], [mean_a, 1], [3, share_v]]), rtol=1e-15)
        gap = GAPS[["a", "k"]].iloc[[1, 2]]
        np.testing.assert_allclose(predicted(gap, source.design), [[mean_a, 1], [3, share_v]], rtol=1e-15)


def test_weighted_means_do_not_overflow() -> None:
    table = pa.table({"x": [1.7e308, 1.7e308, None, -1e300], "y": [1.0] * 4, "w": [1.0, 1.0, 1.0, 0.0]})
    (feature,) = open_source(table, "y", weight="w", missing="mean").design.inputs
    assert feature.fill == (1.7e308,)
    assert feature.filled == 1


INFINITE = pa.table({"x": [1.0, None, 3.0, np.inf, 5.0], "y": [2.0, 3, 5, 4, 5], "w": [1.0, 1, 1, 0, 1]})


def test_means_do_not_move_an_infinity_to_other_rows() -> None:
    for values in ([np.inf], [np.inf, -np.inf]):
        table = INFINITE.set_column(0, "x", pa.array([1.0, None, 3.0, *values, *[5.0] * (2 - len(values))]))
        with pytest.raises(InputError, match=f"'x' is infinite in row 4, one of {len(values)} such"):
            open_source(table, "y", features=["x"], missing="mean")
    (feature,) = open_source(INFINITE, "y", features=["x"], weight="w", missing="mean").design.inputs
    assert feature.fill == (3.0,)  # the infinity has weight 0


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
@pytest.mark.parametrize("form", ["array", "float32", "frame", "stream", "csv"])
def test_a_row_of_weight_0_is_absent_whatever_it_holds(form: str, missing: Any, tmp_path: Path) -> None:
    """Missing or infinite, in feature, category or target: from every door, the fit is that without such rows."""
    rng = np.random.default_rng(4)
    full = pd.DataFrame(rng.integers(-9, 9, (24, 2)).astype(float), columns=["x1", "x2"])
    full["k"] = list("ab" * 12)
    full["y"] = rng.integers(-9, 9, 24).astype(float)
    full["w"] = np.where(np.arange(24) < 7, 0.0, 1.0)
    kept = full[7:].copy()
    full.loc[0, "x1"] = full.loc[[1, 2], "y"] = full.loc[5, "x2"] = np.nan
    full.loc[3, "x2"], full.loc[4, "y"], full.loc[6, "x1"] = np.inf, -np.inf, 1e30
    if form in ("array", "float32"):
        kind = np.float32 if form == "float32" else np.float64
        X, y = (full[names].to_numpy().astype(kind) for names in (["x1", "x2"], "y"))
        fits = [
            linnet.fit(X[rows], y[rows], weight=full["w"].to_numpy()[rows], missing=missing, loss=loss)
            for loss in ("squared", "absolute")
            for rows in (slice(None), slice(7, None))
        ]
    else:
        full.loc[5, "k"] = None
        data: Any = {"frame": full, "stream": Stream(arrow(full)), "csv": tmp_path / "t.csv"}[form]
        full.to_csv(tmp_path / "t.csv", index=False)
        fits = [
            linnet.fit(rows, "y", weight="w", missing=missing, loss=loss)
            for loss in ("squared", "absolute")
            for rows in (data, kept)
        ]
    for found, want in (fits[:2], fits[2:]):
        assert found.n == want.n == 17
        assert found.n_dropped + found.n_weightless == 7
        assert found.n_filled == {}
        if missing == "error":
            assert found.n_weightless == 7
        np.testing.assert_array_equal(found.coefficients, want.coefficients)
        np.testing.assert_array_equal(found.std_errors, want.std_errors)


def test_what_is_missing_in_rows_of_weight_0_is_not_counted() -> None:
    frame = pd.DataFrame({"x": [np.nan, np.nan, 3, 4], "y": [np.nan, 2, 3, 4], "w": [0.0, 1, 1, 1]})
    with pytest.raises(InputError, match=r"missing: 1 in column 'x' \(the first in row 2\)"):
        gathered(open_source(frame, "y", weight="w"))


@pytest.mark.parametrize("seed", range(6))
def test_means_of_float32_columns_keep_their_dependencies(seed: int) -> None:
    """Rounded to float32, they would tell apart what the rows do not, and the fit be called solved."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 100, (2, 40))
    frame = pd.DataFrame({"a": a, "b": b, "c": a + b}).astype(np.float32)
    frame.loc[:6] = np.nan
    frame["y"] = rng.standard_normal(40)
    found, want = (linnet.fit(each, "y", missing="mean") for each in (frame, frame.astype(float)))
    assert found.status is linnet.Status.RANK_DEFICIENT
    assert found.notes == want.notes
    np.testing.assert_array_equal(found.coefficients, want.coefficients)
    gap = pd.DataFrame({"a": [np.nan, 3], "b": [2, 4], "c": [5, 7]}).astype(np.float32)
    with pytest.warns(UserWarning, match="mean"):
        np.testing.assert_array_equal(found.predict(gap), want.predict(gap.astype(float)))


def test_no_row_left_says_why() -> None:
    table = pa.table({"a": [1.0, 2.0], "empty": pa.nulls(2), "y": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"No row of the table is left: .* 2 in column 'empty'"):
        gathered(open_source(table, "y", missing="drop"))
    with pytest.raises(InputError, match="Column 'empty' of the table has no value in any row"):
        open_source(table, "y", missing="mean")
    with pytest.raises(InputError, match="There are no rows to fit: every row is missing, dropped or has weight 0"):
        open_source(table, "y", features=["a"], weight=[0.0, 0.0], missing="mean")


def test_where_names_the_row_although_others_were_dropped() -> None:
    table = pa.table({"a": [None, 1.0, None, 2.0, np.inf], "y": [1.0] * 5})
    source = open_source(table, "y", missing="drop")
    assert isinstance(source, TableSource)
    (block,) = source.blocks()
    assert source.where(block.start + 2) == "row 5"


REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "target absent": (CATEGORIES, {"target": "z"}, "The target 'z' is not a column of the table"),
    "near match": (CATEGORIES, {"features": ["Sise"]}, "did you mean 'size'"),
    "columns listed": (CATEGORIES, {"target": "z"}, "'size', 'kind', 'wet' and 'y'"),
    "feature absent": (CATEGORIES, {"features": ["size", "q"]}, "The feature 'q'"),
    "feature no name": (CATEGORIES, {"features": [3.5]}, "must be a list of columns' names, but holds 3.5"),
    "feature None": (CATEGORIES, {"features": [None]}, "must be a list of columns' names, but holds None"),
    "features no list": (CATEGORIES, {"features": 3.5}, "must be a list of columns' names, but is 3.5"),
    "feature number": (CATEGORIES, {"features": 3}, "The feature '3' is not a column of the table"),
    "level or column": (CATEGORIES.assign(**{"kind[b]": 1}), {}, r"'kind' and 'kind\[b\]' .* 'kind\[b\]'.*rename"),
    "lazy": (pl.LazyFrame({"x": [1], "y": [2]}), {}, r"LazyFrame .*data.collect\(\)"),
    "open file": (io.StringIO("x,y\n1,2\n"), {}, r"open file is no table: give its path, or pandas.read_csv"),
    "list of rows": ([{"x": 1, "y": 2}], {}, "list of dictionaries is no table.*from_pylist"),
    "weight absent": (CATEGORIES, {"weight": "q"}, "The weight 'q'"),
    "target among features": (CATEGORIES, {"features": ["size", "y"]}, "both the target and a feature"),
    "target is weight": (CATEGORIES, {"weight": "y"}, "both the target and the weight"),
    "feature twice": (CATEGORIES, {"features": ["size", "size"]}, "'size' twice"),
    "no feature": (CATEGORIES[["y"]], {}, "No feature is left"),
    "empty list": (CATEGORIES, {"features": []}, "No feature is left"),
    "text target": (CATEGORIES, {"target": "kind"}, "'kind' of the table holds text.*recoded as 0 and 1"),
    "text weight": (CATEGORIES, {"weight": "kind"}, "The weight 'kind' of the table holds text"),
    "missing word": (CATEGORIES, {"missing": "ignore"}, "missing="),
    "date": (CATEGORIES.assign(d=pd.Timestamp(0)), {}, "Column 'd' .*dates or times.*days since"),
    "date target": (CATEGORIES.assign(d=pd.Timestamp(0)), {"target": "d"}, "Column 'd' .*dates or times"),
    "duration": (CATEGORIES.assign(d=pd.Timedelta(0)), {}, "Column 'd' .*dates or times"),
    "time": (pa.table({"t": [dt.time(1)], "y": [1]}), {}, "Column 't' .*dates or times"),
    "period": (CATEGORIES.assign(p=pd.Period("2020-01")), {}, "Column 'p'"),
    "complex": (CATEGORIES.assign(c=1j), {}, "Column 'c' cannot be used"),
    "nested": (pa.table({"l": [[1, 2]], "y": [1]}), {}, "Column 'l' .*several values a row"),
    "binary": (pa.table({"b": [b"1"], "y": [1]}), {}, "Column 'b' .*binary"),
    "category of dates": (pd.DataFrame({"c": pd.Categorical([pd.Timestamp(0)]), "y": [1]}), {}, "Column 'c'"),
    "duplicate": (pd.DataFrame([[1, 2, 3]], columns=["a", "a", "y"]), {}, "2 columns named 'a'"),
    "no name": (pd.DataFrame([[1, 2, 3]], columns=["", "a", "y"]), {}, "Column 1 .*has no name.*index=False"),
    "pandas no name": (pd.DataFrame([[1, 2]], columns=["Unnamed: 0", "y"]), {}, "has no name"),
    "identifier": (pd.DataFrame({"i": [f"n{k}" for k in range(1001)], "y": range(1001)}), {}, "'i' .*identifier"),
    "short target": (CATEGORIES, {"target": np.ones(3)}, r"target has shape \(3,\).*4 rows"),
    "square target": (CATEGORIES, {"target": np.ones((4, 2))}, r"target has shape \(4, 2\)"),
    "two targets": (CATEGORIES, {"target": CATEGORIES[["y", "size"]]}, r"target has shape \(4, 2\)"),
    "short weight": (CATEGORIES, {"weight": [1.0]}, r"weight has shape \(1,\)"),
    "no target": (CATEGORIES, {"target": None}, "target must be the name of a column"),
    "stream, array": (once(arrow(CATEGORIES)), {"target": np.ones(4)}, "target must be the name of a column"),
    "stream, text": (once(arrow(CATEGORIES)), {}, "'kind' holds text, whose levels must be known"),
    "stream, mean": (once(arrow(CATEGORIES[["size", "y"]])), {"missing": "mean"}, "can be read only once"),
    "dictionary": ({"size": [1], "y": [2]}, {}, "DataFrame"),
    "series": (CATEGORIES["size"], {}, "Series cannot be read as a table|'y' names a column, but an array has none"),
    "chunked array": (pa.chunked_array([[1, 2]]), {}, "ChunkedArray cannot be read as a table"),
}


def test_text_that_is_not_utf8_is_told_by_column_and_row() -> None:
    """Arrow does not look: other writers leave Latin-1 in columns that they call UTF-8."""
    buffers = pa.array([b"rot", None, b"gr\xfcn"]).buffers()
    texts = pa.Array.from_buffers(pa.string(), 3, buffers)
    listed = pa.DictionaryArray.from_arrays(pa.array([0, None, 1], pa.int8()), texts.drop_null())
    design = open_source(pa.table({"k": ["rot", "blau"], "y": [1.0, 2.0]}), "y").design
    for column in (texts, listed):
        table = pa.table({"k": column, "y": [1.0, 2.0, 3.0]})
        for use in (lambda t=table: open_source(t, "y"), lambda t=table: predicted(t, design)):
            with pytest.raises(InputError, match=r"'k' holds b'gr\\xfcn' in row 3, which is not UTF-8 text"):
                use()


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_sentence(case: str) -> None:
    data, options, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as caught:
        open_source(data, **({"target": "y"} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("bad", "shown"), [(-1.0, "-1.0"), (np.inf, "inf")])
def test_bad_weights_are_refused(bad: float, shown: str) -> None:
    source = open_source(CATEGORIES, "y", weight=[1.0, 2.0, bad, 1.0])
    with pytest.raises(InputError, match=f"'weight' is {shown} in row 3"):
        gathered(source)


def test_a_stream_is_read_once_and_refuses_the_second_pass() -> None:
    source = open_source(once(arrow(CATEGORIES[["size", "y"]])), "y")
    assert not source.rereadable
    assert gathered(source)[0].tolist() == [[1], [2], [3], [4]]
    with pytest.raises(InputError, match="only once"):
        gathered(source)


def test_a_pass_given_up_midway_is_not_continued_by_the_next() -> None:
    table = arrow(CATEGORIES[["size", "y"]])
    again = open_source(Stream(table), "y")
    next(again.blocks())
    assert gathered(again)[0].tolist() == [[1], [2], [3], [4]]
    only_once = open_source(once(table), "y")
    next(only_once.blocks())
    with pytest.raises(InputError, match="only once"):
        gathered(only_once)


def test_a_missing_value_in_a_stream_read_once() -> None:
    table = pa.table({"a": [1.0, 2, 3, 4], "b": [1.0, 2, 3, None], "y": [1.0, 2, None, 4]})
    source = open_source(once(table), "y")
    with pytest.raises(InputError, match=r"Column 'y' .* has no value in row 3\. Use missing=\"drop\" .*, or mend"):
        gathered(source)


def test_a_stream_that_shrinks_is_found_out() -> None:
    class Shrinking(Stream):
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            stream = super().__arrow_c_stream__(requested_schema)
            self.table = self.table[:1]
            return stream

    source = open_source(Shrinking(arrow(CATEGORIES[["size", "y"]])), "y")
    gathered(source)
    with pytest.raises(InputError, match="4 rows at first and 1 when read again"):
        gathered(source)


def test_a_stream_that_breaks() -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield from arrow(CATEGORIES[["size", "y"]]).to_batches(2)[:1]
        raise OSError("the line is dead")

    reader = pa.RecordBatchReader.from_batches(arrow(CATEGORIES[["size", "y"]]).schema, batches())
    with pytest.raises(InputError, match=r"cannot be read: .*the line is dead"):
        gathered(open_source(reader, "y"))


def test_pandas_index_columns_in_arrow_are_no_features() -> None:
    table = pa.Table.from_pandas(CATEGORIES.set_index(pd.Index([9, 9, 8, 7])))
    assert "__index_level_0__" in table.column_names
    assert "__index_level_0__" not in open_source(table, "y").design.names


class TestPredicting:
    """Prediction on other data."""

    design = open_source(CATEGORIES, "y").design

    def test_other_columns_and_their_order_do_not_matter(self) -> None:
        other = CATEGORIES[["wet", "kind", "size"]].assign(more="?")
        assert predicted(other, self.design).tolist() == ENCODED
        assert predicted(pl.from_pandas(other), self.design).tolist() == ENCODED

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"kind": ["a", "a", "moss", "b"]}, "'kind' holds 'moss' in row 3, .*'a', 'b' and 'c'"),
            ({"size": ["1", "2", "3", "4"]}, "'size' of the table holds text"),
            ({"size": [1, None, 3, 4]}, "'size' has no value in row 2"),
            ({"kind": ["a", "b", None, "c"]}, "'kind' has no value in row 3"),
            ({"kind": pd.Timestamp(0)}, "dates"),
            ({"size": [1, 2.5, -np.inf, np.inf]}, "'size' is infinite in row 3, one of 2"),
        ],
    )
    def test_bad_rows(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(InputError, match=message):
            predicted(CATEGORIES.assign(**changes), self.design)

    def test_absent_column(self) -> None:
        with pytest.raises(InputError, match="The feature 'kind' is not a column"):
            predicted(CATEGORIES[["size", "wet"]], self.design)

    def test_incomplete_rows_are_nan_when_the_fit_dropped_them(self) -> None:
        design = Design(self.design.inputs, "drop")
        X = predicted(CATEGORIES.assign(kind=["b", None, "c", "a"]), design)
        assert np.isnan(X).tolist() == [[False] * 4, [True] * 4, [False] * 4, [False] * 4]

    @pytest.mark.parametrize("missing", ["error", "drop", "mean"])
    def test_infinities_are_refused_whatever_is_missing(self, missing: Any) -> None:
        inputs = tuple(replace(f, fill=(0.5,) * f.width if missing == "mean" else None) for f in self.design.inputs)
        for size in ([1, 2, np.inf, 4], [1, np.nan, np.inf, 4]):
            if missing != "error" or np.isfinite(size[1]):
                with pytest.raises(InputError, match="'size' is infinite in row 3"):
                    predicted(CATEGORIES.assign(size=size), Design(inputs, missing))
        large = predicted(CATEGORIES.assign(size=1.7e308), Design(inputs, missing))
        assert large[:, 0].tolist() == [1.7e308] * 4

    def test_a_model_of_an_array_wants_an_array(self) -> None:
        with pytest.raises(InputError, match="to_numpy"):
            predicted(CATEGORIES, Design.numbers(["x1"], from_array=True))

    def test_no_rows(self) -> None:
        assert list(prediction_blocks(CATEGORIES[:0], self.design)) == []


@pytest.mark.parametrize(
    "options", [{"target": "y"}, {"target": [1.0], "weight": "w"}, {"target": [1.0], "features": ["a"]}]
)
def test_an_array_has_no_column_names(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="array"):
        open_source([[1.0]], **options)


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(-1e6, 1e6), st.none() | st.sampled_from(["", "a", "b", "ü"]), st.floats(-1e6, 1e6)
        ),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 7),
)
def test_drop_and_indicators_agree_with_pandas(rows: list[tuple[Any, Any, float]], size: int) -> None:
    frame = pd.DataFrame(rows, columns=["x", "k", "y"]).astype({"x": "float64", "y": "float64"})
    frame["k"] = frame["k"].astype("str")
    kept = frame.dropna()
    levels = sorted(kept["k"].unique())
    expected = [[r.x, *(float(r.k == level) for level in levels[1:])] for r in kept.itertuples()]
    table = pa.concat_tables([arrow(frame)[at : at + size] for at in range(0, len(frame), size)])
    source = open_source(table, "y", missing="drop")
    if expected:
        X, y, _ = gathered(source)
        assert X.tolist() == expected
        assert y.tolist() == kept["y"].tolist()
        assert source.dropped == len(frame) - len(kept)
    else:
        with pytest.raises(InputError, match="No row"):
            gathered(source)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_missing_numbers_of_any_width(kind: Any) -> None:
    there = np.array([True, False, True, False, True])
    values = np.array([1.5, 7.0, -2.25, 7.0, 0.5], kind)
    array = pa.array(values, mask=~there)
    for start in range(3):
        read = as_numpy(array[start:])
        np.testing.assert_array_equal(read, np.where(there, values, np.nan)[start:])
        assert read.dtype == kind


def test_missing_numbers_take_no_pandas() -> None:
    code = (
        "import sys\n"
        "class NoPandas:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'pandas': raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoPandas())\n"
        "import pyarrow as pa\nfrom linnet.sources import open_source\n"
        "table = pa.table({'x': [1.0, None, 3.0], 'n': [1, 2, None], 'y': [1, 2, 3]})\n"
        "rows = open_source(table, 'y', missing='drop')\n"
        "print(sum(block.rows for block in rows.blocks()))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "1\n"
