"""Checkpoints: a run as it stands, in a file that is complete at any moment and refused when it is damaged.

A file is, in this order:

    linnet-checkpoint 2                                          a line that says the kind of file and its version
    {"settings": …, "data": …, "numbers": …, "arrays": {name: shape, …}}          one line of JSON
    the arrays, in the order of their names there                raw little-endian float64, row-major
    SHA-256 of everything before                                 32 bytes, in every version of this format

Reading executes nothing: it compares the checksum, parses JSON and copies numbers, and what it allocates
follows the file's own size, whatever the file claims.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from linnet.atomic import Paths, check_output, replacing
from linnet.block import Float64s, InputError

FORMAT = b"linnet-checkpoint "
VERSION = 2
LARGEST = 2**31  # bytes; a run over some 60 million features
CHECKSUM = 32  # bytes
AGAIN = "remove it to begin anew, or restore it from a copy"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """All that the rest of a run follows from, beside its data.

    Attributes:
        settings: what must be the same when the run is resumed, as JSON values.
        data: a digest of the rows, which must be the same too.
        numbers: where the run is, as JSON values: whole numbers of any size, floats that read back bit for bit.
        arrays: the same for arrays of float64 of any shape.
    """

    settings: dict[str, Any]
    data: str
    numbers: dict[str, Any]
    arrays: dict[str, Float64s]

    def save(self, path: Paths) -> None:
        """Write the checkpoint; whatever was at `path` stays as it was until the new file is whole and on disk.

        Raises:
            InputError: the folder is missing, or the file could not be written, for instance because the disk is full.
        """
        header = {
            "settings": self.settings,
            "data": self.data,
            "numbers": self.numbers,
            "arrays": {name: np.shape(array) for name, array in self.arrays.items()},
        }
        parts = [FORMAT + b"%d\n" % VERSION, _text(header).encode("ascii") + b"\n"]
        parts += [np.asarray(array, dtype="<f8").tobytes() for array in self.arrays.values()]
        content = b"".join(parts)
        if len(content) + CHECKSUM > LARGEST:  # what could not be loaded is better not saved
            raise InputError(f"Cannot write the checkpoint {path}: it would be larger than {LARGEST / 2**30:g} GiB.")
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                file.write(content)
                file.write(hashlib.sha256(content).digest())
        except OSError as error:
            raise InputError(
                f"Cannot write the checkpoint {path}: {error.strerror or error}. One that was there before is intact: "
                "make room or choose another place, then resume."
            ) from error

    @classmethod
    def load(cls, path: Paths) -> Checkpoint:
        """Read a checkpoint that `save` wrote.

        Returns:
            The checkpoint, its numbers and arrays equal to the saved ones bit for bit.

        Raises:
            InputError: there is no such file, it is no checkpoint or damaged, or another version of Linnet wrote it.
        """
        content, checksum = _read(Path(path))
        if hashlib.sha256(content).digest() != checksum:
            raise InputError(f"The checkpoint {path} is damaged, its contents do not match its checksum: {AGAIN}.")
        first, _, rest = content.partition(b"\n")
        version = _version(first)
        if version > VERSION:
            raise InputError(
                f"The checkpoint {path} was written by a newer Linnet (version {version} of its format; this one reads "
                f"{VERSION}): upgrade Linnet to resume from it."
            )
        if 0 < version < VERSION:
            raise InputError(
                f"The checkpoint {path} was written by an older Linnet (version {version} of its format; this one "
                f"reads {VERSION}): resume it with that one, or remove it to begin anew."
            )
        try:
            return cls(**_fields(version, rest))
        except (ValueError, RecursionError):
            raise InputError(f"The checkpoint {path} makes no sense although its checksum is right: {AGAIN}.") from None

    @classmethod
    def prepare(cls, path: Paths, settings: dict[str, Any], resume: bool) -> Checkpoint | None:
        """Find out before long work whether a run can be kept at `path`.

        Args:
            path: where.
            settings: those of the run.
            resume: whether it may go on from what is there.

        Returns:
            What the run goes on from; None where there is nothing, so that it begins.

        Raises:
            InputError: nothing can be written there, or what is there is no checkpoint, is not to be gone on from, or
                cannot be: see `load` and `require`.
        """
        if not check_output(path).exists():
            return None
        kept = cls.load(path)  # also where it only stands in the way: somebody's data must not be called a checkpoint
        if not resume:
            raise InputError(
                f"The checkpoint {os.fspath(path)!r} exists already: resume from it (--resume, resume=True), or remove "
                "it to begin anew."
            )
        try:
            kept.require(settings)
        except InputError as error:
            raise InputError(f"Cannot resume from {os.fspath(path)!r}. {error}") from None
        return kept

    def require(self, settings: dict[str, Any]) -> None:
        """Refuse to resume a run with other settings.

        Raises:
            InputError: names the first that differs, with both values.
        """
        kept, now = (json.loads(_text(each)) for each in (self.settings, settings))
        for name in {**now, **kept}:
            old, new = (repr(each[name]) if name in each else "not set" for each in (kept, now))
            if old != new and kept.get(name) != now.get(name):
                old, new = _apart(old, new)
                raise InputError(
                    f"The checkpoint is of a run with another {name}: it was {old}, and now it is {new}. Resume with "
                    "the settings of that run, or remove the checkpoint to begin anew."
                )

    def require_data(self, digest: str) -> None:
        """Refuse to resume a run over other rows than those with this digest.

        Raises:
            InputError: they are others.
        """
        if self.data != digest:
            raise InputError(
                "Cannot resume: the checkpoint is of a run over other data. The rows, their order or their weights "
                "have changed. Resume with the data of that run, or remove the checkpoint to begin anew."
            )


def _read(path: Path) -> tuple[bytes, bytes]:
    """What the file holds, and the checksum at its end."""
    try:
        content = _content(path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"There is no checkpoint {path}: check the path.") from None
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read the checkpoint {path}: {getattr(error, 'strerror', None) or error}.") from None
    return content[:-CHECKSUM], content[-CHECKSUM:]


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise InputError(f"{path} is not a file, so it is not a checkpoint: give the name of a file.")
    with path.open("rb") as file:
        start = file.read(len(FORMAT))
        if start != FORMAT:
            raise InputError(
                f"{path} is not a checkpoint of Linnet, or its beginning is damaged: choose another name for the "
                "checkpoint, or restore it from a copy."
            )
        if os.fstat(file.fileno()).st_size > LARGEST:
            raise InputError(f"{path} is larger than {LARGEST / 2**30:g} GiB, as no checkpoint of Linnet is: {AGAIN}.")
        return start + file.read()


def _version(first: bytes) -> int:
    """The version that a first line names, or 0 when it names none."""
    digits = first.removeprefix(FORMAT)
    return int(digits) if digits.isdigit() and len(digits) < 10 else 0


def _fields(version: int, rest: bytes) -> dict[str, Any]:
    """A Checkpoint's fields from all that comes between the first line and the checksum.

    Raises:
        ValueError: they are not what `save` writes.
    """
    text, _, raw = rest.partition(b"\n")
    header = json.loads(text)
    kinds = {"settings": dict, "data": str, "numbers": dict, "arrays": dict}
    if version != VERSION or not isinstance(header, dict) or {k: type(v) for k, v in header.items()} != kinds:
        raise ValueError("a field is missing, unknown or of another type")
    arrays, at = {}, 0
    for name, shape in header["arrays"].items():
        if not isinstance(shape, list) or not all(type(length) is int and length >= 0 for length in shape):
            raise ValueError("a shape is not a list of lengths")
        end = at + 8 * math.prod(shape)
        if end > len(raw):  # Python's whole numbers: no size is too large to be compared
            raise ValueError("an array is longer than the file")
        # astype copies: writable, and in this machine's byte order
        arrays[name] = np.frombuffer(raw[at:end], dtype="<f8").reshape(shape).astype(np.float64)
        at = end
    if at != len(raw):
        raise ValueError("there are more numbers than arrays for them")
    return {**header, "arrays": arrays}


def _text(values: Any) -> str:
    """JSON with Python's NaN and Infinity; NumPy's numbers as Python's, and arrays as lists."""
    return json.dumps(values, separators=(",", ":"), default=lambda held: held.tolist())


def _apart(old: str, new: str) -> tuple[str, str]:
    """Two texts as they are if short, else the part of each where they begin to differ."""
    width = 60
    if max(len(old), len(new)) <= width:
        return old, new
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    start = max(0, same - width // 3)

    def part(text: str) -> str:
        end = start + width
        return ("…" if start else "") + text[start:end] + ("…" if len(text) > end else "")

    return part(old), part(new)
