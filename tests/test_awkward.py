"""Awkward input through the front door: right or refused in one paragraph, never silently wrong, never a warning.

Right is what a well-scaled problem of the same shape gives, or exact rational arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import InputError
from linnet.solvers.interior_point import InteriorPoint
from linnet.sources.arrays import ArraySource
from rational import least_squares, relative

Floats = NDArray[np.float64]
N = 40
BIG = 200_000

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no intercept": {"intercept": False},
    "weights": {"weight": np.random.default_rng(3).uniform(0.1, 2, N)},
    "hc3": {"errors": "hc3"},
    "hc0 with weights": {"errors": "hc0", "weight": np.random.default_rng(3).uniform(0.1, 2, N)},
    "no errors": {"errors": "none"},
    "hc2 no intercept": {"errors": "hc2", "intercept": False},
}
every_option = pytest.mark.parametrize("name", OPTIONS)


def table(n: int = N, d: int = 3) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(9)
    X = rng.standard_normal((n, d))
    return X, X @ np.linspace(1, 2, d) + 0.5 + 0.1 * rng.standard_normal(n)


def presentable(fit: linnet.Fit) -> None:
    """Prints itself within 80 columns and as plain values."""
    assert max(map(len, str(fit).split("\n"))) <= 80
    assert fit.to_dict()["status"] == fit.status.name
    assert np.isfinite(fit.coefficients).all()


SCALES = [
    [1e150, 1.0, 1e-150],
    [1e300, 1.0, 1e-300],
    [1.0, 1e-12, 1e12],
    [1e-300, 1e-300, 1e-300],
    [1e300, 1e300, 1e300],
    [4e307, 1.0, 1.0],
    [-1e-150, 3.0, 1e150],
]


@every_option
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_scales(name: str, scale: list[float]) -> None:
    """Each weight is that of the unscaled problem over its column's scale."""
    X, y = table()
    y = y * 1e3  # or the weight of a column near 1e308 would be subnormal
    # the reference knows the rounding that scaling costs: a power of two near the scale costs none
    powers = np.round(np.log2(np.abs(scale))).astype(int)
    Z = X * np.array(scale)
    same = np.ldexp(Z, -powers)
    fit, want = linnet.fit(Z, y, **OPTIONS[name]), linnet.fit(same, y, **OPTIONS[name])
    np.testing.assert_allclose(np.ldexp(fit.weights, powers), want.weights, rtol=1e-12)
    np.testing.assert_allclose(np.ldexp(fit.std_errors, powers), want.std_errors, rtol=1e-9)
    np.testing.assert_allclose([fit.bias, fit.r2], [want.bias, want.r2], rtol=1e-12)
    np.testing.assert_allclose(fit.f_statistic, want.f_statistic, rtol=1e-6)
    np.testing.assert_allclose(fit.predict(Z), want.predict(same), rtol=1e-12)
    if name != "no errors":
        np.testing.assert_allclose(fit.predict(Z, interval=0.9), want.predict(same, interval=0.9), rtol=1e-9)
    assert fit.status is linnet.Status.SOLVED
    presentable(fit)


@every_option
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e300, 1e-300])
def test_scaled_target(name: str, scale: float) -> None:
    X, y = table()
    power = round(np.log2(scale))
    fit, want = linnet.fit(X, np.ldexp(y, power), **OPTIONS[name]), linnet.fit(X, y, **OPTIONS[name])
    np.testing.assert_allclose(np.ldexp(fit.weights, -power), want.weights, rtol=1e-13)
    np.testing.assert_allclose(np.ldexp(fit.std_errors, -power), want.std_errors, rtol=1e-12)
    np.testing.assert_allclose(fit.p_values, want.p_values, rtol=1e-9)
    np.testing.assert_allclose([np.ldexp(fit.bias, -power), fit.r2], [want.bias, want.r2], rtol=1e-13)
    presentable(fit)


