"""Block: some rows of a table, checked. The one place where the numbers that come in are judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Float64s = NDArray[np.float64]


class InputError(ValueError):
    """Input that cannot be used; the message says where it is wrong and what to do about it."""


@dataclass(frozen=True, slots=True)
class Block:
    """Rows of a table, ready for arithmetic: the unit of reading, never the minibatch.

    Attributes:
        X: features, shape (rows, features), float32 or float64, in whichever memory order its Source has.
        y: target, shape (rows,), or None where only predictions are wanted.
        weight: row weights, shape (rows,), each finite and at least 0, or None when all are 1.
        start: number of the first row within its Source, counted from 0; only messages use it.
    """

    X: Floats
    y: Floats | None = None
    weight: Float64s | None = None
    start: int = 0

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

    def check(self, names: Sequence[str], target: str, where: Callable[[int], str]) -> None:
        """Refuse numbers that are not finite and weights below 0.

        Solvers call this when their sums come out non-finite, so that good data are not read a second time
        merely to be told so.

        Args:
            names: of the features.
            target: name of the target.
            where: how a message names a row, given its number as `start` counts it.

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
                    ("missing (NaN)", 'use missing="drop" or missing="mean", or mend the data')
                    if np.isnan(values[row])
                    else ("infinite", "correct or remove that row")
                )
                raise InputError(
                    f"Column {name!r} is {kind} in {where(self.start + row)}, one of {int(bad.sum()):,} such values "
                    f"among the {self.rows:,} rows looked at: {remedy}."
                )
        if self.weight is not None:
            check_weight(self.weight, lambda row: where(self.start + row))


WEIGHTS = 1e-200, 1e200
"""Between these weights may lie,"""
WEIGHT_SPAN = 1e60
"""and by this factor they may differ: beyond it the lightest rows are lost in the rounding of the heaviest."""


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
