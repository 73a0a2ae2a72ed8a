"""Loss figure: how the loss fell, epoch by epoch, in one or several runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.canvas import COLOURS, INK, PALE, alike, blank, caption, finish, key, tick, title
from linnet.fitted import Fit
from linnet.settings import finite
from linnet.solvers.solver import Step
from linnet.status import Status
from linnet.text import number, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = 40  # looks at a run that are still seen one by one
MANY = 5_000  # looks that a line is drawn through, evenly chosen
NOISY = 200  # looks from which a running median is easier to read
HUGE = 1e250  # beyond it matplotlib's margins overflow
HIGH = 100.0  # a diverging loss is shown up to this many times what the runs start from
TOLD_APART = ("lr", "batch_size", "momentum", "average", "schedule", "shuffle", "init", "seed")  # runs, in a legend
RISE = 3.0  # times the highest loss of its first half that a run must end at to be one that rises
MARGIN = 0.05  # of a scale that is left free beyond what is drawn
REACHED = "the loss is taken at the weights reached by then"
MET = "each row's loss is taken before its own minibatch moves the weights"
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))


def loss_curve(
    *runs: Fit | Iterable[Step], labels: Sequence[str] | None = None, optimum: float | None = None
) -> Figure:
    """Draw the loss of one or several runs against the epoch, on a log scale.

    What is drawn is the objective at the weights reached, where every run knows it at every look, and else the mean
    loss that the rows met on the way. A run that diverges, which is also one that ends, still rising, above a hundred
    times its start, is drawn as far as it is finite, up to a hundred times where the runs start. A loss of 0 has no
    place on a log scale and is marked below it; where one is negative, the scale is linear. When no run goes beyond its
    first epoch, minibatches are counted instead.

    Args:
        runs: each a learned Fit, or the Steps of a run. These begin after its first minibatch; a Step of number 0
            before them shows the start as well.
        labels: a name for each; default: the settings in which they differ.
        optimum: the lowest objective there is, drawn as a dashed line. Default: what learned Fits know of it (squared
            loss without a penalty, with classical standard errors).

    Raises:
        InputError: no runs, a run without a loss, an exact Fit, an optimum that is no number, or not one label for each
            run.
    """
    if not runs:
        raise InputError("loss_curve() needs a run to draw: a Fit that was learned, or the Steps of a run.")
    taken = [run if isinstance(run, Fit) else steps_of(run, i + 1) for i, run in enumerate(runs)]
    curves, unit, how = _curves(taken, labels, None if optimum is None else _finite(optimum))

    figure = blank()
    axes = figure.add_subplot()
    about = [how, *_draw_curves(axes, curves)]
    lowest = curves[0].lowest
    same = lowest is not None and all(_near(curve.lowest, lowest) for curve in curves)
    for curve in curves[:1] if same else curves:
        if curve.lowest is None:
            continue
        if curve.lowest <= 0 and axes.get_yscale() == "log":
            about.append(f"the optimum, {number(curve.lowest, 4)}, has no place on a log scale")
            continue
        axes.axhline(
            curve.lowest, color=INK if same else curve.colour, linewidth=1.2, linestyle=(0, (4, 2)), zorder=1,
            label=f"exact optimum, {number(curve.lowest, 4)}" if same or len(curves) == 1 else "_",
        )  # fmt: skip
    if not same and any(curve.lowest is not None for curve in curves):
        about.append("dashed: the exact optimum of each run")
    _limit(axes, curves)
    _ticks(axes)
    axes.set_xlabel(unit)
    axes.set_ylabel(_cost(taken))
    caption(figure, about)
    title(axes, _story(curves, unit, reached=how is REACHED))
    key(figure, axes)
    return finish(figure)


@dataclass(frozen=True)
class _Curve:
    """One run's losses.

    Attributes:
        label: in the legend.
        x: (k,), where each was looked at.
        y: (k,), the losses; finite.
        diverged: whether the run went on to what is not finite, was ended because it was about to, or is on its way.
        lowest: the objective at the exact optimum, where that is known.
        colour: of its line.
        dashes: likewise.
    """

    label: str
    x: Float64s
    y: Float64s
    diverged: bool
    lowest: float | None
    colour: str
    dashes: Any

    @property
    def noisy(self) -> bool:
        """Whether there are so many looks that each is likely to be one minibatch's."""
        return self.y.size > NOISY

    @property
    def end(self) -> float:
        """The last loss; where they are noisy, the mean of the last tenth."""
        return float(self.y[-(self.y.size // 10 if self.noisy else 1) :].mean())


def _curves(
    runs: Sequence[Fit | list[Step]], labels: Sequence[str] | None, optimum: float | None
) -> tuple[list[_Curve], str, str]:
    """What is to be drawn of each run, what x counts, and what y is taken of."""
    looks = [_looks(run, i + 1) for i, run in enumerate(runs)]
    records = [record for run in looks for record in run]
    quantity, how = "objective", REACHED
    if not all(quantity in record for record in records):
        quantity, how = "loss", MET
    within = all(record["epoch"] <= 1 for record in records) and len(records) > len(runs)
    longest = max(record.get("rows", 0.0) for record in records)
    curves = []
    for i, (run, label, found) in enumerate(zip(runs, labels_of(runs, labels), looks, strict=True)):
        y = np.array([record.get(quantity, record.get("objective", math.nan)) for record in found])
        x = np.array([record.get("step", 0.0) if within else record["epoch"] for record in found])
        if not within and not isinstance(run, Fit):
            rows = np.array([record["rows"] for record in found])
            whole = rows.max() if x[-1] > 1 else longest
            x = np.where(x > 0, x - 1.0 + rows / (whole or 1.0), 0.0)  # with the part of its epoch that is done
        finite = np.isfinite(y)
        good = y.size if finite.all() else int(np.argmin(finite))
        kept = np.unique(np.linspace(0, max(good - 1, 0), min(good, MANY)).astype(int))
        ended = run.status is Status.DIVERGED if isinstance(run, Fit) else run[-1].status is Status.DIVERGED
        lowest = _lowest(run) if optimum is None else optimum
        colour, dashes = COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]
        diverged = ended or good < y.size or _rising(y[kept])
        curves.append(_Curve(label, x[kept], y[kept], diverged, lowest, colour, dashes))
    if not any(curve.y.size for curve in curves):
        raise InputError("There is no finite loss to draw: the runs diverged at once. Use a smaller learning rate.")
    return curves, "minibatch" if within else "epoch", how


def _rising(y: Float64s) -> bool:
    """Whether losses end above what a figure shows of a run that diverges, and not merely on a higher level."""
    size = abs(y)
    if y.size < 2 or not size[0] > 0:
        return False
    end = float(np.median(size[-max(1, y.size // 10) :]))
    return end > HIGH * size[0] and end > RISE * float(size[: -(-y.size // 2)].max())


def _looks(run: Fit | list[Step], position: int) -> list[dict[str, float]]:
    """The records of a Fit's history, or one for each Step with a loss or an objective."""
    if isinstance(run, Fit):
        if "lr" not in run.settings:
            raise InputError(
                f"Run {position} is a Fit that was solved at once, so it has no curve: give one that was learned "
                '(solver="sgd"), and the objective of this one as optimum=.'
            )
        return list(run.history)
    looks: list[dict[str, float]] = []
    for step in run:
        costs = {"loss": step.loss, "objective": step.objective}
        known = {name: float(value) for name, value in costs.items() if value is not None}
        back = bool(looks) and step.step <= looks[-1]["step"]
        if not known or (back and step.status is not None):  # the last Step may tell of weights before the last look
            continue
        while looks and step.step <= looks[-1]["step"]:  # a run that begins anew with a smaller learning rate
            looks.pop()
        looks.append({"epoch": float(step.epoch), "step": float(step.step), "rows": float(step.rows), **known})
    if not looks:
        raise InputError(f"Run {position} has no Step with a loss or an objective, so there is nothing to draw.")
    return looks


def steps_of(run: Any, position: int) -> list[Step]:
    """The Steps of a run.

    Raises:
        InputError: there are none, or something else.
    """
    steps = list(run) if isinstance(run, Iterable) else [run]
    if not steps:
        raise InputError(f"Run {position} is empty: give the Steps of a run as a list, and run it before drawing it.")
    for step in steps:
        if not isinstance(step, Step):
            raise InputError(
                f"Run {position} should be the Steps of a run, as list(solver.steps(objective, source)) keeps them, "
                f"but is or holds something else: {type(step).__name__}."
            )
    return steps


def labels_of(runs: Sequence[Fit | list[Step]], labels: Sequence[str] | None) -> list[str]:
    """The labels given, or the settings in which runs differ, or their numbers.

    Raises:
        InputError: not one label for each run.
    """
    if labels is not None:
        if isinstance(labels, str) or len(labels) != len(runs):
            raise InputError(f"labels needs a name for each of the {len(runs)} runs, but is {labels!r}.")
        return [shorten(str(label), 40) for label in labels]
    used = [run.settings if isinstance(run, Fit) else run[-1].settings for run in runs]
    differ = [key for key in TOLD_APART if len({repr(each.get(key)) for each in used}) > 1]
    told = [", ".join(f"{key} {_said(each[key])}" for key in differ if key in each) for each in used]
    if not all(told) or len(set(told)) < len(told):
        told = [f"run {i + 1}" for i in range(len(runs))]
    return [shorten(label, 40) for label in told]


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lowest(run: Fit | list[Step]) -> float | None:
    """The objective at `Fit.exact`, where it follows from the Fit.

    With δ leading from the exact weights to those learned, whose covariance is C, the objective at those learned is
    1 + δᵀC⁻¹δ/df times the lowest one, df being the degrees of freedom of the residuals.
    """
    if not isinstance(run, Fit) or run.exact is None or run.uncertainty is None:
        return None
    sd = run.uncertainty.sd[1:]  # of the value at the centre, which is independent of the weights, and of those
    known = run.identified.all() and run.bias_identified and (sd[1:] > 0).all() and (sd[0] > 0 or not run.intercept)
    if not known or run.l2 or run.errors != "classical":
        return None
    delta = run.coefficients - run.exact
    with np.errstate(all="ignore"):
        square = run.uncertainty.wald(delta[1:], np.arange(delta.size - 1))
        if run.intercept:
            square += float((delta[0] + run.centre @ delta[1:]) / sd[0]) ** 2
        lowest = run.objective / (1.0 + square / run.df_residual)
    return lowest if math.isfinite(lowest) else None


def _finite(optimum: Any) -> float:
    read = finite(optimum)
    if read is None:
        raise InputError(f"optimum is the lowest objective there is, a finite number, but is {optimum!r}.")
    return read


def _near(a: float | None, b: float) -> bool:
    return a is not None and math.isclose(a, b, rel_tol=1e-6)


def _draw_curves(axes: Axes, curves: Sequence[_Curve]) -> list[str]:
    """The curves on a fitting scale; what a caption must say of it."""
    from matplotlib.ticker import NullLocator

    about = []
    drawn = np.concatenate([curve.y for curve in curves])
    logarithmic = bool((drawn >= 0).all() and (drawn > 0).any())
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        about.append("linear scale, because no logarithm can show losses below 0")
    floor = drawn[drawn > 0].min() / 2 if logarithmic else 0.0
    top = _top(curves)
    for curve in curves:
        zero = curve.y == 0 if logarithmic else np.zeros(curve.y.size, np.bool_)
        y = np.where(zero, np.nan, np.clip(curve.y, -HUGE, HUGE))
        label = "_" if len(curves) == 1 else curve.label + (" (diverged)" if curve.diverged else "")
        style: dict[str, Any] = {"color": curve.colour, "linestyle": curve.dashes}
        if curve.noisy and not zero.any():
            width = max(5, y.size // 60) | 1
            axes.plot(curve.x, y, **style, linewidth=0.7, alpha=0.3, label="_")
            middle = np.median(np.lib.stride_tricks.sliding_window_view(y, width), axis=1)
            axes.plot(curve.x[width // 2 : -(width // 2)], middle, **style, linewidth=2, label=label)
            about.append("pale: each look; bold: running median")
        else:
            marker: dict[str, Any] = {"marker": "o", "markersize": 4} if y.size <= FEW else {}
            axes.plot(curve.x, y, **style, **marker, linewidth=2, label=label)
        if zero.any():
            axes.plot(
                curve.x[zero], np.full(int(zero.sum()), floor), "v", color=curve.colour, markerfacecolor="white",
                label="_",
            )  # fmt: skip
            about.append("hollow triangles: a loss of 0, below any log scale")
        if curve.diverged and y.size and abs(y[-1]) <= top:
            axes.plot(curve.x[-1:], y[-1:], "X", color=curve.colour, markersize=9, label="_")
            about.append("crosses: ended there, because the loss grew without bound")
    if abs(drawn).max() > top:
        about.append("a line that leaves the picture diverged")
    return list(dict.fromkeys(about))


def _top(curves: Sequence[_Curve]) -> float:
    """The largest loss that a picture shows."""
    starts = [abs(curve.y[0]) for curve in curves if curve.y.size]
    calm = [abs(curve.y).max() for curve in curves if curve.y.size and not curve.diverged]
    return float(max(max(starts) * HIGH, *calm, 0.0))


def _limit(axes: Axes, curves: Sequence[_Curve]) -> None:
    """End the scale where the picture does: by itself it makes room for what runs away, and the more below it."""
    top, drawn = _top(curves), np.concatenate([line.get_ydata() for line in axes.get_lines()]).astype(float)
    drawn = drawn[np.isfinite(drawn)]
    shown = drawn[abs(drawn) <= top]
    if not (top > 0 and shown.size) or shown.size == drawn.size:
        return
    low, high = float(shown.min()), float(shown.max())
    if drawn.max() > top:
        high = top
    if axes.get_yscale() == "log":
        axes.set_ylim(low * (low / high) ** MARGIN, high)
    else:
        margin = MARGIN * (high - low)
        axes.set_ylim(-top if drawn.min() < -top else low - margin, high if high == top else high + margin)


def _ticks(axes: Axes) -> None:
    """Ticks that suit what has been drawn by now."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        decades = math.log10(high / low)
        if decades < 0.7:
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.yaxis.set_major_formatter(alike([value for value in axes.get_yticks() if low <= value <= high]))
        else:
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
            axes.yaxis.set_major_formatter(lambda value, _: tick(value))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.margins(x=0.05)
    left, right = axes.get_xlim()
    if right - left < 1:
        left, right = axes.set_xlim(left - 0.5, right + 0.5)
    if (first := float(axes.dataLim.x0)) >= 1:
        axes.set_xlim(left=max(left, first / 2))  # no place for a 0, where nothing is known
    axes.grid(axis="y", color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)


def _cost(runs: Sequence[Fit | list[Step]]) -> str:
    """What the losses are, as far as the Fits agree on it."""
    fits = [run for run in runs if isinstance(run, Fit)]
    if not fits or len({(fit.loss, fit.target, bool(fit.l2)) for fit in fits}) > 1:
        return "mean loss"
    fit = fits[0]
    half = " (r²/2)" if fit.loss == "squared" else ""
    return f"mean {fit.loss} loss{half}{' and penalty' if fit.l2 else ''} of {shorten(fit.target, 24)}"


def _story(curves: Sequence[_Curve], unit: str, *, reached: bool) -> str:
    """What is seen, in a line."""
    if len(curves) > 1:
        best = min((c for c in curves if c.y.size and not c.diverged), key=lambda c: c.end, default=None)
        if best is None:
            return f"All {len(curves)} runs diverged"
        if best.noisy:
            return f"The loss of {len(curves)} runs, look by look"
        return f"Lowest at the end of {len(curves)} runs: {best.label}, at {number(best.end, 3)}"
    (curve,) = curves
    begun, ended = (f"{round(at, 2):,.10g}" for at in (curve.x[0], curve.x[-1]))
    count = f"{ended} {unit}" + ("" if ended == "1" else "es" if unit == "minibatch" else "s")
    if curve.diverged:
        return f"The run diverged after {count}" if curve.x[-1] >= 1 else "The run diverged in its first epoch"
    first, last = float(curve.y[0]), curve.end
    a, b = apart(first, last)
    about = "about " if curve.noisy else ""
    way = "falls" if last < first else "rises"
    when = f"after {unit}" if reached else f"in {unit}"
    if curve.y.size == 1:
        story = f"The loss is {b} {when} {ended}"
    elif a == b:
        story = f"The loss stays at {about}{b} from {unit} {begun} to {ended}"
    elif curve.x[0] == 0 or (not reached and (unit == "minibatch" or curve.x[0] < 1)):  # from the start on
        story = f"The loss {way} from {a} to {about}{b} in {count}"
    else:
        story = f"The loss {way} from {a} {when} {begun} to {about}{b} {when} {ended}"
    if curve.lowest is not None and curve.lowest > 0 and reached:
        above = 100 * (last / curve.lowest - 1)
        side = "above" if above > 0 else "below"
        story += ", the optimum" if abs(above) < 0.001 else f", {number(abs(above), 2)} % {side} the optimum"
    return story


def apart(a: float, b: float) -> tuple[str, str]:
    """Two numbers in three digits, or in as many more, up to eight, as tell them apart."""
    for digits in range(3, 9):
        if number(a, digits) != number(b, digits):
            return number(a, digits), number(b, digits)
    return number(a, 3), number(b, 3)
