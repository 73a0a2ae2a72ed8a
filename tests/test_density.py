from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import linnet
from linnet.density import half_width, quantile_of, rows_beyond
from linnet.residuals import hall_sheather


@pytest.mark.parametrize(
    ("loss", "q"),
    [
        (linnet.Absolute(), 0.5),
        (linnet.Quantile(0.9), 0.9),
        (linnet.Quantile(1e-9), 1e-9),
        (linnet.Huber(2.0), None),
        (linnet.Huber(k=1.345), None),
        (linnet.Squared(), None),
    ],
)
def test_quantile_of(loss: linnet.Loss, q: float | None) -> None:
    assert quantile_of(loss) == q


def test_borders_lie_at_one_and_five_rows_beyond_for_each_weight() -> None:
    for q in (0.01, 0.99):
        assert rows_beyond(1001, None, q, 2) == (True, ())
        enough, (note,) = rows_beyond(999, None, q, 2)
        assert enough
        assert "rough" in note
        assert f"about 10 rows lie {'below' if q < 0.5 else 'above'} the {q} quantile, for 2 weights" in note
        assert rows_beyond(201, None, q, 2)[0]
        enough, (note,) = rows_beyond(199, None, q, 2)
        assert not enough
        assert "too few to tell standard errors" in note
    assert "on either side of the median" in rows_beyond(8, None, 0.5, 1)[1][0]


@pytest.mark.parametrize(
    ("n", "said"),
    [
        (3, "about 0.3 of a row lies"),
        (10, "only about one row lies"),
        (17, "only about 1.7 rows lie"),
        (20, "only about 2 rows lie"),
        (124, "only about 12 rows lie"),
    ],
)
def test_the_rows_beyond_are_said_in_a_sentence(n: int, said: str) -> None:
    (note,) = rows_beyond(n, None, 0.1, 5)[1]
    assert note.startswith(f"{said} below the 0.1 quantile, for 5 weights: ")


def test_weights_count_as_so_many_equal_ones() -> None:
    """Twice the weight in a tenth of the rows, and rows that hardly weigh anything; their overall size is nothing."""
    w = np.where(np.arange(2000) < 100, 1.0, 1e-9)
    assert rows_beyond(2000, w, 0.5, 10) == (True, ())
    assert rows_beyond(2000, w, 0.5, 11)[1]
    for size in (1e9, 1e-180, 1e180):
        assert rows_beyond(2000, w * size, 0.5, 10) == (True, ())
    assert rows_beyond(2000, np.full(2000, 7.0), 0.005, 2) == (True, ())


def test_half_width_is_hall_and_sheathers(rng: np.random.Generator) -> None:
    u = rng.standard_normal(500)
    share = hall_sheather(500, 0.3)
    low, high = np.percentile(u, [25, 75])
    want = (high - low) / 1.34 * (norm.ppf(0.3 + share) - norm.ppf(0.3 - share))
    width, notes = half_width(u, 500, 3, 10.0, 0.3, 1e-12)
    assert width == pytest.approx(want, rel=1e-12)
    assert notes == []
    assert half_width(u * 0, 500, 3, 10.0, 0.3, 1e-12)[0] == 0


@pytest.mark.parametrize("errors", ["nid", "iid", "bootstrap"])
def test_outer_quantiles_of_few_rows_have_no_errors(rng: np.random.Generator, errors: Any) -> None:
    X, y = rng.standard_normal((100, 1)), rng.standard_normal(100)
    for q in (0.001, 1e-9, 0.999):
        fit = linnet.fit(X, y, loss=linnet.Quantile(q), errors=errors)
        assert np.isnan(fit.std_errors).all()
        assert any(f"the {q:g} quantile" in note and "too few" in note for note in fit.notes)
        assert np.isnan(fit.p_values).all()


def test_rough_errors_are_called_so(rng: np.random.Generator) -> None:
    X, y = rng.standard_normal((500, 1)), rng.standard_normal(500)
    (note,) = linnet.fit(X, y, loss=linnet.Quantile(0.01)).notes
    assert "only about 5 rows lie below the 0.01 quantile, for 2 weights: standard errors are rough" in note
    assert linnet.fit(X, y, loss=linnet.Quantile(0.05)).notes == ()
    (note,) = linnet.fit(X[:100], y[:100], loss=linnet.Quantile(0.04), errors="bootstrap").notes
    assert "rough" in note


def test_errors_without_a_note_reject_a_true_0_about_as_often_as_they_say() -> None:
    """5 rows beyond for each weight; three standard errors of 300 runs are 4 %."""
    rng = np.random.default_rng(20261121)
    fits = [
        linnet.fit(rng.standard_normal((200, 1)), rng.standard_normal(200), loss=linnet.Quantile(0.055))
        for _ in range(300)
    ]
    assert all(fit.notes == () for fit in fits)
    assert np.mean([fit.p_values[1] < 0.05 for fit in fits]) < 0.05 + 0.06
    inside = [low <= norm.ppf(0.055) <= high for low, high in (fit.interval()[0] for fit in fits)]
    assert np.mean(inside) > 0.95 - 0.06


@pytest.mark.parametrize("n", [10, 30, 50, 100, 1000])
@pytest.mark.parametrize("q", [0.1, 0.2, 0.3, 0.4])
def test_a_quantile_and_its_mirror_image_are_judged_alike(n: int, q: float) -> None:
    """Though 1 - 0.9 is less than 0.1 in floating point."""
    for weights in {round(n * q), max(round(n * q / 5), 1)}:
        below, above = (rows_beyond(n, None, each, weights) for each in (q, 1 - q))
        assert below[0] == above[0]
        assert len(below[1]) == len(above[1])
