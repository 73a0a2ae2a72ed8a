"""Survey: what one pass over the rows tells a learner before its first step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s, Floats, InputError
from linnet.losses import Squared
from linnet.moments import Moments
from linnet.objective import Objective, residual
from linnet.residuals import median_distance, middle
from linnet.solution import Solution
from linnet.status import Status
from linnet.survey_kernels import excess, tell

WIDEST = 4096
"""Features beyond which no Moments are taken: d² numbers would not fit beside the rows."""
CLOSE = 0.05
"""Optimisation error, in standard errors, that nobody who reads the standard errors would notice."""
RESOLUTION = 1e-9
"""Error of a weight, in standardised units, that is small where there is no standard error to compare it with,"""
DOUBLE = 2.0**-44
"""and that no run can undercut in float64,"""
ROUNDING = {np.dtype(np.float32): 2.0**-23, np.dtype(np.float64): DOUBLE}
"""or by the type of the features."""
DIGITS = 1e-6
"""Relative error from which an objective is not told."""
LEAST = 1e-150
"""Spread of a column, below which its square is lost."""
TINY = float(np.finfo(np.float64).tiny)
SAMPLE = 2048
"""Rows that a learning rate is judged by."""
FEW = 30
"""Rows that tell too little of how far residuals spread."""
PULLED = 0.5
"""Standard error of least-squares predictions, in residuals of usual size, from which outliers are to blame for it."""
ROUNDS = 30
"""Times that a plane is fitted anew with less weight for outliers."""
UNEVEN = 30.0
"""Ratio of two columns' sizes from which the larger is to blame for a small learning rate."""


