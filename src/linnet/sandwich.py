"""Standard errors of absolute, quantile and Huber fits, and what else their residuals tell.

All standard errors here have the form bread⁻¹ · meat · bread⁻¹: the bread is how much the sum of the rows' scores (row
weight times slope of the loss times features) gives when the weights move, the meat its variance.

What row weights mean: to "nid" and "sandwich" nothing but that they are known, and the rows independent. "iid" takes
them as inverse variances up to a common factor, as classical errors do. For Huber loss that is: var(slope(r)) is
proportional to 1/w. For absolute and quantile loss √w·r has the same distribution in every row, so that the density of
r at 0 is √w times a common one, and the bread sums w·√w. (If so, weighing by √w, the inverse standard deviation, would
be the more efficient fit with these losses.) The overall size of the weights changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.density import half_width, quantile_of, rows_beyond
from linnet.fitted_rows import Factors, FittedRows
from linnet.inference import Uncertainty
from linnet.lone_rows import LoneRows
from linnet.losses import Huber, Loss
from linnet.objective import Objective
from linnet.residuals import Residuals, deviation, kernel
from linnet.solution import Solution, ldexp
from linnet.sources.source import Source
from linnet.text import about, listed

FEW = 4
"""Residuals within a Huber loss's delta, for each weight, from which they tell how it bends there."""
SINGULAR = 1e-12
"""Share of the bread's largest eigenvalue from which one of a direction tells something."""
NEAR = 1e-2
"""Residual, in units of a Huber loss's delta, that a row which decides its own fit may be left with."""
REMEDY = 'add rows, or use errors="classical", which takes the spread of residuals to be the same everywhere'
LEAST = 1e-200
"""A delta whose loss float64 still holds; a fit in which all residuals are 0 has a smaller one."""
SHOWN = 5
"""Weights that a note names before the rest is only counted."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """What the residuals of a fit tell.

    Attributes:
        uncertainty: standard errors; None when none were asked for or the rows cannot tell them.
        robust_scale: MAD/0.6745, the median distance of the residuals from their median, as if they were normal; each
            row counts by its weight.
        pseudo_r2: the share by which the features lower the loss below that of the best constant, or without an
            intercept of 0 (R¹ of Koenker and Machado, J. Amer. Statist. Assoc. 94, 1999); NaN where that fits exactly.
            It and `robust_scale` are exact up to a million rows, and those of an evenly spread sample beyond.
        passes: how many times the rows were read.
        notes: what a reader must know beside the numbers.
    """

    uncertainty: Uncertainty | None
    robust_scale: float
    pseudo_r2: float
    passes: int
    notes: tuple[str, ...] = ()


def assess(
    source: Source,
    objective: Objective,
    solution: Solution,
    weights: Float64s,
    bias: float,
    kind: str,
    sample: Block | None = None,
) -> Assessment:
    """Standard errors, robust scale and pseudo R², by one pass over the rows or two.

    Absolute and quantile loss (absolute loss estimates the quantile 0.5):

    - "nid": Powell's kernel sandwich (Koenker, Quantile Regression, 2005, section 3.4.2), which holds whatever the
      residuals' distribution does from row to row: bread Σ w·K(r/h)/h·zzᵀ, meat q(1-q)·Σ w²·zzᵀ. R's quantreg calls it
      "ker", with another kernel. It equals "iid" where rows with residuals near 0 have the same second moments as all
      rows; statsmodels' vcov="robust" is another formula, which equals both if so have the rows above the fit.
      Of residuals that are 0 it leaves out as many as there are weights: those rows are interpolated, which tells no
      density; with all of them in, intervals of outer quantiles are too narrow.
    - "iid": q(1-q)·s²·(XᵀX)⁻¹ with the sparsity s = 1/f(0) by the same kernel: statsmodels' vcov="iid".

    K is Epanechnikov's kernel. Its half-width h is Hall and Sheather's bandwidth (J. Roy. Statist. Soc. B 50, 1988)
    for 95 % intervals, halved until q ± it lies within (0, 1), mapped through normal quantiles with the scale
    min(sd(y), IQR(r)/1.34), as statsmodels does. Where that scale is 0, the residuals' root mean square stands for it;
    where fewer rows lie within h than twice the interpolated ones (or these and half of the others), h is twice the
    distance that holds so many. Notes tell of either. With row weights r stands for √w·r, w having mean 1. Beyond a
    million rows h and s come from an evenly spread sample; bread and meat always from all rows.

    Huber loss, whose slope is psi:

    - "sandwich": bread Σ w·psi'(r)·zzᵀ, meat Σ w²·psi(r)²·zzᵀ · n/df_residual. The HC1 errors, where delta is large.
    - "iid": k²·[Σ w·psi²/df_residual]/[Σ w·psi'/n]²·(XᵀWX)⁻¹, with Huber's correction
      k = 1 + (n - df_residual)/n · var(psi')/mean(psi')² (Robust Statistics, 1981, section 7.6): the default of
      statsmodels' RLM ("H1") and of MASS::rlm. The classical errors, where delta is large.

    Weights that LoneRows decide have no "nid" and no "sandwich" errors, nor have those of which the bread tells
    nothing, such as that of a level all of whose rows are far off; the others have theirs. Of outer quantiles with
    fewer rows beyond than weights there are none (see `density.rows_beyond`).

    l2 adds l2·Σ w to the bread's diagonal of the weights; the errors tell how the estimates spread, not how far l2
    pulls them. That a Huber loss's delta was estimated is no part of them; "bootstrap" has it.

    Args:
        source: the rows that were fitted.
        objective: what the weights minimise; a Huber loss has its delta.
        solution: the least-squares Solution of the same rows and l2, for its basis.
        weights: (d,), at the optimum.
        bias: likewise.
        kind: "nid" or "iid" for absolute and quantile loss, "sandwich" or "iid" for Huber loss, "none" for each.
        sample: some of the rows at random, which save a pass where only the residuals' quantiles are wanted of it.

    Raises:
        InputError: a kind that this loss has not.
    """
    loss = _Scaled.of(objective.loss, solution.target_power)
    kinds = ("sandwich", "iid", "none") if loss.huber else ("nid", "iid", "none")
    if kind not in kinds:
        raise InputError(f"errors={kind!r} is not for {objective.loss.name} loss: choose from {', '.join(kinds)}.")
    fitted = FittedRows(source, solution, weights, bias)
    if not solution.df_residual > 0:
        kind = "none"
    residuals, passes = Residuals(), 1
    factors, crossed = _factors(loss, kind, solution.penalised)
    lone = LoneRows(source)
    rows: Iterable[Block] = source.blocks()
    if sample is not None and (kind == "none" or not (loss.huber or solution.penalised or sample.weight is not None)):
        rows, passes = [sample], 0  # nothing else is summed
    within = max(NEAR * loss.delta, fitted.rounding) if kind == "sandwich" else -1.0
    sums, grams = fitted.read(rows, factors, crossed, residuals, lone, within)
    uncertainty: Uncertainty | None = None
    notes: list[str] = []
    if kind != "none" and loss.huber:
        uncertainty, notes = _huber_errors(fitted, loss, kind, sums, grams, lone)
    elif kind != "none":
        uncertainty, notes, more = _quantile_errors(fitted, loss, kind, grams, residuals, lone)
        passes += more
    return Assessment(
        uncertainty,
        ldexp(residuals.robust_scale(), solution.target_power),
        residuals.pseudo_r2(loss.own, loss.q, objective.intercept),
        passes,
        tuple(notes),
    )


@dataclass(frozen=True)
class _Scaled:
    """A loss in units of the scaled target.

    Attributes:
        huber: whether its slope bends; otherwise it jumps at 0.
        own: the loss itself.
        q: the quantile that it estimates.
        delta: where the slope of a Huber loss bends.
        jump: otherwise the height of its jump.
    """

    huber: bool
    own: Loss
    q: float = 0.5
    delta: float = math.inf
    jump: float = 0.0

    @classmethod
    def of(cls, loss: Loss, power: int) -> _Scaled:
        """From the shape of its slope, the target's unit being 2^power."""
        _, steepness, limit = loss.bend or (0.0, 1.0, math.inf)
        if math.isinf(limit):
            raise InputError(f"There is no sandwich for {loss.name} loss: fit absolute, quantile or Huber loss.")
        q = quantile_of(loss)
        if q is not None:
            return cls(False, loss, q=q, jump=2 * limit)
        delta = ldexp(limit / steepness, -power)
        return cls(True, Huber(max(delta, LEAST)), delta=delta)


def _factors(loss: _Scaled, kind: str, penalised: bool) -> tuple[Factors | None, bool]:
    """What each row counts in the first pass, and whether products of features are summed."""

    def slopes(r: Float64s, w: Float64s | None) -> Float64s:
        size = np.abs(r)
        a = np.empty((3 if kind == "iid" and penalised else 2, r.size))
        np.less_equal(size, loss.delta, out=a[0])
        np.square(np.minimum(size, loss.delta, out=size), out=a[1])
        a[2:] = 1.0
        if w is not None:
            a *= w
            if kind == "sandwich":
                a[1] *= w
        return a

    def powers(r: Float64s, w: Float64s | None) -> Float64s:
        if w is None:  # then, without l2, the mean of zzᵀ is known to be the identity
            return np.ones((int(penalised), r.size))
        return np.array([w * np.sqrt(w), w * w] if kind == "iid" else [w * w])

    if kind == "none":
        return None, False
    return (slopes, kind == "sandwich" or penalised) if loss.huber else (powers, True)


def _huber_errors(
    fitted: FittedRows, loss: _Scaled, kind: str, sums: Float64s, grams: Float64s, lone: LoneRows
) -> tuple[Uncertainty | None, list[str]]:
    """Standard errors of a Huber fit from what the first pass summed."""
    solution = fitted.solution
    n, df = solution.equations.n, solution.df_residual
    inner, squares = float(sums[0]), float(sums[1]) * n / df
    within = inner * n * (1.0 + 1e-9)  # half of the rows are half of them in whatever order they are summed
    if within < min(FEW * (solution.rank + 1), n / 2):  # about as many lie there because weights put them there
        delta = ldexp(loss.delta, solution.target_power)
        lie = "residual lies" if round(within) == 1 else "residuals lie"
        note = (
            f"only {within:,.0f} {lie} within delta = {about(delta, 3)} of 0, too few to tell standard "
            'errors from them: take a larger delta, or errors="bootstrap"'
        )
        return None, [note]
    if kind == "sandwich":
        return _between(fitted, grams[0] + fitted.penalty(), grams[1] / df, lone, kind)
    k = 1.0 + (n - df) / n * (1.0 - inner) / inner
    gram = grams[2] if solution.penalised else np.eye(solution.rank + 1)
    return _between(fitted, inner * gram + fitted.penalty(), gram * (k * k * squares / n), lone, kind)


def _quantile_errors(
    fitted: FittedRows, loss: _Scaled, kind: str, grams: Float64s, residuals: Residuals, lone: LoneRows
) -> tuple[Uncertainty | None, list[str], int]:
    """Standard errors of a fit by absolute or quantile loss, their notes, and how often the rows were read for them."""
    solution = fitted.solution
    n = solution.equations.n
    r, y, w = residuals.rows()
    u = r if w is None else r * np.sqrt(w)
    clear, interpolated = fitted.rounding, solution.rank + solution.equations.intercept
    h, notes = half_width(u, n, interpolated, deviation(y, w), loss.q, clear)
    if not h > 0:
        return None, notes, 0
    enough, said = rows_beyond(n, w, loss.q, interpolated)
    if not enough:
        return None, list(said), 0
    notes += said

    # so many residuals are 0 because their rows were interpolated, not because residuals are dense there
    zeros = int(np.count_nonzero(np.abs(r) <= clear))
    share = max(1.0 - interpolated / max(zeros, 1), 0.0)

    def near(r: Float64s, w: Float64s | None) -> Float64s:
        root = 1.0 if w is None else np.sqrt(w)
        a = kernel(root * r, h) * root**3
        a[np.abs(r) <= clear] *= share
        return a[None, :]

    if not len(grams):
        grams = np.eye(solution.rank + 1)[None, :]
    if kind == "iid":
        bread, passes = float(kernel(u, h).mean()) * grams[0], 0
    else:
        bread, passes = fitted.read(fitted.source.blocks(), near, True, None, lone, clear)[1][0], 1
    bread = loss.jump * bread + fitted.penalty(solution.target_power)
    meat = grams[-1] * (loss.jump**2 * loss.q * (1.0 - loss.q) / n)
    uncertainty, more = _between(fitted, bread, meat, lone, kind)
    return uncertainty, notes + more, passes


def _between(
    fitted: FittedRows, bread: Float64s, meat: Float64s, lone: LoneRows, kind: str
) -> tuple[Uncertainty | None, list[str]]:
    """Standard errors, and why some or all are missing; `bread` over n, `meat` over n²."""
    solution, unknown = fitted.solution, lone.directions
    inner = slice(0 if solution.equations.intercept else 1, None)
    bread = bread.copy()
    if unknown is not None:  # withheld in any case, and where few residuals are near 0 the bread may lack them
        unit = unknown / np.linalg.norm(unknown, axis=1, keepdims=True)
        bread += unit.T @ unit * bread.diagonal().max()
    values, vectors = np.linalg.eigh(bread[inner, inner])
    lost = values <= SINGULAR * values.max(initial=0.0)
    if lost.any() and lost.all():
        return None, [f"too few residuals are near 0 to tell standard errors from them: {REMEDY}"]
    notes = list(lone.notes(solution, kind))
    if lost.any():
        missing = np.zeros((int(lost.sum()), solution.rank + 1))
        missing[:, inner] = vectors[:, lost].T
        bread += missing.T @ missing * values.max()
        names = solution.weights_in(missing, fitted.source.design.names)
        if names:
            told = listed(names, SHOWN)
            notes.append(f"too few residuals are near 0 to tell the standard {kind} error of {told}: {REMEDY}")
        unknown = missing if unknown is None else np.concatenate([unknown, missing])
    return solution.sandwich(meat, bread, unknown), notes
