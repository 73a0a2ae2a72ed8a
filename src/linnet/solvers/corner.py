"""The exact corner: from the end of the central path to weights that pass through as many rows as there are weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s
from linnet.solvers.central_path import Central, Problem, central, typical

ROUNDING = 2.0**-46
"""Residual, relative to what it is the difference of, that is rounding: such a row lies on the plane."""
STRICT = 1e-8
"""How far inside its bounds, relative to its weight, a multiplier of a unique optimum lies."""
OPEN = 1e-9
"""Share of the largest number of rows that hold the plane, below which they leave a direction open."""
SHARE = 1e-11
"""Relative gap from which a corner is taken to be the wrong one."""
NEAR = 1e-12, 1e-16, 1e-22, 1e-28
"""Ends of the path that are tried: a nearer one where a few rows so far out that they decide nothing hide the rest."""
PIVOTS = 40
"""Exchanges of rows that are tried for each weight."""


@dataclass(frozen=True, eq=False)
class Corner:
    """The optimum.

    Attributes:
        weights: (p,).
        r: (n,), residuals, those of the rows passed through being 0.
        a: (n,), multipliers: q·w above the plane, -(1-q)·w below, between them on it.
        value: the objective, not divided by the weights' sum.
        gap: by how much at most that lies above the minimum, for residuals as they were computed.
        rounding: by how much more at most, since those of rows that the plane passes through are not 0 but rounding;
            any others only change by it what both of them cost.
        unique: whether no other weights reach it.
        iterations: of the path, and exchanges of rows after it.
        span: (2, p), steps to both ends of the optimal face where that is an edge; None if it is more, or not known.
    """

    weights: Float64s
    r: Float64s
    a: Float64s
    value: float
    gap: float
    rounding: float
    unique: bool
    iterations: int
    span: Float64s | None = None

    def certain(self, problem: Problem) -> bool:
        """Whether the gap is nothing beside what the loss would be, were the farthest rows not farther than most."""
        off = np.abs(self.r[self.r != 0])
        return self.gap <= SHARE * float(problem.w.sum()) * (float(np.median(off)) if off.size else 1e-290)


def solve(problem: Problem, start: Float64s) -> Corner:
    """The optimum, with its certificate.

    Args:
        problem: what to minimise.
        start: (p,), weights to begin with.
    """
    best: Corner | None = None
    for near in NEAR:
        found = corner(problem, central(problem, start, near))
        if best is None or found.gap < best.gap:
            best = found
        if best.certain(problem):
            break
    assert best is not None
    if not best.certain(problem):
        if problem.penalty is None:
            best = _about(problem, best)
        else:  # where both steps must be equally long, corrections for longer ones can lead round in circles
            found = corner(problem, central(problem, start, NEAR[0], corrected=False))
            best = found if found.gap < best.gap else best
    return best if best.unique else replace(best, span=_span(problem, best))


def _about(problem: Problem, near: Corner) -> Corner:
    """The optimum by residuals of a corner as the target, where rounding of the target itself hides it; or that corner.

    They are rounded once, so that both problems are the same but for what `rounding` tells.
    """
    rest = replace(problem, y=problem.y - near.weights @ problem.Z)
    found = corner(rest, central(rest, np.zeros_like(near.weights), NEAR[0]))
    if found.gap >= near.gap:
        return near
    weights, on = near.weights + found.weights, found.r == 0
    rounding = found.rounding + _rounding(problem, weights, on)
    return replace(found, weights=weights, rounding=rounding, iterations=near.iterations + found.iterations)


def corner(problem: Problem, central: Central) -> Corner:
    """The corner that the path leads to, by its strict complementarity: a row's multiplier or its residual vanishes.

    Where the optimum is not unique, one corner of the optimal face. Whether it is optimal is told by the gap to the
    dual at these very weights, with multipliers that satisfy the dual's equations; a corner that is not, which can
    happen where rows nearly lie on the plane, is left by exchanges of rows, as in the simplex method of Barrodale and
    Roberts (1973), SIAM Journal on Numerical Analysis 10, 839-848.
    """
    inside = np.minimum(central.below, central.above) / problem.w
    on = np.flatnonzero(inside > np.abs(central.r) / typical(central.r, inside))
    if problem.penalty is not None:
        return _penalised(problem, central, inside, on)
    basis, beta = _basis(problem, central, on)
    best: Corner | None = None
    for exchange in range(PIVOTS * problem.Z.shape[0]):
        beta = _through(problem, basis, beta)
        here = _judged(problem, central, beta, basis, central.iterations + exchange)
        if best is None or here.value < best.value or here.gap < best.gap:
            best = here
        if here.certain(problem) or basis.size < beta.size:
            break
        entering = _exchange(problem, here.r, basis)
        if entering is None:
            break
        basis = entering
    assert best is not None
    return best


def _basis(problem: Problem, central: Central, on: NDArray[np.intp]) -> tuple[NDArray[np.intp], Float64s]:
    """As many independent rows as there are weights, beginning with those `on` the plane."""
    Z, p = problem.Z, problem.Z.shape[0]
    basis = _independent(Z, on)
    beta, r = central.weights, central.r.copy()
    while basis.size < p:  # the optimum is not unique: along its face to the nearest row, until no way is left
        free = np.linalg.qr(Z[:, basis], mode="complete")[0][:, basis.size] if basis.size else np.eye(p)[0]
        along = _along(Z, free)
        along[basis] = 0.0
        way = np.divide(r, along, out=np.full_like(r, np.inf), where=along != 0)
        nearest = int(np.argmin(np.abs(way)))
        if not np.isfinite(way[nearest]):  # rows that leave a direction open altogether
            break
        beta = beta + way[nearest] * free
        r -= way[nearest] * along
        basis = np.append(basis, nearest)
    return basis, beta


def _along(Z: Float64s, direction: Float64s) -> Float64s:
    """By how much residuals fall along a direction, (n,); 0 where that is rounding."""
    along = direction @ Z
    along[np.abs(along) <= np.maximum(1e-9 * np.abs(along).max(), 1e-12 * np.abs(Z).max(axis=0))] = 0.0
    return np.asarray(along)


def _independent(Z: Float64s, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """As many of the rows as are independent."""
    from scipy.linalg import qr

    if not rows.size:
        return rows
    R, order = qr(Z[:, rows], mode="r", pivoting=True)
    size = np.abs(R.diagonal())
    return rows[order[: int(np.count_nonzero(size > 1e-9 * size[0]))]]


def _through(problem: Problem, basis: NDArray[np.intp], beta: Float64s) -> Float64s:
    """The weights that pass through the rows of a basis; the nearest to `beta` if these are too few."""
    rows, y = problem.Z[:, basis].T, problem.y[basis]
    if basis.size == beta.size:
        return np.asarray(np.linalg.solve(rows, y), dtype=np.float64)
    return np.asarray(beta + np.linalg.lstsq(rows, y - rows @ beta, rcond=None)[0], dtype=np.float64)


def _judged(problem: Problem, central: Central, beta: Float64s, basis: NDArray[np.intp], iterations: int) -> Corner:
    """These weights with multipliers that satisfy the dual's equations, and the gap between the two."""
    Z, y, w, q = problem.Z, problem.y, problem.w, problem.q
    r = y - beta @ Z
    size = _sizes(problem, beta)
    if problem.penalty is None and basis.size == beta.size:  # rounding of the rows passed through moves the others
        maybe = np.flatnonzero(np.abs(r) <= ROUNDING * (size + size[basis].max(initial=0.0)))
        size[maybe] += size[basis] @ np.abs(np.linalg.solve(Z[:, basis], Z[:, maybe]))
    there = np.abs(r) <= ROUNDING * size
    there[basis] = True
    rounding = float(w[there] @ np.abs(r[there])) + _rounding(problem, beta, there)
    r[there] = 0.0
    pull, away = _pull(problem, beta), beta - central.weights
    a = np.where(r > 0, q * w, np.where(r < 0, (q - 1.0) * w, q * w - central.below))
    on = np.flatnonzero(r == 0)
    room = np.maximum(np.minimum(central.below, central.above)[on], 1e-12 * w[on])
    rest = pull - Z @ a
    a[on] += room * np.linalg.lstsq(Z[:, on] * room, rest, rcond=1e-13)[0]
    outside = np.maximum(np.maximum(a[on] - q * w[on], (q - 1.0) * w[on] - a[on]), 0.0)
    a[on] = np.clip(a[on], (q - 1.0) * w[on], q * w[on])
    value = problem.value(r) + 0.5 * float(beta @ pull)
    # with the path's own multipliers, which satisfy the equations of its own weights, but for rounding
    gap = float(np.maximum(r, 0.0) @ central.below + np.maximum(-r, 0.0) @ central.above)
    gap += 0.5 * float(away @ _pull(problem, away))
    gap += problem.left(_pull(problem, central.weights) - Z @ (q * w - central.below), beta, value)
    if not outside.any():
        gap = min(gap, problem.left(pull - Z @ a, beta, value))
    settled = _settled(problem, np.flatnonzero(_strict(problem, r, a)))
    return Corner(beta, r, a, value, gap, rounding, settled, iterations)


