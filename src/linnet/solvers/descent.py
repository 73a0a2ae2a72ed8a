"""Descent: a run of Newton's method for Huber loss, over rows that lie in memory or are read again."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.huber_kernels import COST, INNER, LARGEST, OUT, SQUARES
from linnet.losses import Huber
from linnet.moments import PARALLEL, WIDE, in_chunks
from linnet.objective import Objective
from linnet.solution import ldexp
from linnet.solvers.frame import Coordinates, FirstPass, Frame
from linnet.solvers.piece import BEND, Piece, held_by, only, piece_of, slopes_along
from linnet.solvers.robust_scale import Concomitant, Mad, RobustScale
from linnet.solvers.solver import Step
from linnet.sources.source import Source
from linnet.status import Status, not_unique
from linnet.threads import one_thread_blas

T = TypeVar("T")

FEW = 1 << 14
"""Rows that many are sampled by, to begin near their minimum."""
CERTAIN = 1e-10
"""Relative gap that counts as solved,"""
REST = 1e-11
"""with a next step that is so small beside the root mean square of the rows' slopes; it is taken too,"""
LAST = 1e-8
"""so that where a pass takes time and a row is one of many, this much is left as small by it,"""
AGREED = 1e-11
"""and the scale measured within this share of the one assumed,"""
CLOSE = 1e-8
"""or in the latter case within this, from where the last step leads to where they agree."""
NEAR = 0.3
"""The same for a delta on the way, from which the next one is taken,"""
LOWER = 8.0
"""smaller by this factor, or where that is too far by a smaller one,"""
NEARER = 2.0
"""down to this."""
TRUST = 0.2
"""How much smaller than the error of the scale a step must be before the scale is corrected."""
WELL = 1e5
"""Condition number up to which sums of products of the columns as they are keep enough digits."""
PIECE = 8192
"""Rows at work at a time where BLAS has threads of its own."""
GUESSES = 100
"""Scales that are tried at most,"""
EARLY = 16
"""and how many of them before the weights have come to rest for the one before."""
IN_MEMORY = 2000
"""Passes at most over rows that lie in memory."""
NEGLIGIBLE = 1e-13
"""Share of the objective that the last step may lose."""
ROUNDING = 2.0**-50
"""Relative rounding error of sums over the rows."""
LEAST = 1e-300
"""A scale that stands for 0."""
SMALLEST = 1e-12
"""Smallest delta, beside the target's spread, that rounding leaves a meaning."""
UTMOST = 1e150
"""Largest delta, likewise, beyond which nothing changes."""
LENGTHS: Float64s = np.exp2(np.arange(-32.0, 5.0, 2.0))
"""Of a step, among which a line search looks first."""


