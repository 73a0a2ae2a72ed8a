"""Solver and Step: how the objective is lowered, and one look at a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from linnet.block import Float64s
from linnet.objective import Objective
from linnet.sources.source import Source

if TYPE_CHECKING:
    from linnet.moments import Moments
    from linnet.solution import Solution


@dataclass(frozen=True, slots=True)
class Step:
    """One look at a run; progress displays, early stopping and cancelling are all somebody iterating over these.

    Attributes:
        epoch: the pass over the source that this step belongs to, counted from 1.
        step: number of this step within the run, counted from 1.
        rows: rows seen so far in this epoch.
        weights: shape (d,), or None while a solver that only knows them at the end is still reading.
        bias: the bias, or None likewise.
        objective: the Objective at these weights, when it was computed.
        solution: on the last step, all that the Fit needs beyond the weights.
        moments: on the last step, the sums it was solved from, to which rows can be added.
        precise: whether the arithmetic was precise enough for these data.
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


class Solver(ABC):
    """A way to lower an Objective. Concrete solvers are frozen dataclasses of their own settings."""

    name: ClassVar[str]

    @abstractmethod
    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Lower the objective over the source's blocks; the last Step carries the weights and the Solution."""
