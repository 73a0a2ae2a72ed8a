"""Quantile problems of every kind, and what independent methods say about them: HiGHS, slopes, exact enumeration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

import linnet
from linnet.solvers.interior_point import InteriorPoint
from linnet.solvers.solver import Step
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
TOLERANCES = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
ZERO = 1e-10
"""Residual that counts as 0, relative to what it is the difference of and to the usual residual."""


@dataclass(frozen=True, eq=False)
class Case:
    """A problem: `X` (n, d), `y` (n,), row weights (n,), the quantile, and whether there is a bias."""

    X: Floats
    y: Floats
    q: float
    weight: Floats | None = None
    intercept: bool = True

    @property
    def w(self) -> Floats:
        return np.ones(self.y.size) if self.weight is None else self.weight

    @property
    def columns(self) -> Floats:
        """Features, and the constant where there is a bias, standardised: the same planes, with better numbers."""
        X = self.X - self.X.mean(axis=0) if self.intercept else self.X
        size = np.abs(X).max(axis=0)
        X = X / np.where(size > 0, size, 1.0)
        return np.column_stack([np.ones(self.y.size), X]) if self.intercept else X

    def fit(self, **options: Any) -> Step:
        """Our last Step; `options` are l2 and block_rows."""
        source = ArraySource(self.X, self.y, weight=self.weight, block_rows=options.get("block_rows"))
        objective = linnet.Objective(linnet.Quantile(self.q), options.get("l2", 0.0), self.intercept)
        return list(InteriorPoint().steps(objective, source))[-1]

    def residuals(self, step: Step) -> Floats:
        bias, *weights = weights_of(step)
        return np.asarray(self.y - self.X @ weights - bias)

    def value(self, r: Floats) -> float:
        """The loss term of the objective at residuals (n,)."""
        return float(self.w @ np.maximum(self.q * r, (self.q - 1) * r) / self.w.sum())

    def at(self, step: Step) -> float:
        """The loss term at a Step's weights."""
        return self.value(self.residuals(step))

    def highs(self) -> float:
        """The loss term at the optimum that HiGHS finds for the dual."""
        A, w = self.columns, self.w
        centre = float(np.median(self.y)) if self.intercept else 0.0
        away = np.abs(self.y - centre)
        scale = float(np.median(away)) or float(away.max()) or 1.0
        bounds = np.column_stack([(self.q - 1) * w, self.q * w]) * (w.size / w.sum())
        found = _linear((centre - self.y) / scale, A_eq=A.T, b_eq=np.zeros(A.shape[1]), bounds=bounds)
        return self.value(self.y - centre + A @ found.eqlin.marginals * scale)

    def steepness(self, step: Step) -> float:
        """The least slope of the loss away from a Step's weights: 0 when others fit as well, below 0 when better.

        A loss made of pieces of planes is level beside a minimum just when its directional derivative is 0 somewhere.
        That is least over directions on either side of a plane drawn at random, by two small linear programs over the
        rows that the plane passes through; the slopes of all others do not change.
        """
        r, A, w = self.residuals(step), self.columns, self.w
        bias, *weights = np.abs(weights_of(step))
        size = np.abs(self.y) + np.abs(self.X) @ weights + bias + np.median(np.abs(r))
        on = (np.abs(r) <= ZERO * size) & (w > 0)
        slope = -A[~on].T @ (w[~on] * np.where(r[~on] > 0, self.q, self.q - 1))
        B, m, p = A[on], int(on.sum()), A.shape[1]
        side = np.random.default_rng(0).standard_normal((p,))
        least = []
        for sign in (1.0, -1.0):
            found = _linear(
                np.r_[slope, self.q * w[on], (1 - self.q) * w[on]] / w.sum(),
                A_eq=np.block([[B, np.eye(m), -np.eye(m)], [side[None], np.zeros((1, 2 * m))]]),
                b_eq=np.r_[np.zeros(m), sign],
                bounds=[(None, None)] * p + [(0, None)] * (2 * m),
            )
            least.append(float(found.fun))
        return min(least)

    def face(self, direction: Floats, level: float) -> tuple[float, float]:
        """How far the optimal weights reach along a direction of `columns`, by HiGHS: least and largest.

        Args:
            direction: (p,).
            level: the loss at the optimum, not divided by the sum of the row weights.
        """
        A, (n, p) = self.columns, self.columns.shape
        cost = np.r_[np.zeros(p), self.q * self.w, (1 - self.q) * self.w]
        ends = []
        for sign in (1.0, -1.0):
            found = _linear(
                np.r_[sign * direction, np.zeros(2 * n)],
                A_ub=cost[None],
                b_ub=[level],
                A_eq=np.hstack([A, np.eye(n), -np.eye(n)]),
                b_eq=self.y,
                bounds=[(None, None)] * p + [(0, None)] * (2 * n),
            )
            ends.append(sign * float(found.fun))
        return ends[0], ends[1]


def weights_of(step: Step) -> Floats:
    """[bias, weights] of a last Step."""
    assert step.weights is not None
    assert step.bias is not None
    return np.asarray(np.r_[step.bias, step.weights])


