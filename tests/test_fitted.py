"""What a Fit tells of itself beyond its fields."""

from __future__ import annotations

import copy
import pickle
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import linnet
from helpers import example
from linnet.block import InputError
from rational import least_squares

NAN = float("nan")


@pytest.mark.parametrize("precision", ["exact", "float64"])
@pytest.mark.parametrize("far", [1e3, 1.7e9, 1.7e12, 1e15])
def test_predictions_far_from_zero_are_those_of_the_rational_line(precision: Any, far: float) -> None:
    """Times in seconds or less since 1970 have a mean that float64 rounds; no prediction is off by that."""
    rng = np.random.default_rng(3)
    X = np.column_stack([far + rng.integers(0, 100, 7), 2 * far - rng.integers(0, 100, 7)])
    y, weight = rng.integers(-9, 10, 7).astype(float), np.array([1.0, 2, 1, 3, 1, 1, 2])
    fit = linnet.fit(X, y, weight=weight, precision=precision)
    bias, *weights = least_squares(X, y, weight).coefficients
    exact = [bias + sum(w * Fraction(x) for w, x in zip(weights, row, strict=True)) for row in X]
    np.testing.assert_allclose(fit.predict(X), [float(each) for each in exact], rtol=1e-11, atol=1e-12)


def test_distance_is_in_standard_errors() -> None:
    fit = example(3)
    errors = np.sqrt(np.diag(fit.covariance))
    learned = example(3, exact=fit.coefficients - errors * [0.5, -2.0, 0.0, 1e-3])
    np.testing.assert_allclose(learned.distance, [0.5, -2.0, 0.0, 1e-3], rtol=1e-9, atol=1e-12)


def test_distance_is_nan_where_it_is_not_known() -> None:
    exact = example(2).coefficients
    assert np.isnan(example(2).distance).all()
    assert example(2).distance.shape == (3,)
    assert np.isnan(example(2, exact=exact, uncertainty=None).distance).all()
    unsure = example(2, exact=exact, identified=np.array([True, False]))
    np.testing.assert_array_equal(np.isnan(unsure.distance), [False, False, True])
    origin = example(2, exact=np.r_[0.0, exact[1:]], intercept=False, bias=0.0)
    np.testing.assert_array_equal(origin.distance, [NAN, 0.0, 0.0])


def test_distance_of_weights_that_diverged_is_huge() -> None:
    fit = example(1, weights=np.array([1e300]), exact=np.zeros(2))
    assert fit.distance[1] > 1e300
    assert example(1, weights=np.array([-1.7e308]), exact=np.array([0.0, 1.7e308])).distance[1] == -np.inf


def arrays(fit: linnet.Fit) -> dict[str, np.ndarray]:
    """All that are reached without working anything out anew, and the covariance, which is kept."""
    held = {field.name: getattr(fit, field.name) for field in fields(fit)}
    assert fit.uncertainty is not None
    held |= {"sd": fit.uncertainty.sd, "covariance": fit.covariance}
    return {name: value for name, value in held.items() if isinstance(value, np.ndarray)}


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_nobody_writes_into_a_fit(solver: str) -> None:
    """R² and a file's checksum would then speak of other weights; those of a copy or a pickle too."""
    X = np.random.default_rng(0).standard_normal((50, 2))
    fit = linnet.fit(X, X @ [1.0, 2.0] + X[:, 0] ** 2, solver=solver)
    for each in (fit, pickle.loads(pickle.dumps(fit)), copy.deepcopy(fit)):
        held = arrays(each)
        assert set(held) >= {"weights", "identified", "centre", "scale", "sd", "covariance"}
        assert ("exact" in held) == (solver == "sgd")
        for name, array in held.items():
            with pytest.raises(ValueError, match="read-only"):
                array[0] = array[0]
            assert not array.flags.writeable, name


def test_a_fit_shares_its_weights_with_nobody() -> None:
    """Whoever made them may write into them later."""
    weights = np.array([1.0, 2.0])
    fit = example(2, weights=weights)
    weights[0] = 99.0
    assert fit.weights[0] == 1.0
    model = linnet.LinearRegressor().fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])
    before = model.fit_.weights[0]
    model.coef_[0] = 99.0
    assert model.fit_.weights[0] == before


@pytest.mark.parametrize(
    ("rows", "how", "said"),
    [
        (6, {"loss": linnet.Quantile(0.1), "errors": "nid"}, "the notes of the fit say why"),
        (99, {"loss": linnet.Huber(0.01)}, "the notes of the fit say why"),
        (6, {"errors": "none"}, r'fit with errors other than "none"\.'),
        (2, {}, r"fit with more rows than weights\."),
        (2, {"errors": "none"}, r'fit with errors other than "none" and with more rows than weights\.'),
    ],
)
def test_no_standard_errors_have_the_remedy_of_their_cause(rows: int, how: dict[str, Any], said: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 1))
    fit = linnet.fit(X, X[:, 0] + rng.standard_normal(rows), **how)
    assert np.isnan(fit.std_errors).all()
    assert said.startswith("the notes") == any("standard errors from" in n and fit.df_residual > 0 for n in fit.notes)
    with pytest.raises(InputError, match=f"no standard errors, so it can give no intervals: {said}"):
        fit.predict(X, 0.9, "confidence")


@pytest.mark.parametrize("errors", ["nid", "iid", "bootstrap"])
def test_no_kind_of_errors_is_recommended_where_none_can_tell(errors: Any) -> None:
    """Too few rows beyond a quantile are too few for every kind: the note has the remedies."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    fit = linnet.fit(X, X @ [1.0, 2] + rng.standard_normal(20), loss=linnet.Quantile(0.99), errors=errors)
    assert "add rows" in fit.notes[0]
    with pytest.raises(InputError) as refused:
        fit.predict(X, interval=0.9, kind="confidence")
    assert "the notes of the fit say why" in str(refused.value)
    assert not any(kind in str(refused.value) for kind in ("bootstrap", "iid", "nid"))
