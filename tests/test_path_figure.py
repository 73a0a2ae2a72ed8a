from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet

from helpers import Floats, axes_of, data, example
from linnet import figures
from linnet.block import InputError
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.objective import Objective
from linnet.solvers.sgd import SGD
from linnet.solvers.solver import Step
from linnet.sources import open_source
from linnet.status import Status


def paths(axes: Axes) -> list[Floats]:
    return [data(line) for line in axes.get_lines() if line.get_linestyle() != "None"]


def marks(axes: Axes, marker: str, *, filled: bool = True) -> Floats:
    """Where single marks are."""
    found = [a for a in axes.get_lines() if a.get_marker() == marker and a.get_linestyle() == "None"]
    return np.vstack([np.empty((0, 2)), *(data(a) for a in found if (a.get_markerfacecolor() != "white") == filled)])


def star(axes: Axes) -> Floats:
    (found,) = (data(line) for line in axes.get_lines() if line.get_marker() == "*")
    return np.asarray(found[0])


def contours(axes: Axes) -> list[tuple[float, Floats]]:
    """Each line's level, and the points that it goes through."""
    (drawn,) = (c for c in axes.collections if isinstance(c, QuadContourSet) and not c.filled)
    found = zip(np.asarray(drawn.levels), (np.asarray(line.vertices) for line in drawn.get_paths()), strict=True)
    return [(float(level), points) for level, points in found if len(points)]


def legend(axes: Axes) -> list[str]:
    assert axes.get_legend() is None  # within the axes it would hide paths
    return [text.get_text() for found in axes.figure.legends for text in found.get_texts()]


def steps(points: Sequence[Sequence[float]]) -> list[Step]:
    """Steps with the given [bias, weights]."""
    return [Step(1, k, k, np.array(point[1:], float), float(point[0])) for k, point in enumerate(points)]


def rows(d: int = 1, n: int = 80) -> tuple[Floats, Floats]:
    random = np.random.default_rng(2)
    X = random.standard_normal((n, d)) @ (np.eye(d) + 0.8 * (1 - np.eye(d))) + 0.7
    return X, 10 + X @ np.array([3.0, -2.0])[:d] + random.standard_normal(n) ** 3


def descent(rate: float, count: int) -> list[Step]:
    """Gradient descent on the rows with one feature, from 0."""
    X, y = rows()
    A = np.column_stack([np.ones(len(y)), X])
    u = np.zeros(2)
    points = [u]
    for _ in range(count):
        u = u + rate * A.T @ (y - A @ u) / len(y)
        points.append(u)
    return steps([list(point) for point in points])


LOSSES: list[tuple[Loss, Any]] = [
    (Squared(), lambda r: r * r / 2),
    (Absolute(), np.abs),
    (Huber(0.7), lambda r: np.where(np.abs(r) < 0.7, r * r / 2, 0.7 * (np.abs(r) - 0.35))),
    (Quantile(0.8), lambda r: np.where(r > 0, 0.8 * r, -0.2 * r)),
]


def test_one_feature_is_weight_and_bias_with_the_least_squares_fit_marked() -> None:
    X, y = rows()
    run = descent(0.2, 30)
    figure = figures.path(run, X, y)
    axes = axes_of(figure)
    (drawn,) = paths(axes)
    np.testing.assert_array_equal(drawn, [(step.weights[0], step.bias) for step in run if step.weights is not None])
    slope, bias = np.polyfit(X[:, 0], y, 1)
    np.testing.assert_allclose(star(axes), [slope, bias], rtol=1e-9)
    assert legend(axes) == ["path", "exact optimum"]
    assert axes.get_xlabel() == "weight of x1, in y per x1"
    assert axes.get_ylabel() == "bias, in y"
    r = y - drawn[-1, 0] * X[:, 0] - drawn[-1, 1]
    first, last = np.mean(y**2) / 2, np.mean(r**2) / 2
    assert axes.get_title(loc="left") == f"The mean loss goes from {first:.1f} to {last:.2f} in 30 steps"
    assert "hollow circle: start; full circle: end" in figure.get_supxlabel()


@pytest.mark.parametrize(("loss", "cost"), LOSSES)
def test_contours_tell_the_mean_loss_and_double(loss: Loss, cost: Any) -> None:
    X, y = rows()
    axes = axes_of(figures.path(descent(0.2, 30), X, y, loss))
    found = contours(axes)
    assert len(found) >= 6
    np.testing.assert_allclose(np.diff(np.log2([level for level, _ in found])), 1)

    def mean(points: Floats) -> Floats:
        return np.array([cost(y - bias - weight * X[:, 0]).mean() for weight, bias in points])

    least = mean(star(axes)[None])[0]
    for level, points in found[-4:]:
        np.testing.assert_allclose(mean(points) - least, level, rtol=0.05)


