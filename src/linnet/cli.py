"""The command `linnet`: reads arguments, calls the package, prints."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from linnet.block import InputError

if TYPE_CHECKING:
    from linnet.block import Float64s
    from linnet.fitted import Fit
    from linnet.solvers.solver import Step

_UsageError: Any = typer.BadParameter.__mro__[1]  # the base of all of them, which Typer does not export
DONE, NOT_CONVERGED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="linnet",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Level = Annotated[float, typer.Option("--level", metavar="NUMBER", help="Level of the intervals, between 0 and 1.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no remarks on stderr.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: what follows the program's name; None takes them from `sys.argv`.

    Returns:
        The exit status: 0 done; 1 the fit did not converge; 2 bad usage or bad input, told in one paragraph on stderr;
        130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without R² still gets the numbers
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files are removed
    try:
        status = app(list(arguments) if arguments is not None else None, prog_name="linnet", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else DONE
    except InputError as error:
        return _complain(str(error))
    except BrokenPipeError:
        _mute_stdout()
        return DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}.")
    except MemoryError:
        return _complain("There is not enough memory for this: use fewer features, or a machine with more.")
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "linnet"
        return _complain(f"{error.format_message().rstrip('.')}. Try '{command} --help'.")


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

        typer.echo(f"linnet {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@app.command(epilog="\b\nExample:\n  linnet fit houses.csv --target price --features area,rooms,town --save price.json")
def fit(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help="A CSV (also .gz, .zst), Parquet or Arrow file; a folder or a glob of them."
        ),
    ],
    target: Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to explain.")],
    features: Annotated[
        list[str] | None,
        typer.Option(
            "--features",
            "-f",
            metavar="A,B,…",
            help="Columns to explain it with, separated by commas; by default all others. A name "
            "that holds a comma goes in double quotes. May be given more than once.",
        ),
    ] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", "-w", metavar="COLUMN", help="A column of row weights, at least 0.")
    ] = None,
    loss: Annotated[Literal["squared"], typer.Option("--loss", help="What a residual costs.")] = "squared",
    solver: Annotated[Literal["auto", "exact"], typer.Option("--solver", help="How the weights are found.")] = "auto",
    intercept: Annotated[bool, typer.Option("--intercept/--no-intercept", help="Whether to fit an intercept.")] = True,
    l2: Annotated[
        float,
        typer.Option(
            "--l2",
            metavar="NUMBER",
            help="Ridge penalty: l2/2 times the sum of squared weights is added to the mean loss.",
        ),
    ] = 0.0,
    missing: Annotated[
        Literal["error", "drop", "mean"],
        typer.Option("--missing", help="Missing values: refuse them, drop their rows, or fill in the column's mean."),
    ] = "error",
    errors: Annotated[
        Literal["classical", "hc0", "hc1", "hc2", "hc3", "none"],
        typer.Option("--errors", help="Standard errors: classical, or robust to unequal variances (hc0 to hc3)."),
    ] = "classical",
    precision: Annotated[
        Literal["auto", "float64", "exact"],
        typer.Option("--precision", help="Arithmetic: float64, exact sums, or exact where it matters (auto)."),
    ] = "auto",
    level: Level = 0.95,
    save: Annotated[
        str | None, typer.Option("--save", metavar="FILE", help="Write the model to this file (JSON).")
    ] = None,
    plot: Annotated[
        str | None, typer.Option("--plot", metavar="FILE", help="Write a figure to this file (.png, .svg or .pdf).")
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Fit a linear model and print its weights.

    Each weight comes with its standard error, t and p values and interval. Numbers and booleans are used as they are;
    text columns become indicators of their levels, of which the first in sorted order is the reference.
    """
    from linnet import figures
    from linnet.atomic import check_output
    from linnet.fitting import fit as fit_model

    if save is not None:
        check_output(save)
    if plot is not None:
        check_output(plot, figures.SUFFIXES)
    _check_level(level)
    result = fit_model(
        data, target, features=_names(features), weight=weight, loss=loss, solver=solver, intercept=intercept, l2=l2,
        missing=missing, errors=errors, precision=precision, progress=False if quiet else None,
    )  # fmt: skip
    _show(result, level, as_json=as_json)
    if save is not None:
        result.save(save)
        _remark(f"Model: {save}", quiet)
    if plot is not None:
        figures.save(figures.plot(result, data if len(result.names) == 1 else None), plot)
        _remark(f"Figure: {plot}", quiet)
    return DONE if result.status.converged else NOT_CONVERGED


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
    interval: Annotated[
        float | None,
        typer.Option(
            "--interval", metavar="NUMBER", help="Add the columns low and high, an interval of this level (0.95, say)."
        ),
    ] = None,
    kind: Annotated[
        Literal["prediction", "confidence"],
        typer.Option("--kind", help="What the interval is for: one new observation, or its expected value."),
    ] = "prediction",
    quiet: Quiet = False,
) -> None:
    """Predict the target for rows of other data.

    The rows come out in the order in which they went in.
    """
    from linnet.atomic import check_output, column_writer, csv_writer
    from linnet.model_file import load
    from linnet.progress import watch
    from linnet.solvers.solver import Step
    from linnet.sources import prediction_blocks

    if out is not None:
        check_output(out, (".csv", ".parquet"))
    if interval is not None:
        _check_level(interval)
    loaded = load(model)
    names = ["prediction"] if interval is None else ["prediction", "low", "high"]
    blocks = prediction_blocks(data, loaded.design)
    first = next(blocks, None)  # so that what cannot be read at all is refused before anything is written

    def steps(write: Callable[[Sequence[Float64s]], None]) -> Iterator[Step]:
        for i, block in enumerate(chain([] if first is None else [first], blocks)):
            rows = loaded.predict_rows(block.X, interval, kind)
            write([rows] if interval is None else list(rows.T))
            yield Step(epoch=1, step=i + 1, rows=block.start + block.rows)

    try:
        with column_writer(out, names) if out is not None else csv_writer(sys.stdout.buffer, names) as write:
            for _ in watch(steps(write), progress=False if quiet or out is None else None):
                pass
    except BrokenPipeError:  # whoever reads stdout has seen enough
        _mute_stdout()


