"""The kernel that tells on which side of a plane rows lie, against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linnet.glob_kernels import look
from linnet.solvers.frame import Coordinates


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("before", [False, True])
def test_rows_are_told_as_numpy_tells_them(weighted: bool, order: Any, dtype: Any, before: bool) -> None:
    rng = np.random.default_rng(1)
    n, d, q = 700, 5, 0.3  # more than two tiles, the last one short
    X = np.asarray(rng.standard_normal((n, d)) * [1, 10, 0.1, 1, 1] + [0, 100, 0, 5, 0], order=order, dtype=dtype)
    y = (X[:, 0] + 3 + rng.standard_normal(n)).astype(dtype)
    w = rng.uniform(0.5, 2, n) * (rng.random(n) < 0.9) if weighted else np.ones(n)
    unit = np.array([np.full(d, 2.0), 2 * X.mean(axis=0), [1, 0.1, 10, 1, 1]])
    basis = np.triu(rng.standard_normal((d, d)))
    basis[2] = 0.0  # a column that is left out, as in a design that is rank deficient
    at = Coordinates(unit, np.array([0.5, 1.5, 4.0]), basis, 1)
    planes, bands = rng.standard_normal((2, d + 1)), np.array([0.3, 0.2 if before else -1.0])
    near, globs, sums = np.zeros(n, np.int64), np.zeros((2, d + 2)), np.zeros(3)
    count = look(
        X, y, w if weighted else np.empty(0), unit, at.target, basis, at.spans, 1.0, at.most, q, planes, bands,
        near, globs, sums,
    )  # fmt: skip

    x = (X * unit[0] - unit[1]) * unit[2]
    t = (y.astype(np.float64) * 0.5 - 1.5) * 4.0
    r, was = (t - plane[0] - x @ plane[1:] for plane in planes)
    length = np.sqrt(1.0 + np.square(x @ basis).sum(axis=1))
    undecided = np.abs(r) <= bands[0] * length
    assert near[:count].tolist() == np.flatnonzero(undecided & (w > 0)).tolist()
    for side, there in zip(globs, ((r > 0) & ~undecided, (r < 0) & ~undecided), strict=True):
        np.testing.assert_allclose(side, w[there] @ np.column_stack([x, t, np.ones(n)])[there], rtol=1e-9, atol=1e-9)
    wrong = (np.abs(was) > bands[1] * length) & (was * r < 0) if before else np.zeros(n, np.bool_)
    assert before == bool(wrong.any())
    loss = w @ np.maximum(q * r, (q - 1) * r)
    np.testing.assert_allclose(sums, [loss, w @ r**2, w[wrong] @ np.abs(r[wrong])], rtol=1e-10)


def test_a_residual_that_is_rounding_tells_no_side() -> None:
    X, y = np.array([[1.0], [2.0], [3.0]]), np.array([0.1, 0.2, 0.3])
    unit = np.array([[1.0], [0.0], [1.0]])
    near, globs, sums = np.zeros(3, np.int64), np.zeros((2, 3)), np.zeros(3)
    planes = np.array([[0.0, 0.1], [0.0, 0.1]])
    count = look(
        X, y, np.empty(0), unit, np.array([1.0, 0.0, 1.0]), np.ones((1, 1)), np.array([[0], [1]]), 0.0, 1.0, 0.5,
        planes, np.array([0.0, 0.0]), near, globs, sums,
    )  # fmt: skip
    assert count == 3  # 3 · 0.1 is not 0.3, but no row lies off the plane for that
    assert not globs.any()
    assert sums[2] == 0.0
