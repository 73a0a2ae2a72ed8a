"""The mean loss that a converging run stays below: what explodes is seen in time, and nothing else is."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet import SGD, Absolute, Huber, LinearRegressor, Loss, Objective, Quantile, Squared, Status, Step
from linnet.block import Block
from linnet.solvers.ceiling import Ceiling
from linnet.sources.arrays import ArraySource
from linnet.sources.spool import Spool

Floats = NDArray[np.float64]
LOSSES: list[tuple[Loss, float, float]] = [  # and what residuals of size 4 and 4000 cost on average, at most
    (Squared(), 8.0, 8e6),
    (Absolute(), 4.0, 4e3),
    (Huber(0.5), 2.0, 2e3),
    (Huber(10.0), 8.0, 4e4),
    (Quantile(0.9), 3.6, 3.6e3),
    (Quantile(0.1), 3.6, 3.6e3),
]
every_loss = pytest.mark.parametrize(("loss", "low", "high"), LOSSES, ids=lambda value: getattr(value, "name", ""))


def table(n: int = 200, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3))
    return X, X @ [1.0, 2.0, 3.0] - 2 + rng.standard_normal(n)


def ceiling(loss: Loss, y: Any, start: float = 0.0, weight: Any = None) -> Ceiling:
    """That of targets of size 4 without features that tell anything, from a bias."""
    y = np.asarray(y, float)
    spool = Spool.over(Block(np.zeros((y.size, 1)), y, None if weight is None else np.asarray(weight, float)))
    return Ceiling(loss, 4.0, spool, [np.array([start, 0.0])])


def at(bias: float, objective: float | None = None, *, epoch: int = 1, step: int = 100) -> Step:
    """The end of an epoch."""
    return Step(epoch, step, 2, np.zeros(1), bias, objective)


@every_loss
def test_how_much_growth_is_too_much(loss: Loss, low: float, high: float) -> None:
    """10 times the loss at the start by the end of an epoch, a million times within one; a far start costs more."""
    for bias, cost in ((0.0, low), (4000.0, high)):
        here = ceiling(loss, [-4.0, 4.0], bias)
        for broken, times in ((here.broken, 1e6), (partial(here.broken_at_end, at(0.0), last=False), 10.0)):
            assert not broken(mean=0.999 * times * cost)
            assert broken(mean=1.001 * times * cost)
            assert broken(mean=math.inf)
            assert broken(mean=math.nan)
        assert not here.broken_at_end(at(0.0, 9.99 * cost), cost, False)
        assert here.broken_at_end(at(0.0, 10.01 * cost), cost, False)
        assert not here.left(0.0, np.array([bias, 0.0]))
        assert here.left(0.0, np.array([1e6, 0.0]))
        assert not here.left(9.99 * cost, np.array([bias, 0.0]))
        assert here.left(10.01 * cost, np.array([bias, 0.0]))


def test_rows_of_weight_0_are_not_among_those_that_tell() -> None:
    y, weight = [-4.0, 4.0, -1e9], [1.0, 1.0, 0.0]
    here = ceiling(Squared(), y, 40.0, weight)
    assert not here.left(0.0, np.array([0.0, 0.0]))
    assert here.left(0.0, np.array([400.0, 0.0]))
    assert here.broken(1.02e6 * 0.5 * (40.0**2 + 4.0**2))
    assert not here.broken(0.98e6 * 0.5 * (40.0**2 + 4.0**2))


def test_rows_tell_by_their_weights() -> None:
    """The mean of 3 parts of 1² and one of 81²."""
    for scale in (1e-100, 1.0, 1e100):
        here = ceiling(Squared(), [1.0, 81.0], weight=np.array([3.0, 1.0]) * scale)
        assert here._at(np.zeros(1), 0.0, 10) == pytest.approx(0.5 * (3 + 81**2) / 4, rel=1e-14)


def test_the_last_epoch_is_judged_where_it_ends() -> None:
    """Losses are those before each update, so that nobody has seen what the last one did."""
    here = ceiling(Squared(), [-4.0, 4.0])
    for steps, mean, seen in ((1, 8.0, True), (9, 8.0, True), (10, 8.0, False), (10, 8.1, True)):
        far = at(1e9, step=steps)
        assert here.broken_at_end(far, mean, True) == seen
        assert not here.broken_at_end(far, mean, False)
    assert not here.broken_at_end(at(1.0, step=1), 8.0, True)


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_explosion_is_seen_before_its_epoch_ends(epochs: int) -> None:
    """One column of 1, one target, lr = 3: the k-th residual is (-2)^k, so that the mean loss is known.

    After K steps it is (4^K - 1)/(6·K), which exceeds a million times the one at the start, 1/2, for K = 13.
    """
    rows = np.ones((60, 1)), np.ones(60)
    solver = SGD(lr=3.0, batch_size=1, every=1, epochs=epochs, tol=None)
    *steps, last = solver.steps(Objective(Squared(), intercept=False), ArraySource(*rows))
    assert [step.step for step in steps] == list(range(1, 13))
    assert last.status is Status.DIVERGED
    assert last.weights is not None
    assert last.weights.tolist() == [0.0]


@pytest.mark.parametrize("loss", [Squared(), Absolute(), Huber(0.5), Quantile(0.9)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("epochs", [1, 2, 5])
@pytest.mark.parametrize("rate", [10.0, 1e6])
def test_weights_of_a_run_that_diverged_are_not_those_of_the_explosion(loss: Loss, epochs: int, rate: float) -> None:
    """One update an epoch, of which the loss is seen before the next."""
    X, y = table()
    fit = linnet.fit(X, y, loss=loss, solver=SGD(lr=rate, batch_size=200, epochs=epochs, tol=None))
    start = Objective(loss).of(ArraySource(X, y), np.zeros(3), 0.0)
    assert fit.objective <= 10 * start
    assert fit.status is Status.DIVERGED or (rate == 10.0 and loss.name != "squared")  # which only dances about


# --- Late divergence --------------------------------------------------------------------------------------------------


def descended(X: Floats, y: Floats, rate: float, batches: int = 1) -> tuple[Floats, Floats]:
    """Gradient descent by rows as they come, up to the last epoch below ten times the loss at the start.

    [bias, weights] and the loss at the start and after each epoch.
    """
    z, u = np.column_stack([np.ones(len(X)), X]), np.zeros(X.shape[1] + 1)
    past, losses = [u], [0.5 * float(np.mean(y**2))]
    while losses[-1] <= 10 * losses[0]:
        for part in np.array_split(np.arange(len(y)), batches):
            u = u + rate * z[part].T @ (y[part] - z[part] @ u) / len(part)
        past.append(u)
        losses.append(0.5 * float(np.mean((y - z @ u) ** 2)))
    return np.array(past[:-1]), np.array(losses[:-1])


@pytest.mark.parametrize("factor", [1.02, 1.1, 1.5, 2.0])
@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("tol", [None, "auto"])
@pytest.mark.parametrize("every", [None, 1])
def test_a_late_explosion_leaves_the_last_epoch_before_it(
    factor: float, batches: int, tol: Any, every: int | None, tmp_path: Path
) -> None:
    """With its history, and from wherever rows come."""
    X, y = table()
    z = np.column_stack([np.ones(200), X])
    rate = factor * 2 / float(np.linalg.eigvalsh(z.T @ z / 200)[-1])
    past, losses = descended(X, y, rate, batches)
    found = set()
    np.savetxt(
        tmp_path / "rows.csv", np.column_stack([X, y]), delimiter=",", header="a,b,c,y", comments="", fmt="%.17g"
    )
    solver = SGD(lr=rate, batch_size=200 // batches, shuffle=False, epochs=400, tol=tol, every=every)
    for fit in (linnet.fit(X, y, solver=solver), linnet.fit(tmp_path / "rows.csv", "y", solver=solver)):
        assert fit.status is Status.DIVERGED
        epochs = fit.settings["epochs"]
        found.add(epochs)
        # the mean loss of two minibatches may have exploded where that at the epoch's end has not yet
        assert len(past) - epochs in ((1,) if batches == 1 else (1, 2))
        assert fit.settings["steps"] == epochs * batches
        np.testing.assert_allclose(fit.coefficients, past[epochs], rtol=1e-8, atol=1e-8)
        if epochs:
            assert [record["epoch"] for record in fit.history] == list(range(1, epochs + 1))
            objectives = [record["objective"] for record in fit.history]
            np.testing.assert_allclose(objectives, losses[1 : epochs + 1], rtol=1e-8)
    assert len(found) == 1


def test_a_slow_explosion_keeps_its_history_where_a_sample_stands_for_all_rows() -> None:
    """What is judged by all rows lies as near to the ceiling as the sample's error is large."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((20_000, 2))
    y = X @ [1.0, 2.0] + rng.standard_t(3, 20_000)
    z = np.column_stack([np.ones(20_000), X])
    rate = 1.02 * 2 / float(np.linalg.eigvalsh(z.T @ z / 20_000)[-1])
    fit = linnet.fit(X, y, solver=SGD(lr=rate, batch_size=20_000, epochs=400, tol=None))
    assert fit.status is Status.DIVERGED
    assert abs(fit.settings["epochs"] - len(descended(X, y, rate)[0])) <= 3
    assert len(fit.history) == fit.settings["epochs"]


