"""Speed of Huber regression, with delta given and with k, against scikit-learn and statsmodels; and who gets lower."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import linnet
from linnet.block import Block
from linnet.losses import Huber
from linnet.moments import PARALLEL, Float64Moments, in_chunks
from linnet.objective import Objective
from linnet.solvers.newton import Newton
from linnet.sources.arrays import ArraySource
from timing import Contender, begin, compare, duration, medians, table

Matrix = NDArray[Any]
K = 1.345


def rows(n: int, d: int) -> tuple[Matrix, Matrix]:
    """Heavy tails about a plane, and one row in twenty far off on one side."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, d))
    y = X @ random.standard_normal(d) + 3 + random.standard_t(3, n)
    y[: n // 20] += 50
    return X, y


def solve(X: Matrix, y: Matrix, loss: Huber) -> tuple[Matrix, float, float]:
    """Weights, bias and delta by Linnet's solver."""
    *_, last = Newton().steps(Objective(loss), ArraySource(X, y))
    assert last.weights is not None
    assert last.bias is not None
    return last.weights, last.bias, float(last.settings["delta"])


def by_scikit_learn(X: Matrix, y: Matrix) -> tuple[Matrix, float, float]:
    """The same by HuberRegressor, whose scale minimises a function of its own; without a penalty."""
    from sklearn.linear_model import HuberRegressor

    model = HuberRegressor(epsilon=K, alpha=0.0).fit(X, y)
    return model.coef_, float(model.intercept_), float(K * model.scale_)


def by_statsmodels(X: Matrix, y: Matrix) -> tuple[Matrix, float, float]:
    """The same by RLM, with its MAD."""
    import statsmodels.api as sm

    fitted = sm.RLM(y, sm.add_constant(X), M=sm.robust.norms.HuberT(K)).fit()
    return np.asarray(fitted.params[1:]), float(fitted.params[0]), float(K * fitted.scale)


def floor(X: Matrix, runs: int) -> dict[str, float]:
    """Seconds to read the rows once by all threads, and those of one pass of their Moments: what a pass is near."""
    block = Block(X, np.ascontiguousarray(X[:, 0]))

    def read() -> None:
        in_chunks(block, lambda part: float(part.X.sum()), PARALLEL)

    def moments() -> None:
        Float64Moments.of(block)

    return medians([Contender("read", read, runs), Contender("moments", moments, runs)])


def measure(n: int, d: int, runs: int, slow: int) -> None:
    """One size: the floor, the times, and the objectives at each other's delta."""
    X, y = rows(n, d)
    for loss in (Huber(1.0), Huber(k=K)):
        solve(X, y, loss)  # compiles
    results: dict[str, tuple[Matrix, float, float]] = {}

    def contender(name: str, run: Callable[[], tuple[Matrix, float, float]], times: int) -> Contender:
        def kept() -> None:
            results[name] = run()

        return Contender(name, kept, times)

    def fitted(loss: Huber, errors: linnet.plan.Errors) -> None:
        linnet.fit(X, y, loss=loss, errors=errors, progress=False)

    least = floor(X, runs)
    read, moments = duration(least["read"]), duration(least["moments"])
    print(f"\nFloor: {read} to read the rows once, {moments} for a pass of their Moments.")
    theirs = by_scikit_learn(X[::10], y[::10])[2]
    compare(
        f"{n:,} × {d} float64, Huber loss",
        [
            contender(f"Newton, Huber({theirs:.3g})", lambda: solve(X, y, Huber(theirs)), runs),
            contender(f"Newton, Huber(k={K})", lambda: solve(X, y, Huber(k=K)), runs),
            contender("Newton, concomitant scale", lambda: solve(X, y, Huber(k=K, scale="concomitant")), runs),
            Contender("linnet.fit, delta, weights alone", lambda: fitted(Huber(theirs), "none"), runs),
            Contender("linnet.fit, delta, with errors", lambda: fitted(Huber(theirs), "sandwich"), runs),
            Contender("linnet.fit, k, with errors", lambda: fitted(Huber(k=K), "sandwich"), runs),
            contender("scikit-learn HuberRegressor", lambda: by_scikit_learn(X, y), min(runs, slow)),
            contender("statsmodels RLM", lambda: by_statsmodels(X, y), slow),
        ],
    )
    source = ArraySource(X, y)
    lines = []
    for name in ("scikit-learn HuberRegressor", "statsmodels RLM"):
        weights, bias, delta = results[name]
        loss = Huber(delta)
        reached = Objective(loss).of(source, weights, bias)
        own = solve(X, y, loss)
        ours = Objective(loss).of(source, own[0], own[1])
        lines.append((name, f"{delta:.6g}", f"{reached:.15g}", f"{ours:.15g}", f"{reached / ours - 1:.2g}"))
    table(
        "Objective at the delta that they found: theirs, and Newton's",
        ("contender", "delta", "theirs", "Newton", "theirs is above by"),
        lines,
    )


def main() -> None:
    """Print the tables."""
    quick = begin("Huber regression", "1,000,000 × 20").quick
    measure(*(5_000, 5, 2, 1) if quick else (1_000_000, 20, 7, 2))


if __name__ == "__main__":
    main()
