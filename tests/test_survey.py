"""What a run is told of its optimum before the first step: whether a status says more than the table beside it."""

from __future__ import annotations

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

import linnet
from linnet import SGD, Absolute, Huber, Loss, Objective, Quantile, Squared, Status
from linnet.solvers import gathering
from linnet.solvers.ending import completed
from linnet.solvers.solver import Step
from linnet.solvers.survey import CLOSE, Survey
from linnet.sources.arrays import ArraySource
from linnet.sources.spool import Spool

Floats = NDArray[np.float64]


def made(
    n: int = 2000, *, offset: float = 0.0, noise: float = 1.0, sizes: tuple[float, ...] = (1.0, 1.0), dtype: Any = float
) -> tuple[Floats, Floats]:
    """Columns of these sizes, each of which moves the target by about 2, about an offset."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, len(sizes)))
    y = offset + 2.0 * X.sum(axis=1) + noise * rng.standard_normal(n)
    return (X * sizes).astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("batch_size", [32, 256])
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"offset": 1e6}, {}),
        ({"offset": 1e8}, {}),
        ({"noise": 1e-4}, {}),
        ({"noise": 1e-6}, {}),
        ({"noise": 1e-9}, {}),
        ({"sizes": (1.0, 100.0, 0.01, 1.0)}, {"l2": 1.0}),
        ({"sizes": (1.0, 100.0, 0.01, 1.0)}, {"l2": 0.01}),
        ({"offset": 1e6, "noise": 1e-3}, {"intercept": False}),
        ({"noise": 1e-3, "dtype": np.float32}, {}),
        ({"offset": 1e4, "dtype": np.float32}, {}),
    ],
    ids=str,
)
def test_what_is_called_near_is_near(settings: dict[str, Any], options: dict[str, Any], batch_size: int) -> None:
    X, y = made(**settings)
    fit, exact = linnet.fit(X, y, solver=SGD(batch_size=batch_size), **options), linnet.fit(X, y, **options)
    assert fit.status is Status.CONVERGED
    sd = np.r_[exact.bias_std_error, exact.std_errors]
    known = sd > 0
    assert (np.abs(fit.coefficients - exact.coefficients)[known] <= 0.0501 * sd[known]).all()


def test_where_rounding_hides_standard_errors_none_is_claimed() -> None:
    X, y = made(noise=1e-6, dtype=np.float32)
    fit = linnet.fit(X, y, solver="sgd")
    assert fit.status is Status.AGREES
    np.testing.assert_allclose(fit.weights, 2.0, rtol=1e-6)


@pytest.mark.parametrize("solver", [SGD(), SGD(lr=0.1), SGD(batch_size=1000)], ids=["auto", "0.1", "large"])
@pytest.mark.parametrize("target", [7.0, 0.0, 1e8])
def test_a_target_that_does_not_vary(solver: SGD, target: float) -> None:
    X, _ = made()
    fit = linnet.fit(X, np.full(len(X), target), solver=solver)
    assert fit.status is Status.AGREES
    assert abs(fit.bias - target) <= 1e-9 * target
    assert (np.abs(fit.weights) <= 1e-9 * target).all()


def test_a_perfect_fit_is_learned_to_nine_digits() -> None:
    X, _ = made()
    fit = linnet.fit(X, X @ [1.0, 2.0] + 3.0, solver="sgd")
    assert fit.status is Status.AGREES
    np.testing.assert_allclose(fit.coefficients, [3.0, 1.0, 2.0], rtol=1e-8)


@pytest.mark.parametrize(("n", "d", "status"), [(1, 2, "PREDICTS"), (3, 5, "PREDICTS"), (4, 3, "AGREES")])
def test_few_rows(n: int, d: int, status: str) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    fit, exact = linnet.fit(X, y, solver="sgd"), linnet.fit(X, y)
    assert fit.status is Status[status]
    assert fit.uncertainty is None
    np.testing.assert_allclose(fit.predict(X), exact.predict(X), atol=1e-7)


def test_standard_errors_of_another_kind_have_a_note() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((3000, 1))
    # what spreads are rows near the mean of X, so that robust errors of the slope are smaller than classical ones
    y = X[:, 0] + rng.standard_normal(3000) * np.exp(-5 * X[:, 0] ** 2)
    fits = {errors: linnet.fit(X, y, solver="sgd", errors=errors) for errors in ("classical", "hc3", "bootstrap")}
    for errors, fit in fits.items():
        assert fit.status is Status.CONVERGED
        far = np.nanmax(np.abs(fit.distance))
        assert (far > 0.05) == (errors != "classical")
        said = [note for note in fit.notes if f"{errors} standard errors from its exact value" in note]
        assert len(said) == (errors != "classical")


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
def test_bounded_slopes_reach_a_target_far_from_0(loss: str) -> None:
    fit = linnet.fit(*made(offset=1e6), solver="sgd", loss=loss)
    assert fit.status is Status.STEADY
    assert (np.abs(fit.distance) <= 0.1).all()
    one = linnet.fit([[1.0]], [289376.0], solver="sgd", loss=loss)
    assert one.predict([[1.0]]) == pytest.approx(289376.0)


def test_a_column_that_holds_up_a_given_learning_rate_is_named() -> None:
    X, y = made(200, sizes=(1.0, 1e5))
    fit = linnet.fit(X, y, solver=SGD(lr=1e-13, epochs=10))
    assert fit.status is Status.STOPPED
    (note,) = [note for note in fit.notes if "from its exact value" in note]
    assert "column `x2`" in note
    assert 'lr="auto"' in note


# --- The rate that the rows themselves suggest ------------------------------------------------------------------------


def rate(X: Any, y: Any, weight: Any = None, loss: Any = "squared", batch_size: int = 8) -> float:
    """The learning rate of lr="auto"."""
    solver = SGD(batch_size=batch_size, epochs=1, tol=None)
    return float(linnet.fit(X, y, weight=weight, loss=loss, solver=solver, errors="none").settings["lr"])


@pytest.mark.parametrize("widest", [4096, 1], ids=["moments", "wide"])
@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_the_rate_does_not_depend_on_the_overall_size_of_weights(
    widest: int, loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "WIDEST", widest)
    X, y = made(501)
    weight = np.random.default_rng(4).uniform(0.5, 2.0, 501)
    rates = [rate(X, y, size * weight, loss) for size in (1e-6, 1.0, 1e6)]
    assert rates == pytest.approx([rates[1]] * 3, rel=1e-12)
    assert rate(X, y, np.full(501, 7.0), loss) == pytest.approx(rate(X, y, None, loss), rel=1e-12)


@pytest.mark.parametrize("lightest", [None, 1, 0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("widest", "l2"), [(4096, 0.0), (4096, 0.5), (3, 0.0)], ids=["moments", "ridge", "wide"])
def test_the_rate_is_that_of_the_formula(
    lightest: int | None, intercept: bool, widest: int, l2: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1 / (λ·(B-1)/B + ρ/B) for standardised rows, and 2/λ for the columns as they are, by Moments or by the rows.

    A penalty is part of λ and of ρ.
    """
    monkeypatch.setattr(gathering, "WIDEST", widest)
    X, y = made(600, offset=50.0, sizes=(1.0, 20.0, 0.3, 1.0))
    X[:, 1] += X[:, 0] * 30 + 7
    weight = None if lightest is None else np.random.default_rng(4).integers(lightest, 4, 600) * 0.5
    share = np.ones(600) if weight is None else weight / weight.mean()
    centre = share @ X / 600 if intercept else np.zeros(4)
    unit = np.sqrt(share @ (X - centre) ** 2 / 600 + l2)
    ones = np.full((600, 1), float(intercept))
    z, raw = np.hstack([ones, (X - centre) / unit]), np.hstack([ones, X])
    square = share * (z**2).sum(axis=1)
    fourth = square @ square / square.sum() + (l2 / unit**2).max()
    largest, top = (
        np.linalg.eigvalsh((rows * share[:, None]).T @ rows / 600 + np.diag([0.0, *penalty]))[-1]
        for rows, penalty in ((z, l2 / unit**2), (raw, [l2] * 4))
    )
    source = ArraySource(X, y, weight=weight)
    objective = Objective(Squared(), l2=l2, intercept=intercept)
    last = list(SGD(batch_size=8, epochs=1, tol=None).steps(objective, source))[-1]
    assert last.survey is not None
    assert last.settings["lr"] == pytest.approx(1.0 / (7 / 8 * largest + 1 / 8 * fourth), rel=1e-9)
    assert (last.survey.moments is None) == (widest == 3)
    sample = Spool.over(next(iter(source.blocks()))).sample(600)
    assert last.survey.stable_rate(sample) == pytest.approx(2.0 / top, rel=1e-9)


