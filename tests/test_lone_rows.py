from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

import linnet

Floats = NDArray[np.float64]
TEAMS = np.array(["a"] * 40 + ["b"] * 40 + ["c"])
ROBUST: list[dict[str, Any]] = [
    {"errors": "hc0"},
    {"errors": "hc1"},
    {"errors": "hc2"},
    {"errors": "hc3"},
    {"errors": "bootstrap"},
    {"loss": "huber"},
    {"loss": linnet.Huber(k=1.345)},
    {"loss": "absolute"},
    {"loss": linnet.Quantile(0.4)},
    {"loss": linnet.Huber(0.5), "errors": "bootstrap"},
]
POOLED: list[dict[str, Any]] = [
    {"errors": "classical"},
    {"loss": "huber", "errors": "iid"},
    {"loss": "absolute", "errors": "classical"},
    {"loss": linnet.Quantile(0.4), "errors": "iid"},
]


def withheld(row: int) -> str:
    """What a warning says of one row of those predicted."""
    return f"^1 row depends on a weight whose standard error is withheld .the first in row {row}.:"


def table(rng: np.random.Generator, teams: Any = TEAMS) -> pd.DataFrame:
    return pd.DataFrame({"team": teams, "y": rng.standard_normal(len(teams))})


@pytest.mark.parametrize("options", ROBUST, ids=str)
def test_the_weight_of_a_level_with_one_row_has_no_error(rng: np.random.Generator, options: dict[str, Any]) -> None:
    data = table(rng)
    fit = linnet.fit(data, "y", **options)
    assert np.isfinite(fit.std_errors).tolist() == [True, False]
    assert np.isfinite(fit.bias_std_error)
    for values in (fit.t_values, fit.p_values, *fit.interval().T, *fit.covariance):
        assert np.isnan(values[2])
    assert np.isnan(fit.f_statistic)  # of the hypothesis that every weight is 0
    (note,) = (note for note in fit.notes if "alone" in note)
    assert note.startswith("row 81 decides `team[c]` alone")
    assert f"no {fit.errors} error" in note
    assert 'errors="classical"' in note
    with pytest.warns(UserWarning, match=withheld(3)):
        narrow = fit.predict(data.iloc[[0, 40, 80]], interval=0.9, kind="confidence")
    assert np.isfinite(narrow).tolist() == [[True] * 3, [True] * 3, [True, False, False]]
    assert "–" in str(fit)


@pytest.mark.parametrize("options", POOLED, ids=str)
def test_one_spread_for_all_rows_tells_it(rng: np.random.Generator, options: dict[str, Any]) -> None:
    fit = linnet.fit(table(rng), "y", **options)
    assert np.isfinite(fit.std_errors).all()
    assert fit.std_errors[1] > 4 * fit.std_errors[0]
    assert not any("alone" in note for note in fit.notes)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_other_errors_are_those_without_that_row(rng: np.random.Generator, weighted: bool) -> None:
    """By statsmodels: the row adds nothing to what the others tell of the others."""
    data = table(rng)
    w = rng.uniform(0.5, 2.0, 81) if weighted else np.ones(81)
    design = np.column_stack([np.ones(80), data.team[:80] == "b"]).astype(float)
    for kind in ("hc0", "hc2", "hc3"):
        fit = linnet.fit(data.assign(w=w), "y", weight="w", errors=kind)
        want = sm.WLS(data.y[:80], design, weights=w[:80]).fit(cov_type=kind.upper())
        assert [fit.bias_std_error, fit.std_errors[0]] == pytest.approx(want.bse.to_numpy(), rel=1e-11)


@pytest.mark.parametrize("options", ROBUST, ids=str)
def test_a_base_level_with_one_row_takes_away_all_but_comparisons(
    rng: np.random.Generator, options: dict[str, Any]
) -> None:
    """The intercept and all weights are differences from that row; what two other levels expect is known as well."""
    teams = np.array(["a"] + ["b"] * 40 + ["c"] * 40)
    data = table(rng, teams)
    fit = linnet.fit(data, "y", **options)
    assert np.isnan([fit.bias_std_error, *fit.std_errors]).all()
    assert any(note.startswith("row 1 decides the intercept, `team[b]` and `team[c]` alone") for note in fit.notes)
    with pytest.warns(UserWarning, match=withheld(1)):
        narrow = fit.predict(data.iloc[[0, 1, 80]], interval=0.9, kind="confidence")
    assert np.isfinite(narrow).tolist() == [[True, False, False], [True] * 3, [True] * 3]
    if options == {"errors": "hc0"}:
        half = (narrow[1, 2] - narrow[1, 1]) / 2
        spread = data.y[1:41].std(ddof=0) / np.sqrt(40)
        assert half == pytest.approx(spread * 1.6646246, rel=1e-6)  # t(78) at 0.95


