"""What is to be lowered, by which solver, with which standard errors: all that can be refused before rows are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np

from linnet.block import InputError
from linnet.losses import Loss, Squared, named_loss
from linnet.objective import Objective
from linnet.solvers.exact import Exact
from linnet.solvers.solver import Solver
from linnet.sources.source import Source

Errors = Literal["auto", "classical", "hc0", "hc1", "hc2", "hc3", "iid", "nid", "sandwich", "bootstrap", "none"]
Precisions = Literal["auto", "float64", "exact"]


def _newton() -> Solver:
    from linnet.solvers.newton import Newton  # compiled kernels that only a fit with this loss waits for

    return Newton()


def _interior_point() -> Solver:
    from linnet.solvers.interior_point import InteriorPoint

    return InteriorPoint()


def _sgd() -> Solver:
    from linnet.solvers.sgd import SGD

    return SGD()


SOLVERS: dict[str, Callable[[], Solver]] = {
    "exact": Exact,
    "newton": _newton,
    "interior-point": _interior_point,
    "sgd": _sgd,
}
OPTIMAL = {"squared": "exact", "absolute": "interior-point", "huber": "newton", "quantile": "interior-point"}
"""The solver that finds the optimum of each loss,"""
ERRORS: dict[str, tuple[str, ...]] = {
    "squared": ("classical", "hc0", "hc1", "hc2", "hc3", "bootstrap", "none"),
    "absolute": ("nid", "iid", "bootstrap", "none"),
    "huber": ("sandwich", "iid", "bootstrap", "none"),
    "quantile": ("nid", "iid", "bootstrap", "none"),
}
"""and the standard errors that there are for it, those of "auto" first;"""
OWN_ERRORS = "none", "bootstrap"
"""these for a loss of somebody's own."""


def planned(
    source: Source,
    losses: Sequence[str | Loss],
    solver: str | Solver,
    intercept: bool,
    l2: float,
    errors: str,
    precision: Precisions,
    progress: object,
) -> tuple[list[Objective], Solver, str]:
    """What to lower, by which solver, and the kind of standard errors: all that can be refused before rows are read."""
    if not isinstance(intercept, bool | np.bool_):
        raise InputError(f"intercept must be True or False, but is {intercept!r}.")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise InputError(f"progress must be None, True, False or a callable taking each Step, but is {progress!r}.")
    if intercept and "intercept" in source.design.names:
        raise InputError(
            "A feature is named 'intercept', as the fitted one is: rename it, leave it out (features=…), or fit with "
            "intercept=False if it is that."
        )
    objectives = [Objective(named_loss(loss), l2=l2, intercept=bool(intercept)) for loss in losses]
    first = objectives[0].loss
    chosen, kind = _solver(solver, first, precision), _errors(errors, first, source)
    if getattr(chosen, "checkpoint", None) is not None:
        if len(objectives) > 1:
            raise InputError(
                "A checkpoint holds one run, but each quantile is a run of its own: fit them one by one, each with a "
                "checkpoint of its own."
            )
        again = isinstance(first, Squared) or first.name not in OPTIMAL  # of others, their own solver fits again
        if kind == "bootstrap" and again:
            raise InputError(
                "A checkpoint holds one run, but the bootstrap runs the solver many times: leave the checkpoint out, "
                "or ask for other errors."
            )
    return objectives, chosen, kind


def _solver(solver: str | Solver, loss: Loss, precision: Precisions) -> Solver:
    """The solver by that name."""
    if not isinstance(solver, Solver):
        if solver != "auto" and solver not in tuple(SOLVERS):
            raise InputError(f"There is no solver {solver!r}: choose from auto, {', '.join(SOLVERS)}.")
        if solver == "auto" and loss.name not in OPTIMAL and loss.bend is None:
            raise InputError(
                f"No solver here lowers {loss.name} loss: give it a `bend`, with which SGD learns it (see linnet.Loss),"
                " or solver=, a Solver of your own."
            )
        solver = SOLVERS[OPTIMAL.get(loss.name, "sgd") if solver == "auto" else solver]()
        if isinstance(solver, Exact):
            return replace(solver, precision=precision)
    if not isinstance(getattr(solver, "name", None), str):
        raise InputError(f"A Solver of your own needs a name, a text, but {solver!r} has none.")
    if precision != "auto":
        raise InputError(
            f'precision="{precision}" is a setting of the exact solver, which is for squared loss: leave it out, or '
            'use solver="exact".'
        )
    return solver


def _errors(errors: str, loss: Loss, source: Source) -> str:
    """The kind of standard errors for this loss that is meant."""
    if errors not in get_args(Errors):
        raise InputError(f"errors must be one of {', '.join(get_args(Errors))}, but is {errors!r}.")
    kinds = ERRORS.get(loss.name, OWN_ERRORS)
    kind = kinds[0] if errors == "auto" else errors
    if errors == "classical" and "iid" in kinds:
        kind = "iid"
    if kind not in kinds:
        raise InputError(f'errors="{errors}" is not for {loss.name} loss: choose from {", ".join(kinds)}.')
    if (kind.startswith("hc") or kind == "bootstrap") and not source.rereadable:
        raise InputError(
            f'errors="{errors}" reads the rows again, but these can be read only once: give a table or files.'
        )
    return kind
