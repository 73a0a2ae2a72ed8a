"""Exact: one pass of Moments, then the optimum; a second pass in exact arithmetic where float64 would not hold."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import ClassVar, Literal

from linnet.block import Block, InputError
from linnet.losses import Squared
from linnet.moments import FLOAT64_FLOOR, Float64Moments, Moments, Precision
from linnet.objective import Objective
from linnet.solution import Solution
from linnet.solvers.solver import Solver, Step, check_given
from linnet.sources.source import Source

SMALL = 1 << 24
"""Rows times columns squared up to which exact arithmetic takes no time that anybody notices."""
NARROW = 100
"""Columns up to which the same holds for solving in double-double."""
LOST = 1e-9
"""Relative error of the weights from which float64 is given up."""


@dataclass(frozen=True)
class Exact(Solver):
    """Least squares from Moments.

    Attributes:
        precision: "float64", "exact", or "auto": exact where that takes no time or where float64 would lose more than
            LOST of the weights, float64 otherwise.
    """

    name: ClassVar[str] = "exact"
    precision: Literal["auto", "float64", "exact"] = "auto"

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "float64", "exact"):
            raise InputError(f'precision must be "auto", "float64" or "exact", but is {self.precision!r}.')

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Read the rows once, or twice where float64 turns out not to hold; a Step for each block, then the answer.

        Raises:
            InputError: another loss than squared, numbers that are not finite, or no rows.
        """
        check_given(self, objective, source)
        if not isinstance(objective.loss, Squared):
            raise InputError(f'The exact solver is for squared loss, not {objective.loss.name}: use solver="auto".')
        rung, blocks = self._rung(source)
        moments = yield from _sum(source, blocks, rung, 1)
        again = self.precision == "auto" and source.rereadable
        last = answer(moments, objective, 1) if moments.finite or not again else None
        if last is None or (again and not last.precise):
            moments = yield from _sum(source, source.blocks(), "exact", 2)
            last = answer(moments, objective, 2)
        yield last

    def _rung(self, source: Source) -> tuple[Precision, Iterator[Block]]:
        """The precision to begin with, and the blocks."""
        blocks = source.blocks()
        if self.precision != "auto":
            return self.precision, blocks
        rows = source.rows
        if rows is None:  # a file that fits into one block is known whole before any arithmetic
            start = list(islice(blocks, 2))
            rows = sum(block.rows for block in start) if len(start) < 2 else SMALL
            blocks = chain(start, blocks)
        return ("exact" if is_small(rows, len(source.design.names)) else "float64"), blocks


def answer(moments: Moments, objective: Objective, epoch: int) -> Step:
    """The last Step of a run whose Moments are these."""
    solution = moments.solve(objective.l2, objective.intercept)
    return Step(
        epoch=epoch,
        step=epoch,
        rows=moments.n,
        weights=solution.weights,
        bias=solution.bias,
        objective=solution.objective + objective.penalty(solution.weights),
        solution=solution,
        moments=moments,
        precise=holds(solution),
    )


def is_small(rows: int, features: int) -> bool:
    """Whether exact arithmetic on so many rows and features takes no time that anybody notices."""
    return rows * (features + 2) ** 2 <= SMALL and features <= NARROW


def holds(solution: Solution) -> bool:
    """Whether float64 Moments were precise enough for these weights and their standard errors.

    Their relative error is about 2^-52 times the squared condition number, times what centring cancelled; that of the
    residual sum of squares 2^-52 over the unexplained share.
    """
    equations = solution.equations
    if equations.precision == "exact":
        return True
    # the condition number from which that is too much
    worst = math.sqrt(LOST * 2.0**52 * FLOAT64_FLOOR / equations.floor)
    return (
        not solution.dependencies
        and not math.isnan(solution.unexplained)
        and solution.condition < worst
        and not solution.unexplained * LOST < 2.0**-52
        and max(map(abs, equations.exponents.tolist())) < 480
    )


def _sum(source: Source, blocks: Iterator[Block], rung: Precision, epoch: int) -> Generator[Step, None, Moments]:
    """The Moments of all blocks, returned; a Step for each."""
    total: Moments | None = None
    rows = 0
    for count, block in enumerate(blocks, 1):
        part = _moments(source, block, rung, total)
        total = part if total is None else total + part
        rows += block.rows
        yield Step(epoch=epoch, step=count, rows=rows)
    if total is None:
        raise InputError("There are no rows to fit.")
    return total


def _moments(source: Source, block: Block, rung: Precision, total: Moments | None) -> Moments:
    """The Moments of a block; when they are not finite, the reason."""
    if rung == "float64":
        part = Float64Moments.of(block, shift=total.shift if isinstance(total, Float64Moments) else None)
        if not part.finite:
            block.check(source.design.names, source.target, source.where)
        return part
    from linnet.exact_moments import ExactMoments

    try:
        return ExactMoments.of(block)
    except InputError:
        block.check(source.design.names, source.target, source.where)
        raise
