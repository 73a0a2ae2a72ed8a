from __future__ import annotations

import ast
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
from linnet.fitted import Fit
from linnet.inference import Uncertainty
from linnet.status import Status
from linnet.table import render

NAN = float("nan")


AS_PRINTED = """\
Linear regression of body_mass_g
50 rows, 3 dropped for missing values
squared loss · exact solver · float64 precision

                 weight  std error      t       p       95 % interval
─────────────────────────────────────────────────────────────────────
intercept       2.97949    0.76094   3.92  <0.001   1.44867   4.51031
bill_depth_mm  -1.14965    0.14746  -7.80  <0.001  -1.44631  -0.85300
sex[male]       1.41784    0.07474  18.97  <0.001   1.26749   1.56819
─────────────────────────────────────────────────────────────────────

R²           0.89267                  residual sd         0.91066
adjusted R²  0.88810                  degrees of freedom  47
F            195.45 (p <0.001)        condition number    12.50

Solved: these are the optimal weights.
"""


def test_table_as_printed() -> None:
    fit = example(2, names=("bill_depth_mm", "sex[male]"), target="body_mass_g", n_dropped=3)
    assert render(fit) + "\n" == AS_PRINTED


SETTINGS = {
    "lr": 0.03125,
    "lr_auto": False,
    "batch_size": 10,
    "epochs": 12,
    "momentum": 0.0,
    "average": False,
    "schedule": "constant",
    "shuffle": "rows",
    "seed": 0,
}
LEARNED = """\
Linear regression of body_mass_g
50 rows
squared loss · sgd solver · float64 precision
learning rate 0.03125 · batches of 10 rows · 12 epochs · shuffle: rows

                learned     exact  std error  distance
──────────────────────────────────────────────────────
intercept       2.97949   2.98949    0.76094    -0.013
bill_depth_mm  -1.14965  -1.14765    0.14746    -0.014
sex[male]       1.41784   1.41484    0.07474     0.040
──────────────────────────────────────────────────────
distance: from learned to exact, in standard errors

R²           0.89267                  residual sd         0.91066
adjusted R²  0.88810                  degrees of freedom  47
F            195.45 (p <0.001)        condition number    12.50

Learned: each weight is within 5 % of a classical standard error of its exact
value.
• Rows lay in order.
"""


def learned(d: int = 2, **changes: Any) -> Fit:
    """A fit that was learned and can be judged by the exact one."""
    fit = example(d, names=("bill_depth_mm", "sex[male]") if d == 2 else None, target="body_mass_g")
    off = np.resize([0.01, 0.002, -0.003], d + 1)
    given: dict[str, Any] = {"exact": fit.coefficients + off, "settings": SETTINGS, "status": Status.CONVERGED}
    return replace(fit, **{"solver": "sgd", **given, **changes})


def test_what_was_learned_stands_beside_the_exact() -> None:
    assert render(learned(notes=("rows lay in order",))) + "\n" == LEARNED


def test_how_it_was_learned_as_far_as_settings_tell() -> None:
    rich: dict[str, Any] = {
        "lr": 1e-5,
        "lr_auto": True,
        "batch_size": 1,
        "epochs": 20_000,
        "momentum": 0.9,
        "average": True,
    }
    rich |= {"schedule": "inverse-time", "shuffle": "rows within windows of 256 random segments of 3,125 rows"}
    said = " ".join(render(learned(settings=rich)).splitlines()[3:6])
    assert said == (
        "learning rate 1e-05 (auto) · inverse-time schedule · batches of 1 row · 20,000 epochs · momentum 0.9 · "
        "averaged weights · shuffle: rows within windows of 256 random segments of 3,125 rows"
    )
    assert render(learned(settings={"other": 1})).splitlines()[3] == ""
    odd = {"lr": "?", "batch_size": None, "epochs": "\x1b", "shuffle": 2.5}  # as a model file may hold it
    assert "learning rate ? · \N{REPLACEMENT CHARACTER} epochs · shuffle: 2.5" in render(learned(settings=odd))


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    bare = render(learned(uncertainty=None, exact=None, f_statistic=NAN, condition=NAN))
    assert bare.splitlines()[5].split() == ["weight"]
    assert "std error" not in bare
    assert "distance" not in bare
    unsure = render(learned(uncertainty=None))
    assert unsure.splitlines()[5].split() == ["learned", "exact"]
    assert "distance" not in unsure
    assert "nan" not in bare + unsure