# --- Rows that come in pieces -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 20])
@pytest.mark.parametrize("average", [False, True])
def test_few_rows_are_judged_together_with_those_before(size: int, average: bool) -> None:
    """Learned from in pieces, they give what one epoch over all of them gives, also near the largest stable rate."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((280, 4))
    y = X.sum(axis=1) + rng.standard_normal(280)
    solver = SGD(lr=0.04, batch_size=1, momentum=0.9, average=average, shuffle=False, epochs=1, tol=None)
    whole, pieces = LinearRegressor(solver=solver).fit(X, y), LinearRegressor(solver=solver)
    for i in range(0, 280, size):
        pieces.partial_fit(X[i : i + size], y[i : i + size])
        assert pieces.fit_.status is Status.RAN, i
    np.testing.assert_allclose(pieces.coef_, whole.coef_, rtol=1e-10)


@pytest.mark.parametrize("loss", ["squared", "absolute", "huber", "quantile"])
def test_a_row_near_the_centre_hardly_moves_weights(loss: str) -> None:
    """A rate that was judged by it alone could be as large as it likes: without an intercept, a row may be all 0."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = 3.0 * X.sum(axis=1) + 10.0 * rng.standard_normal(300)
    model = LinearRegressor(loss=loss, fit_intercept=False, solver=SGD(batch_size=4)).partial_fit(X, y)
    before = model.coef_
    model.partial_fit([[0.001, 0.001]], [10.0])
    assert np.abs(model.coef_ - before).max() < 2.0  # the mean follows the last weights anyway


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
def test_a_penalty_does_not_throw_weights_far_off_row_by_row(loss: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 2))
    y = 3.0 * X.sum(axis=1) + 10.0 * rng.standard_normal(300)
    model = LinearRegressor(loss=loss, l2=0.1, fit_intercept=False, solver=SGD())
    for i in range(300):
        model.partial_fit(X[i : i + 1], y[i : i + 1])
        assert i < 30 or np.abs(model.coef_).max() < 30.0, i


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("before", [0, 5000])
def test_an_explosion_among_pieces_is_seen_soon(before: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((before + 2000, 3))
    X[before:] *= 10  # |1 - lr·‖z‖²| is about 14
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(len(X))
    model = LinearRegressor(solver=SGD(lr=0.05, batch_size=1))
    for i in range(0, len(X), 20):
        model.partial_fit(X[i : i + 20], y[i : i + 20])
        if model.fit_.status is Status.DIVERGED:
            break
    assert before <= i <= before + 40
    assert np.abs(model.coef_).max() < 1e3


# --- Rows of weight 0 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("solver", [SGD(), SGD(lr=0.05, average=True, epochs=None)], ids=["auto", "0.05"])
def test_a_row_of_weight_0_at_the_edge_of_float32_changes_nothing(loss: Loss, solver: SGD) -> None:
    """But for the minibatches: it takes the place of a row in one."""
    X, y = (values.astype(np.float32) for values in table(1000))
    weight = np.ones(1000)
    weight[[7, 500]] = 0.0
    X[7, 1] = X[500, 2] = -3.4028235e38
    fits = [linnet.fit(X[rows], y[rows], weight=weight[rows], loss=loss, solver=solver) for rows in (..., weight > 0)]
    sd = np.r_[fits[1].bias_std_error, fits[1].std_errors]
    assert (np.abs(fits[0].coefficients - fits[1].coefficients) <= 0.1 * sd).all()
    for fit in fits:
        assert fit.status is (Status.CONVERGED if loss.name == "squared" else Status.STEADY)
        assert not any("lowered" in note for note in fit.notes)


@pytest.mark.parametrize("loss", [Squared(), Absolute(), Huber(0.5)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("start", [None, (3.0, 0.0, 0.0, 0.0)])
def test_a_target_of_weight_0_hides_no_divergence(loss: Loss, start: Any) -> None:
    X, y = table()
    weight = np.ones(200)
    weight[11], y[11] = 0.0, -1e9
    fit = linnet.fit(X, y, weight=weight, loss=loss, solver=SGD(lr=1e4, start=start, epochs=3, tol=None))
    assert fit.status is Status.DIVERGED
    assert np.abs(fit.coefficients).max() <= 3.0


def test_a_target_of_weight_0_may_overflow() -> None:
    X, y = table()
    weight = np.ones(200)
    weight[11], y[11] = 0.0, -1e200
    fit = linnet.fit(X, y, weight=weight, solver=SGD(lr=1e4, epochs=3, tol=None))
    assert fit.status is Status.DIVERGED
