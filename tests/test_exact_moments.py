"""Exact Moments: their integers against sums of fractions, and one bit pattern however the rows come."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import linnet
from linnet.block import Block, InputError
from linnet.exact_moments import ExactMoments
from linnet.sources.arrays import ArraySource
from rational import integer

Floats = NDArray[np.float64]


def sums(moments: ExactMoments) -> list[list[Fraction]]:
    """The sums of w·z·zᵀ over z = [1, X, y] that the limbs stand for."""
    q = moments.features + 2
    e = [int(v) for v in moments.exponents]
    return [
        [integer(moments.limbs[:, i, j]) * Fraction(2) ** (moments.weight_exponent + e[i] + e[j]) for j in range(q)]
        for i in range(q)
    ]


def expected(X: NDArray[np.floating], y: NDArray[np.floating], w: Floats | None = None) -> list[list[Fraction]]:
    z = [[Fraction(1), *(Fraction(float(v)) for v in row), Fraction(float(t))] for row, t in zip(X, y, strict=True)]
    weights = [Fraction(1)] * len(y) if w is None else [Fraction(float(v)) for v in w]
    q = X.shape[1] + 2
    return [
        [sum((u * r[i] * r[j] for u, r in zip(weights, z, strict=True)), Fraction(0)) for j in range(q)]
        for i in range(q)
    ]


value = st.floats(-1e25, 1e25).filter(lambda x: x == 0 or abs(x) > 1e-25)
positive = st.floats(1e-15, 1e15)


@given(st.lists(st.tuples(value, value, value, st.none() | positive), min_size=1, max_size=6), st.booleans())
def test_the_sums_are_exact(rows: list[tuple[float, float, float, float | None]], weighted: bool) -> None:
    """Numbers that span fifty decimal orders within a column, weights thirty."""
    X, y = np.array([[a, b] for a, b, _, _ in rows]), np.array([c for _, _, c, _ in rows])
    w = np.array([0.0 if u is None else u for *_, u in rows]) if weighted else None
    moments = ExactMoments.of(Block(X, y, w))
    assert sums(moments) == expected(X, y, w)
    assert moments.n == (len(rows) if w is None else np.count_nonzero(w))


@pytest.mark.parametrize("scale", [1.0, 1e150, 1e-150, 1e300, 1e-300, 5e-324])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_sums_are_exact_at_the_ends_of_the_range(rng: np.random.Generator, scale: float, weighted: bool) -> None:
    X = np.column_stack([rng.standard_normal(20) * scale, rng.standard_normal(20)])
    if scale == 5e-324:
        X[:, 0] = rng.integers(-9, 9, 20) * scale
    y, w = rng.standard_normal(20), rng.uniform(0.1, 2, 20) if weighted else None
    assert sums(ExactMoments.of(Block(X, y, w))) == expected(X, y, w)


def test_float32_is_taken_as_it_is(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((30, 3)).astype(np.float32), rng.standard_normal(30).astype(np.float32)
    a, b = ExactMoments.of(Block(X, y)), ExactMoments.of(Block(X.astype(np.float64), y.astype(np.float64)))
    assert np.array_equal(a.limbs, b.limbs)
    assert sums(a) == expected(X, y)


def test_many_rows_with_all_digits_at_their_largest() -> None:
    """Every digit product is as large as it can be, in more rows than one task takes: no sum may lose a bit."""
    n = 40_000
    x = np.full(n, float((1 << 53) - 1))
    x[1::2] = -float((1 << 53) - (1 << 20) + 1)
    X, y = np.column_stack([x, np.ones(n)]), x[::-1].copy()
    moments = ExactMoments.of(Block(X, y))
    a, b = int(x[0]), int(x[1])
    half = n // 2
    want = [
        [n, half * (a + b), n, half * (a + b)],
        [half * (a + b), half * (a * a + b * b), half * (a + b), n * a * b],
        [n, half * (a + b), n, half * (a + b)],
        [half * (a + b), n * a * b, half * (a + b), half * (a * a + b * b)],
    ]
    assert sums(moments) == want


def test_many_columns_with_all_digits_at_their_largest() -> None:
    """So many that more rows are taken at once; one row of ones makes the sums odd: none may lose its last bit."""
    x = np.full(4096, float((1 << 41) - (1 << 20) - 1))
    x[0] = 1.0
    moments = ExactMoments.of(Block(np.repeat(x[:, None], 260, axis=1), x))
    products = moments.limbs[:, 1:, 1:]
    assert (products == products[:, :1, :1]).all()
    unit = Fraction(2) ** (moments.weight_exponent + 2 * int(moments.exponents[1]))
    assert integer(products[:, 0, 0]) * unit == 4095 * int(x[1]) ** 2 + 1


def table(rng: np.random.Generator, n: int = 3000) -> tuple[Floats, Floats, Floats]:
    """Ill-conditioned, so that rounding anywhere would show."""
    X = rng.standard_normal((n, 5)) * [1e-3, 1.0, 1e4, 1.0, 1e-8] + [0, 1e6, 0, 1.0, 3e-7]
    X[:, 3] = X[:, 1] + 1e-7 * X[:, 3]
    return X, X @ [1e3, 1.0, 1e-4, -1.0, 1e8] + rng.standard_normal(n), rng.uniform(1e-3, 5, n)


def bits(fit: linnet.Fit) -> bytes:
    whole: Floats = np.r_[fit.weights, fit.bias, fit.std_errors, fit.bias_std_error, fit.r2, fit.objective]
    return whole.tobytes()


def exact(source: ArraySource) -> bytes:
    solution = list(linnet.Exact(precision="exact").steps(linnet.Objective(linnet.Squared()), source))[-1].solution
    assert solution is not None
    uncertainty = solution.uncertainty
    assert uncertainty is not None
    whole: Floats = np.r_[solution.weights, solution.bias, uncertainty.sd, solution.residual_sd]
    return whole.tobytes()


@pytest.mark.parametrize("weighted", [False, True])
def test_one_bit_pattern_over_orders_blocks_and_threads(
    rng: np.random.Generator, weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """20 row orders, 4 block sizes, 1 and 2 threads: NumPy's lstsq gives 20 different answers to 20 orders."""
    X, y, w = table(rng)
    seen = set()
    for threads in ("1", "2"):
        monkeypatch.setenv("LINNET_NUM_THREADS", threads)
        monkeypatch.setattr("linnet.exact_moments.PARALLEL", 1000)
        for _ in range(20):
            order = rng.permutation(len(y))
            for block_rows in (100, 999, 2048, 5000):
                weight = w[order] if weighted else None
                seen.add(exact(ArraySource(X[order], y[order], weight=weight, block_rows=block_rows)))
    assert len(seen) == 1
    assert len({np.linalg.lstsq(X[o], y[o])[0].tobytes() for o in (rng.permutation(len(y)) for _ in range(20))}) > 1