def _strict(problem: Problem, r: Float64s, a: Float64s) -> NDArray[np.bool_]:
    """The rows that lie on the plane at every optimum: their multipliers are strictly inside the bounds, (n,)."""
    w, q = problem.w, problem.q
    return np.asarray((r == 0) & (np.minimum(q * w - a, a + (1.0 - q) * w) > STRICT * w))


def _sizes(problem: Problem, beta: Float64s) -> Float64s:
    """What residuals are the differences of, (n,)."""
    # with the usual one, since a plane of zeros has no size of its own
    return np.asarray(problem.usual + np.abs(problem.y) + np.abs(beta) @ np.abs(problem.Z))


def _rounding(problem: Problem, beta: Float64s, on: NDArray[np.bool_]) -> float:
    """What rounding may add to the loss of rows that the plane passes through."""
    return (beta.size + 2) * 2.0**-53 * float(problem.w[on] @ _sizes(problem, beta)[on])


def _pull(problem: Problem, beta: Float64s) -> Float64s:
    """What the penalty adds to the objective's slopes, (p,)."""
    return np.zeros(beta.size) if problem.penalty is None else np.asarray(problem.penalty @ beta)


def _settled(problem: Problem, rows: NDArray[np.intp]) -> bool:
    """Whether the rows that hold the plane, with the penalty, leave no direction open."""
    held, size = _held(problem, rows)
    return size > 0 and int(np.linalg.matrix_rank(held, tol=OPEN * size)) == problem.Z.shape[0]


