"""The last Step of a run: what it says of the weights is true of the weights that it has."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet import SGD, Absolute, Huber, Loss, Objective, Quantile, Squared, Status, Step
from linnet.solvers import gathering, run
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
LOSSES: list[Loss] = [Squared(), Absolute(), Huber(0.5), Quantile(0.9)]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def table(n: int = 300, d: int = 3) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X, X @ np.arange(1.0, d + 1) - 2 + rng.standard_normal(n), 0.5 * rng.integers(0, 3, n).astype(np.float64)


def steps(solver: SGD, loss: Loss | None = None, *, l2: float = 0.0, d: int = 3, intercept: bool = True) -> list[Step]:
    X, y, weight = table(d=d)
    return list(solver.steps(Objective(loss or Squared(), l2, intercept), ArraySource(X, y, weight=weight)))


@every_loss
@pytest.mark.parametrize("widest", [4096, 2], ids=["moments", "wide"])
@pytest.mark.parametrize("l2", [0.0, 0.4])
@pytest.mark.parametrize(
    "solver", [SGD(epochs=3), SGD(lr=0.02, epochs=2, tol=None, average=True)], ids=["auto", "0.02"]
)
def test_objective_and_squares_are_those_at_the_weights(
    loss: Loss, widest: int, l2: float, solver: SGD, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "WIDEST", widest)
    last = steps(solver, loss, l2=l2)[-1]
    X, y, weight = table()
    assert last.weights is not None
    r = y - X @ last.weights - (last.bias or 0.0)
    assert last.objective == pytest.approx(
        weight @ loss.value(r) / weight.sum() + 0.5 * l2 * last.weights @ last.weights, rel=1e-12
    )
    assert last.squares == pytest.approx(weight @ r**2 / weight.sum(), rel=1e-10)
    assert (last.solution is None) == (last.moments is None) == (widest == 2)


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("options", [{}, {"l2": 0.3}, {"intercept": False}], ids=str)
@pytest.mark.parametrize("tol", [None, "auto"])
def test_each_record_has_the_objective_of_its_epoch(options: dict[str, Any], tol: Any, every: int | None) -> None:
    """Whether it was wanted on the way, or is worked out when the run has ended."""
    solver = SGD(lr=0.01, epochs=6, tol=tol, every=every)
    visited = {step.epoch: step for step in steps(SGD(lr=0.01, epochs=6, tol=tol, every=1), **options)[:-1]}
    history = steps(solver, **options)[-1].history
    X, y, weight = table()
    objective = Objective(Squared(), options.get("l2", 0.0), options.get("intercept", True))
    assert [record["epoch"] for record in history] == [1, 2, 3, 4, 5, 6]
    for record in history:
        step = visited[int(record["epoch"])]
        assert step.weights is not None
        wanted = objective.of(ArraySource(X, y, weight=weight), step.weights, step.bias or 0.0)
        assert record["objective"] == pytest.approx(wanted, rel=1e-11)


def test_no_objective_is_worked_out_for_other_losses_or_many_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "objective" not in steps(SGD(epochs=3), Absolute())[-1].history[0]
    monkeypatch.setattr(run, "NARROW", 2)
    assert "objective" not in steps(SGD(epochs=3, lr=0.01, tol=None))[-1].history[0]
    assert "objective" in steps(SGD(epochs=3))[-1].history[0]


@pytest.mark.parametrize("column", [0, 1, 2, 3])
def test_the_weight_that_is_farthest_off_is_named_with_its_distance(column: int) -> None:
    """A run of one tiny step, from the optimum but for one weight."""
    X, y, _ = table()
    exact = linnet.fit(X, y)
    start, sd = exact.coefficients.copy(), np.r_[exact.bias_std_error, exact.std_errors]
    start[column] += 7.3 * sd[column]
    fit = linnet.fit(X, y, solver=SGD(lr=1e-12, epochs=1, start=tuple(start)))
    assert fit.status is Status.STOPPED
    named = ["the intercept", "`x1`", "`x2`", "`x3`"][column]
    assert fit.notes == (f"{named} is 7.3 classical standard errors from its exact value",)


def test_a_large_distance_has_no_exponent() -> None:
    X, y, _ = table()
    losses: list[tuple[Loss, str]] = [(Squared(), "classical "), (Absolute(), "")]
    for loss, kind in losses:
        exact = linnet.fit(X, y, loss=loss)
        start = exact.coefficients.copy()
        start[1] += 5307.3 * exact.std_errors[0]
        fit = linnet.fit(X, y, loss=loss, solver=SGD(lr=1e-12, epochs=1, start=tuple(start)))
        assert f"`x1` is 5300 {kind}standard errors from its exact value" in fit.notes


def test_a_weight_without_standard_error_is_named_with_its_distance() -> None:
    X, _, _ = table()
    fit = linnet.fit(X, X @ [1.0, 2.0, 3.0], solver=SGD(lr=1e-12, epochs=1))
    assert fit.notes == ("`x3` is 3 from its exact value",)


def test_an_infinite_condition_number_is_written_as_in_the_table() -> None:
    X, y, _ = table()
    X[:, 2] = 7.0
    fit = linnet.fit(X, y, solver=SGD(epochs=1, tol=None, start=(9.0, 0.0, 0.0, 0.0)))
    assert np.isinf(fit.condition)
    assert "∞" in str(fit)
    assert " inf" not in str(fit)


@pytest.mark.parametrize(("wild", "said"), [(1.0, None), (200.0, "once"), (1000.0, "3 times")])
def test_how_often_the_rate_was_lowered_and_to_what(wild: float, said: str | None) -> None:
    """A row that the rate's sample leaves out; each time it is divided by four."""
    X, y, _ = table(4001, 2)
    rows = set(np.linspace(0, 4000, 2048).astype(int).tolist())
    X[min(set(range(4001)) - rows)] *= wild
    fit = linnet.fit(X, y, solver=SGD(epochs=3, tol=None))
    X[min(set(range(4001)) - rows)] /= wild
    rate = linnet.fit(X, y, solver=SGD(epochs=1, tol=None)).settings["lr"]
    found = [re.fullmatch(r"the learning rate was lowered (.*), to (\S+): some rows are far out", n) for n in fit.notes]
    told = [(each[1], float(each[2])) for each in found if each is not None]
    assert [times for times, _ in told] == ([] if said is None else [said])
    for times, to in told:
        assert to == pytest.approx(fit.settings["lr"], rel=5e-3)
        # the row tells in the columns' scales, but not in what was sampled of them
        assert 0.5 < rate / 4.0 ** (1 if times == "once" else 3) / to < 2.0


