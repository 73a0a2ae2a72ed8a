from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import linnet
from linnet.block import Block, InputError
from linnet.kernels import short_gram
from linnet.moments import Float64Moments, Moments, in_chunks

Floats = NDArray[np.float64]


def table(rng: np.random.Generator, n: int = 500, d: int = 4) -> tuple[Floats, Floats, Floats]:
    X = rng.standard_normal((n, d)) + np.arange(d)
    return X, X @ np.linspace(-1, 2, d) + 0.5 + rng.standard_normal(n), rng.uniform(0.1, 2, n)


def raw(moments: Float64Moments) -> Floats:
    """Sums of w·z·zᵀ over z = [1, X, y], about 0."""
    return moments.about(np.zeros(moments.features + 1)).gram


def expected(X: Floats, y: Floats, w: Floats | None = None) -> Floats:
    z = np.column_stack([np.ones(len(y)), X, y])
    return np.asarray(z.T @ (z if w is None else z * w[:, None]))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
def test_gram(rng: np.random.Generator, order: Any, weighted: bool) -> None:
    X, y, w = table(rng, 3000)
    X = np.array(X, order=order)
    weight = w if weighted else None
    moments = Float64Moments.of(Block(X, y, weight))
    assert raw(moments) == pytest.approx(expected(X, y, weight), rel=1e-13)
    first = np.average(np.column_stack([X, y])[:1024], axis=0, weights=None if weight is None else weight[:1024])
    assert moments.shift == pytest.approx(first)
    assert (moments.n, moments.features) == (3000, 4)


def test_few_rows_of_any_layout_are_summed_by_one_machine_code(rng: np.random.Generator) -> None:
    """Compiling the loop for another one takes a second, and copying so few numbers no time."""
    X, y, w = (array.astype(np.float32).astype(np.float64) for array in table(rng, 100))
    wide = np.repeat(np.column_stack([X, y, w]), 2, axis=0)[::2]
    locked = wide.copy()
    locked.setflags(write=False)
    plain = Float64Moments.of(Block(X, y, w))
    known = set(short_gram.signatures)
    for z in (wide, locked, np.asfortranarray(wide), wide.astype(np.float32)):
        moments = Float64Moments.of(Block(z[:, :4], z[:, 4], z[:, 5].astype(np.float64, copy=False)))
        assert (moments.gram.tobytes(), moments.shift.tobytes()) == (plain.gram.tobytes(), plain.shift.tobytes())
    assert set(short_gram.signatures) == known


def test_n_counts_rows_with_weight(rng: np.random.Generator) -> None:
    X, y, w = table(rng)
    w[:10] = 0
    for precision in ("float64", "exact"):
        assert Moments.of(Block(X, y, w), precision).n == 490


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_parts_add_up_in_any_order(sizes: list[int], random: Any) -> None:
    """Empty and one-row blocks among them; each block brings a shift of its own."""
    rng = np.random.default_rng(sum(sizes) + len(sizes))
    n = sum(sizes) + 3
    X, y, w = table(rng, n)
    bounds = np.cumsum([0, *sizes, 3])
    parts = [Float64Moments.of(Block(X[a:b], y[a:b], w[a:b])) for a, b in pairwise(bounds)]
    random.shuffle(parts)
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert total.n == n
    assert raw(total) == pytest.approx(expected(X, y, w), rel=1e-12, abs=1e-12)


def test_subtracting_undoes_adding(rng: np.random.Generator) -> None:
    X, y, w = table(rng)
    whole, part = Float64Moments.of(Block(X, y, w)), Float64Moments.of(Block(X[:100], y[:100], w[:100]))
    rest = whole - part
    assert rest.n == 400
    assert raw(rest) == pytest.approx(expected(X[100:], y[100:], w[100:]), rel=1e-11)
    fit = linnet.fit(X[100:], y[100:], weight=w[100:])
    assert rest.solve().weights == pytest.approx(fit.weights, rel=1e-11)


def test_about_moves_the_shift(rng: np.random.Generator) -> None:
    X, y, w = table(rng)
    moments = Float64Moments.of(Block(X, y, w))
    moved = moments.about(np.full(5, 3.5))
    assert moved.gram == pytest.approx(Float64Moments.of(Block(X, y, w), shift=np.full(5, 3.5)).gram, rel=1e-12)
    back = moved.about(moments.shift)
    assert back.gram == pytest.approx(moments.gram, rel=1e-11, abs=1e-9)


