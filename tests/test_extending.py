"""A Loss, a Solver and a Source of somebody's own: all are given to `fit`, and what it says of them is true."""

from __future__ import annotations

import copy
import doctest
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.optimize import minimize

import linnet
import linnet.losses
import linnet.solvers.solver
import linnet.sources.source
from helpers import Floats
from linnet import SGD, Block, Design, Huber, InputError, Loss, Objective, Solver, Source, Status, Step, open_source
from linnet.solution import Solution

ROWS = 400


@dataclass(frozen=True)
class Tilted(Loss):
    """A quantile's tilt, with a parabola where that has its corner."""

    q: float = 0.7
    name = "tilted"

    def value(self, r: Floats) -> Floats:
        inner = np.clip(r, -0.5, 0.5)
        return (self.q - 0.5) * r + inner * (r - inner / 2)

    def slope(self, r: Floats) -> Floats:
        return self.q - 0.5 + np.clip(r, -0.5, 0.5)

    def curvature(self, r: Floats) -> Floats:
        return np.where(np.abs(r) <= 0.5, 1.0, 0.0)

    @property
    def bend(self) -> tuple[float, float, float]:
        return self.q - 0.5, 1.0, 0.5


class Tabled(Tilted):
    """One that holds more than numbers."""

    name = "tabled"

    def __init__(self, table: Any) -> None:
        object.__setattr__(self, "q", 0.7)
        object.__setattr__(self, "table", table)

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "table": self.table}  # type: ignore[attr-defined]


class Cubic(Loss):
    """No slope that a compiled loop knows."""

    name = "cubic"

    def value(self, r: Floats) -> Floats:
        return np.abs(r) ** 3

    def slope(self, r: Floats) -> Floats:
        return 3 * r * np.abs(r)

    def curvature(self, r: Floats) -> Floats:
        return 6 * np.abs(r)


@dataclass(frozen=True)
class Descent(Solver):
    """Gradient descent; what its last Step has beside weights is as asked."""

    turns: int = 1
    with_solution: bool = False
    status: Status | None = None
    name = "descent"

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        u = np.zeros(len(source.design.names) + 1)
        for turn in range(1, self.turns + 1):
            pull, total = np.zeros_like(u), 0.0
            for block in source.blocks():
                assert block.y is not None
                w = np.ones(block.rows) if block.weight is None else block.weight
                slope = w * objective.loss.slope(np.asarray(block.y - block.X @ u[1:] - u[0], dtype=np.float64))
                pull += np.r_[slope.sum(), slope @ block.X]
                total += float(w.sum())
            u = u + 0.5 * pull / total
            solution = solved(source) if self.with_solution and turn == self.turns else None
            yield Step(
                turn, turn, ROWS, u[1:], float(u[0]), solution=solution, status=self.status,
                objective=None if solution is None else 0.1,
            )  # fmt: skip


@dataclass(frozen=True)
class Ending(Solver):
    """A run that ends with one given Step, or with none."""

    last: Step | None = None
    name = "ending"

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:  # noqa: ARG002
        if self.last is not None:
            yield self.last


class Sensor(Source):
    """Rows that come in Blocks of 100, with weights."""

    design, target, rows = Design.numbers(["volt", "ohm"]), "watt", ROWS

    def __init__(self, X: Floats, y: Floats, weight: Floats | None = None, rereadable: bool = True) -> None:
        self.parts = X, y, weight
        self.rereadable = rereadable

    def blocks(self) -> Iterator[Block]:
        X, y, w = self.parts
        for start in range(0, ROWS, 100):
            part = slice(start, start + 100)
            yield Block(X[part], y[part], None if w is None else w[part], start)


def solved(source: Source) -> Solution:
    return sum(linnet.Moments.of(block) for block in source.blocks()).solve()  # type: ignore[union-attr]


@pytest.fixture
def table(rng: np.random.Generator) -> tuple[Floats, Floats]:
    X = rng.standard_normal((ROWS, 2))
    return X, X @ [2.0, -3.4] + 4.2 + 0.5 * rng.standard_normal(ROWS)


def joined(step: Step) -> Floats:
    assert step.weights is not None
    return np.append(step.weights, step.bias or 0.0)


def mean_loss(loss: Loss, X: Floats, y: Floats, u: Floats) -> float:
    return float(loss.value(y - X @ u[1:] - u[0]).mean())


@pytest.mark.parametrize("module", [linnet, linnet.losses, linnet.solvers.solver, linnet.sources.source])
def test_examples_in_docstrings_run_as_printed(module: Any) -> None:
    done = doctest.testmod(module)
    assert done.attempted >= 3
    assert not done.failed


