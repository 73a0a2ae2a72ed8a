"""Solver and Step: how the objective is lowered, and one look at a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from linnet.block import Block, Float64s, InputError
from linnet.objective import Objective
from linnet.sources.source import Source
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.losses import Loss
    from linnet.moments import Moments
    from linnet.solution import Solution
    from linnet.solvers.survey import Survey


class Step(NamedTuple):  # in a quarter of the time of a frozen dataclass: short runs consist of little else
    """One look at a run; progress displays, early stopping and cancelling are all somebody iterating over these.

    Attributes:
        epoch: the pass over the source that this step belongs to, counted from 1; 0 while rows are only gathered.
        step: number of this step within the run, counted from 1; for a solver that learns, of its minibatch.
        rows: rows seen so far in this epoch.
        weights: shape (d,), or None while a solver that only knows them at the end is still reading.
        bias: the bias, or None likewise.
        objective: the Objective at these weights, when it was computed.
        solution: on the last step, all that the Fit needs beyond the weights.
        moments: on the last step, the sums it was solved from, to which rows can be added.
        precise: whether the arithmetic was precise enough for these data.
        loss: mean loss of the rows since the step before, each taken before its own minibatch moved the weights; the
            penalty is not part of it.
        status: on the last step of an iterative run, how it ended.
        notes: on that step, what a reader must know beside the numbers.
        settings: on that step, what the solver used: learning rate, batch size, shuffle and so on.
        history: on that step, one record an epoch or, for long runs, fewer.
        survey: on that step, what is known of the rows beside the weights.
        squares: on that step, the weighted mean of the squared residuals.
        settled: on that step, the loss with what was estimated from the rows filled in; None if nothing was.
        gap: on that step, by how much at most the objective lies above its minimum, relative to it; None if not known.
        sample: on that step, many of the rows at random, where all of them would have to be read from files again.
    """

    epoch: int
    step: int
    rows: int
    weights: Float64s | None = None
    bias: float | None = None
    objective: float | None = None
    solution: Solution | None = None
    moments: Moments | None = None
    precise: bool = True
    loss: float | None = None
    status: Status | None = None
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = MappingProxyType({})
    history: tuple[dict[str, float], ...] = ()
    survey: Survey | None = None
    squares: float | None = None
    settled: Loss | None = None
    gap: float | None = None
    sample: Block | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self._replace(settings=dict(self.settings)),)  # a proxy cannot be pickled


class Solver(ABC):
    """A way to lower an Objective. Concrete solvers are frozen dataclasses of their own settings.

    One of your own needs a `name` and `steps`, whose last Step has weights and a bias. What else a Fit tells is found
    out from the rows: the objective, R², standard errors, and the optimum that the weights are held against.

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import linnet
    >>> @dataclass(frozen=True)
    ... class Descent(linnet.Solver):
    ...     lr: float
    ...     epochs: int = 100
    ...     name = "descent"
    ...
    ...     def steps(self, objective, source):
    ...         weights, bias = np.zeros(len(source.design.names)), 0.0
    ...         for epoch in range(1, self.epochs + 1):
    ...             rows, total, pull, pulls = 0, 0.0, 0.0, np.zeros_like(weights)
    ...             for block in source.blocks():
    ...                 w = np.ones(block.rows) if block.weight is None else block.weight
    ...                 slope = w * objective.loss.slope(block.y - block.X @ weights - bias)
    ...                 rows, total = rows + block.rows, total + w.sum()
    ...                 pull, pulls = pull + slope.sum(), pulls + slope @ block.X
    ...             weights = weights + self.lr * (pulls / total - objective.l2 * weights)
    ...             bias += self.lr * pull / total * objective.intercept
    ...             yield linnet.Step(epoch, epoch, rows, weights, float(bias))
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> fit = linnet.fit(X, 2 * X[:, 0] + 1 + np.tile([0.1, -0.1], 25), solver=Descent(lr=0.5))
    >>> print(fit.status.text)
    learned: each weight is within 5 % of a classical standard error of its exact value
    """

    name: ClassVar[str]
    epochs: int | None = None
    """Passes over the rows that a run takes at most; None when that is not known before."""

    @abstractmethod
    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Lower the objective over the source's blocks.

        The last Step carries weights and bias. Where it has a Solution of which these are the weights, or of another
        loss than squared a `gap`, it is taken at its word: they are optimal. Where it has a Survey and `squares`, they
        are held against that; where it has neither, the rows are read once more.
        """


def check_given(solver: Solver, objective: object, source: object) -> None:
    """Refuse arguments of `steps` that are no Objective and no Source, such as arrays.

    Raises:
        InputError: one of them is something else.
    """
    if not isinstance(objective, Objective) or not isinstance(source, Source):
        given = f"{type(objective).__name__} and {type(source).__name__}"
        raise InputError(
            f"{type(solver).__name__}.steps takes an Objective and a Source, but is given {given}: write for instance "
            "steps(linnet.Objective(linnet.Squared()), linnet.open_source(X, y)). Data as they are go to linnet.fit."
        )