@pytest.mark.parametrize("offset", [1e6, 1e9, -1e6])
def test_an_offset_of_the_features_costs_no_digits(rng: np.random.Generator, offset: float) -> None:
    """Slopes from raw float64 sums would be off by 6e-2 at 1e6: the centred ones agree with the exact ones."""
    X, y, _ = table(rng, 4000)
    X = X + offset
    block = Block(X, y + offset)
    slow = Moments.of(block, "exact").solve()
    assert Float64Moments.of(block).solve().weights == pytest.approx(slow.weights, rel=1e-9)
    halves = Float64Moments.of(Block(X[:700], y[:700] + offset)) + Float64Moments.of(Block(X[700:], y[700:] + offset))
    assert halves.solve().weights == pytest.approx(slow.weights, rel=1e-9)


def test_different_moments_do_not_mix(rng: np.random.Generator) -> None:
    X, y, _ = table(rng)
    one, other = Moments.of(Block(X, y)), Moments.of(Block(X, y), "exact")
    narrow = Moments.of(Block(X[:, :2], y))
    for a, b in ((one, other), (other, one), (one, narrow), (narrow, one)):
        with pytest.raises(InputError, match="same columns and precision"):
            a + b
        with pytest.raises(InputError, match="same columns and precision"):
            a - b


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_no_rows(precision: linnet.moments.Precision) -> None:
    empty = Moments.of(Block(np.empty((0, 2)), np.empty(0)), precision)
    assert empty.n == 0
    for moments in (empty, empty + empty):
        with pytest.raises(InputError, match="no rows to fit"):
            moments.solve()


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_condition_is_that_of_the_standardised_design(
    rng: np.random.Generator, precision: linnet.moments.Precision
) -> None:
    X, y, w = table(rng)
    X = np.column_stack([X * [1e-6, 1.0, 1e6, 1e3], X[:, 0] + 0.01 * rng.standard_normal(500)])
    Z = (X - X.mean(0)) / X.std(0)
    assert Moments.of(Block(X, y), precision).condition == pytest.approx(np.linalg.cond(Z), rel=1e-9)
    mean = w @ X / w.sum()
    Z = np.sqrt(w)[:, None] * (X - mean) / np.sqrt(w @ (X - mean) ** 2)
    assert Moments.of(Block(X, y, w), precision).condition == pytest.approx(np.linalg.cond(Z), rel=1e-9)
    assert Moments.of(Block(np.column_stack([X, X[:, 0]]), y), precision).condition == np.inf


def test_not_finite_is_noticed(rng: np.random.Generator) -> None:
    X, y, _ = table(rng)
    assert Float64Moments.of(Block(X, y)).finite
    X[77, 2] = np.nan
    assert not Float64Moments.of(Block(X, y)).finite
    X[77, 2] = 1e200
    assert not Float64Moments.of(Block(X, y)).finite


