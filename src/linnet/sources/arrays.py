"""Arrays as Sources: taken as they lie, block by block, without a copy of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import KINDS, Block, Float64s, Floats, InputError, check_weight, muted
from linnet.design import Design, Missing
from linnet.sources.means import Means
from linnet.sources.source import NewRows, Source, numbered

BLOCK_VALUES = 1 << 26
"""Numbers in a block when it is only a view: large enough for threads to share, small enough to show progress."""
COPIED_VALUES = 1 << 22
"""Numbers in a block when they are converted to float64: 32 MB."""


class ArraySource(Source):
    """The rows of a feature array X and a target array y."""

    shuffle = "rows"

    def __init__(
        self,
        X: Any,
        y: Any,
        *,
        weight: Any = None,
        missing: Missing = "error",
        target: str = "y",
        block_rows: int | None = None,
    ) -> None:
        """Check shapes and types; the values are checked by whoever sums them.

        Args:
            X: (n, d): an array, a torch tensor on the CPU or nested lists; numbers or booleans.
            y: (n,) or (n, 1), likewise.
            weight: (n,), each finite and at least 0, or None.
            missing: what happens to NaN: "error", "drop" or "mean" (see Design). A row without target or weight is
                dropped by both of these; one of weight 0 may hold anything, and is not refused.
            target: what to call y.
            block_rows: rows in a block; by default as many as make a large block.

        Raises:
            InputError: shapes that do not match, no rows, no columns, or values that are not real numbers.
        """
        self._X = as_matrix(X, "X")
        rows, d = self._X.shape
        if not rows or not d:
            raise InputError(f"X has shape {self._X.shape}: there must be at least one row and one column.")
        self._y = as_vector(y, target, rows)
        self._weight = None if weight is None else as_vector(weight, "weight", rows).astype(np.float64)
        if self._weight is not None:
            known = self._weight if missing == "error" else np.nan_to_num(self._weight, nan=0.0, posinf=np.inf)
            check_weight(known, numbered)
            if missing == "error":  # otherwise where rows with missing values have been dropped
                self._X, self._y = (muted(z, self._weight) if z.dtype.kind == "f" else z for z in (self._X, self._y))
        self.rows = rows
        self.target = target
        self._latest: tuple[int, NDArray[np.intp] | None] = (0, None)
        self._as_it_lies = missing == "error" and self._X.dtype in KINDS
        most = BLOCK_VALUES if self._as_it_lies else COPIED_VALUES
        self._block_rows = block_rows or max(1024, most // d)
        design = _numbered(d, missing)
        self.design = _with_means(design, self._X, self._y, self._weight) if missing == "mean" else design

    def blocks(self) -> Iterator[Block]:
        """Read every row once, in order; rows that are dropped still count in `Block.start`.

        Raises:
            InputError: every row has a missing value.
        """
        self.dropped = self.weightless = 0
        n = self._X.shape[0]
        for i in range(0, n, self._block_rows):
            part = slice(i, i + self._block_rows)
            X = as_float(self._X[part])
            y = as_float(self._y[part])
            weight = None if self._weight is None else self._weight[part]
            self._latest = i, None
            if self.design.missing != "error":
                X = filled(X, self.design)
                kept = ~(np.isnan(X).any(axis=1) | np.isnan(y))
                if weight is not None:
                    kept &= ~np.isnan(weight)
                if not kept.all():
                    self.dropped += int(kept.size - kept.sum())
                    self._latest = i, np.flatnonzero(kept)
                    X, y, weight = X[kept], y[kept], None if weight is None else weight[kept]
                X, y = muted(X, weight), muted(y, weight)
            if weight is not None:
                self.weightless += weight.size - int(np.count_nonzero(weight))
            yield Block(X, y, weight, i)
        if self.dropped == n:
            raise InputError(f"No row is left: each of the {n:,} has a missing value (NaN).")

    def held(self) -> Block | None:
        """All rows as they lie; None where X must be converted, or rows with missing values dropped or filled."""
        if not self._as_it_lies:
            return None
        if self._weight is not None:
            self.weightless = self._weight.size - int(np.count_nonzero(self._weight))
        return Block(self._X, as_float(self._y), self._weight)

    def where(self, row: int) -> str:
        """How a message names a row of the latest block: `row 17`, rows that were dropped counted too."""
        start, kept = self._latest
        return f"row {(row if kept is None else start + int(kept[row - start])) + 1:,}"


def prediction_rows(data: Any, design: Design) -> NewRows:
    """An array as rows to predict from, with missing values treated as `design.missing` says.

    Raises:
        InputError: the width does not match, the fit has categories, or a value is missing or infinite.
    """
    X = as_matrix(data, "the data to predict from")
    d = len(design.names)
    if any(feature.levels is not None for feature in design.inputs):
        raise InputError(
            "The model has categories among its features, which an array does not name: "
            "give a data frame, a table or a file with the columns it was fitted on."
        )
    if X.shape[1] != d:
        raise InputError(f"X has {X.shape[1]} columns, but the model was fitted on {d}: give the same ones.")
    given = as_float(X)
    values = filled(given, design)
    rows = NewRows(values)
    if values is not given:
        absent = np.isnan(given)
        rows = NewRows(values, {name: absent[:, j] for j, name in enumerate(design.names) if absent[:, j].any()})
    if design.missing == "drop":
        absent = np.isnan(values)
        if absent.any():
            rows = NewRows(np.where(absent.any(axis=1, keepdims=True), np.nan, values))
        values = np.where(absent, 0.0, values)
    Block(values).check(design.names, "", numbered)
    return rows


def as_matrix(data: Any, what: str) -> NDArray[Any]:
    """An (n, d) array of real numbers, without a copy where it is one already.

    Raises:
        InputError: it has another number of dimensions, or holds something else.
    """
    array = _real(data, what, categories=True)
    if array.ndim != 2:
        hint = (
            "reshape(-1, 1) makes one feature of it, reshape(1, -1) one row"
            if array.ndim == 1
            else "one row for each observation, one column for each feature"
        )
        raise InputError(f"{what} must have two dimensions (n, d), but has shape {array.shape}: {hint}.")
    return array


def as_vector(data: Any, what: str, rows: int) -> NDArray[Any]:
    """An (n,) array of real numbers, also from (n, 1); contiguous, since loops are compiled for each layout.

    Raises:
        InputError: it has another shape or length, or holds something else.
    """
    array = _real(data, what)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InputError(f"{what} must have one dimension ({rows:,},), but has shape {array.shape}.")
    if array.size != rows:
        raise InputError(f"X has {rows:,} rows, but {what} has {array.size:,} values: they must match.")
    return np.ascontiguousarray(array)


def as_float(array: NDArray[Any]) -> Floats:
    """float32 and float64 as they are, anything else as float64."""
    if array.dtype in KINDS:
        return array
    with np.errstate(over="ignore"):  # what float64 cannot hold becomes infinite, and is refused as that
        return array.astype(np.float64)


def filled(X: Floats, design: Design) -> Floats:
    """X with the design's means in place of NaN, where it has them."""
    fill = [feature.fill for feature in design.inputs]
    if None in fill or not np.isnan(X).any():
        return X
    return np.asarray(np.where(np.isnan(X), np.array(fill, dtype=np.float64).ravel(), X))


