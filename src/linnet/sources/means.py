"""Means: what stands in for missing values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from linnet.block import NO_ROWS, Block, Float64s, Floats, InputError
from linnet.design import Design


class Means:
    """The weighted mean of each feature over its values that are there, block after block.

    Each is taken about the first of its values: so that of a constant column is that constant, and dependencies among
    columns hold for their means, too, to the rounding of values near them. Else the rows that are filled would tell
    columns apart which nothing but rounding does.

    Attributes:
        absent: (d,), how many values are missing in rows that count.
    """

    def __init__(self, names: Sequence[str], where: Callable[[int], str]) -> None:
        """None yet of features of these names; `where` as for Block.check."""
        self._names, self._where = names, where
        self._first = np.full(len(names), np.nan)
        self._half = np.zeros(len(names))  # how far the mean lies from there, halved lest it overflow
        self._total = np.zeros(len(names))  # of the weights
        self._rows = 0  # that count
        self.absent = np.zeros(len(names), np.intp)

    def add(self, X: Floats, weight: Float64s | None, start: int = 0) -> None:
        """Add rows (m, d), NaN where a value is missing; one whose weight is not above 0 may hold anything.

        Raises:
            InputError: a value is infinite; `start` is the number of the first row.
        """
        used: NDArray[np.bool_] = np.ones(len(X), np.bool_) if weight is None else weight > 0
        rows = int(np.count_nonzero(used))
        self._rows += rows
        for j in range(X.shape[1]):
            there = used & ~np.isnan(X[:, j])
            self.absent[j] += rows - np.count_nonzero(there)
            values = X[there, j].astype(np.float64)
            if not values.size:
                continue
            w = np.ones(values.size) if weight is None else weight[there]
            total = float(w.sum())
            if not self._total[j]:
                self._first[j] = values[0]
            # Weights that sum to 1 keep sums of values near the largest float64 finite.
            with np.errstate(over="ignore", invalid="ignore"):
                half = float((w / total * (0.5 * values - 0.5 * self._first[j])).sum())
            if not np.isfinite(half):  # it would fill other rows, which would be blamed for it
                known = np.where(used[:, None] & ~np.isnan(X), X, 0.0)
                Block(known, start=start).check(self._names, "", self._where)
                half = float(np.nan_to_num(half))  # weights that sum to a little more than 1
            share = total / (self._total[j] + total)
            self._half[j] = self._half[j] * (1 - share) + half * share
            self._total[j] += total

    @property
    def values(self) -> Float64s:
        """The means, (d,), NaN where no value is there.

        Raises:
            InputError: no row counts.
        """
        if not self._rows:
            raise InputError(NO_ROWS)
        with np.errstate(over="ignore"):
            mean = self._first + 2 * self._half
        return np.asarray(np.where(np.isfinite(mean), mean, self._first + self._half + self._half))

    def filling(self, design: Design, of: str = "") -> Design:
        """The design with these means of its features in place of missing values; `of` says where columns are.

        Raises:
            InputError: a column has no value at all, or no row counts.
        """
        values, inputs, at = self.values, [], 0
        for feature in design.inputs:
            fill = values[at : at + feature.width]
            if np.isnan(fill).any() or feature.levels == ():
                raise InputError(f"Column {feature.column!r}{of} has no value in any row that is used: leave it out.")
            filled = int(self.absent[at]) if feature.width else 0
            inputs.append(replace(feature, fill=tuple(float(value) for value in fill), filled=filled))
            at += feature.width
        return replace(design, inputs=tuple(inputs))
