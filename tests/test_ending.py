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
    assert len(fit.notes) == 1
    assert fit.notes[0].startswith(f"{named} is 7.3 classical standard errors from its exact value; ")


def test_a_large_distance_has_no_exponent() -> None:
    X, y, _ = table()
    losses: list[tuple[Loss, str]] = [(Squared(), "classical "), (Absolute(), "")]
    for loss, kind in losses:
        exact = linnet.fit(X, y, loss=loss)
        start = exact.coefficients.copy()
        start[1] += 5307.3 * exact.std_errors[0]
        fit = linnet.fit(X, y, loss=loss, solver=SGD(lr=1e-12, epochs=1, start=tuple(start)))
        assert fit.notes[0].split("; ")[0] == f"`x1` is 5300 {kind}standard errors from its exact value"


def test_a_weight_without_standard_error_is_named_with_its_distance() -> None:
    X, _, _ = table()
    fit = linnet.fit(X, X @ [1.0, 2.0, 3.0], solver=SGD(lr=1e-12, epochs=1))
    assert fit.notes[0].startswith("`x3` is 3 from its exact value; ")


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


# --- What keeps a run off, and what to do about it --------------------------------------------------------------------


def border(X: Floats, momentum: float = 0.0) -> float:
    """Heavy-ball steps on a parabola of curvature c are stable below 2(1+m)/c."""
    z = np.column_stack([np.ones(len(X)), X])
    return float(2 * (1 + momentum) / np.linalg.eigvalsh(z.T @ z / len(X))[-1])


@pytest.mark.parametrize("momentum", [0.0, 0.4])
@pytest.mark.parametrize("tol", [None, "auto"])
def test_a_rate_above_what_is_stable_is_named_before_it_explodes(momentum: float, tol: Any) -> None:
    """Also where no column is larger than the others, and nowhere below that border."""
    X, y, _ = table()
    for share in (0.98, 1.02):
        rate = share * border(X, momentum)
        fit = linnet.fit(X, y, solver=SGD(lr=rate, batch_size=300, momentum=momentum, epochs=1, tol=tol))
        assert fit.status is (Status.RAN if tol is None else Status.STOPPED)
        told = r"too large, gradient descent is stable up to (\S+) \(2/λ\)(?:, with this momentum up to ([\d.]+))?"
        found = re.search(told, " ".join(fit.notes))
        assert (found is not None) == (share > 1)
        if found is not None:
            assert float(found[1]) == pytest.approx(border(X), rel=5e-3)
            assert (found[2] is None) == (not momentum)
            assert float(found[2] or found[1]) == pytest.approx(border(X, momentum), rel=5e-3)


def test_the_border_that_is_named_is_where_momentum_diverges() -> None:
    X, y, _ = table()
    for share in (0.98, 1.02):
        solver = SGD(lr=share * border(X, 0.5), batch_size=300, momentum=0.5, epochs=500, tol=None)
        fit = linnet.fit(X, y, solver=solver)
        assert (fit.status is Status.DIVERGED) == (share > 1)
        if share > 1:
            assert f"{border(X):.3g} (2/λ), with this momentum up to {border(X, 0.5):.3g}" in fit.notes[0]


def test_a_rate_far_below_what_is_stable_is_named() -> None:
    X, y, _ = table()
    for batch_size in (1, 32, 300):
        slow, quick = (
            linnet.fit(X, y, solver=SGD(lr=lr, epochs=5, batch_size=batch_size)) for lr in (1e-4, 0.1 * border(X))
        )
        assert "far below the stable" in slow.notes[0]
        assert 'use lr="auto"' in slow.notes[0]
        assert not any("far below" in note for note in quick.notes)


def test_rows_in_the_same_order_are_named_where_they_keep_a_run_off() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(-5, 6, (2000, 5)).astype(float)
    y = X.sum(axis=1) + rng.standard_normal(2000)
    rates: tuple[tuple[Any, str], ...] = (("auto", "shuffle=True"), (0.01, 'shuffle=True and lr="auto"'))
    for lr, remedy in rates:
        solver = SGD(lr=lr, shuffle=False, epochs=200)
        fit = linnet.fit(X, y, solver=solver)
        assert fit.status is Status.STOPPED
        assert fit.notes[0].endswith(f"rows in the same order in each epoch keep it off: use {remedy}")
        assert linnet.fit(X, y, solver=replace(solver, lr="auto", shuffle=True)).status is Status.CONVERGED
    for other in (SGD(shuffle=False, epochs=2), SGD(shuffle=False, epochs=20, batch_size=2000, lr=0.01)):
        assert not any("same order" in note for note in linnet.fit(X, y, solver=other).notes)


