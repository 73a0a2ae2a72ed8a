"""Run: one run of SGD over gathered rows, Step by Step, with its checkpoints and its end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linnet.block import Float64s, Floats, InputError
from linnet.checkpoint import Checkpoint
from linnet.losses import Squared
from linnet.moments import thread_count
from linnet.objective import Objective
from linnet.sgd_kernels import descend
from linnet.solvers.ceiling import Ceiling
from linnet.solvers.ending import ending
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE, Rows
from linnet.sources.source import Source
from linnet.sources.window import Leg, drawn
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.solvers.sgd import SGD

CHUNK = 1 << 26
"""Numbers from one look at a run to the next, where epochs are long: less than a tenth of a second."""
BRIEF = 1 << 16
"""Numbers in one call of the kernel where epochs are short, which are then looked at one by one."""
SAVE_EVERY = 1.0
"""Seconds between two checkpoints."""
RECORDS = 1000
"""Records of a history; beyond, every second one is dropped."""
SETTLE = 8
"""Epochs from which on a learning rate of our own falls: where minibatches differ, a constant one leaves even averaged
weights off the optimum, by its size. It falls with their square root, and faster, where slopes do not become small."""
UNWEIGHTED = np.empty(0)
NARROW = 100
"""Features up to which the weights at each record are kept, to work out its objective when the run has ended."""
RETRIES = 20
"""Times that a learning rate of our own is divided by four when rows turn out to be wilder than the sample."""


class Place(NamedTuple):
    """Where a run is: the rest of it follows from this, the rows and the settings.

    Attributes:
        epoch: epochs done.
        rows: rows done of the next epoch.
        step: minibatches done.
        state: (3, d+1), as `descend` takes it.
        rate: learning rate.
        loss: sum of the losses met in that epoch so far, or, when none of its rows is done, in the epoch before.
    """

    epoch: int
    rows: int
    step: int
    state: Float64s
    rate: float
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
        self.offset: Floats | None = None  # of the features, where that is not 0
        if auto:
            assert self.survey is not None
            centre = self.survey.centre[:-1].astype(self.spool.dtype)
            self.offset = centre if centre.any() else None
            self.metric = self.survey.metric
        else:
            self.metric = np.empty(d + 1)
            self.metric[0], self.metric[1:] = objective.intercept, 1.0
        self.averaging = solver.averaging
        size = solver.batch_size
        per_epoch = -(-n // size)
        self.chunk = size * (solver.every or max(1, CHUNK // (size * (d + 1))))
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
        self.retries = 0
        self.saved = monotonic()
        self.anchor: tuple[int, Float64s] = 0, np.zeros(d + 1)
        self.resumed = False
        self.place = self.good = self._begin()
        self.drawn: tuple[dict[str, Any], int] = {}, 0  # random state before the orders now in use, and their epoch
        self.ceiling = Ceiling(objective.loss, rows.size, self.spool, self.reported(self.place))

    def _begin(self) -> Place:
        """Where the run begins: at its start, or at its checkpoint."""
        solver = self.solver
        state = np.zeros((3, self.spool.features + 1))
        state[0] = solver.first(self.spool.features, self.rng)
        if self.offset is not None:
            state[0, 0] += self.offset.astype(np.float64) @ state[0, 1:]
        state[2] = state[0]
        rate = solver.lr
        if rate == "auto":
            assert self.survey is not None
            rate = self.survey.rate(solver.batch_size, self.spool.sample(SAMPLE)) * (1.0 - solver.momentum)
        place = Place(0, 0, solver.done, state, float(rate))
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
        return Place(epoch, rows, step, kept.arrays["state"], numbers["rate"], numbers["loss"])

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
            for loss in self._looks(limit - self.place.epoch):
                u, mean, ended = self.reported(self.place), self.place.loss / self.spool.rows, not self.place.rows
                step = None if self.ceiling.broken(mean) else self._step(u, loss)
                last = self.place.epoch >= limit
                if step is None or (ended and self.ceiling.broken_at_end(step, mean, last)):
                    status = self._give_up()
                    break
                if ended:
                    self.good = self.place
                    self._record(step, mean)
                    status = self._judge(u)
                self._save_in_time()
                yield step
                if status is not None:
                    break
        if status is None:
            status = Status.RAN if self.solver.tol is None else Status.STOPPED
        return status

    def _looks(self, left: int) -> Iterator[float]:
        """Learn from all rows, once or, where that is brief, more often; the mean loss from one look to the next.

        A look finds the run at the end of an epoch, or every CHUNK numbers within it. Between two looks `place` stays
        as it is, so that an interrupt finds it complete.
        """
        stride, many = self._ahead(left)
        place, first = self.place, self.place.epoch
        self.drawn = dict(self.rng.bit_generator.state), first
        total, rows = 0.0, 0
        for window in self.spool.windows(self.solver.shuffle, self.rng, place.rows, many):
            end = window.block.rows * many
            most = self.chunk if many == 1 else end
            for leg in window.legs(end, self.solver.batch_size, most, rows, thread_count):
                for at, loss, new in self._through(leg, place, many):
                    place, total, rows = at, total + loss, rows + new
                    done = place.epoch - first
                    if rows >= self.chunk if place.rows else done % stride == 0 or done == many:
                        self.place = place
                        yield total / rows
                        total, rows = 0.0, 0

    def _ahead(self, left: int) -> tuple[int, int]:
        """Epochs from one look to the next: 1, and in long runs over few rows a percent; and before others can look."""
        if self.solver.every is not None or self.spool.on_disk or self.place.rows:
            return 1, 1
        stride = max(1, self.place.epoch // 100) if self.place.epoch >= RECORDS else 1
        # a checkpoint holds the random state after what was looked at last
        looks = 1 if self.path is not None else max(1, BRIEF // (self.spool.rows * self.metric.size * stride))
        return stride, min(looks * stride, left)

    def _through(self, leg: Leg, place: Place, many: int) -> Iterator[tuple[Place, float, int]]:
        """Learn from the rows of a leg, or of many epochs: each time the Place, the sum of the losses, and the rows."""
        block, solver = leg.block, self.solver
        trail, losses = np.empty((many, *place.state.shape)), np.empty(many)
        descend(
            block.X,
            block.y,
            UNWEIGHTED if block.weight is None else block.weight,
            self.spool.rows / self.spool.weight_total,
            leg.order,
            (leg.start, leg.stop, solver.batch_size),
            self.offset,
            self.metric,
            self.bend,
            (place.rate, *self.fall),
            float(solver.momentum),
            float(self.objective.l2),
            self.averaging,
            place.step,
            place.state,
            self.work,
            trail,
            losses,
        )
        rows = (leg.stop - leg.start) // many
        batches = -(-rows // solver.batch_size)
        for state, loss in zip(trail, losses.tolist(), strict=True):
            done, within = divmod(place.rows + rows, self.spool.rows)
            sofar = loss + (place.loss if place.rows else 0.0)
            place = Place(place.epoch + done, within, place.step + batches, state, place.rate, sofar)
            yield place, loss, rows

    def _give_up(self) -> Status | None:
        """Go back to the last good place: to begin anew with a smaller rate if that is ours, to end otherwise."""
        self._check_rows()
        self.place = self.good
        if self.solver.lr != "auto" or self.retries >= RETRIES:
            return Status.DIVERGED
        self.retries += 1
        self.rng.bit_generator.state, first = self.drawn
        if self.good.epoch > first:
            drawn(self.spool.rows, self.solver.shuffle, self.rng, self.good.epoch - first)
        self.place = self.good = self.good._replace(rate=self.good.rate / 4)
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
        u: Float64s = place.state[2 if self.averaging >= 0 else 0].copy()
        if self.offset is not None:
            u[0] -= self.offset.astype(np.float64) @ u[1:]
        return u

    def _step(self, u: Float64s, loss: float) -> Step:
        """A look at [bias, weights]; at the end of an epoch with the objective, where that takes no pass over rows."""
        place = self.place
        bias, weights = float(u[0]), u[1:]
        objective = None
        if not place.rows and self.squared and self.survey is not None and self.survey.solution is not None:
            objective = self.survey.lowest + self.survey.excess(u)
        epoch, rows = (place.epoch + 1, place.rows) if place.rows else (place.epoch, self.spool.rows)
        return Step(epoch=epoch, step=place.step, rows=rows, weights=weights, bias=bias, objective=objective, loss=loss)

    def _record(self, step: Step, mean: float) -> None:
        """Keep a record of an epoch, with its mean loss; when they are many, drop every second of those before."""
        record = {"epoch": float(step.epoch), "step": float(step.step), "loss": mean, "lr": self.rate}
        if len(self.history) >= RECORDS:
            del self.history[1::2], self.seen[1::2]
        if step.objective is not None:
            record["objective"] = step.objective
        elif self.squared and self.spool.features <= NARROW:
            self.seen.append(self.reported(self.place))
        self.history.append(record)

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
        random = self.drawn[0] if place.rows else self.rng.bit_generator.state
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
