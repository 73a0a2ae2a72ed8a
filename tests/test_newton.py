"""The Newton solver against known values, other packages, laws, and its own certificate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.optimize import linprog
from sklearn.linear_model import HuberRegressor

import linnet.solvers.descent
import linnet.solvers.frame
import linnet.solvers.piece
import linnet.solvers.robust_scale
from linnet.block import InputError
from linnet.losses import Absolute, Huber, Squared
from linnet.objective import Objective
from linnet.solvers.exact import Exact
from linnet.solvers.newton import Newton
from linnet.solvers.piece import only
from linnet.solvers.solver import Step
from linnet.sources import open_source
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source
from linnet.status import Status
from linnet.threads import one_thread_blas

Floats = NDArray[np.float64]
K = 1.345
STATSMODELS = K * 0.6745 / 0.6744897501960817  # statsmodels divides by the median of |Z| with all its digits
LOSSES = [Huber(0.1), Huber(0.7), Huber(30.0), Huber(k=K), Huber(k=K, scale="concomitant")]
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)


def solve(
    X: Any, y: Any, loss: Huber, weight: Any = None, *, l2: float = 0.0, intercept: bool = True, **source: Any
) -> Step:
    return solved(ArraySource(X, y, weight=weight, **source), loss, l2=l2, intercept=intercept)


def solved(source: Source, loss: Huber, **objective: Any) -> Step:
    *_, last = Newton().steps(Objective(loss, **objective), source)
    assert last.weights is not None
    assert last.gap is not None
    return last


def line(step: Step) -> Floats:
    assert step.weights is not None
    return np.asarray(np.r_[step.bias, step.weights])


def value(step: Step) -> float:
    assert step.objective is not None
    return step.objective


def heavy(n: int = 400, d: int = 3, seed: int = 1) -> tuple[Floats, Floats]:
    """Heavy tails, and a tenth of the rows far off on one side."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = X @ np.arange(1.0, d + 1) + 3 + rng.standard_t(3, n)
    y[: n // 10] += 20
    return X, y


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples so small that a few thousand rows are read again and again, as large tables are."""
    monkeypatch.setattr(linnet.solvers.frame, "SAMPLE", 4000)
    monkeypatch.setattr(linnet.solvers.descent, "FEW", 500)


def data(name: str) -> tuple[Floats, Floats]:
    table = getattr(sm.datasets, name).load_pandas().data
    first = {"engel": "foodexp", "stackloss": "STACKLOSS"}[name]
    X, y = table.drop(columns=first), table[first]
    return np.asarray(X, dtype=float), np.asarray(y, dtype=float)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("engel", [99.428201, 0.536838]),
        ("stackloss", [-41.026485, 0.829386, 0.926059, -0.127846]),
    ],
)
def test_known_values(name: str, known: list[float]) -> None:
    """MASS::rlm's scale, median |r| / 0.6745, at the fixed point: all six digits."""
    step = solve(*data(name), Huber(k=K))
    assert line(step) == pytest.approx(known, abs=6e-7)
    assert step.status is None
    assert step.gap is not None
    assert step.gap < 1e-14


@pytest.mark.parametrize("name", ["engel", "stackloss"])
@pytest.mark.parametrize("scale", ["mad", "concomitant"])
def test_against_statsmodels(name: str, scale: Any) -> None:
    """RLM run to rest reaches the same fixed point, its MAD by Normal quantiles, its HuberScale(d=k) for proposal 2."""
    X, y = data(name)
    mad = scale == "mad"
    how = "mad" if mad else sm.robust.scale.HuberScale(d=K, tol=1e-13, maxiter=500)
    model = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT(K))
    theirs = model.fit(scale_est=how, tol=1e-12, maxiter=1000)
    step = solve(X, y, Huber(k=STATSMODELS if mad else K, scale=scale))
    assert line(step) == pytest.approx(theirs.params, rel=2e-8)
    assert isinstance(step.settled, Huber)
    assert step.settled.delta == pytest.approx(K * theirs.scale, rel=1e-8)


