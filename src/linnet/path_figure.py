"""Path figure: which way the weights took over the contours of the loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import NO_MISSING, Block, Float64s, InputError
from linnet.canvas import COLOURS, INK, blank, caption, finish, key, title
from linnet.loss_figure import DASHES, FEW, MANY, apart, labels_of, steps_of
from linnet.losses import Loss, Squared, named_loss
from linnet.solvers.solver import Step
from linnet.status import Status
from linnet.text import listed, number, plural, shorten
from linnet.valley import Valley, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SQUARED = Squared()
REACH = 1.6  # a diverging path is shown up to this many times as far from the optimum as runs start
LEAST = 0.35  # and as much of that to either side of the optimum is shown, along each axis
RINGS = 14  # contours; from one to the next the loss above the optimum doubles
CALM = 3.0  # times its median distance that a path may be off at most, and be shown whole


def path(
    runs: Iterable[Step] | Iterable[Iterable[Step]],
    X: Any,
    y: Any,
    loss: str | Loss = SQUARED,
    optimum: Any = None,
    *,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draw the path of the weights over the contours of the mean loss (without a penalty).

    With one feature, over weight and bias; with two, over both weights, the bias being at its optimum for each pair.
    From one contour to the next, the loss above the optimum doubles, so that a narrow valley shows. The picture is
    large enough for every path that does not run away; one that does is cut off where it leaves. Contours of another
    loss than the squared one are taken from at most 1,000 rows, evenly chosen.

    Where the bias is 0 in every Step of every run, they learned without an intercept, and what is drawn is the loss of
    such a model: with two features at bias 0, and with one the optimum is the best weight at bias 0.

    Args:
        runs: the Steps of a run, or those of several, each a list. These begin after its first minibatch; a Step of
            number 0 before them, with the weights that it began with, shows the start as well.
        X: features, (n, 1) or (n, 2), in any form that `linnet.fit` takes; these rows are held in memory.
        y: target, (n,); for a table its column's name.
        loss: what a residual costs, a Loss or its name.
        optimum: [bias, weights] to mark, (d+1,), as `Fit.coefficients` gives; default: where that loss is least.
        labels: a name for each run; default: the settings in which they differ.

    Raises:
        InputError: no runs, runs of other weights than X has columns, more than two columns, rows or a loss that cannot
            be used, or not one label for each run.
    """
    rows, names, target = _rows(X, y)
    d = len(names)
    steps = _runs(runs)
    tracks = [_Track.of(run, d, i + 1) for i, run in enumerate(steps)]
    told = labels_of(steps, labels)
    intercept = not all(track.level for track in tracks)
    cost = named_loss(loss)
    valley = Valley.of(cost, rows, optimum, intercept)
    window = _window(valley, tracks)

    figure = blank()
    figure.set_size_inches(7.0, 5.4)
    axes = figure.add_subplot()
    about = [_draw_contours(axes, valley, window, "least" if intercept or d == 2 else "least here")]
    for i, (track, label) in enumerate(zip(tracks, told, strict=True)):
        width = 1.5 + 0.9 * max(0, min(len(tracks), 4) - 1 - i)  # where paths coincide, those beneath show
        name = "path" if len(tracks) == 1 and labels is None else label
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}
        _draw_track(axes, track, window, name, linewidth=width, **style)
    best = "exact optimum" if isinstance(cost, Squared) or optimum is not None else "optimum"
    axes.plot(*valley.bottom, "*", color="white", markeredgecolor=INK, markersize=15, zorder=5, label=best, ls="none")
    about.append(_marks(tracks, window))
    if not intercept:
        best_of = "; the optimum is the best weight at that" if d == 1 and optimum is None else ""
        about.append(f"no intercept: the bias stays 0{best_of}")
    elif d == 2:
        about.append("the bias is at its best for each pair of weights")
    if intercept and (without := [label for track, label in zip(tracks, told, strict=True) if track.level]):
        whose = "contours and optimum are" if d == 2 else "the optimum is"
        about.append(f"{listed(without, 3)}: no intercept, while {whose} with one")
    of = [shorten(name, 24) for name in names]
    unit = shorten(target, 24)
    axes.set_xlabel(f"weight of {of[0]}, in {unit} per {of[0]}")
    axes.set_ylabel(f"weight of {of[1]}, in {unit} per {of[1]}" if d == 2 else f"bias, in {unit}")
    axes.set_xlim(*window[0])
    axes.set_ylim(*window[1])
    caption(figure, about)
    title(axes, _story(tracks, told, valley, window))
    key(figure, axes)
    return finish(figure)