@pytest.mark.parametrize("intercept", [True, False])
def test_a_number_that_one_row_has(rng: np.random.Generator, intercept: bool) -> None:
    """No level, but a column that others nearly reproduce; far from 0, of any scale, and beside dependent columns."""
    X = rng.standard_normal((60, 3)) + 5
    lone = X @ [1.0, -2.0, 0.5]
    lone[7] += 3
    X = np.column_stack([X, lone * 1e-200, X[:, 0] * 2])
    fit = linnet.fit(X, rng.standard_normal(60), errors="hc3", intercept=intercept)
    assert np.isnan(fit.std_errors).tolist() == [True, True, True, True, True]
    assert "row 8 decides `x2`, `x3` and `x4` alone" in fit.notes[-1]  # x1 and x5 are no weights of their own
    with pytest.warns(UserWarning, match=withheld(8)):
        narrow = fit.predict(X, interval=0.9, kind="confidence")[:, 1]
    assert np.flatnonzero(np.isnan(narrow)).tolist() == [7]


def test_a_row_so_far_out_that_others_tell_nothing_of_the_slope(rng: np.random.Generator) -> None:
    """Its residual is 1e-12 of what is random in it. The intercept hardly depends on it, nor do the others' means."""
    x = np.append(rng.standard_normal(50), 1e7)[:, None]
    fit = linnet.fit(x, rng.standard_normal(51), errors="hc3")
    assert np.isnan(fit.std_errors[0])
    assert fit.bias_std_error > 0.05
    with pytest.warns(UserWarning, match=withheld(51)):
        half = np.diff(fit.predict(x, interval=0.9, kind="confidence")[:, 1:], axis=1).ravel()
    assert (half[:50] > 0.1).all()
    assert np.isnan(half[50])


def test_several_rows_are_named_and_the_rest_is_counted(rng: np.random.Generator, tmp_path: Path) -> None:
    teams = np.array(["a"] * 40 + ["b"] * 40 + list("cdefgh"))
    path = tmp_path / "team.csv"
    table(rng, teams).to_csv(path, index=False)
    for options in ({"errors": "hc1"}, {"loss": "huber"}, {"loss": "absolute"}):
        fit = linnet.fit(path, "y", **options)  # type: ignore[call-overload]
        assert np.isfinite(fit.std_errors).tolist() == [True, *[False] * 6]
        (note,) = (note for note in fit.notes if "alone" in note)
        assert note.count("team.csv") == 3
        assert "and 3 more each decide `team[c]`, `team[d]`, `team[e]` and 3 more alone" in note


def test_rows_with_missing_values_are_counted_in_names(rng: np.random.Generator) -> None:
    data = table(rng)
    data.loc[3, "y"] = np.nan
    fit = linnet.fit(data, "y", errors="hc3", missing="drop")
    assert fit.notes[-1].startswith("row 81 decides")


def test_weight_0_leaves_a_level_with_one_row(rng: np.random.Generator) -> None:
    data = table(rng, np.array([*TEAMS, "c"])).assign(w=1.0)
    assert np.isfinite(linnet.fit(data, "y", weight="w", errors="hc3").std_errors).all()
    data.loc[81, "w"] = 0.0
    fit = linnet.fit(data, "y", weight="w", errors="hc3")
    assert np.isfinite(fit.std_errors).tolist() == [True, False]
    assert fit.notes[-1].startswith("row 81 decides `team[c]`")


def test_what_is_withheld_stays_so_when_saved_and_copied(rng: np.random.Generator, tmp_path: Path) -> None:
    data = table(rng)
    fit = linnet.fit(data, "y", errors="hc3")
    fit.save(tmp_path / "model.json")
    with pytest.warns(UserWarning, match=withheld(81)):
        want = fit.predict(data, interval=0.9, kind="confidence")
    for other in (linnet.load(tmp_path / "model.json", linnet.Fit), pickle.loads(pickle.dumps(fit))):
        assert str(other) == str(fit)
        with pytest.warns(UserWarning, match=withheld(81)):
            np.testing.assert_array_equal(other.predict(data, interval=0.9, kind="confidence"), want)


@pytest.mark.parametrize(
    ("options", "runs"), [({"errors": "hc1"}, 400), ({"errors": "hc3"}, 400), ({"loss": "huber"}, 150)], ids=str
)
def test_errors_that_are_given_reject_a_true_0_as_often_as_they_say(options: dict[str, Any], runs: int) -> None:
    """Where the sandwich had an error for the lone row's weight too, it rejected in half of the runs."""
    rng = np.random.default_rng(20261121)
    X = np.column_stack([np.arange(41) % 2, np.arange(41) == 40]).astype(float)
    p = np.array([linnet.fit(X, rng.standard_normal(41), **options).p_values for _ in range(runs)])
    assert np.isnan(p[:, 2]).all()
    assert np.mean(p[:, 1] < 0.05) == pytest.approx(0.05, abs=0.01 + 3 * np.sqrt(0.05 * 0.95 / runs))
    pooled = np.array([linnet.fit(X, rng.standard_normal(41)).p_values[2] for _ in range(runs)])
    assert np.mean(pooled < 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / runs))


def test_compare_says_it_too(rng: np.random.Generator) -> None:
    found = linnet.compare(table(rng), "y")
    told = np.isfinite(found.fits.std_errors)
    assert told[:, 0].all()
    assert told[:, 1].tolist() == [True, False, False, False]
    assert "decides `team[c]` alone" in " ".join(str(found).split())
