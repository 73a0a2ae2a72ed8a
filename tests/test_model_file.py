from __future__ import annotations

import dataclasses
import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import example
from linnet import fit_record, model_file
from linnet.block import InputError
from linnet.dependencies import Dependencies
from linnet.design import Design, Feature
from linnet.fits import Fits
from linnet.fitted import Fit
from linnet.inference import Uncertainty, Withheld, directions
from linnet.model_file import load, save
from linnet.status import Status

NAN, INF = float("nan"), math.inf


def same(a: Any, b: Any) -> bool:
    """Equality bit for bit, NaN being itself and -0.0 not 0.0."""
    if isinstance(a, np.ndarray):
        return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
    if isinstance(a, Uncertainty):
        alike = isinstance(b, Uncertainty) and same(a.sd, b.sd) and same(a.factor, b.factor)
        return alike and type(a.withheld) is type(b.withheld) and same(a.withheld, b.withheld)
    if isinstance(a, Dependencies):
        return isinstance(b, Dependencies) and same(vars(a), vars(b))
    if isinstance(a, float):
        return type(b) is float and a.hex() == b.hex()
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    equal: bool = a == b
    return equal and type(a) is type(b)


def differences(a: Fit, b: Fit) -> list[str]:
    return [f.name for f in dataclasses.fields(a) if not same(getattr(a, f.name), getattr(b, f.name))]


def mended(document: dict[str, Any]) -> str:
    """A document as text with a right checksum, as one who wants to deceive would write it."""
    document["sha256"] = model_file._checksum(document)
    return model_file._text(document)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.json"


@pytest.fixture
def document(path: Path) -> dict[str, Any]:
    save(example(2), path)
    record: dict[str, Any] = json.loads(path.read_text())
    return record


finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(min_value=0, allow_infinity=False)
anything = st.floats()
# A text that is a number's name would come back as that number.
settings = (
    st.none() | st.booleans() | st.integers() | anything | st.text().filter(lambda s: s not in ("nan", "inf", "-inf"))
)


def vector(values: st.SearchStrategy[float], d: int) -> st.SearchStrategy[Any]:
    return st.lists(values, min_size=d, max_size=d).map(lambda items: np.array(items, dtype=np.float64))


@st.composite
def factors(draw: st.DrawFn, size: int) -> Any:
    return directions(np.array(draw(st.lists(vector(st.floats(-9, 9), size), min_size=size, max_size=size))))


@st.composite
def withheld(draw: st.DrawFn, size: int) -> Withheld:
    told = np.array(draw(st.lists(st.booleans(), min_size=size, max_size=size)))
    return Withheld(told, draw(vector(st.floats(allow_nan=False), 2 * size)).reshape(2, size))


@st.composite
def fits(draw: st.DrawFn) -> Fit:
    """Fits with any value that a field may have; they need not make sense together."""
    d = draw(st.integers(1, 4))
    names = draw(st.lists(st.text(max_size=12), min_size=d, max_size=d, unique=True))
    inputs = [Feature(name, fill=draw(st.none() | st.tuples(finite))) for name in names]
    levels = draw(st.lists(st.text(max_size=5), min_size=2, max_size=2, unique=True))
    if draw(st.booleans()):
        inputs[-1] = Feature(names[-1], levels=tuple(sorted(levels)))
    design = Design(tuple(inputs), draw(st.sampled_from(["error", "drop", "mean"])))
    intercept = draw(st.booleans())
    statistics: dict[str, Any] = {name: draw(anything) for name in ("r2", "adjusted_r2", "f_statistic")}
    return replace(
        example(d, design=design),
        weights=draw(vector(finite, d)),
        bias=draw(finite) if intercept else 0.0,
        intercept=intercept,
        identified=np.array(draw(st.lists(st.booleans(), min_size=d, max_size=d))),
        bias_identified=draw(st.booleans()),
        uncertainty=draw(
            st.none()
            | st.builds(
                Uncertainty,
                sd=vector(st.floats(min_value=0), d + 2),
                factor=factors(d + 2),
                withheld=st.none() | withheld(d + 2),
            )
        ),
        centre=draw(vector(finite, d)),
        centre_value=draw(finite),
        scale=draw(vector(positive, d)),
        target_scale=draw(positive),
        n=draw(st.integers(0, 2**70)),
        objective=draw(finite),
        gap=draw(anything),
        pseudo_r2=draw(anything),
        robust_scale=draw(st.floats(min_value=0) | st.just(NAN)),
        residual_sd=draw(st.floats(min_value=0) | st.just(NAN)),
        condition=draw(st.floats(min_value=0) | st.just(NAN)),
        status=draw(st.sampled_from(Status)),
        notes=tuple(draw(st.lists(st.text(), max_size=2))),
        exact=draw(st.none() | vector(finite, d + 1)),
        settings=draw(st.dictionaries(st.text(max_size=5), settings, max_size=3)),
        history=tuple(draw(st.lists(st.dictionaries(st.text(max_size=5), anything, max_size=2), max_size=2))),
        target=draw(st.text(max_size=9)),
        **statistics,
    )


