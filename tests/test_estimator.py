"""LinearRegressor keeps scikit-learn's rules, and says what `linnet.fit` says."""

from __future__ import annotations

import io
import pickle
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import joblib  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression, QuantileRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import linnet
from linnet import SGD, Exact, InputError, LinearRegressor, Loss, Objective, Source, Status, Step

Floats = NDArray[np.float64]
Data = tuple[Floats, Floats, Floats]


@pytest.fixture
def data(rng: np.random.Generator) -> Data:
    """X (120, 4), y and row weights, some of them 0."""
    X = rng.standard_normal((120, 4)) * [1, 5, 0.2, 30] + [0, 3, -1, 100]
    y = 2 + X @ [1.5, -0.3, 4.0, 0.02] + rng.standard_normal(120)
    return X, y, rng.integers(0, 4, 120) / 2


MISSED = {
    "check_sample_weight_equivalence_on_dense_data": "rows that are repeated are visited in another order, so that the "
    "same optimum is come near to by another way, not to seven digits"
}


ROBUST: list[Any] = ["absolute", "huber", "quantile", linnet.Huber(k=1.345), linnet.Quantile(0.3)]


def same_fit(a: LinearRegressor, b: LinearRegressor, rtol: float = 0.0) -> None:
    """Two regressors have learned the same; bit for bit with rtol=0."""
    for name in ("coefficients", "std_errors", "bias_std_error", "n", "r2", "objective", "residual_sd", "df_residual"):
        one, other = getattr(a.fit_, name), getattr(b.fit_, name)
        np.testing.assert_allclose(one, other, rtol=rtol, atol=0, err_msg=name)
    assert a.fit_.names == b.fit_.names


# --- scikit-learn's rules -------------------------------------------------------------------------------------------


@parametrize_with_checks(  # type: ignore[untyped-decorator]  # scikit-learn ships no types
    [
        LinearRegressor(),
        LinearRegressor(precision="exact", errors="none"),
        LinearRegressor(l2=0.01, fit_intercept=False),
        LinearRegressor(solver="sgd"),
        LinearRegressor(solver=SGD(tol=None), loss="huber"),
        *(LinearRegressor(loss=loss) for loss in ROBUST),
    ],
    expected_failed_checks=lambda model: MISSED if model.loss != "squared" and model.solver != "auto" else {},
)
def test_scikit_learns_own_checks(estimator: LinearRegressor, check: Any) -> None:
    check(estimator)


def test_clone_keeps_the_parameters_only(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(l2=0.5, fit_intercept=False, errors="hc1", precision="exact").fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert not hasattr(copy, "fit_")
    assert not hasattr(copy, "moments_")
    with pytest.raises(NotFittedError, match="LinearRegressor"):
        copy.predict(X)


@pytest.mark.parametrize("precision", ["float64", "exact"])
@pytest.mark.parametrize("by", ["pickle", "joblib"])
def test_pickling_keeps_predictions_and_the_rows_so_far(data: Data, precision: Any, by: str) -> None:
    X, y, w = data
    model = LinearRegressor(precision=precision).fit(X[:70], y[:70], w[:70])
    if by == "pickle":
        copy = pickle.loads(pickle.dumps(model))
    else:
        file = io.BytesIO()
        joblib.dump(model, file)
        copy = joblib.load(io.BytesIO(file.getvalue()))
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    assert str(copy.fit_) == str(model.fit_)
    same_fit(copy.partial_fit(X[70:], y[70:], w[70:]), model.partial_fit(X[70:], y[70:], w[70:]))


def test_grid_search_over_l2_scores_like_ridge(data: Data) -> None:
    """Folds of 96 training rows each: Ridge's alpha is l2 times the sum of their weights."""
    X, y, _ = data
    l2 = np.array([1e-3, 1e-1, 1.0, 10.0])
    ours = GridSearchCV(LinearRegressor(), {"l2": l2}, cv=5).fit(X, y)
    theirs = GridSearchCV(Ridge(), {"alpha": l2 * 96}, cv=5).fit(X, y)
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], rtol=1e-9)
    assert ours.best_index_ == theirs.best_index_
    assert ours.best_estimator_.fit_.l2 == ours.best_params_["l2"]


def test_cross_validation_scores_like_scikit_learn(data: Data) -> None:
    X, y, _ = data
    ours = cross_val_score(LinearRegressor(), X, y, cv=4)
    np.testing.assert_allclose(ours, cross_val_score(LinearRegression(), X, y, cv=4), rtol=1e-9)


