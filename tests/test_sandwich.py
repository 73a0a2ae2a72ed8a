from __future__ import annotations

from collections.abc import Callable
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
from scipy.stats import norm

import linnet
from linnet import residuals as residuals_module
from linnet.block import InputError
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.moments import Moments
from linnet.objective import Objective
from linnet.residuals import hall_sheather
from linnet.sandwich import Assessment, assess
from linnet.solution import Solution
from linnet.solvers import frame
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
ENGEL = sm.datasets.engel.load_pandas().data
INCOME, FOOD = ENGEL[["income"]].to_numpy(), ENGEL["foodexp"].to_numpy()
STACK = sm.datasets.stackloss.load_pandas()
STACK_X, STACK_Y = STACK.exog.to_numpy(float), STACK.endog.to_numpy(float)


def solve(source: ArraySource, objective: Objective) -> Solution:
    parts = [Moments.of(block, "exact") for block in source.blocks()]
    return sum(parts[1:], parts[0]).solve(objective.l2, objective.intercept)


def assessed(
    X: Any,
    y: Any,
    theta: Any,
    loss: Loss,
    kind: str,
    *,
    weight: Any = None,
    l2: float = 0.0,
    intercept: bool = True,
    block_rows: int | None = None,
) -> Assessment:
    """`assess` for [bias, weights], or weights alone without an intercept."""
    source = ArraySource(X, y, weight=weight, block_rows=block_rows)
    objective = Objective(loss, l2=l2, intercept=intercept)
    theta = np.asarray(theta, dtype=np.float64)
    bias, weights = (float(theta[0]), theta[1:]) if intercept else (0.0, theta)
    return assess(source, objective, solve(source, objective), weights, bias, kind)


def errors(assessment: Assessment) -> Floats:
    """Standard errors of [bias, weights]."""
    assert assessment.uncertainty is not None
    return np.delete(assessment.uncertainty.sd, 1)


def design(X: Floats, intercept: bool = True) -> Floats:
    return np.asarray(sm.add_constant(X, has_constant="add")) if intercept else X


def quantile_fit(X: Floats, y: Floats, q: float, w: Floats | None = None, intercept: bool = True) -> Floats:
    """The optimum by HiGHS."""
    E = design(X, intercept)
    n, p = E.shape
    c = np.ones(n) if w is None else w
    found = linprog(
        np.concatenate([np.zeros(p), q * c, (1 - q) * c]),
        A_eq=np.hstack([E, np.eye(n), -np.eye(n)]),
        b_eq=y,
        bounds=[(None, None)] * p + [(0, None)] * (2 * n),
        method="highs",
    )
    assert found.x is not None
    return np.asarray(found.x[:p], dtype=np.float64)


def covariance_by_the_book(
    E: Floats, r: Floats, y: Floats, loss: Loss, kind: str, w: Floats, penalty: Floats
) -> Floats:
    """bread⁻¹ · meat · bread⁻¹ as the formulas in `assess` read, in the features' own units."""
    n = len(E)
    w = w / w.mean()

    def gram(a: Floats) -> Floats:
        return (E * a[:, None]).T @ E

    p = np.trace(np.linalg.solve(gram(w) + n * penalty, gram(w)))  # of the hat matrix: what l2 leaves of the weights
    if isinstance(loss, Huber):
        psi, inner = np.clip(r, -loss.delta, loss.delta), (np.abs(r) <= loss.delta).astype(float)
        if kind == "sandwich":
            bread, meat = gram(w * inner), gram(w**2 * psi**2) * n / (n - p)
        else:
            m = (w * inner).mean()
            k = 1 + p / n * (1 - m) / m
            bread, meat = m * gram(w), k**2 * (w * psi**2).sum() / (n - p) * gram(w)
    else:
        q, jump = (loss.q, 1.0) if isinstance(loss, Quantile) else (0.5, 2.0)
        u = r * np.sqrt(w)
        share = hall_sheather(n, q)
        low, high = np.percentile(u, [25, 75])
        spread = np.sqrt(np.average((y - np.average(y, weights=w)) ** 2, weights=w))
        h = min(spread, (high - low) / 1.34) * (norm.ppf(q + share) - norm.ppf(q - share))
        kernel = 0.75 * np.maximum(1 - (u / h) ** 2, 0) / h
        zero = np.abs(r) < 1e-9
        if kind == "nid":  # as many as there are weights are 0 because their rows are interpolated
            kernel[zero] *= max(1 - E.shape[1] / max(zero.sum(), 1), 0)
        density = np.full(n, kernel.mean()) if kind == "iid" else kernel
        bread, meat = jump * gram(w**1.5 * density), jump**2 * q * (1 - q) * gram(w**2)
    inverse = np.linalg.inv(bread + n * penalty)
    return np.asarray(inverse @ meat @ inverse)


