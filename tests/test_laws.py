"""What must hold for every solver that it concerns, whatever its arithmetic."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import linnet
from linnet.block import Block
from linnet.moments import Moments, Precision
from linnet.objective import residual
from linnet.sources.arrays import ArraySource
from reference_sgd import permutation

Floats = NDArray[np.float64]
N, D = 300, 4
PRECISIONS: list[Precision] = ["float64", "exact"]
OPTIONS: dict[str, dict[str, Any]] = {"plain": {}, "no intercept": {"intercept": False}, "ridge": {"l2": 0.3}}
every_precision = pytest.mark.parametrize("precision", PRECISIONS)
every_option = pytest.mark.parametrize("name", OPTIONS)


def table(seed: int = 5, n: int = N) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, D)) * [1.0, 0.1, 10.0, 1.0] + [0.0, 5.0, -20.0, 1.0]
    return X, X @ [1.0, -2.0, 0.3, 4.0] + 2 + rng.standard_normal(n), rng.uniform(0.1, 3, n)


def same(a: linnet.Fit, b: linnet.Fit, rel: float = 1e-10) -> None:
    """What weights, rows and order must leave alone: the weights, the bias and the objective."""
    np.testing.assert_allclose(a.weights, b.weights, rtol=rel)
    np.testing.assert_allclose([a.bias, a.objective, a.r2], [b.bias, b.objective, b.r2], rtol=rel)


def solve(blocks: list[Block], precision: Precision) -> Any:
    total = Moments.of(blocks[0], precision)
    for block in blocks[1:]:
        total = total + Moments.of(block, precision)
    return total.solve()


@every_precision
@every_option
def test_row_order(precision: Precision, name: str) -> None:
    X, y, w = table()
    order = np.random.default_rng(1).permutation(N)
    a = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    b = linnet.fit(X[order], y[order], weight=w[order], precision=precision, **OPTIONS[name])
    same(a, b)
    np.testing.assert_allclose(a.std_errors, b.std_errors, rtol=1e-10)
    if precision == "exact":
        assert a.weights.tobytes() == b.weights.tobytes()
        assert a.bias == b.bias


@given(st.lists(st.integers(1, N - 1), max_size=6), st.sampled_from(PRECISIONS), st.randoms(use_true_random=False))
def test_blocks_of_any_size_in_any_order(cuts: list[int], precision: Precision, random: Any) -> None:
    """Cuts that coincide make empty blocks."""
    X, y, w = table()
    bounds = [0, *sorted(cuts), N]
    blocks = [Block(X[a:b], y[a:b], w[a:b], a) for a, b in pairwise(bounds)]
    random.shuffle(blocks)
    whole, parts = solve([Block(X, y, w)], precision), solve(blocks, precision)
    np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-10)
    np.testing.assert_allclose(parts.bias, whole.bias, rtol=1e-10)
    if precision == "exact":
        assert parts.weights.tobytes() == whole.weights.tobytes()
        assert parts.bias == whole.bias


@every_precision
def test_block_size_of_a_source(precision: Precision) -> None:
    X, y, w = table()
    solver = linnet.Exact(precision)
    objective = linnet.Objective(linnet.Squared())
    answers = []
    for block_rows in (1, 7, 64, N, 10 * N):
        step = list(solver.steps(objective, ArraySource(X, y, weight=w, block_rows=block_rows)))[-1]
        assert step.weights is not None
        answers.append(step.weights)
    for answer in answers:
        np.testing.assert_allclose(answer, answers[0], rtol=1e-10)
    if precision == "exact":
        assert len({answer.tobytes() for answer in answers}) == 1


@every_precision
@every_option
def test_weight_2_is_the_row_twice(precision: Precision, name: str) -> None:
    """For weights, bias and objective; standard errors take weights as inverse variances, not as counts of rows."""
    X, y, _ = table()
    counts = np.arange(N) % 4
    a = linnet.fit(X, y, weight=counts, precision=precision, **OPTIONS[name])
    b = linnet.fit(np.repeat(X, counts, 0), np.repeat(y, counts), precision=precision, **OPTIONS[name])
    same(a, b)
    assert [a.n, b.n] == [np.count_nonzero(counts), counts.sum()]
    assert (a.std_errors > 1.1 * b.std_errors).all()


@every_precision
@every_option
@pytest.mark.parametrize("errors", ["classical", "hc0", "hc1", "hc2", "hc3"])
def test_weight_0_is_the_row_absent(precision: Precision, name: str, errors: Any) -> None:
    X, y, w = table()
    w[::5] = 0
    kept = w > 0
    b = linnet.fit(X[kept], y[kept], weight=w[kept], precision=precision, errors=errors, **OPTIONS[name])
    X[0], y[5] = 1e6, -1e6  # which nobody must notice
    a = linnet.fit(X, y, weight=w, precision=precision, errors=errors, **OPTIONS[name])
    same(a, b, 1e-9)
    assert a.n == b.n
    assert a.df_residual == pytest.approx(b.df_residual, rel=1e-9)
    np.testing.assert_allclose(a.std_errors, b.std_errors, rtol=1e-9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("missing", [-np.finfo(np.float64).max, 1e160, np.nan, -np.inf])
@pytest.mark.parametrize(
    "how",
    [
        {"errors": "hc3"},
        {"loss": "absolute"},
        {"loss": linnet.Huber(k=1.345)},
        {"solver": "sgd"},
        {"loss": "huber", "solver": "sgd"},
    ],
    ids=str,
)
def test_a_row_of_weight_0_may_hold_what_other_programs_write_for_missing(missing: float, how: dict[str, Any]) -> None:
    """Numbers whose squares leave float64's range, or none; from an array, which stays as it is, and from a table."""
    X, y, w = table()
    w[::5] = 0
    before = linnet.fit(X, y, weight=w, **how)
    X[0], X[5, 2], y[5] = missing, missing, missing
    columns = pd.DataFrame(X, columns=["x1", "x2", "x3", "x4"]).assign(y=y, w=w)
    for after in (linnet.fit(X, y, weight=w, **how), linnet.fit(columns, "y", weight="w", **how)):
        np.testing.assert_allclose(after.coefficients, before.coefficients, rtol=1e-12)
        np.testing.assert_allclose(after.std_errors, before.std_errors, rtol=1e-12)
        assert (after.status, after.notes) == (before.status, before.notes)
    np.testing.assert_array_equal([X[0, 0], X[5, 2], y[5]], missing)


