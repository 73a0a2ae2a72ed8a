"""Objective: the one formula that every Solver lowers and every Fit is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnet.block import Block, Float64s
from linnet.losses import Loss
from linnet.settings import Allowed, finite, kept
from linnet.sources.source import Source

L2: Allowed = ("a finite number at least 0", (), lambda value: finite(value, 0.0))


@dataclass(frozen=True)
class Objective:
    """sum(w_i · loss(r_i)) / sum(w_i) + (l2/2) · ‖weights‖², with r = y - bias - X·weights; the bias is not penalised.

    Attributes:
        loss: what a residual costs.
        l2: strength of the ridge penalty, in units of the objective per squared weight; at least 0.
        intercept: whether there is a bias to learn; without one it is held at 0.
    """

    loss: Loss
    l2: float = 0.0
    intercept: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "l2", kept("l2", self.l2, L2))

    def penalty(self, weights: Float64s) -> float:
        """(l2/2) · ‖weights‖²."""
        if not self.l2:
            return 0.0
        with np.errstate(over="ignore"):
            return 0.5 * self.l2 * float(weights @ weights)

    def of(self, source: Source, weights: Float64s, bias: float) -> float:
        """Its value at the given weights (d,) and bias, by one pass over the source."""
        cost = total = 0.0
        for block in source.blocks():
            w = np.ones(block.rows) if block.weight is None else block.weight
            cost += float(w @ self.loss.value(residual(block, weights, bias)))
            total += float(w.sum())
        return cost / total + self.penalty(weights)


def residual(block: Block, weights: Float64s, bias: float) -> Float64s:
    """y - bias - X·weights, shape (rows,)."""
    assert block.y is not None
    return np.asarray(block.y - (block.X @ weights + bias), dtype=np.float64)
