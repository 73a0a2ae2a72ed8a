"""Threads: how many there may be, who works on them, and where a second one runs."""

from __future__ import annotations

import os
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

S = TypeVar("S")
T = TypeVar("T")

PROCESSOR = 36
"""Which of the numbers behind the name in /proc/thread-self/stat is that of the processor."""


def thread_count() -> int:
    """Threads to use: LINNET_NUM_THREADS, or else as many as there are processors that this process may run on.

    Warns once where that is set to anything but a whole number from 1 on: work is under way when it is read.
    """
    asked = os.environ.get("LINNET_NUM_THREADS", "")
    if asked:
        with suppress(ValueError):
            if (count := int(asked)) > 0:
                return count
        _warn(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@cache  # Python itself says a thing again when something has looked at its filters, as compiling does
def _warn(asked: str) -> None:
    warnings.warn(
        f"LINNET_NUM_THREADS must be a whole number of threads, at least 1, but is {asked!r}: as many are used as "
        "there are processors.",
        RuntimeWarning,
        stacklevel=3,
    )


class Team:
    """This thread and others beside it: as many as are asked for and are to be had, perhaps none.

    A context, which waits for the others to end. Where the system gives no further thread, and where the interpreter
    shuts down, a Team makes do with those it has.
    """

    def __init__(self, threads: int, name: str = "linnet-worker", begin: Callable[[], None] | None = None) -> None:
        """Begin none of them yet.

        Args:
            threads: how many to be in all.
            name: of the others.
            begin: what each of the others calls first.
        """
        self._others: list[ThreadPoolExecutor] = []
        if threads > 1:
            with suppress(RuntimeError):  # which loading it raises once the main thread has ended
                from concurrent.futures import ThreadPoolExecutor

                # One for each: what a pool did not get a thread for, another thread of it may yet begin.
                self._others = [ThreadPoolExecutor(1, name, begin) for _ in range(threads - 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for other in self._others:
            other.shutdown(wait=False)
        for other in self._others:
            other.shutdown()

    def submit(self, work: Callable[..., T], *arguments: Any) -> Future[T] | None:
        """Have the first of the others do some work; None, and the work is not done, where there is none."""
        return self._ask(0, work, *arguments)

    def map(self, work: Callable[[S], T], items: Sequence[S]) -> list[T]:
        """What `work` makes of each item, in their order; this thread works too.

        What it raises for the first item for which it raises an Exception is raised here.
        """
        if not self._others:
            return [work(item) for item in items]
        waiting = deque(range(len(items)))
        made: dict[int, T] = {}
        failed: dict[int, Exception] = {}

        def share() -> None:
            while True:
                try:
                    k = waiting.popleft()
                except IndexError:
                    return
                try:
                    made[k] = work(items[k])
                except Exception as error:  # noqa: BLE001  # it is raised below
                    waiting.clear()
                    failed[k] = error

        asked: list[Future[None]] = []
        try:
            while len(asked) < len(items) - 1 and (future := self._ask(len(asked), share)) is not None:
                asked.append(future)
            share()
        finally:
            waiting.clear()
            for future in asked:
                if not future.cancel():
                    future.result()
        if failed:
            raise failed[min(failed)]
        return [made[k] for k in range(len(items))]

    def _ask(self, k: int, work: Callable[..., T], *arguments: Any) -> Future[T] | None:
        if k < len(self._others):
            try:
                return self._others[k].submit(work, *arguments)
            except RuntimeError:  # there are no more threads to be had, or the interpreter shuts down
                del self._others[k:]
        return None


class _Holder:
    """One of those who want BLAS to keep to one thread; it is as it was when the last of them has left."""

    def __init__(self) -> None:
        self.own: list[tuple[Any, int]] = []

    def enter(self) -> None:
        """Have BLAS keep to one thread."""
        libraries = _libraries()
        with _held.lock:
            self.own = [(each, each.get_num_threads()) for each in libraries if _per_thread(each)]
            if not _held.by:
                _held.before = [(each, each.get_num_threads()) for each in libraries if not _per_thread(each)]
                _held.by.add(self)
                _limit(_held.before)
            _held.by.add(self)
            _limit(self.own)

    def leave(self) -> None:
        """Want it no longer. Does no harm when done again, or after an `enter` that did not come to its end."""
        with _held.lock:
            _held.by.discard(self)
            _restore(self.own)
            if not _held.by:
                _restore(_held.before)


class _Held:
    """Who holds BLAS to one thread, and with how many it worked before."""

    def __init__(self) -> None:
        self.lock = RLock()  # what is collected meanwhile may fit too
        self.by: set[_Holder] = set()
        self.before: list[tuple[Any, int]] = []

    def forget(self) -> None:
        """In a process that was forked, those of its parent are not there to leave."""
        self.lock = RLock()
        self.by.clear()
        _restore(self.before)


_held = _Held()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_held.forget)


def one_thread_blas(work: Callable[[], T]) -> T:
    """What `work` returns, done while BLAS leaves threads to us: its own gain little on tall, narrow products.

    Their number is a setting of the whole process. Several threads may be here at once, and an interrupt may come at
    any moment: BLAS is given back its threads by the last to leave.
    """
    holder = _Holder()
    try:
        try:
            holder.enter()
            return work()
        finally:
            holder.leave()
    finally:
        holder.leave()  # once more, lest an interrupt came before


@cache  # finding the loaded libraries takes a millisecond
def _libraries() -> list[Any]:
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [each for each in found if each.get_num_threads() is not None]


def _per_thread(library: Any) -> bool:
    """Whether each thread has a setting of its own, as with OpenMP's."""
    return bool(library.internal_api == "openblas" and library.threading_layer == "openmp")


def _limit(before: list[tuple[Any, int]]) -> None:
    for library, threads in before:
        if threads != 1:
            _set(library, 1)


def _restore(before: list[tuple[Any, int]]) -> None:
    for library, threads in before:
        if threads != 1:
            _set(library, threads)
    before.clear()


def _set(library: Any, threads: int) -> None:
    """Set the number of threads of a library; from version 3.8 on, threadpoolctl lets one thread alone do so."""
    forget = getattr(library, "clear_controlling_thread", None)
    if forget is not None:
        forget(force=True)
    library.set_num_threads(threads)
    if forget is not None:
        forget(force=True)


def aside() -> Callable[[], None]:
    """What a second thread calls first, so as not to run on the processor on which this one, which asks, runs now.

    Two threads of which each waits for the other would gain nothing there, and schedulers leave them for a while where
    one has woken the other. Without effect where the system does not tell, or has no other processor.
    """
    try:
        here = int(Path("/proc/thread-self/stat").read_text().rpartition(")")[2].split()[PROCESSOR])
        others = os.sched_getaffinity(0) - {here}
    except (OSError, AttributeError, ValueError, IndexError):
        others = set()

    def move() -> None:
        if others:
            with suppress(OSError):
                os.sched_setaffinity(0, others)  # of this thread alone

    return move
