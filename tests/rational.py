"""Least squares in exact rational arithmetic, by Gaussian elimination: what a fit to float64 numbers ought to give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = list[list[Fraction]]


@dataclass(frozen=True)
class Answer:
    """The minimum of the squared-loss Objective, with intercept first where there is one.

    Attributes:
        coefficients: exact.
        variances: of the coefficients, exact.
        rss: weighted residual sum of squares.
        total: sum of the row weights.
        df: residual degrees of freedom.
    """

    coefficients: list[Fraction]
    variances: list[Fraction]
    rss: Fraction
    total: Fraction
    df: Fraction

    @property
    def std_errors(self) -> list[Fraction]:
        """Square roots of the variances, to 200 bits."""
        return [root(v) for v in self.variances]


def least_squares(
    X: NDArray[Any], y: NDArray[Any], weight: NDArray[Any] | None = None, intercept: bool = True, l2: float = 0.0
) -> Answer:
    """Solve it exactly for the numbers as float64 holds them, or for features that are fractions."""
    n = len(y)
    w = [Fraction(1)] * n if weight is None else [Fraction(float(v)) for v in weight]
    rows = [
        [Fraction(1)] * intercept + [v if isinstance(v, Fraction) else Fraction(float(v)) for v in row] for row in X
    ]
    target = [Fraction(float(v)) for v in y]
    p = len(rows[0])
    gram = [[sum((w[i] * rows[i][a] * rows[i][b] for i in range(n)), Fraction(0)) for b in range(p)] for a in range(p)]
    right = [sum((w[i] * rows[i][a] * target[i] for i in range(n)), Fraction(0)) for a in range(p)]
    total = sum(w, Fraction(0))
    ridge = [Fraction(0)] * intercept + [total * Fraction(l2)] * (p - intercept)
    inverse = invert([[v + ridge[a] if a == b else v for b, v in enumerate(row)] for a, row in enumerate(gram)])
    beta = [dot(row, right) for row in inverse]
    rss = sum((w[i] * (target[i] - dot(rows[i], beta)) ** 2 for i in range(n)), Fraction(0))
    shrunk = [[dot(row, column) for column in zip(*gram, strict=True)] for row in inverse]
    df = sum(1 for v in w if v) - sum((shrunk[a][a] for a in range(p)), Fraction(0))
    variances = [dot(shrunk[a], [inverse[b][a] for b in range(p)]) * rss / df if df > 0 else rss for a in range(p)]
    return Answer(beta, variances, rss, total, df)


def sandwich(rows: Sequence[Sequence[Fraction]], bread: Iterable[Fraction], meat: Iterable[Fraction]) -> Matrix:
    """B⁻¹·M·B⁻¹ to 300 bits, where B sums bread·xxᵀ over the rows x, and M likewise."""

    def summed(factors: Iterable[Fraction]) -> Matrix:
        columns, own = list(zip(*rows, strict=True)), list(factors)
        return [[dot([f * u for f, u in zip(own, a, strict=True)], b) for b in columns] for a in columns]

    inverse = [[cut(v) for v in row] for row in invert(summed(bread))]
    middle = summed(cut(v) for v in meat)
    return [[cut(dot([dot(row, column) for column in middle], other)) for other in inverse] for row in inverse]


def quadratic(matrix: Matrix, x: Sequence[Fraction]) -> Fraction:
    """xᵀ·matrix·x."""
    return dot([dot(row, x) for row in matrix], x)


def cut(value: Fraction) -> Fraction:
    """To 300 bits, so that sums of many fractions stay short."""
    power = 300 - value.numerator.bit_length() + value.denominator.bit_length()
    return Fraction(round(value * Fraction(2) ** power)) / Fraction(2) ** power


def invert(matrix: Sequence[Sequence[Fraction]]) -> Matrix:
    """The inverse, by Gauss-Jordan elimination with row exchanges."""
    p = len(matrix)
    work = [[*row, *(Fraction(int(a == b)) for b in range(p))] for a, row in enumerate(matrix)]
    for k in range(p):
        pivot = next(i for i in range(k, p) if work[i][k])
        work[k], work[pivot] = work[pivot], work[k]
        by = work[k][k]
        work[k] = [v / by for v in work[k]]
        for i in range(p):
            if i != k and work[i][k]:
                factor = work[i][k]
                work[i] = [v - factor * u for v, u in zip(work[i], work[k], strict=True)]
    return [row[p:] for row in work]


def dot(a: Iterable[Fraction], b: Iterable[Fraction]) -> Fraction:
    """Σ aᵢ·bᵢ."""
    return sum((u * v for u, v in zip(a, b, strict=True)), Fraction(0))


def root(value: Fraction) -> Fraction:
    """Square root of a fraction of at least 0, to 200 bits."""
    if not value:
        return Fraction(0)
    bits = value.numerator.bit_length() - value.denominator.bit_length()
    power = 200 - bits // 2
    scaled = value * Fraction(4) ** power
    return Fraction(math.isqrt(scaled.numerator // scaled.denominator)) / Fraction(2) ** power


def ulps(computed: float, exact: Fraction) -> float:
    """Distance in units of the last place of the exact value as float64."""
    return float(abs(Fraction(float(computed)) - exact) / Fraction(math.ulp(float(exact))))


def relative(computed: float, exact: Fraction) -> float:
    """Relative error, or the absolute one where the exact value is 0."""
    error = abs(Fraction(float(computed)) - exact)
    return float(error / abs(exact)) if exact else float(error)


def integer(limbs: NDArray[np.int64], bits: int = 21) -> int:
    """Σ limbs[l]·2^(bits·l)."""
    return sum(int(v) << (bits * place) for place, v in enumerate(limbs))
