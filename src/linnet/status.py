"""Status: how a run ended, in words that carry cause and remedy."""

from __future__ import annotations

from enum import Enum


class Status(Enum):
    """How a run ended. `text` says what happened and, where something hindered it, what to do."""

    SOLVED = "solved: these are the optimal weights"
    PERFECT = "solved: the features reproduce the target exactly, so nothing is left to estimate errors from"
    RANK_DEFICIENT = (
        "solved, but not every weight can be told from the others: the smallest standardised weights are shown; "
        "predictions hold for rows that keep the dependency. Drop a column named below, or add rows that tell them "
        "apart"
    )
    SATURATED = (
        "solved, but there are no more rows than weights: nothing is left to estimate errors from. "
        "Add rows, or drop features"
    )
    IMPRECISE = (
        "solved in float64 only, which the conditioning of these data makes inexact. "
        'Use precision="exact", or precision="auto" with rows that can be read a second time'
    )

    NOT_UNIQUE = (
        "solved, but not uniquely: other weights fit these rows exactly as well as these. "
        "Standard errors do not tell that ambiguity; a little l2 settles the weights, if not always the intercept"
    )
    UNFINISHED = (
        "not solved to the end: the gap, which bounds what more could be gained, is above the tolerance. "
        "Rescale columns of wild sizes, or drop ones that are nearly reproduced by others"
    )

    CONVERGED = "learned: each weight is within 5 % of a classical standard error of its exact value"
    AGREES = (
        "learned: the weights agree with the exact ones to seven digits of the target's spread, or as far as rounding "
        "lets them; standard errors to compare that with are missing, 0 or smaller"
    )
    PREDICTS = (
        "learned: predictions agree with the exact ones, to 5 % of their classical standard errors or as far as "
        "rounding lets them, for rows that keep the dependency: not every weight can be told from the others. Drop a "
        "column named below, or add rows that tell them apart"
    )
    STEADY = (
        "learned: the weights have come to rest. They moved by less than 5 % of a least-squares standard error over "
        "the latter half of the epochs"
    )
    RAN = "learned: all epochs were run, as asked"
    STOPPED = (
        "learned, but the epochs ran out before the tolerance was met. Mend what a note names as the cause, or else "
        'allow more of them (epochs=); solver="auto" finds the optimum of squared, absolute, Huber and quantile loss'
    )
    DIVERGED = (
        "diverged: the learning rate is too large, and the weights are those from before the loss exploded. "
        'Use lr="auto", or a smaller one'
    )
    INTERRUPTED = "interrupted: the weights are those reached so far. With a checkpoint the run can be resumed"

    @property
    def text(self) -> str:
        """The sentence a reader sees."""
        return self.value

    @property
    def converged(self) -> bool:
        """Whether the weights minimise the objective as well as was asked."""
        return self not in (Status.IMPRECISE, Status.UNFINISHED, Status.STOPPED, Status.DIVERGED, Status.INTERRUPTED)


def not_unique(dependent: bool) -> tuple[Status | None, tuple[str, ...]]:
    """The status of an optimum that is not the only one; where columns depend on each other, which comes first, a note.

    Args:
        dependent: whether they do.
    """
    if not dependent:
        return Status.NOT_UNIQUE, ()
    said = "other predictions fit these rows exactly as well as these, and standard errors do not tell that ambiguity"
    return None, (said,)
