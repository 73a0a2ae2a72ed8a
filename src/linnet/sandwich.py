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
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from linnet.block import Block, Float64s, Floats, InputError
from linnet.inference import Uncertainty
from linnet.losses import Huber, Loss, Quantile
from linnet.moments import PARALLEL, WIDE, in_chunks
from linnet.objective import Objective, residual
from linnet.residuals import Residuals, deviation, hall_sheather, kernel, quartiles
from linnet.solution import Solution, ldexp
from linnet.sources.source import Source

TILE = 1024
"""Rows whose products are added at a time, so that they stay in the cache."""
CLEAR = 2.0**-44
"""Residual, relative to what it is the difference of, that may be rounding alone."""
FEW = 4
"""Residuals within a Huber loss's delta, for each weight, from which they tell how it bends there."""
SINGULAR = 1e-12
"""Smallest over largest eigenvalue of the bread from which it tells nothing."""

Factors = Callable[[Float64s, Float64s | None], Float64s]
"""What each row counts in each of k sums, (k, m), from the scaled residuals (m,) and row weights of mean 1 (m,)."""


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
    fitted = _Fitted(source, solution, weights, bias)
    if not solution.df_residual > 0:
        kind = "none"
    residuals, passes = Residuals(), 1
    factors, crossed = _factors(loss, kind, fitted.penalised)
    rows: Iterable[Block] = source.blocks()
    if sample is not None and (kind == "none" or not (loss.huber or fitted.penalised or sample.weight is not None)):
        rows, passes = [sample], 0  # nothing else is summed
    sums, grams = fitted.read(rows, factors, crossed, residuals)
    uncertainty: Uncertainty | None = None
    notes: list[str] = []
    if kind != "none" and loss.huber:
        uncertainty, notes = _huber_errors(fitted, loss, kind, sums, grams)
    elif kind != "none":
        uncertainty, notes, more = _quantile_errors(fitted, loss, kind, grams, residuals)
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
        tilt, steepness, limit = loss.bend or (0.0, 1.0, math.inf)
        if math.isinf(limit):
            raise InputError(f"There is no sandwich for {loss.name} loss: fit absolute, quantile or Huber loss.")
        if math.isinf(steepness):
            q = loss.q if isinstance(loss, Quantile) else 0.5 + tilt / (2 * limit)  # the same, but for rounding
            return cls(False, loss, q=q, jump=2 * limit)
        delta = ldexp(limit / steepness, -power)
        return cls(True, Huber(delta), delta=delta)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """Rows, and the weights fitted to them."""

    source: Source
    solution: Solution
    weights: Float64s
    bias: float

    @property
    def penalised(self) -> bool:
        """Whether there is a ridge penalty."""
        return bool(self.solution.ridge.any())

    def read(
        self, rows: Iterable[Block], factors: Factors | None, crossed: bool, residuals: Residuals | None = None
    ) -> tuple[Float64s, Float64s]:
        """Sums over rows.

        Args:
            rows: as Blocks.
            factors: what each row counts in each of k sums.
            crossed: whether products of the features are summed too.
            residuals: takes what it wants of residuals and targets, scaled.

        Returns:
            Σ a (k,) and Σ a·zzᵀ (k, r+1, r+1) for each of the factors a, over n, with the features whitened to z.
        """
        sums, grams = np.zeros(1), np.zeros((1, self.solution.rank + 1, self.solution.rank + 1))
        for block in rows:
            wanted = np.empty(0, np.intp) if residuals is None else residuals.places(block)
            work = partial(self._part, block.start, wanted, factors, crossed)
            wide = block.features > WIDE  # products are large, and BLAS has threads of its own for them
            for part_sums, part_grams, kept in [work(block)] if wide else in_chunks(block, work, PARALLEL):
                sums = sums + part_sums
                grams = grams + part_grams
                if residuals is not None:
                    residuals.add(kept)
        n = self.solution.equations.n
        return sums / n, grams / n

    def _part(
        self, start: int, wanted: NDArray[np.intp], factors: Factors | None, crossed: bool, part: Block
    ) -> tuple[Float64s | float, Float64s | float, Float64s]:
        """What `read` sums and keeps of some rows of the block that begins at `start`."""
        assert part.y is not None
        equations, power = self.solution.equations, self.solution.target_power
        r = _in_units(residual(part, self.weights, self.bias), power)
        w = None if part.weight is None else part.weight * (equations.n / equations.total)
        first = part.start - start
        low, high = np.searchsorted(wanted, (first, first + part.rows))
        at: slice | NDArray[np.intp] = slice(None) if high - low == part.rows else wanted[low:high] - first
        kept = [r[at], _in_units(part.y[at].astype(np.float64), power)]
        if w is not None:
            kept.append(w[at])
        if factors is None:
            return 0.0, 0.0, np.array(kept)
        a = factors(r, w)
        return a.sum(axis=1), self._products(part.X, a) if crossed else 0.0, np.array(kept)

    def _products(self, X: Floats, a: Float64s) -> Float64s:
        """Σ a·zzᵀ for rows X (m, d) and each of the factors a (k, m)."""
        if len(a) == 1:
            counted = np.flatnonzero(a[0])
            if counted.size < a.shape[1] // 2:  # most rows lie outside a kernel
                X, a = X[counted], a[:, counted]
        total = np.zeros((len(a), self.solution.rank + 1, self.solution.rank + 1))
        for i in range(0, a.shape[1] if len(a) else 0, TILE):
            z = self.solution.whitened(self.solution.scaled(X[i : i + TILE], slice(0, X.shape[1])))
            for k, factor in enumerate(a[:, i : i + TILE]):
                total[k] += (z * factor[:, None]).T @ z
        return total

    def penalty(self, power: int = 0) -> Float64s:
        """What l2 adds to the mean of w·zzᵀ, (r+1, r+1), for a loss in units of the squared target over 2^power."""
        solution = self.solution
        added = np.zeros((solution.rank + 1, solution.rank + 1))
        added[1:, 1:] = solution.basis.T @ (solution.ridge[solution.kept, None] * solution.basis)
        return np.asarray(np.ldexp(added, power))

    def between(self, bread: Float64s, meat: Float64s) -> tuple[Uncertainty | None, list[str]]:
        """Standard errors, or why there are none; `bread` over n, `meat` over n²."""
        inner = bread if self.solution.equations.intercept else bread[1:, 1:]
        lowest, highest = np.linalg.eigvalsh(inner)[[0, -1]] if inner.size else (1.0, 1.0)
        if lowest > SINGULAR * highest:
            return self.solution.sandwich(meat, bread), []
        remedy = 'add rows, drop features, or use errors="bootstrap"'
        return None, [f"too few residuals are near 0 to tell standard errors from them: {remedy}"]


