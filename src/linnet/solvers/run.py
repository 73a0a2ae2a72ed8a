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
from linnet.sources.window import Leg, Order, drawn
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
        loss: sum of the losses met since the epoch that was judged last.
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
        self.returns = auto or self.path is not None  # whether the run may go on from an earlier place
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
        size = self.size = min(solver.batch_size, n)
        per_epoch = self.per_epoch = -(-n // size)
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
        self.start = self.place = self.good = self._begin()
        self.begun = self.back = (dict(self.rng.bit_generator.state) if self.returns else {}), 0
        self.retried: Place | None = None  # where a run went back to with a lower rate
        if self.path is not None and self.path.exists():
            self._resume(self.path)
        # the random state before the orders now in use were drawn, and the epochs between which they lead
        self.drawn: tuple[dict[str, Any], int, int] = {}, self.place.epoch, self.place.epoch
        self.due = self._due()
        self.ceiling = Ceiling(objective.loss, rows.size, self.spool, self.reported(self.start))

    def _begin(self) -> Place:
        """Where the run begins."""
        solver = self.solver
        state = np.zeros((3, self.spool.features + 1))
        state[0] = solver.first(self.spool.features, self.rng)
        if self.offset is not None:
            state[0, 0] += self.offset.astype(np.float64) @ state[0, 1:]
        state[2] = state[0]
        rate = solver.lr
        if rate == "auto":
            assert self.survey is not None
            rate = self.survey.rate(self.size, self.spool.sample(SAMPLE)) * (1.0 - solver.momentum)
        return Place(0, 0, solver.done, state, float(rate))

    def _resume(self, path: Path) -> None:
        """Go to where a checkpoint says."""
        if not self.solver.resume:
            raise InputError(
                f"The checkpoint {str(path)!r} exists already: resume from it (--resume, resume=True), or remove it to "
                "begin anew."
            )
        kept = Checkpoint.load(path)
        try:
            kept.require(self.solver.settings(self.objective, self.source), self.spool.digest)
        except InputError as error:
            raise InputError(f"Cannot resume from {str(path)!r}. {error}") from None
        numbers = kept.numbers
        self.history = numbers["history"]
        self.seen = list(kept.arrays["seen"])
        self.retries = numbers["retries"]
        self.anchor = numbers["anchor"], kept.arrays["anchor"]
        self.rng.bit_generator.state = numbers["random"]
        self.back = numbers["back"], 0
        self.resumed = True
        for name in ("place", "good"):
            epoch, done, step, rate, loss = numbers[name]
            setattr(self, name, Place(epoch, done, step, kept.arrays[name], rate, loss))
        if self.place[:3] == self.good[:3]:
            self.place = self.good
        self.retried = self.good if numbers["retried"] else None

    def steps(self) -> Iterator[Step]:
        """Learn until the tolerance is met, the epochs are over, the loss explodes or somebody interrupts."""
        try:
            status = yield from self._learn()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            if not self.place.rows and self.place.epoch == self.due:  # an epoch whose end nobody has looked at yet
                self._keep(self._step(self.reported(self.place), self._mean()), self._mean())
        if self.path is not None and status is not Status.DIVERGED:
            self._save()
        yield ending(self, status)

    def _learn(self) -> Generator[Step, None, Status]:
        limit = self.solver.limit(self.spool.rows)
        status = self._judge(self.reported(self.place)) if self.resumed and self.place is self.good else None
        while status is None and self.place.epoch < limit:
            for loss in self._looks(limit):
                u, mean = self.reported(self.place), self._mean()
                step = None if self.ceiling.broken(mean) else self._step(u, loss)
                due = not self.place.rows and self.place.epoch in (self.due, limit)
                if step is None or (due and self.ceiling.broken_at_end(step, mean, self.place.epoch == limit)):
                    status = self._give_up()
                    break
                if due:
                    self._keep(step, mean)
                    status = self._judge(u)
                self._save_in_time()
                yield step
                if status is not None:
                    break
        if status is None:
            status = Status.RAN if self.solver.tol is None else Status.STOPPED
        return status

    def _mean(self) -> float:
        """Mean of the losses met since the epoch that was judged last."""
        rows = (self.place.epoch - self.good.epoch) * self.spool.rows + self.place.rows - self.good.rows
        return self.place.loss / rows

    def _after(self, epoch: int) -> int:
        """The epoch that is recorded and judged next: the next one, or in long runs over few rows a percent later."""
        return epoch + (1 if epoch < RECORDS else max(1, min(epoch // 100, CHUNK // (64 * self.spool.rows))))

    def _due(self) -> int:
        """The epoch that is recorded and judged next, from any place."""
        due = min(self.place.epoch, RECORDS)
        while due <= self.place.epoch:
            due = self._after(due)
        return due

    def _random(self) -> tuple[dict[str, Any], int]:
        """The random state at the present place, and of how many epochs the orders must be drawn from it first."""
        state, first, last = self.drawn
        if not self.returns or self.place.epoch < last:
            return state, self.place.epoch - first
        return dict(self.rng.bit_generator.state), 0

    def _looks(self, limit: int) -> Iterator[float]:
        """Learn from all rows, once or, where that is brief, more often; the mean loss from one look to the next.

        A look finds the run at the end of an epoch, or every CHUNK numbers within it. Between two looks `place` stays
        as it is, so that an interrupt finds it complete.
        """
        place, ends = self.place, self._ends(limit)
        many = ends[-1] - place.epoch
        if self.returns:
            self.drawn = dict(self.rng.bit_generator.state), place.epoch, ends[-1]
        marks = None if many == 1 else np.array([(end - place.epoch) * self.spool.rows for end in ends])
        total, rows = 0.0, 0
        for window in self.spool.windows(self.solver.shuffle, self.rng, place.rows, many):
            end = window.block.rows * many
            most = self.chunk if many == 1 else end
            for leg in window.legs(end, self.size, most, rows, thread_count):
                for at, met, new in self._through(leg, place, total, np.array([leg.stop]) if marks is None else marks):
                    place, total, rows = at, met, rows + new
                    if not place.rows or rows >= self.chunk:
                        self.place = place
                        yield total / rows
                        total, rows = 0.0, 0

    def _ends(self, limit: int) -> list[int]:
        """The ends of the next epochs to look at, those of brief epochs before anybody else can look."""
        numbers, first = self.spool.rows * self.metric.size, self.place.epoch
        if self.solver.every is not None or self.spool.on_disk or self.place.rows or numbers > BRIEF:
            return [first + 1]
        ends = [min(self.due, limit)]
        # a checkpoint needs the random state after what was looked at last
        while self.path is None and ends[-1] < limit and (ends[-1] - first) * numbers < BRIEF:
            ends.append(min(self._after(ends[-1]), limit))
        return ends

    def _through(self, leg: Leg, place: Place, met: float, marks: Order) -> Iterator[tuple[Place, float, int]]:
        """Learn from the rows of a leg: at each mark the Place, the losses since the last look, and the rows."""
        block, solver, n = leg.block, self.solver, self.spool.rows
        trail, losses = np.empty((marks.size, *place.state.shape)), np.empty(marks.size)
        descend(
            block.X,
            block.y,
            block.weights,
            n / self.spool.weight_total,
            leg.order,
            (leg.start, leg.stop, self.size),
            self.offset,
            self.metric,
            self.bend,
            (place.rate, *self.fall),
            float(solver.momentum),
            float(self.objective.l2),
            self.averaging,
            place.step,
            place.state,
            met,
            self.work,
            marks,
            trail,
            losses,
        )
        at = leg.start
        for state, loss, mark in zip(trail, losses.tolist(), marks.tolist(), strict=True):
            rows, at = mark - at, mark
            epochs, rest = divmod(rows, n)
            done, within = divmod(place.rows + rows, n)
            step = place.step + epochs * self.per_epoch - (-rest // self.size)
            sofar = loss + (0.0 if self.place is self.good else self.place.loss)
            place = Place(place.epoch + done, within, step, state, place.rate, sofar)
            yield place, loss, rows

    def _give_up(self) -> Status | None:
        """Go back to the last good place, or to the start: to go on with a smaller rate if that is ours, or to end."""
        self.spool.check(self.names, self.source.target, self.source.where)  # with other numbers no run converges
        self.place = self.good
        if self.solver.lr != "auto" or self.retries >= RETRIES:
            return Status.DIVERGED
        self.retries += 1
        rate = self.good.rate / 4
        if self.good is self.retried:  # the weights there are spoilt already
            self.good, self.back, self.anchor = self.start, self.begun, (0, np.zeros_like(self.metric))
            self.history.clear()
            self.seen.clear()
        self.rng.bit_generator.state, epochs = self.back
        if epochs:
            drawn(self.spool.rows, self.solver.shuffle, self.rng, epochs)
        self.back = dict(self.rng.bit_generator.state), 0
        self.place = self.good = self.retried = self.good._replace(rate=rate)
        self.due = self._due()
        return None

    def _judge(self, at: Float64s) -> Status | None:
        """Whether [bias, weights] are as near to the optimum as `tol` asks; (d+1,)."""
        if self.solver.tol is None or self.survey is None:
            return None
        if self.survey.optimum is not None:
            return Status.CONVERGED if self.survey.near(at) else None
        epoch, before = self.anchor
        if self.place.epoch < 2 * max(epoch, 2):
            return None
        if (np.abs(at - before) <= self._still).all():
            return Status.STEADY
        self.anchor = self.place.epoch, at
        return None

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

    def _keep(self, step: Step, mean: float) -> None:
        """Keep a place to go back to, and a record of it; when records are many, drop every second of those before."""
        self.good, self.due, self.back = self.place, self._after(self.place.epoch), self._random()
        record = {"epoch": float(step.epoch), "step": float(step.step), "loss": mean, "lr": self.rate}
        if len(self.history) >= RECORDS:
            del self.history[1::2], self.seen[1::2]
        if step.objective is not None:
            record["objective"] = step.objective
        elif self.squared and self.spool.features <= NARROW:
            self.seen.append(self.reported(self.place))
        self.history.append(record)

    def _save_in_time(self) -> None:
        """Write the checkpoint when the last one is a while ago."""
        if self.path is not None and monotonic() - self.saved > SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        """Write the checkpoint."""
        assert self.path is not None
        place, good = self.place, self.good
        numbers = {
            "place": [*place[:3], *place[4:]],
            "good": [*good[:3], *good[4:]],
            "random": self._random()[0],  # beside a checkpoint, looks never stop short of the orders that were drawn
            "back": self.back[0],
            "retries": self.retries,
            "retried": self.retried is self.good,
            "anchor": self.anchor[0],
            "history": self.history,
        }
        seen = np.array(self.seen).reshape(len(self.seen), self.metric.size)
        arrays = {"place": place.state, "good": good.state, "anchor": self.anchor[1], "seen": seen}
        Checkpoint(self.solver.settings(self.objective, self.source), self.spool.digest, numbers, arrays).save(
            self.path
        )
        self.saved = monotonic()

    @property
    def rate(self) -> float:
        """The learning rate by now."""
        fall, power = self.fall
        return float(self.place.rate * (1.0 + fall * self.place.step) ** -power)
