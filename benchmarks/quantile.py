"""Speed of absolute loss: in memory against scikit-learn and statsmodels, and from Parquet against reading alone."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linnet
from streaming import DECODE, MEASURE, WRITE, measured
from timing import Contender, begin, child, compare, duration, medians, table, warm

Matrix = NDArray[Any]
CALL = 'linnet.fit(sys.argv[1], "y", loss="absolute", errors="{errors}", progress=False)'
LIKE = """
import linnet, numpy, pyarrow, pyarrow.parquet
rng = numpy.random.default_rng(0)
few = pyarrow.table({{f"x{{i}}": rng.standard_normal(300).astype("f4") for i in range(21)}})
linnet.fit(few, "x1", loss="absolute", errors="{errors}", progress=False)
"""


def heavy_tailed(rows: int) -> tuple[Matrix, Matrix]:
    """20 features, and errors by Student's t with 2 degrees of freedom."""
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, 20))
    return X, X @ random.standard_normal(20) + random.standard_t(2, rows)


def objective(X: Matrix, y: Matrix, weights: Matrix, bias: float) -> float:
    """The mean absolute residual."""
    return float(np.abs(y - X @ weights - bias).mean())


def in_memory(rows: int, runs: int, rival_runs: int, *, scikit: bool) -> None:
    """One table of seconds, one of the objectives that were reached."""
    import statsmodels.api as sm
    from sklearn.linear_model import QuantileRegressor

    X, y = heavy_tailed(rows)
    reached: dict[str, float] = {}

    def ours(errors: linnet.plan.Errors) -> Callable[[], None]:
        def run() -> None:
            fit = linnet.fit(X, y, loss="absolute", errors=errors, progress=False)
            reached["linnet"] = objective(X, y, fit.weights, fit.bias)

        return run

    def theirs() -> None:
        fit = sm.QuantReg(y, sm.add_constant(X)).fit(q=0.5)
        reached["statsmodels QuantReg"] = objective(X, y, fit.params[1:], fit.params[0])

    def slowest() -> None:
        fit = QuantileRegressor(quantile=0.5, alpha=0).fit(X, y)
        reached["scikit-learn QuantileRegressor"] = objective(X, y, fit.coef_, fit.intercept_)

    contenders = [
        Contender("linnet, weights alone", ours("none"), runs),
        Contender("linnet, with nid errors", ours("nid"), runs),
        Contender("statsmodels QuantReg, with its errors", theirs, rival_runs),
    ]
    if scikit:
        contenders.append(Contender("scikit-learn QuantileRegressor", slowest, 1))
    warm(contenders[:2])
    compare(f"absolute loss, {rows:,} × 20 float64 in memory", contenders)
    best = min(reached.values())
    table(
        "and the mean absolute residual that they reached",
        ("fit", "objective", "above the best, relative"),
        [(name, f"{value:.12g}", f"{value / best - 1:.1e}") for name, value in reached.items()],
    )


def streamed(rows: int, runs: int) -> None:
    """From Parquet, with the number of passes, against decoding the same columns once."""
    with tempfile.TemporaryDirectory() as name:
        child(WRITE, str(rows), name)
        files = Path(name) / "parquet"
        decode = "pyarrow ParquetFile.iter_batches, one pass"
        memory: dict[str, list[float]] = {"linnet, weights alone": [], "linnet, with nid errors": [], decode: []}
        contenders = [
            Contender(
                label,
                measured(
                    MEASURE.format(imports=LIKE.format(errors=errors), work=CALL.format(errors=errors)),
                    files,
                    memory[label],
                ),
                runs,
            )
            for label, errors in (("linnet, weights alone", "none"), ("linnet, with nid errors", "nid"))
        ]
        contenders.append(Contender(decode, measured(DECODE, files, memory[decode]), runs))
        warm(contenders)
        seconds = medians(contenders)
        fit = linnet.fit(files, "y", loss="absolute", errors="none", progress=False)
        table(
            f"absolute loss, {rows:,} × 20 float32 from Parquet, {fit.passes} passes for the weights",
            ("contender", "runs", "median", "it ÷ one pass", "peak memory above imports"),
            [
                (
                    contender.name,
                    str(runs),
                    duration(seconds[contender.name]),
                    f"{seconds[contender.name] / seconds[decode]:.3g}",
                    f"{max(memory[contender.name]) / 1e6:,.0f} MB",
                )
                for contender in contenders
            ],
        )


def main() -> None:
    """Print the tables."""
    quick = begin("Absolute and quantile loss", "50,000, 1,000,000 and 8,000,000 rows").quick
    in_memory(500 if quick else 50_000, 1 if quick else 5, 1 if quick else 3, scikit=True)
    in_memory(2_000 if quick else 1_000_000, 1 if quick else 5, 1, scikit=False)
    streamed(40_000 if quick else 8_000_000, 1 if quick else 3)


if __name__ == "__main__":
    main()
