"""Kernels of the Huber loss: what a pass over the rows tells Newton's method, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from linnet.kernels import add_products, load, summing

TILE = 512
"""Rows at work at a time, so that they stay in the cache."""
COST, INNER, OUT, SQUARES, LARGEST, LEAST, COUNT = range(7)
"""Places in `sums`: Σ w·loss, Σ w·r² of inner rows, Σ w of outer ones, Σ w·r²; the largest |r|, the smallest weight and
the number of inner rows."""


@summing
def _divide(
    r: Any, w: Any, delta: float, start: int, m: int, sums: Any, size: Any, side: Any, root: Any, place: Any
) -> int:
    """Tell inner rows from outer ones; how many are inner.

    Of outer rows `side` takes ±w, and 0 of the others; of inner ones `place` their number and `root` the root of w.
    """
    inside = 0
    cost = squares = inner_squares = out = 0.0
    largest, least = sums[LARGEST], sums[LEAST]
    for i in range(m):
        a, weight = abs(r[i]), w[start + i]
        size[start + i] = a
        squares += weight * a * a
        side[i] = 0.0
        if a <= delta:
            inner_squares += weight * a * a
            if weight > 0.0:
                largest, least = max(largest, a), min(least, weight)
                root[inside], place[inside] = np.sqrt(weight), i
                inside += 1
        else:
            cost += weight * (a - 0.5 * delta)
            out += weight
            side[i] = weight if r[i] > 0.0 else -weight
    sums[COST] += delta * cost + 0.5 * inner_squares
    sums[INNER] += inner_squares
    sums[OUT] += out
    sums[SQUARES] += squares
    sums[LARGEST], sums[LEAST] = largest, least
    sums[COUNT] += inside
    return inside


@summing
def _gather(tile: Any, p: int, root: Any, place: Any, inside: int, inner: Any, held: int, gram: Any) -> int:
    """Gather inner rows, so that others cost no products, and add those of a full `inner`; how many stay."""
    taken = 0
    while taken < inside:
        part = min(TILE - held, inside - taken)
        for j in range(p):
            z, to = tile[j], inner[j]
            for i in range(part):
                to[held + i] = root[taken + i] * z[place[taken + i]]
        held += part
        taken += part
        if held == TILE:
            add_products(inner, gram)
            held = 0
    return held


@summing
def look(
    X: Any,
    unit: Any,
    y: Any,
    w: Any,
    plane: Any,
    delta: float,
    tile: Any,
    inner: Any,
    gram: Any,
    away: Any,
    sums: Any,
    size: Any,
) -> None:
    """Add up what some rows tell about the Huber loss of r = y - plane·z, for z = [1, (x·before - centre)·after].

    Inner rows are those with |r| <= delta.

    Args:
        X: (d, n), of either layout.
        unit: (3, d), before, centre and after.
        y: (n,).
        w: (n,), at least 0.
        plane: (d+1,).
        delta: see above.
        tile: (k, TILE) work space, k a multiple of 4 and at least d + 2.
        inner: (k, TILE) zeros, as work space.
        gram: (k, k); the upper triangle of Σ w·[z, r]·[z, r]ᵀ over inner rows is added.
        away: (d+1,); Σ w·sign(r)·z over outer rows is added.
        sums: (7,); see above. LARGEST starts at 0, LEAST at infinity.
        size: (n,), overwritten with |r|.
    """
    p, n = X.shape[0] + 1, X.shape[1]
    tile[0, :] = 1.0
    side, root = np.empty(TILE), np.empty(TILE)
    place = np.empty(TILE, np.int64)
    held = 0
    for start in range(0, n, TILE):
        m = min(TILE, n - start)
        load(X.T, unit, start, m, tile[1:])
        r = tile[p]
        r[:m] = y[start : start + m]
        for j in range(p):
            z, b = tile[j], plane[j]
            for i in range(m):
                r[i] -= b * z[i]
        inside = _divide(r, w, delta, start, m, sums, size, side, root, place)
        if inside < m:
            for j in range(p):
                z, total = tile[j], 0.0
                for i in range(m):
                    total += side[i] * z[i]
                away[j] += total
        held = _gather(tile, p + 1, root, place, inside, inner, held, gram)
    if held:
        for j in range(p + 1):
            inner[j, held:] = 0.0
        add_products(inner, gram)
