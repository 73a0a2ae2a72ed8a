"""The central path: from weights anywhere to nearly optimal ones, for absolute and quantile loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpotrf, dpotrs

from linnet import interior_kernels as kernels
from linnet.block import Float64s
from linnet.threads import Team, one_thread_blas, thread_count

T = TypeVar("T")

CHUNK = 16 * kernels.TILE
"""Rows that one thread takes at a time; a fixed number, so that sums do not depend on how many threads there are."""
LIMIT = 1e-9
"""Relative gap from which rounding may be what lets it fall no further."""
OFF = 0.01
"""Room that a multiplier has left, relative to its row's weight, from which its row may lie on the plane."""
ITERATIONS = 200
FEW = 5
"""Iterations within which no path ends."""
JITTER = 1e-15
"""Share by which the diagonal is raised, for equations that rounding would make indefinite."""
CENTRED = 0.1
"""Factor by which a step without a correction aims to lower complementarity."""
SHORT = 0.99995
"""Share of the way to the nearest bound that a step goes (Portnoy and Koenker 1997)."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Σ wᵢ·(quantile loss of rᵢ) + weightsᵀ·penalty·weights/2, for r = y - Zᵀ·weights.

    Attributes:
        Z: (p, n), each feature contiguous, brought to a basis in which its Gram matrix is about the identity.
        y: (n,).
        w: (n,), above 0.
        q: the quantile.
        penalty: (p, p), symmetric, or None.
    """

    Z: Float64s
    y: Float64s
    w: Float64s
    q: float
    penalty: Float64s | None = None

    def value(self, r: Float64s) -> float:
        """The loss of residuals (n,), without the penalty."""
        return float(self.w @ np.maximum(self.q * r, (self.q - 1.0) * r))

    @cached_property
    def usual(self) -> float:
        """The median size of targets that are not 0."""
        away = np.abs(self.y[self.y != 0])
        return float(np.median(away)) if away.size else 0.0

    def left(self, slopes: Float64s, weights: Float64s, value: float) -> float:
        """What slopes (p,) of the dual that rounding left above 0 may hide: they times how far away the minimum may be.

        Residuals at the minimum cost no more than the value, so that the plane moves Σ w·|zᵀ·by| <= 2·value/min(q, 1-q)
        from here to there. That is at least Σ w·(zᵀ·by)² over the largest |zᵀ·by|, by which the length of `by` is
        bounded. It is small where the residuals are, however large the target and the weights.

        Args:
            slopes: which should be 0.
            weights: (p,), the plane.
            value: the objective there.
        """
        usual = float(np.abs(slopes) @ np.abs(weights))
        if usual <= 2.0**-52 * value or self._ruler is None:
            return usual
        factor, longest = self._ruler
        size = float(np.linalg.norm(solve_triangular(factor, slopes, lower=True, check_finite=False)))
        return min(usual, size * longest * 2.0 * value / min(self.q, 1.0 - self.q))

    @cached_property
    def _ruler(self) -> tuple[Float64s, float] | None:
        """A factor of Σ w·zzᵀ, and the length of the longest row in the coordinates in which that is the identity."""
        factor, info = dpotrf((self.Z * self.w) @ self.Z.T, lower=True, clean=True)
        if info:
            return None
        rows = solve_triangular(factor, self.Z, lower=True, check_finite=False)
        return factor, math.sqrt(float(np.square(rows).sum(axis=0).max()))


