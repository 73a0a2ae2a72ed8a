from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from helpers import Floats, axes_of, data, example, ols
from linnet import figures
from linnet.block import InputError
from linnet.fitted import Fit
from linnet.losses import Squared
from linnet.objective import Objective
from linnet.solvers.sgd import SGD
from linnet.solvers.solver import Step
from linnet.sources import open_source
from linnet.status import Status


def curves(axes: Axes) -> list[Line2D]:
    """The lines of runs: neither markers nor a level right across."""
    return [a for a in axes.get_lines() if a.get_linestyle() != "None" and a.get_alpha() is None and not is_level(a)]


def is_level(line: Line2D) -> bool:
    return len(np.unique(np.asarray(line.get_ydata()))) == 1 and list(np.asarray(line.get_xdata())) == [0, 1]


def levels(axes: Axes) -> list[float]:
    return [data(line)[0, 1] for line in axes.get_lines() if is_level(line)]


def marks(axes: Axes, marker: str) -> Floats:
    return np.vstack([np.empty((0, 2)), *(data(line) for line in axes.get_lines() if line.get_marker() == marker)])


def legend(axes: Axes) -> list[str]:
    assert axes.get_legend() is None  # within the axes it would hide lines
    return [text.get_text() for found in axes.figure.legends for text in found.get_texts()]


def said(axes: Axes) -> str:
    """The title, whose lines end where the figure does."""
    return " ".join(axes.get_title(loc="left").split())


def losses(values: Sequence[float], **last: Any) -> list[Step]:
    """A Step an epoch of 10 rows."""
    steps = [Step(i, i, 10, loss=value) for i, value in enumerate(values, 1)]
    return [*steps[:-1], Step(len(steps), len(steps), 10, loss=values[-1], **last)]


def rows(n: int = 60) -> tuple[Floats, Floats]:
    random = np.random.default_rng(5)
    X = random.standard_normal((n, 2)) * [1.0, 3.0] + [10.0, -4.0]
    return X, 1 + X @ [2.0, -0.5] + random.standard_normal(n)


def learned(step: float, **changes: Any) -> Fit:
    """A Fit whose weights are off the exact ones, with the objective that they have."""
    X, y = rows()
    exact = ols(X, y)
    bias, weights = exact.bias - 7 * step, exact.weights + step * np.array([1.0, 0.3])
    reached = float(np.mean((y - bias - X @ weights) ** 2) / 2)
    history = tuple({"epoch": float(k), "objective": reached + 3.0 * (4 - k), "loss": 50.0 / k} for k in (1, 2, 3, 4))
    fields = {"exact": exact.coefficients, "settings": {"lr": 0.1}, "history": history}
    return ols(X, y, weights=weights, bias=bias, objective=reached, **{**fields, **changes})


def test_a_learned_fit_is_its_history_on_a_log_scale_above_the_optimum() -> None:
    fit = learned(0.2)
    figure = figures.loss_curve(fit)
    axes = axes_of(figure)
    (line,) = curves(axes)
    expected = [(record["epoch"], record["objective"]) for record in fit.history]
    np.testing.assert_array_equal(data(line), expected)
    assert axes.get_yscale() == "log"
    X, y = rows()
    A = np.column_stack([np.ones(len(y)), X])
    lowest = np.linalg.lstsq(A, y)[1][0] / len(y) / 2
    np.testing.assert_allclose(levels(axes), [lowest], rtol=1e-10)
    assert legend(axes) == [f"exact optimum, {lowest:.4f}"]
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "mean squared loss (r²/2) of y"
    above = 100 * (fit.objective / lowest - 1)
    story = f"The loss falls from 9.54 after epoch 1 to 0.538 after epoch 4, {above:.2g} % above the optimum"
    assert said(axes) == story
    assert "at the weights reached" in figure.get_supxlabel()


@pytest.mark.parametrize(
    "changes", [{"l2": 0.1}, {"errors": "hc3"}, {"uncertainty": None}, {"identified": np.array([True, False])}]
)
def test_no_optimum_where_the_fit_does_not_tell_it(changes: dict[str, Any]) -> None:
    assert levels(axes_of(figures.loss_curve(learned(0.2, **changes)))) == []
    assert levels(axes_of(figures.loss_curve(learned(0.2, **changes), optimum=0.25))) == [0.25]


