"""The course still runs: each lesson from top to bottom, where it asserts what it claims."""

from __future__ import annotations

import re
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

COURSE = Path(__file__).resolve().parents[1] / "course"
README = COURSE / "README.md"
LESSONS = sorted(COURSE.glob("[0-9]*.py"))
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


@pytest.fixture
def _no_windows() -> Iterator[None]:
    """Lessons draw into memory, and leave no figure behind for the next one."""
    import matplotlib.pyplot as plt

    plt.switch_backend("Agg")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*cannot be shown", UserWarning)
        yield
    plt.close("all")


@each_lesson
@pytest.mark.usefixtures("_no_windows")
def test_lesson_runs(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its assertions hold."""
    pytest.importorskip("torch", reason="the lessons need the extra: pip install linnet[torch]")
    monkeypatch.chdir(COURSE)
    runpy.run_path(str(lesson), run_name="__main__")


@each_lesson
def test_lesson_is_introduced(lesson: Path) -> None:
    """Its first cell is text with a numbered title, under which README.md lists it."""
    cells = lesson.read_text(encoding="utf-8").splitlines()
    assert cells[0] == "# %% [markdown]"
    title = re.fullmatch(r"# # (\d+)\. (.+)", cells[1])
    assert title is not None, cells[1]
    assert int(title[1]) == int(lesson.stem.split("_")[0])
    assert f"[{title[2]}]({lesson.name})" in README.read_text(encoding="utf-8")


def test_every_experiment_is_reproduced() -> None:
    """README.md's table has a row for each experiment whose outcome depends on a random start."""
    rows = re.findall(r"(?m)^\| ([A-R]) \| .* \| (yes|no) \|$", README.read_text(encoding="utf-8"))
    assert [experiment for experiment, _ in rows] == list("ABEFGIJKLMNOPQR")
