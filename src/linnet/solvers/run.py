"""Run: one run of SGD over gathered rows, Step by Step, with its checkpoints and its end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linnet.block import Float64s, InputError
from linnet.checkpoint import Checkpoint
from linnet.losses import Squared
from linnet.objective import Objective
from linnet.solvers.ceiling import Ceiling
from linnet.solvers.ending import ending
from linnet.solvers.learner import Learner, Place
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE, Rows
from linnet.sources.source import Source
from linnet.sources.window import drawn
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
NARROW = 100
"""Features up to which the weights at each record are kept, to work out its objective when the run has ended."""
RETRIES = 20
"""Times that a learning rate of our own is divided by four when rows turn out to be wilder than the sample."""


class Milestone(NamedTuple):
    """A place that a run can go back to.

    Attributes:
        place: the start, or the end of an epoch that was judged.
        random: the random state from which the orders of rows are drawn,
        epochs: of which these many come before `place`.
    """

    place: Place
    random: dict[str, Any]
    epochs: int = 0


class Run:
    """One run of SGD over gathered rows."""

    def __init__(self, solver: SGD, objective: Objective, source: Source, rows: Rows) -> None:
        self.solver, self.objective, self.source = solver, objective, source
        self.rows, self.spool, self.survey = rows, rows.spool, rows.survey
        if not self.spool.rows or not self.spool.weight_total:
            raise InputError("There are no rows to fit: every row is missing, dropped or has weight 0.")
        self.names = source.design.names
        self.squared = isinstance(objective.loss, Squared)
        self.path = None if solver.checkpoint is None else Path(solver.checkpoint)
        self.returns = solver.lr == "auto" or self.path is not None  # whether the run may go on from a Milestone
        self.rng = np.random.default_rng(solver.seed)
        learner = self.learner = Learner(solver, objective, rows)
        self.numbers = self.spool.rows * (self.spool.features + 1)  # in an epoch
        self.chunk = learner.size * (solver.every or max(1, CHUNK // (learner.size * (self.spool.features + 1))))
        self.history: list[dict[str, float]] = []
        self.seen: list[Float64s] = []  # [bias, weights] at each record, while its objective is yet to be worked out
        self.retries = 0
        self.saved = monotonic()
        self.anchor: tuple[int, Float64s] | None = None  # epochs, and [bias, weights] then
        self.place = learner.begin(solver, rows, self.rng)
        self.start = self.good = Milestone(self.place, self._state())
        self.retried: Milestone | None = None  # where the run went back to with a lower rate
        self.ceiling = Ceiling(objective.loss, rows.size, self.spool, learner.reported(self.place))
        self.resumed = self.path is not None and self.path.exists()
        if self.resumed:
            self._resume()
        # the random state before the orders now in use were drawn, and the epochs between which they lead
        self.drawn: tuple[dict[str, Any], int, int] = {}, self.place.epoch, self.place.epoch
        self.due = self._due()

    def _resume(self) -> None:
        """Go to where the checkpoint says."""
        assert self.path is not None
        if not self.solver.resume:
            raise InputError(
                f"The checkpoint {str(self.path)!r} exists already: resume from it (--resume, resume=True), or remove "
                "it to begin anew."
            )
        kept = Checkpoint.load(self.path)
        try:
            kept.require(self.solver.settings(self.objective, self.source), self.spool.digest)
        except InputError as error:
            raise InputError(f"Cannot resume from {str(self.path)!r}. {error}") from None
        numbers = kept.numbers
        self.history = numbers["history"]
        self.seen = list(kept.arrays["seen"])
        self.retries = numbers["retries"]
        if numbers["anchor"]:
            self.anchor = numbers["anchor"], kept.arrays["anchor"]
        self.rng.bit_generator.state = numbers["random"]
        places = {}
        for name in ("place", "good"):
            epoch, done, step, rate, loss = numbers[name]
            places[name] = Place(epoch, done, step, kept.arrays[name], rate, loss)
        same = places["place"][:3] == places["good"][:3]
        self.place = places["good" if same else "place"]
        self.good = Milestone(places["good"], numbers["back"])
        self.retried = self.good if numbers["retried"] else None

    def steps(self) -> Iterator[Step]:
        """Learn until the tolerance is met, the epochs are over, the loss explodes or somebody interrupts."""
        try:
            status = yield from self._learn()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            if not self.place.rows and self.place.epoch == self.due:  # an epoch whose end nobody has looked at yet
                mean, u = self._mean(), self.learner.reported(self.place)
                self._keep(self._step(u, mean)[0], mean, u)
        finally:
            self.learner.close()
        if self.path is not None and status is not Status.DIVERGED:
            self._save()
        yield ending(self, status)

    def _learn(self) -> Generator[Step, None, Status]:
        limit = self.solver.limit(self.spool.rows)
        status = None
        if self.resumed and self.place is self.good.place:
            u = self.learner.reported(self.place)
            status = self._judge(u, self._step(u, 0.0)[1])
        while status is None and self.place.epoch < limit:
            for loss in self._looks(limit):
                place, mean = self.place, self._mean()
                u = self.learner.reported(place)
                step, near = self._step(u, loss)
                due, last = not place.rows and place.epoch in (self.due, limit), place.epoch == limit
                if self.ceiling.broken(mean) or (due and self.ceiling.broken_at_end(step, mean, last)):
                    status = self._give_up()
                    break
                if due:
                    self._keep(step, mean, u)
                    status = self._judge(u, near)
                self._save_in_time()
                yield step
                if status is not None:
                    break
        if status is None:
            status = Status.RAN if self.solver.tol is None else Status.STOPPED
        return status

    def _mean(self) -> float:
        """Mean of the losses met since the epoch that was judged last."""
        place, good = self.place, self.good.place
        return place.loss / ((place.epoch - good.epoch) * self.spool.rows + place.rows - good.rows)

    def _after(self, epoch: int) -> int:
        """The epoch that is recorded and judged next: the next one, or in long runs over few rows a percent later."""
        return epoch + (1 if epoch < RECORDS else max(1, min(epoch // 100, CHUNK // (64 * self.spool.rows))))

    def _due(self) -> int:
        """The epoch that is recorded and judged next, from any place."""
        due = min(self.place.epoch, RECORDS)
        while due <= self.place.epoch:
            due = self._after(due)
        return due

    def _state(self) -> dict[str, Any]:
        """The random state by now, if the run may go on from here."""
        return dict(self.rng.bit_generator.state) if self.returns else {}

    def _milestone(self) -> Milestone:
        """The present place, to go back to."""
        state, first, last = self.drawn
        if self.place.epoch < last:
            return Milestone(self.place, state, self.place.epoch - first)
        return Milestone(self.place, self._state())

    def _looks(self, limit: int) -> Iterator[float]:
        """Learn from all rows, once or, where that is brief, more often; the mean loss from one look to the next.

        A look finds the run at the end of an epoch, or every CHUNK numbers within it. Between two looks `place` stays
        as it is, so that an interrupt finds it complete.
        """
        place, ends, learner, n = self.place, self._ends(limit), self.learner, self.spool.rows
        first, many = place.epoch, ends[-1] - place.epoch
        if self.returns:
            self.drawn = self._state(), first, ends[-1]
        before = 0.0 if place is self.good.place else place.loss
        met, rows = 0.0, 0  # since the last look
        for window in self.spool.windows(self.solver.shuffle, self.rng, place.rows, many):
            end = window.block.rows * many
            most = self.chunk if many == 1 else end
            for leg in window.legs(end, learner.size, most, rows, learner.fetchers):
                marks, at = [leg.stop] if many == 1 else [(epoch - first) * n for epoch in ends], leg.start
                states, losses = learner.through(leg, place, met, marks)
                for state, loss, mark in zip(states, losses, marks, strict=True):
                    place = learner.moved(place, mark - at, state, before + loss)
                    met, rows, at = loss, rows + mark - at, mark
                    if not place.rows or rows >= self.chunk:
                        self.place = place
                        yield met / rows
                        before = 0.0 if place is self.good.place else place.loss
                        met, rows = 0.0, 0

    def _ends(self, limit: int) -> list[int]:
        """The ends of the next epochs to look at, those of brief epochs before anybody else can look."""
        first = self.place.epoch
        if self.numbers > BRIEF or self.solver.every is not None or self.spool.on_disk or self.place.rows:
            return [first + 1]
        ends = [min(self.due, limit)]
        # a checkpoint needs the random state after what was looked at last
        while self.path is None and ends[-1] < limit and (ends[-1] - first) * self.numbers < BRIEF:
            ends.append(min(self._after(ends[-1]), limit))
        return ends

    def _give_up(self) -> Status | None:
        """Go back to the last Milestone, or to the start: to go on with a smaller rate if that is ours, or to end."""
        self.spool.check(self.names, self.source.target, self.source.where)  # with other numbers no run converges
        self.place = self.good.place
        if self.solver.lr != "auto" or self.retries >= RETRIES:
            return Status.DIVERGED
        self.retries += 1
        rate = self.place.rate / 4
        if self.good is self.retried:  # the weights there are spoilt already
            self.good, self.anchor = self.start, None
            self.history.clear()
            self.seen.clear()
        place, self.rng.bit_generator.state, epochs = self.good
        if epochs:
            drawn(self.spool.rows, self.solver.shuffle, self.rng, epochs)
        self.place = place._replace(rate=rate)
        self.good = self.retried = Milestone(self.place, self._state())
        self.due = self._due()
        return None

    def _judge(self, at: Float64s, near: bool) -> Status | None:
        """Whether [bias, weights], `near` the optimum where that is known, are so near as `tol` asks; (d+1,)."""
        if self.solver.tol is None or self.survey is None:
            return None
        if self.survey.optimum is not None:
            return self.survey.reached if near else None
        epoch, before = self.anchor or (0, np.zeros_like(at))
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

    def _step(self, u: Float64s, loss: float) -> tuple[Step, bool]:
        """A look at [bias, weights], and whether they are near the optimum.

        At the end of an epoch with the objective, where that takes no pass over rows.
        """
        epoch, rows, step = self.place[:3]
        objective, near = None, False
        if rows:
            epoch += 1
        else:
            rows = self.spool.rows
            if self.survey is not None and self.survey.optimum is not None:
                excess, near = self.survey.look(u)
                objective = self.survey.lowest + excess
        return Step(epoch, step, rows, u[1:], float(u[0]), objective, loss=loss), near

    def _keep(self, step: Step, mean: float, u: Float64s) -> None:
        """Keep a place to go back to, and a record of it; when records are many, drop every second of those before."""
        self.good, self.due = self._milestone(), self._after(self.place.epoch)
        rate = self.learner.rate(self.place)
        record = {"epoch": float(step.epoch), "step": float(step.step), "loss": mean, "lr": rate}
        if len(self.history) >= RECORDS:
            del self.history[1::2], self.seen[1::2]
        if step.objective is not None:
            record["objective"] = step.objective
        elif self.squared and self.spool.features <= NARROW:
            self.seen.append(u)
        self.history.append(record)

    def _save_in_time(self) -> None:
        """Write the checkpoint when the last one is a while ago."""
        if self.path is not None and monotonic() - self.saved > SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        """Write the checkpoint."""
        assert self.path is not None
        place, good = self.place, self.good.place
        epoch, at = self.anchor or (0, np.zeros_like(good.state[0]))
        numbers = {
            "place": [*place[:3], *place[4:]],
            "good": [*good[:3], *good[4:]],
            "random": self._milestone().random,  # beside a checkpoint, orders are drawn for one epoch at a time
            "back": self.good.random,
            "retries": self.retries,
            "retried": self.retried is self.good,
            "anchor": epoch,
            "history": self.history,
        }
        seen = np.array(self.seen).reshape(len(self.seen), at.size)
        arrays = {"place": place.state, "good": good.state, "anchor": at, "seen": seen}
        Checkpoint(self.solver.settings(self.objective, self.source), self.spool.digest, numbers, arrays).save(
            self.path
        )
        self.saved = monotonic()
