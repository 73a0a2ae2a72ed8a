"""Kernels of stochastic gradient descent: minibatches of rows, in a given order, through one compiled loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from linnet.compiling import FAST, compiled
from linnet.desk_kernels import (
    BIAS,
    DONE,
    LOSS,
    PULL,
    answer,
    ask_for,
    awaited,
    next_ticket,
    put,
    rows_of_second,
    stay_one,
)
from linnet.row_kernels import TOGETHER, ask, ask_next, lead

FIRST, THEIRS, OWN = np.int64(1), np.int64(2), np.int64(3)
"""Rows of the work space with the gradient of a minibatch's first part, of its second part by another thread, and by
this one."""
# inlined once they are compiled: inline="always", which is before that, doubles the time of compiling
_inner = compiled(fastmath=FAST, forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)


@_inner
def _cost(r: float, bend: tuple[float, float, float] | None) -> tuple[float, float]:
    """Value and slope of a loss at a residual."""
    if bend is None:
        return 0.5 * r * r, r
    tilt, steepness, limit = bend
    t = steepness * r
    if abs(t) <= limit:
        return 0.5 * t * r + tilt * r, t + tilt
    value = limit * (abs(r) - 0.5 * limit / steepness) + tilt * r
    # a sign without a branch, which nobody could predict; r is 0 about never
    return value, tilt + (math.copysign(limit, r) if r != 0.0 else 0.0)


@_inner
def _four(
    x: Any, y: Any, share: Any, weighted: bool, centre: Any, bias: float, w: Any, bend: Any, work: Any, row: int
) -> tuple[float, float]:
    """Losses and slopes of four rows, by their shares in the minibatch; adds Σ slope·(x - centre) to work[row]."""
    x0, x1, x2, x3 = x
    t0 = t1 = t2 = t3 = w.dtype.type(0.0)
    for j in range(w.size):
        v = w[j]
        if centre is None:
            t0 += x0[j] * v
            t1 += x1[j] * v
            t2 += x2[j] * v
            t3 += x3[j] * v
        else:
            c = centre[j]
            t0 += (x0[j] - c) * v
            t1 += (x1[j] - c) * v
            t2 += (x2[j] - c) * v
            t3 += (x3[j] - c) * v
    l0, s0 = _cost(y[0] - (bias + t0), bend)
    l1, s1 = _cost(y[1] - (bias + t1), bend)
    l2, s2 = _cost(y[2] - (bias + t2), bend)
    l3, s3 = _cost(y[3] - (bias + t3), bend)
    if weighted:  # a row of weight 0 may hold what overflows
        l0, s0 = (l0, s0) if share[0] > 0.0 else (0.0, 0.0)
        l1, s1 = (l1, s1) if share[1] > 0.0 else (0.0, 0.0)
        l2, s2 = (l2, s2) if share[2] > 0.0 else (0.0, 0.0)
        l3, s3 = (l3, s3) if share[3] > 0.0 else (0.0, 0.0)
    s0, s1, s2, s3 = s0 * share[0], s1 * share[1], s2 * share[2], s3 * share[3]
    number = w.dtype.type
    g0, g1, g2, g3 = number(s0), number(s1), number(s2), number(s3)
    for j in range(w.size):
        if centre is None:
            work[row, j] += (g0 * x0[j] + g1 * x1[j]) + (g2 * x2[j] + g3 * x3[j])
        else:
            c = centre[j]
            work[row, j] += (g0 * (x0[j] - c) + g1 * (x1[j] - c)) + (g2 * (x2[j] - c) + g3 * (x3[j] - c))
    loss = (share[0] * l0 + share[1] * l1) + (share[2] * l2 + share[3] * l3)
    return loss, (s0 + s1) + (s2 + s3)


@_inner
def _part(
    X: Any,
    y: Any,
    weight: Any,
    unit: float,
    order: Any,
    which: tuple[int, int, int, int, int, int],
    centre: Any,
    bias: float,
    w: Any,
    bend: Any,
    work: Any,
    row: int,
) -> tuple[float, float]:
    """Losses and slopes of the rows of a part of a minibatch, added up; work[row] becomes their gradient."""
    n, d = X.shape
    epoch, low, high, beyond, end, ahead = which
    in_order, weighted = order.size == 0, weight.size > 0
    for j in range(d):
        work[row, j] = 0.0
    loss = pull = 0.0
    last = high - 1
    for place in range(low, high, TOGETHER):
        # behind the last row comes that row again, with no share in the minibatch
        p1, p2, p3 = min(place + 1, last), min(place + 2, last), min(place + 3, last)
        far = place + ahead + (beyond if place + ahead >= high else 0)
        if in_order:
            i0, i1, i2, i3 = place - epoch, p1 - epoch, p2 - epoch, p3 - epoch
            if ahead and far - epoch < n:
                ask_next(X, far - epoch, min(TOGETHER, n - (far - epoch)))
        else:
            i0, i1, i2, i3 = order[place], order[p1], order[p2], order[p3]
            if ahead:
                for k in range(far, min(far + TOGETHER, end)):
                    ask(X, y, weight, order[k])
        s0, s1, s2, s3 = 1.0, float(p1 - place), float(p2 - p1), float(p3 - p2)
        if weighted:
            s0, s1 = s0 * unit * weight[i0], s1 * unit * weight[i1]
            s2, s3 = s2 * unit * weight[i2], s3 * unit * weight[i3]
        # numbers without a sign, so that nobody asks each time whether they count from the end
        u0, u1, u2, u3 = np.uintp(i0), np.uintp(i1), np.uintp(i2), np.uintp(i3)
        rows, targets = (X[u0], X[u1], X[u2], X[u3]), (y[u0], y[u1], y[u2], y[u3])
        cost, slope = _four(rows, targets, (s0, s1, s2, s3), weighted, centre, bias, w, bend, work, row)
        loss += cost
        pull += slope
    return loss, pull


@compiled(fastmath=FAST, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _shared_part(*part: Any) -> tuple[float, float]:
    """`_part`, in one place for both threads: copies could be compiled to add up in different orders."""
    stay_one()
    return _part(*part)


@_inner
def _move(
    u: Any,
    velocity: Any,
    pull: float,
    gradient: Any,
    share: float,
    rate: float,
    metric: Any,
    momentum: float,
    l2: float,
) -> None:
    """One update of u, `share` times `pull` and `gradient` being the means of the minibatch's slopes and gradients."""
    velocity[0] = momentum * velocity[0] - share * pull
    u[0] -= rate * metric[0] * velocity[0]
    for j in range(gradient.size):
        velocity[j + 1] = momentum * velocity[j + 1] - share * gradient[j] + l2 * u[j + 1]
        u[j + 1] -= rate * metric[j + 1] * velocity[j + 1]