@pytest.mark.parametrize("q", [0.1, 0.25, 0.5, 0.9])
def test_iid_errors_of_quantiles_are_statsmodels(q: float) -> None:
    """Whatever weights are given to both: statsmodels' own, which are not quite at the optimum."""
    model = sm.QuantReg(FOOD, design(INCOME)).fit(q=q, vcov="iid")
    got = assessed(INCOME, FOOD, model.params, Quantile(q), "iid")
    assert errors(got) == pytest.approx(model.bse, rel=1e-10)
    assert (got.passes, got.notes) == (1, ())
    assert got.pseudo_r2 == pytest.approx(model.prsquared, abs=1e-4)  # it takes an interpolated quantile for the best
    if q == 0.5:
        assert got.pseudo_r2 == pytest.approx(model.prsquared, rel=1e-12)
        assert errors(assessed(INCOME, FOOD, model.params, Absolute(), "iid")) == pytest.approx(model.bse, rel=1e-10)


def test_iid_errors_of_stackloss_are_statsmodels() -> None:
    model = sm.QuantReg(STACK_Y, design(STACK_X)).fit(q=0.5, vcov="iid")
    assert errors(assessed(STACK_X, STACK_Y, model.params, Absolute(), "iid")) == pytest.approx(model.bse, rel=1e-10)


def test_a_target_in_two_heaps_has_the_width_of_its_deviation(rng: np.random.Generator) -> None:
    """The quartiles lie in different heaps, so that they are farther apart than the deviation says."""
    X = rng.standard_normal((600, 1))
    y = rng.choice([-1.0, 1.0], 600) + 0.5 * rng.standard_normal(600)
    model = sm.QuantReg(y, design(X)).fit(q=0.5, vcov="iid")
    low, high = np.percentile(y, [25, 75])
    assert y.std() < 0.85 * (high - low) / 1.34
    assert errors(assessed(X, y, model.params, Absolute(), "iid")) == pytest.approx(model.bse, rel=1e-9)


@pytest.mark.parametrize("q", [0.25, 0.5, 0.75])
def test_nid_errors_are_statsmodels_robust_ones_where_both_are_the_same(rng: np.random.Generator, q: float) -> None:
    """statsmodels puts the overall density where Powell has that of each row, and (q or 1-q)² for q(1-q).

    Both give the same where each cell of a design of groups has the same residuals. Elsewhere they differ.
    """
    e = np.sort(rng.standard_normal(40))
    e -= (e[int(40 * q) - 1] + e[int(40 * q)]) / 2
    group = np.repeat([0, 1, 2], 40)
    X = np.column_stack([group == 1, group == 2]).astype(float)
    y = 3.0 + X @ [1.0, -2.0] + np.tile(e, 3)
    model = sm.QuantReg(y, design(X)).fit(q=q, vcov="robust", p_tol=1e-9)
    assert model.params == pytest.approx([3, 1, -2], abs=0.1)
    got = assessed(X, y, [3.0, 1.0, -2.0], Quantile(q), "nid")
    assert errors(got) == pytest.approx(errors(assessed(X, y, [3.0, 1.0, -2.0], Quantile(q), "iid")), rel=1e-10)
    at = assessed(X, y, model.params, Quantile(q), "nid")
    assert errors(at) == pytest.approx(model.bse, rel=1e-3)


