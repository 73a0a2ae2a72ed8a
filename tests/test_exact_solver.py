"""The exact solver: which rung it takes, how often it reads, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import Block, InputError
from linnet.design import Design
from linnet.fitting import fit_source
from linnet.losses import Loss, Squared
from linnet.moments import Moments
from linnet.objective import Objective
from linnet.solvers import exact as exact_module
from linnet.solvers.exact import Exact, holds, is_small
from linnet.solvers.solver import Step
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source

Floats = NDArray[np.float64]
N = 300_000
LEAST = Objective(Squared())


class Once(Source):
    """A stream that knows neither its length nor how to begin again."""

    def __init__(self, X: Floats, y: Floats, block_rows: int) -> None:
        self.X, self.y, self.block_rows = X, y, block_rows
        self.design = Design.numbers([f"x{j + 1}" for j in range(X.shape[1])], from_array=True)
        self.target, self.rows, self.rereadable, self.read = "y", None, False, 0

    def blocks(self) -> Iterator[Block]:
        self.read += 1
        if self.read > 1:
            raise InputError("The stream has been read: it cannot begin again.")
        for i in range(0, len(self.y), self.block_rows):
            yield Block(self.X[i : i + self.block_rows], self.y[i : i + self.block_rows], start=i)


def large(n: int = N, gap: float | None = None) -> tuple[Floats, Floats]:
    """Too large for the exact rung at once; with a gap, its last column nearly repeats its first."""
    rng = np.random.default_rng(11)
    X = rng.standard_normal((n, 6))
    if gap is not None:
        X[:, 5] = X[:, 0] + gap * X[:, 5]
    return X, X @ np.arange(1.0, 7.0) + 3 + rng.standard_normal(n)


@pytest.fixture(scope="module")
def benign() -> tuple[Floats, Floats]:
    return large()


@pytest.fixture(scope="module")
def awkward() -> tuple[Floats, Floats]:
    return large(gap=1e-7)


def last(solver: Exact, source: Source, objective: Objective = LEAST) -> Step:
    return list(solver.steps(objective, source))[-1]


def test_small_is_exact_at_once(rng: np.random.Generator) -> None:
    X = rng.standard_normal((50, 3))
    step = last(Exact(), ArraySource(X, X[:, 0] + 1))
    assert step.solution is not None
    assert (step.epoch, step.solution.equations.precision, step.precise) == (1, "exact", True)


def test_benign_data_stay_with_float64_and_agree(benign: tuple[Floats, Floats]) -> None:
    X, y = benign
    auto, exact = linnet.fit(X, y), linnet.fit(X, y, precision="exact")
    assert (auto.precision, auto.passes, exact.precision) == ("float64", 1, "exact")
    np.testing.assert_allclose(auto.weights, exact.weights, rtol=1e-9)
    np.testing.assert_allclose(auto.bias, exact.bias, rtol=1e-9)
    np.testing.assert_allclose(auto.std_errors, exact.std_errors, rtol=1e-9)
    np.testing.assert_allclose([auto.r2, auto.residual_sd], [exact.r2, exact.residual_sd], rtol=1e-9)


def test_ill_conditioned_data_climb_to_exact(awkward: tuple[Floats, Floats]) -> None:
    X, y = awkward
    auto, exact = linnet.fit(X, y), linnet.fit(X, y, precision="exact")
    assert (auto.precision, auto.passes) == ("exact", 2)
    assert auto.weights.tobytes() == exact.weights.tobytes()
    assert auto.status is linnet.Status.SOLVED
    assert linnet.fit(X, y, precision="float64").precision == "float64"


@pytest.mark.parametrize("what", ["perfect", "duplicate", "constant", "offset", "constant target", "tiny target"])
def test_what_else_climbs(what: str, benign: tuple[Floats, Floats]) -> None:
    """Cases in which float64 sums cannot tell rounding from signal."""
    X, y = benign[0].copy(), benign[1]
    if what == "perfect":
        y = X @ np.arange(1.0, 7.0)
    elif what == "duplicate":
        X[:, 3] = 2 * X[:, 1]
    elif what == "constant":
        X[:, 3] = 0.1
    elif what == "offset":  # after rows that do not show it
        X[:1024, 3] = 0
        X[1024:, 3] += 1e8
        X[:, 2] = X[:, 3] + X[:, 2]
    elif what == "constant target":
        y = np.full(len(y), 0.1)
    else:
        y = y * 1e-300
    auto, exact = linnet.fit(X, y), linnet.fit(X, y, precision="exact")
    np.testing.assert_allclose(auto.weights, exact.weights, rtol=1e-9)
    assert auto.status is exact.status
    assert auto.r2 == pytest.approx(exact.r2, rel=1e-9, nan_ok=True)


def test_first_rows_that_hardly_count_and_lie_far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums about their mean cancel, which is no fault of the columns' own condition."""
    monkeypatch.setattr(exact_module, "SMALL", 1000)
    rng = np.random.default_rng(11)
    X = rng.standard_normal((5000, 2))
    X[:, 1] = X[:, 0] + 0.01 * X[:, 1]
    y = X @ [1.0, 2.0] + rng.standard_normal(5000)
    assert linnet.fit(X, y).precision == "float64"
    X[:1024] += 1e4
    w = np.where(np.arange(5000) < 1024, 1e-9, 1.0)
    auto, exact = linnet.fit(X, y, weight=w), linnet.fit(X, y, weight=w, precision="exact")
    assert auto.precision == "exact"
    assert auto.weights.tobytes() == exact.weights.tobytes()