@pytest.mark.parametrize("widest", [4096, 0], ids=["moments", "wide"])
@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "quantile"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [1.0, 1000.0])
def test_a_penalty_lowers_the_rate_beforehand(
    l2: float, intercept: bool, loss: str, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes no row one that is far out."""
    monkeypatch.setattr(gathering, "WIDEST", widest)
    X, y = made(300, noise=30.0)
    solver = SGD(batch_size=2, epochs=50)
    fit = linnet.fit(X, y, loss=loss, l2=l2, intercept=intercept, errors="none", solver=solver)
    assert not any("lowered" in note for note in fit.notes)


@pytest.mark.parametrize("loss", ["squared", "absolute"])
def test_a_penalty_on_a_constant_column_leaves_the_rate_alone(loss: str) -> None:
    X, y = made(300, noise=1000.0)
    objective = Objective(linnet.losses.named_loss(loss), l2=1e-9)
    one, two = (
        list(SGD(epochs=1).steps(objective, ArraySource(x, y)))[-1].settings["lr"]
        for x in (X, np.column_stack([X, np.full(300, 4.0)]))
    )
    assert two == pytest.approx(one, rel=1e-6)


def test_a_penalty_is_part_of_the_largest_stable_rate_of_wide_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "WIDEST", 0)
    X, y = made(300)
    fit = linnet.fit(X, y, l2=500.0, solver=SGD(lr=0.1))
    top = np.linalg.eigvalsh(X.T @ X / 300)[-1] + 500.0
    assert any(f"stable up to {2 / top:.3g} (2/λ)" in note for note in fit.notes), fit.notes


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
@pytest.mark.parametrize("a", [1e-6, 1e-3, 1e4])
def test_the_rate_for_bounded_slopes_scales_with_the_target(loss: str, a: float) -> None:
    """They move weights by steps of one size, which must be in the target's units."""
    X, y = made(500)
    losses: dict[str, tuple[Loss, Loss]] = {
        "absolute": (Absolute(), Absolute()),
        "huber": (Huber(0.1), Huber(0.1 * a)),
        "quantile": (Quantile(0.9), Quantile(0.9)),
    }
    before, after = losses[loss]
    # a slope of Huber's loss grows with the residual up to delta, and so its limit is in units of the target itself
    assert rate(X, a * y, loss=after) == pytest.approx((1.0 if loss == "huber" else a) * rate(X, y, loss=before))
    weights = [
        linnet.fit(X, times * y, loss=each, solver=SGD(epochs=200)).weights for times, each in ((1, before), (a, after))
    ]
    np.testing.assert_allclose(weights[1] / a, weights[0], rtol=1e-6)


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
@pytest.mark.parametrize("where", [slice(0, 300), slice(100, 400)])
def test_rows_of_weight_0_far_out_leave_the_rate_alone(loss: str, where: slice) -> None:
    """Half of the rows: a median that did not mind their weights would be one of them."""
    X, y = made(600)
    weight = np.ones(600)
    weight[where] = 0.0
    expected = rate(X, y, weight, loss)
    y[where] = 1e6
    assert rate(X, y, weight, loss) == expected
    y[where] = -1e6
    assert rate(X, y, weight, loss) == expected


def test_dependent_columns_are_near_where_their_predictions_are() -> None:
    """Their weights have no tolerance: what one gains the other may lose, and nothing else."""
    X, y = made(400)
    X = np.column_stack([X, X[:, 0]])
    survey = list(SGD(epochs=1).steps(Objective(Squared()), ArraySource(X, y)))[-1].survey
    assert survey is not None
    assert survey.optimum is not None
    assert survey.solution is not None
    assert survey.solution.dependencies
    for away, near in (
        ((0.0, 0.0, 0.0, 0.0), True),
        ((0.0, 1e3, 0.0, -1e3), True),
        ((0.0, 1e3, 0.0, -1e3 + 1.0), False),
        ((0.0, 1.0, 0.0, 0.0), False),
        ((0.0, 0.5, 0.0, 0.5), False),
    ):
        value, found = survey.look(survey.optimum + np.array(away))
        assert found == near
        assert value == pytest.approx(survey.lowest + 0.5 * np.mean((X @ away[1:]) ** 2), rel=1e-12)


@pytest.mark.parametrize("loss", ["absolute", "huber"])
def test_weights_that_cannot_be_told_apart_must_rest_too(loss: str) -> None:
    rng = np.random.default_rng(56)
    X, y = rng.standard_normal((5, 6)), rng.standard_normal(5)
    fit, longer = (linnet.fit(X, y, loss=loss, solver=SGD(epochs=epochs)) for epochs in (50, 20_000))
    assert fit.status is longer.status is Status.STOPPED
    assert longer.objective < 0.9 * fit.objective
    group = rng.integers(0, 4, 400)
    y = 2.0 * group + rng.standard_normal(400)
    whole, best = (linnet.fit(np.eye(4)[group], y, loss=loss, solver=solver) for solver in ("sgd", "auto"))
    assert whole.status is Status.STEADY
    assert whole.objective == pytest.approx(best.objective, rel=1e-3)
    assert not any("intercept" in note and "standard errors" in note for note in whole.notes)


def test_where_little_is_left_unexplained_an_automatic_rate_is_small() -> None:
    """A bounded slope must lead as far as the target spreads, 3,000 residuals far, but not jump as far at the end."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((100_000, 1))
    y = 3000 * X[:, 0] + 3 + rng.standard_normal(100_000)
    fit = linnet.fit(X, y, loss=linnet.Quantile(0.9), solver=linnet.SGD(epochs=30))
    assert np.abs(fit.distance).max() < 20


@pytest.mark.parametrize("loss", [linnet.Huber(1.0), "absolute", linnet.Quantile(0.8)], ids=str)
@pytest.mark.parametrize("intercept", [True, False])
def test_a_few_targets_far_out_lead_no_run_astray(loss: Any, intercept: bool) -> None:
    """They move the least-squares plane, by which residuals are judged, and the mean, where runs begin."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((200, 3)) * [1.0, 100.0, 0.01] + [0.0, 5.0, 0.0]
    y = X @ [1.0, 0.02, 300.0] + 0.5 * intercept + rng.standard_normal(200)
    sgd = linnet.SGD(epochs=2000)
    alone = linnet.fit(X[1:], y[1:], loss=loss, intercept=intercept, solver=sgd)
    for size in (1e3, -1e5, 1e7, -1e12):
        y[0] = size
        run, best = (linnet.fit(X, y, loss=loss, intercept=intercept, solver=solver) for solver in (sgd, "auto"))
        errors = np.r_[best.bias_std_error if intercept else np.nan, best.std_errors]
        assert 0.7 < run.settings["lr"] / alone.settings["lr"] < 1.4
        assert np.nanmax(np.abs(run.coefficients - best.coefficients) / errors) < 0.5
    other = linnet.fit(X, y, loss=loss, intercept=intercept, solver=sgd, weight=np.full(200, 0.37))
    assert np.nanmax(np.abs(other.coefficients - run.coefficients) / errors) < 0.02


def surveyed(X: Floats, y: Floats, weight: Floats | None = None, l2: float = 0.0, *, intercept: bool = True) -> Survey:
    """What a run is told of these rows."""
    source = ArraySource(X, y, weight=weight)
    return gathering.survey_of(source.blocks, Objective(Squared(), l2, intercept), source)


def objective_at(
    X: Floats, y: Floats, u: Floats, weight: Floats | None = None, l2: float = 0.0, *, penalised: bool = True
) -> float:
    """The objective with squared loss at [bias, weights], (d+1,), in rational arithmetic."""
    bias, *weights = (Fraction(float(v)) for v in u)
    cost = total = Fraction(0)
    for row, target, w in zip(X, y, np.ones(len(y)) if weight is None else weight, strict=True):
        r = Fraction(float(target)) - bias - sum(Fraction(float(a)) * b for a, b in zip(row, weights, strict=True))
        cost += Fraction(float(w)) * r * r / 2
        total += Fraction(float(w))
    penalty = Fraction(l2) * sum(b * b for b in weights) / 2 if penalised else 0
    return float(cost / total + penalty)


def nearly_dependent(n: int, apart: float, offset: float = 0.0) -> tuple[Floats, Floats]:
    """Two columns so far apart, and a target that follows the first."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((n, 1))
    X = np.hstack([a, a + apart * rng.standard_normal((n, 1))]) + offset
    return X, a[:, 0] + rng.standard_normal(n)


def far_from_zero(n: int, offset: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Columns that without an intercept are nearly one, and a target that they have nothing to do with."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 3)) + offset, rng.standard_normal(n)


@pytest.mark.parametrize(
    ("data", "options", "solver"),
    [
        (nearly_dependent(200, 1e-5), {}, SGD(lr=0.01, epochs=20)),
        (nearly_dependent(200, 1e-9), {}, SGD(lr=0.01, epochs=20)),
        (nearly_dependent(200, 1e-9), {"l2": 1e-3}, SGD(lr=0.01, epochs=20)),
        (nearly_dependent(200, 1e-5, 1e5), {}, SGD(epochs=5)),
        (nearly_dependent(200, 1e-13), {}, SGD(epochs=5)),
        (far_from_zero(200, 1e6), {"intercept": False}, SGD(epochs=5)),
        (far_from_zero(200, 1e8), {"intercept": False}, SGD(epochs=5)),
        (far_from_zero(200, 1e9), {"intercept": False}, SGD(lr=1e-25, epochs=3)),
    ],
)
def test_the_objective_keeps_its_digits_whatever_the_condition(
    data: tuple[Floats, Floats], options: dict[str, Any], solver: SGD
) -> None:
    """Learned weights are far from the exact ones along a direction that the rows hardly tell."""
    X, y = data
    weight = np.random.default_rng(1).uniform(0.5, 2.0, len(y))
    fit, l2 = linnet.fit(X, y, weight=weight, solver=solver, **options), options.get("l2", 0.0)
    true = objective_at(X, y, fit.coefficients, weight, l2)
    assert fit.objective == pytest.approx(true, rel=1e-6)
    assert fit.history[-1].get("objective", true) == pytest.approx(true, rel=1e-6)
    squares = 2 * objective_at(X, y, fit.coefficients, weight, penalised=False)
    spread = y - np.average(y, weights=weight) if fit.intercept else y
    assert 1 - fit.r2 == pytest.approx(squares / np.average(spread**2, weights=weight), rel=2e-6)
    assert fit.residual_sd == pytest.approx(np.sqrt(squares * weight.sum() / fit.df_residual), rel=2e-6)


@pytest.mark.parametrize("l2", [0.0, 1e-9, 1.0])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("dependent", [True, False])
def test_the_objective_anywhere_is_the_rational_one(l2: float, intercept: bool, dependent: bool) -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((30, 3)) * [1.0, 1e-5, 1e7] + [0.0, 1.0, 1e7]
    X[:, 1] = X[:, 0] + 2.0**-20 * X[:, 1]
    if dependent:
        X = np.column_stack([X[:, :2], X[:, 0] - 2.0 * X[:, 2], X[:, 2], X[:, 2]])
    y, weight = rng.standard_normal(30), rng.uniform(0.1, 3.0, 30)
    survey = surveyed(X, y, weight, l2, intercept=intercept)
    assert survey.optimum is not None
    for size in (0.0, 1e-3, 1.0, 1e6):
        u = survey.optimum + size * rng.standard_normal(X.shape[1] + 1) * (
            1.0 if intercept else [0.0] + [1.0] * X.shape[1]
        )
        value, _ = survey.look(u)
        assert value is not None
        assert value == pytest.approx(objective_at(X, y, u, weight, l2), rel=1e-6)
        assert value >= survey.lowest


def test_no_objective_is_below_its_minimum() -> None:
    """Nor is a run called diverged for a negative one: nothing moves here."""
    for seed in range(30):
        X, y = far_from_zero(50, 1e9, seed)
        fit = linnet.fit(X, y, intercept=False, solver=SGD(lr=1e-25, epochs=3))
        assert fit.status is Status.STOPPED
        assert fit.objective == pytest.approx(y @ y / 100, rel=1e-6)


def test_where_too_few_digits_are_left_rows_are_asked() -> None:
    """A history says nothing then, rather than what is wrong."""
    X, y = nearly_dependent(60, 1e-13)
    objective, source = Objective(Squared()), ArraySource(X, y)
    u = np.array([0.1, 0.5, 0.4])
    assert surveyed(X, y).look(u)[0] is None
    last = Step(epoch=1, step=1, rows=60, weights=u[1:], bias=0.1)
    assert completed(last, objective, source)[0].objective == pytest.approx(objective_at(X, y, u), rel=1e-14)
    fit = linnet.fit(X, y, solver=SGD(epochs=3))
    assert len(fit.history) == 3
    assert not any("objective" in record for record in fit.history)
    assert all(record["loss"] > 0 for record in fit.history)


@pytest.mark.parametrize("copies", [1, 30])
def test_dependent_columns_predict_each_row_as_closely_as_is_said(copies: int) -> None:
    """Each prediction and each sum of two weights that are one, not only their mean square."""
    rng = np.random.default_rng(1)
    X = np.sqrt(0.01) * rng.standard_normal((1000, 30)) + np.sqrt(0.99) * rng.standard_normal((1000, 1))
    y, Z = X.sum(axis=1) + 3 * rng.standard_normal(1000), np.column_stack([X, X[:, :copies]])
    fit = linnet.fit(Z, y, solver="sgd")
    assert fit.status is Status.PREDICTS
    assert fit.exact is not None
    A = np.column_stack([np.ones(1000), X])
    covariance = fit.residual_sd**2 * np.linalg.inv(A.T @ A)
    away = fit.coefficients - fit.exact
    merged = away[:31].copy()
    merged[1 : copies + 1] += away[31:]
    assert (np.abs(A @ merged) <= 0.0501 * np.sqrt(np.einsum("ij,jk,ik->i", A, covariance, A))).all()
    assert (np.abs(merged) <= 0.0501 * np.sqrt(covariance.diagonal())).all()


def test_near_reaches_as_far_as_some_combination_would_be_noticed() -> None:
    """Along each direction in weights that rows tell: CLOSE of its standard error is near, more is not."""
    X, y = made(400)
    survey = surveyed(np.column_stack([X, X[:, 0]]), y)
    assert survey.optimum is not None
    A = np.column_stack([np.ones(400), X])
    rng = np.random.default_rng(3)
    sd = np.sqrt(np.sum((y - A @ np.linalg.lstsq(A, y)[0]) ** 2) / 397)
    for _ in range(20):
        away = rng.standard_normal(3)
        away *= CLOSE * sd / np.linalg.norm(A @ away)
        assert survey.look(survey.optimum + np.append(0.999 * away, 0.0))[1]
        assert not survey.look(survey.optimum + np.append(1.001 * away, 0.0))[1]


CASES: dict[str, tuple[int, bool, dict[str, Any]]] = {
    "few": (25, False, {"loss": "absolute"}),
    "absolute": (300, False, {"loss": "absolute"}),
    "quantile": (300, False, {"loss": Quantile(0.8)}),
    "huber": (300, True, {"loss": Huber(0.5)}),
    "dependent": (300, True, {}),
    "few and dependent": (25, True, {"loss": "absolute"}),
    "squared": (300, False, {"l2": 0.01}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("even", [True, False])
def test_the_overall_size_of_row_weights_is_nothing_to_a_run(case: str, even: bool) -> None:
    """To the bit, where the size is a power of 4, whose root is exact."""
    n, dependent, options = CASES[case]
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, 2))
    if dependent:
        X = np.column_stack([X, X[:, 0]])
    y = 3 * X[:, 0] - 2 * X[:, 1] + rng.standard_normal(n)
    weight = np.ones(n) if even else rng.uniform(0.5, 2.0, n)

    def run(size: float) -> linnet.Fit:
        fit: linnet.Fit = linnet.fit(X, y, weight=weight * size, solver=SGD(epochs=300), errors="none", **options)
        return fit

    one = run(1.0)
    for size in (4.0**-20, 4.0**3, 4.0**20):
        fit = run(size)
        assert fit.weights.tobytes() == one.weights.tobytes()
        assert (fit.status, fit.bias, fit.settings) == (one.status, one.bias, one.settings)
    for size in (1e-8, 1e8):
        fit = run(size)
        assert (fit.status, fit.settings["epochs"]) == (one.status, one.settings["epochs"])
        assert fit.settings["lr"] == pytest.approx(one.settings["lr"], rel=1e-12)
        np.testing.assert_allclose(fit.weights, one.weights, rtol=1e-9)


@pytest.mark.parametrize("n", [7, 25, 300, 301])
def test_weights_that_are_all_alike_are_none(n: int) -> None:
    X, y = made(n)
    for loss in ("absolute", "huber"):
        assert rate(X, y, np.ones(n), loss) == rate(X, y, None, loss)


def test_weights_that_pass_through_0_do_not_rest() -> None:
    """They start where four epochs of gradient descent lead exactly there, from the far side of the optimum."""
    X, y = made(200, sizes=(1.0,))
    square = float(X[:, 0] @ X[:, 0])
    best, share = float(X[:, 0] @ y) / square, (1.0 - 0.1 * square / 200) ** 4
    solver = SGD(lr=0.1, batch_size=200, shuffle=False, start=(0.0, -best * (1.0 - share) / share))
    fit = linnet.fit(X, y, loss=Huber(1e6), solver=solver, intercept=False)
    assert fit.status is Status.STEADY
    assert fit.settings["epochs"] > 4
    assert fit.weights[0] == pytest.approx(best, abs=fit.std_errors[0])


@pytest.mark.parametrize("epochs", [2, 200])
@pytest.mark.parametrize("loss", [Quantile(0.8), Absolute(), Huber(1e-6)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("level", [0.0, 3e-30, -7.0, 2e30])
def test_targets_that_are_all_alike_are_learned_in_their_own_unit(level: float, loss: Loss, epochs: int) -> None:
    """The slope of a quantile's loss is not 0 where the residual is: weights leave the optimum, and must not go far."""
    X = np.random.default_rng(0).standard_normal((33, 2))
    unit = abs(level) or 1.0
    for start in (None, (0.0, 0.0, 0.0)):
        fit = linnet.fit(X, np.full(33, level), loss=loss, solver=SGD(epochs=epochs, start=start))
        assert fit.status is not Status.DIVERGED
        assert "lowered" not in " ".join(fit.notes)
        if epochs > 2 or start is None:
            assert np.abs(fit.predict(X) - level).max() < 0.5 * unit


@pytest.mark.parametrize("unit", [1e-20, 1.0, 1e20])
def test_the_first_row_alone_leads_nowhere(unit: float) -> None:
    """One target tells no unit: a step of 1 may be far too long, and so is one of its size, far from 0."""
    model = linnet.LinearRegressor(loss=Quantile(0.8), solver=SGD())
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.partial_fit([[3.0]], [2000.0 * unit])
    assert model.fit_.status is not Status.DIVERGED
    assert float(model.intercept_) / unit == pytest.approx(2000.0, abs=1e-6)


@pytest.mark.parametrize("size", [1.0, 1e10, 3e49])
def test_columns_of_zeros_move_nothing(size: float) -> None:
    """Without an intercept no rate is too large, and the one taken must yet be a number that can be multiplied."""
    fit = linnet.fit(np.zeros((3, 2)), np.full(3, size), solver=SGD(momentum=0.5, epochs=3), intercept=False)
    assert fit.status is Status.PREDICTS
    assert fit.settings["lr"] == 0.5
    assert not fit.weights.any()
    assert "lowered" not in " ".join(fit.notes)