@given(fit=fits())
def test_round_trip_is_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, fit: Fit) -> None:
    path = tmp_path_factory.mktemp("model") / "model.json"
    save(fit, path)
    assert differences(fit, load(path, Fit)) == []


@given(fit=fits(), data=st.data())
def test_round_trip_of_several_is_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, fit: Fit, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("model") / "model.json"
    labels = tuple(data.draw(st.lists(st.text(max_size=9), min_size=1, max_size=3, unique=True)))
    made = tuple(replace(fit, weights=fit.weights / (i + 1)) for i in range(len(labels)))
    several = Fits(made, labels, tuple(data.draw(st.lists(st.text(), max_size=2))))
    save(several, path)
    again = load(path, Fits)
    assert (again.labels, again.notes) == (several.labels, several.notes)
    assert [differences(a, b) for a, b in zip(several, again, strict=True)] == [[]] * len(labels)


def test_what_was_saved_comes_back_or_only_the_kind_expected(path: Path) -> None:
    save(example(2), path)
    assert isinstance(load(path), Fit)
    with pytest.raises(InputError, match=r"model\.json holds one fit, not Fits"):
        load(path, Fits)
    save(Fits((example(2), example(2)), ("a", "b")), path)
    assert isinstance(load(path), Fits)
    with pytest.raises(InputError, match=r"model\.json holds 2 fits side by side, not Fit"):
        load(path, Fit)


def test_every_field_has_a_reader() -> None:
    assert set(fit_record.READERS) == {field.name for field in dataclasses.fields(Fit)}


def test_loaded_fit_predicts_and_prints_the_same(path: Path) -> None:
    fit = example(3)
    save(fit, path)
    X = np.random.default_rng(0).standard_normal((20, 3))
    assert same(load(path, Fit).predict_rows(X, 0.9), fit.predict_rows(X, 0.9))
    assert str(load(path)) == str(fit)


def test_what_was_learned_comes_back_as_it_prints(path: Path) -> None:
    fit = example(2)
    history = tuple({"epoch": float(i), "loss": 1 / (i + 1), "lr": 0.1} for i in range(1_000))
    fit = replace(fit, exact=fit.coefficients + 0.01, settings={"lr": 0.1, "batch_size": 3}, history=history)
    save(fit, path)
    assert str(load(path)) == str(fit)
    assert load(path).to_dict() == fit.to_dict()


def test_white_space_may_change(path: Path, document: dict[str, Any]) -> None:
    """An editor's final newline and a version control system's line ends harm nothing."""
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert load(path).names == ("x1", "x2")
    path.write_text(json.dumps(document, indent=4))
    assert load(path).names == ("x1", "x2")


def saved(kind: type[Any], path: Path, **changes: Any) -> None:
    """One small fit, or two."""
    fit = example(1, names=("é",), **changes)
    save(fit if kind is Fit else Fits((fit, fit), ("a", "1e-05"), ("1e-05",)), path)


@pytest.mark.parametrize(("kind", "stride"), [(Fit, 1), (Fits, 17)], ids=("Fit", "Fits"))
def test_every_truncation_is_refused(path: Path, kind: type[Any], stride: int) -> None:
    saved(kind, path)
    content = path.read_bytes()
    for length in (*range(0, len(content), stride), len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match=r"model\.json"):
            load(path)


