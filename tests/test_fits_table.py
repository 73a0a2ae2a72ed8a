from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from helpers import example
from linnet.block import InputError
from linnet.fits import Fits
from linnet.fits_table import render
from linnet.inference import Uncertainty, Withheld
from linnet.status import Status

NAN = float("nan")


def quantiles(q: Any = (0.1, 0.5, 0.9), d: int = 2, **changes: Any) -> Fits:
    names = ("bill_depth_mm", "sex[male]") if d == 2 else None
    base = example(d, n=200, names=names, target="body_mass_g", loss="quantile", solver="interior-point", errors="nid")
    fits = tuple(
        replace(
            base,
            **{
                "settings": {"q": number},
                "weights": base.weights * (1 + number),
                "pseudo_r2": number / 2,
                "robust_scale": 0.9,
                "gap": 3.01e-15,
                **changes,
            },
        )
        for number in q
    )
    return Fits(fits, tuple(map(str, q)))


AS_PRINTED = """\
Linear regression of body_mass_g
200 rows
quantile loss · interior-point solver · float64 precision · nid errors

                   0.1       0.5       0.9
───────────────────────────────────────────
intercept        1.871     1.871     1.871
                (0.375)   (0.375)   (0.375)
bill_depth_mm  -1.0732   -1.4634   -1.8537
               (0.0712)  (0.0712)  (0.0712)
sex[male]       1.6089    2.1939    2.7790
               (0.0353)  (0.0353)  (0.0353)
───────────────────────────────────────────
pseudo-R²      0.05000    0.2500    0.4500
robust scale    0.9000    0.9000    0.9000
gap, at most   3.1e-15   3.1e-15   3.1e-15

Solved: these are the optimal weights.
• Fitted quantiles cross.
"""


def test_table_as_printed() -> None:
    assert render(replace(quantiles(), notes=("fitted quantiles cross",))) + "\n" == AS_PRINTED


def columns(text: str) -> list[list[str]]:
    """The labels above each block of columns."""
    return [part.splitlines()[0].split() for part in text.split("\n\n")[1:] if part.startswith(" ")]


def test_more_fits_than_80_columns_hold_follow_below() -> None:
    q = [i / 10 for i in range(1, 10)]
    fits = quantiles(q)
    text = render(fits)
    assert columns(text) == [[str(number) for number in q[:5]], [str(number) for number in q[5:]]]
    rows = [line.split()[1:] for line in text.splitlines() if line.startswith("bill_depth_mm")]
    assert [float(cell) for cell in [*rows[0], *rows[1]]] == pytest.approx(fits.weights[:, 0], abs=1e-4)


def test_losses_are_summed_up_by_what_fits_them() -> None:
    squared = example(2)
    huber = replace(squared, loss="huber", errors="sandwich", settings={"k": 1.345, "scale_by": "mad", "delta": 1.25})
    huber = replace(huber, pseudo_r2=0.75, robust_scale=0.93, gap=1e-12, solver="newton")
    text = render(Fits((squared, huber), ("squared", "huber")))
    assert "2 losses · float64 precision\n" in text
    said = {line.split("  ")[0]: line.split()[-2:] for line in text.splitlines()}
    assert said["R²"] == ["0.8927", "–"]
    assert said["residual sd"] == ["0.9107", "–"]
    assert said["pseudo-R²"] == ["–", "0.7500"]
    assert said["robust scale"] == ["–", "0.9300"]
    assert said["delta"] == ["–", "1.250"]
    assert said["gap, at most"] == ["–", "1.0e-12"]
    assert said["errors"] == ["classical", "sandwich"]
    alone = render(Fits((squared,), ("squared",)))
    assert "pseudo" not in alone
    assert "gap" not in alone
    assert "squared loss · exact solver" in alone


