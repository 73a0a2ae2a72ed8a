"""What is not known of a predicted row is not told as if it were."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import linnet
from linnet import cli
from linnet.inference import t_quantile
from rational import invert

Floats = NDArray[np.float64]
RNG = np.random.default_rng(6)
N = 80
WHOLE = pd.DataFrame(RNG.integers(-9, 10, (N, 2)).astype(float), columns=["x", "z"]).assign(
    kind=RNG.choice(["p", "q", "r"], N), y=lambda t: 10 * t.x + t.z + 0.1 * RNG.standard_normal(N)
)
GAPS = pd.DataFrame({"x": [1.0, np.nan, 2.0, np.nan], "z": [0.0, 0.0, np.nan, 1.0], "kind": ["p", "q", "r", "p"]})
SUMS = pd.DataFrame(RNG.integers(0, 9, (N, 2)).astype(float), columns=["a", "b"]).assign(
    total=lambda t: t.a + t.b, y=lambda t: t.a + RNG.standard_normal(N)
)
NEW = pd.DataFrame({"a": [1.0, 1.0, 3.0], "b": [1.0, 1.0, 1.0], "total": [2.0, 50.0, 5.0]})


def silently(fit: Any, data: Any, *more: Any) -> tuple[Floats, list[str]]:
    """What is predicted, and the warnings that come with it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predicted = fit.predict(data, *more)
    assert all(each.filename == __file__ for each in caught)  # the line that asked
    return predicted, [str(each.message) for each in caught]


@pytest.mark.parametrize("form", ["array", "frame", "csv", "parquet"])
@pytest.mark.parametrize("kind", ["prediction", "confidence"])
def test_no_interval_for_a_value_that_was_filled(tmp_path: Path, form: str, kind: str) -> None:
    fit: Any
    data: Any = GAPS[["x", "z"]]
    if form == "array":
        fit, data = linnet.fit(WHOLE[["x", "z"]].to_numpy(), WHOLE.y.to_numpy(), missing="mean"), data.to_numpy()
    else:
        fit = linnet.fit(WHOLE, "y", features=["x", "z"], missing="mean")
    if form in ("csv", "parquet"):
        data = tmp_path / f"gaps.{form}"
        (GAPS.to_csv if form == "csv" else GAPS.to_parquet)(data, index=False)
    predicted, told = silently(fit, data, 0.95, kind)
    means = GAPS[["x", "z"]].fillna(WHOLE[["x", "z"]].mean()).to_numpy()
    np.testing.assert_allclose(predicted[:, 0], means @ fit.weights + fit.bias, rtol=1e-12)
    assert np.isnan(predicted[:, 1:]).all(axis=1).tolist() == [False, True, True, True]
    assert np.isfinite(predicted[0]).all()
    assert len(told) == 1
    assert told[0].startswith("3 rows lack a value")
    where = f"row 2 of '{data}'" if form in ("csv", "parquet") else "row 2"
    assert f"(the first in {where}, column '{'x1' if form == 'array' else 'x'}')" in told[0]
    assert silently(fit, data)[1][0].startswith("3 rows lack a value")


def test_a_level_that_was_filled_and_one_that_makes_no_feature() -> None:
    fit = linnet.fit(WHOLE, "y", missing="mean")
    predicted, told = silently(fit, GAPS.assign(x=1.0, z=0.0, kind=["p", "q", None, "r"]), 0.95)
    assert np.isnan(predicted[:, 1:]).any(axis=1).tolist() == [False, False, True, False]
    assert "1 row lacks a value" in told[0]
    assert "(the first in row 3, column 'kind')" in told[0]
    single = linnet.fit(WHOLE.assign(kind="p"), "y", missing="mean")  # one level is no feature at all
    assert silently(single, GAPS.assign(x=1.0, z=0.0, kind=None), 0.95)[1] == []


def test_a_row_like_those_dropped_is_not_predicted_though_no_feature_is_left() -> None:
    """One level makes no feature, so that all that is known of a row is that its level is missing."""
    table = pd.DataFrame({"kind": ["p", "p", None, "p"], "y": [1.0, 2.0, 9.0, 3.0]})
    for loss in ("squared", linnet.Quantile([0.25, 0.5])):
        fit: Any = linnet.fit(table, "y", missing="drop", loss=loss)
        predicted = silently(fit, table)[0]
        assert np.isnan(predicted[2]).all()
        assert np.isfinite(predicted[[0, 1, 3]]).all()
    ends = silently(linnet.fit(table, "y", missing="drop"), table, 0.9)[0]
    assert np.isnan(ends).all(axis=1).tolist() == [False, False, True, False]


