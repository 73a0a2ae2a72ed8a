from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection

import linnet
from helpers import axes_of, example, ols
from linnet import figures
from linnet.block import InputError
from linnet.design import Design, Feature
from linnet.fitted import Fit
from linnet.inference import Uncertainty, Withheld
from linnet.scatter import POINTS


def line(n: int = 40) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    x = random.standard_normal(n) * 2 + 10
    return x[:, None], 3 + 0.5 * x + random.standard_normal(n)


def band(axes: Axes) -> Any:
    (found,) = (c for c in axes.collections if isinstance(c, PolyCollection))
    return found.get_paths()[0].vertices


def points(axes: Axes) -> Any:
    (found,) = (c for c in axes.collections if isinstance(c, PathCollection))
    return np.asarray(found.get_offsets())


def test_one_feature_without_data_is_line_and_band_over_two_standard_deviations() -> None:
    X, y = line()
    fit = ols(X, y, ("width_mm",), target="mass_g")
    figure = figures.plot(fit)
    axes = axes_of(figure)
    (drawn,) = axes.get_lines()
    x = np.asarray(drawn.get_xdata())
    np.testing.assert_allclose([x.min(), x.max()], X.mean() + np.array([-2, 2]) * X.std())
    np.testing.assert_allclose(np.asarray(drawn.get_ydata()), fit.bias + fit.weights[0] * x)
    ends = fit.predict_rows(np.array([[x.min()]]), 0.95, "confidence")[0]
    corners = band(axes)
    np.testing.assert_allclose(np.unique(corners[np.isclose(corners[:, 0], x.min()), 1]), [ends[1], ends[2]])
    assert axes.get_xlabel() == "width_mm"
    assert axes.get_ylabel() == "mass_g"
    assert "no data given" in figure.get_supxlabel()
    assert "mass_g = " in axes.get_title(loc="left")


def test_one_feature_with_data_shows_every_point_of_a_small_table() -> None:
    import pyarrow as pa

    X, y = line()
    of_table = figures.plot(ols(X, y, ("x",)), pa.table({"x": X[:, 0], "other": y, "y": y}))
    from_array = ols(X, y, design=Design.numbers(["x1"], from_array=True))
    for figure in (of_table, figures.plot(from_array, X, y)):
        np.testing.assert_array_equal(points(axes_of(figure)), np.column_stack([X, y]))
        assert figure.get_supxlabel() == ""
    with pytest.raises(InputError, match="target is needed"):
        figures.plot(from_array, X)
    with pytest.raises(InputError, match="'x'"):
        figures.plot(ols(X, y, ("x",)), pa.table({"z": X[:, 0], "y": y}))


