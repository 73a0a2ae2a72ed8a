"""Large minibatches, on which a second thread helps: it may be there, or late, or not; the bits are the same."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet import SGD, Absolute, Huber, Loss, Objective, Quantile, Squared, Status, Step, sgd_kernels
from linnet.block import Block
from linnet.desk_kernels import ASKED, BIAS, DONE, GRACE, LATE, OVER, SHARED, ask_for, rows_of_second
from linnet.row_kernels import TOGETHER
from linnet.solvers import learner as module
from linnet.solvers.gathering import Past, gather
from linnet.solvers.learner import Learned
from linnet.sources import window
from linnet.sources.arrays import ArraySource
from reference_sgd import permutation, reference

Rows = tuple[NDArray[Any], NDArray[Any]]
LOSSES: list[Loss] = [Squared(), Absolute(), Huber(0.5), Quantile(0.9)]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def wide(n: int = 500, d: int = 130, dtype: Any = np.float64) -> Rows:
    """Rows of which 64 are shared, and the 52 of a last minibatch too."""
    rng = np.random.default_rng(n)
    X = rng.standard_normal((n, d))
    return X.astype(dtype), (X[:, :9] @ np.arange(1.0, 10) - 2 + rng.standard_normal(n)).astype(dtype)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets their number; a second one is started for any number of rows."""
    monkeypatch.setattr(module, "LONG", 0)
    return lambda count: monkeypatch.setenv("LINNET_NUM_THREADS", str(count))


def learn(solver: SGD, rows: Rows, loss: Loss, weight: Any = None) -> list[Step]:
    return list(solver.steps(Objective(loss, l2=1e-3), ArraySource(*rows, weight=weight)))


def bits(steps: list[Step]) -> list[Any]:
    return [(step.step, np.r_[step.weights, step.bias, step.loss].tobytes(), step.status) for step in steps]


def test_a_minibatch_has_a_rows_of_second_where_that_is_worth_it() -> None:
    for d, dtype in itertools.product((1, 3, 100, 999, 20_000), (np.float32, np.float64)):
        X = np.empty((1, d), dtype)
        for rows in (1, 3, 4, 32, 33, 64, 1000, 100_000):
            second = rows_of_second(rows, X)
            assert second % TOGETHER == 0
            if rows * X.nbytes < SHARED:
                assert second == 0
            else:  # half, but for what the first thread does until the second one has begun
                assert -8 < 2 * second - (rows - LATE / X.nbytes) < 2


def test_a_helper_is_asked_when_it_is_back_and_let_go_when_it_is_mostly_away() -> None:
    nobody = module.EMPTY.copy()
    assert ask_for(nobody, 64, 0.5, 0.0) == 0.0
    assert np.array_equal(nobody, module.EMPTY)
    desk = module.EMPTY.copy()
    desk[DONE] = 0.0
    ticket = ask_for(desk, 64, 0.5, 0.0)
    assert (ticket, desk[ASKED], desk[BIAS]) == (65.0, 65.0, 0.5)
    assert ask_for(desk, 128, 0.25, ticket) == ticket
    assert (desk[ASKED], desk[BIAS]) == (65.0, 0.5)  # which the helper may still be reading
    for at in range(192, 64 * GRACE, 64):  # away for every fifth
        desk[DONE] = ticket if at // 64 % 5 else -0.5 + ticket
        ticket = ask_for(desk, at, 0.5, ticket)
    assert not desk[OVER]
    for at in range(0, 64 * GRACE, 64):
        assert ask_for(desk, at, 0.5, -7.0) == -7.0
    assert desk[OVER]
    desk[DONE] = ticket
    assert ask_for(desk, 64, 0.5, ticket) == ticket


@every_loss
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shuffle", [True, False])
def test_both_parts_together_do_what_the_formula_says(
    loss: Loss, count: int, weighted: bool, shuffle: bool, threads: Callable[[int], None]
) -> None:
    threads(count)
    X, y = wide(180)
    weight = np.random.default_rng(1).uniform(0.0, 3.0, len(y)) if weighted else None
    steps = learn(SGD(lr=0.01, epochs=2, tol=None, every=1, batch_size=64, shuffle=shuffle), (X, y), loss, weight)
    assert rows_of_second(64, X)
    assert rows_of_second(180 - 2 * 64, X)
    rng = np.random.default_rng(0)
    orders = [permutation(rng, 180) if shuffle else range(180) for _ in range(2)]
    expected = reference(X, y, loss, lr=0.01, batch_size=64, orders=orders, l2=1e-3, weight=weight)
    for step, (w, b) in zip(steps[:-1], expected, strict=True):
        assert step.weights is not None
        np.testing.assert_allclose(np.r_[step.weights, step.bias or 0.0], np.r_[w, b], rtol=1e-12, atol=1e-12)


