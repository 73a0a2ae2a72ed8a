"""Output files, written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from linnet.block import Float64s, InputError

Paths = str | os.PathLike[str]


def check_output(path: Paths, suffixes: Collection[str] = ()) -> Path:
    """Find out before long work whether its result can be written.

    Args:
        path: the file to be written.
        suffixes: the endings that say a known format, such as `.png`; none when any name will do.

    Returns:
        The path with symbolic links followed, so that the file they point to is the one replaced.

    Raises:
        InputError: the ending is unknown, the folder is missing or not writable, the path is a folder, or there can be
            no file of that name.
    """
    named = Path(path)
    if suffixes and named.suffix.lower() not in suffixes:
        known = ", ".join(sorted(suffixes))
        raise InputError(f"Cannot write {named}: the ending of its name must be one of {known}.")
    with _possible(named):
        target = named.resolve()
        folder = target.is_dir()
    if folder:
        raise InputError(f"Cannot write {named}: it is a folder; add a file name.")
    if not target.parent.is_dir():
        raise InputError(f"Cannot write {named}: there is no folder {target.parent}; create it first.")
    if not os.access(target.parent if _replaceable(target) else target, os.W_OK):
        raise InputError(f"Cannot write {named}: no permission to write there; choose another place.")
    return target


def check_apart(outputs: Mapping[str, Paths | None], inputs: Iterable[Paths] = ()) -> None:
    """Refuse an output that would take the place of another one, or of what is read.

    A file is told by what it is, not by how its path is spelled: links, symbolic or hard, lead to the same one.

    Args:
        outputs: files by what they are, such as `model`; None where there is none.
        inputs: the files that are read, each by itself.

    Raises:
        InputError: names the two purposes and the file.
    """
    purposes: dict[object, str] = {}
    for purpose, path in outputs.items():
        if path is not None and (other := purposes.setdefault(_identity(path), purpose)) != purpose:
            raise InputError(f"The {other} and the {purpose} are both {path}: give one of them another name.")
    if not purposes:
        return
    for read in inputs:
        replaced = purposes.get(_identity(read))
        if replaced is not None:
            written = outputs[replaced]
            known = "" if str(written) == str(read) else f" as {read}"
            raise InputError(
                f"Cannot write the {replaced} to {written}, which this command reads{known}: choose another name."
            )


def _identity(path: Paths) -> object:
    """What two paths share if they lead to one file: its number on its device, or before it exists, where it will be.

    A pipe or a device goes by its path alone: it is not replaced, and a terminal may be read and written.
    """
    with _possible(path):
        target = Path(path).resolve()
        with suppress(FileNotFoundError, NotADirectoryError):
            found = target.stat()
            if stat.S_ISREG(found.st_mode) and found.st_ino:  # some network drives number no files
                return found.st_dev, found.st_ino
    return os.path.normcase(target)


@contextmanager
def replacing(path: Paths, suffixes: Collection[str] = ()) -> Iterator[Path]:
    """Give a temporary path in the same folder to write to; on success it takes the place of `path` in one step.

    When the body raises, the temporary file is removed and whatever was at `path` stays as it was. A pipe or a
    device, which cannot be replaced, is written to directly.

    Raises:
        InputError: see `check_output`.
        OSError: the file could not be written, for instance because the disk is full; `filename` is `path`.
    """
    target = check_output(path, suffixes)
    if not _replaceable(target):
        with _named(path):
            yield target
        return
    temporary = target.with_name(f".linnet-{os.urandom(6).hex()}.tmp")
    try:
        with _named(path, temporary):
            yield temporary
            if target.exists():
                shutil.copymode(target, temporary)
            _sync(temporary, os.O_RDWR)
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # some systems cannot open or sync a folder; the file itself is safe
        _sync(target.parent, os.O_RDONLY)


@contextmanager
def column_writer(path: Paths, names: Sequence[str]) -> Iterator[Callable[[Sequence[Float64s]], None]]:
    """Write columns of numbers to a file, some rows at a time: Parquet when it is named `.parquet`, else CSV.

    Yields:
        A function that takes the next rows as one array of shape (rows,) for each name.

    Raises:
        InputError: see `check_output`.
        OSError: the file could not be written.
    """
    with replacing(path, (".csv", ".parquet") if Path(path).suffix else ()) as temporary:
        if Path(path).suffix.lower() == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            schema = pa.schema([(name, pa.float64()) for name in names])
            with pq.ParquetWriter(temporary, schema) as parquet:
                yield lambda columns: parquet.write_table(pa.table(list(columns), schema=schema))
        else:
            with temporary.open("wb") as stream, csv_writer(stream, names) as write:
                yield write


@contextmanager
def csv_writer(stream: IO[bytes], names: Sequence[str]) -> Iterator[Callable[[Sequence[Float64s]], None]]:
    """The same for CSV into an open stream; numbers are written so that they read back bit for bit."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    schema = pa.schema([(name, pa.float64()) for name in names])
    header = io.StringIO(newline="")
    csv.writer(header, lineterminator="\n").writerow(names)  # quotes those that need it, where Arrow quotes all
    stream.write(header.getvalue().encode())
    with arrow_csv.CSVWriter(stream, schema, write_options=arrow_csv.WriteOptions(include_header=False)) as writer:
        yield lambda columns: writer.write_batch(pa.record_batch(list(columns), schema=schema))


@contextmanager
def _possible(path: Paths) -> Iterator[None]:
    """Say in one sentence that a name is too long, that its links go in a circle, or that it holds a null byte."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(
            f"Cannot write {path}: the current folder does not exist any more; change to another one."
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"There can be no file {os.fspath(path)!r}: {why}; choose another name.") from None


@contextmanager
def _named(path: Paths, temporary: Path | None = None) -> Iterator[None]:
    """Give an error of writing the name of the file: most have none, and nobody knows that of the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and (temporary is None or str(error.filename) != str(temporary)):
            raise
        why = os.strerror(error.errno) if error.errno else str(error)  # Arrow adds how it came to know
        raise OSError(error.errno, why, os.fspath(path)) from error


def _replaceable(target: Path) -> bool:
    return target.is_file() or not target.exists()


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