def test_many_points_are_thinned_evenly(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import csv

    X, y = line()
    n = 23_456
    path = tmp_path / "many.csv"
    csv.write_csv(pa.table({"x": np.arange(float(n)), "y": np.ones(n)}), path)
    shown = points(axes_of(figures.plot(ols(X, y, ("x",)), path)))
    strides = np.unique(np.diff(shown[:, 0]))
    assert POINTS / 2 <= len(shown) <= POINTS
    assert strides.tolist() == [8.0]
    assert shown[0, 0] == 0


def test_an_indicator_stands_on_its_levels() -> None:
    random = np.random.default_rng(0)
    male = random.integers(0, 2, 60).astype(float)
    fit = ols(
        male[:, None], 3 + male + random.standard_normal(60), design=Design((Feature("sex", ("female", "male")),))
    )
    axes = axes_of(figures.plot(fit))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["female", "male"]
    assert axes.get_xlabel() == "sex"


@pytest.mark.parametrize("strange", ["a", "both", "female0", "z"])
def test_rows_of_levels_that_the_fit_left_out_are_not_shown(strange: str) -> None:
    """Rows of weight 0 alone have the level: before, between or behind those that the fit knows."""
    import pandas as pd

    random = np.random.default_rng(5)
    table = pd.DataFrame({"sex": random.choice(["female", "male"], 60), "y": random.standard_normal(60), "w": 1.0})
    table.loc[[7, 30], "sex"], table.loc[[7, 30], "w"] = strange, 0.0
    fit = linnet.fit(table, "y", weight="w", features=["sex"])
    for figure in (
        fit.plot(table),
        figures.fan(linnet.fit(table, "y", weight="w", features=["sex"], loss=linnet.Quantile([0.3, 0.6])), table),
    ):
        drawn = points(axes_of(figure))
        rest = table.drop([7, 30])
        np.testing.assert_array_equal(drawn[:, 1], rest["y"])
        np.testing.assert_array_equal(drawn[:, 0].round(), rest["sex"] == "male")
        assert "2 rows of levels that the fit does not know" in figure.get_supxlabel()
    alone = fit.plot(table[table["sex"] == "male"])
    np.testing.assert_array_equal(points(axes_of(alone))[:, 0].round(), 1.0)
    assert not alone.get_supxlabel()
    for other in (table.loc[[7, 30]], table.assign(sex=1.5)):
        with pytest.raises(InputError, match="the same levels"):
            fit.plot(other)


def test_no_band_without_standard_errors() -> None:
    X, y = line()
    axes = axes_of(figures.plot(ols(X, y, ("x",), uncertainty=None)))
    assert not axes.collections
    assert len(axes.get_lines()) == 1


def test_several_features_are_standardised_sorted_and_marked() -> None:
    identified = np.array([True, True, False, True])
    fit = example(4, names=("a", "b[x]", "c", "d"), identified=identified, target="price")
    figure = figures.plot(fit)
    axes = axes_of(figure)
    standard = fit.weights * fit.scale / fit.target_scale
    order = np.argsort(-np.abs(standard))
    assert [label.get_text() for label in axes.get_yticklabels()] == [fit.names[i] for i in order]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the largest on top
    (dots,) = (a for a in axes.get_lines() if a.get_marker() == "o" and a.get_markerfacecolor() != "white")
    shown = [i for i in order if identified[i]]
    np.testing.assert_allclose(np.asarray(dots.get_xdata()), standard[shown])
    (intervals,) = (c for c in axes.collections if isinstance(c, LineCollection))
    drawn = np.array([segment[:, 0] for segment in intervals.get_segments()])
    factor = (fit.scale / fit.target_scale)[shown, None]
    np.testing.assert_allclose(drawn, fit.interval()[1:][shown] * factor)
    hollow = next(a for a in axes.get_lines() if a.get_markerfacecolor() == "white")
    np.testing.assert_allclose(np.asarray(hollow.get_xdata()), standard[[2]])
    assert "hollow circles: cannot be told from the others" in figure.get_supxlabel()
    assert "square" not in figure.get_supxlabel()


def test_thirty_weights_then_a_count() -> None:
    figure = figures.plot(example(34, n=200))
    assert len(axes_of(figure).get_yticks()) == 30
    assert "4 smaller weights not shown" in figure.get_supxlabel()


@pytest.mark.filterwarnings("ignore:No font that is installed here has")
@pytest.mark.parametrize("names", [("$a_1$", r"\frac{}$"), ("变量", "x" * 200), ("", "a\nb\x1b")])
def test_any_name_can_be_drawn(tmp_path: Path, names: tuple[str, str]) -> None:
    figures.save(figures.plot(example(2, names=names, target="$y_" + names[0])), tmp_path / "f.png")
    X, y = line()
    figures.save(figures.plot(ols(X, y, names[:1], target="$" + names[1])), tmp_path / "f.png")


def test_a_fit_without_features_or_with_constant_target() -> None:
    fit = example(2, weights=np.zeros(2), target_scale=0.0)
    axes_of(figures.plot(fit))
    with pytest.raises(InputError, match="no features"):
        figures.plot(example(1, names=(), design=Design(())))


def exact_beside(distance: Any, d: int = 3, **changes: Any) -> Fit:
    """A Fit whose [bias, weights] are so many standard errors from the exact ones."""
    fit = example(d, n=200)
    exact = fit.coefficients - np.asarray(distance) * np.r_[fit.bias_std_error, fit.std_errors]
    return example(d, n=200, **{"exact": exact, "settings": {"lr": 0.1}, **changes})


def test_exact_weights_are_marked_beside_learned_ones() -> None:
    fit = exact_beside([0.1, 2.0, -3.0, 0.5])
    assert fit.exact is not None
    figure = figures.plot(fit)
    axes = axes_of(figure)
    order = np.argsort(-np.abs(fit.weights * fit.scale))
    (strokes,) = (line for line in axes.get_lines() if line.get_marker() == "|")
    expected = (fit.exact[1:] * fit.scale / fit.target_scale)[order]
    np.testing.assert_allclose(np.asarray(strokes.get_xdata()), expected)
    np.testing.assert_array_equal(np.asarray(strokes.get_ydata()), [0, 1, 2])
    assert "orange strokes: exact" in figure.get_supxlabel()
    assert "exact" not in figures.plot(example(3)).get_supxlabel()


def test_the_exact_line_beside_the_learned_one() -> None:
    X, y = line()
    axes = axes_of(figures.plot(ols(X, y, ("x",), exact=np.array([1.0, 2.0]))))
    (dashed,) = (drawn for drawn in axes.get_lines() if drawn.get_label() == "exact")
    np.testing.assert_allclose(np.asarray(dashed.get_ydata()), 1.0 + 2.0 * np.asarray(dashed.get_xdata()))


def distances(axes: Axes, marker: str) -> list[tuple[str, float]]:
    """What is drawn with a marker: the name in its row, and where it lies."""
    names = dict(zip(axes.get_yticks(), (label.get_text() for label in axes.get_yticklabels()), strict=True))
    found = [drawn for drawn in axes.get_lines() if drawn.get_marker() == marker]
    return [
        (names[row], float(x))
        for drawn in found
        for x, row in zip(np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata()), strict=True)
    ]


