"""Predictor: predicts row after row, and keeps count of those of which not all is known."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from linnet.block import Float64s
from linnet.sources import prediction_blocks
from linnet.sources.source import NewRows
from linnet.text import plural

if TYPE_CHECKING:
    from linnet.fitted import Fit


class Predictor:
    """Predicts rows block after block, and keeps count of those of which not all is known.

    Two things can be unknown: a value that was missing, for which its column's mean stands in, and what to predict
    where the rows that were fitted cannot tell (see Dependencies). Neither spread is in any standard error, so that
    such a row has a prediction, but NaN for the ends of its interval.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
    ) -> None:
        """Fits with the same features; `interval` and `kind` as for Fit.predict."""
        self._fits, self._interval, self._kind = fits, interval, kind
        self._dependent = next((fit for fit in fits if fit.dependencies is not None), None)
        self._filled = self._left = 0  # rows
        self._first_filled = self._first_left = ""

    def blocks(self, data: Any) -> Iterator[Float64s]:
        """The predictions for all rows of the data, in order: (m, k) for k fits, or (m, k, 3) with an interval.

        Raises:
            InputError: as for Fit.predict.
        """
        for rows in prediction_blocks(data, self._fits[0].design):
            self._note(rows)
            yield self._predicted(rows)

    def all(self, data: Any) -> Float64s:
        """The same as one array, with a warning of what is not known."""
        parts = [*self.blocks(data)] or [self._predicted(NewRows(np.empty((0, len(self._fits[0].names)))))]
        for text in self.remarks():
            warnings.warn(text, stacklevel=3)  # at the line that asked a Fit to predict
        return np.concatenate(parts)

    def remarks(self) -> Iterator[str]:
        """What a reader must know of the rows so far: how many are not wholly known, and which is the first."""
        ends = "" if self._interval is None else ", and no interval is given"
        if count := self._filled:
            yield (
                f"{count:,} {plural('row', count)} {'lacks' if count == 1 else 'lack'} a value, for which its column's "
                f"mean stands in (the first in {self._first_filled}): what that adds to the error of a prediction is "
                f"not known{ends}"
            )
        if count := self._left:
            yield (
                f"{count:,} {plural('row', count)} {'leaves' if count == 1 else 'leave'} a dependency that all fitted "
                f"rows keep (the first in {self._first_left}): the fit cannot tell what to predict there{ends}"
            )

    def _predicted(self, rows: NewRows) -> Float64s:
        """(m, k), or (m, k, 3)."""
        each = [fit.predict_rows(rows.X, self._interval, self._kind) for fit in self._fits]
        predicted = np.stack(each, axis=1)
        if self._interval is not None:
            for mask in rows.filled.values():
                predicted[mask, :, 1:] = np.nan
        return predicted

    def _note(self, rows: NewRows) -> None:
        """Count the rows of which not all is known."""
        if rows.filled:
            filled = np.flatnonzero(np.logical_or.reduce(list(rows.filled.values())))
            if not self._filled:
                name = next(name for name, mask in rows.filled.items() if mask[filled[0]])
                self._first_filled = f"{rows.place(int(filled[0]))}, column {name!r}"
            self._filled += filled.size
        if self._dependent is None:
            return
        left = np.flatnonzero(self._dependent.leaves(rows.X))
        if left.size and not self._left:
            fit, first = self._dependent, int(left[0])
            assert fit.dependencies is not None
            column, kept = fit.dependencies.worst(rows.X[first : first + 1], fit.centre, fit.scale)
            value = float(rows.X[first, column])
            self._first_left = f"{rows.place(first)}, where `{fit.names[column]}` is {value:.6g} instead of {kept:.6g}"
        self._left += left.size
