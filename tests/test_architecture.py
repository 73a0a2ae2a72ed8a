"""ARCHITECTURE.md holds: every file stands in its list, and imports point the way that it says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "linnet"
FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))
# The list of the house, bottom first: "name.py   what it is", one file a line.
HOUSE = re.findall(r"^([\w/]+\.py) {2,}\S", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"), re.MULTILINE)
FACES = {
    "cli.py",
    "console.py",
    "outputs.py",
    "comparison_table.py",
    "fits_table.py",
    "fits_figure.py",
    "scatter.py",
    "estimator.py",
    "figures.py",
    "canvas.py",
    "loss_figure.py",
    "path_figure.py",
    "table.py",
    "progress.py",
    "__main__.py",
}
FETCHING = "row_kernels.py", "threads.py"
UPWARD = {
    # A Fit prints, plots and saves itself by calling these.
    ("fitted.py", "table.py"),
    ("fitted.py", "figures.py"),
    ("fitted.py", "model_file.py"),
    ("fits.py", "fits_table.py"),
    ("fits.py", "figures.py"),
    ("fits.py", "model_file.py"),
    # A file's name decides who reads it.
    ("sources/files.py", "sources/delimited.py"),
    # Moments.of makes either kind.
    ("moments.py", "exact_moments.py"),
}
HEAVY = {"torch", "sklearn", "matplotlib", "pandas", "polars"}


class Import(NamedTuple):
    """One import statement: the module's dotted name, and when it is carried out."""

    module: str
    when: str  # "load", "call" (inside a function) or "types" (for type checkers only)


def imports(file: str) -> Iterator[Import]:
    """Every import of a file of the package; `from package import module` counts as the module."""

    def walk(node: ast.AST, when: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.Import(names=names):
                    yield from (Import(alias.name, when) for alias in names)
                case ast.ImportFrom(module=str(module), names=names):
                    for alias in names:
                        inner = f"{module}.{alias.name}"
                        yield Import(inner if as_file(inner) else module, when)
                case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
                    yield from walk(ast.Module(child.body, []), "types")
                    yield from walk(ast.Module(orelse, []), when)
                case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                    yield from walk(child, "types" if when == "types" else "call")
                case _:
                    yield from walk(child, when)

    yield from walk(ast.parse((SOURCE / file).read_text(encoding="utf-8")), "load")


def as_file(module: str) -> str | None:
    """The file of the package that a dotted name means, or None when it is not one of its modules."""
    head, *rest = module.split(".")
    if head != "linnet":
        return None
    for file in ("/".join(rest) + ".py", "/".join([*rest, "__init__.py"])):
        if file in FILES:
            return file
    return None


def inside(file: str, *when: str) -> set[str]:
    """Files of the package that this one imports at the given moments."""
    return {target for found in imports(file) if found.when in when and (target := as_file(found.module))}


def test_every_file_is_described() -> None:
    """The list of the house has each file of the package once, and no other."""
    assert sorted(HOUSE) == FILES


def test_opens_with_the_sentence() -> None:
    """The page's first words are those to hold on to."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert text.split("\n\n")[1] == (
        "A **Solver** lowers an **Objective** over the Blocks of a **Source**, Step by Step, and leaves a **Fit**. "
        "Only sums merge."
    )


@pytest.mark.parametrize("file", FILES)
def test_loads_only_from_below(file: str) -> None:
    """What a file imports stands above it in the list, but for a few that are imported late."""
    below = set(HOUSE[: HOUSE.index(file)])
    assert inside(file, "load") <= below
    assert {target for target in inside(file, "call") - below if (file, target) not in UPWARD} <= {file}


def test_block_stands_alone() -> None:
    """The bottom of the house imports nothing of it."""
    assert inside("block.py", "load", "call", "types") == set()


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("sources/") or f == "design.py"])
def test_sources_and_design_know_blocks_only(file: str) -> None:
    """Blocks, the design, each other, what a number is, and the loops that fetch rows, which know nothing of these."""
    known = {f for f in FILES if f.startswith("sources/")} | {"block.py", "design.py", "settings.py", *FETCHING}
    assert inside("settings.py", "load", "call", "types") == {"block.py"}
    for fetching in FETCHING:
        assert inside(fetching, "load", "call", "types") <= {"compiling.py"}
    assert inside("compiling.py", "load", "call", "types") == {"block.py"}
    assert inside(file, "load", "call", "types") <= known


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith("solvers/") or f in {"moments.py", "normal.py"}])
def test_solvers_know_no_face(file: str) -> None:
    """They yield steps and draw nothing."""
    assert not inside(file, "load", "call", "types") & FACES


def test_nothing_imports_the_command_line() -> None:
    """Except `python -m linnet`, which is it."""
    assert {file for file in FILES if "cli.py" in inside(file, "load", "call", "types")} <= {"__main__.py"}


@pytest.mark.parametrize("file", FILES)
def test_heavy_packages_load_where_they_are_used(file: str) -> None:
    """None is imported by loading a module, but for the estimator's base classes and by what learns in torch."""
    loaded = {found.module.partition(".")[0] for found in imports(file) if found.when == "load"}
    assert loaded & HEAVY <= {"estimator.py": {"sklearn"}, "tensors.py": {"torch"}}.get(file, set())


def test_nothing_else_loads_what_learns_in_torch() -> None:
    """So that torch may be absent, and a reader of scratch and concise needs no more."""
    torch = {"tensors.py", "scratch.py", "concise.py"}
    assert {file for file in FILES if inside(file, "load", "call") & torch} <= torch


@pytest.mark.parametrize("file", FILES)
def test_no_file_grows_too_long(file: str) -> None:
    """One that wants more than 400 lines lacks a noun."""
    assert len((SOURCE / file).read_text(encoding="utf-8").splitlines()) <= 400
