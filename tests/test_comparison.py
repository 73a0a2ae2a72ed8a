from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from numpy.typing import NDArray

import linnet
from helpers import example
from linnet import Absolute, Huber, InputError, Quantile, Squared
from linnet.comparison import LOSSES, Comparison, Flag, _flags, compare
from linnet.fits import Fits
from linnet.inference import Uncertainty

Floats = NDArray[np.float64]


def fits_of(weights: list[list[float]], errors: list[list[float]] | None = None, **changes: Any) -> Fits:
    """Fits with these weights (k, d) and standard errors, features of standard deviation 1."""
    d = len(weights[0])
    fits = []
    for i, each in enumerate(weights):
        sd = None if errors is None else np.r_[1.0, 1.0, errors[i]]
        uncertainty = None if sd is None else Uncertainty(sd, np.eye(d + 2))
        fits.append(example(d, weights=np.array(each), uncertainty=uncertainty, **{"scale": np.ones(d), **changes}))
    return Fits(tuple(fits), tuple("ABCDE"[: len(fits)]))


def flags_of(*arguments: Any, **changes: Any) -> tuple[dict[tuple[str, str], bool], str]:
    """Whether each flag is clear, and all notes."""
    flags, notes = _flags(fits_of(*arguments, **changes))
    return {(flag.feature, flag.change): flag.clear for flag in flags}, " ".join(notes)


@pytest.fixture
def frame(rng: np.random.Generator) -> pd.DataFrame:
    """y falls with c but for a cluster far out, which turns the weight that least squares gives it."""
    frame = pd.DataFrame(rng.standard_normal((400, 3)), columns=["a", "b", "c"])
    frame["town"] = np.where(rng.random(400) < 0.4, "Bath", "York")
    frame["y"] = 2 * frame.a + frame.b - 0.5 * frame.c + (frame.town == "York") + rng.standard_normal(400)
    frame.loc[:19, "c"] += 4
    frame.loc[:19, "y"] += 25
    return frame


# --- What the losses say --------------------------------------------------------------------------------------------


def test_each_fit_is_that_of_its_loss(frame: pd.DataFrame) -> None:
    result = compare(frame, "y")
    assert result.fits.labels == ("squared", "huber", "absolute", "quantile 0.9")
    for label, loss in zip(result.fits.labels, (Squared(), Huber(k=1.345), Absolute(), Quantile(0.9)), strict=True):
        assert result.fits[label].to_dict() == linnet.fit(frame, "y", loss=loss).to_dict()


def test_known_values_of_stackloss() -> None:
    """R's MASS::rlm and quantreg's median; the row that Huber's loss trusts least, and least squares follows."""
    frame = sm.datasets.stackloss.load_pandas().data
    result = compare(frame, "STACKLOSS")
    np.testing.assert_allclose(
        [[*result.fits["huber"].coefficients], [*result.fits["absolute"].coefficients]],
        [[-41.026485, 0.829386, 0.926059, -0.127846], [-39.689855, 0.831884, 0.573913, -0.060870]],
        atol=5e-4,
    )
    assert result.deciding is not None
    assert [row.where for row in result.deciding.rows] == ["row 21"]
    assert result.deciding.rows[0].cooks_distance == pytest.approx(0.692, abs=5e-4)  # Cook and Weisberg (1982)


def test_the_feature_that_a_cluster_turns_is_flagged_and_the_cluster_found(frame: pd.DataFrame) -> None:
    result = compare(frame, "y", losses=("squared", "huber", "absolute"))
    assert result.fits["squared"].weights[2] > 0 > result.fits["absolute"].weights[2]
    (flag,) = (flag for flag in result.flags if flag.change == "sign")
    assert (flag.feature, flag.clear) == ("c", True)
    assert "`c` changes sign" in " ".join(result.fits.notes)
    assert result.deciding is not None
    found = {int(row.where.split()[1]) for row in result.deciding.rows}
    assert len(found) == 10
    assert found <= set(range(1, 21))


def test_options_reach_every_fit(frame: pd.DataFrame) -> None:
    frame["w"] = np.arange(400) % 3
    frame.loc[5, "a"] = np.nan
    options: dict[str, Any] = {"features": ["a", "c"], "weight": "w", "intercept": False, "l2": 0.2, "missing": "drop"}
    result = compare(frame, "y", errors="none", **options)
    for fit, loss in zip(result.fits, LOSSES.values(), strict=True):
        np.testing.assert_allclose(
            fit.weights, linnet.fit(frame, "y", loss=loss, errors="none", **options).weights, rtol=1e-9
        )
        assert (fit.intercept, fit.l2, fit.n_dropped, fit.uncertainty) == (False, 0.2, 1, None)


def test_a_stream_says_the_same(frame: pd.DataFrame, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table.slice(0, 150), tmp_path / "a.parquet", row_group_size=64)
    pq.write_table(table.slice(150), tmp_path / "b.parquet", row_group_size=64)
    whole, streamed = compare(frame, "y"), compare(tmp_path, "y")
    np.testing.assert_allclose(streamed.fits.weights, whole.fits.weights, rtol=1e-9)
    assert [(f.feature, f.change, f.clear) for f in streamed.flags] == [
        (f.feature, f.change, f.clear) for f in whole.flags
    ]
    assert streamed.deciding is not None
    assert whole.deciding is not None
    assert streamed.deciding.count == whole.deciding.count
    assert all("a.parquet" in row.where for row in streamed.deciding.rows)