def test_score_takes_row_weights(data: Data) -> None:
    X, y, w = data
    ours, theirs = LinearRegressor().fit(X, y, w), LinearRegression().fit(X, y, w)
    assert ours.score(X, y, w) == pytest.approx(theirs.score(X, y, w), rel=1e-12)
    assert ours.score(X, y, w) == pytest.approx(ours.fit_.r2, rel=1e-12)


def test_row_weights_are_routed_through_a_pipeline(data: Data) -> None:
    X, y, w = data
    with sklearn.config_context(enable_metadata_routing=True):
        last = LinearRegressor().set_fit_request(sample_weight=True)
        model = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), last).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(model.predict(X), LinearRegression().fit(X, y, w).predict(X), rtol=1e-9)


# --- Names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_column_names_reach_the_fit(data: Data, frame: Any) -> None:
    X, y, _ = data
    names = ["Größe", "b c", "x1", "d"]
    table = frame(dict(zip(names, X.T, strict=True)))
    model = LinearRegressor().fit(table, pd.Series(y, name="price"))
    assert list(model.feature_names_in_) == names
    assert model.fit_.names == tuple(names)
    assert model.fit_.target == "price"
    np.testing.assert_array_equal(model.predict(table), model.fit_.predict(table))
    if frame is pd.DataFrame:  # a frame finds its columns by name in a Fit, in scikit-learn it must keep their order
        np.testing.assert_array_equal(model.fit_.predict(table[names[::-1]]), model.predict(table))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(table[names[::-1]])
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(table[names[::-1]], y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)
    same_fit(
        model.partial_fit(table, y), LinearRegressor().fit(frame({n: table[n] for n in names}), y).partial_fit(table, y)
    )


def test_columns_numbered_in_a_frame_have_no_names(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor().fit(pd.DataFrame(X), y)
    assert model.fit_.names == ("x1", "x2", "x3", "x4")
    assert not hasattr(model, "feature_names_in_")


def test_names_pass_through_a_pipeline_with_set_output(data: Data) -> None:
    X, y, _ = data
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = make_pipeline(StandardScaler().set_output(transform="pandas"), LinearRegressor()).fit(table, y)
    assert model[-1].fit_.names == ("a", "b", "c", "d")
    whole = make_pipeline(StandardScaler(), LinearRegressor()).set_output(transform="pandas").fit(table, y)
    np.testing.assert_array_equal(whole.predict(table), model.predict(table))
    np.testing.assert_allclose(model.predict(table), LinearRegression().fit(X, y).predict(X), rtol=1e-11)


# --- What is learned ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("l2", [0.0, 0.3])
def test_agrees_with_scikit_learn(data: Data, intercept: bool, weighted: bool, l2: float) -> None:
    """The loss is the mean, so that Ridge's alpha is l2 times the sum of the weights."""
    X, y, w = data
    weight = w if weighted else None
    total = w.sum() if weighted else len(y)
    ours = LinearRegressor(fit_intercept=intercept, l2=l2).fit(X, y, weight)
    peer = Ridge(alpha=l2 * total, fit_intercept=intercept) if l2 else LinearRegression(fit_intercept=intercept)
    theirs = peer.fit(X, y, weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
    assert ours.intercept_ == pytest.approx(theirs.intercept_, rel=1e-9)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


@pytest.mark.parametrize("errors", ["classical", "hc0", "hc1", "hc2", "hc3", "none"])
def test_is_a_face_of_fit(data: Data, errors: Any) -> None:
    X, y, w = data
    model = LinearRegressor(errors=errors, l2=0.01).fit(X, y, w)
    assert str(model.fit_) == str(linnet.fit(X, y, weight=w, errors=errors, l2=0.01))
    np.testing.assert_array_equal(model.coef_, model.fit_.weights)
    assert model.intercept_ == model.fit_.bias


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_not_copied(data: Data, dtype: Any, order: Any) -> None:
    X, y = data[0].astype(dtype, order=order), data[1].astype(dtype)
    (block,) = LinearRegressor()._source(X, y, None, reset=True).blocks()
    assert np.shares_memory(block.X, X)
    assert block.y is not None
    assert np.shares_memory(block.y, y)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("loss", "cube"), ("solver", "magic"), ("errors", "hc9"), ("precision", "half"), ("l2", -1.0), ("l2", np.nan)],
)
def test_a_wrong_parameter_is_named(data: Data, parameter: str, value: Any) -> None:
    X, y, _ = data
    with pytest.raises(InputError, match=parameter):
        LinearRegressor(**{parameter: value}).fit(X, y)


