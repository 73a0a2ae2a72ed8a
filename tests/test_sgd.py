from __future__ import annotations

import gc
import itertools
import math
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import linnet
from linnet import SGD, Absolute, Huber, InputError, Loss, Objective, Quantile, Squared, Status, Step
from linnet.sources.arrays import ArraySource
from reference_sgd import permutation, reference

Floats = NDArray[np.float64]
LOSSES: list[Loss] = [Squared(), Absolute(), Huber(0.5), Quantile(0.9)]
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "ridge": {"l2": 0.3},
    "average": {"average": True},
    "inverse time": {"schedule": "inverse-time", "decay": 0.7},
    "short batch": {"batch_size": 7},
    "one batch": {"batch_size": 1000},
    "rows as they come": {"shuffle": False},
    "pieces": {"shuffle": "pieces"},
    "normal start": {"init": "normal"},
    "given start": {"start": (1.0, -2.0, 0.5, 3.0)},
}
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)


def table(n: int = 200, d: int = 3, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, X @ np.arange(1.0, d + 1) - 2 + rng.standard_normal(n)


def learn(solver: SGD, X: Any, y: Any, loss: Loss | None = None, l2: float = 0.0, **source: Any) -> list[Step]:
    return list(solver.steps(Objective(loss or Squared(), l2=l2), ArraySource(X, y, **source)))


def orders(shuffle: bool | str, n: int, seed: int, epochs: int, normal: int) -> list[NDArray[np.int64]]:
    """The orders that SGD documents, drawn by NumPy alone."""
    rng = np.random.default_rng(seed)
    rng.normal(0.0, 0.01, normal)
    if shuffle is True:
        return [np.array(permutation(rng, n)) for _ in range(epochs)]
    if shuffle == "pieces":
        pieces = [np.arange(i, min(i + 64, n)) for i in range(0, n, 64)]
        return [np.concatenate([pieces[k] for k in permutation(rng, len(pieces))]) for _ in range(epochs)]
    return [np.arange(n)] * epochs


def test_random_numbers_are_those_of_numpy() -> None:
    for seed in (0, 1, 0, 12345, 2**32, 2**200):
        for _ in range(2):
            assert SGD(seed=seed).random().bit_generator.state == np.random.default_rng(seed).bit_generator.state


@every_loss
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_minibatch_does_what_the_formula_says(loss: Loss, name: str, dtype: Any, weighted: bool) -> None:
    options = dict(SETTINGS[name])
    l2 = options.pop("l2", 0.0)
    X, y = (a.astype(dtype) for a in table())
    weight = np.random.default_rng(1).uniform(0.0, 3.0, len(y)) if weighted else None
    solver = SGD(lr=0.02, epochs=3, tol=None, every=1, seed=5, **{"batch_size": 10, **options})
    steps = learn(solver, X, y, loss, l2, weight=weight)[:-1]
    start = solver.first(3, np.random.default_rng(5))
    expected = reference(
        X.astype(np.float64),
        y.astype(np.float64),
        loss,
        lr=0.02,
        batch_size=solver.batch_size,
        orders=orders(solver.shuffle, len(y), 5, 3, 3 if solver.init == "normal" else 0),
        momentum=solver.momentum,
        l2=l2,
        average=solver.average,
        schedule=solver.schedule,
        decay=solver.decay,
        weight=weight,
        start=(start[1:], float(start[0])),
    )
    assert [step.step for step in steps] == list(range(1, 3 * math.ceil(200 / solver.batch_size) + 1))
    assert len(steps) == len(expected)
    tolerance = 1e-5 if dtype is np.float32 else 1e-12
    for step, (w, b) in zip(steps, expected, strict=True):
        assert step.weights is not None
        np.testing.assert_allclose(np.r_[step.weights, step.bias or 0.0], np.r_[w, b], rtol=tolerance, atol=tolerance)


def test_how_often_one_looks_changes_no_bit() -> None:
    X, y = table(1000)
    runs = [
        learn(SGD(lr=0.05, epochs=4, tol=None, batch_size=16, every=every), X, y)[-1] for every in (None, 1, 2, 7, 1000)
    ]
    for run in runs[1:]:
        assert run.weights is not None
        assert runs[0].weights is not None
        assert run.weights.tobytes() == runs[0].weights.tobytes()
        assert run.bias == runs[0].bias
        assert [r["step"] for r in run.history] == [r["step"] for r in runs[0].history]


def test_how_often_one_looks_changes_no_bit_where_a_rate_of_our_own_must_be_lowered() -> None:
    """A row that the rate's sample leaves out, and that makes the run explode in the second of several epochs."""
    n = 4000
    rng = np.random.default_rng(201)
    X = rng.standard_normal((n, 2))
    hidden = min(set(range(n)) - set(np.linspace(0, n - 1, 2048).astype(int).tolist()))
    X[hidden] *= 200
    y = X @ [1.0, 2.0] + rng.standard_normal(n)
    runs = [learn(SGD(lr="auto", epochs=12, tol=None, every=every, seed=1), X, y)[-1] for every in (None, 1, 7, 125)]
    assert "the learning rate was lowered 3 times" in runs[0].notes[-1]
    for run in runs[1:]:
        assert run.weights is not None
        assert runs[0].weights is not None
        assert run.weights.tobytes() == runs[0].weights.tobytes()


def test_a_listener_changes_no_bit() -> None:
    X, y = table()
    seen: list[Step] = []
    a = linnet.fit(X, y, solver=SGD(lr=0.05, epochs=5), progress=seen.append)
    b = linnet.fit(X, y, solver=SGD(lr=0.05, epochs=5), progress=False)
    assert a.weights.tobytes() == b.weights.tobytes()
    assert [step.epoch for step in seen] == [1, 2, 3, 4, 5, 5]


def test_losses_in_the_history_are_those_met_on_the_way() -> None:
    X, y = table()
    solver = SGD(lr=0.05, epochs=3, tol=None, batch_size=10, shuffle=False, every=1)
    steps = learn(solver, X, y, Absolute())
    w, b = np.zeros(3), 0.0
    for k, step in enumerate(steps[:-1]):
        rows = slice(k % 20 * 10, k % 20 * 10 + 10)
        assert step.loss == pytest.approx(np.abs(y[rows] - b - X[rows] @ w).mean(), rel=1e-12)
        assert step.weights is not None
        w, b = step.weights, step.bias or 0.0
    means = [np.mean([s.loss for s in steps[20 * e : 20 * e + 20] if s.loss is not None]) for e in range(3)]
    assert [record["loss"] for record in steps[-1].history] == pytest.approx(means, rel=1e-12)


def test_history_has_the_objective_also_where_nothing_asked_for_it_on_the_way() -> None:
    X, y = table()
    judged = linnet.fit(X, y, solver=SGD(lr=1e-4, epochs=30)).history
    free = linnet.fit(X, y, solver=SGD(lr=1e-4, epochs=30, tol=None)).history
    assert [r["objective"] for r in free] == [r["objective"] for r in judged]


def test_objective_is_that_of_the_objective() -> None:
    X, y = table()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    objective = Objective(Squared(), l2=0.4)
    source = ArraySource(X, y, weight=weight)
    for step in SGD(lr=0.05, epochs=3).steps(objective, source):
        assert step.weights is not None
        assert step.objective == pytest.approx(objective.of(source, step.weights, step.bias or 0.0), rel=1e-12)
    for loss in LOSSES[1:]:
        last = learn(SGD(epochs=3), X, y, loss, weight=weight)[-1]
        assert last.weights is not None
        assert last.objective == pytest.approx(
            Objective(loss).of(ArraySource(X, y, weight=weight), last.weights, last.bias or 0.0), rel=1e-12
        )


# --- Nothing to guess -------------------------------------------------------------------------------------------------


def data_sets() -> dict[str, tuple[tuple[Any, Any], dict[str, Any]]]:
    import statsmodels.api as sm
    from sklearn.datasets import load_diabetes

    rng = np.random.default_rng(0)

    def made(n: int, d: int, scale: Any = 1.0, common: float = 0.0, heavy: bool = False) -> tuple[Any, Any]:
        def draw(*size: int) -> Floats:
            return rng.standard_t(4, size) if heavy else rng.standard_normal(size)

        X = (np.sqrt(1 - common) * draw(n, d) + np.sqrt(common) * draw(n, 1)) * scale
        return X, X @ (rng.standard_normal(d) / scale) + 1 + draw(n)

    diabetes = load_diabetes(scaled=False)
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "species", "sex"]
    sets: dict[str, tuple[tuple[Any, Any], dict[str, Any]]] = {
        "penguins": (
            (str(files("linnet") / "data" / "penguins.csv"), "body_mass_g"),
            {"features": columns, "missing": "drop"},
        ),
        "diabetes": ((diabetes.data, diabetes.target), {}),
        "scales 1 to 1e6": (made(5000, 7, 10.0 ** np.arange(7)), {}),
        "correlation 0.99": (made(2000, 5, common=0.99), {}),
        "heavy tails": (made(3000, 8, heavy=True), {}),
        "one feature": (made(300, 1), {}),
        "100 features": (made(5000, 100), {}),
        "500 features": (made(4000, 500), {}),
        "float32": (tuple(a.astype(np.float32) for a in made(20_000, 10)), {}),
    }
    for name, target in (("engel", "foodexp"), ("stackloss", "STACKLOSS"), ("longley", "TOTEMP")):
        sets[name] = (getattr(sm.datasets, name).load_pandas().data, target), {}
    return sets