class Descent:
    """One run of Newton's method, over rows that lie in memory or are read again."""

    def __init__(self, passes: int, objective: Objective, loss: Huber, source: Source, first: FirstPass) -> None:
        solution, sample = first.solution, first.sample
        self.objective, self.loss, self.source = objective, loss, source
        self.most = passes
        self.first, self.solution = first, solution
        self.complete = sample.complete
        few = sample.block(None if self.complete else FEW)
        self.frame = Frame(solution, few)
        # whose other threads would wait busily beside ours
        Z, y, w = one_thread_blas(lambda: self.frame.coordinates.rows(few))
        self.few = Block(np.ascontiguousarray(Z).T, y, w)
        self.coordinates, self.well = Coordinates.same(self.frame.coordinates.size), True
        self.total = float(w.sum())
        p = self.frame.coordinates.size
        # a Frame's penalty is that of a loss which grows like the target, not like its square
        penalty = self.frame.penalty(ldexp(objective.l2, -self.frame.power))
        self.penalty = np.zeros((p, p)) if penalty is None else penalty / solution.equations.total
        self.epoch, self.passes = first.exact.epoch, 0
        self.reading = self.agreed = self.perfect = False
        self.final: float | None = None
        self.limit = IN_MEMORY
        self.scale: RobustScale | None = None
        self.goal = 1.0
        if loss.k is None:
            self.goal = min(ldexp(float(loss.delta), -self.frame.power), UTMOST)
            if not self.goal > SMALLEST:
                raise InputError(
                    f"A delta of {loss.delta:g} is lost in the rounding of a target that spreads by about "
                    f'{ldexp(1.0, self.frame.power):.2g}: use loss="absolute", which is what remains of Huber loss, or '
                    "a larger delta."
                )
        self.history: list[dict[str, float]] = []

    def steps(self) -> Iterator[Step]:
        """The optimum for the sample, and from there that for all rows."""
        loss, p = self.loss, self.frame.coordinates.size
        if loss.k is not None:
            self.scale = self._scale(loss.k, 1.0, math.inf)
        piece = yield from self._descend(np.zeros(p), max(self.goal, 1.0))
        if self.perfect and not self.complete:  # which other rows may not keep to
            self.reading, self.scale, self.total = True, None, self.solution.equations.total
            self.coordinates, self.well = self.frame.coordinates, self.solution.condition < WELL
            piece, _ = yield from self._look(piece.plane, piece.delta)
            self._note_perfect(piece)
        if self.perfect:
            certain = not self.solution.dependencies and self.solution.df_residual > 0
            last = exact(self.first, self.objective, loss)
            yield last._replace(epoch=self.epoch, status=Status.PERFECT if certain else None)
            return
        if not self.complete:
            start = max(self.goal, self._uncertain(piece))
            self.reading, self.passes, self.limit = True, 0, self.most - self.epoch
            self.total = self.solution.equations.total
            self.coordinates, self.well = self.frame.coordinates, self.solution.condition < WELL
            self.history.clear()
            if loss.k is not None and self.scale is not None:
                self.scale = self._scale(loss.k, self.scale.sigma, 8.0 / math.sqrt(self.few.rows))
            piece = yield from self._descend(piece.plane, start)
        yield (yield from self._last(piece))

    def _scale(self, k: float, sigma: float, half_width: float) -> RobustScale:
        """The search for the scale that the loss names."""
        if self.loss.scale == Mad.name:
            return Mad(k, sigma, half_width)
        free = self.solution.df_residual / self.solution.equations.n
        if not free > 0:
            raise no_scale(self.loss)
        return Concomitant(k, sigma, free)

    def _uncertain(self, piece: Piece) -> float:
        """How far off a sample's minimum may be: its standard error, in coordinates where the Gram matrix is 1."""
        inner = max(1.0 - piece.sums[OUT], 1.0 / self.few.rows)
        return math.sqrt((piece.plane.size + 1) / self.few.rows) * piece.slopes / float(inner)

    def _note_perfect(self, piece: Piece) -> None:
        """Note that every residual is 0 but for rounding, of the target too, which may lie far from 0.

        Raises:
            InputError: only their scale is 0.
        """
        size = 1.0 + float(np.linalg.norm(piece.plane))
        most = 2.0**-44 * size + 2.0**-50 * self.frame.offset
        if self.objective.l2 or not math.sqrt(piece.sums[SQUARES]) <= most:
            raise no_scale(self.loss)
        self.perfect = True

    def _descend(self, plane: Float64s, delta: float) -> Generator[Step, None, Piece]:
        """The minimum, from a plane and a delta to begin with; of the sample or of all rows."""
        scale = self.scale
        delta = delta if scale is None else scale.delta
        self.agreed, self.final = scale is None, None
        factor, anchor = LOWER, None
        piece, measured = yield from self._look(plane, delta)
        while self.passes < self.limit:
            step, size = piece.step, math.sqrt(piece.step.decrement)
            rounding = 16 * 2.0**-52 * (1.0 + float(np.linalg.norm(piece.plane)))
            rests = not step.damped and size <= max((LAST if self.reading else REST) * piece.slopes, rounding)
            if anchor is not None and (step.damped or size > piece.slopes) and factor > NEARER:
                # too far for the minimum before to lead there
                factor = math.sqrt(factor)
                delta = max(self.goal, anchor.delta / factor)
                piece, measured = yield from self._toward(anchor, delta)
                continue
            anchor = None
            if scale is not None:
                off = abs(measured - scale.sigma)
                if rests and off <= max((CLOSE if self.reading else AGREED) * scale.sigma, rounding):
                    self.agreed, self.final = True, scale.k * scale.corrected(piece, measured)
                    break
                # a sample's scale is farther off than its weights lead astray
                near = size <= NEAR * piece.slopes and (size <= TRUST * off or (self.reading and not scale.guesses))
                early = near and scale.guesses < EARLY
                if rests or (early and not step.damped):
                    if scale.guesses > GUESSES:
                        break
                    scale.advance(piece, measured, rests)
                    if not scale.sigma > SMALLEST:
                        self._note_perfect(piece)
                        break
                    piece, measured = yield from self._toward(piece, scale.delta)
                    continue
            elif delta > self.goal:
                if not step.damped and size <= NEAR * piece.slopes:
                    if not self.complete and not self.reading and delta <= self._uncertain(piece):
                        break  # all that a sample can tell
                    inner = math.sqrt(piece.sums[INNER] / max(1.0 - piece.sums[OUT], ROUNDING))
                    anchor, factor = piece, max(min(factor * 1.5, LOWER), delta / (2.0 * inner) if inner > 0 else 0.0)
                    delta = max(self.goal, delta / factor)
                    piece, measured = yield from self._toward(anchor, delta)
                    continue
            elif rests:
                self.final = delta
                break
            found = yield from self._lower(piece)
            if found is None:
                break
            piece, measured = found
        if scale is None and delta > self.goal and (self.reading or self.complete):
            piece, _ = yield from self._look(piece.plane, self.goal)
        return piece

    def _toward(self, piece: Piece, delta: float) -> Generator[Step, None, tuple[Piece, float]]:
        """A look where the minimum for another delta is expected."""
        step = piece.step_to(delta)
        return (yield from self._look(piece.plane if step.damped else piece.plane + step.by, delta))

    def _lower(self, piece: Piece) -> Generator[Step, None, tuple[Piece, float] | None]:
        """A look where Newton's step leads, or a shorter or longer one; None where none lowers the objective."""

        def lower(other: Piece) -> bool:
            gain = piece.value - other.value
            if abs(gain) > ROUNDING * abs(piece.value):
                return gain > 0
            # one row far out can leave the rest to rounding, but not of slopes
            return abs(float(other.step.gradient @ piece.step.by)) < 0.9 * float(piece.step.gradient @ piece.step.by)

        if not piece.step.damped:
            found = yield from self._look(piece.plane + piece.step.by, piece.delta)
            if lower(found[0]):
                return found
        length = yield from self._length(piece)
        found = yield from self._look(piece.plane + length * piece.step.by, piece.delta)
        return found if lower(found[0]) else None

    def _length(self, piece: Piece) -> Generator[Step, None, float]:
        """How far to go along Newton's step: to where the objective's slope is 0, found by two passes."""
        low, high = 0.0, math.inf
        lengths = LENGTHS
        at_low = at_high = 0.0
        for _ in range(2):
            slopes, _ = yield from self._along(piece, lengths)
            falling = np.flatnonzero(slopes <= 0)
            rising = np.flatnonzero(slopes > 0)
            if falling.size:
                low, at_low = float(lengths[falling[-1]]), float(slopes[falling[-1]])
            if not rising.size:
                return low
            high, at_high = float(lengths[rising[0]]), float(slopes[rising[0]])
            lengths = np.linspace(low, high, 18)[1:-1]
        if not at_low < 0:
            return low or high / 2
        return low + (high - low) * at_low / (at_low - at_high)

    def _along(self, piece: Piece, lengths: Float64s) -> Generator[Step, None, tuple[Float64s, float]]:
        """Slopes of the objective along Newton's step, (k,), and how far it takes inner rows from 0."""
        parts = yield from self._over(lambda part: slopes_along(part, self.coordinates, piece, lengths))
        slopes = sum(part[0] for part in parts) / self.total
        by = piece.step.by
        slopes = slopes + by @ self.penalty @ piece.plane + lengths * (by @ self.penalty @ by)
        return slopes, max(part[1] for part in parts)

    def _look(self, plane: Float64s, delta: float) -> Generator[Step, None, tuple[Piece, float]]:
        """One pass: what the rows tell of a plane, and their scale where that is sought."""
        scale = self.scale

        def work(part: Block) -> tuple[Piece, Any]:
            piece, size = piece_of(part, self.coordinates, self.well, plane, delta, self.penalty)
            return piece, None if scale is None else scale.look(size, part.weight)

        measured = math.nan
        while True:
            if scale is not None:
                scale.begin()
            parts = yield from self._over(work)
            piece = parts[0][0]
            for part, _ in parts[1:]:
                piece = piece + part
            piece = piece.over(self.total)
            if scale is not None:
                for _, kept in parts:
                    scale.take(kept)
                measured = scale.measured(piece, self.total)
            if scale is None or math.isfinite(measured):
                break
        if scale is not None or delta == self.goal:
            value = ldexp(piece.value, 2 * self.frame.power)
            record = {
                "epoch": float(self.epoch if self.reading else self.passes),
                "rows": float(self.solution.equations.n),
            }
            self.history.append({**record, "objective": value})
        return piece, measured

    def _over(self, work: Callable[[Block], T]) -> Generator[Step, None, list[T]]:
        """One pass over the sample or over all rows; what `work` makes of parts of them, in order."""
        self.passes += 1
        if not self.reading:
            return one_thread_blas(lambda: in_chunks(self.few, work, PARALLEL))
        self.epoch += 1
        results: list[T] = []
        rows = 0
        for count, block in enumerate(self.source.blocks(), 1):
            if block.features > WIDE:  # products are large, and BLAS has threads of its own for them
                results.extend(work(block.part(slice(i, i + PIECE))) for i in range(0, block.rows, PIECE))
            else:
                results.extend(in_chunks(block, work, PARALLEL))
            rows += block.rows
            yield Step(epoch=self.epoch, step=count, rows=rows)
        return results

    def _only(self, piece: Piece, plane: Float64s, delta: float) -> Generator[Step, None, bool]:
        """Whether no other weights reach the minimum; by one more pass where that depends on rows on a bend."""
        if not piece.step.level and piece.sums[LARGEST] < piece.delta * (1.0 - 100 * BEND):
            return True
        parts = yield from self._over(lambda part: held_by(part, self.coordinates, plane, delta))
        inner = np.sum([part[0] for part in parts], axis=0) / self.total
        return only(inner + self.penalty, np.hstack([part[1] for part in parts]))

    def _last(self, piece: Piece) -> Generator[Step, None, Step]:
        """The last Step, with its certificate."""
        gap = piece.gap()
        if math.isfinite(gap) and gap > CERTAIN * piece.value:
            _, reach = yield from self._along(piece, LENGTHS[:0])
            gap = min(gap, piece.gap(reach))
        plane, delta, value = piece.plane, piece.delta, piece.value
        if self.final is not None and math.isfinite(gap):
            by, more, out = piece.step_to(self.final).by, self.final - delta, piece.sums[OUT]
            # what the last step could lose, by the second derivatives of all rows and those by delta
            loss = 0.5 * float(by @ by + more * more * out)
            if loss <= NEGLIGIBLE * value:
                plane, delta, gap = piece.landing(self.final), self.final, gap + loss
                linear = (piece.sums[COST] - 0.5 * piece.sums[INNER]) / piece.delta - 0.5 * piece.delta * out
                value += more * float(linear)
        solution, frame = self.solution, self.frame
        weights, bias = frame.weights(plane)
        relative = max(gap / value, ROUNDING) if value > 0 else 0.0
        if math.sqrt(piece.sums[SQUARES]) <= 2.0**-44 * (1.0 + float(np.linalg.norm(piece.plane))):
            relative = 0.0  # every residual is 0 but for rounding
        settled = Huber(ldexp(delta, frame.power)) if self.loss.k is not None else self.loss
        equations = solution.equations
        status: Status | None = None
        notes: tuple[str, ...] = ()
        if relative > CERTAIN or not self.agreed:
            status = Status.UNFINISHED
        elif not (yield from self._only(piece, plane, delta)):
            status, notes = not_unique(bool(solution.dependencies))
        return Step(
            epoch=self.epoch,
            step=self.passes,
            rows=equations.n,
            weights=weights,
            bias=bias,
            objective=ldexp(value, 2 * frame.power),
            solution=solution,
            moments=self.first.exact.moments,
            status=status,
            settings=settings_of(self.loss, settled, self.passes),
            history=tuple(self.history),
            survey=self.first.survey(self.objective),
            squares=ldexp(float(piece.sums[SQUARES]), 2 * frame.power),
            settled=settled if self.loss.k is not None else None,
            gap=relative,
            notes=notes,
        )


def settings_of(loss: Huber, settled: Huber, iterations: int) -> dict[str, Any]:
    """What a Fit says of a run: of the loss as it was given, and with its delta."""
    settings: dict[str, Any] = {"delta": float(settled.delta), "iterations": iterations}
    if loss.k is not None:
        settings |= {"k": float(loss.k), "scale_by": loss.scale}
    return settings


def exact(first: FirstPass, objective: Objective, loss: Huber) -> Step:
    """The last Step where every residual is 0: so is their scale, and any delta is the same."""
    settled = loss if loss.k is None else loss.settle(LEAST)
    return first.through(objective, settings_of(loss, settled, 0), settled if loss.k is not None else None)


def no_scale(loss: Huber) -> InputError:
    """That there is nothing to take delta from, and what to do."""
    return InputError(
        f"Huber(k={loss.k:g}) takes its delta from the scale of the residuals, which is 0 here: too many rows, often "
        "half of them, are fitted exactly. Give delta, in units of the target, instead of k."
    )
