"""Speed of learning by gradient descent: the textbook's loop, large tables in memory and on disk, against the usual."""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linnet
from linnet.sources.arrays import ArraySource
from timing import Contender, begin, child, compare, duration, table

Matrix = NDArray[Any]
ABSOLUTE = linnet.Absolute()


def experiment_a() -> tuple[Matrix, Matrix]:
    """1,000 rows of y = 2·x1 - 3.4·x2 + 4.2 + N(0, 0.01²)."""
    random = np.random.default_rng(0)
    X = random.standard_normal((1000, 2)).astype(np.float32)
    return X, (X @ [2.0, -3.4] + 4.2 + 0.01 * random.standard_normal(1000)).astype(np.float32)


def from_scratch(X: Matrix, y: Matrix) -> None:
    """The textbook's loop as it is usually written: tensors and autograd, batches of 10, 3 epochs."""
    import random

    import torch

    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    w = torch.normal(0, 0.01, size=(X.shape[1], 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        rows = list(range(len(features)))
        random.shuffle(rows)
        for i in range(0, len(rows), 10):
            part = torch.tensor(rows[i : i + 10])
            yield features[part], labels[part]

    for _ in range(3):
        for features_part, labels_part in batches():
            loss = (torch.matmul(features_part, w) + b - labels_part.reshape(-1, 1)) ** 2 / 2
            loss.sum().backward()
            with torch.no_grad():
                for parameter in (w, b):
                    assert parameter.grad is not None
                    parameter.sub_(0.03 * parameter.grad / len(features_part))
                    parameter.grad.zero_()


def concisely(X: Matrix, y: Matrix, batch: int = 10, epochs: int = 3, most: int = 10**9) -> float:
    """The same with TensorDataset, DataLoader, nn.Linear and torch.optim; seconds of `most` minibatches at most."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y).reshape(-1, 1))
    net = torch.nn.Sequential(torch.nn.Linear(X.shape[1], 1))
    loss, optimiser = torch.nn.MSELoss(), torch.optim.SGD(net.parameters(), lr=0.03)
    loader = DataLoader(rows, batch, shuffle=True)
    start = time.perf_counter()
    for _ in range(epochs):
        for k, (features, labels) in enumerate(loader):
            if k >= most:
                break
            optimiser.zero_grad()
            loss(net(features), labels).backward()
            optimiser.step()
    return time.perf_counter() - start


def loader_epoch(X: Matrix, y: Matrix, most: int) -> float:
    """The same as `concisely`, batches of 64: seconds of a whole epoch, from `most` minibatches."""
    batches = len(y) / 64
    return concisely(X, y, 64, 1, most) * batches / min(most, batches)


def plain_torch(X: Matrix, y: Matrix, most: int) -> float:
    """A plain torch loop, batches of 64 sliced from a shuffled order: seconds of a whole epoch, from `most` batches."""
    import torch

    features, labels = torch.from_numpy(X), torch.from_numpy(y)
    w, b = torch.zeros(X.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    start = time.perf_counter()
    order = torch.randperm(len(features))
    done = 0
    for i in range(0, min(len(order), 64 * most), 64):
        part = order[i : i + 64]
        (((features[part] @ w + b - labels[part]) ** 2).mean() / 2).backward()
        with torch.no_grad():
            for parameter in (w, b):
                assert parameter.grad is not None
                parameter.sub_(0.01 * parameter.grad)
                parameter.grad = None
        done += 1
    return (time.perf_counter() - start) * (len(order) / 64) / done


def epoch(X: Matrix, y: Matrix, loss: linnet.Loss | None = None, **settings: Any) -> float:
    """Seconds of SGD's first epoch, order of rows included."""
    solver = linnet.SGD(**{"lr": 0.01, "epochs": 1, "tol": None, **settings})
    start = time.perf_counter()
    steps = solver.steps(linnet.Objective(loss or linnet.Squared()), ArraySource(X, y))
    for step in steps:
        if step.rows == len(y):
            break
    return time.perf_counter() - start


def sklearn_epoch(X: Matrix, y: Matrix) -> None:
    """scikit-learn: one epoch, each row a step."""
    from sklearn.linear_model import SGDRegressor

    SGDRegressor(max_iter=1, tol=None, learning_rate="constant", eta0=1e-4, penalty=None, random_state=0).fit(X, y)


def repeated(calls: int, run: Callable[[], object]) -> float:
    """Seconds of one call among many, for work too short to time alone."""
    run()
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


@cache
def adder() -> Callable[[Matrix], object]:
    """Adds up all numbers, which takes no time beside reading them."""
    from numba import njit

    def loop(flat: Any) -> Any:
        total = np.float32(0)
        for i in range(flat.size):
            total += flat[i]
        return total

    return njit(fastmath=True, nogil=True)(loop)  # type: ignore[no-any-return]


def read(X: Matrix, threads: int = 1) -> float:
    """Seconds to read the rows once."""
    add = adder()
    add(X[:1].reshape(-1))
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: time.sleep(0.01), range(threads)))  # starts them
        start = time.perf_counter()
        list(pool.map(add, np.array_split(X.reshape(-1), threads)))
        return time.perf_counter() - start


