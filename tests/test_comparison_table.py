from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from helpers import example
from linnet.comparison import Comparison, Flag
from linnet.comparison_table import _apart, render, to_dict
from linnet.fits import Fits
from linnet.influence import DecidingRow, DecidingRows


def comparison(places: list[str], count: int | None = None, **changes: Any) -> Comparison:
    """A comparison in which these rows decide; `changes` overrides numbers of each."""
    numbers = {"value": 15.0, "squared": 22.24, "huber": 23.92, "huber_weight": 0.367, "cooks_distance": 0.692}
    rows = tuple(DecidingRow(place, leverage=0.1, **{**numbers, **changes}) for place in places)
    fits = Fits((example(2), example(2)), ("squared", "huber"), ("`x1` changes sign",))
    flag = Flag("x1", "sign", True, "`x1` changes sign")
    return Comparison(fits, (flag,), DecidingRows(rows, len(rows) if count is None else count, 7, 50))


def test_says_the_fits_and_then_the_rows() -> None:
    text = render(comparison(["row 4", "row 21"]))
    fits, said, table = text.rsplit("\n\n", 2)
    assert fits == str(comparison([]).fits)
    assert "• `x1` changes sign." in fits
    assert " ".join(said.split()) == (
        "Rows that least squares lets decide: 2 of 50 (4 %). Each counts for less than half under Huber loss, and has "
        "a Cook's distance above 4/n:"
    )
    head, rule, first, second, _ = table.splitlines()
    assert head.split() == ["value", "squared", "huber", "Huber", "weight", "Cook's", "D"]
    assert set(rule) == {"─"}
    assert first.split() == ["row", "4", "15.00", "22.24", "23.92", "0.37", "0.6920"]
    assert second.startswith("row 21  ")
    assert len({len(line) for line in table.splitlines()}) == 1
    assert str(comparison(["row 4", "row 21"])) == text


def test_more_rows_than_are_listed_are_counted() -> None:
    said = " ".join(render(comparison([f"row {i}" for i in range(10)], 1234)).split())
    assert "decide: 1,234 of 50" in said
    assert "above 4/n; the 10 with the largest:" in said


def test_none_is_a_sentence_and_not_asked_is_silence() -> None:
    assert "No row is left to least squares to decide" in render(comparison([]))
    nothing = Comparison(comparison([]).fits, (), None)
    assert render(nothing) == str(nothing.fits)
    assert to_dict(nothing)["deciding"] is None


def test_a_file_that_all_rows_are_in_is_named_once() -> None:
    one = render(comparison(["row 4 of 'a.csv'", "row 21 of 'a.csv'"]))
    assert "Rows of 'a.csv' that least squares lets decide" in one
    assert one.count("a.csv") == 1
    two = render(comparison(["row 4 of 'a.csv'", "row 21 of 'b.csv'"]))
    assert "row 4 of 'a.csv'   " in two
    assert "row 21 of 'b.csv'  " in two


STATIONS = [f"measurements/station={name}/2023/readings.csv" for name in ("northern-0001", "southern-0002")]


def first_cells(text: str) -> list[str]:
    """What stands before each row of the last table."""
    table = text.rsplit("\n\n", 1)[1].splitlines()
    rules = [i for i, line in enumerate(table) if set(line) == {"─"}]
    return [line.split("  ")[0] for line in table[rules[0] + 1 : rules[1]]]


def test_what_all_files_have_in_common_is_said_once() -> None:
    text = render(comparison([f"row 8 of {file!r}" for file in STATIONS]))
    assert first_cells(text) == ["row 8 of northern-0001", "row 8 of southern-0002"]
    assert "Rows of 'measurements/station=…/2023/readings.csv' that least squares lets decide" in " ".join(text.split())


@pytest.mark.parametrize(
    "files",
    [
        [
            f"measurements/station={name}-hemisphere-000{len(name) % 2}/2023/readings.csv"
            for name in ("arctic", "south")
        ],
        [f"{'a' * 60}{k}/{'b' * 60}{k}.csv" for k in (1, 2)],
        ["数据" * 20 + ".csv", "数据" * 21 + ".csv"],
    ],
)
@pytest.mark.parametrize("row", [8, 123_456_789])
def test_files_whose_names_have_no_room_are_numbered(files: list[str], row: int) -> None:
    wheres = [f"row {row:,} of {file!r}" for file in [*files, files[0]]]
    wheres[2] = wheres[2].replace("row ", "row 1")
    text = render(comparison(wheres, value=-1.23456e-200, squared=9.87654e200, huber=-9.87654e200))
    cells = first_cells(text)
    assert len(set(cells)) == 3
    assert max(map(cell_len, text.splitlines())) <= 80
    below = "".join(text.rsplit("─\n", 1)[1].split())
    for cell, where in zip(cells, wheres, strict=True):  # each can be told from what stands below
        number = cell[cell.index("[") :]
        place = where if cell == number else where.partition(" of ")[2]
        assert (number + place).replace(" ", "") in below


@pytest.mark.parametrize(
    ("files", "own", "common"),
    [
        (["'d/part0.csv'", "'d/part10.csv'"], ["part0", "part10"], " of 'd/….csv'"),
        (["'d/a.csv'", "'d/a_b.csv'"], ["a", "a_b"], " of 'd/….csv'"),
        (["'a.csv'", "'a.csv.gz'"], ["csv", "csv.gz"], " of 'a.…'"),
        (["'x'", "'y'"], ["x", "y"], ""),
        (["'_'", "'__'"], ["'_'", "'__'"], ""),
        (["'a/a.csv'", "'a/a/a.csv'"], ["a", "a/a"], " of 'a/….csv'"),
    ],
)
def test_names_are_cut_between_words(files: list[str], own: list[str], common: str) -> None:
    said, parts = _apart(files)
    assert ([parts[file] for file in files], said) == (own, common)


@given(st.lists(st.text("ab_/.", min_size=1, max_size=8), min_size=2, max_size=4, unique=True))
def test_what_is_left_of_names_tells_them_apart(names: list[str]) -> None:
    files = list(map(repr, names))
    common, own = _apart(files)
    assert len({own[file] for file in files}) == len(files)
    if common:
        front, back = common.removeprefix(" of ").split("…")
        assert [front + own[file] + back for file in files] == files


def test_lines_have_at_most_80_cells() -> None:
    long = [f"row {i:,} of '{'数据' * 20}/{i}.csv'" for i in (1, 123456)]
    for text in (
        render(comparison(long, value=-1.23456e-200, squared=9.87654e200, huber=-9.87654e200)),
        render(comparison(["row 1"] * 3, 10**9, cooks_distance=math.inf)),
    ):
        assert max(map(cell_len, text.splitlines())) <= 80


def test_plain_values_are_json() -> None:
    values = to_dict(comparison(["row 4"], cooks_distance=math.inf), 0.8)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert values["fits"]["huber"]["level"] == 0.8
    assert values["flags"] == [{"feature": "x1", "change": "sign", "clear": True, "text": "`x1` changes sign"}]
    assert values["deciding"]["rows"][0]["where"] == "row 4"
    assert values["deciding"]["rows"][0]["cooks_distance"] is None
    assert values["deciding"]["count"] == 1
    order = np.argsort(-np.abs(example(2).weights * example(2).scale)) + 1
    assert values["ranks"]["squared"] == order.tolist()
