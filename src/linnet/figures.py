"""Figures of a Fit, drawn with matplotlib's object interface: no window, no state shared with a user's own plots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.atomic import Paths, replacing
from linnet.block import Float64s, InputError
from linnet.table import number, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from linnet.fitted import Fit

SUFFIXES = (".pdf", ".png", ".svg")
POINTS = 5_000  # more than that is a cloud, not points
BARS = 30  # weights that can still be read one by one
LEVEL = 0.95
# Okabe and Ito's colours, which people who see fewer colours can tell apart.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#9A9A9A", "#333333"


def plot(fit: Fit, data: Any = None, target: Any = None) -> Figure:
    """Draw a Fit.

    One feature: the fitted line with its 95 % confidence band; with data also the points, evenly thinned to at most
    5,000; without, over two standard deviations on either side of the feature's mean. Several features: each weight
    with its 95 % interval, in standard deviations of the target per standard deviation of the feature, so that they
    compare; the largest 30.

    Args:
        fit: the fit.
        data: rows to show as points, in any form that `linnet.fit` takes; only used with one feature.
        target: shape (n,), when data is an array; for a table the fit's own target column is taken.

    Raises:
        InputError: the data lack the feature or the target, or are arrays without a target.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(7.0, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    if len(fit.names) == 1:
        _line(figure, fit, _points(fit, data, target))
    else:
        _weights(figure, fit)
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_color(INK)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)  # a `$` in a column's name is a dollar
        text.set_fontfamily(_families())
    return figure


