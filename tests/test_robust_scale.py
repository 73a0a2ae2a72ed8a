"""Robust scales: the median of any number of residuals, and what proposal 2 expects."""

from __future__ import annotations

import math

import numpy as np
import pytest

import linnet.solvers.robust_scale
from linnet.solvers.piece import Piece
from linnet.solvers.robust_scale import Concomitant, Mad

K = 1.345


def test_the_expected_value_of_proposal_2() -> None:
    """E min(Z², k²) by quadrature."""
    from scipy.integrate import quad

    for k in (0.1, 1.345, 3.0):
        expected = quad(lambda z, k=k: min(z * z, k * k) * math.exp(-z * z / 2), -9, 9, points=[-k, k])[0]
        assert Concomitant(k, 1.0, 0.5)._expected == pytest.approx(0.5 * expected / math.sqrt(2 * math.pi), rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_median_by_parts(weighted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact whatever is kept: bounds around it, bounds that miss it, and fewer values than lie between them."""
    monkeypatch.setattr(linnet.solvers.robust_scale, "MOST", 300)
    rng = np.random.default_rng(10)
    size = np.abs(rng.standard_normal(2001))
    w = rng.integers(1, 4, size.size).astype(float) if weighted else np.ones(size.size)
    expected = float(np.median(np.repeat(size, w.astype(int)))) / 0.6745
    zero, unit = np.zeros(1), np.ones((1, 1))
    nothing = Piece(zero, 1.0, unit, unit, zero, zero, np.zeros(7))
    for sigma, half_width in ((1.0, math.inf), (1.0, 0.3), (0.1, 0.05), (9.0, 0.05), (1.0, 1e-6)):
        scale = Mad(K, sigma, half_width)
        found = math.nan
        for _ in range(60):
            scale.begin()
            for part in np.array_split(np.arange(size.size), 9):
                scale.take(scale.look(size[part], w[part]))
            found = scale.measured(nothing, float(w.sum()))
            if math.isfinite(found):
                break
        assert found == pytest.approx(expected, rel=1e-14)