@app.command(epilog="\b\nExample:\n  linnet show price.json")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model file that `linnet fit --save` wrote.")],
    level: Level = 0.95,
    as_json: Json = False,
) -> None:
    """Print the table of a saved model."""
    from linnet.model_file import load

    _check_level(level)
    _show(load(model), level, as_json=as_json)


@app.command(epilog="\b\nExample:\n  linnet simulate synthetic.csv --weights 2,-3.4 --bias 4.2 --rows 1000")
def simulate(
    out: Annotated[str, typer.Argument(metavar="OUT", help="The file to write (.csv or .parquet).")],
    weights: Annotated[str, typer.Option("--weights", metavar="A,B,…", help="The true weights, separated by commas.")],
    rows: Annotated[int, typer.Option("--rows", metavar="COUNT", help="How many rows.")] = 1000,
    bias: Annotated[float, typer.Option("--bias", metavar="NUMBER", help="The true intercept.")] = 0.0,
    noise: Annotated[float, typer.Option("--noise", metavar="NUMBER", help="Standard deviation of the error.")] = 0.01,
    seed: Annotated[int, typer.Option("--seed", metavar="NUMBER", help="The same seed gives the same rows.")] = 0,
    quiet: Quiet = False,
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
    _remark(f"Wrote {rows:,} rows to {out}", quiet)


@app.command()
def demo(
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="The folder for the model and the figure.")
    ] = ".",
) -> None:
    """Fit the Palmer penguins, a tour in one go.

    Body mass is explained by bill, flipper, species and sex. Prints the table, and writes penguins-model.json and
    penguins-weights.png.
    """
    from importlib.resources import as_file, files

    from linnet import figures
    from linnet.atomic import check_output
    from linnet.fitting import fit as fit_model

    model, figure = (Path(out) / name for name in ("penguins-model.json", "penguins-weights.png"))
    check_output(model)
    check_output(figure)
    with as_file(files("linnet") / "data" / "penguins.csv") as table:
        result = fit_model(
            table,
            "body_mass_g",
            features=["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "species", "sex"],
            missing="drop",
            progress=False,
        )
    _show(result, 0.95, as_json=False)
    result.save(model)
    figures.save(figures.plot(result), figure)
    _print(f"\nModel:  {model}\nFigure: {figure}")


def _show(result: Fit, level: float, *, as_json: bool) -> None:
    from linnet.table import render

    _print(json.dumps(result.to_dict(level), ensure_ascii=False, allow_nan=False) if as_json else render(result, level))


def _print(text: str) -> None:
    """Print, also when nobody reads: what is left to do, such as saving the model, is done all the same."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _mute_stdout()


def _remark(text: str, quiet: bool) -> None:
    if not quiet:
        typer.echo(text, err=True)


def _complain(text: str) -> int:
    """Say in one paragraph what is wrong; a remedy such as missing="drop" is spelled as it is typed here."""
    typed = re.sub(r'\b(missing|errors|precision|solver|loss)="([\w-]+)"', r"--\1 \2", " ".join(text.split()))
    print(f"linnet: {typed}", file=sys.stderr)
    return BAD_INPUT


def _mute_stdout() -> None:
    """Point stdout at nothing, so that Python's own flush at exit does not stumble over the closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _names(options: Sequence[str] | None) -> list[str] | None:
    """The names in options that list several, as one reads a line of CSV."""
    if not options:
        return None
    names = [name for line in csv.reader(options, skipinitialspace=True) for name in line]
    if not all(names):
        raise InputError("--features has an empty name: separate the columns' names by single commas.")
    return names


def _check_level(level: float) -> None:
    if not (math.isfinite(level) and 0 < level < 1):
        raise InputError(f"The level of an interval must be between 0 and 1, such as 0.95, but is {level}.")