# --- A Loss ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "sgd", SGD(seed=3)])
def test_a_loss_with_a_bend_is_learned(table: tuple[Floats, Floats], solver: Any) -> None:
    """To the optimum that SciPy finds, as far as a run of SGD goes."""
    X, y = table
    fit = linnet.fit(X, y, loss=Tilted(), solver=solver)
    start: Floats = np.zeros(3)
    best = minimize(partial(mean_loss, Tilted(), X, y), start, method="BFGS")
    assert fit.coefficients == pytest.approx(best.x, abs=0.01)
    assert fit.objective == pytest.approx(mean_loss(Tilted(), X, y, fit.coefficients), rel=1e-12)
    assert (fit.loss, fit.solver, fit.settings["q"], fit.errors) == ("tilted", "sgd", 0.7, "none")
    assert fit.exact is None
    assert any("the bootstrap alone tells standard errors" in note for note in fit.notes)
    assert "tilted loss (q 0.7)" in str(fit)
    assert np.array_equal(linnet.LinearRegressor(loss=Tilted(), solver=solver).fit(X, y).coef_, fit.weights)


def test_its_standard_errors_are_the_bootstraps(table: tuple[Floats, Floats]) -> None:
    """Which are those of the sandwich, bread⁻¹·meat·bread⁻¹, up to the error of 200 replicates."""
    X, y = table
    fit = linnet.fit(X, y, loss=Tilted(), errors="bootstrap", solver=SGD(epochs=20, tol=None))
    r, z = y - X @ fit.weights - fit.bias, np.column_stack([np.ones(ROWS), X])
    bread = np.linalg.inv((z.T * Tilted().curvature(r)) @ z)
    expected = np.sqrt(np.diag(bread @ (z.T * Tilted().slope(r) ** 2) @ z @ bread))
    assert np.r_[fit.bias_std_error, fit.std_errors] == pytest.approx(expected, rel=0.25)
    assert fit.notes == ()
    with pytest.raises(InputError, match="not for tilted loss: choose from none, bootstrap"):
        linnet.fit(X, y, loss=Tilted(), errors="classical")
    with pytest.raises(InputError, match="A checkpoint holds one run"):
        linnet.fit(X, y, loss=Tilted(), errors="bootstrap", solver=SGD(checkpoint="run"))


def test_it_is_compared_with_others(table: tuple[Floats, Floats]) -> None:
    compared = linnet.compare(*table, losses=["squared", Tilted()])
    assert compared.fits.labels == ("squared", "tilted")
    assert "tilted" in str(compared)


def test_a_loss_that_no_solver_here_lowers_is_refused(table: tuple[Floats, Floats]) -> None:
    with pytest.raises(InputError, match="No solver here lowers cubic loss: give it a `bend`"):
        linnet.fit(*table, loss=Cubic())
    with pytest.raises(InputError, match="With cubic loss: No solver here lowers cubic loss"):
        linnet.compare(*table, losses=["squared", Cubic()])


def test_a_loss_needs_a_name_of_its_own(table: tuple[Floats, Floats]) -> None:
    """What is known of a loss is known by its name."""

    class Another(Tilted):
        name = "squared"

    class Nameless(Cubic):
        name = None  # type: ignore[assignment]

    for loss, name in ((Another(), "'squared'"), (Nameless(), "None")):
        with pytest.raises(InputError, match=f"needs a name that no other has, but .* has the name {name}"):
            linnet.fit(*table, loss=loss)

    class Stricter(Huber):
        """One of its kind may keep its name."""

    assert linnet.fit(*table, loss=Stricter(1.0)).weights == pytest.approx(linnet.fit(*table, loss=Huber(1.0)).weights)


@pytest.mark.parametrize("held", [np.arange(3.0), np.float32(2.5), [1, 2], None])
def test_a_loss_may_hold_more_than_numbers(table: tuple[Floats, Floats], tmp_path: Path, held: Any) -> None:
    """An array among its settings is kept by checkpoints; another one is another run."""
    path = tmp_path / "run"
    short, long = SGD(checkpoint=path, epochs=2, tol=None), SGD(checkpoint=path, epochs=4, tol=None, resume=True)
    linnet.fit(*table, loss=Tabled(held), solver=short)
    resumed = linnet.fit(*table, loss=Tabled(held), solver=long)
    whole = linnet.fit(*table, loss=Tabled(held), solver=SGD(epochs=4, tol=None))
    assert resumed.weights.tobytes() == whole.weights.tobytes()
    with pytest.raises(InputError, match="a run with another table"):
        linnet.fit(*table, loss=Tabled(np.arange(5.0)), solver=long)


