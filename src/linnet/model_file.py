"""Model files: a Fit, or several, as JSON with a schema version and a checksum, read back with every field checked.

A file is one object:

    {"format": "linnet-fit", "version": 2, "linnet": "0.1.0", "sha256": "…", "fit": {…}}

or, of Fits side by side,

    {"format": "linnet-fits", "version": 2, "linnet": "0.1.0", "sha256": "…", "labels": […], "notes": […], "fits": […]}

The checksum is that of the object without it, as compact JSON with sorted keys. Numbers are written so that they read
back bit for bit; those that JSON has no name for are the strings "nan", "inf" and "-inf". Of the standard errors'
factor each row is kept without the zeros at its end. Reading executes nothing: it parses JSON and compares.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np

from linnet.atomic import Paths, replacing
from linnet.block import Float64s, InputError
from linnet.dependencies import Dependencies
from linnet.design import Design
from linnet.inference import Uncertainty, Withheld
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.fits import Fits
    from linnet.fitted import Fit

Kind = TypeVar("Kind")
FORMAT, SEVERAL = "linnet-fit", "linnet-fits"
VERSION = 2
LARGEST = 2**30  # bytes; a model of some 9,000 features


def save(fit: Fit | Fits, path: Paths) -> None:
    """Write a Fit, or Fits side by side, to a model file, whole or not at all.

    Raises:
        InputError: the folder is missing, or a fit holds something that no fit can.
        OSError: the file could not be written.
    """
    from linnet import __version__
    from linnet.fitted import Fit

    with replacing(path) as temporary:
        head = {"version": VERSION, "linnet": __version__, "sha256": ""}
        document: dict[str, Any]
        if isinstance(fit, Fit):
            document = {"format": FORMAT, **head, "fit": _values(fit)}
        else:
            fits = [_values(each) for each in fit]
            document = {"format": SEVERAL, **head, "labels": [*fit.labels], "notes": [*fit.notes], "fits": fits}
        _contents(document)  # what could not be loaded is better not saved
        document["sha256"] = _checksum(document)
        # No final newline: without it, a file that lost its last bytes never parses.
        temporary.write_text(_text(document), encoding="utf-8", newline="\n")


@overload
def load(path: Paths) -> Fit | Fits: ...
@overload
def load(path: Paths, kind: type[Kind]) -> Kind: ...
def load(path: Paths, kind: type[Any] | None = None) -> Any:
    """Read a model file that `Fit.save` or `Fits.save` wrote.

    Args:
        path: the file.
        kind: what is expected, Fit or Fits, so that nothing else comes back; default: whichever was saved.

    Returns:
        The Fit or Fits, equal to what was saved bit for bit; it has no data to show.

    Raises:
        InputError: there is no such file, it is no model file or not of that kind, damaged, or of another version.
    """
    text = _read(Path(path))
    try:
        document = json.loads(text, parse_float=_finite, parse_constant=_finite)
        # A flipped bit can leave every value as it was (1e-05, 1E-05), so the text is compared as well.
        intact = document.get("sha256") == _checksum(document) and _bare(text) == _bare(_text(document))
    except (ValueError, AttributeError, RecursionError) as error:
        where = f" near line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(
            f"{path} is damaged or is not a Linnet model file: its JSON breaks off or makes no sense{where}. "
            "Restore it from a copy, or fit again."
        ) from None
    version = document.get("version")
    if document.get("format") not in (FORMAT, SEVERAL):
        raise InputError(f"{path} is not a Linnet model file: give a file that `linnet fit --save` or Fit.save wrote.")
    if type(version) is int and 0 < version != VERSION:
        age, remedy = ("a newer", "upgrade Linnet to load it") if version > VERSION else ("an older", "fit again")
        about = f"(model file version {version}; this one reads {VERSION})"
        raise InputError(f"{path} was written by {age} Linnet {about}: {remedy}.")
    if not intact:
        raise InputError(
            f"{path} is damaged or was edited: its contents do not match its checksum. "
            "Restore it from a copy, or fit again."
        )
    try:
        loaded = _contents(document)
    except InputError as error:
        reason = str(error)
        raise InputError(f"Cannot load {path}: {reason[:1].lower()}{reason[1:]}") from None
    if kind is not None and not isinstance(loaded, kind):
        held = "one fit" if document["format"] == FORMAT else f"{len(document['fits'])} fits side by side"
        raise InputError(
            f"{path} holds {held}, not {kind.__name__}: load it without saying which kind, or another file."
        )
    return loaded


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(256)
            if not start.lstrip().startswith(b"{"):  # a pickle, a table, nothing at all
                raise InputError(
                    f"{path} is not a Linnet model file, which is JSON text and begins with a brace: "
                    "give a file that `linnet fit --save` or Fit.save wrote."
                )
            content = start + file.read(LARGEST - len(start) + 1)
    except FileNotFoundError:
        raise InputError(f"There is no model file {path}: check the path.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a model file: give the file in it.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Cannot read the model file {path}: {getattr(error, 'strerror', None) or error}.") from None
    if len(content) > LARGEST:
        raise InputError(f"{path} is larger than {LARGEST / 2**30:g} GiB, so it is not a model file that Linnet wrote.")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is damaged or is not a Linnet model file: it is not UTF-8 text. "
            "Restore it from a copy, or fit again."
        ) from None


def _finite(text: str) -> float:
    """The only floats that JSON has: neither the words NaN and Infinity nor digits too large for a float."""
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _text(document: dict[str, Any]) -> str:
    """One line for each field, so that two models can be compared with the usual tools."""
    compact = partial(json.dumps, allow_nan=False, separators=(", ", ": "))

    def laid_out(value: Any) -> str:
        if isinstance(value, list) and any(isinstance(item, dict) for item in value):
            return "[" + ", ".join(map(laid_out, value)) + "]"
        if not isinstance(value, dict):
            return compact(value)
        return "{\n" + ",\n".join(f"  {compact(k)}: {compact(v)}" for k, v in value.items()) + "\n}"

    return "{" + ",\n".join(f"{compact(k)}: {laid_out(v)}" for k, v in document.items()) + "}"


def _bare(text: str) -> str:
    """Text without white space, which an editor or a version control system may change."""
    return "".join(text.split())


def _checksum(document: dict[str, Any]) -> str:
    rest = {key: value for key, value in document.items() if key != "sha256"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


# --- A Fit as JSON values -------------------------------------------------------------------------------------------


def _values(fit: Fit) -> dict[str, Any]:
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


# --- JSON values as a Fit, each checked -------------------------------------------------------------------------------


def _contents(document: dict[str, Any]) -> Fit | Fits:
    fields = {FORMAT: {"fit"}, SEVERAL: {"labels", "notes", "fits"}}[document["format"]]
    if set(document) != {"format", "version", "linnet", "sha256", *fields} or type(document["version"]) is not int:
        raise InputError("the outermost object is not that of a model file.")
    if "fit" in document:
        return _fit(document["fit"])
    from linnet.fits import Fits

    if not isinstance(document["fits"], list):
        raise _wrong("fits", "a list of fits")
    labels, notes = (_texts(name, document[name], 0) for name in ("labels", "notes"))
    return Fits(tuple(map(_fit, document["fits"])), labels, notes)


def _fit(body: Any) -> Fit:
    from linnet.fitted import Fit

    if not isinstance(body, dict):
        raise InputError("the fit is not an object.")
    if missing := set(_READERS) - set(body):
        raise InputError(f"the field {min(missing)!r} is missing.")
    if unknown := set(body) - set(_READERS):
        raise InputError(f"the field {min(unknown)!r} is unknown.")
    names = _texts("names", body["names"], 0)
    fit = Fit(**{name: read(name, body[name], len(names)) for name, read in _READERS.items()})
    if fit.design.names != fit.names:
        raise InputError("the feature names are not those of the design.")
    if not fit.intercept and fit.bias != 0:
        raise InputError("there is a bias although there is no intercept.")
    return fit


def _wrong(name: str, expected: str) -> InputError:
    return InputError(f"the field {name!r} should be {expected}.")


def _number(name: str, value: Any) -> float:
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if type(value) is not float:
        raise _wrong(name, "a number written with a point or an exponent")
    return value


def _real(low: float, *, nan: bool = False, inf: bool = False, high: float = math.inf) -> Callable[..., float]:
    def read(name: str, value: Any, d: int) -> float:  # noqa: ARG001
        x = _number(name, value)
        if math.isnan(x):
            if not nan:
                raise _wrong(name, "a number, not NaN")
        elif not low <= x <= high or (math.isinf(x) and not inf):
            raise _wrong(name, "a finite number" if not inf else "a number in its range")
        return x

    return read


def _count(name: str, value: Any, d: int) -> int:  # noqa: ARG001
    if type(value) is not int or value < 0:
        raise _wrong(name, "a whole number at least 0")
    return value


def _flag(name: str, value: Any, d: int) -> bool:  # noqa: ARG001
    if type(value) is not bool:
        raise _wrong(name, "true or false")
    return value


def _string(name: str, value: Any, d: int) -> str:  # noqa: ARG001
    if not isinstance(value, str):
        raise _wrong(name, "a text")
    return value


def _texts(name: str, value: Any, d: int) -> tuple[str, ...]:  # noqa: ARG001
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _wrong(name, "a list of texts")
    return tuple(value)


def _vector(low: float, *, inf: bool = False, high: float = math.inf) -> Callable[..., Float64s]:
    one = _real(low, inf=inf, high=high)

    def read(name: str, value: Any, d: int) -> Float64s:
        if not isinstance(value, list) or len(value) != d:
            raise _wrong(name, f"a list of {d} numbers")
        return np.array([one(name, item, d) for item in value], dtype=np.float64)

    return read


def _flags(name: str, value: Any, d: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if not isinstance(value, list) or len(value) != d or not all(type(item) is bool for item in value):
        raise _wrong(name, f"a list of {d} truth values, one for each feature")
    return np.array(value, dtype=np.bool_)


def _uncertainty(name: str, value: Any, d: int) -> Uncertainty | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) != {"sd", "factor", "withheld"}:
        raise _wrong(name, "standard errors and a factor of their correlations, or null")
    size, rows, place = d + 2, value["factor"], f"{name}.factor"  # the bias, the value at the centre, the weights
    sd = _vector(0.0, inf=True)(f"{name}.sd", value["sd"], size)
    if not isinstance(rows, list) or len(rows) != size or not all(isinstance(row, list) for row in rows):
        raise _wrong(place, f"a list of {size} lists of numbers")
    factor = np.zeros((size, min(max(map(len, rows)), size)))
    for row, numbers in zip(factor, rows, strict=True):
        row[: len(numbers)] = _vector(-1.001, high=1.001)(place, numbers, min(len(numbers), size))
    if any(abs(length - 1.0) > 1e-9 for length in np.square(factor).sum(axis=1) if length):
        raise _wrong(place, "rows of length 1 or 0")
    return Uncertainty(sd, factor, _withheld(f"{name}.withheld", value["withheld"], size))


def _withheld(name: str, value: Any, size: int) -> Withheld | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        raise _wrong(name, "which errors are told and what moves the others, or null")
    moves = [_vector(-math.inf, inf=True)(name, row, size) for row in value[1]]
    return Withheld(_flags(name, value[0], size), np.array(moves).reshape(-1, size))


def _status(name: str, value: Any, d: int) -> Status:  # noqa: ARG001
    if not isinstance(value, str) or value not in Status.__members__:
        raise _wrong(name, "the name of a known status")
    return Status[value]


def _exact(name: str, value: Any, d: int) -> Float64s | None:
    return None if value is None else _vector(-math.inf)(name, value, d + 1)  # the bias, the weights


def _settings(name: str, value: Any, d: int) -> dict[str, Any]:  # noqa: ARG001
    if not isinstance(value, dict) or not all(type(v) in (str, int, float, bool, type(None)) for v in value.values()):
        raise _wrong(name, "an object of texts, numbers, truth values and nulls")
    return {key: float(item) if item in ("nan", "inf", "-inf") else item for key, item in value.items()}


def _history(name: str, value: Any, d: int) -> tuple[dict[str, float], ...]:  # noqa: ARG001
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _wrong(name, "a list of records")
    return tuple({key: item if type(item) is int else _number(name, item) for key, item in r.items()} for r in value)


_any_finite = _real(-math.inf)
_not_negative = _real(0.0)
_statistic = _real(-math.inf, nan=True, inf=True)
_READERS: dict[str, Callable[..., Any]] = {
    "names": _texts,
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
    "f_p_value": _real(0.0, nan=True, high=1.0),
    "condition": _real(0.0, nan=True, inf=True),
    "dependencies": lambda _, value, d: None if value is None else Dependencies.from_dict(value, d),
    "status": _status,
    "notes": _texts,
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
