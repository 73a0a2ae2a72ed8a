"""What the two files that learn with torch, `scratch.py` and `concise.py`, share: tensors, and checks of settings."""

from __future__ import annotations

import reprlib
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import NO_MISSING, Block, Float64s, InputError
from linnet.settings import Allowed, finite, kept, no_more, positive, truth, whole
from linnet.solvers.solver import Step
from linnet.sources.arrays import ArraySource
from linnet.sources.window import Order, permutations

try:  # both files take torch from here, so that its absence is told in one place
    import torch
    from torch import Tensor
except ModuleNotFoundError as error:
    if error.name != "torch":  # it is there, but something that it needs is not
        raise
    raise ModuleNotFoundError(
        'torch is not installed: linnet.scratch, like linnet.concise, needs it: pip install "torch>=2.5"', name="torch"
    ) from error

__all__ = ["Minibatch", "Tensor", "check", "leaves", "numbers", "shuffled", "tensors", "torch", "visits"]


class Minibatch(Step):
    """A Step after a minibatch, which always has weights, a bias and a loss: it tells type checkers so."""

    __slots__ = ()
    if TYPE_CHECKING:
        weights: Float64s
        bias: float
        loss: float


SETTINGS: dict[str, Allowed] = {
    "loss": (
        "a function of predictions and targets, such as scratch.huber or torch.nn.HuberLoss(reduction='none')",
        (),
        lambda loss: loss if callable(loss) and not isinstance(loss, type) else None,
    ),
    "lr": ('a finite number above 0 (only linnet.SGD knows "auto")', (), positive),
    "batch_size": ("a whole number of rows, at least 1", (), whole),
    "epochs": ("a whole number, at least 1", (), whole),
    # momentum 1 never forgets a gradient, a mistake that is worth seeing; linnet.SGD, for work, refuses it
    "momentum": ("a number from 0 to 1", (), lambda value: finite(value, 0.0, 1.0)),
    "l2": ("a finite number, at least 0", (), lambda value: finite(value, 0.0)),
    "average": ("True or False", (), truth),
    "schedule": ('"constant" or "inverse-time"', ("constant", "inverse-time"), no_more),
    "decay": ("a finite number above 0", (), positive),
    "order": ("a function that gives the row numbers of an epoch", (None,), lambda of: of if callable(of) else None),
    "seed": ("a whole number, at least 0", (), lambda value: whole(value, 0)),
}
"""What each setting of `train` may be."""


def check(**settings: Any) -> None:
    """Refuse settings of `train` that cannot be used.

    Raises:
        InputError: names the first of them, and what it must be.
    """
    for name, value in settings.items():
        kept(name, value, SETTINGS[name])


def tensors(X: Any, y: Any, weight: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """X (n, d), y (n,) and row weights (n,) of mean 1, copied; float32 stays float32, all else becomes float64.

    Raises:
        InputError: shapes that do not match, no rows, only weights of 0, or numbers that are not finite.
    """
    X, y, weight = (values.cpu() if isinstance(values, Tensor) else values for values in (X, y, weight))
    source = ArraySource(X, y, weight=weight, block_rows=sys.maxsize)
    (block,) = source.blocks()
    dtype = block.X.dtype
    with np.errstate(over="ignore"):  # a target too large for float32 is then refused as infinite
        block = Block(block.X, np.asarray(block.y, dtype=dtype), block.weight)
    block.check(source.design.names, source.target, source.where, NO_MISSING)
    weight = np.ones(block.rows) if block.weight is None else block.weight
    if not weight.any():
        raise InputError("There are no rows to learn from: every row has weight 0.")
    weight = weight / weight.mean()
    X, y, weight = (torch.tensor(np.array(v, dtype=dtype), device=device) for v in (block.X, block.y, weight))
    return X, y, weight


def leaves(start: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """The (w, b) to start from as w (d,) and b () to differentiate by, of the type and on the device of `like` (n, d).

    Raises:
        InputError: it is no pair, has not one w a column, or is not finite.
    """
    d = like.shape[1]
    try:
        w, b = (torch.tensor(numbers(part), dtype=like.dtype, device=like.device).flatten() for part in start)
    except (TypeError, ValueError):
        w = b = torch.empty(0)
    if len(w) != d or len(b) != 1 or not (w.isfinite().all() and b.isfinite().all()):
        raise InputError(
            f"start must be a pair (w, b) of {d} weights, one a column, and the bias, all finite numbers, but is "
            f"{reprlib.repr(start)}. (linnet.SGD's start is one row, bias first.)"
        )
    return w.requires_grad_(), b[0].requires_grad_()


def shuffled(n: int, random: np.random.Generator) -> Order:
    """The row numbers 0 to n - 1 in random order, (n,): the order that `linnet.SGD` draws too."""
    return np.asarray(permutations(n, random)[0])


def visits(order: Any, n: int) -> Order:
    """An order of n rows as whole numbers, (k,); it may leave rows out, or visit them again.

    Raises:
        InputError: it is no sequence of row numbers from 0 to n - 1, or empty.
    """
    try:
        rows = np.asarray(order.detach().cpu() if isinstance(order, Tensor) else order)
    except ValueError:  # rows of different length
        rows = np.empty(0)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not rows.size or rows.min() < 0 or rows.max() >= n:
        raise InputError(
            f"The order of an epoch must be a list or an array of row numbers, whole numbers from 0 to {n - 1:,}, but "
            f"is {' '.join(reprlib.repr(order).split())}."
        )
    return rows.astype(np.int64, copy=False)


def numbers(values: Any) -> Float64s:
    """What a tensor holds at this moment, as an array of its own."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.array(values, dtype=np.float64)
