"""LoneRows: rows that decide a weight alone, so that nothing in the rows tells how far it may be off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s
from linnet.sources.source import Source
from linnet.text import listed

if TYPE_CHECKING:
    from linnet.solution import Solution

LEAST_FREE = 1e-8
"""Least share of its own residual that a row is taken to leave free: where a row decides its own fit, the residual is
rounding, HC2 and HC3 have nothing to divide, and no sandwich anything to add."""
SHOWN = 3
"""Rows, and weights, that a note names before the rest is only counted."""


class LoneRows:
    """Rows with a leverage of 1 (above 1 - 1e-8): the residual is 0 there whatever the target is.

    A level that one row has is the usual case. Errors that take each row's spread from its own residual take that row's
    to be 0, and so the error of the weights that it decides to be far too small; a bootstrap, whose every replicate
    fits that row exactly, does the same. Such a row moves the fit along (XᵀWX)⁻¹x, a direction that the other rows do
    not identify; weights that take part in it have an error only where one spread is assumed for all rows. (On leverage
    and HC errors: J. S. Long and L. H. Ervin, "Using heteroscedasticity consistent standard errors in the linear
    regression model", The American Statistician 54, 2000.) The square sum of the other rows' moves along it is below
    1e-8 of its own, since a hat matrix is its own square.
    """

    def __init__(self, source: Source) -> None:
        """None yet of these rows."""
        self.source = source
        self._where: list[str] = []
        self._directions: list[Float64s] = []

    @staticmethod
    def among(z: Float64s, share: Float64s, leverage: Float64s | None = None) -> tuple[NDArray[np.intp], Float64s]:
        """Which of some rows they are, (k,), and how a unit of each one's target moves the fit, (k, r+1).

        Args:
            z: (m, r+1), in the coordinates of `Solution.whitened`.
            share: (m,), of the sum of all row weights.
            leverage: (m,), share·zᵀz, if known.
        """
        if leverage is None:
            leverage = share * np.einsum("ij,ij->i", z, z)
        rows = np.flatnonzero(leverage > 1.0 - LEAST_FREE)
        return rows, z[rows] * share[rows, None]

    def add(self, start: int, rows: NDArray[np.intp], directions: Float64s) -> None:
        """Those among rows of the source's latest block that begin at `start`."""
        self._where += [self.source.where(start + row) for row in rows.tolist()]
        self._directions += list(directions)

    @property
    def directions(self) -> Float64s | None:
        """(k, r+1), nearly orthogonal; None where there are none."""
        return np.array(self._directions) if self._directions else None

    def notes(self, solution: Solution, kind: str) -> tuple[str, ...]:
        """What a reader must know of errors of this kind, nothing without such rows.

        It holds also where the weights are more than those of one level: a base level that one row has decides the
        intercept and the weights of all other levels.
        """
        if self.directions is None:
            return ()
        weights = solution.weights_in(self.directions, self.source.design.names)
        if not weights:
            return ()
        one = len(self._where) == 1
        decides, there = ("decides", "it") if one else ("each decide", "them")
        said = (
            f"{listed(self._where, SHOWN)} {decides} {listed(weights, SHOWN)} alone: the residual there is 0 whatever "
            f"the target is, so that no {kind} error can be told, nor F. Add rows like {there}, leave {there} out, or "
            'use errors="classical", which takes the spread from all rows'
        )
        return (said,)
