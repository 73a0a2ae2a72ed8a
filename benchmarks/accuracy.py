"""Correct digits on NIST's certified linear problems, beside the usual packages."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression
from statsmodels.regression.linear_model import OLS

import linnet
from timing import begin, table

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))  # the tests' reader of NIST's files serves here too
import nist

Values = NDArray[np.float64]
# Coefficients, intercept first, and their standard errors where the package has them.
Answer = tuple[Values, Values | None]


def linnet_answer(problem: nist.Problem) -> Answer:
    """linnet.fit as it comes."""
    fit = linnet.fit(problem.X, problem.y, intercept=problem.intercept, progress=False)
    if not problem.intercept:
        return fit.weights, fit.std_errors
    return np.array([fit.bias, *fit.weights]), np.array([fit.bias_std_error, *fit.std_errors])


def numpy_answer(problem: nist.Problem) -> Answer:
    """numpy.linalg.lstsq with its default cut-off."""
    return np.asarray(np.linalg.lstsq(_design(problem), problem.y)[0]), None


def sklearn_answer(problem: nist.Problem) -> Answer:
    """scikit-learn's LinearRegression as it comes."""
    model = LinearRegression(fit_intercept=problem.intercept).fit(problem.X, problem.y)
    return np.array([*([model.intercept_] if problem.intercept else []), *model.coef_]), None


def statsmodels_answer(problem: nist.Problem) -> Answer:
    """statsmodels' OLS as it comes."""
    result = OLS(problem.y, _design(problem)).fit()
    return np.asarray(result.params), np.asarray(result.bse)


CONTENDERS: dict[str, Callable[[nist.Problem], Answer]] = {
    "linnet.fit": linnet_answer,
    "numpy.linalg.lstsq": numpy_answer,
    "scikit-learn LinearRegression": sklearn_answer,
    "statsmodels OLS": statsmodels_answer,
}


def main() -> None:
    """Print one table for coefficients and one for standard errors."""
    arguments = begin(
        "Correct digits on NIST's linear problems",
        "all problems",
        data="folder with NIST's linear problems, Norris.dat and the others",
    )
    if arguments.data:
        os.environ["LINNET_NIST"] = arguments.data
    folder = nist.folder()
    if folder is None:
        print("\nNot measured: the problems are not here. Name their folder with --data.")
        return
    names = nist.NAMES[:3] if arguments.quick else nist.NAMES
    problems = [nist.read(folder / f"{name}.dat") for name in names]
    coefficients, errors = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a problem is badly conditioned is the point of it
        for name, answer in CONTENDERS.items():
            answers = [answer(problem) for problem in problems]
            coefficients.append((name, *(_show(a[0], p.coefficients) for a, p in zip(answers, problems, strict=True))))
            errors.append((name, *(_show(a[1], p.std_errors) for a, p in zip(answers, problems, strict=True))))
    table("Worst coefficient, correct digits (15 at most)", ("", *names), coefficients)
    table("Worst standard error, correct digits (15 at most)", ("", *names), errors)


def _design(problem: nist.Problem) -> Values:
    return np.column_stack([np.ones(len(problem.y)), problem.X]) if problem.intercept else problem.X


def _show(computed: Values | None, certified: Values) -> str:
    return "–" if computed is None else f"{nist.digits(computed, certified):.1f}"


if __name__ == "__main__":
    main()
