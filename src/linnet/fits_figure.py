"""Fits figures: the lines of several fits, weight against quantile, and the weights of several losses side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.canvas import BLUE, COLOURS, GREY, INK, PALE, blank, caption, finish, in_rows, marks, shade, title
from linnet.scatter import about, ground, points
from linnet.text import plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from linnet.fits import Fits
    from linnet.fitted import Fit

LEVEL = 0.95
PANELS = 12  # weights that can be seen at once, each with an axis of its own
BARS = 40  # weights with intervals that can be read one by one
SPACING = 0.045  # least distance of two labels, as a share of the height of the axes
INTERVAL = f"{LEVEL:.0%}".replace("%", " %")
UNITS = "standard deviations of the target per standard deviation of the feature"
Features = np.ndarray[Any, np.dtype[np.intp]]  # their numbers


def fan(fits: Fits, data: Any = None, target: Any = None) -> Figure:
    """Draw the lines of several fits of one feature, each with its label, through the points.

    Of quantiles the areas between the lowest and the highest, the second and the second to last, and so on are shaded.

    Args:
        fits: fits of one feature.
        data: rows to show as points, in any form that `linnet.fit` takes, evenly thinned to at most 5,000; without
            them the lines are drawn over two standard deviations on either side of the feature's mean.
        target: shape (n,), when data is an array; for a table the fits' own target column is taken.

    Raises:
        InputError: there are several features, or the data lack the feature or the target, or are arrays without one.
    """
    if len(fits.names) != 1:
        raise InputError(
            f"A fan has one feature, but these fits have {len(fits.names)}: use quantile_process() or plot()."
        )
    drawn = points(fits[0], data, target)
    figure = blank()
    axes = figure.add_subplot()
    x = ground(axes, fits[0], drawn)
    value = fits.predict_rows(x[:, None])
    k = len(fits)
    if fits.quantiles:
        for i in range(k // 2):
            axes.fill_between(x, value[:, i], value[:, k - 1 - i], color=BLUE, alpha=0.1, linewidth=0)
        colours = [BLUE] * k
    else:
        colours = [COLOURS[i % len(COLOURS)] for i in range(k)]
    for i, colour in enumerate(colours):
        middle = not fits.quantiles or fits.quantiles[i] == 0.5
        axes.plot(x, value[:, i], color=colour, linewidth=2 if middle else 1.2, label=fits.labels[i])
    _label(axes, float(x[-1]), value[-1], fits.labels, colours)
    title(axes, f"{'Quantiles' if fits.quantiles else 'Fits'} of {shorten(fits.target, 48)}")
    caption(figure, about(fits[0], drawn))
    return finish(figure)


def quantile_process(fits: Fits) -> Figure:
    """Draw each weight against the quantile, with its 95 % intervals; a panel for each, the intercept first.

    Where the quantiles differ only in level, every weight but the intercept is the same for all of them, a level line
    (R. Koenker and G. Bassett, "Robust tests for heteroscedasticity based on regression quantiles", Econometrica 50,
    1982). At most 12 panels: those of the weights that are largest in standard deviations of their feature. A weight
    that cannot be told from others is a hollow circle; one whose standard error cannot be told a hollow square.

    Args:
        fits: quantiles in ascending order, as `linnet.fit(..., loss=Quantile([0.1, 0.5, 0.9]))` gives.

    Raises:
        InputError: the fits are not quantiles, or have no weights to draw.
    """
    q = np.array(fits.quantiles)
    if not q.size:
        raise InputError("These fits are not quantiles in ascending order: use weights_by_loss() or plot().")
    if not fits.names:
        raise InputError("These fits have no features, so there is nothing to draw.")
    intercept = [0] if fits[0].intercept else []
    order = 1 + _largest_first(fits)
    shown = [*intercept, *sorted(order[: PANELS - len(intercept)])]
    across = min(len(shown), 4 if len(shown) > 6 else 3)
    down = -(-len(shown) // across)
    figure = blank()
    figure.set_size_inches(max(2.3 * across, 4.6), 0.9 + 1.75 * down)
    weights = np.array([fit.coefficients for fit in fits])
    intervals = np.array([fit.interval(LEVEL) for fit in fits])
    names = ["intercept", *fits.names]
    identified = np.array([[fit.bias_identified, *fit.identified] for fit in fits])
    sure = any(fit.uncertainty is not None for fit in fits)
    told = np.isfinite(intervals).all(axis=2) | (not sure)
    some, hollow = False, list[str]()
    for place, j in enumerate(shown):
        axes = figure.add_subplot(down, across, place + 1)
        low, high = intervals[:, j].T
        some |= shade(axes, q, low, high)
        axes.plot(q, weights[:, j], color=BLUE, linewidth=1.5)
        hollow += marks(axes, q, weights[:, j], identified[:, j], told[:, j], BLUE, 3.5)
        ends = axes.get_ylim()
        axes.axhline(0, color=GREY, linewidth=1, zorder=0)
        if ends[0] > 0 or ends[1] < 0:  # a line at 0 that lies far off would flatten what is to be seen
            axes.set_ylim(ends)
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5", "", "1"])
        axes.locator_params(axis="y", nbins=5)
        axes.tick_params(labelsize=8)
        axes.set_title(shorten(names[j], 22), loc="left", fontsize=9, color=INK)
    figure.suptitle(f"Weights for {shorten(fits.target, 40)}, by quantile", x=0.01, ha="left", fontsize=11, color=INK)
    said = [f"across: quantile; up: {shorten(fits.target, 30)} per unit of the feature"]
    if some:
        said[0] += f"; shaded: {INTERVAL} intervals"
    said += dict.fromkeys(hollow)
    if left := len(fits.names) + len(intercept) - len(shown):
        said.append(f"{left:,} smaller {plural('weight', left)} not shown")
    caption(figure, said)
    return finish(figure)


def weights_by_loss(fits: Fits) -> Figure:
    """Draw the weights of several fits side by side with their 95 % intervals, in standard deviations.

    They are standard deviations of the target per standard deviation of the feature, so that features compare. The
    features whose weights are largest in any fit are shown, as many as make 40 bars. A weight that cannot be told from
    others is a hollow circle; one whose standard error cannot be told, though that of others can, a hollow square.

    Args:
        fits: fits with several losses, for instance.

    Raises:
        InputError: the fits have no features.
    """
    if not fits.names:
        raise InputError("These fits have no features, so there is nothing to draw.")
    order = _largest_first(fits)
    shown = order[: max(BARS // len(fits), 5)]
    rows = np.arange(float(shown.size))
    figure = blank()
    figure.set_size_inches(7.0, 1.7 + (0.13 * len(fits) + 0.13) * max(shown.size, 2))
    axes = weight_axes(figure, fits[0], shown)
    shifts = np.linspace(-0.3, 0.3, len(fits)) if len(fits) > 1 else np.zeros(1)
    sure = any(fit.uncertainty is not None for fit in fits)
    some, hollow = False, list[str]()
    for i, (fit, label, shift) in enumerate(zip(fits, fits.labels, shifts, strict=True)):
        colour = COLOURS[i % len(COLOURS)]
        drawn, said = standardised(axes, fit, shown, rows + shift, colour, 4.5, sure, shorten(label, 30))
        some, hollow = some or drawn, hollow + said
    figure.legend(loc="outside upper right", ncols=min(len(fits), 6), frameon=False, fontsize=9, labelcolor=INK)
    said = [UNITS + (f", with {INTERVAL} intervals" if some else ""), *dict.fromkeys(hollow)]
    if left := order.size - shown.size:
        said.append(f"{left:,} smaller {plural('weight', left)} not shown")
    caption(figure, said)
    return finish(figure)


def weight_axes(figure: Figure, fit: Fit, shown: Features) -> Axes:
    """Where `standardised` draws: a row for each of the features `shown`, and a title."""
    axes = figure.add_subplot()
    in_rows(axes, [fit.names[j] for j in shown])
    axes.grid(axis="x", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    title(axes, f"Weights for {shorten(fit.target, 48)}, standardised")
    return axes


def standardised(
    axes: Axes,
    fit: Fit,
    shown: Features,
    rows: Float64s,
    colour: str,
    size: float,
    sure: bool,
    label: str = "",
) -> tuple[bool, list[str]]:
    """Draw weights with their intervals, in standard deviations of the target per standard deviation of the feature.

    Args:
        axes: where to draw.
        fit: whose weights.
        shown: (m,), of which features.
        rows: (m,), how high each stands.
        colour: of marks and intervals.
        size: of the marks, in points.
        sure: whether the figure has standard errors at all, so that a weight without one needs a word.
        label: of the fit, in a legend.

    Returns:
        Whether an interval was drawn, and what a caption must say of hollow marks.
    """
    unit = fit.target_scale or 1.0  # divided by last: a feature of scale 1e300 has weights near 1e-300
    weights = (fit.weights * fit.scale / unit)[shown]
    low, high = (fit.interval(LEVEL)[1:] * fit.scale[:, None] / unit)[shown].T
    told = np.isfinite(low) & np.isfinite(high)
    axes.hlines(rows[told], low[told], high[told], color=colour, linewidth=2)
    return bool(told.any()), marks(axes, weights, rows, fit.identified[shown], told | (not sure), colour, size, label)


def _largest_first(fits: Fits) -> Features:
    """The features in descending order of their largest weight, in standard deviations of the feature."""
    with np.errstate(over="ignore"):
        size = np.array([np.abs(fit.weights) * fit.scale for fit in fits]).max(axis=0)
    return np.argsort(-size, kind="stable")


def _label(axes: Axes, x: float, heights: Float64s, labels: tuple[str, ...], colours: list[str]) -> None:
    """Write each line's label beside its right end, moved up or down where labels would lie on one another."""
    low, high = axes.get_ylim()
    if not (np.isfinite([low, high, *heights]).all() and high > low):
        return
    axes.set_ylim(low, high)
    order = np.argsort(heights, kind="stable")
    wanted = (heights[order] - low) / (high - low)
    steps = SPACING * np.arange(order.size)
    places = np.maximum.accumulate(wanted - steps) + steps  # none below where it belongs,
    shared = np.minimum.accumulate((wanted - steps)[::-1])[::-1] + steps  # and none above: between both is fairest
    for i, place in zip(order, (places + shared) / 2, strict=True):
        axes.annotate(
            shorten(labels[i], 24), (x, heights[i]), (1.015, place), textcoords="axes fraction", color=colours[i],
            fontsize=9, va="center", annotation_clip=False,
        )  # fmt: skip