def test_threads_share_a_large_block_without_changing_a_bit(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, w = table(rng, 50_000)
    seen = set()
    for threads in ("1", "2"):
        monkeypatch.setenv("LINNET_NUM_THREADS", threads)
        seen.add(bits(linnet.fit(X, y, weight=w, precision="exact")))
        seen.add(bits(linnet.fit(X[::-1], y[::-1], weight=w[::-1], precision="exact")))
    assert len(seen) == 1


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shards", [2, 3, 7])
def test_one_bit_pattern_over_shards_in_any_order(rng: np.random.Generator, shards: int, weighted: bool) -> None:
    X, y, w = table(rng)
    weight = w if weighted else None
    whole = ExactMoments.of(Block(X, y, weight)).solve()
    bounds = np.sort(np.r_[0, rng.integers(1, len(y), shards - 1), len(y)])
    parts = [
        ExactMoments.of(Block(X[a:b], y[a:b], None if weight is None else weight[a:b]))
        for a, b in itertools.pairwise(bounds)
    ]
    orders = list(itertools.permutations(parts))
    for at in rng.choice(len(orders), min(len(orders), 6), replace=False):
        total = orders[at][0]
        for part in orders[at][1:]:
            total = total + part
        tree = sum(orders[at][2:], orders[at][0] + orders[at][1])
        for moments in (total, tree):
            solution = moments.solve()
            assert solution.weights.tobytes() == whole.weights.tobytes()
            assert solution.bias == whole.bias
            assert solution.basis.tobytes() == whole.basis.tobytes()
            uncertainty, expected = solution.uncertainty, whole.uncertainty
            assert uncertainty is not None
            assert expected is not None
            assert uncertainty.factor.tobytes() == expected.factor.tobytes()


def test_memory_order_and_strides_change_no_bit(rng: np.random.Generator) -> None:
    X, y, _ = table(rng)
    wide = np.zeros((len(y), 10))
    wide[:, ::2] = X
    seen = {
        bits(linnet.fit(each, y, precision="exact"))
        for each in (X, np.asfortranarray(X), wide[:, ::2], X[::-1].copy()[::-1], X.tolist())
    }
    assert len(seen) == 1


@pytest.mark.parametrize("weighted", [False, True])
def test_subtracting_leaves_exactly_the_other_rows(rng: np.random.Generator, weighted: bool) -> None:
    """Rows of another magnitude come and go without a trace."""
    X, y, w = table(rng, 400)
    weight = w if weighted else None
    X[:100] *= 1e20
    y[:100] *= 1e-20
    part = [None if weight is None else weight[a:b] for a, b in ((0, 400), (0, 100), (100, 400))]
    whole = ExactMoments.of(Block(X, y, part[0]))
    rest = whole - ExactMoments.of(Block(X[:100], y[:100], part[1]))
    alone = ExactMoments.of(Block(X[100:], y[100:], part[2]))
    assert rest.n == 300
    assert sums(rest) == sums(alone)
    assert rest.solve().weights.tobytes() == alone.solve().weights.tobytes()
    assert rest.solve().bias == alone.solve().bias
    nothing = whole - whole
    assert nothing.n == 0
    assert not any(v for row in sums(nothing) for v in row)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_is_refused(value: float) -> None:
    X, y = np.ones((10, 2)), np.ones(10)
    X[3, 1] = value
    with pytest.raises(InputError, match=r"missing .* or infinite"):
        ExactMoments.of(Block(X, y))
    with pytest.raises(InputError, match=r"missing .* or infinite"):
        ExactMoments.of(Block(np.ones((10, 2)), X[:, 1]))


def test_columns_of_zeros_and_rows_without_weight(rng: np.random.Generator) -> None:
    X, y, w = table(rng, 50)
    X[:, 2] = 0
    w[::3] = 0
    kept = w > 0
    moments = ExactMoments.of(Block(X, y, w))
    assert sums(moments) == expected(X[kept], y[kept], w[kept])
    assert ExactMoments.of(Block(X, y, w * 0)).n == 0
    assert sums(moments + ExactMoments.of(Block(X, y, w * 0))) == sums(moments)
    assert sums(ExactMoments.of(Block(X, y, w * 0)) + moments) == sums(moments)
