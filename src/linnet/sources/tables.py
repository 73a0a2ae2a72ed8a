"""Table: columns with names and types, read piece by piece; and TableSource, which makes Blocks of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, Floats, InputError, check_weight, muted
from linnet.design import Design, Feature
from linnet.sources.columns import UNKNOWN, Kind, Mask, codes, decoding, write_indicators, write_numbers
from linnet.sources.source import NewRows, Source, numbered

if TYPE_CHECKING:
    import pyarrow as pa

VALUES_PER_BLOCK = 1 << 20  # 8 MB of float64: large enough for BLAS, and a few of them still count as nothing


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a Table.

    Attributes:
        columns: the columns that were asked for.
        file: the file that they come from, or None.
        start: number of the first row within that file or table, counted from 0.
    """

    columns: pa.Table
    file: str | None
    start: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.columns.num_rows)

    def place(self, row: int) -> str:
        """How a message names one of its rows, counted from 0: `row 17 of 'data.csv'`."""
        return f"row {self.start + row + 1:,}" + (f" of {self.file!r}" if self.file else "")


class Table(ABC):
    """Columns with names and types, which yields the ones asked for: again and again, or only once.

    Attributes:
        names: the names of all columns, as they come, even when one comes twice.
        rows: number of rows, or None when that is not known before reading.
        rereadable: whether `pieces` may be called a second time.
        typed: whether the types are certain; False where they are guessed from text.
        shuffle: as in Source.
        own: the columns that are the target or the weight, and which of the two.
    """

    names: tuple[str, ...]
    rows: int | None
    rereadable: bool = True
    typed: ClassVar[bool] = True
    shuffle: ClassVar[str] = "none"
    own: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def pieces(self, kinds: Mapping[str, Kind], rows: int) -> Iterator[Piece]:
        """Read the named columns once, in order, at most `rows` rows at a time.

        Raises:
            InputError: a row cannot be read, or none of them a second time.
        """

    @abstractmethod
    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column."""

    @abstractmethod
    def __str__(self) -> str:
        """How a message names it: `the table`, or a file's path in quotes."""

    def known_levels(self, column: str) -> list[str] | None:
        """The levels of a text column where they are known without reading it through; None otherwise."""
        del column
        return None

    def declared_levels(self, column: str) -> list[str] | None:
        """All levels that a text column may have, in the order in which they are declared; None where none is."""
        del column
        return None

    def place(self, piece: Piece, row: int) -> str:
        """`Piece.place`, with the number of the line where rows come from a text file."""
        return piece.place(row)

    def otherwise(self, column: str) -> str:
        """What else to do where a column cannot be used, which `features=` helps only of a feature."""
        role = self.own.get(column)
        if role is None:
            return "fit without it (features=…)"
        return "name another target" if role == "target" else "fit without weights (leave weight= out)"

    def why_absent(self) -> str:
        """A sentence on why columns seem not to be there, where the only one looks like several; else nothing."""
        if len(self.names) == 1 and any(mark in self.names[0] for mark in ";\t|"):
            return "Its columns seem not to be separated by commas (.csv) or tabs (.tsv): convert it first."
        return ""

    def settle(self, columns: list[str]) -> None:
        """Make the types of these columns certain, as far as reading them can."""
        del columns


