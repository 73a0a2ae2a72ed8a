from __future__ import annotations

import errno
import io
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

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
        ("give Huber(k=1.345)\n   or more rows\n\n", "give Huber(k=1.345) or more rows"),
        ("use another solver, or give a delta (delta=…)", "use another solver, or give a delta (--delta …)"),
        ("takes delta=1.0 or k=2", "takes delta=1.0 or k=2"),
        ("features= names 'x1' twice.", "--features names 'x1' twice."),
        ("fit without weights (leave weight= out).", "fit without weights (leave --weight out)."),
        ("leave it out of features=.", "leave it out of --features."),
        ("errors='hc3' is not", "--errors hc3 is not"),
        (
            'ask for kind="confidence", or fit both ends, loss=Quantile([0.025, 0.975]).',
            "ask for --kind confidence, or fit both ends, --quantile 0.025,0.975.",
        ),
        ("unless told index=False, or resume=True", "unless told index=False, or resume=True"),
    ],
)
def test_remedies_are_spelled_as_they_are_typed(capsys: pytest.CaptureFixture[str], said: str, typed: str) -> None:
    assert console.complain(said) == console.BAD_INPUT == 2
    assert capsys.readouterr() == ("", f"linnet: {typed}\n")


@pytest.mark.parametrize(
    "name", ["a  b", "a\tb\nc", 'loss="x"', "loss=", "it's", 'a "b"', "\\'features=…", "errors='x'  y", "größe  "]
)
def test_names_in_quotes_stay_as_they_are(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """However they look; what apostrophes stand around them is no quote."""
    said = f"The column's name {name!r} is the rows' own: use missing=\"drop\", or {name!r}."
    console.complain(said)
    typed = f"The column's name {name!r} is the rows' own: use --missing drop, or {name!r}."
    assert capsys.readouterr().err == f"linnet: {typed}\n"


def test_paths_keep_their_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    console.complain("Cannot write a  b.gif: use\n  another.")
    assert capsys.readouterr().err == "linnet: Cannot write a  b.gif: use another.\n"


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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_what_cannot_be_written_is_named() -> None:
    """And Python has nothing left to stumble over at its end."""
    code = (
        "import sys\nfrom linnet.console import say\n"
        "for text in ('a', 'b' * 100_000):\n"
        "    try: say(text)\n"
        "    except OSError as error: print(error.errno, error.filename, file=sys.stderr)"
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, check=True)
    assert done.stderr == f"{errno.ENOSPC} stdout\n".encode()  # once: from then on it goes nowhere


def test_an_error_elsewhere_is_not_stdouts() -> None:
    def fail() -> None:
        with console.stdout():
            raise OSError(errno.ENOSPC, "full", "p.csv")

    with pytest.raises(OSError, match="full") as caught:
        fail()
    assert caught.value.filename == "p.csv"


def test_closed_streams_are_sinks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with console.console():
        console.say("nobody")
        console.remark("reads", quiet=False)
        console.complain("this")
        assert sys.stdout.buffer.fileno() > 0
        sys.stdout.close()
        sys.stderr.close()


def test_a_remark_that_nobody_can_read_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sys, "stderr", Full())
    console.remark("Model: m.json", quiet=False)
    assert console.complain("No such thing.") == 2


def test_warnings_are_remarks(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, without the source that gave it; and only as long as a command runs."""
    before = warnings.showwarning
    with console.console():
        warnings.simplefilter("always")
        warnings.warn("That is slow.", RuntimeWarning, stacklevel=1)
    assert capsys.readouterr() == ("", "linnet: That is slow.\n")
    assert warnings.showwarning is before


@pytest.mark.parametrize(
    ("encoding", "holds"), [("utf-8", True), ("UTF8", True), ("ascii", False), ("latin-1", False), ("gb18030", False)]
)
def test_whether_stdout_holds_unicode(monkeypatch: pytest.MonkeyPatch, encoding: str, holds: bool) -> None:
    with io.TextIOWrapper(io.BytesIO(), encoding=encoding) as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert console.holds_unicode() == holds
    with io.StringIO() as stand_in:
        monkeypatch.setattr(sys, "stdout", stand_in)
        assert not console.holds_unicode()


def test_options_are_as_long_as_what_they_stand_for() -> None:
    """A table that was broken into lines of 80 columns stays within them."""
    for said in (
        'errors="bootstrap"',
        'missing="drop"',
        'precision="exact"',
        "loss=Quantile([0.1, 0.9])",
    ):
        typed = console.typed(f"ask for {said}, say")
        assert typed.startswith("ask for --")
        assert len(typed) <= len(f"ask for {said}, say")
    assert console.typed("`a` is “errors”, and 'errors=\"x\"' a name") == "`a` is “errors”, and 'errors=\"x\"' a name"


def test_all_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(*_: object) -> None: ...

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict") as out:
            monkeypatch.setattr(sys, "stdout", out)
            monkeypatch.setattr(sys, "stderr", None)
            with console.console(), console.terminable():
                console.say("R²")
                assert signal.getsignal(signal.SIGTERM) is not handler
            assert out.errors == "strict"
            assert sys.stderr is None
            assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
