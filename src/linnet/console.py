"""The console: the result on stdout, everything else on stderr, also when nobody reads."""

from __future__ import annotations

import codecs
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TextIO

from linnet.text import SPELLED

DONE, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""
SETTINGS = (
    "features|weight|missing|errors|precision|solver|loss|losses|kind|scale|delta|lr|epochs|schedule|shuffle|init|tol"
)
"""Names that a message spells as Python does, and that are options here."""
_SPOKEN = re.compile(
    r"""(?<![\w=])(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""  # a name as the data spell it, no matter how
    r"|\bloss=Quantile\(\[(?P<levels>[^]]*)\]\)"
    rf"""|\b(?P<name>{SETTINGS})=(?:(?P<quote>["'])(?P<word>[\w-]+)(?P=quote)|(?P<any>…)|(?![^\s.,;:)]))"""
)


@contextmanager
def console() -> Iterator[None]:
    """stdout and stderr as a command needs them: there, able to take any character, with warnings in one line each.

    A stream that was closed before the start is None in Python, and becomes a sink. Afterwards all is as before.
    """
    with ExitStack() as after:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                after.callback(setattr, sys, name, None)
                setattr(sys, name, after.enter_context(open(os.devnull, "w", encoding="utf-8")))  # noqa: PTH123
            stream = getattr(sys, name)
            if hasattr(stream, "reconfigure"):
                after.callback(_restore, stream, stream.errors)
                stream.reconfigure(errors=SPELLED)  # a terminal without R² still gets the numbers
        after.enter_context(warnings.catch_warnings())
        warnings.showwarning = lambda message, *_, **__: remark(f"linnet: {message}", quiet=False)
        yield


def _restore(stream: TextIO, errors: str) -> None:
    """Let a stream take what it took before, unless it is closed by now or takes nothing any more."""
    with suppress(OSError, ValueError):
        stream.reconfigure(errors=errors)  # type: ignore[attr-defined]  # the caller has looked


@contextmanager
def terminable() -> Iterator[None]:
    """So that SIGTERM, too, removes temporary files on the way out; only the main thread can say what a signal does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)  # None: not set in Python


@contextmanager
def stdout() -> Iterator[TextIO]:
    """What to write the result to.

    Raises:
        BrokenPipeError: whoever reads it has left, which is no reason to complain.
        OSError: it takes no more, for instance because the disk is full; `filename` is "stdout".
    """
    try:
        yield sys.stdout
        sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            raise
        _mute()
        if isinstance(error, BrokenPipeError):
            raise
        raise OSError(error.errno, error.strerror, "stdout") from error


def say(text: str) -> None:
    """Print, also when nobody reads.

    Raises:
        OSError: stdout takes no more. What is left to do, such as saving the model, must be done all the same.
    """
    with suppress(BrokenPipeError), stdout() as stream:
        print(text, file=stream)


def encoding() -> str | None:
    """That of stdout, or None where it is not known: a stand-in for stdout need not have one."""
    try:
        return codecs.lookup(sys.stdout.encoding).name
    except (AttributeError, LookupError, TypeError):
        return None


def holds_unicode() -> bool:
    """Whether stdout can take every character, as a reader of JSON expects it: in UTF-8."""
    return encoding() == "utf-8"


def remark(text: str, quiet: bool) -> None:
    """Tell on stderr what was done, unless a reader wants it quiet or there is none."""
    if not quiet:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)


def complain(text: str) -> int:
    """Say in one paragraph what is wrong, and give the exit status for it.

    A remedy such as missing="drop" is spelled as it is typed here; what stands in quotes is a name, and stays.
    """
    remark(f"linnet: {typed(' '.join(filter(None, map(str.strip, text.splitlines()))))}", quiet=False)
    return BAD_INPUT


def typed(text: str) -> str:
    """A text with the settings that it names spelled as options, which are no longer; see `complain`."""
    return _SPOKEN.sub(_typed, text)


def _typed(found: re.Match[str]) -> str:
    """One piece of a message as it is typed on the command line."""
    if found["levels"]:
        return f"--quantile {found['levels'].replace(' ', '')}"
    if not found["name"]:
        return found[0]
    return f"--{found['name']} {found['word'] or found['any'] or ''}".rstrip()


def _mute() -> None:
    """Point stdout at nothing, so that Python's own flush at exit does not stumble over what it could not write."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    finally:
        os.close(nowhere)
