"""Status: how a run ended, in words that carry cause and remedy."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """How a run ended. `text` says what happened and, where something hindered it, what to do."""

    SOLVED = "solved: these are the optimal weights"
    PERFECT = "solved: the features reproduce the target exactly, so nothing is left to estimate errors from"
    RANK_DEFICIENT = (
        "solved, but not every weight can be told from the others: the smallest standardised weights are shown; "
        "predictions hold. Drop a column named below, or add rows that tell them apart"
    )
    SATURATED = (
        "solved, but there are no more rows than weights: nothing is left to estimate errors from. "
        "Add rows, or drop features"
    )
    IMPRECISE = (
        "solved in float64 only, which the conditioning of these data makes inexact. "
        'Use precision="exact", or precision="auto" with rows that can be read a second time'
    )

    @property
    def text(self) -> str:
        """The sentence a reader sees."""
        return self.value

    @property
    def converged(self) -> bool:
        """Whether the weights minimise the objective as well as was asked."""
        return self is not Status.IMPRECISE
