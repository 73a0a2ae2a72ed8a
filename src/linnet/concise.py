"""Linear regression learned by gradient descent, with torch's own parts: `linnet.scratch` said again, in fewer words.

Each part of that page has its counterpart: `TensorDataset` and `DataLoader` for the minibatches, `nn.Linear` for the
model, `torch.nn`'s losses, `torch.optim.SGD` and its schedulers for the steps. The weights are the same after each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import numpy as np

from linnet.scratch import device, mean_cost, quantile, rate
from linnet.tensors import Minibatch, Tensor, check, leaves, numbers, shuffled, tensors, torch, visits

__all__ = ["absolute", "huber", "quantile", "squared", "train"]  # torch has no quantile loss: it is scratch's

absolute = torch.nn.L1Loss(reduction="none")
huber = torch.nn.HuberLoss(reduction="none", delta=1.0)


def squared(prediction: Tensor, y: Tensor) -> Tensor:
    """r²/2 for each row, half of `nn.MSELoss`: with that, whose slope is 2r, half the learning rate does the same."""
    return torch.nn.functional.mse_loss(prediction, y, reduction="none") / 2


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
    """Learn w and b of y = X·w + b; the arguments, the Steps and the errors are those of `linnet.scratch.train`.

    `loss` may be any of `torch.nn` that is made with reduction="none".
    """
    check(loss=loss, lr=lr, batch_size=batch_size, epochs=epochs, momentum=momentum, l2=l2, average=average)
    check(schedule=schedule, decay=decay, order=order, seed=seed)
    to = device()
    X, y, weight = tensors(X, y, weight, torch.device("cpu"))
    n, d = X.shape
    random = np.random.default_rng(seed)
    w, b = leaves((random.normal(0, 0.01, d), 0.0) if start is None else start, like=X)
    net = torch.nn.Linear(d, 1, dtype=X.dtype, device=to)
    with torch.no_grad():  # the usual nn.init.normal_(net.weight, std=0.01) would draw other numbers than scratch
        net.weight.copy_(w)
        net.bias.copy_(b)
    groups: list[dict[str, Any]] = [{"params": [net.weight], "weight_decay": l2}, {"params": [net.bias]}]
    optimiser = torch.optim.SGD(groups, lr=lr, momentum=momentum)
    per_epoch = ceil(n / batch_size)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate(1, schedule, decay, step / per_epoch))
    mean = torch.optim.swa_utils.AveragedModel(net)
    shown: Any = mean.module if average else net
    data = torch.utils.data.TensorDataset(X, y, weight)
    step = 0
    for epoch in range(1, epochs + 1):
        seen, rows = 0, visits(order(epoch) if order else shuffled(n, random), n)
        # The usual shuffle=True would take other orders than scratch does.
        for batch in torch.utils.data.DataLoader(data, batch_size=int(batch_size), sampler=rows):
            X_part, y_part, weight_part = (part.to(to) for part in batch)
            optimiser.zero_grad()
            cost = mean_cost(loss(net(X_part).squeeze(1), y_part), weight_part)
            cost.backward()
            optimiser.step()
            scheduler.step()
            step, seen = step + 1, seen + len(X_part)
            if average:
                mean.update_parameters(net)
            yield Minibatch(epoch, step, seen, numbers(shown.weight).ravel(), shown.bias.item(), loss=cost.item())