@pytest.mark.parametrize("name", list(data_sets()))
def test_defaults_come_within_five_percent_of_a_standard_error(name: str) -> None:
    arguments, options = data_sets()[name]
    fit = linnet.fit(*arguments, solver="sgd", **options)
    exact = linnet.fit(*arguments, **options)
    assert fit.status is Status.CONVERGED
    error = np.r_[exact.bias_std_error, exact.std_errors]
    assert (np.abs(fit.coefficients - exact.coefficients) <= 0.0501 * error).all()
    assert fit.exact is not None
    np.testing.assert_allclose(fit.exact, exact.coefficients, rtol=1e-7)
    np.testing.assert_allclose(fit.std_errors, exact.std_errors, rtol=1e-7)


@pytest.mark.parametrize("loss", LOSSES[1:], ids=lambda loss: loss.name)
def test_defaults_come_near_the_optimum_of_other_losses(loss: Loss) -> None:
    from scipy.optimize import minimize

    X, y = table(2000)
    objective, source = Objective(loss), ArraySource(X, y)
    fit = linnet.fit(X, y, loss=loss, solver="sgd")
    assert fit.status is Status.STEADY

    def cost(u: Floats) -> float:
        return objective.of(source, u[1:], float(u[0]))

    best = minimize(cost, fit.coefficients, method="Nelder-Mead")
    assert fit.objective <= best.fun * (1 + 1e-3)


