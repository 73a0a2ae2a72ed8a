from __future__ import annotations

import subprocess
import sys

import pytest

from linnet import console


@pytest.mark.parametrize(
    ("said", "typed"),
    [
        ('use missing="drop" or missing="mean"', "use --missing drop or --missing mean"),
        ('which solver="interior-point" takes', "which --solver interior-point takes"),
        (
            "leave it out (losses=…), or such columns (features=…)",
            "leave it out (--losses …), or such columns (--features …)",
        ),
        ("give Huber(k=1.345)\n   or  more rows", "give Huber(k=1.345) or more rows"),
    ],
)
def test_remedies_are_spelled_as_they_are_typed(capsys: pytest.CaptureFixture[str], said: str, typed: str) -> None:
    assert console.complain(said) == console.BAD_INPUT == 2
    assert capsys.readouterr() == ("", f"linnet: {typed}\n")


def test_remarks_go_to_stderr_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    console.remark("Model: m.json", quiet=False)
    console.remark("Model: n.json", quiet=True)
    assert capsys.readouterr() == ("", "Model: m.json\n")


def test_what_nobody_reads_is_no_error() -> None:
    code = "import sys\nfrom linnet.console import say\nsay('a')\nfor _ in range(9): say('b' * 100_000)\n"
    code += "print('done', file=sys.stderr)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"done\n"
    assert process.returncode == 0
