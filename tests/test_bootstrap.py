from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from linnet.block import Block, InputError
from linnet.bootstrap import Reweighted
from linnet.bootstrap import bootstrap as errors_and_notes
from linnet.inference import Uncertainty
from linnet.losses import Absolute, Huber, Loss, Quantile, Squared
from linnet.moments import Moments
from linnet.objective import Objective
from linnet.sandwich import assess
from linnet.solution import Solution
from linnet.solvers.exact import Exact
from linnet.solvers.interior_point import InteriorPoint
from linnet.solvers.newton import Newton
from linnet.solvers.solver import Solver, Step
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source

Floats = NDArray[np.float64]
LEAST = Objective(Squared())


def bootstrap(*args: Any, **settings: Any) -> Uncertainty | None:
    """The errors alone."""
    return errors_and_notes(*args, **settings)[0]


def solution_of(source: Source, objective: Objective = LEAST) -> Solution:
    (block,) = source.blocks()
    return Moments.of(block).solve(objective.l2, objective.intercept)


def joined(source: Source) -> tuple[Floats, Floats, Floats]:
    """All X, y and weights of a pass."""
    blocks = list(source.blocks())
    weights: list[Floats] = [block.weight for block in blocks if block.weight is not None]
    return (
        np.concatenate([block.X for block in blocks]),
        np.concatenate([block.y for block in blocks if block.y is not None]),
        np.concatenate(weights),
    )


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """X (3000, 2), y with residuals that spread differently, weights."""
    X = rng.standard_normal((3000, 2)) + np.array([3.0, -1.0])
    return X, X @ [1.0, 2.0] + rng.standard_normal(3000) * (0.5 + np.abs(X[:, 0] - 3)), rng.uniform(0.5, 2.0, 3000)


def test_draws_are_the_same_on_every_pass_and_whatever_the_blocks(table: tuple[Floats, Floats, Floats]) -> None:
    X, y, w = table
    whole = Reweighted(ArraySource(X, y, weight=w), (1, 2))
    pieces = Reweighted(ArraySource(X, y, weight=w, block_rows=7), (1, 2))
    first = joined(whole)[2]
    for again in (joined(whole)[2], joined(pieces)[2]):
        np.testing.assert_array_equal(again, first)
    held = whole.held()
    assert held is not None
    assert np.shares_memory(held.X, X)
    np.testing.assert_array_equal(held.weight, first)
    other = joined(Reweighted(ArraySource(X, y, weight=w), (1, 3)))[2]
    assert not (other == first).any()
    draws = first / w
    assert draws.mean() == pytest.approx(1, abs=4 / np.sqrt(3000))
    assert draws.var() == pytest.approx(1, abs=4 * np.sqrt(8 / 3000))


def test_dropped_rows_take_no_draw(table: tuple[Floats, Floats, Floats]) -> None:
    X, y, _ = table
    holes = X.copy()
    holes[::5, 0] = np.nan
    kept = np.arange(len(X)) % 5 != 0
    with_holes = Reweighted(ArraySource(holes, y, missing="drop", block_rows=11), (0, 0))
    for left, right in zip(joined(with_holes), joined(Reweighted(ArraySource(X[kept], y[kept]), (0, 0))), strict=True):
        np.testing.assert_array_equal(left, right)
    assert with_holes.dropped == 600
    assert with_holes.held() is None
    *_, last = with_holes.blocks()
    assert with_holes.where(last.start) == f"row {last.start + 1:,}"  # 2,992 is no multiple of 5
    assert (with_holes.rows, with_holes.target, with_holes.design.names) == (3000, "y", ("x1", "x2"))


