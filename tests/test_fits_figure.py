from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure

from helpers import axes_of, data, example
from linnet import figures
from linnet.block import InputError
from linnet.design import Design, Feature
from linnet.fits import Fits

Q = (0.1, 0.25, 0.5, 0.75, 0.9)


def quantiles(q: Any = Q, d: int = 1, **changes: Any) -> Fits:
    """Quantiles of a spread that grows with the first feature, in order wherever that is above 0."""
    base = example(d, n=200, target="mass", loss="quantile", **changes)
    base = replace(base, weights=np.abs(base.weights))
    fits = tuple(
        replace(base, settings={"q": number}, weights=base.weights * (0.5 + number), bias=base.bias + number)
        for number in q
    )
    fits = tuple(replace(fit, centre_value=float(fit.bias + fit.centre @ fit.weights)) for fit in fits)
    return Fits(fits, tuple(map(str, q)))


def losses(d: int = 3, **changes: Any) -> Fits:
    base = example(d, n=200, target="mass", **changes)
    return Fits(
        (base, replace(base, loss="absolute", weights=base.weights * 0.5), replace(base, loss="huber")),
        ("squared", "absolute", "huber"),
    )


def labels(axes: Axes) -> dict[str, float]:
    """The labels beside the lines, and how high they stand, as a share of the axes."""
    return {text.get_text(): float(text.get_position()[1]) for text in axes.texts}


def test_a_fan_has_a_labelled_line_for_each_quantile() -> None:
    fits = quantiles()
    axes = axes_of(figures.fan(fits))
    lines = axes.get_lines()
    assert [line.get_label() for line in lines] == [str(q) for q in Q]
    for line, fit in zip(lines, fits, strict=True):
        x, y = data(line).T
        np.testing.assert_allclose(y, fit.bias + fit.weights[0] * x)
        np.testing.assert_allclose([x.min(), x.max()], fit.centre[0] + np.array([-2, 2]) * fit.scale[0])
    assert [line.get_linewidth() for line in lines] == [1.2, 1.2, 2, 1.2, 1.2]  # the median stands out
    assert list(labels(axes)) == [str(q) for q in Q]
    assert list(labels(axes).values()) == sorted(labels(axes).values())
    assert axes.get_title(loc="left") == "Quantiles of mass"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x1", "mass")


def test_a_fan_is_shaded_between_quantiles_that_belong_together() -> None:
    fits = quantiles()
    axes = axes_of(figures.fan(fits))
    shaded = [c.get_paths()[0].vertices for c in axes.collections if isinstance(c, PolyCollection)]
    assert len(shaded) == 2
    at = data(axes.get_lines()[0])[-1, 0]
    for area, (low, high) in zip(shaded, ((0, 4), (1, 3)), strict=True):
        corners = np.asarray(area)
        ends = np.unique(corners[np.isclose(corners[:, 0], at), 1])
        np.testing.assert_allclose(ends, fits.predict_rows(np.array([[at]]))[0, [low, high]])
    assert not [c for c in axes_of(figures.fan(losses(1))).collections if isinstance(c, PolyCollection)]


def test_a_fan_through_the_points(rng: np.random.Generator) -> None:
    fits = quantiles(design=Design.numbers(["x1"], from_array=True))
    X, y = rng.standard_normal((30, 1)), rng.standard_normal(30)
    axes = axes_of(figures.fan(fits, X, y))
    (drawn,) = (c for c in axes.collections if isinstance(c, PathCollection))
    np.testing.assert_array_equal(drawn.get_offsets(), np.column_stack([X, y]))
    ends = data(axes.get_lines()[0])[[0, -1], 0]
    np.testing.assert_allclose(ends, [X.min(), X.max()])
    with pytest.raises(InputError, match="target is needed"):
        figures.fan(fits, X)
    with pytest.raises(InputError, match="one feature, but these fits have 2"):
        figures.fan(quantiles(d=2))


def test_an_indicator_stands_on_its_levels() -> None:
    axes = axes_of(figures.fan(quantiles(design=Design((Feature("sex", ("f", "m")),)))))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["f", "m"]
    assert data(axes.get_lines()[0])[[0, -1], 0].tolist() == [0, 1]


def test_labels_of_lines_that_end_together_stand_apart() -> None:
    base = quantiles(np.arange(1, 10) / 10)
    alike = Fits(tuple(replace(base[4], settings=fit.settings) for fit in base), base.labels)
    heights = np.array(list(labels(axes_of(figures.fan(alike))).values()))
    assert (np.diff(heights) > 0.04).all()
    (middle,) = (line for line in axes_of(figures.fan(alike)).get_lines() if line.get_label() == "0.5")
    low, high = axes_of(figures.fan(alike)).get_ylim()
    assert heights.mean() == pytest.approx((data(middle)[-1, 1] - low) / (high - low))