@every_precision
@pytest.mark.parametrize("errors", ["classical", "hc3"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_of_weight_0_need_not_hold_numbers(precision: Precision, errors: Any, bad: float) -> None:
    """The same in both precisions, so that the answer does not depend on the size of the data; others must."""
    X, y, w = table()
    w[17] = 0
    before = linnet.fit(X, y, weight=w, precision=precision, errors=errors)
    X[17, 2] = bad
    after = linnet.fit(X, y, weight=w, precision=precision, errors=errors)
    np.testing.assert_array_equal(after.coefficients, before.coefficients)
    np.testing.assert_array_equal(after.std_errors, before.std_errors)
    X[18, 2] = bad
    with pytest.raises(linnet.InputError, match=r"Column 'x3' is .* row 19, one of 1 such"):
        linnet.fit(X, y, weight=w, precision=precision, errors=errors)


@every_precision
@every_option
@pytest.mark.parametrize(("a", "c"), [(2.0, 0.0), (-0.5, 3.0), (1e8, -1e9), (0.0, 4.0)])
def test_affine_target(precision: Precision, name: str, a: float, c: float) -> None:
    """The weights follow a, the bias a and c; without an intercept only a is allowed."""
    X, y, w = table()
    c = 0.0 if name == "no intercept" else c
    before = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    after = linnet.fit(X, a * y + c, weight=w, precision=precision, **OPTIONS[name])
    np.testing.assert_allclose(after.weights, a * before.weights, rtol=1e-9, atol=0 if a else 1e-14)
    assert after.bias == pytest.approx(a * before.bias + c, rel=1e-8, abs=1e-13)
    if a:
        np.testing.assert_allclose(after.std_errors, abs(a) * before.std_errors, rtol=1e-6)


@every_precision
@pytest.mark.parametrize("name", ["plain", "no intercept"])
def test_scaling_by_powers_of_two_changes_no_bit(precision: Precision, name: str) -> None:
    X, y, w = table()
    powers = np.array([3, -40, 60, 0])
    before = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    after = linnet.fit(np.ldexp(X, powers), np.ldexp(y, 7), weight=w, precision=precision, **OPTIONS[name])
    assert np.ldexp(after.weights, powers - 7).tobytes() == before.weights.tobytes()
    assert np.ldexp(after.std_errors, powers - 7).tobytes() == before.std_errors.tobytes()
    assert np.ldexp(after.bias, -7) == before.bias
    assert (after.r2, after.condition) == (before.r2, before.condition)


@every_precision
@pytest.mark.parametrize("name", ["plain", "no intercept"])
def test_scaling_by_anything(precision: Precision, name: str) -> None:
    X, y, w = table()
    scale = np.array([3.0, 1e-9, 7e12, -1.0])
    before = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    after = linnet.fit(X * scale, y, weight=w, precision=precision, **OPTIONS[name])
    np.testing.assert_allclose(after.weights * scale, before.weights, rtol=1e-10)
    np.testing.assert_allclose(after.std_errors * np.abs(scale), before.std_errors, rtol=1e-10)
    np.testing.assert_allclose([after.bias, after.r2], [before.bias, before.r2], rtol=1e-10)
    np.testing.assert_allclose(after.p_values, before.p_values, rtol=1e-7)


@every_precision
@every_option
def test_permuting_columns(precision: Precision, name: str) -> None:
    X, y, w = table()
    order = [2, 0, 3, 1]
    before = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    after = linnet.fit(X[:, order], y, weight=w, precision=precision, **OPTIONS[name])
    np.testing.assert_allclose(after.weights, before.weights[order], rtol=1e-10)
    np.testing.assert_allclose(after.std_errors, before.std_errors[order], rtol=1e-10)
    np.testing.assert_allclose([after.bias, after.r2], [before.bias, before.r2], rtol=1e-10)


@every_precision
def test_moving_the_features_moves_only_the_bias(precision: Precision) -> None:
    X, y, w = table()
    move = np.array([16.0, -1024.0, 0.5, 8192.0])
    X = np.round(X * 1024) / 1024  # so that moving them rounds nothing
    before = linnet.fit(X, y, weight=w, precision=precision)
    after = linnet.fit(X + move, y, weight=w, precision=precision)
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-10)
    np.testing.assert_allclose(after.bias, before.bias - move @ before.weights, rtol=1e-10)
    if precision == "exact":
        assert after.weights.tobytes() == before.weights.tobytes()


@every_precision
@every_option
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_that_of_the_weights_returned(precision: Precision, name: str, weighted: bool) -> None:
    X, y, w = table()
    weight = w if weighted else None
    fit = linnet.fit(X, y, weight=weight, precision=precision, **OPTIONS[name])
    objective = linnet.Objective(linnet.Squared(), fit.l2, fit.intercept)
    assert fit.objective == pytest.approx(
        objective.of(ArraySource(X, y, weight=weight), fit.weights, fit.bias), rel=1e-10
    )


@every_precision
@every_option
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_vanishes_at_the_solution(precision: Precision, name: str, weighted: bool) -> None:
    """The certificate: weighted residuals are orthogonal to every column, or balance the penalty; they add up to 0."""
    X, y, w = table()
    weight = w if weighted else np.ones(N)
    fit = linnet.fit(X, y, weight=w if weighted else None, precision=precision, **OPTIONS[name])
    slope = weight * linnet.Squared().slope(residual(Block(X, y), fit.weights, fit.bias)) / weight.sum()
    size = np.abs(slope[:, None] * X).sum(axis=0)
    assert (np.abs(-X.T @ slope + fit.l2 * fit.weights) < 1e-11 * size).all()
    if fit.intercept:
        assert abs(slope.sum()) < 1e-12 * np.abs(slope).sum()


@every_precision
@every_option
def test_no_other_weights_do_better(precision: Precision, name: str) -> None:
    X, y, w = table()
    source = ArraySource(X, y, weight=w)
    fit = linnet.fit(X, y, weight=w, precision=precision, **OPTIONS[name])
    objective = linnet.Objective(linnet.Squared(), fit.l2, fit.intercept)
    rng = np.random.default_rng(2)
    for size in (1e-3, 1e-2, 1.0):
        other = fit.weights + size * rng.standard_normal(D)
        assert objective.of(source, other, fit.bias) > fit.objective


@every_precision
def test_empty_and_one_row_blocks_are_harmless(precision: Precision) -> None:
    X, y, w = table()
    empty = Block(X[:0], y[:0], w[:0])
    whole = solve([Block(X, y, w)], precision)
    for blocks in (
        [empty, Block(X, y, w)],
        [Block(X, y, w), empty, empty],
        [Block(X[:1], y[:1], w[:1]), empty, Block(X[1:], y[1:], w[1:])],
        [Block(X[i : i + 1], y[i : i + 1], w[i : i + 1]) for i in range(N)],
    ):
        parts = solve(blocks, precision)
        np.testing.assert_allclose(parts.weights, whole.weights, rtol=1e-9)
        np.testing.assert_allclose(parts.bias, whole.bias, rtol=1e-9)
        assert parts.equations.n == N


@every_precision
@pytest.mark.parametrize("errors", ["classical", "hc3"])
def test_progress_shown_or_not(precision: Precision, errors: Any, capsys: pytest.CaptureFixture[str]) -> None:
    X, y, w = table()
    seen: list[Any] = []
    fits = [
        linnet.fit(X, y, weight=w, precision=precision, errors=errors, progress=progress)
        for progress in (False, True, seen.append)
    ]
    assert "rows" in capsys.readouterr().err
    for fit in fits[1:]:
        assert fit.weights.tobytes() == fits[0].weights.tobytes()
        assert fit.std_errors.tobytes() == fits[0].std_errors.tobytes()


@every_precision
def test_adding_a_row_on_the_plane_leaves_the_plane(precision: Precision) -> None:
    X, y, _ = table()
    fit = linnet.fit(X, y, precision=precision)
    there = np.array([[3.0, 1.0, -4.0, 1.0]])
    more = linnet.fit(np.r_[X, there], np.r_[y, fit.predict(there)], precision=precision)
    np.testing.assert_allclose(more.weights, fit.weights, rtol=1e-10)
    np.testing.assert_allclose(more.bias, fit.bias, rtol=1e-10)


@every_precision
def test_the_two_precisions_agree_on_benign_data(precision: Precision) -> None:
    X, y, w = table()
    a, b = linnet.fit(X, y, weight=w, precision=precision), linnet.fit(X, y, weight=w)
    same(a, b)
    np.testing.assert_allclose(a.covariance, b.covariance, rtol=1e-9)


def path(steps: Any) -> Floats:
    """[bias, weights] after each minibatch, (steps, d+1)."""
    return np.array([np.r_[step.bias, step.weights] for step in steps if step.weights is not None])


def experiment_a(dtype: Any) -> tuple[Floats, Floats]:
    random = np.random.default_rng(0)
    X = random.standard_normal((1000, 2))
    y = X @ [2.0, -3.4] + 4.2 + random.normal(0, 0.01, 1000)
    return X.astype(dtype), y.astype(dtype)


def experiment_b(dtype: Any) -> tuple[Floats, Floats]:
    random = np.random.default_rng(0)
    X = random.standard_normal((500, 4))
    y = X @ [8.1, 2.0, 2.0, 4.0] + random.normal(1, 0.01, 500)
    return X.astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scratch_concise_and_compiled_pass_through_the_same_weights(dtype: Any) -> None:
    from linnet import concise, scratch

    X, y = experiment_a(dtype)
    ways = [each.train(X, y, lr=0.03, batch_size=10, epochs=3, seed=1) for each in (scratch, concise)]
    solver = linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal", seed=1, tol=None, every=1)
    paths = [path(way) for way in ways]
    paths.append(path(solver.steps(linnet.Objective(linnet.Squared()), ArraySource(X, y)))[:-1])
    assert len(paths[0]) == 300
    for other in paths[1:]:
        np.testing.assert_allclose(other, paths[0], rtol=1e-5 if dtype is np.float32 else 1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_they_do_so_for_the_absolute_loss(dtype: Any) -> None:
    """In float32 rounding can turn the sign of a residual near 0, and then paths part; with these seeds none does."""
    from linnet import concise, scratch

    X, y = experiment_b(dtype)
    epochs = 50
    start = (np.random.default_rng(2).normal(0, 0.1, 4), 0.01)
    options: dict[str, Any] = {"lr": 0.01, "batch_size": 16, "epochs": epochs, "seed": 0}
    shuffles = np.random.default_rng(0)
    orders = [np.array(permutation(shuffles, 500)) for _ in range(epochs)]
    paths = [
        path(each.train(X, y, loss=scratch.absolute, start=start, order=lambda e: orders[e - 1], **options))
        for each in (scratch, concise)
    ]
    solver = linnet.SGD(start=(start[1], *start[0]), tol=None, every=1, **options)
    paths.append(path(solver.steps(linnet.Objective(linnet.Absolute()), ArraySource(X, y)))[:-1])
    assert len(paths[0]) == 32 * epochs
    for other in paths[1:]:
        tolerance = 1e-5 if dtype is np.float32 else 1e-12
        np.testing.assert_allclose(other, paths[0], rtol=tolerance, atol=tolerance)


ROBUST = {
    "absolute": linnet.Absolute(),
    "low": linnet.Quantile(0.2),
    "high": linnet.Quantile(0.9),
    "huber": linnet.Huber(0.8),
}
every_robust_loss = pytest.mark.parametrize("loss", ROBUST.values(), ids=list(ROBUST))


def robust(X: Floats, y: Floats, loss: linnet.Loss, **options: Any) -> linnet.Fit:
    fit = linnet.fit(X, y, loss=loss, errors="none", **options)
    assert fit.status is linnet.Status.SOLVED
    return fit


def alike(a: linnet.Fit, b: linnet.Fit, rel: float = 1e-9) -> None:
    """As `same`, for losses that are no sum of squares."""
    np.testing.assert_allclose(a.weights, b.weights, rtol=rel)
    np.testing.assert_allclose([a.bias, a.objective, a.pseudo_r2], [b.bias, b.objective, b.pseudo_r2], rtol=rel)


@every_robust_loss
@every_option
def test_robust_losses_do_not_depend_on_the_order_of_rows(loss: linnet.Loss, name: str) -> None:
    X, y, w = table()
    order = np.random.default_rng(1).permutation(N)
    alike(
        robust(X, y, loss, weight=w, **OPTIONS[name]),
        robust(X[order], y[order], loss, weight=w[order], **OPTIONS[name]),
    )


@every_robust_loss
@every_option
def test_robust_losses_take_weight_2_as_the_row_twice_and_0_as_absent(loss: linnet.Loss, name: str) -> None:
    X, y, _ = table()
    counts = np.arange(N) % 4
    a = robust(X, y, loss, weight=counts, **OPTIONS[name])
    b = robust(np.repeat(X, counts, 0), np.repeat(y, counts), loss, **OPTIONS[name])
    alike(a, b)
    kept = counts > 0
    c = robust(X[kept], y[kept], loss, weight=counts[kept], **OPTIONS[name])
    X[~kept], y[~kept] = 1e6, -1e6  # which nobody must notice
    alike(robust(X, y, loss, weight=counts, **OPTIONS[name]), c)
    assert [a.n, b.n, c.n] == [np.count_nonzero(counts), counts.sum(), np.count_nonzero(counts)]


@every_robust_loss
@every_option
@pytest.mark.parametrize("heavier", [1e-150, 3.0, 1e150])
def test_robust_losses_do_not_depend_on_the_overall_size_of_weights(
    loss: linnet.Loss, name: str, heavier: float
) -> None:
    X, y, w = table()
    alike(robust(X, y, loss, weight=w * heavier, **OPTIONS[name]), robust(X, y, loss, weight=w, **OPTIONS[name]))


@every_robust_loss
@every_option
def test_robust_losses_and_permuted_columns(loss: linnet.Loss, name: str) -> None:
    X, y, w = table()
    order = [2, 0, 3, 1]
    before = robust(X, y, loss, weight=w, **OPTIONS[name])
    after = robust(X[:, order], y, loss, weight=w, **OPTIONS[name])
    np.testing.assert_allclose(after.weights, before.weights[order], rtol=1e-9)
    np.testing.assert_allclose([after.bias, after.objective], [before.bias, before.objective], rtol=1e-9)


@every_robust_loss
@pytest.mark.parametrize("name", ["plain", "no intercept"])
def test_robust_losses_and_scaled_columns(loss: linnet.Loss, name: str) -> None:
    X, y, w = table()
    scale = np.array([3.0, 1e-9, 7e12, -1.0])
    before = robust(X, y, loss, weight=w, **OPTIONS[name])
    after = robust(X * scale, y, loss, weight=w, **OPTIONS[name])
    np.testing.assert_allclose(after.weights * scale, before.weights, rtol=1e-9)
    np.testing.assert_allclose([after.bias, after.objective], [before.bias, before.objective], rtol=1e-9)


def mirrored(loss: linnet.Loss, a: float) -> linnet.Loss:
    """The loss by which a·y is judged as y was: from above as from below where a is negative, and in y's units."""
    if isinstance(loss, linnet.Quantile):
        return linnet.Quantile(loss.q if a > 0 else 1 - loss.q)
    if isinstance(loss, linnet.Huber):
        assert loss.delta is not None
        return linnet.Huber(abs(a) * loss.delta)
    return loss


@every_robust_loss
@pytest.mark.parametrize("name", ["plain", "no intercept"])
@pytest.mark.parametrize(("a", "c"), [(2.0, 0.0), (-0.5, 3.0), (-1e8, -1e9), (1e-12, 5.0)])
def test_robust_losses_and_affine_targets(loss: linnet.Loss, name: str, a: float, c: float) -> None:
    """The weights follow a, the bias a and c; turned over, what was a low quantile is a high one."""
    X, y, w = table()
    c = 0.0 if name == "no intercept" else c
    before = robust(X, y, loss, weight=w, **OPTIONS[name])
    after = robust(X, a * y + c, mirrored(loss, a), weight=w, **OPTIONS[name])
    rel = 1e-9 + 1e-15 * abs(c / a)  # c rounds what is left of y beside it
    np.testing.assert_allclose(after.weights, a * before.weights, rtol=10 * rel, atol=rel * abs(a))
    assert after.bias == pytest.approx(a * before.bias + c, rel=1e-9, abs=10 * rel * abs(a))
    power = 2 if isinstance(loss, linnet.Huber) else 1
    assert after.objective == pytest.approx(abs(a) ** power * before.objective, rel=rel)


@every_robust_loss
@every_option
def test_no_other_weights_do_better_by_a_robust_loss(loss: linnet.Loss, name: str) -> None:
    X, y, w = table()
    source = ArraySource(X, y, weight=w)
    fit = robust(X, y, loss, weight=w, **OPTIONS[name])
    objective = linnet.Objective(loss, fit.l2, fit.intercept)
    assert fit.objective == pytest.approx(objective.of(source, fit.weights, fit.bias), rel=1e-12)
    rng = np.random.default_rng(2)
    for size in (1e-6, 1e-3, 1.0):
        other = fit.weights + size * rng.standard_normal(D)
        assert objective.of(source, other, fit.bias) > fit.objective


def test_a_share_q_of_rows_lies_below_the_quantile() -> None:
    """At most q of them below and 1 - q above, the rest on it: n·q lies between."""
    X, y, _ = table()
    for q in (0.01, 0.2, 0.5, 0.77, 0.99):
        fit = robust(X, y, linnet.Quantile(q))
        r = y - fit.predict(X)
        on = np.abs(r) < 1e-9
        assert np.count_nonzero(on) == D + 1
        assert np.count_nonzero((r < 0) & ~on) <= q * N <= np.count_nonzero((r < 0) | on)


def test_a_row_on_the_plane_or_farther_out_leaves_the_median_alone() -> None:
    X, y, _ = table()
    fit = robust(X, y, linnet.Absolute())
    there = np.array([[3.0, 1.0, -4.0, 1.0]])
    more = robust(np.r_[X, there], np.r_[y, fit.predict(there)], linnet.Absolute())
    np.testing.assert_allclose(more.weights, fit.weights, rtol=1e-9)
    r = y - fit.predict(X)
    out = y + 1e9 * np.sign(r) * (np.abs(r) > 1)  # on the same side of the plane
    np.testing.assert_allclose(robust(X, out, linnet.Absolute()).weights, fit.weights, rtol=1e-9)


# --- Learned: within 5 % of a standard error of the optimum, with nothing set -----------------------------------------


def near(fit: linnet.Fit, weights: Any, bias: float) -> None:
    """Whether these are the optimum that was come near to, as far as the status promises."""
    assert fit.status is linnet.Status.CONVERGED
    assert (np.abs(fit.weights - weights) <= 0.0501 * fit.std_errors).all()
    assert abs(fit.bias - bias) <= 0.0501 * fit.bias_std_error


def learned(X: Floats, y: Floats, **options: Any) -> linnet.Fit:
    """By SGD with nothing set."""
    fit: linnet.Fit = linnet.fit(X, y, solver="sgd", **options)
    return fit


@every_option
@pytest.mark.parametrize(("a", "c"), [(2.0, 0.0), (-0.5, 3.0), (1e8, -1e9), (1e-7, 0.0), (1e-4, 5.0)])
def test_learning_affine_targets(name: str, a: float, c: float) -> None:
    """The weights follow a, the bias a and c; so does the rate, which is in the columns' units alone."""
    X, y, w = table()
    c = 0.0 if name == "no intercept" else c
    exact = linnet.fit(X, y, weight=w, **OPTIONS[name])
    before, after = learned(X, y, weight=w, **OPTIONS[name]), learned(X, a * y + c, weight=w, **OPTIONS[name])
    near(after, a * exact.weights, a * exact.bias + c)
    assert after.settings["lr"] == pytest.approx(before.settings["lr"], rel=1e-12)
    assert after.settings["epochs"] == before.settings["epochs"]
    np.testing.assert_allclose(after.weights, a * before.weights, rtol=1e-5)


@pytest.mark.parametrize("name", ["plain", "no intercept"])
@pytest.mark.parametrize("scale", [[3.0, 1e-9, 7e12, -1.0], [2.0**-40, 1.0, 2.0**30, 0.5]])
def test_learning_scaled_columns(name: str, scale: list[float]) -> None:
    """The same path in other units, since nothing set is in these."""
    X, y, w = table()
    exact = linnet.fit(X, y, weight=w, **OPTIONS[name])
    before, after = learned(X, y, weight=w, **OPTIONS[name]), learned(X * scale, y, weight=w, **OPTIONS[name])
    near(after, exact.weights / scale, exact.bias)
    assert after.settings["lr"] == pytest.approx(before.settings["lr"], rel=1e-9)
    np.testing.assert_allclose(after.weights * scale, before.weights, rtol=1e-6)


@every_option
def test_learning_permuted_columns(name: str) -> None:
    X, y, w = table()
    order = [2, 0, 3, 1]
    exact = linnet.fit(X, y, weight=w, **OPTIONS[name])
    before, after = learned(X, y, weight=w, **OPTIONS[name]), learned(X[:, order], y, weight=w, **OPTIONS[name])
    near(after, exact.weights[order], exact.bias)
    np.testing.assert_allclose(after.weights, before.weights[order], rtol=1e-9)


@every_option
def test_learning_with_weight_0_as_the_row_absent(name: str) -> None:
    """Of the optimum: such rows take others' places in minibatches, and so the path to it is another."""
    X, y, w = table()
    w[::5] = 0
    kept = w > 0
    exact = linnet.fit(X[kept], y[kept], weight=w[kept], **OPTIONS[name])
    X[0], y[5] = 1e6, -1e6  # which nobody must notice
    after = learned(X, y, weight=w, **OPTIONS[name])
    near(after, exact.weights, exact.bias)
    assert after.n == exact.n
    assert not any("lowered" in note for note in after.notes)


@pytest.mark.parametrize("name", ["plain", "no intercept"])
def test_learning_with_weight_2_as_the_row_twice(name: str) -> None:
    X, y, _ = table()
    counts = np.arange(N) % 4
    exact = linnet.fit(X, y, weight=counts, **OPTIONS[name])
    near(learned(X, y, weight=counts, **OPTIONS[name]), exact.weights, exact.bias)
    near(learned(np.repeat(X, counts, 0), np.repeat(y, counts), **OPTIONS[name]), exact.weights, exact.bias)


@every_option
def test_learning_from_rows_in_any_order(name: str) -> None:
    """Sorted by the target, too."""
    X, y, w = table()
    exact = linnet.fit(X, y, weight=w, **OPTIONS[name])
    for order in (np.argsort(y), np.arange(N)[::-1]):
        near(learned(X[order], y[order], weight=w[order], **OPTIONS[name]), exact.weights, exact.bias)


def test_learning_moved_features_moves_only_the_bias() -> None:
    X, y, w = table()
    move = np.array([16.0, -1024.0, 0.5, 8192.0])
    exact = linnet.fit(X, y, weight=w)
    before, after = learned(X, y, weight=w), learned(X + move, y, weight=w)
    near(after, exact.weights, exact.bias - float(move @ exact.weights))
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-6)
