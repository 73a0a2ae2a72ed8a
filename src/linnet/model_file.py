"""Model files: a Fit, or several, as JSON with a schema version and a checksum, read back with every field checked.

A file is one object:

    {"format": "linnet-fit", "version": 4, "linnet": "0.1.0", "sha256": "…", "fit": {…}}

or, of Fits side by side,

    {"format": "linnet-fits", "version": 4, "linnet": "0.1.0", "sha256": "…", "labels": […], "notes": […], "fits": […]}

The checksum is that of the object without it, as compact JSON with sorted keys. Numbers are written so that they read
back bit for bit; those that JSON has no name for are the strings "nan", "inf" and "-inf". Of the standard errors'
factor each row is kept without the zeros at its end. Reading executes nothing: it parses JSON and compares.
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from linnet.atomic import Paths, replacing
from linnet.block import InputError
from linnet.fit_record import fit_of, texts, values_of, wrong

if TYPE_CHECKING:
    from linnet.fits import Fits
    from linnet.fitted import Fit

Kind = TypeVar("Kind")
FORMAT, SEVERAL = "linnet-fit", "linnet-fits"
VERSION = 4
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
            document = {"format": FORMAT, **head, "fit": values_of(fit)}
        else:
            fits = [values_of(each) for each in fit]
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


def _contents(document: dict[str, Any]) -> Fit | Fits:
    fields = {FORMAT: {"fit"}, SEVERAL: {"labels", "notes", "fits"}}[document["format"]]
    if set(document) != {"format", "version", "linnet", "sha256", *fields} or type(document["version"]) is not int:
        raise InputError("the outermost object is not that of a model file.")
    if "fit" in document:
        return fit_of(document["fit"])
    from linnet.fits import Fits

    if not isinstance(document["fits"], list):
        raise wrong("fits", "a list of fits")
    labels, notes = (texts(name, document[name], 0) for name in ("labels", "notes"))
    return Fits(tuple(map(fit_of, document["fits"])), labels, notes)
