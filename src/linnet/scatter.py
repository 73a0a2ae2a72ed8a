"""Scatter: the points of one feature and the target, and the axes on which lines are drawn through them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linnet.block import Float64s, InputError
from linnet.canvas import GREY
from linnet.design import Feature
from linnet.fitted import Fit
from linnet.text import plural, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 5_000  # more than that is a cloud, not points


class Points(NamedTuple):
    """What is drawn of some rows.

    Attributes:
        x: the feature of at most POINTS rows at even strides, (n,).
        y: their target, (n,).
        strange: rows left out since they have a level that the fit does not know.
    """

    x: Float64s
    y: Float64s
    strange: int


def points(fit: Fit, data: Any, target: Any) -> Points | None:
    """The points to draw, read in one pass; None without data.

    Rows of a level that the fit does not know are left out, as those of weight 0 that alone have it were by the fit.

    Raises:
        InputError: the data lack the feature or the target, are arrays without a target, have no complete row, or none
            of a level that the fit knows.
    """
    if data is None:
        return None
    from linnet.sources import open_source

    named = not fit.design.from_array or isinstance(data, str | os.PathLike)
    if named and target is None:
        target = fit.target
    elif target is None:
        raise InputError("The data to plot are an array, so the target is needed as well: plot(X, y).")
    feature = _shown(fit)
    source = open_source(data, target, features=[feature.column] if named else None, missing="drop")
    known, levels = feature.levels, source.design.inputs[0].levels
    if known is None or levels is None:
        alike, place = source.design.names == fit.names, None
    else:  # where each level of the data stands
        place = np.array([known.index(level) if level in known else np.nan for level in levels])
        alike = not np.isnan(place).all()
    if not alike:
        column = source.design.inputs[0].column
        raise InputError(
            f"The data to plot have the feature {', '.join(source.design.names or [column])}, but the fit has "
            f"{fit.names[0]}: give data with the same column and, if it is a category, the same levels."
        )
    stride = 1
    kept = np.empty((2, 0))
    seen = strange = 0
    for block in source.blocks():
        x, y = block.X, np.asarray(block.y)
        # of indicators (rows, levels - 1) of all levels but the first
        x = x[:, 0] if place is None else place[(x @ np.arange(1, x.shape[1] + 1)).astype(np.intp)]
        if (unknown := np.isnan(x)).any():
            strange += int(unknown.sum())
            x, y = x[~unknown], y[~unknown]
        take = np.arange(-seen % stride, x.size, stride)
        seen += x.size
        kept = np.hstack([kept, np.vstack([x[take], y[take]])])
        while kept.shape[1] > POINTS:
            kept = kept[:, ::2]
            stride *= 2
    if not kept.shape[1]:
        raise InputError("The data to plot have no complete row.")
    return Points(kept[0], kept[1], strange)


def _shown(fit: Fit) -> Feature:
    """The input of the fit's one feature; categories of a single level have none."""
    return next(feature for feature in fit.design.inputs if feature.names)


def ground(axes: Axes, fit: Fit, drawn: Points | None) -> Float64s:
    """Draw the points, if any, and name both axes.

    Args:
        axes: empty axes.
        fit: a fit of one feature.
        drawn: what `points` gave.

    Returns:
        Where to evaluate a line: 200 values of the feature, over the points or else two standard deviations on either
        side of its mean; between both levels of an indicator.
    """
    feature = _shown(fit)
    if feature.levels is not None:  # an indicator: two places, not a continuum
        ends = np.array([0.0, 1.0])
        axes.set_xticks(ends, [shorten(level, 30) for level in feature.levels])
        axes.set_xlim(-0.5, 1.5)
    elif drawn is None:
        ends = fit.centre[0] + np.array([-2.0, 2.0]) * (fit.scale[0] or 1.0)
    else:
        ends = np.array([drawn.x.min(), drawn.x.max()])
    if drawn is not None:
        x, y = drawn.x, drawn.y
        if feature.levels is not None:
            x = x + (np.arange(x.size) * 0.6180339887 % 1 - 0.5) * 0.3  # spread evenly so that points do not hide
        size, alpha = (14, 0.6) if x.size <= 500 else (5, 0.35)
        axes.scatter(x, y, s=size, color=GREY, alpha=alpha, linewidths=0, label="data", rasterized=x.size > 1000)
    axes.set_xlabel(shorten(feature.column, 60))
    axes.set_ylabel(shorten(fit.target, 40))
    return np.linspace(ends[0], ends[1], 200)


def about(fit: Fit, drawn: Points | None) -> list[str]:
    """What a caption says of where lines are drawn, and of rows that are not."""
    if drawn is None:
        return ["no data given: drawn over the mean ± 2 standard deviations"] if _shown(fit).levels is None else []
    rows = drawn.strange
    return [f"not shown: {rows:,} {plural('row', rows)} of levels that the fit does not know"] if rows else []