@dataclass(frozen=True)
class Encoder:
    """Turns pieces of a table into features, as a Design says.

    Attributes:
        design: how the columns become features.
        dtype: that of X: float32 where every feature is float32 in the table and none is filled, float64 otherwise.
    """

    design: Design
    dtype: type[np.floating[Any]]

    @staticmethod
    def of(design: Design, table: Table) -> Encoder:
        """The encoder for a table, none of whose numbers it rounds, nor means that stand in for them."""
        single = design.missing != "mean" and all(
            f.levels is None and str(table.type_of(f.column)) == "float" for f in design.inputs
        )
        return Encoder(design, np.float32 if single and design.inputs else np.float64)

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns to read, and what each is to be read as."""
        return {f.column: "number" if f.levels is None else "text" for f in self.design.inputs}

    def features(self, piece: Piece) -> tuple[Floats, dict[str, Mask], list[tuple[Feature, Mask]]]:
        """X, shape (rows, features), each feature contiguous; and the missing values of each column that has some.

        Missing values are filled where the design knows with what, and NaN otherwise. Last come the rows of each
        category that has levels which the design does not know.
        """
        X = np.empty((piece.rows, len(self.design.names)), dtype=self.dtype, order="F")
        missing, unknown = {}, []
        at = 0
        for feature in self.design.inputs:
            out = X[:, at : at + feature.width]
            column = piece.columns.column(feature.column)
            if feature.levels is None:
                mask = write_numbers(column, out[:, 0])
            else:
                with decoding(column, feature.column, piece.place):
                    found = codes(column, feature.levels)
                if found.size and found.min() == UNKNOWN:
                    unknown.append((feature, found == UNKNOWN))
                mask = write_indicators(found, out)
            if mask is not None:
                missing[feature.column] = mask
                if feature.fill is not None:
                    out[mask] = feature.fill
            at += feature.width
        return X, missing, unknown


def _refuse_levels(unknown: list[tuple[Feature, Mask]], piece: Piece, used: Mask | None = None) -> None:
    """Refuse levels that the design does not know, in rows in use.

    Raises:
        InputError: names the first.
    """
    for feature, mask in unknown:
        rows = np.flatnonzero(mask if used is None else mask & used)
        if not rows.size:
            continue
        assert feature.levels is not None
        row = int(rows[0])
        raise InputError(
            f"Column {feature.column!r} holds {piece.columns.column(feature.column)[row].as_py()!r} in "
            f"{piece.place(row)}, a level that the fit does not know; it knows {listed(feature.levels)}. "
            "Correct or remove that row, or fit again on data that have this level."
        )


def listed(names: tuple[str, ...] | list[str], most: int = 8) -> str:
    """Names for a message, shortened: `'a', 'b' and 40 more`."""
    shown = [repr(name) for name in names[:most]]
    if len(names) > most:
        return f"{', '.join(shown)} and {len(names) - most:,} more"
    return ", ".join(shown[:-1]) + (" and " if len(shown) > 1 else "") + "".join(shown[-1:])


def rows_per_block(width: int) -> int:
    """How many rows of so many values make a good block."""
    return min(max(VALUES_PER_BLOCK // max(width, 1), 1024), 65536)


class TableSource(Source):
    """The rows of a Table as Blocks, as a Design says."""

    def __init__(self, table: Table, design: Design, target: str, weight: str | None = None) -> None:
        self.table = table
        self.design = design
        self.target = target
        self.weight = weight
        self.rows = table.rows
        self.rereadable = table.rereadable
        self.shuffle = table.shuffle  # type: ignore[misc]  # a table in memory promises more than a file
        self._encoder = Encoder.of(design, table)
        self._latest: tuple[int, Piece, NDArray[np.intp] | None] | None = None

    def blocks(self) -> Iterator[Block]:
        """Read every row once, in order; rows that are dropped still count in `Block.start`.

        Raises:
            InputError: a row cannot be read, a value is missing where none may be, or a weight is negative.
        """
        self.dropped = self.weightless = 0
        start = 0
        for piece in self._pieces():
            block = self._block(piece, start)
            start += piece.rows
            if block.rows:
                yield block
        if not start:
            raise InputError(f"There are no rows in {self.table}.")
        if self.dropped == start:
            raise InputError(
                f"No row of {self.table} is left: {self._counted()}. Leave such features out (features=…), or name "
                "another target or weight."
            )

    def where(self, row: int) -> str:
        """How a message names a row of the latest block, numbered as `Block.start` numbers it."""
        if self._latest is None:
            return numbered(row)
        start, piece, kept = self._latest
        at = row - start
        return piece.place(at if kept is None else int(kept[at]))

    def _pieces(self) -> Iterator[Piece]:
        """The columns in use, piece by piece."""
        kinds = self._encoder.kinds | {self.target: "number"} | ({self.weight: "number"} if self.weight else {})
        return self.table.pieces(kinds, rows_per_block(len(self.design.names) + 1))

    def _block(self, piece: Piece, start: int) -> Block:
        """The rows of a piece that are to be used."""
        X, y, weight, missing, unknown = self._values(piece)
        unusable = missing
        if self.design.missing == "error" and missing:
            self._refuse_missing(missing, piece)
        if self.design.missing == "mean":
            unusable = {c: mask for c, mask in missing.items() if c in (self.target, self.weight)}
        kept = np.flatnonzero(~np.logical_or.reduce(list(unusable.values()))) if unusable else None
        if kept is not None:
            self.dropped += piece.rows - kept.size
            X, y = _rows(X, kept), y[kept]
            weight = None if weight is None else weight[kept]
        self._latest = start, piece, kept
        if weight is not None:
            check_weight(weight, lambda row: self.where(start + row), self.weight or "")
            self.weightless += weight.size - int(np.count_nonzero(weight))
        if unknown:  # a row that is left out may have any
            used = np.zeros(piece.rows, np.bool_)
            used[slice(None) if kept is None else kept] = True if weight is None else weight > 0
            _refuse_levels(unknown, piece, used)
        return Block(muted(X, weight), muted(y, weight), weight, start)

    def _values(
        self, piece: Piece
    ) -> tuple[Floats, Float64s, Float64s | None, dict[str, Mask], list[tuple[Feature, Mask]]]:
        """X, y and weight of a piece's rows; the missing values of each column that has some; and unknown levels.

        Where these are refused, those in rows of weight 0 are none: such a row counts as absent, whatever it holds.
        """
        X, missing, unknown = self._encoder.features(piece)
        y, weight = self._own(self.target, piece, missing), None
        if self.weight:
            weight = self._own(self.weight, piece, missing)
        if missing and weight is not None and self.design.missing == "error":
            counting = ((column, mask & (weight != 0)) for column, mask in missing.items())
            missing = {column: mask for column, mask in counting if mask.any()}
        return X, y, weight, missing, unknown

    def _own(self, column: str, piece: Piece, missing: dict[str, Mask]) -> Float64s:
        """The values of the target or the weight, with missing ones noted."""
        values = np.empty(piece.rows)
        mask = write_numbers(piece.columns.column(column), values)
        if mask is not None:
            missing[column] = mask
        return values

    def _refuse_missing(self, missing: dict[str, Mask], piece: Piece) -> None:
        """Say which columns have missing values and how many; where rows are read once, which is the first."""
        if not self.rereadable:
            column, row = _first_missing(missing)
            raise InputError(
                f"Column {column!r} of {self.table} has no value in {piece.place(row)}. "
                'Use missing="drop" to leave such rows out, or mend the data.'
            )
        raise InputError(
            f'{self._counted()}. Use missing="drop" to leave such rows out, '
            'missing="mean" to fill features with their column\'s mean, or mend the data.'
        )

    def _counted(self) -> str:
        """Which columns have missing values: one more pass, taken only to say so."""
        if not self.rereadable:
            return f"A value is missing in {self.table}"
        counts: dict[str, int] = {}
        rows, first = 0, ""
        for piece in self._pieces():
            _, _, _, missing, _ = self._values(piece)
            if missing and not first:
                first = piece.place(int(np.argmax(np.logical_or.reduce(list(missing.values())))))
            for column, mask in missing.items():
                counts[column] = counts.get(column, 0) + int(mask.sum())
            rows += piece.rows
        each = [f"{count:,} in column {column!r}" for column, count in counts.items()]
        shown = ", ".join(each[:8]) + (f" and more in {len(each) - 8:,} other columns" if len(each) > 8 else "")
        first = first.removesuffix(f" of {self.table}")  # it has been named
        return f"Among the {rows:,} rows of {self.table}, values are missing: {shown} (the first in {first})"


def _rows(X: Floats, kept: NDArray[np.intp]) -> Floats:
    """Some rows of X, each feature still contiguous."""
    out = np.empty((kept.size, X.shape[1]), dtype=X.dtype, order="F")
    for j in range(X.shape[1]):
        np.take(X[:, j], kept, out=out[:, j])
    return out


def predictions(table: Table, design: Design) -> Iterator[NewRows]:
    """The rows of a table to predict from; every row is there, in order.

    Raises:
        InputError: a row cannot be read, a level is unknown, a value is infinite, or missing where none may be.
    """
    encoder = Encoder.of(design, table)
    fills = {feature.column: feature.fill for feature in design.inputs}
    for piece in table.pieces(encoder.kinds, rows_per_block(len(design.names))):
        X, missing, unknown = encoder.features(piece)
        _refuse_levels(unknown, piece)
        unfilled, dropped = {column: mask for column, mask in missing.items() if fills[column] is None}, None
        if unfilled:
            if design.missing != "drop":
                _refuse_unfilled(unfilled, piece)
            dropped = np.logical_or.reduce(list(unfilled.values()))
            X[dropped] = np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            total = X.sum()  # one look at all of them, which large numbers may send on to a closer one
        if not np.isfinite(total):
            _refuse_infinite(X, design, piece.place)
        filled = {column: mask for column, mask in missing.items() if fills[column]}
        yield NewRows(X, filled, piece.place, dropped)


def _first_missing(missing: dict[str, Mask]) -> tuple[str, int]:
    """The column and the row, counted from 0, of the first value that is missing."""
    column, mask = min(missing.items(), key=lambda item: int(np.argmax(item[1])))
    return column, int(np.argmax(mask))


def _refuse_unfilled(missing: dict[str, Mask], piece: Piece) -> None:
    """Say which value is missing for a prediction."""
    column, row = _first_missing(missing)
    raise InputError(
        f"Column {column!r} has no value in {piece.place(row)}, and the model was fitted with "
        'missing="error": mend that row, or fit with missing="drop" (its prediction is then NaN) or missing="mean".'
    )


def _refuse_infinite(X: Floats, design: Design, where: Callable[[int], str]) -> None:
    """Refuse infinite features, (rows, d), whatever else is missing; `where` as for Block.check.

    Raises:
        InputError: names the first column and row at fault.
    """
    Block(np.where(np.isnan(X), 0, X)).check(design.names, "", where)
