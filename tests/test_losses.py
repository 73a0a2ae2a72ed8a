from __future__ import annotations

import copy
import dataclasses
import math
import pickle
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.block import Block, Float64s, InputError
from linnet.losses import Absolute, Huber, Loss, Quantile, Quantiles, Squared
from linnet.objective import Objective, residual
from linnet.sources.arrays import ArraySource

LOSSES = [Squared(), Absolute(), Huber(), Huber(0.3), Huber(1e3), Quantile(), Quantile(0.9), Quantile(1e-3)]
POINTS = np.array([-1e3, -2.5, -1.0, -1e-3, 0.0, 1e-3, 0.7, 1.0, 42.0])
each_loss = pytest.mark.parametrize("loss", LOSSES, ids=str)
residuals = st.floats(-1e150, 1e150)  # the square of more leaves float64


def smooth(loss: Loss) -> tuple[Float64s, Float64s]:
    """The points where a loss has two derivatives, and steps for central differences that reach no point where not."""
    limit = {"squared": math.inf, "huber": getattr(loss, "delta", 0.0)}.get(loss.name, 0.0)
    r = POINTS[np.abs(POINTS) != limit]
    return r, 6e-6 * np.maximum(np.abs(r), 1e-3)


@each_loss
def test_slope_is_the_derivative_of_the_value(loss: Loss) -> None:
    """By central differences with a step of relative size eps^(1/3)."""
    r, h = smooth(loss)
    numerical = (loss.value(r + h) - loss.value(r - h)) / (2 * h)
    assert loss.slope(r) == pytest.approx(numerical, rel=1e-8, abs=1e-9)


@each_loss
def test_curvature_is_the_derivative_of_the_slope(loss: Loss) -> None:
    r, h = smooth(loss)
    numerical = (loss.slope(r + h) - loss.slope(r - h)) / (2 * h)
    assert loss.curvature(r) == pytest.approx(numerical, rel=1e-8, abs=1e-9)


@each_loss
def test_a_loss_is_convex_with_its_minimum_at_0(loss: Loss) -> None:
    values = loss.value(POINTS)
    assert (values >= 0).all()
    assert loss.value(np.zeros(1))[0] == 0
    assert (loss.curvature(POINTS) >= 0).all()
    away = POINTS[POINTS != 0]
    assert (np.sign(loss.slope(away)) == np.sign(away)).all()
    assert (np.diff(loss.slope(POINTS)) >= 0).all()


@each_loss
def test_each_function_is_elementwise(loss: Loss) -> None:
    for function in (loss.value, loss.slope, loss.curvature):
        assert function(POINTS).shape == POINTS.shape
        assert function(POINTS[:0]).shape == (0,)
        assert [function(POINTS[i : i + 1])[0] for i in range(POINTS.size)] == function(POINTS).tolist()


def test_squared_by_hand() -> None:
    r = np.array([-3.0, 0.0, 2.0])
    assert Squared().value(r).tolist() == [4.5, 0.0, 2.0]
    assert Squared().slope(r).tolist() == [-3.0, 0.0, 2.0]
    assert Squared().curvature(r).tolist() == [1.0, 1.0, 1.0]


def test_absolute_by_hand() -> None:
    r = np.array([-3.0, 0.0, 2.0])
    assert Absolute().value(r).tolist() == [3.0, 0.0, 2.0]
    assert Absolute().slope(r).tolist() == [-1.0, 0.0, 1.0]
    assert Absolute().curvature(r).tolist() == [0.0, 0.0, 0.0]


def test_huber_by_hand() -> None:
    r = np.array([-3.0, -2.0, 0.0, 1.0, 4.0])
    assert Huber(2.0).value(r).tolist() == [4.0, 2.0, 0.0, 0.5, 6.0]
    assert Huber(2.0).slope(r).tolist() == [-2.0, -2.0, 0.0, 1.0, 2.0]
    assert Huber(2.0).curvature(r).tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_quantile_by_hand() -> None:
    r = np.array([-4.0, 0.0, 2.0])
    assert Quantile(0.75).value(r).tolist() == [1.0, 0.0, 1.5]
    assert Quantile(0.75).slope(r).tolist() == [-0.25, 0.25, 0.75]
    assert Quantile(0.75).curvature(r).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("q", [0.1, 0.5, 0.75])
