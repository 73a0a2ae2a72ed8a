"""CSV files, plain or compressed: types guessed from the first block, bad rows named by file, row and line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import InputError
from linnet.sources.columns import Kind
from linnet.sources.files import FileTable, Head
from linnet.sources.settle import instead_of
from linnet.sources.tables import Piece

if TYPE_CHECKING:
    import pyarrow as pa

    from linnet.sources.columns import Column

BLOCK_BYTES = 1 << 20  # larger ones are slower to parse, as they leave the cache
LONGEST_ROW_BYTES = 1 << 26
COUNTABLE_ROWS = 2_000_000  # lines are counted in Python, for a message only: a few seconds at most
MISSING_TEXTS = [
    *("", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "null", "NULL", "None"),
    *("NaN", "nan", "-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),
]
BAD_WIDTH = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", ",": "commas"}  # the last are likeliest in names
ENDINGS = {"\t": ".tsv", ",": ".csv"}
DECIMAL_COMMA = re.compile(r"\d,\d")
BAD_VALUE = re.compile(r"In CSV column #(\d+): Row #(\d+): CSV conversion error to (\w+): (.*)", re.DOTALL)


class CsvTable(FileTable):
    """CSV files (.tsv: separated by tabs) with a header."""

    typed = False

    def __init__(self, files: list[str]) -> None:
        self._block_bytes = BLOCK_BYTES
        super().__init__(files)

    def settle(self, columns: list[str]) -> None:
        """Read on for the columns that have no value in the first block, until each shows one."""
        import pyarrow as pa

        untyped = [column for column in columns if self.type_of(column) == pa.null()]
        if not untyped:
            return
        for piece in self.pieces(dict.fromkeys(untyped, "text"), 65536):
            for column in untyped:
                texts = piece.columns.column(column).drop_null()
                if len(texts) and self.type_of(column) == pa.null():
                    self._types[column] = _guess(texts)
            if all(self.type_of(column) != pa.null() for column in untyped):
                return

    def _head(self, file: str) -> tuple[Head, int | None]:
        if file != self.files[0]:
            return [(name, self._types.get(name)) for name in _header(file)], None
        while True:
            try:
                with self._opened(file) as reader:
                    return _schema(reader), None
            except _LongRowError:
                if self._block_bytes >= LONGEST_ROW_BYTES:
                    raise
                self._block_bytes *= 8

    def _tables(self, file: str, kinds: Mapping[str, Kind], rows: int) -> Iterator[pa.Table]:
        import pyarrow as pa

        del rows
        with self._opened(file, {column: self._declared(column, kind) for column, kind in kinds.items()}) as reader:
            tables = (pa.Table.from_batches([batch]) for batch in reader)
            yield from _without_blank_end(tables, file) if len(self.names) == 1 else tables

    def place(self, piece: Piece, row: int) -> str:
        """The place of a row, with the number of its line."""
        return super().place(piece, row) if piece.file is None else _place(piece.file, piece.start + row + 1)

    def why_absent(self) -> str:
        """A sentence on why columns seem not to be there, where the only one is cut by another mark."""
        file, name = self.files[0], self.names[0]
        mark = _other_separator(file, name, name) if len(self.names) == 1 else None
        return _separated(f"Its columns seem to be separated by {SEPARATORS[mark]}", file, mark, "") if mark else ""

    def _declared(self, column: str, kind: Kind) -> pa.DataType:
        """The type to read a column as: whole numbers may turn decimal in any later row, so all are float64."""
        import pyarrow as pa

        if kind == "text":
            return pa.string()
        return pa.bool_() if self.type_of(column) == pa.bool_() else pa.float64()

    @contextmanager
    def _opened(self, file: str, types: dict[str, pa.DataType] | None = None) -> Iterator[Any]:
        """Arrow's reader of one file, of the columns with these types or else of all."""
        import pyarrow as pa
        import pyarrow.csv as arrow_csv

        convert = arrow_csv.ConvertOptions(
            null_values=MISSING_TEXTS,
            strings_can_be_null=True,
            column_types=types,
            include_columns=None if types is None else list(types),
        )
        with _bytes(file) as stream:
            if stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
                raise _not_utf8(file, "UTF-16")
        # Of a single column, an empty line is a row whose value is missing; elsewhere it is no row.
        lone = types is not None and len(self.names) == 1
        above = next((line for line, _ in _records(file)), 1) - 1 if lone else 0
        # Arrow reads ahead in a thread of its own. So nobody closes this stream but the last who holds it: that thread
        # would go on with whatever file has the number of a closed one by then, and take bytes from it.
        stream = _bytes(file)
        try:
            yield arrow_csv.open_csv(
                stream,
                # One thread counts rows, so that a bad one can be named, and is as fast as two here.
                read_options=arrow_csv.ReadOptions(use_threads=False, block_size=self._block_bytes, skip_rows=above),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=_delimiter(file), newlines_in_values=True, ignore_empty_lines=not lone
                ),
                convert_options=convert,
            )
        except UnicodeDecodeError as error:
            raise _not_utf8(file) from error
        except pa.ArrowInvalid as error:
            raise self._explained(file, str(error), above) from error

    def _explained(self, file: str, message: str, above: int) -> InputError:
        """What Arrow says about a bad file, which counts so many lines above the header too."""
        if value := BAD_VALUE.search(message):
            index, row, names = int(value[1]), int(value[2]) - above, _header(file)
            column = names[index] if index < len(names) else ""
            return self._bad_value(file, column, row - 1, value[3], value[4])
        return _unreadable(file, message, self._block_bytes)

    def _bad_value(self, file: str, column: str, row: int, wanted: str, what: str) -> InputError:
        """Say that a value is not what its column holds elsewhere, and what to do."""
        if wanted == "string" or "UTF8" in what:
            return _not_utf8(file, where=f" in column {column!r} of {_place(file, row).replace(f' of {file!r}', '')}")
        value = what.removeprefix("invalid value ").strip("'")
        shown = value if len(value) <= 40 else value[:40] + "…"
        expected, instead = "a number", instead_of(value, self, column)
        if wanted == "bool":
            expected = "true or false"
            instead = f"correct that value, or leave it empty where it is missing. Or {self.otherwise(column)}."
        before = " as in the rows before" if row > 1 else "" if file == self.files[0] else " as in the files before"
        return InputError(
            f"Column {column!r} holds {shown!r} in {_place(file, row)}, where {expected} is expected{before}: {instead}"
        )


