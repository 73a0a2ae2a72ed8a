"""Files: Parquet and Arrow files, several of them as one table, read ahead by a thread in bounded memory."""

from __future__ import annotations

import atexit
import glob
import os
import queue
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from linnet.block import InputError
from linnet.sources.columns import Kind, common_type
from linnet.sources.settle import PANDAS_INDEX
from linnet.sources.tables import Piece, Table, listed

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

StrPath = str | os.PathLike[str]

Head = list[tuple[str, Any]]  # names of columns and their Arrow types

READ_AHEAD = 8  # pieces that wait for the consumer: some 40 MB, which outlast the loading of compiled code

CSV_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst")
ARROW_ENDINGS = (".arrow", ".feather", ".ipc")
ENDINGS = (*CSV_ENDINGS, ".parquet", *ARROW_ENDINGS)


def file_table(path: StrPath | Sequence[StrPath]) -> Table:
    """The Table of a file, of all files that a glob matches, of all table files in a folder, or of several of these.

    Raises:
        InputError: there is nothing to read, or the files do not belong together.
    """
    paths = [path] if isinstance(path, str | os.PathLike) else list(path)
    for each in paths:
        if not isinstance(each, str | os.PathLike):
            raise InputError(f"Among several paths each must be one, but {each!r} is none.")
    found = [table_files(each) for each in paths]
    for files in found:
        _refuse_compressed_twice(files)
    files = [file for files in found for file in files]
    _refuse_twice(files)
    kinds = {_reader(file): file for file in files}
    if len(kinds) > 1:
        one, other = list(kinds.values())[:2]
        raise InputError(
            f"{', '.join(repr(os.fspath(each)) for each in paths[:3])} holds tables of several kinds, such as {one!r} "
            f"and {other!r}, perhaps with the same rows: name those to read, for instance by a glob such as "
            "'folder/*.parquet'."
        )
    return kinds.popitem()[0](files)


def _refuse_twice(files: list[str]) -> None:
    """Refuse a file that is named twice, however its path is spelled and whatever symbolic link leads to it."""
    known: dict[Path, str] = {}
    for file in files:
        same = Path(file).resolve()
        if (other := known.get(same)) is not None:
            again = "" if other == file else f" (again as {file!r})"
            raise InputError(f"{other!r} is named twice{again}, so that its rows would count twice: name it once.")
        known[same] = file


def _refuse_compressed_twice(files: list[str]) -> None:
    """Refuse a folder or a glob with a table and its compressed copy; a list may name files of such names."""
    known: dict[str, str] = {}
    for file in files:
        other = known.setdefault(file.removesuffix(".gz").removesuffix(".zst"), file)
        if other != file:
            raise InputError(
                f"{other!r} and {file!r} seem to be one table, compressed and not, whose rows would count twice: move "
                "one of them away, or name the files to read by a glob or a list."
            )


def table_files(given: str | os.PathLike[str]) -> list[str]:
    """The files that a path, a glob or a folder means, sorted.

    Raises:
        InputError: there is none.
    """
    if not os.fspath(given):  # which pathlib takes for the current folder, and a shell makes of an unset variable
        raise InputError("The path of the data is empty: name a file, a glob or a folder ('.' for the current one).")
    path = os.path.expanduser(os.fspath(given))  # noqa: PTH111  # pathlib's raises where there is no such home
    if Path(path).is_dir():
        with reading(path):
            files = sorted(str(file) for file in Path(path).iterdir() if _is_table(file))
        if not files:
            raise InputError(
                f"The folder {path!r} holds no table: files must end in {', '.join(ENDINGS)}. For those in folders "
                "within it, give a glob such as 'folder/**/*.parquet'."
            )
        return files
    if not Path(path).exists() and glob.has_magic(path):
        matches = glob.glob(path, recursive=True)  # noqa: PTH207  # pathlib's glob takes no absolute pattern
        files = sorted(file for file in matches if Path(file).is_file())
        if not files:
            raise InputError(f"No file matches {path!r}.")
        return files
    if not Path(path).exists():
        raise InputError(f"There is no file or folder {path!r}.")
    if not Path(path).is_file():
        raise InputError(
            f"{path!r} is a pipe or a device, which can be read only once, and not before its columns are known: write "
            "it to a file first."
        )
    return [path]


def _is_table(file: Path) -> bool:
    """Whether a folder's entry is one of its tables; hidden files are not."""
    return file.name.lower().endswith(ENDINGS) and file.name[0] not in "._" and file.is_file()


