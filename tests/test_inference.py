"""Standard errors, intervals and tests: SciPy's distributions, and statsmodels as a second opinion on whole fits."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy import stats

import linnet
from linnet.block import Block, InputError
from linnet.inference import Uncertainty, directions, f_upper, t_quantile, t_two_sided
from linnet.moments import Moments
from rational import dot, invert, quadratic, relative, root, sandwich

Floats = NDArray[np.float64]
KINDS = ["classical", "hc0", "hc1", "hc2", "hc3"]


@pytest.mark.parametrize("df", [1.0, 2.5, 10.0, 1e6])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_t_quantile(level: float, df: float) -> None:
    assert t_quantile(level, df) == pytest.approx(stats.t.ppf(0.5 + level / 2, df), rel=1e-10)


@pytest.mark.parametrize("df", [1.0, 2.5, 10.0, 1e6])
@pytest.mark.parametrize("level", [1e-12, 1 - 1e-11, float(np.nextafter(1, 0))])
def test_intervals_of_nearly_every_level_are_finite(level: float, df: float) -> None:
    t = t_quantile(level, df)
    assert 0 < t < np.inf
    tail = 2 * float(stats.t.sf(t, df)) if level > 0.5 else 1 - 2 * t * float(stats.t.pdf(0, df))
    assert tail == pytest.approx(1 - level, rel=1e-9)


def test_p_values_far_out_keep_their_digits() -> None:
    t = np.array([0.0, -1.0, 2.0, 50.0, np.inf, np.nan])
    assert t_two_sided(t, 9) == pytest.approx(2 * stats.t.sf(np.abs(t), 9), rel=1e-10, nan_ok=True)
    assert t_two_sided(t, 9)[3] > 0
    assert np.isnan(t_two_sided(t, 0)).all()
    assert np.isnan(t_quantile(0.95, 0))


def test_f_upper() -> None:
    assert f_upper(3.2, 4, 17) == pytest.approx(stats.f.sf(3.2, 4, 17), rel=1e-10)
    assert (f_upper(np.inf, 4, 17), f_upper(0.0, 4, 17)) == (0.0, 1.0)
    for nothing in ((np.nan, 4, 17), (1.0, 0, 17), (1.0, 4, 0)):
        assert np.isnan(f_upper(*nothing))


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, 95, np.nan, np.inf])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(InputError, match="strictly between 0 and 1"):
        t_quantile(level, 10)


def test_uncertainty_by_hand() -> None:
    """sd 3 of the bias, 1 at the centre, 2 and 4 of the weights, which correlate by 0.5."""
    factor = np.eye(4)
    factor[3, 2:] = 0.5, np.sqrt(0.75)
    uncertainty = Uncertainty(np.array([3.0, 1.0, 2.0, 4.0]), factor)
    both = uncertainty.covariance(np.array([True, True]), True)
    assert both.tolist() == [[9, 0, 0], [0, 4, 4], [0, 4, 16]]
    assert uncertainty.correlation[2:, 2:].tolist() == [[1, 0.5], [0.5, 1]]
    one = uncertainty.covariance(np.array([True, False]), True)
    assert np.isnan(one[2]).all()
    assert np.isnan(one[:, 2]).all()
    assert one[:2, :2].tolist() == [[9, 0], [0, 4]]
    assert np.isnan(uncertainty.covariance(np.array([True, True]), False)[0]).all()
    sd = uncertainty.prediction_sd(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, -1.0]]))
    assert sd == pytest.approx([1.0, np.sqrt(1 + 4), np.sqrt(1 + 4 + 16 - 2 * 4)])
    with np.errstate(over="ignore", invalid="ignore"):
        beyond = uncertainty.prediction_sd(np.array([[1.7e308, -1.7e308], [0.0, 0.0], [np.nan, 0.0]]))
    np.testing.assert_array_equal(beyond, [np.inf, 1.0, np.nan])  # beyond float64's range, not unknown
    away = np.array([1.0, 3.0])
    expected = away @ np.linalg.solve([[4, 4], [4, 16]], away)
    assert uncertainty.wald(away, np.arange(2)) == pytest.approx(expected, rel=1e-14)
    assert uncertainty.wald(away, np.array([1])) == pytest.approx(9 / 16, rel=1e-14)
    assert uncertainty.wald(np.array([np.inf, 0.0]), np.arange(2)) == np.inf


def test_no_wald_statistic_of_a_covariance_that_has_no_inverse() -> None:
    both, away = np.arange(2), np.ones(2)
    alike = np.array([[1.0, 0], [1, 0], [0.6, 0.8], [0.6, 0.8]])
    assert np.isnan(Uncertainty(np.ones(4), alike).wald(away, both))
    assert np.isnan(Uncertainty(np.ones(4), alike[:, :1]).wald(away, both))
    assert np.isnan(Uncertainty(np.array([1.0, 1, 1, 0]), np.eye(4)).wald(away, both))
    assert np.isnan(Uncertainty(np.ones(4), np.eye(4)).wald(np.array([1.0, np.nan]), both))


@pytest.mark.parametrize("size", [1e-250, 1e250])
def test_squares_of_a_prediction_error_need_not_fit_into_float64(size: float, rng: np.random.Generator) -> None:
    """The squares of such standard errors do not."""
    factor = directions(rng.standard_normal((4, 3)))
    sd, offsets = np.array([2.0, 1.0, 3.0, 0.5]), rng.standard_normal((5, 2))
    plain = Uncertainty(sd, factor).prediction_sd(offsets)
    assert Uncertainty(sd * size, factor).prediction_sd(offsets) == pytest.approx(plain * size, rel=1e-14)


def test_the_factor_is_worked_out_when_first_asked_for() -> None:
    calls: list[int] = []

    def factor() -> Floats:
        calls.append(1)
        return np.eye(3)

    uncertainty = Uncertainty(np.array([3.0, 1.0, 2.0]), factor)
    assert uncertainty.sd.tolist() == [3, 1, 2]
    assert not calls
    assert uncertainty.factor is uncertainty.factor
    assert len(calls) == 1
    copy = pickle.loads(pickle.dumps(Uncertainty(uncertainty.sd, factor)))
    assert copy.sd.tolist() == [3, 1, 2]
    assert copy.factor.tolist() == np.eye(3).tolist()


YEARS = np.arange(1961.0, 2025.0)


def powers_of_years(k: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    t = (YEARS - 1961) / 10
    return np.column_stack([YEARS**j for j in range(1, k + 1)]), 1 + t - 0.1 * t**3 + 0.1 * rng.standard_normal(64)


def nearly_alike(gap: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    x = rng.standard_normal(40) + 5
    return np.column_stack([x, x + gap * rng.standard_normal(40)]), x + rng.standard_normal(40)


def tenth_degree(rng: np.random.Generator) -> tuple[Floats, Floats]:
    x = np.linspace(-9, -3, 82)
    return np.column_stack([x**j for j in range(1, 11)]), np.sin(x) + 0.1 * rng.standard_normal(82)


ILL_CONDITIONED: dict[str, Callable[[np.random.Generator], tuple[Floats, Floats]]] = {  # the condition number beside it
    **{f"years to the power of {k}": partial(powers_of_years, k) for k in (1, 2, 4, 5)},  # 1 480 7e7 2e10
    **{f"{gap} apart": partial(nearly_alike, gap) for gap in (1e-3, 1e-7, 1e-11)},  # 2e3 2e7 2e11
    "tenth degree": tenth_degree,  # 2e9
}


@pytest.mark.parametrize("errors", [*KINDS, "huber"])
@pytest.mark.parametrize("name", ILL_CONDITIONED)
def test_prediction_errors_and_wald_statistic_lose_no_more_than_the_condition_number(
    name: str, errors: Any, rng: np.random.Generator, tmp_path: Path
) -> None:
    """Against rational arithmetic; and a model file gives the same bits."""
    X, y = ILL_CONDITIONED[name](rng)
    n, p = len(y), X.shape[1] + 1
    delta = 1.5 * float(np.median(np.abs(y - linnet.fit(X, y).predict(X))))
    if errors == "huber":
        fit = linnet.fit(X, y, loss=linnet.Huber(delta=delta), errors="sandwich")
    else:
        fit = linnet.fit(X, y, errors=errors)
    rows = [[Fraction(1), *map(Fraction, row)] for row in X.tolist()]
    target = [Fraction(v) for v in y.tolist()]
    whole = [Fraction(1)] * n
    inner, side = whole, [Fraction(0)] * n
    if errors == "huber":  # which rows lie beyond delta is taken from the fit, all else follows
        off = (y - fit.predict(X)) / delta
        side = [Fraction(int(np.sign(v)) if abs(v) > 1 else 0) for v in off]
        inner = [Fraction(int(not s)) for s in side]
        assert 0 < sum(inner) < n
    bound = Fraction(delta)
    pull = [i * v + bound * s for i, v, s in zip(inner, target, side, strict=True)]
    gram = sandwich(rows, inner, inner)  # the inverse of the inner rows' products
    sums = [dot(pull, column) for column in zip(*rows, strict=True)]
    beta = [dot(row, sums) for row in gram]
    r = [v - dot(row, beta) for row, v in zip(rows, target, strict=True)]
    slopes = [bound * s if s else v for s, v in zip(side, r, strict=True)]
    if errors == "classical":
        meat = [sum((v * v for v in r), Fraction(0)) / (n - p)] * n
    else:
        power = {"hc2": 1, "hc3": 2}.get(errors, 0)
        free = [1 - quadratic(gram, row) if power else Fraction(1) for row in rows]
        meat = [v * v / f**power for v, f in zip(slopes, free, strict=True)]
        if errors in ("hc1", "huber"):
            meat = [v * n / (n - p) for v in meat]
    covariance = sandwich(rows, inner, meat)
    rounding = (abs(fit.bias) + np.abs(X * fit.weights).sum(axis=1).max()) / delta  # of residuals, to a Huber loss
    lost = 1e-13 + 10 * 2.0**-52 * max(fit.condition, rounding)
    inverse = invert([row[1:] for row in covariance[1:]])
    assert relative(fit.f_statistic, quadratic(inverse, beta[1:]) / (p - 1)) < lost
    low, high = fit.predict(X, interval=0.9, kind="confidence")[:, 1:].T
    half = Fraction(t_quantile(0.9, n - p))
    for i in range(0, n, 9):
        assert relative((high[i] - low[i]) / 2, half * root(quadratic(covariance, rows[i]))) < lost
    fit.save(tmp_path / "model.json")
    again = linnet.load(tmp_path / "model.json", linnet.Fit)
    assert again.predict(X, interval=0.9, kind="confidence").tobytes() == np.c_[fit.predict(X), low, high].tobytes()
    assert again.covariance.tobytes() == fit.covariance.tobytes()


@pytest.mark.parametrize("order", ["C", "F"])
def test_many_features(order: Any, rng: np.random.Generator) -> None:
    """More than our own kernels take: weights, errors, covariance and condition against NumPy."""
    n = 900
    X = np.asarray(rng.standard_normal((n, 520)) + rng.uniform(-9, 9, 520), order=order)
    y = X @ rng.standard_normal(520) + rng.standard_normal(n)
    design = np.column_stack([np.ones(n), X])
    inverse = np.linalg.inv(design.T @ design)
    weights = np.linalg.lstsq(design, y)[0]
    variance = np.sum((y - design @ weights) ** 2) / (n - 521)
    fit = linnet.fit(X, y, precision="float64")
    assert fit.coefficients == pytest.approx(weights, rel=1e-8)
    errors = np.sqrt(variance * inverse.diagonal())
    assert np.r_[fit.bias_std_error, fit.std_errors] == pytest.approx(errors, rel=1e-9)
    assert fit.condition == pytest.approx(np.linalg.cond((X - X.mean(0)) / X.std(0)), rel=1e-2)
    low, high = fit.predict(X[:5], interval=0.9, kind="confidence")[:, 1:].T
    sd = np.sqrt(variance * np.sum(design[:5] @ inverse * design[:5], axis=1))
    assert high - low == pytest.approx(2 * stats.t.ppf(0.95, n - 521) * sd, rel=1e-9)
    assert fit.covariance == pytest.approx(variance * inverse, rel=1e-8, abs=1e-9 * np.max(errors) ** 2)


def test_an_uncertainty_keeps_nothing_of_its_solution_but_one_matrix(rng: np.random.Generator) -> None:
    solution = Moments.of(Block(rng.standard_normal((50, 3)), rng.standard_normal(50), None)).solve()
    uncertainty = solution.uncertainty
    equations, basis = weakref.ref(solution.equations.matrix[0]), weakref.ref(solution.basis)
    del solution
    gc.collect()
    assert equations() is None
    assert basis() is not None
    assert uncertainty is not None
    assert uncertainty.correlation.shape == (5, 5)
    gc.collect()
    assert basis() is None


@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_what_is_copied_or_saved_before_anybody_looks_is_the_same(
    table: tuple[Floats, Floats, Floats], precision: Any, l2: float, tmp_path: Path
) -> None:
    X, y, _ = table
    fit = linnet.fit(X, y, precision=precision, l2=l2)
    copy = pickle.loads(pickle.dumps(fit))
    fresh = linnet.fit(X, y, precision=precision, l2=l2)
    fresh.save(tmp_path / "model.json")
    for other in (copy, linnet.load(tmp_path / "model.json", linnet.Fit)):
        assert other.covariance.tobytes() == fit.covariance.tobytes()
        assert other.predict(X, interval=0.9).tobytes() == fit.predict(X, interval=0.9).tobytes()


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    X = rng.standard_normal((80, 3)) + np.array([0.0, 3.0, -1.0])
    spread = np.exp(0.5 * X[:, 0])
    return X, X @ [1.0, -2.0, 0.3] + 0.5 + spread * rng.standard_normal(80), 1 / spread**2


def reference(X: Floats, y: Floats, w: Floats | None, intercept: bool, errors: str) -> Any:
    design = sm.add_constant(X) if intercept else X
    model = sm.OLS(y, design) if w is None else sm.WLS(y, design, weights=w)
    return model.fit() if errors == "classical" else model.fit(cov_type=errors.upper(), use_t=True)


@pytest.mark.parametrize("errors", KINDS)
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_the_whole_table_against_statsmodels(
    table: tuple[Floats, Floats, Floats], precision: Any, weighted: bool, intercept: bool, errors: Any
) -> None:
    X, y, w = table
    weight = w if weighted else None
    fit = linnet.fit(X, y, weight=weight, intercept=intercept, errors=errors, precision=precision)
    want = reference(X, y, weight, intercept, errors)
    first = 0 if intercept else 1
    assert fit.precision == precision
    assert fit.coefficients[first:] == pytest.approx(want.params, rel=1e-11)
    assert np.r_[fit.bias_std_error, fit.std_errors][first:] == pytest.approx(want.bse, rel=1e-11)
    assert fit.covariance[first:, first:] == pytest.approx(want.cov_params(), rel=1e-9, abs=1e-14)
    assert fit.t_values[first:] == pytest.approx(want.tvalues, rel=1e-11)
    assert fit.p_values[first:] == pytest.approx(want.pvalues, rel=1e-9, abs=1e-300)
    assert fit.interval(0.9)[first:] == pytest.approx(want.conf_int(0.1), rel=1e-9)
    assert fit.residual_sd == pytest.approx(np.sqrt(want.scale), rel=1e-12)
    assert fit.df_residual == want.df_resid
    assert (fit.r2, fit.adjusted_r2) == pytest.approx((want.rsquared, want.rsquared_adj), rel=1e-11)
    assert fit.f_statistic == pytest.approx(want.fvalue, rel=1e-9)
    assert fit.f_p_value == pytest.approx(want.f_pvalue, rel=1e-8)
    like_the_rows = np.full(9, w[w > 0].mean() if weighted else 1.0)  # the weight of a new observation
    new = sm.add_constant(X[:9]) if intercept else X[:9]
    frame = want.get_prediction(new, weights=like_the_rows).summary_frame(alpha=0.1)
    confidence = fit.predict(X[:9], interval=0.9, kind="confidence")
    assert confidence[:, 0] == pytest.approx(frame["mean"].to_numpy(), rel=1e-11)
    assert confidence[:, 1] == pytest.approx(frame["mean_ci_lower"].to_numpy(), rel=1e-9)
    assert confidence[:, 2] == pytest.approx(frame["mean_ci_upper"].to_numpy(), rel=1e-9)
    prediction = fit.predict(X[:9], interval=0.9)
    assert prediction[:, 1] == pytest.approx(frame["obs_ci_lower"].to_numpy(), rel=1e-9)
    assert prediction[:, 2] == pytest.approx(frame["obs_ci_upper"].to_numpy(), rel=1e-9)


@pytest.mark.parametrize("errors", KINDS)
def test_a_target_that_features_say_nothing_of_has_p_1(errors: Any) -> None:
    x = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    fit = linnet.fit(x[:, None], x**2, errors=errors)
    assert (fit.r2, fit.f_statistic, fit.f_p_value, fit.p_values[1]) == (0.0, 0.0, 1.0, 1.0)


@pytest.mark.parametrize("errors", KINDS)
def test_rows_of_weight_0_are_absent_from_the_errors(table: tuple[Floats, Floats, Floats], errors: Any) -> None:
    X, y, w = table
    w = np.where(np.arange(80) % 3 == 0, 0.0, w)
    kept = w > 0
    a, b = linnet.fit(X, y, weight=w, errors=errors), linnet.fit(X[kept], y[kept], weight=w[kept], errors=errors)
    assert a.n == b.n == kept.sum()
    assert a.std_errors == pytest.approx(b.std_errors, rel=1e-12)
    assert a.df_residual == b.df_residual


@pytest.mark.parametrize("errors", KINDS)
@pytest.mark.parametrize("factor", [2.0**-30, 0.1, 1e6])
def test_the_overall_size_of_weights_does_not_matter(
    table: tuple[Floats, Floats, Floats], errors: Any, factor: float
) -> None:
    """They are inverse variances up to a factor: residual_sd absorbs it."""
    X, y, w = table
    a, b = linnet.fit(X, y, weight=w, errors=errors), linnet.fit(X, y, weight=w * factor, errors=errors)
    assert b.weights == pytest.approx(a.weights, rel=1e-12)
    assert b.std_errors == pytest.approx(a.std_errors, rel=1e-12)
    assert b.residual_sd == pytest.approx(a.residual_sd * np.sqrt(factor), rel=1e-12)
    assert b.objective == pytest.approx(a.objective, rel=1e-12)


@pytest.mark.parametrize("errors", KINDS)
@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_an_offset_moves_only_the_bias(table: tuple[Floats, Floats, Floats], errors: Any, offset: float) -> None:
    """Up to the rounding that the offset itself forces on the features."""
    X, y, _ = table
    shifted = X + offset
    back = shifted - offset
    a, b = linnet.fit(back, y, errors=errors), linnet.fit(shifted, y, errors=errors)
    assert b.weights == pytest.approx(a.weights, rel=1e-12)
    assert b.std_errors == pytest.approx(a.std_errors, rel=1e-7)
    points = b.predict(shifted[:5], interval=0.9)
    assert points == pytest.approx(a.predict(back[:5], interval=0.9), rel=1e-6)


def test_a_robust_error_needs_more_rows_than_weights(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((4, 3)), rng.standard_normal(4)
    for errors in KINDS:
        fit = linnet.fit(X, y, errors=errors)  # type: ignore[call-overload]
        assert fit.status is linnet.Status.SATURATED
        assert np.isnan(fit.std_errors).all()


@pytest.mark.parametrize("errors", ["hc2", "hc3"])
def test_a_row_that_decides_its_own_fit_does_not_break_the_errors(rng: np.random.Generator, errors: Any) -> None:
    """Its leverage is 1 and its residual 0: HC2 and HC3 would divide nothing by nothing (see test_lone_rows)."""
    X = np.column_stack([rng.standard_normal(30), np.arange(30) == 7])
    y = rng.standard_normal(30)
    fit = linnet.fit(X, y, errors=errors)
    without = linnet.fit(np.delete(X, 7, axis=0)[:, :1], np.delete(y, 7), errors=errors)
    assert np.isfinite(fit.std_errors).tolist() == [True, False]
    assert fit.std_errors[0] == pytest.approx(without.std_errors[0], rel=1e-6)