def test_quantile_is_least_at_the_quantile(q: float, rng: np.random.Generator) -> None:
    """What the loss is for: of all constants, the sample's quantile costs least."""
    y = rng.standard_normal(101)
    costs = [float(Quantile(q).value(y - c).sum()) for c in y]
    assert y[int(np.argmin(costs))] == np.quantile(y, q, method="inverted_cdf")


@pytest.mark.parametrize("delta", [1.0, 0.3])
def test_against_torch(delta: float) -> None:
    """Values and slopes of torch's own losses, at kinks too; `MSELoss` has no factor of one half."""
    torch = pytest.importorskip("torch")
    near = [1e-300, delta, np.nextafter(delta, 9), np.nextafter(delta, 0)]
    points = np.array([*POINTS, *near, *(-r for r in near)])
    q = 0.8
    pairs: list[tuple[Loss, Callable[[Any], Any]]] = [
        (Squared(), lambda r: torch.nn.MSELoss(reduction="none")(r, torch.zeros_like(r)) / 2),
        (Absolute(), lambda r: torch.nn.L1Loss(reduction="none")(r, torch.zeros_like(r))),
        (Huber(delta), lambda r: torch.nn.HuberLoss(reduction="none", delta=delta)(r, torch.zeros_like(r))),
        (Huber(delta), lambda r: delta * torch.nn.SmoothL1Loss(reduction="none", beta=delta)(r, torch.zeros_like(r))),
        (Quantile(q), lambda r: torch.maximum(q * r, (q - 1) * r)),
    ]
    for loss, theirs in pairs:
        r = torch.tensor(points, requires_grad=True)
        values = theirs(r)
        values.sum().backward()
        assert loss.value(points) == pytest.approx(values.detach().numpy(), rel=1e-15, abs=0)
        assert loss.slope(points) == pytest.approx(r.grad.numpy(), rel=4e-16, abs=1e-16)


def bent(bend: tuple[float, float, float], r: float) -> float:
    """The slope that a `bend` stands for, as the definition in `Loss` has it."""
    tilt, steepness, limit = bend
    if math.isinf(steepness):
        return tilt + limit * ((r > 0) - (r < 0))
    return tilt + min(max(steepness * r, -limit), limit)


@given(
    r=st.one_of(residuals, st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.0, -1.0, math.inf, -math.inf])),
    delta=st.floats(1e-300, 1e300),
    q=st.floats(0, 1, exclude_min=True, exclude_max=True),
)
def test_bend_is_the_slope(r: float, delta: float, q: float) -> None:
    for loss in (
        Squared(),
        Absolute(),
        Huber(delta),
        Huber(abs(r) or 1.0) if math.isfinite(r) else Huber(),
        Quantile(q),
    ):
        assert loss.bend is not None
        assert float(loss.slope(np.array([r]))[0]) == bent(loss.bend, r)


def test_bends_by_hand() -> None:
    assert Squared().bend == (0.0, 1.0, math.inf)
    assert Absolute().bend == (0.0, math.inf, 1.0)
    assert Huber(2.5).bend == (0.0, 1.0, 2.5)
    assert Quantile(0.75).bend == (0.25, math.inf, 0.5)


@given(r=residuals)
def test_laws(r: float) -> None:
    """A huge delta makes Huber squared; q = 1/2 half of absolute; q and 1 - q are mirror images."""
    point = np.array([r])
    for one, other, factor in ((Huber(1e200), Squared(), 1.0), (Quantile(0.5), Absolute(), 0.5)):
        for name in ("value", "slope"):
            assert getattr(one, name)(point).tolist() == (factor * getattr(other, name)(point)).tolist()
        assert one.curvature(point).tolist() == (factor * other.curvature(point)).tolist()
    assert Quantile(0.25).value(point).tolist() == Quantile(0.75).value(-point).tolist()
    assert Quantile(0.25).slope(point).tolist() == (-Quantile(0.75).slope(-point)).tolist()


