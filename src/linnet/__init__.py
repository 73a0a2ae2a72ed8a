"""Linnet: linear regression on tables of any size, and how sure it is.

>>> import linnet
>>> fit = linnet.fit([[1.0], [2.0], [3.0], [4.0]], [3.1, 4.9, 7.2, 8.8])
>>> print(f"{fit.bias:.2f} + {fit.weights[0]:.2f} x1")
1.15 + 1.94 x1

The public names below are loaded when first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names once more, for type checkers; a test keeps the two lists alike
    from linnet.block import Block as Block
    from linnet.block import InputError as InputError
    from linnet.comparison import Comparison as Comparison
    from linnet.comparison import compare as compare
    from linnet.design import Design as Design
    from linnet.estimator import LinearRegressor as LinearRegressor
    from linnet.fits import Fits as Fits
    from linnet.fitted import Fit as Fit
    from linnet.fitting import fit as fit
    from linnet.losses import Absolute as Absolute
    from linnet.losses import Huber as Huber
    from linnet.losses import Loss as Loss
    from linnet.losses import Quantile as Quantile
    from linnet.losses import Quantiles as Quantiles
    from linnet.losses import Squared as Squared
    from linnet.model_file import load as load
    from linnet.moments import Moments as Moments
    from linnet.objective import Objective as Objective
    from linnet.solvers.exact import Exact as Exact
    from linnet.solvers.interior_point import InteriorPoint as InteriorPoint
    from linnet.solvers.newton import Newton as Newton
    from linnet.solvers.sgd import SGD as SGD
    from linnet.solvers.solver import Solver as Solver
    from linnet.solvers.solver import Step as Step
    from linnet.sources import open_source as open_source
    from linnet.sources.source import Source as Source
    from linnet.status import Status as Status
    from linnet.synthetic import simulate as simulate

__version__ = "0.1.0"

_HOMES = {
    "fit": "linnet.fitting",
    "Fit": "linnet.fitted",
    "Fits": "linnet.fits",
    "compare": "linnet.comparison",
    "Comparison": "linnet.comparison",
    "load": "linnet.model_file",
    "LinearRegressor": "linnet.estimator",
    "Moments": "linnet.moments",
    "Loss": "linnet.losses",
    "Squared": "linnet.losses",
    "Absolute": "linnet.losses",
    "Huber": "linnet.losses",
    "Quantile": "linnet.losses",
    "Quantiles": "linnet.losses",
    "Solver": "linnet.solvers.solver",
    "Exact": "linnet.solvers.exact",
    "Newton": "linnet.solvers.newton",
    "InteriorPoint": "linnet.solvers.interior_point",
    "SGD": "linnet.solvers.sgd",
    "Step": "linnet.solvers.solver",
    "Status": "linnet.status",
    "Source": "linnet.sources.source",
    "Block": "linnet.block",
    "Design": "linnet.design",
    "Objective": "linnet.objective",
    "InputError": "linnet.block",
    "open_source": "linnet.sources",
    "simulate": "linnet.synthetic",
}

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604 - every key is a string


_PAGES = ("figures", "scratch", "concise")  # modules that are used by name; the latter two need torch


def __getattr__(name: str) -> Any:
    if name in _PAGES:
        return import_module(f"linnet.{name}")
    try:
        home = _HOMES[name]
    except KeyError:
        raise AttributeError(f"module 'linnet' has no attribute {name!r}") from None
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
