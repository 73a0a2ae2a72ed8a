from __future__ import annotations

import ast
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import linnet
from linnet.text import (
    ASCII,
    about,
    bound,
    error_to_place,
    last_place,
    number,
    p_value,
    shorten,
    spelled,
    spelled_for,
    to_place,
    wrap,
)

SOURCE = Path(str(linnet.__file__)).parent

NAN = math.nan
NUMBERS = [
    (0.0, "0"),
    (1460.9946, "1461.0"),
    (-18.20443, "-18.204"),
    (0.00012345678, "0.00012346"),
    (123456789.4, "123456789"),
    (1e9, "1.0000e9"),
    (-1.2345678e-12, "-1.2346e-12"),
    (1e300, "1.0000e300"),
    (99999.96, "100000"),
    (NAN, "–"),
    (math.inf, "∞"),
    (-math.inf, "-∞"),
]


@pytest.mark.parametrize(("value", "text"), NUMBERS)
def test_number(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (530.857, 2, "530"),
        (214.045, 2, "210"),
        (2.963, 2, "3"),
        (0.0512, 2, "0.051"),
        (-987654.0, 2, "-990000"),
        (999_999.0, 2, "1e+06"),
        (3.21e-7, 2, "3.2e-07"),
        (12345.6, 3, "12300"),
        (math.inf, 2, "∞"),
    ],
)
def test_a_number_in_a_sentence(value: float, digits: int, text: str) -> None:
    assert about(value, digits) == text


@pytest.mark.parametrize(
    ("error", "digits", "size", "place"),
    [
        (0.0716, 2, 1.0, -3),
        (0.0996, 2, 1.0, -2),  # 0.10
        (571.3, 2, 1461.0, 1),
        (2.2e-8, 2, 4.2, -9),
        (2.2e-8, 3, 4.2, -10),
        (1e-30, 2, 4.2, -14),  # float64 ends
        (1e-30, 2, 4.2e6, -8),
        (5e-324, 2, 5e-324, -325),
    ],
)
def test_last_place(error: float, digits: int, size: float, place: int) -> None:
    assert last_place(error, digits, size) == place


@pytest.mark.parametrize(
    ("value", "place", "size", "text"),
    [
        (4.20000001123, -9, 4.2, "4.200000011"),
        (-1460.99, 1, 1460.99, "-1461"),
        (-0.0004, -2, 4.2, "0.00"),
        (1.23456e-9, -12, 1.2e-9, "1.235e-9"),
        (3e-13, -12, 1.2e-9, "3.0e-13"),
        (123456789012.3, -1, 123456789012.3, "123456789012.3"),
        (1.23456789e13, 9, 1.2e13, "1.2346e13"),
        (1.23456789e11, 9, 1.2e11, "1.23e11"),
        (1e250, -5, 1.0, "1.000e250"),
        (0.0, -20, 1e-9, "0"),
        (NAN, -2, 1.0, "–"),
        (math.inf, -2, 1.0, "∞"),
    ],
)
def test_to_place(value: float, place: int, size: float, text: str) -> None:
    assert to_place(value, place, size) == text


@pytest.mark.parametrize(
    ("error", "place", "text"),
    [
        (0.07474, -5, "0.07474"),
        (0.0996, -3, "0.100"),
        (0.00123, -2, "0.0012"),
        (2.234e-8, -9, "2.2e-8"),
        (9.96e-8, -8, "1.0e-7"),
        (0.0, -5, "0"),
        (NAN, -5, "–"),
        (math.inf, -5, "∞"),
    ],
)
def test_error_to_place(error: float, place: int, text: str) -> None:
    assert error_to_place(error, place) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0, "<0.001"), (0.00099, "<0.001"), (0.001, "0.001"), (0.0123, "0.012"), (1.0, "1.000"), (NAN, "–")],
)
def test_p_value(p: float, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.1e-15, "3.1e-15"),
        (3.11e-15, "3.2e-15"),
        (0.999, "1.0"),
        (0.0, "0"),
        (-1e-17, "0"),
        (NAN, "–"),
        (math.inf, "∞"),
    ],
)
def test_a_bound_is_rounded_up(value: float, text: str) -> None:
    assert bound(value) == text


@given(st.text(max_size=40), st.integers(min_value=1, max_value=30))
def test_shorten_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = shorten(text, width)
    assert cell_len(short) <= width
    if "…" in short and "…" not in text:
        head, tail = short.split("…")
        clean = shorten(text, 1000)
        assert clean.startswith(head)
        assert clean.endswith(tail)


def test_shorten_examples() -> None:
    assert shorten("short", 10) == "short"
    assert shorten("bill_length_in_millimetres", 11) == "bill_…etres"
    assert shorten("变量的名字很长", 7) == "变量…长"  # each of these characters takes two cells
    assert shorten("a\nb\x1b[31m", 20) == "a b\N{REPLACEMENT CHARACTER}[31m"


def test_wrap_indents_and_breaks_what_has_no_spaces() -> None:
    assert wrap("one two three", first="• ", rest="  ", width=9) == ["• one two", "  three"]
    assert wrap("x" * 12, width=5) == ["xxxxx", "xxxxx", "xx"]


FIGURES = {"canvas.py", "figures.py", "fits_figure.py", "loss_figure.py", "path_figure.py", "scatter.py"}


@pytest.mark.parametrize("path", [p for p in SOURCE.rglob("*.py") if p.name not in FIGURES], ids=lambda p: p.name)
def test_each_of_our_own_characters_has_a_spelling_in_ascii(path: Path) -> None:
    """Those that may reach a console: in any text but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    said = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    ]
    assert {c for text in said for c in text if not c.isascii()} <= {*ASCII, "ł"}  # as in Null, spelled in Polish


def test_spellings_are_as_wide_as_they_are_printed() -> None:
    assert spelled("größe – ∞") == "größe – ∞"
    with spelled_for("ascii"):
        assert spelled("größe – ∞") == "gr\\xf6\\xdfe - inf"
        assert number(-math.inf) == "-inf"
        assert shorten("größer", 15) == "gr\\xf6\\xdfer"
        assert shorten("größer", 11) == "gr\\x...dfer"
        assert wrap("2·ä 3·ö", width=10) == ["2*\\xe4", "3*\\xf6"]
    with spelled_for("latin-1"):
        assert spelled("größe ² – 数") == "größe ² - \\u6570"
    with spelled_for("utf-8"):
        assert spelled("größe – ∞") == "größe – ∞"
