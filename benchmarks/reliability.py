"""Reliability: killed runs, damaged checkpoints, full disks, threads and process starts, wild learning rates."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

import linnet
from linnet.checkpoint import Checkpoint
from linnet.solvers.run import SAVE_EVERY
from timing import begin, child, table

T = TypeVar("T")
Row = tuple[str, int, int]  # what was tried, how often, and how often it went as it should

AT_ONCE = 2  # runs beside each other: nothing is timed here
PATIENCE = 300  # seconds after which a run counts as failed
UNFINISHED = ".linnet-*.tmp"  # what a kill leaves when it falls into the writing of a file
BOUNDED = (linnet.Huber(), linnet.Absolute(), linnet.Quantile(0.9))  # losses whose slope has a limit

# What `linnet fit` does not offer: rows that lie in memory.
ARRAYS = """
import sys
import numpy as np
import linnet, linnet.solvers.run

folder, epochs, checkpoint, model, linnet.solvers.run.SAVE_EVERY = *sys.argv[1:5], float(sys.argv[5])
X, y = (np.load(f"{folder}/{name}.npy") for name in "Xy")
solver = linnet.SGD(
    lr=0.002, momentum=0.5, average=True, seed=7, epochs=int(epochs), tol=None, checkpoint=checkpoint, resume=True
)
linnet.fit(X, y, loss=linnet.Huber(), solver=solver, progress=False).save(model)
"""
# A disk that is full: a real one of 256 KiB, or a limit to the size of files, which refuses what is beyond it likewise.
FULL = """
import json, os, resource, subprocess, sys
from pathlib import Path
import numpy as np
import linnet

kind, folder, room = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
if kind == "disk":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)], check=True)
random = np.random.default_rng(5)
X = random.standard_normal((500, 3))
y = X.sum(axis=1) + random.standard_normal(500)
checkpoint, filler = folder / "run.ckpt", folder / "filler"

def learn(epochs, **kept):
    return linnet.fit(X, y, solver=linnet.SGD(epochs=epochs, tol=None, **kept), progress=False)

whole = learn(400)
learn(200, checkpoint=checkpoint)
before, message = checkpoint.read_bytes(), ""
if kind == "disk":
    with filler.open("wb", buffering=0) as file:
        file.truncate(file.write(bytes(1 << 18)) - room)  # it takes what there is room for
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
try:  # within the run that ends it, at its end a note
    message = " ".join(learn(400, checkpoint=checkpoint, resume=True).notes)
except linnet.InputError as error:
    message = str(error)