def _schema(reader: Any) -> Head:
    """Names and types of the columns; what is not UTF-8 is refused as text, once it is used."""
    import pyarrow as pa

    return [(field.name, pa.string() if field.type == pa.binary() else field.type) for field in reader.schema]


class _LongRowError(InputError):
    """A row does not fit into a block."""


def _bytes(file: str) -> Any:
    """A stream of the file's bytes, decompressed."""
    import pyarrow as pa

    compression: Any = {".gz": "gzip", ".zst": "zstd"}.get(file[file.rfind(".") :].lower())
    return pa.input_stream(file, compression=compression)


def _delimiter(file: str) -> str:
    """What separates the columns, by the file's name."""
    return "\t" if re.search(r"\.tsv(\.|$)", file.lower()) else ","


def _without_blank_end(tables: Iterable[pa.Table], file: str) -> Iterator[pa.Table]:
    """The rows of a single column but for the blank lines at the end of its file, which are no rows."""
    import pyarrow as pa

    held: list[pa.Table] = []  # rows without a value, which may be those lines
    for table in tables:
        there = np.flatnonzero(table.column(0).is_valid())
        last = int(there[-1]) + 1 if there.size else 0
        if last:
            yield from held
            held = []
            yield table.slice(0, last)
        held.append(table.slice(last))
    if any(table.num_rows for table in held):
        rest = pa.concat_tables(held)
        yield rest.slice(0, rest.num_rows - _blank_end(file))


def _blank_end(file: str) -> int:
    """How many blank lines a file ends with."""
    end = b""
    with _bytes(file) as stream:
        while part := stream.read(BLOCK_BYTES):
            end += part
            end = end[len(end.rstrip(b"\r\n")) :]
    return max(0, len(end.splitlines()) - 1)  # the first of them ends the last value's line


