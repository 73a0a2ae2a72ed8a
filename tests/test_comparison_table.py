from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from rich.cells import cell_len

from helpers import example
from linnet.comparison import Comparison, Flag
from linnet.comparison_table import render, to_dict
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
