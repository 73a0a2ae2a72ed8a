from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import linnet
from linnet.block import InputError
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.solvers.solver import Step
from reference_sgd import permutation, reference

torch = pytest.importorskip("torch")
if True:  # only now that torch is known to be there
    from linnet import concise, scratch

Train = Callable[..., Iterator[Step]]
BOTH: list[Train] = [scratch.train, concise.train]
both = pytest.mark.parametrize("train", BOTH, ids=["scratch", "concise"])

# The same four losses three times: by scratch, by torch.nn, and Linnet's own.
LOSSES: dict[str, tuple[Any, Any, Loss]] = {
    "squared": (scratch.squared, concise.squared, Squared()),
    "absolute": (scratch.absolute, concise.absolute, Absolute()),
    "huber": (scratch.huber, concise.huber, Huber()),
    "huber, delta 0.4": (partial(scratch.huber, delta=0.4), torch.nn.HuberLoss("none", 0.4), Huber(0.4)),
    "quantile": (partial(scratch.quantile, q=0.8), partial(concise.quantile, q=0.8), Quantile(0.8)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9, "lr": 0.01},
    "l2": {"l2": 0.3},
    "weights": {"weight": np.linspace(0, 5, 53)},
    "average": {"average": True},
    "schedule": {"schedule": "inverse-time", "decay": 2.0},
    "all": {
        "momentum": 0.5, "l2": 0.1, "weight": np.arange(53) % 7 + 0.5, "average": True,
        "schedule": "inverse-time", "decay": 0.5, "batch_size": 12,
    },
}  # fmt: skip


