"""Inference: standard errors, intervals and tests, from what a Solution knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc, stdtr, stdtrit

from linnet.block import Float64s, InputError
from linnet.settings import share

SUMMARY_ROWS = 2  # bias, value at the centre
EPSILON = float(np.finfo(np.float64).eps)
MOVED = 1e-3
"""Least of a direction in which nothing tells the spread that a prediction must move by to have no error. Where that
direction is a row's own, rows of that weight that were fitted move by at most 1e-4 of it (see LoneRows)."""


class Withheld(NamedTuple):
    """Which standard errors cannot be told, though the weights can.

    Attributes:
        told: (d+2,), whether each of [bias, value at the centre, weights] has a standard error.
        moves: (k, d+2), by how much these move along each direction in which nothing tells their spread.
    """

    told: NDArray[np.bool_]
    moves: Float64s


class Uncertainty:
    """The joint covariance of [bias, value at the centre, weights], d + 2 of them.

    It is kept as standard errors and a factor F of the correlations, F·Fᵀ: as standard errors, because variances of
    weights overflow float64 long before the weights do; as a factor, because the variance of a prediction is then a sum
    of squares. From correlations of nearly dependent features, rounded to float64, it would be what cancelling leaves,
    off by the condition number squared. The value at the centre is the prediction where every feature has its mean:
    prediction errors are computed around it, because around 0 they cancel when features lie far from 0.

    Attributes:
        sd: shape (d+2,), standard errors; finite also where a weight is not identified, or its error withheld.
        factor: F, shape (d+2, k), whose rows have length 1, or 0 where nothing varies.
        withheld: which of them are not to be shown; None where all are told.
    """

    def __init__(
        self, sd: Float64s, factor: Float64s | Callable[[], Float64s], withheld: Withheld | None = None
    ) -> None:
        """A factor that takes long to work out may be given as what works it out, which is done when asked for."""
        self.sd = sd
        self._factor = factor
        self.withheld = withheld

    @property
    def factor(self) -> Float64s:
        """See above."""
        held = self._factor
        if not isinstance(held, np.ndarray):
            held = self._factor = held()
        return held

    @property
    def correlation(self) -> Float64s:
        """Shape (d+2, d+2); 0 with what does not vary, 1 on the diagonal."""
        correlation = np.clip(self.factor @ self.factor.T, -1.0, 1.0)
        np.fill_diagonal(correlation, 1.0)
        return np.asarray(correlation)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.sd, self.factor, self.withheld)

    @property
    def shown(self) -> Float64s:
        """The standard errors (d+2,), NaN where they are withheld."""
        return self.sd if self.withheld is None else np.where(self.withheld.told, self.sd, np.nan)

    def covariance(self, identified: NDArray[np.bool_], bias_identified: bool) -> Float64s:
        """Covariance of [bias, weights], shape (d+1, d+1); NaN in rows and columns that are not identified or told."""
        keep = np.r_[0, SUMMARY_ROWS : self.sd.size]
        known = np.r_[bias_identified, identified]
        sd = np.where(known, self.shown[keep], np.nan)
        with np.errstate(over="ignore"):
            return np.asarray(self.correlation[np.ix_(keep, keep)] * sd[:, None] * sd)

    def prediction_sd(self, offsets: Float64s) -> Float64s:
        """Standard error of the expected target, shape (n,), at rows given as features minus the centre, (n, d).

        NaN where a row moves along a direction in which nothing tells the spread, infinite beyond float64's range.
        """
        parts = np.empty((offsets.shape[0], offsets.shape[1] + 1))
        parts[:, 0] = self.sd[1]
        parts[:, 1:] = offsets * self.sd[SUMMARY_ROWS:]
        z = parts @ self.factor[1:]
        largest = np.abs(z).max(axis=1, initial=0.0)  # by which they are divided, since squares leave float64's range
        unit = np.where((largest > 0) & (largest < np.inf), largest, 1.0)
        z /= unit[:, None]
        sd = np.sqrt(np.einsum("ij,ij->i", z, z)) * unit
        if not np.isfinite(largest).all():  # NaN there is what is left of infinite parts
            sd[~np.isfinite(largest) & np.isfinite(offsets).all(axis=1)] = np.inf
        if self.withheld is not None:
            moves = self.withheld.moves[:, 1:]
            still = np.abs(moves[:, 0] + offsets @ moves[:, 1:].T) <= MOVED  # false also of what is not finite
            sd[~still.all(axis=1)] = np.nan
        return np.asarray(sd)

    def wald(self, away: Float64s, among: NDArray[np.intp]) -> float:
        """The Wald statistic δᵀ·C⁻¹·δ, where δ is what `away` (d,) holds of the weights `among`, C their covariance.

        It is the squared length of the u with F·u = δ, F being C's factor, which keeps the digits that C⁻¹ would lose.
        NaN where C has no inverse: a bootstrap had fewer replicates than weights, or one of these does not vary.
        """
        from scipy.linalg import lstsq

        rows, sd = self.factor[SUMMARY_ROWS + among], self.sd[SUMMARY_ROWS + among]
        if not (rows.size and np.isfinite(rows).all() and (sd > 0).all()):
            return float("nan")
        with np.errstate(over="ignore", invalid="ignore"):
            t = away[among] / sd
            if not np.isfinite(t).all():
                return float("nan") if np.isnan(t).any() else float("inf")
            u, _, rank, _ = lstsq(rows, t, cond=max(rows.shape) * EPSILON, lapack_driver="gelsy", check_finite=False)
            return float(u @ u) if rank == len(among) else float("nan")


def directions(rows: Float64s) -> Float64s:
    """Rows divided by their lengths, those of length 0 left alone, without columns of zeros at the end."""
    rows = np.array(rows[:, : 1 + np.flatnonzero(rows.any(axis=0)).max(initial=-1)], order="C")
    if rows.size:
        largest = np.abs(rows).max(axis=1, keepdims=True)  # first, since squares leave float64's range
        rows /= np.where(largest > 0, largest, 1.0)
        rows /= np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), 1.0)[:, None]
    return rows + 0.0  # no zero with a sign


def triangular(rows: Float64s) -> Float64s:
    """The lower triangular F with F·Fᵀ = rows·rowsᵀ, for rows (m, k); (m, min(m, k))."""
    return np.asarray(np.linalg.qr(rows.T).R.T)


def t_two_sided(t: Float64s, df: float) -> Float64s:
    """p values of t statistics with df degrees of freedom, two-sided; NaN where t or df is not available."""
    if not df > 0:
        return np.full_like(t, np.nan)
    return np.asarray(2.0 * stdtr(df, -np.abs(t)))


def t_quantile(level: float, df: float) -> float:
    """The half-width of a two-sided interval of the given level, in standard errors; NaN without degrees of freedom.

    Raises:
        InputError: level is not strictly between 0 and 1.
    """
    inside = share(level)
    if inside is None:
        raise InputError(f"An interval's level lies strictly between 0 and 1 (0.95, say), but is {level!r}.")
    return -float(stdtrit(df, (1.0 - inside) / 2)) if df > 0 else float("nan")


def f_upper(f: float, df1: float, df2: float) -> float:
    """p value of an F statistic; NaN where it is not defined."""
    return float(fdtrc(df1, df2, f)) if df1 > 0 and df2 > 0 and f >= 0 else float("nan")
