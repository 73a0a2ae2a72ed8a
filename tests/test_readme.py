"""README.md's examples run as printed, in a folder that has the demo's table; README.zh-CN.md shows the same ones.

Run as a script, this writes new output into both wherever a console example's has changed; with the argument `code`,
it prints the Python examples as one program, which `make check` gives to the type checker.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
CHINESE = ROOT / "README.zh-CN.md"
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass(frozen=True)
class Example:
    """A fenced block of a page: its language, its text, and the line on which the text begins."""

    language: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A line that starts with `$` in a console block, and what is printed under it."""

    line: str
    printed: str


def blocks(page: Path) -> list[Example]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Example(match[1], match[2], text.count("\n", 0, match.start(2)))
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def examples() -> list[Example]:
    """README.md's console and Python blocks, in order: later ones use what earlier ones made."""
    return [block for block in blocks(README) if block.language in ("console", "python")]


def figures(page: Path) -> list[list[str]]:
    """The numbers in a page's tables, row by row."""
    rows = re.findall(r"(?m)^\|.*$", page.read_text(encoding="utf-8"))
    return [re.findall(r"[-−]?\d+(?:[.,]\d+)*", row) for row in rows]


def commands(example: Example) -> Iterator[Command]:
    """The commands of a console block."""
    for part in re.split(r"^\$ ", example.text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield Command(line, printed)


def output(command: Command, folder: Path) -> str:
    """What a command prints to stdout; `linnet` means the one under test."""
    script = f'linnet() {{ {shlex.quote(sys.executable)} -m linnet "$@"; }}\n{command.line}'
    environment = os.environ | {"COLUMNS": "80", "MPLBACKEND": "Agg"}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"$ {command.line}\n{done.stdout}{done.stderr}"
    return done.stdout


def same(printed: str, got: str) -> bool:
    """Whether the output is what README.md prints, where `...` stands for anything and white space is free."""
    return doctest.OutputChecker().check_output(printed, got, OPTIONS)


def prepare(folder: Path) -> None:
    """Put the demo's table where README.md's reader has it."""
    shutil.copy(ROOT / "src" / "linnet" / "data" / "penguins.csv", folder)


def test_examples_run_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples in one session, each compared with what README.md says it prints."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in examples():
        if example.language == "console":
            for command in commands(example):
                got = output(command, tmp_path)
                assert same(command.printed, got), f"$ {command.line}\nprinted:\n{command.printed}\ngot:\n{got}"
        else:
            test = doctest.DocTestParser().get_doctest(example.text, names, "README.md", str(README), example.line)
            assert test.examples, f"README.md, line {example.line}: no >>> in a python block"
            report: list[str] = []
            doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=report.append, clear_globs=False)
            names.update(test.globs)
            assert not report, "".join(report)


def test_readme_has_examples() -> None:
    """The reader of README.md finds both kinds of block, and every command in them."""
    found = examples()
    assert {example.language for example in found} == {"console", "python"}
    text = README.read_text(encoding="utf-8")
    assert sum(len(list(commands(e))) for e in found if e.language == "console") == len(re.findall(r"(?m)^\$ ", text))
    assert "<!-- output" not in text


def test_chinese_readme_shows_the_same_examples() -> None:
    """README.zh-CN.md has README.md's blocks, byte for byte and in the same order."""
    shown = [(block.language, block.text) for block in blocks(README)]
    assert shown
    assert [(block.language, block.text) for block in blocks(CHINESE)] == shown


def test_chinese_readme_has_the_same_figures() -> None:
    """Each row of a table has the same numbers in both, so that a new measurement reaches both."""
    measured = figures(README)
    assert any(measured)
    assert figures(CHINESE) == measured


def test_readmes_lead_to_each_other() -> None:
    """Who opened the page in the wrong language finds the other at once."""
    for page, other in ((README, CHINESE), (CHINESE, README)):
        top = page.read_text(encoding="utf-8").split("```", maxsplit=1)[0]
        assert f"]({other.name})" in top, page.name


def test_links_lead_somewhere() -> None:
    """Each relative link names a file of the project, each `#` a heading."""
    for page in ROOT.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        headings = {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", text)}
        for target in re.findall(r"\]\(([^)]+)\)", text):
            if target.startswith("#"):
                assert target[1:] in headings, f"{page.name}: {target}"
            elif "://" not in target:
                assert (ROOT / target).exists(), f"{page.name}: {target}"


def rewrite() -> None:
    """Run README.md's console examples and write what they print into both pages where it is not the same."""
    texts = {page: page.read_text(encoding="utf-8") for page in (README, CHINESE)}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        for example in examples():
            if example.language == "console":
                for command in commands(example):
                    got = output(command, Path(name))
                    if not same(command.printed, got):
                        got = got if got.endswith("\n") or not got else got + "\n"
                        old, new = (f"$ {command.line}\n{printed}" for printed in (command.printed, got))
                        texts = {page: text.replace(old, new) for page, text in texts.items()}
    for page, text in texts.items():
        page.write_text(text, encoding="utf-8")


def code() -> str:
    """README.md's Python examples as one program."""
    return "\n".join(doctest.script_from_examples(each.text) for each in examples() if each.language == "python")


if __name__ == "__main__":
    if sys.argv[1:] == ["code"]:
        print(code())
    else:
        rewrite()
