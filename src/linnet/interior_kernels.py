"""Kernels of the interior-point method: each reads every row once, in tiles that stay in the cache.

Of each row they hold (8, n) numbers, here called state: y, its weight w, what is left above its multiplier a and below,
s = q·w - a and t = a + (1-q)·w, what its residual has above zero and below, u and v, and two directions of a. A row's
part in the weights' equations is d = 1/(u/s + v/t).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from linnet.kernels import add_products, summing

TILE = 512
"""Rows at a time."""
LEAST = 1e-100
Y, W, S, T, U, V, FIRST, STEP = range(8)


@summing
def _fitted(Z: Any, beta: Any, start: int, m: int, out: Any) -> None:
    """Z[:, start : start + m]ᵀ·beta into `out` (m,)."""
    p = Z.shape[0]
    out[:m] = 0.0
    for j in range(p):
        z, b = Z[j], beta[j]
        for i in range(m):
            out[i] += z[start + i] * b


@summing
def equations(
    Z: Any, state: Any, q: float, beta: Any, taken: Any, start: int, stop: int, work: Any, gram: Any, sums: Any
) -> None:
    """Take the step that was found, and sum the equations of the next one.

    Args:
        Z: (p, n), features of the rows, each contiguous.
        state: (8, n), see above.
        q: the quantile.
        beta: (p,), the weights after that step.
        taken: (3,), how far it goes for the residuals and for the multipliers, and the complementarity it aimed at.
        start: first row and
        stop: the one after the last.
        work: (k, TILE), k a multiple of 4, at least p + 1.
        gram: (k, k), to whose upper triangle Σ d·z·zᵀ is added, and in column p Σ z·(a + d·r).
        sums: (2,), to which are added the complementarity Σ u·s + v·t and the gap Σ r⁺·s + r⁻·t.
    """
    p = Z.shape[0]
    fit = np.empty(TILE)
    root = np.empty(TILE)
    far, wide, mu = taken
    for at in range(start, stop, TILE):
        m = min(TILE, stop - at)
        _fitted(Z, beta, at, m, fit)
        complementarity = gap = 0.0
        for i in range(m):
            k = at + i
            s, t, u, v, w = state[S, k], state[T, k], state[U, k], state[V, k], state[W, k]
            first, da = state[FIRST, k], state[STEP, k]
            us, vt = u / s, v / t
            curl_u = (u - us * first) * first  # second-order terms, -du·ds of the first direction
            curl_v = (v + vt * first) * first
            du = (mu - curl_u) / s - u + us * da
            dv = (mu + curl_v) / t - v - vt * da
            s = max(s - wide * da, LEAST * w)  # rounding must not take it to its bound
            t = max(t + wide * da, LEAST * w)
            u = max(u + far * du, LEAST)
            v = max(v + far * dv, LEAST)
            r = state[Y, k] - fit[i]
            state[S, k], state[T, k], state[U, k], state[V, k] = s, t, u, v
            complementarity += s * u + t * v
            gap += max(r, 0.0) * s + max(-r, 0.0) * t
            d = 1.0 / (u / s + v / t)
            root[i] = np.sqrt(d)
            work[p, i] = (q * w - s + d * r) / root[i]
        sums[0] += complementarity
        sums[1] += gap
        for j in range(p):
            z, row = Z[j], work[j]
            for i in range(m):
                row[i] = z[at + i] * root[i]
        for j in range(p + 1):
            work[j, m:] = 0.0
        add_products(work, gram)


@summing
def foresee(
    Z: Any, state: Any, beta: Any, direction: Any, start: int, stop: int, work: Any, sides: Any, sums: Any
) -> None:
    """How far the first direction may go, and what a second one has to correct.

    Args:
        Z: (p, n).
        state: (8, n); the first direction of a is written to it.
        beta: (p,), the weights.
        direction: (p,), of them.
        start: first row and
        stop: the one after the last.
        work: (2, TILE).
        sides: (2, p), to which Σ d·(1/s - 1/t)·z and Σ d·(second-order terms)·z are added.
        sums: (6,): the longest steps of residuals and of multipliers so far, and Σ u·s + v·t with no step, its slopes
            by either step, and that by their product.
    """
    p = Z.shape[0]
    fit, ahead = np.empty(TILE), np.empty(TILE)
    for at in range(start, stop, TILE):
        m = min(TILE, stop - at)
        _fitted(Z, beta, at, m, fit)
        _fitted(Z, direction, at, m, ahead)
        far, wide = sums[0], sums[1]
        none = by_far = by_wide = by_both = 0.0
        for i in range(m):
            k = at + i
            s, t, u, v = state[S, k], state[T, k], state[U, k], state[V, k]
            us, vt = u / s, v / t
            d = 1.0 / (us + vt)
            da = d * (state[Y, k] - fit[i] - ahead[i])
            du, dv = us * da - u, -vt * da - v
            state[FIRST, k] = da
            far = min(far, u / -du if du < 0.0 else np.inf, v / -dv if dv < 0.0 else np.inf)
            wide = min(wide, s / da if da > 0.0 else np.inf, t / -da if da < 0.0 else np.inf)
            none += s * u + t * v
            by_far += s * du + t * dv
            by_wide += (v - u) * da
            by_both += (dv - du) * da
            work[0, i] = d * (1.0 / s - 1.0 / t)
            work[1, i] = -d * (du * da / s + dv * da / t)
        sums[0], sums[1] = far, wide
        sums[2] += none
        sums[3] += by_far
        sums[4] += by_wide
        sums[5] += by_both
        for j in range(p):
            z = Z[j]
            one = two = 0.0
            for i in range(m):
                one += z[at + i] * work[0, i]
                two += z[at + i] * work[1, i]
            sides[0, j] += one
            sides[1, j] += two


@summing
def reach(Z: Any, state: Any, beta: Any, direction: Any, mu: float, start: int, stop: int, sums: Any) -> None:
    """The direction of a, written to the state, and how far it may go: `sums` (2,), of residuals and of multipliers."""
    fit, ahead = np.empty(TILE), np.empty(TILE)
    for at in range(start, stop, TILE):
        m = min(TILE, stop - at)
        _fitted(Z, beta, at, m, fit)
        _fitted(Z, direction, at, m, ahead)
        far, wide = sums
        for i in range(m):
            k = at + i
            s, t, u, v, first = state[S, k], state[T, k], state[U, k], state[V, k], state[FIRST, k]
            us, vt = u / s, v / t
            curl_u = (u - us * first) * first
            curl_v = (v + vt * first) * first
            # r - Z·direction less the parts of u and v that do not depend on da
            da = (state[Y, k] - fit[i] - ahead[i] - (mu - curl_u) / s + (mu + curl_v) / t) / (us + vt)
            du = (mu - curl_u) / s - u + us * da
            dv = (mu + curl_v) / t - v - vt * da
            state[STEP, k] = da
            far = min(far, u / -du if du < 0.0 else np.inf, v / -dv if dv < 0.0 else np.inf)
            wide = min(wide, s / da if da > 0.0 else np.inf, t / -da if da < 0.0 else np.inf)
        sums[0], sums[1] = far, wide
