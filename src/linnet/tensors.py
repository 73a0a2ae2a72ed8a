"""Arrays as torch tensors and back, for the two files that learn with torch: `scratch.py` and `concise.py`."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.sources.arrays import ArraySource

try:  # both files take torch from here, so that its absence is told in one place
    import torch
    from torch import Tensor
except ModuleNotFoundError as error:
    raise InputError(
        "torch is not installed: linnet.scratch, like linnet.concise, needs the extra: pip install linnet[torch]"
    ) from error

__all__ = ["Tensor", "leaf", "numbers", "tensors", "torch"]


def tensors(X: Any, y: Any, weight: Any, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """X (n, d), y (n,) and row weights (n,) of mean 1, copied; float32 stays float32, all else becomes float64.

    Raises:
        InputError: shapes that do not match, no rows, or numbers that are not finite.
    """
    X, y, weight = (values.cpu() if isinstance(values, Tensor) else values for values in (X, y, weight))
    source = ArraySource(X, y, weight=weight, block_rows=sys.maxsize)
    (block,) = source.blocks()
    block.check(source.design.names, source.target, source.where)
    weight = np.ones(block.rows) if block.weight is None else block.weight / block.weight.mean()
    dtype = block.X.dtype
    X, y, weight = (torch.tensor(np.array(v, dtype=dtype), device=device) for v in (block.X, block.y, weight))
    return X, y, weight


def leaf(values: Any, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """These values as a tensor to differentiate by, of the given shape, with the type and on the device of another.

    Raises:
        InputError: they are more or fewer than the shape has.
    """
    given = numbers(values)
    if given.size != np.prod(shape):
        raise InputError(f"The start has shape {given.shape} where {shape} is needed: give (w, b), one w a column.")
    return torch.tensor(given.reshape(shape), dtype=like.dtype, device=like.device, requires_grad=True)


def numbers(values: Any) -> Float64s:
    """What a tensor holds at this moment, as an array of its own."""
    if isinstance(values, Tensor):
        values = values.detach().cpu().numpy()
    return np.array(values, dtype=np.float64)
