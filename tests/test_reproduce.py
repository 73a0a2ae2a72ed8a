"""The table in the course's README.md is what course/reproduce.py writes, and all that is asked there is met."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the experiments need torch: pip install '.[torch]'")

COURSE = Path(__file__).resolve().parents[1] / "course"
README = (COURSE / "README.md").read_text(encoding="utf-8")

sys.path.insert(0, str(COURSE))
try:
    import asked  # type: ignore[import-not-found]
    import reproduce  # type: ignore[import-not-found]
finally:
    sys.path.remove(str(COURSE))


def cells(text: str) -> Iterator[list[str]]:
    """The rows of the table, each with its letter and its experiment."""
    table = text.split("<!-- reproduced -->\n")[1].split("<!-- end -->", 1)[0]
    letter = name = ""
    for line in table.splitlines()[2:]:
        row = [cell.strip() for cell in line.strip("|").split("|")]
        letter, name = (row[0], row[1]) if row[0] else (letter, name)
        yield [letter, name, *row[2:]]


TABLE = list(cells(README))
each_experiment = pytest.mark.parametrize("experiment", reproduce.EXPERIMENTS, ids=lambda experiment: experiment[0])


def test_all_that_is_asked_is_met() -> None:
    assert {row[-1] for row in TABLE} == {"yes"}


def test_every_letter_is_told() -> None:
    """Each stands in the table with its name and its lesson, or before it in a sentence that says why it does not."""
    before = README.split("<!-- reproduced -->")[0]
    letters = list(dict.fromkeys(row[0] for row in TABLE))
    assert sorted([*letters, "C", "D"]) == list("ABCDEFGHIJKLMNOPQR")
    assert letters == [experiment[0] for experiment in reproduce.EXPERIMENTS]
    assert re.search(r"C, a timer.*lesson 7.*D, the normal density.*lesson 3", before)
    for letter, name, *_ in TABLE:
        link = re.fullmatch(r"\[(.+)\]\((.+)\)", name)
        assert link is not None, letter
        assert (COURSE / link[2]).is_file()


@each_experiment
def test_the_table_is_what_is_run(experiment: Any) -> None:
    """Two of its 20 seeds give values between the least and the largest, and within the bounds if there are any."""
    letter, _, _, run, expected = experiment
    rows = [row for row in TABLE if row[0] == letter]
    measured = reproduce.measured(run, (0, 13))
    assert [row[2] for row in rows] == list(measured)
    for row, values, (published, wanted) in zip(rows, measured.values(), expected, strict=True):
        assert row[3] == published
        assert row[7] == str(wanted)
        least, largest = float(row[4]), float(row[6])
        rounding = 1e-3 * max(abs(least), abs(largest))  # three digits are shown at least
        if isinstance(wanted, asked.Within):
            assert wanted.met(values)
            if wanted.low == 0 and wanted.high < 1e-4:
                rounding = wanted.high  # which another machine may do otherwise
        assert least - rounding <= values.min()
        assert values.max() <= largest + rounding


def test_bounds_can_be_missed() -> None:
    within, above = asked.Within(1, 2, "why"), asked.Within(1, np.inf, "why")
    assert within.met(np.array([1, 2]))
    assert not any(within.met(np.array(values)) for values in ([0.9, 1], [1, 2.1], [1, np.nan]))
    assert [above.met(np.array(values)) for values in ([1, 1e9], [0.9, 1], [np.nan])] == [True, False, False]
    ours = np.array([1.0, 2.0, 3.0])  # their mean 2, their standard deviation 1
    figures = ((5.0,), (-1.0, 5.0), (5.1,), (2.0, -1.1), (np.nan,))
    assert [asked.Among(*each).met(ours) for each in figures] == [True, True, False, False, False]
    assert not asked.Among(2.0).met(np.array([1.0, np.nan]))
    told = [str(each) for each in (within, above, asked.at_most(3, "why"), asked.ONE, asked.Among(0.29, 0.31))]
    assert told == [
        "1 to 2: why",
        "at least 1: why",
        "at most 3: why",
        "1: but for rounding",
        "mean ± 3 sd holds 0.29 and 0.31",
    ]


def test_chance_is_what_theory_says() -> None:
    """Against simulation: the mean square of normal noise, and a weight about its optimum at the end of an epoch."""
    random = np.random.default_rng(0)
    squares = (asked.NOISE * random.standard_normal((4_000, 1_000))) ** 2
    bounds = asked.mean_square(1, "")
    assert (bounds.low + bounds.high) / 2 == pytest.approx(squares.mean(), rel=1e-3)
    assert (bounds.high - bounds.low) / 2 / asked.SURE == pytest.approx(squares.mean(axis=1).std(), rel=0.03)

    for lr in (0.03, 0.06):
        w = np.zeros(4_000)  # in units of the noise
        noise = random.standard_normal((1_000, len(w)))
        noise -= noise.mean(axis=0)  # so that the optimum is 0
        for _ in range(3):
            for batch in random.permuted(noise, axis=0).reshape(100, 10, -1).mean(axis=1):
                w += lr * (batch - w)
        assert asked.unrest(lr) == pytest.approx(1_000 * w.var(), rel=0.1)


def test_the_table_is_written_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- reproduced -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    monkeypatch.setattr(reproduce, "README", page)
    monkeypatch.setattr(reproduce, "SEEDS", range(2))
    one = asked.at_most(1, "why")
    tried = [
        ("A", "one", "01", lambda seed: {"measure": seed, "other": [5, 7]}, [("–", one), ("6", asked.Among(6))]),
        ("B", "two", "02", lambda seed: {"measure": seed}, [("–", asked.at_most(0.5, "why"))]),
    ]
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tried[:1])
    assert reproduce.main() == 0
    monkeypatch.setattr(reproduce, "EXPERIMENTS", tried)
    assert reproduce.main() == 1
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n<!-- reproduced -->\n| |")
    assert text.endswith("|\n<!-- end -->\nafter\n")
    assert list(cells(text)) == [
        ["A", "[one](01.py)", "measure", "–", "0", "0.5", "1", "at most 1: why", "yes"],
        ["A", "[one](01.py)", "other", "6", "5", "6", "7", "mean ± 3 sd holds 6", "yes"],
        ["B", "[two](02.py)", "measure", "–", "0", "0.5", "1", "at most 0.5: why", "no"],
    ]
    assert "| no |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("experiment", "measure", "low", "high"),
    [
        ("A", "mean loss after epoch 1", 0.01, 0.08),
        ("A", "mean loss after epoch 3", 4.3e-5, 5.7e-5),
        ("B", "the sums of the last 5 epochs", 0.25, 0.35),
        ("B", "largest error of w", 0.0, 0.03),
        ("E", "slope, of one table", 2.9, 3.1),
        ("E", "intercept, of one table", 10.4, 10.6),
        ("J", "T, K", 5742.0, 5858.0),
    ],
)
def test_all_seeds_lie_where_a_reader_of_the_tutorials_expects_them(
    experiment: str, measure: str, low: float, high: float
) -> None:
    """Ranges that were set before anything was run."""
    found = [row for row in TABLE if (row[0], row[2]) == (experiment, measure)]
    ((least, largest),) = [(float(row[4]), float(row[6])) for row in found]
    assert low <= least <= largest <= high
