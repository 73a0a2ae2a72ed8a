"""Predictor: predicts row after row, and keeps count of those of which not all is known."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, Floats, InputError
from linnet.sources import prediction_blocks
from linnet.sources.source import NewRows
from linnet.text import listed, plural

if TYPE_CHECKING:
    from linnet.fitted import Fit


class Predictor:
    """Predicts rows block after block, and keeps count of those of which not all is known.

    Three things can be unknown: a value that was missing, for which its column's mean stands in; what to predict where
    the rows that were fitted cannot tell (see Dependencies); and how far a prediction may be off where a standard error
    that it depends on is withheld (see Withheld). In no standard error is the spread of any of them, so that such a row
    has a prediction, but NaN for the ends of its interval.
    """

    def __init__(
        self,
        fits: Sequence[Fit],
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
        labels: Sequence[str] = (),
    ) -> None:
        """Fits with the same features, and what tells several apart; `interval` and `kind` as for Fit.predict."""
        self._fits, self._interval, self._kind, self._labels = fits, interval, kind, labels
        self._dependent = next((fit for fit in fits if fit.dependencies is not None), None)
        self._rows: Counter[str] = Counter()  # of which not all is known, by what is not
        self._first: dict[str, str] = {}

    def blocks(self, data: Any) -> Iterator[Float64s]:
        """The predictions for all rows of the data, in order: (m, k) for k fits, or (m, k, 3) with an interval.

        Where there are no rows, one block without any: what these fits cannot be asked for is refused all the same.

        Raises:
            InputError: as for Fit.predict.
        """
        rows = None
        for rows in prediction_blocks(data, self._fits[0].design):
            predicted = side_by_side(self._fits, rows.X, self._interval, self._kind)
            if rows.dropped is not None:
                predicted[rows.dropped] = np.nan
            self._note(rows, predicted)
            yield predicted
        if rows is None:
            none = np.empty((0, len(self._fits[0].names)))
            yield side_by_side(self._fits, none, self._interval, self._kind)

    def all(self, data: Any) -> Float64s:
        """The same as one array, with a warning of what is not known."""
        parts = [*self.blocks(data)]
        for text in self.remarks():
            warnings.warn(text, stacklevel=3)  # at the line that asked a Fit to predict
        return np.concatenate(parts)

    def remarks(self) -> Iterator[str]:
        """What a reader must know of the rows so far: how many are not wholly known, and which is the first."""
        ends = "" if self._interval is None else ", and no interval is given"
        if count := self._rows["filled"]:
            yield (
                f"{count:,} {plural('row', count)} {'lacks' if count == 1 else 'lack'} a value, for which its column's "
                f"mean stands in (the first in {self._first['filled']}): what that adds to the error of a prediction "
                f"is not known{ends}"
            )
        if count := self._rows["left"]:
            yield (
                f"{count:,} {plural('row', count)} {'leaves' if count == 1 else 'leave'} a dependency that all fitted "
                f"rows keep (the first in {self._first['left']}): the fit cannot tell what to predict there{ends}"
            )
        if count := self._rows["withheld"]:
            yield (
                f"{count:,} {plural('row', count)} {'depends' if count == 1 else 'depend'} on a weight whose standard "
                f"error is withheld (the first in {self._first['withheld']}): the notes of the fit say why{ends}"
            )
        without: dict[str, list[str]] = {}
        if self._interval is not None:
            for fit, label in zip(self._fits, self._labels, strict=False):
                if fit.uncertainty is None:
                    without.setdefault(fit.why_no_errors(), []).append(repr(label))
        for why, of in without.items():
            has = "has" if len(of) == 1 else "have"
            yield f"the {plural('fit', len(of))} {listed(of, len(of))} {has} no standard errors{ends}: {why}"

    def _note(self, rows: NewRows, predicted: Float64s) -> None:
        """Count the rows of which not all is known, and take the interval from those that were filled."""
        some = np.zeros(len(rows.X), np.bool_)
        for mask in rows.filled.values():
            some |= mask

        def gap(row: int) -> str:
            name = next(name for name, mask in rows.filled.items() if mask[row])
            return f"{rows.place(row)}, column {name!r}"

        self._count("filled", some, gap)
        if self._interval is not None:
            predicted[some, :, 1:] = np.nan
        if self._dependent is not None:
            some |= self._note_left(rows, self._dependent)
        if self._interval is None:
            return
        for i, fit in enumerate(self._fits):
            if fit.uncertainty is None or fit.uncertainty.withheld is None:
                continue
            by = f", of the fit {self._labels[i]!r}" if self._labels else ""
            value, low = predicted[:, i, 0], predicted[:, i, 1]
            withheld = np.isfinite(value) & np.isnan(low) & ~some
            self._count("withheld", withheld, lambda row, by=by: rows.place(row) + by)  # type: ignore[misc]
            some |= withheld

    def _note_left(self, rows: NewRows, fit: Fit) -> NDArray[np.bool_]:
        """Which rows leave a dependency that this fit has, by what else than a mean that stands in, (rows,)."""
        X, at = rows.X, 0
        if rows.filled:
            X = X.copy()
            for feature in fit.design.inputs:
                if feature.column in rows.filled:
                    X[rows.filled[feature.column], at : at + feature.width] = np.nan  # which leaves nothing
                at += feature.width
        left = fit.leaves(X)

        def worst(row: int) -> str:
            assert fit.dependencies is not None
            column, kept = fit.dependencies.worst(X[row : row + 1], fit.centre, fit.scale)
            value = float(X[row, column])
            return f"{rows.place(row)}, where `{fit.names[column]}` is {value:.6g} instead of {kept:.6g}"

        self._count("left", left, worst)
        return left

    def _count(self, what: str, rows: NDArray[np.bool_], first: Callable[[int], str]) -> None:
        """Add some rows of which the same is not known; `first` says where the first is, and what is wrong there."""
        if count := int(np.count_nonzero(rows)):
            if what not in self._first:
                self._first[what] = first(int(np.argmax(rows)))
            self._rows[what] += count


def side_by_side(
    fits: Sequence[Fit], X: Floats, interval: float | None, kind: Literal["prediction", "confidence"]
) -> Float64s:
    """What k fits predict for features (m, d): (m, k), or (m, k, 3) with an interval.

    Of a fit without standard errors the ends are NaN.

    Raises:
        InputError: as for Fit.predict_rows; of several fits the errors may be missing in some.
    """
    sure = [fit.uncertainty is not None for fit in fits]
    if interval is None or all(sure) or len(fits) == 1:
        return np.stack([fit.predict_rows(X, interval, kind) for fit in fits], axis=1)
    for fit in fits:
        fit.check_interval(interval, kind)
    if not any(sure):
        raise InputError(
            f"None of these fits has standard errors, so they can give no intervals: {fits[0].why_no_errors()}."
        )
    predicted = np.full((len(X), len(fits), 3), np.nan)
    for i, fit in enumerate(fits):
        if sure[i]:
            predicted[:, i] = fit.predict_rows(X, interval, kind)
        else:
            predicted[:, i, 0] = fit.predict_rows(X)
    return predicted
