"""Rows that keep the dependencies of the rows fitted, and rows that leave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import InputError
from linnet.dependencies import Dependencies

Floats = NDArray[np.float64]


def fitted(X: NDArray[Any], **settings: Any) -> linnet.Fit:
    y = np.random.default_rng(1).standard_normal(len(X))
    fit: linnet.Fit = linnet.fit(X, y, **settings)
    return fit


def sums(n: int = 60, size: float = 1.0, offset: float = 0.0) -> Floats:
    """a, b, a + b, a constant, 2a - b, c: whole numbers times a power of ten."""
    a, b, c = np.random.default_rng(2).integers(-50, 50, (3, n)).astype(np.float64)
    return np.column_stack([a, b, a + b, np.full(n, 7.0), 2 * a - b, c]) * size + offset


def test_a_fit_without_dependencies_knows_none() -> None:
    fit = fitted(sums()[:, [0, 1, 5]])
    assert fit.dependencies is None
    assert not fit.leaves(np.array([[1e9, -1e9, 3.0]])).any()


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_rows_are_told_from_those_in_the_row_space(intercept: bool, solver: str) -> None:
    """A row is estimable where it is a combination of rows fitted, whose coefficients sum to 1 with an intercept."""
    X = sums()
    fit = fitted(X, intercept=intercept, solver=linnet.SGD(epochs=1, tol=None) if solver == "sgd" else solver)
    parts = np.random.default_rng(3).integers(-3, 4, (200, len(X))).astype(np.float64)
    if intercept:
        parts[:, 0] += 1 - parts.sum(axis=1)
    inside = parts @ X  # exact: whole numbers
    assert not fit.leaves(inside).any()
    free = {5} if intercept else {3, 5}  # without an intercept a constant is a column like any other
    for column in range(6):
        assert (fit.leaves(inside + np.eye(6)[column]) == (column not in free)).all(), column


@pytest.mark.parametrize("loss", ["huber", "absolute"])
def test_other_losses_know_them_too(loss: str) -> None:
    fit = fitted(sums(), loss=loss)
    assert fit.leaves(np.array([[1.0, 1, 2, 7, 1, 0], [1, 1, 3, 7, 1, 0], [1, 1, 2, 6, 1, 0]])).tolist() == [0, 1, 1]


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
def test_near_copies_predict_as_one_of_them_and_their_difference(loss: str) -> None:
    a, d, e = np.random.default_rng(0).standard_normal((3, 50))
    near, y = np.column_stack([a, a + 1e-9 * d, d, 2 * d]), a + d + 0.1 * e
    fit, apart = linnet.fit(near, y, loss=loss), linnet.fit(near[:, [0, 2]], y, loss=loss)
    assert fit.predict(near) == pytest.approx(apart.predict(near[:, [0, 2]]), abs=1e-13)
    assert fit.objective == pytest.approx(apart.objective, rel=1e-13)
    assert not fit.leaves(near).any()
    assert [line.partition(" =")[0] for line in fit.notes[:2]] == ["`x2`", "`x4`"]


def test_a_penalty_leaves_nothing_open() -> None:
    assert fitted(sums(), l2=0.1).dependencies is None


def test_a_row_of_weight_0_is_not_fitted() -> None:
    X = np.vstack([sums(), [1, 1, 50, 7, 1, 0]])
    weight = np.r_[np.ones(60), 0.0]
    assert fitted(X, weight=weight).leaves(X).tolist() == [False] * 60 + [True]


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1.0, 1e5, 1e200])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_rounding_does_not_leave_a_dependency(size: float, offset: float) -> None:
    """Decimal fractions, whose sums round: the rows fitted keep their own dependencies."""
    X = sums(size=size)
    X += offset * size * (np.arange(6) != 3)
    X[:, 2] = X[:, 0] + X[:, 1]
    X[:, 4] = 2 * X[:, 0] - X[:, 1]
    fit = fitted(X)
    assert fit.dependencies is not None
    assert fit.dependencies.columns.size == 3
    assert not fit.leaves(X).any()
    off = X.copy()
    off[:, 2] += np.ptp(X[:, 2]) / 1000
    assert fit.leaves(off).all()


def test_columns_of_very_different_size() -> None:
    a, b = np.random.default_rng(4).standard_normal((2, 100))
    X = np.column_stack([a * 1e6, b * 1e-6, a * 1e6 * 2 + b * 1e-6])
    fit = fitted(X)
    assert fit.dependencies is not None
    assert not fit.leaves(X).any()
    assert not fit.leaves(X * 100).any()
    assert fit.leaves(X + np.array([0.0, 0.0, 1e3])).all()


def test_float32_rows_keep_what_float64_rows_kept() -> None:
    X = sums(size=0.1)
    fit = fitted(X)
    assert not fit.leaves(X.astype(np.float32)).any()
    assert not fit.leaves(X.astype(np.float32).astype(np.float64)).any()  # as a table of other columns gives them
    X[:, 2] += 0.01
    assert fit.leaves(X.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("constant", "later"), [(20240101.0, 20240102.0), (1.7e9, 1.7e9 + 128), (0.1, 0.11), (0.0, 1e-9)]
)
def test_a_constant_that_changes(constant: float, later: float) -> None:
    x = np.random.default_rng(5).standard_normal(50)
    fit = fitted(np.column_stack([x, np.full(50, constant)]))
    assert fit.leaves(np.array([[0.5, constant], [0.5, later]])).tolist() == [False, True]
    assert not fit.leaves(np.array([[0.5, constant]], np.float32)).any()


def test_what_is_missing_or_absurd_does_not_leave() -> None:
    fit = fitted(sums())
    assert not fit.leaves(np.array([[np.nan] * 6, [1.7e308, 1.7e308, 0, 7, 1, 0]])).any()
    assert fit.leaves(np.empty((0, 6))).shape == (0,)


def test_the_worst_column_and_what_would_have_kept_it() -> None:
    fit = fitted(sums())
    assert fit.dependencies is not None
    column, kept = fit.dependencies.worst(np.array([[1.0, 1, 50, 7, 1, 0]]), fit.centre, fit.scale)
    assert (column, round(kept, 9)) == (2, 2.0)


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"columns": [2], "others": [0]},
        {"columns": [6], "others": [0], "coefficients": [[1.0]]},
        {"columns": [2, 2], "others": [0], "coefficients": [[1.0, 1.0]]},
        {"columns": [], "others": [], "coefficients": []},
        {"columns": [2], "others": [2], "coefficients": [[1.0]]},
        {"columns": [2], "others": [True], "coefficients": [[1.0]]},
        {"columns": [2], "others": [0], "coefficients": [[1.0, 2.0]]},
        {"columns": [2], "others": [0], "coefficients": [["1"]]},
        {"columns": [2], "others": [0], "coefficients": []},
    ],
)
def test_a_damaged_record_is_refused(record: object) -> None:
    with pytest.raises(InputError, match="The model is damaged: "):
        Dependencies.from_dict(record, 6)


def test_a_record_reads_back() -> None:
    found = fitted(sums()).dependencies
    assert found is not None
    again = Dependencies.from_dict(found.to_dict(), 6)
    for one, other in ((found.columns, again.columns), (found.others, again.others)):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found.coefficients, again.coefficients)
    constant = fitted(np.ones((9, 1))).dependencies
    assert constant is not None
    assert Dependencies.from_dict(constant.to_dict(), 1).coefficients.shape == (0, 1)
