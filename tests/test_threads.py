from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from threadpoolctl import threadpool_info, threadpool_limits

import linnet
import linnet.threads
from linnet import SGD
from linnet.threads import Team, aside, one_thread_blas, thread_count


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


def blas() -> list[int]:
    """With how many threads NumPy's and SciPy's BLAS work."""
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.fixture
def two() -> Iterator[list[int]]:
    """BLAS on two threads, whatever this machine has; it is so again after each test."""
    with threadpool_limits(2, user_api="blas"):
        found = blas()
        assert set(found) == {2}
        yield found
        assert blas() == found


def test_blas_keeps_to_one_thread_until_the_last_has_left(two: list[int]) -> None:
    inside = threading.Barrier(2, timeout=30)
    left = threading.Event()

    def second() -> None:
        inside.wait()
        left.wait(30)
        seen.append(blas())

    seen: list[list[int]] = []
    thread = threading.Thread(target=one_thread_blas, args=(second,))

    def first() -> None:
        thread.start()
        inside.wait()

    one_thread_blas(first)
    assert set(blas()) == {1}  # the second is still there
    left.set()
    thread.join()
    assert [set(each) for each in seen] == [{1}]
    assert blas() == two


def test_blas_is_given_back_its_threads_by_another_than_took_them(two: list[int]) -> None:
    """The first to come ends first, and lives on."""
    with ThreadPoolExecutor(2) as pool:
        inside, go = threading.Event(), threading.Event()

        def wait() -> None:
            inside.set()
            go.wait(30)

        def end() -> None:
            go.set()
            first.result()

        first = pool.submit(one_thread_blas, wait)
        assert inside.wait(30)
        one_thread_blas(end)
        assert blas() == two


