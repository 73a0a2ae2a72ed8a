"""Spool: every row once, in an order that does not depend on how the rows came, and nothing left behind."""

from __future__ import annotations

import errno
import gc
import os
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnet.block import Block, InputError
from linnet.design import Design
from linnet.sources import spool as module
from linnet.sources.arrays import ArraySource
from linnet.sources.source import Source
from linnet.sources.spool import Spool
from linnet.sources.window import Shuffle, Window, arrays_of
from reference_sgd import permutation

BATCH = 8
SHUFFLES: tuple[Shuffle, ...] = (True, "pieces", False)
FILES = Path("/proc/self/fd")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and windows so small that a few thousand rows make many of them."""
    monkeypatch.setattr(module, "SEGMENT", 1000)
    monkeypatch.setattr(module, "WINDOW", 10_000)


@pytest.fixture(autouse=True, scope="module")
def _what_was_there_before() -> Iterator[None]:
    """Is not looked through again after each test, which took longer than all tests of this file."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    """No thread outlives a test, and no file that it opened."""
    files = open_files()
    yield
    gc.collect()
    assert readers() == []
    assert open_files() == files


def open_files() -> int:
    return len(list(FILES.iterdir())) if FILES.exists() else 0


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("linnet")]


def table(rows: int, features: int = 3, dtype: Any = np.float64, *, weighted: bool = False) -> Block:
    """Rows that tell their number: y is it, and X follows from it."""
    y = np.arange(rows, dtype=dtype)
    X = (y[:, None] + np.arange(features) / 8).astype(dtype)
    return Block(X, y, 1.0 + y.astype(np.float64) % 3 if weighted else None)


def part(block: Block, rows: slice, order: Any = "C") -> Block:
    assert block.y is not None
    X = np.asarray(block.X[rows], order=order)
    return Block(X, block.y[rows], None if block.weight is None else block.weight[rows])


def spooled(block: Block, cuts: list[int] | None = None, memory: int = 4000, order: Any = "C") -> Spool:
    spool = Spool(block.features, batch_size=BATCH, hashed=True, memory=memory)
    edges = [0, *(cuts or []), block.rows]
    for i, j in pairwise(edges):
        spool.add(part(block, slice(i, j), order))
    return spool


def visits(window: Window) -> Any:
    """The rows of a Window in the order of their visits."""
    rows = window.order if window.order.size else np.arange(window.block.rows)
    return rows[window.at :]


def visited(spool: Spool, shuffle: Shuffle, skip: int = 0, seed: int = 5) -> Any:
    """The numbers of all rows in the order of their visits; each must be as it was put in."""
    seen = [np.empty(0)]
    for window in spool.windows(shuffle, np.random.default_rng(seed), skip):
        block, rows = window.block, visits(window)
        assert block.y is not None
        assert block.X.flags.c_contiguous
        assert np.array_equal(block.X, block.y[:, None] + np.arange(block.features) / 8)
        if spool.weighted:
            assert block.weight is not None
            assert (block.weight == 1.0 + block.y % 3).all()
        else:
            assert block.weight is None
        seen.append(block.y[rows])
    return np.concatenate(seen)


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rows", "on_disk"), [(1, False), (64, False), (100, False), (777, True), (3001, True)])
def test_every_row_once_and_in_another_order_next_time(rows: int, on_disk: bool, weighted: bool, shuffle: Any) -> None:
    with spooled(table(rows, weighted=weighted), memory=4001) as spool:
        assert (spool.rows, spool.features, spool.on_disk, spool.weighted) == (rows, 3, on_disk, weighted)
        rng = np.random.default_rng(1)
        orders = []
        for _ in range(2):
            order = [w.block.y[visits(w)] for w in spool.windows(shuffle, rng) if w.block.y is not None]
            orders.append(np.concatenate(order))
            assert np.array_equal(np.sort(orders[-1]), np.arange(rows))
        if shuffle is False:
            assert np.array_equal(orders[0], np.arange(rows))
        elif rows > 100:
            assert not np.array_equal(orders[0], orders[1])
            assert not np.array_equal(orders[0], np.arange(rows))


@given(
    cuts=st.lists(st.integers(0, 900), max_size=6).map(sorted),
    order=st.sampled_from("CF"),
    weighted=st.booleans(),
    shuffle=st.sampled_from(SHUFFLES),
    memory=st.sampled_from([1, 4000, 1 << 20]),
)
def test_the_partition_into_blocks_changes_nothing(
    cuts: list[int], order: Any, weighted: bool, shuffle: Any, memory: int
) -> None:
    block = table(900, weighted=weighted)
    with spooled(block, cuts, memory, order) as cut, spooled(block, memory=memory) as whole:
        assert np.array_equal(visited(cut, shuffle), visited(whole, shuffle))
        assert cut.digest == whole.digest == Spool.over(block, hashed=True).digest
        assert cut.weight_total == whole.weight_total == (block.weight.sum() if block.weight is not None else 900)
        assert cut.shuffled_by(shuffle) == whole.shuffled_by(shuffle)


def test_digest_tells_tables_apart() -> None:
    base = table(50)
    swapped = np.arange(50)
    swapped[[3, 4]] = [4, 3]
    assert base.y is not None
    one = base.y.copy()
    one[7] = np.nextafter(7.0, 8.0)
    X = base.X.copy()
    X[49, 2] *= -1
    others = [
        base,
        Block(base.X[swapped], base.y[swapped]),
        Block(base.X, one),
        Block(X, base.y),
        Block(base.X, base.y, np.ones(50)),
        Block(base.X, base.y, np.full(50, 2.0)),
        table(51),
        Block(base.X.reshape(50, 3)[:, :2], base.y),
        Block(base.X.astype(np.float32), base.y),
        Block(base.X.reshape(25, 6), base.y[:25]),
        Block(np.zeros((50, 1)), base.y),
        Block(np.zeros((50, 2), np.float32), base.y),
    ]
    assert len({Spool.over(block, hashed=True).digest for block in others}) == len(others)
    with pytest.raises(ValueError, match="hashed=True"):
        Spool.over(base).digest  # noqa: B018


@pytest.mark.parametrize("shuffle", SHUFFLES)
@pytest.mark.parametrize("memory", [1 << 20, 4000])
def test_skipping_is_continuing(shuffle: Any, memory: int) -> None:
    with spooled(table(1203), memory=memory) as spool:
        whole = visited(spool, shuffle)
        ends = np.cumsum([w.block.rows for w in spool.windows(shuffle, np.random.default_rng(5))])
        near = (ends[:, None] + [-1, 0, 1]).ravel()
        for skip in {0, 1, 7, 600, 1202, 1203, *near[near <= 1203].tolist()}:
            assert np.array_equal(visited(spool, shuffle, skip), whole[skip:])


@pytest.mark.parametrize("memory", [1 << 20, 4000])
def test_skipping_leaves_the_random_numbers_where_reading_does(memory: int) -> None:
    with spooled(table(1203), memory=memory) as spool:
        after = set()
        for skip in (0, 500, 1203):
            rng = np.random.default_rng(9)
            for _ in spool.windows(True, rng, skip):
                pass
            after.add(rng.integers(1 << 60))
        assert len(after) == 1


def test_windows_that_are_done_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with spooled(table(3000)) as spool:
        read: list[int] = []
        reading = Spool._read

        def noted(self: Spool, file: Any, segment: int, *rest: Any) -> None:
            read.append(segment)
            reading(self, file, segment, *rest)

        monkeypatch.setattr(Spool, "_read", noted)
        sizes = [w.block.rows for w in spool.windows(True, np.random.default_rng(0))]
        count = len(read)
        read.clear()
        list(spool.windows(True, np.random.default_rng(0), skip=sum(sizes[:-1])))
        assert 0 < len(read) <= count // len(sizes) + 1
        read.clear()
        assert list(spool.windows(True, np.random.default_rng(0), skip=3000)) == []
        assert read == []


def test_in_memory_one_permutation_is_drawn_and_nothing_else() -> None:
    spool = Spool.over(table(100))
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    (window,) = spool.windows(True, ours)
    assert window.order.tolist() == permutation(theirs, 100)
    (window,) = spool.windows("pieces", ours)
    pieces = [range(64), range(64, 100)]
    assert window.order.tolist() == [row for k in permutation(theirs, 2) for row in pieces[k]]
    (window,) = spool.windows(True, ours, epochs=3)
    assert window.order.tolist() == [row for _ in range(3) for row in permutation(theirs, 100)]
    (window,) = spool.windows(False, ours)
    assert window.order.size == 0
    assert ours.integers(1 << 60) == theirs.integers(1 << 60)


@pytest.mark.parametrize("rows", [700, 1000, 1024, 1500, 2999])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_only_the_last_minibatch_can_be_short(rows: int, shuffle: Any) -> None:
    with spooled(table(rows)) as spool:
        sizes = [w.block.rows for w in spool.windows(shuffle, np.random.default_rng(0))]
        assert sum(sizes) == rows
        assert all(size % BATCH == 0 for size in sizes[:-1])
        assert max(sizes) <= 2 * min(sizes)  # no window has too few rows to mix
        assert max(sizes) * 32 <= 10_000 + 1000


def test_a_minibatch_larger_than_everything() -> None:
    block = table(500)
    spool = Spool(3, batch_size=10**12, memory=1000)
    spool.add(block)
    assert not spool.on_disk
    assert np.array_equal(np.sort(visited(spool, True)), np.arange(500))
    with Spool(3, batch_size=300, memory=1000) as spool:
        for i in range(0, 500, 7):
            spool.add(part(block, slice(i, i + 7)))
        assert spool.on_disk
        assert [w.block.rows for w in spool.windows(False, np.random.default_rng(0))] == [500]
        assert np.array_equal(np.sort(visited(spool, True)), np.arange(500))


def test_rows_of_a_sorted_file_are_spread() -> None:
    n = 20_000
    with spooled(table(n, 1)) as spool:
        windows = 0
        means = np.zeros(n // 400)
        for seed in range(20):
            order = visited(spool, True, seed=seed)
            means += order.reshape(-1, 400).mean(axis=1) / 20
            for window in spool.windows(True, np.random.default_rng(seed)):
                assert window.block.y is not None
                windows += 1
                # of some ten segments, each at a random place: a spread of n/√12/√10 about the middle
                assert abs(window.block.y.mean() - n / 2) < 4.5 * n / np.sqrt(12 * 9)
        assert windows > 20 * 20
        # Over many epochs every part of the epoch sees the whole file: 20 draws of about 10 segments.
        assert np.abs(means - n / 2).max() < 4.5 * n / np.sqrt(12 * 9 * 20)
        # Within a window rows of different segments follow each other.
        (first, *_) = spool.windows(True, np.random.default_rng(0))
        assert first.block.y is not None
        steps = np.abs(np.diff(first.block.y[first.order]))
        assert (steps > 1000).mean() > 0.7


def test_each_row_comes_at_any_time() -> None:
    with spooled(table(1200, 1), memory=100) as spool:
        rng = np.random.default_rng(0)
        places = np.empty((200, 1200))
        for epoch in range(200):
            order = [w.block.y[visits(w)] for w in spool.windows(True, rng) if w.block.y is not None]
            places[epoch, np.concatenate(order).astype(int)] = np.arange(1200)
        behind = 1200 % spool._segment or spool._segment  # which come in the last window
        mean = places[:, :-behind].mean(axis=0)
        assert np.abs(mean - 600).max() < 5 * 1200 / np.sqrt(12 * 200)


@pytest.mark.parametrize("memory", [1 << 20, 4000])
@pytest.mark.parametrize(("x", "y"), [(np.float32, np.float32), (np.float32, np.float64), (np.float64, np.float32)])
def test_numbers_keep_their_types(x: Any, y: Any, memory: int) -> None:
    rng = np.random.default_rng(0)
    X, target, weight = rng.normal(size=(500, 4)).astype(x), rng.normal(size=500).astype(y), rng.random(500)
    with Spool(4, memory=memory) as spool:
        for i in range(0, 500, 100):
            rows = slice(i, i + 100)
            spool.add(Block(np.asfortranarray(X[rows]), target[rows], weight[rows]))
        assert spool.dtype == x
        at = 0
        for window in spool.windows(False, rng):
            block, rows = window.block, slice(at, at + window.block.rows)
            for got, given_ in ((block.X, X), (block.y, target), (block.weight, weight)):
                assert got is not None
                assert got.dtype == given_.dtype
                assert np.array_equal(got, given_[rows])
            at += block.rows
        assert spool.weight_total == pytest.approx(weight.sum(), rel=1e-14)


def test_no_number_is_rounded_when_a_later_block_is_wider() -> None:
    spool = Spool(2)
    spool.add(table(5, 2, np.float32))
    with pytest.raises(TypeError, match="Cannot cast"):
        spool.add(table(5, 2, np.float64))
    with pytest.raises(ValueError, match="zip"):
        spool.add(table(5, 2, np.float32, weighted=True))


@pytest.mark.parametrize("shape", [(5, 100), (3000, 70), (2048, 33), (1025, 32)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_columns_are_turned_into_rows(shape: tuple[int, int], dtype: Any) -> None:
    X = np.random.default_rng(0).normal(size=shape).astype(dtype)
    block = Block(np.asfortranarray(X), X[:, 0].copy())
    for spool in (Spool.over(block), Spool(shape[1])):
        if not spool.rows:
            spool.add(block)
        (window,) = spool.windows(False, np.random.default_rng(0))
        assert window.block.X.flags.c_contiguous
        assert np.array_equal(window.block.X, X)


@pytest.mark.parametrize("few", [True, False])
def test_over_takes_contiguous_rows_as_they_lie(few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those with gaps between them too, where a copy of them would take much memory."""
    if not few:
        monkeypatch.setattr(module, "HELD", 100 * 6 * 8 // 4)
    block = table(100, 4, weighted=True)
    assert block.y is not None
    for held, shared in (
        (block, True),
        (block.part(slice(10, 90)), True),
        (Block(block.X[::-2], block.y[::-2].copy()), not few),
        (Block(block.X[:, 1:3], block.y), not few),
        (Block(block.X[:, ::2][:, :1], block.y), not few),
        (Block(block.X, np.repeat(block.y, 2)[::2]), not few),
        (Block(block.X, block.y, np.ones(200)[::2]), not few),
        (Block(block.X[:, ::2], block.y), False),
        (Block(np.asfortranarray(block.X), block.y), False),
    ):
        spool = Spool.over(held)
        (window,) = spool.windows(False, np.random.default_rng(0))
        assert np.shares_memory(window.block.X, held.X) == shared
        for had, has in zip(arrays_of(held), arrays_of(window.block), strict=True):
            np.testing.assert_array_equal(has, had)
            assert has.flags.c_contiguous or shared
        assert spool.weight_total == (held.rows if held.weight is None else held.weight.sum())
        assert not spool.on_disk


def test_no_features_and_no_rows() -> None:
    with Spool(0, memory=500) as spool:
        spool.add(Block(np.empty((700, 0)), np.arange(700.0)))
        assert spool.on_disk
        assert np.array_equal(np.sort(visited(spool, True)), np.arange(700))
    spool = Spool(2, hashed=True)
    spool.add(Block(np.empty((0, 2)), np.empty(0)))
    assert (spool.rows, spool.weight_total, spool.sample(10).rows, len(spool.digest)) == (0, 0.0, 0, 64)
    assert list(spool.windows(True, np.random.default_rng(0))) == []


@pytest.mark.parametrize("memory", [1 << 20, 4000])
@pytest.mark.parametrize("weighted", [False, True])
def test_sample_is_spread_evenly(memory: int, weighted: bool) -> None:
    block = table(1003, 3, np.float32, weighted=weighted)
    with spooled(block, memory=memory) as spool:
        for rows, many in ((1, 1), (11, 11), (1003, 1003), (5000, 1003)):
            sample = spool.sample(rows)
            assert sample.rows == many
            assert sample.X.dtype == np.float64
            assert sample.y is not None
            assert np.array_equal(sample.X, sample.y[:, None] + np.arange(3) / 8)
            assert (sample.weight is not None) == weighted
            if sample.weight is not None:
                assert np.array_equal(sample.weight, 1.0 + sample.y % 3)
            if many > 1:
                assert (sample.y[0], sample.y[-1]) == (0.0, 1002.0)
                steps = np.diff(sample.y)
                assert steps.max() - steps.min() <= 1.0
        sample = Spool.over(block).sample(5)
        assert not np.shares_memory(sample.X, block.X)


def test_says_how_it_shuffles() -> None:
    with spooled(table(100), memory=1 << 20) as spool:
        assert [spool.shuffled_by(how) for how in SHUFFLES] == ["rows", "pieces of 64 rows", "none"]
    with spooled(table(3000)) as spool:
        where = "within windows of 13 random segments of 24 rows"  # three minibatches of 8 rows of 32 bytes
        assert [spool.shuffled_by(how) for how in SHUFFLES] == [f"rows {where}", f"pieces of 64 rows {where}", "none"]


@pytest.mark.parametrize("named", [True, False])
def test_the_file_lies_where_it_was_asked_for_and_has_no_name(
    named: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if named:
        monkeypatch.setenv("TMPDIR", str(tmp_path))
    else:
        monkeypatch.delenv("TMPDIR", raising=False)
    with spooled(table(900)) as spool:
        folder = tmp_path if named else Path("/var/tmp")
        assert spool._file is not None
        if named or os.access(folder, os.W_OK):
            assert os.fstat(spool._file.fileno()).st_dev == folder.stat().st_dev
            assert spool._folder == str(folder)
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"nowhere' \(No such file or directory\).*TMPDIR"):
        spooled(table(900))


class Faulty:
    """A file that fails, or takes and gives only a few bytes at a time."""

    def __init__(self, file: Any, *, room: int = 1 << 40, readable: int = 1 << 40) -> None:
        self.file, self.room, self.readable = file, room, readable
        self.close, self.fileno = file.close, file.fileno

    def seek(self, at: int) -> None:
        self.file.seek(at)
        time.sleep(1e-6)  # lets another thread run

    def write(self, data: memoryview) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count: int = self.file.write(data[: min(101, self.room)])
        self.room -= count
        return count

    def readinto(self, data: memoryview) -> int:
        if self.readable <= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        count: int = self.file.readinto(data[:99])
        self.readable -= count
        return count


def faulty(monkeypatch: pytest.MonkeyPatch, **limits: int) -> list[Faulty]:
    import tempfile

    made: list[Faulty] = []
    real = tempfile.TemporaryFile

    def make(*args: Any, **options: Any) -> Any:
        made.append(Faulty(real(*args, **options), **limits))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    return made


def test_short_writes_and_reads_are_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    made = faulty(monkeypatch)
    with spooled(table(900, weighted=True)) as spool:
        assert len(made) == 1
        assert np.array_equal(visited(spool, False), np.arange(900))


def test_a_full_disk_is_refused_and_given_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made = faulty(monkeypatch, room=20_000)
    with pytest.raises(InputError, match=r"No space left on device.*more than [\d,]+ MB.*TMPDIR") as refused:
        spooled(table(900))
    assert str(tmp_path) in str(refused.value)
    assert made[0].file.closed


@pytest.mark.parametrize("readable", [0, 15_000])
def test_what_the_reader_meets_is_raised_here(readable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    faulty(monkeypatch, readable=readable)
    with spooled(table(3000)) as spool, pytest.raises(InputError, match=r"read back \(Input/output error\).*TMPDIR"):
        visited(spool, True)


def test_a_file_that_ends_early() -> None:
    with spooled(table(3000)) as spool:
        assert spool._file is not None
        spool._file.truncate(30_000)
        with pytest.raises(InputError, match="ends too early"):
            visited(spool, False)


def test_stopping_early_stops_the_reader() -> None:
    with spooled(table(3000)) as spool:
        windows = spool.windows(True, np.random.default_rng(0))
        next(windows)
        assert len(readers()) == 1
        windows.close()  # type: ignore[attr-defined]  # it is a generator
        assert readers() == []
        windows = spool.windows(True, np.random.default_rng(0))
        next(windows)
        del windows
        assert readers() == []


def test_the_file_goes_with_the_spool() -> None:
    files = open_files()
    spool = spooled(table(900))
    assert not FILES.exists() or open_files() == files + 1
    spool.close()
    spool.close()
    assert open_files() == files
    with pytest.raises(ValueError, match="closed"):
        visited(spool, True)
    spool = spooled(table(900))  # closed by nobody; a ResourceWarning would be an error
    del spool
    gc.collect()
    assert open_files() == files


def test_two_readers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    faulty(monkeypatch)
    with spooled(table(3000)) as spool:
        whole = visited(spool, True)
        outer = []
        for window in spool.windows(True, np.random.default_rng(5)):
            assert np.array_equal(visited(spool, True), whole)
            assert spool.sample(50).rows == 50
            assert window.block.y is not None
            outer.append(window.block.y[visits(window)])
        assert np.array_equal(np.concatenate(outer), whole)


def test_arrays_are_held_where_nothing_of_them_is_copied() -> None:
    block = table(20, weighted=True)
    for X in (block.X, np.asfortranarray(block.X), block.X[::2].astype(np.float32)):
        held = ArraySource(X, np.arange(len(X)), weight=np.ones(len(X))).held()
        assert held is not None
        assert np.shares_memory(held.X, X)
        assert held.y is not None
        assert held.y.dtype == np.float64
        assert held.weight is not None
    assert ArraySource(np.arange(6).reshape(3, 2), np.zeros(3)).held() is None
    assert ArraySource(block.X, block.y, missing="drop").held() is None
    assert ArraySource(block.X, block.y, missing="mean").held() is None


def test_a_source_holds_nothing_unless_it_says_so() -> None:
    class Stream(Source):
        design = Design.numbers(["x1"], "error", from_array=True)
        target = "y"
        rows = None

        def blocks(self) -> Iterator[Block]:
            yield table(2, 1)

    assert Stream().held() is None