def test_a_schedule_that_stops_a_run_is_named() -> None:
    rng = np.random.default_rng(2)
    X = rng.standard_normal((526, 3))
    y = X.sum(axis=1) + rng.standard_normal(526)
    rates: tuple[tuple[Any, str], ...] = (("auto", ""), (0.1, ' and lr="auto"'))
    for lr, remedy in rates:
        solver = SGD(lr=lr, schedule="inverse-time", epochs=12, decay=50.0)
        fit = linnet.fit(X, y, solver=solver)
        assert fit.status is Status.STOPPED
        assert fit.notes[0].endswith(f'by its schedule: use schedule="constant"{remedy}')
    assert linnet.fit(X, y, solver=replace(solver, lr="auto", schedule="constant", epochs=None)).status.converged


def test_a_given_rate_that_leads_no_nearer_is_named() -> None:
    """Under constant steps the weights move about the optimum for ever."""
    X, y, _ = table()
    fit = linnet.fit(X, y, solver=SGD(lr=0.2, epochs=200, batch_size=4))
    assert fit.status is Status.STOPPED
    assert fit.notes[0].endswith('with this learning rate it comes hardly nearer: use lr="auto"')


@pytest.mark.parametrize("extra", ["constant", "twice"])
def test_an_exact_dependency_slows_nothing(extra: str) -> None:
    X, y, _ = table()
    X = np.column_stack([X, np.ones(300) if extra == "constant" else X[:, 0]])
    fit = linnet.fit(X, y, solver=SGD(epochs=2))
    assert fit.status is Status.STOPPED
    assert not any("condition" in note for note in fit.notes)
    near = X[:, :1] + 0.01 * np.random.default_rng(1).standard_normal((300, 1))
    notes = " ".join(linnet.fit(np.hstack([X, near]), y, solver=SGD(epochs=2)).notes)
    kept = np.corrcoef(np.hstack([X[:, :3], near]).T)
    found = re.search(r"condition number (\d+)", notes)
    assert found is not None
    assert float(found[1]) == pytest.approx(np.linalg.cond(kept) ** 0.5, rel=1e-2)


@pytest.mark.parametrize("scale", [None, 1.0, 1e6])
@pytest.mark.parametrize("tol", [None, "auto"])
def test_predictions_tell_the_distance_where_columns_depend_on_each_other(scale: float | None, tol: Any) -> None:
    """Their root mean square over the rows, in that of their standard errors, whatever unit row weights have."""
    X, y, weight = table()
    X, y = np.column_stack([X, X[:, 0] + X[:, 1]]), y - y.mean()
    w = np.ones(300) if scale is None else weight
    fit = linnet.fit(X, y, weight=None if scale is None else w * scale, solver=SGD(lr=1e-6, epochs=3, tol=tol))
    z = np.column_stack([np.ones(300), X[:, :3]])
    best = np.linalg.solve(z.T @ (w[:, None] * z), z.T @ (w * y))
    sd = np.sqrt(w @ (y - z @ best) ** 2 / (np.count_nonzero(w) - 4))
    errors = sd * np.sqrt(np.einsum("ij,jk,ik->i", z, np.linalg.inv(z.T @ (w[:, None] * z)), z))
    off = fit.predict(X) - z @ best
    found = [re.match(r"predictions are (\S+) of their standard errors from the exact ones", n) for n in fit.notes]
    told = [float(each[1]) for each in found if each is not None]
    assert told == [pytest.approx(np.sqrt((w @ off**2) / (w @ errors**2)), rel=0.05)]


def test_predictions_without_standard_errors_tell_their_distance_too() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 30)), rng.standard_normal(20)
    fit = linnet.fit(X, y, solver=SGD(epochs=3))
    off = np.sqrt(np.mean((fit.predict(X) - y) ** 2))
    found = re.search(r"predictions are (\S+) from the exact ones", " ".join(fit.notes))
    assert found is not None
    assert float(found[1]) == pytest.approx(off, rel=0.05)
