"""Spool: the rows of a Source where they can be read again in any order: in memory, or in a file without a name."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Floats, InputError
from linnet.sources.window import PIECE, Shuffle, Window, arrays_of, drawn, permutations, plain, room, row_bytes
from linnet.threads import Team

if TYPE_CHECKING:
    from concurrent.futures import Future
    from io import FileIO

HELD = 1 << 27
"""Bytes of rows that are copied to memory; beyond, they go to a file."""
SEGMENT = 1 << 18
"""Bytes of neighbouring rows that are read from the file at once: a disk, too, reads that as fast as in order."""
WINDOW = 1 << 26
"""Bytes of segments that lie in memory at once, to shuffle their rows."""
TILE = 1024, 32
"""Rows and columns that are transposed at once: what they touch fits into the fastest caches."""


class Spool:
    """The rows of a Source, kept where any of them can be read again.

    Rows are read where they lie in an array, and otherwise copied: to memory while they are few, and beyond to a
    temporary file, which has no name and is gone with the Spool or the process. In memory any order of rows can be had.
    The file is cut into segments of neighbouring rows; some hundred segments in random order make a window in memory,
    whose rows are then in random order among themselves. X, y and weights keep their types.

    Attributes:
        rows: number of rows so far.
        features: number of features.
    """

    def __init__(self, features: int, *, batch_size: int = 1, hashed: bool = False, memory: int = HELD) -> None:
        """An empty Spool.

        Args:
            features: number of features.
            batch_size: rows of a minibatch: but for the last, each window holds a multiple of it.
            hashed: whether `digest` will be asked for.
            memory: bytes of rows to hold in memory before a file is used.
        """
        self.rows = 0
        self.features = features
        self._batch_size = batch_size
        self._memory = memory
        self._weight_sum = 0.0
        self._hashes: tuple[Any, ...] = ()
        if hashed:
            from hashlib import sha256

            self._hashes = (sha256(), sha256(), sha256())
        self._latest = _none(features)  # all rows, or those behind the file's segments
        self._filled = 0
        self._segment = 1  # rows
        self._segments = 0  # in the file
        self._file: FileIO | None = None
        self._folder = ""
        self._reading = threading.Lock()  # the file has one position

    @classmethod
    def over(cls, block: Block, *, batch_size: int = 1, hashed: bool = False) -> Spool:
        """A Spool of rows in memory, as they lie if each row is contiguous; else with one copy. Nothing is added to it.

        Rows with gaps between them, such as those of some columns of a matrix, are copied too while they are few:
        that takes milliseconds, and compiling a loop for such rows alone takes seconds. Many would take memory.

        The rows must not change while the Spool is in use.
        """
        spool = cls(block.features, batch_size=batch_size, hashed=hashed)
        spool._latest = block
        apart = block.X.strides[1] != block.X.itemsize and block.features > 1
        if apart or (not plain(block) and block.rows * row_bytes(block) <= HELD):
            spool._latest = room(block, block.rows)
            _copy(block, spool._latest)
        spool._filled = block.rows
        spool._note(block)
        return spool

    def add(self, block: Block) -> None:
        """Copy rows, in whichever memory order they are.

        Raises:
            InputError: the disk is full, or the folder for temporary files cannot be written.
        """
        at = 0
        while at < block.rows:
            if self._filled == self._latest.rows:
                self._make_room(block)
            take = min(block.rows - at, self._latest.rows - self._filled)
            new = self._latest.part(slice(self._filled, self._filled + take))
            _copy(block.part(slice(at, at + take)), new)
            self._note(new)
            self._filled += take
            at += take

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of X: float32 or float64."""
        return self._latest.X.dtype

    @property
    def weighted(self) -> bool:
        """Whether rows have weights."""
        return self._latest.weight is not None

    @property
    def weight_total(self) -> float:
        """Sum of the row weights; the number of rows where they have none."""
        return self._weight_sum if self.weighted else float(self.rows)

    @property
    def on_disk(self) -> bool:
        """Whether rows lie in a file."""
        return self._file is not None

    @property
    def digest(self) -> str:
        """SHA-256 of all rows, their types and their order, in hexadecimal; however they came and wherever they lie.

        Raises:
            ValueError: the Spool was not made to be hashed.
        """
        if not self._hashes:
            raise ValueError("A Spool without hashed=True has no digest.")
        whole = self._hashes[0].copy()
        for array, parts in zip(arrays_of(self._latest), self._hashes, strict=False):
            whole.update(array.dtype.str.encode() + parts.digest())
        return str(whole.hexdigest())

    def shuffled_by(self, shuffle: Shuffle) -> str:
        """What `windows` shuffles, in words: `rows`, `pieces of 64 rows` or `none`, and within what."""
        if not shuffle:
            return "none"
        what = "rows" if shuffle is True else f"pieces of {PIECE} rows"
        if self._file is None:
            return what
        count = -(-self._segments // self._window_count)
        return f"{what} within windows of {count} random segments of {self._segment:,} rows"

    def windows(
        self, shuffle: Shuffle, rng: np.random.Generator | None = None, skip: int = 0, epochs: int = 1
    ) -> Iterator[Window]:
        """All rows, in memory in one Window; from the file in Windows of some 64 MB, the next one read meanwhile.

        All Windows but the last have a multiple of `batch_size` rows.

        Args:
            shuffle: True for rows in random order, "pieces" for pieces of 64 rows in random order, False for none.
            rng: draws the order of segments, if there is a file, and then that within each Window before it is given;
                may be None where nothing is shuffled.
            skip: rows that are done already: the order is drawn as if they were not, but Windows in which nothing is
                left are neither read nor given.
            epochs: how many times to visit all rows of the one Window in memory; from the file they are given once.

        Raises:
            InputError: the file cannot be read.
        """
        if self._file is not None:
            yield from self._from_file(self._file, shuffle, rng, skip)
        elif self.rows:
            order = drawn(self.rows, shuffle, rng, epochs)
            if skip < self.rows:
                block = self._latest
                yield Window(block if block.rows == self.rows else block.part(slice(self.rows)), order, skip)

    def blocks(self) -> Iterator[Block]:
        """All rows once, in order."""
        return (window.block for window in self.windows(False))

    def check(self, names: Sequence[str], target: str, where: Callable[[int], str]) -> None:
        """As `Block.check`, of all rows.

        Raises:
            InputError: a number is not finite, or the file cannot be read.
        """
        for block in self.blocks():
            block.check(names, target, where)

    def sample(self, rows: int) -> Block:
        """Copies in float64 of about so many rows, at even distances; all rows if they are fewer.

        Raises:
            InputError: the file cannot be read.
        """
        chosen = np.linspace(0, max(self.rows - 1, 0), min(rows, self.rows)).astype(np.int64)
        behind = self._segments * self._segment
        count = int(np.searchsorted(chosen, behind))
        found = room(self._latest, count)
        for k, row in enumerate(chosen[:count].tolist()):
            assert self._file is not None
            self._read(self._file, row // self._segment, row % self._segment, found.part(slice(k, k + 1)))
        rest = self._latest.part(chosen[count:] - behind)
        arrays = [
            np.concatenate(both, dtype=np.float64) for both in zip(arrays_of(found), arrays_of(rest), strict=True)
        ]
        return Block(arrays[0], arrays[1], arrays[2] if self.weighted else None)

    def close(self) -> None:
        """Give the file's space back to the disk."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def _window_count(self) -> int:
        """Windows of about equal size, so that none has but the last few rows of the file to shuffle."""
        return max(1, -(-self._segments // max(1, WINDOW // (self._segment * row_bytes(self._latest)))))

    def _note(self, block: Block) -> None:
        """Count rows that came in."""
        self.rows += block.rows
        if block.weight is not None:
            self._weight_sum += float(block.weight.sum())
        for array, parts in zip(arrays_of(block) if self._hashes else (), self._hashes, strict=False):
            step = max(1, SEGMENT // max(1, array[:1].nbytes))
            for i in range(0, block.rows, step):
                parts.update(np.ascontiguousarray(array[i : i + step]))

    def _make_room(self, like: Block) -> None:
        """Memory for the first rows; when that is full, move it to the file and go on with memory for one segment."""
        size = row_bytes(like)
        if not self.rows:
            self._segment = self._batch_size * max(1, SEGMENT // (self._batch_size * size))
            self._latest = room(like, max(1, self._memory // size))  # counts as memory only where it is written to
            return
        whole = self._filled - self._filled % self._segment
        for i in range(0, whole, self._segment):
            self._write(self._latest.part(slice(i, i + self._segment)))
        rest = self._latest.part(slice(whole, self._filled))
        if rest.rows or self._filled > self._segment:  # a minibatch that is larger than memory may be is held there
            self._latest = room(like, self._segment if whole else min(self._segment, 2 * rest.rows))
            _copy(rest, self._latest.part(slice(rest.rows)))
        self._filled = rest.rows

    def _open(self) -> FileIO:
        """Open the file, which has no name from then on, and is closed with the Spool at the latest."""
        from tempfile import TemporaryFile, gettempdir

        roomy = "/var/tmp"  # /tmp is often held in memory
        self._folder = os.environ.get("TMPDIR") or (roomy if os.access(roomy, os.W_OK) else gettempdir())
        try:
            file = self._file = TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115  # it stays open
        except OSError as error:
            raise self._refused(error) from error
        weakref.finalize(self, file.close)
        return file

    def _write(self, segment: Block) -> None:
        """Append one whole segment to the file: its X, then its y, then its weights."""
        file = self._file or self._open()
        try:
            for array in arrays_of(segment):
                data = _bytes(array)
                while data:
                    data = data[file.write(data) :]
        except OSError as error:
            file.close()
            raise self._refused(error) from error
        self._segments += 1

    def _refused(self, error: OSError) -> InputError:
        size = self.rows * row_bytes(self._latest) / 1e6
        return InputError(
            f"The rows cannot be kept in the folder {self._folder!r} ({error.strerror}), where reading them in random "
            f"order takes more than {size:,.0f} MB. Make room there, or name another folder in the environment "
            "variable TMPDIR."
        )

    def _read(self, file: FileIO, segment: int, row: int, out: Block) -> None:
        """Fill `out` with rows of a segment from `row` on."""
        at = segment * self._segment * row_bytes(out)
        try:
            with self._reading:
                for array in arrays_of(out):
                    size = array[:1].nbytes
                    file.seek(at + row * size)
                    _fill(file, array)
                    at += self._segment * size
        except OSError as error:
            raise InputError(
                f"The rows kept in the folder {self._folder!r} cannot be read back ({error.strerror}): name a folder "
                "on another disk in the environment variable TMPDIR."
            ) from error

    def _gather(self, file: FileIO, segments: NDArray[np.int64], out: Block) -> Block:
        """Fill `out` with segments of the file, and with the rows behind it if there is room for them."""
        at = 0
        for segment in segments.tolist():
            self._read(file, segment, 0, out.part(slice(at, at + self._segment)))
            at += self._segment
        _copy(self._latest.part(slice(out.rows - at)), out.part(slice(at, None)))
        return out

    def _from_file(
        self, file: FileIO, shuffle: Shuffle, rng: np.random.Generator | None, skip: int
    ) -> Iterator[Window]:
        """Windows of segments of the file, the next one read by a thread while the caller works on one."""
        segments = np.arange(self._segments)
        if shuffle:
            assert rng is not None
            segments = permutations(self._segments, rng)[0]
        parts = np.array_split(segments, self._window_count)
        sizes = [part.size * self._segment for part in parts]
        sizes[-1] += self._filled
        first = 0
        while first < len(parts) and sizes[first] <= skip:
            drawn(sizes[first], shuffle, rng)
            skip -= sizes[first]
            first += 1
        if first == len(parts):
            return
        # Memory that has been used before is filled almost twice as fast as new memory.
        rooms = [room(self._latest, max(sizes)) for _ in sizes[first : first + 2]]
        with Team(2, "linnet-reader") as team:  # which waits for its end, however this one ends
            coming: Future[Block] | None = None
            for k in range(first, len(parts)):
                place = rooms[k % len(rooms)].part(slice(sizes[k]))
                block = self._gather(file, parts[k], place) if coming is None else coming.result()
                if k + 1 < len(parts):
                    coming = team.submit(
                        self._gather, file, parts[k + 1], rooms[(k + 1) % len(rooms)].part(slice(sizes[k + 1]))
                    )
                yield Window(block, drawn(sizes[k], shuffle, rng), skip)
                skip = 0


@lru_cache(maxsize=8)  # short runs are many
def _none(features: int) -> Block:
    return Block(np.empty((0, features)), np.empty(0))


def _bytes(array: Floats) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def _fill(file: FileIO, array: Floats) -> None:
    """Read a whole array; a single read may end early."""
    data = _bytes(array)
    while data:
        count = file.readinto(data)
        if not count:
            raise OSError(None, "it ends too early")
        data = data[count:]


def _copy(block: Block, out: Block) -> None:
    """Copy rows, rounding no number; by tiles where X lies column by column, which is up to twice as fast."""
    for source, target in zip(arrays_of(block), arrays_of(out), strict=True):
        if source.ndim == 1 or source.shape[1] <= TILE[1] or source.strides[1] == source.itemsize:
            np.copyto(target, source, casting="safe")
            continue
        for i in range(0, source.shape[0], TILE[0]):
            for j in range(0, source.shape[1], TILE[1]):
                tile = slice(i, i + TILE[0]), slice(j, j + TILE[1])
                np.copyto(target[tile], source[tile], casting="safe")