def test_against_scikit_learn() -> None:
    """At the delta that HuberRegressor found, which minimises another function of the scale, we are never above it."""
    X, y = heavy()
    theirs = HuberRegressor(alpha=0.0, epsilon=K, tol=1e-8, max_iter=1000).fit(X, y)
    loss = Huber(float(K * theirs.scale_))
    ours = solve(X, y, loss)
    reached = Objective(loss).of(ArraySource(X, y), theirs.coef_, theirs.intercept_)
    assert value(ours) <= reached
    assert line(ours) == pytest.approx(np.r_[theirs.intercept_, theirs.coef_], abs=1e-4)


def awkward(seed: int) -> tuple[Floats, Floats, Floats | None, float, bool, float]:
    """A small problem that can go wrong: ties, repeated rows, wild scales, offsets, heavy tails, weights."""
    rng = np.random.default_rng(seed)
    d, n = int(rng.choice([1, 2, 5, 10])), int(rng.choice([30, 60, 200]))
    X = rng.standard_normal((n, d))
    match seed % 6:
        case 1:
            X = np.round(X)
        case 2:
            X = rng.standard_t(1.5, (n, d))
        case 3:
            X = X[rng.integers(0, n // 3, n)]
        case 4:
            X *= 10.0 ** rng.integers(-6, 7, d)
        case 5:
            X = X * 1e3 + 1e6
    noise = rng.standard_normal(n)
    match seed // 6 % 4:
        case 1:
            noise = rng.standard_t(1, n)
        case 2:
            noise = np.round(2 * noise)
        case 3:
            noise = np.where(rng.random(n) < 0.45, 100 * rng.random(n), 0.1 * noise)
    y = X @ (rng.standard_normal(d) / np.abs(X - X.mean(axis=0)).mean(axis=0).clip(1e-9)) + noise
    weight = None if seed % 3 else rng.integers(0, 4, n).astype(float)
    delta = float(np.median(np.abs(y - np.median(y)))) * 10.0 ** rng.uniform(-4, 2)
    return X, y, weight, 0.0 if seed % 4 else float(10 ** rng.uniform(-4, 1)), bool(seed % 5), delta


@pytest.mark.parametrize("seed", range(48))
def test_no_other_weights_are_better(seed: int) -> None:
    """The gap is closed, the objective is what was said, and scipy's minimiser finds nothing below."""
    from scipy.optimize import minimize

    X, y, weight, l2, intercept, delta = awkward(seed)
    source = ArraySource(X, y, weight=weight)
    objective = Objective(Huber(delta), l2, intercept)
    step = solved(source, Huber(delta), l2=l2, intercept=intercept)
    assert step.weights is not None
    assert step.bias is not None
    assert step.gap is not None
    assert step.gap <= 1e-10
    residuals = np.abs(y - X @ step.weights - step.bias)[slice(None) if weight is None else weight > 0]
    free = l2 > 0 and intercept and (residuals > delta).all()  # the bias, as that of a median of evenly many
    assert step.status is (Status.NOT_UNIQUE if free else None)
    assert objective.of(source, step.weights, step.bias) == pytest.approx(value(step), rel=1e-9)
    if seed % 4 == 3:
        return  # scipy takes long, and finds less

    size = np.r_[1.0, 1.0 / np.maximum(np.abs(X).max(axis=0), 1e-300)]

    def cost(u: Floats) -> float:
        u = u * size
        return objective.of(source, u[1:], float(u[0]) if intercept else 0.0)

    other = minimize(cost, line(step) / size, method="Powell", options={"maxiter": 20})
    assert other.fun >= value(step) * (1 - 1e-9)


def test_a_huge_delta_is_least_squares() -> None:
    X, y = heavy()
    *_, least = Exact().steps(Objective(Squared()), ArraySource(X, y))
    for delta in (1e3, 1e100, 1e308):
        step = solve(X, y, Huber(delta))
        assert line(step) == pytest.approx(line(least), rel=1e-12)
        assert step.objective == pytest.approx(least.objective, rel=1e-13)


def test_a_small_delta_is_the_median() -> None:
    """Known medians: engel and stackloss, to what is left of delta."""
    assert line(solve(*data("engel"), Huber(1e-5))) == pytest.approx([81.482247, 0.560181], abs=1e-5)
    known = [-39.689855, 0.831884, 0.573913, -0.060870]
    assert line(solve(*data("stackloss"), Huber(1e-6))) == pytest.approx(known, abs=1e-5)


@pytest.mark.parametrize("block_rows", [1 << 16, 700])
@pytest.mark.usefixtures("streamed")
def test_weights_that_others_equal_are_not_called_the_optimum(block_rows: int) -> None:
    """Half of a group's targets lie a hundred below 0 and half above: nothing tells its weight within that."""
    rng = np.random.default_rng(3)
    group, z = np.arange(6000) % 2, rng.standard_normal(6000)
    y = np.where(group, 100.0 * np.sign(np.arange(6000) % 4 - 2.0), z)
    X = np.c_[group, z]
    objective = Objective(Huber(1.0))
    step = solve(X, y, Huber(1.0), block_rows=block_rows)
    assert step.weights is not None
    assert step.gap is not None
    assert step.status is Status.NOT_UNIQUE
    assert step.gap < 1e-12
    source = ArraySource(X, y)
    for other in (-50.0, 0.0, 50.0):
        there = objective.of(source, np.array([other, step.weights[1]]), float(step.bias or 0.0))
        assert there == pytest.approx(step.objective, rel=1e-12)
    for loss, l2 in ((Huber(101.0), 0.0), (Huber(1.0), 1e-3)):
        assert solve(X, y, loss, block_rows=block_rows, l2=l2).status is None


def test_rows_on_a_bend_decide_with_highs_whether_other_weights_fit_as_well() -> None:
    """A way is level if it moves no row between the bends, and none of those on a bend inwards."""
    met = set()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.integers(0, 2, (9, 2)).astype(float), rng.integers(-8, 9, 9).astype(float)
        if np.linalg.matrix_rank(D := np.c_[np.ones(9), X]) < 3:
            continue
        step = solve(X, y, Huber(1.0))
        r = y - D @ line(step)
        inner, on = np.abs(r) < 1 - 1e-8, np.abs(np.abs(r) - 1) <= 1e-8
        held = {"A_eq": D[inner], "b_eq": np.zeros(inner.sum())} if inner.any() else {}
        held |= {"A_ub": np.sign(r[on])[:, None] * D[on], "b_ub": np.zeros(on.sum())} if on.any() else {}
        ends = [linprog(way, bounds=[(-1, 1)] * 3, **held).fun for way in np.r_[np.eye(3), -np.eye(3)]]
        assert (step.status is Status.NOT_UNIQUE) == (min(ends) < -1e-6), seed
        met.add((bool(on.any()), step.status))
    assert len(met) == 4


def test_a_row_on_each_bend_holds_the_plane_between_them() -> None:
    """Each leads inwards where the other leads out; were one of them farther off, the way there would be level."""
    assert only(np.zeros((1, 1)), np.array([[1.0, -3.0]]))
    assert not only(np.zeros((1, 1)), np.array([[1.0, 3.0]]))
    assert not only(np.zeros((2, 2)), np.array([[1.0, -1.0], [1.0, -1.0]]))
    assert not only(np.diag([0.0, 1.0]), np.array([[1e-17, 1.0], [1.0, -1.0]]))
    assert only(np.eye(2), np.empty((2, 0)))
    for far, status in ((2.0, None), (2.5, Status.NOT_UNIQUE)):
        assert solve(np.ones((2, 1)), np.array([0.0, far]), Huber(1.0), intercept=False).status is status


@each_loss
@pytest.mark.parametrize("factor", [1e-150, 3.0, 1e120])
def test_units_of_the_target(loss: Huber, factor: float) -> None:
    """y → a·y + c moves the weights as it must, and delta with them."""
    X, y = heavy()
    before = solve(X, y, loss)
    after = solve(X, factor * y + 7 * factor, loss if loss.k else Huber(loss.delta * factor))
    assert line(after) == pytest.approx(factor * line(before) + factor * np.array([7.0, 0, 0, 0]), rel=1e-9)
    assert value(after) / factor == pytest.approx(value(before) * factor, rel=1e-12)


@each_loss
def test_units_of_the_features(loss: Huber) -> None:
    X, y = heavy()
    size, shift = np.array([1e-9, 1.0, 1e12]), np.array([1e-6, 1e6, 0.0])
    before, after = solve(X, y, loss), solve(X * size + shift, y, loss)
    assert after.weights is not None
    assert before.weights is not None
    assert after.weights * size == pytest.approx(before.weights, rel=1e-7)
    assert value(after) == pytest.approx(value(before), rel=1e-9)


@each_loss
def test_weights_of_rows(loss: Huber) -> None:
    """2 is the row twice, 0 the row left out, and their overall size does not matter."""
    X, y = heavy()
    w = np.random.default_rng(4).integers(0, 3, len(y)).astype(float)
    many = np.repeat(np.arange(len(y)), w.astype(int))
    weighted, repeated = solve(X, y, loss, w), solve(X[many], y[many], loss)
    rel = 1e-10 if loss.scale != "concomitant" else 5e-3  # whose degrees of freedom count rows
    assert line(weighted) == pytest.approx(line(repeated), rel=rel)
    assert line(solve(X, y, loss, w * 1e100)) == pytest.approx(line(weighted), rel=1e-10)


@each_loss
@pytest.mark.parametrize("more", [{}, {"l2": 0.3}, {"intercept": False}, {"weight": True}], ids=str)
@pytest.mark.usefixtures("streamed")
def test_rows_that_are_read_again(loss: Huber, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too large to keep is solved as if it were kept, whatever the blocks, by few passes."""
    X, y = heavy(5000)
    more = dict(more)
    if more.pop("weight", False):
        more["weight"] = np.random.default_rng(5).uniform(0.1, 2, 5000)
    whole, parts = solve(X, y, loss, **more), solve(X, y, loss, block_rows=700, **more)
    assert parts.epoch == whole.epoch <= 15
    assert line(parts) == pytest.approx(line(whole), rel=1e-11)
    assert parts.status is whole.status is None
    assert len(parts.history) == len([r for r in parts.history if r["epoch"] > 1]) > 1
    monkeypatch.setattr(linnet.solvers.frame, "SAMPLE", 1 << 22)
    kept = solve(X, y, loss, **more)
    assert kept.epoch <= 2
    assert line(kept) == pytest.approx(line(whole), rel=1e-9)
    assert value(kept) == pytest.approx(value(whole), rel=1e-10)
    assert kept.squares == pytest.approx(whole.squares, rel=1e-9)


@pytest.mark.parametrize("d", [3, 140])
def test_the_residual_sd_is_that_of_the_weighted_rows(d: int) -> None:
    """Of few features and of many, whose sums are taken in another way."""
    X, y = heavy(400, d)
    w = np.random.default_rng(3).uniform(0.1, 5, 400)
    # on a busy machine several would wait for each other
    fit = one_thread_blas(lambda: linnet.fit(X, y, weight=w, loss=Huber(1.0), errors="none"))
    assert fit.residual_sd**2 * (400 - d - 1) == pytest.approx(w @ (y - fit.predict(X)) ** 2, rel=1e-9)


@pytest.mark.usefixtures("streamed")
def test_streamed_from_parquet(tmp_path: Path) -> None:
    X, y = (part.astype(np.float32) for part in heavy(5000))
    table = pa.table({**{f"x{j}": X[:, j] for j in range(3)}, "y": y})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=600)
    for loss in LOSSES:
        streamed = solved(open_source(str(tmp_path / "rows.parquet"), "y"), loss)
        assert line(streamed) == pytest.approx(line(solve(X, y, loss)), rel=1e-11)


@pytest.mark.usefixtures("streamed")
def test_columns_that_nearly_repeat_each_other_are_brought_apart_first() -> None:
    X, y = heavy(3000)
    X = np.column_stack([X, X[:, 0] + 1e-7 * X[:, 1] ** 2])
    step = solve(X, y, Huber(1.0))
    assert step.status is None
    reached = Objective(Huber(1.0)).of(ArraySource(X, y), *(step.weights, step.bias))  # type: ignore[arg-type]
    assert reached == pytest.approx(value(step), rel=1e-8)
    assert value(step) <= value(solve(X[:, :3], y, Huber(1.0)))


def test_many_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those whose products BLAS forms, in memory and read again."""
    X, y = heavy(600, 140)
    assert solve(X, y, Huber(1.0)).gap == pytest.approx(0, abs=1e-10)
    X, y = heavy(900, 6)
    expected = line(solve(X, y, Huber(1.0)))
    for name in ("piece.NARROW", "descent.WIDE"):
        module, constant = name.split(".")
        monkeypatch.setattr(getattr(linnet.solvers, module), constant, 2)
    assert line(solve(X, y, Huber(1.0))) == pytest.approx(expected, rel=1e-10)
    monkeypatch.setattr(linnet.solvers.frame, "SAMPLE", 4000)
    monkeypatch.setattr(linnet.solvers.descent, "FEW", 500)
    assert line(solve(X, y, Huber(1.0), block_rows=250)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("unit", "size"), [(1.0, 1e-20), (1.0, 1e-60), (1e90, 1e-50)])
def test_penalised_weights_of_columns_far_smaller_than_others_keep_their_digits(unit: float, size: float) -> None:
    """l2·weight is the mean of a column's numbers by their rows' slopes."""
    for seed in range(60):
        rng = np.random.default_rng([seed, 7])
        n, d = int(rng.integers(8, 30)), int(rng.integers(2, 6))
        X = rng.integers(-2, 3, (n, d)).astype(float)
        X *= unit * np.where(np.arange(d) < d // 2, size / unit, 1.0)
        y, delta = rng.standard_normal(n), float(10 ** rng.uniform(-1.5, 0.5))
        l2 = float(10 ** rng.uniform(-15, 1)) * unit**2
        bias, *weights = line(solve(X, y, Huber(delta), l2=l2))
        slopes = X.T * np.clip(y - X @ weights - bias, -delta, delta)
        left = np.abs(slopes.mean(axis=1) - l2 * np.array(weights))
        assert (left <= 1e-11 * np.abs(slopes).mean(axis=1)).all(), seed


@pytest.mark.parametrize("seed", [180, 243])
def test_a_small_penalised_weight_does_not_keep_what_a_damped_step_left_of_it(seed: int) -> None:
    rng = np.random.default_rng([seed, 9])
    X, l2 = rng.integers(-2, 3, (25, 4)) * np.array([1.0, 1e-60, 1.0, 1e-80]), 1e-30
    y = rng.standard_normal(25)
    bias, *weights = line(solve(X, y, Huber(0.1), l2=l2))
    slopes = X.T * np.clip(y - X @ weights - bias, -0.1, 0.1)
    left = np.abs(slopes.mean(axis=1) - l2 * np.array(weights))
    assert (left <= 1e-12 * np.abs(slopes).mean(axis=1)).all()


def test_fewer_rows_than_columns_and_planes_through_all_rows() -> None:
    rng = np.random.default_rng(6)
    for X, y in (
        (rng.standard_normal((5, 8)), rng.standard_normal(5)),
        (rng.standard_normal((50, 2)), np.full(50, 3.0)),
        (np.arange(40.0).reshape(20, 2), np.arange(20.0) * 2 + 1),
        (np.array([[1.0]]), np.array([2.0])),
    ):
        step = solve(X, y, Huber(0.5))
        assert (step.objective, step.gap, step.squares, step.status) == (0.0, 0.0, 0.0, None)
        scaled = solve(X, y, Huber(k=K))  # whatever the scale, which is 0, no other plane is as good
        assert (scaled.objective, scaled.gap, scaled.status) == (0.0, 0.0, None)
        assert scaled.settled is not None
        np.testing.assert_array_equal(scaled.weights, step.weights)
    step = solve(rng.standard_normal((5, 8)), rng.standard_normal(5), Huber(0.5), l2=0.1)
    assert step.status is None
    assert value(step) > 0


def test_columns_that_depend_on_others() -> None:
    X, y = heavy()
    step = solve(np.column_stack([X, X[:, 0] - 2 * X[:, 1], np.ones(len(y))]), y, Huber(1.0))
    assert step.solution is not None
    assert len(step.solution.dependencies) == 2
    assert value(step) == pytest.approx(value(solve(X, y, Huber(1.0))), rel=1e-12)
    nothing = solve(np.zeros((30, 2)), y[:30], Huber(1.0), intercept=False)
    assert line(nothing).tolist() == [0.0, 0.0, 0.0]
    assert value(nothing) == pytest.approx(float(Huber(1.0).value(y[:30]).mean()), rel=1e-13)


def test_outliers_of_any_size_and_number() -> None:
    """45 rows in 100 far away; one row at 1e150; a row far out among the features."""
    rng = np.random.default_rng(7)
    X = rng.standard_normal((1000, 3))
    y = X @ [1.0, -2.0, 3.0] + 0.1 * rng.standard_normal(1000)
    off = y.copy()
    off[:450] = 1e4 + 1e3 * rng.random(450)
    assert line(solve(X, off, Huber(0.1))) == pytest.approx([0, 1, -2, 3], abs=0.3)
    assert solve(X, off, Huber(k=K)).status is None
    one = y.copy()
    one[17] = 1e150
    assert line(solve(X, one, Huber(0.1))) == pytest.approx(line(solve(X, y, Huber(0.1))), abs=0.01)
    X[5] = 1e9
    assert solve(X, y, Huber(0.1)).status is None


@pytest.mark.parametrize("scale", ["mad", "concomitant"])
def test_a_scale_of_0_is_refused(scale: Any) -> None:
    """70 rows in 100 on one plane."""
    X = heavy(200)[0]
    y = X @ [1.0, 2.0, 3.0]
    y[140:] += 5 * np.random.default_rng(11).standard_normal(60)
    with pytest.raises(InputError, match=r"Huber\(k=1.345\) takes its delta from the scale .* Give delta"):
        solve(X, y, Huber(k=K, scale=scale))
    assert line(solve(X, y, Huber(0.01))) == pytest.approx([0, 1, 2, 3], abs=0.01)


@each_loss
def test_the_scale_is_that_of_the_residuals(loss: Huber) -> None:
    """Weights and scale fit each other, weighted and not: each definition, by NumPy."""
    X, y = heavy()
    w = np.random.default_rng(8).integers(1, 4, len(y)).astype(float)
    step = solve(X, y, loss, w)
    if loss.k is None:
        assert step.settled is None
        assert step.settings["delta"] == loss.delta
        return
    assert isinstance(step.settled, Huber)
    assert {name: step.settings[name] for name in ("delta", "k", "scale_by")} == {
        "delta": step.settled.delta,
        "k": K,
        "scale_by": loss.scale,
    }
    sigma = step.settled.delta / K
    r = np.abs(y - X @ line(step)[1:] - line(step)[0])
    if loss.scale == "mad":
        assert sigma == pytest.approx(np.median(np.repeat(r, w.astype(int))) / 0.6745, rel=1e-10)
    else:
        normal = np.random.default_rng(9).standard_normal(2_000_000)
        expected = float(np.minimum(normal**2, K * K).mean()) * (len(y) - 4) / len(y)
        mean = float(w @ np.minimum((r / sigma) ** 2, K * K) / w.sum())
        assert mean == pytest.approx(expected, rel=2e-3)
    assert value(step) == pytest.approx(float(w @ step.settled.value(r) / w.sum()), rel=1e-10)


def test_what_a_step_tells() -> None:
    X, y = heavy()
    steps = list(Newton().steps(Objective(Huber(1.0)), ArraySource(X, y, block_rows=1024)))
    assert all(step.weights is None for step in steps[:-1])
    last = steps[-1]
    assert last.survey is not None
    assert last.survey.solution is last.solution
    assert last.survey.n == last.rows == 400
    assert last.history[-1]["objective"] == pytest.approx(value(last), rel=1e-12)
    r = y - X @ line(last)[1:] - line(last)[0]
    assert last.squares == pytest.approx(float(r @ r / 400), rel=1e-12)


def test_passes_that_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not certain is not called solved, and its objective is still that of the weights."""
    monkeypatch.setattr(linnet.solvers.descent, "IN_MEMORY", 2)
    X, y = heavy()
    for loss in (Huber(0.01), Huber(k=K)):
        step = solve(X, y, loss)
        assert step.status is Status.UNFINISHED
        reached = Objective(step.settled or loss).of(ArraySource(X, y), line(step)[1:], float(line(step)[0]))
        assert reached == pytest.approx(value(step), rel=1e-9)


def test_refusals() -> None:
    X, y = heavy(50)
    with pytest.raises(InputError, match="Newton solver is for Huber loss, not absolute"):
        list(Newton().steps(Objective(Absolute()), ArraySource(X, y)))
    once = ArraySource(X, y)
    once.rereadable = False
    with pytest.raises(InputError, match="several passes, but these rows can be read only once"):
        list(Newton().steps(Objective(Huber()), once))
    with pytest.raises(InputError, match="up to 4,096 features, but there are 5,000"):
        solve(np.zeros((2, 5000)), np.zeros(2), Huber())
    with pytest.raises(InputError, match=r'lost in the rounding of a target.*loss="absolute"'):
        solve(X, y, Huber(1e-14))
    with pytest.raises(InputError, match="passes must be"):
        Newton(passes=2)
    with pytest.raises(InputError, match="missing"):
        solve(np.where(X > 2, np.nan, X), y, Huber())
    assert replace(Newton(), passes=9) == Newton(9)


@pytest.mark.parametrize("scale", ["mad", "concomitant"])
def test_an_exact_relation_is_perfect_whatever_rounds_it(scale: Any) -> None:
    """Where the target lies far from 0, residuals are its rounding, of any size beside its spread."""
    rng = np.random.default_rng(0)
    for n in (6, 30, 300, 3000):
        celsius = rng.normal(15, 10, n).round(1)[:, None]
        X = rng.standard_normal((n, 4))
        y = X @ [1.0, 2, 3, 4]
        cases = [(celsius, celsius[:, 0] + 273.15), (celsius, 1.8 * celsius[:, 0] + 32), (X, y + 1e3), (X, y - 1e4)]
        for features, target in [*cases, (X[:, ::-1], y + 1e3)]:
            for size in (1.0, 1e-200):
                fit = linnet.fit(features, target * size, loss=Huber(k=1.345, scale=scale))
                assert fit.status is Status.PERFECT
                assert fit.gap == fit.objective == fit.residual_sd == 0
                assert fit.robust_scale <= 1e-10 * fit.target_scale
                # in exact sums a weight of 1/3 makes the target's unit 2^53 times larger
                thirds = linnet.fit(features, target * size, weight=np.full(n, 1 / 3), loss=Huber(k=1.345, scale=scale))
                for each in (fit, thirds):
                    assert each.pseudo_r2 == pytest.approx(1.0, abs=1e-10)


def test_an_exact_relation_of_most_rows_has_no_scale() -> None:
    """However few are off, and however small that is beside the target."""
    for n, off in ((10, 1.0), (3000, 1e-6), (300, 1e-9)):
        X = np.random.default_rng(0).standard_normal((n, 2))
        y = X @ [1.0, 2] + 1e3
        y[n // 2] += off
        with pytest.raises(InputError, match="which is 0 here"):
            linnet.fit(X, y, loss=Huber(k=1.345))


def test_an_exact_relation_of_a_sample_is_looked_for_in_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linnet.solvers.frame, "SAMPLE", 1000)
    X = np.random.default_rng(0).standard_normal((40_000, 2))
    y = X @ [1.0, 2] + 1e3
    fit = linnet.fit(X, y, loss=Huber(k=1.345))
    assert (fit.status, fit.objective) == (Status.PERFECT, 0.0)
    for row in (0, 20_001, 39_999):
        off = y.copy()
        off[row] += 1.0
        with pytest.raises(InputError, match="which is 0 here"):
            linnet.fit(X, off, loss=Huber(k=1.345))
