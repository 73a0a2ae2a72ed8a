from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.block import InputError
from linnet.design import Design, Feature, check_missing

PENGUINS = Design(
    (
        Feature("mass", fill=(4201.5,), filled=2),
        Feature("species", ("Adelie", "Chinstrap", "Gentoo"), fill=(0.2, 0.36)),
        Feature("planet", ("Earth",), fill=()),
    ),
    missing="mean",
)

LEVELS = st.lists(st.text(), min_size=1, unique=True).map(tuple)


@st.composite
def designs(draw: st.DrawFn) -> Design:
    """Any design that can come about."""
    missing = draw(st.sampled_from(["error", "drop", "mean"]))
    columns = draw(st.lists(st.text(min_size=1), min_size=1, unique=True))
    features = []
    for column in columns:
        feature = Feature(column, draw(st.none() | LEVELS))
        if missing == "mean":
            number = st.floats(allow_nan=False, allow_infinity=False)
            fill = draw(st.lists(number, min_size=feature.width, max_size=feature.width))
            feature = Feature(column, feature.levels, tuple(fill))
        features.append(feature)
    return Design(tuple(features), check_missing(missing))


def test_names_are_numbers_as_they_are_and_levels_but_the_first() -> None:
    assert PENGUINS.names == ("mass", "species[Chinstrap]", "species[Gentoo]")


def test_a_category_of_one_level_or_none_becomes_no_feature() -> None:
    for levels in ((), ("a",)):
        assert Feature("x", levels).width == 0
        assert Feature("x", levels).names == ()


def test_numbers() -> None:
    design = Design.numbers(("x1", "x2"), "drop", from_array=True)
    assert design == Design((Feature("x1"), Feature("x2")), "drop", True)
    assert design.names == ("x1", "x2")


@given(designs())
def test_width_counts_names(design: Design) -> None:
    assert all(feature.width == len(feature.names) for feature in design.inputs)
    assert len(design.names) == sum(feature.width for feature in design.inputs)


@given(designs())
def test_json_gives_the_same_design_back(design: Design) -> None:
    assert Design.from_dict(json.loads(json.dumps(design.to_dict()))) == design


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The record of PENGUINS with one entry changed."""
    record = PENGUINS.to_dict()
    at: Any = record
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return record


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        {},
        {"inputs": []},
        PENGUINS.to_dict() | {"more": 1},
        changed(("inputs",), {}),
        changed(("inputs",), [1]),
        changed(("inputs", 0), {"column": "mass"}),
        changed(("inputs", 0, "column"), 3),
        changed(("inputs", 0, "column"), "species"),
        changed(("inputs", 0, "fill"), [float("nan")]),
        changed(("inputs", 0, "fill"), [float("inf")]),
        changed(("inputs", 0, "fill"), [10**400]),
        changed(("inputs", 0, "fill"), [True]),
        changed(("inputs", 0, "fill"), ["1"]),
        changed(("inputs", 0, "fill"), [1.0, 2.0]),
        changed(("inputs", 0, "fill"), []),
        changed(("inputs", 0, "fill"), None),
        changed(("inputs", 0, "filled"), -1),
        changed(("inputs", 0, "filled"), 1.0),
        changed(("inputs", 0, "filled"), True),
        changed(("inputs", 2, "filled"), 1),
        changed(("inputs", 1, "levels"), "Adelie"),
        changed(("inputs", 1, "levels"), ["Adelie", "Adelie", "Gentoo"]),
        changed(("inputs", 1, "levels"), ["Adelie", "Chinstrap", 3]),
        changed(("inputs", 1, "levels"), ["Adelie", "Gentoo"]),
        changed(("missing",), "Mean"),
        changed(("missing",), ["mean"]),
        changed(("from_array",), 1),
        changed(("from_array",), True),
    ],
    ids=str,
)
def test_a_damaged_record_is_refused(record: Any) -> None:
    with pytest.raises(InputError, match="The model is damaged"):
        Design.from_dict(record)


def test_missing_is_one_of_three_words() -> None:
    with pytest.raises(InputError, match='"error", "drop" or "mean"'):
        check_missing("skip")