def test_runs_share_one_optimum_or_have_their_own() -> None:
    near, far = learned(0.1, settings={"lr": 0.1}), learned(0.5, settings={"lr": 0.001})
    axes = axes_of(figures.loss_curve(near, far))
    assert len(levels(axes)) == 1
    assert legend(axes)[:2] == ["lr 0.1", "lr 0.001"]
    assert axes.get_title(loc="left").startswith("Lowest at the end of 2 runs: lr 0.1, at ")
    other = example(2, settings={"lr": 0.2}, exact=example(2).coefficients, history=near.history)
    figure = figures.loss_curve(near, other)
    assert len(levels(axes_of(figure))) == 2
    assert "the exact optimum of each run" in figure.get_supxlabel()


def test_the_loss_met_on_the_way_where_some_look_has_no_objective() -> None:
    X, y = rows()
    steps = list(SGD(lr=0.001, batch_size=7, epochs=2, tol=None).steps(Objective(Squared()), open_source(X, y)))
    steps[0] = Step(1, 9, 60, loss=steps[0].loss)
    figure = figures.loss_curve(learned(0.2), steps)
    first, second = curves(axes_of(figure))
    np.testing.assert_array_equal(data(first)[:, 1], [50.0, 25.0, 50 / 3, 12.5])
    np.testing.assert_array_equal(data(second), [(1.0, steps[0].loss), (2.0, steps[1].loss)])
    assert "before its own minibatch" in figure.get_supxlabel()


def test_steps_within_epochs_lie_between_them() -> None:
    steps = [Step(0, 0, 0, loss=9.0)]
    steps += [Step(1, 1, 4, loss=5.0), Step(1, 2, 8, loss=4.0), Step(1, 3, 10, loss=3.0), Step(2, 4, 4, loss=2.0)]
    short = steps[:3]
    whole, part = curves(axes_of(figures.loss_curve(steps, short)))
    np.testing.assert_allclose(data(whole)[:, 0], [0.0, 0.4, 0.8, 1.0, 1.4])
    np.testing.assert_allclose(data(part)[:, 0], [0.0, 0.4, 0.8])  # an epoch has as many rows as in the other run
    axes = axes_of(figures.loss_curve(short))
    np.testing.assert_allclose(data(curves(axes)[0])[:, 0], [0, 1, 2])
    assert axes.get_xlabel() == "minibatch"
    assert said(axes) == "The loss falls from 9.00 to 4.00 in 2 minibatches"
    assert said(axes_of(figures.loss_curve(steps))) == "The loss falls from 9.00 to 2.00 in 1.4 epochs"
    assert said(axes_of(figures.loss_curve(steps[1:]))) == "The loss falls from 5.00 to 2.00 in 1.4 epochs"


@pytest.mark.parametrize(
    ("values", "story"),
    [
        ([4.99e-13], "The loss is 4.99e-13 after epoch 1"),
        ([5.0, 7.0, 5.0], "The loss stays at 5.00 from epoch 1 to 3"),
        ([5.0, 7.0], "The loss rises from 5.00 after epoch 1 to 7.00 after epoch 2"),
        ([6.4149e9, 6.4142e9, 6.4136e9], "The loss falls from 6.415e9 after epoch 1 to 6.414e9 after epoch 3"),
        ([6.413e9 + 2e4, 6.413e9], "The loss falls from 6.41302e9 after epoch 1 to 6.41300e9 after epoch 2"),
        ([6.413e9 + 2, 6.413e9], "The loss stays at 6.41e9 from epoch 1 to 2"),
    ],
)
def test_what_is_seen_is_told_from_the_first_look_on(values: list[float], story: str) -> None:
    """What the loss was at the start is not known, and the axis leaves no place for it."""
    steps = [Step(i, i, 10, loss=value, objective=value) for i, value in enumerate(values, 1)]
    axes = axes_of(figures.loss_curve(steps))
    assert said(axes) == story
    assert 0 < axes.get_xlim()[0] < 1
    assert said(axes_of(figures.loss_curve(losses(values)))) == story.replace("after", "in")
    start = Step(0, 0, 0, loss=1e10, objective=1e10)
    axes = axes_of(figures.loss_curve([start, *steps]))
    assert said(axes).startswith("The loss falls from 1.00e10 to ")
    assert axes.get_xlim()[0] < 0
    for lowest, where in ((0.99, "1.0 % above"), (1.01, "0.99 % below")):
        axes = axes_of(figures.loss_curve(steps, optimum=lowest * values[-1]))
        assert said(axes) == f"{story}, {where} the optimum"
    assert said(axes_of(figures.loss_curve(steps, optimum=values[-1]))) == f"{story}, the optimum"


