"""Piece: the Huber objective at some weights, and the quadratic that it is as long as no row changes sides."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh

from linnet.block import Block, Float64s, Floats
from linnet.huber_kernels import COST, COUNT, INNER, LARGEST, LEAST, OUT, SQUARES, TILE, look
from linnet.kernels import mirror
from linnet.moments import NARROW
from linnet.solvers.frame import Coordinates

SINGULAR = 1e-11
"""Eigenvalue of the second derivatives, where those of all rows have 1, below which a direction is taken as level,"""
LEVEL = 1e-13
"""and the slope in it, relative to the slopes of the rows, below which it is."""
DAMPING = 1e-6
"""What is added to the second derivatives where the slope is not 0 in such a direction."""
BEND = 1e-9
"""Share of delta within which of it a residual lies on the bend."""


@dataclass(frozen=True, eq=False)
class Piece:
    """What one pass over the rows tells of Σ w·loss(r) / Σ w + planeᵀ·penalty·plane/2, for r = y - Zᵀ·plane.

    Inner rows are those with |r| <= delta; all sums are divided by Σ w.

    Attributes:
        plane: (p,), where it was evaluated.
        delta: of the loss.
        penalty: (p, p).
        gram: (p, p), Σ w·zzᵀ over inner rows.
        pull: (p,), Σ w·r·z over inner rows.
        away: (p,), Σ w·sign(r)·z over the others.
        sums: (7,), by the places that `huber_kernels` names.
    """

    plane: Float64s
    delta: float
    penalty: Float64s
    gram: Float64s
    pull: Float64s
    away: Float64s
    sums: Float64s

    @property
    def value(self) -> float:
        """The objective."""
        return float(self.sums[COST] + 0.5 * self.plane @ self.penalty @ self.plane)

    @property
    def slopes(self) -> float:
        """Root of the mean square of the rows' slopes."""
        return math.sqrt(self.sums[INNER] + self.delta**2 * self.sums[OUT])

    @cached_property
    def step(self) -> Step:
        """Newton's step from here."""
        return self.step_to(self.delta)

    def step_to(self, delta: float) -> Step:
        """Newton's step to the minimum for another delta, as long as no row changes sides.

        That the minimum moves linearly with delta is the idea of Madsen and Nielsen (1993), SIAM J. Optim. 3, 223-235.
        """
        g = self.pull + delta * self.away - self.penalty @ self.plane
        A = self.gram + self.penalty
        try:
            factor = cho_factor(A, check_finite=False)
            if (factor[0].diagonal() ** 2 > SINGULAR).all():
                by = cho_solve(factor, g, check_finite=False)
                return Step(by, g, A)
        except (LinAlgError, ValueError):  # nothing is as large as that, or there is no feature at all
            if not g.size:
                return Step(g, g, A)
        values, vectors = eigh(A, check_finite=False)
        along = vectors.T @ g
        level = values <= SINGULAR
        if (np.abs(along[level]) <= LEVEL * max(self.slopes, abs(delta))).all():
            inverse = np.divide(1.0, values, out=np.zeros_like(values), where=~level)
            return Step(vectors @ (inverse * along), g, A, level=bool(level.any()))
        return Step(vectors @ (along / (np.maximum(values, 0.0) + DAMPING)), g, A, damped=True)

    def landing(self, delta: float) -> Float64s:
        """Where `step_to` leads, (p,).

        A weight of a column far smaller than others is far smaller than theirs. Where it was too large here, no number
        that is added to it leaves its digits; under a penalty another step from there does.
        """
        by = self.step_to(delta).by
        plane = self.plane + by
        if not self.penalty.any():
            return plane
        return np.asarray(plane + replace(self, plane=plane, pull=self.pull - self.gram @ by).step_to(delta).by)

    def gap(self, reach: float | None = None) -> float:
        """By how much at most `value` lies above the minimum.

        The dual of the problem maximises Σ aᵢ·yᵢ - Σ aᵢ²/(2·wᵢ) - sᵀ·penalty⁻¹·s/2 over |aᵢ| <= wᵢ·delta, where
        s = Z·a; directions without penalty need s = 0. The slopes of the rows, wᵢ·slope(rᵢ), are within those bounds,
        and Newton's step says what to take from those of inner rows so that the equation holds. If they keep within
        their bounds, the gap is half of Newton's decrement; otherwise all are shrunk until they do, and that is taken
        into account. So it is a true bound at any weights, but for rounding; infinite where Newton's step solves no
        equation.

        Args:
            reach: the largest |r - z·step| over inner rows; None: a bound of it, from the leverages of rows being at
                most 1.
        """
        step = self.step
        if step.damped:
            return math.inf
        by, quadratic = step.by, float(step.by @ self.gram @ step.by)
        if reach is None:
            reach = self.sums[LARGEST]
            if quadratic > 0:
                reach += math.sqrt(quadratic / self.sums[LEAST])
        plane = self.plane + by
        squares = self.sums[INNER] - 2.0 * by @ self.pull + quadratic + self.delta**2 * self.sums[OUT]
        norm = squares + plane @ self.penalty @ plane
        decrement = 0.5 * step.decrement
        shrink = min(1.0, self.delta / reach) if reach > 0 else 1.0
        # the dual's value is linear - norm/2 at full size, and shrink·linear - shrink²·norm/2 there
        linear = self.value - decrement + 0.5 * norm
        return float(decrement + (1.0 - shrink) * (linear - (1.0 + shrink) * 0.5 * norm))

    def __add__(self, other: Piece) -> Piece:
        """Of both sets of rows, where sums are not divided yet."""
        sums = self.sums + other.sums
        sums[LARGEST] = max(self.sums[LARGEST], other.sums[LARGEST])
        sums[LEAST] = min(self.sums[LEAST], other.sums[LEAST])
        return replace(
            self, gram=self.gram + other.gram, pull=self.pull + other.pull, away=self.away + other.away, sums=sums
        )

    def over(self, total: float) -> Piece:
        """With sums divided by Σ w."""
        sums = self.sums / total
        sums[LARGEST], sums[COUNT] = self.sums[LARGEST], self.sums[COUNT]
        return replace(self, gram=self.gram / total, pull=self.pull / total, away=self.away / total, sums=sums)


