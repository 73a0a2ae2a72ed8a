"""Valley against exact fractions: the mean loss over two coordinates, and where it is least."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from linnet.block import Block
from linnet.losses import Absolute, Huber, Loss, Squared
from linnet.valley import Valley

X = np.array([[1.0, 2.0], [3.0, -1.0], [2.0, 2.0], [-1.0, 4.0], [0.0, 1.0]])
Y = np.array([3.0, 7.0, 1.0, 4.0, 10.0])
HALF = Fraction(1, 2)


def mean(points: np.ndarray, d: int) -> list[Fraction]:
    """Of r²/2, in exact arithmetic: at [weight, bias], or at two weights and bias 0."""
    found = []
    for a, b in points:
        residuals = [
            Fraction(y) - Fraction(a) * Fraction(x[0]) - Fraction(b) * (Fraction(x[1]) if d == 2 else 1)
            for x, y in zip(X, Y, strict=True)
        ]
        found.append(sum((r * r for r in residuals), Fraction(0)) * HALF / len(Y))
    return found


@pytest.mark.parametrize("d", [1, 2])
def test_without_an_intercept_the_squared_loss_is_that_at_bias_0(d: int) -> None:
    points = np.array([[0.0, 0.0], [2.0, -3.0], [1.0, 0.5]])
    valley = Valley.of(Squared(), Block(X[:, :d].copy(), Y), None, intercept=False)
    assert valley.at(points) == pytest.approx([float(each) for each in mean(points, d)], rel=1e-12)
    xx = [
        [sum(Fraction(p) * Fraction(q) for p, q in zip(X[:, i], X[:, j], strict=True)) for j in (0, 1)] for i in (0, 1)
    ]
    xy = [sum(Fraction(p) * Fraction(q) for p, q in zip(X[:, i], Y, strict=True)) for i in (0, 1)]
    if d == 1:
        best = [xy[0] / xx[0][0], Fraction(0)]
    else:
        det = xx[0][0] * xx[1][1] - xx[0][1] ** 2
        best = [(xx[1][1] * xy[0] - xx[0][1] * xy[1]) / det, (xx[0][0] * xy[1] - xx[0][1] * xy[0]) / det]
    assert valley.bottom == pytest.approx([float(each) for each in best], rel=1e-12)
    assert valley.lowest == pytest.approx(float(mean(np.array([valley.bottom]), d)[0]), rel=1e-12)


@pytest.mark.parametrize("loss", [Absolute(), Huber(0.7)])
@pytest.mark.parametrize("d", [1, 2])
def test_without_an_intercept_the_bias_is_not_sought(loss: Loss, d: int) -> None:
    valley = Valley.of(loss, Block(X[:, :d].copy(), Y), None, intercept=False)
    points = np.array([[0.0, 0.0], [2.0, -3.0]])
    if d == 1:
        r = Y - points[:, 1:] - points[:, :1] * X[:, 0]
        assert valley.bottom[1] == 0
    else:
        r = Y - points @ X.T
    assert valley.at(points) == pytest.approx(loss.value(r.ravel()).reshape(r.shape).mean(axis=1), rel=1e-12)
    sides = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])[: 2 * d] * 1e-3
    assert (valley.at(valley.bottom + sides) >= valley.lowest).all()


def test_with_an_intercept_two_weights_have_the_best_bias() -> None:
    valley = Valley.of(Squared(), Block(X, Y), None, intercept=True)
    points = np.array([[0.0, 0.0], [2.0, -3.0]])
    assert valley.at(points) == pytest.approx((Y - points @ X.T).var(axis=1) / 2, rel=1e-12)
