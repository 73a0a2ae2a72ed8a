from __future__ import annotations

import atexit
import gzip
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyarrow import csv, ipc

import linnet
from linnet.block import InputError
from linnet.design import Design, Feature
from linnet.fitting import fit_source
from linnet.sources import files, open_source, prediction_blocks, tables
from linnet.sources.files import file_table, table_files
from linnet.sources.source import Source
from linnet.sources.tables import TableSource

ROWS = 2500
TABLE = pa.table(
    {
        "x": np.arange(ROWS) * 0.5,
        "kind": [("c", "a", "b")[i % 3] for i in range(ROWS)],
        "on": [i % 2 == 0 for i in range(ROWS)],
        "y": np.arange(ROWS),
    }
)
X = np.column_stack(
    [np.arange(ROWS) * 0.5, np.arange(ROWS) % 3 == 2, np.arange(ROWS) % 3 == 0, np.arange(ROWS) % 2 == 0]
).astype(float)


def compressed(table: pa.Table, path: Path) -> None:
    with pa.output_stream(path, compression="gzip" if path.suffix == ".gz" else "zstd") as stream:
        csv.write_csv(table, stream, csv.WriteOptions(delimiter="\t" if ".tsv" in path.name else ","))


def arrow_file(table: pa.Table, path: Path, opener: Any = ipc.new_file) -> None:
    with opener(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)


def categories(table: pa.Table) -> pa.Table:
    """The same table, its text as a dictionary."""
    return table.set_column(
        table.column_names.index("kind"), "kind", table["kind"].combine_chunks().dictionary_encode()
    )


FORMATS: dict[str, tuple[str, Callable[[pa.Table, Path], Any]]] = {
    "csv": ("t.csv", csv.write_csv),
    "tsv": ("t.tsv", lambda table, path: csv.write_csv(table, path, csv.WriteOptions(delimiter="\t"))),
    "unquoted": ("t.csv", lambda table, path: csv.write_csv(table, path, csv.WriteOptions(quoting_style="none"))),
    "upper case": ("T.CSV", csv.write_csv),
    "gzip": ("t.csv.gz", compressed),
    "zstd": ("t.csv.zst", compressed),
    "tsv, gzip": ("t.tsv.gz", compressed),
    "tsv, zstd": ("t.tsv.zst", compressed),
    "parquet": ("t.parquet", pq.write_table),
    "small row groups": ("t.parquet", lambda table, path: pq.write_table(table, path, row_group_size=70)),
    "parquet dictionary": ("t.parquet", lambda table, path: pq.write_table(categories(table), path)),
    "arrow": ("t.arrow", arrow_file),
    "arrow dictionary": ("t.ipc", lambda table, path: arrow_file(categories(table), path)),
    "arrow stream": ("t.arrow", lambda table, path: arrow_file(table, path, ipc.new_stream)),
    "feather": ("t.feather", pyarrow.feather.write_feather),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 1,024 rows, so that small files have several."""
    monkeypatch.setattr(tables, "VALUES_PER_BLOCK", 1)


def gathered(source: Source) -> tuple[NDArray[Any], NDArray[Any]]:
    """All rows of a source."""
    blocks = list(source.blocks())
    return np.concatenate([b.X for b in blocks]), np.concatenate([b.y for b in blocks if b.y is not None])


def write(path: Path, text: str | bytes) -> Path:
    """A file with this content."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_rows_again_and_again(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    writer(TABLE, tmp_path / name)
    for data in (tmp_path / name, str(tmp_path / name), tmp_path, str(tmp_path / "*.*")):
        source = open_source(data, "y")
        assert source.design.names == ("x", "kind[b]", "kind[c]", "on")
        for _ in range(2):
            found, y = gathered(source)
            np.testing.assert_array_equal(found, X)
            np.testing.assert_array_equal(y, np.arange(ROWS))
    assert source.rows == (None if FORMATS[form][0].lower()[2:5] in {"csv", "tsv"} or form == "arrow stream" else ROWS)
    starts = [(block.start, block.rows) for block in source.blocks()]
    assert starts == [(0, 1024), (1024, 1024), (2048, ROWS - 2048)]


@pytest.mark.parametrize("read", [file_table, lambda path: linnet.fit(path, "y"), table_files])
def test_an_empty_path_is_not_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[str], object]
) -> None:
    """It is what a shell makes of a variable that is not set."""
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("x,y\n1,2\n2,3\n3,5\n")
    with pytest.raises(InputError, match=r"path of the data is empty: name a file, a glob or a folder \('\.'"):
        read("")
    assert read(".") is not None
    assert table_files(Path()) == ["a.csv"]


