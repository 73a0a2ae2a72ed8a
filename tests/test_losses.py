from __future__ import annotations

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from linnet.block import Block, InputError
from linnet.losses import Loss, Squared
from linnet.objective import Objective, residual
from linnet.sources.arrays import ArraySource

LOSSES = [Squared()]
POINTS = np.array([-1e3, -2.5, -1.0, -1e-3, 0.0, 1e-3, 0.7, 1.0, 42.0])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_slope_is_the_derivative_of_the_value(loss: Loss) -> None:
    """By central differences with a step of relative size eps^(1/3)."""
    h = 6e-6 * np.maximum(np.abs(POINTS), 1.0)
    numerical = (loss.value(POINTS + h) - loss.value(POINTS - h)) / (2 * h)
    assert loss.slope(POINTS) == pytest.approx(numerical, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_curvature_is_the_derivative_of_the_slope(loss: Loss) -> None:
    h = 6e-6 * np.maximum(np.abs(POINTS), 1.0)
    numerical = (loss.slope(POINTS + h) - loss.slope(POINTS - h)) / (2 * h)
    assert loss.curvature(POINTS) == pytest.approx(numerical, rel=1e-8, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_a_loss_is_convex_with_its_minimum_at_0(loss: Loss) -> None:
    values = loss.value(POINTS)
    assert (values >= 0).all()
    assert loss.value(np.zeros(1))[0] == 0
    assert (loss.curvature(POINTS) >= 0).all()
    assert (np.sign(loss.slope(POINTS)) == np.sign(POINTS)).all()


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
def test_each_function_is_elementwise(loss: Loss) -> None:
    for function in (loss.value, loss.slope, loss.curvature):
        assert function(POINTS).shape == POINTS.shape
        assert function(POINTS[:0]).shape == (0,)
        assert [function(POINTS[i : i + 1])[0] for i in range(POINTS.size)] == function(POINTS).tolist()


def test_squared_by_hand() -> None:
    r = np.array([-3.0, 0.0, 2.0])
    assert Squared().value(r).tolist() == [4.5, 0.0, 2.0]
    assert Squared().slope(r).tolist() == [-3.0, 0.0, 2.0]
    assert Squared().curvature(r).tolist() == [1.0, 1.0, 1.0]


def test_a_loss_is_a_value() -> None:
    assert Squared() == Squared()
    assert dataclasses.is_dataclass(Squared)
    with pytest.raises(TypeError, match="abstract"):
        Loss()  # type: ignore[abstract]


def test_objective_by_hand() -> None:
    """Two rows with residuals 1 and -2 and weights 3 and 1, a penalty of 0.5 on a weight of 2."""
    source = ArraySource(np.array([[1.0], [2.0]]), np.array([4.0, 3.0]), weight=np.array([3.0, 1.0]))
    objective = Objective(Squared(), l2=0.5)
    assert objective.of(source, np.array([2.0]), 1.0) == (3 * 0.5 + 1 * 2.0) / 4 + 0.25 * 4
    assert Objective(Squared()).penalty(np.array([2.0])) == 0.0
    assert objective.penalty(np.array([2.0, 1.0])) == 0.25 * 5


@pytest.mark.parametrize("block_rows", [1, 7, 1000])
def test_objective_against_fractions(rng: np.random.Generator, block_rows: int) -> None:
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal(40), rng.uniform(0.1, 2, 40)
    beta, bias, l2 = rng.standard_normal(3), 0.7, 0.3
    exact, total = Fraction(0), Fraction(0)
    for i in range(40):
        r = Fraction(y[i]) - Fraction(bias) - sum(Fraction(X[i, j]) * Fraction(beta[j]) for j in range(3))
        exact += Fraction(w[i]) * r * r / 2
        total += Fraction(w[i])
    exact = exact / total + Fraction(l2) / 2 * sum(Fraction(b) ** 2 for b in beta)
    source = ArraySource(X, y, weight=w, block_rows=block_rows)
    assert Objective(Squared(), l2).of(source, beta, bias) == pytest.approx(float(exact), rel=1e-14)


def test_residual_stays_one_dimensional() -> None:
    """(n,) minus (n, 1) would become n × n."""
    block = Block(np.ones((5, 1), np.float32), np.arange(5, dtype=np.float32))
    r = residual(block, np.array([2.0]), 1.0)
    assert r.shape == (5,)
    assert r.dtype == np.float64
    assert r.tolist() == [-3.0, -2.0, -1.0, 0.0, 1.0]


@pytest.mark.parametrize("l2", [-1.0, -1e-300, float("nan"), float("inf")])
def test_a_penalty_that_is_no_penalty_is_refused(l2: float) -> None:
    with pytest.raises(InputError, match="l2 must be a finite number at least 0"):
        Objective(Squared(), l2=l2)