@each_loss
def test_what_is_not_a_number_stays_that(loss: Loss) -> None:
    nan = np.array([np.nan])
    assert np.isnan(loss.value(nan)).all()
    assert np.isnan(loss.slope(nan)).all()


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan, math.inf, "1", None, np.ones(2)])
def test_a_delta_out_of_range_is_refused(delta: Any) -> None:
    with pytest.raises(InputError, match=r"delta of the Huber loss must be a finite number above 0, but is "):
        Huber(delta)


@pytest.mark.parametrize("q", [0.0, 1.0, -0.1, 90, math.nan, "0.5", None, Fraction(10**20 - 1, 10**20)])
def test_a_q_out_of_range_is_refused(q: Any) -> None:
    for asked in (q, [0.25, q], np.array([q], dtype=object)):
        with pytest.raises(InputError, match=r"q of the quantile loss must lie above 0 and below 1, but is "):
            Quantile(asked)


@pytest.mark.parametrize(
    "q", [[0.25, 0.5], (0.25, 0.5), np.array([0.25, 0.5], np.float32), iter([Fraction(1, 4), 0.5])]
)
def test_several_q_are_several_losses(q: Any) -> None:
    several = Quantile(q)
    assert several == Quantiles((0.25, 0.5))
    assert type(several.q) is tuple
    assert {type(number) for number in several.q} == {float}
    assert several.each() == (Quantile(0.25), Quantile(0.5))
    assert not isinstance(several, Loss)
    assert several.name == Quantile(0.5).name
    assert Quantile([0.9]).each() == (Quantile(0.9),)


@pytest.mark.parametrize(
    ("q", "says"),
    [
        ([], "at least one"),
        ([0.5, 0.25], r"must ascend, .* give \[0.25, 0.5\]"),
        ([0.5, 0.5], r"must ascend, .* give \[0.5\]"),
        ([[0.25, 0.5]], "must lie above 0"),
        (np.full((2, 2), 0.5), "must lie above 0"),
    ],
)
def test_quantiles_that_make_no_sense_together(q: Any, says: str) -> None:
    for make in (Quantile, Quantiles):
        with pytest.raises(InputError, match=says):
            make(q)
    with pytest.raises(InputError, match="several numbers"):
        Quantiles(0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", [Quantile(0.3), Quantile(np.float64(0.3)), Quantile([0.1, 0.9])])
def test_quantiles_are_copied_and_pickled(loss: Any) -> None:
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss), dataclasses.replace(loss)):
        assert other == loss
        assert type(other) is type(loss)
        assert hash(other) == hash(loss)
    with pytest.raises(dataclasses.FrozenInstanceError):
        loss.q = 0.5
    assert repr(Quantile(np.float64(0.3))) == "Quantile(q=0.3)"
    assert dataclasses.replace(Quantile(0.3), q=0.4) == Quantile(q=0.4)


def test_a_delta_in_units_of_a_scale() -> None:
    """Before the scale is known there is no loss; after it, one like any other."""
    loss = Huber(k=1.345)
    assert vars(loss) == {"delta": None, "k": 1.345, "scale": "mad"}
    assert loss.settle(2.0) == Huber(2.69)
    assert Huber(0.5).settle(2.0) == Huber(0.5)
    for use in (loss.value, loss.slope, loss.curvature, lambda _: loss.bend):
        with pytest.raises(InputError, match=r"Huber loss with k = 1.345 has no delta before.* \(delta=…\)"):
            use(POINTS)
    assert repr(Huber(k=2, scale="concomitant")) == "Huber(k=2.0, scale='concomitant')"
    assert Huber(k=2, scale="concomitant") != Huber(k=2) == Huber(k=2, scale="mad")
    for each in (loss, Huber(2.0), Huber(k=2, scale="concomitant")):
        assert pickle.loads(pickle.dumps(each)) == each == dataclasses.replace(each) == copy.deepcopy(each)
        assert hash(copy.copy(each)) == hash(each)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta": 1.0, "k": 1.345}, r"delta=1.0, .* or k=1.345, .*, not both"),
        ({"k": 0.0}, r"k of the Huber loss must be a finite number above 0, but is 0.0"),
        ({"k": math.inf}, r"k of the Huber loss must be"),
        ({"k": "1"}, r"k of the Huber loss must be"),
        ({"k": 1.0, "scale": "iqr"}, r'scale of the Huber loss must be "mad" or "concomitant", but is \'iqr\''),
        ({"scale": "mad"}, r"give k, or leave it out"),
        ({"delta": 2.0, "scale": "mad"}, r"give k, or leave it out"),
    ],
    ids=str,
)
def test_what_a_huber_loss_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Huber(**settings)


