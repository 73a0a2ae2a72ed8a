"""Valley: the mean loss of one feature's weight and bias, or of two features' weights, as contours show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.losses import Loss, Squared

FINE, COARSE = 161, 91  # points of a grid a side: where each costs nothing, and where it costs a look at the rows
ROWS = 1_000  # that contours of other losses than the squared one are taken from


@dataclass(frozen=True, eq=False)
class Valley:
    """The mean loss over the two coordinates of the picture.

    Attributes:
        bottom: (2,), where it is least.
        lowest: the loss there.
        spread: standard deviation of the residuals there, or near.
        shape: (2, 2), second moments of what the coordinates multiply: of how a squared loss bends.
        at: the mean loss at points (k, 2).
        side: points of a grid that it can be asked for, a side.
        name: of the loss.
    """

    bottom: Float64s
    lowest: float
    spread: float
    shape: Float64s
    at: Callable[[Float64s], Float64s]
    side: int
    name: str

    @classmethod
    def of(cls, loss: Loss, rows: Block, optimum: Any, intercept: bool) -> Valley:
        """That of a loss on the given rows; `optimum` [bias, weights] is marked as the bottom."""
        X, y = rows.X.astype(np.float64), np.asarray(rows.y, dtype=np.float64)
        d = rows.features
        least = _least_squares(X, y, intercept or d == 1)  # over all that the picture shows
        centred = X - X.mean(axis=0) if intercept else X
        pull = centred if d == 2 else np.column_stack([X, np.ones(len(y))])
        shape = pull.T @ pull / len(y)
        squared = isinstance(loss, Squared)
        r = y - least[0] - X @ least[1:]
        few = np.unique(np.linspace(0, len(y) - 1, min(len(y), ROWS)).astype(int))

        def cost(points: Float64s) -> Float64s:
            return _mean_losses(loss, X[few], y[few], points, intercept)

        def quadratic(points: Float64s) -> Float64s:
            delta = points - shown(least)
            return np.asarray(float(r @ r) / len(y) / 2 + np.einsum("ij,jk,ik->i", delta, shape, delta) / 2)

        at = quadratic if squared else cost
        if optimum is not None:
            bottom = shown(_coefficients(optimum, d))
        else:
            bottom = shown(_least_squares(X, y, intercept))
            if not squared:
                bottom = _lowest(cost, bottom, shape, float(r.std()), 2 if intercept else d)
        return cls(
            bottom, float(at(bottom[None])[0]), float(r.std()), shape, at, FINE if squared else COARSE, loss.name
        )

    def distance(self, points: Float64s) -> Float64s:
        """How far points (k, 2) are from the bottom: the spread of what they predict otherwise."""
        with np.errstate(all="ignore"):
            delta = points - self.bottom
            return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", delta, self.shape, delta), 0.0)))


def shown(coefficients: Float64s) -> Float64s:
    """The two of [bias, weights] that span the picture."""
    return coefficients[1:] if coefficients.size == 3 else coefficients[::-1]


def _coefficients(optimum: Any, d: int) -> Float64s:
    try:
        found = np.array(optimum, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(0)
    if found.shape != (d + 1,) or not np.isfinite(found).all():
        raise InputError(
            f"optimum must be [bias, weights], {d + 1} finite numbers, as Fit.coefficients is: {optimum!r}."
        )
    return found


def _least_squares(X: Float64s, y: Float64s, intercept: bool) -> Float64s:
    """[bias, weights] of the least-squares fit; without an intercept the bias is 0."""
    from linnet.moments import Moments

    solution = Moments.of(Block(X, y)).solve(0.0, intercept=intercept)
    return np.asarray(np.r_[solution.bias, solution.weights])


def _mean_losses(loss: Loss, X: Float64s, y: Float64s, points: Float64s, intercept: bool) -> Float64s:
    """The mean loss at points (k, 2); with two features at bias 0, or with an intercept at the best bias.

    That is found where the mean slope changes sign.
    """
    means = np.empty(len(points))
    chunk = max(1, (1 << 18) // len(y))

    def mean(function: Callable[[Float64s], Float64s], r: Float64s) -> Float64s:
        return np.asarray(function(r.ravel()).reshape(r.shape).mean(axis=1))

    for i in range(0, len(points), chunk):
        part = points[i : i + chunk]
        r = y - part[:, 1:] - part[:, :1] * X[:, 0] if X.shape[1] == 1 else y - part @ X.T
        if intercept and X.shape[1] == 2:
            low, high = r.min(axis=1), r.max(axis=1)
            for _ in range(32):
                bias = (low + high) / 2
                up = mean(loss.slope, r - bias[:, None]) > 0  # residuals are mostly above: a larger bias costs less
                low, high = np.where(up, bias, low), np.where(up, high, bias)
            r -= ((low + high) / 2)[:, None]
        means[i : i + chunk] = mean(loss.value, r)
    return means


def _lowest(
    cost: Callable[[Float64s], Float64s], start: Float64s, shape: Float64s, spread: float, free: int
) -> Float64s:
    """Where a convex loss is least, as exactly as a picture can show, if so many of the coordinates may move."""
    from scipy.optimize import minimize

    sides = 0.2 * (spread or 1.0) / np.sqrt(np.where(shape.diagonal() > 0, shape.diagonal(), 1.0))
    simplex = start[:free] + np.vstack([np.zeros(free), np.diag(sides[:free])])
    options: Any = {"initial_simplex": simplex, "xatol": 1e-6 * float(sides.min()), "fatol": 0.0, "maxfev": 500}

    def at(point: Any) -> float:
        return float(cost(np.r_[point, start[free:]][None])[0])

    return np.append(minimize(at, start[:free], method="Nelder-Mead", options=options).x, start[free:])
