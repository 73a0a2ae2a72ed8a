"""Frames: tables in memory (pandas, polars, pyarrow), and streams of record batches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from linnet.block import InputError
from linnet.sources.columns import Kind, distinct, is_dictionary
from linnet.sources.tables import Piece, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from linnet.sources.columns import Column


def is_frame(data: object) -> bool:
    """Whether it is a data frame, a table or a stream of record batches, rather than an array."""
    return hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__") or _is_a(data, "pandas.DataFrame")


def frame_table(data: Any) -> Table:
    """The Table of a data frame, an Arrow table or a stream of record batches.

    Raises:
        InputError: it is a single column, or not made of named columns.
    """
    import pyarrow as pa

    if _is_a(data, "pandas.DataFrame"):
        names = tuple(str(name) for name in data.columns)
        return FrameTable(names, len(data), lambda i: _arrow(data.iloc[:, i], names[i]))
    if _is_a(data, "polars.DataFrame"):
        return FrameTable(tuple(data.columns), data.height, lambda i: _arrow(data.to_series(i), data.columns[i]))
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if isinstance(data, pa.Table):
        return FrameTable(tuple(data.column_names), data.num_rows, data.column)
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

    def __init__(self, names: tuple[str, ...], rows: int, column: Callable[[int], Column]) -> None:
        self.names = names
        self.rows: int = rows
        self._column = column
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
            self._known[name] = self._column(self.names.index(name))
        return self._known[name]

    def with_column(self, values: Any, role: str, name: str) -> str:
        """Add a column of one value for each row, and return the name that it goes by.

        A named series takes the place of a column with that name; an array without a name goes by `name`.

        Raises:
            InputError: it does not have one number for each row.
        """
        if _is_a(values, "pandas.Series") or _is_a(values, "polars.Series"):
            name = str(values.name or name)
        elif name in self.names:
            name = f"{name} (array)"
        shape = tuple(values.shape) if hasattr(values, "shape") else np.shape(values)
        if shape != (self.rows,):
            raise InputError(
                f"The {role} has shape {shape}, but the table has {self.rows:,} rows: give one value for each row, "
                f"shape ({self.rows},), or a column's name."
            )
        if not is_frame(values) and not _is_a(values, "pandas.Series"):
            values = np.asarray(values)  # lists and tensors
        if name not in self.names:
            self.names = (*self.names, name)
        self._known[name] = _arrow(values, name)
        return name

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


def _arrow(values: Any, name: str) -> Column:
    """A column of pandas, polars or NumPy in Arrow's form, NaN of pandas as missing."""
    import pyarrow as pa

    try:
        if _is_a(values, "polars.Series"):
            values = values.to_arrow()
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"Column {name!r} cannot be used ({_first_line(error)}): convert it to numbers or text of one type, "
            "or fit without it (features=…)."
        ) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _first_line(error: BaseException) -> str:
    """What an error says, in one line and without its full stop."""
    return str(error).strip().partition("\n")[0].partition(". Detail:")[0].rstrip(".")


def _is_a(data: object, name: str) -> bool:
    """Whether it is of a class such as `pandas.DataFrame`, without importing a package that is not loaded."""
    package, _, kind = name.partition(".")
    module = sys.modules.get(package)
    return module is not None and isinstance(data, getattr(module, kind))
