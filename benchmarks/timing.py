"""What every benchmark shares: medians of alternating runs, a description of the machine, one shape of table."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@dataclass(frozen=True)
class Contender:
    """One way to do the work.

    Attributes:
        name: as the table shows it.
        run: does the work once; when it returns a number, that is the seconds it took by its own clock.
        runs: how often it is measured; the slow ones less often, which the table says.
    """

    name: str
    run: Callable[[], object]
    runs: int


QUICK = "--quick" in sys.argv
PAUSE = 0.1  # seconds, in which BLAS threads of the contender before, which wait busily for more work, go to sleep


def medians(contenders: Sequence[Contender]) -> dict[str, float]:
    """Median seconds of each contender. They take turns, A B C A B C, so that a busy minute slows all of them."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(max(contender.runs for contender in contenders)):
        for contender in contenders:
            if turn < contender.runs:
                if not QUICK:
                    gc.collect()
                    time.sleep(PAUSE)
                start = time.perf_counter()
                own_clock = contender.run()
                elapsed = time.perf_counter() - start
                seconds[contender.name].append(own_clock if isinstance(own_clock, float) else elapsed)
    return {name: statistics.median(measured) for name, measured in seconds.items()}


def warm(contenders: Sequence[Contender]) -> None:
    """Run each once: files come into the system's cache, compiled loops into theirs. A quick run goes without."""
    for contender in contenders:
        if not QUICK:
            contender.run()


def compare(title: str, contenders: Sequence[Contender]) -> None:
    """Measure the contenders and print a table of ratios to the first of them, which is Linnet."""
    measured = medians(contenders)
    first = measured[contenders[0].name]
    rows = []
    for contender in contenders:
        seconds = measured[contender.name]
        ratios = f"{first / seconds:.3g}", f"{seconds / first:.3g}"
        rows.append((contender.name, str(contender.runs), duration(seconds), *ratios))
    table(title, ("contender", "runs", "median", "linnet ÷ it", "it ÷ linnet"), rows)


def duration(seconds: float) -> str:
    """Seconds in a unit that reads well."""
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table with aligned columns, ready for benchmarks/README.md."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True)))
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])]
    print(f"\n**{title}**\n", line(header), line(rule), *map(line, rows), sep="\n", flush=True)


def machine() -> str:
    """Date, processor, cores, system and the versions that matter, in a few lines."""
    packages = ("linnet", "numpy", "scipy", "numba", "pyarrow", "scikit-learn", "statsmodels")
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; {_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}; Python {platform.python_version()}, "
        + ", ".join(f"{name} {_version(name)}" for name in packages)
    )


def begin(about: str, size: str, **options: str) -> argparse.Namespace:
    """Read the command line of a benchmark, then print what it measures and on what machine.

    Args:
        about: its title.
        size: what a full run measures, and `--quick` does not.
        options: names of further options that take a value, with their help.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help=f"a smoke run instead of {size}")
    for name, text in options.items():
        parser.add_argument(f"--{name}", help=text)
    arguments = parser.parse_args()
    print(f"\n## {about}\n\n{machine()}", flush=True)
    if arguments.quick:
        print("\nQuick run: shows that the benchmark works; its numbers mean nothing.", flush=True)
    return arguments


def child(code: str, *arguments: str) -> dict[str, float]:
    """Run Python code in a fresh process and return the JSON object that its last line prints."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"