def test_a_stream_that_needs_more_says_that_it_is_imprecise(
    benign: tuple[Floats, Floats], awkward: tuple[Floats, Floats]
) -> None:
    X, y = awkward
    source = Once(X, y, 50_000)
    fit, _ = fit_source(source)
    assert source.read == 1
    assert fit.status is linnet.Status.IMPRECISE
    assert not fit.status.converged
    assert 'precision="exact"' in str(fit)
    assert last(Exact(), Once(*benign, 50_000)).precise
    exact = last(Exact("exact"), Once(X, y, 50_000))
    assert exact.precise
    assert exact.weights is not None
    assert exact.weights.tobytes() == linnet.fit(X, y, precision="exact").weights.tobytes()


def test_a_short_stream_is_exact(rng: np.random.Generator) -> None:
    """One that fits into one block is known whole before any arithmetic; one of two blocks is not."""
    X, y = rng.standard_normal((500, 2)), rng.standard_normal(500)
    for block_rows, rung in ((500, "exact"), (1000, "exact"), (300, "float64")):
        step = last(Exact(), Once(X, y, block_rows))
        assert step.solution is not None
        assert step.solution.equations.precision == rung
        assert step.solution.equations.n == 500


def test_a_stream_without_rows() -> None:
    with pytest.raises(InputError, match="no rows to fit"):
        last(Exact(), Once(np.empty((0, 2)), np.empty(0), 10))


def test_a_step_for_each_block_then_the_answer(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((100, 2)), rng.standard_normal(100)
    steps = list(Exact().steps(LEAST, ArraySource(X, y, block_rows=30)))
    assert [step.rows for step in steps] == [30, 60, 90, 100, 100]
    assert [step.step for step in steps[:-1]] == [1, 2, 3, 4]
    assert all(step.weights is None for step in steps[:-1])
    assert steps[-1].moments is not None
    again = steps[-1].moments.solve()
    assert steps[-1].weights is not None
    assert again.weights.tobytes() == steps[-1].weights.tobytes()
    assert steps[-1].objective == pytest.approx(LEAST.of(ArraySource(X, y), again.weights, again.bias), rel=1e-12)


def test_is_small() -> None:
    assert is_small(1000, 3)
    assert is_small(671_000, 3)
    assert not is_small(672_000, 3)
    assert not is_small(10, 101)


def test_holds_is_about_condition_and_cancellation(rng: np.random.Generator) -> None:
    X = rng.standard_normal((400, 2))
    y = X[:, 0] + rng.standard_normal(400)

    def judged(X: Floats, y: Floats = y) -> bool:
        return holds(Moments.of(Block(X, y)).solve())

    assert judged(X)
    assert judged(X * [1e-12, 1e12])
    assert judged(X + 1e6)
    assert not judged(np.column_stack([X, X[:, 0] + 1e-5 * X[:, 1] ** 2]))
    assert not judged(np.column_stack([X, X[:, 0]]))
    assert not judged(X, X[:, 0])
    assert not judged(X * [1e-160, 1.0])
    assert not judged(X, y * 1e-170)


class Cubed(Loss):
    name = "cubed"

    def value(self, r: Floats) -> Floats:
        return np.abs(r) ** 3

    slope = curvature = value


def test_other_losses_are_refused(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((10, 2)), rng.standard_normal(10)
    with pytest.raises(InputError, match="is for squared loss, not cubed"):
        last(Exact(), ArraySource(X, y), Objective(Cubed()))
    with pytest.raises(InputError, match="No solver here lowers cubed loss"):
        linnet.fit(X, y, loss=Cubed())


@pytest.mark.parametrize("precision", ["double", "", None, 64])
def test_an_unknown_precision_is_refused(precision: Any) -> None:
    with pytest.raises(InputError, match='precision must be "auto", "float64" or "exact"'):
        Exact(precision)


@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize(("column", "value"), [("x2", np.nan), ("x1", np.inf), ("y", np.nan), ("y", -np.inf)])
def test_numbers_that_are_not_finite_are_named(
    precision: Any, column: str, value: float, rng: np.random.Generator
) -> None:
    X, y = rng.standard_normal((5000, 2)), rng.standard_normal(5000)
    (y if column == "y" else X[:, int(column[1]) - 1])[4321] = value
    with pytest.raises(InputError, match=rf"Column '{column}' is .* in row 4,322"):
        last(Exact(precision), ArraySource(X, y, block_rows=1000))


def scaled(X: Floats) -> Floats:
    Z = X.copy()
    Z[:, 0] = np.ldexp(Z[:, 0], -531)  # 1e-160
    Z[:, 1] = np.ldexp(Z[:, 1], 996)  # 1e300
    return Z


SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "plain": lambda X: X,
    "constant": lambda X: np.column_stack([X[:, :5], np.full(N, 0.1)]),
    "duplicate": lambda X: np.column_stack([X[:, :5], 3 * X[:, 0] + 1]),
    "near duplicate": lambda X: np.column_stack([X[:, :5], X[:, 0] + 1e-9 * X[:, 5]]),
    "scales": scaled,
    "offset 1e12": lambda X: np.column_stack([X[:, :5], X[:, 5] + 1e12]),
    "zeros": lambda X: X * 0,
}
LARGE_OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weights, hc3": {"errors": "hc3", "weight": np.random.default_rng(3).uniform(0.1, 2, N)},
    "no intercept": {"intercept": False},
    "ridge": {"l2": 0.1},
}


