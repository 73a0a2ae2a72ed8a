"""Fits: several fits to the same rows side by side, and where fitted quantiles cross on them."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, InputError
from linnet.fitted import Fit
from linnet.moments import PARALLEL, in_chunks
from linnet.sources.source import Source
from linnet.text import about, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROUNDING = 2.0**-30
"""Share of the terms of two predictions below which a difference between them counts as rounding: far more than the
predictions' own, because weights carry that of their solution."""


@dataclass(frozen=True, eq=False, repr=False)
class Fits:
    """Several fits to the same rows side by side: quantiles of one loss, or several losses. k is their number.

    A fit is taken out by its position or its label, `fits[0]`, `fits["0.5"]`; a quantile also by itself, `fits[0.5]`.

    Attributes:
        fits: the k fits, in order; all have the same features and target.
        labels: what tells them apart, k texts, such as "0.1", "0.5", "0.9" or "squared", "absolute".
        notes: sentences that a reader of all of them must know, such as where fitted quantiles cross.

    Raises:
        InputError: there is no fit, not one label for each, a label twice, or features or targets that differ.
    """

    fits: tuple[Fit, ...]
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.fits:
            raise InputError("Fits need at least one fit.")
        if len(self.labels) != len(self.fits) or len(set(self.labels)) != len(self.labels):
            raise InputError(
                f"Each of the {len(self.fits)} fits needs a label of its own, but these are: {', '.join(self.labels)}."
            )
        first = self.fits[0]
        if any((fit.design, fit.target) != (first.design, first.target) for fit in self.fits):
            raise InputError(
                "Fits stand side by side only with the same target and the same features: fit each to the same columns."
            )

    def __len__(self) -> int:
        return len(self.fits)

    def __iter__(self) -> Iterator[Fit]:
        return iter(self.fits)

    def __getitem__(self, which: SupportsIndex | float | str) -> Fit:
        if not isinstance(which, str | float):
            return self.fits[operator.index(which)]
        among: tuple[str, ...] | tuple[float, ...] = self.labels if isinstance(which, str) else self.quantiles
        if which not in among:
            raise InputError(f"There is no fit {which!r} among these: choose from {', '.join(self.labels)}.")
        return self.fits[among.index(which)]

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, d of them."""
        return self.fits[0].names

    @property
    def target(self) -> str:
        """Name of the target."""
        return self.fits[0].target

    @property
    def n(self) -> int:
        """Rows used (those with weight 0 not counted)."""
        return self.fits[0].n

    @property
    def quantiles(self) -> tuple[float, ...]:
        """Which quantile each fit estimates, where all of them are quantiles in ascending order; otherwise ()."""
        asked = [fit.settings.get("q") if fit.loss == "quantile" else None for fit in self.fits]
        q = [number for number in asked if isinstance(number, float)]
        return tuple(q) if len(q) == len(asked) and sorted(set(q)) == q else ()

    @property
    def weights(self) -> Float64s:
        """Shape (k, d), in units of the target per unit of each feature."""
        return np.array([fit.weights for fit in self.fits])

    @property
    def biases(self) -> Float64s:
        """The intercepts, shape (k,)."""
        return np.array([fit.bias for fit in self.fits])

    @property
    def std_errors(self) -> Float64s:
        """Standard errors of the weights, shape (k, d); NaN where not identified, not available or withheld."""
        return np.array([fit.std_errors for fit in self.fits])

    @property
    def converged(self) -> bool:
        """Whether every fit minimises its objective as well as was asked."""
        return all(fit.status.converged for fit in self.fits)

    def predict(
        self,
        data: Any,
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
    ) -> Float64s:
        """Predict the target on other data, which are read once.

        Args:
            data: an array with the same features, or a table or files with the same columns (the target is not needed).
            interval: as for `Fit.predict`; of a fit without standard errors the ends are NaN, and a warning names it.
            kind: likewise.

        Returns:
            Shape (n, k), or (n, k, 3) holding prediction, low and high. NaN for a row with a missing value if the fits
            dropped such rows. A warning counts the rows of which not all is known (see Fit.predict).

        Raises:
            InputError: columns, levels or values that these fits cannot predict from, or an interval that the loss of
                one of them cannot give, or that none of them can, since none has standard errors.
        """
        from linnet.prediction import Predictor

        return Predictor(self.fits, interval, kind, self.labels).all(data)

    def predict_rows(
        self,
        X: NDArray[np.floating[Any]],
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
    ) -> Float64s:
        """`predict` for features (n, d) that are already encoded, without a warning."""
        from linnet.prediction import side_by_side

        return side_by_side(self.fits, X, interval, kind)

    def plot(self, data: Any = None, target: Any = None) -> Figure:
        """Draw them. One feature: all lines, and the points; several: how each weight changes from fit to fit.

        Quantiles of several features are drawn as weight against quantile, other losses as weights side by side.

        Args:
            data: for one feature, where to take the points from; without it only the lines are drawn.
            target: with an array, its (n,) target values.

        Raises:
            InputError: data that do not have these fits' columns, or no features to draw.
        """
        from linnet import figures

        if len(self.names) == 1:
            return figures.fan(self, data, target)
        return figures.quantile_process(self) if self.quantiles else figures.weights_by_loss(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as one model file: JSON with a checksum, complete or not at all.

        Raises:
            InputError: the path cannot be written.
        """
        from linnet.model_file import save

        save(self, path)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """What they say, as plain Python values: under `fits`, by label, what each Fit says."""
        from linnet.fits_table import to_dict

        return to_dict(self, level)

    def __str__(self) -> str:
        from linnet.fits_table import render

        return render(self)

    def __repr__(self) -> str:
        return f"<Fits of {self.target!r} on {len(self.names)} features, {self.n:,} rows: {', '.join(self.labels)}>"


