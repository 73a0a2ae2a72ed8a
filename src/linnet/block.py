"""Block: some rows of a table, checked. The one place where the numbers that come in are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]
KINDS = np.dtype(np.float64), np.dtype(np.float32)
"""Numbers as compiled loops take them, in this machine's byte order,"""
FLOAT64 = KINDS[:1]
"""and row weights."""
USE_MISSING = 'use missing="drop" or missing="mean", or mend the data'
NO_MISSING = "drop these rows, or mend the data"
"""What to do about a missing value where `missing=` is an argument, and where it is none."""
NO_ROWS = "There are no rows to fit: every row is missing, dropped or has weight 0."


class InputError(ValueError):
    """Input that cannot be used; the message says where it is wrong and what to do about it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table, ready for arithmetic: the unit of reading, never the minibatch.

    Attributes:
        X: features, shape (rows, features), float32 or float64, in whichever memory order its Source has.
        y: target, shape (rows,), likewise, or None where only predictions are wanted.
        weight: row weights, shape (rows,), float64, each finite and at least 0, or None when all are 1.
        start: number of the first row within its Source, counted from 0; only messages use it.

    Raises:
        InputError: something else than an array, or one of another shape or type, which compiled loops would read past
            its end. The numbers themselves are judged by `check`, and by what sums them.
    """

    X: Floats
    y: Floats | None = None
    weight: Float64s | None = None
    start: int = 0

    def __post_init__(self) -> None:
        X, y, weight = self.X, self.y, self.weight
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in KINDS  # in half a microsecond: fits make many
        if plain and y is not None:
            plain = type(y) is np.ndarray and y.shape == X.shape[:1] and y.dtype in KINDS
        if plain and weight is not None:
            plain = type(weight) is np.ndarray and weight.shape == X.shape[:1] and weight.dtype in FLOAT64
        if not plain:
            _judge(X, y, weight)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.X.shape[0])

    @property
    def features(self) -> int:
        """Number of features."""
        return int(self.X.shape[1])

    @property
    def weights(self) -> Float64s:
        """Row weights as compiled loops take them, (rows,), or (0,) when all are 1."""
        return np.empty(0) if self.weight is None else self.weight

    def part(self, rows: slice | NDArray[np.intp]) -> Block:
        """Some of the rows: views of those in a slice, copies of those with the given numbers."""
        y = None if self.y is None else self.y[rows]
        weight = None if self.weight is None else self.weight[rows]
        start = self.start + (rows.start or 0) if isinstance(rows, slice) else self.start
        return Block(self.X[rows], y, weight, start)

    def check(self, names: Sequence[str], target: str, where: Callable[[int], str], missing: str = USE_MISSING) -> None:
        """Refuse numbers that are not finite and weights below 0.

        Solvers call this when their sums come out non-finite, so that good data are not read a second time
        merely to be told so.

        Args:
            names: of the features.
            target: name of the target.
            where: how a message names a row, given its number as `start` counts it.
            missing: what to do about a missing value.

        Raises:
            InputError: names the first column and row at fault.
        """
        for name, values in (*((n, self.X[:, j]) for j, n in enumerate(names)), (target, self.y)):
            if values is None:
                continue
            bad = ~np.isfinite(values)
            if bad.any():
                row = int(np.argmax(bad))
                kind, remedy = (
                    ("missing (NaN)", missing) if np.isnan(values[row]) else ("infinite", "correct or remove that row")
                )
                raise InputError(
                    f"Column {name!r} is {kind} in {where(self.start + row)}, one of {int(bad.sum()):,} such values "
                    f"among the {self.rows:,} rows looked at: {remedy}."
                )
        if self.weight is not None:
            check_weight(self.weight, lambda row: where(self.start + row))


def _judge(X: Any, y: Any, weight: Any) -> None:
    """Refuse what cannot be a Block's arrays; subclasses of arrays are taken if they hold nothing but numbers.

    Raises:
        InputError: names the one at fault.
    """
    rows = None
    for name, array, ndim, kinds in (("X", X, 2, KINDS), ("y", y, 1, KINDS), ("weight", weight, 1, FLOAT64)):
        if array is None and name != "X":
            continue
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise InputError(
                f"A Block's {name} is a {type(array).__name__}, but must be a plain NumPy array: give "
                "np.asarray(…, dtype=float), or of a masked array .filled(np.nan)."
            )
        if array.dtype not in kinds:
            held = array.dtype.name if array.dtype.isnative else f"{array.dtype.name} in another byte order"
            raise InputError(
                f"A Block's {name} holds {held}, but must hold {' or '.join(kind.name for kind in kinds)}: "
                "give it with .astype(float)."
            )
        if array.ndim != ndim:
            shape = "(rows, features)" if ndim == 2 else "(rows,)"
            raise InputError(f"A Block's {name} has shape {array.shape}, but must have {shape}: reshape it.")
        rows = array.shape[0] if rows is None else rows
        if array.shape[0] != rows:
            raise InputError(
                f"A Block's X has {rows:,} rows, but its {name} {array.shape[0]:,}: give one value for each row."
            )


WEIGHTS = 1e-200, 1e200
"""Between these weights may lie,"""
WEIGHT_SPAN = 1e60
"""and by this factor they may differ: beyond it the lightest rows are lost in the rounding of the heaviest."""


LARGE = 1e100
"""Size beyond which the square of a number may leave float64's range, in units that suit the rows that count."""


def muted(values: Floats, weight: Float64s | None) -> Floats:
    """Numbers of rows, (rows, …), with 0 for those of rows of weight 0 that are so large, infinite or missing (NaN).

    Such a row counts as absent, but 0 times these, or times their squares, would be NaN. A copy where there are any.
    """
    if weight is None or weight.all():
        return values
    most = min(LARGE, float(np.finfo(values.dtype).max))
    rows, found = np.flatnonzero(weight == 0), values
    for i in range(0, rows.size, 1 << 14):  # copies of a few at a time
        some = rows[i : i + (1 << 14)]
        part = values[some]
        usable = np.abs(part) <= most
        if not usable.all():
            found = values.copy(order="K") if found is values else found
            found[some] = np.where(usable, part, 0)
    return found


def check_weight(weight: Float64s, where: Callable[[int], str], name: str = "weight") -> None:
    """Refuse row weights that are negative, NaN, infinite or of absurd size.

    Args:
        weight: shape (rows,).
        where: how a message names a row, counted from 0.
        name: how it names the weights.

    Raises:
        InputError: names the first row at fault.
    """
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"The weight {name!r} is {weight[row]!s} in {where(row)}: weights must be finite and at least 0. "
            "Correct or remove that row."
        )
    used = weight[weight > 0]
    if not used.size:
        return
    low, high = used.min(), used.max()
    if low < WEIGHTS[0] or high > WEIGHTS[1] or high / WEIGHT_SPAN > low:
        raise InputError(
            f"The weights {name!r} reach from {low:.3g} to {high:.3g}: apart from 0 they must lie between "
            f"{WEIGHTS[0]:g} and {WEIGHTS[1]:g} and differ by a factor of at most {WEIGHT_SPAN:g}. "
            "Rescale them, or set the smallest to 0."
        )