def test_weights_that_diverged_can_be_read() -> None:
    fit = learned(weights=np.array([1e250, -3e-200]), status=Status.DIVERGED)
    row = next(line for line in render(fit).splitlines() if line.startswith("bill")).split()
    assert row == ["bill_depth_mm", "1.000e250", "-1.14765", "0.14746", "6.78e250"]


def test_unidentified_weights_have_no_distance() -> None:
    row = next(r for r in render(learned(identified=np.array([True, False]))).splitlines() if r.startswith("sex"))
    assert row.split()[2:] == ["1.4148", "–", "–"]


def test_numbers_of_very_different_size_keep_their_digits() -> None:
    fit = example(3)
    fit = replace(fit, weights=np.array([1.23456789e-9, 3.0, 4.5678e11]), uncertainty=None)
    text = render(fit)
    assert "1.23457e-9" in text
    assert "4.56780e11" in text
    assert "3.00000" in text


def sure(fit: Fit, sd: list[float], **changes: Any) -> Fit:
    """The same fit with other standard errors of bias and weights."""
    return replace(fit, uncertainty=Uncertainty(np.array([sd[0], 1.0, *sd[1:]]), np.eye(len(sd) + 1)), **changes)


TINY_ERRORS = """\
                 weight  std error        t       p               95 % interval
───────────────────────────────────────────────────────────────────────────────
intercept   4.200000011     2.2e-8   1.88e8  <0.001   4.199999966   4.200000056
x1          2.000000037     2.2e-8   9.03e7  <0.001   1.999999993   2.000000082
x2         -3.400000018     2.3e-8  -1.49e8  <0.001  -3.400000064  -3.399999973
───────────────────────────────────────────────────────────────────────────────
"""


def test_tiny_standard_errors_show_in_the_digits_of_weights_and_intervals() -> None:
    weights: dict[str, Any] = {"bias": 4.20000001123, "weights": np.array([2.0000000371, -3.40000001846])}
    fit = sure(example(2, **weights), [2.23421e-8, 2.21411e-8, 2.28027e-8])
    assert TINY_ERRORS in render(fit)
    learned_at = fit.coefficients + np.array([5e-7, 0.0, 2e-8])
    beside = replace(fit, bias=learned_at[0], weights=learned_at[1:], exact=fit.coefficients, solver="sgd")
    rows = [line.split() for line in render(beside).splitlines()[6:9]]
    assert rows[0] == ["intercept", "4.200000511", "4.200000011", "2.2e-8", "22.379"]
    assert rows[2] == ["x2", "-3.399999998", "-3.400000018", "2.3e-8", "0.877"]


def test_each_row_has_the_digits_of_its_own_standard_error() -> None:
    """Where they differ much: one tiny error neither hides digits of other rows nor gives them more."""
    fit = example(3, bias=386379.4, weights=np.array([3.0000526, 19999923.1, 1.03e-12]))
    lines = render(sure(fit, [235329.2, 4.3e-5, 47.1, 4.34e-14])).splitlines()[6:10]
    assert [line.split()[1:3] for line in lines] == [
        ["386379", "235329"],
        ["3.000053", "4.3e-5"],
        ["19999923", "47"],
        ["1.030e-12", "4.3e-14"],
    ]
    units = [line.split()[1].partition(".")[0] for line in lines]
    ends = {line.index(unit, 9) + len(unit) for line, unit in zip(lines, units, strict=True)}
    assert len(ends) == 1  # decimal points below one another


def test_where_the_ends_of_intervals_have_no_room_their_reach_is_told() -> None:
    long = example(2, names=("a_name_of_twenty_cells", "b"), bias=4.2, weights=np.array([2.0000000371, -3.4]))
    fit = sure(long, [2.2e-8, 2.2e-8, 3.5e-8])
    lines = render(fit, 0.99).splitlines()
    assert lines[4].split()[-3:] == ["±", "99", "%"]
    assert "±: how far the interval reaches to either side of the weight" in lines
    row = lines[7].split()
    assert row[:3] == ["a_name_of_twenty_cells", "2.000000037", "2.2e-8"]
    low, high = fit.interval(0.99)[1]
    assert float(row[-1]) == pytest.approx((high - low) / 2, rel=0.05)
    assert "±" not in render(sure(long, [0.22, 0.22, 0.35]))


