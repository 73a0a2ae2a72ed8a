"""What a first pass tells of the rows, however they come: the sums, and whether rows that lie together are alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet import SGD, Objective, Squared
from linnet.block import Block
from linnet.moments import Moments
from linnet.solvers import gathering as module
from linnet.solvers.gathering import Past, Rows, Tally, gather, survey_of
from linnet.solvers.survey import Survey
from linnet.sources.arrays import ArraySource

Floats = NDArray[np.float64]
OBJECTIVES = {"plain": Objective(Squared()), "no intercept": Objective(Squared(), l2=0.1, intercept=False)}
every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=list(OBJECTIVES))
every_weight = pytest.mark.parametrize("weighted", [False, True])


def table(n: int = 640, *, offset: float = 0.0, weighted: bool = False) -> Block:
    """Columns of different sizes; if there are weights, a third of them is 0, and so are those of the first rows."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 3)) * [1.0, 100.0, 1e-3] + [offset, 5.0, 0.0]
    y = offset + X @ [1.0, 0.02, 500.0] + rng.standard_normal(n)
    weight = np.where(np.arange(n) % 3, rng.uniform(0.5, 2.0, n), 0.0)
    weight[:5] = 0.0
    return Block(X, y, weight if weighted else None)


def gathered(solver: SGD, block: Block, before: Past | None = None, objective: Objective | None = None) -> Rows:
    """The Rows of a Block."""
    assert block.y is not None
    steps = gather(
        solver, objective or Objective(Squared()), ArraySource(block.X, block.y, weight=block.weight), before or Past()
    )
    while True:
        try:
            next(steps)
        except StopIteration as over:
            rows: Rows = over.value
            return rows


def expected(block: Block, intercept: bool) -> tuple[int, float, Floats, Floats]:
    """n, total, centre and scale by NumPy, in extended precision."""
    assert block.y is not None
    z = np.column_stack([block.X, block.y]).astype(np.longdouble)
    w = np.ones(len(z), np.longdouble) if block.weight is None else block.weight.astype(np.longdouble)
    centre = (w @ z / w.sum()) * intercept
    return int((w > 0).sum()), float(w.sum()), centre, np.sqrt(w @ (z - centre) ** 2 / w.sum())


def told(survey: Survey) -> tuple[int, float, Floats, Floats]:
    return survey.n, survey.total, survey.centre, survey.scale


def agree(found: Any, wanted: Any, rel: float = 1e-10) -> None:
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other.astype(float) if isinstance(other, np.ndarray) else other, rtol=rel)


