"""The command `linnet`: reads arguments, calls the package, prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from linnet import options, outputs
from linnet.block import InputError
from linnet.console import (
    DONE,
    INTERRUPTED,
    NOT_CONVERGED,
    complain,
    console,
    encoding,
    holds_unicode,
    remark,
    say,
    terminable,
    typed,
)
from linnet.text import sentence, spelled_for

if TYPE_CHECKING:
    from linnet.block import Float64s
    from linnet.comparison import Comparison
    from linnet.fits import Fits
    from linnet.fitted import Fit
    from linnet.solvers.solver import Step

_UsageError: Any = typer.BadParameter.__mro__[1]  # the base of all of them, which Typer does not export

app = typer.Typer(
    name="linnet",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows the program's name; None takes them from `sys.argv`.

    Returns:
        The exit status: 0 done; 1 the fit did not converge; 2 bad usage or bad input, told in one paragraph on stderr;
        130 interrupted.
    """
    with console(), terminable():
        return _run(sys.argv[1:] if arguments is None else list(arguments))


def _run(arguments: list[str]) -> int:
    """The exit status, with everything said that there is to say."""
    try:
        command = typer.main.get_command(app)
        with command.make_context("linnet", arguments) as context:  # not app(), which judges a closed pipe on its own
            status = command.invoke(context)
        return status if isinstance(status, int) else DONE
    except typer.Exit as error:
        return error.exit_code
    except InputError as error:
        return complain(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and error.filename is None:  # whoever reads stdout has seen enough
            return DONE
        where = f"{error.filename}: " if error.filename else ""
        return complain(f"{where}{error.strerror or error}.")
    except MemoryError:
        return complain("There is not enough memory for this: use fewer features, or a machine with more.")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except _UsageError as error:
        asked = error.ctx.command_path if error.ctx is not None else "linnet"
        return complain(f"{sentence(_value_named(error))} Try '{asked} --help'.")


def _value_named(error: Any) -> str:
    """What a usage error says, with the value that it is about, which pydantic, where Typer finds it, leaves out."""
    said = str(error.format_message()).replace("Value error, ", "").rstrip(".")
    for cause in getattr(error.__cause__, "errors", list)():
        value = repr(cause["input"])
        said += "" if value in said else f", but is {value}"
    return said


FIRST_LOOK = """\b
A first look:   linnet demo
Your own data:  linnet fit houses.csv --target price --save price.json
And then:       linnet predict price.json new-houses.csv -o prices.csv"""


@app.callback(invoke_without_command=True, epilog=FIRST_LOOK)
def linnet(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Linear regression on tables of any size, and how sure it is.

    The result goes to stdout, everything else to stderr. Exit status: 0 done; 1 the fit did not converge; 2 bad usage
    or bad input, explained in one paragraph; 130 interrupted.
    """
    if version:
        from linnet import __version__

        say(f"linnet {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        say(context.get_help())
        raise typer.Exit


@app.command(epilog="\b\nExample:\n  linnet fit houses.csv --target price --features area,rooms,town --save price.json")
def fit(
    data: options.Data,
    target: options.Target,
    features: options.Features = None,
    weight: options.Weight = None,
    loss: options.LossName = None,
    delta: options.Delta = None,
    k: options.K = None,
    scale: options.Scale = None,
    quantile: options.QuantileLevels = None,
    solver: options.SolverName = "auto",
    lr: options.Lr = None,
    batch_size: options.BatchSize = None,
    epochs: options.Epochs = None,
    momentum: options.Momentum = None,
    average: options.Average = False,
    schedule: options.Schedule = None,
    decay: options.Decay = None,
    shuffle: options.Shuffle = None,
    init: options.Init = None,
    seed: options.Seed = None,
    tol: options.Tol = None,
    checkpoint: options.Checkpoint = None,
    resume: options.Resume = False,
    intercept: options.Intercept = True,
    l2: options.L2 = 0.0,
    missing: options.Missing = "error",
    errors: options.ErrorKind = "auto",
    precision: options.Precision = "auto",
    level: options.Level = 0.95,
    save: options.Save = None,
    plot: options.Plot = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Fit a linear model and print its weights.

    Each weight comes with its standard error, t and p values and interval; one that was learned by stochastic gradient
    descent stands beside the exact one, and several quantiles side by side. Numbers and booleans are used as they are;
    text columns become indicators of their levels, of which the first in sorted order is the reference.
    """
    from linnet.fits import Fits
    from linnet.fitting import fit as fit_model

    outputs.check(data, save, plot, checkpoint, learned=solver == "sgd")
    options.check_level(level)
    settings = {
        "lr": lr, "batch_size": batch_size, "epochs": epochs, "momentum": momentum, "average": average,
        "schedule": schedule, "decay": decay, "shuffle": shuffle, "init": init, "seed": seed, "tol": tol,
        "checkpoint": checkpoint, "resume": resume,
    }  # fmt: skip
    chosen = options.loss(loss, delta, k, scale, quantile)
    result = fit_model(
        data, target, features=options.names(features), weight=weight, loss=chosen,
        solver=options.solver(solver, chosen.name, settings), intercept=intercept, l2=l2, missing=missing,
        errors=errors, precision=precision, progress=False if quiet else None,
    )  # fmt: skip
    try:
        _show(result, level, as_json=as_json)
    finally:  # also when stdout takes no more
        outputs.write(result, data, save, plot, quiet)
    return _status(result if isinstance(result, Fits) else [result])


@app.command(epilog="\b\nExample:\n  linnet compare houses.csv --target price --losses squared,huber,quantile:0.9")
def compare(
    data: options.Data,
    target: options.Target,
    features: options.Features = None,
    weight: options.Weight = None,
    losses: options.Losses = "squared,huber,absolute,quantile:0.9",
    intercept: options.Intercept = True,
    l2: options.L2 = 0.0,
    missing: options.Missing = "error",
    errors: options.SharedErrorKind = "auto",
    level: options.Level = 0.95,
    save: options.Save = None,
    plot: options.Figure = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> int:
    """Fit with several losses side by side, and say what the choice changes.

    Flags the features whose weight changes its sign or its rank, and lists the rows that least squares lets decide:
    those that move it most, though by Huber's measure they are too far off to be trusted.
    """
    from linnet.comparison import compare as compare_losses

    outputs.check(data, save, plot)
    options.check_level(level)
    result = compare_losses(
        data, target, features=options.names(features), weight=weight, losses=options.losses(losses),
        intercept=intercept, l2=l2, missing=missing, errors=errors, progress=False if quiet else None,
    )  # fmt: skip
    try:
        _show(result, level, as_json=as_json)
    finally:
        outputs.write(result.fits, data, save, plot, quiet)
    return _status(result.fits)


@app.command(epilog="\b\nExample:\n  linnet predict price.json new-houses.csv --interval 0.95 -o prices.csv")
def predict(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file that `linnet fit --save` wrote.")],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Files with the columns that the model was fitted on.")],
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Write to this file (.csv or .parquet); by default to stdout, as CSV."
        ),
    ] = None,
    interval: options.Interval = None,
    kind: options.Kind = "prediction",
    quiet: options.Quiet = False,
) -> None:
    """Predict the target for rows of other data.

    The rows come out in the order in which they went in; of a model of several fits with columns for each: prediction_
    and its label, with --interval followed by low_ and high_. A row has a prediction but no interval if a missing value
    was filled in it, if it leaves a dependency which all fitted rows keep, or if it depends on a weight whose standard
    error is withheld; stderr tells how many there are.
    """
    from linnet.atomic import check_apart, check_output
    from linnet.fitted import Fit
    from linnet.model_file import load
    from linnet.prediction import Predictor
    from linnet.progress import watch
    from linnet.solvers.solver import Step
    from linnet.sources.files import table_files

    if out is not None:
        check_output(out, (".csv", ".parquet"))
        check_apart({"predictions": out}, [model, *table_files(data)])
    if interval is not None:
        options.check_level(interval)
    loaded = load(model)
    fits, labels = ([loaded], ()) if isinstance(loaded, Fit) else (list(loaded), loaded.labels)
    if fits[0].design.from_array:
        raise InputError(
            f"{model} was fitted on an array, whose columns have no names to look for in {data}: predict in Python, "
            "linnet.load(model).predict(array), or fit a table, whose columns have names."
        )
    columns = _columns(labels, interval is not None)
    predictor = Predictor(fits, interval, kind, labels)
    blocks = predictor.blocks(data)
    start = list(islice(blocks, 1))  # so that what cannot be predicted at all is refused before anything is written

    def steps(write: Callable[[Sequence[Float64s]], None]) -> Iterator[Step]:
        rows = 0
        for count, predicted in enumerate(chain(start, blocks), 1):
            write(list(predicted.reshape(len(predicted), len(columns)).T))
            rows += len(predicted)
            yield Step(epoch=1, step=count, rows=rows)

    with outputs.rows_to(out, columns) as write:
        for _ in watch(steps(write), progress=False if quiet or out is None else None):
            pass
    for text in predictor.remarks():
        remark(f"Note: {text}.", quiet)


