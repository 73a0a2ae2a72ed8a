"""RobustScale: the spread of residuals whatever a few outliers do, sought together with the weights that leave them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from scipy.special import ndtr

from linnet.block import Float64s
from linnet.residuals import NORMAL_MAD, value_at
from linnet.solvers.piece import Piece

MOST = 1 << 22
"""Residuals that are kept to find their median."""
VANISHING = 1e-12
"""Scale, beside the target's spread, that rounding lets nobody tell from 0."""
STRETCH = 10.0
"""Factor by which a scale changes at most from one guess to the next."""


class RobustScale(ABC):
    """The search for sigma: that the residuals of the weights which minimise Huber(k·sigma) have the scale sigma.

    Where the rows of a pass have |r| as they do at the minimum for some sigma, `measured` is their scale; it is above
    sigma where sigma is too small. So the search can be held in a bracket, and ends.

    Attributes:
        k: where the loss bends, in units of the scale.
        sigma: the guess at work.
        guesses: how many there were before.
    """

    name: ClassVar[str]

    def __init__(self, k: float, sigma: float) -> None:
        """Begin with a guess above 0."""
        self.k = k
        self.sigma = sigma
        self._low, self._high = 0.0, math.inf
        self._last: tuple[float, float] | None = None
        self.guesses = 0

    @property
    def delta(self) -> float:
        """Where the loss bends."""
        return self.k * self.sigma

    def begin(self) -> None:  # noqa: B027 - not every scale needs it
        """Before a pass."""

    def look(self, size: Float64s, w: Float64s | None) -> tuple[Float64s, Float64s, float] | None:  # noqa: ARG002
        """What to keep of |r| and row weights of some rows, (m,); for any thread."""
        return None

    def take(self, kept: tuple[Float64s, Float64s, float] | None) -> None:  # noqa: B027 - likewise
        """Keep it, in the order of the rows."""

    @abstractmethod
    def measured(self, piece: Piece, total: float) -> float:
        """The scale of all residuals of the pass; NaN when another pass is needed.

        Args:
            piece: the sums of that pass.
            total: sum of the row weights.
        """

    def guess(self, piece: Piece, measured: float) -> float:  # noqa: ARG002
        """Where sigma may lie; any number, since it is held in the bracket.

        Here, where a line through this measurement and the one before meets the diagonal.
        """
        if self._last is None or self._last[0] == self.sigma:
            return measured
        slope = (measured - self._last[1]) / (self.sigma - self._last[0])
        return self.sigma + (measured - self.sigma) / (1.0 - slope) if slope < 1.0 - 1e-9 else measured

    def corrected(self, piece: Piece, measured: float) -> float:
        """Sigma with what is left of its error taken off, where that is small."""
        guess = self.guess(piece, measured)
        return guess if abs(guess - self.sigma) <= STRETCH * abs(measured - self.sigma) else measured

    def advance(self, piece: Piece, measured: float, rests: bool) -> None:
        """The next guess, from the scale measured near the minimum for this one; 0 where the residuals' scale is that.

        Args:
            piece: the sums of the pass that it was measured by.
            measured: the scale.
            rests: whether the weights are those of the minimum: only then does it tell on which side sigma lies.
        """
        sigma = self.sigma
        guess = self.guess(piece, measured)
        self._last = (sigma, measured)
        if guess < VANISHING < sigma < math.sqrt(VANISHING):
            self.sigma = 0.0
            return
        guess = max(guess, sigma / STRETCH)
        if rests and measured > sigma:
            self._low = max(self._low, sigma)
        elif rests:
            self._high = min(self._high, sigma)
        if self._low >= self._high:  # rounding decided
            self._low, self._high = (sigma, math.inf) if measured > sigma else (0.0, sigma)
        self.guesses += 1
        halve = self._low > 0 and math.isfinite(self._high) and self.guesses % 8 == 0
        if halve or not self._low < guess < self._high:
            guess = measured
            if halve or not self._low <= guess <= self._high:
                guess = self._low / 2 + self._high / 2 if math.isfinite(self._high) else sigma * STRETCH
        self.sigma = min(max(guess, sigma / STRETCH), sigma * STRETCH)


