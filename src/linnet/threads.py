"""Threads: how many there may be, and where a second one runs."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

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


_blas: list[Any] = []


def one_thread_blas() -> Any:
    """A context in which BLAS leaves threading to us: its own threads gain little on tall, narrow products."""
    from threadpoolctl import ThreadpoolController

    if not _blas:
        _blas.append(ThreadpoolController())  # finding the loaded libraries takes a millisecond: do it once
    return _blas[0].limit(limits=1, user_api="blas")


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
