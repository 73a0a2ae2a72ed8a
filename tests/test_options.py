from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

import pytest

from linnet import SGD, Absolute, Huber, InputError, Quantile, Squared, cli, comparison, options
from linnet.losses import LOSSES, Quantiles
from linnet.plan import OPTIMAL, SOLVERS, Errors

# name in Python: what is typed, and what it means
SETTINGS: dict[str, tuple[Any, Any]] = {
    "lr": ("0.03", 0.03),
    "batch_size": (10, 10),
    "epochs": (3, 3),
    "momentum": (0.9, 0.9),
    "average": (True, True),
    "schedule": ("inverse-time", "inverse-time"),
    "decay": (0.5, 0.5),
    "shuffle": ("none", False),
    "init": ("normal", "normal"),
    "seed": (7, 7),
    "tol": ("none", None),
    "checkpoint": ("run.ckpt", "run.ckpt"),
    "resume": (True, True),
}
NOTHING: dict[str, Any] = {key: False if typed is True else None for key, (typed, _) in SETTINGS.items()}


def test_nothing_given_is_the_solvers_own_defaults() -> None:
    assert options.solver("sgd", "squared", NOTHING) == SGD()
    assert options.solver("auto", "huber", NOTHING) == "auto"
    assert options.solver("exact", "squared", NOTHING) == "exact"


def test_all_settings_reach_the_solver() -> None:
    typed = {key: typed for key, (typed, _) in SETTINGS.items()}
    assert options.solver("sgd", "quantile", typed) == SGD(**{key: meant for key, (_, meant) in SETTINGS.items()})
    for shuffle, meant in (("rows", True), ("pieces", "pieces")):
        assert options.solver("sgd", "squared", {**NOTHING, "shuffle": shuffle}) == SGD(shuffle=meant)  # type: ignore[arg-type]
    assert options.solver("sgd", "squared", {**NOTHING, "lr": "auto", "tol": "auto"}) == SGD()


def test_every_setting_of_sgd_can_be_typed() -> None:
    """Except those that only a program can use."""
    fields = {field.name for field in dataclasses.fields(SGD)}
    assert fields - set(SETTINGS) == {"every", "start", "done"}
    parameters = inspect.signature(cli.fit).parameters
    assert set(SETTINGS) <= set(parameters)
    assert {key: parameters[key].default for key in SETTINGS} == NOTHING


@pytest.mark.parametrize(
    ("option", "field"), [("BatchSize", "batch_size"), ("Decay", "decay"), ("Seed", "seed"), ("Lr", "lr")]
)
def test_help_names_the_defaults(option: str, field: str) -> None:
    said = typing.get_args(getattr(options, option))[1].help
    assert f"{getattr(SGD(), field):g}" in said if field != "lr" else SGD().lr in said


def test_comparing_offers_nothing_of_sgd() -> None:
    said = [
        typing.get_args(kind)[1].help
        for kind in typing.get_type_hints(cli.compare, include_extras=True).values()
        if typing.get_origin(kind) is typing.Annotated
    ]
    assert len(said) > 10
    assert not [text for text in said if "SGD" in text]
    assert "SGD: and the loss curve" in typing.get_args(options.Plot)[1].help


