"""The optimum of absolute and quantile loss, against HiGHS, published values, and slopes that no solver works out."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import lsq_linear

import linnet
from linnet.block import Block, InputError
from linnet.design import Design
from linnet.objective import Objective
from linnet.solvers.interior_point import InteriorPoint
from linnet.solvers.solver import Step
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source
from linnet.status import Status
from quantile_cases import KINDS, Case, random_case, weights_of

Floats = NDArray[np.float64]
DATA = "engel stackloss longley diabetes ccard copper randhie star98 anes96 scotland fair cancer committee cpunish "
MORE = "heart modechoice spector statecrime strikes"
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
ROUNDING = 1e-14
"""Relative error of an objective summed over some hundred rows, whose plane goes through numbers of usual size."""
LEVEL = 1e-9
"""Slope of the mean loss below which it is level; those of random problems are far above."""


def stored(name: str) -> tuple[Floats, Floats]:
    """A data set that comes with statsmodels or scikit-learn, without constant columns."""
    if name == "diabetes":
        from sklearn.datasets import load_diabetes

        X, y = load_diabetes(scaled=False, return_X_y=True)
    else:
        data = importlib.import_module(f"statsmodels.datasets.{name}").load_pandas()
        y = data.endog.to_numpy(float) if name != "star98" else data.endog.to_numpy(float)[:, 0]
        X = data.exog.to_numpy(float).reshape(len(y), -1)
        if name == "engel":  # Engel's law is about expenditure on food, by income
            X, y = y[:, None], X[:, 0]
    X, y = X[:500], y[:500]
    return X[:, np.ptp(X, axis=0) > 0], y


def check(case: Case, step: Step, rounding: float = ROUNDING) -> None:
    """As good as HiGHS's optimum, and no farther from it than the gap says."""
    assert step.objective is not None
    assert step.gap is not None
    ours, theirs = case.at(step), case.highs()
    assert step.objective == pytest.approx(ours, rel=max(rounding, 1e-10), abs=1e-300)
    assert ours <= theirs * (1 + 1e-10)
    assert ours <= theirs * (1 + step.gap + rounding)
    assert step.gap <= 1e-10


@pytest.mark.parametrize("name", [*DATA.split(), *MORE.split()])
def test_stored_data_against_highs(name: str) -> None:
    X, y = stored(name)
    for q in QUANTILES:
        case = Case(X, y, q)
        step = case.fit()
        check(case, step, 1e-10 if name in ("longley", "star98") else 1e-12)  # planes through numbers far from 0
        r = np.abs(case.residuals(step))
        passed = np.count_nonzero(r <= 1e-9 * r.mean())
        assert passed >= X.shape[1] + 1
        unique = case.steepness(step) > LEVEL
        assert (step.status is None) == unique
        assert step.status in (None, Status.NOT_UNIQUE)


@pytest.mark.parametrize("kind", KINDS)
def test_random_problems_against_highs(kind: str) -> None:
    """Ten of each kind: values, certificates, and whether other weights fit as well."""
    first = KINDS.index(kind)
    loose = {"offsets": 1e-10, "wild weights": 1e-12, "nearly saturated": 1e-12, "scales": 1e-12, "correlated": 1e-12}
    for seed in range(first, first + 10 * len(KINDS), len(KINDS)):
        named, case = random_case(seed)
        assert named == kind
        step = case.fit()
        check(case, step, loose.get(kind, 1e-13))
        if np.linalg.matrix_rank(case.columns) == case.columns.shape[1]:
            slope = case.steepness(step)
            assert slope > -LEVEL
            assert step.status is (None if slope > LEVEL else Status.NOT_UNIQUE), (seed, slope)


def test_known_values() -> None:
    """The medians of `engel` and `stackloss` as R's quantreg gives them."""
    X, y = stored("engel")
    fit = linnet.fit(X, y, loss="absolute", errors="none")
    np.testing.assert_allclose(fit.coefficients, [81.482247, 0.560181], rtol=1e-6)
    X, y = stored("stackloss")
    fit = linnet.fit(X, y, loss=linnet.Quantile(0.5), errors="none")
    np.testing.assert_allclose(fit.coefficients, [-39.689855, 0.831884, 0.573913, -0.060870], rtol=0, atol=5e-7)
    assert fit.solver == "interior-point"
    assert fit.status is Status.SOLVED
    assert fit.settings["q"] == 0.5
    assert 0 < fit.gap < 1e-14