def crossing(fits: Sequence[Fit], source: Source) -> tuple[str, ...]:
    """Where fitted quantiles cross on the data, by one pass over the rows.

    Quantiles cross in a row where a lower one is predicted above a higher one. Each is fitted by itself, so nothing but
    the data keeps them in order (R. Koenker, "Quantile Regression", 2005, section 2.5).

    Args:
        fits: fits with quantile loss, the quantiles ascending.
        source: the rows that they were fitted to.

    Returns:
        One sentence that says in how many rows, where and by how much at worst, and what to do; none where they keep
        their order, or where the rows cannot be read again.
    """
    if len(fits) < 2 or not source.rereadable:
        return ()
    centre = fits[0].centre
    weights = np.array([fit.weights for fit in fits])
    starts = np.array([fit.predict_rows(centre[None])[0] for fit in fits])
    sizes, start = np.abs(weights).max(axis=0), float(np.abs(starts).max())

    def crossed(part: Block) -> tuple[int, float, int, int, int]:
        """In how many rows; and of the deepest crossing the depth, the row, the lower and the higher quantile."""
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64's range nothing is said to cross
            offsets = part.X - centre
            value = offsets @ weights.T + starts
            out = (value[:, 1:] < value[:, :-1]).any(axis=1)
            rows = np.flatnonzero(out if part.weight is None else out & (part.weight > 0))
            value, offsets = value[rows], offsets[rows]
            depth = np.maximum.accumulate(value, axis=1) - value  # below the highest of the lower quantiles
            depth[~(depth > ROUNDING * (np.abs(offsets) @ sizes + start)[:, None])] = 0.0
        if not depth.any():
            return 0, 0.0, 0, 0, 0
        row, high = (int(i) for i in np.unravel_index(np.argmax(depth), depth.shape))
        low = int(np.argmax(value[row, :high]))
        count = int(np.count_nonzero(depth.any(axis=1)))
        return count, float(depth[row, high]), part.start + int(rows[row]), low, high

    count, deepest, where, pair = 0, 0.0, "", (0, 0)
    for block in source.blocks():
        parts = in_chunks(block, crossed, PARALLEL)
        count += sum(part[0] for part in parts)
        for _, depth, row, low, high in parts:
            if depth > deepest:
                deepest, where, pair = depth, source.where(row), (low, high)
    if not count:
        return ()
    lower, higher = (fits[i].settings["q"] for i in pair)
    rows = f"{count:,} {plural('row', count)}"
    said = (
        f"fitted quantiles cross in {rows} of {fits[0].n:,}: at worst in {where}, where quantile {higher} is predicted "
        f"{about(deepest, 4)} below quantile {lower}. Fit fewer features or more rows, or ask for quantiles farther "
        "apart"
    )
    return (said,)