def test_sparse_is_refused_by_a_sentence(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor().fit(X, y)
    for use in (model.fit, model.partial_fit):
        with pytest.raises(TypeError, match="dense data is required"):
            use(sparse.csr_array(X), y)
    with pytest.raises(TypeError, match="dense data is required"):
        model.predict(sparse.csr_array(X))


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_row_weights_are_refused(data: Data, bad: float) -> None:
    X, y, w = data
    w[7] = bad
    for use in (LinearRegressor().fit, LinearRegressor().fit(X, y).partial_fit):
        with pytest.raises(ValueError, match="weight"):
            use(X, y, w)


# --- Losses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ROBUST)
def test_each_loss_is_what_fit_finds(data: Data, loss: Any) -> None:
    X, y, w = data
    model = LinearRegressor(loss=loss, l2=0.01).fit(X, y, w)
    assert str(model.fit_) == str(linnet.fit(X, y, weight=w, loss=loss, l2=0.01))
    assert model.fit_.status.converged
    np.testing.assert_array_equal(model.predict(X), model.fit_.predict(X))


@pytest.mark.parametrize("errors", ["iid", "bootstrap", "none"])
def test_errors_of_robust_losses(data: Data, errors: Any) -> None:
    X, y, _ = data
    for loss in ("absolute", "huber"):
        fit = LinearRegressor(loss=loss, errors=errors).fit(X, y).fit_
        assert fit.errors == errors
        assert np.isnan(fit.std_errors).all() == (errors == "none")


def test_the_median_is_scikit_learns(data: Data) -> None:
    """Where the optimum is unique; their objective is half of the absolute loss, and their penalty another."""
    X, y, _ = data
    for q in (0.3, 0.5):
        theirs = QuantileRegressor(quantile=q, alpha=0).fit(X, y)
        np.testing.assert_allclose(LinearRegressor(loss=linnet.Quantile(q)).fit(X, y).coef_, theirs.coef_, rtol=1e-6)
    ours = LinearRegressor(loss="absolute").fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)


@pytest.mark.parametrize("loss", ROBUST)
def test_clone_and_pickle_keep_the_loss(data: Data, loss: Any) -> None:
    X, y, _ = data
    model = LinearRegressor(loss=loss).fit(X, y)
    copy = clone(model)
    assert copy.loss == loss
    same_fit(copy.fit(X, y), model)
    again = pickle.loads(pickle.dumps(model))
    assert again.loss == loss
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_grid_search_over_losses(data: Data) -> None:
    """With a tenth of the rows far off, least squares is not what predicts the others."""
    X, y, _ = data
    y = np.where(np.arange(120) % 10 == 3, y + 100, y)
    losses = ["squared", linnet.Huber(k=1.345), linnet.Quantile(0.25)]
    search = GridSearchCV(LinearRegressor(), {"loss": losses}, cv=3, scoring="neg_median_absolute_error").fit(X, y)
    assert search.best_params_["loss"] == linnet.Huber(k=1.345)
    assert search.best_estimator_.fit_.loss == "huber"


@pytest.mark.parametrize("solver", ["auto", "sgd"])
def test_several_quantiles_are_refused_in_a_sentence(data: Data, solver: str) -> None:
    X, y, _ = data
    model = LinearRegressor(loss=linnet.Quantile([0.1, 0.9]), solver=solver)  # type: ignore[arg-type]
    for use in [model.fit, model.partial_fit] if solver == "sgd" else [model.fit]:
        with pytest.raises(
            InputError, match=r"one number a row, but loss=Quantiles.*LinearRegressor for each quantile"
        ):
            use(X, y)
    assert not hasattr(model, "n_features_in_")


@pytest.mark.parametrize("loss", ["absolute", "huber", linnet.Quantile(0.3)])
@pytest.mark.parametrize("solver", ["auto", "exact"])
def test_the_optimum_of_a_robust_loss_needs_all_rows(data: Data, loss: Any, solver: str) -> None:
    X, y, _ = data
    model = LinearRegressor(loss=loss, solver=solver)
    for use in (model, LinearRegressor().fit(X, y).set_params(loss=loss)):
        assert not hasattr(use, "partial_fit")  # which is how scikit-learn's tools ask
        with pytest.raises(InputError, match=r'all rows at once, so call fit with them.*solver="sgd"'):
            use.partial_fit(X, y)
    assert callable(LinearRegressor.partial_fit)
    learned = LinearRegressor(loss=loss, solver="sgd").partial_fit(X, y).partial_fit(X, y).fit_
    assert (learned.solver, learned.n) == ("sgd", 120)


