from __future__ import annotations

import csv
import io
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
import tomllib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

import linnet
from helpers import example
from linnet import Fit, cli
from linnet.comparison import compare
from linnet.fits import Fits
from linnet.status import Status

PENGUINS = Path(str(linnet.__file__)).parent / "data" / "penguins.csv"
FEATURES = "bill_length_mm,bill_depth_mm,flipper_length_mm,species,sex"
# name: weight, standard error, on the 333 complete rows
CERTAIN = {
    "intercept": (-1460.9946, 571.308),
    "bill_length_mm": (18.2044, 7.106),
    "bill_depth_mm": (67.2176, 19.742),
    "flipper_length_mm": (15.9502, 2.910),
    "species[Chinstrap]": (-251.4767, 81.079),
    "species[Gentoo]": (1014.6267, 129.561),
    "sex[male]": (389.8915, 47.848),
}
LINE = "x1,x2,y\n" + "".join(f"{i},{i * i % 7},{2 * i + 1 + (-1) ** i}\n" for i in range(20))


@dataclass
class Outcome:
    status: int
    out: str
    err: str


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs the command line in this process."""

    def runner(*arguments: object) -> Outcome:
        capfd.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return Outcome(status, *capfd.readouterr())

    return runner


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "line.csv"
    path.write_text(LINE)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.json"
    example(2).save(path)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(outcome: Outcome, *words: str) -> None:
    """Status 2, nothing on stdout, one paragraph on stderr that says all the words."""
    assert outcome.status == 2, outcome
    assert outcome.out == ""
    assert outcome.err.startswith("linnet: ")
    assert outcome.err.count("\n") == 1
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err


def test_demo_finds_the_penguins_and_learns_them(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run("demo")
    assert outcome.status == 0
    assert outcome.err == ""
    exact, learned = outcome.out.split("no setting chosen by hand:\n")
    for text in (exact, learned):
        assert "333 rows, 11 dropped for missing values" in text
        assert "R²           0.8749" in text
    for name, (weight, error) in CERTAIN.items():
        row = next(line for line in exact.splitlines() if line.startswith(name)).split()
        assert row[1:3] == [f"{weight:.3f}", f"{error:.3f}"]
        row = next(line for line in learned.splitlines() if line.startswith(name)).split()
        assert row[2:4] == [f"{weight:.3f}", f"{error:.3f}"]
        assert abs(float(row[1]) - weight) <= 0.05 * error
        assert abs(float(row[4])) <= 0.05
    assert "Learned: each weight is within 5 % of a classical standard error" in learned
    files = ["penguins-model.json", "penguins-weights.png", "penguins-loss.png"]
    assert outcome.out.endswith("\nModel:   {}\nFigures: {}\n         {}\n".format(*files))
    assert names_in(tmp_path) == sorted(files)
    recipe = (Path(__file__).parent.parent / "Makefile").read_text(encoding="utf-8").partition("\nclean:")[2]
    assert all(name in recipe.split() for name in files)
    for figure in files[1:]:
        assert Path(figure).read_bytes().startswith(b"\x89PNG")
    assert linnet.load("penguins-model.json", Fit).n == 333
    assert linnet.load("penguins-model.json", Fit).solver == "exact"
    refused(run("demo", "--out", "absent"), "absent", "create it")


def test_fit_json_has_the_certain_numbers(run: Any) -> None:
    outcome = run(
        "fit", PENGUINS, "--target", "body_mass_g", "--features", FEATURES, "--missing", "drop", "--json", "--quiet"
    )
    assert (outcome.status, outcome.err) == (0, "")
    record = json.loads(outcome.out, parse_constant=pytest.fail)
    weights = {w["name"]: w for w in record["weights"]}
    assert next(iter(weights)) == "intercept"
    assert weights.keys() == CERTAIN.keys()
    for name, (weight, error) in CERTAIN.items():
        assert weights[name]["weight"] == pytest.approx(weight, abs=5e-5)
        assert weights[name]["std_error"] == pytest.approx(error, abs=5e-4)
        assert weights[name]["low"] < weight < weights[name]["high"]
    assert record["r2"] == pytest.approx(0.87496, abs=5e-6)
    assert (record["n"], record["n_dropped"], record["converged"]) == (333, 11, True)


def test_fit_save_show_predict(run: Any, table: Path, tmp_path: Path) -> None:
    saved, figure, predicted = (tmp_path / name for name in ("m.json", "f.svg", "p.csv"))
    fitted = run("fit", table, "-t", "y", "--save", saved, "--plot", figure)
    assert fitted.status == 0
    assert str(saved) in fitted.err
    assert str(figure) in fitted.err
    assert figure.read_text().startswith("<?xml")
    shown = run("show", saved)
    assert shown == Outcome(0, fitted.out, "")
    assert json.loads(run("show", saved, "--json", "--level", "0.5").out)["level"] == 0.5

    data = np.loadtxt(table, delimiter=",", skiprows=1)
    expected = linnet.load(saved, Fit).predict_rows(data[:, :2], 0.9, "confidence")
    outcome = run("predict", saved, table, "--interval", "0.9", "--kind", "confidence", "-o", predicted)
    assert outcome == Outcome(0, "", "")
    rows = list(csv.reader(predicted.read_text().splitlines()))
    assert rows[0] == ["prediction", "low", "high"]
    np.testing.assert_array_equal(np.array(rows[1:], dtype=float), expected)

    piped = run("predict", saved, table)
    assert piped.out.splitlines()[0] == "prediction"
    np.testing.assert_array_equal(np.array(piped.out.splitlines()[1:], dtype=float), expected[:, 0])


def test_fit_of_one_feature_draws_its_points(run: Any, table: Path, tmp_path: Path) -> None:
    assert run("fit", table, "-t", "y", "-f", "x1", "--plot", tmp_path / "f.png").status == 0
    assert (tmp_path / "f.png").stat().st_size > 10_000


def test_a_name_without_a_font_is_one_remark(run: Any, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(LINE.replace("x2", "\U00012000").replace("y", "\U00012000y"))
    how = ["fit", tmp_path / "t.csv", "-t", "\U00012000y", "--solver", "sgd", "--plot", tmp_path / "f.png"]
    outcome = run(*how)
    assert outcome.status == 0
    figure, curve, remark = outcome.err.splitlines()
    assert (figure, curve) == (f"Figure: {tmp_path / 'f.png'}", f"Figure: {tmp_path / 'f-loss.png'}")
    assert remark.startswith("No font that is installed here has \U00012000, so the figure shows boxes")
    assert run(*how, "--quiet").err == ""


def test_level_where_a_table_shows_no_intervals(run: Any, table: Path) -> None:
    """The help says so, and JSON has them."""
    how = ["fit", table, "-t", "y", "--solver", "sgd"]
    assert run(*how, "--level", "0.5").out == run(*how).out
    weights = json.loads(run(*how, "--level", "0.5", "--json").out)["weights"]
    wide = json.loads(run(*how, "--json").out)["weights"]
    assert all(a["high"] - a["low"] < b["high"] - b["low"] for a, b in zip(weights, wide, strict=True))
    for command in ("fit", "show", "compare"):
        said = " ".join(run(command, "--help").out.split())
        assert "weights that were learned, and of several fits, show none: --json gives them" in said


def test_options_reach_the_fit(run: Any, table: Path) -> None:
    record = json.loads(
        run(
            "fit", table, "-t", "y", "--features", "x2", "--no-intercept", "--l2", "0.5", "--errors", "hc1",
            "--precision", "exact", "--solver", "exact", "--loss", "squared", "--level", "0.8", "--json",
        ).out
    )  # fmt: skip
    assert [w["name"] for w in record["weights"]] == ["x2"]
    assert {k: record[k] for k in ("l2", "errors", "precision", "solver", "loss", "level", "intercept")} == {
        "l2": 0.5, "errors": "hc1", "precision": "exact", "solver": "exact", "loss": "squared", "level": 0.8,
        "intercept": False,
    }  # fmt: skip


def test_options_reach_sgd(run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As typed here or given in Python, it is the same run."""
    monkeypatch.chdir(tmp_path)
    outcome = run(
        "fit", table, "-t", "y", "--solver", "sgd", "--loss", "huber", "--delta", "0.7", "--lr", "0.01",
        "--batch-size", 3, "--epochs", 5, "--momentum", "0.5", "--average", "--schedule", "inverse-time",
        "--decay", "0.5", "--shuffle", "pieces", "--init", "normal", "--seed", 3, "--tol", "none", "--l2", "0.1",
        "--checkpoint", "run.ckpt", "--json",
    )  # fmt: skip
    assert (outcome.status, outcome.err) == (0, "")
    solver = linnet.SGD(
        lr=0.01, batch_size=3, epochs=5, momentum=0.5, average=True, schedule="inverse-time", decay=0.5,
        shuffle="pieces", init="normal", seed=3, tol=None,
    )  # fmt: skip
    fit = linnet.fit(table, "y", solver=solver, loss=linnet.Huber(0.7), l2=0.1)
    assert json.loads(outcome.out) == json.loads(json.dumps(fit.to_dict()))
    assert (fit.status, fit.loss) == (Status.RAN, "huber")