@app.command(epilog="\b\nExample:\n  linnet show price.json")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file that `linnet fit --save` wrote.")],
    level: options.Level = 0.95,
    as_json: options.Json = False,
) -> None:
    """Print the table of a saved model."""
    from linnet.model_file import load

    options.check_level(level)
    _show(load(model), level, as_json=as_json)


@app.command(epilog="\b\nExample:\n  linnet simulate synthetic.csv --weights 2,-3.4 --bias 4.2 --rows 1000")
def simulate(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The file to write (.csv or .parquet).")],
    weights: Annotated[str, typer.Option("--weights", metavar="A,B,…", help="The true weights, separated by commas.")],
    rows: Annotated[int, typer.Option("--rows", metavar="COUNT", help="How many rows.")] = 1000,
    bias: Annotated[float, typer.Option("--bias", metavar="NUMBER", help="The true intercept.")] = 0.0,
    noise: Annotated[float, typer.Option("--noise", metavar="NUMBER", help="Standard deviation of the error.")] = 0.01,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="The same seed gives the same rows.")] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Write data whose true weights are known.

    The columns are x1, x2, … and y = x·weights + bias + error, where the features are standard normal.
    """
    from linnet.atomic import check_output
    from linnet.synthetic import write

    check_output(out, (".csv", ".parquet"))
    try:
        truth = [float(part) for part in weights.split(",")]
    except ValueError:
        raise InputError(f"--weights takes numbers separated by commas, such as 2,-3.4, but got {weights!r}.") from None
    write(out, truth, bias, rows, noise, seed, progress=False if quiet else None)
    remark(f"Wrote {rows:,} rows to {out}", quiet)


@app.command()
def demo(
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="The folder for the model and the figures.")
    ] = ".",
) -> None:
    """Fit the Palmer penguins, a tour in one go.

    Body mass is explained by bill, flipper, species and sex: exactly, and then learned by stochastic gradient descent,
    with the exact weights beside. Prints both tables, and writes penguins-model.json, penguins-weights.png and
    penguins-loss.png.
    """
    from importlib.resources import as_file, files

    from linnet import figures
    from linnet.atomic import check_apart, check_output
    from linnet.fitting import fit as fit_model
    from linnet.solvers.sgd import SGD

    model, weights, loss = (
        Path(out) / name for name in ("penguins-model.json", "penguins-weights.png", "penguins-loss.png")
    )
    for path in (model, weights, loss):
        check_output(path)
    check_apart({"model": model, "figure": weights, "loss curve": loss})
    features = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "species", "sex"]
    with as_file(files("linnet") / "data" / "penguins.csv") as table:
        exact, learned = (
            fit_model(table, "body_mass_g", features=features, missing="drop", solver=each, progress=False)
            for each in ("exact", SGD())
        )
    try:
        _show(exact, 0.95, as_json=False)
        say("\nThe same, learned by stochastic gradient descent with no setting chosen by hand:\n")
        _show(learned, 0.95, as_json=False)
    finally:
        exact.save(model)
        with outputs.drawing():
            figures.save(figures.plot(exact), weights)
            figures.save(figures.loss_curve(learned), loss)
    say(f"\nModel:   {model}\nFigures: {weights}\n         {loss}")


def _show(result: Fit | Fits | Comparison, level: float, *, as_json: bool) -> None:
    from linnet.fitted import Fit
    from linnet.table import render

    if as_json:
        say(json.dumps(result.to_dict(level), ensure_ascii=not holds_unicode(), allow_nan=False))
    else:
        with spelled_for(encoding(), typed):
            text = render(result, level) if isinstance(result, Fit) else str(result)
        say(text)


def _columns(labels: Sequence[str], intervals: bool) -> list[str]:
    """The columns that predictions go to, of one fit without a label or several with theirs."""
    ends = [f"_{label.replace(' ', '_')}" for label in labels] or [""]
    return [name + end for end in ends for name in (("prediction", "low", "high") if intervals else ("prediction",))]


def _status(fits: Iterable[Fit]) -> int:
    """The exit status that says how they ended."""
    from linnet.status import Status

    ends = {fit.status for fit in fits}
    if Status.INTERRUPTED in ends:
        return INTERRUPTED
    return DONE if all(end.converged for end in ends) else NOT_CONVERGED
