"""Ceiling: the mean loss that a converging run stays below."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from linnet.block import Block, Float64s
from linnet.losses import Loss
from linnet.objective import residual
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE
from linnet.sources.spool import Spool

EXPLODED = 10.0
"""Growth of the mean loss over that at the start, at the end of an epoch, that no converging run shows,"""
AT_ONCE = 1e6
"""and within one."""
FEW = 10
"""Minibatches in an epoch from which on a run that explodes shows it before the last one."""
MEMORY = SAMPLE
"""Rows of the runs before that judge one that goes on from them: few rows alone may have any loss."""


class Ceiling:
    """The mean loss that a converging run stays below: some times that at its start, or where all weights are 0."""

    def __init__(
        self,
        loss: Loss,
        size: float,
        spool: Spool,
        begun: Sequence[Float64s],
        met: tuple[float, float] = (0.0, 0.0),
        high: float = 0.0,
    ) -> None:
        """As known before the first step.

        Args:
            loss: with a `bend`.
            size: root of the target's mean square.
            spool: the rows.
            begun: [bias, weights] at the start, (d+1,); of a run that goes on from others, there may be several.
            met: of the runs that it goes on from, the sum of the losses met and their number, MEMORY at most.
            high: mean loss of their rows at the start, as far as known.
        """
        self.loss, self.size, self.spool, self.begun, self.met, self.high = loss, size, spool, begun, met, high
        self.low = self._cost(size)

    def among(self, losses: float, rows: int) -> float:
        """The mean of so many rows' losses, of which this is the sum, and of those met before: as if of one run."""
        return (losses + self.met[0]) / (rows + self.met[1])

    def later(self, losses: float, rows: int) -> tuple[tuple[float, float], float]:
        """What the Ceiling of a run that goes on from here is to know as `met` and `high`, with so many rows more."""
        count = self.met[1] + rows
        share = min(1.0, MEMORY / count) if count else 1.0
        return ((self.met[0] + losses) * share, count * share), vars(self).get("_high", self.high)

    def broken(self, mean: float) -> bool:
        """Whether a mean loss, met in the course of an epoch, is one that no converging run shows."""
        return not self._covers(mean, AT_ONCE)

    def broken_at_end(self, step: Step, mean: float, last: bool) -> bool:
        """Whether the end of an epoch tells that the learning rate is too large.

        The mean is that of losses before each minibatch's update; after the last epoch nobody else looks at the last.
        That tells something where an epoch is a few minibatches, or did not lower the loss.
        """
        now = step.objective
        if now is None and last and (step.step < FEW * step.epoch or not self._covers(mean, 1.0)):
            assert step.weights is not None
            now = self._at(step.weights, step.bias or 0.0, SAMPLE // 4)
        return not (self._covers(mean, EXPLODED) and (now is None or self._covers(now, EXPLODED)))

    def left(self, mean: float, u: Float64s) -> bool:
        """Whether [bias, weights], (d+1,), or a mean loss on the way there are such as no converging run shows.

        As at the end of an epoch; the loss where they are is that of a sample of the rows.
        """
        return not (self._covers(mean, EXPLODED) and self._covers(self._at(u[1:], float(u[0]), SAMPLE), EXPLODED))

    def _covers(self, mean: float, times: float) -> bool:
        """Whether a mean loss is at most so many times that of the start."""
        return mean <= times * self.low or (math.isfinite(mean) and mean <= times * self._high)

    def _at(self, weights: Float64s, bias: float, rows: int) -> float:
        """The mean loss of some rows, among those met before."""
        sample = self.spool.sample(rows)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = _mean(self.loss.value(residual(sample, weights, bias)), sample)
        return self.among(mean * self.spool.rows, self.spool.rows)

    @cached_property
    def _high(self) -> float:
        """The mean loss at the start, where that is above the one at weights of 0; by a sample of the rows."""
        sample = self.spool.sample(SAMPLE)
        with np.errstate(over="ignore", invalid="ignore"):
            apart = [residual(sample, u[1:], float(u[0])) for u in self.begun]
            return max(self.high, self._cost(max(self.size, *(math.sqrt(_mean(r * r, sample)) for r in apart))))

    def _cost(self, size: float) -> float:
        """About the mean loss of residuals of this size, and not below it."""
        assert self.loss.bend is not None
        tilt, steepness, limit = self.loss.bend
        steep = 0.5 * steepness * size * size if math.isfinite(steepness) else math.inf
        return max(min(steep, (limit + abs(tilt)) * size), sys.float_info.min)


def _mean(values: Float64s, sample: Block) -> float:
    """Their mean by the rows' weights."""
    w = sample.weight
    if w is None or not w.any():
        return float(np.mean(values))
    held = w > 0
    return float(w[held] @ values[held] / w.sum())