def alone(run: Callable[[], float]) -> float:
    """What a measurement gives with one thread."""
    before = os.environ.get("LINNET_NUM_THREADS")
    os.environ["LINNET_NUM_THREADS"] = "1"
    try:
        return run()
    finally:
        os.environ.pop("LINNET_NUM_THREADS")
        if before is not None:
            os.environ["LINNET_NUM_THREADS"] = before


ON_DISK = """
import json, pathlib, sys, time
import numpy as np
import linnet, pyarrow, scipy.linalg, linnet.fitting, linnet.solvers.sgd, linnet.sources.files
from linnet.sources import open_source

def peak():  # kilobytes
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

path, where, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
linnet.fit(np.eye(9, dtype=np.float32), np.arange(9, dtype=np.float32), solver=linnet.SGD(lr=0.01, epochs=1))
before = peak()
if where == "memory":
    import pyarrow.parquet as pq
    frame = pq.read_table(path)
    columns = [np.asarray(c) for c in frame.columns]
    source = linnet.sources.arrays.ArraySource(np.column_stack(columns[:-1]), columns[-1])
else:
    source = open_source(path, "y")
start = time.perf_counter()
solver = linnet.SGD(lr=0.01, epochs=epochs, tol=None, batch_size=64)
for step in solver.steps(linnet.Objective(linnet.Squared()), source):
    pass
print(json.dumps({"whole": time.perf_counter() - start, "peak": (peak() - before) / 1024}))
"""