@dataclass(frozen=True, eq=False)
class Step:
    """A step of Newton's.

    Attributes:
        by: (p,).
        gradient: (p,), minus the objective's.
        hessian: (p, p), its second derivatives.
        damped: whether the equation has no solution and this one only leads downwards.
        level: whether the equation has other solutions, which cost the same as long as no row changes sides.
    """

    by: Float64s
    gradient: Float64s
    hessian: Float64s
    damped: bool = False
    level: bool = False

    @property
    def decrement(self) -> float:
        """Newton's decrement, squared: twice what the step gains if no row changes sides."""
        return max(float(self.by @ self.hessian @ self.by), 0.0)


def piece_of(
    part: Block, coordinates: Coordinates, well: bool, plane: Float64s, delta: float, penalty: Float64s
) -> tuple[Piece, Float64s]:
    """The Piece of some rows, not divided by Σ w, and |r| (m,).

    Args:
        part: the rows.
        coordinates: in which `plane`, (p,), and the Piece are.
        well: whether their columns are so well conditioned that products can be summed before they are brought to the
            coordinates, which takes less time.
        plane: see Piece.
        delta: likewise.
        penalty: likewise.
    """
    d = part.features
    sums = np.zeros(7)
    sums[LEAST] = math.inf
    if d > NARROW or not well:
        rows: tuple[Floats, Float64s, Float64s] = coordinates.rows(part)
        if plane.size > NARROW:
            return _wide(rows, plane, delta, penalty, sums)
        X, y, w = rows
        unit, level, to = Coordinates.same(plane.size).unit, np.r_[0.0, plane], np.eye(plane.size, plane.size + 1, 1)
    else:
        assert part.y is not None
        before, centre, after = coordinates.target
        X, unit, level = part.X.T, coordinates.unit, coordinates.plane(plane)
        y = (part.y * before - centre) * after
        w = np.ones(part.rows) if part.weight is None else part.weight
        to = np.zeros((plane.size, d + 1))
        to[: coordinates.base, 0] = 1.0
        to[coordinates.base :, 1:] = coordinates.basis.T
    p = level.size
    k = -(-(p + 1) // 4) * 4
    gram, away, size = np.zeros((k, k)), np.zeros(p), np.empty(y.size)
    look(X, unit, y, w, level, delta, np.zeros((k, TILE)), np.zeros((k, TILE)), gram, away, sums, size)
    mirror(gram)
    return Piece(plane, delta, penalty, to @ gram[:p, :p] @ to.T, to @ gram[:p, p], to @ away, sums), size


def _wide(
    rows: tuple[Floats, Float64s, Float64s], plane: Float64s, delta: float, penalty: Float64s, sums: Float64s
) -> tuple[Piece, Float64s]:
    """The same where products are large enough for BLAS."""
    Z, y, w = rows
    r = y - plane @ Z
    size = np.abs(r)
    inside = (size <= delta) & (w > 0)
    out = np.where(size > delta, w, 0.0)
    sums[INNER] = w[inside] @ size[inside] ** 2
    sums[COST] = delta * (out @ (size - 0.5 * delta)) + 0.5 * sums[INNER]
    sums[OUT] = out.sum()
    sums[SQUARES] = w @ size**2
    sums[LARGEST] = size[inside].max(initial=0.0)
    sums[LEAST] = w[inside].min(initial=math.inf)
    sums[COUNT] = np.count_nonzero(inside)
    root = np.sqrt(w[inside])
    inner = Z[:, inside] * root
    away = Z @ (out * np.sign(r))
    return Piece(plane, delta, penalty, inner @ inner.T, inner @ (root * r[inside]), away, sums), size


def slopes_along(part: Block, coordinates: Coordinates, piece: Piece, lengths: Float64s) -> tuple[Float64s, float]:
    """What the rows contribute to the objective's slope along Newton's step, and how far that takes inner rows.

    Args:
        part: the rows.
        coordinates: those of the Piece.
        piece: where the step begins.
        lengths: (k,) of the step, as multiples of it.

    Returns:
        The slopes (k,), not divided by Σ w, and the largest |r - z·step| of inner rows.
    """
    Z, y, w = coordinates.rows(part)
    r, ahead = y - piece.plane @ Z, piece.step.by @ Z
    inside = (np.abs(r) <= piece.delta) & (w > 0)
    pull = w * ahead
    slopes = np.array([-(pull @ np.clip(r - t * ahead, -piece.delta, piece.delta)) for t in lengths])
    return slopes, float(np.abs(r - ahead)[inside].max(initial=0.0))


def held_by(part: Block, coordinates: Coordinates, plane: Float64s, delta: float) -> tuple[Float64s, Float64s]:
    """What of some rows keeps a minimum in its place.

    Returns:
        Σ w·zzᵀ over rows between the bends, (p, p), not divided by Σ w; and sign(r)·z of those on a bend, (p, k).
    """
    Z, y, w = coordinates.rows(part)
    r = y - plane @ Z
    off, near = np.abs(r) - delta, BEND * delta + 2.0**-46 * (1.0 + float(np.linalg.norm(plane)))
    inner, on = (off < -near) & (w > 0), (np.abs(off) <= near) & (w > 0)
    held = Z[:, inner]
    return (held * w[inner]) @ held.T, Z[:, on] * np.sign(r[on])


def only(A: Float64s, bent: Float64s) -> bool:
    """Whether a minimum is the only one: each way that is level leads a row from its bend inwards, where it costs.

    Args:
        A: (p, p), second derivatives there but for rows on a bend, where those of all rows have 1.
        bent: (p, k), sign(r)·z of these.
    """
    from scipy.optimize import nnls

    values, vectors = eigh(A, check_finite=False)
    ways = vectors[:, values <= SINGULAR].T @ bent
    small = BEND * np.linalg.norm(bent)
    ways[np.abs(ways) <= small] = 0.0
    if not ways.size or np.linalg.matrix_rank(ways, tol=small) < len(ways):
        return bool((values > SINGULAR).all())
    # each way does if positive multiples of these rows add up to 0 (Stiemke's lemma)
    _, left = nnls(ways, -ways.sum(axis=1))
    return bool(left <= small)
