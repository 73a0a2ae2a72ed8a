"""A Fit as JSON values, and JSON values as a Fit, each field checked."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.block import Float64s, InputError
from linnet.dependencies import Dependencies
from linnet.design import Design
from linnet.inference import Uncertainty, Withheld
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.fitted import Fit


def values_of(fit: Fit) -> dict[str, Any]:
    """What a model file holds of a Fit."""
    return {field.name: _value(getattr(fit, field.name)) for field in dataclasses.fields(fit)}


def _value(value: Any) -> Any:
    if isinstance(value, Status):
        return value.name
    if isinstance(value, Design | Dependencies):
        return value.to_dict()
    if isinstance(value, Uncertainty):
        factor = [_value(np.trim_zeros(row, "b")) for row in value.factor]
        return {"sd": _value(value.sd), "factor": factor, "withheld": _value(value.withheld)}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, tuple | list):
        return [_value(item) for item in value]
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if type(value) is float and not math.isfinite(value):
        return str(value)
    return value


def fit_of(body: Any) -> Fit:
    """The Fit that was saved so.

    Raises:
        InputError: a field is missing, unknown, or not what it should be.
    """
    from linnet.fitted import Fit

    if not isinstance(body, dict):
        raise InputError("the fit is not an object.")
    if missing := set(READERS) - set(body):
        raise InputError(f"the field {min(missing)!r} is missing.")
    if unknown := set(body) - set(READERS):
        raise InputError(f"the field {min(unknown)!r} is unknown.")
    names = texts("names", body["names"], 0)
    fit = Fit(**{name: read(name, body[name], len(names)) for name, read in READERS.items()})
    if fit.design.names != fit.names:
        raise InputError("the feature names are not those of the design.")
    if not fit.intercept and fit.bias != 0:
        raise InputError("there is a bias although there is no intercept.")
    return fit


def wrong(name: str, expected: str) -> InputError:
    """That a field is not what it should be."""
    return InputError(f"the field {name!r} should be {expected}.")


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if type(value) is not float:
        raise wrong(name, "a number written with a point or an exponent")
    return value


def _real(low: float, *, nan: bool = False, inf: bool = False, high: float = math.inf) -> Callable[..., float]:
    def read(name: str, value: Any, d: int) -> float:  # noqa: ARG001
        x = _number(name, value)
        if math.isnan(x):
            if not nan:
                raise wrong(name, "a number, not NaN")
        elif not low <= x <= high or (math.isinf(x) and not inf):
            raise wrong(name, "a finite number" if not inf else "a number in its range")
        return x

    return read


def _count(name: str, value: Any, d: int) -> int:  # noqa: ARG001
    if type(value) is not int or value < 0:
        raise wrong(name, "a whole number at least 0")
    return value


def _flag(name: str, value: Any, d: int) -> bool:  # noqa: ARG001
    if type(value) is not bool:
        raise wrong(name, "true or false")
    return value


def _string(name: str, value: Any, d: int) -> str:  # noqa: ARG001
    if not isinstance(value, str):
        raise wrong(name, "a text")
    return value


def texts(name: str, value: Any, d: int) -> tuple[str, ...]:  # noqa: ARG001
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise wrong(name, "a list of texts")
    return tuple(value)


def _vector(low: float, *, inf: bool = False, high: float = math.inf) -> Callable[..., Float64s]:
    one = _real(low, inf=inf, high=high)

    def read(name: str, value: Any, d: int) -> Float64s:
        if not isinstance(value, list) or len(value) != d:
            raise wrong(name, f"a list of {d} numbers")
        return np.array([one(name, item, d) for item in value], dtype=np.float64)

    return read


def _flags(name: str, value: Any, d: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if not isinstance(value, list) or len(value) != d or not all(type(item) is bool for item in value):
        raise wrong(name, f"a list of {d} truth values, one for each feature")
    return np.array(value, dtype=np.bool_)


def _uncertainty(name: str, value: Any, d: int) -> Uncertainty | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"sd", "factor", "withheld"}:
        raise wrong(name, "standard errors and a factor of their correlations, or null")
    size, rows, place = d + 2, value["factor"], f"{name}.factor"  # the bias, the value at the centre, the weights
    sd = _vector(0.0, inf=True)(f"{name}.sd", value["sd"], size)
    if not isinstance(rows, list) or len(rows) != size or not all(isinstance(row, list) for row in rows):
        raise wrong(place, f"a list of {size} lists of numbers")
    factor = np.zeros((size, min(max(map(len, rows)), size)))
    for row, numbers in zip(factor, rows, strict=True):
        row[: len(numbers)] = _vector(-1.001, high=1.001)(place, numbers, min(len(numbers), size))
    if any(abs(length - 1.0) > 1e-9 for length in np.square(factor).sum(axis=1) if length):
        raise wrong(place, "rows of length 1 or 0")
    return Uncertainty(sd, factor, _withheld(f"{name}.withheld", value["withheld"], size))


def _withheld(name: str, value: Any, size: int) -> Withheld | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        raise wrong(name, "which errors are told and what moves the others, or null")
    moves = [_vector(-math.inf, inf=True)(name, row, size) for row in value[1]]
    return Withheld(_flags(name, value[0], size), np.array(moves).reshape(-1, size))


def _status(name: str, value: Any, d: int) -> Status:  # noqa: ARG001
    if not isinstance(value, str) or value not in Status.__members__:
        raise wrong(name, "the name of a known status")
    return Status[value]


def _exact(name: str, value: Any, d: int) -> Float64s | None:
    return None if value is None else _vector(-math.inf)(name, value, d + 1)  # the bias, the weights


def _settings(name: str, value: Any, d: int) -> dict[str, Any]:  # noqa: ARG001
    if not isinstance(value, dict) or not all(type(v) in (str, int, float, bool, type(None)) for v in value.values()):
        raise wrong(name, "an object of texts, numbers, truth values and nulls")
    return {key: float(item) if item in ("nan", "inf", "-inf") else item for key, item in value.items()}


def _history(name: str, value: Any, d: int) -> tuple[dict[str, float], ...]:  # noqa: ARG001
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise wrong(name, "a list of records")
    return tuple({key: item if type(item) is int else _number(name, item) for key, item in r.items()} for r in value)


_any_finite = _real(-math.inf)
_not_negative = _real(0.0)
_statistic = _real(-math.inf, nan=True, inf=True)
READERS: dict[str, Callable[..., Any]] = {
    "names": texts,
    "weights": _vector(-math.inf),
    "bias": _any_finite,
    "intercept": _flag,
    "identified": _flags,
    "bias_identified": _flag,
    "uncertainty": _uncertainty,
    "centre": _vector(-math.inf),
    "centre_value": _any_finite,
    "scale": _vector(0.0),
    "target_scale": _not_negative,
    "n": _count,
    "n_dropped": _count,
    "n_weightless": _count,
    "mean_weight": _real(math.ulp(0.0)),
    "df_residual": _any_finite,
    "objective": _real(-math.inf, inf=True),
    "gap": _real(-math.inf, nan=True, inf=True),
    "residual_sd": _real(0.0, nan=True, inf=True),
    "r2": _statistic,
    "adjusted_r2": _statistic,
    "pseudo_r2": _statistic,
    "robust_scale": _real(0.0, nan=True, inf=True),
    "f_statistic": _statistic,
    "condition": _real(0.0, nan=True, inf=True),
    "dependencies": lambda _, value, d: None if value is None else Dependencies.from_dict(value, d),
    "status": _status,
    "notes": texts,
    "solver": _string,
    "precision": _string,
    "passes": _count,
    "exact": _exact,
    "settings": _settings,
    "history": _history,
    "target": _string,
    "loss": _string,
    "errors": _string,
    "l2": _not_negative,
    "design": lambda _, value, d: Design.from_dict(value),  # noqa: ARG005
}