def test_arrays_and_progress(rng: np.random.Generator) -> None:
    X = rng.standard_normal((60, 2))
    y = X.sum(axis=1) + rng.standard_t(2, 60)
    told: list[Any] = []
    result = compare(X, y, progress=told.append)
    assert result.fits.names == ("x1", "x2")
    assert told


# --- Losses that are asked for --------------------------------------------------------------------------------------


def test_losses_are_names_or_instances(frame: pd.DataFrame) -> None:
    losses: list[Any] = [Huber(2.0), Huber(k=1.5), linnet.Quantile([0.25, 0.75]), "quantile"]
    result = compare(frame, "y", losses=losses, features=["a"])
    assert result.fits.labels == ("huber delta=2", "huber k=1.5", "quantile 0.25", "quantile 0.75", "quantile 0.9")
    assert result.deciding is None  # no least squares to hold against Huber
    assert compare(frame, "y", losses="absolute", features=["a"]).fits.labels == ("absolute",)


@pytest.mark.parametrize(
    ("losses", "says"),
    [
        ((), "no loss to compare"),
        (("squared", "cubic"), "no loss 'cubic'"),
        (("squared", Squared()), "Squared loss is there twice"),
        ((Quantile(0.5), "quantile", 0.9), "no loss 0.9"),
        ((Quantile(0.9), "quantile"), "Quantile 0.9 loss is there twice"),
    ],
)
def test_losses_that_make_no_sense_are_refused(losses: Any, says: str) -> None:
    with pytest.raises(InputError, match=says):
        compare(np.ones((3, 1)), np.ones(3), losses=losses)


def test_errors_must_be_there_for_every_loss() -> None:
    with pytest.raises(InputError, match=r"errors must be one of auto, classical, bootstrap, none, but is 'hc3'"):
        compare(np.ones((3, 1)), np.ones(3), errors="hc3")  # type: ignore[arg-type]


def test_rows_that_can_be_read_only_once_are_refused() -> None:
    table = pa.table({"x": [1.0, 2.0, 4.0], "y": [1.0, 2.0, 3.0]})
    stream = pa.RecordBatchReader.from_batches(table.schema, table.to_batches())
    with pytest.raises(InputError, match="only once"):
        compare(stream, "y")


def test_a_loss_that_these_rows_do_not_suit_is_named() -> None:
    """Most rows are fitted exactly, so that nothing is left to estimate a robust scale from."""
    x = np.r_[np.arange(12.0), 5.0, 5.0]
    y = 2 * x
    y[-2:] += [50, -50]
    with pytest.raises(InputError, match=r"^With huber loss: .* leave that loss out"):
        compare(x[:, None], y)
    assert compare(x[:, None], y, losses=("squared", "absolute")).fits["absolute"].weights == pytest.approx([2.0])


def test_bad_rows_are_blamed_on_no_loss() -> None:
    with pytest.raises(InputError, match=r"^Column 'x1' is missing"):
        compare([[1.0], [np.nan], [2.0]], [1.0, 2.0, 3.0])


# --- Flags ----------------------------------------------------------------------------------------------------------


def test_signs_that_differ_are_flagged_only_where_one_is_clear() -> None:
    weights = [[3.0, 0.1, -3.0, 5.0], [-3.0, -0.1, 0.5, 4.0], [1.0, 0.1, 0.0, 6.0]]
    flags, notes = flags_of(weights, [[1.0] * 4] * 3)
    assert flags == {("x1", "sign"): True, ("x3", "sign"): False} | {
        key: clear for key, clear in flags.items() if key[1] == "rank"
    }
    assert "`x1` changes sign: 3 under A (t 3.0) but -3 under B (t -3.0)" in notes
    assert "`x3` changes sign: -3 under A (t -3.0) but 0.5 under B (t 0.5); only under A is it clearly" in notes
    assert "`x2` changes sign" not in notes


def test_without_standard_errors_every_change_of_sign_is_told() -> None:
    flags, notes = flags_of([[3.0, 0.1], [2.0, -0.1]])
    assert flags == {("x2", "sign"): False}
    assert "`x2` changes sign: 0.1 under A but -0.1 under B" in notes


def test_a_weight_without_standard_error_never_stands_for_the_other_side() -> None:
    flags, notes = flags_of([[3.0], [-2.0], [1.0]], [[1.0], [np.nan], [1.0]])
    assert flags == {("x1", "sign"): False}
    assert "3 under A (t 3.0) but -2 under B (no standard error); only under A is it clearly" in notes


