"""Frames: tables in memory (pandas, polars, pyarrow), and streams of record batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from linnet.block import InputError
from linnet.sources.columns import Kind, as_texts, distinct, is_dictionary, kind_of, numbers
from linnet.sources.tables import Piece, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from linnet.sources.columns import Column


def is_frame(data: object) -> bool:
    """Whether it is a data frame, a table or a stream of record batches, rather than an array."""
    exports = hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__")
    return exports or _is_a(data, "pandas.DataFrame") or _is_a(data, "polars.LazyFrame")


def frame_table(data: Any) -> Table:
    """The Table of a data frame, an Arrow table or a stream of record batches.

    Raises:
        InputError: it is a single column, not made of named columns, or not computed yet.
    """
    import pyarrow as pa

    if _is_a(data, "pandas.DataFrame"):
        names = tuple(str(name) for name in data.columns)
        return FrameTable(names, len(data), data, _of_pandas, data.index)
    if _is_a(data, "polars.DataFrame"):
        return FrameTable(tuple(data.columns), data.height, data, _of_polars)
    if _is_a(data, "polars.LazyFrame"):
        raise InputError("A LazyFrame holds no rows until it is computed: give data.collect().")
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return FrameTable(tuple(data.column_names), data.num_rows, data, _of_arrow)
    try:
        return StreamTable(data)
    except (pa.ArrowException, TypeError, ValueError, OSError) as error:
        raise InputError(
            f"A {type(data).__name__} cannot be read as a table with named columns ({_first_line(error)}): "
            "give a data frame or a table (a single column: as a frame of one column)."
        ) from error


class FrameTable(Table):
    """A table in memory. A column becomes Arrow only when it is used, then without a copy where its memory allows."""

    shuffle: ClassVar[str] = "rows"

    def __init__(
        self,
        names: tuple[str, ...],
        rows: int,
        data: Any,
        column: Callable[[Any, int], Column],
        index: Any = None,
    ) -> None:
        """A table of so many rows.

        Args:
            names: of the columns.
            rows: how many there are.
            data: what holds them.
            column: takes a column out of the data by its number, in Arrow's form; a function of the module's, which can
                be pickled.
            index: pandas' labels of the rows, if they have any.
        """
        self.names = names
        self.rows: int = rows
        self._data, self._column, self._index = data, column, index
        self._known: dict[str, Column] = {}

    def __str__(self) -> str:
        return "the table"

    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column; the column is converted, so ask only for columns in use."""
        found: pa.DataType = self.column(column).type
        return found

    def column(self, name: str) -> Column:
        """One column in Arrow's form."""
        if name not in self._known:
            self._known[name] = self._column(self._data, self.names.index(name))
        return self._known[name]

    def declared_levels(self, column: str) -> list[str] | None:
        """The levels of a category whose order is declared: pandas' categories, polars' Enum, an ordered dictionary."""
        values = self.column(column)
        if not (is_dictionary(values.type) and values.type.ordered and values.num_chunks):
            return None
        chunks: Any = values.chunks  # one by one: Arrow cannot unify dictionaries that list a null
        return list(dict.fromkeys(text for chunk in chunks for text in as_texts(chunk.dictionary).to_pylist()))

    def with_column(self, values: Any, role: str, name: str) -> tuple[str, str | None]:
        """Add a column of one value for each row; no column gives way to it.

        A series that is a column of this table, by its name and its values, stands for that column. Any other goes by
        its own name, and an array by `name`; where a column has that name, by one that tells the two apart.

        Returns:
            The name that it goes by, and that of another column which a series' own name belongs to, if there is one.

        Raises:
            InputError: it does not have one number for each row, or its rows are labelled otherwise than the table's.
        """
        values = _one_column(values)
        series = _is_a(values, "pandas.Series") or _is_a(values, "polars.Series")
        if series and values.name not in (None, ""):
            name = str(values.name)
        shape = tuple(values.shape) if hasattr(values, "shape") else np.shape(values)
        if shape != (self.rows,):
            raise InputError(
                f"The {role} has shape {shape}, but the table has {self.rows:,} rows: give one value for each row, "
                f"shape ({self.rows},), or a column's name."
            )
        if self._index is not None and _is_a(values, "pandas.Series"):
            self._require_same_rows(values.index, role)
        if not is_frame(values) and not _is_a(values, "pandas.Series"):
            values = np.asarray(values)  # lists and tensors
        column = _arrow(values, name)
        other = None
        if name in self.names:
            if series and self.names.count(name) == 1 and _same(column, self.column(name)):
                return name, None
            other = name if series else None
            while name in self.names:
                name = f"{name} ({role})"
        self.names = (*self.names, name)
        self._known[name] = column
        return name, other

    def _require_same_rows(self, index: Any, role: str) -> None:
        """Refuse a series whose labels are not those of the table, row by row: it was sorted, filtered or joined."""
        if self._index.equals(index):
            return
        for row, (ours, theirs) in enumerate(zip(self._index, index, strict=True)):
            if repr(ours) != repr(theirs) and {ours} != {theirs}:  # NaN and NA have no truth of their own
                raise InputError(
                    f"The {role} is a Series whose index is not that of the table: in row {row + 1:,} its label is "
                    f"{theirs!r}, and the table's {ours!r}. Bring its rows into the table's order, with "
                    f"{role}.reindex(data.index), or give {role}.to_numpy() if they are in that order already."
                )

    def pieces(self, kinds: Mapping[str, Kind], rows: int) -> Iterator[Piece]:
        """Slices of the columns, without a copy."""
        import pyarrow as pa

        columns = pa.table({name: self.column(name) for name in kinds})
        for start in range(0, self.rows, rows):
            yield Piece(columns.slice(start, rows), None, start)


