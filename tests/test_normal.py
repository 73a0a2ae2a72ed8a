"""Normal equations and their Solution against exact rational arithmetic, and the smallest weights against pinv."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from linnet.block import Block, InputError
from linnet.losses import Squared
from linnet.moments import Moments, Precision
from linnet.objective import Objective
from linnet.solution import Solution
from linnet.solvers.exact import holds
from linnet.sources.arrays import ArraySource
from rational import Answer, dot, least_squares, relative, root, ulps

Floats = NDArray[np.float64]
N = 24


def base(rng: np.random.Generator) -> Floats:
    return rng.standard_normal((N, 3))


CASES: dict[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "plain": lambda X, _: X,
    "offset 1e9": lambda X, _: X + 1e9,
    "offset 1e12": lambda X, _: X + np.array([1e12, 0.0, -1e12]),
    "scales 1e±150": lambda X, _: X * [1e150, 1e-150, 1.0],
    "scales 1e±300": lambda X, _: X * [1e300, 1e-300, 1.0],
    "near 1e308": lambda X, _: X * [1.7e308 / np.abs(X[:, 0]).max(), 1.0, 1.0],
    "scales 1e-12 to 1e12": lambda X, _: X * [1e-12, 1.0, 1e12],
    "near duplicates": lambda X, rng: np.column_stack([X[:, :2], X[:, 0] + 1e-9 * rng.standard_normal(N)]),
    "near duplicates far off": lambda X, _: 1e6 + np.column_stack([X[:, :2], X[:, 0] + 1e-6 * X[:, 2]]),
    "powers": lambda X, _: np.column_stack([(X[:, 0] + 5) ** k for k in range(1, 6)]),
}


def problem(name: str, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    X = np.asarray(CASES[name](base(rng), rng), dtype=np.float64)
    unit = np.abs(X).max(axis=0)
    y = (X / unit).sum(axis=1) + 0.1 * rng.standard_normal(N)
    if name == "near 1e308":
        y *= 1e10  # or the weight would leave float64's range
    return X, y, rng.uniform(0.1, 2, N)


def solve(
    X: Floats, y: Floats, w: Floats | None, intercept: bool, l2: float, precision: Precision = "exact"
) -> Solution:
    return Moments.of(Block(X, y, w), precision).solve(l2, intercept)


def check(solution: Solution, answer: Answer, intercept: bool) -> None:
    """Coefficients within an ulp, the rest to 13 digits; beyond a condition of 1e8, what double-double leaves."""
    lost = solution.condition**2 * 2.0**-104
    worst, digits = 1.0 + lost * 2.0**53, 1e-13 + lost
    exact = answer.coefficients[intercept:]
    assert max(ulps(a, b) for a, b in zip(solution.weights, exact, strict=True)) <= worst
    if intercept:
        assert ulps(solution.bias, answer.coefficients[0]) <= worst
    else:
        assert solution.bias == 0.0
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    errors = [*([uncertainty.sd[0]] if intercept else []), *uncertainty.sd[2:]]
    assert max(relative(a, b) for a, b in zip(errors, answer.std_errors, strict=True)) < digits
    assert relative(solution.residual_sd, root(answer.rss / answer.df)) < digits
    assert relative(solution.df_residual, answer.df) < 1e-13
    assert relative(solution.objective, answer.rss / answer.total / 2) < 2 * digits


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_exact_solutions_are_right_to_the_last_bit(
    name: str, weighted: bool, intercept: bool, rng: np.random.Generator
) -> None:
    X, y, w = problem(name, rng)
    weight = w if weighted else None
    check(solve(X, y, weight, intercept, 0.0), least_squares(X, y, weight, intercept), intercept)


@pytest.mark.parametrize("l2", [1e-300, 1e-8, 0.1, 10.0, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["plain", "offset 1e9", "near duplicates", "scales 1e-12 to 1e12"])
def test_ridge(name: str, weighted: bool, l2: float, rng: np.random.Generator) -> None:
    X, y, w = problem(name, rng)
    weight = w if weighted else None
    answer = least_squares(X, y, weight, True, l2)
    solution = solve(X, y, weight, True, l2)
    # the penalty itself is rounded once, and where it alone tells columns apart that rounding counts
    assert max(relative(a, b) for a, b in zip(solution.weights, answer.coefficients[1:], strict=True)) < 1e-13
    assert relative(solution.bias, answer.coefficients[0]) < 1e-13
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    errors = [uncertainty.sd[0], *uncertainty.sd[2:]]
    assert max(relative(a, b) for a, b in zip(errors, answer.std_errors, strict=True)) < 1e-9
    assert relative(solution.df_residual, answer.df) < 1e-12
    assert relative(solution.objective, answer.rss / answer.total / 2) < 1e-9


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_float64_on_benign_data(intercept: bool, l2: float, rng: np.random.Generator) -> None:
    X, y, w = problem("plain", rng)
    answer = least_squares(X, y, w, intercept, l2)
    solution = solve(X, y, w, intercept, l2, "float64")
    assert solution.equations.precision == "float64"
    assert solution.weights == pytest.approx([float(c) for c in answer.coefficients[intercept:]], rel=1e-13)
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    errors = [*([uncertainty.sd[0]] if intercept else []), *uncertainty.sd[2:]]
    assert errors == pytest.approx([float(s) for s in answer.std_errors], rel=1e-12)


@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize("weighted", [False, True])
def test_centre_and_scale(precision: Precision, weighted: bool, rng: np.random.Generator) -> None:
    X, y, w = problem("plain", rng)
    Z, weight = np.column_stack([X, y]), w if weighted else np.ones(N)
    mean = weight @ Z / weight.sum()
    solution = solve(X, y, w if weighted else None, True, 0.0, precision)
    assert solution.centre == pytest.approx(mean, rel=1e-13)
    assert solution.scale == pytest.approx(np.sqrt(weight @ (Z - mean) ** 2 / weight.sum()), rel=1e-13)
    through = solve(X, y, w if weighted else None, False, 0.0, precision)
    assert through.centre.tolist() == [0, 0, 0, 0]
    assert through.scale == pytest.approx(np.sqrt(weight @ Z**2 / weight.sum()), rel=1e-13)


def standardised_pinv(X: Floats, y: Floats, w: Floats, intercept: bool = True) -> tuple[Floats, float]:
    """The smallest weights in standardised units among those that fit best, by NumPy's pinv."""
    mean = w @ X / w.sum() if intercept else np.zeros(X.shape[1])
    sd = np.sqrt(w @ (X - mean) ** 2 / w.sum())
    sd[sd < 1e-12 * np.abs(mean)] = 0
    Z = np.divide(X - mean, sd, out=np.zeros_like(X), where=sd > 0)
    level = float(w @ y / w.sum()) if intercept else 0.0
    root_w = np.sqrt(w)
    beta = np.linalg.pinv(Z * root_w[:, None], rcond=1e-10) @ (root_w * (y - level))
    weights = np.divide(beta, sd, out=np.zeros_like(beta), where=sd > 0)
    return weights, level - float(mean @ weights) if intercept else 0.0