@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_has_the_errors_of_its_sandwich(table: tuple[Floats, Floats, Floats], weighted: bool) -> None:
    """HC0 is what the weighted bootstrap tends to; classical errors are far from it here."""
    X, y, w = table
    source = ArraySource(X, y, weight=w if weighted else None)
    solution = solution_of(source)
    errors = bootstrap(Exact(), LEAST, source, solution, replicates=1000)
    robust, classical = solution.robust(source, "hc0")[0], solution.uncertainty
    assert errors is not None
    assert robust is not None
    assert classical is not None
    assert errors.sd == pytest.approx(robust.sd, rel=4 / np.sqrt(2000))
    assert classical.sd[2] < 0.8 * robust.sd[2]
    np.testing.assert_allclose(errors.correlation, robust.correlation, atol=4 / np.sqrt(1000))
    assert (errors.correlation.diagonal() == 1).all()


def test_size_of_weights_and_units_do_not_matter(table: tuple[Floats, Floats, Floats]) -> None:
    X, y, w = table
    sds = []
    for scale, factor in ((1.0, 1.0), (1e-3, 8.0), (1e-200, 8.0)):
        source = ArraySource(X, y * scale, weight=w * factor)
        errors = bootstrap(Exact(), LEAST, source, solution_of(source), replicates=20)
        assert errors is not None
        sds.append(errors.sd / scale)
    assert sds[1] == pytest.approx(sds[0], rel=1e-9)
    assert sds[2] == pytest.approx(sds[0], rel=1e-9)


def test_seed_decides(table: tuple[Floats, Floats, Floats]) -> None:
    X, y, _ = table
    source = ArraySource(X[:50], y[:50])
    one, same, other = (
        bootstrap(Exact(), LEAST, source, solution_of(source), replicates=5, seed=seed) for seed in (1, 1, 2)
    )
    assert one is not None
    assert same is not None
    assert other is not None
    np.testing.assert_array_equal(one.sd, same.sd)
    assert not np.isclose(one.sd, other.sd).any()


def test_without_intercept(table: tuple[Floats, Floats, Floats]) -> None:
    X, y, _ = table
    source, objective = ArraySource(X, y), Objective(Squared(), intercept=False)
    errors = bootstrap(Exact(), objective, source, solution_of(source, objective), replicates=10)
    assert errors is not None
    assert errors.sd[:2].tolist() == [0.0, 0.0]
    assert (errors.sd[2:] > 0).all()


def test_no_degrees_of_freedom_no_errors() -> None:
    source = ArraySource([[1.0], [2.0]], [1.0, 3.0])
    assert bootstrap(Exact(), LEAST, source, solution_of(source)) is None


@dataclasses.dataclass(frozen=True)
class Noted(Solver):
    """Least squares, whose answers are noted as [bias, weights]."""

    name = "noted"
    answers: list[Floats]

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        *_, last = Exact().steps(objective, source)
        assert last.weights is not None
        self.answers.append(np.r_[last.bias, last.weights])
        yield last


def test_errors_are_standard_deviations_of_the_answers(table: tuple[Floats, Floats, Floats]) -> None:
    """With the number of fits less 1 for divisor; of the value at the centre too."""
    X, y, w = table
    source, noted = ArraySource(X[:40], y[:40], weight=w[:40]), Noted([])
    errors = bootstrap(noted, LEAST, source, solution_of(source), replicates=7)
    assert errors is not None
    bias, *weights = np.array(noted.answers).T
    at_centre = bias + np.average(X[:40], axis=0, weights=w[:40]) @ weights
    joint = np.array([bias, at_centre, *weights])
    assert joint.shape == (4, 7)
    assert errors.sd == pytest.approx(joint.std(axis=1, ddof=1), rel=1e-12)
    np.testing.assert_allclose(errors.correlation, np.corrcoef(joint), rtol=1e-10)


@dataclasses.dataclass(frozen=True)
class MedianOfTarget(Solver):
    """The weighted median, without features: enough to see which rows and which loss a solver is given."""

    name = "median"

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        assert isinstance(objective.loss, Absolute)
        block = source.held()
        assert block is not None
        assert block.y is not None
        assert block.weight is not None
        order = np.argsort(block.y)
        below = np.cumsum(block.weight[order])
        middle = order[int(np.searchsorted(below, below[-1] / 2))]
        yield Step(epoch=1, step=1, rows=block.rows, weights=np.zeros(1), bias=float(block.y[middle]))


