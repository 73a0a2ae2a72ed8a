"""NIST's Statistical Reference Datasets: linear regression problems with answers certified to 15 digits."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NAMES = (
    "Norris",
    "Pontius",
    "NoInt1",
    "NoInt2",
    "Filip",
    "Longley",
    "Wampler1",
    "Wampler2",
    "Wampler3",
    "Wampler4",
    "Wampler5",
)


@dataclass(frozen=True, eq=False)
class Problem:
    """A linear regression problem and its certified answer, in float64.

    Attributes:
        name: NIST's name of it.
        X: features without the constant, shape (n, d); powers of x are rounded once.
        y: target, shape (n,).
        intercept: whether the model has one.
        coefficients: certified, shape (d+1,) with the intercept first, or (d,) without one.
        std_errors: certified, of the same shape.
        residual_sd: certified residual standard deviation.
        r2: certified R²; about 0 rather than the mean where the model has no intercept.
    """

    name: str
    X: NDArray[np.float64]
    y: NDArray[np.float64]
    intercept: bool
    coefficients: NDArray[np.float64]
    std_errors: NDArray[np.float64]
    residual_sd: float
    r2: float


def folder() -> Path | None:
    """Where the problems lie: $LINNET_NIST, or shared/data/nist in a folder above this file; None if nowhere."""
    if named := os.environ.get("LINNET_NIST"):
        candidates = [Path(named)]
    else:
        candidates = [parent / "shared" / "data" / "nist" for parent in Path(__file__).resolve().parents]
    for candidate in candidates:
        for place in (candidate / "linear", candidate):
            if (place / "Norris.dat").is_file():
                return place
    return None


def read(path: Path) -> Problem:
    """Read one problem as NIST published it: its header says on which lines the certified values and the data stand."""
    lines = path.read_text(encoding="ascii").splitlines()
    certified = _section(lines, "Certified Values")
    rows = [[Fraction(field) for field in line.split()] for line in _section(lines, "Data") if line.strip()]
    parameters = [
        (int(match[1]), float(match[2]), float(match[3]))
        for line in certified
        if (match := re.match(r"\s*B(\d+)\s+(\S+)\s+(\S+)\s*$", line))
    ]
    intercept = parameters[0][0] == 0
    features = len(parameters) - intercept
    # Powers of the decimal x as float64 holds it, exact until they are rounded: the same bits on every machine.
    if len(rows[0]) == 2:
        X = [[float(Fraction(float(x)) ** power) for power in range(1, features + 1)] for _, x in rows]
    else:
        X = [[float(x) for x in row[1:]] for row in rows]
    return Problem(
        name=path.stem,
        X=np.array(X),
        y=np.array([float(row[0]) for row in rows]),
        intercept=intercept,
        coefficients=np.array([estimate for _, estimate, _ in parameters]),
        std_errors=np.array([error for _, _, error in parameters]),
        residual_sd=_statistic(certified, "Standard Deviation"),
        r2=_statistic(certified, "R-Squared"),
    )


def digits(computed: Iterable[float], certified: Iterable[float]) -> float:
    """Correct digits of the worst value (log relative error; absolute where 0 is certified), at most 15."""
    return min(_digits(float(q), float(c)) for q, c in zip(computed, certified, strict=True))


def _digits(q: float, c: float) -> float:
    error = abs(q - c) / abs(c) if c else abs(q)
    if not math.isfinite(error):
        return 0.0
    return min(15.0, max(0.0, -math.log10(error))) if error else 15.0


def _section(lines: list[str], title: str) -> list[str]:
    for line in lines:
        if match := re.match(rf"\s*{title}\s*\(lines\s+(\d+)\s+to\s+(\d+)\)", line):
            return lines[int(match[1]) - 1 : int(match[2])]
    raise ValueError(f"the header names no lines for {title!r}")


def _statistic(lines: list[str], title: str) -> float:
    for line in lines:
        if match := re.match(rf"\s*{title}\s+(\S+)\s*$", line):
            return float(match[1])
    raise ValueError(f"no certified value for {title!r}")