@every_option
@pytest.mark.parametrize("offset", [1e9, 1e12, -1e12])
def test_offsets_against_fractions(name: str, offset: float) -> None:
    X, y = table()
    X = X + np.array([offset, 0.0, 1.0])
    fit = linnet.fit(X, y, **OPTIONS[name])
    answer = least_squares(X, y, OPTIONS[name].get("weight"), fit.intercept)
    ours = fit.coefficients[0 if fit.intercept else 1 :]
    assert max(relative(a, b) for a, b in zip(ours, answer.coefficients, strict=True)) < 1e-14
    if fit.errors == "classical":
        ours = np.r_[fit.bias_std_error, fit.std_errors][0 if fit.intercept else 1 :]
        assert max(relative(a, b) for a, b in zip(ours, answer.std_errors, strict=True)) < 1e-13
    presentable(fit)


@every_option
@pytest.mark.parametrize("gap", [1e-6, 1e-9])
def test_near_duplicates_against_fractions(name: str, gap: float) -> None:
    X, y = table()
    X = np.column_stack([X, X[:, 0] * (1 + gap * X[:, 1])])
    fit = linnet.fit(X, y, **OPTIONS[name])
    answer = least_squares(X, y, OPTIONS[name].get("weight"), fit.intercept)
    ours = fit.coefficients[0 if fit.intercept else 1 :]
    assert fit.status is linnet.Status.SOLVED
    assert max(relative(a, b) for a, b in zip(ours, answer.coefficients, strict=True)) < 1e-12
    presentable(fit)


@every_option
def test_duplicates_and_constants(name: str) -> None:
    """Told by name; weights, errors and predictions of the rest as without them."""
    X, y = table()
    options = OPTIONS[name]
    plain = linnet.fit(X, y, **options)
    more = np.column_stack([X, X[:, 0], np.full(N, 0.0), -3 * X[:, 0]])
    fit = linnet.fit(more, y, **options)
    assert fit.status is linnet.Status.RANK_DEFICIENT
    assert fit.identified.tolist() == [False, True, True, False, False, False]
    assert [note.split(":")[0] for note in fit.notes[:3:2]] == ["`x4` = `x1`", "`x6` = -3·`x1`"]
    assert "`x5` is" in fit.notes[1]
    # standardised, the three share equally
    np.testing.assert_allclose(fit.weights[[0, 3, 5]] * [1, 1, -3], [plain.weights[0] / 3] * 3, rtol=1e-9)
    np.testing.assert_allclose(fit.weights[1:3], plain.weights[1:], rtol=1e-10)
    np.testing.assert_allclose(fit.std_errors[1:3], plain.std_errors[1:], rtol=1e-9)
    np.testing.assert_allclose(fit.predict(more), plain.predict(X), rtol=1e-10)
    assert fit.weights[4] == 0.0
    presentable(fit)
    if fit.intercept:
        constant = linnet.fit(np.column_stack([np.full(N, 0.1), X]), y, **options)
        assert constant.notes[0].startswith("`x1` is constant (0.1)")
        np.testing.assert_allclose(constant.weights, np.r_[0, plain.weights], rtol=1e-12)
        np.testing.assert_allclose(constant.std_errors, np.r_[np.nan, plain.std_errors], rtol=1e-10)


@pytest.mark.parametrize("powers", [(300, -300), (-300, 300), (500, -500), (-500, 500)])
@every_option
def test_duplicates_of_very_different_scale(name: str, powers: tuple[int, int]) -> None:
    """Their ratio may lie outside float64's range: they are still no constants, and share the weight."""
    X, y = table()
    D = np.column_stack([np.ldexp(X[:, 0], powers[0]), X[:, 1], np.ldexp(X[:, 0], powers[1])])
    fit, plain = linnet.fit(D, y, **OPTIONS[name]), linnet.fit(X[:, :2], y, **OPTIONS[name])
    assert fit.identified.tolist() == [False, True, False]
    assert "constant" not in fit.notes[0]
    assert "inf" not in fit.notes[0]
    shares = [np.ldexp(fit.weights[0], powers[0]), np.ldexp(fit.weights[2], powers[1])]
    np.testing.assert_allclose(shares, [plain.weights[0] / 2] * 2, rtol=1e-9)
    np.testing.assert_allclose(fit.predict(D), plain.predict(X[:, :2]), rtol=1e-10)
    presentable(fit)


