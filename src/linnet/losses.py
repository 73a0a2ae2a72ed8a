"""Losses: what a residual costs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from linnet.block import Float64s, InputError


class Loss(ABC):
    """What a residual r = y - prediction costs: three functions of r, each elementwise over shape (rows,).

    `Squared` estimates the mean of the target, `Absolute` its median, `Quantile` any other quantile; `Huber` lies
    between the first two.
    """

    name: str

    @abstractmethod
    def value(self, r: Float64s) -> Float64s:
        """The cost of each residual."""

    @abstractmethod
    def slope(self, r: Float64s) -> Float64s:
        """The derivative of `value` with respect to r; at a kink, the mean of the slopes on its two sides."""

    @abstractmethod
    def curvature(self, r: Float64s) -> Float64s:
        """The second derivative of `value` with respect to r; 0 at a kink."""

    @property
    def bend(self) -> tuple[float, float, float] | None:
        """(tilt, steepness, limit), where slope(r) = tilt + clip(steepness·r, -limit, limit), or None where it is not.

        A slope of this shape is all that a compiled solver has to know of a loss. With an infinite steepness it is
        tilt + limit·sign(r).
        """
        return None


@dataclass(frozen=True)
class Squared(Loss):
    """Half the squared residual, r²/2, so that its slope is r."""

    name = "squared"

    def value(self, r: Float64s) -> Float64s:
        """r²/2."""
        return 0.5 * r * r

    def slope(self, r: Float64s) -> Float64s:
        """r."""
        return r

    def curvature(self, r: Float64s) -> Float64s:
        """1."""
        return np.ones_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A straight line."""
        return 0.0, 1.0, math.inf


@dataclass(frozen=True)
class Absolute(Loss):
    """The absolute residual, |r|."""

    name = "absolute"

    def value(self, r: Float64s) -> Float64s:
        """|r|."""
        return np.abs(r)

    def slope(self, r: Float64s) -> Float64s:
        """The sign of r, 0 at 0."""
        return np.sign(r)

    def curvature(self, r: Float64s) -> Float64s:
        """0."""
        return np.zeros_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A jump from -1 to 1."""
        return 0.0, math.inf, 1.0


@dataclass(frozen=True)
class Huber(Loss):
    """r²/2 where |r| is at most delta, delta·(|r| - delta/2) beyond: squared for small residuals, absolute for large.

    P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).

    Attributes:
        delta: the residual from which the cost grows only linearly, in units of the target; above 0.

    Raises:
        InputError: delta is out of range.
    """

    name = "huber"
    delta: float = 1.0

    def __post_init__(self) -> None:
        if not _between(self.delta, 0, math.inf):
            raise InputError(
                f"The delta of the Huber loss must be a finite number above 0, but is {self.delta!r}: give the size of "
                "a residual, in units of the target, from which it counts as an outlier."
            )

    def value(self, r: Float64s) -> Float64s:
        """r²/2 or delta·(|r| - delta/2)."""
        size = np.abs(r)
        inner = np.minimum(size, self.delta)
        return inner * (size - 0.5 * inner)

    def slope(self, r: Float64s) -> Float64s:
        """r, held between -delta and delta."""
        return np.clip(r, -self.delta, self.delta)

    def curvature(self, r: Float64s) -> Float64s:
        """1 where |r| is at most delta, 0 beyond."""
        return np.where(np.abs(r) <= self.delta, 1.0, 0.0)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A straight line between two level ones."""
        return 0.0, 1.0, float(self.delta)


@dataclass(frozen=True)
class Quantile(Loss):
    """q·r above the prediction, (1 - q)·|r| below it, so that a share q of the rows comes to lie below: "pinball loss".

    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46 (1978).

    Attributes:
        q: which quantile of the target to estimate, above 0 and below 1; 0.5 is the median.

    Raises:
        InputError: q is out of range.
    """

    name = "quantile"
    q: float = 0.5

    def __post_init__(self) -> None:
        if not _between(self.q, 0, 1):
            raise InputError(
                f"The q of the quantile loss must lie above 0 and below 1, but is {self.q!r}: 0.5 is the median, "
                "0.9 the value that nine rows in ten stay below."
            )

    def value(self, r: Float64s) -> Float64s:
        """The larger of q·r and (q - 1)·r."""
        return np.maximum(self.q * r, (self.q - 1) * r)

    def slope(self, r: Float64s) -> Float64s:
        """q above 0, q - 1 below 0, q - 1/2 at 0."""
        return (self.q - 0.5) + 0.5 * np.sign(r)

    def curvature(self, r: Float64s) -> Float64s:
        """0."""
        return np.zeros_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A jump from q - 1 to q."""
        return float(self.q) - 0.5, math.inf, 0.5


def _between(number: float, low: float, high: float) -> bool:
    """Whether it is a number, and strictly between the two."""
    try:
        return bool(low < number < high)
    except (TypeError, ValueError):  # a word, an array of several
        return False