def test_rows_are_counted_over_blocks_and_files(tmp_path: Path) -> None:
    fit = linnet.fit(WHOLE, "y", features=["x", "z"], missing="mean")
    many = pd.DataFrame({"x": np.where(np.arange(200_000) % 1000 == 999, np.nan, 1.0), "z": 0.0})
    assert silently(fit, many)[1][0].startswith("200 rows lack a value")
    WHOLE[["x", "z"]].to_csv(tmp_path / "1.csv", index=False)
    GAPS[["x", "z"]].to_csv(tmp_path / "2.csv", index=False)
    predicted, told = silently(fit, tmp_path, 0.95)
    assert predicted.shape == (N + 4, 3)
    assert told[0].startswith("3 rows lack a value")
    assert f"(the first in row 2 of '{tmp_path / '2.csv'}', column 'x')" in told[0]


def test_complete_rows_are_told_nothing() -> None:
    fit = linnet.fit(WHOLE, "y", missing="mean")
    assert silently(fit, WHOLE, 0.95)[1] == []
    assert silently(fit, WHOLE.iloc[:0], 0.95)[0].shape == (0, 3)
    dependent = linnet.fit(SUMS, "y")
    predicted, told = silently(dependent, SUMS, 0.95)
    assert told == []
    assert np.isfinite(predicted).all()


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_no_interval_off_a_dependency(solver: str) -> None:
    fit = linnet.fit(SUMS, "y", solver=linnet.SGD(epochs=5, tol=None) if solver == "sgd" else solver)
    for kind in ("prediction", "confidence"):
        predicted, told = silently(fit, NEW, 0.95, kind)
        np.testing.assert_allclose(predicted[:, 0], NEW.to_numpy() @ fit.weights + fit.bias, rtol=1e-9)
        assert np.isnan(predicted[:, 1:]).all(axis=1).tolist() == [False, True, True]
        (said,) = told
        assert said == (
            "2 rows leave a dependency that all fitted rows keep (the first in row 2, where `total` is 50 instead of "
            "2): the fit cannot tell what to predict there, and no interval is given"
        )


def test_a_row_that_keeps_it_has_the_interval_of_a_fit_without_the_column() -> None:
    fit, plain = linnet.fit(SUMS, "y"), linnet.fit(SUMS, "y", features=["a", "b"])
    np.testing.assert_allclose(fit.predict(SUMS, 0.9), plain.predict(SUMS, 0.9), rtol=1e-10)


def test_several_fits_tell_it_once() -> None:
    dependent = linnet.fit(SUMS, "y", loss=linnet.Quantile([0.25, 0.75]))
    predicted, told = silently(dependent, NEW)
    assert predicted.shape == (3, 2)
    assert np.isfinite(predicted).all()
    assert [text[:23] for text in told] == ["2 rows leave a dependen"]
    filled = linnet.fit(WHOLE, "y", missing="mean", loss=linnet.Quantile([0.25, 0.75]))
    assert [text[:19] for text in silently(filled, GAPS)[1]] == ["3 rows lack a value"]


def test_a_filled_row_is_not_said_to_leave_a_dependency_for_it() -> None:
    """The mean cannot keep to it; a value that was given, and does not, still leaves it."""
    names = ["a", "b", "total", "c", "double"]
    table = SUMS.assign(c=RNG.standard_normal(N), double=lambda t: 2 * t.c)
    rows = [
        [np.nan, 1.0, 2.0, 1.0, 2.0],
        [1.0, 1.0, np.nan, 1.0, 2.0],
        [1.0, 1.0, 2.0, np.nan, 2.0],
        [1.0, 1.0, 50.0, 1.0, 2.0],
    ]
    for form in ("frame", "array"):
        fit: Any = linnet.fit(table[[*names, "y"]], "y", missing="mean")
        data: Any = pd.DataFrame(rows, columns=names)
        if form == "array":
            fit, data = linnet.fit(table[names].to_numpy(), table.y.to_numpy(), missing="mean"), np.array(rows)
        predicted, (filled, left) = silently(fit, data, 0.95)
        assert np.isnan(predicted[:, 1:]).all()
        assert filled.startswith("3 rows lack a value")
        assert left.startswith("1 row leaves a dependency that all fitted rows keep (the first in row 4,")
        (only,) = silently(fit, data[:1], 0.95)[1]
        assert only.startswith("1 row lacks a value")
    fit = linnet.fit(table, "y", missing="mean")
    several = pd.DataFrame([[np.nan, 1, 2, 1, 5], [1, 1, 50, np.nan, 2], [np.nan, 1, 50, 1, 2]], columns=names)
    (filled, left) = silently(fit, several)[1]  # one dependency lacks a value, and the other is left all the same
    assert filled.startswith("3 rows lack a value")
    assert left.startswith("2 rows leave a dependency that all fitted rows keep (the first in row 1, where `double` is")
    assert "where `total` is 50 instead of 2)" in silently(fit, several[1:])[1][1]
    fit = linnet.fit(SUMS.assign(c=RNG.standard_normal(N)), "y", missing="mean")
    off = pd.DataFrame({"a": [1.0], "b": [1.0], "total": [50.0], "c": [np.nan]})  # for which no mean is to blame
    assert [text[:11] for text in silently(fit, off)[1]] == ["1 row lacks", "1 row leave"]