magnitudes = st.floats(min_value=1, max_value=9.99)


@given(
    rows=st.lists(st.tuples(magnitudes, st.integers(-40, 40), magnitudes, st.integers(-18, 3)), min_size=2, max_size=6),
    name=st.sampled_from(["x", "a_rather_long_name_of_a_feature"]),
    judged=st.booleans(),
)
def test_every_weight_is_shown_to_its_standard_errors_second_digit(
    rows: list[tuple[float, int, float, int]], name: str, judged: bool
) -> None:
    weights = [float(f"{m!r}e{power}") * (-1) ** i for i, (m, power, _, _) in enumerate(rows)]
    errors = [float(f"{m!r}e{power + below}") for _, power, m, below in rows]
    fit = example(len(rows) - 1, names=tuple(f"{i}{name}{i}" for i in range(1, len(rows))))
    fit = sure(fit, errors, bias=weights[0], weights=np.array(weights[1:]))
    fit = replace(fit, exact=fit.coefficients) if judged else fit
    lines = render(fit).splitlines()
    assert max(map(len, lines)) <= 80
    for line, weight, error in zip(lines[6:], weights, errors, strict=False):
        cells = line.split()[1:]
        slack = 0.0503 * error + 1.1e-14 * abs(weight)  # half of its second digit, or float64's end
        assert abs(float(cells[0]) - weight) <= slack
        shown = float(cells[2] if judged else cells[1])
        assert abs(shown - error) <= 0.0503 * error


def test_where_nothing_is_uncertain_there_is_no_distance() -> None:
    fit = sure(learned(), [0.0, 0.14746, 0.0])
    rows = [line.split() for line in render(fit).splitlines()[7:10]]
    assert [row[3] for row in rows] == ["0", "0.1475", "0"]
    assert [row[4] for row in rows] == ["–", "-0.014", "–"]
    assert "∞" not in render(sure(learned(), [0.0, 0.0, 0.0]))


def test_no_row_for_an_intercept_that_was_not_fitted() -> None:
    text = render(example(2, intercept=False, bias=0.0))
    assert not any(line.startswith("intercept") for line in text.splitlines())
    assert "no intercept" in text


def test_what_is_not_available_is_a_dash() -> None:
    fit = example(2, identified=np.array([True, False]), status=Status.RANK_DEFICIENT, notes=("`a` = 2·`b`",))
    row = next(line for line in render(fit).splitlines() if line.startswith("x2"))
    assert row.split()[2:] == ["–"] * 5
    assert "• `a` = 2·`b`." in render(fit)
    bare = render(example(2, uncertainty=None, errors="none", residual_sd=NAN))
    assert "nan" not in bare
    assert "residual sd         –" in bare


def test_method_line_names_what_was_asked_for() -> None:
    line = render(example(2, l2=0.25, errors="hc3", precision="exact")).splitlines()[2]
    assert line == "squared loss · exact solver · exact precision · l2 0.2500 · hc3 errors"
    line = render(learned(loss="quantile", settings={"q": 0.9}, errors="hc3", uncertainty=None)).splitlines()[2]
    assert line == "quantile loss (q 0.9) · sgd solver · float64 precision"
    given = {"k": None, "scale_by": None, "delta": 3.0}  # as SGD keeps a Huber loss
    line = render(learned(loss="huber", settings=given, precision="exact")).splitlines()[2]
    assert line == "huber loss (delta 3) · sgd solver · optimum in exact precision"


