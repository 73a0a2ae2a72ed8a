from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from linnet import progress
from linnet.progress import watch
from linnet.solvers.solver import Step

if TYPE_CHECKING:
    from rich.progress import TaskID


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def as_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Called in the test, not a fixture: pytest puts its own stderr back before the test begins."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def run(epochs: int = 2, count: int = 5) -> list[Step]:
    return [
        Step(epoch=e + 1, step=e * count + i + 1, rows=(i + 1) * 1_000) for e in range(epochs) for i in range(count)
    ]


@pytest.mark.parametrize("shown", [None, True, False, id])
def test_the_steps_pass_unchanged(monkeypatch: pytest.MonkeyPatch, shown: bool | None) -> None:
    as_terminal(monkeypatch)
    steps = run()
    passed = list(watch(iter(steps), 5_000, shown))
    assert len(passed) == len(steps)
    assert all(a is b for a, b in zip(passed, steps, strict=True))


def test_a_callable_gets_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[Step] = []
    assert list(watch(iter(run()), None, seen.append)) == seen
    assert len(seen) == 10
    assert capsys.readouterr().err == ""


def test_no_display_before_a_second_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    clock = iter([0.0, *[0.99] * 10])
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    list(watch(iter(run()), 5_000))
    assert terminal.getvalue() == ""


def test_display_after_a_second_says_rows_speed_and_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    clock = iter(range(100))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(clock)))
    list(watch(iter(run()), 5_000))
    text = terminal.getvalue()
    assert "of 5,000 rows" in text
    assert "pass 2" in text
    assert text.index("\x1b[?25l") < text.rindex("\x1b[?25h")  # the cursor was hidden and is back


def learning(epochs: int = 3, count: int = 4, read: int = 1_000) -> list[Step]:
    """A pass without a loss, as a survey of the rows, then epochs of so many steps with one."""
    return [
        *(Step(epoch=1, step=i, rows=i * read) for i in range(count + 1)),
        *(
            Step(epoch=e + 1, step=e * count + i + 1, rows=(i + 1) * read, loss=1 / (e + 1))
            for e in range(epochs)
            for i in range(count)
        ),
    ]


class Shown(NamedTuple):
    """What a display was told: the text, rows done, and of how many."""

    says: str
    done: float | None
    total: float | None


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Shown]:
    """Everything that displays are told, each on a clock that ticks a second a step."""
    from rich.progress import Progress

    seen: list[Shown] = []
    update = Progress.update

    def spy(self: Progress, task: TaskID, **fields: Any) -> None:
        update(self, task, **fields)
        (row,) = self.tasks  # one line, whatever the run is at
        seen.append(Shown(row.description, row.completed, row.total))

    clock = iter(range(1000))
    monkeypatch.setattr(progress, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(Progress, "update", spy)
    return seen


def test_a_run_that_learns_shows_epoch_and_loss(monkeypatch: pytest.MonkeyPatch, told: list[Shown]) -> None:
    terminal = as_terminal(monkeypatch)
    list(watch(iter(learning()), 4_000, True, epochs=3))
    assert told[0] == Shown("0 of 4,000 rows", 0, 4_000)
    assert told[5] == Shown("epoch 1 of 3, loss 1", 1_000, 12_000)  # of the whole run, whose time left is shown
    assert told[9] == Shown("epoch 2 of 3, loss 0.5", 5_000, 12_000)
    assert told[-1] == Shown("epoch 3 of 3, loss 0.3333", 12_000, 12_000)
    assert "epoch 3 of 3, loss 0.3333" in terminal.getvalue()


def test_an_epoch_that_is_over_tells_how_long_all_are(monkeypatch: pytest.MonkeyPatch, told: list[Shown]) -> None:
    as_terminal(monkeypatch)
    list(watch(iter(learning()), None, True, epochs=3))
    assert told[4] == Shown("4,000 rows", 4_000, None)
    assert told[5] == Shown("epoch 1 of 3, loss 1", 1_000, 12_000)
    told.clear()
    list(watch(iter(learning()[5:]), None, True, epochs=3))
    assert told[3] == Shown("epoch 1 of 3, loss 1", 4_000, None)
    assert told[4] == Shown("epoch 2 of 3, loss 0.5", 5_000, 12_000)


def test_an_unknown_number_of_epochs(monkeypatch: pytest.MonkeyPatch, told: list[Shown]) -> None:
    as_terminal(monkeypatch)
    list(watch(iter(learning()), 4_000, True))
    assert told[9] == Shown("epoch 2, loss 0.5", 1_000, 4_000)


def test_a_resumed_run_counts_what_was_done_before(monkeypatch: pytest.MonkeyPatch, told: list[Shown]) -> None:
    as_terminal(monkeypatch)
    list(watch(iter(learning()[-2:]), 4_000, True, epochs=3))
    assert told[0] == Shown("epoch 3 of 3, loss 0.3333", 11_000, 12_000)


def test_unknown_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    list(watch(iter(run(1)), None, True))
    assert "5,000 rows" in terminal.getvalue()


def test_nothing_is_shown_where_nobody_looks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "UNNOTICED", 0.0)
    assert list(watch(iter(run()), 5_000)) == run()
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert list(watch(iter(run()), 5_000)) == run()
    monkeypatch.undo()
    assert capsys.readouterr() == ("", "")


def test_an_unknown_number_of_rows_is_known_from_before_the_display(
    monkeypatch: pytest.MonkeyPatch, told: list[Shown]
) -> None:
    as_terminal(monkeypatch)
    monkeypatch.setattr(progress, "UNNOTICED", 6.0)  # as the clock stands when the first pass is over
    list(watch(iter(run()), None))
    assert told[0] == Shown("1,000 of 5,000 rows, pass 2", 1_000, 5_000)


def test_true_shows_it_also_in_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    list(watch(iter(run(1)), 5_000, True))
    captured = capsys.readouterr()
    assert "5,000 of 5,000 rows" in captured.err
    assert "\x1b" not in captured.err
    assert captured.out == ""


def test_an_interrupt_leaves_the_terminal_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)

    def interrupted() -> Iterator[Step]:
        yield from run(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(watch(interrupted(), 5_000, True))
    assert terminal.getvalue().endswith("\x1b[2K")  # the line is erased
    assert "\x1b[?25h" in terminal.getvalue()


def test_stopping_early_stops_the_display_and_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = as_terminal(monkeypatch)
    closed = []

    def steps() -> Iterator[Step]:
        try:
            yield from run()
        finally:
            closed.append(True)

    watched = watch(steps(), 5_000, True)
    next(watched)
    watched.close()  # type: ignore[attr-defined]
    assert closed == [True]
    assert "\x1b[?25h" in terminal.getvalue()


def test_rich_is_not_loaded_until_it_is_shown() -> None:
    code = (
        "import sys\nfrom linnet.progress import watch\nfrom linnet.solvers.solver import Step\n"
        "list(watch(iter([Step(1, 1, 1)]), 1))\nassert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (999.4, "999"), (12_345, "12.3k"), (999_600, "1M"), (4.56e6, "4.56M"), (2e9, "2G")]
)
def test_short_counts(count: float, text: str) -> None:
    assert progress._short(count) == text
