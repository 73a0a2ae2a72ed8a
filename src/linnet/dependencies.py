"""Dependencies: which columns others reproduce in every row that was fitted, and whether other rows keep to that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, Floats, InputError
from linnet.settings import finite

DOUBLE, SINGLE = 2.0**-50, 2.0**-21
"""Eight times the relative rounding error of a float64 and of a float32 number, as where dependencies are found."""
SHARE = 1e-8
"""Share of a column's spread below which its coefficients may be rounding (see NEGLIGIBLE in normal.py), with room."""
VALUES = 1 << 20
"""Numbers that are judged at a time."""


@dataclass(frozen=True, eq=False)
class Dependencies:
    """Columns that others reproduce in every row fitted: about the centre, x[columns] = x[others] @ coefficients.

    Of rows off them a fit tells nothing: any number predicted there goes with the same predictions for the rows fitted,
    since an expected value is estimable only where its row is orthogonal to the null space of the design, which these
    dependencies span (C. R. Rao, "Linear Statistical Inference and Its Applications", 2nd ed. 1973, section 4a.2).

    Attributes:
        columns: (k,), the columns that are reproduced; a constant one by none.
        others: (r,), those that reproduce them.
        coefficients: (r, k), in the columns' own units.
    """

    columns: NDArray[np.intp]
    others: NDArray[np.intp]
    coefficients: Float64s

    @staticmethod
    def of(found: Sequence[tuple[int, Float64s, float]]) -> Dependencies | None:
        """Those that a Solution found; None if there are none."""
        if not found:
            return None
        all_of_them = np.array([coefficients for _, coefficients, _ in found])
        others = np.flatnonzero(all_of_them.any(axis=0))
        columns = np.array([column for column, _, _ in found], dtype=np.intp)
        return Dependencies(columns, others, np.ascontiguousarray(all_of_them[:, others].T))

    def left(self, X: Floats, centre: Float64s, scale: Float64s) -> NDArray[np.bool_]:
        """Which rows of X (m, d) leave a dependency by more than rounding explains, (m,); not one that NaN is part of.

        Rounding is that of float32 for an array of such, and for fractions that float32 holds, which may once have been
        one; elsewhere that of float64.

        Args:
            X: features of the rows.
            centre: (d,), about which the dependencies hold.
            scale: (d,), the spread of each column in the rows that were fitted.
        """
        rows = max(VALUES // max(X.shape[1], 1), 1)
        left = np.empty(X.shape[0], np.bool_)
        for i in range(0, X.shape[0], rows):
            off, explained = self._off(X[i : i + rows], centre, scale)
            left[i : i + rows] = (np.abs(off) > explained).any(axis=1)
        return left

    def worst(self, X: Floats, centre: Float64s, scale: Float64s) -> tuple[int, float]:
        """In a single row (1, d): the column that leaves its dependency farthest, and what would have kept it."""
        off, explained = self._off(X, centre, scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            at = int(np.nanargmax(np.abs(off[0]) / explained[0]))
        column = int(self.columns[at])
        return column, float(X[0, column] - off[0, at])

    def _off(self, X: Floats, centre: Float64s, scale: Float64s) -> tuple[Float64s, Float64s]:
        """By how much each row leaves each dependency, and how much of that rounding may be, both (m, k)."""
        size = np.abs(self.coefficients)

        def taken(at: NDArray[np.intp]) -> tuple[Float64s, Float64s]:
            """Some columns about the centre, and their rounding."""
            x = X[:, at].astype(np.float64)
            single = (X.dtype == np.float32) | ((x == x.astype(np.float32)) & (x != np.rint(x)))
            return x - centre[at], np.abs(x) * np.where(single, SINGLE, DOUBLE) + np.abs(centre[at]) * DOUBLE

        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64's range nothing is said to leave
            (own, noise), (other, others_noise) = taken(self.columns), taken(self.others)
            unknown = np.isnan(other)
            if unknown.any():  # times a coefficient of 0 it would be NaN, too
                own[unknown @ (size > 0)] = np.nan
                other[unknown] = others_noise[unknown] = 0.0
            spread = scale[self.others]
            far = np.divide(np.abs(other), spread, out=np.zeros_like(other), where=spread > 0)
            reach = 1.0 + far.max(axis=1, initial=0.0)
            explained = noise + others_noise @ size + SHARE * np.outer(reach, scale[self.columns])
            return own - other @ self.coefficients, explained

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, as the model file keeps them."""
        return {
            "columns": self.columns.tolist(),
            "others": self.others.tolist(),
            "coefficients": self.coefficients.tolist(),
        }

    @staticmethod
    def from_dict(record: object, features: int) -> Dependencies:
        """What `to_dict` wrote, with every field checked.

        Raises:
            InputError: a field is absent, of the wrong type or inconsistent with the others.
        """
        if not isinstance(record, Mapping) or set(record) != {"columns", "others", "coefficients"}:
            raise InputError("The model is damaged: the dependencies do not have their three fields.")
        columns, others, rows = record["columns"], record["others"], record["coefficients"]
        for at in (columns, others):
            known = isinstance(at, list) and all(type(j) is int and 0 <= j < features for j in at)
            if not known or len(set(at)) < len(at):
                raise InputError("The model is damaged: a dependency is not one of its features.")
        whole = isinstance(rows, list) and len(rows) == len(others) and columns and not {*columns} & {*others}
        if not whole or not all(
            isinstance(row, list) and len(row) == len(columns) and all(finite(c) is not None for c in row)
            for row in rows
        ):
            raise InputError("The model is damaged: the dependencies' coefficients are not a table of finite numbers.")
        coefficients = np.array(rows, dtype=np.float64).reshape(len(others), len(columns))
        return Dependencies(np.array(columns, dtype=np.intp), np.array(others, dtype=np.intp), coefficients)
