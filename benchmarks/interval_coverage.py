"""How often 95 % intervals hold the true weights, where the residuals' spread depends on the features."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

import linnet
from timing import begin, table

ROWS = 500
WEIGHTS = np.array([1.0, 2.0, -1.0, 0.5])
"""Of the intercept and of three features between 0 and 1,"""
SPREAD = 0.5, 1.0, 0.5, 0.0
"""and how the residuals' standard deviation follows from them: from 0.5 to 2."""
STRONG = 0.1, 2.0, 1.0, 0.0
"""The same from 0.1 to 3.1, more than a kernel of one width for all rows can follow with so few of them."""
LOWEST, HIGHEST = 0.93, 0.97


@dataclass(frozen=True)
class Case:
    """A loss, the kind of its standard errors, and over how many simulated sets it is judged."""

    name: str
    loss: linnet.Loss
    errors: Literal["nid", "iid", "sandwich", "bootstrap"]
    sets: int = 1000
    q: float = 0.5
    spread: tuple[float, ...] = SPREAD
    judged: bool = True


MEDIAN, HIGH, HUBER = linnet.Absolute(), linnet.Quantile(0.9), linnet.Huber(1.0)
CASES = (
    Case("median", MEDIAN, "nid"),
    Case("quantile 0.9", HIGH, "nid", q=0.9),
    Case("Huber, delta 1", HUBER, "sandwich"),
    Case("median", MEDIAN, "bootstrap", sets=200),
    Case("quantile 0.9", HIGH, "bootstrap", sets=200, q=0.9),
    Case("Huber, delta 1", HUBER, "bootstrap", sets=200),
    # for comparison: errors that take the spread to be the same everywhere, and a spread that changes more
    Case("median", MEDIAN, "iid", judged=False),
    Case("quantile 0.9", HIGH, "iid", q=0.9, judged=False),
    Case("Huber, delta 1", HUBER, "iid", judged=False),
    Case("median, spread 0.1 to 3.1", MEDIAN, "nid", spread=STRONG, judged=False),
    Case("quantile 0.9, spread 0.1 to 3.1", HIGH, "nid", q=0.9, spread=STRONG, judged=False),
    Case("Huber, delta 1, spread 0.1 to 3.1", HUBER, "sandwich", spread=STRONG, judged=False),
)


def coverage(case: Case, sets: int) -> NDArray[np.float64]:
    """The share of the sets in which each weight's interval holds it, intercept first.

    The target is x·WEIGHTS + (x·spread)·e with e standard normal, so that its q-quantile is linear in x, with weights
    WEIGHTS + spread·(the q-quantile of e); as e is symmetric, Huber's loss estimates WEIGHTS.
    """
    spread = np.array(case.spread)
    true = WEIGHTS + spread * norm.ppf(case.q)
    hits = np.zeros(true.size)
    for seed in range(sets):
        random = np.random.default_rng(seed)
        X = random.uniform(size=(ROWS, 3))
        y = WEIGHTS[0] + X @ WEIGHTS[1:] + (spread[0] + X @ spread[1:]) * random.standard_normal(ROWS)
        low, high = linnet.fit(X, y, loss=case.loss, errors=case.errors, progress=False).interval(0.95).T
        hits += (low <= true) & (true <= high)
    return hits / sets


def main() -> int:
    """Print the table; 1 if intervals that should hold do not."""
    quick = begin("Coverage of 95 % intervals under unequal spread", "200 to 1,000 sets for each case").quick
    rows, failed = [], False
    for case in CASES:
        sets = 2 if quick else case.sets
        shares = coverage(case, sets)
        # the mean over the weights, and each weight within two standard errors of a share of so many sets
        slack = 2 * np.sqrt(LOWEST * (1 - LOWEST) / sets)
        outside = bool(not LOWEST <= shares.mean() <= HIGHEST)
        outside = outside or bool(((shares < LOWEST - slack) | (shares > HIGHEST + slack)).any())
        outside = outside and case.judged and not quick
        failed = failed or outside
        verdict = "OUTSIDE" if outside else ("" if case.judged else "for comparison")
        cells = [f"{100 * share:.1f} %" for share in (*shares, shares.mean())]
        rows.append((f"{case.name}, {case.errors}", f"{sets:,}", *cells, verdict))
    table(
        f"Share of sets of {ROWS} rows whose interval holds the truth; {LOWEST:.0%} to {HIGHEST:.0%} is wanted",
        ("fit and errors", "sets", "intercept", "x1", "x2", "x3", "mean", ""),
        rows,
    )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