# --- Standard errors that are withheld --------------------------------------------------------------------------------

KINDS = WHOLE.assign(kind=["p", "q"] * (N // 2)).assign(kind=lambda t: t.kind.where(t.index != 58, "r"))
LONE: dict[str, Any] = {"squared": "hc3", "huber": "sandwich", "absolute": "nid"}


@pytest.mark.parametrize("form", ["frame", "csv"])
@pytest.mark.parametrize("loss", LONE)
def test_no_interval_where_a_standard_error_is_withheld(tmp_path: Path, loss: Any, form: str) -> None:
    """What is predicted of a level that one fitted row had moves with that row alone; other levels' rows do not."""
    fit = linnet.fit(KINDS, "y", loss=loss, errors=LONE[loss])
    data: Any = KINDS
    if form == "csv":
        data = tmp_path / "kinds.csv"
        KINDS.to_csv(data, index=False)
    predicted, told = silently(fit, data, 0.95, "confidence")
    np.testing.assert_array_equal(np.isnan(predicted[:, 1]), KINDS.kind == "r")
    np.testing.assert_array_equal(np.isnan(predicted[:, 2]), KINDS.kind == "r")
    where = "row 59" if form == "frame" else f"row 59 of '{data}'"
    (said,) = told
    assert said == (
        f"1 row depends on a weight whose standard error is withheld (the first in {where}): the notes of the fit say "
        "why, and no interval is given"
    )
    assert silently(fit, data)[1] == []  # the prediction itself is known as well as any


def test_a_base_level_of_one_row_is_withheld_likewise() -> None:
    base = KINDS.assign(kind=KINDS.kind.replace("r", "a"))
    predicted, told = silently(linnet.fit(base, "y", errors="hc1"), pd.concat([base, base[base.kind == "a"]]), 0.95)
    assert np.flatnonzero(np.isnan(predicted[:, 1])).tolist() == [58, N]
    assert [text[:13] for text in told] == ["2 rows depend"]


def test_each_row_is_counted_for_one_cause() -> None:
    fit = linnet.fit(KINDS.assign(twice=2 * KINDS.x), "y", errors="hc3", missing="mean")
    new = pd.DataFrame(
        {"x": [1.0, np.nan, 1.0, 1.0], "z": 0.0, "kind": ["r", "r", "r", "p"], "twice": [2.0, 2.0, 9.0, 2.0]}
    )
    predicted, told = silently(fit, new, 0.95)
    assert np.isnan(predicted[:, 1]).tolist() == [True, True, True, False]
    assert [text[:14] for text in told] == ["1 row lacks a ", "1 row leaves a", "1 row depends "]
    assert "row 1)" in told[2]


def test_rows_that_were_dropped_are_not_said_to_be_withheld() -> None:
    fit = linnet.fit(KINDS, "y", errors="hc3", missing="drop")
    predicted, told = silently(fit, KINDS.assign(x=np.nan), 0.95)
    assert np.isnan(predicted).all()
    assert told == []


def test_several_fits_say_which_withholds() -> None:
    each = [linnet.fit(KINDS, "y", errors=errors) for errors in ("classical", "hc3", "hc1")]
    predicted, told = silently(linnet.Fits(tuple(each), ("a", "b", "c")), KINDS, 0.95)
    np.testing.assert_array_equal(np.isnan(predicted[58]), [[0, 0, 0], [0, 1, 1], [0, 1, 1]])
    assert len(told) == 1
    assert told[0].startswith("1 row depends on a weight")
    assert "(the first in row 59, of the fit 'b')" in told[0]


def test_scikit_learns_face_gives_numbers_only() -> None:
    model = linnet.LinearRegressor().fit(SUMS[["a", "b", "total"]], SUMS.y)
    predicted, told = silently(model, NEW)
    assert told == []
    assert np.isfinite(predicted).all()


def test_a_saved_model_tells_the_same(tmp_path: Path) -> None:
    for fit, data in ((linnet.fit(SUMS, "y"), NEW), (linnet.fit(WHOLE, "y", missing="mean"), GAPS)):
        fit.save(tmp_path / "m.json")
        again, told = silently(linnet.load(tmp_path / "m.json"), data, 0.95)
        first, expected = silently(fit, data, 0.95)
        np.testing.assert_array_equal(again, first)
        assert told == expected


def test_figures_of_a_constant_feature_are_drawn() -> None:
    linnet.fit(np.ones((9, 1)), np.arange(9.0)).plot().canvas.draw()


@pytest.mark.parametrize("quiet", [False, True])
def test_the_command_line_tells_it_and_writes_every_row(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], quiet: bool
) -> None:
    model, data, out = (str(tmp_path / name) for name in ("m.json", "new.csv", "out.csv"))
    told = (
        (linnet.fit(SUMS, "y"), NEW, "Note: 2 rows leave a dependency", [0, 1, 1]),
        (linnet.fit(WHOLE, "y", missing="mean"), GAPS, "Note: 3 rows lack a value", [0, 1, 1, 1]),
        (linnet.fit(KINDS, "y", errors="hc3"), KINDS[57:59], "Note: 1 row depends on a weight", [0, 1]),
    )
    for fit, table, said, unknown in told:
        fit.save(model)
        table.to_csv(data, index=False)
        capfd.readouterr()
        assert cli.main(["predict", model, data, "--interval", "0.95", "-o", out, *["--quiet"][: int(quiet)]]) == 0
        err = capfd.readouterr().err
        assert err.startswith(said) != quiet
        assert quiet == (f"row 2 of '{data}'" not in err)
        written = pd.read_csv(out)
        assert written.prediction.notna().all()
        assert written.low.isna().tolist() == written.high.isna().tolist() == [bool(each) for each in unknown]


# --- Row weights ------------------------------------------------------------------------------------------------------

WEIGHT = np.r_[RNG.uniform(0.2, 3.0, N - 1), 0.0]


@pytest.mark.parametrize("solver", ["exact", "sgd"])
@pytest.mark.parametrize("size", [100.0, 1e-30, 2.0**100])
def test_the_overall_size_of_weights_does_not_matter(size: float, solver: Any) -> None:
    X, y = WHOLE[["x", "z"]].to_numpy(), WHOLE.y.to_numpy()
    if solver == "sgd":
        solver = linnet.SGD(epochs=3, tol=None, lr=0.01)
    one, other = (linnet.fit(X, y, weight=WEIGHT * by, solver=solver) for by in (1.0, size))
    np.testing.assert_allclose(other.predict(X, 0.95), one.predict(X, 0.95), rtol=1e-9)


def test_a_new_row_has_the_mean_weight() -> None:
    """Against exact arithmetic: its variance is s²·(1/w̄ + xᵀ(XᵀWX)⁻¹x), where rows of weight 0 do not count in w̄."""
    X, y = WHOLE[["x", "z"]].to_numpy(), WHOLE.y.to_numpy()
    fit = linnet.fit(X, y, weight=WEIGHT)
    w = [Fraction(v) for v in WEIGHT]
    rows = [[Fraction(1), *map(Fraction, row)] for row in X]
    gram = [
        [sum((v * r[i] * r[j] for v, r in zip(w, rows, strict=True)), Fraction(0)) for j in range(3)] for i in range(3)
    ]
    inverse = invert(gram)
    new = rows[3]
    spread = sum(new[i] * inverse[i][j] * new[j] for i in range(3) for j in range(3))
    mean = sum(w, Fraction(0)) / (N - 1)
    half = t_quantile(0.95, N - 4) * fit.residual_sd * math.sqrt(1 / mean + spread)
    value, low, high = fit.predict(X[3:4], 0.95)[0]
    np.testing.assert_allclose([value - low, high - value], half, rtol=1e-12)
    assert fit.mean_weight == pytest.approx(float(mean), rel=1e-15)


def test_without_weights_a_new_row_has_weight_1() -> None:
    fit = linnet.fit(WHOLE, "y")
    assert fit.mean_weight == 1.0
    ones = linnet.fit(WHOLE.assign(w=1.0), "y", weight="w")
    np.testing.assert_array_equal(fit.predict(WHOLE, 0.95), ones.predict(WHOLE, 0.95))
