"""Residuals: those of all rows, or of an evenly spread sample, for what sums cannot tell of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from linnet.block import Block, Float64s
from linnet.losses import Huber, Loss

MOST = 1_000_000
"""Residuals that are kept; of more rows an evenly spread sample is."""
MANY = 1 << 16
"""Weighted values that take long to sort,"""
SAMPLE = 4096
"""and how many of them tell where a quantile is, within a twentieth."""
EQUAL = 2.0**-52
"""Share of their sum that rounding of sums of row weights may be, for each row,"""
LEAST = 1e-12
"""and at least, since the weights themselves may be rounded."""
NORMAL_MAD = 0.6745
"""Median of |z| for a standard normal z, with the digits that robust regression is used to."""


class Residuals:
    """Residuals, targets and row weights of all rows, or of evenly spread ones where there are more than MOST.

    Rows of weight 0 do not count. Of more rows every 2^k-th is kept, MOST/2 to MOST of them, whatever the blocks.
    """

    def __init__(self) -> None:
        self.stride = 1
        self._seen = self._kept = 0
        self._parts: list[Float64s] = []

    def places(self, block: Block) -> NDArray[np.intp]:
        """Which rows of the next block are wanted, in ascending order."""
        used = np.arange(block.rows) if block.weight is None else np.flatnonzero(block.weight)
        while self._kept + used.size // self.stride > MOST:
            self.stride *= 2
            self._parts = [np.concatenate(self._parts, axis=1)[:, ::2].copy()] if self._parts else []
            self._kept = sum(part.shape[1] for part in self._parts)
        wanted = used[-self._seen % self.stride :: self.stride]
        self._seen += used.size
        self._kept += wanted.size
        return np.asarray(wanted)

    def add(self, part: Float64s) -> None:
        """Rows that were wanted: residuals, targets and, where there are any, weights; (2 or 3, m)."""
        self._parts.append(part)

    def rows(self) -> tuple[Float64s, Float64s, Float64s | None]:
        """Residuals, targets and weights, each (m,)."""
        if len(self._parts) > 1:
            self._parts = [np.concatenate(self._parts, axis=1)]
        r, y, *w = self._parts[0]
        return r, y, w[0] if w else None

    def robust_scale(self) -> float:
        """MAD/0.6745: the median distance of the residuals from their median, as if they were normal."""
        r, _, w = self.rows()
        return median_distance(r, w) / NORMAL_MAD

    def pseudo_r2(self, loss: Loss, q: float, intercept: bool) -> float:
        """The share by which the loss lies below that of the best constant, or without an intercept of 0.

        NaN where that fits exactly.

        Args:
            loss: Huber or one that the q-quantile minimises, in units of these residuals.
            q: a quantile of the target near the best constant, or that itself.
            intercept: see above.
        """
        r, y, w = self.rows()
        constant = 0.0
        if intercept:
            constant = middle(y, w, q)
            if isinstance(loss, Huber):
                constant = _location(y, w, loss, constant)
        cost, of_constant = (_sum(loss.value(v), w) for v in (r, y - constant))
        return 1.0 - cost / of_constant if of_constant > 0 else math.nan


def middle(values: Float64s, w: Float64s | None, q: float) -> float:
    """The weighted q-quantile: what minimises the quantile loss, the middle where several values do."""
    if w is None or (w == w[0]).all():
        return value_at(values, None, q * values.size, float(values.size))
    before, total = 0.0, float(w.sum())
    if values.size > MANY:  # by a sample, all but those near the quantile can be left out of sorting
        sample = slice(None, None, values.size // SAMPLE)
        ends = [middle(values[sample], w[sample], min(max(q + by, 0.0), 1.0)) for by in (-0.05, 0.05)]
        inside = (values >= ends[0]) & (values <= ends[1])
        skipped, rounding = float(w @ (values < ends[0])), values.size * EQUAL * total
        if skipped + rounding < q * total < skipped + float(w @ inside) - rounding:
            before, values, w = skipped, values[inside], w[inside]
    return value_at(values, w, q * total - before, total)


def median_distance(values: Float64s, w: Float64s | None) -> float:
    """The weighted median of how far values lie from theirs."""
    return middle(np.abs(values - middle(values, w, 0.5)), w, 0.5)


def value_at(values: Float64s, w: Float64s | None, below: float, total: float) -> float:
    """The value that so much weight lies below; where that is at a border, the middle of both of its neighbours.

    Sums of weights are rounded, so that a border is met within that only.

    Args:
        values: (m,).
        w: their weights; None: 1 each.
        below: how much weight.
        total: sum of these weights, and of those that were left out before.
    """
    last, rounding = values.size - 1, max(LEAST, values.size * EQUAL) * total
    if w is not None and (w == w[0]).all():
        below, rounding, w = below / float(w[0]), rounding / float(w[0]), None
    if w is None:
        low, high = math.ceil(below - rounding) - 1, math.floor(below + rounding)
        low, high = (min(max(k, 0), last) for k in (low, high))
        part = np.partition(values, (low, high) if low < high else low)
        return float(part[low] / 2 + part[high] / 2)
    order = np.argsort(values)
    first, second = np.searchsorted(np.cumsum(w[order]), (below - rounding, below + rounding))
    return float(values[order[min(int(first), last)]] / 2 + values[order[min(int(second), last)]] / 2)


def quartiles(values: Float64s) -> tuple[float, float]:
    """The lower and the upper one, interpolated between neighbours as `numpy.quantile` does, which takes longer."""
    ordered = np.sort(values)

    def at(share: float) -> float:
        below = int(share * (values.size - 1))
        step = ordered[min(below + 1, values.size - 1)] - ordered[below]
        return float(ordered[below] + (share * (values.size - 1) - below) * step)

    return at(0.25), at(0.75)


def deviation(values: Float64s, w: Float64s | None) -> float:
    """The weighted standard deviation."""
    mean = values.mean() if w is None else w @ values / w.sum()
    off = values - mean
    return math.sqrt(_sum(off * off, w) / (values.size if w is None else w.sum()))


def _sum(values: Float64s, w: Float64s | None) -> float:
    return float(values.sum() if w is None else w @ values)


def _location(y: Float64s, w: Float64s | None, loss: Huber, start: float) -> float:
    """Huber's estimate of location, by Newton's steps from the median; within a bracket, which is halved otherwise."""
    low, high, c = float(y.min()), float(y.max()), start
    for _ in range(200):
        r = y - c
        pull, curvature = _sum(loss.slope(r), w), _sum(loss.curvature(r), w)
        low, high = (c, high) if pull > 0 else (low, c)
        following = c + pull / curvature if curvature > 0 else math.inf
        if not low <= following <= high:
            following = low / 2 + high / 2
        # of the loss at its minimum an error of 1e-8 of the bend changes the last bits only
        if following == c or abs(following - c) <= 1e-8 * loss.delta:
            return following
        c = following
    return c


def kernel(u: Float64s, h: float) -> Float64s:
    """Epanechnikov's kernel of half-width h."""
    t = u * (1.0 / h)
    t *= t
    np.subtract(1.0, t, out=t)
    np.maximum(t, 0.0, out=t)
    t *= 0.75 / h
    return t


def hall_sheather(n: int, q: float) -> float:
    """Hall and Sheather's bandwidth for 95 % intervals, on the scale of quantiles; halved until q ± it are such."""
    z = float(ndtri(q))
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    level = float(ndtri(0.975))
    share = math.pow(n, -1 / 3) * math.pow(level, 2 / 3) * math.pow(1.5 * density**2 / (2 * z * z + 1), 1 / 3)
    while q - share <= 0 or q + share >= 1:
        share /= 2
    return share