@lru_cache(maxsize=8)  # whoever fits small arrays fits many, and making it takes as long as all the rest
def _numbered(features: int, missing: Missing) -> Design:
    """The design of an array, whose columns are x1, x2, … ."""
    return Design.numbers([f"x{j + 1}" for j in range(features)], missing, from_array=True)


def _real(data: Any, what: str, categories: bool = False) -> NDArray[Any]:
    """As an array whose values float64 can hold; a message says where `categories` could be given instead."""
    try:
        array = data if isinstance(data, np.ma.MaskedArray) else np.asarray(_here(data, what))
        if array.dtype == object:
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{what} cannot be read as an array of numbers: {error}.") from error
    if array.dtype.kind == "c":
        raise InputError(f"{what} is complex: complex data not supported; give real and imaginary parts as features.")
    if array.dtype.kind not in "fiub":
        remedy = "convert it"
        if categories and array.dtype.kind in "US":
            remedy = "give a data frame, whose text columns become indicators"
        raise InputError(f"{what} holds {array.dtype} where numbers are needed: {remedy}.")
    if isinstance(array, np.ma.MaskedArray):
        return np.ma.filled(array.astype(np.float64), np.nan)
    return array


def _here(data: Any, what: str) -> Any:
    """The same, refused where NumPy cannot read it: sparse matrices, tensors on another device."""
    if isinstance(data, np.ndarray):
        return data
    if hasattr(data, "todense"):
        raise InputError(f"{what} is sparse: Linnet takes dense arrays, so give {what}.toarray() if memory allows.")
    device = getattr(data, "device", None)
    if device is None:
        return data
    if getattr(device, "type", "cpu") != "cpu":
        raise InputError(f"{what} lies on device {device}: give {what}.cpu().")
    return data.detach() if hasattr(data, "detach") else data  # a tensor: open files have that method too


def _with_means(design: Design, X: NDArray[Any], y: NDArray[Any], weight: Float64s | None) -> Design:
    """The design with each column's weighted mean over rows whose target is there."""
    values, known = as_float(X), ~np.isnan(as_float(y))
    means = Means(design.names, numbered)
    means.add(values, known.astype(np.float64) if weight is None else np.where(known, weight, 0.0))
    return means.filling(design)