@every_option
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_nothing_varies(name: str, l2: float) -> None:
    X, y = table()
    w = OPTIONS[name].get("weight", np.ones(N))
    for columns in (X * 0, np.full((N, 2), 7.0)):
        fit = linnet.fit(columns, y, l2=l2, **OPTIONS[name])
        if fit.intercept:
            assert not fit.weights.any()
            assert fit.bias == pytest.approx(w @ y / w.sum(), rel=1e-13)
            assert fit.r2 == pytest.approx(0, abs=1e-15)
        elif not columns.any():
            assert not fit.coefficients.any()
        assert np.isfinite(fit.predict(columns)).all()
        assert np.isnan(fit.f_statistic) or fit.f_statistic >= 0
        presentable(fit)


@every_option
@pytest.mark.parametrize("value", [0.0, 0.1, -1e12, 1e300, 1e-300])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_constant_target(name: str, value: float, l2: float) -> None:
    X, _ = table()
    fit = linnet.fit(X, np.full(N, value), l2=l2, **OPTIONS[name])
    presentable(fit)
    if fit.intercept:
        assert not fit.weights.any()
        assert fit.bias == value
        assert fit.residual_sd == 0.0
        assert np.isnan(fit.r2)
    elif value:
        want = linnet.fit(X, np.ones(N), l2=l2, **OPTIONS[name])
        np.testing.assert_allclose(fit.weights / value, want.weights, rtol=1e-12)


@every_option
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_few_rows(name: str, rows: int, l2: float) -> None:
    """Fewer rows than weights: the data are reproduced, with the smallest standardised weights."""
    X, y = table()
    options = {key: value[:rows] if key == "weight" else value for key, value in OPTIONS[name].items()}
    fit = linnet.fit(X[:rows], y[:rows], l2=l2, **options)
    presentable(fit)
    assert fit.n == rows
    if l2:
        answer = least_squares(X[:rows], y[:rows], options.get("weight"), fit.intercept, l2)
        first = 0 if fit.intercept else 1
        np.testing.assert_allclose(
            fit.coefficients[first:], [float(c) for c in answer.coefficients], rtol=1e-12, atol=1e-15
        )
    elif rows <= 3:
        np.testing.assert_allclose(fit.predict(X[:rows]), y[:rows], rtol=1e-9)
        if rows < 3 + fit.intercept:
            assert fit.status in (linnet.Status.RANK_DEFICIENT, linnet.Status.SATURATED)
            assert np.isnan(fit.std_errors).all()


def broken(place: str, value: float, n: int, d: int) -> tuple[Floats, Floats, Floats, str]:
    X, y = table(n, d)
    w, row = np.ones(n), n - 3
    {"X": X[:, 1], "y": y, "weight": w}[place][row] = value
    return X, y, w, f"{row + 1:,}"


