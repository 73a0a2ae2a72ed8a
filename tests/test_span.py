"""How far weights that are not unique can move at the same cost, against HiGHS and the cost itself."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.solvers import frame, globs
from linnet.solvers.central_path import Problem
from linnet.solvers.corner import solve
from linnet.solvers.globs import optimum
from linnet.status import Status
from quantile_cases import Case

Floats = NDArray[np.float64]
NOTE = re.compile(r"^(?:`x(\d+)`|the intercept) can be anywhere from (\S+) to (\S+) at the same cost")


def grouped(seed: int, n: int = 24, levels: int = 3, spread: float = 1.0) -> tuple[Floats, Floats]:
    """Indicators of all levels but one beside a feature far from 0 and from 1 in size, and a target."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.r_[:levels, rng.integers(0, levels, n - levels)])
    X = np.c_[np.eye(levels)[group][:, 1:], 1e3 + spread * rng.standard_normal(n)]
    return X, X[:, :-1].sum(axis=1) + (X[:, -1] - 1e3) / spread + rng.standard_normal(n)


def told(notes: tuple[str, ...]) -> list[tuple[int, float, float]]:
    """The feature, -1 being the intercept, and both ends, of each note of how far a weight can move."""
    found = [match for note in notes if (match := NOTE.match(note))]
    return [(int(match[1] or 0) - 1, float(match[2]), float(match[3])) for match in found]


def ends_by_highs(case: Case) -> Floats:
    """How far each weight reaches over all optimal planes, in its own units, (d, 2)."""
    level = float(case.highs() * case.w.sum() * (1 + 1e-12))
    d = case.X.shape[1]
    size = np.abs(case.X - case.X.mean(axis=0) if case.intercept else case.X).max(axis=0)
    ends = np.array([case.face(way, level) for way in np.eye(case.columns.shape[1])[-d:]])
    return np.asarray(ends / size[:, None])


KINDS = {
    "dummies": (0.5, False, True, np.float64),
    "quantile 0.3": (0.3, False, True, np.float64),
    "row weights": (0.5, True, True, np.float64),
    "no intercept": (0.5, False, False, np.float64),
    "float32": (0.5, False, True, np.float32),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_note_tells_what_highs_finds(kind: str) -> None:
    """Its ends, to the second digit of how far they are apart, of the weight that moves farthest for its column."""
    q, weighted, intercept, dtype = KINDS[kind]
    seen = 0
    for seed in range(60):
        X, y = grouped(seed, 20 if q == 0.3 else 24, spread=0.01 if seed % 2 else 100.0)
        X, y = X.astype(dtype), y.astype(dtype)
        weight = np.random.default_rng(seed).integers(1, 4, y.size).astype(float) if weighted else None
        loss = linnet.Quantile(q)
        fit = linnet.fit(X, y, loss=loss, weight=weight, intercept=intercept, errors="none")
        notes = told(fit.notes)
        assert len(notes) <= (fit.status is Status.NOT_UNIQUE)
        if not notes:
            continue
        ((feature, low, high),) = notes
        ends = ends_by_highs(Case(X.astype(float), y.astype(float), q, weight, intercept))
        width = np.ptp(ends, axis=1)
        spread = np.sqrt(np.mean((X - X.mean(axis=0)) ** 2 if intercept else X.astype(float) ** 2, axis=0))
        assert (width * spread)[feature] >= (width * spread).max() * (1 - 1e-5), seed
        np.testing.assert_allclose([low, high], ends[feature], rtol=0, atol=0.051 * width[feature])
        assert low < high
        seen += 1
        if seen == 6:
            break
    assert seen == 6


def test_the_cost_is_level_up_to_both_ends_and_rises_beyond() -> None:
    seen = 0
    for seed in range(60):
        X, y = grouped(seed, 60, 5)
        Z = np.vstack([np.ones(60), X[:, :-1].T, X[:, -1] - 1e3])
        of = Problem(Z, y, np.random.default_rng(seed).integers(1, 3, 60) / 3, 0.5)
        found = solve(of, np.zeros(len(Z)))
        seen += level(of, found.weights, found.span)
    assert seen >= 10


def test_the_same_where_most_rows_are_only_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A level of a few rows can move far, past rows that were decided; all rows are looked at for that."""
    monkeypatch.setattr(globs, "DIRECT", 300)
    monkeypatch.setattr(frame, "DIRECT", 300)
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        Z = np.vstack([np.ones(2000), rng.standard_normal(2000), np.isin(np.arange(2000), rng.integers(0, 2000, 4))])
        of = Problem(Z, Z[1] + rng.standard_normal(2000), np.ones(2000), 0.5)
        found, whole = optimum(of, np.zeros(3)), solve(of, np.zeros(3))
        assert (found.span is None) == (whole.span is None)
        if whole.span is not None and found.span is not None:
            ends = np.sort(found.weights + found.span, axis=0)
            np.testing.assert_allclose(ends, np.sort(whole.weights + whole.span, axis=0), rtol=0, atol=1e-9)
        seen += level(of, found.weights, found.span)
    assert seen >= 3


def level(of: Problem, weights: Floats, span: Floats | None) -> bool:
    """Whether there is a span; if so, one along which the cost stays as it is, and beyond which it rises."""
    if span is None:
        return False
    least = of.value(of.y - weights @ of.Z)
    assert np.abs(span).max() > 1e-6
    whole = span[1] - span[0]
    for end, out in zip(weights + span, (-whole, whole), strict=True):
        assert of.value(of.y - end @ of.Z) == pytest.approx(least, rel=1e-13)
        assert of.value(of.y - (end + 0.01 * out) @ of.Z) > least * (1 + 1e-9)
    return True


def test_rows_read_from_elsewhere_tell_the_same_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    for seed in range(8):
        X, y = grouped(seed, 2000, 4)
        case = Case(X, y, 0.5)
        want = case.fit()
        with monkeypatch.context() as patched:
            patched.setattr(globs, "DIRECT", 300)
            patched.setattr(frame, "DIRECT", 300)
            patched.setattr(frame, "SAMPLE", 600 * 5)
            step = case.fit(block_rows=333)
        assert step.epoch > 1
        assert step.status is want.status
        assert step.notes in (want.notes, ())
        seen += bool(step.notes)
    assert seen >= 2


def test_the_intercept_alone_is_open_under_l2() -> None:
    """Anything between the middle two residuals."""
    X, y = grouped(3)
    fit = linnet.fit(X, y, loss="absolute", l2=1e3, errors="none")
    assert fit.status is Status.NOT_UNIQUE
    ((feature, low, high),) = told(fit.notes)
    assert feature == -1
    middle = np.sort(y - X @ fit.weights)[11:13]
    np.testing.assert_allclose([low, high], middle, rtol=0, atol=0.051 * np.ptp(middle))


def test_nothing_is_said_of_more_than_one_direction_nor_of_dependent_columns() -> None:
    group, y = np.tile([[0.0], [1.0]], (10, 1)), np.arange(20.0) ** 2
    fit = linnet.fit(group, y, loss="absolute")
    assert fit.status is Status.NOT_UNIQUE
    assert not told(fit.notes)
    odd = linnet.fit(group[1:], y[1:], loss="absolute")  # 9 rows and 10: the difference of levels is open
    assert [feature for feature, *_ in told(odd.notes)] == [0]
    np.testing.assert_allclose(told(odd.notes)[0][1:], [81 - 100, 121 - 100])
    assert not told(linnet.fit(np.hstack([group, group])[1:], y[1:], loss="absolute").notes)
