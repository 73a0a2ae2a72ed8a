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
ROOM = 1 << 16
"""or so many bytes of them, which leave room in the second cache for those at work;"""
RUN = 24 << 10
"""and bytes of rows in the order in which they lie, which come faster so than by the processor's own foresight."""
TOGETHER = 4
"""Rows that are worked on together: weights and gradient are then loaded once for all of them."""
LINE = 64
"""Bytes of a cache line."""
CACHED = 1 << 20
"""Bytes that stay in the second cache: asking for them would only take time,"""
WIDE = 4096
"""as it does for longer rows, in bytes: these the processor foresees by itself soon after they begin."""


@intrinsic
def _ask(typingctx: Any, array: Any, i: Any, size: Any) -> Any:
    """Ask for so many bytes from array[i] on, without waiting for them, and without harm where no array is any more.

    They come into the second cache, which has room for more requests under way than the first. To ask takes few
    instructions, since the work on a row takes few: two lines at a time, where LLVM would write either one or 64.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, intp = signature.args[0], context.get_value_type(types.intp)
        view = context.make_array(kind)(context, builder, args[0])
        place = [args[1], *[ir.Constant(intp, 0)] * (kind.ndim - 1)]
        pointer = cgutils.get_item_pointer(context, builder, kind, view, place, wraparound=False)
        i32, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
        )
        read, second, data = (ir.Constant(i32, number) for number in (0, 2, 1))
        start = builder.bitcast(pointer, byte)

        def line(offset: Any, beyond: int = 0) -> None:
            place = builder.gep(start, [builder.add(offset, ir.Constant(intp, beyond))])
            builder.call(function, [place, read, second, data])

        two = ir.Constant(intp, 2 * LINE)
        pairs = builder.and_(builder.add(args[2], ir.Constant(intp, LINE - 1)), ir.Constant(intp, -2 * LINE))
        with cgutils.for_range_slice(builder, ir.Constant(intp, 0), pairs, two, intp) as (offset, _):
            line(offset)
            line(offset, LINE)
        line(pairs)
        line(args[2], -1)  # lines of memory begin elsewhere than rows do
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), codegen


@compiled(inline="always")
def lead(X: Any, in_order: bool) -> int:
    """Rows ahead of those at work that are to be asked for; 0 where asking takes longer than they do to come."""
    size = X.shape[1] * X.itemsize
    if X.shape[0] * size <= CACHED or size > WIDE:
        return 0
    return TOGETHER + (RUN // size if in_order else min(AHEAD, ROOM // size))


@compiled(inline="always")
def ask(X: Any, y: Any, weight: Any, i: int) -> None:
    """Ask for a row far from the one before it."""
    _ask(X, i, X.shape[1] * X.itemsize)
    _ask(y, i, 1)
    if weight.size:
        _ask(weight, i, 1)


@compiled(inline="always")
def ask_next(X: Any, i: int, rows: int) -> None:
    """Ask for rows beside each other: their targets and weights are so few bytes that the processor foresees them."""
    size = X.shape[1] * X.itemsize
    if X.strides[0] == size:
        _ask(X, i, rows * size)
    else:
        for far in range(i, i + rows):
            _ask(X, far, size)


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
    ahead = lead(X, False)
    for k in range(order.size):
        if ahead and k + ahead < order.size:
            ask(X, y, weight, order[k + ahead])
        i = order[k]
        to_y[k] = y[i]
        if weight.size:
            to_weight[k] = weight[i]
        for j in range(X.shape[1]):
            to_X[k, j] = X[i, j]