def test_how_fits_ended_and_their_notes_name_those_concerned() -> None:
    a, b, c = quantiles()
    b = replace(b, status=Status.NOT_UNIQUE, notes=("`a` = 2·`b`",))
    text = render(Fits((a, b, replace(c, notes=("`a` = 2·`b`", "odd"))), ("0.1", "0.5", "0.9"), ("all",)))
    said = " ".join(text.split("\n\n")[-1].split()).split("• ")[1:]
    assert said[0] == "All. "
    assert said[1] == "(0.1, 0.9) Solved: these are the optimal weights. "
    assert said[2].startswith("(0.5) Solved, but not uniquely")
    assert said[3:] == ["(0.5, 0.9) `a` = 2·`b`. ", "(0.9) Odd."]
    shared = Fits((a, c), ("0.1", "0.9"))
    both = Fits(tuple(replace(fit, notes=("same",)) for fit in shared), shared.labels)
    assert render(both).endswith("\n\nSolved: these are the optimal weights.\n• Same.")


def test_twenty_weights_then_a_count() -> None:
    lines = render(quantiles(d=25)).splitlines()
    assert sum(line.startswith("x") for line in lines) == 20
    assert "and 5 more: to_dict() and --json give all of them" in lines
    assert not any("more:" in line for line in render(quantiles(d=20)).splitlines())


def test_what_is_not_available_is_left_out() -> None:
    bare = render(quantiles(uncertainty=None, gap=NAN, pseudo_r2=NAN))
    assert "(" not in bare.split("──")[0]
    assert "gap" not in bare
    assert "nan" not in bare
    origin = render(quantiles(intercept=False, bias=0.0))
    assert "intercept" not in origin.split("──")[1]
    assert "no intercept" in origin


def test_weights_beyond_what_decimals_show() -> None:
    text = render(quantiles(weights=np.array([1e-9, -3e12]), uncertainty=Uncertainty(np.full(4, 1e-10), np.eye(4))))
    rows = [line.split() for line in text.splitlines()]
    assert ["bill_depth_mm", "1.000e-9"] in [row[:2] for row in rows]
    assert ["sex[male]", "-3.00000000000000e12"] in [row[:2] for row in rows]
    assert ["(1.00e-10)"] * 2 in [row[:2] for row in rows]


def test_tiny_standard_errors_show_in_the_digits_of_weights() -> None:
    sd = Uncertainty(np.array([2.3e-8, 1.0, 2.2e-8, 2.3e-8]), np.eye(4))
    rows = render(quantiles(weights=np.array([2.0000000371, -3.40000001846]), uncertainty=sd)).splitlines()
    at = next(i for i, row in enumerate(rows) if row.startswith("bill_depth_mm"))
    assert rows[at].split()[1:] == ["2.0000000371"] * 3
    assert rows[at + 1].split() == ["(2.20e-8)"] * 3
    assert rows[at + 2].split()[1:] == ["-3.4000000185"] * 3


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(
    names=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=3, unique=True),
    labels=st.lists(st.text(max_size=30), min_size=1, max_size=9, unique=True),
    weights=st.lists(floats, min_size=3, max_size=3),
    sd=st.lists(st.floats(min_value=0), min_size=5, max_size=5) | st.none(),
    settings=st.dictionaries(st.sampled_from(["q", "delta", "k"]), st.text(max_size=9) | st.floats()),
    notes=st.lists(st.text(max_size=100), max_size=2),
    gap=st.floats(),
)
def test_never_wider_than_80_cells(
    names: list[str], labels: list[str], weights: list[float], sd: Any, settings: Any, notes: list[str], gap: float
) -> None:
    d = len(names)
    fit = replace(
        example(d),
        names=tuple(names),
        weights=np.array(weights[:d]),
        uncertainty=None if sd is None else Uncertainty(np.array(sd[: d + 2]), np.eye(d + 2)),
        settings=settings,
        notes=tuple(notes),
        loss="huber",
        gap=gap,
    )
    fits = Fits((fit,) * len(labels), tuple(labels), tuple(notes))
    lines = render(fits).split("\n")
    assert max(map(cell_len, lines)) <= 80
    assert all(c.isprintable() for line in lines for c in line)


