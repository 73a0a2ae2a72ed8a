"""What is asked of a reproduced figure: where it must lie, and why. `reproduce.py` asks."""

import math
from dataclasses import dataclass

import numpy as np

NOISE = 0.01
SURE = 4  # standard deviations of chance that are allowed for: one value in 16,000 lies beyond


def shown(value):
    """A number with four digits that count."""
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.5g}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class Within:
    """All values are asked to lie within two bounds, for a reason."""

    low: float
    high: float
    reason: str

    def met(self, values):
        return bool((self.low <= values).all() and (values <= self.high).all())

    def __str__(self):
        low, high = shown(self.low), shown(self.high)
        if low == high:
            return f"{low}: {self.reason}"
        least, most = f"at least {low}", f"at most {high}"
        bounds = least if self.high == math.inf else most if self.low == 0 else f"{low} to {high}"
        return f"{bounds}: {self.reason}"


class Among:
    """Figures published of one table are asked to lie within three standard deviations of the mean of our values."""

    def __init__(self, *figures):
        self.figures = figures

    def met(self, values):
        return bool((abs(values.mean() - np.array(self.figures)) <= 3 * values.std(ddof=1)).all())

    def __str__(self):
        return f"mean ± 3 sd holds {' and '.join(map(shown, self.figures))}"


def at_most(bound, reason):
    """For what cannot be negative."""
    return Within(0, bound, reason)


def chance(middle, sd, reason):
    """What chance leaves room for around a value that theory gives."""
    return Within(middle - SURE * sd, middle + SURE * sd, reason)


def mean_square(factor, reason):
    """Of the noise, times a factor, over 1,000 rows: what is left at the best weights."""
    middle = factor * NOISE**2
    return chance(middle, middle * math.sqrt(2 / 1_000), f"{reason} and chance")


def unrest(lr):
    """The variance of a weight at the end of an epoch of SGD, over 1,000 rows by tens, in squared standard errors.

    For columns that are N(0, 1). Lesson 13 says where the formula comes from.
    """
    k = lr * 1_000 / 10
    return k / 2 - math.tanh(k / 2)


def spread(variance):
    """The standard deviation of a weight over 1,000 rows, given its variance in squared standard errors."""
    return NOISE * math.sqrt(variance / 1_000)


ONE = Within(1 - 1e-9, 1 + 1e-9, "but for rounding")