def constructed() -> dict[str, tuple[Case, bool]]:
    """Problems of which it is plain whether the optimum is unique."""
    x = np.r_[np.zeros(4), np.ones(3)]
    rng = np.random.default_rng(3)
    X = rng.standard_normal((40, 2))
    return {
        "an even number of rows, one level": (Case(np.ones((10, 1)), np.arange(10.0), 0.5, intercept=False), False),
        "an odd number of rows, one level": (Case(np.ones((9, 1)), np.arange(9.0), 0.5, intercept=False), True),
        "two groups, one of even size": (Case(x[:, None], np.array([1.0, 2, 3, 4, 5, 6, 7]), 0.5), False),
        "two groups of odd size": (Case(x[1:, None], np.array([1.0, 2, 4, 5, 6, 9]), 0.5), True),
        "a quarter of four": (Case(x[:, None], np.array([1.0, 2, 3, 4, 5, 6, 7]), 0.25), False),
        "the same x, other y": (
            Case(np.repeat([[0.0], [1.0], [2.0]], 2, axis=0), np.array([0.0, 1, 0, 1, 0, 1]), 0.5),
            False,
        ),
        "each row twice": (Case(np.repeat(X, 2, axis=0), np.repeat(rng.standard_normal(40), 2), 0.3), True),
        "ties on the plane": (Case(np.arange(5.0)[:, None], np.array([0.0, 1, 2, 3, 9]), 0.5), True),
        "normal": (Case(X, rng.standard_normal(40), 0.5), True),
    }


@pytest.mark.parametrize("name", constructed())
def test_other_weights_that_fit_as_well_are_reported(name: str) -> None:
    """HiGHS moves along the optimal face, as far as it goes."""
    case, unique = constructed()[name]
    step = case.fit()
    check(case, step)
    rng = np.random.default_rng(1)
    reach = 0.0
    for _ in range(2):
        level = float(case.highs() * case.w.sum() * (1 + 1e-12))
        low, high = case.face(rng.standard_normal((case.columns.shape[1],)), level)
        reach = max(reach, high - low)
    assert (reach < 1e-7) == unique
    assert (step.status is None) == unique
    if not unique:
        assert step.status is Status.NOT_UNIQUE
        fit = linnet.fit(case.X, case.y, loss=linnet.Quantile(case.q), intercept=case.intercept, errors="none")
        assert fit.status is Status.NOT_UNIQUE
        assert "not uniquely" in str(fit).replace("\n", " ")


@pytest.mark.parametrize("loss", [linnet.Absolute(), linnet.Huber(0.5)])
def test_ambiguity_is_told_beside_columns_that_depend_on_each_other(loss: linnet.Loss) -> None:
    """Anything between the middle two of four numbers is a median, whatever else cannot be told."""
    x, y = np.array([[0.0], [0.0], [0.0], [0.0], [1.0]]), np.array([0.0, 1.0, 3.0, 7.0, 5.0])
    twice = linnet.fit(np.c_[x, 2 * x], y, loss=loss)
    assert twice.status is Status.RANK_DEFICIENT
    assert "other predictions fit these rows exactly as well" in twice.notes[-1]
    alone = linnet.fit(x, y, loss=loss)
    assert alone.status is Status.NOT_UNIQUE
    assert not any("exactly as well" in note for note in alone.notes)
    y[1:3] = 2.0
    assert not any("exactly as well" in note for note in linnet.fit(np.c_[x, 2 * x], y, loss=loss).notes)


def test_integer_ties_against_highs_moving_along_the_face() -> None:
    found = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        case = Case(rng.integers(-2, 3, (12, 2)).astype(float), rng.integers(-2, 3, 12).astype(float), 0.5)
        if np.linalg.matrix_rank(case.columns) < 3:
            continue
        step = case.fit()
        low, high = case.face(rng.standard_normal(3), case.highs() * 12 + 1e-11)
        assert (step.status is None) == (high - low < 1e-6), seed
        found.add(step.status)
    assert found == {None, Status.NOT_UNIQUE}


