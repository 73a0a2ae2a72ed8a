"""The central path: how near it comes, from where, and with how many threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.solvers.central_path import CHUNK, Problem, central, typical
from quantile_cases import Case

Floats = NDArray[np.float64]


def problem(n: int = 200, p: int = 4, q: float = 0.3, seed: int = 1, penalty: float = 0.0) -> Problem:
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((p, n))
    Z[0] = 1.0
    matrix = penalty * np.diag(np.r_[0.0, np.ones(p - 1)]) if penalty else None
    return Problem(Z, rng.standard_t(3, n) + rng.standard_normal(p) @ Z, rng.uniform(0.1, 3, n), q, matrix)


def best(of: Problem) -> float:
    """The least loss, by HiGHS."""
    return Case(of.Z.T, of.y, of.q, of.w, intercept=False).highs() * float(of.w.sum())


@pytest.mark.parametrize("q", [0.01, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("near", [1e-3, 1e-6, 1e-10])
def test_it_comes_as_near_as_was_asked(q: float, near: float) -> None:
    """And its gap bounds the distance from the optimum."""
    of = problem(q=q)
    path = central(of, np.zeros(4), near)
    value, least = of.value(path.r), best(of)
    assert least * (1 - 1e-9) <= value
    assert value - least <= path.gap + 1e-9 * least
    assert path.gap < near * 2 * of.w.sum() * np.median(np.abs(path.r))
    assert path.iterations < 40


def test_its_multipliers_are_within_their_bounds_and_solve_the_dual() -> None:
    of = problem()
    path = central(of, np.zeros(4), 1e-10)
    assert (path.below > 0).all()
    assert (path.above > 0).all()
    np.testing.assert_allclose(path.below + path.above, of.w, rtol=1e-12)
    a = of.q * of.w - path.below
    np.testing.assert_allclose(of.Z @ a, 0, atol=1e-9 * of.w.sum())
    np.testing.assert_array_equal(path.r, of.y - path.weights @ of.Z)
    # strict complementarity: a row lies on the plane, or its multiplier at a bound
    inside = np.minimum(path.below, path.above) / of.w
    assert np.count_nonzero(inside > 1e-3) == 4
    assert (np.minimum(inside, np.abs(path.r)) < 1e-6).all()


@pytest.mark.parametrize("penalty", [1e-6, 1.0, 1e6])
def test_with_a_penalty_it_balances_the_multipliers(penalty: float) -> None:
    of = problem(penalty=penalty)
    assert of.penalty is not None
    path = central(of, np.zeros(4), 1e-10)
    a = of.q * of.w - path.below
    np.testing.assert_allclose(of.Z @ a, of.penalty @ path.weights, atol=1e-7 * of.w.sum())
    value = of.value(path.r) + 0.5 * path.weights @ of.penalty @ path.weights
    rng = np.random.default_rng(0)
    for size in (1e-4, 1e-2, 1.0):
        other = path.weights + size * rng.standard_normal(4)
        worse = of.value(of.y - other @ of.Z) + 0.5 * other @ of.penalty @ other
        assert worse >= value * (1 - 1e-9)


def test_where_it_starts_does_not_matter() -> None:
    of = problem()
    ends = [
        central(of, start, 1e-12).weights for start in (np.zeros(4), np.full(4, 100.0), np.array([-3.0, 0, 1e3, 1]))
    ]
    for end in ends[1:]:
        np.testing.assert_allclose(end, ends[0], rtol=1e-6, atol=1e-8)


def test_scaling_by_powers_of_two_changes_no_bit() -> None:
    """Nothing in it has a unit of its own: neither of the target nor of the row weights."""
    of = problem()
    path = central(of, np.zeros(4), 1e-9)
    for up, heavier in ((2.0**40, 1.0), (2.0**-40, 1.0), (1.0, 2.0**60), (1.0, 2.0**-60)):
        other = central(Problem(of.Z, of.y * up, of.w * heavier, of.q), np.zeros(4), 1e-9)
        assert (other.weights / up).tobytes() == path.weights.tobytes()
        assert other.iterations == path.iterations
        assert (other.below / heavier).tobytes() == path.below.tobytes()


def test_value() -> None:
    of = Problem(np.ones((1, 3)), np.array([1.0, 2.0, -4.0]), np.array([1.0, 2.0, 3.0]), 0.25)
    assert of.value(np.array([1.0, 2.0, -4.0])) == 0.25 * 1 + 2 * 0.25 * 2 + 3 * 0.75 * 4


def test_typical_looks_at_rows_off_the_plane() -> None:
    r = np.array([0.0, 0.0, 0.0, 1.0, 2.0, -3.0])
    inside = np.array([0.3, 0.4, 0.2, 0.0, 1e-9, 0.0])
    assert typical(r, inside) == 2.0
    assert typical(r, np.full(6, 0.4)) == 0.5  # all lie on it
    assert typical(np.zeros(3), np.zeros(3)) > 0
    many = np.random.default_rng(1).standard_normal(100_000)
    assert typical(many, np.zeros(many.size)) == pytest.approx(0.6745, rel=0.1)


SCRIPT = f"""
import hashlib
import numpy as np
from linnet.solvers.central_path import Problem, central
rng = np.random.default_rng(5)
Z = rng.standard_normal((3, {3 * CHUNK + 17}))
of = Problem(Z, rng.standard_cauchy(Z.shape[1]), rng.uniform(0.1, 3, Z.shape[1]), 0.4)
path = central(of, np.zeros(3), 1e-10)
print(hashlib.sha256(path.weights.tobytes() + path.below.tobytes()).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit() -> None:
    said = set()
    for threads in ("1", "2", "3"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "LINNET_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert len(said.pop()) == 65