def test_ridge_and_no_intercept() -> None:
    X, y = table()
    for options in ({"l2": 0.5}, {"intercept": False}, {"l2": 2.0, "intercept": False}):
        fit, exact = (linnet.fit(X, y, solver=solver, **options) for solver in ("sgd", "exact"))
        assert fit.status is Status.CONVERGED
        error = np.r_[exact.bias_std_error, exact.std_errors]
        assert (np.abs(fit.coefficients - exact.coefficients) <= 0.0501 * error + 1e-7).all()


def test_epochs_that_run_out_are_not_called_converged() -> None:
    X, y = table(2000)
    fit = linnet.fit(X, y, solver=SGD(lr=1e-3, epochs=2))
    assert fit.status is Status.STOPPED
    assert not fit.status.converged
    assert any("standard errors from its exact value" in note for note in fit.notes)
    assert linnet.fit(X, y, solver=SGD(lr=1e-3, epochs=2, tol=None)).status is Status.RAN


def test_what_hindered_a_run_is_named() -> None:
    rng = np.random.default_rng(0)
    common = rng.standard_normal((500, 1))
    X = common + 0.01 * rng.standard_normal((500, 3))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(500)
    assert "nearly depend on each other" in " ".join(linnet.fit(X, y, solver=SGD(epochs=5)).notes)
    X = rng.standard_normal((500, 3)) / rng.uniform(0.001, 1.0, (500, 1))
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(500)
    assert "rows far out" in " ".join(linnet.fit(X, y, solver=SGD(epochs=2)).notes)
    X, y = table(2000)
    assert linnet.fit(X, y, solver=SGD(lr=0.02, epochs=2)).notes[0].endswith("standard errors from its exact value")