@pytest.mark.parametrize(("loss", "cost"), LOSSES)
def test_two_features_with_the_best_bias_for_each_pair(loss: Loss, cost: Any) -> None:
    X, y = rows(2)
    run = steps([(0.0, 0.0, 0.0), (1.0, 2.0, 0.0), (2.0, 3.0, -1.0)])
    figure = figures.path(run, X, y, loss)
    axes = axes_of(figure)
    np.testing.assert_array_equal(paths(axes)[0], [(0, 0), (2, 0), (3, -1)])

    def mean(points: Floats) -> Floats:
        means = []
        for point in points:
            r = y - X @ point
            if isinstance(loss, Squared):
                means.append(r.var() / 2)
            else:  # with a kink the best bias passes through a row; for Huber a fine grid is close enough
                tried = np.linspace(r.min(), r.max(), 5001) if isinstance(loss, Huber) else r
                means.append(min(cost(r - bias).mean() for bias in tried))
        return np.array(means)

    least = mean(star(axes)[None])[0]
    for level, points in contours(axes)[-3:]:
        some = points[:: max(1, len(points) // 5)]
        np.testing.assert_allclose(mean(some) - least, level, rtol=0.05)
    assert axes.get_ylabel() == "weight of x2, in y per x2"
    assert "the bias is at its best" in figure.get_supxlabel()


@pytest.mark.parametrize(("loss", "q"), [(Absolute(), 0.5), (Quantile(0.8), 0.8)])
def test_the_optimum_of_a_loss_with_a_kink(loss: Loss, q: float) -> None:
    X, y = rows(n=41)
    x = X[:, 0]

    def mean(weight: float, bias: float) -> float:
        r = y - bias - weight * x
        return float(np.where(r > 0, q * r, (q - 1) * r).mean())

    through = [((y[i] - y[j]) / (x[i] - x[j]), i) for i, j in combinations(range(41), 2)]
    least = min(mean(slope, y[i] - slope * x[i]) for slope, i in through)  # an optimum passes through two rows
    axes = axes_of(figures.path(descent(0.2, 5), X, y, loss))
    assert mean(*star(axes)) == pytest.approx(least, rel=1e-4)
    assert legend(axes)[-1] == "optimum"


def test_an_optimum_of_ones_own_is_marked() -> None:
    X, y = rows()
    assert star(axes_of(figures.path(descent(0.2, 5), X, y, optimum=[4.0, 2.5]))).tolist() == [2.5, 4.0]
    fit = example(1)
    axes = axes_of(figures.path(steps([(0, 0), (1, 1)]), X, y, Huber(), optimum=fit.coefficients))
    np.testing.assert_array_equal(star(axes), [fit.weights[0], fit.bias])


def test_several_runs_and_one_that_leaves_is_cut_off_at_the_border() -> None:
    X, y = rows()
    runs = [descent(0.01, 40), descent(0.3, 40), descent(1.6, 400)]
    figure = figures.path(runs, X, y, labels=["too small", "right", "too large"])
    axes = axes_of(figure)
    assert legend(axes) == ["too small", "right", "too large (leaves)", "exact optimum"]
    small, right, large = paths(axes)
    window = np.array([axes.get_xlim(), axes.get_ylim()])
    for whole, run in ((small, runs[0]), (right, runs[1])):
        np.testing.assert_array_equal(whole[-1], [run[-1].weights[0], run[-1].bias])  # type: ignore[index]
        assert ((whole > window[:, 0]) & (whole < window[:, 1])).all()
    assert np.isfinite(large).all()
    assert len(large) < 40
    share = (large[-1] - window[:, 0]) / np.diff(window)[:, 0]
    assert np.abs(share - 0.5).max() == pytest.approx(0.5)  # on the border,
    before, after = (np.array([s.weights[0], s.bias]) for s in runs[2][len(large) - 2 : len(large)])  # type: ignore[index]
    along, across = after - before, large[-1] - before
    assert along[0] * across[1] == pytest.approx(along[1] * across[0])  # and on the way
    assert "an arrow" in figure.get_supxlabel()
    assert "Lowest at the end of 3 runs: right" in axes.get_title(loc="left")


@pytest.mark.parametrize("last", [1e30, 1e300, np.inf, np.nan])
def test_absurd_weights_harm_nothing(last: float) -> None:
    X, y = rows()
    run = steps([(0, 0), (1, 1), (-20, -30), (1e3, -1e4), (last, last)])
    axes = axes_of(figures.path(run, X, y))
    assert np.isfinite(paths(axes)[0]).all()
    assert axes.get_title(loc="left") == "The path leaves the picture, away from the optimum"
    assert axes.get_xlim()[1] < 50


def test_a_run_that_stays_at_the_optimum_is_shown_whole() -> None:
    X, y = rows()
    slope, bias = np.polyfit(X[:, 0], y, 1)
    random = np.random.default_rng(0)
    away = np.cumsum(random.normal(0, 0.01, (200, 2)), axis=0)
    run = steps([(bias + b, slope + a) for a, b in away])
    axes = axes_of(figures.path(run, X, y))
    np.testing.assert_allclose(paths(axes)[0], away + np.array([slope, bias]))
    window = np.array([axes.get_xlim(), axes.get_ylim()])
    assert (np.diff(window)[:, 0] < 2).all()
    still = axes_of(figures.path(steps([(bias, slope)]), X, y))  # nothing moved: still a picture
    assert np.diff(still.get_xlim())[0] > 0


@pytest.mark.parametrize(("loss", "cost"), LOSSES)
def test_without_an_intercept_two_features_have_their_contours_at_bias_0(loss: Loss, cost: Any) -> None:
    X, y = rows(2)
    run = steps([(0.0, 0.0, 0.0), (0.0, 2.0, 1.0), (0.0, 3.0, 4.0)])
    figure = figures.path(run, X, y, loss)
    axes = axes_of(figure)

    def mean(points: Floats) -> Floats:
        return np.array([cost(y - X @ point).mean() for point in points])

    best = star(axes)
    least = mean(best[None])[0]
    assert (mean(best + np.random.default_rng(0).normal(0, 0.1, (50, 2))) >= least - 1e-9).all()
    for level, points in contours(axes)[-3:]:
        some = points[:: max(1, len(points) // 5)]
        np.testing.assert_allclose(mean(some) - least, level, rtol=0.05)
    if isinstance(loss, Squared):
        np.testing.assert_allclose(best, np.linalg.lstsq(X, y)[0], rtol=1e-9)
    first, last = mean(np.array([[0.0, 0.0], [3.0, 4.0]]))
    found = re.fullmatch(r"The mean loss goes from (\S+) to (\S+) in 2 steps", axes.get_title(loc="left"))
    assert found is not None
    assert [float(found[1]), float(found[2])] == pytest.approx([first, last], rel=5e-3)
    assert "no intercept: the bias stays 0" in figure.get_supxlabel()
    assert "at its best" not in figure.get_supxlabel()


@pytest.mark.parametrize(("loss", "cost"), LOSSES)
def test_without_an_intercept_one_feature_has_its_optimum_at_bias_0(loss: Loss, cost: Any) -> None:
    """Contours are over weight and bias all the same: on the line of bias 0 the optimum touches the innermost."""
    X, y = rows()
    figure = figures.path(steps([(0.0, 0.0), (0.0, 2.0), (0.0, 3.0)]), X, y, loss)
    axes = axes_of(figure)

    def mean(points: Floats) -> Floats:
        return np.array([cost(y - bias - weight * X[:, 0]).mean() for weight, bias in points])

    weight, bias = star(axes)
    assert bias == 0
    if isinstance(loss, Squared):
        assert weight == pytest.approx(X[:, 0] @ y / (X[:, 0] @ X[:, 0]), rel=1e-9)
    near = np.column_stack([weight + np.linspace(-2, 2, 401), np.zeros(401)])
    assert (mean(near) >= mean(np.array([[weight, 0.0]])) - 1e-9).all()
    (level, inner), (above, outer) = contours(axes)[-2:]
    assert (mean(outer) - mean(inner).mean()).mean() == pytest.approx(above - level, rel=0.02)
    assert "above its least here" in figure.get_supxlabel()
    assert "the bias stays 0; the optimum is the best weight at that" in figure.get_supxlabel()
    given = figures.path(steps([(0.0, 0.0), (0.0, 2.0)]), X, y, loss, [0.0, 1.0])
    assert star(axes_of(given)).tolist() == [1.0, 0.0]
    assert "best weight" not in given.get_supxlabel()


def test_a_start_at_bias_0_is_no_run_without_an_intercept() -> None:
    X, y = rows(2)
    runs = steps([(0, 0, 0)]), steps([(0, 0, 0), (1, 1, 1)])
    (best,) = {tuple(star(axes_of(figures.path(run, X, y)))) for run in runs}
    np.testing.assert_allclose(best, np.linalg.lstsq(np.column_stack([np.ones(80), X]), y)[0][1:], rtol=1e-9)


@pytest.mark.parametrize("d", [1, 2])
def test_runs_of_the_solver_without_an_intercept_are_known(d: int) -> None:
    X, y = rows(d)

    def run(intercept: bool, lr: float = 0.02) -> list[Step]:
        solver = SGD(lr=lr, batch_size=8, epochs=200, every=1, tol=None)
        return list(solver.steps(Objective(Squared(), intercept=intercept), open_source(X, y)))

    without = figures.path(run(False), X, y)
    best = np.linalg.lstsq(X, y)[0]
    np.testing.assert_allclose(star(axes_of(without))[:d], best, rtol=1e-9)
    both = figures.path([run(False), run(True)], X, y, labels=["a", "b"])
    best = np.linalg.lstsq(np.column_stack([X, np.ones(80)]), y)[0]
    np.testing.assert_allclose(star(axes_of(both)), best[:2], rtol=1e-9)
    whose = "the optimum is" if d == 1 else "contours and optimum are"
    assert f"a: no intercept, while {whose} with one" in both.get_supxlabel()
    diverged = run(True, 5.0)[-1]  # it went back to the start, whose bias is 0
    assert diverged.status is Status.DIVERGED
    np.testing.assert_allclose(star(axes_of(figures.path([diverged], X, y))), best[:2], rtol=1e-9)


def test_a_loss_may_be_named() -> None:
    X, y = rows(n=41)
    named, given = (figures.path(descent(0.2, 5), X, y, loss) for loss in ("absolute", Absolute()))
    np.testing.assert_array_equal(star(axes_of(named)), star(axes_of(given)))
    assert "mean absolute loss" in named.get_supxlabel()


def test_a_table_gives_the_names() -> None:
    import pandas as pd

    X, y = rows()
    frame = pd.DataFrame({"width $mm": X[:, 0].astype(np.float32), "a very long target's name, in grams": y})
    axes = axes_of(figures.path(descent(0.2, 5), frame, "a very long target's name, in grams"))
    assert axes.get_xlabel() == "weight of width $mm, in a very long …e, in grams per width $mm"


def test_a_run_of_the_solver(tmp_path: Any) -> None:
    X, y = rows(2)
    runs = [
        list(SGD(lr=rate, batch_size=8, epochs=4, every=1, tol=None).steps(Objective(Squared()), open_source(X, y)))
        for rate in (0.01, 0.1)
    ]
    figure = figures.path(runs, X, y)
    axes = axes_of(figure)
    assert legend(axes) == ["lr 0.01", "lr 0.1", "exact optimum"]
    figures.save(figure, tmp_path / "path.svg")


def test_steps_begin_after_the_first_minibatch() -> None:
    """Where the start is not given, no place is called that; and steps are counted as the solver counts them."""
    X, y = rows()
    run = list(SGD(lr=0.1, batch_size=8, epochs=2, every=1, tol=None).steps(Objective(Squared()), open_source(X, y)))

    def mean(step: Step) -> str:
        assert step.weights is not None
        assert step.bias is not None
        return f"{np.mean((y - step.bias - X @ step.weights) ** 2) / 2:.3g}"

    figure = figures.path(run, X, y)
    story = f"The mean loss goes from {mean(run[0])} after step 1 to {mean(run[-1])} after step 20"
    assert axes_of(figure).get_title(loc="left") == story
    assert "hollow circle: after step 1; full circle: end" in figure.get_supxlabel()
    alone = axes_of(figures.path(run[:1], X, y))
    assert alone.get_title(loc="left") == f"The mean loss is {mean(run[0])} after 1 step"
    start = Step(0, 0, 0, np.zeros(1), 0.0)
    figure = figures.path([start, *run], X, y)
    assert f"from {np.mean(y**2) / 2:.3g} to {mean(run[-1])} in 20 steps" in axes_of(figure).get_title(loc="left")
    assert "hollow circle: start;" in figure.get_supxlabel()
    for runs, begun in (([run, run], "after step 1"), ([[start, *run]] * 2, "starts"), ([run, run[1:]], "first looks")):
        assert f"hollow circles: {begun}; full circles: ends" in figures.path(runs, X, y).get_supxlabel()


def test_a_diverged_run_has_no_end() -> None:
    """The weights that it went back to are none that its path leads to."""
    X, y = rows()
    fine, wild = (
        list(SGD(lr=rate, batch_size=8, epochs=5, every=1, tol=None).steps(Objective(Squared()), open_source(X, y)))
        for rate in (0.1, 2.0)
    )
    back = wild[-1]
    assert back.status is Status.DIVERGED
    assert back.step < wild[-2].step
    figure = figures.path(wild, X, y)
    axes = axes_of(figure)
    assert axes.get_title(loc="left") == f"The run diverged after {wild[-2].step} steps"
    assert legend(axes)[0] == "path (diverged)"
    assert "hollow circle: after step 1; an arrow" in figure.get_supxlabel()
    assert len(marks(axes, "o", filled=True)) == 0
    assert back.weights is not None
    assert not any((drawn == [back.weights[0], back.bias]).all(axis=1).any() for drawn in paths(axes))

    figure = figures.path([fine, wild], X, y)
    assert "Lowest at the end of 2 runs: lr 0.1" in axes_of(figure).get_title(loc="left")
    assert legend(axes_of(figure))[:2] == ["lr 0.1", "lr 2 (diverged)"]
    assert axes_of(figures.path([wild, wild], X, y)).get_title(loc="left") == "All 2 runs diverged"

    within = [*steps([(0.0, 0.0), (12.0, 5.0)]), back]
    figure = figures.path([fine, within], X, y)
    np.testing.assert_array_equal(marks(axes_of(figure), "X"), [(5.0, 12.0)])
    assert "a cross: the run diverged" in figure.get_supxlabel()
    figure = figures.path([back], X, y)  # nothing of it but where it went back to
    assert axes_of(figure).get_title(loc="left") == "The run diverged"
    np.testing.assert_array_equal(marks(axes_of(figure), "X"), [(back.weights[0], back.bias)])


def test_a_constant_feature_has_a_valley_without_end() -> None:
    y = np.arange(10.0)
    axes_of(figures.path(steps([(0, 0), (1, 1)]), np.ones((10, 1)), y))
    axes_of(figures.path(steps([(0, 0), (1, 1)]), np.zeros((10, 1)), y, Absolute()))
    axes_of(figures.path(steps([(0, 0), (1, 1)]), np.arange(10.0)[:, None], y))  # nothing left at the optimum


GOOD = steps([(0, 0), (1, 1)])


@pytest.mark.parametrize(
    ("runs", "X", "options", "sentence"),
    [
        ([], 1, {}, "needs the Steps of a run"),
        (3, 1, {}, "Run 1 should be the Steps of a run"),
        ([GOOD, []], 1, {}, "Run 2 is empty"),
        ([GOOD, example(1)], 1, {}, "Run 2 .* Fit"),
        ([Step(1, 1, 10)], 1, {}, "no Step with weights"),
        (GOOD, 2, {}, "Run 1 learned 1 weights, but X has 2 columns"),
        (GOOD, 3, {}, "one feature or two, but X has 3"),
        (steps([(np.nan, 0)]), 1, {}, "diverged at once"),
        (GOOD, 1, {"loss": "hubert"}, "There is no loss 'hubert': choose from squared, absolute, huber"),
        (GOOD, 1, {"loss": Quantile([0.1, 0.9])}, "There is no loss Quantiles"),
        (GOOD, 1, {"optimum": [1.0]}, "2 finite numbers"),
        (GOOD, 1, {"optimum": [np.inf, 1.0]}, "2 finite numbers"),
        (GOOD, 1, {"optimum": "here"}, "2 finite numbers"),
        ([GOOD, GOOD], 1, {"labels": ["one"]}, "a name for each of the 2 runs"),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs: Any, X: int, options: dict[str, Any], sentence: str) -> None:
    random = np.random.default_rng(0)
    with pytest.raises(InputError, match=sentence):
        figures.path(runs, random.standard_normal((9, X)), random.standard_normal(9), **options)


def test_rows_with_gaps_are_refused() -> None:
    X, y = rows()
    X[3] = np.nan
    with pytest.raises(InputError, match=r"'x1' is missing .* row 4.*: drop these rows, or mend the data\.$"):
        figures.path(GOOD, X, y)
