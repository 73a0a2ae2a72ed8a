"""Kernels of the desk at which two threads work on one minibatch: what one puts there, the other finds complete."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from linnet.compiling import compiled
from linnet.row_kernels import TOGETHER

ASKED, BIAS = 0, 1
"""Places on a desk: one more than the first place of the minibatch whose second part is asked for, and the bias there;
the weights lie elsewhere."""
DONE, LOSS, PULL = 16, 17, 18
"""The same of the minibatch whose second part is done, 0 for none, negative while nobody helps; its losses and slopes;
far enough away, since another thread writes there."""
OVER, OFFERED, MISSED = 32, 33, 34
"""Whether there is nothing more to do; how many second parts the first thread had since somebody helps, and for how
many of them the other one was still away."""
GRACE = 256
"""Second parts after which a helper that was away for a quarter of them is let go: other work needs its processor."""
PLACES = 48
APART = 128
"""Bytes between what different threads write: where they share a cache line, or two that are fetched together, each
waits for the other."""
SHARED = 48 << 10
"""Bytes of a minibatch from which on it gains from a second thread,"""
LATE = 4096
"""and how many of these the first thread gets through until the second one has begun."""
PATIENCE = 2048
"""Looks at the desk, and one more for every so many numbers of the second part,"""
LOOK = 8
"""after which it takes no longer to do the second part oneself."""


def _atomic(array: Any, builder: Any, context: Any, args: Any) -> Any:
    view = context.make_array(array)(context, builder, args[0])
    return cgutils.get_item_pointer(context, builder, array, view, [args[1]], wraparound=False)


@intrinsic
def found(typingctx: Any, desk: Any, i: Any) -> Any:
    """desk[i], and with it all that was written before it was put there."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_atomic(signature.args[0], builder, context, args), "acquire", 8)

    return types.float64(desk, types.intp), codegen


@intrinsic
def put(typingctx: Any, desk: Any, i: Any, value: Any) -> Any:
    """desk[i] = value, once all that was written before can be seen."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[2], _atomic(signature.args[0], builder, context, args), "release", 8)
        return context.get_dummy_value()

    return types.void(desk, types.intp, types.float64), codegen


@intrinsic
def stay_one(typingctx: Any) -> Any:
    """Makes the function that calls it stay one piece of code, of which nobody has a copy of their own."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for attribute in ("noinline", "noduplicate"):
            builder.function.attributes.add(attribute)
        return context.get_dummy_value()

    return types.void(), codegen


@compiled(inline="always")
def rows_of_second(rows: int, X: Any) -> int:
    """How many of a minibatch's rows are its second part, whoever works on it: 0 where sharing would take longer."""
    size = X.shape[1] * X.itemsize
    return (rows - LATE // size) // (2 * TOGETHER) * TOGETHER if rows * size >= SHARED else 0


@compiled(inline="always")
def ask_for(desk: Any, at: int, bias: float, ticket: float) -> float:
    """Ask for the second part of the minibatch that begins at a place; the ticket by which it is known.

    That stays the old one where nobody helps, or the helper has not come back with the old one yet.
    """
    done = found(desk, DONE)
    if done < 0.0 or desk[OVER] != 0.0:
        return ticket
    desk[OFFERED] += 1.0
    if done != ticket:
        desk[MISSED] += 1.0
        if desk[OFFERED] >= GRACE and 4.0 * desk[MISSED] > desk[OFFERED]:
            put(desk, OVER, 1.0)
        return ticket
    desk[BIAS] = bias
    put(desk, ASKED, at + 1.0)
    return at + 1.0


@compiled(inline="always")
def answer(desk: Any, ticket: float, sums: tuple[float, float]) -> None:
    """Say that it is done."""
    desk[LOSS], desk[PULL] = sums
    put(desk, DONE, ticket)


@compiled(inline="always")
def awaited(desk: Any, ticket: float, numbers: int) -> bool:
    """Whether the second part, of so many numbers, was done in less time than it takes to do it oneself."""
    for _ in range(PATIENCE + numbers // LOOK):
        if found(desk, DONE) == ticket:
            return True
    return False


@compiled(inline="always")
def next_ticket(desk: Any, ticket: float) -> float:
    """Wait for what is asked for after `ticket`; 0 when all is over."""
    while found(desk, ASKED) == ticket:
        if found(desk, OVER) != 0.0:
            return 0.0
    return found(desk, ASKED)