def _held(problem: Problem, rows: NDArray[np.intp]) -> tuple[Float64s, float]:
    """What these rows and the penalty hold, by columns (p, k), and its largest number."""
    held = problem.Z[:, rows]
    if problem.penalty is not None:
        held = np.hstack([held, problem.penalty / max(float(np.abs(problem.penalty).max()), 1e-300)])
    return held, float(np.abs(held).max(initial=0.0))


def _span(problem: Problem, at: Corner) -> Float64s | None:
    """How far the weights can move at the same cost where one direction is open: until a row leaves its side."""
    Z, strict = problem.Z, _strict(problem, at.r, at.a)
    held, size = _held(problem, np.flatnonzero(strict))
    missing = np.zeros((len(Z), max(len(Z) - held.shape[1], 0)))
    directions, sizes, _ = np.linalg.svd(np.hstack([held, missing]), full_matrices=False)
    if int(np.count_nonzero(sizes > OPEN * size)) != len(Z) - 1:
        return None
    along = _along(Z, directions[:, -1])
    # a row's side is told by its multiplier, also where the corner passes through it
    along *= np.where(at.a > (problem.q - 0.5) * problem.w, 1.0, -1.0)
    way = np.divide(np.abs(at.r), np.abs(along), out=np.full_like(at.r, np.inf), where=(along != 0) & ~strict)
    ends = np.array([-way[along < 0].min(initial=np.inf), way[along > 0].min(initial=np.inf)])
    return ends[:, None] * directions[:, -1] if np.isfinite(ends).all() else None