def test_median_has_its_asymptotic_error(rng: np.random.Generator) -> None:
    """1/(2·f(0)·√n), which for normal errors is √(π/2)·sd/√n."""
    y = rng.standard_normal(4000)
    source = ArraySource(np.zeros((4000, 1)), y)
    errors = bootstrap(MedianOfTarget(), Objective(Absolute()), source, solution_of(source), replicates=400)
    assert errors is not None
    assert errors.sd[0] == pytest.approx(np.sqrt(np.pi / 2 / 4000), rel=0.2)
    assert errors.sd[1] == errors.sd[0]
    assert errors.sd[2] == 0


@pytest.mark.parametrize(
    ("solver", "loss", "settled", "kind"),
    [
        (InteriorPoint(), Absolute(), Absolute(), "nid"),
        (InteriorPoint(), Quantile(0.8), Quantile(0.8), "nid"),
        (Newton(), Huber(1.0), Huber(1.0), "sandwich"),
        (Newton(), Huber(k=1.345), Huber(1.5), "sandwich"),
    ],
)
def test_robust_fits_have_the_errors_of_their_sandwich(
    rng: np.random.Generator, solver: Solver, loss: Loss, settled: Loss, kind: str
) -> None:
    """As nearly as 100 replicates (7 % each), the density at one point and a delta estimated anew allow."""
    X = rng.uniform(-1, 1, (1500, 2))
    y = X @ [1.0, 2.0] + rng.standard_normal(1500) * (1 + 0.5 * X[:, 0])
    source, objective = ArraySource(X, y, weight=rng.uniform(0.5, 2.0, 1500)), Objective(loss)
    solution = solution_of(source)
    *_, last = solver.steps(objective, source)
    assert last.weights is not None
    assert last.bias is not None
    errors = bootstrap(solver, objective, source, solution, replicates=100)
    found = assess(source, Objective(settled), solution, last.weights, last.bias, kind)
    assert errors is not None
    assert found.uncertainty is not None
    assert errors.sd == pytest.approx(found.uncertainty.sd, rel=0.4)
    assert np.mean(errors.sd / found.uncertainty.sd) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"replicates": 1}, "replicates must be a whole number, at least 2"),
        ({"replicates": 20.0}, "replicates"),
        ({"replicates": True}, "replicates"),
        ({"seed": -1}, "seed must be a whole number, at least 0"),
    ],
)
def test_numbers_out_of_range(settings: dict[str, Any], words: str) -> None:
    source = ArraySource([[1.0], [2.0], [4.0]], [1.0, 3.0, 2.0])
    with pytest.raises(InputError, match=words):
        bootstrap(Exact(), LEAST, source, solution_of(source), **settings)


def test_refusals() -> None:
    source = ArraySource([[1.0], [2.0], [4.0], [5.0]], [1.0, 3.0, 2.0, 2.0])
    solution = solution_of(source)
    with pytest.raises(InputError, match=r"Fit 1 of the bootstrap's 200 failed.*Or ask for other errors"):
        bootstrap(Exact(), Objective(Absolute()), source, solution)
    source.rereadable = False
    with pytest.raises(InputError, match="can be read only once"):
        bootstrap(Exact(), LEAST, source, solution)


def test_rows_of_weight_0_stay_out() -> None:
    X, y = np.array([[1.0], [2.0], [4.0], [1e9]]), np.array([1.0, 3.0, 2.0, -1e9])
    source = Reweighted(ArraySource(X, y, weight=[1.0, 1.0, 1.0, 0.0]), (0, 0))
    (block,) = source.blocks()
    assert isinstance(block, Block)
    assert block.weight is not None
    assert block.weight[3] == 0
    assert (block.weight[:3] > 0).all()