# --- partial_fit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("options", [{"precision": "exact"}, {}, {"l2": 0.1, "fit_intercept": False}])
def test_five_chunks_equal_one_fit_bit_for_bit(data: Data, options: dict[str, Any], weighted: bool) -> None:
    X, y, w = data
    weight = w + 0.1 if weighted else None  # a chunk of nothing but weights 0 would be refused
    bounds = [0, 1, 4, 50, 51, 120]
    whole = LinearRegressor(**options).fit(X, y, weight)
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 3, 1]):
        model = LinearRegressor(**options)
        for k in order:
            part = slice(bounds[k], bounds[k + 1])
            model.partial_fit(X[part], y[part], None if weight is None else weight[part])
        same_fit(model, whole)
        np.testing.assert_array_equal(model.fit_.covariance, whole.fit_.covariance)


def test_rows_of_weight_0_are_counted_in_all_chunks(data: Data) -> None:
    X, y, w = data
    weight = np.where(np.arange(len(y)) % 3, w + 0.1, 0.0)
    model = LinearRegressor()
    for part in (slice(0, 50), slice(50, 51), slice(51, None)):
        model.partial_fit(X[part], y[part], weight[part])
    assert (
        model.fit_.n_weightless
        == np.count_nonzero(weight == 0)
        == LinearRegressor().fit(X, y, weight).fit_.n_weightless
    )


def test_float64_chunks_equal_one_fit_to_rounding(rng: np.random.Generator) -> None:
    """Also when the chunks lie far apart, so that they are not summed about their own means."""
    X = rng.standard_normal((5_000, 3)) + np.repeat(rng.uniform(-1e3, 1e3, (5, 3)), 1_000, axis=0)
    y = X @ [1.0, 2.0, 3.0] + rng.standard_normal(5_000)
    w = rng.random(5_000)
    model = LinearRegressor(precision="float64")
    for i in range(0, 5_000, 1_000):
        model.partial_fit(X[i : i + 1_000], y[i : i + 1_000], w[i : i + 1_000])
    assert model.fit_.precision == "float64"
    same_fit(model, LinearRegressor(precision="exact").fit(X, y, w), rtol=1e-8)


