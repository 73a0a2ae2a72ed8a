from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Any

import pytest

from linnet import SGD, Huber, InputError, Quantile, cli, options

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


def test_the_exact_solver_is_for_the_squared_loss() -> None:
    with pytest.raises(InputError, match="huber loss with --solver sgd"):
        options.solver("exact", "huber", NOTHING)


def test_losses_and_their_parameters() -> None:
    assert options.loss("squared", None, None) == "squared"
    assert options.loss("quantile", None, None) == "quantile"
    assert options.loss("huber", 2.5, None) == Huber(2.5)
    assert options.loss("quantile", None, 0.9) == Quantile(0.9)
    for name, delta, quantile, says in (
        ("squared", 1.0, None, "^--delta .* --loss huber"),
        ("huber", None, 0.5, "^--quantile .* --loss quantile"),
        ("huber", -1.0, None, "delta"),
        ("quantile", None, 1.0, "q"),
    ):
        with pytest.raises(InputError, match=says):
            options.loss(name, delta, quantile)


def test_help_names_the_losses_defaults() -> None:
    for option, value in (("Delta", Huber().delta), ("QuantileLevel", Quantile().q)):
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
