"""Kernels of stochastic gradient descent: minibatches of rows, in a given order, through one compiled loop."""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

AHEAD = 32
"""Rows ahead of the one at work that are asked for from memory: one in random order is in no cache yet, and those in
order come faster so than by the processor's own foresight."""
LINE = 64
"""Bytes of a cache line."""


@intrinsic
def _prefetch(typingctx: Any, array: Any, i: Any, j: Any) -> Any:
    """Ask for the cache line that holds array[i, j], without waiting for it.

    Into the second cache, which has room for more requests under way than the first: a fifth faster in random order.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        view = context.make_array(kind)(context, builder, args[0])
        pointer = cgutils.get_item_pointer(context, builder, kind, view, [args[1], args[2]], wraparound=False)
        i32, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32]), "llvm.prefetch.p0"
        )
        read, second, data = (ir.Constant(i32, number) for number in (0, 2, 1))
        builder.call(function, [builder.bitcast(pointer, byte), read, second, data])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), codegen


@njit(cache=True, nogil=True, inline="always")
def _row(at: int, order: Any, piece: int, rows: int, short: int) -> int:
    """The row at a place of an order of rows, or of pieces, of which number `short` may end early."""
    if piece == 1:
        return order[at]
    length = rows - order[short] * piece
    if at >= short * piece + length:  # behind the short piece: as if that were whole
        at += piece - length
    return order[at // piece] * piece + at % piece


@njit(cache=True, nogil=True, inline="always")
def _ask(X: Any, i: int) -> None:
    """Ask for a row."""
    d = X.shape[1]
    for j in range(0, d, max(1, LINE // X.itemsize)):
        _prefetch(X, i, j)
    _prefetch(X, i, d - 1)


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def _cost(r: float, bend: tuple[float, float, float]) -> tuple[float, float]:
    """Value and slope of a loss at a residual."""
    tilt, steepness, limit = bend
    t = steepness * r
    if abs(t) <= limit:
        return 0.5 * t * r + tilt * r, t + tilt
    value = limit * (abs(r) - 0.5 * limit / steepness) + tilt * r
    # a sign without a branch, which nobody could predict; r is 0 about never
    return value, tilt + (math.copysign(limit, r) if r != 0.0 else 0.0)


@njit(cache=True, nogil=True, inline="always", error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _dot(x: Any, centre: Any, w: Any, zero: Any) -> Any:
    """(x - centre)·w."""
    total = zero
    if centre is None:
        for j in range(x.size):
            total += x[j] * w[j]
    else:
        for j in range(x.size):
            total += (x[j] - centre[j]) * w[j]
    return total


@njit(cache=True, nogil=True, inline="always", error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _add(g: Any, x: Any, centre: Any, gradient: Any) -> None:
    """Add g·(x - centre) to the gradient."""
    if centre is None:
        for j in range(x.size):
            gradient[j] += g * x[j]
    else:
        for j in range(x.size):
            gradient[j] += g * (x[j] - centre[j])


@njit(cache=True, nogil=True, inline="always")
def _short(order: Any, piece: int, n: int) -> int:
    """Where in an order of pieces the one stands that the end of the rows cuts short, or comes last."""
    at = 0
    if piece > 1:
        for k in range(order.size):
            if (order[k] + 1) * piece >= n:
                at = k
    return at


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def descend(
    X: Any,
    y: Any,
    weight: Any,
    order: Any,
    piece: int,
    span: tuple[int, int, int],
    centre: Any,
    metric: Any,
    bend: tuple[float, float, float],
    rate: tuple[float, float, float],
    momentum: float,
    l2: float,
    averaging: float,
    step: int,
    state: Any,
    slope: Any,
) -> float:
    """Move the weights by minibatch after minibatch; returns the sum of the losses met on the way.

    With u = [bias, weights] and the row z = [1, x - centre], a minibatch takes g = mean of w·s(r)·(-z), adds l2 times
    the weights, and does velocity = momentum·velocity + g, u -= rate·metric·velocity. The mean is over its own length,
    which is shorter at the end of an epoch.

    Args:
        X: (n, d), each row contiguous, float32 or float64, which is also the arithmetic of its products.
        y: (n,).
        weight: (n,) row weights of mean 1, or (0,) when all are 1.
        order: (m·n,) row numbers for m epochs; pieces' numbers; or (0,) for rows as they come, m times.
        piece: rows in a piece of `order`, 1 if it holds rows, 0 if there is no order.
        span: the places in the order from which and up to which to go, and the rows of a minibatch.
        centre: (d,) in X's type, or None when it is 0.
        metric: (d+1,), what each coordinate's step is multiplied with.
        bend: tilt, steepness and limit of the loss's slope (see Loss).
        rate: learning rate, and the two numbers by which it falls: rate·(1 + fall·step)^-power.
        momentum: share of the velocity that is kept.
        l2: ridge penalty.
        averaging: p of the mean, which gives step k the weight (1+p)/(k+p) (Shamir and Zhang 2013, section 3; 0 is
            Polyak's plain mean); negative for none.
        step: minibatches done before.
        state: (3, d+1): u, velocity, mean; changed in place.
        slope: (2, d) in X's type, as work space.
    """
    n, d = X.shape
    begin, end, size = span
    first, fall, power = rate
    u, velocity, mean = state[0], state[1], state[2]
    local, gradient = slope[0], slope[1]
    zero = X.dtype.type(0.0)
    short = _short(order, piece, n)
    total = 0.0
    at = begin
    while at < end:
        epoch = (at // n) * n
        stop = min(at + size, end, epoch + n)
        for j in range(d):
            local[j] = u[j + 1]
            gradient[j] = zero
        pull = 0.0
        for place in range(at, stop):
            if place + AHEAD < end:
                far = place + AHEAD
                _ask(X, _row(far, order, piece, n, short) if piece != 0 else min(far - epoch, n - 1))
            i = _row(place, order, piece, n, short) if piece != 0 else place - epoch
            value, s = _cost(y[i] - (u[0] + _dot(X[i], centre, local, zero)), bend)
            share = weight[i] if weight.size else 1.0
            total += share * value
            pull += share * s
            _add(X.dtype.type(share * s), X[i], centre, gradient)
        share = 1.0 / (stop - at)
        now = first if fall == 0.0 else first * math.pow(1.0 + fall * step, -power)
        velocity[0] = momentum * velocity[0] - share * pull
        u[0] -= now * metric[0] * velocity[0]
        for j in range(d):
            velocity[j + 1] = momentum * velocity[j + 1] - share * gradient[j] + l2 * u[j + 1]
            u[j + 1] -= now * metric[j + 1] * velocity[j + 1]
        step += 1
        if averaging >= 0.0:
            mean += (1.0 + averaging) / (step + averaging) * (u - mean)
        at = stop
    return total
