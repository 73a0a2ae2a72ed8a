"""fit(): its options, its statuses and notes, and what a Fit does afterwards."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import Block, InputError
from linnet.fitting import fit_quantiles, fit_source
from linnet.solvers import frame
from linnet.solvers.solver import Step
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
N = 60


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[Floats, Floats]:
    X = rng.standard_normal((N, 3)) + np.array([0.0, 2.0, -5.0])
    return X, X @ [1.0, -2.0, 0.5] + 3 + 0.1 * rng.standard_normal(N)


def test_what_a_fit_says_of_itself(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(X, y)
    residual = y - fit.predict(X)
    assert fit.names == ("x1", "x2", "x3")
    assert (fit.n, fit.n_dropped, fit.df_residual, fit.passes) == (N, 0, N - 4, 1)
    assert (fit.target, fit.loss, fit.solver, fit.precision, fit.errors, fit.l2) == (
        "y", "squared", "exact", "exact", "classical", 0.0,
    )  # fmt: skip
    assert fit.status is linnet.Status.SOLVED
    assert fit.status.converged
    assert fit.notes == ()
    assert fit.objective == pytest.approx(residual @ residual / N / 2, rel=1e-10)
    assert fit.residual_sd == pytest.approx(np.sqrt(residual @ residual / (N - 4)), rel=1e-10)
    assert fit.r2 == pytest.approx(1 - residual.var() / y.var(), rel=1e-10)
    assert fit.centre == pytest.approx(X.mean(0), rel=1e-14)
    assert fit.centre_value == pytest.approx(y.mean(), rel=1e-14)
    assert fit.scale == pytest.approx(X.std(0), rel=1e-13)
    assert fit.target_scale == pytest.approx(y.std(), rel=1e-13)
    assert fit.interval(0.9).shape == (4, 2)
    assert np.array_equal(fit.coefficients, np.r_[fit.bias, fit.weights])
    assert fit.covariance.diagonal() == pytest.approx(np.r_[fit.bias_std_error, fit.std_errors] ** 2, rel=1e-12)
    assert len(fit.history) == 1
    assert "SOLVED" in repr(fit)


def test_without_an_intercept(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(X, y, intercept=False)
    assert (fit.bias, fit.bias_std_error, fit.intercept, fit.df_residual) == (0.0, 0.0, False, N - 3)
    assert fit.weights == pytest.approx(np.linalg.lstsq(X, y)[0], rel=1e-11)
    assert fit.predict(np.zeros((1, 3)))[0] == 0.0
    assert "intercept  " not in str(fit)
    assert [record["name"] for record in fit.to_dict()["weights"]] == ["x1", "x2", "x3"]


def test_a_feature_named_as_the_intercept(table: tuple[Floats, Floats]) -> None:
    X, y = table
    frame = pd.DataFrame({"intercept": 1.0, "x": X[:, 0], "y": y})
    losses: list[Any] = ["squared", linnet.Quantile([0.25, 0.75])]
    for loss in losses:
        with pytest.raises(InputError, match=r"feature is named 'intercept'.*intercept=False"):
            linnet.fit(frame, "y", loss=loss)
    fit = linnet.fit(frame, "y", intercept=False)
    assert [record["name"] for record in fit.to_dict()["weights"]] == ["intercept", "x"]
    assert fit.weights == pytest.approx(linnet.fit(frame[["x", "y"]], "y").coefficients, rel=1e-12)


def test_errors_none(table: tuple[Floats, Floats]) -> None:
    fit = linnet.fit(*table, errors="none")
    assert np.isnan(fit.std_errors).all()
    assert np.isnan(fit.bias_std_error)
    assert np.isnan(fit.p_values).all()
    assert np.isnan(fit.covariance).all()
    with pytest.raises(InputError, match="no standard errors"):
        fit.predict(table[0], interval=0.95)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"errors": "white"}, "errors must be one of auto, classical, hc0, hc1, hc2, hc3"),
        ({"errors": None}, "errors must be one of"),
        ({"errors": []}, "errors must be one of"),
        ({"loss": "cubed"}, "no loss 'cubed': choose from squared"),
        ({"loss": None}, "no loss None"),
        ({"loss": []}, "loss"),
        ({"solver": "lstsq"}, "no solver 'lstsq': choose from auto, exact"),
        ({"solver": 3}, "no solver 3"),
        ({"solver": {}}, "solver"),
        ({"precision": "double"}, 'precision must be "auto", "float64" or "exact"'),
        ({"precision": 64}, "precision must be"),
        ({"missing": "zero"}, 'missing= must be "error", "drop" or "mean"'),
        ({"missing": True}, "missing= must be"),
        ({"l2": -1}, "l2 must be a finite number at least 0, but is -1"),
        ({"l2": math.nan}, "l2 must be a finite number"),
        ({"l2": math.inf}, "l2 must be a finite number"),
        ({"l2": "much"}, "l2 must be a finite number"),
        ({"l2": None}, "l2 must be a finite number"),
        ({"l2": [1.0]}, "l2 must be a finite number"),
        ({"intercept": "no"}, "intercept"),
        ({"weight": "w"}, "names a column, but an array has none"),
        ({"features": ["x1"]}, "names columns, but an array has none"),
    ],
)
def test_wrong_options_are_refused(table: tuple[Floats, Floats], option: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        linnet.fit(*table, **option)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("level", [0, 1, -0.5, 2, 95, math.nan, math.inf, "0.95", [0.9]])
def test_levels_out_of_range(table: tuple[Floats, Floats], level: Any) -> None:
    fit = linnet.fit(*table)
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        fit.interval(level)
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        fit.predict(table[0], interval=level)


def test_predicting(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(X, y)
    value = fit.predict(X[:5])
    assert value == pytest.approx(X[:5] @ fit.weights + fit.bias, rel=1e-13)
    both = fit.predict(X[:5], interval=0.9)
    assert both.shape == (5, 3)
    assert np.array_equal(both[:, 0], value)
    assert (both[:, 1] < value).all()
    assert (both[:, 2] > value).all()
    narrow = fit.predict(X[:5], interval=0.9, kind="confidence")
    assert (narrow[:, 2] < both[:, 2]).all()
    assert fit.predict(X[:0]).shape == (0,)
    assert fit.predict(X[:0], interval=0.9).shape == (0, 3)
    assert fit.predict(X[:5].tolist()) == pytest.approx(value, rel=1e-15)
    with pytest.raises(InputError, match='kind is "prediction" or "confidence"'):
        fit.predict(X, interval=0.9, kind="both")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="X has 2 columns, but the model was fitted on 3"):
        fit.predict(X[:, :2])


def test_prediction_intervals_cover(rng: np.random.Generator) -> None:
    """About 90 of 100 new observations lie within their 90 % intervals."""
    X = rng.standard_normal((4000, 2))
    y = X @ [1.0, 2.0] + rng.standard_normal(4000)
    fit = linnet.fit(X[:40], y[:40])
    _, low, high = fit.predict(X[40:], interval=0.9).T
    assert 0.85 < np.mean((low < y[40:]) & (y[40:] < high)) < 0.95


@pytest.mark.parametrize("missing", ["drop", "mean"])
def test_missing_values(table: tuple[Floats, Floats], missing: Any) -> None:
    X, y = table[0].copy(), table[1].copy()
    X[3, 1] = X[8, 0] = X[8, 2] = y[20] = np.nan
    fit = linnet.fit(X, y, missing=missing)
    gone = [3, 8, 20] if missing == "drop" else [20]
    Z = np.delete(np.where(np.isnan(X), np.nanmean(np.delete(X, 20, 0), axis=0), X), gone, 0)
    want = linnet.fit(Z, np.delete(y, gone))
    assert (fit.n, fit.n_dropped) == (N - len(gone), len(gone))
    np.testing.assert_allclose(fit.weights, want.weights, rtol=1e-12)
    np.testing.assert_allclose(fit.std_errors, want.std_errors, rtol=1e-12)
    assert fit.n_filled == ({"x1": 1, "x2": 1, "x3": 1} if missing == "mean" else {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that values were filled
        predicted = fit.predict(X[:10], interval=0.9)
    assert np.isnan(predicted[[3, 8], 1:]).all()
    assert np.isnan(predicted[[3, 8], 0]).all() == (missing == "drop")
    assert np.isfinite(np.delete(predicted, [3, 8], 0)).all()


@pytest.mark.parametrize("form", ["array", "frame", "csv"])
@pytest.mark.parametrize("settings", [{}, {"solver": "sgd"}, {"loss": "huber"}, {"errors": "none"}], ids=str)
def test_what_was_filled_is_told(tmp_path: Path, form: str, settings: dict[str, Any]) -> None:
    """Of each column in use, once, however often the rows are read; not of rows that are not used."""
    rng = np.random.default_rng(8)
    names = ["x1", "x2", "x3"]
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(200)
    X[:120, 0] = X[7, 2] = np.nan
    y[:5] = np.nan
    weight = np.where(np.arange(200) < 10, 0.0, 1.0)
    weight[199] = 2.0
    data: Any = pd.DataFrame(X, columns=names).assign(y=y, w=weight)
    if form == "csv":
        data.to_csv(tmp_path / "t.csv", index=False)
        data = tmp_path / "t.csv"
    how = {"missing": "mean", **settings}
    fit = linnet.fit(X, y, weight=weight, **how) if form == "array" else linnet.fit(data, "y", weight="w", **how)
    assert fit.n_filled == {"x1": 110}  # the gap of x3 is in a row of weight 0
    assert fit.n_dropped == 5
    assert fit.to_dict()["n_filled"] == {"x1": 110}
    assert fit.n_weightless == fit.to_dict()["n_weightless"] == 5  # of the ten, half are dropped already
    said = " ".join(str(fit).split())
    assert "190 rows, 5 dropped for missing values, 5 of weight 0, 110 missing values filled with" in said
    taker = "the fit takes" if "errors" in settings else "standard errors take"
    assert f"110 values of `x1` were filled with its mean: {taker} them as observed" in fit.notes


@pytest.mark.parametrize("missing", ["error", "drop", "mean"])
def test_where_nothing_was_filled_nothing_is_told(table: tuple[Floats, Floats], missing: Any) -> None:
    fit = linnet.fit(*table, missing=missing)
    assert fit.n_filled == {}
    assert fit.notes == ()
    assert "filled" not in str(fit)


def test_what_was_filled_in_many_columns_stays_short() -> None:
    X = np.random.default_rng(9).standard_normal((50, 8))
    np.fill_diagonal(X, np.nan)
    X[20:22, 1] = np.nan
    fit = linnet.fit(X, np.arange(50.0), missing="mean")
    (note,) = fit.notes
    assert note == (
        "1 value of `x1`, 3 values of `x2`, 1 value of `x3`, 1 value of `x4`, 1 value of `x5` and 3 of 3 more columns "
        "were filled with the column's mean: standard errors take them as observed"
    )


def test_predictions_hold_for_rows_that_keep_the_dependency(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(np.column_stack([X, X[:, 0]]), y)
    assert "predictions hold for rows that keep the dependency" in fit.status.text


def test_progress_changes_nothing(table: tuple[Floats, Floats], capsys: pytest.CaptureFixture[str]) -> None:
    quiet = linnet.fit(*table, progress=False)
    assert capsys.readouterr().err == ""
    shown = linnet.fit(*table, progress=True)
    assert "60 of 60 rows" in capsys.readouterr().err
    steps: list[Step] = []
    told = linnet.fit(*table, progress=steps.append)
    assert [step.rows for step in steps] == [N, N]
    assert steps[-1].weights is not None
    for fit in (shown, told):
        assert fit.weights.tobytes() == quiet.weights.tobytes()
        assert fit.std_errors.tobytes() == quiet.std_errors.tobytes()
        assert fit.history == quiet.history


class Counted(ArraySource):
    """Counts how often reading the rows is begun; like a file, it does not hold them as they are."""

    reads = 0

    def held(self) -> Block | None:
        return None

    def blocks(self) -> Iterator[Block]:
        self.reads += 1
        yield from super().blocks()


@pytest.mark.parametrize("solver", ["auto", linnet.SGD(epochs=3, tol=None)], ids=["auto", "sgd"])
@pytest.mark.parametrize(
    ("loss", "errors"),
    [
        *(("squared", errors) for errors in ("classical", "hc3", "none")),
        *(("absolute", errors) for errors in ("nid", "iid", "none")),
        *(("huber", errors) for errors in ("sandwich", "iid", "none")),
    ],
)
def test_passes_are_how_often_the_rows_were_read(
    loss: str, errors: Any, solver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the weights, for their optimum where they were learned, for the errors; an epoch is a pass too."""
    monkeypatch.setattr(frame, "SAMPLE", 4000)
    monkeypatch.setattr(frame, "DIRECT", 500)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((3000, 2))
    source = Counted(X, X @ [1.0, 2.0] + rng.standard_t(3, 3000))
    fit, _ = fit_source(source, loss=loss, solver=solver, errors=errors)
    assert fit.passes == source.reads + (2 if fit.solver == "sgd" else 0)