def random_case(seed: int) -> tuple[str, Case]:
    """A random problem, its kind being told by the seed."""
    kind = KINDS[seed % len(KINDS)]
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(20, 150)), int(rng.integers(1, 9))
    q = float(rng.choice([0.05, 0.1, 0.25, 0.5, 0.5, 0.75, 0.9, 0.97]))
    if kind == "wide":
        d = int(rng.integers(20, 51))
        n = d + int(rng.integers(10, 100))
    n = d + 3 if kind == "nearly saturated" else n
    X = FEATURES.get(kind, lambda rng, n, d: rng.standard_normal((n, d)))(rng, n, d)
    noise = NOISE.get(kind, lambda rng, n: rng.standard_normal(n))(rng, n)
    if kind == "unequal spread":
        noise = noise * (0.1 + np.abs(X[:, 0]))
    y = X @ (rng.standard_normal(X.shape[1]) / np.abs(X).max(axis=0)) + noise + rng.standard_normal()
    if kind in ("ties", "integers", "integers and Cauchy", "zeros and ones"):
        y = np.round(y, 1 if kind == "ties" else 0)
    if kind == "many zeros":
        y = np.where(rng.random(n) < 0.6, 0.0, np.abs(y))
    if kind == "duplicated rows":
        drawn = rng.integers(0, n // 3 + 1, n)
        X, y = X[drawn], y[drawn]
    weight = WEIGHT.get(kind, lambda rng, n: None)(rng, n)  # noqa: ARG005
    return kind, Case(X, y, q, weight, kind != "no intercept")


def _indicators(rng: np.random.Generator, n: int, d: int) -> Floats:
    X = np.eye(d + 1)[rng.integers(0, d + 1, n)][:, 1:]
    return np.asarray(X[:, X.any(axis=0)])


FEATURES: dict[str, Any] = {
    "integers": lambda rng, n, d: rng.integers(-3, 4, (n, d)).astype(float),
    "integers and Cauchy": lambda rng, n, d: rng.integers(-3, 4, (n, d)).astype(float),
    "zeros and ones": lambda rng, n, d: rng.integers(0, 2, (n, d)).astype(float) + np.eye(n, d),
    "categories": _indicators,
    "correlated": lambda rng, n, d: 0.999**0.5 * rng.standard_normal((n, 1)) + 0.001**0.5 * rng.standard_normal((n, d)),
    "offsets": lambda rng, n, d: rng.standard_normal((n, d)) + 1e6 * rng.uniform(-1, 1, d),
    "scales": lambda rng, n, d: rng.standard_normal((n, d)) * 10.0 ** rng.uniform(-6, 6, d),
}
NOISE: dict[str, Any] = {
    "heavy tails": lambda rng, n: rng.standard_t(2, n),
    "Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "integers and Cauchy": lambda rng, n: rng.standard_cauchy(n),
    "skewed": lambda rng, n: np.exp(3 * rng.standard_normal(n)),
}
WEIGHT: dict[str, Any] = {
    "whole weights": lambda rng, n: np.r_[1.0, rng.integers(0, 5, n - 1)],
    "wild weights": lambda rng, n: 10.0 ** rng.uniform(-3, 3, n),
}
OTHERS = """ties;duplicated rows;wide;nearly saturated;no intercept;many zeros;unequal spread"""
KINDS = list(dict.fromkeys(["normal", *NOISE, *FEATURES, *WEIGHT, *OTHERS.split(";")]))


def _linear(cost: Floats, **constraints: Any) -> Any:
    """HiGHS's solution of a linear program."""
    found: Any = linprog(cost, **constraints, options=TOLERANCES)  # type: ignore[call-overload]  # any constraints
    assert found.status == 0
    return found


def enumerated(case: Case) -> tuple[Fraction, int]:
    """The least loss of all planes through as many rows as there are weights, exactly, and how many reach it.

    The optimum is among them where the columns are independent, and unique if one alone reaches it.
    """
    A: list[list[Fraction]] = [[*([Fraction(1)] if case.intercept else []), *map(Fraction, x)] for x in case.X.tolist()]
    y, w, q = [*map(Fraction, case.y.tolist())], [*map(Fraction, case.w.tolist())], Fraction(case.q)
    best: dict[tuple[Fraction, ...], Fraction] = {}
    for chosen in combinations(range(len(y)), len(A[0])):
        plane = _solved([[*A[i], y[i]] for i in chosen])
        if plane is None or plane in best:
            continue
        rest = (t - sum(a * b for a, b in zip(row, plane, strict=True)) for row, t in zip(A, y, strict=True))
        best[plane] = _sum(v * (q * r if r > 0 else (q - 1) * r) for r, v in zip(rest, w, strict=True))
    least = min(best.values())
    return least / _sum(w), sum(value == least for value in best.values())


def _sum(numbers: Iterable[Fraction]) -> Fraction:
    return sum(numbers, Fraction(0))


def _solved(rows: list[list[Fraction]]) -> tuple[Fraction, ...] | None:
    """The solution of a system whose last column is its right side; None when it is singular."""
    n = len(rows)
    for i in range(n):
        pivot = next((k for k in range(i, n) if rows[k][i]), None)
        if pivot is None:
            return None
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [x / rows[i][i] for x in rows[i]]
        for k in range(n):
            if k != i and rows[k][i]:
                rows[k] = [x - rows[k][i] * z for x, z in zip(rows[k], rows[i], strict=True)]
    return tuple(row[-1] for row in rows)