def _in_units(values: Float64s, power: int) -> Float64s:
    """Numbers in units of 2^power."""
    if abs(power) > 1000:  # 2^-power alone lies outside float64's range
        return np.ldexp(values, -power)
    return values * math.ldexp(1.0, -power)


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
    fitted: _Fitted, loss: _Scaled, kind: str, sums: Float64s, grams: Float64s
) -> tuple[Uncertainty | None, list[str]]:
    """Standard errors of a Huber fit from what the first pass summed."""
    solution = fitted.solution
    n, df = solution.equations.n, solution.df_residual
    inner, squares = float(sums[0]), float(sums[1]) * n / df
    if inner * n < min(FEW * (solution.rank + 1), n / 2):  # about as many lie there because weights put them there
        delta = ldexp(loss.delta, solution.target_power)
        note = (
            f"only {inner * n:,.0f} residuals lie within delta = {delta:.3g} of 0, too few to tell standard errors "
            'from them: take a larger delta, or errors="bootstrap"'
        )
        return None, [note]
    if kind == "sandwich":
        return fitted.between(grams[0] + fitted.penalty(), grams[1] / df)
    k = 1.0 + (n - df) / n * (1.0 - inner) / inner
    gram = grams[2] if fitted.penalised else np.eye(solution.rank + 1)
    return fitted.between(inner * gram + fitted.penalty(), gram * (k * k * squares / n))


def _quantile_errors(
    fitted: _Fitted, loss: _Scaled, kind: str, grams: Float64s, residuals: Residuals
) -> tuple[Uncertainty | None, list[str], int]:
    """Standard errors of a fit by absolute or quantile loss, their notes, and how often the rows were read for them."""
    solution = fitted.solution
    n = solution.equations.n
    r, y, w = residuals.rows()
    u = r if w is None else r * np.sqrt(w)
    h, notes = _half_width(fitted, u, deviation(y, w), loss.q)
    if not h > 0:
        return None, notes, 0

    # r + 1 residuals are 0 because their rows were interpolated, not because residuals are dense there
    clear = _rounding(fitted)
    zeros = int(np.count_nonzero(np.abs(r) <= clear))
    share = max(1.0 - (solution.rank + solution.equations.intercept) / max(zeros, 1), 0.0)

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
        bread, passes = fitted.read(fitted.source.blocks(), near, True)[1][0], 1
    bread = loss.jump * bread + fitted.penalty(solution.target_power)
    uncertainty, more = fitted.between(bread, grams[-1] * (loss.jump**2 * loss.q * (1.0 - loss.q) / n))
    return uncertainty, notes + more, passes


def _rounding(fitted: _Fitted) -> float:
    """The scaled residual that may be rounding alone."""
    solution = fitted.solution
    terms = np.abs(fitted.weights) * np.hypot(solution.centre[:-1], solution.scale[:-1])
    size = terms.sum() + abs(fitted.bias) + math.hypot(solution.centre[-1], solution.scale[-1])
    return CLEAR * ldexp(float(size), -solution.target_power)


def _half_width(fitted: _Fitted, u: Float64s, spread: float, q: float) -> tuple[float, list[str]]:
    """The kernel's half-width for residuals u (m,) of a target that spreads so far, and what to say about it.

    It is 0 when all residuals are 0.
    """
    solution, notes = fitted.solution, []
    n = solution.equations.n
    low, high = quartiles(u)
    rounding = _rounding(fitted)
    scale = (high - low) / 1.34
    if scale > rounding:
        scale = min(scale, spread) if spread > rounding else scale
    else:
        scale = math.sqrt(float(u @ u) / u.size)
        if not scale > rounding:
            return 0.0, ["the residuals are 0 but for rounding: nothing is left to tell standard errors from"]
        notes.append(
            "half of the residuals or more are equal, and the kernel's width comes from their mean square: "
            'standard errors are rough; errors="bootstrap" needs no kernel'
        )
    share = hall_sheather(n, q)
    h = scale * float(ndtri(q + share) - ndtri(q - share))
    interpolated = solution.rank + solution.equations.intercept
    least = min(2 * interpolated, interpolated + (n - interpolated + 1) // 2)
    least = min(-(-least * u.size // n), u.size)
    size_of = np.abs(u)
    if np.count_nonzero(size_of < h) < least:
        needed = 2 * float(np.partition(size_of, least - 1)[least - 1])
        if needed > h:
            notes.append(
                f"the kernel of the standard errors was widened to hold {least} rows: "
                'they are rough; errors="bootstrap" needs no kernel'
            )
            h = needed
    return h, notes