def test_perfect(rng: np.random.Generator) -> None:
    X = rng.integers(-9, 9, (20, 2)).astype(float)
    fit = linnet.fit(X, X @ [2.0, -3.0] + 1)
    assert fit.status is linnet.Status.PERFECT
    assert fit.weights.tolist() == [2.0, -3.0]
    assert (fit.bias, fit.r2, fit.residual_sd, fit.objective) == (1.0, 1.0, 0.0, 0.0)
    assert fit.std_errors.tolist() == [0.0, 0.0]
    assert (fit.f_statistic, fit.f_p_value) == (math.inf, 0.0)
    assert fit.predict(X[:1], interval=0.9).tolist() == [[2 * X[0, 0] - 3 * X[0, 1] + 1] * 3]


@pytest.mark.parametrize("decimals", [1, 2, 6])
def test_perfect_but_for_the_rounding_of_decimals(rng: np.random.Generator, decimals: int) -> None:
    """0.1 is no binary number, nor is what it adds up to: that is no noise."""
    X = np.round(rng.standard_normal((40, 3)), decimals)
    fit = linnet.fit(X, X @ [0.1, 0.2, 0.3] + 0.7)
    assert (fit.status, fit.residual_sd, fit.r2) == (linnet.Status.PERFECT, 0.0, 1.0)
    assert [fit.bias_std_error, *fit.std_errors] == [0.0] * 4
    assert fit.coefficients == pytest.approx([0.7, 0.1, 0.2, 0.3], rel=1e-13)


