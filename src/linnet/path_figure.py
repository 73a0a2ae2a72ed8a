"""Path figure: which way the weights took over the contours of the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, InputError
from linnet.canvas import COLOURS, INK, blank, caption, finish, title
from linnet.loss_figure import DASHES, FEW, MANY, apart, key, labels_of, steps_of
from linnet.losses import Loss, Squared
from linnet.solvers.solver import Step
from linnet.status import Status
from linnet.text import number, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SQUARED = Squared()
REACH = 1.6  # a diverging path is shown up to this many times as far from the optimum as runs start
LEAST = 0.35  # and as much of that to either side of the optimum is shown, along each axis
RINGS = 14  # contours; from one to the next the loss above the optimum doubles
FINE, COARSE = 161, 91  # points of a grid a side: where each costs nothing, and where it costs a look at the rows
ROWS = 1_000  # that contours of other losses than the squared one are taken from
CALM = 3.0  # times its median distance that a path may be off at most, and be shown whole


def path(
    runs: Iterable[Step] | Iterable[Iterable[Step]],
    X: Any,
    y: Any,
    loss: Loss = SQUARED,
    optimum: Any = None,
    *,
    labels: Sequence[str] | None = None,
) -> Figure:
    """Draw the path of the weights over the contours of the mean loss (without a penalty).

    With one feature, over weight and bias; with two, over both weights, the bias being at its optimum for each pair.
    From one contour to the next, the loss above the optimum doubles, so that a narrow valley shows. The picture is
    large enough for every path that does not run away; one that does is cut off where it leaves. Contours of another
    loss than the squared one are taken from at most 1,000 rows, evenly chosen.

    Args:
        runs: the Steps of a run, or those of several, each a list. These begin after its first minibatch; a Step of
            number 0 before them, with the weights that it began with, shows the start as well.
        X: features, (n, 1) or (n, 2), in any form that `linnet.fit` takes; these rows are held in memory.
        y: target, (n,); for a table its column's name.
        loss: what a residual costs.
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
    valley = _Valley.of(loss, rows, optimum)
    window = _window(valley, tracks)

    figure = blank()
    figure.set_size_inches(7.0, 5.4)
    axes = figure.add_subplot()
    about = [_draw_contours(axes, valley, window)]
    for i, (track, label) in enumerate(zip(tracks, told, strict=True)):
        width = 1.5 + 0.9 * max(0, min(len(tracks), 4) - 1 - i)  # where paths coincide, those beneath show
        name = "path" if len(tracks) == 1 and labels is None else label
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i // len(COLOURS) % len(DASHES)]}
        _draw_track(axes, track, window, name, linewidth=width, **style)
    best = "exact optimum" if isinstance(loss, Squared) or optimum is not None else "optimum"
    axes.plot(*valley.bottom, "*", color="white", markeredgecolor=INK, markersize=15, zorder=5, label=best, ls="none")
    about.append(_marks(tracks, window))
    if d == 2:
        about.append("the bias is at its best for each pair of weights")
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
    """

    places: Float64s
    first: int
    last: int
    diverged: bool

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
        if diverged and len(known) > 1:
            known.pop()  # it goes back to weights from before the loss exploded
        places = np.array([_shown(coefficients) for _, coefficients in known], dtype=np.float64)
        finite = np.isfinite(places).all(axis=1)
        good = len(places) if finite.all() else int(np.argmin(finite))
        if not good:
            raise InputError(f"Run {position} has no finite weights: it diverged at once. Use a smaller learning rate.")
        return cls(places[:good], known[0][0].step, known[good - 1][0].step, diverged)

    def leaves(self, window: Float64s) -> bool:
        """Whether it ends outside."""
        return not _inside(self.places[-1:], window)[0]


@dataclass(frozen=True, eq=False)
class _Valley:
    """The mean loss over the two coordinates of the picture.

    Attributes:
        bottom: (2,), where it is least.
        lowest: the loss there.
        spread: standard deviation of the residuals there, or near.
        shape: (2, 2), second moments of what the coordinates multiply: of how a squared loss bends.
        at: the mean loss at points (k, 2).
        side: points of a grid that it can be asked for, a side.
        name: of the loss.
    """

    bottom: Float64s
    lowest: float
    spread: float
    shape: Float64s
    at: Callable[[Float64s], Float64s]
    side: int
    name: str

    @classmethod
    def of(cls, loss: Any, rows: Block, optimum: Any) -> _Valley:
        """That of a loss on the given rows; `optimum` [bias, weights] is marked as the bottom."""
        if not isinstance(loss, Loss):
            raise InputError(f"loss must be a Loss, such as Squared(), but is {loss!r}.")
        X, y = rows.X.astype(np.float64), np.asarray(rows.y, dtype=np.float64)
        d = rows.features
        least = _least_squares(X, y)
        centred = X - X.mean(axis=0)
        pull = centred if d == 2 else np.column_stack([X, np.ones(len(y))])
        shape = pull.T @ pull / len(y)
        squared = isinstance(loss, Squared)
        r = y - least[0] - X @ least[1:]
        few = np.unique(np.linspace(0, len(y) - 1, min(len(y), ROWS)).astype(int))

        def cost(points: Float64s) -> Float64s:
            return _mean_losses(loss, X[few], y[few], points)

        def quadratic(points: Float64s) -> Float64s:
            delta = points - _shown(least)
            return np.asarray(float(r @ r) / len(y) / 2 + np.einsum("ij,jk,ik->i", delta, shape, delta) / 2)

        at = quadratic if squared else cost
        if optimum is not None:
            bottom = _shown(_coefficients(optimum, d))
        else:
            bottom = _shown(least) if squared else _lowest(cost, _shown(least), shape, float(r.std()))
        return cls(
            bottom, float(at(bottom[None])[0]), float(r.std()), shape, at, FINE if squared else COARSE, loss.name
        )

    def distance(self, points: Float64s) -> Float64s:
        """How far points (k, 2) are from the bottom: the spread of what they predict otherwise."""
        with np.errstate(all="ignore"):
            delta = points - self.bottom
            return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", delta, self.shape, delta), 0.0)))


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
        block.check(names, source.target, source.where)
    whole = Block(np.vstack([block.X for block in blocks]), np.concatenate([np.asarray(block.y) for block in blocks]))
    return whole, names, source.target


def _shown(coefficients: Float64s) -> Float64s:
    """The two of [bias, weights] that span the picture."""
    return coefficients[1:] if coefficients.size == 3 else coefficients[::-1]


def _coefficients(optimum: Any, d: int) -> Float64s:
    try:
        found = np.array(optimum, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (d + 1,) or not np.isfinite(found).all():
        raise InputError(
            f"optimum must be [bias, weights], {d + 1} finite numbers, as Fit.coefficients is: {optimum!r}."
        )
    return found


def _least_squares(X: Float64s, y: Float64s) -> Float64s:
    """[bias, weights] of the least-squares fit."""
    from linnet.moments import Moments

    solution = Moments.of(Block(X, y)).solve(0.0, intercept=True)
    return np.asarray(np.r_[solution.bias, solution.weights])


def _mean_losses(loss: Loss, X: Float64s, y: Float64s, points: Float64s) -> Float64s:
    """The mean loss at points (k, 2); with two features at the best bias, found where the mean slope changes sign."""
    means = np.empty(len(points))
    chunk = max(1, (1 << 18) // len(y))

    def mean(function: Callable[[Float64s], Float64s], r: Float64s) -> Float64s:
        return np.asarray(function(r.ravel()).reshape(r.shape).mean(axis=1))

    for i in range(0, len(points), chunk):
        part = points[i : i + chunk]
        if X.shape[1] == 1:
            r = y - part[:, 1:] - part[:, :1] * X[:, 0]
        else:
            r = y - part @ X.T
            low, high = r.min(axis=1), r.max(axis=1)
            for _ in range(32):
                bias = (low + high) / 2
                up = (
                    mean(loss.slope, r - bias[:, None]) > 0
                )  # residuals are still mostly above: a larger bias costs less
                low, high = np.where(up, bias, low), np.where(up, high, bias)
            r -= ((low + high) / 2)[:, None]
        means[i : i + chunk] = mean(loss.value, r)
    return means


def _lowest(cost: Callable[[Float64s], Float64s], start: Float64s, shape: Float64s, spread: float) -> Float64s:
    """Where a convex loss is least, as exactly as a picture can show."""
    from scipy.optimize import minimize

    sides = 0.2 * (spread or 1.0) / np.sqrt(np.where(shape.diagonal() > 0, shape.diagonal(), 1.0))
    simplex = start + np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) * sides
    options: Any = {"initial_simplex": simplex, "xatol": 1e-6 * float(sides.min()), "fatol": 0.0, "maxfev": 500}

    def at(point: Any) -> float:
        return float(cost(np.asarray(point)[None])[0])

    return np.asarray(minimize(at, start, method="Nelder-Mead", options=options).x)


def _window(valley: _Valley, tracks: Sequence[_Track]) -> Float64s:
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


def _draw_contours(axes: Axes, valley: _Valley, window: Float64s) -> str:
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
    return f"contours: the mean {valley.name} loss above its least, {number(least, 4)}, doubles from each to the next"


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


def _story(tracks: Sequence[_Track], labels: Sequence[str], valley: _Valley, window: Float64s) -> str:
    """What is seen, in a line."""
    one = tracks[0]
    count = f"{one.last:,} step" + ("" if one.last == 1 else "s")
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