def test_losses_have_a_colour_each() -> None:
    axes = axes_of(figures.fan(losses(1)))
    colours = [line.get_color() for line in axes.get_lines()]
    assert len(set(map(str, colours))) == 3
    beside = {text.get_text(): text.get_color() for text in axes.texts}
    assert [beside[str(line.get_label())] for line in axes.get_lines()] == colours
    assert axes.get_title(loc="left") == "Fits of mass"


def panels(figure: Figure) -> dict[str, Axes]:
    figure.canvas.draw()
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_weight_against_quantile_with_its_band() -> None:
    fits = quantiles(d=2)
    figure = figures.quantile_process(fits)
    drawn = panels(figure)
    assert list(drawn) == ["intercept", "x1", "x2"]
    for j, axes in enumerate(drawn.values()):
        process = data(axes.get_lines()[0])
        np.testing.assert_allclose(process, np.column_stack([Q, [fit.coefficients[j] for fit in fits]]))
        (area,) = (c for c in axes.collections if isinstance(c, PolyCollection))
        corners = np.asarray(area.get_paths()[0].vertices)
        for q, fit in zip(Q, fits, strict=True):
            here = corners[np.isclose(corners[:, 0], q), 1]
            np.testing.assert_allclose([here.min(), here.max()], fit.interval()[j])
    assert "95 % intervals" in figure.get_supxlabel()
    assert "not shown" not in figure.get_supxlabel()
    assert figure.get_suptitle() == "Weights for mass, by quantile"


def test_twelve_panels_of_the_largest_weights() -> None:
    figure = figures.quantile_process(quantiles(d=20))
    base = example(20, n=200)
    largest = np.sort(np.argsort(-np.abs(base.weights) * base.scale)[:11])
    assert list(panels(figure)) == ["intercept", *(f"x{j + 1}" for j in largest)]
    assert "9 smaller weights not shown" in figure.get_supxlabel()
    without = panels(figures.quantile_process(quantiles(d=20, intercept=False)))
    assert len(without) == 12
    assert "intercept" not in without


def test_zero_is_drawn_only_where_it_does_not_flatten_the_rest() -> None:
    far = quantiles(d=2, weights=np.array([1e6, 0.0]))
    drawn = panels(figures.quantile_process(far))
    assert drawn["x1"].get_ylim()[0] > 0
    low, high = drawn["x2"].get_ylim()
    assert low < 0 < high


def test_a_single_quantile_and_none_sure() -> None:
    (axes,) = list(panels(figures.quantile_process(quantiles((0.5,), d=2))).values())[1:2]
    assert [c for c in axes.collections if isinstance(c, LineCollection)]
    unsure = figures.quantile_process(quantiles(d=2, uncertainty=None))
    panels(unsure)
    assert "intervals" not in unsure.get_supxlabel()


def test_what_is_no_quantile_process() -> None:
    with pytest.raises(InputError, match="not quantiles"):
        figures.quantile_process(losses())
    empty = example(1, names=(), design=Design(()), weights=np.zeros(0), identified=np.zeros(0, bool), uncertainty=None)
    with pytest.raises(InputError, match="no features"):
        figures.weights_by_loss(Fits((empty,), ("squared",)))
    with pytest.raises(InputError, match="no features"):
        figures.quantile_process(Fits((replace(empty, loss="quantile", settings={"q": 0.5}),), ("0.5",)))


def test_weights_of_losses_side_by_side() -> None:
    fits = losses(identified=np.array([True, False, True]))
    figure = figures.weights_by_loss(fits)
    axes = axes_of(figure)
    standard = np.array([fit.weights * fit.scale / fit.target_scale for fit in fits])
    order = np.argsort(-np.abs(standard).max(axis=0))
    assert [label.get_text() for label in axes.get_yticklabels()] == [fits.names[j] for j in order]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    known = [j for j in order if j != 1]
    for i, label in enumerate(fits.labels):
        (dots,) = (line for line in axes.get_lines() if line.get_label() == label)
        np.testing.assert_allclose(data(dots)[:, 0], standard[i, known])
    intervals = [c for c in axes.collections if isinstance(c, LineCollection)]
    for fit, drawn in zip(fits, intervals, strict=True):
        ends = np.array([np.asarray(s)[:, 0] for s in drawn.get_segments() if len(s) and np.isfinite(s).all()])
        scaled = fit.interval()[1:] * (fit.scale / fit.target_scale)[:, None]
        np.testing.assert_allclose(ends, scaled[known])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(fits.labels)
    assert "hollow circles: cannot be told from the others" in figure.get_supxlabel()
    assert "square" not in figure.get_supxlabel()