class Mad(RobustScale):
    """The median of |r|, about 0, over 0.6745; each row counts by its weight.

    The default of MASS::rlm. statsmodels' RLM divides by 0.67448975, the same with more digits.

    The median is exact also of more rows than fit into memory: values between two bounds are kept, those below counted.
    """

    name = "mad"

    def __init__(self, k: float, sigma: float, half_width: float) -> None:
        """`half_width`: how far from the guess the median may lie, relative to it; those between are kept."""
        super().__init__(k, sigma)
        self._half_width = half_width
        self._between = (0.0, math.inf)
        self._aim = sigma * NORMAL_MAD
        self.begin()

    def begin(self) -> None:
        """Before a pass: keep values near where the median is expected."""
        if math.isfinite(self._half_width):
            self._between = (self._aim * (1.0 - self._half_width), self._aim * (1.0 + self._half_width))
        self._kept: list[tuple[Float64s, Float64s]] = []
        self._held, self._below = 0, 0.0

    def look(self, size: Float64s, w: Float64s | None) -> tuple[Float64s, Float64s, float]:
        """|r| and weights between the bounds, and the weight below them."""
        low, high = self._between
        if w is None:
            w = np.ones(size.size)
        there = (size >= low) & (size <= high) & (w > 0)
        return size[there], w[there], float(w[size < low].sum()) if low > 0 else 0.0

    def take(self, kept: tuple[Float64s, Float64s, float] | None) -> None:
        """Keep them; where there are too many, draw the bounds closer."""
        assert kept is not None
        low, high = self._between
        if low > 0 or math.isfinite(high):  # other threads may have looked with wider bounds
            inside = (kept[0] >= low) & (kept[0] <= high)
            kept = kept[0][inside], kept[1][inside], kept[2] + float(kept[1][kept[0] < low].sum())
        self._kept.append(kept[:2])
        self._held += kept[0].size
        self._below += kept[2]
        if self._held > MOST:
            size, w = self._all()
            low, high = np.quantile(size, (0.25, 0.75))
            inside = (size >= low) & (size <= high)
            self._below += float(w[size < low].sum())
            self._kept, self._held = [(size[inside], w[inside])], int(inside.sum())
            self._between = (float(low), float(high))

    def _all(self) -> tuple[Float64s, Float64s]:
        return np.concatenate([part[0] for part in self._kept]), np.concatenate([part[1] for part in self._kept])

    def measured(self, piece: Piece, total: float) -> float:  # noqa: ARG002
        """The median over 0.6745; NaN where it lies beyond the bounds, which are then wider in the next pass."""
        size, w = self._all()
        low, high = self._between
        inside = float(w.sum())
        at = (total / 2 - self._below) / inside if inside > 0 else -1.0
        if low <= 0 and not math.isfinite(high):
            at = min(max(at, 0.0), 1.0)
        margin = 4.0 * float(w.max(initial=0.0)) / inside if math.isfinite(high) and inside > 0 else 0.0
        if not margin <= at <= 1.0 - margin:
            self._aim = low if self._below > total / 2 else high
            self._half_width = min(8.0 * self._half_width, 0.99) if self._half_width < 0.99 else math.inf
            if not math.isfinite(self._half_width):
                self._between = (0.0, math.inf)
            return math.nan
        median = value_at(size, w, total / 2 - self._below, total)
        self._aim = median
        self._half_width = max(self._half_width / 2, 1e-4) if math.isfinite(high) else math.inf
        return median / NORMAL_MAD


class Concomitant(RobustScale):
    """Huber's proposal 2: Σ w·min(r², (k·sigma)²) / Σ w = sigma²·E min(Z², k²)·df_residual/n, for standard normal Z.

    P. J. Huber, Robust Statistics (1981), section 7.7. The scale of MASS::rlm with scale.est="proposal 2" and k2 = k,
    and of statsmodels' HuberScale(d=k). Degrees of freedom and n count rows, since weights are taken as inverse
    variances here as in standard errors: a row of weight 2 is not quite like that row twice.
    """

    name = "concomitant"

    def __init__(self, k: float, sigma: float, free: float) -> None:
        """`free`: df_residual/n."""
        super().__init__(k, sigma)
        inner = 2.0 * float(ndtr(k)) - 1.0
        density = math.exp(-k * k / 2) / math.sqrt(2 * math.pi)
        self._expected = free * (inner + k * k * (1.0 - inner) - 2.0 * k * density)

    def measured(self, piece: Piece, total: float) -> float:  # noqa: ARG002
        """Of the pass's slopes, as they are for this delta."""
        return piece.slopes / math.sqrt(self._expected)

    def guess(self, piece: Piece, measured: float) -> float:
        """The scale at the minimum for that scale itself, as long as no row changes sides: the root of a quadratic."""
        at_zero, ahead = piece.step_to(0.0), piece.step_to(self.delta)
        if at_zero.damped or ahead.damped:
            return super().guess(piece, measured)
        a, H, u = at_zero.by, piece.gram, piece.pull
        b = (ahead.by - a) / self.sigma
        _, inner, out, *_ = piece.sums
        square = float(b @ H @ b) + self.k**2 * out - self._expected
        linear = 2.0 * float(b @ (H @ a - u))
        constant = float(inner - 2.0 * a @ u + a @ H @ a)
        below = linear * linear - 4.0 * square * constant
        if not square < 0 or not below >= 0:  # rows will change sides first
            return super().guess(piece, measured)
        root = math.sqrt(below)
        # square < 0 < constant: the one positive root, without cancellation
        return (2.0 * constant) / (root - linear) if linear < 0 else (-linear - root) / (2.0 * square)
