"""Kernels that fetch rows: the random order in which they are visited, and asking memory for them before their turn."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from linnet.compiling import compiled

AHEAD = 32
"""Rows in random order that are asked for ahead of the one at work, since they are in no cache yet,"""
RUN = 2048
"""and bytes of rows in the order in which they lie, which come faster so than by the processor's own foresight."""
LINE = 64
"""Bytes of a cache line."""
CACHED = 1 << 20
"""Bytes that stay in the second cache: asking for them would only take time,"""
WIDE = 1536
"""as it does for longer rows, in bytes: these the processor foresees by itself soon after they begin."""


def _prefetch(cache: int) -> Any:
    """What asks for the cache line that holds array[i, j], without waiting for it, into the first or second cache."""

    def typed(typingctx: Any, array: Any, i: Any, j: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = signature.args[0]
            view = context.make_array(kind)(context, builder, args[0])
            pointer = cgutils.get_item_pointer(context, builder, kind, view, [args[1], args[2]], wraparound=False)
            i32, byte = ir.IntType(32), ir.IntType(8).as_pointer()
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
            )
            read, locality, data = (ir.Constant(i32, number) for number in (0, 4 - cache, 1))
            builder.call(function, [builder.bitcast(pointer, byte), read, locality, data])
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp), codegen

    return intrinsic(typed)


_first = _prefetch(1)
_second = _prefetch(2)


@compiled(inline="always")
def waits(X: Any) -> bool:
    """Whether rows come sooner if they are asked for before their turn."""
    size = X.shape[1] * X.itemsize
    return X.shape[0] * size > CACHED and size <= WIDE


@compiled(inline="always")
def ask(X: Any, i: int) -> None:
    """Ask for a row far from the one before it: into the second cache, which has room for more requests under way."""
    d = X.shape[1]
    for j in range(0, d, max(1, LINE // X.itemsize)):
        _second(X, i, j)
    _second(X, i, d - 1)


@compiled(inline="always")
def ask_next(X: Any, i: int) -> None:
    """Ask for a row beside the one before it: straight into the first cache."""
    for j in range(0, X.shape[1], max(1, LINE // X.itemsize)):
        _first(X, i, j)


@compiled
def shuffle(uniform: Any, order: Any) -> None:
    """Draw permutations (Fisher and Yates, inside out; Knuth 1997, section 3.4.2).

    Args:
        uniform: (m, n), random numbers in [0, 1): with 53 bits, no order is favoured by more than n·2^-53.
        order: (m, n), filled with one permutation of 0 to n-1 for each row.
    """
    for k in range(order.shape[0]):
        for i in range(order.shape[1]):
            j = np.uintp(np.intp(uniform[k, i] * (i + 1)))  # without a sign, it cannot count from the end
            order[k, i] = order[k, j]
            order[k, j] = i


@compiled
def spread(pieces: Any, size: int, order: Any) -> None:
    """The rows of pieces, one after the other.

    Args:
        pieces: (m, k), orders of the pieces into which n rows are cut.
        size: rows of a piece; the last piece of the rows may be shorter.
        order: (m, n), filled with row numbers.
    """
    for k in range(order.shape[0]):
        at = 0
        for piece in pieces[k]:
            for i in range(piece * size, min(piece * size + size, order.shape[1])):
                order[k, at] = i
                at += 1


@compiled
def collect(X: Any, y: Any, weight: Any, order: Any, to_X: Any, to_y: Any, to_weight: Any) -> None:
    """Copy rows together.

    Args:
        X: (n, d), each row contiguous.
        y: (n,).
        weight: (n,), or (0,) if rows have none.
        order: (m,), the rows to copy.
        to_X: (m, d), filled.
        to_y: (m,), filled.
        to_weight: (m,), filled; or (0,).
    """
    distant = waits(X)
    for k in range(order.size):
        if distant and k + AHEAD < order.size:
            ask(X, order[k + AHEAD])
        i = order[k]
        to_y[k] = y[i]
        if weight.size:
            to_weight[k] = weight[i]
        for j in range(X.shape[1]):
            to_X[k, j] = X[i, j]