@pytest.mark.parametrize(("kind", "stride"), [(Fit, 1), (Fits, 37)], ids=("Fit", "Fits"))
def test_every_flipped_bit_is_refused(path: Path, kind: type[Any], stride: int) -> None:
    saved(kind, path, notes=("1e-05",), objective=1e-5)
    content = path.read_bytes()
    for position in range(0, 8 * len(content), stride):
        i, bit = divmod(position, 8)
        path.write_bytes(content[:i] + bytes([content[i] ^ 1 << bit]) + content[i + 1 :])
        with pytest.raises(InputError, match=r"model\.json"):
            load(path)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("model") / "model.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.json"):
        load(path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a Linnet model file"),
        (b"[" * 100_000, "begins with a brace"),
        (b'{"a":' * 100_000, "damaged or is not a Linnet model file"),
        (b'{"format": "linnet-fit", "fit": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "makes no sense"),
        (b'{"format": "linnet-fit", "version": NaN}', "makes no sense"),
        (b'{"format": "linnet-fit", "version": 1' + b"0" * 10_000 + b"}", "makes no sense"),
        (b'{"format": "linnet-fit", "version": 1e999}', "makes no sense"),
        (b'{"format": "another"}', "not a Linnet model file"),
        (b"{}", "not a Linnet model file"),
        (b"{1: 2}", "makes no sense near line 1, column 2"),
        (b'{"format": "linnet-fit", "version": "\xff"}', "not UTF-8"),
        (b"x1,x2,y\n1,2,3\n", "begins with a brace"),
    ],
)
def test_what_is_no_model_is_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("depth", [*range(900, 1000, 7), 2_000, 20_000])
def test_nesting_at_the_edge_of_what_python_parses(path: Path, depth: int) -> None:
    path.write_text('{"format": "linnet-fit", "version": 4, "fit": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(InputError, match="damaged"):
        load(path)


def test_a_pickle_is_refused_and_not_run(path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
            return os.mkdir, (str(path.with_name("boom")),)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Bomb(), protocol))
        with pytest.raises(InputError, match="not a Linnet model file"):
            load(path)
    assert not path.with_name("boom").exists()


def test_another_version_is_named_with_its_remedy(path: Path, document: dict[str, Any]) -> None:
    document["fit"] = {"unheard of": 1}
    for away, remedy in ((1, r"newer Linnet .*upgrade"), (-1, r"older Linnet .*fit again")):
        path.write_text(mended({**document, "version": document["version"] + away}))
        with pytest.raises(InputError, match=remedy):
            load(path)


def test_missing_path_folder_and_huge_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no model file .*model\.json"):
        load(path)
    with pytest.raises(InputError, match="is a folder"):
        load(path.parent)
    with pytest.raises(InputError, match="null"):
        load("bad\0name")
    save(example(1), path)
    monkeypatch.setattr(model_file, "LARGEST", 1000)
    with pytest.raises(InputError, match="larger than"):
        load(path)


