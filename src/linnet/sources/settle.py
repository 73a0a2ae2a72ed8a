"""Settling a Design: which columns of a table are features, and which levels its categories have."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from linnet.block import InputError
from linnet.design import Design, Feature, Missing
from linnet.sources.columns import Kind, decoding, distinct, in_use, kind_of, why_refused
from linnet.sources.means import Means
from linnet.sources.tables import Table, TableSource, listed, rows_per_block

MOST_LEVELS = 1000  # a category with more is an identifier, and each level would cost a column

_SPACE = r"[\s\x{A0}\x{2007}\x{2009}\x{202F}]"  # those that typesetters put between digits are no \s
_CURRENCY = r"(\p{Sc}|kr\.?|zł|CHF|CNY|EUR|GBP|JPY|USD)"  # no letter alone: R1 and R2 are names
_SIGN = r"[+\-\x{2212}\x{2013}]"
_DIGIT = r"\p{Nd}"  # of any script, such as those as wide as a Chinese character

# A text that a person would read as a number, among them those that need a change before a computer does (1,234.5).
LIKE_A_NUMBER = (
    rf"^{_SPACE}*\(?{_SIGN}?{_SPACE}*({_CURRENCY}{_SPACE}*{_SIGN}?)?"
    rf"\.?{_DIGIT}+((([.,'\x{{2019}}]|{_SPACE}){_DIGIT}{{3}})*|(,{_DIGIT}{_DIGIT})+,{_DIGIT}{{3}})([.,]{_DIGIT}+)?\.?"
    rf"([eE]{_SIGN}?{_DIGIT}+)?{_SPACE}*([%\x{{2030}}\x{{FF05}}]|{_CURRENCY})?\)?{_SPACE}*$"
)
DATE = r"^\s*(\d{4}[./-]\d\d?[./-]\d\d?|\d\d?[./-]\d\d?[./-](\d{4}|\d\d))\s*$"
NUMBER = r"^\s*[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|(?i:inf(inity)?|nan))\s*$"  # as Arrow reads it
HEXADECIMAL = re.compile(r"\s*[+-]?0[xX]")  # which Arrow takes for a number, but not for one with decimals
WITHOUT_NAME = re.compile(r"|Unnamed: \d+")  # what pandas writes for its index, and what it reads that back as
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # how pandas stores its index in Arrow and Parquet


def table_source(
    table: Table, target: str, features: Sequence[str] | None, weight: str | None, missing: Missing
) -> TableSource:
    """The source of a table's rows, its design settled: one pass where columns are text, one where means are to fill.

    Raises:
        InputError: a column is absent, comes twice or cannot be used, or no feature is left.
    """
    inputs = _features(table, target, features, weight)
    own = {target: "target"} if weight is None else {target: "target", weight: "weight"}
    table.own = own
    table.settle([*inputs, *own])
    for column, role in own.items():
        require_number(table, column, f"The {role}")
    decide = {"error": [], "mean": [*own], "drop": [*inputs, *own]}[missing]
    levels = _levels(table, [column for column in inputs if _is_text(table, column)], decide, weight)
    design = Design(tuple(Feature(column, levels.get(column)) for column in inputs), missing)
    _refuse_same_names(table, design)
    source = TableSource(table, design, target, weight)
    return _with_fill(source) if missing == "mean" else source


def _with_fill(source: TableSource) -> TableSource:
    """The same source, its missing features filled with the weighted means of the rows in use: one pass.

    Raises:
        InputError: a column has no value at all, no row is used, or the rows can be read only once.
    """
    if not source.rereadable:
        raise InputError(
            f'missing="mean" reads the rows twice, but {source.table} can be read only once: '
            'give a table, a data frame or a file, or use missing="drop".'
        )
    means = Means(source.design.names, source.where)
    for block in source.blocks():
        means.add(block.X, block.weight, block.start)
    design = means.filling(source.design, f" of {source.table}")
    return TableSource(source.table, design, source.target, source.weight)


def check_prediction(table: Table, design: Design) -> None:
    """Refuse a table that lacks a column of the design, or has a text where the design has a number.

    Raises:
        InputError: names the column.
    """
    columns = [feature.column for feature in design.inputs]
    for column in columns:
        _require_column(table, column, "The feature")
    table.settle(columns)
    for feature in design.inputs:
        if feature.levels is None:
            require_number(table, feature.column, "The feature")
        elif table.typed and kind_of(table.type_of(feature.column)) is None:
            _refuse_type(table, feature.column)


def require_number(table: Table, column: str, role: str) -> None:
    """Refuse a column that does not hold numbers."""
    if not _is_text(table, column):
        return
    if not table.typed:
        _refuse_almost_numbers(table, column)
    if role == "The feature":
        raise InputError(
            f"Column {column!r} of {table} holds text, but the fit knows it as a number: "
            "give data with the same types as those that the model was fitted on."
        )
    remedy = "a yes/no target can be recoded as 0 and 1" if role == "The target" else "name a column of numbers"
    raise InputError(
        f"{role} {column!r} of {table} holds text, but linear regression needs a number there: {remedy}, or "
        f"{table.otherwise(column)}."
    )


def _features(table: Table, target: str, features: Sequence[str] | None, weight: str | None) -> list[str]:
    """The input columns: those named, or all but the target and the weight."""
    _require_column(table, target, "The target")
    if weight is not None:
        _require_column(table, weight, "The weight")
    if features is None:
        inputs = [n for n in table.names if n not in (target, weight) and not PANDAS_INDEX.fullmatch(n)]
    else:
        inputs = _named(features)
    for column in inputs:
        if features is None and WITHOUT_NAME.fullmatch(column):
            _refuse_nameless(table, column)
        _require_column(table, column, "The feature")
    if target in inputs:
        raise InputError(f"{target!r} is both the target and a feature: leave it out of features=.")
    if weight == target:
        raise InputError(f"{target!r} is both the target and the weight.")
    twice = [column for column in inputs if inputs.count(column) > 1]
    if twice:
        raise InputError(f"features= names {twice[0]!r} twice.")
    if not inputs:
        raise InputError(f"No feature is left to fit on: {table} has the columns {listed(table.names)} only.")
    return inputs


def column_name(value: object) -> str | None:
    """The name of a column as tables list it, which of numbers is their text; None for what is no name."""
    if isinstance(value, str):
        return str(value)  # NumPy's strings print as what they are
    return str(int(value)) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None


def _named(features: Any) -> list[str]:
    """The columns that a caller names, one or several."""
    alone = column_name(features)
    if alone is not None:
        return [alone]
    try:
        given = list(features)
    except TypeError:
        raise InputError(f"features= must be a list of columns' names, but is {features!r}.") from None
    names = [column_name(each) for each in given]
    for each, name in zip(given, names, strict=True):
        if name is None:
            raise InputError(f"features= must be a list of columns' names, but holds {each!r}.")
    return [name for name in names if name is not None]


def _require_column(table: Table, column: str, role: str) -> None:
    """Refuse a column that is not there or comes twice, and a table that was split at the wrong character."""
    count = table.names.count(column)
    if count > 1:
        raise InputError(f"{table} has {count} columns named {column!r}: rename or remove all but one.")
    if count == 1:
        return
    if why := table.why_absent():
        raise InputError(f"{role} {column!r} is not a column of {table}, which has only {table.names[0]!r}. {why}")
    near = _nearest(column, table.names)
    hint = f": did you mean {near!r}?" if near else "."
    raise InputError(f"{role} {column!r} is not a column of {table}{hint} It has {listed(table.names)}.")


def _nearest(name: str, names: Sequence[str]) -> str | None:
    """The name that was probably meant, if any."""
    folded = {each.casefold().strip(): each for each in names}
    near = difflib.get_close_matches(name.casefold().strip(), folded, n=1)
    return folded[near[0]] if near else None


def _refuse_nameless(table: Table, column: str) -> None:
    """Say what to do about a column without a name."""
    number = table.names.index(column) + 1
    raise InputError(
        f"Column {number} of {table} has no name, so it is unclear whether it is meant as a feature; pandas' to_csv "
        "writes its index so, unless told index=False. Name the features to use (features=…), or name or remove it."
    )


def _is_text(table: Table, column: str) -> bool:
    """Whether a column is text or a category; refuses it when it is neither that nor a number."""
    kind = kind_of(table.type_of(column))
    if kind is None:
        _refuse_type(table, column)
    return kind == "text"


def _refuse_type(table: Table, column: str) -> None:
    """Say that a column can be neither a number nor a category."""
    raise InputError(
        f"Column {column!r} of {table} holds {why_refused(table.type_of(column))}, or {table.otherwise(column)}."
    )


def _refuse_same_names(table: Table, design: Design) -> None:
    """Refuse two features of one name: nobody could tell their weights apart."""
    if len(set(design.names)) == len(design.names):
        return
    owner: dict[str, str] = {}
    for feature in design.inputs:
        for name in feature.names:
            if name in owner:
                raise InputError(
                    f"The columns {owner[name]!r} and {feature.column!r} of {table} give two features of the name "
                    f"{name!r}, since a level's indicator is named so: rename one of the columns or that level."
                )
            owner[name] = feature.column


def _levels(table: Table, columns: list[str], decide: Sequence[str], weight: str | None) -> dict[str, tuple[str, ...]]:
    """The levels of each text column that occur in rows in use, as declared or sorted: one pass, where any is text.

    A level of other rows alone would be a feature that is always 0; or the reference, from which nothing is known how
    far the others are.

    Args:
        table: where they are.
        columns: the text columns.
        decide: the columns whose missing values leave a row out.
        weight: the column of row weights, which are 0 for rows that are left out too.

    Raises:
        InputError: a column has too many levels, or holds numbers but for a few values.
    """
    found: dict[str, set[str]] = {}
    unread = []
    for column in columns:
        known = table.known_levels(column)
        if known is None:
            unread.append(column)
        else:
            found[column] = set(known)
    if not table.typed:
        for column in unread:
            _refuse_almost_numbers(table, column)
    if unread:
        found |= {column: set() for column in unread}
        kinds: dict[str, Kind] = dict.fromkeys([*decide, *([] if weight is None else [weight])], "number")
        kinds |= dict.fromkeys([*unread, *(column for column in columns if column in kinds)], "text")
        for piece in table.pieces(kinds, rows_per_block(len(kinds))):
            used = in_use({column: piece.columns.column(column) for column in kinds}, decide, weight)
            for column in unread:
                texts = piece.columns.column(column)
                with decoding(texts, column, piece.place):
                    found[column].update(distinct(texts if used is None else texts.filter(used)))
                _refuse_many_levels(table, column, found[column])
    return {column: _in_order(levels, table.declared_levels(column)) for column, levels in found.items()}


def _in_order(levels: set[str], declared: list[str] | None) -> tuple[str, ...]:
    """Levels in the order in which they are declared, or else sorted."""
    return tuple(sorted(levels) if declared is None else [level for level in declared if level in levels])


def _refuse_many_levels(table: Table, column: str, levels: set[str]) -> None:
    """Say that a column is no category."""
    if len(levels) > MOST_LEVELS:
        raise InputError(
            f"Column {column!r} of {table} holds more than {MOST_LEVELS:,} different texts, such as "
            f"{listed(sorted(levels)[:3])}: an identifier, probably. Leave it out by naming the features to use "
            "(features=…), or group its values into fewer."
        )


def _refuse_almost_numbers(table: Table, column: str) -> None:
    """Say which value keeps a column of a text file from being numbers, when most of its first rows are; or dates."""
    import pyarrow.compute as pc

    judged = False
    for piece in table.pieces({column: "text"}, 65536):
        texts = piece.columns.column(column)
        if not judged:
            known = texts.drop_null()
            if not len(known):
                continue
            dates, alike = (pc.match_substring_regex(known, which).to_pylist() for which in (DATE, LIKE_A_NUMBER))
            if dates.count(True) > 0.5 * len(dates):
                raise InputError(
                    f"Column {column!r} holds dates, such as {known[0].as_py()!r}: convert it to a number first, "
                    f"such as days since a date, or {table.otherwise(column)}."
                )
            if alike.count(True) < 0.5 * len(alike):
                return
            judged = True
        bad = pc.index(pc.match_substring_regex(texts, NUMBER), False).as_py()
        if bad >= 0:
            text = texts[bad].as_py()
            raise InputError(
                f"Column {column!r} holds {text!r} in {table.place(piece, bad)}, where a number is expected as in "
                f"other rows: {instead_of(text, table, column)}"
            )


def instead_of(text: str, table: Table, column: str) -> str:
    """What to do about a text where a number is expected."""
    import pyarrow as pa
    import pyarrow.compute as pc

    remedy = "correct that value, or leave it empty where it is missing"
    if HEXADECIMAL.match(text):
        remedy = "write it in decimal digits, or leave it empty where it is missing"
    elif pc.match_substring_regex(pa.scalar(text), LIKE_A_NUMBER).as_py():
        remedy = "write such values in digits from 0 to 9 with a decimal point, like -1234.5, without any other sign"
    meant = "If the column is meant as a category, spell its levels so that they do not read as numbers; or "
    return f"{remedy}. {'Or ' if column in table.own else meant}{table.otherwise(column)}."