@pytest.mark.parametrize(
    ("loss", "errors"),
    [
        *(("squared", errors) for errors in ("hc0", "hc1", "hc2", "hc3", "bootstrap")),
        *(("huber", errors) for errors in ("sandwich", "iid", "bootstrap")),
        ("absolute", "bootstrap"),
    ],
)
@pytest.mark.parametrize("rows", [9, 40])
def test_a_perfect_fit_is_beyond_chance_by_any_errors(
    rng: np.random.Generator, rows: int, loss: str, errors: Any
) -> None:
    """Each error is 0, and so is the chance of such a fit; residuals that are only rounding are none."""
    x = np.arange(-4.0, 5.0)
    fit = linnet.fit(x[:, None], 2 * x, loss=loss, errors=errors)
    assert (fit.std_errors.tolist(), fit.f_statistic, fit.f_p_value) == ([0.0], math.inf, 0.0)
    X = rng.integers(-5, 6, (rows, 2)).astype(float)
    fit = linnet.fit(X, X @ [3.0, 4.0] + 1.0, loss=loss, errors=errors)
    assert fit.status is linnet.Status.PERFECT
    assert (fit.std_errors.tolist(), fit.f_statistic, fit.f_p_value) == ([0.0, 0.0], math.inf, 0.0)


def test_a_perfect_fit_has_no_p_values() -> None:
    """An intercept of 0 that rounding left at 4e-32 was significant."""
    x = np.arange(8.0)
    fit = linnet.fit(x[:, None], 2 * x)
    assert fit.status is linnet.Status.PERFECT
    assert np.isnan(fit.t_values).all()
    assert np.isnan(fit.p_values).all()
    assert fit.f_p_value == 0.0
    assert "<0.001" not in str(fit).partition("F ")[0]