def deficient(name: str, rng: np.random.Generator) -> tuple[Floats, Floats]:
    X = base(rng)
    a, b, c = X.T
    columns = {
        "pair": [a, b, 2 * a + 3],
        "first two": [a, a, b, c],
        "four of one": [a, 2 * a, -3 * a + 1, 1e6 * a, b],
        "sum of two": [a, b, a + b, c],
        "scaled": [a * 1e100, b, a * 1e-100, c],
        "constant": [a, np.full(N, 7.0), b],
        "zeros": [np.zeros(N), a, b],
        "indicators": [*(np.arange(N) % 4 == np.arange(4)[:, None]).astype(float), a],
        "all constant": [np.full(N, 7.0), np.full(N, -1.0)],
    }[name]
    return np.column_stack(columns), X @ [1.0, -2.0, 0.5] + 3 + 0.1 * rng.standard_normal(N)


DEFICIENT = [
    "pair",
    "first two",
    "four of one",
    "sum of two",
    "scaled",
    "constant",
    "zeros",
    "indicators",
    "all constant",
]


@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", DEFICIENT)
def test_smallest_standardised_weights(
    name: str, weighted: bool, precision: Precision, rng: np.random.Generator
) -> None:
    X, y = deficient(name, rng)
    w = rng.uniform(0.5, 2, N) if weighted else np.ones(N)
    solution = solve(X, y, w if weighted else None, True, 0.0, precision)
    weights, bias = standardised_pinv(X, y, w)
    assert solution.weights == pytest.approx(weights, rel=1e-8, abs=1e-13 if name != "scaled" else 0)
    assert solution.bias == pytest.approx(bias, rel=1e-9)
    assert solution.condition == math.inf
    assert solution.rank == np.linalg.matrix_rank((X - X.mean(0)) / np.abs(X).max(0).clip(1e-300), tol=1e-9)


