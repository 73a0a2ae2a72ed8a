"""Sources: whatever holds a table, opened as rows that a Solver can read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import InputError
from linnet.design import Design, check_missing
from linnet.sources.arrays import ArraySource, prediction_rows
from linnet.sources.source import Source

if TYPE_CHECKING:
    from linnet.sources.source import NewRows
    from linnet.sources.tables import Table


def open_source(
    data: Any,
    target: Any = None,
    *,
    features: Sequence[str] | None = None,
    weight: Any = None,
    missing: str = "error",
) -> Source:
    """The rows of an array, a data frame, a table or files, ready to be fitted.

    Args:
        data: an (n, d) array; a data frame, table or stream of record batches; a path, glob or folder, or a list of
            these, whose files are one table; or a Source, which comes back as it is, since it knows its target,
            features and weights.
        target: with an array, (n,) values; otherwise a column's name, or with a table in memory also (n,) values. A
            pandas Series must have the index of a pandas table.
        features: names of the columns to use; default: all but the target and the weight. Of categories in memory
            whose order is declared (pandas' categories, polars' Enum, ordered dictionaries) levels keep that order, all
            others, also those read from files, are sorted.
        weight: row weights, (n,) values or a column's name, as for the target. A Series that is a column of the table,
            by name and values, stands for that column; any other takes no column's place.
        missing: "error", "drop" or "mean".

    Raises:
        InputError: the data, or what was asked of them, cannot be used.
    """
    known = check_missing(missing)
    if isinstance(data, Source):
        asked = None if known == "error" else known
        return _judged(data, target=target, features=features, weight=weight, missing=asked)
    table = _table(data)
    if table is None:
        if target is None:
            raise InputError("There is no target: with an array, give target=, its values (n,).")
        for name, value in (("target", target), ("weight", weight)):
            if isinstance(value, str):
                raise InputError(f"{name}={value!r} names a column, but an array has none: give {name} as an array.")
        if features is not None:
            raise InputError("features= names columns, but an array has none: give an array of the features alone.")
        return ArraySource(data, target, weight=weight, missing=known)

    from linnet.sources.settle import table_source

    target, other = _column(table, target, "target", "y")
    if other is not None and features is None:
        raise InputError(
            f"The target is a Series named {other!r}, but the column of that name in {table} holds other values: name "
            "the features to use (features=…), or rename the Series if that column is to be one of them."
        )
    weight = None if weight is None else _column(table, weight, "weight", "weight")[0]
    return table_source(table, target, features, weight, known)


def prediction_blocks(data: Any, design: Design) -> Iterator[NewRows]:
    """The rows of an array, a data frame, a table or files to predict from: all rows, in order.

    A row in which a value is missing is refused, NaN throughout or filled, as `design.missing` says.

    Raises:
        InputError: a column is absent or of another type, a level is unknown, or a value is missing.
    """
    table = _table(data)
    if table is None:
        yield prediction_rows(data, design)
        return
    if design.from_array:
        raise InputError(
            "The model was fitted on an array, whose columns have no names: give an array to predict from, "
            "for a data frame its to_numpy()."
        )
    from linnet.sources.settle import check_prediction
    from linnet.sources.tables import predictions

    check_prediction(table, design)
    yield from predictions(table, design)


def _judged(source: Source, **beside: Any) -> Source:
    """A Source of the caller's own, if it is one and nothing that it knows itself is named beside it."""
    for name, value in beside.items():
        if value is not None:
            raise InputError(f"A Source has its own design, target and weights: leave out {name}=, or give a table.")
    kinds = ("design", Design), ("target", str), ("rows", int | type(None))
    for name, kind in kinds:
        if not isinstance(getattr(source, name, ...), kind):
            raise InputError(f"{type(source).__name__} has no {name!r} as a Source must have: see linnet.Source.")
    return source


def _table(data: Any) -> Table | None:
    """The Table that the data are; None for an array."""
    if isinstance(data, np.ndarray):
        return None
    several = isinstance(data, list | tuple) and data
    if isinstance(data, str | os.PathLike) or (several and isinstance(data[0], str | os.PathLike)):
        from linnet.sources.files import file_table

        return file_table(data)
    if isinstance(data, Mapping):
        raise InputError("A dictionary of columns is no table: give pandas.DataFrame(data) or pyarrow.table(data).")
    if several and isinstance(data[0], Mapping):
        raise InputError(
            "A list of dictionaries is no table: give pandas.DataFrame(data) or pyarrow.Table.from_pylist(data)."
        )
    from linnet.sources.frames import frame_table, is_frame

    if is_frame(data):
        return frame_table(data)
    if hasattr(data, "read"):
        raise InputError("An open file is no table: give its path, or pandas.read_csv(data).")
    return None


def _column(table: Table, value: Any, role: str, name: str) -> tuple[str, str | None]:
    """The name of the column that holds the target or the weight; an array of values becomes a column.

    Of a series, also the name of another column that its own name belongs to.
    """
    from linnet.sources.frames import FrameTable
    from linnet.sources.settle import column_name

    named = column_name(value)
    if named is not None:
        return named, None
    if isinstance(table, FrameTable) and value is not None:
        return table.with_column(value, role, name)
    raise InputError(f"{role} must be the name of a column of {table}, but is a {type(value).__name__}.")