def test_saturated(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    fit = linnet.fit(X, y)
    assert fit.status is linnet.Status.SATURATED
    assert fit.df_residual == 0
    assert np.isnan([fit.residual_sd, fit.adjusted_r2, fit.f_statistic, fit.bias_std_error]).all()
    assert fit.predict(X) == pytest.approx(y, rel=1e-10)
    assert "nothing to estimate standard errors from" in " ".join(str(fit).split())


def test_dependencies_by_name(table: tuple[Floats, Floats]) -> None:
    X, y = table
    a, b, c = X.T
    fit = linnet.fit(np.column_stack([a, b, 2 * a + 3, c, np.full(N, 7.0)]), y)
    assert fit.status is linnet.Status.RANK_DEFICIENT
    assert fit.notes[0] == "`x3` = 2·`x1` + 3: not separately identifiable"
    assert fit.notes[1].startswith("`x5` is constant (7): it cannot be told from the intercept")
    assert fit.identified.tolist() == [False, True, False, True, False]
    weighted = linnet.fit(np.column_stack([a, b, 2 * a + 3]), y, weight=np.linspace(0.1, 2, N))
    assert weighted.notes == ("`x3` = 2·`x1` + 3: not separately identifiable",)
    assert not weighted.bias_identified
    for bias in (True, False):
        zeros = linnet.fit(np.column_stack([a, np.zeros(N)]), y, intercept=bias)
        assert "`x2` is constant (0)" in zeros.notes[0] if bias else "`x2` is 0 throughout" in zeros.notes[0]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda X: 2 * X[:, 0] - 3, "2·`x1` - 3"),
        (lambda X: 5 - X[:, 0] - 0.5 * X[:, 1], "-`x1` - 0.5·`x2` + 5"),
        (lambda X: X[:, :6] @ [1, -1, 2, 1, 1, -3], "`x1` - `x2` + 2·`x3` + `x4` + `x5` - 3·`x6`"),
        (lambda X: X.sum(axis=1) - 1, "`x1` + `x2` + `x3` + `x4` + `x5` + `x6` + 2 more terms - 1"),
    ],
)
def test_a_dependency_is_spelled_out(rng: np.random.Generator, made: Any, said: str) -> None:
    X = rng.integers(-9, 10, (N, 8)).astype(float)
    fit = linnet.fit(np.column_stack([X, made(X)]), rng.standard_normal(N))
    assert fit.notes == (f"`x9` = {said}: not separately identifiable",)