def test_what_a_loss_holds_is_kept_in_its_fit(table: tuple[Floats, Floats], tmp_path: Path) -> None:
    class Holding(Tilted):
        name = "holding"

        def __init__(self) -> None:
            self.__dict__.update(q=0.7, table=np.arange(2.0), _known=object(), kind=np.float64(1.5))

        __dataclass_fields__ = {}  # noqa: RUF012

    fit = linnet.fit(*table, loss=Holding())
    assert {key: fit.settings[key] for key in ("q", "table", "kind")} == {"q": 0.7, "table": "[0.0, 1.0]", "kind": 1.5}
    assert "_known" not in fit.settings
    fit.save(tmp_path / "model.json")
    again = linnet.load(tmp_path / "model.json", linnet.Fit)
    assert (again.settings, again.loss, str(again)) == (fit.settings, "holding", str(fit))


# --- A Solver -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_solution", [False, True])
def test_weights_that_are_not_optimal_are_not_called_so(table: tuple[Floats, Floats], with_solution: bool) -> None:
    """One step of descent: all that is said is of its weights, and how far from the optimum these are."""
    X, y = table
    fit, best = linnet.fit(X, y, solver=Descent(1, with_solution)), linnet.fit(X, y)
    r = y - X @ fit.weights - fit.bias
    assert fit.objective == pytest.approx(r @ r / ROWS / 2, rel=1e-12)
    assert fit.r2 == pytest.approx(1 - r @ r / ((y - y.mean()) ** 2).sum(), rel=1e-10)
    assert fit.residual_sd == pytest.approx(np.sqrt(r @ r / (ROWS - 3)), rel=1e-10)
    assert fit.status is Status.RAN
    assert fit.exact == pytest.approx(best.coefficients, rel=1e-10)
    assert fit.std_errors == pytest.approx(best.std_errors, rel=1e-10)
    assert "standard errors from its exact value" in fit.notes[0]
    assert fit.predict(X) == pytest.approx(y - r, rel=1e-10)
    assert fit.passes == (1 if with_solution else 2)


@pytest.mark.parametrize("errors", ["classical", "hc1", "bootstrap"])
def test_weights_that_are_nearly_optimal_have_the_optimums_errors(table: tuple[Floats, Floats], errors: Any) -> None:
    fit, best = linnet.fit(*table, solver=Descent(60), errors=errors), linnet.fit(*table, errors=errors)
    assert fit.status is Status.CONVERGED
    assert fit.notes == ()
    assert fit.coefficients == pytest.approx(best.coefficients, abs=1e-9)
    assert fit.std_errors == pytest.approx(best.std_errors, rel=1e-6)


def test_its_own_status_stands(table: tuple[Floats, Floats]) -> None:
    assert linnet.fit(*table, solver=Descent(60, status=Status.UNFINISHED)).status is Status.UNFINISHED


def test_with_a_robust_loss_it_is_held_against_the_optimum(table: tuple[Floats, Floats]) -> None:
    fit, best = linnet.fit(*table, loss="huber", solver=Descent(3)), linnet.fit(*table, loss="huber")
    assert fit.exact == pytest.approx(best.coefficients, rel=1e-9)
    assert fit.std_errors == pytest.approx(best.std_errors, rel=1e-9)
    assert fit.objective == pytest.approx(mean_loss(Huber(), *table, fit.coefficients), rel=1e-12)
    assert any("standard errors from its exact value" in note for note in fit.notes)
    several = linnet.fit(*table, loss=linnet.Quantiles((0.2, 0.8)), solver=Descent(3))
    assert several.quantiles == (0.2, 0.8)


def test_any_loss_and_any_solver(table: tuple[Floats, Floats]) -> None:
    fit = linnet.fit(*table, loss=Cubic(), solver=Descent(1))
    assert fit.objective == pytest.approx(mean_loss(Cubic(), *table, fit.coefficients), rel=1e-12)
    assert fit.status is Status.RAN


