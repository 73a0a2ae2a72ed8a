from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm

import linnet
from linnet.conclude import conclude
from linnet.objective import Objective
from linnet.solvers import gathering
from linnet.solvers.exact import Exact
from linnet.sources import open_source
from linnet.status import Status


def engel() -> tuple[np.ndarray, np.ndarray]:
    table = sm.datasets.engel.load_pandas().data
    return table[["income"]].to_numpy(), table["foodexp"].to_numpy()


def test_the_last_step_of_an_exact_run_becomes_its_fit() -> None:
    X, y = engel()
    source = open_source(X, y)
    objective = Objective(linnet.Squared())
    *_, last = Exact().steps(objective, source)
    fit, whole = conclude(last, objective, source.design, source.target), linnet.fit(X, y)
    assert str(fit) == str(whole)
    assert np.isnan(fit.pseudo_r2)
    assert np.isnan(fit.robust_scale)
    assert np.isnan(fit.gap)


@pytest.mark.parametrize("loss", [linnet.Absolute(), linnet.Quantile(0.8), linnet.Huber(50.0)])
def test_pseudo_r2_is_the_share_of_the_loss_that_features_take_away(loss: linnet.Loss) -> None:
    X, y = engel()
    fit = linnet.fit(X, y, loss=loss)
    constant = linnet.fit(np.zeros_like(X), y, loss=loss)
    assert fit.pseudo_r2 == pytest.approx(1 - fit.objective / constant.objective, rel=1e-9)


def test_what_was_learned_is_held_against_the_optimum_of_its_loss() -> None:
    X, y = engel()
    X = X / 1000.0
    book = linnet.SGD(lr=0.03, epochs=3, tol=None, seed=1)
    fit = linnet.fit(X, y, loss="absolute", solver=book)
    best = linnet.fit(X, y, loss="absolute")
    assert fit.exact is not None
    assert fit.exact == pytest.approx(best.coefficients)
    assert fit.std_errors == pytest.approx(best.std_errors)
    assert fit.distance == pytest.approx(
        (fit.coefficients - best.coefficients) / np.r_[best.bias_std_error, best.std_errors]
    )
    assert fit.objective > best.objective
    assert 1 - fit.pseudo_r2 == pytest.approx((1 - best.pseudo_r2) * fit.objective / best.objective)
    assert any("standard errors from its exact value" in note for note in fit.notes)
    assert fit.passes > best.passes


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_note_does_not_call_a_weight_0_that_was_learned(loss: str) -> None:
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.standard_normal(200), np.full(200, 7.0)])
    y = 3 * X[:, 0] + 5 + rng.standard_normal(200)
    learned = linnet.fit(X, y, loss=loss, solver=linnet.SGD(lr=0.01, epochs=20, tol=None))
    assert learned.exact is not None
    assert learned.weights[1] > 0.1
    assert learned.exact[2] == 0
    told = "`x2` is constant (7): it cannot be told from the intercept"
    assert f"{told}, its exact weight is 0" in learned.notes
    solved = linnet.fit(X, y, loss=loss)
    assert solved.weights[1] == 0
    assert f"{told}, its weight is 0" in solved.notes
    zeros = X * [1, 0]
    told = "`x2` is 0 throughout: nothing can be told of it"
    assert f"{told}, its weight is 0" in linnet.fit(zeros, y, loss=loss, intercept=False).notes
    begun = linnet.SGD(lr=0.01, epochs=20, tol=None, start=(0, 0, 1))
    learned = linnet.fit(zeros, y, loss=loss, intercept=False, solver=begun)
    assert learned.weights[1] == 1
    assert f"{told}, its exact weight is 0" in learned.notes


def test_of_a_loss_of_ones_own_no_exact_weight_is_told() -> None:
    class Own(linnet.Huber):
        name = "own"

    rng = np.random.default_rng(5)
    X = np.column_stack([rng.standard_normal(60), np.full(60, 7.0)])
    solver = linnet.SGD(lr=0.01, epochs=2, tol=None)
    fit = linnet.fit(X, X[:, 0] + rng.standard_normal(60), loss=Own(), errors="bootstrap", solver=solver)
    assert fit.exact is None
    assert "`x2` is constant (7): it cannot be told from the intercept" in fit.notes


def test_a_weight_that_cannot_be_told_has_no_distance() -> None:
    rng = np.random.default_rng(5)
    x, z = rng.standard_normal((2, 200))
    slow = linnet.SGD(lr=1e-3, epochs=2, tol=None)
    fit = linnet.fit(np.column_stack([x, x, z]), 50 * x + z + rng.standard_normal(200), loss="absolute", solver=slow)
    assert np.isnan(fit.distance).tolist() == [False, True, True, False]
    assert fit.exact is not None
    assert fit.exact[1] - fit.weights[0] > 20  # farther than any other
    (note,) = (note for note in fit.notes if "from its exact value" in note)
    assert note.startswith("`x3`")


def test_the_f_statistic_of_a_robust_fit_is_walds() -> None:
    X, y = engel()
    fit = linnet.fit(X, y, loss="absolute")
    assert fit.f_statistic == pytest.approx(float(fit.t_values[1]) ** 2)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_degrees_of_freedom_of_a_fit_too_wide_for_moments(
    monkeypatch: pytest.MonkeyPatch, intercept: bool, weighted: bool
) -> None:
    """Rows less weights, the bias counted where there is one, and what follows from them."""
    monkeypatch.setattr(gathering, "WIDEST", 1)
    rng = np.random.default_rng(5)
    X = rng.standard_normal((20, 3))
    y, w = X @ [1.0, 2.0, 3.0] + 1 + rng.standard_normal(20), rng.uniform(0.5, 2, 20) if weighted else np.ones(20)
    book = linnet.SGD(lr=0.05, epochs=20, tol=None)
    fit = linnet.fit(X, y, weight=w if weighted else None, solver=book, intercept=intercept)
    assert fit.exact is None
    assert fit.df_residual == 20 - 3 - intercept
    r, off = y - fit.predict(X), y - np.average(y, weights=w) * intercept
    assert fit.residual_sd**2 * fit.df_residual == pytest.approx(w @ r**2, rel=1e-10)
    assert fit.r2 == pytest.approx(1 - (w @ r**2) / (w @ off**2), rel=1e-10)
    assert 1 - fit.adjusted_r2 == pytest.approx((1 - fit.r2) * (20 - intercept) / fit.df_residual, rel=1e-10)
    assert any("3 features there are neither standard errors nor exact weights" in note for note in fit.notes)


