"""Progress: somebody who iterates over a run's Steps and shows how far it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING

from linnet.solvers.solver import Step

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

UNNOTICED = 1.0  # seconds that pass before a display is worth a reader's attention
REDRAW = 0.1  # seconds between two drawings, which no eye would tell apart if there were more


def watch(
    steps: Iterator[Step],
    rows: int | None = None,
    progress: bool | Callable[[Step], None] | None = None,
    *,
    epochs: int | None = None,
) -> Iterator[Step]:
    """The same steps, shown to a reader on the way; what they compute is not touched.

    Args:
        steps: of a run.
        rows: how many rows one epoch has, when that is known; the time left is shown only then.
        progress: None shows rows, rows per second and time left on stderr when that is a terminal and the work has
            lasted longer than a second, and epoch and loss as well when there is a loss; True shows them at once and
            always, False never. A callable is given each Step instead.
        epochs: how many of them a run that learns will have, when that is known; the time left is then the run's, not
            the epoch's.
    """
    if callable(progress):
        return _tell(steps, progress)
    if progress is None:
        return _show_if_long(steps, rows, epochs)
    return _show(steps, rows, epochs) if progress else steps


def _tell(steps: Iterator[Step], listener: Callable[[Step], None]) -> Iterator[Step]:
    for step in steps:
        listener(step)
        yield step


def _show_if_long(steps: Iterator[Step], rows: int | None, epochs: int | None) -> Iterator[Step]:
    """Steps that are shown from when the work has become long, if there is a terminal; short work does not even ask."""
    began, last = monotonic(), None
    for step in steps:
        if monotonic() - began >= UNNOTICED:
            rest = chain((step,), steps)
            yield from _show(rest, rows, epochs, last) if sys.stderr is not None and sys.stderr.isatty() else rest
            return
        last = step
        yield step


def _show(steps: Iterator[Step], rows: int | None, epochs: int | None, last: Step | None = None) -> Iterator[Step]:
    drawn = monotonic()
    display: Progress | None = None
    task: TaskID | None = None
    shown: tuple[bool, int] | None = None
    try:
        for step in steps:
            now = monotonic()
            if display is None:
                display = _display()
                display.start()
            if last is not None and _piece(step) != _piece(last):
                rows = rows or last.rows  # one that is over tells how long all are
            piece = _piece(step, epochs)
            if piece != shown or now - drawn >= REDRAW:
                if task is None or piece != shown:
                    if task is not None:
                        display.remove_task(task)
                    task = display.add_task("", total=None)
                _update(display, task, step, rows, epochs)
                drawn, shown = now, piece
            last = step
            yield step
    finally:  # also when interrupted: the terminal gets its cursor and its line back
        if display is not None:
            if task is not None and last is not None:
                _update(display, task, last, rows, epochs)
            display.stop()


def _piece(step: Step, epochs: int | None = None) -> tuple[bool, int]:
    """The piece of work that a step is of: a pass, or an epoch, or all epochs when their number is known."""
    learns = step.loss is not None
    return learns, 0 if learns and epochs else step.epoch


def _update(display: Progress, task: TaskID, step: Step, rows: int | None, epochs: int | None) -> None:
    """Tell the display how far a step is."""
    done, total = step.rows, rows
    if step.loss is None:
        says = f"{done:,}" + ("" if rows is None else f" of {rows:,}") + " rows"
        says += "" if step.epoch <= 1 else f", pass {step.epoch}"
    else:
        says = f"epoch {step.epoch:,}" + (f" of {epochs:,}" if epochs else "") + f", loss {step.loss:.4g}"
        if epochs and rows:
            done, total = done + (step.epoch - 1) * rows, epochs * rows
    display.update(task, completed=done, total=total, description=says)


def _display() -> Progress:
    """A display that a thread of its own redraws ten times a second; the run only tells it a number."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
    from rich.text import Text

    class Said(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text(task.description + ("" if speed is None else f", {_short(speed)} rows/s"))

    console = Console(stderr=True)
    return Progress(
        BarColumn(bar_width=20),
        Said(),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=console.is_terminal,
    )


def _short(number: float) -> str:
    """A count in at most four characters and a letter: 950, 12.3k, 4.5M."""
    for letter in ("", "k", "M"):
        if number < 999.5:
            return f"{number:.3g}{letter}"
        number /= 1000
    return f"{number:.3g}G"