def on_disk(rows: int, epochs: int) -> None:
    """Rows per second of whole runs over a Parquet file, and of the same rows in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.parquet")
        writer = None
        w = random.standard_normal(20).astype(np.float32)
        for _ in range(8):
            X = random.standard_normal((rows // 8, 20), dtype=np.float32)
            y = X @ w + random.standard_normal(len(X), dtype=np.float32)
            part = pa.table({**{f"x{j}": X[:, j] for j in range(20)}, "y": y})
            writer = writer or pq.ParquetWriter(path, part.schema)
            writer.write_table(part)
        assert writer is not None
        writer.close()
        del X, y, part
        gc.collect()
        shown = []
        for where in ("memory", "disk"):
            found = child(ON_DISK, path, where, str(epochs))
            speed = f"{rows * epochs / found['whole'] / 1e6:.3g}M"
            shown.append((where, duration(found["whole"]), speed, f"{found['peak']:,.0f} MB"))
    table(
        f"{rows:,} × 20 float32, batch 64, {epochs} epochs: reading, learning and the exact answer beside it",
        ("rows from", "whole run", "rows/s", "memory above imports"),
        shown,
    )


def textbook(runs: int, calls: int) -> None:
    """Experiment A, as a whole and the training alone."""
    from linnet import concise, scratch

    X, y = experiment_a()
    others = [
        Contender("torch, from scratch", lambda: from_scratch(X, y), runs),
        Contender("torch, nn.Linear and DataLoader", lambda: concisely(X, y), runs),
        Contender("linnet.scratch, with its Steps", lambda: list(scratch.train(X, y)), runs),
        Contender("linnet.concise, with its Steps", lambda: list(concise.train(X, y)), runs),
    ]
    solver = linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal")
    compare(
        "Experiment A: 1,000 × 2, batches of 10, 3 epochs, by linnet.fit with the exact answer and standard errors",
        [
            Contender("linnet.fit", lambda: repeated(calls, lambda: linnet.fit(X, y, solver=solver)), runs),
            *others,
        ],
    )
    learner = linnet.SGD(lr=0.03, batch_size=10, epochs=3, init="normal", tol=None)

    def train() -> None:
        for step in learner.steps(linnet.Objective(linnet.Squared()), ArraySource(X, y)):
            if step.epoch == 3:
                break

    compare(
        "Experiment A: the training itself",
        [
            Contender("linnet.SGD", lambda: repeated(calls, train), runs),
            *others,
        ],
    )


def large(n: int, d: int, runs: int, some: int) -> None:
    """One epoch over a large table, in each order, beside the usual loops."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, d), dtype=np.float32)
    y = X @ random.standard_normal(d).astype(np.float32) + random.standard_normal(n).astype(np.float32)
    for shuffle in (True, "pieces", False):
        epoch(X[:1000], y[:1000], batch_size=64, shuffle=shuffle)  # compiles
    in_order: dict[str, Any] = {"batch_size": 64, "shuffle": False}
    compare(
        f"{n:,} × {d} float32, batch 64, one epoch, every row in a fresh random order",
        [
            Contender("linnet.SGD", lambda: epoch(X, y, batch_size=64), runs),
            Contender('linnet.SGD, shuffle="pieces"', lambda: epoch(X, y, batch_size=64, shuffle="pieces"), runs),
            Contender("linnet.SGD, shuffle=False", lambda: epoch(X, y, **in_order), runs),
            Contender("linnet.SGD, absolute loss, shuffle=False", lambda: epoch(X, y, ABSOLUTE, **in_order), runs),
            Contender("reading the rows once, one thread", lambda: read(X), runs),
            Contender("reading the rows once, two threads", lambda: read(X, 2), runs),
            Contender("scikit-learn SGDRegressor", lambda: sklearn_epoch(X, y), min(runs, 5)),
            Contender(f"plain torch loop (from {some} minibatches)", lambda: plain_torch(X, y, some), min(runs, 5)),
            Contender(f"nn.Linear and DataLoader (from {some})", lambda: loader_epoch(X, y, some), min(runs, 5)),
        ],
    )


def wide(n: int, d: int, runs: int) -> None:
    """One epoch over rows so long that a second thread helps with each minibatch."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, d), dtype=np.float32)
    y = X @ random.standard_normal(d).astype(np.float32) + random.standard_normal(n).astype(np.float32)

    def one(shuffle: bool) -> float:
        return epoch(X, y, batch_size=64, shuffle=shuffle, lr=0.2 / d)

    epoch(X[:1000], y[:1000], batch_size=64)
    compare(
        f"{n:,} × {d} float32, batch 64, one epoch",
        [
            Contender("linnet.SGD, random order", lambda: one(shuffle=True), runs),
            Contender("random order, LINNET_NUM_THREADS=1", lambda: alone(lambda: one(shuffle=True)), runs),
            Contender("linnet.SGD, shuffle=False", lambda: one(shuffle=False), runs),
            Contender("shuffle=False, LINNET_NUM_THREADS=1", lambda: alone(lambda: one(shuffle=False)), runs),
            Contender("reading the rows once, one thread", lambda: read(X), runs),
            Contender("reading the rows once, two threads", lambda: read(X, 2), runs),
            Contender("scikit-learn SGDRegressor", lambda: sklearn_epoch(X, y), min(runs, 5)),
        ],
    )


def main() -> None:
    """Print one table for each size."""
    quick = begin("Learning by gradient descent", "1,000,000 × 100, 200,000 × 500 and 8,000,000 × 20").quick
    textbook(*(1, 5) if quick else (15, 300))
    large(*(20_000, 100, 1, 20) if quick else (1_000_000, 100, 15, 400))
    wide(*(2_000, 500, 1) if quick else (200_000, 500, 7))
    on_disk(*(40_000, 2) if quick else (8_000_000, 20))


if __name__ == "__main__":
    main()