def test_to_dict_is_json_and_complete() -> None:
    fits = replace(quantiles(gap=math.inf), notes=("they cross",))
    record = json.loads(json.dumps(fits.to_dict(0.9), allow_nan=False))
    assert list(record["fits"]) == ["0.1", "0.5", "0.9"]
    assert record["fits"]["0.5"] == json.loads(json.dumps(fits["0.5"].to_dict(0.9)))
    assert record["fits"]["0.5"]["gap"] is None
    assert record["notes"] == ["they cross"]
    assert (record["target"], record["n"], record["converged"]) == ("body_mass_g", 200, True)
    with pytest.raises(InputError, match="between 0 and 1"):
        fits.to_dict(1.0)


def test_errors_are_named_only_where_there_are_some() -> None:
    base = quantiles((0.1, 0.5))
    fits = Fits((replace(base.fits[0], uncertainty=None), base.fits[1]), base.labels)
    (line,) = (line for line in render(fits).splitlines() if line.startswith("errors"))
    assert line.split() == ["errors", "–", "nid"]
    bare = Fits(tuple(replace(fit, uncertainty=None) for fit in base), base.labels)
    assert "errors" not in render(bare)


def weights_of(text: str) -> list[str]:
    """The lines between both rules."""
    return text.split("─\n")[1].splitlines()[:-1]


def decimals(line: str) -> set[int]:
    return {len(cell.partition(".")[2]) for cell in line.split()[1:]}


def withheld(fits: Fits, *features: int) -> Fits:
    """The errors of some weights are not told."""
    assert fits[0].uncertainty is not None
    told = np.ones(len(fits.names) + 2, np.bool_)
    told[[2 + j for j in features]] = False
    moves = np.zeros((1, told.size))
    held = Uncertainty(fits[0].uncertainty.sd, fits[0].uncertainty.factor, Withheld(told, moves))
    return Fits(tuple(replace(fit, uncertainty=held) for fit in fits), fits.labels)


def test_an_error_that_is_withheld_is_a_dash_as_in_the_table_of_one_fit() -> None:
    base = quantiles()
    fits = Fits((withheld(base, 1).fits[0], replace(base.fits[1], uncertainty=None), base.fits[2]), base.labels)
    lines = weights_of(render(fits))
    assert lines[-1].split() == ["–", "(0.0353)"]
    assert lines[-1].index("–") == lines[-2].index("1.6089") + 5  # below its last digit, and nothing at 0.5


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_where_no_error_is_known_those_of_other_weights_tell_decimals(scale: float) -> None:
    """All errors are alike, in standard deviations of their columns: as if this one were known."""
    base = quantiles()
    spread = np.array([2.0, scale])
    sd = Uncertainty(np.r_[0.2, 0.2, 0.2 / spread], np.eye(4))
    known = quantiles(uncertainty=sd, scale=spread, weights=np.array([1.5, 0.7 / scale]))
    want, lines = weights_of(render(known)), weights_of(render(withheld(known, 1)))
    assert [line.split() for line in lines[:-1]] == [line.split() for line in want[:-1]]
    assert lines[-1].split() == ["–"] * 3
    unknown = replace(base[0], identified=np.array([True, False]))
    assert weights_of(render(Fits((unknown,), ("a",))))[-1].split() == ["–"]


def test_where_no_error_is_known_at_all_there_is_no_line_for_them() -> None:
    weights: dict[str, Any] = {"weights": np.array([1.06, -0.21724]), "bias": 1234.5678901}
    held = quantiles(**weights, identified=np.zeros(2, np.bool_), bias_identified=False)
    for fits in (held, quantiles(**weights, uncertainty=None)):
        lines = weights_of(render(fits))
        assert [line.split()[0] for line in lines] == ["intercept", "bill_depth_mm", "sex[male]"]
        assert all(len(decimals(line)) == 1 for line in lines)
        assert lines[0].split()[1:] == ["1234.6"] * 3
        assert len({len(line) for line in lines}) == 1
    uneven = tuple(replace(held[0], weights=np.array([w, 0.0])) for w in (1.06, -0.21724, -0.0097908))
    lines = weights_of(render(Fits(uneven, ("a", "b", "c"))))
    assert lines[1].split()[1:] == ["1.060000", "-0.217240", "-0.009791"]
    assert lines[2].split()[1:] == ["0", "0", "0"]