def test_nid_errors_see_that_spread_grows_with_income() -> None:
    """Where residuals spread with the feature, iid errors of the slope are far too small."""
    theta = quantile_fit(INCOME, FOOD, 0.5)
    assert theta == pytest.approx([81.482247, 0.560181], rel=1e-6)
    nid, iid = (assessed(INCOME, FOOD, theta, Absolute(), kind) for kind in ("nid", "iid"))
    assert nid.passes == 2
    assert errors(nid)[1] > 2 * errors(iid)[1]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.02])
@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        (Absolute(), "nid"),
        (Absolute(), "iid"),
        (Quantile(0.8), "nid"),
        (Quantile(0.2), "iid"),
        (Huber(0.7), "sandwich"),
        (Huber(0.7), "iid"),
    ],
)
def test_formulas(rng: np.random.Generator, loss: Loss, kind: str, l2: float, intercept: bool, weighted: bool) -> None:
    """The covariance by plain matrices in the features' own units, at weights near the optimum."""
    n = 400
    X = rng.standard_normal((n, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.2], [0, 0, 2]]) + 1.0
    y = X @ [1.0, -1.0, 0.5] + rng.standard_t(3, n) * (0.5 + np.abs(X[:, 0])) + (2.0 if intercept else 0.0)
    w = rng.uniform(0.2, 3.0, n) if weighted else np.ones(n)
    theta = np.linalg.lstsq(design(X, intercept), y, rcond=None)[0]
    E = design(X, intercept)
    r = y - E @ theta
    penalty = l2 * np.diag([0.0] * intercept + [1.0] * 3)
    expected = covariance_by_the_book(E, r, y, loss, kind, w, penalty)
    source = ArraySource(X, y, weight=w if weighted else None)
    objective = Objective(loss, l2=l2, intercept=intercept)
    solution = solve(source, objective)
    bias, weights = (float(theta[0]), theta[1:]) if intercept else (0.0, theta)
    got = assess(source, objective, solution, weights, bias, kind).uncertainty
    assert got is not None
    covariance = got.covariance(np.ones(3, np.bool_), True)[not intercept :, not intercept :]
    np.testing.assert_allclose(covariance, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    mean = np.average(X, axis=0, weights=w)
    at_centre = np.concatenate([[1.0], mean])
    if intercept:
        assert got.sd[1] ** 2 == pytest.approx(at_centre @ expected @ at_centre, rel=1e-8)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("X", "y"), [(INCOME, FOOD), (STACK_X, STACK_Y)])
