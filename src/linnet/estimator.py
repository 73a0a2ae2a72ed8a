"""LinearRegressor: the face for scikit-learn. Parameters in, Fit out, no mathematics."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from linnet.block import Float64s, InputError
from linnet.design import Design
from linnet.fitting import continue_sgd, fit_from_moments, fit_source
from linnet.losses import Loss, Quantiles, Squared, named_loss
from linnet.moments import Moments, Precision
from linnet.objective import Objective
from linnet.plan import Errors, Precisions, planned
from linnet.solvers.solver import Solver
from linnet.sources.arrays import ArraySource
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.solvers.learner import Learned
    from linnet.solvers.sgd import SGD


class UnavailableError(InputError, AttributeError):
    """A method that an estimator with these parameters has not, so that hasattr() says no; the message says why."""


class _WhereRowsCanBeAdded:
    """A method that an estimator has only where its parameters allow rows to be added to a fit."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method

    def __get__(self, model: LinearRegressor | None, owner: type) -> Callable[..., Any]:
        if model is None:
            return self.method
        model.check_adds_rows()
        return MethodType(self.method, model)


class LinearRegressor(RegressorMixin, BaseEstimator):
    """Linear regression as a scikit-learn estimator.

    Input is checked by scikit-learn's rules: dense and finite; float32 and float64 arrays are taken without a copy. Row
    weights mean what they mean in `linnet.fit`. The penalty is relative to the mean loss, so that scikit-learn's
    Ridge(alpha) is l2 = alpha / sum of the row weights, and a good l2 does not depend on the number of rows.

    Args:
        loss: "squared", "absolute", "huber", "quantile", or an instance of Loss, such as linnet.Huber(k=1.345) or
            linnet.Quantile(0.9).
        solver: "auto", which finds the loss's optimum; "exact", "newton", "interior-point", "sgd", or an instance of
            Solver, such as linnet.SGD(lr=0.03, batch_size=10).
        fit_intercept: whether to fit a bias.
        l2: ridge penalty: l2/2 times the sum of squared weights is added to the mean loss.
        errors: standard errors, as for `linnet.fit`: "auto" takes what suits the loss, "none" saves their time.
        precision: "float64", "exact", or "auto": exact where that takes no time or where float64 would not do.

    Attributes:
        coef_: shape (n_features_in_,), the weights.
        intercept_: the bias, 0 without one.
        fit_: the Fit, with standard errors, intervals and what else there is to know; `print(model.fit_)` shows it.
        moments_: the Moments of all rows so far, to which `partial_fit` adds; None after a solver that needs none.
        n_features_in_: number of features.
        feature_names_in_: shape (n_features_in_,), column names, when X had some that are all text.
    """

    def __init__(
        self,
        *,
        loss: str | Loss = "squared",
        solver: str | Solver = "auto",
        fit_intercept: bool = True,
        l2: float = 0.0,
        errors: Errors = "auto",
        precision: Precisions = "auto",
    ) -> None:
        self.loss = loss
        self.solver = solver
        self.fit_intercept = fit_intercept
        self.l2 = l2
        self.errors = errors
        self.precision = precision

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to these rows alone; what was fitted before is forgotten.

        Args:
            X: features, shape (n, d): an array, a data frame of numbers, or nested lists.
            y: target, shape (n,).
            sample_weight: row weights, shape (n,), each at least 0 and not all 0; None for 1 each.

        Raises:
            ValueError: parameters, shapes or values that cannot be used; an InputError where Linnet found it.
            TypeError: X is sparse.
            KeyboardInterrupt: somebody interrupted; `fit_` then holds what was learned so far.

        Warns:
            ConvergenceWarning: the weights do not minimise the objective as well as was asked, as `fit_.status` says.
        """
        self.__dict__.pop("_learned", None)
        loss = self._loss()
        source = self._source(X, y, sample_weight, reset=True)
        self.fit_, self.moments_ = fit_source(
            source,
            loss=loss,
            solver=self.solver,
            intercept=self.fit_intercept,
            l2=self.l2,
            errors=self.errors,
            precision=self.precision,
            progress=False,
        )
        return self._publish()

    def check_adds_rows(self) -> None:
        """Refuse `partial_fit` with parameters that it cannot serve.

        Raises:
            UnavailableError: the loss is another than squared, and the solver not SGD.
        """
        if not (self.loss == "squared" or isinstance(self.loss, Squared) or self._learner() is not None):
            raise UnavailableError(
                f'partial_fit adds Moments, which needs loss="squared": the optimum of another, {self.loss!r}, needs '
                'all rows at once, so call fit with them, or learn chunk by chunk with solver="sgd".'
            )

    @_WhereRowsCanBeAdded
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Add rows to those fitted so far, by `fit` or `partial_fit`; with SGD, learn on from these rows.

        An exact fit becomes that of one fit to all rows. Only their Moments are kept, so memory does not grow. The
        first call does what `fit` does, and settles the precision of the sums: exact for few rows, and then equal to
        one fit bit for bit; in float64 for many, unless `precision` says otherwise. Rows that are gone cannot be read
        again, so where float64 later turns out not to be enough, `fit_.status` says so. `l2` and `fit_intercept` may
        change between calls.

        SGD passes once over these rows and goes on as if they were the next of one long run: weights, momentum, mean
        and number of steps are kept, and with lr="auto" the columns' scales, which are those of all rows so far. Only
        an inverse-time schedule counts each call as an epoch. `fit_` then speaks of these rows alone. Other losses than
        squared can be learned in this way only: their optimum needs all rows at once.

        Args:
            X: features, shape (n, d).
            y: target, shape (n,).
            sample_weight: row weights, shape (n,), each at least 0 and not all 0; None for 1 each.

        Raises:
            ValueError: as for `fit`; also with robust standard errors, which need all rows at once, or a checkpoint.
            TypeError: X is sparse.
            KeyboardInterrupt: as for `fit`.

        Warns:
            ConvergenceWarning: as for `fit`.
        """
        if self.errors not in ("auto", "classical", "none"):
            raise InputError(
                f'errors="{self.errors}" needs all rows at once, which partial_fit has not: '
                'use errors="auto", "classical" or "none", or call fit.'
            )
        loss = self._loss()
        learner = self._learner()
        if learner is not None:
            if learner.checkpoint is not None:
                raise InputError(
                    "partial_fit keeps no checkpoint: each call is one pass over its rows, and the estimator itself "
                    "can be pickled between calls. Leave checkpoint= out."
                )
            before = self._before()
            source = self._source(X, y, sample_weight, reset=before is None)
            objective, errors = self._objective(loss, source)
            self.fit_, self._learned = continue_sgd(learner, objective, source, errors, before)
            self.moments_ = None
            return self._publish()
        if not hasattr(self, "moments_"):
            return self.fit(X, y, sample_weight)
        moments = self.moments_
        if moments is None:
            raise InputError(f'The solver "{self.fit_.solver}" left no Moments to add rows to: call fit with all rows.')
        held: Precision = "exact" if self.fit_.precision == "exact" else "float64"
        if self.precision not in ("auto", held):
            raise InputError(
                f'The rows so far were summed with precision="{held}", which cannot become "{self.precision}" later: '
                "call fit with all rows, or begin with a new estimator."
            )
        source = self._source(X, y, sample_weight, reset=False)
        objective, errors = self._objective(loss, source)
        for block in source.blocks():
            moments = moments + Moments.of(block, held)
        self.fit_ = fit_from_moments(
            moments,
            design=self.fit_.design,
            target=self.fit_.target,
            objective=objective,
            errors=errors,
            n_weightless=self.fit_.n_weightless + source.weightless,
        )
        self.moments_ = moments
        return self._publish()

    def predict(self, X: Any) -> Float64s:
        """Predict the target, shape (n,), for features of shape (n, d).

        Raises:
            ValueError: X has other columns than the fit, or values that are not finite.
            NotFittedError: there is no fit yet.
        """
        check_is_fitted(self)
        return self.fit_.predict_rows(validate_data(self, X, reset=False, dtype=[np.float64, np.float32]))

    def _loss(self) -> Loss:
        """The loss, one and no more.

        Raises:
            InputError: there is no loss of that name, or several quantiles are asked for.
        """
        if isinstance(self.loss, Quantiles):
            raise InputError(
                f"LinearRegressor predicts one number a row, but loss={self.loss!r} asks for several: take one "
                "LinearRegressor for each quantile, or linnet.fit, which gives them side by side."
            )
        return named_loss(self.loss)

    def _learner(self) -> SGD | None:
        """The solver, if it is one that can go on from weights."""
        from linnet.solvers.sgd import SGD

        if isinstance(self.solver, str):
            return SGD() if self.solver == "sgd" else None
        return self.solver if isinstance(self.solver, SGD) else None

    def _before(self) -> Learned | None:
        """What SGD goes on from: what it left, or else the Fit there is."""
        if hasattr(self, "_learned"):
            return self._learned
        if not hasattr(self, "fit_"):
            return None
        from linnet.solvers.gathering import Past
        from linnet.solvers.learner import Learned

        # an exact fit counts as if each row had been a step, lest the first ones from here outweigh it
        steps = int(self.fit_.settings.get("steps", self.fit_.n))
        return Learned.at(self.fit_.coefficients, steps, Past.of(self.moments_))

    def _source(self, X: Any, y: Any, sample_weight: Any, *, reset: bool) -> ArraySource:
        """The rows, checked by scikit-learn's rules."""
        name = getattr(y, "name", None)
        values, target = validate_data(self, X, y, reset=reset, dtype=[np.float64, np.float32], y_numeric=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, values, dtype=np.float64, ensure_non_negative=True)
        source = ArraySource(
            values, target, weight=sample_weight, target=name if name and isinstance(name, str) else "y"
        )
        if hasattr(self, "feature_names_in_"):
            source.design = Design.numbers([str(each) for each in self.feature_names_in_])
        return source

    def _objective(self, loss: Loss, source: ArraySource) -> tuple[Objective, str]:
        """What to lower, and the kind of standard errors, of parameters that `linnet.fit` would take."""
        (objective,), _, errors = planned(
            source, [loss], self.solver, self.fit_intercept, self.l2, self.errors, self.precision, False
        )
        return objective, errors

    def _publish(self) -> Self:
        """Show the Fit's weights under scikit-learn's names, and tell what nobody prints in a pipeline."""
        fit = self.fit_
        self.coef_ = fit.weights.copy()  # whose owner may write into it, as that of a Fit may not
        self.intercept_ = fit.bias
        if fit.status is Status.INTERRUPTED:  # a search would go on, and count this fit like the others
            raise KeyboardInterrupt("fit_ holds the weights reached before the interrupt")
        if not fit.status.converged:
            told = ". ".join((fit.status.text, *fit.notes[:1]))
            warnings.warn(f"LinearRegressor: {told}.", ConvergenceWarning, stacklevel=3)
        return self
