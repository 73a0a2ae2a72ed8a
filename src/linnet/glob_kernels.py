"""Kernel of the search for a quantile's plane: one look at some rows, in tiles that stay in the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from linnet.kernels import load, summing

TILE = 256
"""Rows at a time."""
DUST = 2.0**-42
"""Residual, relative to the target and its fitted value, that is rounding and tells no side."""


@summing
def _measured(x: Any, m: int, planes: Any, r: Any, was: Any, square: Any) -> None:
    """Take from targets `r` and `was` what two planes give at x (d, m); and each row's ‖x‖²."""
    square[:m] = 0.0
    for j in range(x.shape[0]):
        now, before, row = planes[0, j + 1], planes[1, j + 1], x[j]
        for i in range(m):
            r[i] -= row[i] * now
            was[i] -= row[i] * before
            square[i] += row[i] * row[i]


@summing
def _length(x: Any, i: int, basis: Any, spans: Any, base: float) -> float:
    """√(base + ‖basisᵀ·x‖²) for column i of x (d, m)."""
    square = base
    for k in range(basis.shape[1]):
        z = 0.0
        for j in range(spans[0, k], spans[1, k]):
            z += x[j, i] * basis[j, k]
        square += z * z
    return float(np.sqrt(square))


@summing
def _added(x: Any, m: int, sides: Any, values: Any, globs: Any) -> None:
    """Add Σ side·[x, y, 1] to `globs` (2, d+2), for x (d, m), the sides (2, m) and targets (m,)."""
    d = x.shape[0]
    for j in range(d):
        row = x[j]
        over = under = 0.0
        for i in range(m):
            over += sides[0, i] * row[i]
            under += sides[1, i] * row[i]
        globs[0, j] += over
        globs[1, j] += under
    for i in range(m):
        for side in range(2):
            globs[side, d] += sides[side, i] * values[i]
            globs[side, d + 1] += sides[side, i]


@summing
def look(
    X: Any,
    y: Any,
    weight: Any,
    unit: Any,
    target: Any,
    basis: Any,
    spans: Any,
    base: float,
    most: float,
    q: float,
    planes: Any,
    bands: Any,
    near: Any,
    globs: Any,
    sums: Any,
) -> int:
    """On which side of a plane rows lie: sums of those that tell, and which do not.

    Args:
        X: (n, d), in either memory order, float64 or float32.
        y: (n,), likewise.
        weight: (n,), or (0,) when all are 1.
        unit: (3, d), as `load` takes it.
        target: (3,), the same for y.
        basis: (d, r), in whose coordinates a row's length is measured.
        spans: (2, r), of each column of the basis the rows from the first to after the last that is not 0.
        base: square of the coordinate that all rows share.
        most: how many times ‖x‖² the square of the other coordinates is at most: few rows need a closer look.
        q: the quantile.
        planes: (2, d+1), level and weights of this plane and of the one before, in the units of centred features.
        bands: (2,), the residual, relative to a row's length, up to which a plane does not tell; the second is negative
            if there is no plane before.
        near: (n,) integers, which are overwritten with the rows that are not told.
        globs: (2, d+2), to which are added Σ w·[x, y, 1] over the rows told to be above, and below.
        sums: (3,), to which are added the loss, the squared residuals, and the loss of rows that lie on another side
            than the plane before had told.

    Returns:
        How many rows are not told.
    """
    n, d = X.shape
    x, sides = np.empty((d, TILE)), np.empty((2, TILE))
    value, r, was, square = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    count = 0
    loss = squares = stake = 0.0
    for at in range(0, n, TILE):
        m = min(TILE, n - at)
        load(X, unit, at, m, x)
        for i in range(m):
            value[i] = (y[at + i] * target[0] - target[1]) * target[2]
            r[i] = value[i] - planes[0, 0]
            was[i] = value[i] - planes[1, 0]
        _measured(x, m, planes, r, was, square)
        for i in range(m):
            w = weight[at + i] if weight.size else 1.0
            size, before = abs(r[i]), abs(was[i])
            loss += w * (q * r[i] if r[i] > 0.0 else (q - 1.0) * r[i])
            squares += w * size * size
            dust = DUST * (abs(value[i]) + abs(value[i] - r[i]))
            dust_before = DUST * (abs(value[i]) + abs(value[i] - was[i]))
            reach = np.sqrt(base + most * square[i])
            if size <= bands[0] * reach + dust or before <= bands[1] * reach + dust_before:
                reach = _length(x, i, basis, spans, base)
            told = bands[1] >= 0.0 and before > bands[1] * reach + dust_before
            if told and was[i] * r[i] < 0.0 and size > dust:
                stake += w * size
            far = size > bands[0] * reach + dust
            if not far and w > 0.0:
                near[count] = at + i
                count += 1
            sides[0, i] = w if far and r[i] > 0.0 else 0.0
            sides[1, i] = w if far and r[i] < 0.0 else 0.0
        _added(x, m, sides, value, globs)
    sums[0] += loss
    sums[1] += squares
    sums[2] += stake
    return count