def test_iid_errors_of_huber_are_statsmodels(X: Floats, y: Floats, intercept: bool) -> None:
    """RLM's default, "H1", which is MASS::rlm's, at its weights and its scale."""
    model = sm.RLM(y, design(X, intercept), M=sm.robust.norms.HuberT()).fit(tol=1e-12, maxiter=500)
    got = assessed(X, y, model.params, Huber(1.345 * model.scale), "iid", intercept=intercept)
    own = errors(got) if intercept else errors(got)[1:]
    assert own == pytest.approx(model.bse, rel=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("l2", [0.0, 0.3])
@pytest.mark.parametrize("intercept", [True, False])
def test_huber_with_a_large_delta_is_least_squares(
    rng: np.random.Generator, weighted: bool, l2: float, intercept: bool
) -> None:
    """iid are the classical errors, sandwich the HC1 ones; also of dependent columns."""
    X = rng.standard_normal((60, 3)) + 100.0
    X = np.column_stack([X, X[:, 0] - 2 * X[:, 1]])
    y = X @ [1.0, -1.0, 0.5, 0.1] + rng.standard_normal(60)
    source = ArraySource(X, y, weight=rng.uniform(0.2, 3.0, 60) if weighted else None)
    least = solve(source, Objective(Squared(), l2=l2, intercept=intercept))
    objective = Objective(Huber(1e6), l2=l2, intercept=intercept)
    for kind, expected in (("iid", least.uncertainty), ("sandwich", least.robust(source, "hc1")[0])):
        got = assess(source, objective, least, least.weights, least.bias, kind).uncertainty
        assert got is not None
        assert expected is not None
        np.testing.assert_allclose(got.sd, expected.sd, rtol=1e-8)
        np.testing.assert_allclose(got.correlation, expected.correlation, atol=1e-7)


KINDS: list[tuple[Loss, str]] = [
    (Quantile(0.3), "nid"),
    (Quantile(0.3), "iid"),
    (Huber(0.7), "sandwich"),
    (Huber(0.7), "iid"),
]


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[Floats, Floats, Floats, Floats]:
    """X (500, 2), y, weights and [bias, weights] near an optimum."""
    X = rng.standard_normal((500, 2))
    y = 1.0 + X @ [1.0, 2.0] + rng.standard_normal(500) * (1 + 0.5 * np.abs(X[:, 0]))
    return X, y, rng.uniform(0.5, 2.0, 500), np.array([0.95, 1.02, 1.97])


@pytest.mark.parametrize(("loss", "kind"), KINDS)
def test_what_weights_do_not_change(table: tuple[Floats, Floats, Floats, Floats], loss: Loss, kind: str) -> None:
    """Their overall size, rows of weight 0, blocks, memory order, and equal weights at all."""
    X, y, w, theta = table
    one = assessed(X, y, theta, loss, kind, weight=w)
    zero = np.vstack([X, [[1e3, -1e3]] * 30]), np.concatenate([y, [1e4] * 30]), np.concatenate([w, [0.0] * 30])
    for other in (
        assessed(X, y, theta, loss, kind, weight=w * 64),
        assessed(zero[0], zero[1], theta, loss, kind, weight=zero[2], block_rows=7),
        assessed(np.asfortranarray(X), y, theta, loss, kind, weight=w, block_rows=100),
    ):
        assert errors(other) == pytest.approx(errors(one), rel=1e-10)
        assert other.robust_scale == pytest.approx(one.robust_scale, rel=1e-12)
        assert other.pseudo_r2 == pytest.approx(one.pseudo_r2, rel=1e-12)
        assert (other.passes, other.notes) == (one.passes, one.notes)
    equal = assessed(X, y, theta, loss, kind, weight=np.full(500, 3.0))
    assert errors(equal) == pytest.approx(errors(assessed(X, y, theta, loss, kind)), rel=1e-10)


@pytest.mark.parametrize(("loss", "kind"), KINDS)
@pytest.mark.parametrize(("a", "b"), [(8.0, 0.25), (1e-150, 1e150), (1e250, 1e280)])
def test_units_do_not_matter(
    table: tuple[Floats, Floats, Floats, Floats], loss: Loss, kind: str, a: float, b: float
) -> None:
    """Target times a, features times b."""
    X, y, w, theta = table
    bent = replace(loss, delta=loss.delta * a) if isinstance(loss, Huber) else loss
    one = assessed(X, y, theta, loss, kind, weight=w)
    other = assessed(X * b, y * a, theta * [a, a / b, a / b], bent, kind, weight=w)
    assert errors(other) == pytest.approx(errors(one) * [a, a / b, a / b], rel=1e-9)
    assert other.robust_scale == pytest.approx(one.robust_scale * a, rel=1e-9)
    assert other.pseudo_r2 == pytest.approx(one.pseudo_r2, rel=1e-9)


@pytest.mark.parametrize(("loss", "kind"), KINDS)
def test_offsets_and_near_dependence_cost_no_digits(
    table: tuple[Floats, Floats, Floats, Floats], loss: Loss, kind: str
) -> None:
    """Features far from 0, one of them nearly the other: their errors follow from those of the plain ones."""
    X, y, _, theta = table
    grid = 2.0**-20
    X = np.round(X / grid) * grid
    moved = np.column_stack([X[:, 0] + 2.0**20, X[:, 0] + 2.0**-12 * X[:, 1]])
    plain = assessed(X, y, theta, loss, kind)
    # weights (v1, v2) with v1 + v2 = w1 and v2·2^-12 = w2
    v2 = theta[2] * 2.0**12
    v1 = theta[1] - v2
    other = assessed(moved, y, [theta[0] - v1 * 2.0**20, v1, v2], loss, kind)
    assert errors(other)[2] == pytest.approx(errors(plain)[2] * 2.0**12, rel=1e-5)
    assert other.uncertainty is not None
    assert plain.uncertainty is not None
    assert other.uncertainty.sd[1] == pytest.approx(plain.uncertainty.sd[1], rel=1e-5)


def test_mirrored_target_mirrors_the_quantile(table: tuple[Floats, Floats, Floats, Floats]) -> None:
    X, y, w, theta = table
    for kind in ("nid", "iid"):
        one = assessed(X, y, theta, Quantile(0.3), kind, weight=w)
        other = assessed(X, -y, -theta, Quantile(0.7), kind, weight=w)
        assert errors(one) == pytest.approx(errors(other), rel=1e-10)
        assert one.pseudo_r2 == pytest.approx(other.pseudo_r2, rel=1e-10)


def test_large_tables_in_threads_and_by_a_sample(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of features sum every row; the kernel's width, the sparsity and the summaries come from the sample."""
    X = rng.standard_normal((120_000, 9))
    y = X.sum(axis=1) + rng.standard_t(3, 120_000)
    theta = np.r_[0.0, np.ones(9)]
    whole = [assessed(X, y, theta, loss, kind) for loss, kind in KINDS]
    monkeypatch.setattr(residuals_module, "MOST", 20_000)
    for (loss, kind), one in zip(KINDS, whole, strict=True):
        other = assessed(X, y, theta, loss, kind)
        assert errors(other) == pytest.approx(errors(one), rel=0.1 if isinstance(loss, Quantile) else 1e-12)
        assert other.robust_scale == pytest.approx(one.robust_scale, rel=0.05)
        assert other.pseudo_r2 == pytest.approx(one.pseudo_r2, abs=0.02)
        f32 = assessed(X.astype(np.float32), y.astype(np.float32), theta, loss, kind)
        assert errors(f32) == pytest.approx(errors(other), rel=1e-3)


@pytest.mark.parametrize("kind", ["nid", "iid"])
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, "w"])
def test_a_file_larger_than_the_sample_has_the_errors_of_all_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator, weight: str | None, l2: float, kind: Any
) -> None:
    """Quantiles of residuals may come from the sample that is kept of it, sums never."""
    monkeypatch.setattr(frame, "SAMPLE", 20_000)
    monkeypatch.setattr(frame, "DIRECT", 500)
    X, w = rng.standard_normal((20_000, 2)), rng.uniform(0.2, 3, 20_000)
    y = X @ [1.0, 2.0] + rng.standard_t(3, 20_000) * (1 + np.abs(X[:, 0]))
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1], "w": w, "y": y}), tmp_path / "t.parquet")
    how: dict[str, Any] = {"loss": "absolute", "l2": l2, "errors": kind}
    file = linnet.fit(tmp_path / "t.parquet", "y", features=["a", "b"], weight=weight, **how)
    array = linnet.fit(X, y, weight=None if weight is None else w, **how)
    assert file.weights == pytest.approx(array.weights, rel=1e-9)
    assert [file.bias_std_error, *file.std_errors] == pytest.approx([array.bias_std_error, *array.std_errors], rel=0.1)


