from __future__ import annotations

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import config
from numba.core import caching

import linnet
from linnet import compiling

SOURCE = Path(str(linnet.__file__)).parent
KERNELS = "block.py", "compiling.py", "double_double.py"


@pytest.fixture
def halve(tmp_path: Path) -> Callable[[], Any]:
    """A compiled function, made anew by each call from a file of its own."""
    path = tmp_path / "halving.py"
    path.write_text("from linnet.compiling import compiled\n\n@compiled\ndef halve(x):\n    return x / 2\n")

    def load() -> Any:
        spec = importlib.util.spec_from_file_location("halving", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.halve

    return load


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """As in a container where neither the package nor a home can be written to; temporary files can."""
    for locator in caching.CacheImpl._locator_classes[1:]:  # the first is the one that takes config.CACHE_DIR
        monkeypatch.setattr(locator, "from_function", lambda *_: None)
    monkeypatch.setattr(compiling, "_instead", [])
    monkeypatch.setattr(config, "CACHE_DIR", "")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return temporary


def files_in(folder: Path) -> set[str]:
    return {path.suffix for path in folder.rglob("*") if path.is_file()}


def test_machine_code_is_kept_beside_the_source(halve: Callable[[], Any], tmp_path: Path) -> None:
    first, second = halve(), halve()
    assert (first(3.0), second(3.0)) == (1.5, 1.5)
    assert {".nbi", ".nbc"} <= files_in(tmp_path / "__pycache__")
    assert (sum(first.stats.cache_hits.values()), sum(second.stats.cache_hits.values())) == (0, 1)


def test_machine_code_is_made_anew_when_an_imported_module_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Constants and inlined functions of other modules are part of it, also where these are imported by another."""
    package = tmp_path / "halves"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("from halves.numbers import PARTS\n\nALL = 1.0\n")
    (package / "halving.py").write_text(
        "from linnet.compiling import compiled\nfrom halves.parts import PARTS\n\n"
        "@compiled\ndef share(x):\n    return x / PARTS\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def share(parts: float) -> Any:
        (package / "numbers.py").write_text(f"PARTS = {parts}\n")
        for name in [name for name in sys.modules if name.startswith("halves")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        compiling.digest.cache_clear()
        return importlib.import_module("halves.halving").share

    assert share(2.0)(3.0) == 1.5
    assert share(4.0)(3.0) == 0.75
    again = share(4.0)
    assert again(3.0) == 0.75
    assert sum(again.stats.cache_hits.values()) == 1


def test_options_reach_numba() -> None:
    plain, other = compiling.compiled(divide), compiling.compiled(fastmath=True, error_model="python")(ratio)
    assert plain.targetoptions["nogil"]
    assert plain.targetoptions["error_model"] == "numpy"
    assert other.targetoptions["nogil"]
    assert other.targetoptions["fastmath"]
    assert np.isinf(plain(1.0, 0.0))
    with pytest.raises(ZeroDivisionError):
        other(1.0, 0.0)


def divide(a: float, b: float) -> float:
    return a / b


def ratio(a: float, b: float) -> float:
    return a / b


@pytest.mark.skipif(os.name != "posix", reason="only Unix tells whose a folder is")
def test_without_a_place_it_is_kept_among_temporary_files(halve: Callable[[], Any], nowhere: Path) -> None:
    assert halve()(3.0) == 1.5
    (folder,) = nowhere.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert files_in(folder) == {".nbi", ".nbc"}
    assert config.CACHE_DIR == ""  # of others' functions nothing is changed
    again = halve()
    assert again(3.0) == 1.5
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.skipif(os.name != "posix", reason="only Unix tells whose a folder is")
@pytest.mark.parametrize("case", ["open to others", "a link", "a file", "of somebody else", "may be exchanged"])
def test_what_others_could_have_put_there_is_not_run(
    halve: Callable[[], Any], nowhere: Path, case: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = nowhere / f"linnet-{os.geteuid()}"
    if case == "open to others":
        folder.mkdir()
        folder.chmod(0o770)
    elif case == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "theirs")
    elif case == "a file":
        folder.touch(mode=0o600)
    elif case == "may be exchanged":
        nowhere.chmod(0o777)
    else:
        folder.mkdir(mode=0o700)
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)
        folder.rename(nowhere / f"linnet-{os.geteuid()}")
    assert compiling.private_folder() is None
    with pytest.warns(RuntimeWarning, match=r"no folder .* each start takes .* NUMBA_CACHE_DIR"):
        told = halve()
    once = halve()  # a second warning would be an error
    assert (told(3.0), once(5.0)) == (1.5, 2.5)
    assert files_in(nowhere) <= {""}  # the file of that case


@pytest.mark.skipif(os.name != "posix", reason="only Unix tells whose a folder is")
def test_a_sticky_folder_of_all_will_do(nowhere: Path) -> None:
    """As /tmp is: in it nobody can exchange what belongs to another."""
    nowhere.chmod(0o1777)
    assert compiling.private_folder() == str(nowhere / f"linnet-{os.geteuid()}")


@pytest.mark.parametrize("method", ["save", "load"])
def test_a_full_disk_or_files_of_another_cost_no_result(
    halve: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, method, refuse)
    assert halve()(3.0) == 1.5


@pytest.mark.skipif(os.name != "posix", reason="only Unix tells whose a folder is")
def test_a_locked_down_container(tmp_path: Path) -> None:
    """The real thing, in a process of its own: files stand where folders would be, which stops even the superuser."""
    package = tmp_path / "linnet"
    package.mkdir()
    for name in (*KERNELS, "__init__.py"):
        shutil.copy(SOURCE / name, package)
    (package / "__pycache__").touch()
    (tmp_path / "home").touch()
    (tmp_path / "temporary").mkdir(mode=0o700)
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "XDG_"))},
        "HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(tmp_path),
        "TMPDIR": str(tmp_path / "temporary"),
    }
    code = "from linnet.double_double import two_sum\nprint(two_sum(1.0, 2.0**-60))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"(1.0, {2.0**-60!r})\n"
    assert done.stderr == ""
    assert ".nbc" in files_in(tmp_path / "temporary")


def test_without_compiling_one_sentence_says_why() -> None:
    """When something is to be fitted, not when the package is looked at."""
    code = (
        "import importlib, linnet, pkgutil, sys\n"
        "for found in pkgutil.walk_packages(linnet.__path__, 'linnet.'):\n"
        "    if found.name.endswith('_kernels'): importlib.import_module(found.name)\n"
        "for loss in ('squared', 'huber', 'absolute'):\n"
        "    for solver in ('auto', linnet.SGD()):\n"
        "        try: linnet.fit([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], loss=loss, solver=solver)\n"
        "        except linnet.InputError as error: print(error)\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    told = done.stdout.splitlines()
    assert len(told) == 6
    assert len(set(told)) == 1
    assert "NUMBA_DISABLE_JIT" in told[0]
