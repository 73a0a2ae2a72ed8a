"""The benchmarks still run: each one's smoke run ends well and prints a table. Nothing is timed here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


SCRIPTS = [
    "accuracy", "exact", "huber", "interval_coverage", "quantile", "reliability", "sgd", "startup", "streaming",
]  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_quick_run(name: str) -> None:
    """`--quick` exits with 0, its last line a row of a table, or a sentence where the data are absent."""
    done = subprocess.run(
        [sys.executable, BENCHMARKS / f"{name}.py", "--quick"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith(("| ", "Not measured")), done.stdout


def test_every_benchmark_is_run() -> None:
    """A script that is added is also tested here and run by `make bench`, or has a target of its own."""
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")} - {"timing"}
    assert scripts == set(SCRIPTS)
    makefile = (BENCHMARKS.parent / "Makefile").read_text(encoding="utf-8")
    listed = next(line for line in makefile.splitlines() if line.startswith("BENCHMARKS :="))
    assert set(listed.split()[2:]) == scripts - {"reliability", "interval_coverage"}
    assert "\nreliability: " in makefile
    assert "\ncoverage: " in makefile
