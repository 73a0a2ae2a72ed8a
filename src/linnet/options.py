"""The options of `linnet fit`: how they are spelled, and the Loss and the Solver that they make."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from linnet.block import InputError

if TYPE_CHECKING:
    from linnet.losses import Loss, Quantiles
    from linnet.solvers.solver import Solver


def _hush(quiet: bool) -> bool:
    """Leave out warnings too, which a command shows as remarks."""
    if quiet:
        warnings.simplefilter("ignore")
    return quiet


# --- What to fit ----------------------------------------------------------------------------------------------------

Data = Annotated[
    str,
    typer.Argument(metavar="DATA", help="A CSV (also .gz, .zst), Parquet or Arrow file; a folder or a glob of them."),
]
Target = Annotated[str, typer.Option("--target", "-t", metavar="COLUMN", help="The column to explain.")]
Features = Annotated[
    list[str] | None,
    typer.Option(
        "--features",
        "-f",
        metavar="A,B,…",
        help="Columns to explain it with, separated by commas; by default all others. A name "
        "that holds a comma goes in double quotes. May be given more than once.",
    ),
]
Weight = Annotated[
    str | None, typer.Option("--weight", "-w", metavar="COLUMN", help="A column of row weights, at least 0.")
]
LossName = Annotated[
    Literal["squared", "absolute", "huber", "quantile"] | None,
    typer.Option("--loss", help="What a residual costs; by default squared, or what the options below belong to."),
]
Delta = Annotated[
    float | None,
    typer.Option(
        "--delta",
        metavar="NUMBER",
        help="Huber loss: the residual where it turns linear, in the target's units; by default 1.",
    ),
]
K = Annotated[
    float | None,
    typer.Option(
        "--k",
        metavar="NUMBER",
        help="Huber loss: the same in multiples of the residuals' robust scale; 1.345 is usual.",
    ),
]
Scale = Annotated[
    Literal["mad", "concomitant"] | None,
    typer.Option(
        "--scale",
        help="How the scale for --k is estimated: by the median of the residuals' sizes (mad, by default), or together "
        "with the weights by Huber's proposal 2 (concomitant).",
    ),
]
QuantileLevels = Annotated[
    str | None,
    typer.Option(
        "--quantile",
        metavar="A,B,…",
        help="Quantile loss: which quantile, or several separated by commas; by default 0.5, the median.",
    ),
]
Losses = Annotated[
    str,
    typer.Option(
        "--losses",
        metavar="A,B,…",
        help="The losses, separated by commas; quantile:0.9 and huber:1.345 say which quantile, and which k.",
    ),
]
Intercept = Annotated[bool, typer.Option("--intercept/--no-intercept", help="Whether to fit an intercept.")]
L2 = Annotated[
    float,
    typer.Option(
        "--l2", metavar="NUMBER", help="Ridge penalty: l2/2 times the sum of squared weights is added to the mean loss."
    ),
]
Missing = Annotated[
    Literal["error", "drop", "mean"],
    typer.Option("--missing", help="Missing values: refuse them, drop their rows, or fill in the column's mean."),
]
ErrorKind = Annotated[
    Literal["auto", "classical", "hc0", "hc1", "hc2", "hc3", "iid", "nid", "sandwich", "bootstrap", "none"],
    typer.Option(
        "--errors",
        help="Standard errors. Squared loss: classical, or robust to unequal variances (hc0 to hc3). Absolute and "
        "quantile loss: nid, or iid where the spread is the same everywhere. Huber loss: sandwich, iid. By default "
        "(auto) the first of these.",
    ),
]
SharedErrorKind = Annotated[
    Literal["auto", "classical", "bootstrap", "none"],
    typer.Option("--errors", help="Standard errors: what suits each loss (auto), or the same kind for all."),
]
Precision = Annotated[
    Literal["auto", "float64", "exact"],
    typer.Option("--precision", help="Arithmetic: float64, exact sums, or exact where it matters (auto)."),
]

# --- How to find the weights ----------------------------------------------------------------------------------------

SolverName = Annotated[
    Literal["auto", "exact", "newton", "interior-point", "sgd"],
    typer.Option(
        "--solver",
        help="How the weights are found: by the solver that finds the loss's optimum (auto: exact for squared loss, "
        "newton for Huber, interior-point for absolute and quantile), or by stochastic gradient descent.",
    ),
]
Lr = Annotated[
    str | None, typer.Option("--lr", metavar="NUMBER|auto", help="SGD: learning rate; by default it is found (auto).")
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", metavar="ROWS", help="SGD: rows in a minibatch; by default 32.")
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs", metavar="COUNT", help="SGD: passes over the rows, at most; by default 20, or more of few rows."
    ),
]
Momentum = Annotated[
    float | None,
    typer.Option("--momentum", metavar="NUMBER", help="SGD: share of a step's velocity that the next one keeps."),
]
Average = Annotated[bool, typer.Option("--average", help="SGD: give the mean of the weights after every step.")]
Schedule = Annotated[
    Literal["constant", "inverse-time"] | None,
    typer.Option(
        "--schedule", help="SGD: how a learning rate that is given falls over the epochs; by default it does not."
    ),
]
Decay = Annotated[
    float | None,
    typer.Option("--decay", metavar="NUMBER", help="Inverse time: lr / (1 + decay · epochs done); by default 1."),
]
Shuffle = Annotated[
    Literal["rows", "pieces", "none"] | None,
    typer.Option(
        "--shuffle",
        help="SGD: what each epoch puts in a new random order: rows (by default), pieces of 64, or nothing.",
    ),
]
Init = Annotated[
    Literal["zeros", "normal"] | None,
    typer.Option("--init", help="SGD: weights to start from: zeros (by default), or small random ones."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="NUMBER", help="SGD: the same seed gives the same run; by default 0.")
]
Tol = Annotated[
    Literal["auto", "none"] | None,
    typer.Option(
        "--tol", help="SGD: stop when what is left is small beside the standard errors (auto), or run all epochs."
    ),
]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", metavar="FILE", help="SGD: keep the run here, so that it can be resumed.")
]
Resume = Annotated[bool, typer.Option("--resume", help="SGD: go on from the checkpoint, if there is one.")]

# --- How to say it --------------------------------------------------------------------------------------------------

Level = Annotated[
    float,
    typer.Option(
        "--level",
        metavar="NUMBER",
        help="Level of the intervals, between 0 and 1. Tables of weights that were learned, and of several fits, show "
        "none: --json gives them.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")]
Interval = Annotated[
    float | None,
    typer.Option(
        "--interval",
        metavar="NUMBER",
        help="Add the columns low and high, an interval of this level (0.95, say); of several fits low_ and high_ with "
        "each one's label.",
    ),
]
Kind = Annotated[
    Literal["prediction", "confidence"],
    typer.Option(
        "--kind",
        help="What the interval is for: one new observation, taken to have the mean weight of the rows fitted, or its "
        "expected value.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Show no progress and no remarks on stderr.", callback=_hush),
]
Save = Annotated[str | None, typer.Option("--save", metavar="FILE", help="Write the model to this file (JSON).")]
Figure = Annotated[
    str | None, typer.Option("--plot", metavar="FILE", help="Write a figure to this file (.png, .svg or .pdf).")
]
Plot = Annotated[
    str | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Write a figure to this file (.png, .svg or .pdf); SGD: and the loss curve beside it, as FILE-loss.",
    ),
]


def names(options: Sequence[str] | None) -> list[str] | None:
    """The names in options that list several, as one reads a line of CSV."""
    if not options:
        return None
    listed = [name for line in csv.reader(options, skipinitialspace=True) for name in line]
    if not all(listed):
        raise InputError("--features has an empty name: separate the columns' names by single commas.")
    return listed


def check_level(level: float) -> None:
    """Refuse what is no level of an interval."""
    if not (math.isfinite(level) and 0 < level < 1):
        raise InputError(f"The level of an interval must be between 0 and 1, such as 0.95, but is {level}.")


def loss(
    name: str | None,
    delta: float | None,
    k: float | None,
    scale: Literal["mad", "concomitant"] | None,
    quantile: str | None,
) -> Loss | Quantiles:
    """The loss of that name, or that the parameters given belong to; squared where there are none.

    Raises:
        InputError: a parameter is out of its range, or is another loss's.
    """
    from linnet.losses import Huber, Quantile, named_loss

    owners = (("--delta", delta, "huber"), ("--k", k, "huber"), ("--scale", scale, "huber"))
    given = {
        option: owner for option, value, owner in (*owners, ("--quantile", quantile, "quantile")) if value is not None
    }
    chosen = name or next(iter(given.values()), "squared")
    for option, owner in given.items():
        if owner != chosen:
            raise InputError(f"{option} is of the {owner} loss alone, not {chosen}: leave one of them out.")
    if scale is not None and k is None:
        raise InputError("--scale says how the scale is estimated that --k is a multiple of: add --k 1.345.")
    if k is not None:
        if delta is not None:
            raise InputError("--delta and --k both say where the Huber loss turns linear: leave one of them out.")
        return Huber(k=k, scale=scale)
    if delta is not None:
        return Huber(delta)
    return named_loss(chosen) if quantile is None else Quantile(_several(quantile, "--quantile"))


def losses(text: str) -> list[str | Loss]:
    """The losses that `linnet compare` is to hold against one another.

    Raises:
        InputError: there is no such loss, or its parameter is out of its range.
    """
    from linnet.losses import Huber, Quantile

    chosen: list[str | Loss] = []
    for part in text.split(","):
        name, _, parameter = part.strip().partition(":")
        if not parameter:
            chosen.append(name)
        elif name == "quantile":
            chosen.append(Quantile(_number(parameter, "--losses")))
        elif name == "huber":
            chosen.append(Huber(k=_number(parameter, "--losses")))
        else:
            raise InputError(f"--losses takes a number after quantile and huber alone, but got {part.strip()!r}.")
    return chosen


def _several(text: str, option: str) -> float | tuple[float, ...]:
    """One number, or several in ascending order."""
    numbers = [_number(part, option) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else tuple(sorted(numbers))


def _number(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} takes numbers such as 0.9, separated by commas, but got {text!r}.") from None


def solver(name: str, loss_name: str, settings: dict[str, Any]) -> str | Solver:
    """The solver of that name, with what was given (neither None nor False) of SGD's settings, as they were typed.

    Raises:
        InputError: settings that do not go with one another, with the solver, or are out of their range; a loss that
            the solver is not for.
    """
    given = {key: value for key, value in settings.items() if value is not None and value is not False}
    if name != "sgd":
        if given:
            typed = " and ".join(f"--{key.replace('_', '-')}" for key in given)
            one = len(given) == 1
            raise InputError(
                f"{typed} {'is a setting' if one else 'are settings'} of stochastic gradient descent: "
                f"add --solver sgd, or leave {'it' if one else 'them'} out."
            )
        from linnet.plan import OPTIMAL

        if name not in ("auto", OPTIMAL[loss_name]):
            meant = " and ".join(each for each, solver in OPTIMAL.items() if solver == name)
            raise InputError(
                f"The {name} solver is for {meant} loss: {loss_name} loss takes --solver {OPTIMAL[loss_name]}, which "
                "auto chooses, or --solver sgd to learn it."
            )
        return name
    from linnet.solvers.sgd import SGD

    if "resume" in given and "checkpoint" not in given:
        raise InputError("--resume goes on from a checkpoint: say in which file it is with --checkpoint.")
    if "decay" in given and given.get("schedule") != "inverse-time":
        raise InputError("--decay is of the inverse-time schedule: add --schedule inverse-time, or leave --decay out.")
    if "lr" in given and given["lr"] != "auto":
        try:
            given["lr"] = float(given["lr"])
        except ValueError:
            raise InputError(f"--lr takes a number such as 0.03, or auto, but got {given['lr']!r}.") from None
    if "shuffle" in given:
        given["shuffle"] = {"rows": True, "none": False}.get(given["shuffle"], given["shuffle"])
    if given.get("tol") == "none":
        given["tol"] = None
    return SGD(**given)