def _records(file: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file as lists of texts, header first, each with its first line's number.

    Blank lines are left out, but below the header of a single column, where each is a row.
    """
    with _bytes(file) as stream:
        lines = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=""), delimiter=_delimiter(file))
        line = 1
        lone: bool | None = None
        for record in lines:
            if record or lone:
                yield line, record
                lone = len(record) == 1 if lone is None else lone
            line = lines.line_num + 1


def _header(file: str) -> list[str]:
    """The names of the columns."""
    try:
        for _, names in _records(file):
            return names
    except csv.Error:
        pass
    raise InputError(f"{file!r} is empty or does not start with a header, a line of column names.")


def _guess(texts: Column) -> pa.DataType:
    """The type that these texts would have been given in the first block."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    stream: Any = pa.BufferOutputStream()
    arrow_csv.write_csv(pa.table({"x": texts}), stream)
    back: Any = pa.BufferReader(stream.getvalue())
    guessed: pa.DataType = arrow_csv.read_csv(back).schema.field(0).type
    return guessed


def _unreadable(file: str, message: str, block_bytes: int) -> InputError:
    """What Arrow says about a bad file, with the place and the remedy."""
    if "Empty CSV" in message:
        with _bytes(file) as stream:
            start = stream.read(block_bytes + 1)
        if len(start) > block_bytes:  # and yet holds no whole header
            return _LongRowError(
                f"{file!r} has a header longer than {block_bytes >> 20} MB, or a quote in it that is never closed."
            )
        if start.count(b'"') % 2:
            return InputError(f"{file!r} has a quote in its header that is never closed: correct that line.")
        return InputError(f"{file!r} is empty: it needs a header and at least one row.")
    if "straddling" in message:
        return _LongRowError(f"{file!r} has a quote that is never closed, or a row longer than a million letters.")
    if width := BAD_WIDTH.search(message):
        row, expected, got = (int(number.replace(",", "")) for number in width.groups())
        values = message[width.end() + 2 :].strip()
        if expected == 1 and (mark := _other_separator(file, _header(file)[0], values)):
            seem = f"The columns of {file!r} seem to be separated by {SEPARATORS[mark]}"
            return InputError(_separated(seem, file, mark, values))
        hint = " (or a quote that is never closed)" if "\n" in values else ""
        return InputError(
            f"R{_place(file, row - 1)[1:]} has {got:,} columns where the header has {expected:,}: "
            f"correct that row{hint}; a value that contains the separator must stand in double quotes."
        )
    return InputError(f"{file!r} cannot be read as CSV ({message.strip().partition(chr(10))[0]}).")


def _other_separator(file: str, header: str, values: str) -> str | None:
    """What a header that seems to be one name, and a row that seems to be several values, are both cut by."""
    own = _delimiter(file)
    return next((mark for mark in SEPARATORS if mark != own and mark in header and mark in values), None)


def _separated(seem: str, file: str, mark: str, values: str) -> str:
    """What to do about columns that `seem` to be separated by another mark than the file's name says."""
    decimal = DECIMAL_COMMA.search(values) is not None and mark != ","
    if mark in ENDINGS and not decimal:
        ending = re.sub(r"^.*\.[ct]sv", ENDINGS[mark], file.lower())  # and how it is compressed
        return f"{seem}: the name of such a file must end in {ending}, so rename it."
    return (
        seem
        + (", and its numbers to have decimal commas" if decimal else "")
        + ": export it with commas between the columns"
        + (" and decimal points in the numbers" if decimal else "")
        + f", or read it in Python with pandas.read_csv(…, sep={mark!r}"
        + (", decimal=','" if decimal else "")
        + ") and give that data frame."
    )


def _not_utf8(file: str, encoding: str = "WINDOWS-1252", where: str = "") -> InputError:
    """Say that a file is in another encoding: this one, or what most such files are in; and where that shows."""
    return InputError(
        f"{file!r} is not UTF-8 text{where}: save it in that encoding, for instance with iconv -f {encoding} -t UTF-8."
    )


def _place(file: str, row: int) -> str:
    """`row 17 of 'data.csv' (line 18)`, rows counted from 1 without the header."""
    return f"row {row:,} of {file!r}" + ("" if (line := _line(file, row)) is None else f" (line {line:,})")


def _line(file: str, row: int) -> int | None:
    """The number of the line on which a row starts, where that can be told in a moment."""
    if row > COUNTABLE_ROWS:
        return None
    try:
        for number, (line, _) in enumerate(_records(file)):
            if number == row:
                return line
    except (csv.Error, OSError):
        pass
    return None
