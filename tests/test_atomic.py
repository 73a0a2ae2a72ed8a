from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest

from linnet.atomic import check_apart, check_output, column_writer, replacing
from linnet.block import InputError


def test_success_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")
    path.chmod(0o640)
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be synced")
def test_a_file_is_on_the_disk_before_its_name_and_its_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut could leave an empty file under the name, or the old one though the work was done."""
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        done.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        sync(descriptor)

    def record_replace(source: Path, target: Path) -> None:
        done.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    with replacing(tmp_path / "out") as temporary:
        temporary.write_text("new")
    assert done == ["sync file", "replace", "sync folder"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failure_keeps_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out.txt"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_of_a_new_file_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    with replacing(tmp_path / "out") as temporary:
        temporary.touch()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_text("old")
    (tmp_path / "link").symlink_to(Path("folder") / "real")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "real").read_text() == "new"


@pytest.mark.skipif(not Path(os.devnull).is_char_device(), reason="devices are files only on Unix")
def test_a_device_is_written_to_and_never_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with replacing(os.devnull) as temporary:
        temporary.write_text("gone")
    assert Path(os.devnull).is_char_device()
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == Path(os.devnull) and mode & os.W_OK))
    with pytest.raises(InputError, match="no permission to write there"):
        check_output(os.devnull)


def test_bad_outputs_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.gif.* must be one of \.png, \.svg"):
        check_output(tmp_path / "x.gif", (".svg", ".png"))
    with pytest.raises(InputError, match="there is no folder"):
        check_output(tmp_path / "absent" / "x.png")
    with pytest.raises(InputError, match="it is a folder"):
        check_output(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="there is no folder"):
        check_output(tmp_path / "file" / "x")
    assert check_output(tmp_path / "X.PNG", (".png",)) == (tmp_path / "X.PNG").resolve()


def test_names_that_no_file_can_have_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name in ("nul\0", "x" * 5000, str(tmp_path / "a")):
        with pytest.raises(InputError, match=r"^There can be no file '.*; choose another name\.$"):
            check_output(name)
    with pytest.raises(InputError, match="There can be no file"):
        check_apart({"data": tmp_path / "a"})


def test_one_file_is_not_for_two_purposes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("m")
    check_apart({"model": "m", "figure": "m.png", "checkpoint": None}, ["d.csv", "d.csv"])
    check_apart({"model": None}, ["m"])
    for same in ("m", tmp_path / "m", "folder/../m", "link"):
        with pytest.raises(InputError, match=r"^The model and the checkpoint are both .*: give one of them another"):
            check_apart({"model": "m", "checkpoint": same})


def test_what_is_read_is_not_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the file is called: by a path from elsewhere, a symbolic link, or a second name."""
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("a")
    Path("b.csv").write_text("a")  # another file, with the same content
    Path("soft.csv").symlink_to("a.csv")
    Path("hard.csv").hardlink_to("a.csv")
    check_apart({"model": "b.csv", "figure": "c.csv"}, ["a.csv", "soft.csv"])
    check_apart({"model": "c.csv"}, ["absent/a.csv"])
    with pytest.raises(InputError, match=r"^Cannot write the model to a.csv, which this command reads: choose another"):
        check_apart({"figure": "c.csv", "model": "a.csv"}, ["b.csv", "a.csv"])
    for one, other in [("soft.csv", "a.csv"), ("a.csv", "soft.csv"), ("hard.csv", "soft.csv"), ("./a.csv", "hard.csv")]:
        with pytest.raises(InputError, match=rf"to {one}, which this command reads as {other}: choose another name"):
            check_apart({"model": one}, ["b.csv", other])


@pytest.mark.skipif(os.name != "posix", reason="devices are files only on Unix")
def test_a_terminal_is_read_and_written(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(os.devnull)
    check_apart({"predictions": "/dev/zero"}, [tmp_path / "a"])


@pytest.mark.parametrize("given", [OSError(errno.EFBIG, "File too large"), OSError(errno.ENOSPC, "full", "temporary")])
def test_an_error_of_writing_names_the_file(tmp_path: Path, given: OSError) -> None:
    path = tmp_path / "out.txt"

    def fail() -> None:
        with replacing(path) as temporary:
            raise OSError(given.errno, given.strerror, given.filename and str(temporary))

    with pytest.raises(OSError, match=r"too large|No space left") as caught:
        fail()
    assert (caught.value.errno, caught.value.filename) == (given.errno, str(path))


def test_an_error_of_another_file_keeps_its_name(tmp_path: Path) -> None:
    def fail() -> None:
        with replacing(tmp_path / "out.txt"):
            raise FileNotFoundError(errno.ENOENT, "gone", "elsewhere")

    with pytest.raises(FileNotFoundError) as caught:
        fail()
    assert caught.value.filename == "elsewhere"


def test_no_permission_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To replace a file the folder must be writable, whatever the file itself allows."""
    (tmp_path / "old").touch()
    forbidden = tmp_path.resolve()
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == forbidden and mode & os.W_OK))
    for name in ("new", "old"):
        with pytest.raises(InputError, match=rf"Cannot write .*{name}: no permission to write there"):
            check_output(tmp_path / name)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_read_back_bit_for_bit(tmp_path: Path, suffix: str) -> None:
    values = np.array([0.1, -1e-300, 5e-324, 1.7976931348623157e308, 1 / 3, 1e22, 123456789.123456789])
    with column_writer(tmp_path / f"out{suffix}", ["a", "b"]) as write:
        write([values, -values])
        write([values[:1], values[:1]])
    read = pyarrow.csv.read_csv if suffix == ".csv" else pyarrow.parquet.read_table
    table = read(tmp_path / f"out{suffix}")
    assert table.column_names == ["a", "b"]
    np.testing.assert_array_equal(table["a"].to_numpy(), [*values, values[0]])
    np.testing.assert_array_equal(table["b"].to_numpy(), [*-values, values[0]])


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_any_name_heads_one_column(tmp_path: Path, suffix: str) -> None:
    names = ["a, b", 'the "c"', "d\ne", "plain"]
    with column_writer(tmp_path / f"out{suffix}", names) as write:
        write([np.arange(2.0) + j for j in range(4)])
    path = tmp_path / f"out{suffix}"
    table = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert table.to_dict("list") == {name: [j, j + 1] for j, name in enumerate(names)}


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a current folder cannot be removed")
def test_a_current_folder_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match=r"^Cannot write m\.json: the current folder .* change to another one\.$"):
        check_output("m.json")
    assert check_output(tmp_path / "m.json") == tmp_path / "m.json"