@pytest.mark.parametrize("n", [N, BIG])
@pytest.mark.parametrize("errors", ["classical", "hc3"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("place", "column"), [("X", "'x2'"), ("y", "'y'"), ("weight", "weight")])
def test_not_finite(place: str, column: str, value: float, errors: Any, n: int) -> None:
    X, y, w, row = broken(place, value, n, 3 if n == N else 12)
    with pytest.raises(InputError) as error:
        linnet.fit(X, y, weight=w, errors=errors)
    message = str(error.value)
    assert column in message
    assert f"row {row}" in message
    assert "\n" not in message
    if np.isinf(value) and place == "X":
        for missing in ("drop", "mean"):
            with pytest.raises(InputError, match=f"{column} is infinite"):
                linnet.fit(X, y, weight=w, missing=missing)


def test_infinities_of_both_signs_with_means() -> None:
    X, y = table()
    X[3, 1], X[5, 1], X[7, 1] = np.inf, -np.inf, np.nan
    with pytest.raises(InputError, match="'x2' is infinite"):
        linnet.fit(X, y, missing="mean")


def test_bad_weights() -> None:
    X, y = table()
    for weight, said in (
        (-np.ones(N), "at least 0"),
        (np.zeros(N), "no rows to fit|weight 0"),
        (np.ones(N - 1), "rows"),
    ):
        with pytest.raises(InputError, match=said):
            linnet.fit(X, y, weight=weight)


@pytest.mark.parametrize("scale", [1e-190, 1e-100, 1e100, 1e190])
@pytest.mark.parametrize("errors", ["classical", "hc0", "hc3"])
@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_weights_of_any_size(scale: float, errors: Any, precision: Any) -> None:
    X, y = table()
    w = np.random.default_rng(3).uniform(0.1, 2, N)
    fit = linnet.fit(X, y, weight=w * scale, errors=errors, precision=precision)
    want = linnet.fit(X, y, weight=w, errors=errors, precision=precision)
    np.testing.assert_allclose(fit.weights, want.weights, rtol=1e-12)
    np.testing.assert_allclose(fit.std_errors, want.std_errors, rtol=1e-11)
    np.testing.assert_allclose([fit.bias, fit.r2, fit.objective], [want.bias, want.r2, want.objective], rtol=1e-12)
    presentable(fit)


@pytest.mark.parametrize("span", [1e20, 1e50])
def test_light_rows_are_not_lost(span: float) -> None:
    """Two columns, the second seen only in rows that weigh next to nothing beside the first row."""
    X, y = table(10, 2)
    X[0, 1] = 0.0
    w = np.r_[span, np.ones(9)]
    fit = linnet.fit(X, y, weight=w, intercept=False)
    answer = least_squares(X, y, w, intercept=False)
    assert max(relative(a, b) for a, b in zip(fit.weights, answer.coefficients, strict=True)) < 1e-13
    assert fit.status is linnet.Status.SOLVED or span > 1e25  # beyond, the light residuals round to nothing


@pytest.mark.parametrize("kind", ["float16", "float32", "int8", "int64", "bool", "object", ">f8"])
def test_types(kind: str) -> None:
    """What float64 holds exactly is fitted as float64, to the last bit."""
    X = np.random.default_rng(1).integers(0, 2 if kind == "bool" else 9, (N, 3))
    y = X @ [1, 2, 3] + np.arange(N) % 5
    want = linnet.fit(X.astype(float), y.astype(float))
    fit = linnet.fit(X.astype(kind), y if kind == "bool" else y.astype(kind))
    assert fit.weights.tobytes() == want.weights.tobytes()
    assert fit.std_errors.tobytes() == want.std_errors.tobytes()
    assert fit.predict(X.astype(kind)).tobytes() == want.predict(X).tobytes()


def test_the_largest_numbers_there_are() -> None:
    X, y = table()
    largest = np.where(X[:, 0] > 0, 1.7e308, -1.7e308)
    for errors in ("classical", "hc1"):
        fit = linnet.fit(np.column_stack([largest, X[:, 1]]), y * 1e3, errors=errors)
        want = linnet.fit(np.column_stack([np.sign(X[:, 0]), X[:, 1]]), y * 1e3, errors=errors)
        np.testing.assert_allclose(fit.weights[0] * 1.7e308, want.weights[0], rtol=1e-12)
        np.testing.assert_allclose(fit.std_errors[0] * 1.7e308, want.std_errors[0], rtol=1e-9)
        presentable(fit)
        target = linnet.fit(X, largest, errors=errors)
        sign = linnet.fit(X, np.sign(X[:, 0]), errors=errors)
        np.testing.assert_allclose(target.weights / 1.7e308, sign.weights, rtol=1e-12)
        np.testing.assert_allclose(target.std_errors / 1.7e308, sign.std_errors, rtol=1e-9)
        presentable(target)
        wild = linnet.fit(X, 1.7e308 * np.sign(y * X[:, 1]), errors=errors)
        assert np.isinf(wild.interval(0.999999)).any()
        assert np.isinf(wild.predict(3 * X, interval=0.999999)).any()


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-320])
def test_subnormal_columns(scale: float) -> None:
    """Fitted where the weight has a place in float64, refused where it has not."""
    X = np.random.default_rng(1).integers(-9, 9, (N, 2)).astype(float)
    y = X @ [1.0, 2.0] + np.arange(N) % 3
    with pytest.raises(InputError, match="outside float64's range: rescale that feature"):
        linnet.fit(X * [scale, 1.0], y * 1e10)
    tiny = X[:, 0] * scale
    for errors in ("classical", "hc3"):
        fit = linnet.fit(np.column_stack([tiny, X[:, 1]]), y * 1e-30, errors=errors)
        want = linnet.fit(np.column_stack([np.ldexp(tiny, 1070), X[:, 1]]), y * 1e-30, errors=errors)
        np.testing.assert_allclose(fit.weights[0] / 2.0**535 / 2.0**535, want.weights[0], rtol=1e-12)