@every_objective
@every_weight
@pytest.mark.parametrize("widest", [4096, 2], ids=["moments", "wide"])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_centre_and_scale_are_those_of_all_rows_however_they_are_cut(
    objective: Objective, weighted: bool, widest: int, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far from 0 too: sums are taken about the first rows, and those of later runs about the same."""
    monkeypatch.setattr(module, "WIDEST", widest)
    block = table(offset=offset, weighted=weighted)
    wanted = expected(block, objective.intercept)
    parts = [block.part(slice(a, b)) for a, b in ((0, 7), (7, 8), (8, 300), (300, 640))]
    whole, one = Tally(3), Tally(3)
    whole.add(block)
    for part in parts:
        assert one.add(part)
    several = Tally(3)
    several.add(parts[0])
    for part in parts[1:]:
        each = Tally(3, several)
        each.add(part)
        several = several + each
    for tally in (whole, one, several):
        agree(told(tally.survey(objective)), wanted, 1e-8 if offset else 1e-12)
        assert (tally.survey(objective).moments is None) == (widest == 2)


@every_weight
@pytest.mark.parametrize("widest", [4096, 2], ids=["moments", "wide"])
def test_what_earlier_runs_leave_adds_up(weighted: bool, widest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Number of rows, of weights and of squares, from which comes the target's size; by a run or by its Moments."""
    monkeypatch.setattr(module, "WIDEST", widest)
    block = table(offset=100.0, weighted=weighted)
    assert block.y is not None
    w = np.ones(640) if block.weight is None else block.weight
    total, square = w.sum(), w @ block.y**2
    first, second = block.part(slice(400)), block.part(slice(400, 640))
    for solver in (SGD(), SGD(lr=1e-9, tol=None)):
        past = gathered(solver, first).past
        rows = gathered(solver, second, past)
        np.testing.assert_allclose(rows.past[:3], [640, total, square], rtol=1e-12)
        assert rows.size == pytest.approx(np.sqrt(square / total), rel=1e-12)
        assert (rows.scales is None) == (solver.lr != "auto")
        if rows.scales is not None and rows.survey is not None:
            agree(told(rows.scales), expected(block, True), 1e-9)
            agree(told(rows.survey), expected(second, True), 1e-9)
    for precision in ("float64", "exact"):
        known = Past.of(Moments.of(block, precision))
        np.testing.assert_allclose(known[1:3], [total, square], rtol=1e-12)
        assert known.rows == np.count_nonzero(w)
        assert known.tally is not None
        agree(told(known.tally.survey(Objective(Squared()))), expected(block, True), 1e-9)
    assert Past.of(None) == Past()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_size_of_targets_whose_squares_overflow_float32(dtype: Any) -> None:
    block = Block(np.ones((3, 1), dtype), np.array([3e30, -4e30, 0.0], dtype))
    assert gathered(SGD(lr=0.1, tol=None), block).size == pytest.approx(5e30 / np.sqrt(3), rel=1e-6)


@every_weight
def test_a_survey_that_nobody_asked_for_before_is_the_same(weighted: bool) -> None:
    block = table(weighted=weighted)
    assert block.y is not None
    source = ArraySource(block.X, block.y, weight=block.weight)
    objective = Objective(Squared())
    asked, unasked = gathered(SGD(), block), gathered(SGD(lr=0.1, tol=None), block)
    assert asked.survey is not None
    assert unasked.survey is None
    agree(told(survey_of(unasked.spool.blocks, objective, source)), told(asked.survey), 1e-14)


def test_rows_that_float64_cannot_tell_apart_are_summed_exactly() -> None:
    """A column that differs from another in its eighth digit."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((500, 2))
    X[:, 1] = X[:, 0] + 2.0**-26 * X[:, 1]
    survey = gathered(SGD(), Block(X, X @ [1.0, 1.0] + 1.0)).survey
    assert survey is not None
    assert survey.optimum is not None
    np.testing.assert_allclose(survey.optimum, [1.0, 1.0, 1.0], rtol=1e-6)


# --- Rows that lie together -------------------------------------------------------------------------------------------


def ordered(y: Any, weight: Any = None) -> bool:
    """Whether a run without a whole shuffle says that rows which lie together are alike."""
    X = np.random.default_rng(1).standard_normal((len(y), 2))
    said = set()
    for shuffle in (False, "pieces", True):
        fit = linnet.fit(X, y, weight=weight, solver=SGD(shuffle=shuffle, epochs=1), errors="none")
        alike = any("rows that lie together are alike" in note for note in fit.notes)
        assert not (alike and shuffle is True)
        said.add(alike)
    return len(said) == 2


@pytest.mark.parametrize("n", [640, 19_200])
@pytest.mark.parametrize("about", [0.0, 1e6, 1.7e9])
@pytest.mark.parametrize("weights", ["none", "equal", "uneven", "some 0"])
def test_the_order_of_rows_is_seen_wherever_the_target_lies(n: int, about: float, weights: str) -> None:
    """About 0, or Unix times, of which the squares leave nothing of what differs."""
    rng = np.random.default_rng(2)
    y = about + rng.standard_normal(n)
    weight = {
        "none": None,
        "equal": np.full(n, 3.0),
        "uneven": rng.uniform(0.1, 10.0, n),
        "some 0": rng.integers(0, 2, n).astype(float),
    }[weights]
    assert not ordered(y, weight)
    assert ordered(np.sort(y), weight)
    assert not ordered(np.sort(y)[np.arange(n).reshape(64, -1).T.ravel()], weight)
    if weight is not None:
        for size in (1e-180, 1e180):  # whose squares leave float64's range
            assert ordered(np.sort(y), weight * size)


@pytest.mark.parametrize("filled", [-9999.0, 1e9])
def test_targets_of_weight_0_say_nothing_of_the_order(filled: float) -> None:
    """A number for what is missing, in pieces as a whole and elsewhere more and more often."""
    rng = np.random.default_rng(2)
    y, weight = rng.standard_normal(3200), np.ones(3200)
    missing = rng.random(3200) < np.linspace(0.0, 0.9, 3200)
    missing[640:1280] = True
    y[missing], weight[missing] = filled, 0.0
    assert not ordered(y, weight)
    kept = np.flatnonzero(weight)
    y[kept] = np.sort(y[kept])
    assert ordered(y, weight)


# --- Row weights ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [SGD(epochs=20), SGD(lr=0.01, epochs=20, batch_size=100)], ids=["auto", "0.01"])
@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
@pytest.mark.parametrize("times", [1e-6, 1e6])
def test_only_the_ratios_of_weights_matter(solver: SGD, loss: str, times: float) -> None:
    block = table(weighted=True)
    X = block.X / [1.0, 100.0, 1e-3]
    fits = [linnet.fit(X, block.y, weight=size * block.weights, loss=loss, solver=solver) for size in (1.0, times)]
    np.testing.assert_allclose(fits[1].coefficients, fits[0].coefficients, rtol=1e-12)
    assert fits[1].objective == pytest.approx(fits[0].objective, rel=1e-12)
    assert (fits[1].status, fits[1].notes) == (fits[0].status, fits[0].notes)
