"""Arrow columns as numbers: which types count as numbers and which as categories, and how each is written into X."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, Floats, InputError

if TYPE_CHECKING:
    import pyarrow as pa

    Column: TypeAlias = pa.ChunkedArray[Any]

Kind = Literal["number", "text"]
Mask = NDArray[np.bool_]

UNKNOWN = -2  # the code of a level that the design does not have
MISSING = -1  # the code of a missing value


def kind_of(column_type: Any) -> Kind | None:
    """Whether a column of this type is a number or a category; None when it is neither."""
    from pyarrow import types

    numbers = (types.is_floating, types.is_integer, types.is_boolean, types.is_decimal, types.is_null)
    if any(is_one(column_type) for is_one in numbers):
        return "number"
    if is_dictionary(column_type):
        return "text" if kind_of(column_type.value_type) else None
    if types.is_string(column_type) or types.is_large_string(column_type) or types.is_string_view(column_type):
        return "text"
    return None


def is_dictionary(column_type: Any) -> bool:
    """Whether the type lists its levels beside the values, as pandas' and polars' categories do."""
    from pyarrow import types

    return bool(types.is_dictionary(column_type))


def why_refused(column_type: Any) -> str:
    """What such a column holds and what to do about it, for a column that is neither a number nor a category."""
    from pyarrow import types

    if types.is_temporal(column_type):
        return "dates or times: convert it to a number first, such as days since a date"
    if types.is_nested(column_type):
        return f"several values a row ({column_type}): put each into a column of its own first"
    return f"values of type {column_type}: convert it to numbers first"


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The type that stands for both when two files give the same column different ones; None when nothing does."""
    import pyarrow as pa
    from pyarrow import types

    if one == other or types.is_null(other):
        return one
    if types.is_null(one):
        return other
    kind = kind_of(one)
    if kind is None or kind != kind_of(other):
        return None
    return pa.float64() if kind == "number" else pa.string()


def write_numbers(column: Column, out: Floats) -> Mask | None:
    """Write a column of numbers into `out`, shape (rows,), NaN where a value is missing.

    Returns:
        Which values are missing, shape (rows,), or None when none is.
    """
    at = 0
    for chunk in column.chunks:
        out[at : at + len(chunk)] = _numbers(chunk)
        at += len(chunk)
    # The minimum is NaN as soon as one value is, and costs a tenth of looking at each.
    return np.isnan(out) if out.size and np.isnan(out.min()) else None


def numbers(column: Column) -> Float64s:
    """A column of numbers as float64, shape (rows,), NaN where a value is missing."""
    values = np.empty(len(column))
    write_numbers(column, values)
    return values


def _numbers(chunk: Any) -> NDArray[Any]:
    """One Arrow array as NumPy numbers, without a copy where Arrow's memory allows."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_decimal(chunk.type):
        chunk = chunk.cast(pa.string())  # by way of its digits: Arrow's own multiplication rounds twice
    if not types.is_floating(chunk.type) and (chunk.null_count or not types.is_integer(chunk.type)):
        # Booleans, decimals, integers of which some are missing: rounded beyond 2^53, which a safe cast would refuse.
        chunk = chunk.cast(pa.float64(), safe=False)
    return as_numpy(chunk)


def as_numpy(array: Any) -> NDArray[Any]:
    """An Arrow array of floats, or of integers without nulls: as it lies, or with NaN for nulls.

    Its own to_numpy would import pandas, wherever that is installed, as its type's to_pandas_dtype would before pyarrow
    26, which needs it even.
    """
    if not len(array):
        return np.empty(0)
    if not array.null_count:
        return np.from_dlpack(array)
    valid, values = array.buffers()
    part = slice(array.offset, array.offset + len(array))
    there = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[part].astype(np.bool_)
    return np.where(there, np.frombuffer(values, f"f{array.type.bit_width // 8}")[part], np.nan)


def codes(column: Column, levels: tuple[str, ...]) -> NDArray[np.int32]:
    """The position of each value among the levels, shape (rows,), or MISSING or UNKNOWN."""
    known = {level: at for at, level in enumerate(levels)}
    parts = [np.empty(0, np.int32)]
    for chunk in as_texts(column).chunks:
        encoded = chunk.dictionary_encode(null_encoding="encode")
        positions = [MISSING if text is None else known.get(text, UNKNOWN) for text in encoded.dictionary.to_pylist()]
        parts.append(np.array(positions, np.int32)[as_numpy(encoded.indices).astype(np.intp, copy=False)])
    return np.concatenate(parts)


def as_texts(column: Any) -> Any:
    """The column as plain text; categories and numbers are spelled out."""
    import pyarrow as pa

    if is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


@contextmanager
def decoding(column: Column, name: str, place: Callable[[int], str]) -> Iterator[None]:
    """Say where a text is not UTF-8, which some writers of Parquet and Arrow leave unchecked.

    Raises:
        InputError: instead of Python's error, with the column's name and the row, which `place` spells.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        yield
    except UnicodeDecodeError as error:
        row = pc.index(as_texts(column).cast(pa.binary()), pa.scalar(error.object, pa.binary())).as_py()
        raise InputError(
            f"Column {name!r} holds {error.object!r} in {place(row)}, which is not UTF-8 text: write the table again "
            "in that encoding, or fit without that column (features=…)."
        ) from error


def distinct(column: Any) -> list[str]:
    """The texts that occur in a column or an array, in no particular order."""
    return [text for text in as_texts(column).unique().to_pylist() if text is not None]


def in_use(columns: Mapping[str, Column], decide: Sequence[str], weight: str | None) -> Column | None:
    """Which rows have a value in each of the columns that `decide`, and a weight above 0; None where all have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    used: Any = True
    for name in decide:
        column = columns[name]
        text = kind_of(column.type) == "text"
        used = pc.and_(used, pc.is_valid(as_texts(column)) if text else pc.invert(pc.is_null(column, nan_is_null=True)))
    if weight is not None:
        above: Any = pc.greater(columns[weight].cast(pa.float64(), safe=False), pa.scalar(0.0))
        used = pc.and_(used, pc.fill_null(above, False))
    return None if used is True or pc.all(used, min_count=0).as_py() else used


def write_indicators(codes: NDArray[np.int32], out: Floats) -> Mask | None:
    """Write indicators of levels 1, 2, … into `out`, shape (rows, levels - 1), NaN where the value is missing.

    Returns:
        Which values are missing, shape (rows,), or None when none is.
    """
    for j in range(out.shape[1]):
        np.equal(codes, j + 1, out=out[:, j], casting="unsafe")
    missing: Mask = codes == MISSING
    if not missing.any():
        return None
    out[missing] = np.nan
    return missing