def dual(case: Case, step: Step, l2: float) -> float:
    """A lower bound of the penalised objective: the dual at multipliers fitted to the weights by least squares.

    For any a with (q-1)·w <= a <= q·w that add up to 0, Σ a·y - ‖Xᵀa‖²/(2·l2) lies below every objective.
    """
    assert step.weights is not None
    assert step.bias is not None
    w = case.w / case.w.sum()
    r = case.residuals(step)
    A = np.vstack([case.X.T / np.sqrt(l2), 1e3 * np.ones(r.size)]) if case.intercept else case.X.T / np.sqrt(l2)
    aim = np.r_[np.sqrt(l2) * step.weights, 0.0] if case.intercept else np.sqrt(l2) * step.weights
    best = -np.inf
    for tolerance in (1e-13, 1e-10, 1e-7):
        on = np.abs(r) <= tolerance * (np.abs(case.y).mean() + abs(step.bias))
        a = np.where(r > 0, case.q * w, (case.q - 1) * w)
        a[on] = 0.0
        if on.any():
            bounds = ((case.q - 1) * w[on], case.q * w[on])
            a[on] = lsq_linear(A[:, on], aim - A @ a, bounds=bounds, tol=1e-15, method="bvls").x
        if not case.intercept or abs(a.sum()) < 1e-12:
            value = a @ (case.y - step.bias) - ((case.X.T @ a) ** 2).sum() / (2 * l2)
            best = max(best, float(value))
    return best


