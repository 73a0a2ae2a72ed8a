from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.block import InputError

torch = pytest.importorskip("torch")
if True:  # only now that torch is known to be there
    from linnet.sources.window import permutations
    from linnet.tensors import check, leaves, numbers, shuffled, tensors

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[1]


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


def test_weights_of_zero_alone_are_refused() -> None:
    with pytest.raises(InputError, match="every row has weight 0"):
        tensors(np.ones((2, 1)), np.ones(2), np.zeros(2), CPU)


def test_leaves_are_asked_for_their_gradients() -> None:
    w, b = leaves(([[1.0], [2.0]], 0.5), torch.zeros(1, 2, dtype=torch.float32))
    assert (w.tolist(), w.dtype, w.requires_grad, w.is_leaf) == ([1.0, 2.0], torch.float32, True, True)
    assert (b.item(), b.shape, b.dtype, b.requires_grad, b.is_leaf) == (0.5, (), torch.float32, True, True)
    start = torch.tensor([1.0, 2.0]), torch.tensor(0.5)
    for copy in leaves(start, torch.zeros(1, 2)):
        copy.detach().zero_()
    assert (start[0].tolist(), start[1].item()) == ([1.0, 2.0], 0.5)


@pytest.mark.parametrize("start", [([1.0], 0.0), ([1.0, 1e39], 0.0), ([1.0, 2.0], "b"), (), "wb", ([1j, 2.0], 0.0)])
def test_a_start_that_is_none(start: Any) -> None:
    with pytest.raises(InputError, match=r"pair \(w, b\) of 2 weights, one a column, and the bias, all finite"):
        leaves(start, torch.zeros(1, 2, dtype=torch.float32))


def test_one_line_names_what_is_wrong() -> None:
    """However long what was given is; test_scratch.py has the rule for each setting."""
    check(lr=0.03, batch_size=10, epochs=3)
    with pytest.raises(InputError, match="epochs must be a whole number, at least 1, but is ") as told:
        check(lr=0.03, epochs="many" * 1_000, seed=-1)
    assert len(str(told.value)) < 120


def test_rows_are_shuffled_as_the_compiled_run_does() -> None:
    first, second = (shuffled(7, rng) for rng in [np.random.default_rng(3)] * 2)
    both = permutations(7, np.random.default_rng(3), 2)
    assert [first.tolist(), second.tolist()] == both.tolist()
    assert sorted(first.tolist()) == list(range(7))


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
    """As an ImportError, which others expect of an import, and with what the extra asks for: no name of an index."""
    code = (
        "import sys\nsys.modules['torch'] = None\nimport linnet\n"
        f"for load in (lambda: __import__('linnet.{module}'), lambda: linnet.{module}):\n"
        "    try:\n        load()\n    except ImportError as error:\n        print(error.name, error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    (wanted,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["torch"]
    assert (
        said.count(
            f'torch torch is not installed: linnet.scratch, like linnet.concise, needs it: pip install "{wanted}"'
        )
        == 2
    )


def test_what_torch_lacks_itself_is_not_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("import no_such_module\n")
    code = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport linnet.scratch"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'no_such_module'\n")