def problem(dtype: Any = np.float64) -> tuple[Any, Any]:
    """53 rows of 3 features, so that minibatches of 10 leave 3 rows."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((53, 3))
    y = X @ np.array([2.0, -3.4, 0.5]) + 4.2 + rng.standard_normal(53)
    return X.astype(dtype), y.astype(dtype)


def order(epoch: int) -> Any:
    """Some order of the 53 rows, another each epoch."""
    return np.random.default_rng(epoch).permutation(53)


START = np.array([0.3, -0.2, 0.1]), 0.5


def path(steps: Iterator[Step]) -> Any:
    """[bias, weights] after every step, (steps, d+1)."""
    return np.array([[step.bias, *(step.weights if step.weights is not None else ())] for step in steps])


def apart(one: Any, other: Any) -> float:
    """The largest distance between two paths of weights, relative to the size of the weights at that step."""
    assert one.shape == other.shape
    return float((np.abs(one - other).max(axis=1) / np.abs(other).max(axis=1)).max())


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["64", "32"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_in_lockstep(losses: tuple[Any, Any, Loss], options: dict[str, Any], dtype: Any, tolerance: float) -> None:
    """Scratch, concise and the reference pass through the same weights, step by step."""
    X, y = problem(dtype)
    common = {"lr": 0.05, "batch_size": 10, "start": START, **options}
    one = list(scratch.train(X, y, loss=losses[0], order=order, **common))
    other = list(concise.train(X, y, loss=losses[1], order=order, **common))
    known = reference(X, y, losses[2], orders=[order(epoch) for epoch in (1, 2, 3)], **common)
    truth = np.array([[b, *w] for w, b in known])
    assert apart(path(iter(one)), truth) < tolerance
    assert apart(path(iter(other)), truth) < tolerance
    assert [step.loss for step in one] == pytest.approx([step.loss for step in other], rel=10 * tolerance)
    assert [(s.epoch, s.step, s.rows) for s in one] == [(s.epoch, s.step, s.rows) for s in other]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_option_matters(options: dict[str, Any]) -> None:
    """Or else the test above would show nothing."""
    X, y = problem()
    plain, other = (path(scratch.train(X, y, order=order, start=START, **with_)) for with_ in ({}, options))
    assert (options == {}) == (plain.shape == other.shape and apart(plain, other) < 1e-3)


@both
def test_the_same_seed_draws_the_same_start_and_orders(train: Train) -> None:
    X, y = problem()
    rng = np.random.default_rng(11)
    first = rng.normal(0, 0.01, 3), 0.0
    orders = [permutation(rng, 53) for _ in "123"]
    drawn = reference(X, y, Squared(), lr=0.03, batch_size=10, start=first, orders=orders)
    assert apart(path(train(X, y, seed=11)), np.array([[b, *w] for w, b in drawn])) < 1e-12
    assert apart(path(train(X, y, seed=12)), path(train(X, y, seed=11))) > 1e-3


@both
def test_a_step_by_hand(train: Train) -> None:
    """Residuals 1 and 3 of the first minibatch of two; then -2.5 of the one row that is left.

    Gradient of w: -(1·1 + 3·2)/2 = -3.5, of b: -(1 + 3)/2 = -2; with lr 0.5, w = 1.75 and b = 1.
    Row 3: prediction 3·1.75 + 1 = 6.25, residual 3.75 - 6.25 = -2.5: w -= 0.5·7.5 and b -= 0.5·2.5.
    """
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 3.0, 3.75])
    steps = list(train(X, y, lr=0.5, batch_size=2, epochs=1, start=([0.0], 0.0), order=lambda _: [0, 1, 2]))
    assert [(step.epoch, step.step, step.rows) for step in steps] == [(1, 1, 2), (1, 2, 3)]
    assert path(iter(steps)).tolist() == [[1.0, 1.75], [-0.25, -2.0]]
    assert [step.loss for step in steps] == [(0.5 + 4.5) / 2, 3.125]
    assert steps[0].weights is not None
    assert steps[0].weights.dtype == np.float64
    assert isinstance(steps[0].bias, float)
    assert isinstance(steps[0].loss, float)


@both
def test_counts_go_on_over_epochs(train: Train) -> None:
    X, y = problem()
    steps = list(train(X, y, batch_size=20, epochs=2))
    assert [(s.epoch, s.step, s.rows) for s in steps] == [
        (1, 1, 20), (1, 2, 40), (1, 3, 53), (2, 4, 20), (2, 5, 40), (2, 6, 53)
    ]  # fmt: skip


@both
def test_each_step_keeps_its_own_weights(train: Train) -> None:
    """A Step that shared memory with the run would change when the run goes on."""
    X, y = problem()
    steps, seen = [], []
    for step in train(X, y):
        steps.append(step)
        seen.append(np.array(step.weights))
    assert len({step.weights.tobytes() for step in steps if step.weights is not None}) == len(steps)
    assert all(np.array_equal(step.weights, w) for step, w in zip(steps, seen, strict=True) if step.weights is not None)


@both
def test_data_of_any_kind(train: Train) -> None:
    """Arrays, read-only or reversed, tensors, lists, a target of shape (n, 1): all the same, and left as they were."""
    X, y = problem()
    want = path(train(X, y))
    frozen = X.copy()
    frozen.flags.writeable = False
    tensor = torch.tensor(X, requires_grad=True)
    for features, target in (
        (frozen, y[:, None]),
        (X[::-1][::-1], y.tolist()),
        (np.asfortranarray(X), torch.tensor(y)),
        (tensor, torch.tensor(y)[:, None]),
        (X.tolist(), y),
        (torch.tensor(X).to(scratch.device()), torch.tensor(y).to(scratch.device())),
    ):
        assert np.array_equal(path(train(features, target)), want)
    assert tensor.grad is None
    assert np.array_equal(X, problem()[0])
    whole = path(train(np.arange(6).reshape(3, 2), [1, 2, 3], epochs=1))
    assert np.array_equal(whole, path(train(np.arange(6.0).reshape(3, 2), [1.0, 2.0, 3.0], epochs=1)))


@both
def test_the_type_follows_x(train: Train) -> None:
    X, y = problem()
    narrow, wide = path(train(X.astype(np.float32), y)), path(train(X, y))
    assert np.array_equal(narrow, narrow.astype(np.float32))
    assert not np.array_equal(wide, wide.astype(np.float32))


@both
def test_the_start_in_any_shape(train: Train) -> None:
    X, y = problem()
    want = path(train(X, y, start=START))
    for w, b in ((START[0][:, None], [0.5]), (torch.tensor(START[0])[None], torch.tensor(0.5))):
        assert np.array_equal(path(train(X, y, start=(w, b))), want)
    one = path(train(X[:, :1], y, start=(0.3, 0.5)))
    assert np.array_equal(path(train(X[:, :1], y, start=np.array([0.3, 0.5]))), one)


@both
def test_settings_from_numpy(train: Train) -> None:
    X, y = problem()
    counts = {"batch_size": np.int64(20), "epochs": np.int32(2), "seed": np.uint8(4)}
    want = path(train(X, y, batch_size=20, epochs=2, seed=4, lr=0.25, momentum=0.5, l2=0.125))
    assert np.array_equal(path(train(X, y, lr=np.float32(0.25), momentum=np.float64(0.5), l2=0.125, **counts)), want)


@both
@pytest.mark.parametrize("seed", range(3))
def test_experiment_a(train: Train, seed: int) -> None:
    """1,000 rows, w = (2, -3.4), b = 4.2, noise 0.01: within what the random start explains of what was published."""
    X, y = scratch.synthetic_data([2, -3.4], 4.2, 1000, seed=seed)
    steps = [step for step in train(X, y, seed=seed) if step.rows == 1000]
    losses = []
    for step in steps:
        assert step.weights is not None
        assert step.bias is not None
        r = y.cpu().numpy() - X.cpu().numpy() @ step.weights - step.bias
        losses.append(float((r**2).mean() / 2))
    assert len(losses) == 3
    assert 0.01 < losses[0] < 0.08
    assert 4.3e-5 < losses[2] < 5.7e-5
    assert steps[-1].weights == pytest.approx([2, -3.4], abs=2e-3)
    assert steps[-1].bias == pytest.approx(4.2, abs=2e-3)


def test_synthetic_data() -> None:
    X, y = scratch.synthetic_data([2, -3.4], 4.2, 20_000, noise=0.5, seed=1)
    assert (X.shape, y.shape, X.dtype, X.device.type) == ((20_000, 2), (20_000,), torch.float32, scratch.device().type)
    assert X.mean(dim=0).tolist() == pytest.approx([0, 0], abs=0.03)
    assert X.std(dim=0).tolist() == pytest.approx([1, 1], abs=0.02)
    error = y - (2 * X[:, 0] - 3.4 * X[:, 1] + 4.2)
    assert float(error.mean()) == pytest.approx(0, abs=0.02)
    assert float(error.std()) == pytest.approx(0.5, abs=0.01)
    assert torch.equal(scratch.synthetic_data([2, -3.4], 4.2, 20_000, 0.5, seed=1)[1], y)
    assert not torch.equal(scratch.synthetic_data([2, -3.4], 4.2, 20_000, 0.5, seed=2)[1], y)


@pytest.mark.parametrize(
    "w", [(2, -3), np.array([2.0, -3.0]), torch.tensor([2.0, -3.0]), torch.tensor([[2], [-3]])],
    ids=["whole numbers", "array", "tensor", "column"],
)  # fmt: skip
def test_synthetic_data_from_weights_of_any_kind(w: Any) -> None:
    X, y = scratch.synthetic_data(w, 4, 10)
    plain_X, plain_y = scratch.synthetic_data([2.0, -3.0], 4.0, 10)
    assert y.dtype == torch.float32
    assert torch.equal(X, plain_X)
    assert torch.equal(y, plain_y)


def test_minibatches_give_every_row_once() -> None:
    X, y = torch.arange(14.0).reshape(7, 2), torch.arange(7.0)
    parts = list(scratch.minibatches([6, 5, 4, 3, 2, 1, 0], 3, X, y))
    assert [len(part) for part, _ in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([part for part, _ in parts]), X.flip(0))
    assert torch.equal(torch.cat([part for _, part in parts]), y.flip(0))
    with pytest.raises(InputError, match="batch_size must be a whole number of rows"):
        next(scratch.minibatches([0, 1], 0, X))


def test_the_device_is_cuda_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert scratch.device() == torch.device(kind)


@pytest.mark.parametrize("losses", LOSSES.values(), ids=LOSSES)
def test_losses_are_linnets_own(losses: tuple[Any, Any, Loss]) -> None:
    """Value and slope, at the kinks too; and a column of targets is never spread into n × n."""
    prediction, y = torch.zeros(9, dtype=torch.float64), torch.tensor([-3, -1, -0.4, -1e-9, 0, 1e-9, 0.4, 1, 3])
    y = y.double().requires_grad_()
    for loss in losses[:2]:
        costs = loss(prediction, y)
        (slope,) = torch.autograd.grad(costs.sum(), y)
        assert costs.detach().numpy() == pytest.approx(losses[2].value(y.detach().numpy()), rel=1e-15, abs=0)
        assert slope.numpy() == pytest.approx(losses[2].slope(y.detach().numpy()), rel=4e-16, abs=1e-16)
    assert torch.equal(losses[0](prediction, y[:, None]), losses[0](prediction, y))
    assert losses[0](prediction[:, None], y).shape == (9, 1)
    with pytest.raises(RuntimeError, match="shape"):
        losses[0](prediction[:8], y)


def test_the_rate_falls_as_time_goes_by() -> None:
    assert [scratch.rate(0.6, "constant", 1.0, k) for k in (0, 1, 9)] == [0.6, 0.6, 0.6]
    assert [scratch.rate(0.6, "inverse-time", 2.0, k) for k in (0, 0.5, 1)] == [0.6, 0.3, pytest.approx(0.2)]
    with pytest.raises(InputError, match="schedule must be"):
        scratch.rate(0.6, "cosine", 1.0, 0)


def test_sgd_forgets_the_gradient() -> None:
    """Without that, two steps would add up their gradients: 3 + 3, not 3."""
    w = torch.tensor(0.0, requires_grad=True)
    for want in (-0.3, -0.6):
        (3 * w).backward()
        scratch.sgd([w], [torch.tensor(0.0)], 0.1)
        assert w.item() == pytest.approx(want)
        assert w.grad is None


@both
def test_too_large_a_rate_shows(train: Train) -> None:
    """Divergence is the learner's to see: the loss grows and grows."""
    X, y = problem()
    losses = [step.loss or 0.0 for step in train(X, y, lr=3.0, batch_size=53, epochs=20)]
    assert all(later > 2 * earlier for earlier, later in pairwise(losses))
    assert math.isfinite(losses[-1])


