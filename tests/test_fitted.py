"""What a Fit tells of itself beyond its fields."""

from __future__ import annotations

import numpy as np

from helpers import example

NAN = float("nan")


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