def test_a_run_of_sgd_over_rows_that_are_gone_has_no_errors() -> None:
    X, y = engel()
    model = linnet.LinearRegressor(loss="absolute", solver="sgd").partial_fit(X, y)
    assert np.isnan(model.fit_.std_errors).all()
    assert any("standard errors for absolute loss" in note for note in model.fit_.notes)
    assert model.fit_.status is Status.RAN


def test_a_delta_of_another_size_than_the_residuals_is_noted() -> None:
    X, y = engel()
    notes = {delta: " ".join(linnet.fit(X, y, loss=linnet.Huber(delta)).notes) for delta in (1.0, 100.0, 1e6)}
    assert "delta = 1 is small beside the residuals" in notes[1.0]
    assert notes[100.0] == notes[1e6] == ""
    scaled = linnet.fit(X, y, loss=linnet.Huber(k=0.01))  # as asked, but it leaves nothing to tell errors from
    assert np.isnan(scaled.std_errors).all()
    (note,) = scaled.notes
    assert "too few to tell standard errors" in note


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("scale", ["mad", "concomitant"])
def test_the_robust_scale_of_a_huber_fit_is_the_one_it_took_delta_from(scale: Any, intercept: bool) -> None:
    """For the MAD that about 0, as statsmodels estimates it; of a delta that was given, that about the median."""
    X, y = engel()
    X = X / 1000.0
    fit = linnet.fit(X, y, loss=linnet.Huber(k=1.345, scale=scale), intercept=intercept)
    assert fit.robust_scale == pytest.approx(fit.settings["delta"] / 1.345, rel=1e-15)
    given = linnet.fit(X, y, loss=linnet.Huber(fit.settings["delta"]), intercept=intercept)
    r = y - fit.predict(X)
    assert given.robust_scale == pytest.approx(np.median(np.abs(r - np.median(r))) / 0.6745, rel=1e-6)
    if scale == "mad":
        design = sm.add_constant(X) if intercept else X
        model = sm.RLM(y, design, M=sm.robust.norms.HuberT()).fit(tol=1e-12, maxiter=500)
        assert fit.robust_scale == pytest.approx(model.scale, rel=1e-4)  # which divides by more digits of 0.6745
        assert abs(given.robust_scale / fit.robust_scale - 1) > 1e-3
    learned = linnet.fit(X, y, loss=linnet.Huber(k=1.345, scale=scale), intercept=intercept, errors="none")
    assert learned.robust_scale == fit.robust_scale


def test_a_huber_fit_without_residuals_has_scale_0() -> None:
    x = np.arange(20.0)[:, None]
    assert linnet.fit(x, 2.0 * x[:, 0], loss=linnet.Huber(k=1.345)).robust_scale == 0


def test_a_column_that_varies_by_less_than_its_rounding_is_not_called_constant() -> None:
    ids = 2**53 + np.array([1, 2, 3, 5, 9, 12])
    X, y = np.column_stack([ids.astype(float), [1.0, 2, 3, 5, 4, 7]]), np.array([1.0, 3, 2, 5, 4, 4])
    assert len(np.unique(X[:, 0])) > 1
    for precision in ("auto", "exact"):
        (note,) = linnet.fit(X, y, precision=precision).notes
        assert "`x1` varies by less than the rounding of its size (9.0072e+15)" in note
        assert "constant" not in note
    for value in (0.1, 2.0**53, 1 / 3):
        X[:, 0] = value
        assert "`x1` is constant" in linnet.fit(X, y).notes[0]


def test_who_interrupts_is_not_kept_waiting_for_the_optimum(tmp_path: Path) -> None:
    """Which costs several passes over files; rows in memory take a moment."""
    table = sm.datasets.engel.load_pandas().data
    table.to_csv(tmp_path / "engel.csv", index=False)

    def listener(step: linnet.Step) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    solver = linnet.SGD(lr=1e-7, epochs=10, tol=None)
    file = linnet.fit(tmp_path / "engel.csv", "foodexp", loss="absolute", solver=solver, progress=listener)
    memory = linnet.fit(*engel(), loss="absolute", solver=solver, progress=listener)
    assert file.status is memory.status is Status.INTERRUPTED
    assert file.exact is None
    assert memory.exact is not None
    assert any("standard errors for absolute loss" in note for note in file.notes)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_target_whose_rounding_is_what_is_left_of_it_is_named(loss: str) -> None:
    """Whole numbers near 2^60 are rounded to multiples of 256; without that offset nothing is."""
    t = np.arange(60)
    small = t * 10 + np.random.default_rng(1).integers(-40, 40, 60)

    def named(y: Any) -> bool:
        return any(
            "Subtract a number near that size" in note for note in linnet.fit(t[:, None] * 1.0, y, loss=loss).notes
        )

    assert named(2**60 + small)
    assert named(-(2**60) + small)
    assert not named(2**50 + small)
    assert not named(small)
    assert not named(1e6 + 2.0 * t)  # an exact relation
