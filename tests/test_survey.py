"""What a run is told of its optimum before the first step: whether a status says more than the table beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet import SGD, Status

Floats = NDArray[np.float64]


def made(
    n: int = 2000, *, offset: float = 0.0, noise: float = 1.0, sizes: tuple[float, ...] = (1.0, 1.0), dtype: Any = float
) -> tuple[Floats, Floats]:
    """Columns of these sizes, each of which moves the target by about 2, about an offset."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, len(sizes)))
    y = offset + 2.0 * X.sum(axis=1) + noise * rng.standard_normal(n)
    return (X * sizes).astype(dtype), y.astype(dtype)


@pytest.mark.parametrize("batch_size", [32, 256])
@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"offset": 1e6}, {}),
        ({"offset": 1e8}, {}),
        ({"noise": 1e-4}, {}),
        ({"noise": 1e-6}, {}),
        ({"noise": 1e-9}, {}),
        ({"sizes": (1.0, 100.0, 0.01, 1.0)}, {"l2": 1.0}),
        ({"sizes": (1.0, 100.0, 0.01, 1.0)}, {"l2": 0.01}),
        ({"offset": 1e6, "noise": 1e-3}, {"intercept": False}),
        ({"noise": 1e-3, "dtype": np.float32}, {}),
        ({"offset": 1e4, "dtype": np.float32}, {}),
    ],
    ids=str,
)
def test_what_is_called_near_is_near(settings: dict[str, Any], options: dict[str, Any], batch_size: int) -> None:
    X, y = made(**settings)
    fit, exact = linnet.fit(X, y, solver=SGD(batch_size=batch_size), **options), linnet.fit(X, y, **options)
    assert fit.status is Status.CONVERGED
    sd = np.r_[exact.bias_std_error, exact.std_errors]
    known = sd > 0
    assert (np.abs(fit.coefficients - exact.coefficients)[known] <= 0.0501 * sd[known]).all()


def test_where_rounding_hides_standard_errors_none_is_claimed() -> None:
    X, y = made(noise=1e-6, dtype=np.float32)
    fit = linnet.fit(X, y, solver="sgd")
    assert fit.status is Status.AGREES
    np.testing.assert_allclose(fit.weights, 2.0, rtol=1e-6)


@pytest.mark.parametrize("solver", [SGD(), SGD(lr=0.1), SGD(batch_size=1000)], ids=["auto", "0.1", "large"])
@pytest.mark.parametrize("target", [7.0, 0.0, 1e8])
def test_a_target_that_does_not_vary(solver: SGD, target: float) -> None:
    X, _ = made()
    fit = linnet.fit(X, np.full(len(X), target), solver=solver)
    assert fit.status is Status.AGREES
    assert abs(fit.bias - target) <= 1e-9 * target
    assert (np.abs(fit.weights) <= 1e-9 * target).all()


def test_a_perfect_fit_is_learned_to_nine_digits() -> None:
    X, _ = made()
    fit = linnet.fit(X, X @ [1.0, 2.0] + 3.0, solver="sgd")
    assert fit.status is Status.AGREES
    np.testing.assert_allclose(fit.coefficients, [3.0, 1.0, 2.0], rtol=1e-8)


@pytest.mark.parametrize(("n", "d", "status"), [(1, 2, "PREDICTS"), (3, 5, "PREDICTS"), (4, 3, "AGREES")])
def test_few_rows(n: int, d: int, status: str) -> None:
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((n, d)), rng.standard_normal(n)
    fit, exact = linnet.fit(X, y, solver="sgd"), linnet.fit(X, y)
    assert fit.status is Status[status]
    assert fit.uncertainty is None
    np.testing.assert_allclose(fit.predict(X), exact.predict(X), atol=1e-7)


def test_standard_errors_of_another_kind_have_a_note() -> None:
    rng = np.random.default_rng(3)
    X = rng.standard_normal((3000, 1))
    # what spreads are rows near the mean of X, so that robust errors of the slope are smaller than classical ones
    y = X[:, 0] + rng.standard_normal(3000) * np.exp(-5 * X[:, 0] ** 2)
    fits = {errors: linnet.fit(X, y, solver="sgd", errors=errors) for errors in ("classical", "hc3", "bootstrap")}
    for errors, fit in fits.items():
        assert fit.status is Status.CONVERGED
        far = np.nanmax(np.abs(fit.distance))
        assert (far > 0.05) == (errors != "classical")
        said = [note for note in fit.notes if f"{errors} standard errors from its exact value" in note]
        assert len(said) == (errors != "classical")


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
def test_bounded_slopes_reach_a_target_far_from_0(loss: str) -> None:
    fit = linnet.fit(*made(offset=1e6), solver="sgd", loss=loss)
    assert fit.status is Status.STEADY
    assert (np.abs(fit.distance) <= 0.1).all()
    one = linnet.fit([[1.0]], [289376.0], solver="sgd", loss=loss)
    assert one.predict([[1.0]]) == pytest.approx(289376.0)


def test_a_column_that_holds_up_a_given_learning_rate_is_named() -> None:
    X, y = made(200, sizes=(1.0, 1e5))
    fit = linnet.fit(X, y, solver=SGD(lr=1e-13, epochs=10))
    assert fit.status is Status.STOPPED
    (note,) = [note for note in fit.notes if "from its exact value" in note]
    assert "column `x2`" in note
    assert 'lr="auto"' in note
