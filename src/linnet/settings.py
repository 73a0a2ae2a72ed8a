"""Settings as callers give them, NumPy's numbers too: read as Python's, or refused by a sentence."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np

from linnet.block import InputError

Whole = int | np.integer[Any]
"""A whole number as a caller may give it,"""
Number = float | np.floating[Any] | np.integer[Any]
"""and any number."""
Allowed = tuple[str, tuple[str | None, ...], Callable[[Any], Any]]
"""What a setting must be, which words (or None) it may be, and what reads anything else: None refuses."""


def kept(name: str, given: Any, allowed: Allowed) -> Any:
    """A setting as it is to be kept.

    Raises:
        InputError: it is not what is allowed.
    """
    what, words, read = allowed
    if (given is None or isinstance(given, str)) and given in words:
        return given
    value = read(given)
    if value is None:
        raise InputError(f"{name} must be {what}, but is {' '.join(reprlib.repr(given).split())}.")
    return value


def finite(value: Any, least: float = -math.inf, most: float = math.inf) -> float | None:
    """A finite number from `least` to `most`; True and False are none."""
    if type(value) is float:  # without asking what else is a number: short fits consist of little else
        read = value
    elif isinstance(value, bool) or not isinstance(value, Real):
        return None
    else:
        try:
            read = float(value)
        except OverflowError:  # a whole number of more than 308 digits
            return None
    return read if math.isfinite(read) and least <= read <= most else None


def positive(value: Any) -> float | None:
    """A finite number above 0."""
    return finite(value, math.ulp(0.0))


def share(value: Any) -> float | None:
    """A number strictly between 0 and 1."""
    return finite(value, math.ulp(0.0), math.nextafter(1.0, 0.0))


def whole(value: Any, least: int = 1, most: float = math.inf) -> int | None:
    """A whole number from `least` to `most`; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return None
    read = int(value)
    return read if least <= read <= most else None


def truth(value: Any) -> bool | None:
    """True or False."""
    return bool(value) if isinstance(value, bool | np.bool_) else None


def no_more(_: Any) -> None:
    """Nothing else than words."""
