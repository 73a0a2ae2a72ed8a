"""What SGD's settings may be, and what is refused before any row is read."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import math
import pickle
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import linnet
from linnet import SGD, InputError, Objective, Squared
from linnet.block import Block
from linnet.design import Design
from linnet.solvers.sgd import ALLOWED
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source

X = np.random.default_rng(0).standard_normal((100, 3))
Y = X @ [1.0, 2.0, 3.0] - 2
NAN, INF = math.nan, math.inf


class Unread(Source):
    """Rows that nobody may read."""

    design, target, rows = Design.numbers(("x1", "x2", "x3")), "y", 100

    def blocks(self) -> Iterator[Block]:
        raise AssertionError("the rows were read")

    def held(self) -> None:
        raise AssertionError("the rows were read")


def begun(solver: SGD) -> None:
    """Ask for the first Step over rows that must not be read."""
    next(iter(solver.steps(Objective(Squared()), Unread())))


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("lr", 0, '"auto", but is 0'),
        ("lr", -1.0, "-1.0"),
        ("lr", NAN, "nan"),
        ("lr", INF, "inf"),
        ("lr", "fast", "'fast'"),
        ("lr", None, "None"),
        ("lr", True, "True"),
        ("lr", np.True_, "True"),
        ("lr", 1j, "1j"),
        ("lr", 10**400, "finite number above 0"),
        ("lr", np.array([0.1, 0.2]), r"array\(\[0.1, 0.2\]\)"),
        ("batch_size", 0, "at least 1, but is 0"),
        ("batch_size", 2.5, "2.5"),
        ("batch_size", np.array([1, 2]), "array"),
        ("epochs", 0, "or None, but is 0"),
        ("epochs", True, "True"),
        ("epochs", "all", "'all'"),
        ("momentum", 1.0, "below 1, but is 1.0"),
        ("momentum", -0.1, "-0.1"),
        ("momentum", False, "False"),
        ("average", 3, "True or False, but is 3"),
        ("average", None, "None"),
        ("schedule", "cosine", "'cosine'"),
        ("schedule", ["constant"], r"\['constant'\]"),
        ("shuffle", "all", "'all'"),
        ("shuffle", 1, "1"),
        ("init", "ones", "'ones'"),
        ("seed", -1, "-1"),
        ("seed", False, "False"),
        ("tol", 0.1, "0.1"),
        ("tol", np.array(["auto", None]), "array"),
        ("decay", 0, "above 0, but is 0"),
        ("every", 0, "or None, but is 0"),
        ("checkpoint", 5, "path of a file, or None, but is 5"),
        ("checkpoint", "", "''"),
        ("checkpoint", b"run", "b'run'"),
        ("resume", "yes", "'yes'"),
        ("start", 3, "a tuple of finite numbers, the bias and then the weights, or None, but is 3"),
        ("start", np.array(3.0), "array"),
        ("start", "abcd", "'abcd'"),
        ("start", b"abcd", "b'abcd'"),
        ("start", {1.0, 2.0, 3.0, 4.0}, "1.0"),
        ("start", ("a", 1.0, 2.0, 3.0), "'a'"),
        ("start", (1, 2, 3, NAN), "nan"),
        ("start", (INF, 2, 3, 4), "inf"),
        ("start", (1, 2, 3, True), "True"),
        ("start", [[1, 2, 3, 4]], r"\[\[1, 2"),
        ("start", [[1], [2, 3]], r"\[\[1\]"),
        ("start", np.ones((4, 1)), "array"),
        ("start", np.array([1, 2, 3, NAN]), "nan"),
        ("done", -1, "-1"),
        ("done", 10**30, r"from 0 to 2\*\*53, but is 1000"),
        ("done", 2**53 + 1, "from 0 to"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_makes_no_sense_is_refused_in_one_line(setting: str, value: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"^SGD's {setting} must be .*, but is .*\\.$") as refused:
        SGD(**{setting: value})
    refused.match(said)
    assert len(str(refused.value)) < 160


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(InputError, match="resume=True needs checkpoint="):
        SGD(resume=True)
    with pytest.raises(InputError, match="start must hold the bias and 3 weights, but has 1 number"):
        begun(SGD(start=(1.0,)))


NUMPY: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"lr": np.float64(0.03)}, {"lr": 0.03}),
    ({"lr": np.float32(0.25)}, {"lr": 0.25}),
    ({"lr": np.float16(0.25)}, {"lr": 0.25}),
    ({"lr": np.int64(1)}, {"lr": 1.0}),
    ({"lr": Fraction(1, 4)}, {"lr": 0.25}),
    ({"momentum": np.float32(0.5)}, {"momentum": 0.5}),
    ({"decay": np.int64(2), "schedule": "inverse-time"}, {"decay": 2.0, "schedule": "inverse-time"}),
    ({"batch_size": np.int32(7)}, {"batch_size": 7}),
    ({"epochs": np.uint8(3)}, {"epochs": 3}),
    ({"seed": np.uint64(2**63)}, {"seed": 2**63}),
    ({"average": np.True_}, {"average": True}),
    ({"shuffle": np.False_}, {"shuffle": False}),
    ({"start": np.array([1, 2, 3, 4])}, {"start": (1.0, 2.0, 3.0, 4.0)}),
    ({"start": [1, np.float32(2), 3.0, np.int8(4)]}, {"start": (1.0, 2.0, 3.0, 4.0)}),
]


@pytest.mark.parametrize(("given", "meant"), NUMPY, ids=[f"{given}" for given, _ in NUMPY])
def test_numbers_of_numpy_are_those_of_python(given: dict[str, Any], meant: dict[str, Any], tmp_path: Path) -> None:
    """Down to the checkpoint: a run that was begun with one is resumed with the other."""
    solver, plain = SGD(**given), SGD(**meant)
    assert solver == plain
    assert hash(solver) == hash(plain)
    assert repr(solver) == repr(plain)
    assert json.dumps(solver.settings(Objective(Squared()), Unread()))
    path = tmp_path / "run"
    kept: dict[str, Any] = {"tol": None, "checkpoint": path, "resume": True}
    linnet.fit(X, Y, solver=replace(solver, **{"epochs": 1, **kept}))
    begun_before = path.read_bytes()
    more = linnet.fit(X, Y, solver=replace(plain, **{**kept, "epochs": 4}))
    whole = linnet.fit(X, Y, solver=replace(plain, epochs=4, tol=None))
    assert more.weights.tobytes() == whole.weights.tobytes()
    assert path.read_bytes() != begun_before


def test_a_solver_is_a_value() -> None:
    """It is hashed, compared, copied and pickled; what cloning an estimator and a grid of settings need."""
    solver = SGD(lr=np.float32(0.5), start=np.arange(4), checkpoint=Path("run"), average=np.True_)
    for same in (copy.deepcopy(solver), pickle.loads(pickle.dumps(solver)), replace(solver)):
        assert same == solver
        assert hash(same) == hash(solver)
    assert len({SGD(lr=float(lr)) for lr in (0.1, 0.2, 0.1)}) == 2
    assert set(ALLOWED) == set(vars(solver))


def test_what_is_allowed_is_kept_as_it_is(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "lr": "auto", "batch_size": 10**30, "epochs": None, "momentum": 0.0, "schedule": "inverse-time",
        "shuffle": "pieces", "init": "normal", "seed": 2**128, "tol": None, "checkpoint": tmp_path / "run",
        "resume": True, "every": None, "start": None, "done": 2**53,
    }  # fmt: skip
    solver = SGD(**settings)
    assert {name: getattr(solver, name) for name in settings} == settings
    assert solver.checkpoint is settings["checkpoint"]


# --- A checkpoint that cannot be used is refused before the rows are read ---------------------------------------------


def saved(path: Path) -> SGD:
    """A solver whose run is kept at `path` already."""
    solver = SGD(lr=0.01, epochs=1, tol=None, checkpoint=path)
    for _ in solver.steps(Objective(Squared()), ArraySource(X, Y)):
        pass
    return solver


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*absent; create it first"):
        begun(SGD(checkpoint=tmp_path / "absent" / "run"))
    with pytest.raises(InputError, match="it is a folder; add a file name"):
        begun(SGD(checkpoint=tmp_path))
    with pytest.raises(InputError, match="choose another name"):
        begun(SGD(checkpoint="nul\0"))


@pytest.mark.parametrize("resume", [False, True])
def test_somebodys_data_are_no_checkpoint_and_never_to_be_removed(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x1,y\n1,2\n2,3\n3,5\n")
    for arguments in ((path, "y"), (X, Y)):
        with pytest.raises(InputError, match=r"is not a checkpoint of Linnet.*: choose another name") as refused:
            linnet.fit(*arguments, solver=SGD(checkpoint=path, resume=resume))
        assert "remove" not in str(refused.value)
    with pytest.raises(InputError, match="is not a checkpoint"):
        begun(SGD(checkpoint=path, resume=resume))
    assert path.read_text() == "x1,y\n1,2\n2,3\n3,5\n"


def test_a_run_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "run"
    solver = saved(path)
    content = path.read_bytes()
    with pytest.raises(InputError, match=r"run' exists already: resume from it \(--resume, resume=True\)"):
        begun(solver)
    resumed = replace(solver, resume=True)
    with pytest.raises(AssertionError, match="the rows were read"):  # nothing else speaks against it
        begun(resumed)
    for change in ({"lr": 0.02}, {"batch_size": 31}, {"momentum": 0.1}, {"seed": 1}, {"start": (1, 2, 3, 4)}):
        with pytest.raises(InputError, match=rf"Cannot resume from .*run'\. .* with another {next(iter(change))}:"):
            begun(replace(resumed, **change))
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match="is damaged"):
        begun(resumed)
    path.write_bytes(content)
    with pytest.raises(InputError, match="other data"):
        linnet.fit(X, Y + 1e-12, solver=resumed)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "settings",
    [{}, {"lr": 0.03, "batch_size": 10}, {"tol": None, "start": (1.0, 2.0), "done": 3}, {"shuffle": "pieces"}],
)
def test_what_is_shown_is_what_was_set(settings: dict[str, Any]) -> None:
    shown = repr(SGD(**settings))
    assert eval(shown, {"SGD": SGD}) == SGD(**settings)  # noqa: S307  # a repr of our own
    assert shown.count("=") == len(settings)


def test_type_checkers_see_the_same_settings() -> None:
    """What `__init__` takes is written down twice, once wider: names, order and defaults are those of the fields."""
    tree = ast.parse(Path(inspect.getfile(SGD)).read_text(encoding="utf-8"))
    (told,) = (n.args for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    positional = dict(zip([a.arg for a in told.args[1:]], told.defaults, strict=True))
    named = {a.arg: value for a, value in zip(told.kwonlyargs, told.kw_defaults, strict=True) if value is not None}
    real = inspect.signature(SGD).parameters.values()
    for kind, seen in ((inspect.Parameter.POSITIONAL_OR_KEYWORD, positional), (inspect.Parameter.KEYWORD_ONLY, named)):
        expected = [(p.name, p.default) for p in real if p.kind is kind]
        assert [(name, ast.literal_eval(value)) for name, value in seen.items()] == expected


def test_numbers_may_be_numpys_and_start_a_list() -> None:
    """`make check` reads this file too: the annotations allow what the docstring says."""
    fit = linnet.fit(X, Y)
    solver = SGD(lr=np.float32(0.5), batch_size=np.int64(3), seed=np.uint8(7), start=[1.0, 2.0, 3.0, 4.0])
    assert (solver.lr, solver.batch_size, solver.seed, solver.start) == (0.5, 3, 7, (1.0, 2.0, 3.0, 4.0))
    assert SGD(start=fit.coefficients).start == tuple(fit.coefficients.tolist())
