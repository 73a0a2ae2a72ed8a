from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import linnet
from linnet import _HOMES


@pytest.mark.parametrize("name", sorted(_HOMES))
def test_every_name_resolves_and_is_documented(name: str) -> None:
    value = getattr(linnet, name)
    assert not isinstance(value, ModuleType)
    assert value.__name__ == name
    assert inspect.getdoc(value)
    assert value.__doc__ not in (None, inspect.getdoc(object))
    assert name in dir(linnet)


def test_all_lists_them_and_the_version() -> None:
    assert set(linnet.__all__) == {*_HOMES, "__version__"}
    assert linnet.__version__ == "0.1.0"
    names: dict[str, object] = {}
    exec("from linnet import *", names)  # noqa: S102
    assert set(_HOMES) <= set(names)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(str(linnet.__file__)).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == _HOMES


def test_the_version_is_the_projects() -> None:
    import tomllib

    project = Path(__file__).parent.parent / "pyproject.toml"
    record = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    assert record.get("version", linnet.__version__) == linnet.__version__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = linnet.no_such_name


@pytest.mark.parametrize("first", ["linnet.fitting", "linnet.fitted", "linnet.model_file", "linnet.synthetic"])
def test_fit_is_the_function_whatever_was_imported_first(first: str) -> None:
    code = f"import {first}, linnet\nassert callable(linnet.fit) and linnet.fit.__name__ == 'fit'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, linnet\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'polars', 'matplotlib', 'pyarrow', 'numba', 'scipy', 'rich', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "linnet.fit, linnet.Fit, linnet.load, linnet.simulate, linnet.open_source, linnet.Moments\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'polars', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_lines_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom linnet.cli import main\nassert main(['--help']) == 0\n"
        "heavy = {'torch', 'sklearn', 'pandas', 'polars', 'matplotlib', 'pyarrow', 'numba', 'scipy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_figures_need_no_import_of_their_own() -> None:
    """Nor do scratch and concise, which test_tensors.py has where there is no torch."""
    code = "import linnet\nassert linnet.figures.__name__ == 'linnet.figures'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_can_be_read_from_an_archive(tmp_path: Path) -> None:
    """Whose folders are packages only where they say so."""
    archive = tmp_path / "linnet.zip"
    source = Path(str(linnet.__file__)).parent
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in source.rglob("*.py"):
            zipped.write(path, path.relative_to(source.parent))
    code = (
        f"import sys\nsys.path.insert(0, {str(archive)!r})\nimport pkgutil, linnet, linnet.solvers.solver\n"
        "print(linnet.__file__, *(found.name for found in pkgutil.walk_packages(linnet.__path__, 'linnet.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    file, *found = done.stdout.split()
    assert file.startswith(str(archive))
    files = [path.relative_to(source).with_suffix("").parts for path in source.rglob("*.py")]
    modules = {".".join(("linnet", *parts)).removesuffix(".__init__") for parts in files} - {"linnet"}
    assert sorted(found) == sorted(modules)