def test_one_within_another_changes_nothing(two: list[int]) -> None:
    def inner() -> list[int]:
        assert set(one_thread_blas(blas)) == {1}
        return blas()

    assert set(one_thread_blas(inner)) == {1}
    with pytest.raises(ZeroDivisionError):
        one_thread_blas(lambda: 1 // 0)
    assert blas() == two


def interrupted_at(place: int) -> bool:
    """Interrupt `one_thread_blas` where Python would: as a function begins, or as one that is compiled has ended."""
    count = 0

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        del argument
        nonlocal count
        if event in {"call", "c_return"} and frame.f_code.co_filename == linnet.threads.__file__:
            count += 1
            if count == place:
                raise KeyboardInterrupt

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        one_thread_blas(blas)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(before)
    return False


def test_an_interrupt_at_any_point_gives_blas_its_threads_back(two: list[int]) -> None:
    place = 1
    while interrupted_at(place):
        assert blas() == two, place
        place += 1
    assert place > 20


def test_a_setting_of_each_thread_is_given_back_by_that_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """As OpenMP has it: what one thread sets, another does not see."""

    class OpenMP(threading.local):
        internal_api, threading_layer = "openblas", "openmp"
        threads = 3

        def get_num_threads(self) -> int:
            return self.threads

        def set_num_threads(self, threads: int) -> None:
            self.threads = threads

    library = OpenMP()
    monkeypatch.setattr(linnet.threads, "_libraries", lambda: [library])
    with ThreadPoolExecutor(1) as pool:
        inside, go = threading.Event(), threading.Event()

        def work() -> int:
            inside.set()
            go.wait(30)
            return library.threads

        first = pool.submit(one_thread_blas, work)
        assert inside.wait(30)
        assert one_thread_blas(lambda: library.threads) == 1
        assert library.threads == 3
        go.set()
        assert first.result() == 1
        assert pool.submit(lambda: library.threads).result() == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
def test_a_fork_meanwhile_has_its_threads() -> None:
    code = """
import os, sys, threading
from threadpoolctl import threadpool_info, threadpool_limits
import numpy, scipy.linalg
from linnet.threads import one_thread_blas
threadpool_limits(2, user_api="blas")
inside, go = threading.Event(), threading.Event()
thread = threading.Thread(target=one_thread_blas, args=(lambda: inside.set() or go.wait(30),))
thread.start(); inside.wait(30)
child = os.fork()
if not child:
    one_thread_blas(int)
    os._exit(0 if {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"} == {2} else 1)
go.set(); thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False).returncode == 0


def test_a_run_is_judged_alike_whatever_blas_does() -> None:
    """Its last bits are those of one thread, also of long rows and many."""
    rng = np.random.default_rng(0)
    for n, d in ((30_000, 6), (3_000, 100)):
        X = rng.standard_normal((n, d))
        y, w = X @ np.arange(d) + rng.standard_normal(n), rng.uniform(0.5, 2, n)
        for loss in ("absolute", "huber"):
            for solver in ("auto", SGD(epochs=2, tol=None)):
                seen = set()
                for threads in (1, 2):
                    with threadpool_limits(threads, user_api="blas"):
                        fit = linnet.fit(X, y, weight=w, loss=loss, solver=solver, errors="none")
                    seen.add((fit.objective, fit.residual_sd, fit.bias, fit.weights.tobytes()))
                assert len(seen) == 1, (n, loss, solver)


# --- Team -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 1, 2, 5])
@pytest.mark.parametrize("items", [0, 1, 2, 40])
def test_a_team_makes_something_of_each_item_in_order(threads: int, items: int) -> None:
    with Team(threads) as team:
        for _ in range(3):
            assert team.map(lambda k: k * k, range(items)) == [k * k for k in range(items)]
    assert not workers()


def test_the_members_of_a_team_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=30)
    with Team(3) as team:
        team.map(lambda _: together.wait(), range(3))


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("linnet-worker")]


def test_the_first_item_that_fails_is_the_one_told_and_the_rest_is_left() -> None:
    def work(k: int) -> int:
        done.append(k)
        if k == 2:
            time.sleep(0.05)
        if k >= 2:
            raise ValueError(k)
        return k

    for _ in range(5):
        done: list[int] = []
        with Team(3) as team, pytest.raises(ValueError, match=r"^2$"):
            team.map(work, range(1000))
        assert len(done) < 10
    assert not workers()


def test_an_interrupt_ends_a_team() -> None:
    main = threading.current_thread()

    def work(k: int) -> None:
        time.sleep(0.01)
        if threading.current_thread() is main and k > 2:
            raise KeyboardInterrupt

    with Team(2) as team, pytest.raises(KeyboardInterrupt):
        team.map(work, range(1000))
    assert not workers()


@pytest.mark.parametrize("granted", [0, 1, 2])
def test_a_team_makes_do_with_the_threads_that_are_to_be_had(granted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def limited(self: threading.Thread) -> None:
        if len(begun) == granted:
            raise RuntimeError("can't start new thread")
        begun.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", limited)
    counted: list[int] = []

    def count(k: int) -> int:
        counted.append(k)
        return k

    with Team(4) as team:
        for _ in range(20):
            assert team.map(count, range(10)) == list(range(10))
        asked = team.submit(int, "7")
        assert (asked.result() if asked else None) == (7 if granted else None)
    assert sorted(counted) == sorted(20 * list(range(10)))  # none twice
    assert len(begun) == granted


FITS = """
import numpy as np, threading, linnet, linnet.sources.spool as spool, sys
rng = np.random.default_rng(0)
X = rng.standard_normal((100_000, 12))
y = X @ np.arange(12.0) + rng.standard_normal(100_000)
spool.Spool.__init__.__kwdefaults__["memory"] = 1 << 20
path = sys.argv[1]
FITS = [
    lambda: linnet.fit(X, y, errors="hc3"),
    lambda: linnet.fit(X, y, precision="exact"),
    lambda: linnet.fit(X, y, loss="absolute"),
    lambda: linnet.fit(X, y, loss="huber"),
    lambda: linnet.fit(path, "y"),
    lambda: linnet.fit(X, y, solver=linnet.SGD(lr=0.01, epochs=1, tol=None, batch_size=50_000)),
    lambda: linnet.fit(path, "y", solver=linnet.SGD(lr=0.01, epochs=2, tol=None)),
]
def bits():
    return [(fit.coefficients.tobytes(), fit.objective) for fit in (each() for each in FITS)]
usual = bits()
def again():
    assert bits() == usual
    print("alike")
def no(self):
    raise RuntimeError("can't start new thread")
"""


@pytest.mark.parametrize(
    "how",
    [
        "threading.Thread.start = no; again()",
        "threading.Thread(target=lambda: (threading.main_thread().join(), again())).start()",
        "import atexit; atexit.register(again)",
    ],
    ids=["no threads", "the main thread has ended", "at exit"],
)
def test_fits_are_the_same_where_there_are_no_more_threads(how: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    X = rng.standard_normal((100_000, 3))
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2], "y": X.sum(axis=1)}), path)
    ended = subprocess.run(
        [sys.executable, "-c", FITS + how, path],
        env={**os.environ, "LINNET_NUM_THREADS": "3"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (ended.stderr, ended.stdout, ended.returncode) == ("", "alike\n", 0)
