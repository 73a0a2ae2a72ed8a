"""Figures: what a Fit or several look like, and what the way to it does; `from linnet import figures`.

    plot(fit, data, target)              the line through the points, or the weights with their intervals
    fan(fits, data, target)              the lines of several fits of one feature, quantiles for instance
    quantile_process(fits)               weight against quantile, a panel for each feature
    weights_by_loss(fits)                the weights of several losses side by side
    learned_against_exact(fit)           how far each learned weight is from the exact one
    loss_curve(*runs, labels, optimum)   the loss of one or several runs, epoch by epoch
    path(runs, X, y, loss, optimum)      the way of the weights over the contours of the loss
    save(figure, path)                   as PNG, SVG or PDF

Each gives a matplotlib Figure that no window and no other plot knows of; `plt.figure(figure)` takes it in (matplotlib
3.11 or newer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import InputError
from linnet.canvas import BLUE, INK, ORANGE, SUFFIXES, blank, caption, finish, in_rows, save, shade, title
from linnet.fits_figure import INTERVAL, LEVEL, UNITS, fan, quantile_process, standardised, weight_axes, weights_by_loss
from linnet.loss_figure import loss_curve
from linnet.path_figure import path
from linnet.scatter import Points, about, ground, points
from linnet.text import number, plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from linnet.fitted import Fit

__all__ = [
    "plot",
    "learned_against_exact",
    "fan",
    "quantile_process",
    "weights_by_loss",
    "loss_curve",
    "path",
    "save",
    "SUFFIXES",
]

BARS = 30  # weights that can still be read one by one


def plot(fit: Fit, data: Any = None, target: Any = None) -> Figure:
    """Draw a Fit.

    One feature: the fitted line with its 95 % confidence band, where that is known; with data also the points, evenly
    thinned to at most 5,000; without, over two standard deviations on either side of the feature's mean. Several
    features: each weight with its 95 % interval, in standard deviations of the target per standard deviation of the
    feature, so that they compare; the largest 30. A weight that cannot be told from others is a hollow circle, one
    whose standard error cannot be told a hollow square. Beside what was learned, what is exact is marked where it is
    known.

    Args:
        fit: the fit.
        data: rows to show as points, in any form that `linnet.fit` takes; only used with one feature.
        target: shape (n,), when data is an array; for a table the fit's own target column is taken.

    Raises:
        InputError: the data lack the feature or the target, or are arrays without a target.
    """
    figure = blank()
    if len(fit.names) == 1:
        _line(figure, fit, points(fit, data, target))
    else:
        _weights(figure, fit)
    return finish(figure)


def learned_against_exact(fit: Fit) -> Figure:
    """Draw how far each learned weight, and the bias, is from the exact one, in standard errors.

    So they compare, whatever their units. A band shows the tolerance of SGD's tol="auto": 5 % of a standard error. The
    scale is linear within the band, and logarithmic beyond it where something lies far out. The farthest 30 are shown.

    Args:
        fit: a learned Fit that knows the exact weights and standard errors.

    Raises:
        InputError: the fit is exact itself, knows no exact weights, or has no standard errors.
    """
    from linnet.solvers.survey import CLOSE

    if fit.exact is None:
        learned = "lr" in fit.settings
        why = "what is exact is not known for its loss or its size" if learned else "it was solved exactly itself"
        raise InputError(f"This fit has no exact weights to be held against: {why}.")
    first = 0 if fit.intercept else 1
    names = ["intercept", *fit.names][first:]
    distance = fit.distance[first:]
    known = np.flatnonzero(np.isfinite(distance))
    if not known.size:
        if fit.uncertainty is None:
            raise InputError(f"This fit has no standard errors to measure distances in: {fit.why_no_errors()}.")
        raise InputError(
            "Distances are measured in standard errors, but those of this fit are 0, as where the features reproduce "
            "the target exactly, or withheld, as its notes then say."
        )
    order = known[np.argsort(-np.abs(distance[known]), kind="stable")]
    shown = order[:BARS]
    rows = np.arange(shown.size)
    far = np.abs(distance[order]) > CLOSE

    figure = blank()
    axes = figure.add_subplot()
    figure.set_size_inches(7.0, 1.6 + 0.3 * max(shown.size, 3))
    axes.axvspan(-CLOSE, CLOSE, color=BLUE, alpha=0.12, linewidth=0)
    in_rows(axes, [names[i] for i in shown])
    for one, marker, colour in ((~far[: shown.size], "o", BLUE), (far[: shown.size], "D", ORANGE)):
        axes.hlines(rows[one], 0, distance[shown][one], color=colour, linewidth=1.5)
        axes.plot(distance[shown][one], rows[one], marker, color=colour, markersize=6)
    _distance_scale(axes, CLOSE, float(np.abs(distance[shown]).max()))
    axes.set_xlabel("learned minus exact, in standard errors of each weight")

    said = [f"shaded: the tolerance, {100 * CLOSE:g} % of a standard error to either side"]
    if nearer := order.size - shown.size:
        said.append(f"{nearer:,} more {'is' if nearer == 1 else 'are'} nearer to exact than these, and not shown")
    if unsure := distance.size - known.size:
        without = "1 has no standard error, and is" if unsure == 1 else f"{unsure:,} have no standard error, and are"
        said.append(f"{without} not shown")
    caption(figure, said)
    outside = int(far.sum())
    title(
        axes,
        f"{outside:,} of {far.size:,} {plural('weight', far.size)} outside the tolerance"
        if outside
        else f"{'All' if far.size > 1 else 'The'} {far.size:,} {plural('weight', far.size)} within the tolerance",
    )
    return finish(figure)


def _distance_scale(axes: Axes, close: float, farthest: float) -> None:
    """Linear, or where something lies far out, linear only within ± `close`."""
    if farthest <= 4 * close:
        axes.set_xlim(-1.15 * max(farthest, 1.5 * close), 1.15 * max(farthest, 1.5 * close))
        return
    axes.set_xscale("symlog", linthresh=close, linscale=0.7)
    decades = int(np.ceil(np.log10(farthest / close)))
    stride = -(-(decades + 1) // 5)
    sizes = close * 10.0 ** np.arange(0, decades + stride, stride)  # the last at the farthest or beyond it
    axes.set_xticks([*-sizes[::-1], 0.0, *sizes])
    between = np.outer(sizes[:-1], np.arange(2, 10) if stride == 1 else 10.0 ** np.arange(1, stride)).ravel()
    axes.set_xticks([*-between, *between], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}".replace("-", "−"))
    axes.set_xlim(-sizes[-1] * 1.15, sizes[-1] * 1.15)


def _line(figure: Figure, fit: Fit, drawn: Points | None) -> None:
    """The fit of one feature: points if there are any, line and band."""
    axes = figure.add_subplot()
    x = ground(axes, fit, drawn)
    said = about(fit, drawn)
    if fit.uncertainty is None:
        value = fit.predict_rows(x[:, None])
    else:
        value, low, high = fit.predict_rows(x[:, None], LEVEL, "confidence").T
        shade(axes, x, low, high, f"{INTERVAL} confidence band")
        if not np.isfinite([low, high]).all():
            said.append("no band where the standard error cannot be told")
    learned = fit.exact is not None
    axes.plot(x, value, color=BLUE, linewidth=2, label="learned" if learned else "fit")
    if fit.exact is not None:
        axes.plot(x, fit.exact[0] + fit.exact[1] * x, color=ORANGE, linewidth=1.5, linestyle=(0, (4, 3)), label="exact")
    caption(figure, said)
    sign = "−" if fit.weights[0] < 0 else "+"
    slope = number(abs(float(fit.weights[0])), 4)
    start = f"{number(fit.bias, 4)} {sign} {slope}" if fit.intercept else number(float(fit.weights[0]), 4)
    formula = f"{shorten(fit.target, 24)} = {start} · {shorten(fit.names[0], 24)}".replace("= -", "= −")
    title(axes, formula)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _weights(figure: Figure, fit: Fit) -> None:
    """Standardised weights with intervals, the largest on top."""
    if not fit.names:
        raise InputError("This fit has no features, so there is nothing to draw.")
    order = np.argsort(-np.abs(fit.weights * fit.scale), kind="stable")
    shown = order[:BARS]
    rows = np.arange(float(shown.size))
    figure.set_size_inches(7.0, 1.4 + 0.3 * max(shown.size, 3))

    axes = weight_axes(figure, fit, shown)
    if fit.exact is not None:
        exact = (fit.exact[1:] * fit.scale / (fit.target_scale or 1.0))[shown]
        axes.plot(exact, rows, "|", color=ORANGE, markersize=15, markeredgewidth=2.5, zorder=1)
    some, hollow = standardised(axes, fit, shown, rows, BLUE, 6, fit.uncertainty is not None)
    for label, sure in zip(axes.get_yticklabels(), fit.identified[shown], strict=True):
        label.set_alpha(1.0 if sure else 0.6)
    said = [UNITS + (f", with {INTERVAL} intervals" if some else "")]
    if fit.exact is not None:
        said.append("blue: learned; upright orange strokes: exact")
    said += hollow
    if left := order.size - shown.size:
        said.append(f"{left:,} smaller {plural('weight', left)} not shown")
    caption(figure, said)
