"""Time and memory of a fit from files, against pyarrow merely decoding or parsing the same columns."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from timing import Contender, begin, child, duration, medians, table, warm

# Each measurement is a process of its own, so that one's memory is not another's, and this one stays small.
# Peak memory is above what the process holds once its imports are done.
MEASURE = """
import json, resource, sys, time
from pathlib import Path

def peak():  # bytes
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss would start from the parent's size
        return 1024 * int(status.read_text().partition("VmHWM:")[2].split()[0])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

{imports}
before, start = peak(), time.perf_counter()
{work}
print(json.dumps({{"seconds": time.perf_counter() - start, "memory": peak() - before}}))
"""
# Public names load when first used: touching linnet.fit is what imports it.
FIT = MEASURE.format(imports="import linnet; linnet.fit", work='linnet.fit(sys.argv[1], "y", progress=False)')
# A process loads compiled code in a fifth of a second, once: what a fit takes beside that.
AGAIN = MEASURE.format(
    imports="""
import linnet, numpy, pyarrow, pyarrow.parquet, pyarrow.csv
few = pyarrow.table({f"x{i}": numpy.arange(9, dtype="f4") ** i % 7 for i in range(21)})
linnet.fit(few, "x1", precision="float64", progress=False)
""",
    work='linnet.fit(sys.argv[1], "y", progress=False)',
)
DECODE = MEASURE.format(
    imports="import pyarrow.parquet as pq",
    work="""
for path in sorted(Path(sys.argv[1]).iterdir()):
    for batch in pq.ParquetFile(path).iter_batches():
        pass
""",
)
PARSE = MEASURE.format(
    imports="import pyarrow as pa, pyarrow.csv as pc",
    work="""
names = [*(f"x{i + 1}" for i in range(20)), "y"]
convert = pc.ConvertOptions(column_types={name: pa.float64() for name in names})
for path in sorted(Path(sys.argv[1]).iterdir()):
    for batch in pc.open_csv(path, convert_options=convert):
        pass
""",
)
# Written in slices, so that making the data needs little memory too.
WRITE = """
import sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.csv as pc, pyarrow.parquet as pq

rows, folder = int(sys.argv[1]), Path(sys.argv[2])
names = [*(f"x{i + 1}" for i in range(20)), "y"]
schema = pa.schema([(name, pa.float32()) for name in names])
random = np.random.default_rng(0)
weights = random.standard_normal(20, dtype=np.float32)
for kind in ("parquet", "csv"):
    (folder / kind).mkdir()
for part in range(4):
    parquet = pq.ParquetWriter(folder / "parquet" / f"part-{part}.parquet", schema)
    csv = pc.CSVWriter(folder / "csv" / f"part-{part}.csv", schema)
    for start in range(0, rows // 4, 500_000):
        n = min(500_000, rows // 4 - start)
        X = random.standard_normal((n, 20), dtype=np.float32)
        y = X @ weights + 1 + random.standard_normal(n, dtype=np.float32)
        slice = pa.table([*(pa.array(column) for column in X.T.copy()), pa.array(y)], schema=schema)
        parquet.write_table(slice)
        csv.write_table(slice)
    parquet.close()
    csv.close()
print("{}")
"""


def measured(code: str, folder: Path, memory: list[float]) -> Callable[[], float]:
    """Runs `code` over `folder` in a process of its own and returns its seconds; its peak goes to `memory`."""

    def run() -> float:
        result = child(code, str(folder))
        memory.append(result["memory"])
        return result["seconds"]

    return run


def main() -> None:
    """Write the files, then print one table for each format."""
    quick = begin("Streaming from files", "8,000,000 × 20").quick
    rows, runs = (40_000, 1) if quick else (8_000_000, 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child(WRITE, str(rows), name)
        for kind, rival, code in (
            ("parquet", "pyarrow ParquetFile.iter_batches", DECODE),
            ("csv", "pyarrow open_csv, columns as float64", PARSE),
        ):
            files = folder / kind
            again = "linnet.fit, compiled code loaded"
            memory: dict[str, list[float]] = {"linnet.fit": [], again: [], rival: []}
            contenders = [
                Contender("linnet.fit", measured(FIT, files, memory["linnet.fit"]), runs),
                Contender(again, measured(AGAIN, files, memory[again]), runs),
                Contender(rival, measured(code, files, memory[rival]), runs),
            ]
            warm(contenders)
            seconds = medians(contenders)
            size = sum(path.stat().st_size for path in files.iterdir())
            rows_of_table = []
            for contender in contenders:
                own = seconds[contender.name]
                ratio, peak = f"{seconds['linnet.fit'] / own:.3g}", f"{max(memory[contender.name]) / 1e6:,.0f} MB"
                rows_of_table.append((contender.name, str(runs), duration(own), ratio, peak))
            table(
                f"{rows:,} × 20 float32, {kind} in 4 files, {size / 1e6:,.0f} MB",
                ("contender", "runs", "median", "linnet ÷ it", "peak memory above imports"),
                rows_of_table,
            )


if __name__ == "__main__":
    main()
