from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import pickle
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import example
from linnet import atomic, checkpoint
from linnet.block import InputError
from linnet.checkpoint import Checkpoint
from linnet.model_file import save as save_model

NAN, INF = float("nan"), math.inf
TINY = 5e-324
SMALL = Checkpoint({"lr": 0.1, "shuffle": True}, "abc", {"step": 3}, {"w": np.array([1.5, -0.0])})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.ckpt"


def same(a: Any, b: Any) -> bool:
    """Equality bit for bit and type for type, NaN being itself and -0.0 not 0.0."""
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return type(b) is float and a.hex() == b.hex()
    return type(a) is type(b) and bool(a == b)


def equal(a: Checkpoint, b: Checkpoint) -> bool:
    return all(same(getattr(a, name), getattr(b, name)) for name in ("settings", "data", "numbers", "arrays"))


def sealed(*parts: bytes) -> bytes:
    """Bytes with a right checksum, as one who wants to deceive would write them."""
    content = b"".join(parts)
    return content + hashlib.sha256(content).digest()


def made(header: Any, raw: bytes = b"") -> bytes:
    """A file with any header."""
    return sealed(b"linnet-checkpoint 2\n", json.dumps(header).encode(), b"\n", raw)


def header(**changes: Any) -> dict[str, Any]:
    return {"settings": {}, "data": "", "numbers": {}, "arrays": {}, **changes}


def with_arrays(raw: bytes, **shapes: Any) -> bytes:
    return made(header(arrays=shapes), raw)


def test_round_trip_is_bit_for_bit(path: Path) -> None:
    """Hard numbers; random states of PCG64, whose words have 128 bits, and of MT19937 go on as they would have."""
    rng = np.random.default_rng(2**100 + 1)
    hard = [NAN, INF, -INF, -0.0, 0.0, TINY, -2.2e-308, 1.7976931348623157e308, 0.1, 1 / 3, 1e22, 1.0]
    payload = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001], dtype=np.uint64).view(np.float64)
    original = Checkpoint(
        {"lr": "auto", "β": [1, 2.5, None, True, {"nested": ["a\nb", "\ud800"]}], "empty": {}},
        "0f" * 32,
        {
            "random": dict(rng.bit_generator.state),
            "hard": hard,
            "integers": [0, -1, 2**127 - 1, -(10**40)],
            "history": [{"epoch": 1, "loss": TINY}, {"epoch": 2, "loss": NAN}, {}],
            "nothing": None,
            "": "",
        },
        {
            "hard": np.array(hard),
            "payload": payload,
            "none": np.empty(0),
            "flat": np.empty((3, 0, 2)),
            "square": np.arange(6.0).reshape(2, 3),
            "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "scalar": np.array(-0.0),
        },
    )
    original.save(path)
    loaded = Checkpoint.load(path)
    assert equal(original, loaded)
    loaded.arrays["square"][0, 0] = 7  # writable
    again = np.random.default_rng()
    again.bit_generator.state = loaded.numbers["random"]
    assert again.random(5).tolist() == rng.random(5).tolist()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats().map(lambda x: NAN if math.isnan(x) else x) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
objects = st.dictionaries(st.text(max_size=5), json_values, max_size=4)
arrays = st.dictionaries(st.text(max_size=5), st.lists(st.floats(), max_size=5).map(np.array), max_size=3)


@given(settings=objects, data=st.text(), numbers=objects, kept=arrays)
def test_anything_round_trips(
    tmp_path_factory: pytest.TempPathFactory, settings: Any, data: str, numbers: Any, kept: Any
) -> None:
    kept = {name: array.astype(np.float64) for name, array in kept.items()}
    path = tmp_path_factory.mktemp("run") / "run.ckpt"
    original = Checkpoint(settings, data, numbers, kept)
    original.save(path)
    assert equal(original, Checkpoint.load(path))
    original.require(settings)
    original.require_data(data)


