"""What several test files share: Fits made by plain NumPy, independent of Linnet's solvers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from linnet.design import Design
from linnet.fitted import Fit
from linnet.inference import Uncertainty
from linnet.status import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Floats = NDArray[np.float64]


def ols(X: Floats, y: Floats, names: tuple[str, ...] | None = None, **changes: Any) -> Fit:
    """Least squares with an intercept by the textbook's formulas; `changes` overrides fields of the Fit."""
    n, d = X.shape
    design = changes.get("design") or Design.numbers(names or tuple(f"x{j + 1}" for j in range(d)))
    centre = X.mean(axis=0)
    scatter = np.linalg.inv((X - centre).T @ (X - centre))
    weights = scatter @ (X - centre).T @ (y - y.mean())
    bias = float(y.mean() - centre @ weights)
    residual = y - bias - X @ weights
    df = n - d - 1
    cost, total = float(residual @ residual), float(((y - y.mean()) ** 2).sum())
    factor = np.zeros((d + 2, d + 1))  # of the covariance of bias, value at the centre, weights
    factor[:2, 0] = np.sqrt(1 / n)
    factor[2:, 1:] = np.linalg.cholesky(scatter)
    factor[0, 1:] = -centre @ factor[2:, 1:]
    length = np.sqrt((factor**2).sum(axis=1))
    r2 = 1 - cost / total
    fields: dict[str, Any] = {
        "names": design.names,
        "weights": weights,
        "bias": bias,
        "intercept": True,
        "identified": np.ones(d, dtype=np.bool_),
        "bias_identified": True,
        "uncertainty": Uncertainty(length * np.sqrt(cost / df), factor / length[:, None]),
        "centre": centre,
        "centre_value": float(y.mean()),
        "scale": X.std(axis=0),
        "target_scale": float(y.std()),
        "n": n,
        "n_dropped": 0,
        "n_weightless": 0,
        "mean_weight": 1.0,
        "df_residual": float(df),
        "objective": cost / n / 2,
        "gap": float("nan"),
        "pseudo_r2": float("nan"),
        "robust_scale": float("nan"),
        "residual_sd": float(np.sqrt(cost / df)),
        "r2": r2,
        "adjusted_r2": 1 - (1 - r2) * (n - 1) / df,
        "f_statistic": (total - cost) / d / (cost / df),
        "condition": 12.5,
        "dependencies": None,
        "status": Status.SOLVED,
        "notes": (),
        "solver": "exact",
        "precision": "float64",
        "passes": 1,
        "exact": None,
        "settings": {},
        "history": (),
        "target": "y",
        "loss": "squared",
        "errors": "classical",
        "l2": 0.0,
        "design": design,
    }
    return Fit(**{**fields, **changes})


def example(d: int = 3, n: int = 50, names: tuple[str, ...] | None = None, **changes: Any) -> Fit:
    """A small fit to seeded random data."""
    random = np.random.default_rng(7)
    X = random.standard_normal((n, d)) * np.arange(1, d + 1) + 5
    y = 2 + X @ np.linspace(-1, 1.5, d) + random.standard_normal(n)
    return ols(X, y, names, **changes)


def axes_of(figure: Figure) -> Axes:
    """The only axes of a figure, which is drawn once."""
    figure.canvas.draw()  # anything that cannot be drawn fails here
    (axes,) = figure.axes
    return axes


def data(line: Line2D) -> Floats:
    """The points of a line, (n, 2)."""
    return np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