def test_who_hands_on_the_steps_of_exact_is_believed(table: tuple[Floats, Floats]) -> None:
    @dataclass(frozen=True)
    class Through(Solver):
        name = "through"

        def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
            yield from linnet.Exact().steps(objective, source)

    fit = linnet.fit(*table, solver=Through())
    assert (fit.status, fit.passes, fit.exact) == (Status.SOLVED, 1, None)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (None, "'ending' yielded no Step"),
        (Step(1, 1, 9), "must have a bias and 2 weights, one for each feature, but has no weights and the bias None"),
        (Step(1, 1, 9, np.zeros(2)), "must have a bias and 2 weights"),
        (Step(1, 1, 9, np.zeros(3), 0.0), "must have a bias and 2 weights"),
        (Step(1, 1, 9, np.array([1.0, np.nan]), 0.0), "ended with weights that are not finite: use smaller steps"),
        (Step(1, 1, 9, np.zeros(2), np.inf), "ended with weights that are not finite"),
    ],
)
def test_a_run_that_leaves_no_weights_is_refused(table: tuple[Floats, Floats], last: Step | None, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        linnet.fit(*table, solver=Ending(last))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("solver", [linnet.Exact(), linnet.Newton(), linnet.InteriorPoint(), SGD()], ids=repr)
def test_steps_of_data_as_they_are_are_refused(table: tuple[Floats, Floats], solver: Solver) -> None:
    """What steps takes is named, and what is named works."""
    X, y = table
    objective = Objective(linnet.Huber(1.0) if isinstance(solver, linnet.Newton) else linnet.Absolute())
    for given in ((X, y), (objective, X), (linnet.Squared(), open_source(X, y))):
        with pytest.raises(InputError, match=r"Objective\(linnet.Squared\(\)\), linnet.open_source\(X, y\)"):
            list(solver.steps(*given))
    *_, last = SGD(every=1).steps(linnet.Objective(linnet.Squared()), linnet.open_source(X, y))
    assert last.weights is not None


def test_a_solver_needs_a_name(table: tuple[Floats, Floats]) -> None:
    class Nameless(Solver):
        def steps(self, objective: Objective, source: Source) -> Iterator[Step]:  # noqa: ARG002
            raise AssertionError("it was run")

    with pytest.raises(InputError, match="A Solver of your own needs a name"):
        linnet.fit(*table, solver=Nameless())


# --- A Source -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "solver"),
    [("squared", "exact"), ("squared", "sgd"), ("huber", "auto"), ("absolute", "auto"), ("squared", Descent(60))],
)
def test_a_source_is_fitted_as_its_rows_are(
    table: tuple[Floats, Floats], rng: np.random.Generator, weighted: bool, loss: str, solver: Any
) -> None:
    w = rng.uniform(0.5, 2.0, ROWS) if weighted else None
    fit = linnet.fit(Sensor(*table, w), loss=loss, solver=solver)
    same = linnet.fit(*table, weight=w, loss=loss, solver=solver)
    assert (fit.names, fit.target, fit.n) == (("volt", "ohm"), "watt", ROWS)
    assert fit.coefficients == pytest.approx(same.coefficients, rel=1e-9 if solver != "sgd" else 1e-2)


def test_nothing_that_a_source_knows_is_named_beside_it(table: tuple[Floats, Floats]) -> None:
    source = Sensor(*table)
    assert open_source(source) is source
    assert linnet.compare(source, losses=["squared", "huber"]).fits.names == ("volt", "ohm")
    for beside in ({"target": "watt"}, {"target": table[1]}, {"features": ["volt"]}, {"weight": "w"}):
        with pytest.raises(InputError, match=f"leave out {next(iter(beside))}="):
            linnet.fit(source, **beside)
    with pytest.raises(InputError, match="leave out missing="):
        linnet.fit(source, missing="drop")
    with pytest.raises(InputError, match="There is no target"):
        linnet.fit(table[0])


def test_a_source_without_what_all_have_is_refused(table: tuple[Floats, Floats]) -> None:
    source = Sensor(*table)
    source.design = ["volt", "ohm"]  # type: ignore[assignment]
    with pytest.raises(InputError, match="Sensor has no 'design' as a Source must have"):
        linnet.fit(source)
    three = Sensor(np.c_[table[0], table[1] ** 2], table[1])
    with pytest.raises(InputError, match=r"must have a bias and 2 weights.* but has weights of shape \(3,\)"):
        linnet.fit(three)


def test_rows_that_are_gone_leave_nothing_to_judge_weights_by(table: tuple[Floats, Floats]) -> None:
    once = Sensor(*table, rereadable=False)
    assert linnet.fit(once).passes == 1
    with pytest.raises(InputError, match="another pass over rows that can be read only once"):
        linnet.fit(once, solver=Descent(1))


# --- Pickles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", [linnet.Exact(), SGD(epochs=2), Descent(2)])
def test_last_steps_can_be_pickled(table: tuple[Floats, Floats], solver: Solver) -> None:
    *_, last = solver.steps(Objective(linnet.Squared()), open_source(*table))
    for again in (pickle.loads(pickle.dumps(last)), copy.deepcopy(last)):
        assert isinstance(again, Step)
        assert joined(again).tobytes() == joined(last).tobytes()
        assert (again.objective, again.status, again.settings) == (last.objective, last.status, last.settings)
        if last.solution is not None:
            kept, own = (each.uncertainty for each in (again.solution, last.solution) if each is not None)
            assert kept is not None
            assert own is not None
            assert np.array_equal(kept.factor, own.factor)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_open_tables_can_be_pickled(table: tuple[Floats, Floats], make: Any) -> None:
    columns = {"a": table[0][:, 0], "s": ["u", "v"] * (ROWS // 2), "y": table[1]}
    source = open_source(make(columns), "y", weight=np.ones(ROWS))
    again = pickle.loads(pickle.dumps(source))
    assert np.array_equal(linnet.fit(again).coefficients, linnet.fit(source).coefficients)