def test_a_home_that_nobody_has_is_no_file() -> None:
    with pytest.raises(InputError, match=r"There is no file or folder '~nobody-of-that-name/a\.csv'"):
        file_table("~nobody-of-that-name/a.csv")


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet", "arrow", "arrow dictionary"])
def test_several_files_are_one_table(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    for k, (start, rows) in enumerate([(0, 1), (1, 1500), (1501, 0), (1501, ROWS)]):
        part = TABLE[start : start + rows]
        writer(part if k != 1 else part.select(["y", "on", "kind", "x"]), tmp_path / f"{k}{name}")
    write(tmp_path / "notes.txt", "no table")
    for hidden in ("._hidden.csv", "_old.csv"):
        write(tmp_path / hidden, "no table")
    source = open_source(tmp_path, "y")
    np.testing.assert_array_equal(gathered(source)[0], X)
    assert [block.rows for block in source.blocks()] == [1, 1024, 476, 999]


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    csv.write_csv(TABLE, tmp_path / "t.csv")
    np.testing.assert_array_equal(gathered(open_source("~/t.csv", "y"))[0], X)


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    csv.write_csv(TABLE, tmp_path / "t[1].csv")
    np.testing.assert_array_equal(gathered(open_source(tmp_path / "t[1].csv", "y"))[0], X)


@pytest.mark.parametrize("form", ["parquet", "arrow", "arrow stream", "feather"])
def test_an_unused_column_may_come_twice(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    with suppress(ValueError):  # Feather itself refuses it
        writer(
            pa.table([pa.array([1]), pa.array([2]), pa.array([3]), pa.array([4])], ["u", "x", "u", "y"]),
            tmp_path / name,
        )
        assert gathered(open_source(tmp_path / name, "y", features=["x"]))[0].tolist() == [[2]]


def test_number_types_may_differ_between_files(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([1, 2], pa.int8()), "y": [1, 2]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": pa.array([0.1], pa.float32()), "y": [3.5]}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"x": pa.array([0.1]), "y": [3.5]}), tmp_path / "c.parquet")
    found, _ = gathered(open_source(tmp_path, "y"))
    assert found[:, 0].tolist() == [1, 2, float(np.float32(0.1)), 0.1]


@pytest.mark.parametrize("types", [("float32", "float64"), ("float64", "float32")])
def test_the_wider_type_of_two_files_is_that_of_both(tmp_path: Path, types: tuple[str, str]) -> None:
    for name, dtype in zip("ab", types, strict=True):
        pq.write_table(pa.table({"x": np.array([0.1, 0.2], dtype), "y": [3.5, 4.5]}), tmp_path / f"{name}.parquet")
    source = open_source(tmp_path, "y")
    assert {block.X.dtype for block in source.blocks()} == {np.dtype(np.float64)}
    assert gathered(source)[0][:, 0].tolist() == [float(np.dtype(t).type(v)) for t in types for v in (0.1, 0.2)]


def test_float32_stays_float32(tmp_path: Path) -> None:
    pq.write_table(
        TABLE.select(["x", "y"]).cast(pa.schema({"x": pa.float32(), "y": pa.float32()})), tmp_path / "a.parquet"
    )
    assert {block.X.dtype for block in open_source(tmp_path, "y").blocks()} == {np.dtype(np.float32)}


def test_means_are_those_of_all_files(tmp_path: Path) -> None:
    """Of a column that drifts from file to file, which have unlike numbers of rows and of values."""
    x, w = np.arange(600.0) ** 2, 1.0 + np.arange(600) % 3
    there = (np.arange(600) % 7 > 0) & (np.arange(600) > 40)
    table = pa.table({"x": pa.array(x, mask=~there), "w": w, "y": x})
    for k, (start, end) in enumerate([(0, 50), (50, 250), (250, 600)]):
        pq.write_table(table[start:end], tmp_path / f"{k}.parquet")
    (feature,) = open_source(tmp_path, "y", weight="w", missing="mean").design.inputs
    assert feature.fill == pytest.approx((np.average(x[there], weights=w[there]),), rel=1e-14)


@pytest.mark.parametrize("form", [form for form in FORMATS if "dictionary" not in form])
def test_names_with_dots_spaces_and_unicode(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    writer(pa.table({"größe (m)": [1.0, 2.0], "a.b": [3.0, 4.0], "名": [5.0, 6.0], "y": [0, 1]}), tmp_path / name)
    source = open_source(tmp_path / name, "y", features=["名", "a.b", "größe (m)"])
    assert gathered(source)[0].tolist() == [[5, 3, 1], [6, 4, 2]]


GOOD: dict[str, tuple[str | bytes, list[list[float]]]] = {
    "BOM and CRLF": (b"\xef\xbb\xbfx,y\r\n1,2\r\n3,4\r\n", [[1], [3]]),
    "no last newline": ("x,y\n1,2\n3,4", [[1], [3]]),
    "blank lines": ("\nx,y\n\n1,2\n\n\n3,4\n\n", [[1], [3]]),
    "spaces": ("x,y\n 1 , 2\n3 ,4\n", [[1], [3]]),
    "quoted numbers": ('"x","y"\n"1","2"\n"3","4"\n', [[1], [3]]),
    "quoted newlines": ('"x","k\nk",y\n1,"a\nb",2\n3,"c""\r\nd",4\n', [[1, 0], [3, 1]]),
    "truth": ("x,y\ntrue,1\nFALSE,2\nTrue,3\n", [[1], [0], [1]]),
    "exponents": ("x,y\n1e3,1\n-2.5E-3,2\n.5,3\n7.,4\n", [[1e3], [-2.5e-3], [0.5], [7]]),
    "all digits": (f"x,y\n{0.1 + 0.2!r},1\n{2**70},2\n5e-324,3\n", [[0.1 + 0.2], [2.0**70], [5e-324]]),
    "infinite": ("x,y\n1,1\ninf,2\n1e999,3\n", [[1], [np.inf], [np.inf]]),
    "levels": ("k,y\nb,1\na,2\nc c,3\n", [[1, 0], [0, 0], [0, 1]]),
    "age groups": ("k,y\n18-25,1\n26-40,2\n60,3\n", [[0, 0], [1, 0], [0, 1]]),
    "column without a name, unused": (",x,y\n0,1,2\n1,3,4\n", [[1], [3]]),
    "columns of one name, unused": ("u,x,u,y\n0,1,?,2\n1,3,?,4\n", [[1], [3]]),
    "not UTF-8, unused": (b"u,x,y\n\xff,1,2\n\xff,3,4\n", [[1], [3]]),
}


@pytest.mark.parametrize("case", GOOD)
def test_csv_that_is_right(tmp_path: Path, case: str) -> None:
    content, expected = GOOD[case]
    path = write(tmp_path / "t.csv", content)
    features = ["x"] if "unused" in case else None
    assert gathered(open_source(path, "y", features=features))[0].tolist() == expected


@pytest.mark.parametrize("text", ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None", '""', '"NA"'])
def test_spellings_of_missing(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / "t.csv", f"x,k,y\n1,a,1\n{text},a,2\n3,{text},3\n4,b,{text}\n5,b,5\n")
    source = open_source(path, "y", missing="drop")
    assert gathered(source)[0].tolist() == [[1, 0], [5, 1]]
    assert source.dropped == 3


def test_whole_numbers_that_turn_decimal_late(tmp_path: Path) -> None:
    rows = 150_000
    path = write(tmp_path / "t.csv", "x,y\n" + "".join(f"{i},{i}\n" for i in range(rows)) + "0.25,0.5\n")
    found, y = gathered(open_source(path, "y"))
    assert (found[-1, 0], y[-1], len(y)) == (0.25, 0.5, rows + 1)


@pytest.mark.parametrize(
    ("late", "expected"),
    [("2.5", [2.5]), ("u", [0]), ("true", [1]), ("2020-01-01", "dates or times"), ("", "no value in any row")],
)
def test_a_column_that_is_empty_at_first_is_typed_by_its_first_value(tmp_path: Path, late: str, expected: Any) -> None:
    rows = 300_000  # more than the first block
    path = write(tmp_path / "t.csv", "z,x,y\n" + ",1,2\n" * rows + f"{late},7,8\n" + ("t,8,9\n" if late == "u" else ""))
    if isinstance(expected, str):
        with pytest.raises(InputError, match=expected):
            open_source(path, "y", missing="mean" if late == "" else "drop")
    else:
        source = open_source(path, "y", missing="drop")
        found, _ = gathered(source)
        assert source.dropped == rows
        assert found[-1, 0] == (expected[0] if late != "u" else 0)


def test_a_first_file_with_a_header_only(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,k,y\n")
    write(tmp_path / "b.csv", "x,k,y\n1,,2\n,t,3\n4,v,5\n6,u,7\n")
    source = open_source(tmp_path, "y", missing="drop")
    assert gathered(source)[0].tolist() == [[4, 1], [6, 0]]


def test_several_paths_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for k, name in enumerate(["b.csv", "a.csv", "more/c.csv", "more/d.csv"]):
        csv.write_csv(TABLE[k * 600 : (k + 1) * 600], tmp_path / name)
    source = open_source([str(tmp_path / "b.csv"), tmp_path / "a.csv", tmp_path / "more"], "y")
    np.testing.assert_array_equal(gathered(source)[0], X[:2400])
    with pytest.raises(InputError, match=r"'.*a.csv' is named twice"):
        open_source((tmp_path / "a.csv", str(tmp_path / "*.csv")), "y")
    with pytest.raises(InputError, match=r"'.*a.csv' is named twice"):
        open_source([str(tmp_path / "a.csv")] * 2, "y")
    pq.write_table(TABLE, tmp_path / "more" / "d.parquet")
    with pytest.raises(InputError, match=r"'.*b.csv', '.*more' holds tables of several kinds, such as .* and "):
        open_source([tmp_path / "b.csv", tmp_path / "more"], "y")
    with pytest.raises(InputError, match="each must be one, but 3 is none"):
        open_source([tmp_path / "b.csv", 3], "y")


def test_a_header_longer_than_a_block(tmp_path: Path) -> None:
    names = [f"{j}" * 2_000_000 for j in range(2)]
    path = write(tmp_path / "t.csv", ",".join([*names, "y"]) + "\n1,2,3\n4,5,7\n")
    assert gathered(open_source(path, "y", features=names))[0].tolist() == [[1, 2], [4, 5]]


def test_no_file_is_closed_while_arrow_reads_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread went on with the file that was opened next under the same number: rows of that one were lost."""
    path = write(tmp_path / "t.csv", "x,y\n" + "1,2\n" * 1_000_000)
    reading, closed_in_use = 0, False

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal reading
            reading += 1
            try:
                time.sleep(0.02)
                return super().read(size)
            finally:
                reading -= 1

        def close(self) -> None:
            nonlocal closed_in_use
            closed_in_use |= reading > 0
            super().close()

    def opened(file: str, **_: Any) -> pa.PythonFile:
        slow = Slow(Path(file).read_bytes())
        held.add(slow)
        return pa.PythonFile(slow, mode="r")

    held = weakref.WeakSet[Slow]()
    monkeypatch.setattr(pa, "input_stream", opened)
    for _ in range(3):
        open_source(path, "y")
    end = time.monotonic() + 30
    while held and time.monotonic() < end:  # Arrow's thread must not call Python when the interpreter ends
        time.sleep(0.01)
    assert not held
    assert not closed_in_use


@pytest.mark.parametrize("opener", [ipc.new_file, ipc.new_stream])
def test_arrow_files_whose_buffers_are_damaged(tmp_path: Path, opener: Any) -> None:
    """Arrow takes a file's word for where its texts lie: it ended in another error, or in a crash."""
    places = [0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0, 1, 0, 1, 1, 1]
    kinds = pa.DictionaryArray.from_arrays(pa.array(places, pa.int8()), ["u", "v"])
    table = pa.table({"k": kinds, "y": [float(k) for k in range(16)]})
    arrow_file(table, tmp_path / "t.arrow", opener)
    content = (tmp_path / "t.arrow").read_bytes()
    assert content.count(bytes(places)) == 1
    write(tmp_path / "t.arrow", content.replace(bytes(places), bytes([*places[:-1], 77])))
    with pytest.raises(InputError, match=r"'.*t.arrow' cannot be read \(.*out of bounds.*\): it may be .* damaged"):
        open_source(tmp_path / "t.arrow", "y")


def test_one_file_by_two_names_would_count_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    csv.write_csv(TABLE[:5], "a.csv")
    with pytest.raises(InputError, match=r"'a.csv' is named twice \(again as '.*.a.csv'\), so that its rows"):
        open_source(["a.csv", tmp_path / "a.csv"], "y")
    (tmp_path / "latest.csv").symlink_to("a.csv")
    with pytest.raises(InputError, match=r"'.*a.csv' is named twice \(again as '.*latest.csv'\)"):
        open_source(tmp_path, "y")
    assert len(gathered(open_source("latest.csv", "y"))[0]) == 5


def test_a_table_and_its_compressed_copy_would_count_twice(tmp_path: Path) -> None:
    """But for a list, whoever names both means both."""
    paths = [write(tmp_path / "a.csv", "x,y\n1,2\n"), tmp_path / "a.csv.gz"]
    paths[1].write_bytes(gzip.compress(b"x,y\n3,4\n"))
    for path in (tmp_path, tmp_path / "a.csv*"):
        with pytest.raises(InputError, match=r"'.*a.csv' and '.*a.csv.gz' seem to be one table, compressed and not"):
            open_source(path, "y")
    assert gathered(open_source(paths, "y"))[0].tolist() == [[1], [3]]
    assert gathered(open_source(tmp_path / "*.csv", "y"))[0].tolist() == [[1]]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "p.csv")
    for path in (tmp_path / "p.csv", "/dev/null"):
        with pytest.raises(InputError, match=r"pipe or a device, .* read only once.*write it to a file first"):
            open_source(path, "y")


def later(path: Path, by: int = 1) -> None:
    """Let a file seem changed so many nanoseconds later, however coarse the clock of the file system is."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + by))


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet", "arrow"])
def test_a_file_that_changes_between_passes(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    path = tmp_path / name
    writer(TABLE, path)
    source = open_source(path, "y")
    np.testing.assert_array_equal(gathered(source)[0], X)
    writer(TABLE[:2000], path)
    with pytest.raises(InputError, match="changed while it was being read: wait"):
        gathered(source)
    writer(TABLE, path)  # the same again, but who knows
    later(path)
    with pytest.raises(InputError, match="changed while it was being read"):
        gathered(source)


def test_a_file_system_that_makes_up_inodes_is_no_reason_to_refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat, path = Path.stat, tmp_path / "t.csv"
    FORMATS["csv"][1](TABLE, path)
    asked = iter(range(1, 10**6))

    def another(self: Path, **how: Any) -> os.stat_result:
        found = stat(self, **how)
        return os.stat_result((found[0], next(asked), *found[2:]), {"st_mtime_ns": found.st_mtime_ns})

    monkeypatch.setattr(Path, "stat", another)
    np.testing.assert_array_equal(gathered(open_source(path, "y"))[0], X)


def test_a_file_that_changes_before_the_first_pass_or_within_one(tmp_path: Path) -> None:
    for k in range(3):
        csv.write_csv(TABLE, tmp_path / f"{k}.csv")
    source = open_source(tmp_path, "y")
    later(tmp_path / "2.csv")
    with pytest.raises(InputError, match=r"'.*2.csv' changed while"):
        gathered(source)
    path = tmp_path / "0.csv"
    with path.open("a") as log:
        log.write("1,a,true,1\n" * 200_000)
    blocks = open_source(path, "y").blocks()
    next(blocks)
    with path.open("a") as log:
        log.write("1,a,true,1\n")
    with pytest.raises(InputError, match=r"'.*0.csv' changed while"):
        list(blocks)


def test_a_file_cut_short_within_a_pass_is_said_to_have_changed(tmp_path: Path) -> None:
    """Rather than to be damaged, which is what its last row then looks like."""
    path = tmp_path / "t.csv"
    csv.write_csv(pa.concat_tables([TABLE] * 200), path)
    blocks = open_source(path, "y").blocks()
    next(blocks)
    os.truncate(path, path.stat().st_size * 9 // 10 // 4 * 4 + 1)
    with pytest.raises(InputError, match=r"'.*t.csv' changed while"):
        list(blocks)


def test_errors_of_two_passes_do_not_mix_two_files(tmp_path: Path) -> None:
    """Slope 3 in the first pass, -3 in the second: refused by every fit that reads twice."""
    x = np.linspace(0, 1, 3000)
    for options in ({"errors": "hc3"}, {"loss": "huber"}, {"loss": "absolute"}):
        path = tmp_path / "t.csv"
        csv.write_csv(pa.table({"x": x, "y": 3 * x + np.sin(x * 999)}), path)
        source = open_source(path, "y")
        read = source.blocks
        passes: list[int] = []

        def blocks(path: Path = path, passes: list[int] = passes, read: Any = read) -> Any:
            passes.append(1)
            if len(passes) == 2:
                csv.write_csv(pa.table({"x": x[:2000], "y": -3 * x[:2000]}), path)
            return read()

        source.blocks = blocks  # type: ignore[method-assign]
        with pytest.raises(InputError, match=r"'.*t.csv' changed while"):
            fit_source(source, **options)  # type: ignore[arg-type]


# Each: name of the file, its content, options, and what the message must match.
BAD: dict[str, tuple[str, str | bytes, dict[str, Any], str]] = {
    "text in a number column": ("t.csv", "x,y\n1,2\n3,4\nabc,6\n", {}, "'x' holds 'abc' in row 3 of '.*t.csv'"),
    "text in the target": ("t.csv", "x,y\n1,2\n3,4\n5,?\n", {}, "'y' holds '\\?' in row 3 of .*correct that value"),
    "text far down": (
        "t.csv",
        "x,y\n" + "1,2\n" * 300_000 + "1,oops\n",
        {},
        r"'y' holds 'oops' in row 300,001 of '.*t.csv' \(line 300,002\)",
    ),
    "text far down, gzip": (
        "t.csv.gz",
        gzip.compress(b"x,y\n" + b"1,2\n" * 300_000 + b"oops,2\n", 1),
        {},
        r"'x' holds 'oops' in row 300,001 of '.*t.csv.gz' \(line 300,002\)",
    ),
    "text among truth": ("t.csv", "x,y\n" + "true,2\n" * 200_000 + "maybe,1\n", {}, "'maybe' in row 200,001.*true or"),
    "thousands": ("t.csv", 'x,y\n"1,000",2\n"2,500",4\n', {}, "'x' holds '1,000' in row 1"),
    "decimal comma": ("t.csv", 'x,y\n"0,5",2\n"2,5",4\n', {}, "'x' holds '0,5' in row 1"),
    "hexadecimal": ("t.csv", "x,y\n0x10,2\n3,4\n", {}, r"'0x10' in row 1 of .*number is expected: write it in decimal"),
    "later hexadecimal": ("t.csv", "x,y\n1,2\n0x1F,4\n", {}, r"'0x1F' in row 2 .*as in the rows before: write it in"),
    "almost numbers": ("t.csv", "x,y\n" + "1,1\n" * 100 + "u,1\n", {}, r"'u' in row 101 of '.*t.csv' \(line 102\)"),
    "currency": ("t.csv", "x,y\n$1.50,2\n$2.25,4\n", {}, r"'\$1.50' in row 1 .*\(line 2\).*a decimal point"),
    "percent": ("t.csv", "x,y\n5%,2\n6%,4\n", {}, "'x' holds '5%' in row 1"),
    "short row": ("t.csv", "x,y\n1,2\n3\n", {}, r"Row 2 of '.*t.csv' \(line 3\) has 1 columns where the header has 2"),
    "long row": ("t.csv", "x,y\n\n1,2\n3,4,5\n", {}, r"Row 2 of '.*t.csv' \(line 4\) has 3 columns where"),
    "after quoted newlines": ("t.csv", 'x,"y"\n1,"2"\n1,"\n\n"\n3\n', {"missing": "drop"}, r"Row 3 .*\(line 6\)"),
    "short row far down": ("t.csv", "x,y\n" + "1,2\n" * 300_000 + "1\n", {}, r"Row 300,001 .*\(line 300,002\)"),
    "quote never closed": ("t.csv", 'x,y\n1,2\n"3,4\n5,6\n', {}, "Row 2 .*quote that is never closed"),
    "endless quote": ("t.csv", 'x,y\n1,2\n1,"' + "3\n4" * 800_000, {}, "'.*t.csv' has a quote that is never closed"),
    "empty": ("t.csv", "", {}, "'.*t.csv' is empty"),
    "blank": ("t.csv", "\n\n", {}, "'.*t.csv' is empty"),
    "header only": ("t.csv", "x,y\n", {}, "no rows in '.*t.csv'"),
    "quote in the header": ("t.csv", '"x,y\n1,2\n', {}, "'.*t.csv' has a quote in its header that is never closed"),
    "header without newline": ("t.csv", "x,y", {}, "'.*t.csv' is empty"),
    "truncated gzip": ("t.csv.gz", gzip.compress(os.urandom(1 << 16).hex().encode())[:20000], {}, "incomplete or dam"),
    "no gzip": ("t.csv.gz", "x,y\n1,2\n", {}, "'.*t.csv.gz' cannot be read"),
    "no zstd": ("t.csv.zst", "x,y\n1,2\n", {}, "'.*t.csv.zst' cannot be read"),
    "no parquet": ("t.parquet", "x,y\n1,2\n", {}, "'.*t.parquet' cannot be read"),
    "empty parquet": ("t.parquet", "", {}, "'.*t.parquet' cannot be read"),
    "no arrow": ("t.arrow", "x,y\n1,2\n", {}, "'.*t.arrow' cannot be read"),
    "empty arrow": ("t.feather", "", {}, "'.*t.feather' cannot be read"),
    "unknown kind": ("t.xlsx", "x", {}, "'.*t.xlsx' is of an unknown kind.*\\.csv"),
    "used twice": ("t.csv", "x,x,y\n1,2,3\n", {}, "'.*t.csv' has 2 columns named 'x'"),
    "no name": ("t.csv", ",x,y\n1,2,3\n", {}, "Column 1 of '.*t.csv' has no name.*index=False"),
    "semicolons": ("t.csv", "x;y\n1;2\n", {}, r"only 'x;y'\. Its columns seem .* by semicolons: export.*sep=';'\)"),
    "bars": ("t.tsv", "x|y\n1|2\n", {}, r"only 'x\|y'\. Its columns seem .* by vertical bars: export.*sep='\|'\)"),
    "tabs": ("t.csv", "x\ty\n1\t2\n", {}, r"Its columns seem to be separated by tabs: .* must end in \.tsv, so"),
    "commas": ("t.tsv", "x,y\n1,2\n", {}, r"Its columns seem to be separated by commas: .* must end in \.csv, so"),
    "commas, compressed": ("T.TSV.GZ", gzip.compress(b"x,y\n1,2\n"), {}, r"must end in \.csv\.gz, so rename"),
    "tabs and texts": ("t.csv", "a\ty\nx, z\t2\n", {}, r"'.*t.csv' seem .* by tabs: .* must end in \.tsv, so"),
    "semicolons and decimal commas": (
        "t.csv",
        "a;b;y\n1,5;x;2,1\n",
        {},
        "'.*t.csv' seem to be separated by semicolons, and its numbers to have decimal commas: export.*decimal=','",
    ),
    "semicolons and commas": ("t.csv", "a;y\nx, z;2\n", {}, "by semicolons: export it with commas.*sep=';'\\)"),
    "tabs and commas": ("t.csv", "a\ty\n1,5\t2\n", {}, r"by tabs, and .*sep='\\t', decimal=','"),
    "too many values in a single column": ("t.csv", "y\n1,5\n", {}, "has 2 columns where the header has 1: correct"),
    "UTF-16": ("t.csv", "x,y\n1,2\n".encode("utf-16"), {}, "'.*t.csv' is not UTF-8 .* -f UTF-16 -t"),
    "Latin-1 name": ("t.csv", "größe,y\n1,2\n".encode("latin-1"), {}, "'.*t.csv' is not UTF-8"),
    "Latin-1 value": (
        "t.csv",
        "k,y\nblau,1\ngrün,2\n".encode("latin-1"),
        {},
        r"'.*t.csv' is not UTF-8 text in column 'k' of row 2 \(line 3\): save .* -f WINDOWS-1252 -t",
    ),
    "dates": ("t.csv", "d,y\n2020-01-01,2\n2020-01-02,3\n", {}, "'d' of '.*t.csv' holds dates or times"),
    "text target": ("t.csv", "x,y\n1,yes\n2,no\n", {}, "'y' of '.*t.csv' holds text.*0 and 1"),
    "identifier": ("t.csv", "k,y\n" + "".join(f"id{i},1\n" for i in range(1001)), {}, "'k' of .*identifier"),
    "missing": ("t.csv", "x,y\n1,2\n,4\n", {}, "2 rows of '.*t.csv', values are missing: 1 in column 'x'.*row 2"),
    "weight below 0": ("t.csv", "x,w,y\n1,1,2\n2,-1,3\n", {"weight": "w"}, "'w' is -1.0 in row 2 of '.*t.csv'"),
    "weight array": ("t.csv", "x,y\n1,2\n", {"weight": [1.0]}, "weight must be the name of a column"),
    "target array": ("t.csv", "x\n1\n", {"target": [1.0]}, "target must be the name of a column"),
    "target absent": ("t.csv", "x,Y\n1,2\n", {}, "'y' is not a column of '.*t.csv': did you mean 'Y'"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_in_one_paragraph(tmp_path: Path, case: str) -> None:
    name, content, options, message = BAD[case]
    path = write(tmp_path / name, content)
    with pytest.raises(InputError, match=message) as caught:
        gathered(open_source(path, **({"target": "y"} | options)))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    assert not [thread for thread in threading.enumerate() if thread.name == "linnet-reader"]


@pytest.mark.parametrize(("mark", "ending"), [(",", ".tsv"), ("\t", ".csv"), (",", ".tsv.gz"), ("\t", ".Csv.GZ")])
def test_the_ending_that_a_message_names_is_the_right_one(tmp_path: Path, mark: str, ending: str) -> None:
    content = f"x{mark}y\n1{mark}2\n"
    path = write(tmp_path / f"t{ending}", gzip.compress(content.encode()) if len(ending) > 4 else content)
    with pytest.raises(InputError, match="rename") as caught:
        open_source(path, "y")
    (named,) = re.findall(r"must end in (\S+),", str(caught.value))
    assert open_source(path.rename(tmp_path / f"u{named}"), "y").design.names == ("x",)


OF_NO_USE: dict[str, list[str]] = {  # values of a column
    "text": ["a", "b", "c", "d"],
    "one text": ["1", "2", "b", "4"],
    "text far down": [*["1", "2"] * 75_000, "b"],
    "dates": ["2020-01-01"] * 4,
    "other dates": ["01/02/2020"] * 4,
    "hexadecimal": ["1", "0x10", "2", "3"],
    "nothing": [""] * 4,
}


@pytest.mark.parametrize("case", OF_NO_USE)
@pytest.mark.parametrize("role", ["x", "y", "w"])
def test_the_remedy_is_one_for_that_column(tmp_path: Path, case: str, role: str) -> None:
    """Another choice of features helps neither a target nor a weight."""
    values = OF_NO_USE[case]
    if role == "x" and case == "text":
        return
    columns = {name: values if name == role else [str(k % 5) for k in range(1, len(values) + 1)] for name in "xyw"}
    path = write(
        tmp_path / "t.csv",
        "\n".join(["x,y,w,z", *(f"{x},{y},{w},1" for x, y, w in zip(*columns.values(), strict=True))]),
    )
    with pytest.raises(InputError, match=f"'{role}'") as caught:
        gathered(open_source(path, "y", weight="w", missing="drop"))
    message = str(caught.value)
    instead = {"x": "(features=…)", "y": "another target", "w": "weight"}
    assert instead[role] in message.replace("The weight", "")
    if case != "nothing":  # where a sentence is for all of them
        assert [each in message.replace("The weight", "") for each in instead.values()].count(True) == 1


NOT_PLAIN = [
    *("$1.50", "-$1.50", "$ -1.50", "11€", "11 €", "£1,234.50", "¥300", "₹5", "12 kr", "kr 12", "12 zł", "CHF 5"),
    *("11\u00a0407", "11\u202f407,5", "1\u2009000", "\u22125.5", "\u20135", "1’234", "(5.50)", "($5.50)", "5 USD"),
    *("12 %", "1,234", "12‰", "\uff11\uff12", "\uff11.5", "٣٥", "12\uff05"),
]


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_numbers_with_signs_for_people_are_no_categories(tmp_path: Path, text: str) -> None:
    lines = "".join(f'"{text.replace("5", str(k % 10))}",{k}\n' for k in range(30))
    path = write(tmp_path / "t.csv", "x,y\n" + lines)
    with pytest.raises(InputError, match=r"Column 'x' holds .* in row 1 .*a number is expected.*a decimal point"):
        open_source(path, "y")


@pytest.mark.parametrize(("text", "remedy"), [("1,234", "decimal point"), ("12 %", "decimal point"), ("b", "correct")])
@pytest.mark.parametrize("rows", [3, 300_000])
@pytest.mark.parametrize("several", [False, True])
def test_the_place_of_a_value_changes_nothing_about_its_remedy(
    tmp_path: Path, text: str, remedy: str, rows: int, several: bool
) -> None:
    """In the first block, where types are guessed, behind it, and in another file; numbers as Arrow reads them pass."""
    write(tmp_path / "a.csv", "x,y\n+1,1\n 2 ,2\ninf,3\n.5,4\n6.,5\n-7e1,6\n" + "8,7\n" * (rows if not several else 1))
    with (tmp_path / f"{'ab'[several]}.csv").open("a") as file:
        file.write(("x,y\n" + "8,7\n" * (rows - 1) if several else "") + f'"{text}",8\n9,9\n')
    place = rf"row {rows if several else rows + 7:,} of '.*{'ab'[several]}.csv' "
    with pytest.raises(
        InputError, match=rf"'x' holds '{text}' in {place}.*a number is expected as in .*{remedy}.*or fit"
    ):
        gathered(open_source(tmp_path, "y"))


@pytest.mark.parametrize("first", ["1", "0", "-3", "01"])
def test_a_first_file_of_whole_numbers_stands_before_one_of_decimals(tmp_path: Path, first: str) -> None:
    write(tmp_path / "a.csv", f"x,y\n{first},1\n2,3\n")
    write(tmp_path / "b.csv", "y,x\n0.5,2.25\n7e-1,1e30\n,12345678901234567890\n")
    X, y = gathered(open_source(tmp_path, "y", missing="drop"))
    np.testing.assert_array_equal(X[:, 0], [float(first), 2, 2.25, 1e30])
    np.testing.assert_array_equal(y, [1, 3, 0.5, 0.7])


def test_a_first_row_is_held_against_the_files_before(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,z,y\n1,true,2\n")
    for name, row, said in (
        ("b", "red,true,1", "a number is"),
        ("c", "1,2,1", "true or false is"),
        ("d", "1,1,no", "a "),
    ):
        path = write(tmp_path / f"{name}.csv", f"x,z,y\n{row}\n")
        with pytest.raises(
            InputError, match=rf"row 1 of '.*{name}.csv' \(line 2\), where {said}.* as in the files before"
        ):
            gathered(open_source([tmp_path / "a.csv", path], "y"))


@pytest.mark.parametrize("levels", ["R1 R2", "kr EUR", "$ $$", "A+ A-", "1a 2b", "18-25 26-40", "5kg 6kg", "- +"])
def test_real_categories_with_such_signs_stay_categories(tmp_path: Path, levels: str) -> None:
    one, other = sorted(levels.split())
    path = write(tmp_path / "t.csv", f"k,y\n{one},1\n{other},2\n")
    assert open_source(path, "y").design.names == (f"k[{other}]",)


@pytest.mark.parametrize("form", ["parquet", "arrow", "feather"])
def test_truncated_and_garbled_binary_files(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    writer(TABLE, tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for content in (whole[:-1], whole[: len(whole) // 2], whole[:7], whole[len(whole) // 2 :]):
        path = write(tmp_path / name, content)
        with pytest.raises(InputError, match="cannot be read"):
            gathered(open_source(path, "y"))


def test_paths_without_a_table(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"There is no file or folder '.*gone.csv'"):
        open_source(tmp_path / "gone.csv", "y")
    with pytest.raises(InputError, match="No file matches"):
        open_source(tmp_path / "*.csv", "y")
    with pytest.raises(InputError, match=r"The folder '.*empty' holds no table"):
        open_source(tmp_path / "empty", "y")


@pytest.mark.parametrize(
    ("form", "opener"),
    [("csv", "pyarrow.input_stream"), ("parquet", "pyarrow.parquet.ParquetFile"), ("arrow", "pyarrow.OSFile")],
)
def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, opener: str) -> None:
    """As by somebody without permission; whoever runs the tests may have every one."""
    name, writer = FORMATS[form]
    writer(TABLE, tmp_path / name)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    source = open_source(tmp_path / name, "y")
    monkeypatch.setattr(opener, forbidden)
    for read in (lambda: open_source(tmp_path / name, "y"), lambda: gathered(source)):
        with pytest.raises(InputError, match=rf"'.*{name}' must not be read: its permissions forbid it"):
            read()


@pytest.mark.parametrize("form", ["csv", "parquet", "arrow"])
def test_files_must_agree_in_columns(tmp_path: Path, form: str) -> None:
    name, writer = FORMATS[form]
    writer(TABLE, tmp_path / f"a{name}")
    writer(TABLE.drop_columns("on"), tmp_path / f"b{name}")
    with pytest.raises(InputError, match=r"'.*b.*' does not have the same columns as '.*a.*': 'on' is not in both"):
        open_source(tmp_path, "y")


@pytest.mark.parametrize("headers", [("x,u,y", "x,u,u,y"), ("x,u,u,y", "x,u,y"), ("x,u,v,v,y", "x,u,u,v,y")])
def test_files_must_agree_in_how_often_a_column_comes(tmp_path: Path, headers: tuple[str, str]) -> None:
    """Also where it is not used: which of the two would be meant?"""
    for name, header in zip("ab", headers, strict=True):
        write(tmp_path / f"{name}.csv", f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    with pytest.raises(
        InputError,
        match=r"'.*b.csv' does not have the same columns as '.*a.csv': 'u' (and 'v' )?comes? more often in one",
    ):
        open_source(tmp_path, "y", features=["x"])


@pytest.mark.parametrize(
    "values", ["05.01.2020,06.01.2020,7.2.2021", "2020/01/05,2020/1/6,2021/12/31", "05/01/20,06/01/20,"]
)
def test_dates_that_are_written_otherwise_are_dates_too(tmp_path: Path, values: str) -> None:
    write(tmp_path / "t.csv", "x,y\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values.split(","))))
    with pytest.raises(InputError, match=r"Column 'x' holds dates, such as '.*': convert it to a number first"):
        open_source(tmp_path / "t.csv", "y")


@pytest.mark.parametrize("values", ["1.2.4,1.2.5,1.3.0", "10.0.0.2,10.0.0.3,10.0.0.2", "114 55,114 56,114 55"])
def test_numbers_in_several_parts_are_names(tmp_path: Path, values: str) -> None:
    write(tmp_path / "t.csv", "x,y\n" + "".join(f"{value},{i}\n" for i, value in enumerate(values.split(","))))
    assert all(name.startswith("x[") for name in open_source(tmp_path / "t.csv", "y").design.names)


@pytest.mark.parametrize(
    "value", ["1,234", "1.234.567,8", "12,34,567.5", "1 234 567", "1,5", "(1'234.50)", "3 %", "−1.5"]
)
def test_numbers_that_only_people_read_are_refused(tmp_path: Path, value: str) -> None:
    write(tmp_path / "t.csv", f'x,y\n"{value}",1\n"{value}",2\n')
    with pytest.raises(InputError, match=r"holds .* in row 1 .*write such values in digits .* with a decimal point"):
        open_source(tmp_path / "t.csv", "y")


def test_files_must_agree_in_types(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    pq.write_table(TABLE.set_column(0, "x", TABLE["kind"]), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"Column 'x' is of type string in '.*b.parquet' but double in"):
        open_source(tmp_path, "y")


@pytest.mark.parametrize("indexed", [(1,), (0, 2)])
@pytest.mark.parametrize("ending", ["parquet", "feather"])
def test_the_index_of_parts_that_were_filtered_is_no_column(
    tmp_path: Path, indexed: tuple[int, ...], ending: str
) -> None:
    whole = pd.DataFrame({"x": [1.0, 2.0, 4.0, 3.0, 7.0, 5.0], "y": [0.0, 2.0, 1.0, 3.0, 2.0, 5.0]})
    for k in range(3):
        part = whole[2 * k : 2 * k + 2]
        table = pa.Table.from_pandas(part.set_index(pd.Index([7, 7])) if k in indexed else part.reset_index(drop=True))
        assert ("__index_level_0__" in table.column_names) == (k in indexed)
        write = pq.write_table if ending == "parquet" else pa.feather.write_feather
        write(table, tmp_path / f"{k}.{ending}")
    fit = linnet.fit(tmp_path, "y")
    assert fit.names == ("x",)
    assert fit.weights == pytest.approx(linnet.fit(whole, "y").weights, rel=1e-14)
    predicted = [block.X.shape for block in prediction_blocks(tmp_path, fit.design)]
    assert predicted == [(2, 1)] * 3


def test_a_folder_of_two_kinds_might_hold_rows_twice(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "a.parquet")
    csv.write_csv(TABLE, tmp_path / "a.csv")
    with pytest.raises(InputError, match="several kinds"):
        open_source(tmp_path, "y")


def test_a_bad_row_in_a_later_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,2\n3,4\n")
    write(tmp_path / "b.csv", "y,x\n1,2\n3,oops\n")
    with pytest.raises(InputError, match=r"Column 'x' holds 'oops' in row 2 of '.*b.csv' \(line 3\)"):
        gathered(open_source(tmp_path, "y"))


def test_where_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", "x,y\n1,2\n3,4\n")
    write(tmp_path / "b.csv", "x,y\n,1\n1,2\ninf,4\n")
    source = open_source(tmp_path, "y", missing="drop")
    assert isinstance(source, TableSource)
    last = list(source.blocks())[-1]
    assert (last.start, last.rows) == (2, 2)
    assert source.where(last.start + 1) == f"row 3 of {str(tmp_path / 'b.csv')!r}"


def test_a_file_that_goes_away(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    csv.write_csv(TABLE, path)
    source = open_source(path, "y")
    path.unlink()
    with pytest.raises(InputError, match="There is no file"):
        gathered(source)


class TestPredicting:
    """Prediction from files."""

    @pytest.mark.parametrize("form", FORMATS)
    def test_without_the_target(self, tmp_path: Path, form: str) -> None:
        name, writer = FORMATS[form]
        design = open_source(TABLE, "y").design
        writer(TABLE.drop_columns("y"), tmp_path / name)
        blocks = list(prediction_blocks(tmp_path / name, design))
        np.testing.assert_array_equal(np.concatenate([block.X for block in blocks]), X)
        assert [rows.place(0).split(" of ")[0] for rows in blocks] == ["row 1", "row 1,025", "row 2,049"]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("x,kind,on\n1,a,true\n2,d,true\n", "'kind' holds 'd' in row 2 of '.*t.csv'"),
            ("x,kind,on\n1,a,true\n?,a,true\n", "'x' holds '\\?' in row 2 of '.*t.csv'"),
            ("x,kind,on\na,a,true\nb,a,true\n", "'x' of '.*t.csv' holds text"),
            ("x,kind,on\n1,a,true\n,a,true\n", "'x' has no value in row 2 of '.*t.csv'"),
            ("x,kind,on\n1,a,true\ninf,a,true\n", "'x' is infinite in row 2 of '.*t.csv'"),
            ("x,on\n1,true\n", "The feature 'kind' is not a column of '.*t.csv'"),
        ],
    )
    def test_bad_rows(self, tmp_path: Path, content: str, message: str) -> None:
        design = open_source(TABLE, "y").design
        with pytest.raises(InputError, match=message):
            list(prediction_blocks(write(tmp_path / "t.csv", content), design))

    @pytest.mark.parametrize("form", ["t.csv", "t.tsv", "t.csv.gz"])
    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("x\n1\n\n3\n", [1, None, 3]),
            ("x\n\n\n3", [None, None, 3]),
            ("\n\nx\n1\n\n3\n", [1, None, 3]),
            ("\ufeffx\r\n1\r\n\r\n3\r\n\r\n", [1, None, 3]),
            ("x\n1\n3\n\n\n", [1, 3]),
            ("x\n1\n3\nNA\n\n", [1, 3, None]),
            ("x\n1\n\nNA", [1, None, None]),
            ("x\n" + "1\n\n" * 3000, ([1, None] * 3000)[:-1]),
            ("x\n" + "\n" * 3000 + '""\n2\n\n', [None] * 3001 + [2]),
        ],
    )
    def test_a_blank_line_in_a_single_column_is_a_missing_value(
        self, tmp_path: Path, form: str, content: str, expected: list[float | None]
    ) -> None:
        data = content.encode()
        path = write(tmp_path / form, gzip.compress(data) if form.endswith("gz") else data)
        want = np.array([np.nan if value is None else value for value in expected])
        blocks = list(prediction_blocks(path, Design.numbers(["x"], "drop")))
        np.testing.assert_array_equal(np.concatenate([block.X[:, 0] for block in blocks]), want)
        blocks = list(prediction_blocks(path, Design((Feature("x", fill=(0.25,)),), "mean")))
        found = np.concatenate([block.X[:, 0] for block in blocks])
        np.testing.assert_array_equal(found, np.nan_to_num(want, nan=0.25))
        if None in expected:
            with pytest.raises(InputError, match=f"'x' has no value in row {expected.index(None) + 1:,} of"):
                list(prediction_blocks(path, Design.numbers(["x"])))

    @pytest.mark.parametrize("above", ["", "\n\n"])
    def test_a_bad_value_below_blank_lines_is_named_by_its_row(self, tmp_path: Path, above: str) -> None:
        path = write(tmp_path / "t.csv", f"{above}x\n" + "1\n\n" * 200_000 + "oops\n")
        line = 400_002 + len(above)
        with pytest.raises(InputError, match=rf"'oops' in row 400,001 of '.*t.csv' \(line {line:,}\)"):
            list(prediction_blocks(path, Design.numbers(["x"], "drop")))

    def test_a_blank_line_has_no_level(self, tmp_path: Path) -> None:
        path = write(tmp_path / "t.csv", "k\na\n\nb\n")
        blocks = list(prediction_blocks(path, Design((Feature("k", ("a", "b")),), "drop")))
        np.testing.assert_array_equal(blocks[0].X, [[0], [np.nan], [1]])

    def test_levels_that_read_as_numbers_or_dates(self, tmp_path: Path) -> None:
        for levels in (["1", "2"], ["01", "02"], ["2020-01-01", "2020-01-02"], ["false", "true"]):
            design = open_source(pa.table({"k": levels, "y": [1, 2]}), "y").design
            path = write(tmp_path / "t.csv", f"k\n{levels[1]}\n{levels[0]}\n")
            (block,) = prediction_blocks(path, design)
            assert block.X.tolist() == [[1], [0]]


def test_the_reader_stops_when_the_consumer_does(tmp_path: Path) -> None:
    for k in range(20):
        csv.write_csv(TABLE, tmp_path / f"{k}.csv")
    blocks = open_source(tmp_path, "y").blocks()
    next(blocks)
    assert [thread for thread in threading.enumerate() if thread.name == "linnet-reader"]
    blocks.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "linnet-reader"]


def test_the_interpreter_exits_while_the_reader_waits(tmp_path: Path) -> None:
    for k in range(20):
        csv.write_csv(TABLE, tmp_path / f"{k}.csv")
    code = (
        "import sys; from linnet.sources import open_source, tables; tables.VALUES_PER_BLOCK = 1\n"
        f"blocks = open_source({str(tmp_path)!r}, 'y').blocks(); print(next(blocks).rows); sys.exit(3)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "1024\n", "")


def test_reading_ahead_is_bounded_and_passes_on_errors() -> None:
    made = []

    def numbers() -> Any:
        for number in range(100):
            made.append(number)
            yield number
        raise RuntimeError("end")

    ahead = files.read_ahead(numbers)
    assert [next(ahead) for _ in range(10)] == list(range(10))
    assert len(made) <= 10 + files.READ_AHEAD + 1
    with pytest.raises(RuntimeError, match="end"):
        list(ahead)


@pytest.mark.parametrize("when", ["before it begins", "as it begins", "not at all"])
def test_a_reader_interrupted_at_its_start_is_stopped(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    hooks: list[Any] = []
    opened = []

    def interrupted(self: threading.Thread) -> None:
        if when == "not at all":
            raise RuntimeError("can't start new thread")
        if when == "as it begins":
            start(self)
        raise KeyboardInterrupt

    def numbers() -> Any:
        opened.append(threading.current_thread())
        yield from range(100)

    monkeypatch.setattr(atexit, "register", hooks.append)
    monkeypatch.setattr(atexit, "unregister", hooks.remove)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        ahead = files.read_ahead(numbers)
        if when == "not at all":  # then this thread reads
            assert list(ahead) == list(range(100))
            assert opened == [threading.current_thread()]
        else:
            with pytest.raises(KeyboardInterrupt):
                next(ahead)
    assert not hooks
    assert not [thread for thread in threading.enumerate() if thread.name == "linnet-reader"]


def test_a_reader_that_begins_after_it_was_stopped_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt comes while `start` waits for the thread to say that it runs."""
    late: list[threading.Thread] = []
    opened: list[int] = []

    def interrupted(self: threading.Thread) -> None:
        late.append(self)
        raise KeyboardInterrupt

    def numbers() -> Any:
        opened.append(1)
        yield 1

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(files.read_ahead(numbers))
    late[0].start()
    late[0].join(30)
    assert not late[0].is_alive()
    assert not opened


MARKS = [",", "\n", "\r", '"', " ", "'", "x", "y", "1", "-2.5", "1e999", "a", "ü", "true", "2020-01-01", "NA", "\ufeff"]
VALUES = ["1", "", "2.5", "a", "b", '"', '"q\nr"', "true", "nan"]
ROWS_OF_VALUES = st.lists(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4).map(",".join), max_size=12)
CSV_BYTES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([*(mark.encode() for mark in MARKS), b"\xff", b"\x00"]), max_size=60).map(b"".join),
    ROWS_OF_VALUES.map(lambda rows: "\n".join(["x,k,y", *rows]).encode()),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@given(content=CSV_BYTES, missing=st.sampled_from(["error", "drop", "mean"]), form=st.sampled_from(["csv", "csv.gz"]))
@example(content=b"x,y\n1,2\n\x00", missing="error", form="csv")
@example(content=b'"', missing="error", form="csv")
@example(content=b"y\n", missing="error", form="csv")
def test_no_bytes_lead_to_anything_but_an_input_error(folder: Path, content: bytes, missing: str, form: str) -> None:
    path = write(folder / f"t.{form}", gzip.compress(content) if form == "csv.gz" else content)
    with suppress(InputError):
        source = open_source(path, "y", missing=missing)
        list(source.blocks())
        list(prediction_blocks(path, source.design))
    assert not [thread for thread in threading.enumerate() if thread.name == "linnet-reader"]


@given(content=st.binary(max_size=300), form=st.sampled_from(["parquet", "arrow", "csv.zst", "csv.gz"]))
def test_nor_do_bytes_of_other_formats(folder: Path, content: bytes, form: str) -> None:
    path = write(folder / f"t.{form}", content)
    with pytest.raises(InputError):
        gathered(open_source(path, "y"))


@given(
    st.lists(
        st.tuples(
            st.none() | st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(['a"', "b\nc", " d,", "é"])
        ),
        min_size=1,
        max_size=40,
    )
)
def test_what_python_writes_is_read_back_to_the_last_bit(folder: Path, rows: list[tuple[float | None, str]]) -> None:
    import csv as python_csv

    path = folder / "back.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        python_csv.writer(file).writerows([("x", "k", "y"), *((x, k, 1) for x, k in rows)])
    kept = [(x, k) for x, k in rows if x is not None]
    if not kept:
        return
    source = open_source(path, "y", missing="drop")
    found, _ = gathered(source)
    levels = sorted({k for _, k in kept})
    assert found.tolist() == [[x, *(float(k == level) for level in levels[1:])] for x, k in kept]


def test_a_design_that_reads_only_categories_reads_files(tmp_path: Path) -> None:
    csv.write_csv(TABLE, tmp_path / "t.csv")
    source = open_source(tmp_path, "y", features=["kind"])
    np.testing.assert_array_equal(gathered(source)[0], X[:, 1:3])
    shutil.rmtree(tmp_path)
    assert isinstance(source.design, Design)
