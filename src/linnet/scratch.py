"""Linear regression learned by gradient descent, from tensors and autograd alone: the whole idea on one page.

Guess the weights. Take a few rows, predict them, ask autograd which way each weight makes the loss grow, go a little
the other way, take the next rows. That is all. Change any part and see what happens. `linnet.concise` says the same
with torch's own parts, `linnet.SGD` does it compiled: from the same start, taking rows in the same order, all three
pass through the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import ceil
from typing import Any

import numpy as np

from linnet.block import InputError
from linnet.tensors import Minibatch, Tensor, check, leaves, numbers, shuffled, tensors, torch, visits


def device() -> torch.device:
    """Where to calculate: on the CUDA device if there is one, else on the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synthetic_data(w: Any, b: float, n: int, noise: float = 0.01, seed: int = 0) -> tuple[Tensor, Tensor]:
    """X (n, d) from N(0, 1), and y (n,) = X·w + b + noise·N(0, 1): data whose true weights are known."""
    random = torch.Generator().manual_seed(seed)
    w = torch.as_tensor(w).flatten()
    X = torch.randn(n, len(w), generator=random)
    y = linreg(X, w.to(X), torch.as_tensor(b).to(X)) + noise * torch.randn(n, generator=random)
    return X.to(device()), y.to(device())


def minibatches(order: Any, batch_size: int, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The rows of each column in the given order, `batch_size` at a time; at the end those that are left."""
    check(batch_size=batch_size)
    rows = torch.as_tensor(visits(order, len(columns[0])), device=columns[0].device)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        yield tuple(column[batch] for column in columns)


def linreg(X: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The model: X (n, d) times w (d,) plus b gives the predictions, (n,)."""
    return X @ w + b


def residual(prediction: Tensor, y: Tensor) -> Tensor:
    """How far y lies above its prediction; y is given the same shape, as (n,) minus (n, 1) would quietly be n × n."""
    return y.reshape(prediction.shape) - prediction


def squared(prediction: Tensor, y: Tensor) -> Tensor:
    """r²/2 for each row: half, so that its slope is r."""
    return residual(prediction, y) ** 2 / 2


def absolute(prediction: Tensor, y: Tensor) -> Tensor:
    """|r| for each row: an outlier pulls no harder than any other row."""
    return residual(prediction, y).abs()


def huber(prediction: Tensor, y: Tensor, delta: float = 1.0) -> Tensor:
    """Squared where |r| is at most delta, absolute beyond; each row decides for itself, not the batch for all."""
    r = residual(prediction, y)
    return torch.where(r.abs() <= delta, r**2 / 2, delta * (r.abs() - delta / 2))


def quantile(prediction: Tensor, y: Tensor, q: float = 0.5) -> Tensor:
    """q·r above the prediction and (q - 1)·r below, which leaves a share q of the rows below it."""
    r = residual(prediction, y)
    return torch.maximum(q * r, (q - 1) * r)


def mean_cost(costs: Tensor, weight: Tensor) -> Tensor:
    """The mean over a minibatch's own length, of weighted costs: a short last one counts no less than the others."""
    if costs.shape != weight.shape:
        raise InputError("The loss must give the cost of each row, as torch's own do with reduction='none'.")
    return (weight * costs).mean()


@torch.no_grad()
def sgd(parameters: Sequence[Tensor], velocities: Sequence[Tensor], lr: float, momentum: float = 0.0) -> None:
    """Move each parameter against its gradient, keeping a share of its last velocity; then forget the gradient."""
    for parameter, velocity in zip(parameters, velocities, strict=True):
        assert parameter.grad is not None, "backward() comes first"
        velocity.mul_(momentum).add_(parameter.grad)
        parameter.sub_(lr * velocity)
        parameter.grad = None  # or else the next backward() would add to it


def rate(lr: float, schedule: str, decay: float, epochs: float) -> float:
    """The learning rate after so many epochs, and fractions of one: always the same, or falling as 1/t does."""
    check(schedule=schedule)
    return lr if schedule == "constant" else lr / (1 + decay * epochs)


def train(
    X: Any,
    y: Any,
    *,
    loss: Callable[[Tensor, Tensor], Tensor] = squared,
    lr: float = 0.03,
    batch_size: int = 10,
    epochs: int = 3,
    momentum: float = 0.0,
    l2: float = 0.0,
    average: bool = False,
    schedule: str = "constant",
    decay: float = 1.0,
    weight: Any = None,
    start: tuple[Any, Any] | None = None,
    order: Callable[[int], Any] | None = None,
    seed: int = 0,
) -> Iterator[Minibatch]:
    """Learn w and b of y = X·w + b from X (n, d) and y (n,), arrays or tensors; yield a Step for each minibatch.

    float32 stays float32, all else becomes float64. `loss` gives the cost of each row from predictions and targets; to
    their mean, by the rows' `weight` (n,) if they have one, `l2` adds (l2/2)·‖w‖². `momentum` is the share of the last
    velocity that is kept. The `schedule` "inverse-time" divides `lr` by 1 + decay · epochs done. With `average`, Steps
    show the mean of the weights so far (Polyak's). `start` is the first (w, b): if None, w is drawn from N(0, 0.01²)
    and b is 0. `order` gives the row numbers of an epoch, counted from 1: if None, they are shuffled each time. `seed`
    is of all that is random.

    Raises:
        InputError: data, a start, an order or a setting that cannot be used, or a loss that is not of each row.
    """
    check(loss=loss, lr=lr, batch_size=batch_size, epochs=epochs, momentum=momentum, l2=l2, average=average)
    check(schedule=schedule, decay=decay, order=order, seed=seed)
    X, y, weight = tensors(X, y, weight, device())
    n, d = X.shape
    random = np.random.default_rng(seed)
    w, b = leaves((random.normal(0, 0.01, d), 0.0) if start is None else start, like=X)
    velocities, means = ([torch.zeros_like(w), torch.zeros_like(b)] for _ in range(2))
    step = 0
    for epoch in range(1, epochs + 1):
        seen, rows = 0, order(epoch) if order else shuffled(n, random)
        for X_part, y_part, weight_part in minibatches(rows, batch_size, X, y, weight):
            cost = mean_cost(loss(linreg(X_part, w, b), y_part), weight_part)
            (cost + l2 / 2 * (w**2).sum()).backward()
            sgd([w, b], velocities, rate(lr, schedule, decay, step / ceil(n / batch_size)), momentum)
            step, seen = step + 1, seen + len(X_part)
            if average:
                means = [mean + (now.detach() - mean) / step for mean, now in zip(means, [w, b], strict=True)]
            shown_w, shown_b = means if average else [w, b]
            yield Minibatch(epoch, step, seen, numbers(shown_w), shown_b.item(), loss=cost.item())
