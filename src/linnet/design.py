"""Design: how columns become features. Settled before the first block, kept in the Fit, used again to predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from linnet.block import InputError
from linnet.settings import finite

Missing = Literal["error", "drop", "mean"]


@dataclass(frozen=True)
class Feature:
    """One input column, and the features that it becomes.

    Attributes:
        column: its name in the table.
        levels: None for a number, which is one feature as it stands; otherwise the category levels, sorted or in the
            order that their table declares. The first is the reference, each of the others becomes an indicator, so a
            single level becomes no feature at all.
        fill: what stands in for a missing value, one number per feature of this column; None where rows with missing
            values are refused or dropped.
        filled: how many values it stands in for in the rows that were fitted (those of weight 0 not counted).
    """

    column: str
    levels: tuple[str, ...] | None = None
    fill: tuple[float, ...] | None = None
    filled: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names: `("x",)`, or `("species[Chinstrap]", "species[Gentoo]")`."""
        if self.levels is None:
            return (self.column,)
        return tuple(f"{self.column}[{level}]" for level in self.levels[1:])

    @property
    def width(self) -> int:
        """How many features it becomes."""
        return 1 if self.levels is None else max(len(self.levels) - 1, 0)


@dataclass(frozen=True)
class Design:
    """How columns become features.

    Attributes:
        inputs: the input columns, in the order of their features.
        missing: what happens to missing values: "error" refuses them, "drop" leaves their rows out, "mean" fills them.
        from_array: whether the features came from an array without names, so that `names` are x1, x2, … .
    """

    inputs: tuple[Feature, ...]
    missing: Missing = "error"
    from_array: bool = False

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All feature names, in the order of the columns of X."""
        return tuple(name for feature in self.inputs for name in feature.names)

    @staticmethod
    def numbers(names: Sequence[str], missing: Missing = "error", from_array: bool = False) -> Design:
        """The design in which every column is a number."""
        return Design(tuple(Feature(name) for name in names), missing, from_array)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and numbers, as the model file keeps them."""
        return {
            "inputs": [
                {
                    "column": feature.column,
                    "levels": None if feature.levels is None else list(feature.levels),
                    "fill": None if feature.fill is None else list(feature.fill),
                    "filled": feature.filled,
                }
                for feature in self.inputs
            ],
            "missing": self.missing,
            "from_array": self.from_array,
        }

    @staticmethod
    def from_dict(record: object) -> Design:
        """The design that `to_dict` wrote, with every field checked.

        Raises:
            InputError: a field is absent, of the wrong type or inconsistent with the others.
        """
        fields = _fields(record, {"inputs", "missing", "from_array"}, "the design")
        inputs, missing, from_array = fields["inputs"], fields["missing"], fields["from_array"]
        _require(isinstance(inputs, list), "the design's inputs are not a list")
        _require(isinstance(missing, str) and missing in get_args(Missing), "the design's missing= is unknown")
        _require(isinstance(from_array, bool), "the design's from_array is not true or false")
        features = tuple(_feature(each) for each in inputs)
        _require(len({f.column for f in features}) == len(features), "the design lists a column twice")
        _require(not from_array or all(f.levels is None for f in features), "an array's feature has levels")
        return Design(features, missing, from_array)


def check_missing(missing: str) -> Missing:
    """The same word, known to be one that Linnet understands.

    Raises:
        InputError: it is not.
    """
    words: tuple[Missing, ...] = get_args(Missing)
    for word in words:
        if missing == word:
            return word
    raise InputError(f'missing= must be "error", "drop" or "mean", but is {missing!r}.')


def _feature(record: object) -> Feature:
    """One checked Feature."""
    fields = _fields(record, {"column", "levels", "fill", "filled"}, "a feature of the design")
    column, levels, fill, filled = (fields[key] for key in ("column", "levels", "fill", "filled"))
    _require(isinstance(column, str), "a feature's column is not a name")
    if levels is not None:
        _require(isinstance(levels, list) and all(isinstance(v, str) for v in levels), "levels are not a list of texts")
        _require(len(set(levels)) == len(levels), "a level comes twice")
        levels = tuple(levels)
    if fill is not None:
        _require(
            isinstance(fill, list) and all(finite(v) is not None for v in fill), "fill is not a list of finite numbers"
        )
        fill = tuple(float(v) for v in fill)
    _require(type(filled) is int and (filled == 0 or (filled > 0 and bool(fill))), "filled is not a number of values")
    feature = Feature(column, levels, fill, filled)
    _require(fill is None or len(fill) == feature.width, "fill does not match the number of features")
    return feature


def _fields(record: object, expected: set[str], what: str) -> Mapping[str, Any]:
    """The record, known to be a mapping with exactly the expected fields."""
    if not isinstance(record, Mapping) or set(record) != expected:
        raise InputError(f"The model is damaged: {what} does not have the fields {', '.join(sorted(expected))}.")
    return record


def _require(holds: bool, otherwise: str) -> None:
    """Refuse a damaged record in one sentence."""
    if not holds:
        raise InputError(f"The model is damaged: {otherwise}.")