@both
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": np.ones(52)}, "X has 53 rows, but y has 52 values"),
        ({"y": np.ones((53, 2))}, r"y must have one dimension"),
        ({"X": np.ones(53)}, r"X must have two dimensions"),
        ({"X": np.ones((0, 3))}, "at least one row"),
        (
            {"X": np.full((53, 3), np.nan)},
            r"Column 'x1' is missing \(NaN\) in row 1,.*looked at: drop these rows, or mend the data\.$",
        ),
        ({"weight": -np.ones(53)}, "weights must be finite and at least 0"),
        ({"weight": np.ones(5)}, "X has 53 rows, but weight has 5 values"),
        ({"weight": np.zeros(53)}, "every row has weight 0"),
        ({"X": np.ones((53, 3), np.float32), "y": np.full(53, 1e300)}, "Column 'y' is infinite in row 1"),
        ({"start": ([1.0, 2.0], 0.0)}, r"of 3 weights, one a column, and the bias"),
        ({"start": ([1.0, 2.0, 3.0], [0.0, 1.0])}, r"pair \(w, b\) of 3 weights"),
        (
            {"start": (0.0, 1.0, 2.0, 3.0)},
            r"3\.0\)\. \(linnet\.SGD's start is one row, bias first",
        ),
        ({"start": np.array([1.0, 2.0, 3.0])}, r"is array\(\[1\., 2\., 3\.\]\)"),
        ({"start": ([np.nan, 1.0, 2.0], 0)}, "all finite numbers"),
        ({"start": ([0.0, 1.0, 2.0], None)}, "all finite numbers"),
        ({"start": 1.0}, r"pair \(w, b\)"),
        ({"loss": "huber"}, r"such as scratch\.huber .* but is 'huber'"),
        ({"loss": linnet.Huber()}, r"such as scratch\.huber .* but is Huber\(delta=1\.0\)"),
        ({"loss": torch.nn.HuberLoss}, r"HuberLoss\(reduction='none'\), but is <class"),
        ({"loss": torch.nn.MSELoss()}, "reduction='none'"),
        ({"lr": math.nan}, "lr must be a finite number above 0 .*, but is nan"),
        ({"lr": -0.03}, "lr must be a finite number above 0 .*, but is -0.03"),
        ({"lr": 0}, "lr must be a finite number above 0"),
        ({"lr": "auto"}, 'only linnet.SGD knows "auto"'),
        ({"batch_size": 0}, "batch_size must be a whole number of rows, at least 1, but is 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number of rows, at least 1, but is 2.5"),
        ({"epochs": 0}, "epochs must be a whole number, at least 1, but is 0"),
        ({"epochs": -3}, "epochs must be a whole number, at least 1, but is -3"),
        ({"epochs": 2.5}, "epochs must be a whole number, at least 1, but is 2.5"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"momentum": -0.5}, "momentum must be a number from 0 to 1, but is -0.5"),
        ({"momentum": 1.5}, "momentum must be a number from 0 to 1"),
        ({"l2": -1}, "l2 must be a finite number, at least 0, but is -1"),
        ({"average": "yes"}, "average must be True or False"),
        ({"schedule": "cosine"}, 'schedule must be "constant" or "inverse-time", but is \'cosine\''),
        ({"decay": -1}, "decay must be a finite number above 0, but is -1"),
        ({"order": [0, 1]}, "order must be a function that gives the row numbers"),
        (
            {"order": lambda _: None},
            "order of an epoch must be a list or an array of row numbers.* from 0 to 52, but is None",
        ),
        ({"order": lambda _: (i for i in range(53))}, "but is <generator"),
        ({"order": lambda _: [0, 53]}, r"but is \[0, 53\]"),
        ({"order": lambda _: [3, -1]}, r"but is \[3, -1\]"),
        ({"order": lambda _: []}, r"but is \[\]"),
        ({"order": lambda _: np.ones(53, bool)}, r"but is array\(\[ True"),
        ({"order": lambda _: np.arange(53.0)}, r"but is array\(\[ 0\.,"),
        ({"order": lambda _: torch.arange(53)[:, None]}, r"but is tensor\("),
        ({"order": lambda _: [[0], [1, 2]]}, r"but is \[\[0\], \[1, 2\]\]"),
        ({"order": lambda _: "012"}, "but is '012'"),
        ({"seed": -1}, "seed must be a whole number, at least 0, but is -1"),
        ({"seed": 0.5}, "seed must be a whole number, at least 0"),
    ],
    ids=lambda case: next(iter(case)) if isinstance(case, dict) else "",
)
def test_what_cannot_be_used_is_refused(train: Train, changes: dict[str, Any], message: str) -> None:
    X, y = problem()
    with pytest.raises(InputError, match=message):
        list(train(**{"X": X, "y": y, **changes}))


@both
def test_an_order_may_be_any_sequence_of_row_numbers(train: Train) -> None:
    """Some rows, or some twice: what counts is that they are rows."""
    X, y = problem()
    known = [5, 0, 52, 5]
    forms = known, tuple(known), np.array(known, np.uint8), torch.tensor(known), np.array(known, ">i4")
    ends = [list(train(X, y, order=lambda _, form=form: form, batch_size=2))[-1] for form in forms]
    w = np.array([end.weights for end in ends])
    assert (w == w[0]).all()
    assert all(end.rows == 4 for end in ends)
    by_range = list(train(X, y, order=lambda _: range(53)))[-1]
    assert by_range.rows == 53


def test_one_page() -> None:
    assert len(Path(scratch.__file__).read_text(encoding="utf-8").splitlines()) <= 150