@dataclass(eq=False)  # making a frozen one takes long, and small fits consist of little else
class Survey:
    """What one pass over the rows tells a learner before its first step.

    Attributes:
        n: rows with a weight above 0.
        total: sum of the row weights.
        centre: (d+1,), weighted mean of each feature and of the target; 0 without an intercept.
        scale: (d+1,), weighted standard deviation of each about `centre`.
        objective: what is to be lowered.
        moments: of all rows; None where there are too many features for them.
        solution: the least-squares solution; None likewise.
        rounding: error of a weight, in standardised units, that comes from the arithmetic of learning.
    """

    n: int
    total: float
    centre: Float64s
    scale: Float64s
    objective: Objective
    moments: Moments | None = None
    solution: Solution | None = None
    rounding: float = DOUBLE

    @classmethod
    def of(cls, solution: Solution, objective: Objective, moments: Moments | None, rounding: float = DOUBLE) -> Survey:
        """What Moments tell that were solved."""
        equations = solution.equations
        known = solution.centre, solution.scale, objective, moments, solution
        return cls(equations.n, equations.total, *known, rounding)

    @cached_property
    def lowest(self) -> float:
        """The objective with squared loss at its minimum."""
        assert self.solution is not None
        return self.solution.objective + self.objective.penalty(self.solution.weights)

    @cached_property
    def optimum(self) -> Float64s | None:
        """[bias, weights] that minimise the objective, (d+1,), where one pass is enough to know them."""
        return self._known[0] if self.solution is not None and isinstance(self.objective.loss, Squared) else None

    @cached_property
    def metric(self) -> Float64s:
        """What brings steps for [bias, weights] to standardised columns: 1/(scale² + l2), 0 for a constant; (d+1,)."""
        square = self.scale[:-1] ** 2 + self.objective.l2
        inverse = np.divide(1.0, square, out=np.zeros_like(square), where=square > 0)
        return _joined(float(self.objective.intercept), inverse)

    def check(self, names: Sequence[str]) -> None:
        """Refuse columns to which no learning rate in float64 can be fitted.

        Raises:
            InputError: a column's values differ by so little that their squares leave float64's range.
        """
        scale = self.scale[:-1]
        lost = (scale > 0) & (scale < LEAST)
        if lost.any():
            at = int(np.argmax(lost))
            raise InputError(
                f"The values of column {names[at]!r} spread by {scale[at]:.3g} only, whose square leaves float64's "
                'range, and with it learning rates do: rescale that column, or use solver="auto".'
            )

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the residuals that least squares leaves, for a row of mean weight.

        The Solution's is that of a row of weight 1: it grows with the row weights, of which only the ratios matter to a
        run. NaN without degrees of freedom.
        """
        assert self.solution is not None
        return self.solution.residual_sd / math.sqrt(self.total / self.n)

    @property
    def sd(self) -> Float64s:
        """Classical standard errors of the least-squares [bias, weights], 0 where there are none, (d+1,)."""
        return np.asarray(self._known[4])

    @property
    def _resolution(self) -> float:
        """Error of a standardised weight that is small where there is no standard error, in units of the target."""
        return max(RESOLUTION, self.rounding) * float(self.scale[-1])

    @property
    def _floor(self) -> float:
        """The same, and above 0 where the target does not vary."""
        return self._resolution + DOUBLE * abs(float(self.centre[-1])) + TINY

    @property
    def tolerance(self) -> Float64s:
        """Optimisation error of [bias, weights] that is small beside their standard errors, (d+1,).

        Where there is none, or rounding hides it, that is small beside the target's spread and size.
        """
        return np.asarray(self._known[1])

    @cached_property
    def movement(self) -> Float64s:
        """The same as movement that is small, (d+1,): weights that cannot be told apart come to rest too."""
        assert self.solution is not None
        spread = CLOSE * self.noise / math.sqrt(self.n)
        spread = spread if spread > 0 else self._floor
        scale = _joined(float(self.objective.intercept), self.scale[:-1])
        known: Float64s = np.divide(spread, scale, out=np.full(scale.size, math.inf), where=scale > 0)
        return np.minimum(self.tolerance, known) if self.solution.dependencies else self.tolerance

    @cached_property
    def reached(self) -> Status:
        """How a run ends that has come near the optimum, as far as its tolerance tells."""
        assert self.solution is not None
        if self.solution.dependencies:
            return Status.PREDICTS
        finite = np.isfinite(self.tolerance)
        told = (self.sd > 0) & (self.tolerance <= CLOSE * self.sd * (1 + 1e-9))
        return Status.CONVERGED if told[finite].all() else Status.AGREES

    @cached_property
    def _known(self) -> Float64s:
        """What `tell` tells of the optimum and of the columns, (5, d+1); of columns alone where that is all."""
        solution, known = self.solution, np.empty((5, self.scale.size))
        bias, share = 0.0, 1.0
        weights = raw = errors = known[0, :0]
        if solution is not None:
            bias, weights, raw = solution.bias, solution.weights, solution.equations.raw
            errors = errors if solution.uncertainty is None else solution.uncertainty.sd
            share = solution.equations.factor / solution.equations.total
        least = self.rounding * float(self.scale[-1]) + DOUBLE * abs(float(self.centre[-1]))
        small, intercept = (CLOSE, least, self._floor, DOUBLE), self.objective.intercept
        tell(bias, weights, errors, self.centre, self.scale, raw, share, intercept, small, known)
        if solution is not None and solution.dependencies:
            known[1, _joined(solution.bias_identified, solution.identified) == 0] = math.inf
        return known

    def look(self, u: Float64s) -> tuple[float | None, bool]:
        """The objective with squared loss at [bias, weights], (d+1,); None where rounding leaves too few digits.

        And whether these are within the tolerance of the optimum, and so are predictions.
        """
        solution = self.solution
        assert solution is not None
        equations = solution.equations
        above, error, near = excess(
            u,
            self._known,
            equations.exponents,
            solution.basis,
            solution.reproduce,
            equations.factor / equations.total,
            self.objective.intercept,
        )
        value = self.lowest + above
        near = near and (not solution.dependencies or self._predicts(above + error))
        return (None if error > DIGITS * value else value), near

    def _predicts(self, excess: float) -> bool:
        """Whether weights that cannot be told apart, and have no tolerance, predict as the optimum does, in each row.

        With σ² the residuals' variance, n·(mean square of the change in predictions) ≤ (CLOSE·σ)² bounds the change of
        every combination of the weights that can be told by CLOSE of its standard error, and with it that of every
        prediction (Scheffé 1953, Biometrika 40(1/2), whose ellipsoid this is).
        """
        least = self._resolution**2
        if self.noise > 0:
            least = max(least, (CLOSE * self.noise) ** 2 / self.n)
        return 2.0 * excess <= least

    def rate(self, batch_size: int, sample: Block, unit: float, *, alone: bool, far: float = 0.0) -> float:
        """A learning rate, in standardised units, that is stable for minibatches.

        For squared loss, with the minibatch's rows drawn at random, the weights' mean square stays bounded below
        2 / (λ·(B-1)/B + ρ/B), where λ is the largest eigenvalue of the standardised design's second moments and ρ that
        of fourth moments over second ones (Jain et al. 2018, Journal of Machine Learning Research 18(223)); half of
        that is taken, with ρ estimated by Σ‖z‖⁴/Σ‖z‖² over a sample of the rows z.

        A penalty's curvature, l2·metric, is the same in each minibatch: it adds to λ and to ρ. Where the loss's slope
        is limited, its own curvature near the optimum is about limit over the residuals' spread; the penalty's stays.

        Args:
            batch_size: B.
            sample: some of the rows, as float64.
            unit: what makes the mean weight of all rows 1, those of weight 0 among them.
            alone: whether minibatches come from these rows alone, and not from all that are known. Where these lie near
                the centre, the others still limit the rate: their ρ is at least their mean ‖z‖² (Jensen's inequality).
            far: how far from the targets' mean learning starts, which is the way to go where they are all alike.
        """
        fourth = self._fourth(sample, unit)
        penalty = self.objective.l2 * self.metric[1:]
        if alone:
            fourth = max(fourth, float(np.count_nonzero(self.metric) - penalty.sum()))
        steady = float(penalty[self.scale[:-1] > 0].max(initial=0.0))  # nothing moves the weight of a constant
        scale, largest = np.sqrt(self.metric), 0.0
        if alone or self.solution is None:
            largest = _largest_of_rows(scale, sample.X - self.centre[:-1], sample.weight) + steady
        if self.solution is not None:
            largest = max(largest, self.solution.equations.largest_eigenvalue(scale, self.objective.l2))
        curvature = (largest * (batch_size - 1) + fourth + steady) / batch_size
        rate = 1.0 / curvature if curvature > 0.0 else 1.0  # nothing moves, whatever it is
        assert self.objective.loss.bend is not None
        _, steepness, limit = self.objective.loss.bend
        if math.isinf(limit):
            return rate
        # slopes that are bounded must yet lead as far as the target spreads, within an epoch or a hundred steps
        pace = max(self.spread(sample, far), min(0.01, 4.0 * batch_size / self.n) * self.targets(sample)[1])
        longer = max(1.0 / steepness, pace / limit)
        return rate * longer / (1.0 + (longer - 1.0) * steady * rate)

    def _fourth(self, sample: Block, unit: float) -> float:
        """Σ w²·‖z‖⁴ / Σ w·‖z‖² over a sample, in standardised units, with row weights of mean 1."""
        square = np.square(sample.X - self.centre[:-1]) @ self.metric[1:] + self.metric[0]
        if sample.weight is None:
            return float(square @ square / max(square.sum(), TINY))
        share = sample.weight * unit * square
        return float(share @ share / max(share.sum(), TINY))

    def outlying(self, sample: Block, unit: float) -> float:
        """How many times larger `_fourth` is than if every row were as far from the centre: 1 to 3 is usual."""
        return self._fourth(sample, unit) / max(1.0, float(np.count_nonzero(self.metric)))

    def spread(self, sample: Block, far: float = 0.0) -> float:
        """How far residuals spread, whatever a few outliers do: their median distance from their median, as if normal.

        Always above 0, where residuals are rounding too: targets that are all alike are as `far` off as they are from
        where learning starts, or else by their own rounding: a step is to lead hardly away from them.
        """
        unit = far or max(self.rounding * abs(float(self.centre[-1])), TINY)
        least = self.rounding * self.scale[-1] or unit
        if self.solution is None:
            return float(self.scale[-1] or unit)
        r = residual(sample, self.solution.weights, self.solution.bias)
        if len(r) < FEW and self.noise > 0:
            return max(self.noise, least)
        w = _weights(sample)
        usual = _usual(r, w)
        return max(usual if self._holds(usual) else self._about_bulk(sample, r, w), least)

    def targets(self, sample: Block) -> tuple[float, float]:
        """Where the targets lie, and how far from there: mean and standard deviation, but for what a few outliers do.

        Where these move the least-squares plane by more than other residuals spread, the median and the distance of
        half of the targets from it.
        """
        level, spread, w = float(self.centre[-1]), float(self.scale[-1]), _weights(sample)
        if self.solution is None or sample.y is None or len(sample.y) < FEW:
            return level, spread
        if self._holds(_usual(residual(sample, self.solution.weights, self.solution.bias), w)):
            return level, spread
        y = sample.y.astype(np.float64)
        if not self.objective.intercept:
            return level, 1.4826 * middle(np.abs(y), w, 0.5) or spread
        return middle(y, w, 0.5), _usual(y, w) or spread

    def _holds(self, usual: float) -> bool:
        """Whether the plane is known well beside residuals of usual size, whatever outliers there are."""
        assert self.solution is not None
        known = self.solution.rank + self.objective.intercept
        return bool(self.objective.l2) or not self.noise * math.sqrt(known / self.n) > PULLED * usual

    def _about_bulk(self, sample: Block, r: Float64s, w: Float64s | None) -> float:
        """How far residuals of a sample spread about the plane of most of its rows.

        By least squares, again and again, with weights that fall with the residual, as Huber's (1964) do.
        """
        z = (sample.X - self.centre[:-1]) * np.sqrt(self.metric[1:])
        if self.objective.intercept:
            z = np.column_stack([np.ones(len(z)), z])
        usual, rows = _usual(r, w), np.ones(len(r)) if w is None else w
        for _ in range(ROUNDS if len(z) > 4 * z.shape[1] and usual > 0 else 0):
            root = np.sqrt(rows * np.minimum(1.0, usual / np.maximum(np.abs(r), usual)))
            r = r - z @ np.linalg.lstsq(z * root[:, None], r * root, rcond=None)[0]
            before, usual = usual, _usual(r, w)
            if not 0.0 < usual < 0.9 * before:
                break
        return usual

    def stable_rate(self, sample: Block) -> float:
        """2/λ: the learning rate beyond which gradient descent on the columns as they are diverges (squared loss)."""
        if self.moments is not None:
            return self.moments.stable_rate(self.objective.l2, self.objective.intercept)
        unit = _joined(float(self.objective.intercept), np.ones(self.scale.size - 1))
        with np.errstate(over="ignore"):
            return 2.0 / max(_largest_of_rows(unit, sample.X, sample.weight) + self.objective.l2, TINY)

    @cached_property
    def size(self) -> Float64s:
        """Root of each feature's mean square, (d,)."""
        return np.hypot(self.centre[:-1], self.scale[:-1])

    def blame(self, names: Sequence[str]) -> str:
        """What makes the largest stable learning rate small: the largest column, when columns differ in size."""
        size = self.size
        at = int(size.argmax())
        if size[at] < UNEVEN * min(size[size.argmin()], 1.0):  # short runs have no time for more
            return ""
        rest = np.delete(np.r_[size, 1.0] if self.objective.intercept else size, at)
        if not rest.size or size[at] < UNEVEN * np.median(rest):
            return ""
        return f"column `{names[at]}`, whose values are of size {size[at]:.3g}, makes it so small: rescale that one"


def _largest_of_rows(scale: Float64s, rows: Floats, weight: Float64s | None) -> float:
    """Largest eigenvalue of Σ w·z·zᵀ/Σ w, for z = scale · [1, x] over `rows` x (m, d)."""
    w = np.ones(len(rows)) if weight is None or not weight.any() else weight
    z = np.column_stack([np.ones(len(rows)), rows]) * scale * np.sqrt(w / w.sum())[:, None]
    return float(np.linalg.eigvalsh(z @ z.T if len(z) < z.shape[1] else z.T @ z)[-1])


def _weights(sample: Block) -> Float64s | None:
    """The row weights of a sample; None where it has none, or nothing but zeros."""
    return sample.weight if sample.weight is not None and sample.weight.any() else None


def _usual(values: Float64s, w: Float64s | None) -> float:
    """The median distance of values from their median, as if they were normal."""
    return 1.4826 * median_distance(values, w)


def _joined(first: float, rest: NDArray[Any]) -> Float64s:
    """[first, rest], in a tenth of the time that np.r_ takes: short runs consist of little else."""
    out = np.empty(rest.size + 1)
    out[0], out[1:] = first, rest
    return out