def _reader(file: str) -> type[FileTable]:
    """Which kind of table a file holds, by the ending of its name."""
    name = file.lower()
    if name.endswith(CSV_ENDINGS):
        from linnet.sources.delimited import CsvTable

        return CsvTable
    if name.endswith(".parquet"):
        return ParquetTable
    if name.endswith(ARROW_ENDINGS):
        return ArrowTable
    raise InputError(f"{file!r} is of an unknown kind: the name of a table file must end in {', '.join(ENDINGS)}.")


@contextmanager
def reading(file: str) -> Iterator[None]:
    """Turn what goes wrong while reading a file into one sentence that names it.

    Raises:
        InputError: instead of an error of Arrow or of the operating system.
    """
    import pyarrow as pa

    try:
        yield
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"{file!r} must not be read: its permissions forbid it.") from error
    except FileNotFoundError as error:
        raise InputError(f"There is no file {file!r}.") from error
    except (OSError, ValueError, EOFError, pa.ArrowException) as error:
        why = str(error).strip().partition("\n")[0].rstrip(".")
        remedy = "it may be incomplete or damaged; make or copy it again"
        raise InputError(f"{file!r} cannot be read ({why}): {remedy}.") from error


_State = tuple[int, int, int]


def _state(file: str) -> _State:
    """What tells whether a file is still the same: its size in bytes, the time of its last change, its inode.

    Some file systems make up an inode each time that they are asked, which then tells nothing: 0.
    """
    found, again = (Path(file).stat() for _ in range(2))
    return found.st_size, found.st_mtime_ns, found.st_ino if found.st_ino == again.st_ino else 0


class FileTable(Table):
    """Files of one kind, read one after the other as one table."""

    def __init__(self, files: list[str]) -> None:
        self.files = files
        self.rows: int | None = 0
        self.names = ()
        self._types: dict[str, Any] = {}
        self._opened_as: dict[str, _State] = {}
        for file in files:
            with reading(file):
                self._opened_as[file] = _state(file)
                schema, rows = self._head(file)
            self._add(file, schema)
            self.rows = None if rows is None or self.rows is None else self.rows + rows

    def __str__(self) -> str:
        return repr(self.files[0]) if len(self.files) == 1 else f"the {len(self.files)} files from {self.files[0]!r} on"

    def type_of(self, column: str) -> pa.DataType:
        """The Arrow type of a column, which stands for those of all files."""
        found: pa.DataType = self._types[column]
        return found

    @abstractmethod
    def _head(self, file: str) -> tuple[Head, int | None]:
        """The names and types of the columns, and the number of rows if it is known."""

    @abstractmethod
    def _tables(self, file: str, kinds: Mapping[str, Kind], rows: int) -> Iterator[pa.Table]:
        """The named columns of one file in small tables."""

    def pieces(self, kinds: Mapping[str, Kind], rows: int) -> Iterator[Piece]:
        """The named columns of all files, read ahead while the consumer computes; no piece spans two files."""
        return read_ahead(lambda: self._read(kinds, rows))

    def _read(self, kinds: Mapping[str, Kind], rows: int) -> Iterator[Piece]:
        """The named columns of all files, none of which may have changed since it was first opened."""
        import pyarrow as pa

        for file in self.files:
            start = 0
            with reading(file):
                self._require_unchanged(file)
                try:
                    for columns in rechunked(self._tables(file, kinds, rows), rows):
                        yield Piece(columns, file, start)
                        start += columns.num_rows
                except (pa.ArrowException, OSError, ValueError, EOFError):
                    self._require_unchanged(file)  # which explains it better
                    raise
                self._require_unchanged(file)

    def _require_unchanged(self, file: str) -> None:
        """Refuse a file that somebody writes to: passes over different rows would add up to numbers of neither."""
        if _state(file) != self._opened_as[file]:
            raise InputError(
                f"{file!r} changed while it was being read: wait until nothing writes to it, or give a copy."
            )

    def _add(self, file: str, schema: Head) -> None:
        """Take note of one file's columns, which must be those of the files before it."""
        names = tuple(name for name, _ in schema)
        if file == self.files[0]:
            self.names = names
            self._types = dict(schema)
            return
        # pandas stores the index of a part that was filtered or sorted, and of others none
        odd = {name for name in set(names) ^ set(self.names) if PANDAS_INDEX.fullmatch(name)}
        names, self.names = (tuple(name for name in each if name not in odd) for each in (names, self.names))
        if sorted(names) != sorted(self.names):
            if other := sorted(set(names) ^ set(self.names)):
                differ = f"{'is' if len(other) == 1 else 'are'} not in both"
            else:
                other = sorted({name for name in names if names.count(name) != self.names.count(name)})
                differ = f"{'comes' if len(other) == 1 else 'come'} more often in one of them"
            raise InputError(
                f"{file!r} does not have the same columns as {self.files[0]!r}: {listed(other)} {differ}. Files read "
                "together must agree in their columns."
            )
        for name, column_type in (each for each in schema if each[0] not in odd):
            common = common_type(self._types[name], column_type)
            if common is None:
                raise InputError(
                    f"Column {name!r} is of type {column_type} in {file!r} but {self._types[name]} in "
                    f"{self.files[0]!r}. Files read together must agree in their columns."
                )
            self._types[name] = common


