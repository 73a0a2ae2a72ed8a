"""Run: one run of SGD over gathered rows, Step by Step, with its checkpoints and its end."""

from __future__ import annotations

import math
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.checkpoint import Checkpoint
from linnet.losses import Squared
from linnet.objective import Objective, residual
from linnet.sgd_kernels import descend
from linnet.solvers.ending import ending
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE, Rows
from linnet.sources.source import Source
from linnet.sources.spool import Window
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.solvers.sgd import SGD

CHUNK = 1 << 26
"""Numbers that one call of the kernel works through: less than a tenth of a second."""
SAVE_EVERY = 1.0
"""Seconds between two checkpoints."""
RECORDS = 1000
"""Records of a history; beyond, every second one is dropped."""
EXPLODED = 10.0
"""Growth of the mean loss over that at the start, at the end of an epoch, that no converging run shows,"""
AT_ONCE = 1e6
"""and within one."""
FEW = 10
"""Minibatches in an epoch from which on a run that explodes shows it before the last one."""
SETTLE = 8
"""Epochs from which on a learning rate of our own falls: where minibatches differ, a constant one leaves even averaged
weights off the optimum, by its size. It falls with their square root, and faster, where slopes do not become small."""
NARROW = 100
"""Features up to which the weights at each record are kept, to work out its objective when the run has ended."""
RETRIES = 20
"""Times that a learning rate of our own is divided by four when rows turn out to be wilder than the sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """Where a run is: the rest of it follows from this, the rows and the settings.

    Attributes:
        epoch: epochs done.
        rows: rows done of the next epoch.
        step: minibatches done.
        state: (3, d+1), as `descend` takes it.
        rate: learning rate.
        random: random state at the start of that epoch; None where no checkpoint asks for it.
        loss: sum of the losses met in that epoch so far, or, when none of its rows is done, in the ones looked at last.
    """

    epoch: int
    rows: int
    step: int
    state: Float64s
    rate: float
    random: dict[str, Any] | None = None
    loss: float = 0.0


class Run:
    """One run of SGD over gathered rows."""

    def __init__(self, solver: SGD, objective: Objective, source: Source, rows: Rows) -> None:
        self.solver, self.objective, self.source = solver, objective, source
        self.rows, self.spool, self.survey = rows, rows.spool, rows.survey
        n, d = self.spool.rows, self.spool.features
        if not n or not self.spool.weight_total:
            raise InputError("There are no rows to fit: every row is missing, dropped or has weight 0.")
        self.names = source.design.names
        self.squared = isinstance(objective.loss, Squared)
        self.path = None if solver.checkpoint is None else Path(solver.checkpoint)
        self.rng = np.random.default_rng(solver.seed)
        auto = solver.lr == "auto"
        self.centre = np.zeros(d)
        self.metric = np.ones(d + 1)
        self.metric[0] = float(objective.intercept)
        if auto:
            assert self.survey is not None
            self.centre = self.survey.centre[:-1].astype(self.spool.dtype).astype(np.float64)
            self.metric = self.survey.metric
        self.offset = self.centre.astype(self.spool.dtype) if self.centre.any() else None
        per_epoch = -(-n // solver.batch_size)
        assert objective.loss.bend is not None
        self.bend = objective.loss.bend
        self.fall = (0.0, 1.0)
        if solver.schedule == "inverse-time":
            self.fall = (solver.decay / per_epoch, 1.0)
        elif auto and not (per_epoch == 1 and self.squared):  # gradients that do not vanish at the optimum
            self.fall = (1.0 / (SETTLE * per_epoch), 0.5 if self.squared else 0.75)
        self.work = np.empty((2, d), self.spool.dtype)
        self.history: list[dict[str, float]] = []
        self.seen: list[Float64s] = []  # [bias, weights] at each record, while its objective is yet to be worked out
        self.latest = 0.0  # mean loss of the rows since the last Step
        self.retries = 0
        self.saved = monotonic()
        self.anchor: tuple[int, Float64s] = 0, np.zeros(d + 1)
        self.resumed = False
        self.place = self.good = self._begin()
        self.begun = self.reported(self.place)

    def _begin(self) -> Place:
        """Where the run begins: at its start, or at its checkpoint."""
        solver = self.solver
        start = solver.first(self.spool.features, self.rng)
        start[0] += self.centre @ start[1:]
        rate = solver.lr
        if rate == "auto":
            assert self.survey is not None
            rate = self.survey.rate(solver.batch_size, self.spool.sample(SAMPLE)) * (1.0 - solver.momentum)
        place = Place(0, 0, solver.done, np.array([start, np.zeros_like(start), start]), float(rate))
        if self.path is None or not self.path.exists():
            return place
        if not solver.resume:
            raise InputError(
                f"The checkpoint {str(self.path)!r} exists already: resume from it (--resume, resume=True), or remove "
                "it to begin anew."
            )
        kept = Checkpoint.load(self.path)
        try:
            kept.require(self._settings(), self.spool.digest)
        except InputError as error:
            raise InputError(f"Cannot resume from {str(self.path)!r}. {error}") from None
        numbers = kept.numbers
        self.history = numbers["history"]
        self.seen = list(kept.arrays["seen"])
        self.retries = numbers["retries"]
        self.anchor = numbers["anchor"], kept.arrays["anchor"]
        self.rng.bit_generator.state = numbers["random"]
        self.resumed = True
        epoch, rows, step = (int(numbers[name]) for name in ("epoch", "rows", "step"))
        return Place(epoch, rows, step, kept.arrays["state"], numbers["rate"], numbers["random"], numbers["loss"])

    def _cost(self, size: float) -> float:
        """About the mean loss of residuals of this size, and not below it."""
        tilt, steepness, limit = self.bend
        steep = 0.5 * steepness * size * size if math.isfinite(steepness) else math.inf
        return max(min(steep, (limit + abs(tilt)) * size), sys.float_info.min)

    @cached_property
    def _baseline(self) -> float:
        """The mean loss at the start, or where all weights are 0 if that is larger: converging runs stay below."""
        sample = self.spool.sample(SAMPLE)
        r = residual(sample, self.begun[1:], float(self.begun[0]))
        return self._cost(max(self.rows.size, float(np.sqrt(np.mean(r * r)))))

    def _within(self, mean: float, times: float) -> bool:
        """Whether a mean loss is at most so many times that of the start."""
        return mean <= times * self._cost(self.rows.size) or (math.isfinite(mean) and mean <= times * self._baseline)

    def steps(self) -> Iterator[Step]:
        """Learn until the tolerance is met, the epochs are over, the loss explodes or somebody interrupts."""
        try:
            status = yield from self._learn()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            if not self.place.rows and self.place is not self.good:  # an epoch whose end nobody has looked at yet
                mean = self.place.loss / self.spool.rows
                self._record(self._step(self.reported(self.place), mean), mean)
        if self.path is not None and status is not Status.DIVERGED:
            self._save()
        yield ending(self, status)

    def _learn(self) -> Generator[Step, None, Status]:
        limit = self.solver.limit(self.spool.rows)
        status = self._judge(self.reported(self.place)) if self.resumed and not self.place.rows else None
        while status is None and self.place.epoch < limit:
            many = min(self._many(), limit - self.place.epoch)
            finite = yield from self._epochs(many)
            u = self.reported(self.place)
            step, mean = self._step(u, self.latest), self.place.loss / (many * self.spool.rows)
            if not finite or self._exploded(step, mean, last=self.place.epoch >= limit):
                status = self._give_up()
                continue
            self.good = self.place
            self._record(step, mean)
            status = self._judge(u)
            self._save_in_time()
            yield step
        if status is None:
            status = Status.RAN if self.solver.tol is None else Status.STOPPED
        return status

    def _epochs(self, many: int) -> Generator[Step, None, bool]:
        """Learn from all rows so many times; False as soon as the loss explodes."""
        for window in self._windows(many):
            for loss, rows in self._through(window, many):
                if not self._within(self.place.loss / self.spool.rows, AT_ONCE):
                    return False
                self.latest = loss / rows
                if self.place.rows:
                    self._save_in_time()
                    yield self._step(self.reported(self.place), self.latest)
        return True

    def _many(self) -> int:
        """Epochs until the next look: 1, and in long runs over few rows one percent more."""
        if self.solver.every is not None or self.solver.shuffle == "pieces" or self.spool.on_disk or self.place.rows:
            return 1
        return max(1, self.place.epoch // 100) if self.place.epoch >= RECORDS else 1

    def _windows(self, many: int) -> Iterator[Window]:
        """The rows of the next `many` epochs, in the order in which they are visited."""
        shuffle, rng = self.solver.shuffle, self.rng
        if self.path is not None and not self.place.rows:
            self.place = replace(self.place, random=dict(rng.bit_generator.state))
        windows = self.spool.windows(shuffle, rng, self.place.rows)
        if many == 1:
            return windows
        window = next(iter(windows))
        if shuffle:
            orders = [window.order, *(rng.permutation(self.spool.rows) for _ in range(many - 1))]
            window = replace(window, order=np.concatenate(orders))
        return iter([window])

    def _through(self, window: Window, many: int) -> Iterator[tuple[float, int]]:
        """Learn from the rows of a window, some at a time: the sum of their losses, and how many they were."""
        block, size = window.block, self.solver.batch_size
        assert block.y is not None
        weight = np.empty(0) if block.weight is None else block.weight * (self.spool.rows / self.spool.weight_total)
        end = block.rows * many
        chunk = size * (self.solver.every or max(1, CHUNK // (size * (block.features + 1)))) if many == 1 else end
        for at in range(window.at, end, chunk):
            stop = min(at + chunk, end)
            place = self.place
            state = place.state.copy()
            loss = descend(
                block.X,
                block.y,
                weight,
                window.order,
                window.piece,
                (at, stop, size),
                self.offset,
                self.metric,
                self.bend,
                (place.rate, *self.fall),
                float(self.solver.momentum),
                float(self.objective.l2),
                self.solver.averaging,
                place.step,
                state,
                self.work,
            )
            batches = -(-(stop - at) // size) if many == 1 else -(-block.rows // size) * many
            rows = place.rows + stop - at
            done, rows = divmod(rows, self.spool.rows)
            # one assignment, so that an interrupt finds the place before or after it
            sofar = loss + (place.loss if place.rows else 0.0)
            self.place = Place(place.epoch + done, rows, place.step + batches, state, place.rate, place.random, sofar)
            yield loss, stop - at

    def _exploded(self, step: Step, mean: float, last: bool) -> bool:
        """Whether the loss at the end of an epoch tells that the learning rate is too large.

        The mean is that of losses before each minibatch's update; after the last epoch nobody else looks at the last.
        That tells something where an epoch is a few minibatches, or did not lower the loss.
        """
        now = step.objective
        if now is None and last and (step.step < FEW * step.epoch or not self._within(mean, 1.0)):
            sample = self.spool.sample(SAMPLE // 4)
            assert step.weights is not None
            with np.errstate(over="ignore", invalid="ignore"):
                r = residual(sample, step.weights, step.bias or 0.0)
                now = float(np.mean(self.objective.loss.value(r)))
        return not (self._within(mean, EXPLODED) and (now is None or self._within(now, EXPLODED)))

    def _give_up(self) -> Status | None:
        """Go back to the last good place: to begin anew with a smaller rate if that is ours, to end otherwise."""
        self._check_rows()
        self.place = self.good
        if self.solver.lr != "auto" or self.retries >= RETRIES:
            return Status.DIVERGED
        self.retries += 1
        self.place = self.good = replace(self.good, rate=self.good.rate / 4)
        return None

    def _check_rows(self) -> None:
        """Tell numbers that are not finite from a run that diverges."""
        for window in self.spool.windows(False, np.random.default_rng(0)):
            window.block.check(self.names, self.source.target, self.source.where)

    def _judge(self, at: Float64s) -> Status | None:
        """Whether [bias, weights] are as near to the optimum as `tol` asks; (d+1,)."""
        if self.solver.tol is None or self.survey is None:
            return None
        if self.survey.optimum is not None:
            return Status.CONVERGED if self.survey.near(at) else None
        epoch, before = self.anchor
        if self.place.epoch < 2 * max(epoch, 2):
            return None
        self.anchor = self.place.epoch, at
        return Status.STEADY if (np.abs(at - before) <= self._still).all() else None

    @cached_property
    def _still(self) -> Float64s:
        """Movement of [bias, weights] over half of the epochs that is no movement, (d+1,).

        Least-squares standard errors, if residuals spread as the bulk of them does: outliers stretch only the former.
        """
        assert self.survey is not None
        least = self.survey.solution
        if least is None or not least.residual_sd > 0:
            return self.survey.tolerance
        return self.survey.tolerance * min(1.0, self.survey.spread(self.spool.sample(SAMPLE)) / least.residual_sd)

    def reported(self, place: Place) -> Float64s:
        """[bias, weights] in the columns' own units, (d+1,)."""
        u: Float64s = place.state[2 if self.solver.averaging >= 0 else 0].copy()
        if self.offset is not None:
            u[0] -= self.centre @ u[1:]
        return u

    def _step(self, u: Float64s, loss: float) -> Step:
        """A look at [bias, weights]; at the end of an epoch with the objective, where that takes no pass over rows."""
        place = self.place
        bias, weights = float(u[0]), u[1:]
        objective = None
        if not place.rows and self.squared and self.survey is not None and self.survey.solution is not None:
            objective = self.survey.lowest + self.survey.excess(weights, bias)
        epoch, rows = (place.epoch + 1, place.rows) if place.rows else (place.epoch, self.spool.rows)
        return Step(epoch=epoch, step=place.step, rows=rows, weights=weights, bias=bias, objective=objective, loss=loss)

    def _record(self, step: Step, mean: float) -> None:
        """Keep a record of an epoch, with its mean loss; when they are many, drop every second of those before."""
        record = {
            "epoch": float(step.epoch),
            "step": float(step.step),
            "loss": mean,
            "objective": step.objective,
            "lr": self.rate,
        }
        if len(self.history) >= RECORDS:
            del self.history[1::2], self.seen[1::2]
        self.history.append({key: value for key, value in record.items() if value is not None})
        if step.objective is None and self.squared and self.spool.features <= NARROW:
            self.seen.append(self.reported(self.place))

    def _settings(self) -> dict[str, Any]:
        """What must be the same for this run to be resumed."""
        from linnet import __version__

        loss = self.objective.loss
        return {
            "version of Linnet": __version__,
            **self.solver.settings(),
            "loss": loss.name,
            **vars(loss),
            "l2": self.objective.l2,
            "intercept": self.objective.intercept,
            "target": self.source.target,
            "features": list(self.names),
        }

    def _save_in_time(self) -> None:
        """Write the checkpoint when the last one is a while ago."""
        if self.path is not None and monotonic() - self.saved > SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        """Write the checkpoint."""
        assert self.path is not None
        place = self.place
        random = place.random if place.rows else self.rng.bit_generator.state
        numbers = {
            "epoch": place.epoch,
            "rows": place.rows,
            "step": place.step,
            "rate": place.rate,
            "loss": place.loss,
            "retries": self.retries,
            "anchor": self.anchor[0],
            "random": random,
            "history": self.history,
        }
        seen = np.array(self.seen).reshape(len(self.seen), place.state.shape[1])
        arrays = {"state": place.state, "anchor": self.anchor[1], "seen": seen}
        Checkpoint(self._settings(), self.spool.digest, numbers, arrays).save(self.path)
        self.saved = monotonic()

    @property
    def rate(self) -> float:
        """The learning rate by now."""
        fall, power = self.fall
        return float(self.place.rate * (1.0 + fall * self.place.step) ** -power)