@pytest.mark.parametrize("l2", [1e-300, 1e-30, 1e30, 1e300, 1e308])
@every_option
def test_penalties_at_the_ends(name: str, l2: float) -> None:
    X, y = table()
    y = y * 1e100  # so that the weights stay in range
    fit = linnet.fit(X, y, l2=l2, **OPTIONS[name])
    answer = least_squares(X, y, OPTIONS[name].get("weight"), fit.intercept, l2)
    want = [float(c) for c in answer.coefficients]
    np.testing.assert_allclose(fit.coefficients[0 if fit.intercept else 1 :], want, rtol=1e-12)
    presentable(fit)


ROBUST: dict[str, linnet.Loss] = {
    "absolute": linnet.Absolute(),
    "low quantile": linnet.Quantile(0.2),
    "high quantile": linnet.Quantile(0.9),
}
every_robust_loss = pytest.mark.parametrize("loss", ROBUST.values(), ids=list(ROBUST))
PLAIN = {name: OPTIONS[name] for name in ("plain", "no intercept", "weights")}
every_plain_option = pytest.mark.parametrize("name", PLAIN)


def robust(X: Any, y: Any, loss: linnet.Loss, **options: Any) -> linnet.Fit:
    return linnet.fit(X, y, loss=loss, errors="none", **options)


@every_robust_loss
@every_plain_option
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_scales_by_robust_losses(loss: linnet.Loss, name: str, scale: list[float]) -> None:
    X, y = table()
    y = y * 1e3
    powers = np.round(np.log2(np.abs(scale))).astype(int)
    Z = X * np.array(scale)
    same = np.ldexp(Z, -powers)
    fit, want = robust(Z, y, loss, **PLAIN[name]), robust(same, y, loss, **PLAIN[name])
    np.testing.assert_allclose(np.ldexp(fit.weights, powers), want.weights, rtol=1e-10)
    np.testing.assert_allclose([fit.bias, fit.objective], [want.bias, want.objective], rtol=1e-10)
    np.testing.assert_allclose(fit.predict(Z), want.predict(same), rtol=1e-9)
    assert fit.status is linnet.Status.SOLVED
    presentable(fit)


@every_robust_loss
@every_plain_option
@pytest.mark.parametrize("scale", [1e150, 1e-150, 1e300, 1e-300])
def test_scaled_target_by_robust_losses(loss: linnet.Loss, name: str, scale: float) -> None:
    X, y = table()
    power = round(np.log2(scale))
    fit, want = robust(X, np.ldexp(y, power), loss, **PLAIN[name]), robust(X, y, loss, **PLAIN[name])
    np.testing.assert_allclose(np.ldexp(fit.weights, -power), want.weights, rtol=1e-11)
    ours = [np.ldexp(fit.bias, -power), np.ldexp(fit.objective, -power), fit.gap]
    np.testing.assert_allclose(ours, [want.bias, want.objective, want.gap], rtol=1e-11)
    assert fit.status is want.status
    presentable(fit)


@every_robust_loss
@pytest.mark.parametrize("offset", [1e6, 1e9, -1e12])
def test_offsets_by_robust_losses(loss: linnet.Loss, offset: float) -> None:
    """Moved by an offset that rounds nothing, the weights are the same."""
    X, y = table()
    X = np.round(X * 1024) / 1024
    fit, want = robust(X + np.array([round(offset), 0.0, 1.0]), y, loss), robust(X, y, loss)
    np.testing.assert_allclose(fit.weights, want.weights, rtol=1e-9)
    assert fit.objective == pytest.approx(want.objective, rel=1e-9)
    assert fit.status is linnet.Status.SOLVED


