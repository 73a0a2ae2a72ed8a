"""Pieces of the Huber objective: what they sum, and that their gap bounds what is left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.block import Block
from linnet.losses import Huber
from linnet.solvers.frame import Coordinates
from linnet.solvers.piece import Piece, piece_of

Floats = NDArray[np.float64]


def test_the_gap_bounds_what_is_left() -> None:
    """At random planes, near the minimum and far from it, with a ridge penalty and without, rows unequally weighted."""
    X = np.random.default_rng(1).standard_normal((60, 2))
    y = X @ [1.0, 2.0] + np.random.default_rng(12).standard_normal(60)
    y[:6] += 4
    Z = np.column_stack([np.ones(60), (X - X.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(X.T, ddof=0)).T)])
    w = np.random.default_rng(2).choice([0.5, 1.0, 3.0], 60)
    values, vectors = np.linalg.eigh(Z.T @ (w[:, None] * Z) / w.sum())
    Z = Z @ vectors / np.sqrt(values)
    block, same = Block(Z, y, w), Coordinates.same(3)
    rng = np.random.default_rng(3)
    bounded = 0
    for l2 in (0.0, 0.1):
        penalty = l2 * np.eye(3)

        def look(plane: Floats, penalty: Floats = penalty) -> Piece:
            return piece_of(block, same, True, plane, 0.8, penalty)[0].over(float(w.sum()))

        best = np.zeros(3)
        for delta in (1e3, 4.0, 2.0, *[0.8] * 9):
            best = best + piece_of(block, same, True, best, delta, penalty)[0].over(float(w.sum())).step.by
        lowest = look(best).value
        assert look(best).gap() <= 1e-14
        for spread in (1e-6, 1e-3, 0.03, 0.3, 3.0):
            piece = look(best + spread * rng.standard_normal(3))
            left = piece.value - lowest - 1e-15 * lowest
            assert piece.gap() >= left
            bounded += piece.gap() < 3 * left + 1e-12
            ahead = piece.step.by @ Z.T
            r = y - piece.plane @ Z.T
            reach = float(np.abs(r - ahead)[np.abs(r) <= 0.8].max())
            assert left <= piece.gap(reach) <= piece.gap() * (1 + 1e-12)
    assert bounded >= 2  # and near the minimum it is no idle bound


@pytest.mark.parametrize("split", [60, 30])
def test_the_gap_bounds_what_is_left_where_rows_lie_in_two_heaps(split: int) -> None:
    """Nearly all of the slope hangs on rows far off, weights are very unlike, and sums come from two parts, or none."""
    bounded = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        Z = np.column_stack([np.ones(60), rng.standard_normal((60, 2))])
        y = Z @ [0.0, 1.0, 2.0] + 0.05 * rng.standard_normal(60)
        y[:25] += 4
        w = rng.choice([0.01, 1.0, 30.0], 60)
        values, vectors = np.linalg.eigh(Z.T @ (w[:, None] * Z) / w.sum())
        Z = Z @ vectors / np.sqrt(values)
        parts = [Block(Z[rows], y[rows], w[rows]) for rows in np.split(np.argsort(w), [split])]

        def look(plane: Floats, parts: list[Block] = parts, total: float = w.sum()) -> Piece:
            one, *more = (piece_of(part, Coordinates.same(3), True, plane, 0.1, np.zeros((3, 3)))[0] for part in parts)
            return sum(more, one).over(total)

        lowest = look(np.zeros(3))
        trial: Piece | None = lowest
        while trial is not None:  # Newton's method; a step that leads too far is halved
            lowest, trials = trial, (look(trial.plane + 0.5**k * trial.step.by) for k in range(30))
            trial = next((each for each in trials if each.value < lowest.value * (1 - 1e-14)), None)
        for spread in (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0):
            piece = look(lowest.plane + spread * rng.standard_normal(3))
            left = piece.value - lowest.value * (1 + 1e-13)
            assert piece.gap() >= left, (seed, spread)
            bounded += piece.gap() < 3 * left
    assert bounded >= 10  # it is no idle bound


def test_a_piece_is_what_it_says(rng: np.random.Generator) -> None:
    """Its slopes against central differences of its value, by each of the ways that sums are taken."""
    X = rng.standard_normal((700, 4))
    y = X @ [1.0, 2.0, 3.0, 4.0] + rng.standard_t(3, 700)
    w = rng.uniform(0.1, 2, 700)
    w[::7] = 0.0
    unit = np.array([np.full(4, 2.0), X.mean(axis=0), np.full(4, 0.5)])
    basis = rng.standard_normal((4, 3))
    there = Coordinates(unit, np.array([1.0, 2.0, 0.5]), basis, 1)
    plane, penalty = rng.standard_normal(4), np.diag([0.0, 1.0, 2.0, 0.5])

    def look(plane: Floats, well: bool = True, layout: Callable[[Any], Any] = np.asarray) -> Piece:
        return piece_of(Block(layout(X), y, w), there, well, plane, 0.7, penalty)[0].over(float(w.sum()))

    piece = look(plane)
    for other in (look(plane, False), look(plane, True, np.asfortranarray), look(plane, True, lambda X: X[::-1][::-1])):
        for name in ("gram", "pull", "away", "sums"):
            assert getattr(other, name) == pytest.approx(getattr(piece, name), rel=1e-10, abs=1e-13)
    step = 1e-6
    for j, gradient in enumerate(piece.step.gradient):
        e = step * np.eye(4)[j]
        assert -gradient == pytest.approx((look(plane + e).value - look(plane - e).value) / (2 * step), abs=1e-8)
    Z, y_there, _ = there.rows(Block(X, y, w))
    r = y_there - plane @ Z
    assert piece.value == pytest.approx(w @ Huber(0.7).value(r) / w.sum() + plane @ penalty @ plane / 2, rel=1e-13)
    inner = w * (np.abs(r) <= 0.7)
    assert piece.gram == pytest.approx((Z * inner) @ Z.T / w.sum(), rel=1e-12)
