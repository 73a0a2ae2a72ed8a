"""The console: the result on stdout, everything else on stderr, also when nobody reads."""

from __future__ import annotations

import os
import re
import sys

DONE, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""


def say(text: str) -> None:
    """Print, also when nobody reads: what is left to do, such as saving the model, is done all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        mute_stdout()


def remark(text: str, quiet: bool) -> None:
    """Tell on stderr what was done, unless a reader wants it quiet."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def complain(text: str) -> int:
    """Say in one paragraph what is wrong, and give the exit status for it.

    A remedy such as missing="drop" is spelled as it is typed here.
    """
    typed = re.sub(
        r'\b(features|missing|errors|precision|solver|loss|losses|scale|lr|schedule|shuffle|init|tol)=(?:"([\w-]+)"|(…))',
        lambda found: f"--{found[1]} {found[2] or found[3]}",
        " ".join(text.split()),
    )
    print(f"linnet: {typed}", file=sys.stderr)
    return BAD_INPUT


def mute_stdout() -> None:
    """Point stdout at nothing, so that Python's own flush at exit does not stumble over the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