@every_robust_loss
@every_plain_option
def test_duplicates_and_constants_by_robust_losses(loss: linnet.Loss, name: str) -> None:
    X, y = table()
    plain = robust(X, y, loss, **PLAIN[name])
    more = np.column_stack([X, X[:, 0], np.full(N, 0.0), -3 * X[:, 0]])
    fit = robust(more, y, loss, **PLAIN[name])
    assert fit.status is linnet.Status.RANK_DEFICIENT
    assert fit.identified.tolist() == [False, True, True, False, False, False]
    np.testing.assert_allclose(fit.weights[[0, 3, 5]] * [1, 1, -3], [plain.weights[0] / 3] * 3, rtol=1e-9)
    np.testing.assert_allclose(fit.weights[1:3], plain.weights[1:], rtol=1e-9)
    np.testing.assert_allclose(fit.predict(more), plain.predict(X), rtol=1e-9)
    assert fit.weights[4] == 0.0
    presentable(fit)


@every_robust_loss
@every_plain_option
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_nothing_varies_by_robust_losses(loss: linnet.Loss, name: str, l2: float) -> None:
    """The level is the quantile of the target, or there is none to choose."""
    X, y = table()
    w = PLAIN[name].get("weight", np.ones(N))
    for columns in (X * 0, np.full((N, 2), 7.0)):
        fit = robust(columns, y, loss, l2=l2, **PLAIN[name])
        presentable(fit)
        levels = y if fit.intercept else np.zeros(1)
        best = min(float(w @ loss.value(y - level)) / w.sum() for level in levels)
        if fit.intercept:
            assert not fit.weights.any()
            assert np.isclose(fit.bias, y, rtol=1e-14, atol=0).any() or fit.status is linnet.Status.NOT_UNIQUE
        elif columns.any():
            continue
        assert fit.objective == pytest.approx(best, rel=1e-12)


@every_robust_loss
@every_plain_option
@pytest.mark.parametrize("value", [0.0, 0.1, -1e12, 1e300, 1e-300])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_constant_target_by_robust_losses(loss: linnet.Loss, name: str, value: float, l2: float) -> None:
    X, _ = table()
    fit = robust(X, np.full(N, value), loss, l2=l2, **PLAIN[name])
    presentable(fit)
    if fit.intercept:
        assert not fit.weights.any()
        assert fit.bias == value
        assert fit.objective == 0.0
    elif value and not l2:
        want = robust(X, np.ones(N), loss)
        np.testing.assert_allclose(fit.predict(X).shape, want.predict(X).shape)


@every_robust_loss
@every_plain_option
@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_few_rows_by_robust_losses(loss: linnet.Loss, name: str, rows: int, l2: float) -> None:
    X, y = table()
    options = {key: value[:rows] if key == "weight" else value for key, value in PLAIN[name].items()}
    fit = robust(X[:rows], y[:rows], loss, l2=l2, **options)
    presentable(fit)
    assert fit.n == rows
    if not l2 and rows <= 3:
        np.testing.assert_allclose(fit.predict(X[:rows]), y[:rows], rtol=1e-9)
        assert fit.objective == 0
        if rows < 3 + fit.intercept:
            assert fit.status in (linnet.Status.RANK_DEFICIENT, linnet.Status.SATURATED)


@every_robust_loss
@pytest.mark.parametrize("n", [N, BIG])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("place", "column"), [("X", "'x2'"), ("y", "'y'"), ("weight", "weight")])
def test_not_finite_by_robust_losses(loss: linnet.Loss, place: str, column: str, value: float, n: int) -> None:
    X, y, w, row = broken(place, value, n, 3)
    with pytest.raises(InputError) as error:
        robust(X, y, loss, weight=w)
    assert column in str(error.value)
    assert f"row {row}" in str(error.value)


