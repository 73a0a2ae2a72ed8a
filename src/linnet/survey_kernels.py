"""Kernels of the Survey: how near weights are to the optimum, and how near is near enough."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from linnet.compiling import FAST, compiled

EPS = 2.0**-52
"""Relative error of an operation or two in float64."""


@compiled(fastmath=FAST)
def sum_of_squares(y: Any, weight: Any) -> float:
    """Sum of the squares of y (n,), by row weights (n,) or, where all are 1, (0,)."""
    total = 0.0
    for i in range(y.size):
        square = np.float64(y[i]) * np.float64(y[i])
        total += square * weight[i] if weight.size else square
    return total


@compiled
def tell(
    bias: float,
    weights: Any,
    errors: Any,
    centre: Any,
    scale: Any,
    raw: Any,
    share: float,
    intercept: bool,
    small: tuple[float, float, float, float],
    known: Any,
) -> None:
    """What `excess` is to know, in which is told how far from the optimum is near.

    Args:
        bias: at the optimum.
        weights: (d,), likewise; (0,) where it is not known.
        errors: (d+2,), standard errors of [bias, value at the centre, weights]; (0,) where there are none.
        centre: for the first d entries, the features' means;
        scale: likewise, their standard deviations;
        raw: likewise, sums of their squares about 0, scaled; (0,) where the optimum is not known.
        share: what makes means of the latter.
        intercept: whether there is a bias.
        small: share of a standard error that is near; error of a standardised weight that rounding leaves; one that is
            near where there is no standard error; and the relative error of what makes up the bias.
        known: (5, d+1), filled: [bias, weights]; how far from them is near, infinite for columns that do not vary and
            where there is no bias; means; roots of the scaled features' mean squares about 0; standard errors of
            [bias, weights], 0 where there are none. Without an optimum, only the second and the last.
    """
    near, least, alone, double = small
    offset = 0.0
    known[0, 0] = bias
    for j in range(weights.size):
        known[0, j + 1], known[2, j] = weights[j], centre[j]
        offset += abs(weights[j] * centre[j])
    for j in range(raw.size):
        known[3, j] = math.sqrt(raw[j] * share)
    for i in range(known.shape[1]):
        sd = errors[i + 1 if i > 0 else 0] if errors.size else 0.0
        known[4, i] = sd
        unit = (1.0 if intercept else 0.0) if i == 0 else scale[i - 1]
        enough = max(near * sd * unit, least + double * offset if i == 0 else least)
        if sd == 0.0:
            enough = alone
        known[1, i] = enough / unit if unit > 0.0 else math.inf


@compiled(fastmath=FAST)
def excess(
    u: Any, known: Any, exponents: Any, basis: Any, reproduce: Any, unit: float, intercept: bool
) -> tuple[float, float, bool]:
    """By how much the objective with squared loss lies above its minimum at u = [bias, weights], and whether u is near.

    It is half the square of how far u is from the optimum by coordinates in which the Gram matrix, with l2 the penalty
    too, is the identity. A sum of squares cannot cancel, as the quadratic form in that matrix does where the weights
    are off along columns that nearly depend on each other. Near is where each of u is at most its tolerance away.

    Args:
        u: (d+1,).
        known: what `tell` filled.
        exponents: (d+1,), powers of two in whose units the scaled features are.
        basis: (r, r), as Solution has it.
        reproduce: likewise, (r, d); not looked at where r is d.
        unit: what makes means of the scaled products.
        intercept: whether there is a bias.

    Returns:
        How much, an error that rounding may have left in it, and whether u is near.
    """
    d, r = u.size - 1, basis.shape[0]
    scaled = np.empty(d)
    at_centre = u[0] - known[0, 0]
    near = abs(at_centre) <= known[1, 0]
    reach = abs(at_centre)
    for j in range(d):
        delta = u[j + 1] - known[0, j + 1]
        near = near and abs(delta) <= known[1, j + 1]
        at_centre += known[2, j] * delta
        scaled[j] = math.ldexp(delta, exponents[j])
        reach += abs(scaled[j]) * known[3, j]
    if r < d:
        every, scaled = scaled, np.zeros(r)
        for i in range(r):
            alone = 0.0
            for j in range(d):
                alone += reproduce[i, j] * every[j]
            scaled[i] = alone
    square = 0.0
    for i in range(r - 1, -1, -1):  # coordinates in the basis, in place
        rest = 0.0
        for j in range(i + 1, r):
            rest += basis[i, j] * scaled[j]
        scaled[i] = (scaled[i] - rest) / basis[i, i]
        square += scaled[i] * scaled[i]
    square *= unit
    if intercept:
        square += at_centre * at_centre
    rounding = EPS * reach
    return square / 2.0, rounding * (math.sqrt(square) + rounding), near
