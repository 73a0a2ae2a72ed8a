"""Several fits side by side, and where fitted quantiles cross."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import csv

from helpers import Floats, example
from linnet import figures, load, open_source
from linnet.block import Block, InputError
from linnet.design import Design, Feature
from linnet.fits import Fits, crossing
from linnet.fitted import Fit
from linnet.sources.arrays import ArraySource
from linnet.status import Status

Q = (0.1, 0.5, 0.9)


def line(bias: float, weights: Any, q: float | None = None, **changes: Any) -> Fit:
    """A Fit with this bias and these weights, of quantile q if one is given."""
    w = np.atleast_1d(np.asarray(weights, dtype=np.float64))
    fit = example(w.size)
    if q is not None:
        changes = {"loss": "quantile", "solver": "interior-point", "errors": "nid", "settings": {"q": q}} | changes
    return replace(fit, **{"weights": w, "bias": float(bias), "centre_value": float(bias + fit.centre @ w), **changes})


def quantiles(biases: Any, weights: Any, q: Any = Q, **changes: Any) -> Fits:
    fits = tuple(line(b, w, number, **changes) for b, w, number in zip(biases, weights, q, strict=True))
    return Fits(fits, tuple(map(str, q)))


def test_a_fit_is_taken_out_by_position_label_or_quantile() -> None:
    fits = quantiles((1, 2, 3), (0.5, 1, 2))
    assert len(fits) == 3
    assert list(fits) == list(fits.fits)
    for key, position in ((0, 0), (-1, 2), (np.int64(1), 1), ("0.9", 2), (0.5, 1), (np.float64(0.1), 0)):
        assert fits[key] is fits.fits[position]
    with pytest.raises(InputError, match=r"no fit 'median' among these: choose from 0.1, 0.5, 0.9"):
        fits["median"]
    with pytest.raises(InputError, match=r"no fit 0\.25"):
        fits[0.25]
    with pytest.raises(IndexError):
        fits[3]
    assert repr(fits) == "<Fits of 'y' on 1 features, 50 rows: 0.1, 0.5, 0.9>"


def test_what_all_fits_have_in_common_and_what_not() -> None:
    fits = quantiles((1, 2, 3), ([0.5, 1], [1, 2], [2, 3]))
    assert (fits.names, fits.target, fits.n) == (("x1", "x2"), "y", 50)
    assert fits.weights.tolist() == [[0.5, 1], [1, 2], [2, 3]]
    assert fits.biases.tolist() == [1, 2, 3]
    np.testing.assert_array_equal(fits.std_errors, [fit.std_errors for fit in fits])
    assert fits.converged
    stopped = replace(fits[1], status=Status.UNFINISHED)
    assert not Fits((fits[0], stopped), ("a", "b")).converged


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ([{"q": 0.1}, {"q": 0.9}], (0.1, 0.9)),
        ([{"q": 0.9}, {"q": 0.1}], ()),
        ([{"q": 0.5}, {"q": 0.5}], ()),
        ([{"q": 0.5}, {}], ()),
        ([{"q": 0.5}, {"q": "0.9"}], ()),
    ],
)
def test_fits_are_quantiles_only_when_all_are(settings: list[dict[str, Any]], expected: tuple[float, ...]) -> None:
    fits = tuple(line(0, 1, 0.5, settings=each) for each in settings)
    assert Fits(fits, ("a", "b")).quantiles == expected
    assert Fits((replace(fits[0], loss="squared"), fits[1]), ("a", "b")).quantiles == ()


def test_fits_that_cannot_stand_side_by_side() -> None:
    one, other = line(0, 1), line(0, [1, 2])
    with pytest.raises(InputError, match="at least one"):
        Fits((), ())
    with pytest.raises(InputError, match="label of its own"):
        Fits((one, one), ("a", "a"))
    with pytest.raises(InputError, match="label of its own"):
        Fits((one, one), ("a",))
    for different in (other, replace(one, target="z"), replace(one, design=Design.numbers(["z"]), names=("z",))):
        with pytest.raises(InputError, match="same target and the same features"):
            Fits((one, different), ("a", "b"))


def test_predictions_are_those_of_each_fit(rng: np.random.Generator) -> None:
    design = Design((Feature("a"), Feature("sex", ("f", "m"))), "drop")
    base = example(2, design=design)
    fits = Fits((base, replace(base, weights=base.weights * 2)), ("a", "b"))
    data = pa.table({"sex": ["m", "f", None, "m"], "a": rng.standard_normal(4)})
    predicted = fits.predict(data)
    assert predicted.shape == (4, 2)
    for i, fit in enumerate(fits):
        np.testing.assert_array_equal(predicted[:, i], fit.predict(data))
    assert np.isnan(predicted[2]).all()
    assert not np.isnan(predicted[[0, 1, 3]]).any()
    assert fits.predict(data.slice(0, 0)).shape == (0, 2)
    with pytest.raises(InputError, match="sex"):
        fits.predict(data.drop(["sex"]))


def test_intervals_are_those_of_each_fit(rng: np.random.Generator) -> None:
    X = rng.standard_normal((7, 2))
    fits = Fits((line(1.0, [2.0, 3.0]), line(0.0, [1.0, -1.0])), ("a", "b"))
    kinds: tuple[Literal["prediction", "confidence"], ...] = ("prediction", "confidence")
    for kind in kinds:
        both = fits.predict(X, 0.9, kind)
        assert both.shape == (7, 2, 3)
        for i, fit in enumerate(fits):
            np.testing.assert_array_equal(both[:, i], fit.predict(X, interval=0.9, kind=kind))
    assert fits.predict(X[:0], interval=0.9).shape == (0, 2, 3)
    several = quantiles([0.0, 1.0, 2.0], [[1.0, 1.0]] * 3)
    assert several.predict(X, 0.9, "confidence").shape == (7, 3, 3)
    with pytest.raises(InputError, match="one new observation will lie is not told"):
        several.predict(X, interval=0.9)


def test_a_fit_without_standard_errors_leaves_the_others_their_intervals(rng: np.random.Generator) -> None:
    X = rng.standard_normal((7, 1))
    fits = quantiles((1, 2, 3), (0.5, 1, 2))
    mixed = Fits((fits[0], replace(fits[1], uncertainty=None), fits[2]), fits.labels)
    with pytest.warns(UserWarning, match=r"the fit '0\.5' has no standard errors, and no interval is given: the notes"):
        predicted = mixed.predict(X, 0.9, "confidence")
    np.testing.assert_array_equal(predicted, mixed.predict_rows(X, 0.9, "confidence"))
    np.testing.assert_array_equal(predicted[:, ::2], fits.predict(X, 0.9, "confidence")[:, ::2])
    np.testing.assert_array_equal(predicted[:, :, 0], fits.predict(X))
    assert np.isnan(predicted[:, 1, 1:]).all()
    with pytest.raises(InputError, match="one new observation will lie is not told"):
        Fits((line(1, 1), replace(fits[0], uncertainty=None)), ("a", "b")).predict(X, 0.9)
    none = Fits(tuple(replace(fit, uncertainty=None, errors="none") for fit in fits), fits.labels)
    with pytest.raises(InputError, match=r"None of these fits has standard errors.*: fit with errors other than"):
        none.predict(X, 0.9, "confidence")
    two = Fits((fits[0], none[1], none[2]), fits.labels)
    with pytest.warns(UserWarning, match=r"the fits '0\.5' and '0\.9' have no standard errors"):
        two.predict(X, 0.9, "confidence")


def test_predictions_read_a_stream_once() -> None:
    fits = quantiles((1, 2, 3), (0.5, 1, 2))
    named = Fits(tuple(replace(fit, names=("x",), design=Design.numbers(["x"])) for fit in fits), fits.labels)
    stream = pa.RecordBatchReader.from_batches(
        pa.schema([("x", pa.float64())]), pa.table({"x": [1.0, 2.0, 3.0]}).to_batches()
    )
    np.testing.assert_allclose(named.predict(stream), [[1.5, 3.0, 5.0], [2.0, 4.0, 7.0], [2.5, 5.0, 9.0]])


@pytest.mark.parametrize("loss", ["absolute", "huber", "quantile"])
def test_where_a_new_observation_lies_is_for_quantiles_to_say(loss: str) -> None:
    fit = replace(line(1, [1, 2]), loss=loss)
    X = np.ones((2, 2))
    with pytest.raises(InputError, match=rf"{loss} loss.*kind=\"confidence\".*Quantile\(\[0.025, 0.975\]\)"):
        fit.predict_rows(X, 0.95)
    assert fit.predict_rows(X, 0.95, "confidence").shape == (2, 3)
    assert replace(fit, loss="squared").predict_rows(X, 0.95).shape == (2, 3)


def test_fits_come_back_from_a_file_and_as_plain_values(tmp_path: Path) -> None:
    fits = replace(quantiles((1, 2, 3), (0.5, 1, 2)), notes=("they cross",))
    fits.save(tmp_path / "fits.json")
    again = load(tmp_path / "fits.json", Fits)
    assert str(again) == str(fits)
    assert again.to_dict(0.9) == fits.to_dict(0.9)


def test_a_figure_for_each_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    for name in ("fan", "quantile_process", "weights_by_loss"):
        monkeypatch.setattr(figures, name, lambda *given, name=name: called.append((name, *given)))
    one, several = quantiles((1, 2, 3), (0.5, 1, 2)), quantiles((1, 2, 3), np.ones((3, 2)))
    losses = Fits((line(0, [1, 2]), line(0, [1, 3])), ("squared", "absolute"))
    for fits in (one, several, losses):
        fits.plot("X", "y")
    assert called == [("fan", one, "X", "y"), ("quantile_process", several), ("weights_by_loss", losses)]


# --- Where quantiles cross --------------------------------------------------------------------------------------------


def crossed_by_hand(X: Floats, weight: Floats, fits: Fits) -> tuple[int, float, int]:
    """In how many rows some pair of quantiles crosses; how deep at worst and where: every pair of every row."""
    rows, worst, where = 0, 0.0, -1
    for i, x in enumerate(X):
        value = [fit.bias + float(fit.weights @ x) for fit in fits]
        depths = [value[a] - value[b] for b in range(len(value)) for a in range(b)]
        if weight[i] and max(depths) > 1e-7:
            rows += 1
            if max(depths) > worst + 1e-9:
                worst, where = max(depths), i
    return rows, worst, where


@given(
    weights=st.lists(st.lists(st.integers(-3, 3), min_size=2, max_size=2), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    block_rows=st.sampled_from([1, 7, 1000]),
)
def test_crossings_are_all_found(weights: list[list[int]], seed: int, block_rows: int) -> None:
    random = np.random.default_rng(seed)
    X, used = random.standard_normal((40, 2)), random.integers(0, 2, 40).astype(float)
    used[0] = 1.0
    q = [(i + 1) / 10 for i in range(len(weights))]
    fits = quantiles(np.arange(len(q)) * 1.5, weights, q)
    rows, worst, where = crossed_by_hand(X, used, fits)
    notes = crossing(fits.fits, ArraySource(X, np.zeros(40), weight=used, block_rows=block_rows))
    if not rows:
        assert notes == ()
        return
    (note,) = notes
    said = "1 row" if rows == 1 else f"{rows} rows"
    assert note.startswith(f"fitted quantiles cross in {said} of 50: at worst in row {where + 1}, ")
    assert f" {worst:.4g} below " in note


def test_the_crossing_is_named_with_its_quantiles(tmp_path: Path) -> None:
    """At x = 4 the three predict 7, 6 and 4: the highest is the farthest below the lowest."""
    fits = quantiles((-1, 2, 4), (2, 1, 0))
    path = tmp_path / "rows.csv"
    csv.write_csv(pa.table({"x": [0.0, 1.0, 4.0, 2.5], "y": [0.0] * 4}), path)
    (note,) = crossing(fits.fits, open_source(path, "y"))
    assert f"2 rows of 50: at worst in row 3 of '{path}', where quantile" in note
    assert "quantile 0.9 is predicted 3 below quantile 0.1" in note
    assert "Fit fewer features or more rows" in note


def test_a_large_block_is_looked_at_in_parts(rng: np.random.Generator) -> None:
    n = 300_000
    X = rng.uniform(0, 1, (n, 4))
    X[234_567] = 9.0
    fits = quantiles((0, 3), ([1] * 4, [0.5] * 4), (0.25, 0.75))
    (note,) = crossing(fits.fits, ArraySource(X, np.zeros(n)))
    assert "cross in 1 row of 50: at worst in row 234,568, where quantile 0.75 is predicted 15 below" in note


def test_rounding_is_no_crossing(rng: np.random.Generator) -> None:
    """Lines through the same point, far from 0, whose predictions there differ in the last bits only."""
    X = 1e6 + rng.integers(0, 1000, (500, 1)).astype(float)
    low, high = line(0.1, 0.3, 0.1), line(0.1 + 1e-9, 0.3, 0.9)
    assert crossing((high, low), ArraySource(X, np.zeros(500))) == ()
    far = replace(low, bias=low.bias - 1.0, centre_value=low.centre_value - 1.0)
    assert len(crossing((high, far), ArraySource(X, np.zeros(500)))) == 1


def test_nothing_to_cross() -> None:
    class Once(ArraySource):
        rereadable = False

        def blocks(self) -> Iterator[Block]:
            raise AssertionError

    fits = quantiles((2, 1), (1, 1), (0.1, 0.9))
    X = np.arange(5.0)[:, None]
    assert crossing(fits.fits[:1], Once(X, X[:, 0])) == ()
    assert crossing(fits.fits, Once(X, X[:, 0])) == ()
    assert len(crossing(fits.fits, ArraySource(X, X[:, 0]))) == 1