class ParquetTable(FileTable):
    """Parquet files."""

    def _head(self, file: str) -> tuple[Head, int | None]:
        import pyarrow.parquet as pq

        with pq.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            return list(zip(schema.names, schema.types, strict=True)), opened.metadata.num_rows

    def _tables(self, file: str, kinds: Mapping[str, Kind], rows: int) -> Iterator[pa.Table]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        # Through small buffers: whole row groups or a mapped file would count as memory in use.
        with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as opened:
            for batch in opened.iter_batches(rows, columns=list(kinds)):
                yield pa.Table.from_batches([batch])


class ArrowTable(FileTable):
    """Arrow files (also called Feather), and Arrow streams stored in a file."""

    def _head(self, file: str) -> tuple[Head, int | None]:
        with _arrow_file(file) as opened:
            schema = opened.schema
            return list(zip(schema.names, schema.types, strict=True)), _arrow_rows(file, opened)

    def _tables(self, file: str, kinds: Mapping[str, Kind], rows: int) -> Iterator[pa.Table]:
        import pyarrow as pa

        del rows
        with _arrow_file(file, list(kinds)) as opened:
            count = getattr(opened, "num_record_batches", None)
            batches = opened if count is None else map(opened.get_batch, range(count))
            for batch in batches:
                chosen = batch.select(list(kinds))
                chosen.validate(full=True)  # Arrow takes the file's word for where its buffers end
                yield pa.Table.from_batches([chosen])


@contextmanager
def _arrow_file(file: str, columns: list[str] | None = None) -> Iterator[Any]:
    """A reader of an Arrow file or stream, limited to some columns."""
    import pyarrow as pa
    from pyarrow import ipc

    with pa.OSFile(file, "rb") as source:
        is_file = source.read(6) == b"ARROW1"
        source.seek(0)
        opener = ipc.open_file if is_file else ipc.open_stream
        opened = opener(source)
        if columns is not None:
            names = opened.schema.names
            source.seek(0)
            options = ipc.IpcReadOptions(included_fields=sorted(names.index(column) for column in columns))
            opened = opener(source, options=options)
        yield opened


def _arrow_rows(file: str, opened: Any) -> int | None:
    """The number of rows, from the descriptions of the record batches alone; None for a stream."""
    from pyarrow import dataset

    names = opened.schema.names
    if not hasattr(opened, "num_record_batches") or len(set(names)) < len(names):  # which a dataset cannot read
        return None
    return int(dataset.dataset(file, format="ipc").count_rows())


def rechunked(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows but for the last, without a copy; never an empty one."""
    import pyarrow as pa

    held: list[pa.Table] = []
    count = 0
    for table in tables:
        at = 0
        while count + table.num_rows - at >= rows:
            held.append(table.slice(at, rows - count))
            at += rows - count
            yield pa.concat_tables(held)
            held, count = [], 0
        if at < table.num_rows:
            held.append(table.slice(at))
            count += table.num_rows - at
    if held:
        yield pa.concat_tables(held)


def read_ahead(source: Callable[[], Iterator[T]]) -> Iterator[T]:
    """The items of an iterator that runs in a thread of its own, at most READ_AHEAD items ahead.

    Whatever it raises is raised here. When the consumer stops early, the thread stops after the item at hand. Where
    there is no further thread to be had, this one reads.
    """
    items: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(READ_AHEAD)
    stopped = threading.Event()

    def work() -> None:
        if stopped.is_set():
            return
        try:
            for item in source():
                items.put((item, None))
                if stopped.is_set():
                    return
            items.put((None, None))
        except BaseException as error:  # noqa: BLE001  # it is raised where the items are used
            items.put((None, error))

    def stop() -> None:
        stopped.set()
        with suppress(queue.Empty):
            while True:
                items.get_nowait()  # makes room: the thread may be waiting for it
        if thread.is_alive():  # where it is only about to begin, it sees first that it is to stop
            thread.join()

    thread = threading.Thread(target=work, name="linnet-reader", daemon=True)
    try:
        atexit.register(stop)  # a thread inside Arrow when the interpreter goes down would abort the process
        try:
            thread.start()
        except RuntimeError:
            yield from source()
            return
        while True:
            item, error = items.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item
    finally:
        stop()
        atexit.unregister(stop)