ROBUST = """\
Linear regression of body_mass_g
50 rows
huber loss (k 1.345, scale mad, delta 1.25) · newton solver · float64 precision
· sandwich errors

                 weight  std error      t       p       95 % interval
─────────────────────────────────────────────────────────────────────
intercept       2.97949    0.76094   3.92  <0.001   1.44867   4.51031
bill_depth_mm  -1.14965    0.14746  -7.80  <0.001  -1.44631  -0.85300
sex[male]       1.41784    0.07474  18.97  <0.001   1.26749   1.56819
─────────────────────────────────────────────────────────────────────

pseudo-R²    0.75000                  robust scale        0.93000
F (Wald)     195.45 (p <0.001)        degrees of freedom  47
objective    0.38977                  condition number    12.50
             at most 3.2e-15 of itself above the optimum

Solved: these are the optimal weights.
"""


def robust(**changes: Any) -> Fit:
    """A fit with Huber loss."""
    given: dict[str, Any] = {
        "loss": "huber",
        "errors": "sandwich",
        "exact": None,
        "solver": "newton",
        "settings": {"delta": 1.25, "k": 1.345, "scale_by": "mad", "iterations": 7},
        "status": Status.SOLVED,
        "gap": 3.14e-15,
        "pseudo_r2": 0.75,
        "robust_scale": 0.93,
    }
    return learned(**{**given, **changes})


def test_another_loss_is_summed_up_by_other_numbers() -> None:
    assert render(robust()) + "\n" == ROBUST
    unknown = render(robust(gap=NAN, pseudo_r2=NAN, robust_scale=NAN))
    assert "optimum" not in unknown.splitlines()[-3]
    assert "pseudo-R²    –                        robust scale        –" in unknown
    record = robust().to_dict()
    assert (record["gap"], record["pseudo_r2"], record["robust_scale"]) == (3.14e-15, 0.75, 0.93)


def test_another_loss_that_was_learned_stands_beside_its_optimum() -> None:
    text = render(learned(loss="absolute", errors="nid", settings=SETTINGS | {"q": 0.5}, pseudo_r2=0.5))
    lines = text.splitlines()
    assert lines[2] == "absolute loss (q 0.5) · sgd solver · float64 precision · nid errors"
    assert lines[3].startswith("learning rate 0.03125")
    assert lines[5].split() == ["learned", "exact", "std", "error", "distance"]
    assert "distance: from learned to exact, in standard errors" in text
    assert "pseudo-R²    0.50000" in text


def test_forty_rows_then_a_count() -> None:
    lines = render(example(45, n=200)).splitlines()
    assert sum(line.startswith("x") for line in lines) == 39
    assert "and 6 more: to_dict() and --json give all of them" in lines
    lines = render(example(45, n=200, intercept=False)).splitlines()
    assert sum(line.startswith("x") for line in lines) == 40
    assert "and 5 more: to_dict() and --json give all of them" in lines
    assert not any("more:" in line for line in render(example(39, n=200)).splitlines())


def test_level_of_the_intervals() -> None:
    fit = example(2)
    text = render(fit, 0.9)
    assert "90 % interval" in text
    assert f"{fit.interval(0.9)[1, 0]:.3f}" in text
    assert "99.9 % interval" in render(fit, 0.999)
    for level in (0.99999999999, float(np.nextafter(1, 0))):  # none is certain
        assert "99.99999999 % interval" in render(fit, level)
    with pytest.raises(InputError, match="between 0 and 1"):
        render(fit, 1.0)


floats = st.floats(allow_nan=False, allow_infinity=False)


@given(
    names=st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5, unique=True),
    weights=st.lists(floats, min_size=5, max_size=5),
    sd=st.lists(st.floats(min_value=0), min_size=7, max_size=7) | st.none(),
    exact=st.lists(floats, min_size=6, max_size=6) | st.none(),
    loss=st.sampled_from(["squared", "huber"]),
    settings=st.dictionaries(
        st.sampled_from([*sorted(SETTINGS), "q", "delta", "k", "scale_by"]),
        st.text(max_size=120) | st.integers() | st.floats() | st.booleans(),
    ),
    target=st.text(max_size=120),
    notes=st.lists(st.text(max_size=200), max_size=2),
)
def test_never_wider_than_80_cells(
    names: list[str],
    weights: list[float],
    sd: list[float] | None,
    exact: list[float] | None,
    loss: str,
    settings: dict[str, Any],
    target: str,
    notes: list[str],
) -> None:
    d = len(names)
    fit = replace(
        example(d),
        names=tuple(names),
        weights=np.array(weights[:d]),
        bias=weights[-1],
        uncertainty=None if sd is None else Uncertainty(np.array(sd[: d + 2]), np.eye(d + 2)),
        exact=None if exact is None else np.array(exact[: d + 1]),
        loss=loss,
        settings=settings,
        target=target,
        notes=tuple(notes),
    )
    with np.errstate(all="ignore"):
        lines = render(fit).split("\n")
    assert max(map(cell_len, lines)) <= 80
    assert all(c.isprintable() for line in lines for c in line)