@pytest.mark.parametrize(
    ("solver", "loss", "said"),
    [
        (SGD(), Squared(), "inverse-root"),
        (SGD(batch_size=300), Squared(), "constant"),  # gradients that vanish at the optimum
        (SGD(batch_size=300), Absolute(), "inverse-power-0.75"),
        (SGD(schedule="inverse-time"), Squared(), "inverse-time"),
        (SGD(lr=0.01), Absolute(), "constant"),
        (SGD(lr=0.01, schedule="inverse-time"), Squared(), "inverse-time"),
    ],
)
def test_how_the_rate_falls_is_told(solver: SGD, loss: Loss, said: str) -> None:
    last = steps(replace(solver, epochs=4, tol=None), loss)[-1]
    assert last.settings["schedule"] == said
    rates = [record["lr"] for record in last.history]
    falling = [later < rate for rate, later in pairwise(rates)]
    assert falling == [said != "constant"] * 3


def test_what_the_run_was_is_told() -> None:
    last = steps(SGD(lr=0.01, epochs=2, tol=None, batch_size=7, momentum=0.5, seed=3, start=(0.0, 1.0, 2.0, 3.0)))[-1]
    assert last.settings == {
        "lr": 0.01, "lr_auto": False, "batch_size": 7, "epochs": 2, "steps": 86, "momentum": 0.5, "average": False,
        "schedule": "constant", "shuffle": "rows", "init": "given", "seed": 3,
    }  # fmt: skip
    assert steps(SGD(epochs=1), Huber(0.5))[-1].settings["delta"] == 0.5
    assert steps(SGD(epochs=1))[-1].settings["average"] is True
