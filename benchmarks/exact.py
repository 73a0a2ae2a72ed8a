"""Speed of the exact fit in memory, against one bare BLAS product of the same matrix and the usual packages."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.blas import dsyrk

import linnet
from linnet.plan import Precisions
from timing import Contender, begin, compare

Matrix = NDArray[np.float64]


def data(n: int, d: int) -> tuple[Matrix, Matrix]:
    """Features (n, d), row-major as NumPy makes them, and a target that depends on all of them."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, d))
    return X, X @ random.standard_normal(d) + 1.0 + random.standard_normal(n)


def whole_table(X: Matrix, y: Matrix, precision: Precisions = "auto") -> None:
    """Linnet's weights with everything that its table shows."""
    fit = linnet.fit(X, y, precision=precision, progress=False)
    assert np.isfinite([fit.r2, fit.f_p_value, fit.condition]).all()
    assert np.isfinite(fit.p_values).all()
    assert np.isfinite(fit.interval(0.95)).all()


def gram(X: Matrix) -> None:
    """One bare XᵀX, half of it as symmetry allows."""
    dsyrk(1.0, X.T)  # transposed, a row-major matrix is in the order that BLAS wants: nothing is copied


def sklearn_fit(X: Matrix, y: Matrix) -> None:
    """scikit-learn: weights only, it has no standard errors."""
    from sklearn.linear_model import LinearRegression

    LinearRegression().fit(X, y)


def statsmodels_fit(X: Matrix, y: Matrix) -> None:
    """statsmodels: weights and the inference table."""
    from statsmodels.regression.linear_model import OLS

    result = OLS(y, np.column_stack([np.ones(len(y)), X])).fit()
    assert np.isfinite(result.bse).all()
    assert np.isfinite(result.pvalues).all()
    assert np.isfinite(result.conf_int()).all()


def repeated(calls: int, run: Callable[[Matrix, Matrix], object], X: Matrix, y: Matrix) -> float:
    """Seconds of one call among many, for work too short to time alone."""
    start = time.perf_counter()
    for _ in range(calls):
        run(X, y)
    return (time.perf_counter() - start) / calls


def main() -> None:
    """Print one table for each size."""
    quick = begin("Exact fit in memory", "1,000,000 × 100").quick
    runs = 2 if quick else 7

    X, y = data(200, 3)
    for warm in (sklearn_fit, statsmodels_fit, whole_table):
        warm(X, y)  # imports and compilation, which are measured by startup.py
    whole_table(X, y, "float64")

    n, d = (20_000, 10) if quick else (1_000_000, 100)
    X, y = data(n, d)
    size = f"{n:,} × {d:,} float64"
    compare(
        f"{size}: weights and the whole inference table",
        [
            Contender("linnet.fit", lambda: whole_table(X, y), runs),
            Contender("scipy.linalg.blas.dsyrk", lambda: gram(X), runs),
            Contender("scikit-learn LinearRegression (weights only)", lambda: sklearn_fit(X, y), min(runs, 3)),
            Contender("statsmodels OLS", lambda: statsmodels_fit(X, y), 1),
        ],
    )
    compare(
        f"{size}: the two precisions",
        [
            Contender('linnet.fit, precision="exact"', lambda: whole_table(X, y, "exact"), min(runs, 3)),
            Contender('linnet.fit, precision="float64"', lambda: whole_table(X, y, "float64"), runs),
        ],
    )

    n, d = (1_000, 100) if quick else (20_000, 2_000)
    X, y = data(n, d)
    compare(
        f"{n:,} × {d:,} float64: weights and the whole inference table",
        [
            Contender("linnet.fit", lambda: whole_table(X, y), runs),
            Contender("scipy.linalg.blas.dsyrk", lambda: gram(X), runs),
        ],
    )

    X, y = data(100, 3)
    calls = 10 if quick else 300
    compare(
        f"100 × 3 float64: one fit, mean of {calls} calls",
        [
            Contender("linnet.fit", lambda: repeated(calls, linnet.fit, X, y), runs),
            Contender("scikit-learn LinearRegression (weights only)", lambda: repeated(calls, sklearn_fit, X, y), runs),
        ],
    )


if __name__ == "__main__":
    main()
