"""Minibatch stochastic gradient descent as plain loops over rows: what every faster or shorter one is held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.losses import Loss

Floats = NDArray[np.float64]


def reference(
    X: NDArray[Any],
    y: NDArray[Any],
    loss: Loss,
    *,
    lr: float,
    batch_size: int,
    orders: Iterable[Sequence[int] | NDArray[np.integer[Any]]],
    start: tuple[Sequence[float] | NDArray[Any], float] | None = None,
    momentum: float = 0.0,
    l2: float = 0.0,
    average: bool = False,
    schedule: str = "constant",
    decay: float = 1.0,
    weight: NDArray[Any] | None = None,
) -> list[tuple[Floats, float]]:
    """(w (d,), b) after every minibatch, in float64 whatever the type of X; `orders` has the rows of each epoch.

    Starts from `start`, zeros if None. With `average`, each is the mean of the weights after every step so far.
    """
    n, d = X.shape
    rows = [[1.0, *map(float, x)] for x in X]
    shares = [1.0] * n if weight is None else [float(share) * n / float(sum(weight)) for share in weight]
    u = [0.0] * (d + 1) if start is None else [float(start[1]), *map(float, start[0])]
    velocity = [0.0] * (d + 1)
    per_epoch = -(-n // batch_size)
    path: list[list[float]] = []
    for order in orders:
        for first in range(0, len(order), batch_size):
            batch = [int(i) for i in order[first : first + batch_size]]
            gradient = [0.0] + [l2 * w for w in u[1:]]
            for i in batch:
                r = float(y[i]) - sum(a * b for a, b in zip(rows[i], u, strict=True))
                pull = shares[i] * float(loss.slope(np.array([r]))[0]) / len(batch)
                gradient = [g - pull * x for g, x in zip(gradient, rows[i], strict=True)]
            now = lr / (1 + decay * len(path) / per_epoch) if schedule == "inverse-time" else lr
            velocity = [momentum * v + g for v, g in zip(velocity, gradient, strict=True)]
            u = [value - now * v for value, v in zip(u, velocity, strict=True)]
            path.append(u)
    visited = np.array(path)
    if average:
        visited = visited.cumsum(axis=0) / np.arange(1, len(visited) + 1)[:, None]
    return [(step[1:], float(step[0])) for step in visited]


def permutation(rng: np.random.Generator, n: int) -> list[int]:
    """0 to n-1 in random order: each number takes a random place among those so far, whose holder moves to the end."""
    order: list[int] = []
    for i, uniform in enumerate(rng.random(n).tolist()):
        place = int(uniform * (i + 1))
        order.append(i)
        order[i], order[place] = order[place], i
    return order