def test_many_dependencies_are_counted(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(np.column_stack([X[:, 0]] * 12), y)
    assert len(fit.notes) == 6
    assert fit.notes[-1] == "and 6 more columns are not separately identifiable"
    assert fit.weights == pytest.approx([fit.weights[0]] * 12, rel=1e-10)


@pytest.mark.parametrize("errors", ["classical", "hc0", "hc3"])
@pytest.mark.parametrize("weighted", [False, True])
def test_errors_beside_a_dependency(table: tuple[Floats, Floats], errors: Any, weighted: bool) -> None:
    """NaN for the weights concerned, for the others as without the duplicate; predictions and intervals hold."""
    X, y = table
    w = np.linspace(0.2, 3, N) if weighted else None
    D = np.column_stack([X, 2 * X[:, 0] + 3])
    fit, plain = linnet.fit(D, y, weight=w, errors=errors), linnet.fit(X, y, weight=w, errors=errors)
    assert fit.identified.tolist() == [False, True, True, False]
    assert np.isnan(fit.std_errors[[0, 3]]).all()
    assert np.isnan(fit.bias_std_error)
    np.testing.assert_allclose(fit.std_errors[[1, 2]], plain.std_errors[[1, 2]], rtol=1e-9)
    np.testing.assert_allclose(fit.weights[[1, 2]], plain.weights[[1, 2]], rtol=1e-9)
    np.testing.assert_allclose(fit.interval()[2:4], plain.interval()[2:4], rtol=1e-9)
    for kind in ("prediction", "confidence"):
        np.testing.assert_allclose(
            fit.predict(D, interval=0.9, kind=kind),
            plain.predict(X, interval=0.9, kind=kind),
            rtol=1e-9,
        )
    statistics = [fit.r2, fit.adjusted_r2, fit.residual_sd, fit.f_statistic, fit.objective]
    np.testing.assert_allclose(
        statistics, [plain.r2, plain.adjusted_r2, plain.residual_sd, plain.f_statistic, plain.objective], rtol=1e-9
    )


def test_a_duplicate_without_constant_leaves_the_bias_its_error(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit, plain = linnet.fit(np.column_stack([X, 2 * X[:, 0]]), y), linnet.fit(X, y)
    assert fit.bias == pytest.approx(plain.bias, rel=1e-10)
    assert fit.bias_std_error == pytest.approx(plain.bias_std_error, rel=1e-9)


def test_the_indicator_trap(rng: np.random.Generator) -> None:
    """All levels of a category beside an intercept: no level's weight is certain, differences and predictions are."""
    group, x = np.arange(N) % 3, rng.standard_normal(N)
    levels = (group[:, None] == np.arange(3)).astype(float)
    y = np.array([1.0, 4.0, -2.0])[group] + 0.5 * x + 0.1 * rng.standard_normal(N)
    fit = linnet.fit(np.column_stack([levels, x]), y)
    plain = linnet.fit(np.column_stack([levels[:, 1:], x]), y)
    assert fit.status is linnet.Status.RANK_DEFICIENT
    assert fit.notes == ("`x3` = -`x1` - `x2` + 1: not separately identifiable",)
    assert fit.identified.tolist() == [False, False, False, True]
    assert np.diff(fit.weights[:3])[1] == pytest.approx(np.diff(plain.weights[:2])[0], rel=1e-9)
    assert fit.std_errors[3] == pytest.approx(plain.std_errors[2], rel=1e-9)
    assert np.isnan(fit.bias_std_error)
    np.testing.assert_allclose(
        fit.predict(np.column_stack([levels, x]), interval=0.9),
        plain.predict(np.column_stack([levels[:, 1:], x]), interval=0.9),
        rtol=1e-9,
    )


def test_ridge_says_what_its_errors_are(table: tuple[Floats, Floats]) -> None:
    X, y = table
    fit = linnet.fit(X, y, l2=0.5)
    Z, t = X - X.mean(0), y - y.mean()
    want = np.linalg.solve(Z.T @ Z + 0.5 * N * np.eye(3), Z.T @ t)
    np.testing.assert_allclose(fit.weights, want, rtol=1e-12)
    assert fit.bias == pytest.approx(y.mean() - X.mean(0) @ want, rel=1e-12)
    assert any("l2 pulls the weights towards 0" in note for note in fit.notes)
    assert np.isnan(fit.f_statistic)
    hat = np.trace(Z @ np.linalg.solve(Z.T @ Z + 0.5 * N * np.eye(3), Z.T))
    assert fit.df_residual == pytest.approx(N - 1 - hat, rel=1e-12)
    huge = linnet.fit(X, y, l2=1e12)
    assert np.abs(huge.weights).max() < 1e-9
    assert huge.bias == pytest.approx(y.mean(), rel=1e-9)


SAVED: dict[str, dict[str, Any]] = {
    "plain": {},
    "hc3": {"errors": "hc3"},
    "none": {"errors": "none"},
    "ridge": {"l2": 0.3},
    "no intercept": {"intercept": False},
    "weights": {"weight": np.linspace(0, 2, N)},
    "mean": {"missing": "mean"},
    "drop": {"missing": "drop"},
    "float64": {"precision": "float64"},
}


@pytest.mark.filterwarnings("ignore:.* a value, for which")
@pytest.mark.parametrize("name", [*SAVED, "deficient", "perfect", "saturated", "1e300", "constant target", "one row"])
def test_saved_and_loaded(table: tuple[Floats, Floats], name: str, tmp_path: Path) -> None:
    X, y = table
    if name == "deficient":
        X = np.column_stack([X, 2 * X[:, 0] + 3, np.full(N, 7.0)])
    elif name == "perfect":
        X = np.round(X)
        y = X.sum(axis=1)
    elif name == "saturated":
        X, y = X[:4], y[:4]
    elif name == "one row":
        X, y = X[:1], y[:1]
    elif name == "1e300":
        X, y = X * [1e300, 1.0, 1e-300], y * 1e5
    elif name == "constant target":
        y = np.full(N, 2.0)
    elif name in ("mean", "drop"):
        X = np.where(X > 2.5, np.nan, X)
    fit = linnet.fit(X, y, **SAVED.get(name, {}))
    fit.save(tmp_path / "model.json")
    again = linnet.load(tmp_path / "model.json", linnet.Fit)
    assert str(again) == str(fit)
    assert again.to_dict() == fit.to_dict()
    assert again.status is fit.status
    assert again.predict(X).tobytes() == fit.predict(X).tobytes()
    if fit.uncertainty is not None:
        assert again.predict(X, interval=0.9).tobytes() == fit.predict(X, interval=0.9).tobytes()
        assert again.interval(0.8).tobytes() == fit.interval(0.8).tobytes()


@pytest.mark.parametrize("solver", ["sgd", linnet.SGD(), linnet.Exact()], ids=["sgd", "SGD()", "Exact()"])
def test_precision_of_another_solver_is_refused(solver: Any) -> None:
    X, y = np.eye(4), np.arange(4.0)
    with pytest.raises(InputError, match='leave it out, or use solver="exact"'):
        linnet.fit(X, y, solver=solver, precision="exact")
    with pytest.raises(InputError, match="which is for squared loss: leave it out"):
        linnet.fit(X, y, loss="absolute", precision="exact")
    linnet.fit(X, y, solver=solver)  # what was advised does work
    assert linnet.fit(X, y, solver="exact", precision="exact").precision == "exact"
    assert linnet.fit(X, y, solver=linnet.Exact(precision="exact")).precision == "exact"


def test_the_remedies_for_sums_out_of_range_work(table: tuple[Floats, Floats]) -> None:
    X, y = table
    usual = linnet.fit(X, y)
    for solver in ("sgd", linnet.Exact(precision="float64")):
        with pytest.raises(InputError, match=r"rescale the columns or.*use solver=\"exact\" with precision=\"exact\""):
            linnet.fit(X * 1e160, y, solver=solver)
    exact = linnet.fit(X * 1e160, y, solver="exact", precision="exact")
    np.testing.assert_allclose(exact.weights * 1e160, usual.weights, rtol=1e-12)
    rescaled = linnet.fit(X * 1e100, y, solver="sgd")
    assert rescaled.exact is not None
    np.testing.assert_allclose(rescaled.exact, np.r_[usual.bias, usual.weights * 1e-100])


class Unread(ArraySource):
    """Rows that nobody may read."""

    def blocks(self) -> Any:
        raise AssertionError("the rows were read")

    def held(self) -> Any:
        raise AssertionError("the rows were read")


def test_a_checkpoint_for_several_runs_is_refused_before_rows_are_read(
    table: tuple[Floats, Floats], tmp_path: Path
) -> None:
    source, solver = Unread(*table), linnet.SGD(checkpoint=tmp_path / "run")
    with pytest.raises(InputError, match="the bootstrap runs the solver many times: leave the checkpoint out"):
        fit_source(source, solver=solver, errors="bootstrap")
    with pytest.raises(InputError, match="each quantile is a run of its own"):
        fit_quantiles(source, linnet.Quantile([0.1, 0.5]), solver=solver)
    with pytest.raises(AssertionError, match="the rows were read"):
        fit_source(source, solver=solver, errors="hc3")


def test_beside_a_checkpoint_other_losses_are_fitted_again_by_their_own_solver(
    table: tuple[Floats, Floats], tmp_path: Path
) -> None:
    X, y = table
    learner = linnet.SGD(epochs=2, checkpoint=tmp_path / "run")
    learned = linnet.fit(X, y, loss="absolute", errors="bootstrap", solver=learner)
    solved = linnet.fit(X, y, loss="absolute", errors="bootstrap")
    np.testing.assert_array_equal(learned.std_errors, solved.std_errors)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_an_interrupted_run_over_files_is_not_followed_by_a_bootstrap(
    table: tuple[Floats, Floats], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """Somebody wants an end, and not 200 more runs."""

    def stop(step: Step) -> None:
        if step.epoch == 2:
            raise KeyboardInterrupt

    X, y = table
    np.savetxt(tmp_path / "t.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,y", comments="")
    monkeypatch.setattr("linnet.bootstrap.bootstrap", lambda *_: pytest.fail("the rows were fitted again"))
    solver = linnet.SGD(lr=0.01, epochs=5, tol=None, checkpoint=None if loss == "squared" else tmp_path / "run")
    fit = linnet.fit(tmp_path / "t.csv", "y", loss=loss, solver=solver, errors="bootstrap", progress=stop)
    assert fit.status is linnet.Status.INTERRUPTED
    assert np.isnan(fit.std_errors).all()