def test_forty_bars_then_a_count() -> None:
    figure = figures.weights_by_loss(losses(34))
    assert len(axes_of(figure).get_yticks()) == 13
    assert "21 smaller weights not shown" in figure.get_supxlabel()


@pytest.mark.filterwarnings("ignore:No font that is installed here has")
@pytest.mark.parametrize("names", [("$a_1$", r"\frac{}$"), ("变量", "x" * 200), ("", "a\nb\x1b")])
def test_any_name_can_be_drawn(tmp_path: Path, names: tuple[str, str]) -> None:
    several = losses(2, names=names)
    odd = Fits(several.fits, (names[0], names[1], "x$"))
    figures.save(figures.weights_by_loss(odd), tmp_path / "f.png")
    figures.save(figures.quantile_process(quantiles(d=2, names=names)), tmp_path / "f.svg")
    one = losses(1, names=names[:1])
    figures.save(figures.fan(Fits(one.fits, odd.labels)), tmp_path / "f.pdf")


def test_weights_at_the_ends_of_float64_can_be_drawn() -> None:
    wild = losses(2, weights=np.array([1e300, 1e-300]), scale=np.array([1e-300, 1e300]))
    axes_of(figures.weights_by_loss(wild))
    axes_of(figures.fan(losses(1, weights=np.array([0.0]), bias=0.0, centre_value=0.0)))


def test_weights_without_an_error_beside_others_that_have_one() -> None:
    fits = losses()
    bare = Fits((fits[0], replace(fits[1], uncertainty=None), fits[2]), fits.labels)
    figure = figures.weights_by_loss(bare)
    axes = axes_of(figure)
    (squares,) = (line for line in axes.get_lines() if line.get_marker() == "s")
    assert squares.get_markerfacecolor() == "white"
    standard = fits[1].weights * fits[1].scale / fits[1].target_scale
    np.testing.assert_allclose(np.sort(data(squares)[:, 0]), np.sort(standard))
    assert "hollow squares: the standard error cannot be told" in figure.get_supxlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(fits.labels)
    none = figures.weights_by_loss(Fits(tuple(replace(fit, uncertainty=None) for fit in fits), fits.labels))
    assert "hollow" not in none.get_supxlabel()
    assert "intervals" not in none.get_supxlabel()


@pytest.mark.parametrize(
    ("unknown", "bars", "areas"),
    [((0, 1, 3, 4), [2], []), ((1,), [0], [(2, 4)]), ((0, 4), [], [(1, 3)]), ((2,), [], [(0, 1), (3, 4)])],
)
def test_intervals_are_shaded_wherever_they_are_known(
    unknown: tuple[int, ...], bars: list[int], areas: list[tuple[int, int]]
) -> None:
    known = quantiles(d=2)
    fits = Fits(tuple(replace(f, uncertainty=None) if i in unknown else f for i, f in enumerate(known)), known.labels)
    figure = figures.quantile_process(fits)
    for j, axes in enumerate(panels(figure).values()):
        upright = [np.asarray(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection)]
        expected = [[[Q[i], end] for end in fits[i].interval()[j]] for i in bars]
        np.testing.assert_allclose(np.concatenate(upright) if upright else np.empty((0, 2, 2)), np.reshape(
            expected, (len(bars), 2, 2)
        ))  # fmt: skip
        shaded = [c for c in axes.collections if isinstance(c, PolyCollection)]
        spans = [np.asarray(path.vertices)[:, 0] for c in shaded for path in c.get_paths()]
        assert [(span.min(), span.max()) for span in spans] == [(Q[a], Q[b]) for a, b in areas]
        (squares,) = (line for line in axes.get_lines() if line.get_marker() == "s")
        np.testing.assert_allclose(data(squares), [(Q[i], fits[i].coefficients[j]) for i in unknown])
    assert "shaded: 95 % intervals" in figure.get_supxlabel()
    assert "hollow squares: the standard error cannot be told" in figure.get_supxlabel()


def test_a_quantile_process_marks_what_cannot_be_told_from_others() -> None:
    figure = figures.quantile_process(quantiles(d=2, identified=np.array([True, False])))
    hollow = [
        sum(line.get_markerfacecolor() == "white" and line.get_marker() == "o" for line in axes.get_lines())
        for axes in panels(figure).values()
    ]
    assert hollow == [0, 0, 1]
    assert "hollow circles: cannot be told from the others" in figure.get_supxlabel()
