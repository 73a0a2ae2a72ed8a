"""Settings are read as Python's numbers, and what is none is refused wherever it is given."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import linnet
from linnet.settings import finite, kept, positive, share, truth, whole
from linnet.solvers.interior_point import InteriorPoint
from linnet.solvers.newton import Newton
from linnet.synthetic import simulate

NO_NUMBERS: list[Any] = ["1", None, True, np.True_, 1j, [1.0], np.array([1.0, 2.0]), math.nan, math.inf, 10**400]


@pytest.mark.parametrize("value", NO_NUMBERS)
def test_what_is_no_number_is_read_as_none(value: Any) -> None:
    assert finite(value) is None
    assert positive(value) is None
    assert share(value) is None


@pytest.mark.parametrize("value", ["1", None, True, 1.0, np.float64(2), np.array([1])])
def test_what_is_no_whole_number_is_read_as_none(value: Any) -> None:
    assert whole(value) is None


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_numbers_become_floats_of_python(value: Any) -> None:
    for read in (finite, positive, share):
        assert type(read(value)) is float
        assert read(value) == 0.5
    assert type(whole(np.int8(3))) is int
    assert type(truth(np.True_)) is bool


def test_bounds() -> None:
    assert finite(0, 0.0, 1.0) == 0.0
    assert finite(1, 0.0, 1.0) == 1.0
    assert finite(-1e-300, 0.0) is None
    assert finite(np.nextafter(1.0, 2.0), 0.0, 1.0) is None
    assert positive(0) is None
    assert positive(5e-324) == 5e-324
    assert share(1) is None
    assert share(1 - 2.0**-53) == 1 - 2.0**-53
    assert (whole(0), whole(1), whole(3, 1, 3), whole(4, 1, 3)) == (None, 1, 3, None)


def test_words_are_taken_as_they_are() -> None:
    allowed = ('a number, "auto" or None', ("auto", None), finite)
    assert kept("lr", "auto", allowed) == "auto"
    assert kept("lr", None, allowed) is None
    with pytest.raises(linnet.InputError, match=r'^lr must be a number, "auto" or None, but is \'car\'\.$'):
        kept("lr", "car", allowed)


def test_a_long_value_is_shown_in_one_short_line() -> None:
    with pytest.raises(linnet.InputError) as refused:
        kept("lr", np.zeros((100, 100)), ("a number", (), finite))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 120


@pytest.mark.parametrize("value", [2, "9", 3.5, True, None])
@pytest.mark.parametrize("solver", [Newton, InteriorPoint])
def test_passes(solver: Callable[..., Any], value: Any) -> None:
    with pytest.raises(linnet.InputError, match="passes must be a whole number from 3 on, but is"):
        solver(passes=value)
    assert solver(passes=np.int64(9)) == solver(passes=9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: linnet.Huber(True), "delta of the Huber loss must be a finite number above 0, but is True"),
        (lambda: linnet.Huber(k="2"), "k of the Huber loss must be a finite number above 0, but is '2'"),  # type: ignore[call-overload]
        (lambda: linnet.Quantile(True), "q of the quantile loss must lie above 0 and below 1, but is True"),
        (lambda: linnet.Objective(linnet.Squared(), l2=True), "l2 must be a finite number at least 0, but is True"),
        (lambda: simulate([1.0], 0.0, rows=True), "number of rows must be a whole number, at least 1, but is True"),
        (lambda: simulate([1.0], "a", rows=3), "bias must be a finite number, but is 'a'"),  # type: ignore[arg-type]
        (lambda: simulate([1.0], 0.0, rows=3, noise=-1), "noise must be a finite number, at least 0, but is -1"),
        (lambda: simulate([1.0], 0.0, rows=3, seed=1.5), "seed must be a whole number, at least 0, but is 1.5"),  # type: ignore[arg-type]
    ],
)
def test_refusals(make: Callable[[], object], said: str) -> None:
    with pytest.raises(linnet.InputError, match=said):
        make()


def test_numbers_that_json_holds_are_kept() -> None:
    float32: Any = np.float32(0.5)
    quarter: Any = Fraction(1, 4)
    assert repr(linnet.Huber(float32)) == "Huber(delta=0.5)"
    assert repr(linnet.Quantile(quarter)) == "Quantile(q=0.25)"
    assert type(linnet.Objective(linnet.Squared(), l2=float32).l2) is float