def test_to_dict_is_json_and_complete() -> None:
    fit = example(2, identified=np.array([True, False]), condition=math.inf, f_statistic=NAN)
    record = json.loads(json.dumps(fit.to_dict(0.9), allow_nan=False))
    assert [w["name"] for w in record["weights"]] == ["intercept", "x1", "x2"]
    assert record["weights"][1] == {
        "name": "x1",
        "weight": fit.weights[0],
        "identified": True,
        "std_error": fit.std_errors[0],
        "low": fit.interval(0.9)[1, 0],
        "high": fit.interval(0.9)[1, 1],
        "t": fit.t_values[1],
        "p": fit.p_values[1],
        "exact": None,
        "distance": None,
    }
    assert record["weights"][2]["std_error"] is None
    assert [w["identified"] for w in record["weights"]] == [True, True, False]
    assert record["dependencies"] is None
    assert record["condition"] is None
    assert record["f_statistic"] is None
    assert (record["status"], record["converged"]) == ("SOLVED", True)
    assert record["covariance"][1][1] == fit.covariance[1, 1]
    assert (record["settings"], record["history"]) == ({}, [])
    assert [w["name"] for w in example(1, intercept=False, bias=0.0).to_dict()["weights"]] == ["x1"]


def test_to_dict_of_what_was_learned() -> None:
    fit = learned(identified=np.array([True, False]), history=({"epoch": 1.0, "loss": math.inf},))
    record = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    assert fit.exact is not None
    assert [w["exact"] for w in record["weights"]] == fit.exact.tolist()
    assert [w["distance"] for w in record["weights"]] == [*fit.distance[:2], None]
    assert record["settings"] == SETTINGS
    assert record["history"] == [{"epoch": 1.0, "loss": None}]


@pytest.mark.parametrize("options", [{}, {"errors": "hc3"}, {"l2": 1.0}, {"loss": "huber"}, {"solver": "sgd"}])
def test_to_dict_holds_plain_values_of_python(rng: np.random.Generator, options: dict[str, Any]) -> None:
    """Their text reads back; that of NumPy's numbers does not, nor do YAML and others write them."""
    import linnet

    record = linnet.fit(rng.standard_normal((30, 2)), rng.standard_normal(30), **options).to_dict()
    assert ast.literal_eval(repr(record)) == record


@pytest.mark.parametrize("intercept", [True, False])
def test_to_dict_tells_dependencies_by_names(rng: np.random.Generator, intercept: bool) -> None:
    import pandas as pd

    import linnet

    a, b = rng.standard_normal((2, 50)) + 1e3
    shift = 3.0 if intercept else 0.0
    frame = pd.DataFrame({"a": a, "b": b, "c": 2 * a - b + shift, "d": b / 4, "y": rng.standard_normal(50)})
    fit = linnet.fit(frame.assign(one=7.0) if intercept else frame, "y", intercept=intercept)
    record = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    found = {one["name"]: (one["terms"], one["constant"]) for one in record["dependencies"]}
    assert list(found) == (["c", "d", "one"] if intercept else ["c", "d"])
    assert found["c"][0] == pytest.approx({"a": 2.0, "b": -1.0})
    assert found["c"][1] == pytest.approx(shift, abs=1e-7)
    assert found["d"] == (pytest.approx({"b": 0.25}), 0.0)
    if intercept:
        assert found["one"] == ({}, 7.0)
    unsure = [w["name"] for w in record["weights"] if not w["identified"]]
    assert set(unsure) == {"a", "b", "c", "d"} | ({"intercept", "one"} if intercept else set())