def test_nothing_set_by_hand_comes_close_to_the_exact(run: Any, table: Path, tmp_path: Path) -> None:
    outcome = run(
        "fit", table, "-t", "y", "--solver", "sgd", "--save", tmp_path / "m.json", "--plot", tmp_path / "f.png"
    )
    assert outcome.status == 0
    assert "learned" in outcome.out
    assert "distance" in outcome.out
    for figure in ("f.png", "f-loss.png"):
        assert (tmp_path / figure).stat().st_size > 10_000
        assert str(tmp_path / figure) in outcome.err
    fit = linnet.load(tmp_path / "m.json", Fit)
    assert np.nanmax(np.abs(fit.distance)) <= 0.05
    assert run("show", tmp_path / "m.json").out == outcome.out


def test_a_run_goes_on_from_its_checkpoint(run: Any, table: Path, tmp_path: Path) -> None:
    learn = ["fit", table, "-t", "y", "--solver", "sgd", "--tol", "none", "--json"]
    whole = json.loads(run(*learn, "--epochs", 6).out)
    kept = [*learn, "--checkpoint", tmp_path / "run.ckpt"]
    assert run(*kept, "--epochs", 2).status == 0
    refused(run(*kept, "--epochs", 6), "run.ckpt", "--resume")
    refused(run(*kept, "--epochs", 6, "--resume", "--batch-size", 5), "batch_size", "32", "5")
    resumed = json.loads(run(*kept, "--epochs", 6, "--resume").out)
    assert resumed["weights"] == whole["weights"]
    assert resumed["history"] == whole["history"]


def test_what_does_not_converge_is_status_1_and_still_written(run: Any, table: Path, tmp_path: Path) -> None:
    learn = ["fit", table, "-t", "y", "--solver", "sgd", "--save", tmp_path / "m.json"]
    outcome = run(*learn, "--lr", "50", "--plot", tmp_path / "f.svg")
    assert outcome.status == 1
    assert (tmp_path / "f.svg").exists()
    assert "Diverged: the learning rate is too large" in outcome.out
    assert linnet.load(tmp_path / "m.json", Fit).status is Status.DIVERGED
    stopped = run(*learn, "--lr", "1e-6", "--epochs", 1)
    assert stopped.status == 1
    assert "allow more of them (--epochs); --solver auto finds" in " ".join(stopped.out.split())
    assert max(map(cell_len, stopped.out.splitlines())) <= 80  # respelled before it is broken into lines
    assert linnet.load(tmp_path / "m.json", Fit).status is Status.STOPPED