def typical(r: Float64s, inside: Float64s) -> float:
    """The median size of residuals (n,) of rows off the plane: those with multipliers not far inside their bounds."""
    every = max(1, r.size // 4096)
    size = np.abs(r[::every])
    off = size[inside[::every] < OFF]
    return max(float(np.median(off if off.size else size)), 1e-290)


@dataclass(frozen=True, eq=False)
class Central:
    """A point near the end of the path.

    Attributes:
        weights: (p,).
        below: (n,), s = q·w - a, what a row's multiplier a has left below its upper bound,
        above: (n,), t = a + (1-q)·w, and above its lower one.
        r: (n,), residuals.
        gap: of loss and dual.
        iterations: how many it took.
    """

    weights: Float64s
    below: Float64s
    above: Float64s
    r: Float64s
    gap: float
    iterations: int


def central(problem: Problem, start: Float64s, near: float, corrected: bool = True) -> Central:
    """Follow the central path by Mehrotra's predictor and corrector.

    The Frisch-Newton method of Portnoy and Koenker (1997), Statistical Science 12, 279-300, section 4, with bounds on
    the multipliers by row weights, and a ridge penalty in the weights' equations.

    Args:
        problem: what to minimise.
        start: (p,), weights to begin with.
        near: gap to come to, relative to the loss of a residual of usual size.
        corrected: whether by Mehrotra's corrector; otherwise by steps to where complementarity is CENTRED times as
            large, which are more, but cannot cycle as corrected ones can (Cartis 2009, Appl. Numer. Math. 59).
    """

    def followed() -> Central:
        path = _Path(problem, start, corrected)
        with path.team:
            gap, iterations = path.follow(near)
        r = problem.y - path.beta @ problem.Z
        return Central(path.beta, path.state[kernels.S], path.state[kernels.T], r, gap, iterations)

    return one_thread_blas(followed)


class _Path:
    """Where on the path one is: the weights, and the state of each row as the kernels hold it."""

    def __init__(self, problem: Problem, start: Float64s, corrected: bool) -> None:
        self.corrected = corrected
        Z, y, w, q = problem.Z, problem.y, problem.w, problem.q
        p, n = Z.shape
        self.Z, self.q = Z, q
        self.beta = np.array(start, dtype=np.float64)
        self.penalty = np.zeros((p, p)) if problem.penalty is None else problem.penalty
        self.state = np.zeros((8, n))
        self.taken = np.zeros(3)
        r = y - self.beta @ Z
        apart = 0.1 * max(float(np.abs(r).mean()), 1e-290)
        self.state[kernels.Y], self.state[kernels.W] = y, w
        self.state[kernels.S], self.state[kernels.T] = q * w, (1.0 - q) * w
        self.state[kernels.U], self.state[kernels.V] = np.maximum(r, 0.0) + apart, np.maximum(-r, 0.0) + apart
        self.chunks = [(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
        self.team = Team(min(thread_count(), len(self.chunks)))

    def follow(self, near: float) -> tuple[float, int]:
        """Go so near, or as near as rounding lets one come; the gap that is left, and how many iterations it took."""
        before = gap = math.inf
        iteration = 0
        while iteration < ITERATIONS:
            iteration += 1
            H, rest, complementarity, gap = self.equations()
            if iteration > FEW:  # by then most residuals are about as large as they will be
                size = self.size()
                if gap < near * size and complementarity < near * size:
                    break
                if gap > before / 2 and gap < LIMIT * size:  # rounding lets it come no nearer
                    break
            before = gap
            if not self.step(H, rest):
                break
        return gap, iteration

    def size(self) -> float:
        """What the loss would be, were the farthest rows, which decide nothing, not farther than most."""
        S, T, U, V, W = (self.state[i] for i in (kernels.S, kernels.T, kernels.U, kernels.V, kernels.W))
        return float(W.sum()) * typical(U - V, np.minimum(S, T) / W)

    def equations(self) -> tuple[Float64s, Float64s, float, float]:
        """Take the step that was found, and sum up the next one's equations.

        Returns:
            Their matrix (p, p) and right side (p,), the complementarity, and the gap.
        """
        p = self.beta.size
        k = -(-(p + 1) // 4) * 4

        def sum_up(start: int, stop: int) -> tuple[Float64s, Float64s]:
            gram, sums, work = np.zeros((k, k)), np.zeros(2), np.zeros((k, kernels.TILE))
            kernels.equations(self.Z, self.state, self.q, self.beta, self.taken, start, stop, work, gram, sums)
            return gram, sums

        parts = self._over(sum_up)
        gram = sum((part[0] for part in parts[1:]), parts[0][0])
        complementarity, gap = sum((part[1] for part in parts[1:]), parts[0][1])
        H = np.triu(gram[:p, :p] + self.penalty)
        H.flat[:: p + 1] *= 1.0 + JITTER
        return H, gram[:p, p] - self.penalty @ self.beta, float(complementarity), float(gap)

    def step(self, H: Float64s, rest: Float64s) -> bool:
        """Find the next step, by a first direction and its correction; False where rounding allows none."""
        factor, info = dpotrf(H)
        if info:
            return False
        first, _ = dpotrs(factor, rest)
        if not np.isfinite(first).all():
            return False
        p, n = self.Z.shape

        def look_ahead(start: int, stop: int) -> tuple[Float64s, Float64s]:
            sides, sums = np.zeros((2, p)), np.array([np.inf, np.inf, 0.0, 0.0, 0.0, 0.0])
            work = np.empty((2, kernels.TILE))
            kernels.foresee(self.Z, self.state, self.beta, first, start, stop, work, sides, sums)
            return sides, sums

        parts = self._over(look_ahead)
        far, wide = self._shortened(np.min([sums[:2] for _, sums in parts], axis=0))
        now, by_far, by_wide, by_both = np.sum([sums[2:] for _, sums in parts], axis=0)
        ahead = now + far * by_far + wide * by_wide + far * wide * by_both
        mu = float((ahead / now) ** 3 * now / (2 * n))
        mean, second = np.sum([sides for sides, _ in parts], axis=0)
        if not self.corrected:
            mu, second = CENTRED * float(now) / (2 * n), np.zeros(p)
            self.state[kernels.FIRST] = 0.0
        direction, _ = dpotrs(factor, rest - mu * mean + second)
        if not np.isfinite(direction).all():
            return False

        def how_far(start: int, stop: int) -> Float64s:
            ends = np.array([np.inf, np.inf])
            kernels.reach(self.Z, self.state, self.beta, direction, mu, start, stop, ends)
            return ends

        far, wide = self._shortened(np.min(self._over(how_far), axis=0))
        self.taken[:] = far, wide, mu
        self.beta = self.beta + far * direction
        return True

    def _shortened(self, ends: Float64s) -> tuple[float, float]:
        """How far to go for residuals and for multipliers, where their bounds are that far."""
        far, wide = np.minimum(SHORT * ends, 1.0)
        if self.penalty.any():  # then the equations hold both together
            far = wide = min(far, wide)
        return float(far), float(wide)

    def _over(self, work: Callable[[int, int], T]) -> list[T]:
        """Do work on all rows, chunk by chunk."""
        return self.team.map(lambda chunk: work(*chunk), self.chunks)
