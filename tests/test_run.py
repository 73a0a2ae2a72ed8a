"""What must come of a run whatever interrupts it, looks at it or helps it: the same bits."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet import SGD, Absolute, Huber, InputError, Loss, Objective, Quantile, Squared, Status, Step, sgd_kernels
from linnet.solvers import learner
from linnet.solvers import run as module
from linnet.sources import window
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
Rows = tuple[Floats, Floats]


def rows(n: int, d: int, seed: int = 0) -> Rows:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, X @ np.arange(1.0, d + 1) - 2 + rng.standard_normal(n)


def unsampled(n: int, seed: int, hidden: int) -> Rows:
    """Rows that the automatic rate's sample leaves out, and that make the run explode in its second epoch."""
    X = rows(n, 2, seed)[0]
    left_out = sorted(set(range(n)) - set(np.linspace(0, n - 1, 2048).astype(int).tolist()))
    X[left_out[:hidden]] *= 200
    return X, X @ [1.0, 2.0] + np.random.default_rng(1).standard_normal(n)


def learn(solver: SGD, data: Rows, loss: Loss) -> Any:
    return solver.steps(Objective(loss), ArraySource(*data))


def ends(step: Step) -> tuple[Any, ...]:
    """All that a run ends with; mean losses to ten digits, since how often one looks changes how they are added up."""
    assert step.weights is not None
    history = [{**record, "loss": f"{record['loss']:.9e}"} for record in step.history]
    return step.weights.tobytes(), step.bias, step.epoch, step.step, step.status, step.notes, history


RUNS: dict[str, tuple[SGD, Rows, Loss]] = {
    "a rate that is lowered": (SGD(epochs=6, tol=None, every=20, seed=1), unsampled(2500, 201, 1), Squared()),
    "weights that are spoilt": (SGD(epochs=5, tol=None, every=25, seed=1), unsampled(4000, 203, 3), Squared()),
    "a far start": (SGD(lr=0.5, epochs=2, tol=None, every=3, start=(1e3, 1e3, -1e3, 1e3)), rows(150, 3), Squared()),
    "rest": (SGD(epochs=4000), rows(64, 2, seed=5), Absolute()),
    "convergence": (SGD(epochs=4000), rows(64, 2, seed=5), Squared()),
    "pieces": (SGD(lr=0.02, epochs=3, tol=None, every=2, shuffle="pieces", batch_size=16), rows(300, 3), Huber(0.5)),
}


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupt_at_any_step_changes_nothing(name: str, tmp_path: Path) -> None:
    solver, data, loss = RUNS[name]
    whole = list(learn(solver, data, loss))
    for at in sorted({*range(1, min(len(whole), 8)), len(whole) // 2, len(whole) - 1}):
        kept = replace(solver, checkpoint=tmp_path / str(at), resume=True)
        run = learn(kept, data, loss)
        for _ in itertools.islice(run, at):
            pass
        assert run.throw(KeyboardInterrupt).status is Status.INTERRUPTED
        assert ends(list(learn(kept, data, loss))[-1]) == ends(whole[-1]), at


def test_a_lower_rate_begins_anew_where_the_weights_are_spoilt() -> None:
    """The first epoch ends with a loss that is still within bounds, at weights that no rate leads back from."""
    solver, data, loss = RUNS["weights that are spoilt"]
    last = list(learn(solver, data, loss))[-1]
    assert last.status is Status.RAN
    assert "lowered 4 times" in last.notes[-1]
    assert [record["epoch"] for record in last.history] == [1, 2, 3, 4, 5]
    assert last.objective is not None
    assert last.objective < np.mean(data[1] ** 2) / 2


@pytest.mark.parametrize("every", [None, 3])
@pytest.mark.parametrize("shuffle", [True, "pieces", False])
def test_an_interrupt_between_two_steps_changes_nothing(
    every: int | None, shuffle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    solver = SGD(lr=0.02, epochs=3, tol=None, every=every, shuffle=shuffle, batch_size=16)
    data = rows(300, 3)
    whole = list(learn(solver, data, Squared()))[-1]
    descend = sgd_kernels.descend
    for at in range(1, 12):
        calls = itertools.count(1)

        def interrupted(*args: Any, at: int = at, calls: Any = calls) -> None:
            descend(*args)
            if next(calls) == at:
                raise KeyboardInterrupt

        kept = replace(solver, checkpoint=tmp_path / str(at), resume=True)
        monkeypatch.setattr(learner, "descend", interrupted)
        list(learn(kept, data, Squared()))
        monkeypatch.setattr(learner, "descend", descend)
        assert ends(list(learn(kept, data, Squared()))[-1]) == ends(whole), at


@pytest.mark.parametrize("loss", [Squared(), Huber(0.5), Quantile(0.3)], ids=lambda loss: loss.name)
@pytest.mark.parametrize("tol", ["auto", None])
def test_long_runs_are_judged_at_the_same_epochs_whoever_looks(
    loss: Loss, tol: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond RECORDS epochs a percent of them pass from one record to the next."""
    monkeypatch.setattr(module, "RECORDS", 150)
    monkeypatch.setattr(window, "FAR", 0)
    monkeypatch.setattr(window, "LEG", 1 << 8)
    data = rows(60, 2)
    solver = SGD(lr=2e-3, epochs=1200, tol=tol, batch_size=4)
    runs: dict[str, SGD] = {f"every {every}": replace(solver, every=every) for every in (None, 1, 7, 100)}
    runs["checkpoint"] = replace(solver, checkpoint=tmp_path / "run")
    found = set()
    for (name, each), threads in itertools.product(runs.items(), "12"):
        monkeypatch.setenv("LINNET_NUM_THREADS", threads)
        (tmp_path / "run").unlink(missing_ok=True)
        *steps, last = learn(each, data, loss)
        found.add(repr(ends(last)))
        assert len(found) == 1, name
        epochs = [record["epoch"] for record in last.history]
        assert epochs[-1] == last.epoch
        assert len(epochs) <= 300
        if each.every is None:
            assert len(steps) < max(300, last.epoch / 2)


@pytest.mark.parametrize("batch_size", [60, 61, 10**9, sys.maxsize, 2**63, 10**30])
def test_a_batch_of_all_rows_or_more_is_a_batch_of_all_rows(batch_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "FAR", 0)
    data = rows(60, 2)
    runs = [SGD(epochs=4, tol=None, batch_size=size, every=every) for size in (60, batch_size) for every in (None, 2)]
    assert len({repr(ends(list(learn(run, data, Squared()))[-1])) for run in runs}) == 1


@pytest.mark.parametrize("layout", [lambda X: X[:, :17], lambda X: X[:, 3:20], lambda X: X[::-1, :17]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_change_no_bit_for_views_either(
    layout: Callable[[Any], Any], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "FAR", 0)
    monkeypatch.setattr(window, "LEG", 1 << 10)
    X, y = rows(700, 40)
    data = layout(X.astype(dtype)), y.astype(dtype)
    found = set()
    for threads in "12":
        monkeypatch.setenv("LINNET_NUM_THREADS", threads)
        last = list(learn(SGD(lr=0.01, epochs=2, tol=None, every=200), data, Squared()))[-1]
        found.add(repr((ends(last), last.history)))
    assert len(found) == 1


def test_a_run_after_its_end_is_refused_with_other_rows(tmp_path: Path) -> None:
    solver = SGD(lr=0.02, epochs=2, tol=None, checkpoint=tmp_path / "run", resume=True)
    list(learn(solver, rows(60, 2), Squared()))
    with pytest.raises(InputError, match="rows"):
        list(learn(solver, rows(60, 2, seed=1), Squared()))