def test_numbers_of_numpy_become_pythons(path: Path) -> None:
    Checkpoint({"batch_size": np.int64(3), "lr": np.float32(0.5)}, "", {"done": np.bool_(True)}, {}).save(path)
    loaded = Checkpoint.load(path)
    assert same(loaded.settings, {"batch_size": 3, "lr": 0.5})
    assert loaded.numbers == {"done": True}


def test_every_truncation_is_refused(path: Path) -> None:
    SMALL.save(path)
    content = path.read_bytes()
    assert len(content) < 2000
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"(damaged|checksum)"):
            Checkpoint.load(path)
    for more in (b"\0", b"\n", content):
        path.write_bytes(content + more)
        with pytest.raises(InputError, match="damaged"):
            Checkpoint.load(path)
    path.write_bytes(content)
    assert equal(SMALL, Checkpoint.load(path))


def test_every_flipped_bit_is_refused(path: Path) -> None:
    SMALL.save(path)
    content = bytearray(path.read_bytes())
    for bit in range(8 * len(content)):
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        with pytest.raises(InputError, match="damaged"):
            Checkpoint.load(path)
        content[bit // 8] ^= 1 << bit % 8


class Trap:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_other_files_are_refused_and_none_is_executed(path: Path, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    trap = pickle.dumps(Trap(mark))
    save_model(example(2), path)
    model = path.read_bytes()
    for content in (
        trap,
        model,
        b"",
        b"\n",
        b"a,b\n1,2\n",
        bytes(10_000),
        b"linnet-checkpoint",
        b"linnet_checkpoint 1",
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"run\.ckpt is not a checkpoint of Linnet"):
            Checkpoint.load(path)
    for content in (sealed(b"linnet-checkpoint 2\n", trap), sealed(b"linnet-checkpoint 2\n{}\n", trap)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="makes no sense"):
            Checkpoint.load(path)
    assert not mark.exists()
    pickle.loads(trap)
    assert mark.exists()  # so the trap works


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for bad, words in ((tmp_path, "is not a file"), (tmp_path / "absent", "There is no checkpoint")):
        with pytest.raises(InputError, match=words):
            Checkpoint.load(bad)
    (tmp_path / "file").touch()
    for odd in (tmp_path / "file" / "x", str(tmp_path / "nul\0")):
        with pytest.raises(InputError, match="Cannot read"):
            Checkpoint.load(odd)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are files only on Unix")
def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(InputError, match="is not a file"):
        Checkpoint.load(path)


@pytest.mark.parametrize(
    "content",
    [
        sealed(b"linnet-checkpoint 2"),
        sealed(b"linnet-checkpoint 2\n\n"),
        sealed(b"linnet-checkpoint \n{}\n"),
        sealed(b"linnet-checkpoint 0\n", json.dumps(header()).encode(), b"\n"),
        sealed(b"linnet-checkpoint 2\n", b"[" * 100_000, b"\n"),
        sealed(b"linnet-checkpoint 2\n", b'{"numbers":' * 100_000 + b"1" + b"}" * 100_000, b"\n"),
        sealed(b"linnet-checkpoint 2\n", b"1" * 100_000, b"\n"),
        sealed(b"linnet-checkpoint 2\n", b"\xff\xfe{}", b"\n"),
        sealed(b"linnet-checkpoint " + b"9" * 100_000 + b"\n{}\n"),
        made([]),
        made({}),
        made(header(more={})),
        made(header(data=3)),
        made(header(numbers=None)),
        made(header(arrays=[])),
        made(header(), b"12345678"),
        with_arrays(b"", w=[2**62]),
        with_arrays(b"", w=[10**30, 10**30]),
        with_arrays(b"", w=[0, 2**62]),
        with_arrays(b"", w=[0, 2**70]),
        with_arrays(bytes(8), w=[1] * 1000),
        with_arrays(b"", w=[1] * 100_000),
        with_arrays(bytes(8), w=[-1]),
        with_arrays(bytes(8), w=[-1, -1]),
        with_arrays(bytes(8), w=[True]),
        with_arrays(bytes(8), w=[1.0]),
        with_arrays(bytes(8), w=["1"]),
        with_arrays(bytes(8), w=1),
        with_arrays(bytes(8), w=None),
        with_arrays(bytes(8), a=[1], b=[1]),
        with_arrays(bytes(7), w=[1]),
        with_arrays(bytes(9), w=[1]),
        with_arrays(bytes(16), w=[1]),
    ],
    ids=lambda content: content[18:70],
)
def test_a_hostile_file_is_refused_and_takes_no_memory(path: Path, content: bytes) -> None:
    """Its checksum is right, and what it claims is absurd."""
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="makes no sense"):
            Checkpoint.load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20 + 50 * len(content)


def test_a_huge_file_is_refused_unread(path: Path) -> None:
    path.write_bytes(b"linnet-checkpoint 2\n")
    os.truncate(path, 2**40)  # a hole, which takes no room on most disks
    with pytest.raises(InputError, match="larger than 2 GiB"):
        Checkpoint.load(path)


def test_what_would_be_refused_is_not_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SMALL.save(path)
    size = path.stat().st_size
    monkeypatch.setattr(checkpoint, "LARGEST", size)
    SMALL.save(path)
    monkeypatch.setattr(checkpoint, "LARGEST", size - 1)
    with pytest.raises(InputError, match="would be larger"):
        SMALL.save(path)


def test_a_newer_version_asks_for_an_upgrade(path: Path) -> None:
    """Of a newer version only the first line and the checksum are known."""
    path.write_bytes(sealed(b"linnet-checkpoint 12\n", b"whatever \xff"))
    with pytest.raises(InputError, match=r"newer Linnet \(version 12 .*upgrade"):
        Checkpoint.load(path)


def test_an_older_version_is_refused(path: Path) -> None:
    path.write_bytes(sealed(b"linnet-checkpoint 1\n", json.dumps(header()).encode(), b"\n"))
    with pytest.raises(InputError, match=r"older Linnet \(version 1 .*begin anew"):
        Checkpoint.load(path)


def no_room(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class FullDisk:
    """A file that takes some bytes and no more."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, content: bytes) -> None:
        self.file.write(content[:20])
        self.file.flush()
        no_room()


@pytest.mark.parametrize("moment", ["write", "fsync", "rename"])
@pytest.mark.parametrize("before", [True, False], ids=["second", "first"])
def test_a_full_disk_leaves_the_old_checkpoint(
    path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, before: bool
) -> None:
    """At whatever moment it is noticed; a sentence says so, and the temporary file is gone."""
    if before:
        SMALL.save(path)
    with monkeypatch.context() as patch:
        if moment == "write":
            usual = Path.open
            patch.setattr(Path, "open", lambda self, mode="r": FullDisk(usual(self, mode)))
        elif moment == "fsync":
            patch.setattr(os, "fsync", no_room)
        else:
            patch.setattr(Path, "replace", no_room)
        with pytest.raises(InputError, match=r"Cannot write the checkpoint .*run\.ckpt: No space left .*make room"):
            replace(SMALL, data="new").save(path)
    assert list(path.parent.iterdir()) == ([path] if before else [])
    if before:
        assert equal(SMALL, Checkpoint.load(path))


def test_an_interrupt_leaves_the_old_checkpoint(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    SMALL.save(path)
    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_sync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            replace(SMALL, data="new").save(path)
    assert list(path.parent.iterdir()) == [path]
    assert equal(SMALL, Checkpoint.load(path))


def test_saving_replaces_and_leaves_nothing_else(path: Path) -> None:
    SMALL.save(path)
    replace(SMALL, data="new").save(path)
    assert Checkpoint.load(path).data == "new"
    assert list(path.parent.iterdir()) == [path]


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no folder .*absent"):
        SMALL.save(tmp_path / "absent" / "run.ckpt")


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"lr": 0.2}, "another lr: it was 0.1, and now it is 0.2"),
        ({"lr": "auto"}, "another lr: it was 0.1, and now it is 'auto'"),
        ({"seed": 1, "lr": 0.2}, "another lr"),
        ({"size": 32}, "another size: it was 64, and now it is 32"),
        ({"start": None}, r"another start: it was \[0.5, NaN\], and now it is None".replace("NaN", "nan")),
        ({"start": [0.5, 0.0]}, "another start"),
        ({"delta": 1.0}, "another delta: it was not set, and now it is 1.0"),
        ({"names": [f"x{i}" for i in range(300)] + ["y"]}, r"was ….*'x299', 'x300'\], and now it is ….*'x299', 'y'\]"),
        ({"names": ["x0"]}, r"another names: it was \['x0', 'x1'.*…, and now it is \['x0'\]"),
    ],
)
def test_the_first_setting_that_differs_is_named(path: Path, now: dict[str, Any], words: str) -> None:
    settings = {"lr": 0.1, "seed": 0, "size": 64, "start": [0.5, NAN], "names": [f"x{i}" for i in range(301)]}
    Checkpoint(settings, "abc", {}, {}).save(path)
    kept = Checkpoint.load(path)
    with pytest.raises(InputError, match=words) as caught:
        kept.require({**settings, **now})
    assert len(str(caught.value)) < 350
    assert "remove the checkpoint to begin anew" in str(caught.value)


def test_a_setting_that_is_gone_is_named() -> None:
    with pytest.raises(InputError, match="another shuffle: it was True, and now it is not set"):
        SMALL.require({"lr": 0.1})


def test_other_rows_are_refused() -> None:
    SMALL.require_data("abc")
    with pytest.raises(InputError, match=r"other data\. The rows, their order or their weights"):
        SMALL.require_data("abd")


def test_equal_settings_may_be_written_differently(path: Path) -> None:
    """Tuples are lists, NumPy's numbers Python's, 1 is 1.0 and NaN is itself."""
    Checkpoint({"start": (1.0, 2.0), "lr": 1, "x": NAN, "size": np.int64(3)}, "abc", {}, {}).save(path)
    Checkpoint.load(path).require({"size": 3, "start": [1.0, 2.0], "lr": np.float64(1.0), "x": NAN})


def test_a_run_goes_on_from_its_own_checkpoint_or_begins(path: Path) -> None:
    assert Checkpoint.prepare(path, SMALL.settings, True) is None
    assert Checkpoint.prepare(path, SMALL.settings, False) is None
    assert not path.exists()
    SMALL.save(path)
    kept = Checkpoint.prepare(str(path), SMALL.settings, True)
    assert kept is not None
    assert equal(kept, SMALL)
    with pytest.raises(InputError, match=r"run\.ckpt' exists already: resume from it .*, or remove it to begin anew"):
        Checkpoint.prepare(path, SMALL.settings, False)
    with pytest.raises(InputError, match=r"Cannot resume from '.*run\.ckpt'\. .* another lr: it was 0\.1"):
        Checkpoint.prepare(path, {**SMALL.settings, "lr": 0.2}, True)
    with pytest.raises(InputError, match="it is a folder"):
        Checkpoint.prepare(path.parent, SMALL.settings, True)
    with pytest.raises(InputError, match="there is no folder"):
        Checkpoint.prepare(path.parent / "absent" / "run", SMALL.settings, True)


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a,b\n1,2\n", "choose another name"), (b"", "choose another name"), (b"linnet-checkpoint 2\nx", "damaged")],
)
def test_what_stands_in_the_way_is_told_by_what_it_is(path: Path, content: bytes, said: str, resume: bool) -> None:
    """Nobody is told to remove what is no checkpoint."""
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as refused:
        Checkpoint.prepare(path, {}, resume)
    assert ("remove" in str(refused.value)) == content.startswith(b"linnet-checkpoint ")
    assert path.read_bytes() == content