def save(figure: Figure, path: Paths) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of its name; whole or not at all.

    Raises:
        InputError: another ending, or nothing can be written at `path`.
        OSError: the file could not be written.
    """
    import warnings
    from pathlib import Path

    import matplotlib as mpl

    kind = Path(path).suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # the same fit gives the same file
    with replacing(path, SUFFIXES) as temporary, warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "linnet"}):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box stands in for a rare character
        figure.savefig(temporary, format=kind, metadata=undated, facecolor="white")


def _line(figure: Figure, fit: Fit, points: tuple[Float64s, Float64s] | None) -> None:
    """The fit of one feature: points if there are any, line and band."""
    axes = figure.add_subplot()
    (name,) = fit.names
    feature = next(feature for feature in fit.design.inputs if feature.names)
    if feature.levels is not None:  # an indicator: two places, not a continuum
        ends = np.array([0.0, 1.0])
        axes.set_xticks(ends, [shorten(level, 30) for level in feature.levels])
        axes.set_xlim(-0.5, 1.5)
    elif points is None:
        ends = fit.centre[0] + np.array([-2.0, 2.0]) * (fit.scale[0] or 1.0)
    else:
        ends = np.array([points[0].min(), points[0].max()])
    x = np.linspace(ends[0], ends[1], 200)

    if points is not None:
        px, py = points
        if feature.levels is not None:
            px = px + (np.arange(px.size) * 0.6180339887 % 1 - 0.5) * 0.3  # spread evenly so that points do not hide
        size, alpha = (14, 0.6) if px.size <= 500 else (5, 0.35)
        axes.scatter(px, py, s=size, color=GREY, alpha=alpha, linewidths=0, label="data", rasterized=px.size > 1000)
    if fit.uncertainty is None:
        value = fit.predict_rows(x[:, None])
    else:
        value, low, high = fit.predict_rows(x[:, None], LEVEL, "confidence").T
        band = f"{LEVEL:.0%} confidence band".replace("%", " %")
        axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0, label=band)
    axes.plot(x, value, color=BLUE, linewidth=2, label="fit")
    axes.set_xlabel(shorten(feature.column, 60))
    if points is None and feature.levels is None:
        figure.supxlabel("no data given: drawn over the mean ± 2 standard deviations", fontsize=9, color=INK)
    axes.set_ylabel(shorten(fit.target, 40))
    sign = "−" if fit.weights[0] < 0 else "+"
    slope = number(abs(float(fit.weights[0])), 4)
    start = f"{number(fit.bias, 4)} {sign} {slope}" if fit.intercept else number(float(fit.weights[0]), 4)
    formula = f"{shorten(fit.target, 24)} = {start} · {shorten(name, 24)}".replace("= -", "= −")
    axes.set_title(formula, loc="left", fontsize=11, color=INK)
    axes.legend(frameon=False, fontsize=9, labelcolor=INK)


def _weights(figure: Figure, fit: Fit) -> None:
    """Standardised weights with intervals, the largest on top."""
    if not fit.names:
        raise InputError("This fit has no features, so there is nothing to draw.")
    unit = fit.target_scale or 1.0  # divided by last: a feature of scale 1e300 has weights near 1e-300
    weights = fit.weights * fit.scale / unit
    low, high = (fit.interval(LEVEL)[1:] * fit.scale[:, None] / unit).T
    order = np.argsort(-np.abs(weights), kind="stable")
    shown = order[:BARS]
    rows = np.arange(shown.size)
    figure.set_size_inches(7.0, 1.4 + 0.3 * max(shown.size, 3))

    axes = figure.add_subplot()
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    known = fit.identified[shown]
    error = np.nan_to_num(np.vstack([weights - low, high - weights])[:, shown])
    axes.errorbar(
        weights[shown][known], rows[known], xerr=error[:, known], fmt="o", color=BLUE, markersize=6, elinewidth=2,
        capsize=0,
    )  # fmt: skip
    if not known.all():
        axes.plot(
            weights[shown][~known], rows[~known], "o", markersize=6, markerfacecolor="white", markeredgecolor=GREY,
        )  # fmt: skip
    axes.set_yticks(rows, [shorten(fit.names[i], 32) for i in shown])
    for label, sure in zip(axes.get_yticklabels(), known, strict=True):
        label.set_alpha(1.0 if sure else 0.6)
    axes.set_ylim(shown.size - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_title(f"Weights for {shorten(fit.target, 48)}, standardised", loc="left", fontsize=11, color=INK)
    about = f", with {LEVEL:.0%} intervals".replace("%", " %") if fit.uncertainty is not None else ""
    caption = [f"standard deviations of the target per standard deviation of the feature{about}"]
    if not known.all():
        caption.append("hollow: cannot be told from the others")
    if order.size > shown.size:
        caption.append(f"{order.size - shown.size:,} smaller weights not shown")
    figure.supxlabel("\n".join(caption), fontsize=9, color=INK)


def _points(fit: Fit, data: Any, target: Any) -> tuple[Float64s, Float64s] | None:
    """The feature and the target of at most POINTS rows at even strides, in one pass."""
    if data is None:
        return None
    from linnet.sources import open_source

    named = not fit.design.from_array or isinstance(data, str | os.PathLike)
    if named and target is None:
        target = fit.target
    elif target is None:
        raise InputError("The data to plot are an array, so the target is needed as well: plot(X, y).")
    columns = [feature.column for feature in fit.design.inputs if feature.names]
    source = open_source(data, target, features=columns if named else None, missing="drop")
    if source.design.names != fit.names:
        raise InputError(
            f"The data to plot have the feature {', '.join(source.design.names)}, but the fit has {fit.names[0]}: "
            "give data with the same column and, if it is a category, the same levels."
        )
    stride = 1
    kept = np.empty((2, 0))
    seen = 0
    for block in source.blocks():
        take = np.arange(-seen % stride, block.rows, stride)
        seen += block.rows
        kept = np.hstack([kept, np.vstack([block.X[take, 0], np.asarray(block.y)[take]])])
        while kept.shape[1] > POINTS:
            kept = kept[:, ::2]
            stride *= 2
    if not kept.shape[1]:
        raise InputError("The data to plot have no complete row.")
    return kept[0], kept[1]


def _families() -> list[str]:
    """Matplotlib's own font first, then those installed here that know the scripts it lacks."""
    from matplotlib import font_manager

    wanted = (
        "Noto Sans CJK SC",
        "Noto Sans SC",
        "PingFang SC",
        "Microsoft YaHei",
        "WenQuanYi Zen Hei",
        "Arial Unicode MS",
    )
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in wanted if name in installed)]