def test_steps_without_a_loss_are_passed_over() -> None:
    reading = [Step(0, 0, 5), Step(0, 0, 10)]
    (line,) = curves(axes_of(figures.loss_curve(reading + losses([3.0, 2.0]))))
    np.testing.assert_array_equal(data(line), [(1, 3), (2, 2)])


def test_diverged_runs_end_where_they_were_finite() -> None:
    for end in (math.nan, math.inf):
        figure = figures.loss_curve(
            losses([1.0, 3.0, 9.0, end, 1.0]), losses([1.0, 0.5]), labels=["too large", "right"]
        )
        axes = axes_of(figure)
        np.testing.assert_array_equal(data(curves(axes)[0]), [(1, 1), (2, 3), (3, 9)])
        np.testing.assert_array_equal(marks(axes, "X"), [(3, 9)])
        assert legend(axes) == ["too large (diverged)", "right"]
        assert "right" in axes.get_title(loc="left")
    at_once = figures.loss_curve(losses([math.nan, 1.0]), losses([1.0, 0.5]))
    assert legend(axes_of(at_once)) == ["run 1 (diverged)", "run 2"]
    both = axes_of(figures.loss_curve(losses([1.0, 3.0, math.nan]), losses([1.0, 8.0, math.nan])))
    assert both.get_title(loc="left") == "All 2 runs diverged"


def test_a_diverging_loss_does_not_press_the_others_flat() -> None:
    figure = figures.loss_curve(losses([2.0, 1e3, 1e200, 1e305, math.inf]), losses([1.0, 0.5]))
    axes = axes_of(figure)
    assert axes.get_ylim()[1] == pytest.approx(200)
    assert not marks(axes, "X").size
    assert "leaves the picture" in figure.get_supxlabel()


def test_a_loss_that_goes_on_growing_has_diverged_though_it_is_finite() -> None:
    """As the Steps of scratch do, which nobody ends: its scale is the others'."""
    good = losses([2.0 * 0.5**k for k in range(20)])
    bad = losses([2.0 * 1e7**k for k in range(20)])
    figure = figures.loss_curve(good, bad, labels=["good", "bad"], optimum=1e-8)
    axes = axes_of(figure)
    assert legend(axes)[:2] == ["good", "bad (diverged)"]
    low, high = axes.get_ylim()
    assert high == pytest.approx(200)
    assert 1e-9 < low < 1e-8  # below the optimum, and by no more than a margin
    assert "a line that leaves the picture diverged" in figure.get_supxlabel()
    assert axes.get_title(loc="left").startswith("Lowest at the end of 2 runs: good")
    assert said(axes_of(figures.loss_curve(bad))) == "The run diverged after 20 epochs"
    below = axes_of(figures.loss_curve(losses([1.0, -0.5, -2.0]), losses([-1.0 * 1e7**k for k in range(20)])))
    assert below.get_yscale() == "linear"
    assert below.get_ylim()[0] == pytest.approx(-100)
    assert 1 < below.get_ylim()[1] < 10