@dataclass(frozen=True, eq=False)
class _Track:
    """One run's way.

    Attributes:
        places: (k, 2), where it was: weight and bias, or both weights; finite.
        first: number of the Step that it was at the first of them after; 0 if that is its start.
        last: that of the last of them.
        diverged: whether the run was ended because its loss grew without bound.
        level: whether its bias stayed 0: it learned none.
    """

    places: Float64s
    first: int
    last: int
    diverged: bool
    level: bool

    @classmethod
    def of(cls, steps: Sequence[Step], d: int, position: int) -> _Track:
        """That of a run's Steps with weights, as far as these are finite."""
        known = [(step, np.r_[step.bias or 0.0, step.weights]) for step in steps if step.weights is not None]
        if not known:
            raise InputError(f"Run {position} has no Step with weights, so there is no path to draw.")
        for _, coefficients in known:
            if coefficients.shape != (d + 1,):
                raise InputError(
                    f"Run {position} learned {coefficients.size - 1} weights, but X has {d} columns: give the rows "
                    "that the run learned from."
                )
        diverged = known[-1][0].status is Status.DIVERGED
        back = [known.pop()] if diverged and len(known) > 1 else []  # to weights from before the loss exploded
        moved = any(step.step > 0 for step, _ in known) and (back or not diverged)  # a start at 0 tells nothing
        level = bool(moved) and not any(coefficients[0] for _, coefficients in known)
        places = np.array([shown(coefficients) for _, coefficients in known], dtype=np.float64)
        finite = np.isfinite(places).all(axis=1)
        good = len(places) if finite.all() else int(np.argmin(finite))
        if not good:
            raise InputError(f"Run {position} has no finite weights: it diverged at once. Use a smaller learning rate.")
        return cls(places[:good], known[0][0].step, known[good - 1][0].step, diverged, level)

    def leaves(self, window: Float64s) -> bool:
        """Whether it ends outside."""
        return not _inside(self.places[-1:], window)[0]


def _runs(runs: Any) -> list[list[Step]]:
    """The Steps of each run, whether one was given or several."""
    given = list(runs) if isinstance(runs, Iterable) else [runs]
    if not given:
        raise InputError("path() needs the Steps of a run, as a list, or those of several runs.")
    if all(isinstance(step, Step) for step in given):
        return [given]
    return [steps_of(run, i + 1) for i, run in enumerate(given)]


def _rows(X: Any, y: Any) -> tuple[Block, tuple[str, ...], str]:
    """All rows as one block, and what columns are called."""
    from linnet.sources import open_source

    source = open_source(X, y)
    names = source.design.names
    if len(names) not in (1, 2):
        raise InputError(f"A path can be drawn over one feature or two, but X has {len(names)}: choose some of them.")
    blocks = list(source.blocks())
    for block in blocks:
        block.check(names, source.target, source.where, NO_MISSING)
    whole = Block(np.vstack([block.X for block in blocks]), np.concatenate([np.asarray(block.y) for block in blocks]))
    return whole, names, source.target


def _window(valley: Valley, tracks: Sequence[_Track]) -> Float64s:
    """The ends of both axes, (2, 2): around the bottom and all of the paths but what runs away."""
    distances = [valley.distance(track.places) for track in tracks]
    starts = [float(distance[0]) for distance in distances]
    limit = REACH * min(max(starts), 3 * min(starts))
    for distance in distances:
        if distance.max() <= CALM * np.median(distance):  # one that stays where it is: all of it
            limit = max(limit, float(distance.max()))
    kept = np.vstack([track.places[distance <= limit] for track, distance in zip(tracks, distances, strict=True)])
    sizes = valley.distance(kept).max(initial=0.0), 0.01 * valley.spread, 1e-6 * valley.distance(np.zeros((1, 2)))[0]
    size = float(max(sizes)) or 1.0  # no smaller than what a path that does not move can be seen in
    side = LEAST * size / np.sqrt(np.where(valley.shape.diagonal() > 0, valley.shape.diagonal(), 1.0))
    box = np.vstack([kept, valley.bottom - side, valley.bottom + side])
    low, high = box.min(axis=0), box.max(axis=0)
    return np.column_stack([low - 0.08 * (high - low), high + 0.08 * (high - low)])


def _inside(places: Float64s, window: Float64s) -> NDArray[np.bool_]:
    return np.asarray(((places >= window[:, 0]) & (places <= window[:, 1])).all(axis=1))