def predicted(X: Floats, solution: Solution) -> list[Fraction]:
    """By the weights as float64 holds them, exactly."""
    weights = [Fraction(w) for w in solution.weights.tolist()]
    return [dot(map(Fraction, row), weights) + Fraction(solution.bias) for row in X.tolist()]


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-7, 1e-8, 1e-9, 1e-11])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [1, 0, 4, 3, 2], [4, 3, 2, 1, 0], [2, 4, 1, 0, 3]])
def test_columns_that_nearly_and_columns_that_quite_depend_on_others(order: list[int], gap: float) -> None:
    """What two near copies differ by is a column too: least squares by it and one of them, in any order of columns."""
    a, b, c = np.random.default_rng(7).standard_normal((3, N))
    X = np.column_stack([a, a + gap * b, b, c, b + 2 * c])[:, order]
    y = a + b + 0.1 * np.sin(np.arange(N))
    solution = solve(X, y, None, True, 0.0)
    assert solution.rank == 3
    answer = least_squares(np.column_stack([a, b, c]), y)
    rows = np.column_stack([np.ones(N), a, b, c]).tolist()
    exact = [dot(map(Fraction, row), answer.coefficients) for row in rows]
    made = predicted(X, solution)
    assert max(float(abs(p - q)) for p, q in zip(made, exact, strict=True)) < 1e-14
    rss = sum(((Fraction(v) - p) ** 2 for v, p in zip(y.tolist(), made, strict=True)), Fraction(0))
    assert relative(solution.objective, rss / N / 2) < 1e-13
    weights, bias = standardised_pinv(X, y, np.ones(N))
    assert solution.weights == pytest.approx(weights, abs=1e-9)
    assert solution.bias == pytest.approx(bias, abs=1e-9)
    for column, coefficients, constant in solution.dependencies:
        assert X @ coefficients + constant == pytest.approx(X[:, column], abs=1e-8)
        assert np.abs(coefficients).max() < 10
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    assert relative(solution.residual_sd, root(answer.rss / answer.df)) < 1e-13


