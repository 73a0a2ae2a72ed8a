from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection, PathCollection
from matplotlib.figure import Figure

from helpers import example, ols
from linnet import figures
from linnet.block import InputError
from linnet.design import Design, Feature

SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


def axes_of(figure: Figure) -> Axes:
    figure.canvas.draw()  # anything that cannot be drawn fails here
    (axes,) = figure.axes
    return axes


def line(n: int = 40) -> tuple[Any, Any]:
    random = np.random.default_rng(3)
    x = random.standard_normal(n) * 2 + 10
    return x[:, None], 3 + 0.5 * x + random.standard_normal(n)


def band(axes: Axes) -> Any:
    (found,) = (c for c in axes.collections if isinstance(c, FillBetweenPolyCollection))
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
    assert figures.POINTS / 2 <= len(shown) <= figures.POINTS
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
    bars: Any = axes.containers[0]
    shown = [i for i in order if identified[i]]
    np.testing.assert_allclose(np.asarray(bars.lines[0].get_xdata()), standard[shown])
    (intervals,) = bars.lines[2]
    drawn = np.array([segment[:, 0] for segment in intervals.get_segments()])
    factor = (fit.scale / fit.target_scale)[shown, None]
    np.testing.assert_allclose(drawn, fit.interval()[1:][shown] * factor)
    hollow = next(a for a in axes.get_lines() if a.get_markerfacecolor() == "white")
    np.testing.assert_allclose(np.asarray(hollow.get_xdata()), standard[[2]])
    assert "hollow: cannot be told from the others" in figure.get_supxlabel()


def test_thirty_weights_then_a_count() -> None:
    figure = figures.plot(example(34, n=200))
    assert len(axes_of(figure).get_yticks()) == 30
    assert "4 smaller weights not shown" in figure.get_supxlabel()


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


@pytest.mark.parametrize("suffix", sorted(SIGNATURES))
def test_format_by_suffix_and_the_same_bytes_each_time(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{i}{s}" for i, s in enumerate([suffix, suffix.upper()])]
    for path in paths:
        figures.save(figures.plot(example(2)), path)
        assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"f\.gif: the ending .* \.pdf, \.png, \.svg"):
        figures.save(figures.plot(example(2)), tmp_path / "f.gif")
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_loaded() -> None:
    code = (
        "import sys\nfrom helpers import example\nfrom linnet import figures\nfigures.plot(example(2)).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parent)
