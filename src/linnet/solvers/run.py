"""Run: one run of SGD over gathered rows, Step by Step, with its checkpoints and its end."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linnet.block import NO_ROWS, Float64s, InputError
from linnet.checkpoint import Checkpoint
from linnet.losses import Squared
from linnet.objective import Objective
from linnet.solvers.ceiling import Ceiling
from linnet.solvers.ending import ending
from linnet.solvers.gathering import Rows
from linnet.solvers.learner import Learned, Learner, Place
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE
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


class Standing(NamedTuple):
    """All that changes in the course of a run, replaced at once, so that an interrupt finds it complete.

    Attributes:
        place: where the weights are.
        good: the epoch that was judged last, or the start.
        earlier: the one before it, of a run with a given learning rate.
        due: the epoch that is recorded and judged next.
        drawn: the random state before the orders now in use were drawn, and the epochs between which they lead.
        anchor: epochs done when [bias, weights] were last seen to move, and where they were then.
        history: a record of each epoch that was judged or, in long runs, of fewer.
        seen: [bias, weights] at the records of these epochs, whose objectives are yet to be worked out.
        retries: how often a learning rate of our own was lowered.
        retried: whether `good` is where that was done.
    """

    place: Place
    good: Milestone
    due: int
    drawn: tuple[dict[str, Any], int, int]
    earlier: Milestone | None = None
    anchor: tuple[int, Float64s] | None = None
    history: tuple[dict[str, float], ...] = ()
    seen: Mapping[int, Float64s] = MappingProxyType({})
    retries: int = 0
    retried: bool = False


class Run:
    """One run of SGD over gathered rows."""

    def __init__(
        self,
        solver: SGD,
        objective: Objective,
        source: Source,
        rows: Rows,
        kept: Checkpoint | None,
        before: Learned | None,
    ) -> None:
        self.solver, self.objective, self.source = solver, objective, source
        self.rows, self.spool = rows, rows.spool
        # where rows in memory are not summed beforehand, sums of others judge no epoch either: all doors end alike
        self.survey = rows.survey if solver.lr == "auto" or solver.tol is not None else None
        if not self.spool.rows or not self.spool.weight_total:
            raise InputError(NO_ROWS)
        self.names = source.design.names
        self.squared = isinstance(objective.loss, Squared)
        self.path = None if solver.checkpoint is None else Path(solver.checkpoint)
        self.goes_back = solver.lr == "auto" or self.path is not None  # whether the run may go on from a Milestone
        self.rng = solver.random()
        if solver.lr == "auto" and rows.scales is not None:
            rows.scales.check(self.names)
        learner = self.learner = Learner(solver, objective, rows)
        self.numbers = self.spool.rows * (self.spool.features + 1)  # in an epoch
        self.chunk = learner.size * (solver.every or max(1, CHUNK // (learner.size * (self.spool.features + 1))))
        self.saved = monotonic()
        begin = learner.begin(solver, rows, self.rng, before)
        self.start = Milestone(begin, self._state())
        self.begun = learner.reported(begin) if before is None else before.begun
        begun = [self.begun]
        if solver.lr == "auto" and before is not None:  # by a rate of our own it comes back from wherever it was
            begun.append(learner.reported(begin))
        self.ceiling = Ceiling(objective.loss, rows.size, self.spool, begun, *(() if before is None else before[-2:]))
        self.now = Standing(begin, self.start, self._due(begin), ({}, 0, 0))
        self.resumed = kept is not None
        if kept is not None:
            self._resume(kept)

    def _resume(self, kept: Checkpoint) -> None:
        """Go to where the checkpoint says."""
        kept.require_data(self.spool.digest)
        numbers, arrays = kept.numbers, kept.arrays
        self.rng.bit_generator.state = numbers["random"]
        places = {}
        for name in ("place", "good", "earlier"):
            if numbers[name]:
                epoch, done, step, rate, loss = numbers[name][:5]
                places[name] = Place(epoch, done, step, arrays[name], rate, loss)
        same = places["place"][:3] == places["good"][:3]
        place = places["good" if same else "place"]
        self.now = Standing(
            place,
            Milestone(places["good"], numbers["back"]),
            self._due(place),
            ({}, place.epoch, place.epoch),
            Milestone(places["earlier"], numbers["earlier"][5]) if numbers["earlier"] else None,
            (numbers["anchor"], arrays["anchor"]) if numbers["anchor"] else None,
            tuple(numbers["history"]),
            dict(zip(numbers["seen"], arrays["seen"], strict=True)),
            numbers["retries"],
            numbers["retried"],
        )

    def steps(self) -> Iterator[Step]:
        """Learn until the tolerance is met, the epochs are over, the loss explodes or somebody interrupts."""
        notes: tuple[str, ...] = ()
        try:
            status = yield from self._learn()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
            place, good = self.now.place, self.now.good.place
            # an epoch that explodes is given up at its end, unless it is very plain before
            if place is not good and self.ceiling.left(self._mean(place)[1], self.learner.reported(place)):
                self.now = self.now._replace(place=good)
        finally:
            self.learner.close()
        if self.path is not None and status is not Status.DIVERGED:
            try:
                self._save()
            except InputError as error:  # what was learned is still there
                notes = (str(error),)
        yield ending(self, status, notes)

    def learned(self) -> Learned:
        """What is left to a run that learns on from other rows."""
        place, history, rows = self.now.place, self.now.history, self.spool.rows
        later = self.ceiling.later(history[-1]["loss"] * rows, rows) if history else self.ceiling.later(0.0, 0)
        return Learned(place.state, self.learner.offset, place.step, self.begun, self.rows.past, *later)

    def _learn(self) -> Generator[Step, None, Status]:
        limit = self.solver.limit(self.spool.rows)
        status = None
        if self.resumed and self.now.place is self.now.good.place:
            u = self.learner.reported(self.now.place)
            status, anchor = self._judged(self.now.place, u, self._step(self.now.place, u, 0.0)[1])
            self.now = self.now._replace(anchor=anchor)
        while status is None and self.now.place.epoch < limit:
            for place, loss in self._looks(limit):
                mean, among = self._mean(place)
                u = self.learner.reported(place)
                step, near = self._step(place, u, loss)
                due, last = not place.rows and place.epoch in (self.now.due, limit), place.epoch == limit
                if self.ceiling.broken(among) or (due and self.ceiling.broken_at_end(step, among, last)):
                    status = self._give_up()
                    break
                if due:
                    status, anchor = self._judged(place, u, near)
                    self._keep(place, step, mean, u, anchor)
                else:
                    self.now = self.now._replace(place=place)
                self._save_in_time()
                yield step
                if status is not None:
                    break
        if status is None:
            status = Status.RAN if self.solver.tol is None else Status.STOPPED
        return status

    def _mean(self, place: Place) -> tuple[float, float]:
        """Mean of the losses met since the epoch that was judged last, alone and among those of the runs before."""
        good = self.now.good.place
        rows = (place.epoch - good.epoch) * self.spool.rows + place.rows - good.rows
        return place.loss / rows, self.ceiling.among(place.loss, rows)

    def _after(self, epoch: int) -> int:
        """The epoch that is recorded and judged next: the next one, or in long runs over few rows a percent later."""
        return epoch + (1 if epoch < RECORDS else max(1, min(epoch // 100, CHUNK // (64 * self.spool.rows))))

    def _due(self, place: Place) -> int:
        """The epoch that is recorded and judged next, from any place."""
        due = min(place.epoch, RECORDS)
        while due <= place.epoch:
            due = self._after(due)
        return due

    def _state(self) -> dict[str, Any]:
        """The random state by now, if the run may go on from here."""
        return dict(self.rng.bit_generator.state) if self.goes_back else {}

    def _milestone(self, place: Place) -> Milestone:
        """A place that was just reached, to go back to."""
        if not self.goes_back:
            return Milestone(place, {})
        state, first, last = self.now.drawn
        if place.epoch < last:
            return Milestone(place, state, place.epoch - first)
        return Milestone(place, self._state())

    def _looks(self, limit: int) -> Iterator[tuple[Place, float]]:
        """Learn from all rows, once or, where that is brief, more often: places, and mean losses since the one before.

        A look finds the run at the end of an epoch, or every CHUNK numbers within it.
        """
        place, ends, learner, n = self.now.place, self._ends(limit), self.learner, self.spool.rows
        first, many = place.epoch, ends[-1] - place.epoch
        if self.goes_back:
            self.now = self.now._replace(drawn=(self._state(), first, ends[-1]))
        before = 0.0 if place is self.now.good.place else place.loss
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
                        yield place, met / rows
                        before = 0.0 if place is self.now.good.place else place.loss
                        met, rows = 0.0, 0

    def _ends(self, limit: int) -> list[int]:
        """The ends of the next epochs to look at, those of brief epochs before anybody else can look."""
        first = self.now.place.epoch
        if self.numbers > BRIEF or self.solver.every is not None or self.spool.on_disk or self.now.place.rows:
            return [first + 1]
        ends = [min(self.now.due, limit)]
        # a checkpoint needs the random state after what was looked at last
        while self.path is None and ends[-1] < limit and (ends[-1] - first) * self.numbers < BRIEF:
            ends.append(min(self._after(ends[-1]), limit))
        return ends

    def _give_up(self) -> Status | None:
        """Go back to where nothing had exploded: to go on with a smaller rate if that is ours, or to end."""
        self.spool.check(self.names, self.source.target, self.source.where)  # with other numbers no run converges
        now = self.now
        # an epoch is judged by losses before its updates: where it has one update, by those of the epoch before. So its
        # own losses are what judges the place where the latter ended
        if now.retried or self.ceiling.left(0.0, self.learner.reported(now.good.place)):
            back = now.earlier or self.start
            history = tuple(record for record in now.history if record["epoch"] <= back.place.epoch)
            seen = {epoch: at for epoch, at in now.seen.items() if epoch <= back.place.epoch}
            now = now._replace(good=back, anchor=None, history=history, seen=seen)
        (place, state, epochs), rate = now.good, self.now.good.place.rate
        if self.solver.lr != "auto" or now.retries >= RETRIES:
            place = place._replace(rate=rate)
            self.now = now._replace(place=place, good=now.good._replace(place=place))
            return Status.DIVERGED
        place = place._replace(rate=rate / 4)
        self.rng.bit_generator.state = state
        if epochs:
            drawn(self.spool.rows, self.solver.shuffle, self.rng, epochs)
        self.now = now._replace(
            place=place,
            good=Milestone(place, self._state()),
            due=self._due(place),
            drawn=({}, place.epoch, place.epoch),
            retries=now.retries + 1,
            retried=True,
        )
        return None

    def _judged(self, place: Place, at: Float64s, near: bool) -> tuple[Status | None, tuple[int, Float64s] | None]:
        """Whether [bias, weights], (d+1,), are so near as `tol` asks, and the anchor from here on.

        They are `near` the optimum where that is known; else they are to rest.
        """
        anchor = self.now.anchor
        if self.solver.tol is None or self.survey is None:
            return None, anchor
        if self.survey.optimum is not None:
            return self.survey.reached if near else None, anchor
        epoch = anchor[0] if anchor else 0
        if place.epoch < 2 * max(epoch, 2):
            return None, anchor
        if anchor is not None and (np.abs(at - anchor[1]) <= self._still).all():
            return Status.STEADY, anchor  # a run that is interrupted now finds that again
        return None, (place.epoch, at)

    @cached_property
    def _still(self) -> Float64s:
        """Movement of [bias, weights] over half of the epochs that is no movement, (d+1,).

        Least-squares standard errors, if residuals spread as the bulk of them does: outliers stretch only the former.
        """
        assert self.survey is not None
        if self.survey.solution is None:
            return self.survey.tolerance
        noise = self.survey.noise
        if not noise > 0:
            return self.survey.movement
        return self.survey.movement * min(1.0, self.survey.spread(self.spool.sample(SAMPLE)) / noise)

    def _step(self, place: Place, u: Float64s, loss: float) -> tuple[Step, bool]:
        """A look at a place with [bias, weights] `u`, and whether they are near the optimum.

        At the end of an epoch with the objective, where that takes no pass over rows.
        """
        epoch, rows, step = place[:3]
        objective, near = None, False
        if rows:
            epoch += 1
        else:
            rows = self.spool.rows
            if self.survey is not None and self.survey.optimum is not None:
                objective, near = self.survey.look(u)
        return Step(epoch, step, rows, u[1:], float(u[0]), objective, loss=loss), near

    def _keep(self, place: Place, step: Step, mean: float, u: Float64s, anchor: tuple[int, Float64s] | None) -> None:
        """Keep a place to go back to, and a record of it; when records are many, drop every second of those before."""
        now = self.now
        record = {"epoch": float(step.epoch), "step": float(step.step), "loss": mean, "lr": self.learner.rate(place)}
        history, seen = now.history, now.seen
        if len(history) >= RECORDS:
            history = history[::2]
            kept = {record["epoch"] for record in history}
            seen = {epoch: at for epoch, at in seen.items() if epoch in kept}
        if step.objective is not None:
            record["objective"] = step.objective
        elif self.squared and self.survey is None and self.spool.features <= NARROW:
            seen = {**seen, place.epoch: u}
        due = self._after(place.epoch)
        good, earlier = self._milestone(place), None if self.solver.lr == "auto" else now.good
        self.now = Standing(place, good, due, now.drawn, earlier, anchor, (*history, record), seen, now.retries)

    def _save_in_time(self) -> None:
        """Write the checkpoint when the last one is a while ago."""
        if self.path is not None and monotonic() - self.saved > SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        """Write the checkpoint."""
        assert self.path is not None
        now = self.now
        place, good, earlier = now.place, now.good.place, now.earlier
        epoch, at = now.anchor or (0, np.zeros_like(good.state[0]))
        numbers = {
            "place": [*place[:3], *place[4:]],
            "good": [*good[:3], *good[4:]],
            "earlier": [*earlier.place[:3], *earlier.place[4:], earlier.random] if earlier else [],
            # beside a checkpoint, orders are drawn for one epoch at a time
            "random": now.good.random if place is good else self._milestone(place).random,
            "back": now.good.random,
            "retries": now.retries,
            "retried": now.retried,
            "anchor": epoch,
            "history": now.history,
            "seen": list(now.seen),
        }
        seen = np.array(list(now.seen.values())).reshape(len(now.seen), at.size)
        arrays = {"place": place.state, "good": good.state, "anchor": at, "seen": seen}
        if earlier:
            arrays["earlier"] = earlier.place.state
        Checkpoint(self.solver.settings(self.objective, self.source), self.spool.digest, numbers, arrays).save(
            self.path
        )
        self.saved = monotonic()
