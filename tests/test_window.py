from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import linnet
from linnet.block import Block
from linnet.sources import window as module
from linnet.sources.arrays import ArraySource
from linnet.sources.window import PIECE, Leg, Shuffle, Window, drawn, permutations

SHUFFLES: list[Shuffle] = [True, "pieces", False]


def rows_of(legs: Any) -> list[NDArray[Any]]:
    """[X, y, weight] of each visit, in order; copied, since the next leg may take the place of these."""
    seen = []
    for leg in legs:
        at = slice(leg.start, leg.stop)
        at = leg.order[at] if leg.order.size else at
        columns = [leg.block.X, leg.block.y[:, None]]
        if leg.block.weight is not None:
            columns.append(leg.block.weight[:, None])
        seen.append(np.hstack(columns)[at])
    return seen


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Legs so short that a few hundred rows are many of them, and far enough apart for a second thread."""
    monkeypatch.setattr(module, "LEG", 1 << 10)
    monkeypatch.setattr(module, "FAR", 0)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "at"), [(1000, 0), (1000, 320), (33, 0), (64, 64)])
def test_legs_are_all_visits_in_order_whoever_fetches_them(rows: int, at: int, weighted: bool, shuffle: Any) -> None:
    rng = np.random.default_rng(rows)
    X = rng.standard_normal((rows, 3)).astype(np.float32)
    block = Block(X, rng.standard_normal(rows), rng.uniform(0, 1, rows) if weighted else None)
    window = Window(block, drawn(rows, shuffle, rng), at)
    alone, helped = rows_of(window.legs(rows, 8, 512, 64, lambda: 1)), rows_of(window.legs(rows, 8, 512, 64, lambda: 2))
    whole = rows_of([Leg(block, window.order, at, rows)])[0]
    assert np.array_equal(np.concatenate([whole[:0], *alone]), whole)
    assert np.array_equal(np.concatenate([whole[:0], *helped]), whole)
    for legs in (alone, helped):
        assert all(len(leg) % 8 == 0 for leg in legs[:-1])
        ends = np.cumsum([len(leg) for leg in legs])
        assert set(range(448, rows - at, 512)) <= set(ends.tolist())
    if rows == 1000:
        assert (len(helped) > len(alone)) == bool(shuffle)


def test_rows_as_they_come_or_few_rows_start_no_thread() -> None:
    block = Block(np.zeros((1000, 3)), np.zeros(1000))
    for order in (np.empty(0, np.int64), np.arange(1000)):
        ((found, _, start, stop),) = Window(block, order, 0).legs(1000, 8, 4096, 0, lambda: 2)
        assert found is block
        assert (start, stop) == (0, 1000)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("seconds", [0.0, 0.003])
def test_a_second_thread_changes_no_bit_of_a_run_however_slow_it_is(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((777, 5)).astype(np.float32)
    y, weight = X @ np.arange(5.0) + rng.standard_normal(777), rng.uniform(0, 2, 777)
    collected = module._collected

    def slowly(leg: Leg, space: Block) -> Leg:
        time.sleep(seconds)
        return collected(leg, space)

    monkeypatch.setattr(module, "_collected", slowly)

    def learned(threads: int, **options: Any) -> tuple[bytes, ...]:
        monkeypatch.setenv("LINNET_NUM_THREADS", str(threads))
        solver = linnet.SGD(lr=0.02, batch_size=8, epochs=2, tol=None, every=64, **options)
        source = ArraySource(X, y, weight=weight)
        steps = solver.steps(linnet.Objective(linnet.Huber(0.5)), source)
        return tuple(np.r_[step.weights, step.bias, step.loss].tobytes() for step in steps if step.weights is not None)

    for options in ({}, {"shuffle": "pieces", "momentum": 0.5}, {"average": True}):
        assert learned(1, **options) == learned(2, **options)


@pytest.mark.usefixtures("tiny")
def test_what_goes_wrong_in_the_second_thread_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Leg:
        raise MemoryError("no room")

    monkeypatch.setattr(module, "_collected", fail)
    window = Window(Block(np.zeros((1000, 3)), np.zeros(1000)), np.arange(1000), 0)
    legs = window.legs(1000, 8, 512, 0, lambda: 2)
    next(legs)
    time.sleep(0.1)
    with pytest.raises(MemoryError, match="no room"):
        next(legs)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("most", [512, 100_000])
def test_where_no_second_thread_can_be_had_the_first_fetches_all(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    block = Block(np.random.default_rng(0).standard_normal((1000, 3)), np.arange(1000.0))
    window = Window(block, drawn(1000, True, np.random.default_rng(1)), 64)
    helped = rows_of(window.legs(1000, 8, most, 64, lambda: 2))
    monkeypatch.setattr(threading.Thread, "start", refused)
    alone = rows_of(window.legs(1000, 8, most, 64, lambda: 2))
    assert np.array_equal(np.concatenate(alone), np.concatenate(helped))
    assert [len(leg) for leg in alone] == [len(leg) for leg in helped]


@given(st.integers(0, 200), st.integers(0, 2**32), st.integers(1, 3))
def test_every_order_has_every_number_once(n: int, seed: int, count: int) -> None:
    for order in permutations(n, np.random.default_rng(seed), count):
        assert sorted(order.tolist()) == list(range(n))


def test_every_order_is_equally_likely() -> None:
    """Chi-square with 23 degrees of freedom, which exceeds 49.7 once in a thousand times."""
    found = Counter(map(tuple, permutations(4, np.random.default_rng(1), 24_000).tolist()))
    counts = np.array([found[order] for order in itertools.permutations(range(4))])
    assert ((counts - 1000.0) ** 2 / 1000.0).sum() < 49.7


def test_later_epochs_are_drawn_as_if_alone() -> None:
    for shuffle in SHUFFLES[:2]:
        together, apart = np.random.default_rng(2), np.random.default_rng(2)
        whole = drawn(130, shuffle, together, epochs=3)
        assert np.array_equal(whole, np.concatenate([drawn(130, shuffle, apart) for _ in range(3)]))
        assert together.random() == apart.random()


@given(st.integers(1, 300), st.integers(0, 2**32))
def test_pieces_stay_whole(n: int, seed: int) -> None:
    order = drawn(n, "pieces", np.random.default_rng(seed)).tolist()
    assert sorted(order) == list(range(n))
    starts = [k for k, row in enumerate(order) if row % PIECE == 0]
    assert all(order[k : k + PIECE][: n - order[k]] == list(range(order[k], min(order[k] + PIECE, n))) for k in starts)
