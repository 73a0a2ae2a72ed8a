"""Influence: the rows that least squares lets decide, and a Huber loss does not."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Float64s
from linnet.lone_rows import LEAST_FREE
from linnet.moments import PARALLEL, in_chunks
from linnet.solution import Solution
from linnet.sources.source import Source

if TYPE_CHECKING:
    from linnet.fitted import Fit

LISTED = 10
"""Rows shown one by one."""
DISTRUSTED = 0.5
"""A Huber weight below which a row counts for less than half,"""
FAR = 4.0
"""and a Cook's distance, times the number of rows, above which it moves least squares noticeably."""


@dataclass(frozen=True)
class DecidingRow:
    """A row that least squares lets decide.

    Attributes:
        where: its place in the data, such as "row 17 of 'houses.csv'".
        value: of the target.
        squared: what least squares predicts.
        huber: what the fit with Huber loss predicts.
        huber_weight: what the row counts for in that fit, between 0 and 1.
        cooks_distance: how far least squares moves when the row is left out.
        leverage: share of its own least-squares prediction that the row decides, between 0 and 1.
    """

    where: str
    value: float
    squared: float
    huber: float
    huber_weight: float
    cooks_distance: float
    leverage: float


@dataclass(frozen=True)
class DecidingRows:
    """The rows that least squares lets decide: far off by Huber's measure, and yet with a large pull.

    Attributes:
        rows: the first few of them, largest Cook's distance first.
        count: how many there are in all.
        distrusted: how many rows have a Huber weight below 1/2, whatever their pull.
        n: rows with a weight above 0.
    """

    rows: tuple[DecidingRow, ...]
    count: int
    distrusted: int
    n: int


def deciding_rows(source: Source, solution: Solution, huber: Fit) -> DecidingRows:
    """Find the rows that least squares lets decide, by one pass in which a handful of rows is kept.

    A row decides when its weight in the Huber fit, min(1, delta/|r|), with r its residual there, is below 1/2 (P. J.
    Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35, 1964), and its Cook's distance in the
    least-squares fit is above 4/n. Cook's distance (R. D. Cook, "Detection of influential observation in linear
    regression", Technometrics 19, 1977) is how far all predictions move when the row is left out, in units of the
    uncertainty that they have,

        D = w r² h / (p s² (1 - h)²),

    with w the row's weight, r its residual, h its leverage w zᵀ(ZᵀWZ)⁻¹z, where z = [1, x], s² the residual variance
    and p the number of weights that can be told apart, the bias included. With l2 the penalty is added to ZᵀWZ, and p
    is the trace of the hat matrix. The bound 4/n is that of K. A. Bollen and R. W. Jackman, "Regression diagnostics"
    (in Fox and Long, eds., Modern Methods of Data Analysis, 1990). 1 - h is taken to be at least 1e-8: a row that alone
    determines a weight has no distance that could be told from rounding.

    Args:
        source: the rows that both were fitted to.
        solution: the least-squares Solution.
        huber: the Fit with Huber loss.

    Returns:
        The rows, at most LISTED of them, and their number. None decides where nothing is left over: when least squares
        reproduces the target, or has as many weights as rows.

    Raises:
        InputError: the rows cannot be read a second time.
    """
    equations, d, delta = solution.equations, solution.weights.size, huber.settings["delta"]
    spent = solution.df_model + equations.intercept
    spread = solution.residual * equations.factor / solution.df_residual if solution.df_residual > 0 else 0.0
    usual = spread * (spent or 1.0)

    def look(part: Block) -> tuple[NDArray[np.intp], Float64s, int, int]:
        """Where the farthest rows lie, their facts in the order of DecidingRow, and both counts."""
        assert part.y is not None
        own = np.ones(part.rows) if part.weight is None else part.weight
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x = solution.scaled(part.X, slice(0, d))
            z = solution.whitened(x)
            leverage = own / equations.total * np.einsum("ij,ij->i", z, z)
            r = solution.scaled(part.y, d) - x @ solution.scaled_weights
            pull = own * np.square(r / np.maximum(1.0 - leverage, LEAST_FREE)) * leverage
            distance = pull / usual if usual > 0 else np.zeros(part.rows)
            robust = huber.predict_rows(part.X)
            trust = np.minimum(1.0, delta / np.abs(part.y - robust))
        distrusted = (trust < DISTRUSTED) & (own > 0)
        decide = np.flatnonzero(distrusted & (distance > FAR / equations.n))
        first = decide[np.argsort(-distance[decide], kind="stable")[:LISTED]]
        near = part.y[first] - np.ldexp(r[first], solution.target_power)
        facts = [part.y[first], near, robust[first], trust[first], distance[first], np.minimum(leverage[first], 1.0)]
        return part.start + first, np.column_stack(facts), decide.size, int(np.count_nonzero(distrusted))

    kept: list[tuple[float, int, DecidingRow]] = []  # a heap, the smallest distance first
    count = distrusted = seen = 0
    for block in source.blocks():
        for rows, facts, deciding, doubtful in in_chunks(block, look, PARALLEL):
            count += deciding
            distrusted += doubtful
            for row, fact in zip(rows.tolist(), facts.tolist(), strict=True):
                seen += 1
                key = fact[4], -seen  # of equals, the first
                if len(kept) < LISTED or key > kept[0][:2]:
                    heapq.heappush(kept, (*key, DecidingRow(source.where(row), *fact)))
                if len(kept) > LISTED:
                    heapq.heappop(kept)
    listed = sorted(kept, key=lambda item: item[:2], reverse=True)
    return DecidingRows(tuple(item[2] for item in listed), count, distrusted, equations.n)