@_inner
def _average(mean: Any, u: Any, share: float) -> None:
    """Move a mean by its share towards u."""
    for j in range(u.size):
        mean[j] += share * (u[j] - mean[j])


@_inner
def _add(work: Any, row: int, d: int) -> None:
    for j in range(d):
        work[FIRST, j] += work[row, j]


@_inner
def _copy(state: Any, to: Any) -> None:
    for i in range(3):  # an assignment of arrays takes two seconds to compile
        for j in range(state.shape[1]):
            to[i, j] = state[i, j]


@compiled(fastmath=FAST)
def descend(
    X: Any,
    y: Any,
    weight: Any,
    unit: float,
    order: Any,
    span: tuple[int, int, int],
    centre: Any,
    metric: Any,
    bend: tuple[float, float, float] | None,
    rate: tuple[float, float, float],
    momentum: float,
    l2: float,
    averaging: float,
    step: int,
    start: Any,
    met: float,
    work: Any,
    desk: Any,
    helping: bool,
    marks: Any,
    trail: Any,
    losses: Any,
) -> None:
    """Move the weights by minibatch after minibatch, and note where they are now and then.

    With u = [bias, weights] and the row z = [1, x - centre], a minibatch takes g = mean of w·s(r)·(-z), adds l2 times
    the weights, and does velocity = momentum·velocity + g, u -= rate·metric·velocity. The mean is over its own length,
    which is shorter at the end of an epoch.

    Large minibatches have two parts, the second of which another thread may work on, in a call with the same arguments
    that helps. Both are one piece of compiled code, and added up in one order: so it makes no difference whether there
    is such a call, when it begins, or how often it is late.

    Args:
        X: (n, d), each row contiguous, float32 or float64, which is also the arithmetic of its products.
        y: (n,).
        weight: (n,) row weights, or (0,) when all are 1.
        unit: what makes their mean 1.
        order: (m·n,) row numbers for m epochs, or (0,) for rows as they come, m times.
        span: the places in the order from which and up to which to go, and the rows of a minibatch.
        centre: (d,) in X's type, or None when it is 0.
        metric: (d+1,), what each coordinate's step is multiplied with.
        bend: tilt, steepness and limit of the loss's slope (see Loss); None where it is squared, a tenth faster.
        rate: learning rate, and the two numbers by which it falls: rate·(1 + fall·step)^-power.
        momentum: share of the velocity that is kept.
        l2: ridge penalty.
        averaging: p of the mean, which gives step k the weight (1+p)/(k+p) (Shamir and Zhang 2013, section 3; 0 is
            Polyak's plain mean); negative for none.
        step: minibatches done before.
        start: (3, d+1): u, velocity and mean before the first minibatch.
        met: sum of the losses met since the mark before; from here on, so that it does not depend on where spans end.
        work: (4, d or more) in X's type, as work space: weights; gradients of the first part, of the second by another
            thread, and of the second by this one. What threads write lies APART bytes from each other.
        desk: (PLACES,), as work space; all 0 but DONE, which is -1.
        helping: whether to work on second parts only, until OVER is put on the desk: nothing is moved, nothing noted.
        marks: (k,), places in the order, ends of epochs and then that of the span, after which to note
        trail: (k, 3, d+1), filled with what `start` held, and
        losses: (k,), filled with the sum of the losses met since the mark before.
    """
    (n, d), (begin, end, size), (first, fall, power) = X.shape, span, rate
    w, gradient = work[0, :d], work[FIRST, :d]
    ahead = lead(X, order.size == 0)
    state = start.copy()
    u, velocity, mean = state[0], state[1], state[2]
    k, at, ticket, epoch = 0, begin, 0.0, (begin // n) * n
    if helping:
        put(desk, DONE, 0.0)
    while at < end:
        if helping:
            ticket = next_ticket(desk, ticket)
            if ticket == 0.0:
                return
            at = int(ticket) - 1
        if at >= epoch + n:  # mostly it is the same, and dividing takes long
            epoch = (at // n) * n
        stop = min(at + size, end, epoch + n)
        middle, asked = stop - rows_of_second(stop - at, X), False
        if not helping:
            for j in range(d):
                w[j] = u[j + 1]
            before, ticket = ticket, ask_for(desk, at, u[0], ticket) if middle < stop else ticket
            asked = ticket != before
        first_part = epoch, at, middle, stop - middle, end, ahead
        second_part = epoch, middle, stop, size - (stop - middle), end, ahead
        if helping:
            more = _shared_part(X, y, weight, unit, order, second_part, centre, desk[BIAS], w, bend, work, THEIRS)
            answer(desk, ticket, more)
            continue
        if middle == stop:
            loss, pull = _part(X, y, weight, unit, order, first_part, centre, u[0], w, bend, work, FIRST)
        else:
            loss, pull = _shared_part(X, y, weight, unit, order, first_part, centre, u[0], w, bend, work, FIRST)
            theirs = asked and awaited(desk, ticket, (stop - middle) * d)
            if theirs:
                more = desk[LOSS], desk[PULL]
            else:
                more = _shared_part(X, y, weight, unit, order, second_part, centre, u[0], w, bend, work, OWN)
            loss, pull = loss + more[0], pull + more[1]
            _add(work, THEIRS if theirs else OWN, d)
        met += loss
        now = first if fall == 0.0 else first * math.pow(1.0 + fall * step, -power)
        _move(u, velocity, pull, gradient, 1.0 / (stop - at), now, metric, momentum, l2)
        step += 1
        if averaging >= 0.0:
            _average(mean, u, (1.0 + averaging) / (step + averaging))
        at = stop
        if at == marks[k]:
            _copy(state, trail[k])
            losses[k], met = met, 0.0
            k += 1