def test_threads_change_nothing(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large enough for threads; the bits are those of one thread."""
    X, y, w = table(rng, 90_000, 12)
    results = []
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("LINNET_NUM_THREADS", threads)
        results.append(Float64Moments.of(Block(X, y, w)).gram.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("parallel", [1, 1 << 60])
def test_chunks_cover_every_row_once_in_order(parallel: int) -> None:
    n = 40_001
    rows = np.arange(n, dtype=np.float64)
    block = Block(rows[:, None], 2 * rows, 3 * rows, start=7)
    seen = in_chunks(block, lambda part: part, parallel)
    assert len(seen) > 1
    assert np.array_equal(np.concatenate([part.X for part in seen]), block.X)
    assert block.y is not None
    assert block.weight is not None
    at = 7
    for part in seen:
        assert part.y is not None
        assert part.weight is not None
        assert part.start == at
        assert part.y[0] == 2 * (at - 7)
        assert part.weight[-1] == 3 * part.X[-1, 0]
        at += part.rows
    assert at == n + 7
    assert in_chunks(Block(np.empty((0, 1)), np.empty(0)), lambda part: part, parallel) == []


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("d", "size"), [(3, 1.0), (3, 0.01), (300, 1.0)])
def test_stable_rate_is_two_over_the_largest_eigenvalue(intercept: bool, d: int, size: float) -> None:
    rng = np.random.default_rng(0)
    X = size * (rng.standard_normal((1000, d)) * rng.uniform(0.1, 3.0, d) + 2.0)
    w = rng.uniform(0.0, 2.0, 1000)
    z = np.column_stack([np.ones(1000), X]) if intercept else X
    l2 = 0.7 * size**2
    penalty = np.diag(np.r_[np.zeros(z.shape[1] - d), np.full(d, l2)])
    largest = np.linalg.eigvalsh((z.T * w) @ z / w.sum() + penalty)[-1]
    moments = Moments.of(Block(X, X[:, 0], w))
    assert moments.stable_rate(l2, intercept) == pytest.approx(2 / largest, rel=1e-6 if d > 256 else 1e-10)


@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize(
    ("weight", "X", "y", "said"),
    [
        (-1.0, 0.0, 0.0, "'weight' is -1.0 in row 14: weights must be finite and at least 0"),
        (np.nan, 0.0, 0.0, "'weight' is nan in row 14"),
        (1.0, np.nan, 0.0, r"Column 'x2' is missing \(NaN\) in row 14"),
        (1.0, np.inf, 0.0, "Column 'x2' is infinite in row 14"),
        (1.0, 0.0, np.nan, r"Column 'y' is missing \(NaN\) in row 14"),
    ],
)
def test_numbers_that_are_none_are_named(
    rng: np.random.Generator, precision: linnet.moments.Precision, weight: float, X: float, y: float, said: str
) -> None:
    """Where float64 sums once spoke of their range, and exact ones took negative weights."""
    columns, target, weights = table(rng, 50)
    weights[3], columns[3, 1], target[3] = weight, columns[3, 1] + X, target[3] + y
    with pytest.raises(InputError, match=said):
        Moments.of(Block(columns, target, weights, start=10), precision)


def test_moments_of_what_is_no_table_are_refused(rng: np.random.Generator) -> None:
    X, y, _ = table(rng)
    with pytest.raises(InputError, match="need a target"):
        Moments.of(Block(X))
    for wrong in ("float32", "EXACT", None, 64):
        with pytest.raises(InputError, match='must be "float64" or "exact", but is'):
            Moments.of(Block(X, y), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("l2", [-1, np.nan, np.inf, "much", None, True])
def test_l2_is_judged_as_the_objective_judges_it(rng: np.random.Generator, l2: Any) -> None:
    X, y, _ = table(rng)
    moments = Moments.of(Block(X, y))
    for method in (moments.solve, moments.stable_rate):
        with pytest.raises(InputError, match="l2 must be a finite number at least 0"):
            method(l2)
    assert moments.solve(np.float32(0.5)).weights.tolist() == moments.solve(0.5).weights.tolist()  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_sum_adds_them(rng: np.random.Generator, precision: linnet.moments.Precision) -> None:
    X, y, w = table(rng)
    parts = [Moments.of(Block(X[i::3], y[i::3], w[i::3]), precision) for i in range(3)]
    whole = sum(parts)
    assert isinstance(whole, Moments)
    assert whole.n == 500
    expected = Moments.of(Block(X, y, w), precision).solve().weights
    assert whole.solve().weights == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_rows_that_were_never_added_cannot_be_taken_away(
    rng: np.random.Generator, precision: linnet.moments.Precision
) -> None:
    """More rows than there are; or, where rounding leaves no doubt, squares that add up to more."""
    X, y, _ = table(rng, 100)
    whole = Moments.of(Block(X, y), precision)
    many = Moments.of(Block(np.tile(X, (12, 1)), np.tile(y, 12)), precision)
    with pytest.raises(InputError, match="1,200 rows from 100"):
        whole - many
    for weight in (2.0, 9.0):
        heavy = Moments.of(Block(X[:50], y[:50], np.full(50, weight)), precision)
        with pytest.raises(InputError, match=r"weigh nothing|a sum of squares would be negative"):
            (whole - heavy).solve()
    if precision == "exact":
        for part in (Block(100 * X[:50], y[:50]), Block(X[:50], 100 * y[:50])):
            with pytest.raises(InputError, match="a sum of squares would be negative"):
                whole - Moments.of(part, precision)


@pytest.mark.parametrize("precision", ["float64", "exact"])
def test_rows_that_were_added_can_all_be_taken_away(
    rng: np.random.Generator, precision: linnet.moments.Precision
) -> None:
    """Down to one, to one that says nothing of a column, and to none, whatever rounding leaves of the sums."""
    X, y, w = table(rng, 3000)
    X = X * [1.0, 1e-9, 1e9, 1.0] + [0.0, 1e6, 0.0, 1e9]
    X[-1] = 0.0
    rest = Moments.of(Block(X, y, w), precision)
    for a, b in ((0, 1000), (1000, 2990), (2990, 2999), (2999, 3000)):
        rest = rest - Moments.of(Block(X[a:b], y[a:b], w[a:b]), precision)
        assert rest.n == 3000 - b