@every_loss
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("lr", [0.003, "auto"])
def test_a_helper_changes_no_bit(loss: Loss, dtype: Any, lr: Any, threads: Callable[[int], None]) -> None:
    rows = wide(3000, 133, dtype)
    weight = np.random.default_rng(1).uniform(0.0, 3.0, len(rows[1]))
    for shuffle in (True, "pieces", False):
        solver = SGD(lr=lr, epochs=3, tol=None, batch_size=131, shuffle=shuffle, momentum=0.5)
        runs = []
        for count in (1, 2):
            threads(count)
            runs.append(bits(learn(solver, rows, loss, weight)))
        assert runs[0] == runs[1]


@pytest.mark.parametrize("seconds", [0.0, 0.0003, 0.002, 0.1])
def test_a_helper_that_is_late_changes_no_bit(
    seconds: float, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = wide(4000, 150)
    solver = SGD(lr=0.003, epochs=4, tol=None, batch_size=50, average=True)
    threads(1)
    alone = bits(learn(solver, rows, Huber(0.5)))
    monkeypatch.setattr(module, "aside", lambda: lambda: time.sleep(seconds))
    threads(2)
    assert bits(learn(solver, rows, Huber(0.5))) == alone


def test_a_helper_that_is_stopped_again_and_again_changes_no_bit(threads: Callable[[int], None]) -> None:
    """Other threads take its processor away, so that it answers what is no longer asked."""
    rows = wide(20_000, 200, np.float32)
    solver = SGD(lr=0.003, epochs=3, tol=None, batch_size=64)
    threads(1)
    alone = bits(learn(solver, rows, Squared()))
    over = threading.Event()

    def disturb() -> None:
        block = np.ones(200_000)
        while not over.is_set():
            block.sort()  # without the interpreter's lock

    others = [threading.Thread(target=disturb) for _ in range(3)]
    for other in others:
        other.start()
    threads(2)
    try:
        for _ in range(3):
            assert bits(learn(solver, rows, Squared())) == alone
    finally:
        over.set()
        for other in others:
            other.join()


def test_what_goes_wrong_in_the_helper_is_not_lost(
    threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(module, "aside", lambda: fail)
    threads(2)
    with pytest.raises(MemoryError, match="no room"):
        learn(SGD(lr=0.003, epochs=1, tol=None, batch_size=64), wide(5000), Squared())


def test_an_interrupt_leaves_no_helper_waiting_and_changes_no_bit(
    threads: Callable[[int], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads(2)
    rows = wide(1000)
    solver = SGD(lr=0.003, epochs=6, tol=None, batch_size=64)
    whole = bits(learn(solver, rows, Squared()))[-1]
    descend = sgd_kernels.descend
    for at, before in itertools.product((1, 3, 6), (False, True)):
        calls = itertools.count(1)

        def interrupted(*args: Any, at: int = at, before: bool = before, calls: Any = calls) -> None:
            if threading.current_thread() is not threading.main_thread():
                descend(*args)
                return
            now = next(calls) == at
            if not (now and before):
                descend(*args)
            if now:
                raise KeyboardInterrupt

        kept = replace(solver, checkpoint=tmp_path / f"{at}{before}", resume=True)
        monkeypatch.setattr(module, "descend", interrupted)
        assert learn(kept, rows, Squared())[-1].status is Status.INTERRUPTED
        monkeypatch.setattr(module, "descend", descend)
        assert bits(learn(kept, rows, Squared()))[-1] == whole
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("linnet-helper")]


def test_a_second_thread_has_one_task_only(threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it works on minibatches it fetches no rows, and where it fetches rows it works on no minibatch."""
    monkeypatch.setattr(window, "FAR", 0)
    monkeypatch.setattr(window, "LEG", 1 << 14)
    started: set[str] = set()
    start = threading.Thread.start

    def noted(thread: threading.Thread) -> None:
        started.add(thread.name.rpartition("_")[0])
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", noted)
    for count, batch_size, wanted in (
        (1, 8, set()),
        (1, 64, set()),
        (2, 8, {"linnet-collector"}),
        (2, 64, {"linnet-helper"}),
    ):
        threads(count)
        learn(SGD(lr=0.001, epochs=2, tol=None, batch_size=batch_size), wide(1000), Squared())
        assert started == wanted
        started.clear()


@pytest.mark.parametrize("batch_size", [8, 64], ids=["fetching rows", "sharing minibatches"])
@pytest.mark.parametrize("refused", [range(100), range(1, 100), range(1)], ids=["any", "a second", "the first"])
def test_where_no_thread_can_be_had_one_does_all(
    batch_size: int, refused: range, threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a container allows only so many, and others have them all, for a while or for good."""
    monkeypatch.setattr(window, "FAR", 0)
    monkeypatch.setattr(window, "LEG", 1 << 14)
    rows, solver = wide(1000), SGD(lr=0.001, epochs=4, tol=None, batch_size=batch_size, average=True)
    threads(1)
    alone = bits(learn(solver, rows, Huber(0.5)))
    start, asked = threading.Thread.start, itertools.count()

    def perhaps(thread: threading.Thread) -> None:
        if next(asked) in refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", perhaps)
    threads(2)
    assert bits(learn(solver, rows, Huber(0.5))) == alone
    assert next(asked) > 0


def test_rows_of_any_layout_are_learned_from_by_one_machine_code() -> None:
    """Compiling the loop for a layout takes seconds, and copying few rows no time."""
    data = np.random.default_rng(3).standard_normal((120, 8))
    locked, squares = data.copy(), data[:, 7] ** 2
    for array in (locked, squares):
        array.setflags(write=False)
    solver = SGD(lr=0.01, epochs=2, tol=None)

    class Held(ArraySource):
        """Of somebody who gives rows as they are."""

        def held(self) -> Block:
            return Block(data[:, :3], data[:, 3], squares)

    def learned(X: Any, y: Any) -> list[Any]:
        return bits(learn(solver, (X, y), Squared(), squares[: len(y)]))

    parts = data[:, :-1], data[:, 2:5], data[::2, 1:], data[::-1], data[:, :1], locked[:, :-1], np.asfortranarray(data)
    expected = [learned(np.ascontiguousarray(X), data[: len(X), 0].copy()) for X in parts]
    known = set(sgd_kernels.descend.signatures)
    assert [learned(X, data[: len(X), 0]) for X in parts] == expected
    list(solver.steps(Objective(Squared()), Held(data[:, :3], data[:, 3])))
    assert set(sgd_kernels.descend.signatures) == known


@every_loss
@pytest.mark.parametrize("batch_size", [10, 1000])
@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_a_rate_of_our_own_is_what_it_says(loss: Loss, batch_size: int, momentum: float) -> None:
    """Plain loops on standardised columns: a rate that falls, from the target's mean, and a mean of late weights.

    That gives step k the share 9/(k+8) (Shamir and Zhang 2013, section 3).
    """
    rng = np.random.default_rng(1)
    X = rng.standard_normal((205, 3)) * [1.0, 100.0, 0.01] + [0.0, 70.0, 5.0]
    y = X @ [1.0, -0.02, 30.0] + rng.standard_normal(205)
    steps = learn(SGD(epochs=3, tol=None, every=1, batch_size=batch_size, momentum=momentum), (X, y), loss)
    centre, scale = X.mean(axis=0), X.std(axis=0)
    metric = np.r_[1.0, 1.0 / (scale**2 + 1e-3)]
    z = np.column_stack([np.ones(205), X - centre])
    size = min(batch_size, 205)
    fall = 0.0 if loss.name == "squared" and size == 205 else 1.0 / (8 * -(-205 // size))
    rate, power = steps[-1].settings["lr"], 0.5 if loss.name == "squared" else 0.75
    u, velocity = np.array([y.mean(), 0.0, 0.0, 0.0]), np.zeros(4)
    mean, k, shuffles = u.copy(), 0, np.random.default_rng(0)
    for _ in range(3):
        order = np.array(permutation(shuffles, 205))
        for first in range(0, 205, size):
            batch = order[first : first + size]
            gradient = -z[batch].T @ loss.slope(y[batch] - z[batch] @ u) / len(batch) + 1e-3 * np.r_[0.0, u[1:]]
            velocity = momentum * velocity + gradient
            u = u - rate * (1.0 + fall * k) ** -power * metric * velocity
            k += 1
            mean = mean + 9.0 / (k + 8.0) * (u - mean)
            step = steps[k - 1]
            assert step.step == k
            assert step.weights is not None
            np.testing.assert_allclose(step.weights, mean[1:], rtol=1e-10, atol=1e-12)
            assert step.bias == pytest.approx(mean[0] - centre @ mean[1:], rel=1e-10)
    assert k == len(steps) - 1


@pytest.mark.parametrize("lr", [0.01, "auto"])
@pytest.mark.parametrize("known", [False, True])
def test_what_was_learned_about_one_centre_goes_on_about_another(lr: Any, known: bool) -> None:
    """Weights predict as before, and a velocity is the sum of slopes times rows, from wherever these are counted."""
    rng = np.random.default_rng(4)
    X, y, slopes = rng.normal([5.0, 0.0, -90.0], 1.0, (50, 3)), rng.standard_normal(50), rng.standard_normal(50)
    old = np.array([7.0, 1.0, -80.0]) if known else np.zeros(3)
    u, mean = rng.standard_normal((2, 4))
    velocity = slopes @ np.column_stack([np.ones(50), X - old])
    before = Learned(np.array([u, velocity, mean]), old if known else None, 9, u, Past())
    solver, objective = SGD(lr=lr, momentum=0.5, tol=None), Objective(Squared())
    gathering = gather(solver, objective, ArraySource(X, y), before.past)
    with pytest.raises(StopIteration) as over:
        next(gathering)
    rows = over.value.value
    place = module.Learner(solver, objective, rows).begin(solver, rows, rng, before)
    new = X.mean(axis=0) if lr == "auto" else np.zeros(3)
    assert place.step == 9
    for state, was in ((place.state[0], u), (place.state[2], mean)):
        np.testing.assert_allclose(state[0] + (X - new) @ state[1:], was[0] + (X - old) @ was[1:], rtol=1e-9)
        np.testing.assert_array_equal(state[1:], was[1:])
    np.testing.assert_allclose(place.state[1], slopes @ np.column_stack([np.ones(50), X - new]), rtol=1e-9, atol=1e-12)
