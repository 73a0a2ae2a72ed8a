from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from linnet.threads import aside, thread_count


@pytest.mark.parametrize("threads", ["1", "3"])
def test_thread_count_is_what_was_asked_for(threads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_NUM_THREADS", threads)
    assert thread_count() == int(threads)


@pytest.mark.parametrize("asked", ["0", "-2", "many", "1.5", "²", " "])
def test_what_is_no_number_of_threads_is_said_once(asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINNET_NUM_THREADS", raising=False)
    usual = thread_count()
    monkeypatch.setenv("LINNET_NUM_THREADS", asked)
    with pytest.warns(RuntimeWarning, match=f"LINNET_NUM_THREADS must be a whole .* but is {asked!r}: as many") as told:
        assert [thread_count(), thread_count()] == [usual, usual]
    assert len(told) == 1
    assert thread_count() == usual  # a warning would be an error here


def test_unset_and_empty_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LINNET_NUM_THREADS", raising=False)
    usual = thread_count()
    monkeypatch.setenv("LINNET_NUM_THREADS", "")
    assert thread_count() == usual >= 1


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="the system has one processor, or does not say on which one a thread may run",
)
def test_a_second_thread_goes_to_another_processor_and_the_first_may_go_anywhere() -> None:
    allowed = os.sched_getaffinity(0)
    found: list[set[int]] = []
    move = aside()

    def second() -> None:
        move()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    assert os.sched_getaffinity(0) == allowed
    assert found[0] < allowed
    assert len(found[0]) == len(allowed) - 1


@pytest.mark.parametrize("stat", [None, "", "1 (a) b) S 1", "1 (a) " + "x " * 60])
def test_where_the_system_does_not_tell_nothing_is_moved(stat: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(_: Path) -> str:
        if stat is None:
            raise FileNotFoundError
        return stat

    monkeypatch.setattr(Path, "read_text", read)
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    aside()()
    assert before is None or os.sched_getaffinity(0) == before
