"""SGD: minibatch stochastic gradient descent, compiled, with nothing that needs guessing."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, InputError
from linnet.checkpoint import Checkpoint
from linnet.objective import Objective
from linnet.settings import Allowed, Number, Whole, finite, kept, no_more, positive, truth, whole
from linnet.solvers.gathering import Past, gather
from linnet.solvers.learner import Learned
from linnet.solvers.run import Run
from linnet.solvers.solver import Solver, Step, check_given
from linnet.sources.source import Source

VISITS = 50_000_000
"""Rows visited, over all epochs, that a run to a tolerance may take where 20 epochs are fewer."""
EPOCHS = 20
AVERAGING = 8.0
"""Where the learning rate is ours, so is averaging: late steps count more (see `descend`), the start is forgotten."""
MOST = 2**53
"""Minibatches that can be counted: histories hold them as floats."""


@lru_cache(maxsize=16)  # working it out takes as long as an epoch of a short run, of which there are often many
def _sequence(seed: int) -> np.random.SeedSequence:
    """A SeedSequence that works out but once what PCG64 begins with."""
    begin = np.random.SeedSequence(seed).generate_state(4, np.uint64)

    class Known(np.random.SeedSequence):
        def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NDArray[Any]:
            return begin if (n_words, dtype) == (4, np.uint64) else super().generate_state(n_words, dtype)

    return Known(seed)


def _path(value: Any) -> str | PathLike[str] | None:
    return value if isinstance(value, str | PathLike) and isinstance(path := os.fspath(value), str) and path else None


def _numbers(values: Any) -> tuple[float, ...] | None:
    """A tuple, so that a solver can be compared and hashed."""
    if isinstance(values, np.ndarray):
        values = values.tolist()
    if not isinstance(values, tuple | list):
        return None
    read = tuple(each for value in values if (each := finite(value)) is not None)
    return read if len(read) == len(values) else None


ALLOWED: dict[str, Allowed] = {
    "lr": ('a finite number above 0, or "auto"', ("auto",), positive),
    "batch_size": ("a whole number of rows, at least 1", (), whole),
    "epochs": ("a whole number, at least 1, or None", (None,), whole),
    "momentum": ("at least 0 and below 1", (), lambda value: finite(value, 0.0, math.nextafter(1.0, 0.0))),
    "average": ("True or False", (), truth),
    "schedule": ('"constant" or "inverse-time"', ("constant", "inverse-time"), no_more),
    "shuffle": ('True, False or "pieces"', ("pieces",), truth),
    "init": ('"zeros" or "normal"', ("zeros", "normal"), no_more),
    "seed": ("a whole number, at least 0", (), lambda value: whole(value, 0)),
    "tol": ('"auto" or None', ("auto", None), no_more),
    "checkpoint": ("the path of a file, or None", (None,), _path),
    "resume": ("True or False", (), truth),
    "decay": ("a finite number above 0", (), positive),
    "every": ("a whole number of minibatches, at least 1, or None", (None,), whole),
    "start": ("a tuple of finite numbers, the bias and then the weights, or None", (None,), _numbers),
    "done": ("a whole number of minibatches, from 0 to 2**53", (), lambda value: whole(value, 0, MOST)),
}
"""What each setting may be."""


@dataclass(frozen=True, repr=False)
class SGD(Solver):
    """Minibatch stochastic gradient descent.

    A minibatch moves u = [bias, weights] by -lr·v, where v = momentum·v + g and g is the gradient of the Objective on
    its rows: the mean over its own length, row weights taken relative to their mean over all rows, plus l2·weights.

    Attributes:
        lr: learning rate; "auto" standardises the columns internally and takes it from the largest eigenvalue, with
            weights averaged over late steps and still reported in their own units; learning then starts from the
            target's mean.
        batch_size: rows in a minibatch; the last of an epoch may be shorter.
        epochs: passes over the rows, at most; None: 20, and with a tolerance as many more as few rows allow.
        momentum: share of the last step's velocity that is kept, at least 0 and below 1.
        average: whether to return the mean of the weights after every step (Polyak and Juditsky 1992).
        schedule: "constant", or "inverse-time": lr / (1 + decay·k), with k the epochs done, counted by steps.
        shuffle: True visits the rows in a fresh random order each epoch; "pieces" visits pieces of 64 rows so, which is
            faster; False takes rows as they come.
        init: weights to start from: "zeros", or "normal" for N(0, 0.01²); the bias starts at 0, but see `lr`.
        seed: of all that is random.
        tol: "auto" stops once every weight is within 5 % of its standard error of the exact one, which squared loss
            makes known; for other losses once weights move less than that over half of the epochs. None runs them
            all.
        checkpoint: file in which the run is kept, complete at any moment, so that it can be resumed.
        resume: go on from `checkpoint` if that exists.
        decay: see `schedule`.
        every: minibatches from one Step to the next, but for the last Step, which tells how the run ended; None: a Step
            for each epoch, and more when epochs are long.
        start: [bias, weights] to start from instead of `init`, also as a list or an array.
        done: minibatches that led there, from which schedules and means go on counting.

    Raises:
        InputError: a setting that makes no sense. Numbers may be NumPy's; they are kept as Python's.
    """

    name: ClassVar[str] = "sgd"
    lr: float | Literal["auto"] = "auto"
    batch_size: int = 32
    epochs: int | None = None
    momentum: float = 0.0
    average: bool = False
    schedule: Literal["constant", "inverse-time"] = "constant"
    shuffle: bool | Literal["pieces"] = True
    init: Literal["zeros", "normal"] = "zeros"
    seed: int = 0
    tol: Literal["auto"] | None = "auto"
    checkpoint: str | PathLike[str] | None = None
    _: dataclasses.KW_ONLY
    resume: bool = False
    decay: float = 1.0
    every: int | None = None
    start: tuple[float, ...] | None = None
    done: int = 0

    if TYPE_CHECKING:  # the fields once more, as callers may give them; a test keeps the two lists alike

        def __init__(
            self,
            lr: Number | Literal["auto"] = "auto",
            batch_size: Whole = 32,
            epochs: Whole | None = None,
            momentum: Number = 0.0,
            average: bool | np.bool_ = False,
            schedule: Literal["constant", "inverse-time"] = "constant",
            shuffle: bool | np.bool_ | Literal["pieces"] = True,
            init: Literal["zeros", "normal"] = "zeros",
            seed: Whole = 0,
            tol: Literal["auto"] | None = "auto",
            checkpoint: str | PathLike[str] | None = None,
            *,
            resume: bool | np.bool_ = False,
            decay: Number = 1.0,
            every: Whole | None = None,
            start: Sequence[Number] | NDArray[np.floating[Any] | np.integer[Any]] | None = None,
            done: Whole = 0,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Refuse settings that make no sense; keep numbers, NumPy's too, as Python's, which JSON holds and compares."""
        defaults = vars(SGD)
        for name, given in vars(self).items():
            if given is defaults[name]:  # short runs consist of little else than their start
                continue
            value = kept(f"SGD's {name}", given, ALLOWED[name])
            if value is not given:
                object.__setattr__(self, name, value)
        if self.resume and self.checkpoint is None:
            raise InputError("resume=True needs checkpoint=, the file to go on from.")

    def __repr__(self) -> str:
        own = ((field.name, getattr(self, field.name)) for field in dataclasses.fields(self))
        told = (f"{name}={value!r}" for name, value in own if value != getattr(SGD, name))
        return f"{type(self).__name__}({', '.join(told)})"

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Learn; the last Step carries the weights, how the run ended and, where they are known, the Moments.

        While rows are first gathered from files, Steps have epoch 0. An interrupt (KeyboardInterrupt) ends the run with
        a last Step too, if there are weights.

        Raises:
            InputError: a loss of unknown shape, numbers that are not finite, no rows, or, before any is read, a
                checkpoint that cannot be used.
        """
        check_given(self, objective, source)
        return self.onward(objective, source, None)

    def onward(self, objective: Objective, source: Source, before: Learned | None) -> Generator[Step, None, Run]:
        """Learn as `steps` does, from where a run before ended, and return the run, which knows what it leaves.

        Velocity, mean and the number of steps go on, and so do the columns' scales, which then are those of all rows so
        far; a call is an epoch, by which an inverse-time schedule counts.
        """
        if objective.loss.bend is None:
            raise InputError(
                f"SGD cannot lower the loss {objective.loss.name!r}: it needs a Loss with a `bend`, as squared, "
                "absolute, huber and quantile have."
            )
        d = len(source.design.names)
        if self.start is not None and len(self.start) != d + 1:
            raise InputError(f"SGD's start must hold the bias and {d} weights, but has {len(self.start)} numbers.")
        if before is not None and before.state.shape[1] != d + 1:
            raise InputError(
                f"There are {d} features here, but {before.state.shape[1] - 1} in the rows learned from before: call "
                "fit to begin anew."
            )
        resumed = None
        if self.checkpoint is not None:
            resumed = Checkpoint.prepare(self.checkpoint, self.settings(objective, source), self.resume)
        rows = yield from gather(self, objective, source, Past() if before is None else before.past)
        with rows.spool:
            run = Run(self, objective, source, rows, resumed, before)
            yield from run.steps()
            return run

    def limit(self, rows: int) -> int:
        """Epochs to run at most over so many rows."""
        if self.epochs is not None:
            return self.epochs
        return EPOCHS if self.tol is None else max(EPOCHS, VISITS // rows)

    @property
    def averaging(self) -> float:
        """Which mean of the weights is reported, as `descend` takes it; negative for the last weights."""
        return 0.0 if self.average else (AVERAGING if self.lr == "auto" else -1.0)

    def settings(self, objective: Objective, source: Source) -> dict[str, Any]:
        """What must be the same for a run to be resumed, beside the rows."""
        from linnet import __version__

        free = ("epochs", "tol", "checkpoint", "resume", "every")
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in free}
        return {
            "version of Linnet": __version__,
            **own,
            "loss": objective.loss.name,
            **objective.loss.settings,
            "l2": objective.l2,
            "intercept": objective.intercept,
            "target": source.target,
            "features": list(source.design.names),
        }

    def random(self) -> np.random.Generator:
        """Random numbers as `np.random.default_rng(seed)` draws them."""
        return np.random.Generator(np.random.PCG64(_sequence(self.seed)))

    def first(self, features: int, rng: np.random.Generator) -> Float64s:
        """[bias, weights] before the first step, (d+1,)."""
        if self.start is not None:
            return np.array(self.start, dtype=np.float64)
        start = np.zeros(features + 1)
        if self.init == "normal":
            start[1:] = 0.01 * rng.standard_normal(features)
        return start