def test_learned_against_exact_in_standard_errors() -> None:
    axes = axes_of(figures.learned_against_exact(exact_beside([0.01, -0.03, 0.049, 0.02])))
    names, values = zip(*distances(axes, "o"), strict=True)
    assert names == ("x2", "x1", "x3", "intercept")
    assert values == pytest.approx((0.049, -0.03, 0.02, 0.01))
    assert distances(axes, "D") == []
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the farthest on top
    assert axes.get_xscale() == "linear"
    assert axes.get_title(loc="left") == "All 4 weights within the tolerance"
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (band.x0, band.x1) == (pytest.approx(-0.05), pytest.approx(0.05))
    left, right = axes.get_xlim()
    assert -left == right > 0.05


def test_weights_out_of_tolerance_stand_out() -> None:
    axes = axes_of(figures.learned_against_exact(exact_beside([400.0, -0.06, 0.04, -3.0])))
    assert [name for name, _ in distances(axes, "D")] == ["intercept", "x3", "x1"]
    assert [name for name, _ in distances(axes, "o")] == ["x2"]
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlim()[1] > 400
    ticks = ["−500", "−50", "−5", "−0.5", "−0.05", "0", "0.05", "0.5", "5", "50", "500"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ticks
    assert axes.get_title(loc="left") == "3 of 4 weights outside the tolerance"


@pytest.mark.parametrize("farthest", [0.21, 0.5, 2.7, 5.1, 49.0, 3e3, 8e4, 6e5, 2e9, 7e30])
def test_every_distance_lies_between_two_ticks(farthest: float) -> None:
    axes = axes_of(figures.learned_against_exact(exact_beside([0.01, -0.03, farthest, -farthest / 3])))
    ticks = axes.get_xticks()
    assert 5 <= len(ticks) <= 13
    assert ticks[0] == -ticks[-1]
    assert farthest <= ticks[-1] * (1 + 1e-12)
    assert ticks[-1] < axes.get_xlim()[1]
    finer = np.unique(np.abs([*ticks, *axes.get_xticks(minor=True)]))
    assert ticks[-1] == finer[-1]
    beyond = finer[finer >= 0.05 * (1 - 1e-12)]
    steps = beyond[1:] / beyond[:-1]
    assert steps.max() <= (2 if farthest < 500 else 10) * (1 + 1e-9)


def test_many_weights_and_some_without_a_standard_error() -> None:
    far = np.linspace(0.001, 0.6, 41)
    identified = np.ones(40, np.bool_)
    identified[39] = False  # the farthest of all
    figure = figures.learned_against_exact(exact_beside(far, 40, identified=identified))
    axes = axes_of(figure)
    shown = distances(axes, "D") + distances(axes, "o")
    assert [name for name, _ in shown] == [f"x{j}" for j in range(39, 9, -1)]
    assert "10 more are nearer to exact" in figure.get_supxlabel()
    assert "1 has no standard error, and is not shown" in figure.get_supxlabel()
    assert f"{int((far[:-1] > 0.05).sum())} of 40" in axes.get_title(loc="left")


def test_without_an_intercept_there_is_none_to_show() -> None:
    axes = axes_of(figures.learned_against_exact(exact_beside([0.0, 0.01, 0.02, 0.03], intercept=False)))
    assert [name for name, _ in distances(axes, "o")] == ["x3", "x2", "x1"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exact": None, "settings": {}}, "solved exactly itself"),
        ({"exact": None, "settings": {"q": 0.5, "iterations": 9}}, "solved exactly itself"),
        ({"exact": None}, "not known for its loss"),
        ({"uncertainty": None}, "no standard errors to measure distances in: the notes of the fit say why"),
        ({"uncertainty": None, "errors": "none"}, 'distances in: fit with errors other than "none"'),
        ({"uncertainty": Uncertainty(np.zeros(5), np.eye(5))}, "those of this fit are 0"),
    ],
)
def test_a_fit_that_cannot_be_held_against_exact(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        figures.learned_against_exact(exact_beside([0.1] * 4, **changes))


def test_every_figure_is_found_here() -> None:
    several = {"fan", "quantile_process", "weights_by_loss"}
    assert set(figures.__all__) == several | {"plot", "learned_against_exact", "loss_curve", "path", "save", "SUFFIXES"}
    assert all(callable(getattr(figures, name)) for name in figures.__all__ if name != "SUFFIXES")


def test_pyplot_is_never_loaded() -> None:
    code = (
        "import sys\nfrom helpers import example\nfrom linnet import figures\nfigures.plot(example(2)).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)


def withheld(d: int, *which: int) -> Uncertainty:
    """Standard errors of 0.1, those of some weights withheld, and of predictions that these move."""
    told = np.ones(d + 2, np.bool_)
    told[[2 + j for j in which]] = False
    moves = np.zeros((len(which), d + 2))
    moves[np.arange(len(which)), [2 + j for j in which]] = 1.0
    return Uncertainty(np.full(d + 2, 0.1), np.eye(d + 2), Withheld(told, moves))


def test_a_weight_whose_error_is_withheld_is_no_weight_with_a_short_interval() -> None:
    fit = example(3, uncertainty=withheld(3, 1), exact=np.ones(4), settings={"lr": 0.1})
    figure = figures.plot(fit)
    axes = axes_of(figure)
    standard = fit.weights * fit.scale / fit.target_scale
    (square,) = (a for a in axes.get_lines() if a.get_marker() == "s")
    assert square.get_markerfacecolor() == "white"
    np.testing.assert_allclose(np.asarray(square.get_xdata()), standard[[1]])
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [names[round(float(y))] for y in np.asarray(square.get_ydata())] == ["x2"]
    (intervals,) = (c for c in axes.collections if isinstance(c, LineCollection))
    assert sorted(names[round(s[0, 1])] for s in np.asarray(intervals.get_segments())) == ["x1", "x3"]
    assert all(s[0, 0] < s[1, 0] for s in np.asarray(intervals.get_segments()))
    assert "with 95 % intervals" in figure.get_supxlabel()
    assert "hollow squares: the standard error cannot be told" in figure.get_supxlabel()
    none = figures.plot(example(3, uncertainty=withheld(3, 0, 1, 2))).get_supxlabel()
    assert "hollow squares" in none
    assert "intervals" not in none
    assert "hollow" not in figures.plot(example(3, uncertainty=None)).get_supxlabel()


def legend(axes: Axes) -> list[str]:
    found = axes.get_legend()
    return [] if found is None else [text.get_text() for text in found.get_texts()]


def test_a_band_is_named_only_where_some_of_it_is_known() -> None:
    X, y = line()
    told = figures.plot(ols(X, y, ("x",)))
    assert legend(axes_of(told)) == ["95 % confidence band", "fit"]
    assert "no band" not in told.get_supxlabel()
    nowhere = figures.plot(ols(X, y, ("x",), uncertainty=withheld(1, 0)))
    assert legend(axes_of(nowhere)) == ["fit"]
    assert "no band where the standard error cannot be told" in nowhere.get_supxlabel()


def test_a_band_that_is_known_of_one_level_is_a_bar_there(rng: np.random.Generator) -> None:
    """The other level has one row, so that it has no error of its own."""
    import pandas as pd

    import linnet

    fit = linnet.fit(pd.DataFrame({"team": ["a"] * 40 + ["b"], "y": rng.standard_normal(41)}), "y", errors="hc3")
    figure = figures.plot(fit)
    axes = axes_of(figure)
    (bar,) = (c for c in axes.collections if isinstance(c, LineCollection))
    ends = fit.predict_rows(np.array([[0.0]]), 0.95, "confidence")[0, 1:]
    np.testing.assert_allclose(np.asarray(bar.get_segments()), [np.column_stack([[0.0, 0.0], ends])])
    assert legend(axes) == ["95 % confidence band", "fit"]
    assert "no band where" in figure.get_supxlabel()


def test_captions_and_titles_count_one_as_one() -> None:
    assert "1 smaller weight not shown" in figures.plot(example(31, n=200)).get_supxlabel()
    far = exact_beside(np.linspace(0.001, 0.04, 31), 30)
    assert "1 more is nearer to exact than these" in figures.learned_against_exact(far).get_supxlabel()
    alone = figures.learned_against_exact(exact_beside([0.0, 0.01], 1, intercept=False))
    assert axes_of(alone).get_title(loc="left") == "The 1 weight within the tolerance"
