"""Synthetic data that carries its own truth."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from linnet.atomic import Paths, column_writer
from linnet.block import Block, Float64s, InputError
from linnet.progress import watch
from linnet.settings import finite, kept, whole
from linnet.solvers.solver import Step


@dataclass(frozen=True, eq=False)
class Synthetic:
    """Rows of y = X·weights + bias + noise · e, where X and e are standard normal and independent.

    Attributes:
        X: features, shape (rows, d).
        y: target, shape (rows,).
        weights: the true weights, shape (d,).
        bias: the true bias.
        noise: standard deviation of what was added to y.
        seed: names this sample: the same seed gives the same rows.
    """

    X: Float64s
    y: Float64s
    weights: Float64s
    bias: float
    noise: float
    seed: int


def simulate(
    weights: Sequence[float] | Float64s, bias: float, rows: int, noise: float = 0.01, seed: int = 0
) -> Synthetic:
    """Draw a sample of a linear model whose weights are known.

    Args:
        weights: the true weights, shape (d,), d at least 1.
        bias: the true bias.
        rows: number of rows, at least 1.
        noise: standard deviation of the error, at least 0.
        seed: a whole number, at least 0.

    Raises:
        InputError: an argument is out of range, or a target would be beyond float64's.
    """
    (block,) = blocks(weights, bias, rows, noise, seed, block_rows=sys.maxsize)
    assert block.y is not None
    return Synthetic(
        np.asarray(block.X, dtype=np.float64),
        np.asarray(block.y, dtype=np.float64),
        np.array(weights, dtype=np.float64),
        float(bias),
        float(noise),
        seed,
    )


def blocks(
    weights: Sequence[float] | Float64s, bias: float, rows: int, noise: float, seed: int, block_rows: int = 65_536
) -> Iterator[Block]:
    """The same rows, `block_rows` at a time: the same bits whatever that number is.

    Raises:
        InputError: an argument is out of range, or on the way a target beyond float64's.
    """
    try:
        truth = np.array(weights, dtype=np.float64)
    except (TypeError, ValueError):
        truth = np.empty(0)
    if truth.ndim != 1 or not truth.size or not np.isfinite(truth).all():
        raise InputError("The weights must be a list of finite numbers, at least one.")
    bias = kept("The bias", bias, ("a finite number", (), finite))
    rows = kept("The number of rows", rows, ("a whole number, at least 1", (), whole))
    noise = kept("The noise", noise, ("a finite number, at least 0", (), lambda given: finite(given, 0.0)))
    seed = kept("The seed", seed, ("a whole number, at least 0", (), lambda given: whole(given, 0)))
    return _draw(truth, bias, rows, noise, np.random.default_rng(seed), block_rows)


def _draw(
    truth: Float64s, bias: float, rows: int, noise: float, random: np.random.Generator, block_rows: int
) -> Iterator[Block]:
    for start in range(0, rows, block_rows):
        # Row by row in memory, so that each row takes the same draws wherever a block begins.
        z = random.standard_normal((min(block_rows, rows - start), truth.size + 1))
        y = np.full(len(z), bias, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            for j, weight in enumerate(truth):  # not a matrix product, whose rounding depends on the number of rows
                y += weight * z[:, j]
            y += noise * z[:, -1]
        if not np.isfinite(y).all():
            row = start + int(np.argmin(np.isfinite(y)))
            raise InputError(
                f"The target of row {row + 1:,} would be beyond float64's range: take smaller weights, bias or noise."
            )
        yield Block(np.ascontiguousarray(z[:, :-1]), y, start=start)


def write(
    path: Paths,
    weights: Sequence[float] | Float64s,
    bias: float,
    rows: int,
    noise: float = 0.01,
    seed: int = 0,
    progress: bool | Callable[[Step], None] | None = None,
) -> None:
    """Write what `simulate` draws to a CSV or Parquet file, in bounded memory: columns x1, x2, …, y.

    Args:
        path: ends in `.csv` or `.parquet`.
        weights: see `simulate`, as for `bias`, `rows`, `noise` and `seed`.
        bias: likewise.
        rows: likewise.
        noise: likewise.
        seed: likewise.
        progress: see `linnet.progress.watch`.

    Raises:
        InputError: an argument is out of range, a target would be beyond float64's, or nothing can be written at
            `path`. No file is left then.
        OSError: the file could not be written.
    """
    drawn = blocks(weights, bias, rows, noise, seed)
    names = [*(f"x{j + 1}" for j in range(len(weights))), "y"]

    def steps(put: Callable[[Sequence[Float64s]], None]) -> Iterator[Step]:
        for i, block in enumerate(drawn):
            columns = np.column_stack([block.X, np.asarray(block.y)])
            put([np.ascontiguousarray(column) for column in columns.T])
            yield Step(epoch=1, step=i + 1, rows=block.start + block.rows)

    with column_writer(path, names) as put:
        for _ in watch(steps(put), rows, progress):
            pass
