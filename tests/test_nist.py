"""NIST's certified linear problems, through the front door: correct digits of what `linnet.fit` returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
import nist
from linnet.plan import Precisions

# What float64 input allows, less a tenth: the powers of x are themselves rounded (Filip above all).
COEFFICIENTS = {
    "Norris": 14.0,
    "Pontius": 13.4,
    "NoInt1": 14.6,
    "NoInt2": 15.0,
    "Filip": 7.5,
    "Longley": 14.5,
    "Wampler1": 14.9,
    "Wampler2": 13.1,
    "Wampler3": 14.9,
    "Wampler4": 14.9,
    "Wampler5": 14.9,
}
# Wampler1's are certified 0: nine digits mean that they are below 1e-9.
SPREAD = dict.fromkeys(nist.NAMES, 13.5) | {"Filip": 7.5, "Wampler1": 9.0}

Problems = Callable[[str], nist.Problem]


def with_bias(fit: linnet.Fit, bias: float, weights: NDArray[np.float64]) -> list[float]:
    """In the order in which NIST certifies: the intercept first, where the model has one."""
    return [*([bias] if fit.intercept else []), *weights.tolist()]


@pytest.mark.parametrize("precision", ["auto", "exact"])
@pytest.mark.parametrize("name", nist.NAMES)
def test_certified_values(name: str, precision: Precisions, nist_problem: Problems) -> None:
    """Weights, standard errors, residual standard deviation and R² hold to the digits that float64 input allows."""
    problem = nist_problem(name)
    fit = linnet.fit(problem.X, problem.y, intercept=problem.intercept, precision=precision)
    weights = with_bias(fit, fit.bias, fit.weights)
    errors = with_bias(fit, fit.bias_std_error, fit.std_errors)
    assert nist.digits(weights, problem.coefficients) >= COEFFICIENTS[name]
    assert nist.digits(errors, problem.std_errors) >= SPREAD[name]
    assert nist.digits([fit.residual_sd], [problem.residual_sd]) >= SPREAD[name]
    assert nist.digits([fit.r2], [problem.r2]) >= (11.5 if name == "Filip" else 13.5)
    assert fit.df_residual == len(problem.y) - len(problem.coefficients)


@pytest.mark.parametrize("name", nist.NAMES)
def test_predictions_pass_through_the_data(name: str, nist_problem: Problems) -> None:
    """The residuals of `predict` have the certified standard deviation: no digits are lost on the way out."""
    problem = nist_problem(name)
    fit = linnet.fit(problem.X, problem.y, intercept=problem.intercept)
    residual = problem.y - fit.predict(problem.X)
    sd = np.sqrt(residual @ residual / fit.df_residual)
    scale = np.abs(problem.y).max()
    assert sd == pytest.approx(problem.residual_sd, rel=1e-4, abs=1e-9 * scale)


def test_reader_finds_certified_text(nist_problem: Problems) -> None:
    """The reader's own check: values copied by eye from Norris, Filip and NoInt1."""
    norris = nist_problem("Norris")
    assert (norris.X.shape, norris.intercept) == ((36, 1), True)
    assert (norris.y[0], norris.X[0, 0], norris.y[-1], norris.X[-1, 0]) == (0.1, 0.2, 0.2, 0.5)
    assert norris.coefficients.tolist() == [-0.262323073774029, 1.00211681802045]
    assert norris.std_errors.tolist() == [0.232818234301152, 0.429796848199937e-03]
    assert (norris.residual_sd, norris.r2) == (0.884796396144373, 0.999993745883712)
    filip = nist_problem("Filip")
    assert filip.X.shape == (82, 10)
    assert filip.X[0, 1] == pytest.approx(6.860120914**2, rel=1e-15)
    no_intercept = nist_problem("NoInt1")
    assert (no_intercept.X.shape, no_intercept.intercept) == ((11, 1), False)


def test_digits_counts_correct_digits() -> None:
    """LRE by hand: one part in a thousand is three digits, an absolute error where 0 is certified, never above 15."""
    assert nist.digits([1.001], [1.0]) == pytest.approx(3.0)
    assert nist.digits([1e-9], [0.0]) == pytest.approx(9.0)
    assert nist.digits([2.0, 1.0], [2.0, 1.0]) == 15.0
    assert nist.digits([float("nan")], [1.0]) == 0.0
    assert nist.digits([1.0, 1.001], [1.0, 1.0]) == pytest.approx(3.0)