@pytest.mark.parametrize(
    ("values", "diverged"),
    [
        ([1.0, 0.5, 0.5, 50.0, 100.0], False),  # no more than a figure shows
        ([1.0, 0.5, 0.5, 50.0, 101.0], True),
        ([1e-9, 1.0, 1.1, 0.9, 1.05], False),  # from an optimum to where a rate too large for it rests
        ([1e-9, 1.0, 1.1, 2.0, 4.0], True),
        ([1.0, 1e9, 1e6, 1e3, 2.0], False),  # it came back
        ([0.0, 1.0, 2.0, 9.0, 1e3], False),  # no start to compare with
        ([1e3], False),
    ],
)
def test_what_counts_as_diverged(values: list[float], diverged: bool) -> None:
    axes = axes_of(figures.loss_curve(losses(values), losses([1.0, 1.0])))
    assert ("run 1 (diverged)" in legend(axes)) == diverged


def test_the_last_step_of_a_diverged_run_goes_back_and_is_not_drawn() -> None:
    X, y = rows()
    solver = SGD(lr=0.5, batch_size=5, epochs=3, every=1, tol=None)
    steps = list(solver.steps(Objective(Squared()), open_source(X, y)))
    assert steps[-1].status is Status.DIVERGED
    assert steps[-1].step < steps[-2].step
    axes = axes_of(figures.loss_curve(steps[-1:]))  # nothing of it but that it went back to the start
    assert said(axes) == "The run diverged in its first epoch"
    assert data(curves(axes)[0])[0, 0] == 0
    axes = axes_of(figures.loss_curve(steps))
    np.testing.assert_array_equal(data(curves(axes)[0]), [(step.step, step.loss) for step in steps[:-1]])
    assert axes.get_title(loc="left") == f"The run diverged after {steps[-2].step} minibatches"


def test_a_run_that_begins_anew_is_drawn_from_there() -> None:
    steps = [*losses([5.0, 50.0, 500.0]), *losses([4.0, 3.0])]
    (line,) = curves(axes_of(figures.loss_curve(steps)))
    np.testing.assert_array_equal(data(line), [(1, 4), (2, 3)])


def test_a_loss_of_zero_is_marked_below_the_scale() -> None:
    figure = figures.loss_curve(losses([1.0, 0.1, 0.0, 0.02]), optimum=0.0)
    axes = axes_of(figure)
    ((epoch, place),) = marks(axes, "v")
    assert epoch == 3
    assert axes.get_ylim()[0] < place < 0.02
    assert levels(axes) == []
    about = figure.get_supxlabel()
    assert "a loss of 0" in about
    assert "the optimum, 0, has no place on a log scale" in about


@pytest.mark.parametrize("values", [[1.0, -0.5, -2.0], [0.0, 0.0]])
def test_without_a_positive_loss_to_show_the_scale_is_linear(values: list[float]) -> None:
    axes = axes_of(figures.loss_curve(losses(values), optimum=-2.5))
    assert axes.get_yscale() == "linear"
    np.testing.assert_array_equal(data(curves(axes)[0])[:, 1], values)
    assert levels(axes) == [-2.5]


def test_many_looks_have_a_running_median() -> None:
    noise = np.exp(np.random.default_rng(1).standard_normal(900))
    axes = axes_of(figures.loss_curve(losses(noise.tolist())))
    (bold,) = curves(axes)
    (pale,) = (line for line in axes.get_lines() if line.get_alpha() == 0.3)
    np.testing.assert_array_equal(data(pale)[:, 1], noise)
    expected = [sorted(noise[i - 7 : i + 8])[7] for i in range(7, 893)]
    np.testing.assert_array_equal(data(bold), np.column_stack([np.arange(8, 894), expected]))
    story = f"The loss rises from {noise[0]:.2f} in epoch 1 to about {noise[-90:].mean():.2f} in epoch 900"
    assert said(axes) == story


def test_a_long_run_is_thinned_evenly() -> None:
    axes = axes_of(figures.loss_curve(losses(np.linspace(2, 1, 20_000).tolist())))
    (pale,) = (line for line in axes.get_lines() if line.get_alpha() == 0.3)
    x = data(pale)[:, 0]
    assert (x.size, x[0], x[-1]) == (5000, 1, 20_000)
    assert set(np.diff(x)) <= {3, 4, 5}
    assert said(axes).endswith(" in epoch 20,000")