@pytest.mark.parametrize("key", SETTINGS)
def test_settings_of_another_solver_are_refused(key: str) -> None:
    with pytest.raises(InputError, match=f"^--{key.replace('_', '-')} is a setting of .* --solver sgd, or leave it"):
        options.solver("auto", "squared", {**NOTHING, key: SETTINGS[key][0]})
    with pytest.raises(InputError, match=r"^--lr and --momentum are settings of .* leave them"):
        options.solver("exact", "squared", {**NOTHING, "lr": "auto", "momentum": 0.0})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"resume": True}, "--checkpoint"),
        ({"decay": 2.0}, "--schedule inverse-time"),
        ({"decay": 2.0, "schedule": "constant"}, "--schedule inverse-time"),
        ({"lr": "fast"}, "--lr takes a number .* 'fast'"),
        ({"lr": "nan"}, "lr must be"),
        ({"lr": "-1"}, "lr must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"momentum": 1.0}, "momentum must be"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        options.solver("sgd", "squared", {**NOTHING, **given})


@pytest.mark.parametrize(
    ("name", "loss", "says"),
    [
        ("exact", "huber", "^The exact solver is for squared loss: huber loss takes --solver newton"),
        ("newton", "squared", "^The newton solver is for huber loss: squared loss takes --solver exact"),
        ("newton", "quantile", "quantile loss takes --solver interior-point"),
        ("interior-point", "huber", "^The interior-point solver is for absolute and quantile loss: .* --solver newton"),
    ],
)
def test_solvers_that_are_for_other_losses(name: str, loss: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        options.solver(name, loss, NOTHING)


def test_solvers_of_each_loss() -> None:
    for loss, name in OPTIMAL.items():
        assert options.solver(name, loss, NOTHING) == name
        assert options.solver("auto", loss, NOTHING) == "auto"


def test_every_solver_and_kind_of_errors_can_be_typed() -> None:
    assert set(choices("SolverName")) == {"auto", *SOLVERS}
    assert set(choices("ErrorKind")) == set(typing.get_args(Errors))
    assert set(choices("SharedErrorKind")) == set(typing.get_args(comparison.Errors))
    assert set(choices("LossName")) == set(LOSSES)


def choices(option: str) -> tuple[Any, ...]:
    """What an option may be, apart from nothing."""
    kind = typing.get_args(getattr(options, option))[0]
    inner = [each for each in typing.get_args(kind) if typing.get_origin(each) is typing.Literal]
    return typing.get_args(inner[0] if inner else kind)


def test_losses_and_their_parameters() -> None:
    assert options.loss(None, None, None, None, None) == Squared()
    assert options.loss("absolute", None, None, None, None) == Absolute()
    assert options.loss("quantile", None, None, None, None) == Quantile(0.5)
    assert options.loss("huber", 2.5, None, None, None) == Huber(2.5)
    assert options.loss("huber", None, 1.5, None, None) == Huber(k=1.5)
    assert options.loss("huber", None, 1.5, "concomitant", None) == Huber(k=1.5, scale="concomitant")
    assert options.loss("quantile", None, None, None, "0.9") == Quantile(0.9)
    assert options.loss("quantile", None, None, None, "0.9, 0.1,0.5") == Quantiles((0.1, 0.5, 0.9))


def test_a_parameter_is_enough_to_name_the_loss() -> None:
    assert options.loss(None, None, None, None, "0.9") == Quantile(0.9)
    assert options.loss(None, 2.5, None, None, None) == Huber(2.5)
    assert options.loss(None, None, 1.345, None, None) == Huber(k=1.345)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("squared", 1.0, None, None, None), "^--delta is of the huber loss alone, not squared: leave one of them out"),
        (("huber", None, None, None, "0.5"), "^--quantile is of the quantile loss alone, not huber"),
        (("quantile", None, 1.5, None, None), "^--k is of the huber loss alone"),
        ((None, 1.0, None, None, "0.5"), "^--quantile is of the quantile loss alone, not huber"),
        ((None, 1.0, 1.5, None, None), "^--delta and --k both"),
        (("huber", None, None, "mad", None), "^--scale .* add --k 1.345"),
        (("huber", -1.0, None, None, None), "delta"),
        (("huber", None, -1.0, None, None), "k "),
        (("quantile", None, None, None, "1.0"), "must lie above 0 and below 1"),
        (("quantile", None, None, None, "0.1,0.1"), "each given once"),
        (("quantile", None, None, None, "0.1,,0.5"), "^--quantile takes numbers .* got ''"),
        (("quantile", None, None, None, "half"), "^--quantile takes numbers .* got 'half'"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(given: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        options.loss(*given)


def test_losses_to_compare() -> None:
    assert options.losses("squared, huber,huber:2,quantile:0.25") == ["squared", "huber", Huber(k=2.0), Quantile(0.25)]
    default = inspect.signature(cli.compare).parameters["losses"].default
    assert options.losses(default) == [*list(comparison.LOSSES)[:3], comparison.LOSSES["quantile"]]
    for text, says in (
        ("squared:2", "after quantile and huber alone, but got 'squared:2'"),
        ("quantile:half", "--losses takes numbers .* 'half'"),
        ("quantile:2", "below 1"),
    ):
        with pytest.raises(InputError, match=says):
            options.losses(text)


def test_help_names_the_losses_defaults() -> None:
    for option, value in (("Delta", Huber().delta), ("QuantileLevels", Quantile().q)):
        assert f"by default {value:g}" in typing.get_args(getattr(options, option))[1].help


def test_features_may_be_repeated_and_quoted() -> None:
    assert options.names(None) is None
    assert options.names(["a, b", "c"]) == ["a", "b", "c"]
    assert options.names(['a,"b, c"', "d e"]) == ["a", "b, c", "d e"]
    with pytest.raises(InputError, match="empty name"):
        options.names(["a,,b"])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, float("nan")])
def test_levels_are_between_0_and_1(level: float) -> None:
    options.check_level(0.95)
    with pytest.raises(InputError, match="between 0 and 1"):
        options.check_level(level)
