"""Globs: what a sample leaves undecided gives the optimum of all rows, however many rounds and levels it takes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet.block import InputError
from linnet.objective import Objective
from linnet.solvers import frame, globs
from linnet.solvers.central_path import Problem
from linnet.solvers.corner import solve
from linnet.solvers.globs import optimum
from linnet.solvers.interior_point import InteriorPoint
from linnet.solvers.solver import Step
from linnet.sources import open_source
from linnet.sources.arrays import ArraySource
from linnet.status import Status
from quantile_cases import Case, weights_of

Floats = NDArray[np.float64]
ROUTES = {"levels": (300, 1 << 22, None), "passes": (300, 600, 333), "both": (100, 300, 700)}
"""Rows solved at once, rows in the sample, and rows in a block."""


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Fits with constants so small that 2,000 rows take several rounds, and several levels of samples."""
    direct, sample, block_rows = ROUTES[request.param]

    def fit(case: Case, **options: Any) -> Step:
        with monkeypatch.context() as patched:
            shrink(patched, direct, sample * (case.X.shape[1] + 1))
            return case.fit(**{"block_rows": block_rows, **options})

    return fit


def shrink(monkeypatch: pytest.MonkeyPatch, direct: int, numbers: int) -> None:
    monkeypatch.setattr(globs, "DIRECT", direct)
    monkeypatch.setattr(frame, "DIRECT", direct)
    monkeypatch.setattr(frame, "SAMPLE", numbers)