def test_a_loss_is_a_value() -> None:
    assert Squared() == Squared()
    assert Huber() == Huber(1.0)
    assert Quantile() == Quantile(0.5) != Quantile(0.6)
    assert len({Squared(), Absolute(), Huber(2.0), Huber(2.0), Quantile(0.1)}) == 4
    assert repr(Huber(2.0)) == "Huber(delta=2.0)"
    assert [loss.name for loss in (Squared(), Absolute(), Huber(), Quantile())] == [
        "squared", "absolute", "huber", "quantile"
    ]  # fmt: skip
    with pytest.raises(dataclasses.FrozenInstanceError):
        Huber().delta = 2.0  # type: ignore[misc]
    with pytest.raises(TypeError, match="abstract"):
        Loss()  # type: ignore[abstract]


def test_a_loss_of_ones_own_has_no_bend() -> None:
    class LogCosh(Loss):
        name = "log-cosh"

        def value(self, r: Float64s) -> Float64s:
            return np.logaddexp(r, -r) - math.log(2)

        def slope(self, r: Float64s) -> Float64s:
            return np.tanh(r)

        def curvature(self, r: Float64s) -> Float64s:
            return 1 / np.cosh(r) ** 2

    assert LogCosh().bend is None


def test_objective_by_hand() -> None:
    """Two rows with residuals 1 and -2 and weights 3 and 1, a penalty of 0.5 on a weight of 2."""
    source = ArraySource(np.array([[1.0], [2.0]]), np.array([4.0, 3.0]), weight=np.array([3.0, 1.0]))
    objective = Objective(Squared(), l2=0.5)
    assert objective.of(source, np.array([2.0]), 1.0) == (3 * 0.5 + 1 * 2.0) / 4 + 0.25 * 4
    assert Objective(Squared()).penalty(np.array([2.0])) == 0.0
    assert objective.penalty(np.array([2.0, 1.0])) == 0.25 * 5


@pytest.mark.parametrize("block_rows", [1, 7, 1000])
def test_objective_against_fractions(rng: np.random.Generator, block_rows: int) -> None:
    X, y, w = rng.standard_normal((40, 3)), rng.standard_normal(40), rng.uniform(0.1, 2, 40)
    beta, bias, l2 = rng.standard_normal(3), 0.7, 0.3
    exact, total = Fraction(0), Fraction(0)
    for i in range(40):
        r = Fraction(y[i]) - Fraction(bias) - sum(Fraction(X[i, j]) * Fraction(beta[j]) for j in range(3))
        exact += Fraction(w[i]) * r * r / 2
        total += Fraction(w[i])
    exact = exact / total + Fraction(l2) / 2 * sum(Fraction(b) ** 2 for b in beta)
    source = ArraySource(X, y, weight=w, block_rows=block_rows)
    assert Objective(Squared(), l2).of(source, beta, bias) == pytest.approx(float(exact), rel=1e-14)


def test_residual_stays_one_dimensional() -> None:
    """(n,) minus (n, 1) would become n × n."""
    block = Block(np.ones((5, 1), np.float32), np.arange(5, dtype=np.float32))
    r = residual(block, np.array([2.0]), 1.0)
    assert r.shape == (5,)
    assert r.dtype == np.float64
    assert r.tolist() == [-3.0, -2.0, -1.0, 0.0, 1.0]


@pytest.mark.parametrize("l2", [-1.0, -1e-300, float("nan"), float("inf")])
def test_a_penalty_that_is_no_penalty_is_refused(l2: float) -> None:
    with pytest.raises(InputError, match="l2 must be a finite number at least 0"):
        Objective(Squared(), l2=l2)
