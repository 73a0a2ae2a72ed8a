"""Solver and Step: how the objective is lowered, and one look at a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from linnet.block import Block, Float64s
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


class Solver(ABC):
    """A way to lower an Objective. Concrete solvers are frozen dataclasses of their own settings."""

    name: ClassVar[str]
    epochs: int | None = None
    """Passes over the rows that a run takes at most; None when that is not known before."""

    @abstractmethod
    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Lower the objective over the source's blocks; the last Step carries the weights and the Solution."""