@given(st.integers(3, 5), st.integers(0, 3), st.sampled_from([4, 6, 8, 9, 10, 12]), st.integers(0, 10**6))
def test_fewer_rows_than_columns_are_met_though_columns_nearly_agree(n: int, more: int, power: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n + more))
    X[:, 1] = X[:, 0] + 10.0**-power * rng.standard_normal(n)
    y = rng.standard_normal(n)
    solution = solve(X, y, None, True, 0.0)
    if solution.rank == n - 1:  # else two rows agree but for rounding
        size = 1 + float(np.abs(X * solution.weights).sum(axis=1).max())
        off = [float(abs(Fraction(v) - p)) for v, p in zip(y.tolist(), predicted(X, solution), strict=True)]
        assert max(off) < 1e-14 * size
        assert size < 1e6 or more == 0  # and by weights that are not large, where there is a choice


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_more_columns_than_rows(precision: Precision, rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((6, 10)) * np.logspace(-6, 6, 10), rng.standard_normal(6)
    solution = solve(X, y, None, True, 0.0, precision)
    weights, bias = standardised_pinv(X, y, np.ones(6))
    assert solution.weights == pytest.approx(weights, rel=1e-7)
    assert solution.bias == pytest.approx(bias, rel=1e-7)
    assert X @ solution.weights + solution.bias == pytest.approx(y, rel=1e-7)
    assert (solution.rank, solution.df_residual) == (5, 0.0)
    assert solution.uncertainty is None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_dependencies_are_told(precision: Precision, weighted: bool, rng: np.random.Generator) -> None:
    """`x3` = 2·`x1` + 3 and `x5` = `x2` - `x4`·0.5: their indices, coefficients and constants."""
    X = base(rng)
    a, b, c = X.T
    D = np.column_stack([a, b, 2 * a + 3, c, b - 0.5 * c])
    w = rng.uniform(0.5, 2, N) if weighted else None
    solution = solve(D, rng.standard_normal(N), w, True, 0.0, precision)
    (i, first, constant), (j, second, nothing) = solution.dependencies
    assert (i, j) == (2, 4)
    assert first == pytest.approx([2, 0, 0, 0, 0], abs=1e-9)
    assert constant == pytest.approx(3, rel=1e-9)
    assert second == pytest.approx([0, 1, 0, -0.5, 0], abs=1e-9)
    assert nothing == 0.0
    assert not solution.identified.any()
    assert not solution.bias_identified


@pytest.mark.parametrize("weighted", [False, True])
def test_what_a_dependency_leaves_alone_stays_identified(weighted: bool, rng: np.random.Generator) -> None:
    X = base(rng)
    w = rng.uniform(0.5, 2, N) if weighted else None
    solution = solve(np.column_stack([X, 3 * X[:, 0]]), X[:, 0], w, True, 0.0)
    assert solution.identified.tolist() == [False, True, True, False]
    assert solution.bias_identified  # the dependency has no constant
    through_0 = solve(np.column_stack([X, 3 * X[:, 0]]), X[:, 0], w, False, 0.0)
    assert through_0.bias_identified  # it is 0
    constant = solve(np.column_stack([X, np.full(N, 5.0)]), X[:, 0], w, True, 0.0)
    assert constant.identified.tolist() == [True, True, True, False]
    assert constant.weights[3] == 0.0


@pytest.mark.parametrize("gap", [1e-9, 1e-12])
def test_columns_that_truly_differ_are_told_apart(gap: float, rng: np.random.Generator) -> None:
    """1e-9 apart, and 1e-12: still thousands of times what rounding of the columns could do."""
    X = base(rng)
    D = np.column_stack([X, X[:, 0] + gap * rng.standard_normal(N)])
    solution = solve(D, X @ [1.0, 2.0, 3.0] + rng.standard_normal(N), None, True, 0.0)
    assert not solution.dependencies
    assert 0.01 / gap < solution.condition < 100 / gap


def test_columns_that_differ_only_by_rounding_are_not(rng: np.random.Generator) -> None:
    """0.1 + 0.2 is not 0.3 in float64, but nobody means the difference."""
    X = base(rng)
    thirds = X[:, 0] / 3 + X[:, 1] / 7
    assert solve(np.column_stack([X, thirds]), X[:, 0], None, True, 0.0).dependencies
    assert solve(np.column_stack([X[:, :1] + 1e12, (X[:, 0] + 1e12) * 0.1]), X[:, 1], None, True, 0.0).dependencies


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_a_weight_outside_the_range_is_refused(precision: Precision, rng: np.random.Generator) -> None:
    X, y, _ = problem("plain", rng)
    with pytest.raises(InputError, match=r"weight of feature number 2 is about 1e\+3\d\d, outside float64's range"):
        solve(X * [1.0, 1e-160, 1.0], y * 1e160, None, True, 0.0, "exact")
    if precision == "exact":
        with pytest.raises(InputError, match=r"weight of feature number 1 is about 1e-\d+, outside"):
            solve(X * 1e300, y * 1e-300, None, True, 0.0, precision)


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_condition_of_many_columns_by_lanczos(precision: Precision, rng: np.random.Generator) -> None:
    X = rng.standard_normal((700, 300)) @ np.diag(np.logspace(0, 3, 300)) + rng.standard_normal((700, 1))
    Z = (X - X.mean(0)) / X.std(0)
    solution = solve(X, X[:, 0] + rng.standard_normal(700), None, True, 0.0, precision)
    assert solution.condition == pytest.approx(np.linalg.cond(Z), rel=1e-3)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize(("name", "l2"), [("plain", 0.0), ("plain", 0.1), ("pair", 0.0), ("all constant", 0.0)])
def test_the_covariance_agrees_with_the_variances(
    name: str, l2: float, precision: Precision, intercept: bool, rng: np.random.Generator
) -> None:
    """Whichever way each is worked out; the value at the centre is independent of the weights."""
    X, y = problem(name, rng)[:2] if name in CASES else deficient(name, rng)
    solution = solve(X, y, None, intercept, l2, precision)
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    factor, sd = uncertainty.factor, np.sqrt(solution.variances)
    varies = sd > 0
    assert np.square(factor).sum(axis=1) == pytest.approx(varies.astype(float), rel=1e-14)
    covariance = factor @ factor.T * sd[:, None] * sd
    assert covariance[:2, 1] == pytest.approx(covariance[1, 1], rel=1e-14)
    assert not covariance[1, 2:].any()
    assert varies[:2].tolist() == [intercept] * 2
    if name != "plain":
        return
    design = np.column_stack([np.ones(len(X)), X])[:, not intercept :]
    gram = design.T @ design
    inverse = np.linalg.inv(gram + len(X) * l2 * np.diag([0.0] * intercept + [1.0] * X.shape[1]))
    expected = inverse @ gram @ inverse * solution.residual_sd**2
    got = uncertainty.covariance(solution.identified, True)[not intercept :, not intercept :]
    assert got == pytest.approx(expected, rel=1e-9)


def test_condition_with_ridge_is_still_that_of_the_design(rng: np.random.Generator) -> None:
    X, y, _ = problem("plain", rng)
    assert solve(X, y, None, True, 5.0).condition == pytest.approx(solve(X, y, None, True, 0.0).condition, rel=1e-9)


def test_the_ridge_makes_duplicates_solvable(rng: np.random.Generator) -> None:
    X, y, _ = problem("plain", rng)
    D = np.column_stack([X, X[:, 0]])
    solution = solve(D, y, None, True, 0.1)
    answer = least_squares(D, y, None, True, 0.1)
    assert not solution.dependencies
    assert solution.weights == pytest.approx([float(c) for c in answer.coefficients[1:]], rel=1e-13)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("l2", [1e-12, 1e-8, 1e-4, 0.1])
@pytest.mark.parametrize("gap", [1e-12, 1e-9, 1e-6])
def test_ridge_errors_of_columns_that_nearly_agree(gap: float, l2: float, swapped: bool) -> None:
    a, b, c = np.random.default_rng(8).standard_normal((3, N))
    X = np.column_stack([a, c, a + gap * b])[:, [2, 1, 0] if swapped else [0, 1, 2]]
    y = a + c + np.cos(np.arange(N))
    answer, solution = least_squares(X, y, None, True, l2), solve(X, y, None, True, l2)
    assert solution.weights == pytest.approx([float(v) for v in answer.coefficients[1:]], rel=1e-12)
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    assert uncertainty.sd[2:] == pytest.approx([float(v) for v in answer.std_errors[1:]], rel=1e-6)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("l2", [1e-6, 1e-4, 0.1, 1e9])
def test_ridge_does_not_weigh_the_rounding_of_one_quantity_in_two_units(l2: float, swapped: bool) -> None:
    """Whole grams, and kilograms that float64 must round: the weights are those of kilograms that are not rounded."""
    rng = np.random.default_rng(0)
    grams = rng.integers(1, 10**8, 40).astype(float)
    X = np.column_stack([grams, grams / 1000])
    exact = np.array([[Fraction(v), Fraction(v) / 1000] for v in grams.tolist()])
    at = [1, 0] if swapped else [0, 1]
    draws = [grams * 1e-6 + 10 * rng.standard_normal(40) for _ in range(200)]
    solutions = [solve(X[:, at], y, None, True, l2) for y in draws]
    for y, solution in zip(draws[:2], solutions, strict=False):
        answer, uncertainty = least_squares(exact[:, at], y, None, True, l2), solution.uncertainty
        assert uncertainty is not None
        assert solution.weights == pytest.approx([float(v) for v in answer.coefficients[1:]], rel=1e-12)
        assert solution.bias == pytest.approx(float(answer.coefficients[0]), rel=1e-12)
        got = [uncertainty.sd[0], *uncertainty.sd[2:]]
        assert got == pytest.approx([float(v) for v in answer.std_errors], rel=1e-12)
        assert solution.objective == pytest.approx(float(answer.rss / answer.total / 2), rel=1e-12)
    spread = np.std([solution.weights for solution in solutions], axis=0)
    told = np.mean([np.square(solution.uncertainty.sd[2:]) for solution in solutions if solution.uncertainty], axis=0)
    assert spread == pytest.approx(np.sqrt(told), rel=0.15)  # 200 draws: three of its standard errors


def test_ridge_of_a_column_beside_duplicates_that_it_does_not_reach(rng: np.random.Generator) -> None:
    """The penalty is lost in the rounding of the large columns, not in the small one's weight and error."""
    X, y, _ = problem("plain", rng)
    D = np.column_stack([X[:, 0] * 1e20, X[:, 1], X[:, 0] * 1e20])
    solution, answer = solve(D, y, None, True, 0.5), least_squares(D, y, None, True, 0.5)
    assert solution.weights == pytest.approx([float(v) for v in answer.coefficients[1:]], rel=1e-12)
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    assert uncertainty.sd[2:] == pytest.approx([float(v) for v in answer.std_errors[1:]], rel=1e-12)


@pytest.mark.parametrize("l2", [1e-300, 1e300, 1e308])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_ridge_at_the_ends_of_the_range(l2: float, weighted: bool, rng: np.random.Generator) -> None:
    X, y, w = problem("plain", rng)
    weight, y = w if weighted else None, y * 1e200
    answer = least_squares(X, y, weight, True, l2)
    solution = solve(X, y, weight, True, l2)
    assert not solution.dependencies
    assert max(relative(a, b) for a, b in zip(solution.weights, answer.coefficients[1:], strict=True)) < 1e-13


def test_the_objective_of_the_solution_is_the_objective(rng: np.random.Generator) -> None:
    X, y, w = problem("offset 1e9", rng)
    objective = Objective(Squared(), l2=0.2)
    solution = solve(X, y, w, True, 0.2)
    there = objective.of(
        ArraySource(X - 1e9, y, weight=w), solution.weights, solution.bias + 1e9 * solution.weights.sum()
    )
    assert solution.objective + objective.penalty(solution.weights) == pytest.approx(there, rel=1e-6)
    assert Fraction(solution.objective) > 0


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=7),
    st.lists(st.integers(-200, 200), min_size=4, max_size=4),
    st.booleans(),
    st.sampled_from(["float64", "exact"]),
)
def test_rank_and_predictions_of_small_integers(
    rows: list[list[int]], powers: list[int], intercept: bool, precision: Precision
) -> None:
    """Any pattern of dependencies among columns of any scale: the rank is the true one, residuals are orthogonal."""
    whole = np.array(rows, dtype=np.float64)
    y: Floats = np.array([i**2 % 7 + 1.0 for i in range(len(rows))])
    solution = solve(np.ldexp(whole, powers), y, None, intercept, 0.0, precision)
    if precision == "float64" and not solution.dependencies and not holds(solution):
        return  # rounding hides the dependency, and the Fit says so
    design = np.column_stack([np.ones(len(rows)), whole]) if intercept else whole
    assert solution.rank + intercept == np.linalg.matrix_rank(design)
    weights = np.ldexp(solution.weights, powers)
    assert weights == pytest.approx(standardised_pinv(whole, y, np.ones(len(rows)), intercept)[0], abs=1e-7)
    best = design @ (np.linalg.pinv(design, rcond=1e-10) @ y)
    assert whole @ weights + solution.bias == pytest.approx(best, abs=1e-9)
    assert len(solution.dependencies) == 4 - solution.rank
    for column, coefficients, constant in solution.dependencies:
        made = np.ldexp(whole, powers) @ coefficients + constant
        assert np.ldexp(made, -powers[column]) == pytest.approx(whole[:, column], abs=1e-9)
