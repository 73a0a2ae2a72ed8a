"""Fit: what was learned."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, InputError
from linnet.dependencies import Dependencies
from linnet.design import Design
from linnet.inference import Uncertainty, f_upper, t_quantile, t_two_sided
from linnet.status import Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure


ARRAYS = "weights", "identified", "centre", "scale", "exact"
"""Fields of a Fit that are arrays."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fit:
    """What was learned. d is the number of features; the intercept comes first wherever it is listed with the weights.

    Attributes:
        names: feature names, d of them.
        weights: shape (d,), in units of the target per unit of each feature.
        bias: the intercept; 0 when the fit was made without one.
        intercept: whether the bias was fitted.
        identified: shape (d,), whether each weight can be told from the others.
        bias_identified: whether the bias can.
        uncertainty: the joint covariance of bias, value at the centre and weights; None when there are no standard
            errors (errors="none", or no degrees of freedom left).
        centre: shape (d,), the weighted mean of each feature (zeros without an intercept).
        centre_value: the prediction at `centre`.
        scale: shape (d,), the weighted standard deviation of each feature (about `centre`).
        target_scale: that of the target.
        n: rows used (those with weight 0 not counted).
        n_dropped: rows left out because a value was missing.
        n_weightless: rows left out because their weight is 0 (those counted in `n_dropped` not among them).
        mean_weight: mean weight of the rows used; 1 without weights.
        df_residual: degrees of freedom left for the residuals.
        objective: the Objective at these weights.
        gap: by how much at most it lies above its minimum, relative to that, apart from what rounding of weights and
            bias to float64 costs where features or target lie far from 0; NaN when not known.
        residual_sd: residual standard deviation, sqrt(sum(w r²) / df_residual); NaN without degrees of freedom.
        r2: share of the target's variation explained; NaN when the target does not vary.
        adjusted_r2: the same, adjusted for the number of features.
        pseudo_r2: for other losses than squared, the share by which the features lower the loss below that of the best
            constant (Koenker and Machado 1999); NaN for squared loss, and when the best constant fits exactly.
        robust_scale: for other losses than squared, the spread of the residuals whatever a few outliers do: what
            Huber(k=…) estimated, delta/k, or else their median distance from their median over 0.6745; NaN for squared
            loss.
        f_statistic: for the hypothesis that every weight is 0; NaN where not defined, also where the standard error of
            a weight is withheld: that of the others would be for another hypothesis.
        condition: condition number of the standardised design; infinite when rank deficient.
        dependencies: which columns others reproduce in all rows used; None where none do, or where it is not known.
        status: how the run ended, with cause and remedy.
        notes: sentences a reader must know, such as which columns are not separately identifiable.
        solver: name of the Solver.
        precision: the rung of Moments, "float64" or "exact"; without Moments the arithmetic, "float32" or "float64".
        passes: how many times the rows were read.
        exact: shape (d+1,), [bias, weights] of the exact optimum of the same objective, which the learned ones are
            judged by; None when the fit is itself exact, or when that optimum is not known.
        settings: what an iterative solver used (learning rate, batch size, ...): texts, numbers, truth values or None;
            empty for a solver that has none.
        history: one record an epoch or iteration: epoch, step, rows, loss, objective and lr, as far as known.
        target: name of the target.
        loss: name of the loss.
        errors: kind of standard errors.
        l2: strength of the ridge penalty.
        design: how columns became features, for predicting on other data.
    """

    names: tuple[str, ...]
    weights: Float64s
    bias: float
    intercept: bool
    identified: NDArray[np.bool_]
    bias_identified: bool
    uncertainty: Uncertainty | None
    centre: Float64s
    centre_value: float
    scale: Float64s
    target_scale: float
    n: int
    n_dropped: int
    n_weightless: int
    mean_weight: float
    df_residual: float
    objective: float
    gap: float
    residual_sd: float
    r2: float
    adjusted_r2: float
    pseudo_r2: float
    robust_scale: float
    f_statistic: float
    condition: float
    dependencies: Dependencies | None
    status: Status
    notes: tuple[str, ...]
    solver: str
    precision: str
    passes: int
    exact: Float64s | None
    settings: dict[str, Any]
    history: tuple[dict[str, float], ...]
    target: str
    loss: str
    errors: str
    l2: float
    design: Design

    def __post_init__(self) -> None:
        """Keep arrays of its own that nobody can write into, since all that is said beside them holds for them only."""
        held = self.__dict__
        for name in ARRAYS:
            if held[name] is not None:
                held[name] = own = held[name].copy()
                own.setflags(write=False)
        if self.uncertainty is not None:
            self.uncertainty.sd.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From a pickle, which makes arrays that can be written into."""
        self.__dict__.update(state)
        self.__post_init__()

    @property
    def n_filled(self) -> dict[str, int]:
        """How many missing values of the rows used were filled with their column's mean, by column, where any were."""
        return {feature.column: feature.filled for feature in self.design.inputs if feature.filled}

    @property
    def f_p_value(self) -> float:
        """The p value of `f_statistic`; NaN where that is."""
        rank = len(self.names) - (0 if self.dependencies is None else self.dependencies.columns.size)
        return f_upper(self.f_statistic, rank, self.df_residual)

    @property
    def std_errors(self) -> Float64s:
        """Standard errors of the weights, shape (d,); NaN where not identified, not available or withheld."""
        if self.uncertainty is None:
            return np.full(len(self.names), np.nan)
        return np.asarray(np.where(self.identified, self.uncertainty.shown[2:], np.nan))

    @property
    def bias_std_error(self) -> float:
        """Standard error of the bias; NaN where not available, 0 without an intercept."""
        if not self.intercept:
            return 0.0
        if self.uncertainty is None or not self.bias_identified:
            return float("nan")
        return float(self.uncertainty.shown[0])

    @cached_property
    def covariance(self) -> Float64s:
        """Covariance of [bias, weights], shape (d+1, d+1); NaN in rows and columns that are not identified."""
        if self.uncertainty is None:
            return np.full((len(self.names) + 1,) * 2, np.nan)
        covariance = self.uncertainty.covariance(self.identified, self.bias_identified)
        covariance.setflags(write=False)  # it is kept
        return covariance

    @property
    def coefficients(self) -> Float64s:
        """[bias, weights], shape (d+1,)."""
        return np.asarray(np.r_[self.bias, self.weights])

    @property
    def t_values(self) -> Float64s:
        """[bias, weights] over their standard errors, shape (d+1,); NaN where not available, or where that is 0."""
        t, errors = self.coefficients, np.r_[self.bias_std_error, self.std_errors]
        with np.errstate(over="ignore"):
            return np.asarray(np.divide(t, errors, out=np.full_like(t, np.nan), where=errors > 0))

    @property
    def p_values(self) -> Float64s:
        """Two-sided p values that [bias, weights] are 0, shape (d+1,), by Student's t with `df_residual`."""
        return t_two_sided(self.t_values, self.df_residual)

    @property
    def distance(self) -> Float64s:
        """How far [bias, weights] are from `exact`, in standard errors, shape (d+1,); NaN where not available."""
        if self.exact is None:
            return np.full(len(self.names) + 1, np.nan)
        errors = np.r_[self.bias_std_error, self.std_errors]
        with np.errstate(over="ignore"):
            away = self.coefficients - self.exact
            return np.asarray(np.divide(away, errors, out=np.full_like(errors, np.nan), where=errors > 0))

    def interval(self, level: float = 0.95) -> Float64s:
        """Confidence intervals of [bias, weights], shape (d+1, 2).

        Raises:
            InputError: level is not strictly between 0 and 1.
        """
        with np.errstate(over="ignore"):  # an end beyond float64's range is infinite
            half = t_quantile(level, self.df_residual) * np.r_[self.bias_std_error, self.std_errors]
            return np.column_stack([self.coefficients - half, self.coefficients + half])

    def predict(
        self,
        data: Any,
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
    ) -> Float64s:
        """Predict the target on other data.

        Args:
            data: an array with the same features, or a table or files with the same columns (the target is not needed).
            interval: a level such as 0.95; then lower and upper ends come with each prediction.
            kind: "prediction" for where one new observation will lie (squared loss only), "confidence" for where its
                expected value lies, or with another loss its median or quantile.

        A new observation is taken to have the mean weight of the rows fitted, so that the overall size of weights does
        not matter: one of weight w has the residual variance residual_sd²/w. Without weights all have that of 1.

        Not all is known of a row in which the column's mean stands in for a missing value, of one that leaves a
        dependency that all fitted rows keep (see Dependencies), and, with an interval, of one that depends on a weight
        whose standard error is withheld (see Withheld). A warning counts such rows and names the first.

        Returns:
            Shape (n,), or (n, 3) holding prediction, low and high. NaN for a row with a missing value if the fit
            dropped such rows; NaN for low and high where not all is known.

        Raises:
            InputError: columns, levels or values that this fit cannot predict from, or an interval it cannot give.
        """
        from linnet.prediction import Predictor

        return Predictor([self], interval, kind).all(data)[:, 0]

    def predict_rows(
        self,
        X: NDArray[np.floating[Any]],
        interval: float | None = None,
        kind: Literal["prediction", "confidence"] = "prediction",
    ) -> Float64s:
        """`predict` for features (n, d) that are already encoded, without a warning.

        Raises:
            InputError: an interval that this fit cannot give.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # beyond float64's range a prediction is infinite or NaN
            offsets = X.astype(np.float64) - self.centre
            value = np.asarray(offsets @ self.weights + self.centre_value, dtype=np.float64)
        if interval is None:
            return value
        self.check_interval(interval, kind)
        if self.uncertainty is None:
            raise InputError(f"This fit has no standard errors, so it can give no intervals: {self.why_no_errors()}.")
        half = t_quantile(interval, self.df_residual)
        with np.errstate(over="ignore", invalid="ignore"):
            sd = self.uncertainty.prediction_sd(offsets)
            if kind == "prediction":
                sd = np.hypot(sd, self.residual_sd / math.sqrt(self.mean_weight))
            if self.dependencies is not None:
                sd[self.leaves(X)] = np.nan
            return np.column_stack([value, value - half * sd, value + half * sd])

    def check_interval(self, interval: float, kind: str) -> None:
        """Refuse an interval that no fit with this loss can give, whatever its standard errors are.

        Raises:
            InputError: `interval` is no level, `kind` is unknown, or not for this loss.
        """
        if kind not in ("prediction", "confidence"):
            raise InputError(f'kind is "prediction" or "confidence", not {kind!r}.')
        if kind == "prediction" and self.loss != "squared":
            raise InputError(
                f"Where one new observation will lie is not told by a fit with {self.loss} loss, which says nothing of "
                'the spread around it: ask for kind="confidence", or fit the ends of the interval, '
                "loss=Quantile([0.025, 0.975])."
            )
        t_quantile(interval, self.df_residual)

    def why_no_errors(self) -> str:
        """What to do about having no standard errors at all, as a message ends."""
        lacks = [] if self.errors != "none" else ['errors other than "none"']
        if not self.df_residual > 0:
            lacks.append("more rows than weights")
        if lacks:
            return f"fit with {' and with '.join(lacks)}"
        return "the notes of the fit say why"

    def leaves(self, X: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """Which rows of features (n, d) leave a dependency that all fitted rows keep, (n,)."""
        if self.dependencies is None:
            return np.zeros(len(X), np.bool_)
        return self.dependencies.left(X, self.centre, self.scale)

    def plot(self, data: Any = None, target: Any = None) -> Figure:
        """Draw it: points, line and band for one feature; standardised weights with their intervals for several.

        Args:
            data: for one feature, where to take the points from; without it only the line and its band are drawn.
            target: with an array, its (n,) target values.

        Raises:
            InputError: data that do not have this fit's columns.
        """
        from linnet.figures import plot

        return plot(self, data, target)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as a model file: JSON with a checksum, complete or not at all.

        Raises:
            InputError: the path cannot be written.
        """
        from linnet.model_file import save

        save(self, path)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """What it says, as plain Python values: NaN becomes None; weights are listed with the intercept first."""
        from linnet.table import to_dict

        return to_dict(self, level)

    def __str__(self) -> str:
        from linnet.table import render

        return render(self)

    def __repr__(self) -> str:
        return f"<Fit of {self.target!r} on {len(self.names)} features, {self.n:,} rows: {self.status.name}>"