def _draw_contours(axes: Axes, valley: Valley, window: Float64s, what: str) -> str:
    """The mean loss as lines, the lower the lighter; what a caption must say of it."""
    from matplotlib.colors import LinearSegmentedColormap

    across, up = (np.linspace(low, high, valley.side) for low, high in window.tolist())
    points = np.column_stack([part.ravel() for part in np.meshgrid(across, up)])
    losses = valley.at(points).reshape(valley.side, valley.side)
    least = min(valley.lowest, float(losses.min()))
    above = losses - least
    levels = above.max() * 2.0 ** -np.arange(RINGS, -1.0, -1.0)
    levels = levels[levels >= np.quantile(above, 0.001)]  # a smaller ring would be no larger than a point
    shades = LinearSegmentedColormap.from_list("", ["#FFFFFF", "#DCE3EA", "#B4C0CC"])
    colours = shades(np.linspace(0, 1, levels.size))
    axes.contourf(across, up, above, [0.0, *levels], colors=colours, extend="max")
    axes.contour(across, up, above, levels, colors="white", linewidths=0.8)
    return f"contours: the mean {valley.name} loss above its {what}, {number(least, 4)}, doubles from each to the next"


def _draw_track(axes: Axes, track: _Track, window: Float64s, label: str, **style: Any) -> None:
    """One run's path, its start and its end marked; cut off where it leaves the window for good."""
    places = track.places
    inside = np.flatnonzero(_inside(places, window))
    label += " (diverged)" if track.diverged else " (leaves)" if inside.size and track.leaves(window) else ""
    if not inside.size:
        axes.plot([], [], **style, label=f"{label} (outside)")
        return
    colour, last = style["color"], int(inside[-1])
    shown = places[: last + 1]
    if track.leaves(window):
        here, way = places[last], places[last + 1] - places[last]
        with np.errstate(all="ignore"):
            border = np.where(way > 0, window[:, 1], window[:, 0])
            share = np.nanmin(np.where(way != 0, (border - here) / way, np.inf))
        shown = np.vstack([shown, here + share * way])
        axes.annotate(
            "", shown[-1], here + 0.5 * share * way, annotation_clip=False, zorder=4,
            arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "mutation_scale": 18},
        )  # fmt: skip
    if len(places) <= FEW:
        style |= {"marker": "o", "markersize": 3 + style["linewidth"] / 2, "markevery": slice(0, last + 1)}
    axes.plot(*shown.T, label=label, zorder=3, rasterized=len(places) > MANY, solid_joinstyle="round", **style)
    axes.plot(*shown[:1].T, "o", color=colour, markerfacecolor="white", markersize=7, zorder=4, label="_")
    if not track.leaves(window):
        axes.plot(*shown[-1:].T, "X" if track.diverged else "o", color=colour, markersize=7, zorder=4, label="_")


def _marks(tracks: Sequence[_Track], window: Float64s) -> str:
    """What a caption must say of the ends of paths."""
    s = "s" if len(tracks) > 1 else ""
    firsts = {track.first for track in tracks}
    begun = f"start{s}" if firsts == {0} else f"after step {min(firsts):,}" if len(firsts) == 1 else "first looks"
    said = [f"hollow circle{s}: {begun}"]
    if any(not (track.leaves(window) or track.diverged) for track in tracks):
        said.append(f"full circle{s}: end{s}")
    if any(track.leaves(window) for track in tracks):
        said.append("an arrow: the path leaves for good")
    if any(track.diverged and not track.leaves(window) for track in tracks):
        said.append("a cross: the run diverged")
    return "; ".join(said)


def _story(tracks: Sequence[_Track], labels: Sequence[str], valley: Valley, window: Float64s) -> str:
    """What is seen, in a line."""
    one = tracks[0]
    count = f"{one.last:,} {plural('step', one.last)}"
    if all(track.diverged for track in tracks):
        after = f" after {count}" if len(one.places) > 1 else ""  # else only where it went back to is known
        return f"The run diverged{after}" if len(tracks) == 1 else f"All {len(tracks)} runs diverged"
    ends = [
        (float(valley.at(track.places[-1:])[0]), label)
        for label, track in zip(labels, tracks, strict=True)
        if not (track.diverged or track.leaves(window))
    ]
    if not ends:
        leaving = "The path leaves" if len(tracks) == 1 else f"All {len(tracks)} paths leave"
        return f"{leaving} the picture, away from the optimum"
    end, best = min(ends, key=lambda pair: pair[0])
    if len(tracks) > 1:
        return f"Lowest at the end of {len(tracks)} runs: {best}, at {number(end, 3)}"
    a, b = apart(float(valley.at(one.places[:1])[0]), end)
    if len(one.places) == 1:
        return f"The mean loss is {b} after {count}"
    if one.first == 0:
        return f"The mean loss goes from {a} to {b} in {count}"
    return f"The mean loss goes from {a} after step {one.first:,} to {b} after step {one.last:,}"
