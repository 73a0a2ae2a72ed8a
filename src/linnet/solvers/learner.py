"""Learner: what moves the weights of a run, and Place: where they are."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from linnet.block import Float64s, Floats
from linnet.desk_kernels import APART, DONE, OVER, PLACES, SHARED, rows_of_second
from linnet.losses import Squared
from linnet.objective import Objective
from linnet.sgd_kernels import descend
from linnet.solvers.gathering import Past, Rows
from linnet.solvers.survey import SAMPLE
from linnet.sources.window import Leg
from linnet.threads import aside, thread_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import ThreadPoolExecutor

    from linnet.solvers.sgd import SGD

LONG = 1 << 22
"""Numbers from which on a second thread is worth starting."""
SETTLE = 8
"""Epochs from which on a learning rate of our own falls: where minibatches differ, a constant one leaves even averaged
weights off the optimum, by its size. It falls with their square root, and faster, where slopes do not become small."""
EMPTY = np.zeros(PLACES)
"""A desk at which nobody helps."""
EMPTY[DONE] = -1.0


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


class Learned(NamedTuple):
    """What a run leaves to one that learns on from other rows.

    Attributes:
        state: (3, d+1), as `descend` takes it.
        offset: (d,), subtracted from the features there; None where that is 0.
        step: minibatches done.
        begun: [bias, weights] where the first of these runs began, (d+1,).
        past: all rows so far.
        met: sum of the losses met, over a Ceiling's MEMORY of rows at most, and how many rows these are.
        high: mean loss at `begun` of rows so far, where somebody had to know it; else 0.
    """

    state: Float64s
    offset: Floats | None
    step: int
    begun: Float64s
    past: Past
    met: tuple[float, float] = (0.0, 0.0)
    high: float = 0.0

    @classmethod
    def at(cls, u: Float64s, step: int, past: Past) -> Learned:
        """What is left of a run of which [bias, weights], (d+1,), are known."""
        state = np.zeros((3, u.size))
        state[::2] = u
        return cls(state, None, step, u, past)


class Learner:
    """The update of the weights, as the settings of a run and its rows have it.

    Attributes:
        size: rows of a minibatch, at most all there are.
        unit: what makes the mean weight of all rows so far 1.
        offset: (d,), subtracted from the features; None where that is 0.
        metric: (d+1,), what each coordinate's step is multiplied with.
        averaging: as `descend` takes it.
        fall: how the learning rate falls, as `descend` takes it.
    """

    def __init__(self, solver: SGD, objective: Objective, rows: Rows) -> None:
        spool, scales = rows.spool, rows.scales
        n, d = self._n, self._d = spool.rows, spool.features
        size = self.size = min(solver.batch_size, n)
        per_epoch = self._per_epoch = -(-n // size)
        squared, auto = isinstance(objective.loss, Squared), solver.lr == "auto"
        self.offset: Floats | None = None
        if auto:
            assert scales is not None
            centre = scales.centre[:-1].astype(spool.dtype)
            self.offset = centre if centre.any() else None
            self.metric = scales.metric
        else:
            self.metric = np.empty(d + 1)
            self.metric[0], self.metric[1:] = objective.intercept, 1.0
        self.averaging = solver.averaging
        self.fall = (0.0, 1.0)
        if solver.schedule == "inverse-time":
            self.fall = (solver.decay / per_epoch, 1.0)
        elif auto and not (per_epoch == 1 and squared):  # gradients that do not vanish at the optimum
            self.fall = (1.0 / (SETTLE * -(-rows.past.rows // size)), 0.5 if squared else 0.75)
        self._bend = None if squared else objective.loss.bend
        self.unit = rows.past.rows / rows.past.weight
        self._pull = float(solver.momentum), float(objective.l2)
        self._work = np.empty((4, d + 2 * APART // spool.dtype.itemsize), spool.dtype)
        large = size * d * spool.dtype.itemsize >= SHARED  # asking the kernel takes longer than small runs have
        self._shares = large and rows_of_second(size, np.empty((1, d), spool.dtype)) > 0

    def begin(self, solver: SGD, rows: Rows, rng: np.random.Generator, before: Learned | None) -> Place:
        """Where a run begins: anew, or where one before left the weights."""
        state, step, offset = np.zeros((3, self._d + 1)), solver.done, self.offset
        if before is None:
            state[0] = solver.first(self._d, rng)
            state[2] = state[0]
        else:
            state[:], step = before.state, before.step
            if before.offset is not None:
                offset = -before.offset if offset is None else offset.astype(np.float64) - before.offset
        if offset is not None:  # where features are, when the bias is the prediction
            state[::2, 0] += state[::2, 1:] @ offset
            state[1, 1:] -= offset * state[1, 0]
        if not self.metric[0]:  # there is no intercept
            state[:, 0] = 0.0
        rate = solver.lr
        if rate == "auto":
            scales = rows.scales
            assert scales is not None
            sample = rows.spool.sample(SAMPLE)
            far = 0.0 if before is None and solver.start is None else abs(float(state[0, 0] - scales.centre[-1]))
            stable = scales.rate(self.size, sample, self.unit, alone=before is not None, far=far)
            rate = stable * (1.0 - solver.momentum)
            if before is None and solver.start is None:  # bounded slopes would take for ever to a target far from 0
                state[::2, 0] = scales.targets(sample)[0] if self._bend else scales.centre[-1]
        return Place(0, 0, step, state, float(rate))

    def through(self, leg: Leg, place: Place, met: float, marks: list[int]) -> tuple[Float64s, list[float]]:
        """Learn from the rows of a leg; the states (k, 3, d+1) at each mark, and the losses from mark to mark.

        Args:
            leg: the rows.
            place: where the weights are before it.
            met: the losses met since the mark before the leg.
            marks: (k,), ends of epochs or of the leg, the last being that.
        """
        block, (momentum, l2) = leg.block, self._pull
        X, y, weight = _to_read(block.X), _to_read(block.y), _to_read(block.weights)
        ends, trail, losses = np.array(marks), np.empty((len(marks), 3, self._d + 1)), np.empty(len(marks))

        def learn(desk: Float64s, helping: bool) -> None:
            descend(
                X,
                y,
                weight,
                self.unit,
                leg.order,
                (leg.start, leg.stop, self.size),
                self.offset,
                self.metric,
                self._bend,
                (place.rate, *self.fall),
                momentum,
                l2,
                self.averaging,
                place.step,
                place.state,
                met,
                self._work,
                desk,
                helping,
                ends,
                trail,
                losses,
            )

        if self._shares and (leg.stop - leg.start) * self._d >= LONG and thread_count() > 1:
            self._together(learn)
        else:
            learn(EMPTY, False)
        return trail, losses.tolist()

    def _together(self, learn: Callable[[Float64s, bool], None]) -> None:
        """Learn on this thread, while another one helps."""
        desk, away, helper = EMPTY.copy(), aside(), None

        def assist() -> None:
            away()
            learn(desk, True)

        try:
            with suppress(RuntimeError):  # there may be no more threads to be had: one is enough
                helper = self._helper.submit(assist)
            learn(desk, False)
        finally:  # however it ended, the helper must not wait for ever
            desk[OVER] = 1.0
            if helper is not None and not helper.cancel():
                helper.result()

    @cached_property
    def _helper(self) -> ThreadPoolExecutor:
        """The second thread, once it is wanted."""
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(1, "linnet-helper")

    def close(self) -> None:
        """End the second thread, if there is one."""
        if "_helper" in vars(self):
            self._helper.shutdown()

    def fetchers(self) -> int:
        """Threads that may fetch rows: one where the second one works on minibatches."""
        return 1 if self._shares else thread_count()

    def moved(self, place: Place, rows: int, state: Float64s, loss: float) -> Place:
        """The place so many rows on; `loss` is what it has met since the epoch that was judged last."""
        epochs, rest = divmod(rows, self._n)
        done, within = divmod(place.rows + rows, self._n)
        step = place.step + epochs * self._per_epoch - (-rest // self.size)
        return Place(place.epoch + done, within, step, state, place.rate, loss)

    def reported(self, place: Place) -> Float64s:
        """[bias, weights] in the columns' own units, (d+1,)."""
        u: Float64s = place.state[2 if self.averaging >= 0 else 0].copy()
        if self.offset is not None:
            u[0] -= self.offset.astype(np.float64) @ u[1:]
        return u

    def rate(self, place: Place) -> float:
        """The learning rate at a place."""
        fall, power = self.fall
        return float(place.rate * (1.0 + fall * place.step) ** -power) if fall else place.rate


def _to_read(array: Floats | None) -> Floats:
    """The same, which nobody may write into: for arrays that others lock, as pandas does, loops would compile anew."""
    assert array is not None
    view = array.view()
    view.setflags(write=False)
    return view
