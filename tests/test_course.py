"""The course still runs: each lesson from top to bottom, where it asserts what it claims."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COURSE = Path(__file__).resolve().parents[1] / "course"
README = COURSE / "README.md"
LESSONS = sorted(COURSE.glob("[0-9]*.py"))
each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.stem)


class Screen:
    """The figures that were made, and those that `plt.show` would have put on a screen.

    Run as a script or cell by cell in a notebook, `plt.show` shows the figures that pyplot knows of, and closes them.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import matplotlib.pyplot as plt
        from matplotlib.figure import Figure

        self.made: list[Figure] = []
        self.shown: list[Figure] = []
        make = Figure.__init__

        def made(figure: Figure, *args: Any, **options: Any) -> None:
            make(figure, *args, **options)
            self.made.append(figure)

        def show() -> None:
            self.shown += [plt.figure(number) for number in plt.get_fignums()]
            plt.close("all")

        plt.switch_backend("Agg")
        monkeypatch.setattr(Figure, "__init__", made)
        monkeypatch.setattr(plt, "show", show)


@each_lesson
def test_lesson_runs(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its assertions hold, and it shows every figure once, in the order in which they are made."""
    course = "the lessons need the extra: pip install '.[course]'"
    pytest.importorskip("torch", reason=course)
    pytest.importorskip("matplotlib", minversion="3.11", reason=course)
    monkeypatch.chdir(COURSE)
    screen = Screen(monkeypatch)
    runpy.run_path(str(lesson), run_name="__main__")
    assert screen.made
    assert screen.shown == screen.made


@each_lesson
def test_no_cell_ends_with_a_figure(lesson: Path) -> None:
    """A notebook shows the value of a cell's last line: that would be a figure a second time."""
    for cell in lesson.read_text(encoding="utf-8").split("\n# %%\n")[1:]:
        last = ast.parse(cell).body[-1]
        assert not isinstance(last, ast.Expr) or ast.unparse(last).startswith(("print(", "plt.show("))


@each_lesson
def test_lesson_is_introduced(lesson: Path) -> None:
    """Its first cell is text with a numbered title, under which README.md lists it."""
    cells = lesson.read_text(encoding="utf-8").splitlines()
    assert cells[0] == "# %% [markdown]"
    title = re.fullmatch(r"# # (\d+)\. (.+)", cells[1])
    assert title is not None, cells[1]
    assert int(title[1]) == int(lesson.stem.split("_")[0])
    assert f"[{title[2]}]({lesson.name})" in README.read_text(encoding="utf-8")
