"""Losses: what a residual costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from linnet.block import Float64s


class Loss(ABC):
    """What a residual r = y - prediction costs: three functions of r, each elementwise over shape (rows,)."""

    name: str

    @abstractmethod
    def value(self, r: Float64s) -> Float64s:
        """The cost of each residual."""

    @abstractmethod
    def slope(self, r: Float64s) -> Float64s:
        """The derivative of `value` with respect to r."""

    @abstractmethod
    def curvature(self, r: Float64s) -> Float64s:
        """The second derivative of `value` with respect to r."""


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