def test_the_order_of_rows_does_not_decide_whether_there_are_errors() -> None:
    """Half of the weight, and of the rows, lies within delta, which sums in another order round to a little less."""
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((14, 1)), np.tile([0.9, 0.3, 0.1, 0.3, 0.4, 0.9, 0.4], 2)
    y = np.repeat([0.2, 9.0], 7) * np.tile([-1.0, 1.0], 7)
    orders = [rng.permutation(14) for _ in range(80)]
    every = [assessed(X[i], y[i], [0.0, 0.0], Huber(1.0), "iid", weight=w[i]).uncertainty for i in orders]
    assert all(every)


def test_vertex_of_few_rows() -> None:
    """Interpolated rows are in the kernel; it is widened when it holds few others, and that is said."""
    data = sm.datasets.longley.load_pandas()
    X, y = data.exog.to_numpy(float), data.endog.to_numpy(float)
    theta = quantile_fit(X / X.std(axis=0), y / 1e3, 0.5) * 1e3 / np.r_[1.0, X.std(axis=0)]
    for kind in ("nid", "iid"):
        got = assessed(X, y, theta, Quantile(0.5), kind)
        assert (errors(got) > 0).all()
        assert "to hold 12 rows" in got.notes[0]
        assert "either side of the median, for 7 weights" in got.notes[1]
        for q in (0.25, 1e-4, 1 - 1e-4, 1e-300):
            got = assessed(X, y, theta, Quantile(q), kind)
            assert got.uncertainty is None
            assert "too few to tell standard errors" in got.notes[0]