def test_an_unreadable_file_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by somebody without permission; whoever runs the tests may have every one."""
    save(example(1), path)

    def forbidden(*_: Any, **__: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    with pytest.raises(InputError, match=r"^Cannot read the model file .*model\.json: Permission denied\.$"):
        load(path)


HELD: list[Any] = [{}, [], [True] * 4, [[True] * 4], [[1] * 4, []], [[True] * 3, []], [[True] * 4, [[0.0] * 3]]]
HELD.append([[True] * 4, [["nan"] * 4]])
LIES: list[tuple[str, Any]] = [
    ("names", ["x1"]),
    ("names", "x1"),
    ("names", [1, 2]),
    ("names", ["x2", "x1"]),
    ("mean_weight", 0.0),
    ("mean_weight", 1),
    ("dependencies", []),
    ("dependencies", {"columns": [2], "others": [0], "coefficients": [[1.0]]}),
    ("design", None),
    ("weights", ["nan", 1.0]),
    ("weights", ["inf", 1.0]),
    ("weights", [1.0]),
    ("weights", [1.0, 2]),
    ("weights", [[1.0, 2.0]]),
    ("weights", [1.0, None]),
    ("weights", None),
    ("weights", "os.system"),
    ("bias", "nan"),
    ("bias", True),
    ("bias", 1),
    ("intercept", 1),
    ("intercept", False),
    ("identified", [1, 1]),
    ("identified", [True]),
    ("bias_identified", None),
    ("uncertainty", []),
    ("uncertainty", {"sd": [1.0] * 4}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0]] * 4}),
    *(("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0]] * 4, "withheld": held}) for held in HELD),
    ("uncertainty", {"sd": [1.0] * 3, "factor": [[1.0]] * 4, "withheld": None}),
    ("uncertainty", {"sd": [-1.0] * 4, "factor": [[1.0]] * 4, "withheld": None}),
    ("uncertainty", {"sd": ["nan"] * 4, "factor": [[1.0]] * 4, "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": None, "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [1.0] * 4, "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0]] * 3, "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0], [2.0], [1.0], [1.0]], "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0], [0.5, 0.5], [1.0], [1.0]], "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0], [0.0] * 4 + [1.0], [1.0], [1.0]], "withheld": None}),
    ("uncertainty", {"sd": [1.0] * 4, "factor": [[1.0], ["nan"], [1.0], [1.0]], "withheld": None}),
    ("centre", ["inf", 0.0]),
    ("centre_value", "nan"),
    ("scale", [-1.0, 1.0]),
    ("target_scale", -1.0),
    ("n", -1),
    ("n", 1.0),
    ("n", True),
    ("n_dropped", "0"),
    ("df_residual", "inf"),
    ("residual_sd", -1.0),
    ("gap", None),
    ("pseudo_r2", "high"),
    ("robust_scale", -1.0),
    ("condition", "large"),
    ("condition", -1.0),
    ("status", "solved"),
    ("status", "__class__"),
    ("status", ["SOLVED"]),
    ("notes", "a sentence"),
    ("passes", -1),
    ("exact", 1.0),
    ("exact", [1.0, 1.0]),
    ("exact", [1.0, 1.0, "nan"]),
    ("exact", [1.0, 1.0, None]),
    ("settings", None),
    ("settings", [0.03]),
    ("settings", {"lr": [0.03]}),
    ("settings", {"lr": {"auto": True}}),
    ("history", [1.0]),
    ("history", [{"epoch": "x"}]),
    ("target", 3),
    ("l2", -0.5),
    ("l2", "nan"),
    ("design", None),
    ("design", {"inputs": [], "missing": "error", "from_array": False}),
    ("design", {"inputs": [{}], "missing": "error", "from_array": False}),
]


@pytest.mark.parametrize(("field", "value"), LIES)
def test_a_wrong_value_behind_a_right_checksum_is_refused(
    path: Path, document: dict[str, Any], field: str, value: Any
) -> None:
    document["fit"][field] = value
    path.write_text(mended(document))
    with pytest.raises(InputError, match=r"model\.json: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


SEVERAL_LIES: list[tuple[str, Any]] = [
    ("labels", ["a"]),
    ("labels", ["a", "a"]),
    ("labels", ["a", 1]),
    ("labels", "ab"),
    ("notes", "a sentence"),
    ("notes", [1]),
    ("fits", None),
    ("fits", {}),
    ("fits", []),
    ("fits", [1, 2]),
    ("fits", [[], []]),
    ("fits", [{}, {}]),
]


@pytest.mark.parametrize(("field", "value"), SEVERAL_LIES)
def test_a_wrong_value_among_several_fits_is_refused(path: Path, field: str, value: Any) -> None:
    save(Fits((example(2), example(2)), ("a", "b")), path)
    document = json.loads(path.read_text())
    path.write_text(mended({**document, field: value}))
    with pytest.raises(InputError, match=r"model\.json: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_every_field_of_several_fits_is_checked(path: Path) -> None:
    save(Fits((example(2), example(2)), ("a", "b")), path)
    text = path.read_text()
    for field, value in LIES:
        document = json.loads(text)
        document["fits"][1][field] = value
        path.write_text(mended(document))
        with pytest.raises(InputError, match=r"model\.json: "):
            load(path)
    more: list[dict[str, Any]] = [{"extra": 1}, {"fit": {}}, {"version": None}]
    for changes in more:
        path.write_text(mended({**json.loads(text), **changes}))
        with pytest.raises(InputError, match="outermost"):
            load(path)
    document = json.loads(text)
    del document["notes"]
    path.write_text(mended(document))
    with pytest.raises(InputError, match="outermost"):
        load(path)
    path.write_text(mended({**json.loads(text), "version": model_file.VERSION + 1}))
    with pytest.raises(InputError, match=r"newer Linnet .*upgrade"):
        load(path)
    document = json.loads(text)
    document["fits"][0]["target"] = "another"
    path.write_text(mended(document))
    with pytest.raises(InputError, match=r"same target and the same features"):
        load(path)


def test_unknown_and_missing_fields_are_refused(path: Path, document: dict[str, Any]) -> None:
    path.write_text(mended({**document, "fit": {**document["fit"], "extra": 1}}))
    with pytest.raises(InputError, match="'extra' is unknown"):
        load(path)
    path.write_text(mended({**document, "fit": {k: v for k, v in document["fit"].items() if k != "scale"}}))
    with pytest.raises(InputError, match="'scale' is missing"):
        load(path)
    path.write_text(mended({**document, "note": "?"}))
    with pytest.raises(InputError, match="outermost"):
        load(path)
    path.write_text(mended({**document, "fit": []}))
    with pytest.raises(InputError, match="not an object"):
        load(path)
    save(example(2), path)
    once = f'"version": {model_file.VERSION}'
    path.write_text(path.read_text().replace(once, f"{once}, {once}"))
    with pytest.raises(InputError):
        load(path)


def test_what_could_not_be_loaded_is_not_saved(path: Path) -> None:
    save(example(2), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="weights"):
        save(example(2, weights=np.array([1.0, NAN])), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
