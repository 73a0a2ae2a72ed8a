"""Scatter: the points of one feature and the target, and the axes on which lines are drawn through them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.canvas import GREY
from linnet.fitted import Fit
from linnet.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 5_000  # more than that is a cloud, not points


def points(fit: Fit, data: Any, target: Any) -> tuple[Float64s, Float64s] | None:
    """The feature and the target of at most POINTS rows at even strides, in one pass; None without data.

    Raises:
        InputError: the data lack the feature or the target, are arrays without a target, or have no complete row.
    """
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


def ground(axes: Axes, fit: Fit, drawn: tuple[Float64s, Float64s] | None) -> Float64s:
    """Draw the points, if any, and name both axes.

    Args:
        axes: empty axes.
        fit: a fit of one feature.
        drawn: what `points` gave.

    Returns:
        Where to evaluate a line: 200 values of the feature, over the points or else two standard deviations on either
        side of its mean; between both levels of an indicator.
    """
    feature = next(feature for feature in fit.design.inputs if feature.names)
    if feature.levels is not None:  # an indicator: two places, not a continuum
        ends = np.array([0.0, 1.0])
        axes.set_xticks(ends, [shorten(level, 30) for level in feature.levels])
        axes.set_xlim(-0.5, 1.5)
    elif drawn is None:
        ends = fit.centre[0] + np.array([-2.0, 2.0]) * (fit.scale[0] or 1.0)
    else:
        ends = np.array([drawn[0].min(), drawn[0].max()])
    if drawn is not None:
        x, y = drawn
        if feature.levels is not None:
            x = x + (np.arange(x.size) * 0.6180339887 % 1 - 0.5) * 0.3  # spread evenly so that points do not hide
        size, alpha = (14, 0.6) if x.size <= 500 else (5, 0.35)
        axes.scatter(x, y, s=size, color=GREY, alpha=alpha, linewidths=0, label="data", rasterized=x.size > 1000)
    axes.set_xlabel(shorten(feature.column, 60))
    axes.set_ylabel(shorten(fit.target, 40))
    return np.linspace(ends[0], ends[1], 200)


def about(fit: Fit, drawn: tuple[Float64s, Float64s] | None) -> list[str]:
    """What a caption says of where lines are drawn."""
    number = any(feature.levels is None for feature in fit.design.inputs if feature.names)
    return ["no data given: drawn over the mean ± 2 standard deviations"] if drawn is None and number else []