@pytest.mark.parametrize("option", LARGE_OPTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_large(benign: tuple[Floats, Floats], shape: str, option: str) -> None:
    """What the ladder settles on agrees with the exact rung."""
    X, y = SHAPES[shape](benign[0]), benign[1]
    options = LARGE_OPTIONS[option]
    fit, want = linnet.fit(X, y, **options), linnet.fit(X, y, precision="exact", **options)
    np.testing.assert_allclose(fit.weights, want.weights, rtol=1e-8, atol=1e-13 if shape == "zeros" else 0)
    np.testing.assert_allclose([fit.bias, fit.r2], [want.bias, want.r2], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(fit.std_errors, want.std_errors, rtol=1e-7)
    assert fit.status is want.status
    assert fit.notes == want.notes
    assert max(map(len, str(fit).split("\n"))) <= 80


@pytest.mark.parametrize("target", [1e300, 1e-300, 0.0])
def test_large_target(benign: tuple[Floats, Floats], target: float) -> None:
    X, y = benign
    fit, want = linnet.fit(X, y * target), linnet.fit(X, y)
    if target:
        np.testing.assert_allclose(fit.weights / target, want.weights, rtol=1e-9)
        np.testing.assert_allclose(fit.std_errors / target, want.std_errors, rtol=1e-9)
    else:
        assert fit.status is linnet.Status.PERFECT
        assert not fit.coefficients.any()
    assert max(map(len, str(fit).split("\n"))) <= 80


@pytest.mark.parametrize("power", [996, -565])
@pytest.mark.parametrize("what", ["column", "target"])
def test_float64_alone_refuses_or_says_so(benign: tuple[Floats, Floats], what: str, power: int) -> None:
    """At 1e300 sums leave the range; at 1e-170 they vanish, which nobody can tell from a column that does not vary."""
    X, y = benign[0][:5000].copy(), benign[1][:5000].copy()
    if what == "column":
        X[:, 1] = np.ldexp(X[:, 1], power)
    else:
        y = np.ldexp(y, power)
    if power > 0:
        with pytest.raises(InputError, match=r"float64|rescale"):
            linnet.fit(X, y, precision="float64")
    else:
        assert linnet.fit(X, y, precision="float64").status is linnet.Status.IMPRECISE


def test_large_with_gaps(benign: tuple[Floats, Floats]) -> None:
    X, y = benign[0].copy(), benign[1]
    X[123_456, 3] = X[7, 0] = np.nan
    fit = linnet.fit(X, y, missing="drop")
    want = linnet.fit(np.delete(X, [7, 123_456], 0), np.delete(y, [7, 123_456]))
    assert (fit.n, fit.n_dropped) == (N - 2, 2)
    np.testing.assert_allclose(fit.weights, want.weights, rtol=1e-11)
