from __future__ import annotations

import inspect

import numpy as np
import pytest

from linnet.block import InputError

torch = pytest.importorskip("torch")
if True:  # only now that torch is known to be there; test_scratch.py holds both to the same tests
    from linnet import concise, scratch


def problem() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = rng.standard_normal((25, 2))
    return X, X @ np.array([2.0, -3.4]) + 4.2 + 0.1 * rng.standard_normal(25)


def test_the_arguments_are_those_of_scratch() -> None:
    ours, theirs = (inspect.signature(train).parameters for train in (concise.train, scratch.train))
    assert list(ours) == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in ours if name != "loss")
    assert (ours["loss"].default, theirs["loss"].default) == (concise.squared, scratch.squared)


def test_mse_loss_takes_steps_twice_as_large() -> None:
    """nn.MSELoss counts r², whose slope is 2r: with half the learning rate it does what r²/2 does."""
    X, y = problem()
    mse = list(concise.train(X, y, loss=torch.nn.MSELoss(reduction="none"), lr=0.02))
    half = list(concise.train(X, y, lr=0.04))
    for one, other in zip(mse, half, strict=True):
        assert one.weights == pytest.approx(other.weights, rel=1e-12)
        assert one.bias == pytest.approx(other.bias, rel=1e-12)
        assert one.loss == pytest.approx(2 * (other.loss or 0.0), rel=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_loss_that_is_reduced_is_refused(reduction: str) -> None:
    with pytest.raises(InputError, match="cost of each row"):
        next(concise.train(*problem(), loss=torch.nn.MSELoss(reduction=reduction)))


@pytest.mark.parametrize("loss", [torch.nn.SmoothL1Loss(reduction="none"), torch.nn.HuberLoss(reduction="none")])
def test_any_loss_of_torch_will_do(loss: object) -> None:
    steps = list(concise.train(*problem(), loss=loss, lr=0.3, epochs=60))  # type: ignore[arg-type]
    assert steps[-1].weights == pytest.approx([2, -3.4], abs=0.1)
    assert steps[-1].bias == pytest.approx(4.2, abs=0.1)


def test_the_penalty_spares_the_bias() -> None:
    """It comes to rest at the ridge solution: that of centred columns, with the bias free."""
    X, y = problem()
    last = list(concise.train(X, y, l2=2.0, lr=0.3, batch_size=25, epochs=150))[-1]
    centred = X - X.mean(axis=0)
    ridge = np.linalg.solve(centred.T @ centred / 25 + 2.0 * np.eye(2), centred.T @ (y - y.mean()) / 25)
    assert last.weights == pytest.approx(ridge, rel=1e-9)
    assert last.bias == pytest.approx(y.mean() - X.mean(axis=0) @ ridge, rel=1e-9)