# --- Losses ---------------------------------------------------------------------------------------------------------

LOSSES: list[tuple[list[object], linnet.Loss]] = [
    (["--loss", "squared"], linnet.Squared()),
    (["--loss", "absolute"], linnet.Absolute()),
    (["--loss", "huber"], linnet.Huber()),
    (["--delta", "0.7"], linnet.Huber(0.7)),
    (["--k", "1.345"], linnet.Huber(k=1.345)),
    (["--loss", "huber", "--k", "1.5", "--scale", "concomitant"], linnet.Huber(k=1.5, scale="concomitant")),
    (["--loss", "quantile"], linnet.Quantile(0.5)),
    (["--quantile", "0.9"], linnet.Quantile(0.9)),
]


@pytest.fixture
def houses(tmp_path: Path) -> Path:
    """Rows with text, gaps, weights, and errors that grow with the area."""
    random = np.random.default_rng(5)
    path = tmp_path / "houses.csv"
    lines = ["area,town,age,w,price"]
    for i in range(150):
        area, town, age = 50 + 100 * random.random(), "Bath" if random.random() < 0.4 else "York", i % 40
        price = 3 * area + 20 * (town == "York") - age + (1 + area / 20) * random.standard_t(3)
        lines.append(f"{area},{town},{'' if i % 50 == 49 else age},{1 + i % 3},{price}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("typed", "loss"), LOSSES)
def test_each_loss_as_in_python(run: Any, houses: Path, tmp_path: Path, typed: list[object], loss: linnet.Loss) -> None:
    """To JSON, to a file and back, and to predictions."""
    how = ["fit", houses, "-t", "price", "-w", "w", "--missing", "drop", *typed]
    outcome = run(*how, "--json", "--save", tmp_path / "m.json", "--plot", tmp_path / "f.png")
    assert outcome.status == 0
    fit = linnet.fit(houses, "price", weight="w", missing="drop", loss=loss)
    record = json.loads(outcome.out, parse_constant=pytest.fail)
    assert record == json.loads(json.dumps(fit.to_dict()))
    assert (record["loss"], record["converged"]) == (loss.name, True)
    shown = run("show", tmp_path / "m.json")
    assert shown.out == run(*how).out == f"{fit}\n"
    predicted = run("predict", tmp_path / "m.json", houses).out.splitlines()
    np.testing.assert_array_equal(np.array(predicted[1:], dtype=float), fit.predict(houses))
    assert names_in(tmp_path) == ["f.png", "houses.csv", "m.json"]  # and no loss curve, since nothing was learned


@pytest.mark.parametrize(
    ("typed", "errors", "kind"),
    [
        (["--loss", "absolute"], "auto", "nid"),
        (["--loss", "absolute"], "iid", "iid"),
        (["--loss", "absolute"], "classical", "iid"),
        (["--quantile", "0.3"], "bootstrap", "bootstrap"),
        (["--k", "1.345"], "sandwich", "sandwich"),
        (["--delta", "9"], "iid", "iid"),
        (["--loss", "squared"], "bootstrap", "bootstrap"),
        (["--loss", "squared"], "hc2", "hc2"),
        (["--loss", "quantile"], "none", "none"),
    ],
)
def test_errors_of_each_kind(run: Any, houses: Path, typed: list[object], errors: str, kind: str) -> None:
    outcome = run("fit", houses, "-t", "price", "-f", "area,town", *typed, "--errors", errors, "--json")
    record = json.loads(outcome.out)
    assert (outcome.status, record["errors"]) == (0, kind)
    assert all((w["std_error"] is None) == (kind == "none") for w in record["weights"])


def test_several_quantiles_stand_side_by_side(run: Any, houses: Path, tmp_path: Path) -> None:
    saved, figure, predicted = (tmp_path / name for name in ("q.json", "q.svg", "p.csv"))
    how = ["fit", houses, "-t", "price", "--quantile", "0.9,0.1,0.5", "-f", "area,town"]
    outcome = run(*how, "--save", saved, "--plot", figure)
    assert outcome.status == 0
    assert figure.read_text().startswith("<?xml")
    fits = linnet.fit(houses, "price", features=["area", "town"], loss=linnet.Quantile([0.1, 0.5, 0.9]))
    assert outcome.out == f"{fits}\n" == run("show", saved).out
    assert fits.labels == ("0.1", "0.5", "0.9")
    record = json.loads(run(*how, "--json", "--level", "0.8").out)
    assert record == json.loads(json.dumps(fits.to_dict(0.8)))
    assert json.loads(run("show", saved, "--json", "--level", "0.8").out) == record

    assert run("predict", saved, houses, "-o", predicted) == Outcome(0, "", "")
    header, *rows = csv.reader(predicted.read_text().splitlines())
    assert header == ["prediction_0.1", "prediction_0.5", "prediction_0.9"]
    np.testing.assert_array_equal(np.array(rows, dtype=float), fits.predict(houses))
    assert run("predict", saved, houses).out == predicted.read_text()
    refused(run("predict", saved, houses, "--interval", "0.9"), "--kind confidence")
    how = ["predict", saved, houses, "--interval", "0.9", "--kind", "confidence"]
    assert run(*how, "-o", predicted) == Outcome(0, "", "")
    header, *rows = csv.reader(predicted.read_text().splitlines())
    assert header == [f"{what}_{q}" for q in ("0.1", "0.5", "0.9") for what in ("prediction", "low", "high")]
    expected = fits.predict(houses, 0.9, "confidence")
    np.testing.assert_array_equal(np.array(rows, dtype=float).reshape(expected.shape), expected)
    assert run(*how).out == predicted.read_text()


def test_of_several_fits_one_without_standard_errors_is_named(run: Any, houses: Path, tmp_path: Path) -> None:
    saved, predicted = tmp_path / "q.json", tmp_path / "p.csv"
    how = ["fit", houses, "-t", "price", "--quantile", "0.5,0.999", "-f", "area", "--save", saved]
    assert run(*how).status == 0
    outcome = run("predict", saved, houses, "--interval", "0.9", "--kind", "confidence", "-o", predicted)
    assert outcome.status == 0
    assert outcome.err.startswith("Note: the fit '0.999' has no standard errors, and no interval is given: the notes")
    header, *rows = csv.reader(predicted.read_text().splitlines())
    assert header[3:] == ["prediction_0.999", "low_0.999", "high_0.999"]
    missing = np.isnan(np.array(rows, dtype=float))
    np.testing.assert_array_equal(missing, np.broadcast_to([0, 0, 0, 0, 1, 1], missing.shape))


def test_one_quantile_of_one_feature_draws_its_fan(run: Any, houses: Path, tmp_path: Path) -> None:
    how = ["fit", houses, "-t", "price", "-f", "area", "--plot", tmp_path / "f.png", "--quantile"]
    for quantiles in ("0.9", "0.1,0.9"):
        assert run(*how, quantiles).status == 0
        assert (tmp_path / "f.png").stat().st_size > 10_000


def test_a_robust_loss_that_was_learned_stands_beside_its_optimum(run: Any, houses: Path, tmp_path: Path) -> None:
    how = ["fit", houses, "-t", "price", "-f", "area", "--loss", "absolute", "--solver", "sgd"]
    outcome = run(*how, "--plot", tmp_path / "f.png")
    assert outcome.status in (0, 1)
    assert "learned" in outcome.out
    assert "exact" in outcome.out
    assert (tmp_path / "f-loss.png").exists()
    optimum = json.loads(run(*how[:-2], "--json").out)
    learned = json.loads(run(*how, "--json").out)
    assert [w["exact"] for w in learned["weights"]] == [w["weight"] for w in optimum["weights"]]


def test_compare_says_what_the_library_says(run: Any, houses: Path, tmp_path: Path) -> None:
    how = ["compare", houses, "-t", "price", "-w", "w", "--missing", "drop"]
    outcome = run(*how, "--save", tmp_path / "c.json", "--plot", tmp_path / "c.png")
    assert outcome.status == 0
    result = compare(houses, "price", weight="w", missing="drop")
    assert outcome.out == f"{result}\n"
    assert "Cook's D" in outcome.out
    assert (tmp_path / "c.png").stat().st_size > 10_000
    assert json.loads(run(*how, "--json").out) == json.loads(json.dumps(result.to_dict()))
    assert run("show", tmp_path / "c.json").out == f"{result.fits}\n"
    header, *rows = csv.reader(run("predict", tmp_path / "c.json", houses).out.splitlines())
    assert header == [f"prediction_{name}" for name in ("squared", "huber", "absolute", "quantile_0.9")]
    np.testing.assert_array_equal(np.array(rows, dtype=float), linnet.load(tmp_path / "c.json", Fits).predict(houses))


def test_options_reach_the_comparison(run: Any, houses: Path) -> None:
    record = json.loads(
        run(
            "compare", houses, "-t", "price", "-f", "area", "--losses", "huber:2,quantile:0.25", "--no-intercept",
            "--l2", "0.5", "--errors", "none", "--level", "0.8", "--json",
        ).out
    )  # fmt: skip
    assert list(record["fits"]) == ["huber", "quantile 0.25"]
    for fit in record["fits"].values():
        assert [w["name"] for w in fit["weights"]] == ["area"]
        assert {k: fit[k] for k in ("l2", "errors", "level", "intercept")} == {
            "l2": 0.5, "errors": "none", "level": 0.8, "intercept": False,
        }  # fmt: skip
    assert record["fits"]["huber"]["settings"]["k"] == 2


def test_one_fit_that_did_not_converge_is_status_1(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import linnet.fitting

    for status, expected in ((Status.SOLVED, 0), (Status.UNFINISHED, 1), (Status.INTERRUPTED, 130)):
        fits = Fits((example(2), example(2, status=status)), ("0.1", "0.9"))
        monkeypatch.setattr(linnet.fitting, "fit", lambda *_, fits=fits, **__: fits)
        assert run("fit", table, "-t", "y", "--quantile", "0.1,0.9", "--save", tmp_path / "m.json").status == expected
        assert linnet.load(tmp_path / "m.json", Fits).labels == ("0.1", "0.9")


# --- What else goes in and comes out --------------------------------------------------------------------------------


def test_weights_are_a_column(run: Any, tmp_path: Path) -> None:
    (tmp_path / "w.csv").write_text("x,w,y\n0,1,0\n1,1,1\n2,1,2.5\n3,0,99\n")
    (tmp_path / "three.csv").write_text("x,y\n0,0\n1,1\n2,2.5\n")
    weighted, plain = (
        json.loads(run("fit", tmp_path / name, "-t", "y", "--json", *more).out)
        for name, more in (("w.csv", ["--weight", "w"]), ("three.csv", []))
    )
    assert [w["weight"] for w in weighted["weights"]] == [w["weight"] for w in plain["weights"]]
    assert weighted["n"] == 3


def test_simulate_writes_what_the_library_draws(run: Any, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    outcome = run("simulate", out, "--weights", "-2,3.4", "--bias", "4.2", "--rows", 50, "--noise", "0.5", "--seed", 9)
    assert (outcome.status, outcome.out) == (0, "")
    data = linnet.simulate([-2, 3.4], 4.2, 50, 0.5, 9)
    np.testing.assert_array_equal(np.loadtxt(out, delimiter=",", skiprows=1), np.column_stack([data.X, data.y]))


def test_not_converged_is_status_1_and_still_written(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import linnet.fitting

    monkeypatch.setattr(linnet.fitting, "fit", lambda *_, **__: example(2, status=Status.IMPRECISE))
    outcome = run("fit", table, "-t", "y", "--save", tmp_path / "m.json")
    assert outcome.status == 1
    assert "inexact" in outcome.out
    assert linnet.load(tmp_path / "m.json", Fit).status is Status.IMPRECISE


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
@pytest.mark.parametrize("started", ["-m linnet", "the script"])
def test_an_interrupt_while_the_command_loads_says_nothing(started: str, tmp_path: Path) -> None:
    """In place of a package that it loads there is one that sends the signal."""
    (tmp_path / "typer.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")
    path = os.pathsep.join([str(tmp_path), str(Path(linnet.__file__).parents[1])])
    (script,) = tomllib.loads((Path(__file__).resolve().parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]["scripts"].values()
    module, name = script.split(":")
    way = (
        ["-m", "linnet"]
        if started == "-m linnet"
        else ["-c", f"import sys; from {module} import {name} as m; sys.exit(m())"]
    )
    ended = subprocess.run(
        [sys.executable, *way, "fit", "t.csv", "-t", "y"], env={**os.environ, "PYTHONPATH": path},
        capture_output=True, check=False, text=True,
    )  # fmt: skip
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
def test_an_interrupted_run_leaves_a_model_and_a_checkpoint(table: Path, tmp_path: Path) -> None:
    checkpoint, saved, figure = (tmp_path / name for name in ("run.ckpt", "m.json", "f.png"))
    learn = command(
        "fit", table, "-t", "y", "--solver", "sgd", "--tol", "none", "--checkpoint", checkpoint, "--save", saved,
        "--plot", figure, "--epochs",
    )  # fmt: skip
    with subprocess.Popen([*learn, str(10**9)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 130
    assert b"Interrupted: the weights are those reached so far" in out
    assert b"Traceback" not in err
    assert figure.exists()
    fit = linnet.load(saved, Fit)
    assert fit.status is Status.INTERRUPTED
    assert len(fit.history) <= 1_000
    again = subprocess.run([*learn, "1", "--resume"], capture_output=True, check=True)  # more than 1 are done
    assert b"all epochs were run" in again.stdout
    np.testing.assert_array_equal(linnet.load(saved, Fit).coefficients, fit.coefficients)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fit", "line.csv"], ["--target", "linnet fit --help"]),
        (["fit", "line.csv", "-t", "z"], ["line.csv", "'z'"]),
        (["fit", "line.csv", "-t", "y", "-f", "x1,nope"], ["line.csv", "'nope'"]),
        (["fit", "absent.csv", "-t", "y"], ["absent.csv"]),
        (["fit", "line.csv", "-t", "y", "--loss", "cubic"], ["--loss", "cubic"]),
        (["fit", "line.csv", "-t", "y", "--l2", "-1"], ["l2"]),
        (["fit", "line.csv", "-t", "y", "--lr", "0.1"], ["--lr", "--solver sgd"]),
        (["fit", "line.csv", "-t", "y", "--solver", "sgd", "--lr", "-1"], ["lr", "-1"]),
        (["fit", "line.csv", "-t", "y", "--solver", "sgd", "--shuffle", "all"], ["--shuffle", "all"]),
        (["fit", "line.csv", "-t", "y", "--loss", "squared", "--delta", "2"], ["--delta", "huber", "squared"]),
        (["fit", "line.csv", "-t", "y", "--loss", "huber", "--solver", "exact"], ["huber", "--solver newton"]),
        (["fit", "line.csv", "-t", "y", "--quantile", "0.5", "--solver", "newton"], ["--solver interior-point"]),
        (["fit", "line.csv", "-t", "y", "--quantile", "0.5,2"], ["below 1", "2"]),
        (["fit", "line.csv", "-t", "y", "--quantile", "0.5,x"], ["--quantile", "'x'"]),
        (["fit", "line.csv", "-t", "y", "--loss", "absolute", "--errors", "hc3"], ["--errors", "absolute", "nid"]),
        (["fit", "line.csv", "-t", "y", "--errors", "nid"], ["--errors", "squared", "classical"]),
        (["fit", "line.csv", "-t", "y", "--loss", "absolute", "--precision", "exact"], ["--precision exact"]),
        (["compare", "line.csv"], ["--target", "linnet compare --help"]),
        (["compare", "line.csv", "-t", "y", "--losses", "squared,cubic"], ["'cubic'", "absolute"]),
        (["compare", "line.csv", "-t", "y", "--losses", "squared:2"], ["--losses", "'squared:2'"]),
        (["compare", "line.csv", "-t", "y", "--losses", "squared,squared"], ["twice"]),
        (["compare", "line.csv", "-t", "y", "--errors", "hc3"], ["--errors"]),
        (["compare", "line.csv", "-t", "y", "--save", "absent/m.json"], ["absent", "create it"]),
        (["compare", "bad.csv", "-t", "y"], ["bad.csv"]),
        (["fit", "line.csv", "-t", "y", "--solver", "sgd", "--checkpoint", "absent/c"], ["absent"]),
        (["fit", "line.csv", "-t", "y", "--solver", "sgd", "--checkpoint", "line.csv"], ["line.csv", "another name"]),
        (
            ["fit", "line.csv", "-t", "y", "--solver", "sgd", "--checkpoint", "m.json", "--save", "./m.json"],
            ["The model and the checkpoint", "m.json", "another name"],
        ),
        (
            ["fit", "line.csv", "-t", "y", "--save", "line.csv"],
            ["to line.csv, which this command reads: choose"],
        ),
        (["fit", "line.csv", "-t", "y", "--plot", "m.png", "--save", "m.png"], ["The model and the figure"]),
        (
            ["fit", "line.csv", "-t", "y", "--plot", "m.png", "--save", "m-loss.png", "--solver", "sgd"],
            ["The model and the loss curve beside the figure", "m-loss.png"],
        ),
        (["fit", "*ine.csv", "-t", "y", "--save", "./line.csv"], ["./line.csv, which this command reads as line.csv"]),
        (["compare", ".", "-t", "y", "--save", "bad.csv"], ["Cannot write the model to bad.csv, which this command"]),
        (["predict", "model.json", "line.csv", "-o", "line.csv"], ["Cannot write the predictions to line.csv, which"]),
        (["predict", "model.json", "line.csv", "-o", "soft.csv"], ["predictions to soft.csv", "reads as line.csv"]),
        (["predict", "model.csv", "bad.csv", "-o", "model.csv"], ["Cannot write the predictions to model.csv, which"]),
        (["fit", "", "-t", "y"], ["path of the data is empty"]),
        (["predict", "model.json", ""], ["path of the data is empty"]),
        (["fit", "line.csv", "-t", "y", "-f", "x1,x1"], ["--features names 'x1' twice"]),
        (["fit", "line.csv", "-t", "y", "-f", "x1,y"], ["leave it out of --features."]),
        (["fit", "line.csv", "-t", "y", "-f", "x  1"], ["'x  1'", "did you mean 'x1'"]),
        (["fit", "line.csv", "-t", "y", "--solver", "sgd", "--precision", "exact"], ["--solver exact"]),
        (["fit", "line.csv", "-t", "y", "--l2", "a"], ["--l2"]),
        (["fit", "line.csv", "-t", "y", "--level", "95"], ["between 0 and 1", "95"]),
        (["fit", "line.csv", "-t", "y", "--save", "absent/m.json"], ["absent", "create it"]),
        (["fit", "line.csv", "-t", "y", "--plot", "f.gif"], ["f.gif", ".png"]),
        (["fit", "absent.csv", "-t", "y", "--plot", "f.gif"], ["f.gif"]),  # outputs are checked before the work
        (["fit", "bad.csv", "-t", "y"], ["bad.csv"]),
        (["predict", "model.json", "absent.csv"], ["absent.csv"]),
        (["predict", "line.csv", "line.csv"], ["line.csv", "not a Linnet model file"]),
        (["predict", "model.json", "line.csv", "--interval", "2"], ["between 0 and 1"]),
        (["predict", "model.json", "line.csv", "-o", "p.txt"], ["p.txt", ".csv"]),
        (["show", "absent.json"], ["absent.json"]),
        (["simulate", "s.csv", "--weights", "a,b"], ["--weights", "a,b"]),
        (["simulate", "s.csv", "--weights", "1", "--rows", "0"], ["rows"]),
        (["simulate", "s.csv", "--weights", "1e308,1e308", "--bias", "1e308"], ["target of row", "float64's range"]),
        (["simulate", "s.csv", "--weights", "1", "--rows", "many"], ["--rows"]),
        (["simulate", "s.xlsx", "--weights", "1"], ["s.xlsx", ".parquet"]),
        (["simulate", ".", "--weights", "1"], ["."]),
        (["nonsense"], ["nonsense"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_bad_usage_and_bad_input_is_one_paragraph(
    run: Any, table: Path, model: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    monkeypatch.chdir(table.parent)
    assert model.exists()
    Path("bad.csv").write_text(LINE + "3,oops,1\n1\n")
    Path("model.csv").write_bytes(model.read_bytes())
    Path("soft.csv").symlink_to("line.csv")
    before = contents(table.parent)
    refused(run(*arguments), *words)
    assert contents(table.parent) == before


def test_remedies_that_a_prediction_can_follow(run: Any, table: Path, model: Path, tmp_path: Path) -> None:
    """What it cannot be asked for, such as --features, is said to be of the fit."""
    dates, mixed = tmp_path / "dates.csv", tmp_path / "mixed.csv"
    dates.write_text("x1,x2\n2020-01-01,1\n2020-01-02,1\n")
    mixed.write_text("x1,x2\n1,1\n2,1\n3,1\nmany,1\n")
    for path in (dates, mixed):
        refused(run("predict", model, path), "x1", "or fit without it (--features …)")
    linnet.fit(np.arange(12.0).reshape(6, 2) ** 2, np.array([0.0, 1, 1, 2, 5, 3])).save(tmp_path / "array.json")
    refused(run("predict", tmp_path / "array.json", table), "array.json was fitted on an array", "predict in Python")
    linnet.fit(table, "y", loss="huber").save(tmp_path / "huber.json")
    how = ["predict", tmp_path / "huber.json", table, "--interval", "0.9"]
    refused(run(*how), "--kind confidence", "--quantile 0.025,0.975")  # and no header on stdout
    assert run(*how, "--kind", "confidence").status == 0


@pytest.mark.parametrize("out", [[], ["-o", "p.csv"], ["-o", "p.parquet"]])
def test_a_file_without_rows_is_predicted_or_refused_as_any(
    run: Any, model: Path, table: Path, monkeypatch: pytest.MonkeyPatch, out: list[str]
) -> None:
    monkeypatch.chdir(table.parent)
    Path("none.csv").write_text("x1,x2,y\n")
    assert run("fit", table, "-t", "y", "--loss", "absolute", "--save", "median.json").status == 0
    before = contents(table.parent)
    refused(run("predict", "median.json", "none.csv", "--interval", 0.9, *out), "--kind confidence")
    assert contents(table.parent) == before
    asked: list[tuple[Path | str, list[object]]] = [(model, []), (model, ["--interval", 0.9]), ("median.json", [])]
    for fitted, options in asked:
        done = run("predict", fitted, "none.csv", *options, *out)
        assert done.status == 0
        named = "prediction,low,high\n" if options else "prediction\n"
        if out:
            read = pd.read_csv if out[1] == "p.csv" else pd.read_parquet
            assert read(out[1]).shape == (0, named.count(",") + 1)
        else:
            assert done.out == named


def test_a_folder_is_not_predicted_into(run: Any, model: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path / "folder"
    folder.mkdir()
    for i in range(2):
        pq.write_table(pa.table({"x1": [1.0 + i, 2.0], "x2": [0.5, 1.5]}), folder / f"p{i}.parquet")
    (tmp_path / "second-name.parquet").hardlink_to(folder / "p1.parquet")
    before = contents(folder)
    for out in (folder / "p0.parquet", tmp_path / "second-name.parquet"):
        refused(
            run("predict", model, folder, "-o", out),
            f"{out}, which this command reads",
            "p0" if out.parent == folder else "p1",
        )
        refused(run("predict", model, folder / "p*.parquet", "-o", out), f"{out}, which this command reads")
    assert contents(folder) == before
    assert run("predict", model, folder, "-o", folder / "new.parquet").status == 0  # no file of the folder is lost


def test_a_demo_does_not_write_one_file_twice(run: Any, tmp_path: Path) -> None:
    (tmp_path / "penguins-loss.png").symlink_to("penguins-weights.png")
    refused(run("demo", "-o", tmp_path), "The figure and the loss curve are both", "another name")


def test_quiet_leaves_out_warnings(run: Any, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import linnet.fitting

    def warn(*_: Any, **__: Any) -> Fit:
        warnings.warn("That is slow.", RuntimeWarning, stacklevel=1)
        return example(2)

    monkeypatch.setattr(linnet.fitting, "fit", warn)
    assert run("fit", table, "-t", "y", "--quiet").err == ""
    with pytest.raises(RuntimeWarning):  # which it is in these tests
        run("fit", table, "-t", "y")


def test_a_remedy_is_spelled_as_it_is_typed(run: Any) -> None:
    refused(run("fit", PENGUINS, "-t", "body_mass_g"), "penguins.csv", "'sex'", "--missing drop", "--missing mean")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_paragraph(run: Any, table: Path) -> None:
    outcome = run("fit", table, "-t", "y", "--save", "/dev/full")
    assert outcome.status == 2
    assert "No space left" in outcome.err
    assert "Linear regression of y" in outcome.out  # what was computed is not lost


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (OSError(28, "No space left on device", "m.json"), 2, "linnet: m.json: No space left on device.\n"),
        (MemoryError(), 2, "memory"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_what_the_machine_refuses(
    run: Any, table: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, says: str
) -> None:
    import linnet.fitting

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(linnet.fitting, "fit", fail)
    outcome = run("fit", table, "-t", "y")
    assert outcome.status == status
    assert says in outcome.err
    assert bool(says) == bool(outcome.err)


def test_a_defect_is_not_hidden(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import linnet.fitting

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(linnet.fitting, "fit", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["fit", str(table), "-t", "y"])


def test_help_is_documentation(run: Any) -> None:
    for arguments in (
        [],
        ["--help"],
        ["fit", "-h"],
        ["compare", "-h"],
        ["predict", "-h"],
        ["show", "-h"],
        ["simulate", "-h"],
        ["demo", "-h"],
    ):
        outcome = run(*arguments)
        assert outcome.status == 0
        assert outcome.err == ""
        assert outcome.out.startswith("Usage: linnet")
        assert max(map(len, outcome.out.splitlines())) <= 100
    assert "linnet predict price.json" in run("--help").out
    assert "Example:" in run("fit", "--help").out
    assert run("--version").out == f"linnet {linnet.__version__}\n"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "linnet", *map(str, arguments)]


def test_as_a_process(table: Path, tmp_path: Path) -> None:
    done = subprocess.run(command("fit", table, "-t", "y"), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0
    assert done.stdout.startswith("Linear regression of y\n")
    assert done.stderr == ""
    bad = subprocess.run(command("fit", tmp_path / "none.csv", "-t", "y"), capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert bad.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize("options", [[], ["--quantile", "0.1,0.5"], ["--solver", "sgd", "--lr", "0.01"]])
def test_a_terminal_without_unicode_gets_names_and_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, options: list[str]
) -> None:
    """Names that can be told apart and read back, in columns that end where they should."""
    path = tmp_path / "t.csv"
    names = ["größe", "grüße", "数据", "数値", "ä" * 30]
    rows = np.random.default_rng(3).standard_normal((40, 6)).round(3)
    text = "\n".join(",".join(map(str, row)) for row in rows.tolist())
    path.write_text(",".join([*names, "y"]) + "\n" + text + "\n", encoding="utf-8")
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(["fit", str(path), "-t", "y", *options]) == 0
        lines = written.getvalue().decode(encoding).splitlines()
    assert max(map(cell_len, lines)) <= 80
    rules = [i for i, line in enumerate(lines) if line and not line.strip("─-")]
    (width,) = {cell_len(lines[i]) for i in rules}
    body = lines[rules[0] + 1 : rules[1]]
    assert {cell_len(line.rstrip()) for line in body} <= {width, width - bool("--quantile" in options)}
    labels = [line.split("  ")[0].strip() for line in body if not line.startswith(" ")]
    assert len(set(labels)) == len(labels) == 6
    for label, name in zip(labels[1:5], names, strict=False):
        assert label.encode(encoding).decode("unicode-escape" if "\\" in label else encoding) == name


def test_a_column_that_is_not_there_is_named_on_any_terminal(table: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command("fit", table, "-t", "größe"), capture_output=True, check=False, env=environment)
    assert done.returncode == 2
    assert b"'gr\\xf6\\xdfe' is not a column" in done.stderr


def test_usage_errors_are_sentences_that_name_the_value(run: Any, table: Path) -> None:
    for option, value in (("--epochs", "a"), ("--l2", "q"), ("--missing", "foo")):
        refused(run("fit", table, "-t", "y", option, value), f"'{option}'", f"'{value}'", ". Try 'linnet fit --help'.")
    for words in (["fitt"], ["fit", table, "--targt", "y"], ["fit"], ["fit", table, "-t", "y", "--epochs", "a"]):
        error = run(*words).err
        assert not any(pair in error for pair in ("?.", "..", "error, ")), error
        assert ". Try '" in error or "? Try '" in error


@pytest.mark.parametrize("command", ["fit", "compare", "demo"])
def test_a_figure_that_cannot_be_drawn_costs_no_fit(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    from linnet import canvas

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such font")

    monkeypatch.setattr(canvas, "_write", fail)
    model = tmp_path / ("penguins-model.json" if command == "demo" else "m.json")
    written = (
        ["-o", tmp_path] if command == "demo" else [table, "-t", "y", "--save", model, "--plot", tmp_path / "f.png"]
    )
    outcome = run(command, *written)
    assert outcome.status == 2
    assert "Solved" in outcome.out
    assert "matplotlib could not draw the figure: RuntimeError: no such font" in outcome.err
    assert "Traceback" not in outcome.err
    assert linnet.load(model)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_ascii_where_stdout_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    """No name is lost, and no two become the same."""
    path = tmp_path / "t.csv"
    path.write_text("größe,grüße,y\n1,2,3\n2,5,4\n3,1,5\n5,5,5\n", encoding="utf-8")
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(["fit", str(path), "-t", "y", "--json"]) == 0
        text = written.getvalue()
    assert [w["name"] for w in json.loads(text)["weights"]] == ["intercept", "größe", "grüße"]
    assert text.isascii() == (encoding != "utf-8")


@pytest.mark.skipif(os.name != "posix", reason="needs a shell to close streams")
@pytest.mark.parametrize("streams", [">&-", ">&- 2>&- <&-"])
def test_closed_streams_are_no_error(model: Path, table: Path, streams: str) -> None:
    out = table.parent / "p.csv"
    line = shlex.join(command("predict", model, table, "-o", out))
    done = subprocess.run(["sh", "-c", f"{line} {streams}"], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(out.read_text().splitlines()) == 21


def test_nothing_but_a_fit_is_lost_where_stdout_is_none(
    table: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments in (["fit", table, "-t", "y"], ["show", model], ["predict", model, table], ["--version"], ["-h"]):
        monkeypatch.setattr(sys, "stdout", None)
        assert cli.main([str(argument) for argument in arguments]) == 0
        assert sys.stdout is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_is_asked_for_is_written_though_stdout_is_full(
    table: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, figure, demo = tmp_path / "m.json", tmp_path / "f.svg", tmp_path / "demo"
    demo.mkdir()
    for arguments, name in (
        (["fit", table, "-t", "y", "--save", saved, "--plot", figure], "stdout: "),
        (["compare", table, "-t", "y", "--save", tmp_path / "c.json"], "stdout: "),
        (["demo", "-o", demo], "stdout: "),
        (["show", model], "stdout: "),
        (["predict", model, table], "stdout: "),
        (["--version"], "stdout: "),
        (["fit", "--help"], ""),
    ):
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            monkeypatch.setattr(sys, "stdout", full)
            assert cli.main([str(argument) for argument in arguments]) == 2
        assert capsys.readouterr().err.endswith(f"linnet: {name}No space left on device.\n")
    assert linnet.load(saved, Fit).n == 20
    assert len(linnet.load(tmp_path / "c.json", Fits)) == 4
    assert figure.read_text().startswith("<?xml")
    assert len(names_in(demo)) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a named pipe")
def test_a_pipe_whose_reader_left_is_named(tmp_path: Path, run: Any) -> None:
    """Unlike stdout: who asks for a file wants all of it."""
    example(2).save(tmp_path / "m.json")
    (tmp_path / "many.csv").write_text("x1,x2\n" + "0.5,0.25\n" * 20_000)
    pipe = tmp_path / "p.csv"
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: pipe.open("rb").close())
    reader.start()
    outcome = run("predict", tmp_path / "m.json", tmp_path / "many.csv", "-o", pipe)
    reader.join()
    refused(outcome, f"{pipe}: Broken pipe.")


@pytest.mark.skipif(os.name != "posix", reason="limits of size are Unix's")
@pytest.mark.parametrize("out", ["p.csv", "p.parquet"])
def test_a_file_that_is_too_large_is_named(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    import resource

    monkeypatch.chdir(tmp_path)
    example(2).save(tmp_path / "m.json")
    Path("rows.csv").write_text("x1,x2\n" + "".join(f"{i},{i % 7}\n" for i in range(5_000)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        outcome = run("predict", "m.json", "rows.csv", "-o", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    refused(outcome, f"linnet: {out}: File too large.")
    assert names_in(tmp_path) == ["m.json", "rows.csv"]


def test_a_reader_who_leaves_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("x1,x2\n" + "0.5,0.25\n" * 200_000)
    example(2).save(tmp_path / "m.json")
    with subprocess.Popen(
        command("predict", tmp_path / "m.json", path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="signals are Unix's")
@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_leaves_no_files(tmp_path: Path, sent: signal.Signals, status: int) -> None:
    with subprocess.Popen(
        command("simulate", tmp_path / "s.csv", "--weights", "1,2,3,4", "--rows", 10**9), stderr=subprocess.PIPE
    ) as process:
        while not any(file.stat().st_size for file in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(sent)
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == status
    assert not list(tmp_path.iterdir())
