"""Moments: the weighted second moments of [1, X, y]. They add and subtract; everything exact is solved from them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Self, TypeVar, get_args

import numpy as np
from scipy.linalg.blas import dsyrk

from linnet.block import NO_ROWS, Block, Float64s, Floats, InputError, check_weight
from linnet.kernels import mirror, narrow_gram, short_gram
from linnet.normal import NormalEquations
from linnet.normal_kernels import centre_and_scale
from linnet.objective import L2
from linnet.settings import kept
from linnet.solution import Solution
from linnet.sources.source import numbered
from linnet.threads import Team, one_thread_blas, thread_count

T = TypeVar("T")
Precision = Literal["float64", "exact"]

FLOAT64_FLOOR = 2.0**-48
"""Relative error that float64 sums may leave on a pivot, where centring cancels nothing."""
WIDE = 512
"""Features beyond which products are large enough for BLAS to use its own threads well."""
NARROW = 128
"""Features up to which our own kernel outruns BLAS, when each feature lies contiguous."""
SHORT = 1 << 13
"""Numbers up to which a plain compiled loop is done before NumPy has begun."""
SERIAL = 32, 256
"""Features between which BLAS would use threads to solve, without gain: they keep a processor busy long after."""
PARALLEL = 1_000_000
"""Numbers in a block from which it is worth starting threads."""


class Moments(ABC):
    """What an exact fit needs to know of rows, whatever their number: sums of products of [1, X, y], weighted.

    Attributes:
        features: d.
        n: rows with a weight above 0.
    """

    features: int
    n: int

    @staticmethod
    def of(block: Block, precision: Precision = "float64") -> Moments:
        """Moments of the rows of a block, in float64 or in exact arithmetic.

        Raises:
            InputError: a number is not finite, a weight negative, there is no target, or no such precision.
        """
        if precision not in get_args(Precision):
            raise InputError(f'The precision of Moments must be "float64" or "exact", but is {precision!r}.')
        if block.y is None:
            raise InputError("Moments need a target, but this Block has none: give Block(X, y).")
        if block.weight is not None:
            check_weight(block.weight, lambda row: numbered(block.start + row))
        if precision == "float64":
            moments = Float64Moments.of(block)
            if not moments.finite:
                _check(block)
            return moments
        from linnet.exact_moments import ExactMoments

        try:
            return ExactMoments.of(block)
        except InputError:
            _check(block)
            raise

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """Moments of both sets of rows together."""

    def __radd__(self, other: int) -> Self:
        """`sum()` begins with 0, to which nothing is added."""
        return self if other == 0 else NotImplemented

    @abstractmethod
    def __sub__(self, other: Self) -> Self:
        """Moments of the rows of self without those of other, which must be among them.

        Raises:
            InputError: other columns or another precision, or more rows than there are. Exact sums also tell where
                others than these rows are taken away, unless what is left could be sums of squares.
        """

    @property
    def finite(self) -> bool:
        """Whether no sum left the range of its numbers, and no number was NaN or infinite."""
        return True

    @abstractmethod
    def normal(self, intercept: bool = True) -> NormalEquations:
        """The equations whose solution is the least-squares fit."""

    def solve(self, l2: float = 0.0, intercept: bool = True) -> Solution:
        """Minimise the squared-loss Objective over these rows.

        Raises:
            InputError: there are no rows, l2 is not a finite number at least 0, or a weight lies outside float64's
                range.
        """
        l2 = kept("l2", l2, L2)
        equations = self.normal(intercept)
        most = SERIAL[0] if self.n * self.features < PARALLEL else 0  # with few rows, taking care takes longer
        if most < self.features <= SERIAL[1]:

            def solved() -> Solution:
                solution = equations.solve(l2)
                _ = solution.condition  # which is kept: whoever asks for it later does so without such care
                return solution

            return one_thread_blas(solved)
        return equations.solve(l2)

    def stable_rate(self, l2: float = 0.0, intercept: bool = True) -> float:
        """2/λ, the learning rate beyond which gradient descent on these rows as they are diverges, for squared loss.

        λ is the largest eigenvalue of the second moments of [1, X], plus l2. Minibatches need less.

        Raises:
            InputError: there are no rows, sums that are not finite, or l2 is not a finite number at least 0.
        """
        l2 = kept("l2", l2, L2)
        equations = self.normal(intercept)
        unit = np.ones(self.features + 1)
        unit[0] = float(intercept)
        largest = equations.largest_eigenvalue(unit, l2, about_zero=True)
        return 2.0 / largest if largest > 0 else math.inf

    @property
    def condition(self) -> float:
        """Condition number of the standardised design (intercept included); infinite when rank deficient."""
        return self.solve().condition

    def _left(self, other: Moments, among: bool = True) -> int:
        """The number of rows that are left without others; refused unless these may have been `among` them."""
        n = self.n - other.n
        if n < 0 or not among:
            why = (
                f"{other.n:,} rows from {self.n:,}" if n < 0 else "of what is left, a sum of squares would be negative"
            )
            raise InputError(f"These rows are not among those they are taken from ({why}): subtract what was added.")
        return n

    def _alike(self, other: Moments) -> None:
        if type(other) is not type(self) or other.features != self.features:
            raise InputError(
                f"Moments of {self.features} features ({type(self).__name__}) cannot be joined with those of "
                f"{other.features} ({type(other).__name__}): both must have the same columns and precision."
            )


@dataclass(frozen=True, eq=False)
class Float64Moments(Moments):
    """Moments in float64, taken about a shift (the first rows' means) so that offsets do not cancel.

    Attributes:
        features: d.
        n: rows with a weight above 0.
        shift: shape (d+1,), what was subtracted from [X, y].
        gram: shape (d+2, d+2), sums of w·z·zᵀ over z = [1, [X, y] - shift].
    """

    features: int
    n: int
    shift: Float64s
    gram: Float64s

    @classmethod
    def of(cls, block: Block, precision: Precision = "float64", shift: Float64s | None = None) -> Float64Moments:
        """Moments of a block about `shift`, by default the means of its first rows."""
        assert precision == "float64"
        assert block.y is not None
        d = block.features
        n = block.rows if block.weight is None else int(np.count_nonzero(block.weight))
        if shift is None and block.X.size <= SHORT and d <= NARROW:
            shift, gram = np.empty(d + 1), np.empty((d + 2, d + 2))
            short_gram(_plain(block.X), _plain(block.y), _plain(block.weights), shift, gram)
            return cls(d, n, shift, gram)
        with np.errstate(all="ignore"):
            if shift is None:
                first = slice(0, 1024)
                shift = np.zeros(d + 1)
                if block.rows:
                    w = np.ones(block.y[first].size) if block.weight is None else block.weight[first]
                    w = w / w.sum() if w.any() else w
                    # not by NumPy's BLAS, whose threads would then wait busily beside those of SciPy's
                    shift[:d] = np.einsum("i,ij->j", w, block.X[first])
                    shift[d] = w @ block.y[first]
            if d > WIDE:
                gram = _gram(block, shift)
            else:
                parts = in_chunks(block, lambda part: _gram(part, shift), PARALLEL)
                gram = sum(parts[1:], parts[0]) if parts else np.zeros((d + 2, d + 2))
        return cls(d, n, shift, gram)

    def __add__(self, other: Float64Moments) -> Float64Moments:
        self._alike(other)
        if not self.n:
            return other
        return replace(self, n=self.n + other.n, gram=self.gram + other.about(self.shift).gram)

    def __sub__(self, other: Float64Moments) -> Float64Moments:
        self._alike(other)
        return replace(self, n=self._left(other), gram=self.gram - other.about(self.shift).gram)

    def about(self, shift: Float64s) -> Float64Moments:
        """The same Moments about another shift: with δ = old - new, z becomes z + δ·[its 1]."""
        if np.array_equal(shift, self.shift) or not self.n:
            return replace(self, shift=shift)
        delta = np.r_[0.0, self.shift - shift]
        s = self.gram[0]
        gram = self.gram + np.outer(s, delta) + np.outer(delta, s) + s[0] * np.outer(delta, delta)
        return replace(self, shift=shift, gram=gram)

    @property
    def finite(self) -> bool:
        """Whether no sum left float64's range, and no number was NaN or infinite."""
        return math.isfinite(sum(self.gram.diagonal().tolist()))  # in a tenth of the time of `trace`

    def normal(self, intercept: bool = True) -> NormalEquations:
        """The equations whose solution is the least-squares fit, centred in float64.

        Raises:
            InputError: there are no rows, or sums that are not finite.
        """
        if not self.n:
            raise InputError(NO_ROWS)
        if self.gram[0, 0] <= 0:
            raise InputError("The rows that are left weigh nothing: subtract only Moments of rows that were added.")
        if not self.finite:
            raise InputError(
                "Sums of squares leave float64's range: rescale the columns or, for squared loss, use "
                'solver="exact" with precision="exact".'
            )
        p = self.features + 1
        matrix, exponents = np.empty((p, p)), np.empty(p, np.int64)
        mean, raw = np.empty((2, p)), np.empty(p)
        cancelled = centre_and_scale(self.gram, self.shift, intercept, matrix, mean, exponents, raw)
        return NormalEquations(
            n=self.n,
            total=float(self.gram[0, 0]),
            intercept=intercept,
            matrix=(matrix, np.zeros((p, p))),  # zeros that take no memory until they are looked at
            mean=(mean[0], mean[1]),
            exponents=exponents,
            factor=1.0,
            raw=raw,
            floor=min(FLOAT64_FLOOR * cancelled, 1.0),
            precision="float64",
        )


def _check(block: Block) -> None:
    """Refuse numbers that are not finite; a Block alone knows its columns and rows only by their numbers."""
    block.check([f"x{j + 1}" for j in range(block.features)], "y", numbered)


def _plain(array: Floats) -> Float64s:
    """The same numbers as float64, contiguous and not locked: a loop is compiled for each other kind, in a second."""
    if array.flags.carray and array.dtype == np.float64:
        return array  # type: ignore[return-value]  # mypy does not see its dtype
    return np.array(array, np.float64, order="C")


def _gram(block: Block, shift: Float64s) -> Float64s:
    """Sums of w·z·zᵀ over z = [1, [X, y] - shift], piece by piece so that a piece stays in the cache."""
    assert block.y is not None
    d = block.features
    rows = min(1024 if d <= WIDE else 768, block.rows)  # 768 is twice what OpenBLAS takes at once
    by_feature = abs(block.X.strides[0]) < abs(block.X.strides[1])
    q = -(-(d + 2) // 8) * 8  # whole vector registers: the rest stays 0
    total = np.zeros((q, q))
    buffer = np.zeros((q, rows)) if by_feature else np.zeros((rows, q)).T
    if by_feature and d <= NARROW:
        narrow_gram(block.X.T, block.y, block.weights, shift, buffer, total)
        mirror(total)
        return total[: d + 2, : d + 2]
    product = np.empty((q, q) if d <= WIDE else 0)
    with np.errstate(all="ignore"):  # what leaves float64's range is seen in the sums
        for i in range(0, block.rows, rows):
            part = slice(i, min(i + rows, block.rows))
            z = buffer[:, : part.stop - part.start]
            z[0] = 1.0
            np.subtract(block.X[part], shift[:d], out=z[1 : d + 1].T)
            np.subtract(block.y[part], shift[d], out=z[d + 1])
            if block.weight is not None:
                z[: d + 2] *= np.sqrt(block.weight[part])
            if d <= WIDE:
                np.matmul(z, z.T, out=product)
                total += product
            else:  # adds in place, which saves three trips through memory for each piece
                a = z.T if by_feature else z
                total = dsyrk(1.0, a, trans=by_feature, beta=1.0, c=total.T, overwrite_c=1, lower=1).T
    if d > WIDE:  # only the upper triangle is there
        mirror(total)
    return total[: d + 2, : d + 2]


def in_chunks(block: Block, work: Callable[[Block], T], parallel: int) -> list[T]:
    """Apply `work` to runs of rows of a block, in order; on several threads if it has `parallel` numbers or more.

    The bounds of the runs do not depend on the number of threads, so neither do the results.
    """
    size = min(max((1 << 21) // max(block.features, 1), 2048), 16_384)
    parts = [slice(i, i + size) for i in range(0, block.rows, size)]
    chunks = [block] if len(parts) == 1 else [block.part(part) for part in parts]
    threads = min(thread_count(), len(chunks))
    if threads <= 1 or block.X.size < parallel:
        return [work(chunk) for chunk in chunks]

    def together() -> list[T]:
        with Team(threads) as team:
            return team.map(work, chunks)

    return one_thread_blas(together)