def test_dependent_columns_still_end_at_the_smallest_weights() -> None:
    X, y = table()
    X = np.column_stack([X, 2 * X[:, 0] + 1])
    fit, exact = linnet.fit(X, y, solver="sgd"), linnet.fit(X, y)
    assert fit.status is Status.PREDICTS
    assert any("not separately identifiable" in note for note in fit.notes)
    np.testing.assert_allclose(fit.predict(X), exact.predict(X), atol=0.1)
    np.testing.assert_allclose(fit.weights, exact.weights, atol=0.05)


# --- Too large a learning rate ----------------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("times", [10.0, 1e3, 1e6, 1e300])
def test_divergence_is_told_and_returns_finite_weights(loss: Loss, times: float) -> None:
    X, y = table()
    fit = linnet.fit(X, y, loss=loss, solver=SGD(lr=2.0 * times, epochs=5))
    # a loss whose slope is limited only dances about the optimum where the rate is not large enough
    assert fit.status is Status.DIVERGED or (times == 10 and loss.name != "squared" and fit.status is Status.STOPPED)
    assert not fit.status.converged
    assert np.isfinite(fit.coefficients).all()
    assert math.isfinite(fit.objective)
    assert fit.status is Status.STOPPED or any("learning rate" in note for note in fit.notes)


def test_divergence_names_the_largest_stable_rate_and_the_column() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal(500), 1000 * rng.standard_normal(500)])
    y = X @ [1.0, 0.001] + rng.standard_normal(500)
    z = np.column_stack([np.ones(500), X])
    stable = 2 / np.linalg.eigvalsh(z.T @ z / 500)[-1]
    diverged = linnet.fit(X, y, solver=SGD(lr=1.5 * stable, batch_size=500, epochs=200, tol=None))
    assert diverged.status is Status.DIVERGED
    assert f"{stable:.3g} (2/λ)" in " ".join(diverged.notes)
    assert "`x2`" in " ".join(diverged.notes)
    assert linnet.fit(X, y, solver=SGD(lr=0.9 * stable, batch_size=500, epochs=200, tol=None)).status is Status.RAN


def test_a_nan_is_not_called_divergence() -> None:
    X, y = table()
    X[17, 1] = np.nan
    for solver in (SGD(), SGD(lr=0.01, tol=None)):
        with pytest.raises(InputError, match=r"'x2' is missing \(NaN\) in row 18"):
            linnet.fit(X, y, solver=solver)


def test_outliers_that_the_sample_misses_lower_the_rate() -> None:
    X, y = table(100_000, 2)
    X[50_001] = 3e4
    fit = linnet.fit(X, y, solver=SGD(epochs=3))
    assert np.isfinite(fit.weights).all()
    assert fit.status is not Status.DIVERGED


# --- Rows too many or too wide ----------------------------------------------------------------------------------------


def test_from_files_as_from_memory(tmp_path: Path) -> None:
    import pandas as pd

    X, y = table(500)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y)
    frame.to_parquet(tmp_path / "t.parquet")
    a = linnet.fit(tmp_path / "t.parquet", "y", solver="sgd")
    b = linnet.fit(frame, "y", solver="sgd")
    c = linnet.fit(X, y, solver="sgd")
    for fit in (a, b):
        np.testing.assert_allclose(fit.weights, c.weights, rtol=1e-12)
        assert fit.settings["shuffle"] == "rows"


def test_rows_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pandas as pd

    from linnet.sources import spool

    monkeypatch.setattr(spool.Spool.__init__, "__kwdefaults__", {"batch_size": 1, "hashed": False, "memory": 1 << 18})
    monkeypatch.setattr(spool, "SEGMENT", 1 << 10)
    monkeypatch.setattr(spool, "WINDOW", 1 << 17)
    X, y = table(20_000)
    order = np.argsort(y)
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(y=y)
    frame.iloc[order].to_parquet(tmp_path / "sorted.parquet")
    fit = linnet.fit(tmp_path / "sorted.parquet", "y", solver=SGD(epochs=60))
    exact = linnet.fit(X, y)
    assert "random segments" in fit.settings["shuffle"]
    assert any("lie together are alike" in note for note in fit.notes)
    assert (np.abs(fit.coefficients - exact.coefficients) < np.r_[exact.bias_std_error, exact.std_errors]).all()
    frame.to_parquet(tmp_path / "mixed.parquet")
    assert not any("alike" in n for n in linnet.fit(tmp_path / "mixed.parquet", "y", solver=SGD(epochs=2)).notes)