def test_ranks_that_change_are_clear_beyond_both_standard_errors() -> None:
    near, _ = flags_of([[5.0, 4.0, 1.0], [4.0, 5.0, 1.0]], [[0.3] * 3] * 2)
    far, notes = flags_of([[5.0, 4.0, 1.0], [4.0, 5.0, 1.0]], [[0.2] * 3] * 2)
    assert near == {("x1", "rank"): False, ("x2", "rank"): False}
    assert far == {("x1", "rank"): True, ("x2", "rank"): True}
    assert "`x1` ranks 1st by standardised weight under A, 2nd under B" in notes


@pytest.mark.parametrize("said", ["2nd", "3rd", "4th", "11th", "13th", "22nd", "101st", "111th", "112th", "121st"])
def test_ranks_are_spelled_as_english_does(said: str) -> None:
    """The first of 130 features falls to that rank under the other loss."""
    sizes = np.arange(130.0, 0.0, -1.0)
    fallen = np.r_[sizes[0] - int(said[:-2]) + 0.5, sizes[1:]]
    _, notes = flags_of([sizes.tolist(), fallen.tolist()], [[0.01] * 130] * 2, n=200)
    assert f"`x1` ranks 1st by standardised weight under A, {said} under B" in notes


def test_size_is_in_standard_deviations_of_the_feature() -> None:
    flags, notes = flags_of([[5.0, 0.4], [5.0, 0.6]], [[0.01, 0.001]] * 2, scale=np.array([1.0, 10.0]))
    assert flags == {("x1", "rank"): True, ("x2", "rank"): True}
    assert "`x2` ranks 1st by standardised weight under B, 2nd under A" in notes


def test_an_order_among_small_weights_is_no_flag() -> None:
    weights = [[9.0, 8.0, 7.0, 3.0, 2.0], [9.0, 8.0, 7.0, 2.0, 3.0]]
    flags, notes = flags_of(weights, [[0.01] * 5] * 2)
    assert not flags
    assert "the largest keep their order" in notes


def test_rounding_has_neither_sign_nor_rank() -> None:
    weights = [[1e-16, 1.0, -2e-16], [-1e-16, 1.0, 1e-16]]
    flags, notes = flags_of(weights, [[1e-17] * 3] * 2, target_scale=1.0)
    assert not flags
    assert "the largest keep their order" in notes


def test_unidentified_features_are_not_ranked_and_named() -> None:
    weights = [[5.0, 1.0, 3.0], [-5.0, 2.0, 3.0]]
    fits = fits_of(weights, [[0.1] * 3] * 2, identified=np.array([False, True, True]))
    flags, notes = _flags(fits)
    assert flags == ()
    assert notes[-1] == "not compared, because their weights cannot be told from others: `x1`"
    ranks = Comparison(fits, flags, None).ranks
    np.testing.assert_array_equal(ranks, [[np.nan, 2, 1], [np.nan, 2, 1]])
    _, many = flags_of([[5.0] * 12, [-5.0] * 12], [[0.1] * 12] * 2, identified=np.arange(12) == 11)
    assert many.endswith("cannot be told from others: `x1`, `x2`, `x3`, `x4`, `x5` and 6 more")


def test_many_flags_are_counted_and_clear_ones_come_first() -> None:
    d = 30
    weights = [[1.0] * d, [-1.0] * d]
    errors = [[0.9 if j < 10 else 0.1 for j in range(d)]] * 2
    errors[1] = [0.1] * d  # clear under B for all, under A for the last twenty
    flags, notes = _flags(fits_of(weights, errors))
    signs = [flag for flag in flags if flag.change == "sign"]
    assert [flag.clear for flag in signs] == [True] * 20 + [False] * 10
    assert sum("changes sign" in note for note in notes) == 5
    assert "and 25 more features change sign" in notes


def test_a_single_fit_has_nothing_to_compare() -> None:
    assert _flags(fits_of([[1.0, 2.0]])) == ((), ())


def test_says_what_it_is() -> None:
    fits = fits_of([[1.0, 2.0], [1.0, 2.0]])
    flag = Flag("x1", "sign", True, "`x1` changes sign")
    assert repr(Comparison(fits, (flag,), None)) == "<Comparison of A, B; flags: 1>"
    assert dataclasses.replace(flag) == flag


def test_names_here_are_what_an_analyst_means(frame: pd.DataFrame) -> None:
    """Not Huber(1.0), whose delta is a size in units of y, nor the median twice."""
    assert LOSSES["huber"] == Huber(k=1.345)
    assert LOSSES["quantile"] == Quantile(0.9)

    def scaled() -> Iterator[Comparison]:
        for size in (1.0, 1000.0):
            yield compare(frame.assign(y=frame.y * size), "y", losses=("squared", "huber"), errors="none")

    small, large = scaled()
    np.testing.assert_allclose(large.fits.weights, 1000 * small.fits.weights, rtol=1e-7)
    assert small.deciding is not None
    assert large.deciding is not None
    assert [row.where for row in small.deciding.rows] == [row.where for row in large.deciding.rows]


def test_to_dict_is_json(frame: pd.DataFrame) -> None:
    text = json.dumps(compare(frame, "y").to_dict(0.9), allow_nan=False)
    assert json.loads(text)["fits"]["huber"]["level"] == 0.9