class StreamTable(Table):
    """A stream of record batches: one that can be read only once, or an object that opens a new one each time."""

    def __init__(self, data: Any) -> None:
        import pyarrow as pa

        self._data = data
        self._opened: Any = pa.RecordBatchReader.from_stream(data)
        self._first: Any = None
        self.schema: Any = self._opened.schema
        self.names = tuple(self.schema.names)
        self.rows = None
        self.rereadable = not isinstance(data, pa.RecordBatchReader)

    def __str__(self) -> str:
        return "the stream of record batches"

    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column."""
        found: pa.DataType = self.schema.field(self.names.index(column)).type
        return found

    def known_levels(self, column: str) -> list[str] | None:
        """For a stream that is read only once, the levels that its first record batch lists.

        Raises:
            InputError: the column lists no levels.
        """
        if self.rereadable:
            return None
        if not is_dictionary(self.type_of(column)):
            raise InputError(
                f"Column {column!r} holds text, whose levels must be known before the first row is used, but "
                f"{self} can be read only once: give a table or a file, turn the column into a dictionary "
                "(category) type that lists its levels, or leave it out by naming the features to use (features=…)."
            )
        if self._first is None:
            self._first = next(self._opened, None)
        return [] if self._first is None else distinct(self._first.column(column).dictionary)

    def pieces(self, kinds: Mapping[str, Kind], rows: int) -> Iterator[Piece]:
        """The columns asked for, batch by batch."""
        import pyarrow as pa

        start = 0
        for batch in self._batches():
            columns = pa.Table.from_batches([batch.select(list(kinds))])
            for at in range(0, batch.num_rows, rows):
                yield Piece(columns.slice(at, rows), None, start + at)
            start += batch.num_rows
        if self.rows not in (None, start):
            raise InputError(
                f"The stream of record batches gave {self.rows:,} rows at first and {start:,} when read again: "
                "give a table or a file."
            )
        self.rows = start

    def _batches(self) -> Iterator[Any]:
        """All record batches, from the stream that is already open if there is one."""
        import pyarrow as pa

        reader, first = self._opened, self._first
        self._opened = self._first = None  # a pass that is given up midway must not be continued by the next
        if reader is None and not self.rereadable:
            raise InputError(
                "A stream of record batches can be read only once, and it has been read: "
                "give a table, a data frame or a file."
            )
        try:
            if first is not None:
                yield first
            yield from reader or pa.RecordBatchReader.from_stream(self._data)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"The stream of record batches cannot be read: {_first_line(error)}.") from error


def _of_pandas(data: Any, at: int) -> Column:
    return _arrow(data.iloc[:, at], str(data.columns[at]))


def _of_polars(data: Any, at: int) -> Column:
    return _arrow(data.to_series(at), data.columns[at])


def _of_arrow(data: Any, at: int) -> Column:
    column: Column = data.column(at)
    return column


def _arrow(values: Any, name: str) -> Column:
    """A column of pandas, polars or NumPy in Arrow's form, NaN of pandas as missing."""
    import pyarrow as pa

    try:
        kind: Any = getattr(values, "dtype", None)
        if _is_a(values, "polars.Series"):
            values = values.to_arrow()
        elif _is_a(kind, "pandas.CategoricalDtype") and _is_a(kind.categories.dtype, "pandas.IntervalDtype"):
            values = values.cat.rename_categories(str)  # what pandas.cut makes
        elif _is_a(kind, "pandas.SparseDtype"):
            values = np.asarray(values)
        array = pa.array(values, from_pandas=True)
        if _is_a(kind, "pandas.CategoricalDtype") or _is_a(kind, "polars.Enum"):
            # pandas calls only those ordered that can be compared, and polars up to 1.36 none
            array = pa.DictionaryArray.from_arrays(array.indices, array.dictionary, ordered=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Column {name!r} cannot be used ({_first_line(error)}): convert it to numbers or text of one type, "
            "or, if it is a feature, fit without it (features=…)."
        ) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _one_column(values: Any) -> Any:
    """(n,) values of those of shape (n, 1), as frames of one column and estimators' targets have it."""
    if _is_a(values, "polars.DataFrame") and values.width == 1:
        return values.to_series()
    if _is_a(values, "pandas.DataFrame"):
        return values.iloc[:, 0] if values.shape[1] == 1 else values
    if is_frame(values) or _is_a(values, "pandas.Series"):
        return values
    shape = np.shape(values)
    return np.asarray(values)[:, 0] if len(shape) == 2 and shape[1] == 1 else values


def _same(one: Column, other: Column) -> bool:
    """Whether two columns hold the same values, as numbers of whichever type or as texts."""
    if kind_of(one.type) == kind_of(other.type) == "number":
        return np.array_equal(numbers(one), numbers(other), equal_nan=True)
    return bool(kind_of(one.type) == kind_of(other.type) == "text" and as_texts(one).equals(as_texts(other)))


def _first_line(error: BaseException) -> str:
    """What an error says, in one line and without its full stop."""
    return str(error).strip().partition("\n")[0].partition(". Detail:")[0].rstrip(".")


def _is_a(data: object, name: str) -> bool:
    """Whether it is of a class such as `pandas.DataFrame`, without importing a package that is not loaded."""
    package, _, kind = name.partition(".")
    module = sys.modules.get(package)
    return module is not None and isinstance(data, getattr(module, kind))