def test_order_matters_note_without_shuffle() -> None:
    X, y = table(5000)
    order = np.argsort(y)
    assert any("alike" in n for n in linnet.fit(X[order], y[order], solver=SGD(epochs=2, shuffle=False)).notes)
    assert not any("alike" in n for n in linnet.fit(X, y, solver=SGD(epochs=2, shuffle=False)).notes)


def test_too_wide_for_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    from linnet.solvers import gathering

    X, y = table(3000, 6)
    exact = linnet.fit(X, y)
    monkeypatch.setattr(gathering, "WIDEST", 5)
    fit = linnet.fit(X, y, solver=SGD(epochs=200))
    assert fit.exact is None
    assert fit.uncertainty is None
    assert np.abs(fit.weights - exact.weights).max() < 0.02
    assert fit.r2 == pytest.approx(exact.r2, abs=1e-3)
    np.testing.assert_allclose(fit.centre, X.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(fit.scale, X.std(axis=0), rtol=1e-9)
    assert "R²" in str(fit)


# --- Interrupting and resuming ----------------------------------------------------------------------------------------


@pytest.fixture
def heard() -> Iterator[None]:
    """Python drops an interrupt that comes while the garbage collector calls somebody, as hypothesis has it do."""
    callbacks = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks[:] = callbacks


@pytest.mark.usefixtures("heard")
def test_interrupt_leaves_a_usable_fit(tmp_path: Path) -> None:
    X, y = table(100_000)
    checkpoint = tmp_path / "run"
    solver = SGD(lr=1e-3, epochs=2_000, tol=None, checkpoint=checkpoint)  # should the interrupt be lost, it ends soon
    linnet.fit(X, y, solver=replace(solver, epochs=1, checkpoint=None))  # loads what it needs
    timer = threading.Timer(0.5, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    fit = linnet.fit(X, y, solver=solver)
    timer.join()
    assert fit.status is Status.INTERRUPTED
    assert np.isfinite(fit.coefficients).all()
    assert fit.objective < 0.5 * np.mean(y**2)
    assert checkpoint.exists()


def test_interrupt_from_a_listener_too() -> None:
    X, y = table()

    def listener(step: Step) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    fit = linnet.fit(X, y, solver=SGD(lr=0.01, epochs=10, tol=None), progress=listener)
    assert fit.status is Status.INTERRUPTED
    assert fit.history[-1]["epoch"] == 3
    with pytest.raises(KeyboardInterrupt):
        linnet.fit(X, y, progress=lambda _: (_ for _ in ()).throw(KeyboardInterrupt))


@pytest.mark.parametrize("place", [1, 5, 29, 30, 31, 100, 149])
@pytest.mark.parametrize("options", [{}, {"shuffle": "pieces"}, {"momentum": 0.9, "average": True}, {"lr": "auto"}])
def test_pause_and_resume_equals_uninterrupted(tmp_path: Path, place: int, options: dict[str, Any]) -> None:
    X, y = table(300)
    solver = SGD(**{"lr": 0.01, "epochs": 5, "batch_size": 10, "tol": None, "every": 1, "init": "normal", **options})
    whole = learn(solver, X, y)[-1]
    kept = replace(solver, checkpoint=tmp_path / "run", resume=True)
    run = kept.steps(Objective(Squared()), ArraySource(X, y))
    for _ in itertools.islice(run, place):
        pass
    assert run.throw(KeyboardInterrupt).status is Status.INTERRUPTED  # type: ignore[attr-defined]
    rest = learn(kept, X, y)[-1]
    for a, b in ((whole.weights, rest.weights), (np.array(whole.bias), np.array(rest.bias))):
        assert a is not None
        assert b is not None
        assert a.tobytes() == b.tobytes()
    assert rest.status is whole.status
    assert rest.history == whole.history
    again = learn(kept, X, y)
    assert len(again) == 1
    assert again[0].step == whole.step


def test_resuming_goes_on_for_more_epochs(tmp_path: Path) -> None:
    X, y = table()
    path = tmp_path / "run"
    linnet.fit(X, y, solver=SGD(lr=0.01, epochs=3, tol=None, checkpoint=path))
    more = linnet.fit(X, y, solver=SGD(lr=0.01, epochs=7, tol=None, checkpoint=path, resume=True))
    whole = linnet.fit(X, y, solver=SGD(lr=0.01, epochs=7, tol=None))
    assert more.weights.tobytes() == whole.weights.tobytes()
    assert more.history == whole.history


def test_resuming_other_rows_or_settings_is_refused(tmp_path: Path) -> None:
    X, y = table()
    path = tmp_path / "run"
    solver = SGD(lr=0.01, epochs=3, checkpoint=path)
    linnet.fit(X, y, solver=solver)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        linnet.fit(X, y, solver=solver)
    solver = replace(solver, resume=True)
    for change in ({"lr": 0.02}, {"batch_size": 31}, {"momentum": 0.1}, {"seed": 1}):
        with pytest.raises(InputError, match=next(iter(change))):
            linnet.fit(X, y, solver=replace(solver, **change))
    with pytest.raises(InputError, match="loss"):
        linnet.fit(X, y, solver=solver, loss="absolute")
    with pytest.raises(InputError, match="l2"):
        linnet.fit(X, y, solver=solver, l2=1.0)
    y[3] += 1e-12
    with pytest.raises(InputError, match="rows"):
        linnet.fit(X, y, solver=solver)
    assert path.read_bytes() == before


# --- Odds and ends ----------------------------------------------------------------------------------------------------


def test_a_loss_of_unknown_shape_is_refused() -> None:
    class Cubic(Squared):
        bend = None  # type: ignore[assignment]

    X, y = table()
    with pytest.raises(InputError, match="bend"):
        linnet.fit(X, y, loss=Cubic(), solver="sgd")


def test_long_histories_are_thinned() -> None:
    X, y = table(20)
    fit = linnet.fit(X, y, solver=SGD(lr=1e-4, epochs=20_000, tol=None))
    epochs = [record["epoch"] for record in fit.history]
    assert len(epochs) <= 1000
    assert epochs == sorted(epochs)
    assert epochs[-1] == 20_000
    assert fit.settings["epochs"] == 20_000


def test_one_row_and_weight_zero() -> None:
    fit = linnet.fit([[1.0]], [2.0], solver="sgd")
    assert np.isfinite(fit.coefficients).all()
    X, y = table()
    with pytest.raises(InputError, match="no rows"):
        linnet.fit(X, y, weight=np.zeros(len(y)), solver=SGD(lr=0.1, tol=None))


@every_loss
@pytest.mark.parametrize("rate", [1e7, 1e150, 1e300])
def test_divergence_in_the_very_last_step_is_seen(loss: Loss, rate: float) -> None:
    X, y = table()
    fit = linnet.fit(X, y, loss=loss, solver=SGD(lr=rate, batch_size=200, epochs=1, tol=None))
    assert fit.status is Status.DIVERGED
    assert np.isfinite(fit.coefficients).all()
    assert math.isfinite(fit.objective)


def test_an_interrupt_is_no_reason_to_begin_other_runs() -> None:
    """Neither those of other quantiles, nor the bootstrap's."""
    X, y = table()

    def listener(step: Step) -> None:
        if step.epoch == 3:
            raise KeyboardInterrupt

    solver = SGD(lr=0.01, epochs=10, tol=None)
    fits = linnet.fit(X, y, loss=linnet.Quantile([0.2, 0.5, 0.8]), solver=solver, progress=listener)
    assert fits.labels == ("0.2",)
    assert fits["0.2"].status is Status.INTERRUPTED
    assert "0.2" in str(fits)
    fit = linnet.fit(X, y, solver=solver, errors="bootstrap", progress=listener)
    assert fit.status is Status.INTERRUPTED
    assert np.isnan(fit.std_errors).all()
    assert any("no standard errors: the bootstrap would" in note for note in fit.notes)