@pytest.mark.parametrize(
    "kind", ["normal", "heavy tails", "scales", "ties", "no intercept", "wild weights", "correlated"]
)
@pytest.mark.parametrize("l2", [1e-12, 1e-4, 0.1, 10.0, 1e4])
def test_ridge_against_a_dual_bound(kind: str, l2: float) -> None:
    for seed in range(KINDS.index(kind), 3 * len(KINDS), len(KINDS)):
        case = random_case(seed)[1]
        step = case.fit(l2=l2)
        assert step.weights is not None
        assert step.objective is not None
        assert step.gap is not None
        value = case.at(step) + 0.5 * l2 * float(step.weights @ step.weights)
        assert step.objective == pytest.approx(value, rel=1e-9)
        assert step.gap <= 1e-9
        assert value - dual(case, step, l2) <= 1e-9 * value


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("size", [1e-9, 1e-12, 1e-16, 1e-30, 1e-100])
def test_weights_of_columns_far_smaller_than_others_keep_their_digits(size: float, intercept: bool) -> None:
    """Σ w·l2·weight is the sum of a column's numbers by their rows' slopes, which those on the plane leave open."""
    for seed in range(20):
        rng = np.random.default_rng([seed, 5])
        n, d, q = int(rng.choice([12, 40, 300])), int(rng.integers(2, 6)), float(rng.choice([0.5, 0.3, 0.9]))
        X = rng.standard_normal((n, d)) @ (np.eye(d) + rng.choice([0.0, 0.5, 5.0]) * rng.standard_normal((d, d)))
        y = X @ rng.standard_normal(d) + 0.5 + rng.standard_t(2, n)
        X[:, rng.permutation(d)[: d // 2]] *= size
        w, l2 = rng.uniform(0.1, 3, n), float(10.0 ** rng.integers(-8, 8))
        fit = linnet.fit(
            X, y, weight=w, loss=linnet.Quantile(q), l2=l2, intercept=intercept, errors="none", progress=False
        )
        r = y - fit.predict(X)
        on = np.abs(r) < 1e-9 * (np.abs(y) + np.abs(X) @ np.abs(fit.weights))
        slopes, whole = np.where(on, q - 0.5, np.where(r > 0, q, q - 1.0)), np.abs(X).T * w
        open_to = 0.5 * whole[:, on].sum(axis=1) + 1e-9 * whole.sum(axis=1)
        assert (np.abs(l2 * w.sum() * fit.weights - X.T @ (w * slopes)) <= open_to).all(), seed


def test_a_small_penalty_on_more_features_than_rows_leaves_the_smallest_weights_that_reproduce_the_target() -> None:
    """As long as multipliers stay within their bounds, whatever the quantile."""
    for seed in range(16):
        rng = np.random.default_rng([seed, 6])
        n, q = int(rng.integers(2, 6)), float(rng.choice([0.5, 0.3]))
        X = rng.integers(-3, 4, (n, n + int(rng.integers(1, 4)))).astype(float) * 2.0 ** rng.integers(0, 3)
        y, w = rng.integers(-5, 6, n).astype(float), rng.uniform(0.5, 2, n)
        if np.linalg.cond(X) > 100:
            continue
        multipliers = np.linalg.solve(X @ X.T, y)
        share = float(np.abs(multipliers / w).max()) * w.sum() / min(q, 1 - q)
        fit = fitted(X, y, linnet.Quantile(q), weight=w, l2=rng.choice([0.5, 1e-3, 1e-6]) / share, intercept=False)
        smallest = X.T @ multipliers
        assert fit.status is Status.SOLVED, seed
        assert np.abs(fit.weights - smallest).max() <= 1e-11 * np.abs(smallest).max(), seed


def test_a_penalised_path_that_goes_round_in_circles_is_left() -> None:
    X = np.array([[0.024, 0.148], [0.998, 0.739], [-0.438, -0.893], [-0.702, 0.603]])
    y, l2 = np.array([-1.097, -0.898, -0.347, 0.511]), 0.3234
    fit = fitted(X, y, linnet.Quantile(0.95), l2=l2, intercept=False)
    on = np.abs(y - X @ fit.weights) < 1e-12
    slopes = np.where(y > X @ fit.weights, 0.95, -0.05)
    assert fit.status is Status.SOLVED
    assert on.tolist() == [False, False, False, True]
    multiplier = lsq_linear(X[on].T, 4 * l2 * fit.weights - X[~on].T @ slopes[~on], bounds=(-0.05, 0.95))
    assert np.abs(multiplier.fun).max() < 1e-12


def test_a_target_of_0_does_not_hold_the_plane_of_a_far_smaller_column() -> None:
    """Whatever the slope of its own row, the others' make the weight what it is."""
    x = np.array([-2, 0, 2, -1, 2, 2, 1, 1, -2, 0, -2, 0, -1, -1, 0, 1, 2, 0, 0, 1, 0, 1, 2, -1, 1, 0])
    y = np.array([-46, 43, -61, -60, 17, 23, -145, -24, -97, 86, -38, -27, 10, 0, 88, -66, -60, -31, -35, -52, 1, 68])
    y, size, l2 = np.r_[y, -85, -50, 4, -117], 2.0**-255, 0.00013328926940437221
    fit = fitted(size * x[:, None], y, l2=l2, intercept=False)
    assert abs(26 * l2 * fit.weights[0] / size - float(x @ np.sign(y))) <= 1 + 1e-9


def test_several_quantiles_are_each_as_alone() -> None:
    for kind in ("normal", "Cauchy", "ties", "whole weights", "no intercept"):
        case = random_case(KINDS.index(kind))[1]
        source = ArraySource(case.X, case.y, weight=case.weight)
        objectives = [Objective(linnet.Quantile(q), intercept=case.intercept) for q in QUANTILES]
        run = InteriorPoint().several(objectives, source)
        together = drained(run)
        assert len(together) == len(QUANTILES)
        for objective, each in zip(objectives, together, strict=True):
            alone = list(InteriorPoint().steps(objective, source))[-1]
            assert weights_of(each).tobytes() == weights_of(alone).tobytes()
            assert (each.objective, each.gap) == (alone.objective, alone.gap)
            assert (each.status, each.squares) == (alone.status, alone.squares)


def drained(run: Any) -> list[Step]:
    """What a generator of Steps returns."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            steps: list[Step] = end.value
            return steps


def test_the_median_is_half_the_absolute_loss() -> None:
    case = random_case(0)[1]
    source = ArraySource(case.X, case.y)
    half = list(InteriorPoint().steps(Objective(linnet.Quantile(0.5)), source))[-1]
    whole = list(InteriorPoint().steps(Objective(linnet.Absolute()), source))[-1]
    assert half.objective is not None
    assert weights_of(half).tobytes() == weights_of(whole).tobytes()
    assert whole.objective == 2 * half.objective
    assert half.settings == {"q": 0.5}
    # with ridge, the same weights at twice the penalty
    half = list(InteriorPoint().steps(Objective(linnet.Quantile(0.5), l2=0.05), source))[-1]
    whole = list(InteriorPoint().steps(Objective(linnet.Absolute(), l2=0.1), source))[-1]
    np.testing.assert_allclose(weights_of(whole), weights_of(half), rtol=1e-9)


def test_what_the_last_step_carries() -> None:
    case = random_case(1)[1]
    source = ArraySource(case.X, case.y, block_rows=10)
    steps = list(InteriorPoint().steps(Objective(linnet.Absolute()), source))
    assert all(step.weights is None for step in steps[:-1])
    assert len(steps) > case.y.size // 10
    last = steps[-1]
    r = case.residuals(last)
    assert last.squares == pytest.approx(float(r @ r) / r.size, rel=1e-9)
    assert last.survey is not None
    assert last.survey.n == last.rows == case.y.size
    assert last.solution is last.survey.solution
    assert last.solution is not None
    want = np.linalg.lstsq(np.column_stack([np.ones(r.size), case.X]), case.y, rcond=None)[0]
    np.testing.assert_allclose(last.solution.weights, want[1:], rtol=1e-8)
    assert last.moments is not None


def fitted(X: Floats, y: Floats, loss: str | linnet.Loss = "absolute", **options: Any) -> linnet.Fit:
    return linnet.fit(X, y, loss=loss, errors="none", **options)


def test_dependent_columns() -> None:
    """The optimum of the others, in the smallest standardised weights."""
    _, case = random_case(0)
    X = np.column_stack([case.X, case.X[:, 0], np.full(case.y.size, 3.0)])
    for q in QUANTILES:
        fit, plain = fitted(X, case.y, linnet.Quantile(q)), fitted(case.X, case.y, linnet.Quantile(q))
        assert fit.status is Status.RANK_DEFICIENT
        assert fit.objective == pytest.approx(plain.objective, rel=1e-12)
        np.testing.assert_allclose(fit.predict(X), plain.predict(case.X), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(fit.weights[[0, -2]], [plain.weights[0] / 2] * 2, rtol=1e-9)
        assert fit.weights[-1] == 0
        assert fit.gap < 1e-10


def test_few_rows() -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((8, 4)), rng.standard_normal(8)
    for rows in range(1, 6):
        fit = fitted(X[:rows], y[:rows])
        assert fit.status in (Status.SATURATED, Status.RANK_DEFICIENT)
        assert fit.gap == fit.objective == 0
        np.testing.assert_allclose(fit.predict(X[:rows]), y[:rows], rtol=1e-9)
    assert fitted(X[:5], y[:5]).status is Status.SATURATED
    assert fitted(X[:6], y[:6]).status is Status.SOLVED


def test_targets_that_are_reproduced() -> None:
    rng = np.random.default_rng(2)
    X = rng.integers(-9, 10, (30, 3)).astype(float)
    fit = fitted(X, X @ [1.0, -2.0, 3.0] + 4)
    assert fit.status is Status.PERFECT
    assert fit.objective == fit.gap == 0
    np.testing.assert_allclose(fit.coefficients, [4, 1, -2, 3], rtol=1e-14)
    for value in (0.0, 3.3, -1e12):
        for q in QUANTILES:
            fit = fitted(X, np.full(30, value), linnet.Quantile(q))
            assert fit.status is Status.PERFECT
            assert fit.bias == value
            assert not fit.weights.any()
    spoiled = X @ [1.0, -2.0, 3.0] + 4 + 5 * (np.arange(30) == 7)  # one row: the others still decide
    fit = fitted(X, spoiled)
    np.testing.assert_allclose(fit.coefficients, [4, 1, -2, 3], rtol=1e-12)
    assert fit.objective == pytest.approx(5 / 30, rel=1e-12)
    assert fit.status is Status.SOLVED


def test_features_that_do_not_vary() -> None:
    y = np.random.default_rng(2).standard_normal(31)
    fit = fitted(np.zeros((31, 2)), y)
    assert fit.bias == np.median(y)
    assert not fit.weights.any()
    none = fitted(np.zeros((31, 2)), y, intercept=False)
    assert not none.coefficients.any()
    assert none.objective == pytest.approx(np.abs(y).mean(), rel=1e-14)
    assert none.residual_sd == pytest.approx(np.sqrt(y @ y / 31), rel=1e-13)
    assert none.r2 == pytest.approx(0, abs=1e-14)
    assert none.status is Status.RANK_DEFICIENT


def test_dependent_columns_are_said_before_an_optimum_that_is_not_unique() -> None:
    """A median of ten rows lies anywhere between two of them; but first of all, the columns are the same."""
    group, y = np.array([0.0, 1.0] * 10), np.arange(20.0) ** 2
    assert fitted(group[:, None], y).status is Status.NOT_UNIQUE
    assert fitted(np.column_stack([group, group]), y).status is Status.RANK_DEFICIENT


class Once(Source):
    """Rows that can be read a single time."""

    rereadable = False
    target = "y"
    rows = None
    design = Design.numbers(["a"])

    def blocks(self) -> Iterator[Block]:
        yield Block(np.arange(9.0)[:, None], np.arange(9.0))


def test_refusals() -> None:
    X, y = np.arange(9.0)[:, None], np.arange(9.0)
    run = InteriorPoint().steps(Objective(linnet.Absolute()), Once())
    with pytest.raises(InputError, match=r"solver takes several passes.* can be read only once: give a table"):
        list(run)
    wide = ArraySource(np.zeros((2, 4097)), np.zeros(2))
    with pytest.raises(InputError, match=r"up to 4,096 features, but there are 4,097: .*sgd"):
        list(InteriorPoint().steps(Objective(linnet.Absolute()), wide))
    for loss in (linnet.Squared(), linnet.Huber(1.0)):
        with pytest.raises(InputError, match=f"not {loss.name}"):
            list(InteriorPoint().steps(Objective(loss), ArraySource(X, y)))
    for passes in (2, 0, -1):
        with pytest.raises(InputError, match="passes must be a whole number from 3 on"):
            InteriorPoint(passes=passes)


def excess(X: Floats, y: Floats, q: float, weights: Floats, bias: float) -> float:
    """How far the loss of weights lies above the minimum, relative to it, from residuals that nothing rounds."""
    from fractions import Fraction

    from scipy.optimize import linprog

    def exact(b: float, w: list[float]) -> list[Fraction]:
        fits = [sum(Fraction(float(x)) * Fraction(float(v)) for x, v in zip(row, w, strict=True)) for row in X]
        return [Fraction(float(v)) - Fraction(float(b)) - fit for v, fit in zip(y, fits, strict=True)]

    def loss(r: list[Fraction]) -> float:
        share = Fraction(q)
        return float(sum(max(share * v, (share - 1) * v) for v in r))

    n, d = X.shape
    r = np.array([float(v) for v in exact(1.0, [1.0, 2.0, 3.0])])
    size = np.abs(r).max()
    A = np.c_[np.ones(n), X, np.eye(n), -np.eye(n)]
    cost = np.r_[np.zeros(d + 1), np.full(n, q), np.full(n, 1 - q)]
    least = linprog(cost, A_eq=A, b_eq=r / size, bounds=[(None, None)] * (d + 1) + [(0, None)] * (2 * n)).fun * size
    return float(loss(exact(bias, list(weights))) / least - 1)


@pytest.mark.parametrize("noise", [1e-7, 1e-11])
@pytest.mark.parametrize("n", [20, 300])
@pytest.mark.parametrize("q", [0.5, 0.1])
def test_nearly_exact_data_are_solved_with_a_bound_that_holds(noise: float, n: int, q: float) -> None:
    """Rounding of the target is much beside such residuals: it is in the gap, and no reason to be unfinished."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((n, 3))
        y = X @ [1.0, 2, 3] + 1 + noise * rng.standard_normal(n)
        fit = linnet.fit(X, y, loss=linnet.Quantile(q), errors="none")
        assert fit.status is Status.SOLVED
        assert excess(X, y, q, fit.weights, fit.bias) <= fit.gap < 1e3 * 2.0**-52 / noise


@pytest.mark.parametrize("loss", ["absolute", "huber"])
def test_exactly_linear_data_far_from_0_are_solved(loss: str) -> None:
    """What is left is rounding of the target, which least squares calls solved as well."""
    for n in (30, 300):
        X = np.random.default_rng(n).standard_normal((n, 4))
        for offset in (1e3, 1e8):
            fit = linnet.fit(X, X @ [1.0, 2, 3, 4] + offset, loss=loss, errors="none")
            assert fit.status.converged
            assert fit.status is not Status.NOT_UNIQUE
            np.testing.assert_allclose(fit.weights, [1, 2, 3, 4], atol=4 * 2.0**-52 * offset)