if kind == "disk":
    filler.unlink()
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
intact = checkpoint.read_bytes() == before and [path.name for path in folder.iterdir()] == ["run.ckpt"]
again = learn(400, checkpoint=checkpoint, resume=True)
same = again.coefficients.tobytes() == whole.coefficients.tobytes()
print(json.dumps({"told": "Cannot write the checkpoint" in message, "intact": intact, "same": same}))
"""


@dataclass(frozen=True)
class Case:
    """A run that takes some seconds: from arrays by `linnet.fit`, from files by `linnet fit`.

    Attributes:
        name: as the table shows it.
        data: the file that holds its rows, or the folder of its arrays.
        epochs: how many it has.
        options: further ones of the command line.
        every: seconds between two checkpoints of a run from arrays.
    """

    name: str
    data: Path
    epochs: int
    options: tuple[str, ...] = ()
    every: float = SAVE_EVERY

    def command(self, checkpoint: Path, model: Path) -> list[str]:
        """The command line, which goes on from the checkpoint if there is one."""
        epochs, kept, saved = str(self.epochs), str(checkpoint), str(model)
        if self.data.is_dir():
            return [sys.executable, "-c", ARRAYS, str(self.data), epochs, kept, saved, str(self.every)]
        fit = [sys.executable, "-m", "linnet", "fit", str(self.data), "--target", "y", "--quiet", *self.options]
        learn = ["--solver", "sgd", "--tol", "none", "--epochs", epochs]
        return [*fit, *learn, "--checkpoint", kept, "--resume", "--save", saved]

    def run(self, folder: Path, **environment: str) -> bytes:
        """Run it to its end and return the model file that it wrote, which holds weights and history."""
        model = folder / "model.json"
        done = subprocess.run(
            self.command(folder / "kept" / "run.ckpt", model),
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{self.name} ended with status {done.returncode}: {done.stderr}")
        return model.read_bytes()


@dataclass
class Killed:
    """What became of one run that was killed and then resumed to its end.

    Attributes:
        early: kills that left no checkpoint, since none had been written yet.
        late: kills that left one.
        writing: kills of either kind that fell into the writing of one.
        readable: checkpoints that could be read after a kill.
        same: whether the final model equals that of the uninterrupted run byte for byte.
    """

    early: int = 0
    late: int = 0
    writing: int = 0
    readable: int = 0
    same: bool = False


def cases(folder: Path, quick: bool) -> list[Case]:
    """Write the data of the three kinds of run: rows held in memory, rows read into it, more rows than it may hold."""
    many, few, most = (20_000, 20_000, 20_000) if quick else (1_000_000, 200_000, 1_600_000)
    random = np.random.default_rng(0)
    X = random.standard_normal((most, 10))
    y = X @ random.standard_normal(10) + 1 + random.standard_normal(most)
    names = [f"x{j + 1}" for j in range(10)]
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "X.npy", X[:many])
    np.save(folder / "arrays" / "y.npy", y[:many])
    for name, rows in (("few", few), ("most", most)):
        columns = dict(zip([*names, "y"], [*X[:rows].T, y[:rows]], strict=True))
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return [
        Case(
            f"arrays, {many:,} × 10, Huber, momentum",
            folder / "arrays",
            1000 if quick else 46,
            every=0.01 if quick else SAVE_EVERY,  # that a kill finds one in a run of a second
        ),
        Case(f"Parquet, {few:,} × 10, automatic rate", folder / "few.parquet", 501),
        Case(
            f"Parquet beyond memory, {most:,} × 10",
            folder / "most.parquet",
            26,
            ("--lr", "0.001", "--schedule", "inverse-time", "--init", "normal", "--seed", "3"),
        ),
    ][: 1 if quick else 3]


def survive(case: Case, folder: Path, number: int, seconds: float, model: bytes) -> Killed:
    """Start a run, kill it at random moments until one or two kills left a checkpoint, resume it to its end.

    Half of the runs are killed only when a checkpoint is next written.
    """
    random, outcome = np.random.default_rng([1, number]), Killed()
    kept = folder / "kept"
    kept.mkdir(parents=True)
    earliest, latest = 0.0, seconds
    while outcome.late < 1 + number % 2:
        process = subprocess.Popen(
            case.command(kept / "run.ckpt", folder / "model.json"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        after = random.uniform(earliest, latest)
        if not kill(process, kept, after, random.uniform(0, 0.003) if number % 4 >= 2 else None):
            if outcome.late:
                break  # what was resumed came to its end before the second kill
            (kept / "run.ckpt").unlink(missing_ok=True)
            earliest, latest = 0.0, seconds
            continue
        for path in kept.glob(UNFINISHED):
            outcome.writing += 1
            path.unlink()
        if (kept / "run.ckpt").exists():
            outcome.late += 1
            Checkpoint.load(kept / "run.ckpt")
            outcome.readable += 1
            earliest, latest = 0.0, seconds
        else:
            outcome.early += 1
            earliest, latest = after, max(seconds, 2 * after)  # the next one later
    outcome.same = case.run(folder) == model
    shutil.rmtree(folder)
    return outcome


def kill(process: subprocess.Popen[bytes], folder: Path, after: float, into: float | None) -> bool:
    """Send SIGKILL after some seconds, or then so long into the next writing in a folder; False when it came too late.

    Raises:
        RuntimeError: the process had failed by itself.
    """
    try:
        process.wait(after)
    except subprocess.TimeoutExpired:
        if into is not None:
            until = time.monotonic() + 2
            while time.monotonic() < until and process.poll() is None and not any(folder.glob(UNFINISHED)):
                time.sleep(0.0002)
            time.sleep(into)
        process.kill()
        process.wait()
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a run that was to be killed ended with status {process.returncode} by itself")
    return process.returncode != 0


def killed(chosen: Sequence[Case], folder: Path, times: int) -> bool:
    """Kill and resume each case so often; print what came of it."""
    rows, good = [], True
    for case in chosen:
        reference = folder / "whole"
        (reference / "kept").mkdir(parents=True)
        start = time.monotonic()
        model = case.run(reference)
        seconds = time.monotonic() - start
        shutil.rmtree(reference)
        survived = attempt([partial(survive, case, folder / f"{i}", i, seconds, model) for i in range(times)])
        early, late, writing, readable, same = (
            sum(getattr(each, name) for each in survived) for name in ("early", "late", "writing", "readable", "same")
        )
        good = good and readable == late >= times and same == times
        counts = (early + late, early, writing, late, readable, times, same)
        rows.append((f"{case.name}, {seconds:.1f} s", *map(str, counts)))
    total = ("together", *(str(sum(int(row[i]) for row in rows)) for i in range(1, 8)))
    header = (
        "run, uninterrupted", "kill -9", "before a checkpoint", "while writing one",
        "checkpoints left", "readable", "runs resumed", "same bits",
    )  # fmt: skip
    table("Killed at random moments and resumed", header, [*rows, total])
    return good


def attempt(works: Sequence[Callable[[], T]]) -> list[T]:
    """Do some work on a few threads; what fails is told and left out."""

    def one(work: Callable[[], T]) -> list[T]:
        try:
            return [work()]
        except (ValueError, ArithmeticError, RuntimeError, OSError, Warning, subprocess.SubprocessError) as error:
            print(f"Failed: {error!r}", file=sys.stderr)
            return []

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [done for each in pool.map(one, works) for done in each]


def damaged(folder: Path, times: int) -> list[Row]:
    """Flip a bit of a checkpoint, cut it off somewhere: resuming must refuse it, and leave it as it is."""
    random = np.random.default_rng(2)
    X = random.standard_normal((300, 3))
    y = X.sum(axis=1) + random.standard_normal(300)
    path = folder / "damaged.ckpt"

    def learn() -> None:
        linnet.fit(X, y, solver=linnet.SGD(epochs=200, tol=None, checkpoint=path, resume=True), progress=False)

    learn()
    whole = path.read_bytes()

    def detected(content: bytes) -> bool:
        path.write_bytes(content)
        try:
            learn()
        except linnet.InputError as error:
            return path.name in str(error) and path.read_bytes() == content
        return False

    def flipped(bit: int) -> bytes:
        return whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :]

    flips = [detected(flipped(int(bit))) for bit in random.choice(8 * len(whole), times, replace=False)]
    cuts = [detected(whole[: int(length)]) for length in random.choice(len(whole), times, replace=False)]
    what = f"a checkpoint of {len(whole):,} bytes"
    return [
        (f"{what} with one bit flipped: refused", times, sum(flips)),
        (f"{what} cut off: refused", times, sum(cuts)),
    ]


def full(folder: Path, quick: bool) -> list[Row]:
    """Let the disk be full while a checkpoint is written: a sentence, the old one intact, and the run goes on later."""
    if sys.platform == "win32":
        return []
    promise = "a sentence, the old checkpoint intact, resumed to the same bits"
    rooms = (0,) if quick else (0, 1, 100, 1000, 4096, 8191, 8192, 10_000, 12_288, 16_384)
    limited = [child(FULL, "limit", str(fresh(folder, f"limit-{room}")), str(room)) for room in rooms]
    rows = [
        (f"files limited to 0 to {rooms[-1]:,} bytes: {promise}", len(rooms), sum(all(r.values()) for r in limited))
    ]
    spaces = (0,) if quick else (0, 4096, 8192)  # such disks give whole pages
    mounted = [mounted_full(fresh(folder, f"disk-{space}"), space) for space in spaces]
    if None in mounted:
        print("\nNot measured: a small disk of its own, which this machine does not let its users mount.")
        return rows
    return [*rows, (f"disk full but for 0 to {spaces[-1]:,} bytes: {promise}", len(spaces), sum(map(bool, mounted)))]


def mounted_full(folder: Path, space: int) -> bool | None:
    """Fill a disk of which only this process and its children know; None where that is not allowed."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "none", str(folder)]
    if shutil.which(own[0]) is None or subprocess.run([*own, *mount], capture_output=True, check=False).returncode:
        return None
    command = [*own, sys.executable, "-c", FULL, "disk", str(folder), str(space)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return all(json.loads(done.stdout.splitlines()[-1]).values())


def fresh(folder: Path, name: str) -> Path:
    """A new folder."""
    (folder / name).mkdir()
    return folder / name


def repeated(chosen: Sequence[Case], folder: Path, starts: int) -> Row:
    """The same runs, shortened, by 1 and by 2 threads, in some processes each: the same bits."""
    names = "LINNET_NUM_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"
    ways = list(product(chosen, (1, 2), range(starts)))

    def learned(case: Case, threads: int, start: int) -> tuple[str, str]:
        place = fresh(folder, f"{chosen.index(case)}-{threads}-{start}")
        fresh(place, "kept")
        short = replace(case, epochs=2 + case.epochs // 20)
        fit = json.loads(short.run(place, **dict.fromkeys(names, str(threads))))["fit"]
        return case.name, str([fit["bias"], fit["weights"], [record["loss"] for record in fit["history"]]])

    first: dict[str, str] = {}
    same = sum(first.setdefault(name, bits) == bits for name, bits in attempt([partial(learned, *way) for way in ways]))
    return f"same seed, 1 and 2 threads, {starts} process starts each: same bits of weights and losses", len(ways), same


def wild(times: int) -> list[Row]:
    """Learning rates 10 to 1e6 times the largest stable one, 2/λ, over tables of all kinds: a clear end, no NaN."""
    warnings.simplefilter("error", RuntimeWarning)  # such as those of an overflow, which nobody can act on
    works = [partial(diverge, i, float(factor)) for i, factor in enumerate(np.geomspace(10, 1e6, times))]
    ends = attempt(works)
    told, harmless = (sum(flags) for flags in zip(*ends, strict=True)) if ends else (0, 0)
    return [
        ("learning rate 10 to 1e6 times 2/λ: says so and names 2/λ, and no NaN", times, told),
        ("the same for Huber, absolute and quantile loss: not called learned, and no NaN", times, harmless),
    ]


def diverge(number: int, factor: float) -> tuple[bool, bool]:
    """Whether a run with such a learning rate ends as it should, for squared loss and for one of bounded slope."""
    random = np.random.default_rng([4, number])
    n, d, largest = ((200, 3, 1.0), (5000, 10, 100.0), (2000, 100, 1.0), (1000, 2, 1e6), (300, 1, 1e-3))[number % 5]
    X = random.standard_normal((n, d)) * np.geomspace(1, largest, d)[::-1] + number % 2
    X = X.astype(np.float32) if number % 3 == 0 else X
    y = X @ random.standard_normal(d) + 1 + random.standard_normal(n)
    ones = np.column_stack([np.ones(n), X])
    stable = 2 / float(np.linalg.eigvalsh(ones.T @ ones / n)[-1])
    solver = linnet.SGD(
        lr=stable * factor,
        batch_size=(1, 10, 32, 64)[number % 4],
        momentum=(0.0, 0.9)[number % 2],
        average=number % 5 == 0,
        shuffle=(True, "pieces", False)[number % 3],
        tol=("auto", None)[number // 2 % 2],
        epochs=20,
    )
    fit = linnet.fit(X, y, solver=solver, progress=False)
    text = " ".join(str(fit).split())
    clear = fit.status is linnet.Status.DIVERGED and "learning rate is too large" in text
    named = f"stable up to {stable:.3g}" in text
    bounded = linnet.fit(X, y, loss=BOUNDED[number % 3], solver=replace(solver, tol="auto"), progress=False)
    return clear and named and usable(fit, X), usable(bounded, X) and not bounded.status.converged


def usable(fit: linnet.Fit, X: NDArray[np.floating]) -> bool:
    """Whether all that was learned is numbers."""
    return bool(np.isfinite([*fit.coefficients, fit.objective, *fit.predict(X)]).all())


def main() -> None:
    """Print what was tried and what became of it; exit status 1 when anything is not as it should be."""
    quick = begin("Reliability", "100 kills and 400 damaged files, some seven minutes").quick
    times, damages = (1, 10) if quick else (34, 200)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = cases(folder, quick)
        good = killed(chosen, folder, times)
        rows = [
            *damaged(folder, damages),
            *full(folder, quick),
            repeated(chosen, fresh(folder, "repeated"), 1 if quick else 3),
            *wild(6 if quick else 30),
        ]
    table("Everything else", ("", "tried", "as it should be"), [(what, f"{n}", f"{m}") for what, n, m in rows])
    sys.exit(not (good and all(n == m for _, n, m in rows)))


if __name__ == "__main__":
    main()