@every_robust_loss
def test_outliers_by_robust_losses(loss: linnet.Loss) -> None:
    """Targets however far out decide nothing; a row far out in a feature decides no more than itself."""
    X, y = table()
    plain = robust(X, y, loss)
    highest = int(np.argmax(y - plain.predict(X)))
    for far in (1e6, 1e20, 1e100, 1e300):
        out = y.copy()
        out[highest] = far
        fit = robust(X, out, loss)
        np.testing.assert_allclose(fit.coefficients, plain.coefficients, rtol=1e-9)
        assert fit.status is linnet.Status.SOLVED
        presentable(fit)
    for far in (1e6, 1e12, 1e20, 1e150):
        lever = X.copy()
        lever[5, 1] = far
        fit, ends = robust(lever, y, loss), robust(np.delete(X, 1, axis=1), y, loss)
        assert fit.objective <= ends.objective * (1 + 1e-12)  # what the others alone allow
        assert fit.gap < 1e-10


@every_robust_loss
@pytest.mark.parametrize("span", [1e6, 1e20, 1e50])
def test_light_rows_by_robust_losses(loss: linnet.Loss, span: float) -> None:
    """Rows that weigh next to nothing decide what the heavy ones leave open."""
    X, y = table()
    w = np.where(np.arange(N) < 20, span, 1.0)
    fit = robust(X, y, loss, weight=w)
    heavy = robust(X[:20], y[:20], loss)
    assert fit.gap <= 1e-10
    assert fit.objective <= heavy.objective * (1 + 1e-12) + float(loss.value(y - heavy.predict(X)).max()) * N / span
    presentable(fit)


@every_robust_loss
@pytest.mark.parametrize("l2", [1e-300, 1e-30, 1e-9, 1e9, 1e30, 1e300])
def test_penalties_at_the_ends_by_robust_losses(loss: linnet.Loss, l2: float) -> None:
    """Without weight it is the plain optimum, with all of it a level at the quantile."""
    X, y = table()
    fit = robust(X, y, loss, l2=l2)
    presentable(fit)
    if l2 < 1e-6:
        plain = robust(X, y, loss)
        np.testing.assert_allclose(fit.coefficients, plain.coefficients, rtol=1e-5)
        assert fit.objective == pytest.approx(plain.objective, rel=1e-6)
    else:
        level = min(float(loss.value(y - value).mean()) for value in y)
        assert fit.objective == pytest.approx(level, rel=1e-6)
        assert np.abs(fit.weights).max() < 10 / l2
    assert fit.gap <= 1e-9


@every_robust_loss
def test_the_largest_and_smallest_numbers_by_robust_losses(loss: linnet.Loss) -> None:
    X, y = table()
    largest = np.where(X[:, 0] > 0, 1.7e308, -1.7e308)
    fit = robust(np.column_stack([largest, X[:, 1]]), y * 1e3, loss)
    want = robust(np.column_stack([np.sign(X[:, 0]), X[:, 1]]), y * 1e3, loss)
    np.testing.assert_allclose(fit.weights[0] * 1.7e308, want.weights[0], rtol=1e-10)
    for scale in (1e-310, 1e-320):
        tiny = X[:, 0] * scale
        fit = robust(np.column_stack([tiny, X[:, 1]]), y * 1e-30, loss)
        want = robust(np.column_stack([np.ldexp(tiny, 1070), X[:, 1]]), y * 1e-30, loss)
        np.testing.assert_allclose(fit.weights[0] / 2.0**535 / 2.0**535, want.weights[0], rtol=1e-10)
        with pytest.raises(InputError, match="outside float64's range: rescale that feature"):
            robust(X * [scale, 1.0, 1.0], y * 1e10, loss)


@every_robust_loss
def test_the_largest_targets_by_robust_losses(loss: linnet.Loss) -> None:
    """By the solver: what a Fit tells beside the weights may be infinite there."""
    X, y = table()
    steps = []
    for size in (1.7e308, 1.0):
        source = ArraySource(X, size * np.sign(y))
        steps.append(list(InteriorPoint().steps(linnet.Objective(loss), source))[-1])
    assert steps[0].weights is not None
    assert steps[1].weights is not None
    np.testing.assert_allclose(steps[0].weights / 1.7e308, steps[1].weights, rtol=1e-9, atol=1e-12)
    assert steps[0].objective is not None
    assert steps[1].objective is not None
    assert steps[0].objective / 1.7e308 == pytest.approx(steps[1].objective, rel=1e-10)
    assert steps[0].status is steps[1].status
