"""Bootstrap: standard errors by fitting again and again with random row weights, for any Solver."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import ClassVar

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.density import quantile_of, rows_beyond
from linnet.inference import Uncertainty, Withheld, directions, triangular
from linnet.lone_rows import LoneRows
from linnet.objective import Objective
from linnet.settings import kept, whole
from linnet.solution import Solution
from linnet.solvers.solver import Solver
from linnet.sources.source import Source


class Reweighted(Source):
    """The rows of another Source, the weight of each multiplied by an exponential random number of mean 1.

    The numbers follow from the seed and a row's place among the rows that are delivered, so that they are the same on
    every pass, however the rows come in blocks.
    """

    shuffle: ClassVar[str] = "none"

    def __init__(self, source: Source, seed: tuple[int, ...]) -> None:
        """Wrap `source`; rows that it drops are dropped here too."""
        self.source, self.seed = source, seed
        self.design, self.target, self.rows = source.design, source.target, source.rows
        self.rereadable = source.rereadable

    def blocks(self) -> Iterator[Block]:
        """Read every row once, in order.

        Raises:
            InputError: the rows cannot be read, or not a second time.
        """
        random = np.random.default_rng(self.seed)
        for block in self.source.blocks():
            self.dropped, self.weightless = self.source.dropped, self.source.weightless
            yield _reweighted(block, random)

    def held(self) -> Block | None:
        """All rows as one Block, where the wrapped Source holds them as such; only the weights are new."""
        block = self.source.held()
        return None if block is None else _reweighted(block, np.random.default_rng(self.seed))

    def where(self, row: int) -> str:
        """As the wrapped Source names it."""
        return self.source.where(row)


def _reweighted(block: Block, random: np.random.Generator) -> Block:
    draws = random.standard_exponential(block.rows)
    return replace(block, weight=draws if block.weight is None else draws * block.weight)


def bootstrap(
    solver: Solver,
    objective: Objective,
    source: Source,
    solution: Solution,
    replicates: int = 200,
    seed: int = 0,
) -> tuple[Uncertainty | None, tuple[str, ...]]:
    """Standard errors from how the weights vary over fits with random row weights.

    Each fit multiplies the row weights by independent exponential numbers of mean and variance 1: the weighted
    bootstrap of Barbe and Bertail (The Weighted Bootstrap, 1995), generalised to minimisers of convex functions by Bose
    and Chatterjee (J. Statist. Plann. Inference 117, 2003), which R's quantreg calls "wxy". No row is ever left out, so
    that no design loses its rank. The errors are standard deviations over the replicates about their mean, with
    replicates - 1 for divisor; of 200 replicates each has an error of its own of about 5 %. In large samples they are
    those of the sandwich: they hold when residuals' distributions differ, and need no density. The rows must be
    independent, their weights known; the weights' overall size changes nothing. A Huber loss that estimates its delta
    does so in each fit.

    Args:
        solver: what finds the weights, of the same kind as those whose errors are sought.
        objective: what it lowers.
        source: the rows; they are read `replicates` times as often as by one fit.
        solution: the least-squares Solution of the rows, for their centre and degrees of freedom.
        replicates: number of fits, at least 2.
        seed: of the random numbers, at least 0.

    Returns:
        The Uncertainty, None without degrees of freedom; and what a reader must know of it. Weights that LoneRows
        decide have no error, outer quantiles with fewer rows beyond than weights none at all.

    Raises:
        InputError: the numbers are out of range, the rows cannot be read again, or a fit fails.
    """
    checks: tuple[tuple[str, object, int], ...] = ("replicates", replicates, 2), ("seed", seed, 0)
    for name, number, least in checks:
        kept(f"The bootstrap's {name}", number, (f"a whole number, at least {least}", (), partial(whole, least=least)))
    if not source.rereadable:
        raise InputError(
            "The bootstrap fits the rows many times, but these can be read only once: give a table or files."
        )
    if not solution.df_residual > 0:
        return None, ()
    lone, enough, notes = _looked(source, objective, solution)
    if not enough:
        return None, notes
    found = np.empty((replicates, solution.weights.size + 2))
    for replicate in range(replicates):
        try:
            bias, weights = _optimum(solver, objective, Reweighted(source, (seed, replicate)))
        except InputError as error:
            raise InputError(
                f"Fit {replicate + 1} of the bootstrap's {replicates} failed, though its rows are only weighted "
                f"differently: {error} Or ask for other errors."
            ) from error
        found[replicate] = bias, bias + float(solution.centre[:-1] @ weights), *weights
    if not objective.intercept:
        found[:, :2] = 0.0
    return _spread(found, solution.withheld(lone.directions)), (*notes, *lone.notes(solution, "bootstrap"))


def _looked(source: Source, objective: Objective, solution: Solution) -> tuple[LoneRows, bool, tuple[str, ...]]:
    """By one more pass: rows that decide their own fit, whether a quantile has rows enough, and what to say of that."""
    lone = LoneRows(source)
    weights: list[Float64s] = []
    for block in source.blocks():
        lone.add(block.start, *solution.alone(block, np.arange(block.rows)))
        if block.weight is not None:
            weights.append(block.weight[block.weight > 0])
    q, n = quantile_of(objective.loss), solution.equations.n
    if q is None:
        return lone, True, ()
    w = np.concatenate(weights) if weights else None
    return lone, *rows_beyond(n, w, q, solution.rank + solution.equations.intercept)


def _optimum(solver: Solver, objective: Objective, source: Source) -> tuple[float, Float64s]:
    """The bias and the weights (d,) that a run ends with."""
    last = None
    for last in solver.steps(objective, source):  # noqa: B007
        pass
    assert last is not None
    assert last.bias is not None
    assert last.weights is not None
    return last.bias, last.weights


def _spread(found: Float64s, withheld: Withheld | None) -> Uncertainty:
    """Standard deviations of the columns of (replicates, d+2), and how these vary together."""
    off = found - found.mean(axis=0)
    largest = np.abs(off).max(axis=0)  # by which they are divided, since squares leave float64's range first
    off /= np.where(largest > 0, largest, 1.0)
    return Uncertainty(off.std(axis=0, ddof=1) * largest, lambda: directions(triangular(off.T)), withheld)