def test_continues_after_fit_and_fit_starts_anew(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor().fit(X[:60], y[:60]).partial_fit(X[60:], y[60:])
    same_fit(model, LinearRegressor().fit(X, y))
    same_fit(model.fit(X[:50], y[:50]), LinearRegressor().fit(X[:50], y[:50]))


def test_ridge_and_intercept_may_change_between_calls(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(l2=5.0).fit(X[:60], y[:60])
    model.set_params(l2=0.25, fit_intercept=False).partial_fit(X[60:], y[60:])
    same_fit(model, LinearRegressor(l2=0.25, fit_intercept=False).fit(X, y))


def test_auto_sums_few_rows_exactly_and_many_in_float64(rng: np.random.Generator) -> None:
    X = rng.standard_normal((20_000, 30))
    y = X.sum(axis=1) + rng.standard_normal(20_000)
    many = LinearRegressor().partial_fit(X, y)
    assert many.fit_.precision == linnet.fit(X, y).precision == "float64"
    assert many.partial_fit(X[:9], y[:9]).fit_.precision == "float64"
    assert LinearRegressor().partial_fit(X[:100], y[:100]).partial_fit(X, y).fit_.precision == "exact"


def test_says_when_float64_is_not_enough_for_rows_that_are_gone(rng: np.random.Generator) -> None:
    """Two columns that only later rows make hard to tell apart."""
    X = rng.standard_normal((20_000, 30))
    y = X.sum(axis=1) + rng.standard_normal(20_000)
    model = LinearRegressor().partial_fit(X, y)
    later = 1e7 * X
    later[:, 1] = later[:, 0]
    before = model.fit_.status
    with pytest.warns(ConvergenceWarning, match='precision="exact"'):
        model.partial_fit(later, y)
    after = model.fit_.status
    assert (before, after) == (Status.SOLVED, Status.IMPRECISE)
    assert 'precision="exact"' in after.text


def test_robust_errors_need_all_rows(data: Data) -> None:
    X, y, _ = data
    for model in (LinearRegressor(errors="hc3"), LinearRegressor().fit(X, y).set_params(errors="hc3")):
        with pytest.raises(InputError, match=r'errors="hc3" needs all rows at once.*"auto", "classical" or "none"'):
            model.partial_fit(X, y)
    assert np.isnan(LinearRegressor(errors="none").partial_fit(X, y).partial_fit(X, y).fit_.std_errors).all()


def test_the_precision_of_rows_that_are_gone_cannot_change(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(precision="float64").fit(X, y).set_params(precision="exact")
    with pytest.raises(InputError, match="call fit with all rows"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("fault", ["NaN", "width", "text", "length"])
def test_rows_that_are_refused_leave_the_model_as_it_was(data: Data, fault: str) -> None:
    X, y, _ = data
    model = LinearRegressor().fit(X[:60], y[:60])
    before = pickle.dumps(model)
    rows: dict[str, tuple[Any, Any]] = {
        "NaN": (np.where(np.arange(4) == 2, np.nan, X), y),
        "width": (X[:, :3], y),
        "text": (X, np.full(120, "1.5")),
        "length": (X, y[:-1]),
    }
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        model.partial_fit(*rows[fault])
    assert pickle.dumps(model) == before
    same_fit(model.partial_fit(X[60:], y[60:]), LinearRegressor().fit(X, y))


def test_a_solver_without_moments_cannot_go_on(data: Data) -> None:
    """Rather than forget the rows so far."""
    X, y, _ = data

    class Forgetful(Exact):
        def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
            for step in super().steps(objective, source):
                yield step._replace(moments=None)

    model = LinearRegressor(solver=Forgetful()).partial_fit(X, y)
    same_fit(model, LinearRegressor().fit(X, y))
    with pytest.raises(InputError, match="left no Moments"):
        model.partial_fit(X, y)


def test_rows_are_added_for_the_squared_loss_only(data: Data) -> None:
    X, y, _ = data

    class Quartic(Loss):
        name = "quartic"

        def value(self, r: Floats) -> Floats:
            return r**4

        def slope(self, r: Floats) -> Floats:
            return 4 * r**3

        def curvature(self, r: Floats) -> Floats:
            return 12 * r**2

    for model in (LinearRegressor(loss=Quartic()), LinearRegressor().fit(X, y).set_params(loss=Quartic())):
        with pytest.raises(InputError, match='needs loss="squared"'):
            model.partial_fit(X, y)


# --- Learning -------------------------------------------------------------------------------------------------------


def test_sgd_by_name_is_sgd_with_nothing_set(data: Data) -> None:
    X, y, w = data
    named, given = (LinearRegressor(solver=solver).fit(X, y, w) for solver in ("sgd", SGD()))
    same_fit(named, given)
    assert str(named.fit_) == str(linnet.fit(X, y, weight=w, solver="sgd"))
    assert (named.fit_.solver, named.fit_.status) == ("sgd", Status.CONVERGED)
    exact = LinearRegressor().fit(X, y, w).fit_
    assert (np.abs(named.coef_ - exact.weights) <= 0.05 * exact.std_errors).all()


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile", linnet.Huber(0.5)])
def test_robust_losses_reach_sgd(data: Data, loss: Any) -> None:
    X, y, _ = data
    fit = LinearRegressor(solver="sgd", loss=loss).fit(X, y).fit_
    assert str(fit) == str(linnet.fit(X, y, solver="sgd", loss=loss))


def test_clone_keeps_the_settings_of_sgd(data: Data) -> None:
    X, y, _ = data
    solver = SGD(lr=1e-4, batch_size=7, epochs=2, tol=None, seed=3)
    model = LinearRegressor(solver=solver, loss="huber").fit(X, y)
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert copy.solver == solver
    same_fit(copy.fit(X, y), model)


def test_grid_search_over_learning_rates(data: Data) -> None:
    X, y, _ = data
    grid = {"solver": [SGD(lr=rate, epochs=5, tol=None) for rate in (1e-9, 1e-4)]}
    found = GridSearchCV(LinearRegressor(), grid, cv=3).fit(X, y)
    assert found.best_params_["solver"].lr == 1e-4


IN_ORDER = SGD(lr=1e-5, batch_size=10, shuffle=False, tol=None, epochs=1)


@pytest.mark.parametrize("loss", ["squared", "huber"])
@pytest.mark.parametrize("intercept", [True, False])
def test_learning_chunk_by_chunk_is_one_epoch_in_that_order(data: Data, loss: str, intercept: bool) -> None:
    X, y, _ = data
    model = LinearRegressor(solver=IN_ORDER, loss=loss, fit_intercept=intercept)
    for part in (slice(0, 40), slice(40, 60), slice(60, 120)):  # whole minibatches
        assert model.partial_fit(X[part], y[part]) is model
    whole = linnet.fit(X, y, solver=IN_ORDER, loss=loss, intercept=intercept)
    np.testing.assert_allclose(model.fit_.coefficients, whole.coefficients, rtol=1e-12)
    assert whole.weights.any()
    assert (model.fit_.n, model.fit_.loss, model.fit_.status) == (60, loss, Status.RAN)


@pytest.mark.parametrize("settings", [{}, {"momentum": 0.9}, {"momentum": 0.5, "average": True}], ids=str)
@pytest.mark.parametrize(("size", "batch_size"), [(1, 1), (2, 2), (2, 1), (7, 7), (64, 2), (64, 64)])
@pytest.mark.parametrize("weighted", [False, True])
def test_learning_in_pieces_of_any_size_changes_no_bit(
    settings: dict[str, Any], size: int, batch_size: int, weighted: bool, rng: np.random.Generator
) -> None:
    """Of whole minibatches, of rows that weigh the same: what they weigh relative to the mean is not known before."""
    X = rng.standard_normal((192, 3))
    y = X @ [1.0, 2.0, 3.0] - 2 + rng.standard_normal(192)
    weight = np.full(192, 3.0) if weighted else None
    solver = SGD(lr=0.05, batch_size=batch_size, shuffle=False, **settings)
    model = LinearRegressor(solver=solver)
    for i in range(0, 192, size):
        model.partial_fit(X[i : i + size], y[i : i + size], None if weight is None else weight[i : i + size])
    whole = LinearRegressor(solver=solver).partial_fit(X, y, weight)
    np.testing.assert_array_equal(model.fit_.coefficients, whole.fit_.coefficients)
    once = linnet.fit(X, y, weight=weight, solver=replace(solver, epochs=1, tol=None))
    np.testing.assert_array_equal(whole.fit_.coefficients, once.coefficients)
    assert np.abs(once.weights).min() > 0.1


@pytest.mark.parametrize("loss", ["squared", "absolute"])
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize(
    ("centre", "unit"), [((0.0, 0.0), (1.0, 1.0)), ((50.0, -3.0), (1.0, 1.0)), ((5e6, 0.0), (1e5, 1e-5))], ids=str
)
def test_rows_one_by_one_lead_to_the_truth(
    loss: str, size: int, centre: tuple[float, float], unit: tuple[float, float], rng: np.random.Generator
) -> None:
    """With nothing set; in a column's own units a weight of 1 is 1/unit, and the bias at its centre is 3."""
    Z = rng.standard_normal((600, 2))
    y = Z @ [1.0, -2.0] + 3.0 + 0.1 * rng.standard_normal(600)
    X = Z * unit + centre
    model = LinearRegressor(solver="sgd", loss=loss)
    for i in range(0, 600, size):
        model.partial_fit(X[i : i + size], y[i : i + size])
    np.testing.assert_allclose(model.coef_ * unit, [1.0, -2.0], atol=0.05)
    assert model.predict([centre])[0] == pytest.approx(3.0, abs=0.05)
    assert model.fit_.status is Status.RAN


@pytest.mark.parametrize(
    "solver",
    [SGD(), SGD(lr=0.01), SGD(lr=0.01, momentum=0.5, average=True)],
    ids=["auto", "0.01", "mean"],
)
def test_a_bias_that_is_no_longer_wanted_is_gone(solver: SGD, rng: np.random.Generator) -> None:
    X = rng.standard_normal((300, 2))
    X[:, 0] += 5.0
    y = X @ [1.0, 2.0] + 40.0 + rng.standard_normal(300)
    model = LinearRegressor(solver=solver).partial_fit(X, y)
    assert abs(model.intercept_) > 1
    model.set_params(fit_intercept=False)
    for _ in range(3):
        assert model.partial_fit(X, y).intercept_ == 0.0
        assert model.predict([[0.0, 0.0]])[0] == 0.0
    assert np.abs(model.coef_).max() < 1e3
    assert model.set_params(fit_intercept=True).partial_fit(X, y).intercept_ != 0.0


@pytest.mark.parametrize("loss", ["squared", "huber", "absolute"])
@pytest.mark.parametrize("size", [1, 50])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_divergence_over_calls_is_seen(loss: str, size: int, momentum: float, rng: np.random.Generator) -> None:
    """Each call sees its own rows only, of which one or few never tell by themselves that the loss explodes."""
    X = rng.standard_normal((300, 2))
    y = X @ [1.0, 2.0] + 3.0 + rng.standard_normal(300)
    rate = 3.0 if loss == "squared" else 1e5
    model = LinearRegressor(solver=SGD(lr=rate, batch_size=size, momentum=momentum), loss=loss)
    found = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for call in range(60):
            i = call * size % 300
            found.add(model.partial_fit(X[i : i + size], y[i : i + size]).fit_.status)
            assert np.abs(model.fit_.coefficients).max() <= 1e6
    assert Status.DIVERGED in found


def test_partial_fit_again_and_again_comes_near_the_optimum(data: Data) -> None:
    """Row weights count, and no two calls visit the rows in the same order."""
    X, y, w = data
    X = StandardScaler().fit_transform(X)
    lowest = LinearRegressor().fit(X, y, w).fit_.objective
    model = LinearRegressor(solver=SGD(lr=0.02))
    reached = [model.partial_fit(X, y, w).fit_.objective for _ in range(100)]
    assert reached[0] > 2 * lowest
    assert lowest < reached[-1] < 1.01 * lowest
    assert len(set(reached)) == 100


def test_each_call_visits_its_rows_in_another_order() -> None:
    """A bias that each row moves half of the way: what a call adds to its start tells the order."""
    X, y = np.zeros((8, 1)), 3.0 ** np.arange(8)
    model, bias = LinearRegressor(solver=SGD(lr=0.5, batch_size=1)), 0.0
    added = []
    for _ in range(6):
        model.partial_fit(X, y)
        added.append(model.intercept_ - bias / 2**8)
        bias = model.intercept_
    assert len(set(added)) == 6


def test_partial_fit_after_fit_begins_at_its_weights(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(solver="sgd").fit(X, y)
    before = model.coef_
    model.set_params(solver=SGD(lr=1e-300)).partial_fit(X, y)
    np.testing.assert_array_equal(model.coef_, before)
    with pytest.warns(ConvergenceWarning, match="epochs ran out"):
        model.fit(X, y)
    assert not np.array_equal(model.coef_, before)  # the rate is next to nothing, and fit begins anew


def test_fit_forgets_what_was_learned_before(data: Data) -> None:
    X, y, _ = data
    used, fresh = LinearRegressor(solver="sgd").partial_fit(X, -50 * y), LinearRegressor(solver="sgd")
    for model in (used, fresh):
        model.fit(X, y).partial_fit(X[:50], y[:50])
    same_fit(used, fresh)


def test_a_fit_that_did_not_converge_is_told_of(data: Data) -> None:
    """Nobody prints a Fit in a pipeline."""
    X, y, _ = data
    model = LinearRegressor(solver=SGD(lr=0.5))
    with pytest.warns(
        ConvergenceWarning, match=r"^LinearRegressor: diverged: the learning rate is too large.*0\.5"
    ) as told:
        model.fit(X, y)
    assert told[0].filename == __file__
    assert model.fit_.status is Status.DIVERGED
    with pytest.warns(ConvergenceWarning, match="diverged"):
        model.partial_fit(X, y)
    assert LinearRegressor(solver=SGD(lr=1e-5, epochs=1, tol=None)).fit(X, y).fit_.status is Status.RAN  # as asked


class Stopped(SGD):
    """SGD that somebody interrupts after the first Step."""

    def onward(self, *args: Any) -> Any:
        run = super().onward(*args)
        yield next(run)
        yield run.throw(KeyboardInterrupt)
        return (yield from run)


def test_an_interrupt_ends_a_search_and_leaves_what_was_learned(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(solver=Stopped(lr=1e-5, epochs=50, tol=None))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    assert model.fit_.status is Status.INTERRUPTED
    assert model.predict(X).shape == (120,)
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(model, X, y, cv=3)
    with pytest.raises(KeyboardInterrupt):
        GridSearchCV(model, {"l2": [0.0, 1.0]}, cv=3).fit(X, y)


def test_an_interrupt_ends_learning_in_parts(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(solver=Stopped(lr=1e-5, every=1))
    with pytest.raises(KeyboardInterrupt):
        model.partial_fit(X, y)
    assert model.fit_.status is Status.INTERRUPTED
    assert model.fit_.settings["steps"] == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fit_intercept": "yes"}, "intercept must be True or False"),
        ({"l2": None}, "l2 must be a finite number"),
        ({"l2": True}, "l2 must be a finite number"),
        ({"precision": "exact", "solver": "sgd"}, "is a setting of the exact solver"),
        ({"solver": SGD(checkpoint="run")}, "partial_fit keeps no checkpoint"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_partial_fit_judges_parameters_as_fit_does(data: Data, first: bool, wrong: dict[str, Any], said: str) -> None:
    X, y, _ = data
    model = LinearRegressor(solver=wrong.get("solver", "auto"))
    if not first:
        model.set_params(solver="sgd" if "solver" in wrong else "auto").partial_fit(X, y)
    with pytest.raises(InputError, match=said):
        model.set_params(**wrong).partial_fit(X, y)


def test_learning_in_parts_without_errors(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(solver=SGD(lr=1e-5), errors="none").partial_fit(X, y)
    assert model.fit_.errors == "none"
    assert np.isnan(model.fit_.std_errors).all()


def test_what_was_learned_cannot_become_exact(data: Data) -> None:
    X, y, _ = data
    model = LinearRegressor(solver="sgd").partial_fit(X, y).set_params(solver="exact")
    with pytest.raises(InputError, match="left no Moments"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("errors", ["hc0", "hc3"])
def test_learning_in_parts_has_no_robust_errors(data: Data, errors: Any) -> None:
    X, y, _ = data
    with pytest.raises(InputError, match="needs all rows at once"):
        LinearRegressor(solver="sgd", errors=errors).partial_fit(X, y)


@pytest.mark.parametrize("fault", ["NaN", "width", "length"])
def test_rows_that_are_refused_leave_what_was_learned(data: Data, fault: str) -> None:
    X, y, _ = data
    model = LinearRegressor(solver="sgd").partial_fit(X[:60], y[:60])
    before = pickle.dumps(model)
    rows: dict[str, tuple[Any, Any]] = {
        "NaN": (np.where(np.arange(4) == 2, np.nan, X), y),
        "width": (X[:, :3], y),
        "length": (X, y[:-1]),
    }
    with pytest.raises(ValueError, match=r"\w+ \w+"):
        model.partial_fit(*rows[fault])
    assert pickle.dumps(model) == before
    copy = pickle.loads(before)
    same_fit(copy.partial_fit(X[60:], y[60:]), model.partial_fit(X[60:], y[60:]))


def test_columns_keep_their_names_while_learning(data: Data) -> None:
    X, y, _ = data
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = LinearRegressor(solver="sgd").partial_fit(table, y).partial_fit(table, y)
    assert model.fit_.names == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="feature names"):
        model.partial_fit(table[["b", "a", "c", "d"]], y)


def test_no_warnings_on_plain_use(data: Data) -> None:
    X, y, w = data
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LinearRegressor().fit(X, y, w).partial_fit(X.astype(np.float32), y, w).predict(X[:5].tolist())


@pytest.mark.parametrize("chunk", [5, 20, 200])
@pytest.mark.parametrize("drift", ["season", "trend"])
def test_rows_that_drift_are_learned_from(drift: str, chunk: int) -> None:
    """Rows of one call lie together then, and their minibatches vary more about the common mean than rows at random."""
    rng = np.random.default_rng(0)
    t = np.arange(3000)
    X = np.column_stack([np.sin(t / 300) if drift == "season" else t / 300, rng.standard_normal(3000)])
    y = X @ [2.0, 1.0] + 5 + 0.5 * rng.standard_normal(3000)
    model = LinearRegressor(solver="sgd")
    for i in range(0, 3000, chunk):
        model.partial_fit(X[i : i + chunk], y[i : i + chunk])
        assert model.fit_.status is Status.RAN
    np.testing.assert_allclose([model.intercept_, *model.coef_], [5.0, 2.0, 1.0], atol=0.25)


@pytest.mark.parametrize("solver", ["exact", "sgd"])
def test_rows_of_a_fit_before_count(solver: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2040, 3)) * [1, 100, 0.01]
    y = X @ [1.0, 0.1, 28.0] + rng.standard_normal(2040)
    model = LinearRegressor(solver=solver).fit(X[:2000], y[:2000])
    before, sd = model.coef_.copy(), model.fit_.std_errors.copy()
    model.set_params(solver="sgd")
    for i in range(2000, 2040):
        model.partial_fit(X[i : i + 1], y[i : i + 1])
    # of 2,040 rows, 40 move the weights by a good standard error and not by ten
    assert (np.abs(model.coef_ - before) < 5 * sd).all()


def test_a_fit_that_fails_leaves_nothing_to_go_on_from() -> None:
    X, y = np.random.default_rng(0).standard_normal((9, 3)), np.arange(9.0)
    model = LinearRegressor(solver=SGD(lr=0.01)).partial_fit(X, y)
    with pytest.raises(ValueError, match=r"at least one non-zero|every row .* has weight 0"):
        model.fit(X[:, :2], y, sample_weight=np.zeros(9))
    with pytest.raises(InputError, match="2 features here, but 3 in the rows learned from before: call fit"):
        model.partial_fit(X[:, :2], y)
