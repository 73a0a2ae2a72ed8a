from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from linnet.block import InputError

torch = pytest.importorskip("torch")
if True:  # only now that torch is known to be there
    from linnet.tensors import leaf, numbers, tensors

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float32, torch.float32), (np.float64, torch.float64), (np.float16, torch.float64),
        (np.int32, torch.float64), (np.bool_, torch.float64), (">f8", torch.float64),
    ],
)  # fmt: skip
def test_tensors_of_any_type(given: Any, kept: Any) -> None:
    X, y, weight = tensors(np.eye(3)[:, :2].astype(given), [1, 2, 3], None, CPU)
    assert X.tolist() == [[1, 0], [0, 1], [0, 0]]
    assert y.tolist() == [1, 2, 3]
    assert weight.tolist() == [1, 1, 1]
    assert {X.dtype, y.dtype, weight.dtype} == {kept}


def test_tensors_are_copies() -> None:
    X, y = np.ones((2, 2)), torch.ones(2, dtype=torch.float64)
    for copy in tensors(X, y, X[0], CPU):
        copy.zero_()
    assert X.all()
    assert y.all()


def test_weights_get_a_mean_of_1() -> None:
    assert tensors(np.ones((4, 1)), np.ones(4), [0, 1, 2, 5], CPU)[2].tolist() == [0, 0.5, 1, 2.5]
    huge = tensors(np.ones((2, 1), np.float32), np.ones(2), [1e100, 3e100], CPU)[2]
    assert huge.tolist() == [0.5, 1.5]


def test_all_rows_come_however_many() -> None:
    assert tensors(np.ones((3_000_000, 1), np.int8), np.ones(3_000_000), None, CPU)[0].shape == (3_000_000, 1)


def test_a_leaf_is_asked_for_its_gradient() -> None:
    like = torch.zeros(1, dtype=torch.float32)
    w = leaf([[1.0], [2.0]], (2,), like)
    assert (w.tolist(), w.dtype, w.requires_grad, w.is_leaf) == ([1.0, 2.0], torch.float32, True, True)
    assert leaf(0.5, (), like).shape == ()
    with pytest.raises(InputError, match=r"start has shape \(3,\) where \(2,\) is needed"):
        leaf([1, 2, 3], (2,), like)


def test_numbers_are_copies() -> None:
    tensor = torch.ones(2, dtype=torch.float64, requires_grad=True)
    array = np.ones(2)
    for values in (tensor, array):
        got = numbers(values)
        got[:] = 0
        assert got.dtype == np.float64
    assert tensor.tolist() == array.tolist() == [1, 1]
    assert numbers(torch.tensor(0.1)).tolist() == np.float32(0.1)


@pytest.mark.parametrize("module", ["scratch", "concise"])
def test_without_torch_the_remedy_is_named(module: str) -> None:
    code = (
        "import sys\nsys.modules['torch'] = None\nfrom linnet import InputError\n"
        f"try:\n    from linnet import {module}\nexcept InputError as error:\n    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "needs the extra: pip install linnet[torch]" in said
    assert f"linnet.{module}" in said