def _exchange(problem: Problem, r: Float64s, basis: NDArray[np.intp]) -> NDArray[np.intp] | None:
    """The corner next to this one down the steepest edge; None if no edge leads down."""
    Z, w, q = problem.Z, problem.w, problem.q
    a = np.where(r >= 0, q * w, (q - 1.0) * w)
    a[basis] = 0.0
    inner = np.linalg.solve(Z[:, basis], -(Z @ a))
    over, under = inner - q * w[basis], (q - 1.0) * w[basis] - inner
    violation = np.maximum(over, under) / w[basis]
    leaving = int(np.argmax(violation))
    if violation[leaving] <= 1e-12:
        return None
    unit = np.zeros(basis.size)
    unit[leaving] = -1.0 if over[leaving] > 0 else 1.0
    along = np.linalg.solve(Z[:, basis].T, unit) @ Z  # residuals change by -t·along
    along[basis] = 0.0
    crossing = (r >= 0) & (along > 0) | (r < 0) & (along < 0)
    rows = np.flatnonzero(crossing & (np.abs(along) > 1e-12))
    if not rows.size:
        return None
    way = r[rows] / along[rows]
    order = np.argsort(way, kind="stable")
    rise = np.cumsum((w * np.abs(along))[rows[order]])
    at = int(np.searchsorted(rise, violation[leaving] * w[basis[leaving]]))
    if at == rows.size:
        return None
    changed = basis.copy()
    changed[leaving] = rows[order[at]]
    return changed


def _penalised(problem: Problem, central: Central, inside: Float64s, on: NDArray[np.intp]) -> Corner:
    """The optimum under a penalty, which passes through fewer rows than there are weights."""
    near = _judged(problem, central, central.weights, on[:0], central.iterations)
    # where all rows lie on the plane, their residuals are rounding, and only the target tells which ones are small
    for rows in (on, np.flatnonzero(inside * problem.usual > np.abs(central.r))):
        exact, holds = _stationary(problem, central, rows)
        rounding = near.rounding if holds else 0.0
        if exact.gap <= near.gap + rounding and exact.value <= near.value * (1.0 + SHARE) + rounding:
            return exact
    return replace(near, unique=near.unique or _settled(problem, on))


def _stationary(problem: Problem, central: Central, on: NDArray[np.intp]) -> tuple[Corner, bool]:
    """Where the objective's slopes are 0 if the plane passes through these rows, the others keeping their sides.

    And whether the multipliers that this takes are within their bounds: otherwise a row is not on the plane, however
    small its residual, which decides the weights of columns far smaller than others.
    """
    Z, w, q = problem.Z, problem.w, problem.q
    assert problem.penalty is not None
    p, r = Z.shape[0], central.r
    basis = _independent(Z, on)
    a = np.where(r > 0, q * w, (q - 1.0) * w)
    a[on] = q * w[on] - central.below[on]
    a[basis] = 0.0
    rows = Z[:, basis]
    # multipliers are of the size of row weights, or of a large penalty, which would hide the rest
    size = max(float(np.abs(problem.penalty).max()), float(w.mean()))
    system = np.block([[problem.penalty / size, -rows], [rows.T, np.zeros((basis.size, basis.size))]])
    sides = np.r_[Z @ a / size, problem.y[basis]]
    # a column far smaller than others has a weight far smaller than theirs, which would hide it
    most, ridge = np.abs(Z) @ w, problem.penalty.diagonal()
    unit = np.ones(p + basis.size)
    np.divide(most, ridge, out=unit[:p], where=most < ridge)
    system *= unit
    row = np.abs(system).max(axis=1)
    row[row == 0] = 1.0
    found = unit * np.linalg.lstsq(system / row[:, None], sides / row, rcond=1e-14)[0]
    beta = found[:p]
    held = size * found[p:]
    a[basis] = np.clip(held, (q - 1.0) * w[basis], q * w[basis])
    holds = bool((np.abs(held - a[basis]) <= STRICT * w[basis]).all())
    # the path, where it ends too early for its multipliers to tell, has others
    own = replace(central, weights=beta, below=q * w - a, above=a + (1.0 - q) * w)
    corners = (_judged(problem, each, beta, basis, central.iterations) for each in (central, own))
    return min(corners, key=lambda corner: corner.gap), holds