def test_labels_name_what_differs() -> None:
    settings = [{"lr": 0.1, "batch_size": 8, "seed": 0}, {"lr": 0.1, "batch_size": 32, "seed": 1}]
    runs = [losses([2.0, 1.0], settings=each) for each in settings]
    assert legend(axes_of(figures.loss_curve(*runs))) == ["batch_size 8, seed 0", "batch_size 32, seed 1"]
    assert legend(axes_of(figures.loss_curve(runs[0], runs[0]))) == ["run 1", "run 2"]
    long = figures.loss_curve(*runs, labels=["$\\frac{" + "x" * 200, "b"])
    assert max(map(len, legend(axes_of(long)))) <= 40


def test_more_runs_than_colours_stay_apart() -> None:
    lines = curves(axes_of(figures.loss_curve(*(losses([2.0, float(k)]) for k in range(1, 15)))))
    assert len({(line.get_color(), str(line.get_linestyle()), str(line._dash_pattern)) for line in lines}) == 14  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "labels", [["a", "b", "c"], ["as long as a label " * 2] * 3, ["ALL IN CAPITALS " * 2] * 3, list("abcdefghijklmno")]
)
def test_the_legend_hides_no_line(labels: list[str]) -> None:
    """It stands above the axes, wholly within the figure, and takes nothing from their height."""
    runs = [losses([2.0, float(k)]) for k in range(1, len(labels) + 1)]
    figure = figures.loss_curve(*runs, labels=labels, optimum=0.5)
    (drawn,) = figure.legends
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    figure.draw(renderer)
    box, whole = drawn.get_window_extent(renderer), figure.bbox
    axes = axes_of(figure)
    assert len(legend(axes)) == len(labels) + 1
    assert box.y0 > axes.title.get_window_extent(renderer).y1 > axes.bbox.y1
    assert whole.x0 <= box.x0 < box.x1 <= whole.x1
    assert box.y1 <= whole.y1
    plain = figures.loss_curve(runs[0])
    plain.draw(plain.canvas.get_renderer())  # type: ignore[attr-defined]
    assert axes.bbox.height == pytest.approx(axes_of(plain).bbox.height, rel=0.06)


def test_ticks_are_numbers_that_read() -> None:
    axes = axes_of(figures.loss_curve(losses([30.0, 1e-7])))
    shown = [text.get_text() for text in axes.get_yticklabels()]
    assert {"10⁻⁵", "0.01", "10"} <= set(shown)
    for span in ([42_100.0, 40_010.0], [0.4784, 0.4761], [6.4149e9, 6.4136e9]):
        narrow = axes_of(figures.loss_curve(losses(span)))
        low, high = narrow.get_ylim()
        inside = zip(narrow.get_yticks(), narrow.get_yticklabels(), strict=True)
        shown = [text.get_text() for value, text in inside if low <= value <= high]
        assert len(set(shown)) == len(shown) >= 3
        assert len({len(text) for text in shown}) == 1


@pytest.mark.parametrize(
    ("runs", "options", "sentence"),
    [
        ([], {}, "needs a run to draw"),
        ([[]], {}, "Run 1 is empty"),
        ([losses([1.0]), 3], {}, "Run 2 should be the Steps of a run"),
        ([[Step(1, 1, 10)]], {}, "no Step with a loss"),
        ([example(2)], {}, "solved at once"),
        ([losses([math.nan])], {}, "no finite loss"),
        ([losses([1.0])], {"labels": "a"}, "labels needs a name for each of the 1 runs"),
        ([losses([1.0])], {"labels": ["a", "b"]}, "labels needs a name"),
        ([losses([1.0])], {"optimum": math.nan}, "a finite number, but is nan"),
        ([losses([1.0])], {"optimum": "0.1"}, "a finite number, but is '0.1'"),
        ([losses([1.0])], {"optimum": True}, "a finite number, but is True"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs: list[Any], options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        figures.loss_curve(*runs, **options)
