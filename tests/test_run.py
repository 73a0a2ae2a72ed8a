"""What must come of a run whatever interrupts it, looks at it or helps it: the same bits."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet import (
    SGD,
    Absolute,
    Huber,
    InputError,
    Loss,
    Objective,
    Quantile,
    Squared,
    Status,
    Step,
    atomic,
    sgd_kernels,
)
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


LINES: dict[str, tuple[SGD, Rows, Loss]] = {
    "plain": (SGD(lr=0.02, epochs=3, tol=None, every=7, batch_size=16), rows(300, 3), Squared()),
    "lowered": (replace(RUNS["a rate that is lowered"][0], epochs=3, every=40), *RUNS["a rate that is lowered"][1:]),
    "spoilt": (replace(RUNS["weights that are spoilt"][0], epochs=3, every=60), *RUNS["weights that are spoilt"][1:]),
    "exploding": (SGD(lr=2.2, epochs=3, tol=None, every=4, batch_size=16), rows(300, 3), Squared()),
    "exploding late": (SGD(lr=1.9, epochs=60, tol=None, batch_size=300), rows(300, 4, seed=3), Squared()),
    "rest": (SGD(epochs=4000, batch_size=64), rows(64, 1, seed=5), Absolute()),
}


def interrupted(at: int, learned: Callable[[], list[Step]]) -> tuple[list[Step], list[int]]:
    """Steps of a run, to which an interrupt comes at the so many-th line of run.py, and the lines before it."""
    lines: list[int] = []

    def line(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == at:
                sys.settrace(None)
                raise KeyboardInterrupt
        return line

    before = sys.gettrace()
    sys.settrace(lambda frame, *_: line if frame.f_code.co_filename == module.__file__ else None)
    try:
        return learned(), lines
    except KeyboardInterrupt:  # before there were weights, or after the last of them
        return [], lines
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("name", LINES)
def test_an_interrupt_at_any_line_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each line of the file that such a run goes through, the first time, the last time or between."""
    monkeypatch.setattr(atomic, "_sync", lambda *_: None)  # which takes long, and has no part in this
    monkeypatch.setattr(module, "monotonic", map(float, itertools.count(step=0.4)).__next__)  # each third look saves
    solver, data, loss = LINES[name]
    whole = list(learn(solver, data, loss))[-1]
    assert (whole.status is Status.DIVERGED) == name.startswith("exploding")
    lines = np.array(interrupted(0, partial(list, learn(replace(solver, checkpoint=tmp_path / "0"), data, loss)))[1])
    rng = np.random.default_rng(0)
    points = {int(rng.choice(np.flatnonzero(lines == line))) + 1 for line in set(lines.tolist())}
    assert len(points) > 100
    for at in sorted(points):
        kept = replace(solver, checkpoint=tmp_path / str(at), resume=True)
        interrupted(at, partial(list, learn(kept, data, loss)))
        assert ends(list(learn(kept, data, loss))[-1]) == ends(whole), (at, lines[at - 1])


@pytest.mark.parametrize("name", ["exploding", "exploding late"])
def test_an_interrupt_returns_no_weights_that_have_exploded(name: str) -> None:
    """Twice the ten times the loss at the start that end an epoch; rows that no sample has may hide more."""
    solver, data, loss = LINES[name]
    source = ArraySource(*data)
    start = Objective(loss).of(source, np.zeros(data[0].shape[1]), 0.0)
    for at in range(1, len(list(learn(solver, data, loss)))):
        run = learn(solver, data, loss)
        for _ in itertools.islice(run, at):
            pass
        last = run.throw(KeyboardInterrupt)
        assert last.status is Status.INTERRUPTED
        assert last.objective <= 20 * start, at


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
    runs |= {"two threads": solver, "checkpoint, two threads": replace(solver, checkpoint=tmp_path / "run")}
    found = set()
    for name, each in runs.items():
        monkeypatch.setenv("LINNET_NUM_THREADS", "2" if "threads" in name else "1")
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


OTHER: dict[str, Any] = {
    "lr": 0.02, "batch_size": 31, "momentum": 0.1, "average": True, "schedule": "inverse-time", "shuffle": "pieces",
    "init": "normal", "seed": 1, "decay": 2.0, "start": (0.0, 0.0, 0.0), "done": 7,
    "epochs": 9, "tol": "auto", "every": 2, "checkpoint": "another", "resume": True,
}  # fmt: skip
FREE = ["epochs", "tol", "every", "checkpoint", "resume"]


@pytest.mark.parametrize("setting", OTHER)
def test_what_may_be_another_when_a_run_is_resumed(setting: str, tmp_path: Path) -> None:
    """How long it goes on, by what it ends and how often somebody looks; nothing that moves the weights."""
    assert {field.name for field in fields(SGD)} == set(OTHER)
    data, path = rows(60, 2), tmp_path / "run"
    solver = SGD(lr=0.01, epochs=3, tol=None, checkpoint=path)
    list(learn(solver, data, Squared()))
    changed = {**vars(solver), "resume": True, setting: OTHER[setting], "checkpoint": path}
    if setting == "checkpoint":  # a run has no name: its file may be another's, or have been moved
        changed["checkpoint"] = path.rename(tmp_path / "another")
    if setting in FREE:
        whole = list(learn(SGD(**{**changed, "checkpoint": None, "resume": False}), data, Squared()))[-1]
        assert ends(list(learn(SGD(**changed), data, Squared()))[-1]) == ends(whole)
    else:
        with pytest.raises(InputError, match=f"with another {setting}: it was"):
            list(learn(SGD(**changed), data, Squared()))


@pytest.mark.parametrize(
    ("before", "after", "features", "known"),
    [(None, "auto", 2, 13), ("auto", None, 2, 13), (None, "auto", 101, 3), ("auto", None, 101, 5)],
)
def test_objectives_stay_with_their_epochs_when_the_tolerance_changes(
    before: Any, after: Any, features: int, known: int, tmp_path: Path
) -> None:
    """They are known at once where there is a tolerance, and else worked out at the end, if the weights were kept."""
    data = rows(300, features)
    solver = SGD(lr=1e-4, epochs=8, tol=after)
    whole = list(learn(solver, data, Squared()))[-1]
    kept = replace(solver, checkpoint=tmp_path / "run", resume=True)
    first = list(learn(replace(kept, epochs=5, tol=before), data, Squared()))[-1]
    last = list(learn(kept, data, Squared()))[-1]
    assert [record["epoch"] for record in last.history] == list(range(1, 9))
    objectives = []
    for record, *others in zip(last.history, [*first.history, {}, {}, {}], whole.history, strict=True):
        assert [record[name] for name in ("step", "loss", "lr")] == [others[1][name] for name in ("step", "loss", "lr")]
        objectives += [
            (record["objective"], other["objective"]) for other in others if "objective" in record.keys() & other.keys()
        ]
    assert len(objectives) == known
    for found, wanted in objectives:
        assert found == pytest.approx(wanted, rel=1e-12)