@pytest.mark.parametrize(
    ("loss", "far"),
    [(Huber(1.0), [-90.0, 90.0]), (Absolute(), [-90.0, 0.0, 90.0]), (Quantile(0.5), [-90.0, 0.0, 90.0])],
)
@pytest.mark.parametrize("dependent", [False, True])
def test_a_level_that_no_small_residual_tells_takes_no_other_error_away(
    rng: np.random.Generator, loss: Loss, far: list[float], dependent: bool
) -> None:
    """Its rows are all far off, or interpolated. The others' errors are those of their own rows, df apart."""
    n, k = 120, len(far)
    group = np.repeat([0, 1, 2], [n // 2, n // 2, k])
    X = np.column_stack([group == 1, group == 2]).astype(float)
    y = np.r_[rng.standard_normal(n), far]
    start = np.array([np.median(y[:60]), np.median(y[60:n]) - np.median(y[:60])])
    theta = np.r_[start, -start[0]]
    if dependent:
        X, theta = np.column_stack([X, X[:, 0]]), np.r_[theta[0], theta[1] / 2, theta[2], theta[1] / 2]
    kind = "sandwich" if isinstance(loss, Huber) else "nid"
    got = assessed(X, y, theta, loss, kind)
    assert got.uncertainty is not None
    told = np.delete(np.isfinite(got.uncertainty.shown), 1)
    assert told.tolist() == [True, True, False, True][: 1 + X.shape[1]]
    (note,) = got.notes
    assert f"the standard {kind} error of `x2`" in note
    alone = assessed(X[:n, :1], y[:n], start, loss, kind)
    if isinstance(loss, Huber):
        ratio = np.sqrt((n + k) / (n + k - 3) / (n / (n - 2)))
        spread = np.delete(got.uncertainty.sd, 1)[:2] / [1, 1 - 0.5 * dependent] / errors(alone)
        outer = (np.abs(y - X @ theta[1:] - theta[0]) > 1)[:n].sum()
        assert outer > 10
        assert spread == pytest.approx([ratio, ratio], rel=1e-9)
    else:
        assert errors(got)[:2] == pytest.approx(errors(alone) * [1, 1 - 0.5 * dependent], rel=0.1)  # another width
    moves = got.uncertainty.prediction_sd(X[[0, 61, n]] - X.mean(axis=0))
    assert np.isnan(moves).tolist() == [False, False, True]


def test_ties() -> None:
    """More than half of the residuals are 0 exactly, or but for rounding: there is no density to estimate."""
    x = np.arange(40.0)[:, None]
    y = 0.1 * x[:, 0] + 0.3
    y[::3] += np.linspace(-1, 1, 14)
    for kind in ("nid", "iid"):
        got = assessed(x, y, [0.3, 0.1], Absolute(), kind)
        assert (errors(got) > 1e-3).all()
        assert any("half of the residuals or more are equal" in note for note in got.notes)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["nid", "iid"])
def test_ties_at_the_fit_count_but_for_as_many_as_there_are_weights(
    rng: np.random.Generator, kind: str, weighted: bool
) -> None:
    """Whole numbers, of which a fourth lie on the plane."""
    X = rng.integers(-3, 4, (200, 2)).astype(float)
    y = X @ [1.0, -2.0] + 3 + np.round(1.5 * rng.standard_normal(200))
    w = rng.uniform(0.5, 2, 200) if weighted else np.ones(200)
    theta = np.array([3.0, 1.0, -2.0])
    r = y - design(X) @ theta
    assert 40 < np.count_nonzero(r == 0) < 80
    got = assessed(X, y, theta, Absolute(), kind, weight=w if weighted else None)
    expected = covariance_by_the_book(design(X), r, y, Absolute(), kind, w, np.zeros((3, 3)))
    assert errors(got) == pytest.approx(np.sqrt(expected.diagonal()), rel=1e-9)
    assert got.notes == ()


@pytest.mark.parametrize(("loss", "kind"), [(Absolute(), "nid"), (Quantile(0.9), "iid")])
def test_perfect_fit(loss: Loss, kind: str) -> None:
    x = np.arange(40.0)[:, None]
    got = assessed(x, 0.1 * x[:, 0] + 0.3, [0.3, 0.1], loss, kind)
    assert got.uncertainty is None
    assert "0 but for rounding" in got.notes[0]
    assert got.pseudo_r2 == pytest.approx(1)
    assert got.robust_scale < 1e-15


def test_constant_target(rng: np.random.Generator) -> None:
    x = rng.standard_normal((40, 1))
    got = assessed(x, np.full(40, 0.1), [0.1, 0.0], Absolute(), "nid")
    assert got.uncertainty is None
    assert np.isnan(got.pseudo_r2)
    # without an intercept residuals remain, though the target's deviation is 0
    got = assessed(x, np.full(40, 0.1), [0.0], Absolute(), "nid", intercept=False)
    assert (errors(got)[1:] > 0).all()
    assert got.pseudo_r2 == 0


@pytest.mark.parametrize("kind", ["sandwich", "iid"])
def test_nothing_within_delta(kind: str) -> None:
    """Weights that are no optimum: no residual is small, so that none tells how the sum of scores gives."""
    x = np.arange(40.0)[:, None]
    got = assessed(x, x[:, 0] % 2 * 2 - 1, [0.0, 0.0], Huber(0.5), kind)
    assert got.uncertainty is None
    assert "add rows" in got.notes[0] or "within delta" in got.notes[0]


@pytest.mark.parametrize("kind", ["sandwich", "iid"])
def test_a_table_of_a_dozen_rows_has_errors(rng: np.random.Generator, kind: str) -> None:
    """Half of few rows within delta are enough, though they are not four for each weight."""
    X = rng.standard_normal((12, 3))
    y = X @ [1.0, -1.0, 0.5] + rng.standard_normal(12)
    theta = np.linalg.lstsq(design(X), y, rcond=None)[0]
    r = y - design(X) @ theta
    delta = float(np.sort(np.abs(r))[7:9].mean())  # within which 8 lie
    got = assessed(X, y, theta, Huber(delta), kind)
    expected = covariance_by_the_book(design(X), r, y, Huber(delta), kind, np.ones(12), np.zeros((4, 4)))
    assert errors(got) == pytest.approx(np.sqrt(expected.diagonal()), rel=1e-9)


def test_no_degrees_of_freedom() -> None:
    for loss, kind in KINDS:
        got = assessed([[1.0], [2.0]], [1.0, 3.0], [-1.0, 2.0], loss, kind)
        assert got.uncertainty is None
        assert got.passes == 1


def test_none_still_summarises(table: tuple[Floats, Floats, Floats, Floats]) -> None:
    X, y, w, theta = table
    got = assessed(X, y, theta, Huber(0.7), "none", weight=w)
    assert (got.uncertainty, got.passes) == (None, 1)
    other = assessed(X, y, theta, Huber(0.7), "iid", weight=w)
    assert (got.robust_scale, got.pseudo_r2) == (other.robust_scale, other.pseudo_r2)


@pytest.mark.parametrize(
    ("loss", "kind"),
    [(Absolute(), "sandwich"), (Quantile(0.5), "hc1"), (Huber(1.0), "nid"), (Squared(), "iid"), (Squared(), "none")],
)
def test_kinds_that_a_loss_has_not(table: tuple[Floats, Floats, Floats, Floats], loss: Loss, kind: str) -> None:
    X, y, _, theta = table
    with pytest.raises(InputError, match=r"choose from|fit absolute, quantile or Huber"):
        assessed(X, y, theta, loss, kind)


def test_hall_sheather_is_statsmodels() -> None:
    from statsmodels.regression.quantile_regression import hall_sheather as theirs

    own: Callable[[int, float], float] = hall_sheather
    for n, q in ((100, 0.5), (1000, 0.9), (235, 0.1)):
        assert own(n, q) == pytest.approx(theirs(n, q), rel=1e-13)
    share = own(20, 0.05)
    assert 0.025 <= share < 0.05
    assert theirs(20, 0.05) / share == pytest.approx(round(theirs(20, 0.05) / share), rel=1e-12)