def cases() -> dict[str, Case]:
    rng = np.random.default_rng(8)
    n = 2000
    X = rng.standard_normal((n, 3))
    signal = X @ [1.0, -2.0, 0.5] + 3
    normal, heavy = rng.standard_normal(n), rng.standard_cauchy(n)
    order = np.argsort(signal + normal)
    far = X.copy()
    far[rng.integers(0, n, 5), 0] = 1e6
    outlying = signal + normal
    outlying[rng.integers(0, n, 6)] = [1e20, -1e20, 1e20, 1e20, -1e20, 1e20]
    skewed = np.exp(3 * X)
    groups = np.eye(5)[rng.integers(0, 5, n)][:, 1:]
    rare = np.column_stack([X[:, :1], np.isin(np.arange(n), (7, 700, 1500))])
    whole = rng.integers(-3, 4, (n, 3)).astype(float)
    bits = (X > 0).astype(float)
    twice = rng.integers(0, n // 2, n)
    empty = X * (rng.random(n) < 0.7)[:, None]
    w = rng.uniform(0.1, 3, n)
    return {
        "normal": Case(X, signal + normal, 0.5),
        "a low quantile": Case(X, signal + normal, 0.01),
        "a high quantile": Case(X, signal + normal, 0.99),
        "Cauchy": Case(X, signal + heavy, 0.5),
        "Cauchy, a high quantile": Case(X, signal + heavy, 0.9),
        "skewed": Case(X, signal + np.exp(2 * normal), 0.9),
        "correlated": Case(X[:, :1] + 0.01 * X, signal + normal, 0.25),
        "unequal spread": Case(X, signal + normal * np.exp(X[:, 0]), 0.5),
        "unequal spread, a high quantile": Case(X, signal + normal * np.exp(X[:, 0]), 0.99),
        "clusters": Case(0.1 * X + 10 * rng.integers(0, 2, (n, 1)), signal + normal, 0.1),
        "sorted": Case(X[order], (signal + normal)[order], 0.5),
        "weights": Case(X, signal + normal, 0.75, w * (rng.random(n) < 0.9)),
        "wild weights": Case(X, signal + normal, 0.9, 10.0 ** rng.uniform(-3, 3, n)),
        "targets far out": Case(X, outlying, 0.5),
        "targets far out, a high quantile": Case(X, outlying, 0.9),
        "features far out": Case(far, signal + normal, 0.5),
        "features far out, a high quantile": Case(far, signal + normal, 0.9),
        "skewed features": Case(skewed, signal + normal, 0.5),
        "ties": Case(X, np.round(signal + normal, 1), 0.5),
        "ties, a low quantile": Case(X, np.round(signal + normal, 1), 0.01),
        "mostly zeros": Case(X, np.where(rng.random(n) < 0.6, 0.0, np.abs(signal)), 0.5),
        "zeros below the quantile": Case(X, np.where(rng.random(n) < 0.6, 0.0, np.abs(signal)), 0.75),
        "zeros and others": Case(X, np.where(rng.random(n) < 0.6, 0.0, np.abs(signal)), 0.99),
        "whole numbers": Case(whole, np.round(whole @ [1.0, 2.0, 3.0] + normal), 0.5),
        "zeros and ones": Case(bits, np.round(bits @ [1.0, 2.0, 3.0] + normal), 0.1),
        "categories": Case(groups, groups @ [1.0, 2.0, 3.0, 4.0] + normal, 0.9),
        "a rare level": Case(rare, signal + normal, 0.5),
        "duplicated rows": Case(X[twice], (signal + normal)[twice], 0.5),
        "no intercept": Case(X, signal - 3 + normal, 0.25, intercept=False),
        "rows of zeros, no intercept": Case(empty, empty @ [1.0, 2.0, 3.0] + normal, 0.9, intercept=False),
    }


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_every_route_leads_to_the_optimum_of_all_rows(name: str, route: Any) -> None:
    case = CASES[name]
    want, step = case.fit(), route(case)
    assert step.gap is not None
    assert want.squares is not None
    ours, theirs = case.at(step), case.at(want)
    assert abs(ours - theirs) <= 1e-11 * theirs
    assert step.gap <= 1e-10
    assert step.objective == pytest.approx(ours, rel=1e-10)
    assert step.status is want.status
    assert step.rows == want.rows == np.count_nonzero(case.w)
    if want.status is None:
        np.testing.assert_allclose(weights_of(step), weights_of(want), rtol=1e-6, atol=1e-9)
        assert step.squares == pytest.approx(want.squares, rel=1e-6)


def test_all_rows_at_once_is_what_highs_finds() -> None:
    """So that the routes above are not compared with something wrong."""
    for name in ("normal", "Cauchy, a high quantile", "wild weights", "mostly zeros", "features far out"):
        case = CASES[name]
        assert case.at(case.fit()) == pytest.approx(case.highs(), rel=1e-9)


@pytest.mark.parametrize("l2", [1e-3, 0.1, 10.0])
def test_with_a_penalty(l2: float, route: Any) -> None:
    for name in ("normal", "Cauchy, a high quantile", "features far out"):
        want, step = CASES[name].fit(l2=l2), route(CASES[name], l2=l2)
        assert step.objective == pytest.approx(want.objective, rel=1e-9)
        np.testing.assert_allclose(weights_of(step)[1:], weights_of(want)[1:], rtol=1e-5, atol=1e-8)
        assert step.status is want.status  # where the bias alone is not unique
        assert step.gap <= 1e-9


@pytest.mark.parametrize("name", ["normal", "Cauchy, a high quantile", "weights", "ties", "no intercept"])
def test_the_size_of_blocks_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[name]
    case = replace(case, X=case.X[:1200], y=case.y[:1200], weight=None if case.weight is None else case.weight[:1200])
    shrink(monkeypatch, 200, 2000)
    steps = [case.fit(block_rows=rows) for rows in (1, 7, 100, 700, 5000)]
    for step in steps[1:]:
        np.testing.assert_allclose(weights_of(step), weights_of(steps[0]), rtol=1e-12)
        assert step.objective == pytest.approx(steps[0].objective, rel=1e-13)
        assert (step.status, step.epoch) == (steps[0].status, steps[0].epoch)


def test_parquet_is_as_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    case = CASES["Cauchy"]
    columns = {f"x{j + 1}": case.X[:, j] for j in range(3)}
    pq.write_table(pa.table({**columns, "y": case.y}), tmp_path / "rows.parquet", row_group_size=170)
    shrink(monkeypatch, 300, 2400)
    objectives = [Objective(linnet.Quantile(q)) for q in (0.1, 0.5, 0.9)]
    for objective in objectives:
        file = list(InteriorPoint().steps(objective, open_source(tmp_path / "rows.parquet", "y")))[-1]
        memory = list(InteriorPoint().steps(objective, ArraySource(case.X, case.y)))[-1]
        np.testing.assert_allclose(weights_of(file), weights_of(memory), rtol=1e-12)
        assert file.objective == pytest.approx(memory.objective, rel=1e-13)
        assert file.epoch == memory.epoch > 2


def test_float32_is_fitted_as_its_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["normal"]
    low = case.X.astype(np.float32), case.y.astype(np.float32)
    want = Case(low[0].astype(float), low[1].astype(float), 0.5).fit()
    for direct, numbers in ((300, 1 << 22), (300, 2400)):
        shrink(monkeypatch, direct, numbers)
        step = list(InteriorPoint().steps(Objective(linnet.Quantile(0.5)), ArraySource(*low)))[-1]
        np.testing.assert_allclose(weights_of(step), weights_of(want), rtol=1e-12)


def test_several_quantiles_share_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["unequal spread"]
    shrink(monkeypatch, 300, 2400)
    source = ArraySource(case.X, case.y, block_rows=333)
    objectives = [Objective(linnet.Quantile(q)) for q in (0.05, 0.5, 0.95)]
    run = InteriorPoint().several(objectives, source)
    seen = []
    while True:
        try:
            seen.append(next(run))
        except StopIteration as end:
            together = end.value
            break
    alone = [list(InteriorPoint().steps(objective, source))[-1] for objective in objectives]
    for each, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(weights_of(each), weights_of(other), rtol=1e-12)
        assert each.objective == pytest.approx(other.objective, rel=1e-13)
    assert max(step.epoch for step in seen) == max(step.epoch for step in alone)


def test_when_passes_run_out_the_gap_still_bounds_the_distance(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the objective is that of the weights returned; the status owns up."""
    shrink(monkeypatch, 100, 4 * 300)
    owned = 0
    for name in ("unequal spread, a high quantile", "features far out, a high quantile", "skewed features", "ties"):
        case = CASES[name]
        with monkeypatch.context() as at_once:
            shrink(at_once, 1 << 20, 1 << 22)
            best = case.at(case.fit())
        for passes in (3, 4):
            objective = Objective(linnet.Quantile(case.q))
            source = ArraySource(case.X, case.y, block_rows=700)
            step = list(InteriorPoint(passes=passes).steps(objective, source))[-1]
            assert step.gap is not None
            assert step.epoch <= passes
            value = case.at(step)
            assert step.objective == pytest.approx(value, rel=1e-9)
            assert value - best <= step.gap * value * (1 + 1e-9) + 1e-12 * best
            assert (step.status is Status.UNFINISHED) == (step.gap > 1e-10)
            owned += step.status is Status.UNFINISHED
    assert owned > 2


def test_too_many_rows_on_the_plane_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["mostly zeros"]
    shrink(monkeypatch, 300, 2400)
    monkeypatch.setattr(globs, "MOST", 400)
    with pytest.raises(InputError, match=r"rows lie on the plane .* held in memory.* sample of the rows.*sgd"):
        case.fit(block_rows=333)


def problem(n: int, p: int = 3, q: float = 0.4) -> Problem:
    rng = np.random.default_rng(6)
    Z = rng.standard_normal((p, n))
    Z[0] = 1.0
    return Problem(Z, rng.standard_t(3, n), rng.uniform(0.1, 3, n), q)


def test_optimum_of_rows_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    of = problem(20_000)
    want = solve(of, np.zeros(3))
    for direct in (12_000, 1000, 200):
        shrink(monkeypatch, direct, 1 << 22)
        found = optimum(of, np.zeros(3))
        np.testing.assert_allclose(found.weights, want.weights, rtol=1e-10)
        assert found.value == pytest.approx(want.value, rel=1e-13)
        assert found.gap <= 1e-12 * found.value
        assert found.unique


def test_a_glob_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows at the end that stand for many others decide the optimum with those."""
    of = problem(5000)
    Z = np.column_stack([of.Z, [[1.0, 1.0], [9.0, -9.0], [0.0, 0.0]]])
    heavy = Problem(Z, np.r_[of.y, 1e3, -1e3], np.r_[of.w, 2000.0, 2000.0], 0.4)
    want = solve(heavy, np.zeros(3))
    shrink(monkeypatch, 300, 1 << 22)
    found = optimum(heavy, np.zeros(3), globs=2)
    np.testing.assert_allclose(found.weights, want.weights, rtol=1e-9)
    assert found.value == pytest.approx(want.value, rel=1e-12)


def test_with_the_constants_as_they_are() -> None:
    """Enough rows for a sample: ties, rows of zeros and wide outliers, which no small problem puts to it."""
    rng = np.random.default_rng(0)
    n = 20_000
    X = rng.standard_normal((n, 3))
    signal = X @ [1.0, 1.0, 1.0] + rng.standard_normal(n)
    bits = (X > 0).astype(float)
    far = X.copy()
    far[:5, 0] = 1e6
    empty = X * (rng.random(n) < 0.7)[:, None]
    large = {
        "mostly zeros": Case(X, np.where(rng.random(n) < 0.6, 0.0, signal), 0.5),
        "zeros and ones": Case(bits, np.round(bits @ [1.0, 2.0, 3.0] + signal), 0.9),
        "features far out": Case(far, signal, 0.99),
        "rows of zeros, no intercept": Case(empty, signal, 0.5, intercept=False),
        "skewed features": Case(np.exp(3 * X), signal, 0.9),
    }
    for name, case in large.items():
        step = case.fit()
        of = Problem(np.ascontiguousarray(case.columns.T), case.y, case.w, case.q)
        best = solve(of, np.zeros(len(of.Z))).value / n
        assert case.at(step) == pytest.approx(best, rel=1e-10), name
        assert step.gap is not None
        assert step.gap <= 1e-10, name


SCRIPT = """
import hashlib
import numpy as np
import linnet
from linnet.objective import Objective
from linnet.solvers import frame
from linnet.solvers.interior_point import InteriorPoint
from linnet.sources.arrays import ArraySource
frame.SAMPLE = 40_000
rng = np.random.default_rng(5)
X = rng.standard_normal((300_000, 4))
y = X @ [1.0, 2.0, 3.0, 4.0] + rng.standard_t(2, 300_000)
for X in (X, np.asfortranarray(X)):
    for step in InteriorPoint().steps(Objective(linnet.Quantile(0.3)), ArraySource(X, y)):
        pass
    print(step.epoch, step.gap < 1e-10, hashlib.sha256(step.weights.tobytes()).hexdigest())
"""


def test_the_number_of_threads_changes_no_bit() -> None:
    said = set()
    for threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "LINNET_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert [line.split()[1] for line in said.pop().splitlines()] == ["True", "True"]
