from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import example
from linnet import canvas, figures
from linnet.block import InputError

SIGNATURES = {".png": b"\x89PNG\r\n\x1a\n", ".svg": b"<?xml", ".pdf": b"%PDF-"}


@pytest.mark.parametrize("suffix", sorted(SIGNATURES))
def test_format_by_suffix_and_the_same_bytes_each_time(tmp_path: Path, suffix: str) -> None:
    paths = [tmp_path / f"{i}{s}" for i, s in enumerate([suffix, suffix.upper()])]
    for path in paths:
        figures.save(figures.plot(example(2)), path)
        assert path.read_bytes().startswith(SIGNATURES[suffix])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"f\.gif: the ending .* \.pdf, \.png, \.svg"):
        figures.save(figures.plot(example(2)), tmp_path / "f.gif")
    assert not list(tmp_path.iterdir())


LONG = "The loss falls from 2.30e24 after epoch 1 to about 2.10e24 after epoch 2,000, 716 % above the optimum"


@pytest.mark.parametrize("left", ["1", "as wide as a very long name is", "W" * 32])
@pytest.mark.parametrize(
    "said", [LONG, "$\\frac{ of $y " * 10, "i" * 300, "W" * 90 + " and 数据" + "数据" * 40, "short"]
)
def test_a_title_is_broken_into_lines_within_the_figure(said: str, left: str) -> None:
    """However far right it begins; between words, of which only those are shortened that are wider than a line."""
    figure = canvas.blank()
    axes = figure.add_subplot()
    axes.set_yticks([0.5], [left])
    canvas.title(axes, said)
    assert canvas.finish(figure) is figure
    with canvas._boxes_untold():
        figure.draw_without_rendering()
    (title,) = figure.findobj(lambda artist: artist.get_gid() == canvas.TITLE)
    box = title.get_window_extent()
    assert box.x0 == pytest.approx(axes.bbox.x0, abs=1)
    assert box.x1 < figure.bbox.x1
    assert box.y1 <= figure.bbox.y1
    shown = axes.get_title(loc="left")
    if "…" not in shown:
        assert shown.split() == said.split()
    assert ("…" in shown) == (max(map(len, said.split()), default=0) > 80)


def test_a_title_keeps_numbers_together() -> None:
    broken = set()
    for width in range(30, 90, 3):
        figure = canvas.blank()
        figure.set_figwidth(width / 10)
        axes = figure.add_subplot()
        canvas.title(axes, LONG)
        canvas.finish(figure)
        broken |= {line.rsplit(" ", 1)[-1] for line in axes.get_title(loc="left").splitlines()[:-1]}
        assert "…" not in axes.get_title(loc="left")
    assert {"1", "the"} <= broken  # a line may end with a number,
    assert not broken & {"from", "epoch", "about", "716"}  # but none with the word before it, nor without its %


def test_captions_are_broken_into_lines() -> None:
    figure = canvas.blank()
    canvas.caption(figure, ["word " * 60, "$x_1$"])
    canvas.finish(figure)
    *lines, last = figure.get_supxlabel().splitlines()
    assert max(map(len, lines)) <= 96
    assert " ".join(lines).split() == ["word"] * 60
    assert last == "$x_1$"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.476, 0.4768, 0.4776], ["0.4760", "0.4768", "0.4776"]),
        ([40_000.0, 44_000 - 7e-12, 48_000.0], ["40000", "44000", "48000"]),
        ([9.5e4, 1e5, 1.05e5], ["0.95·10⁵", "1.00·10⁵", "1.05·10⁵"]),
        ([6.40512e9, 6.4051235e9], ["6.4051200·10⁹", "6.4051235·10⁹"]),
        ([4.9e-13, 5e-13], ["4.9·10⁻¹³", "5.0·10⁻¹³"]),
        ([5e-324, 1e-323], ["4.94065645841·10⁻³²⁴", "9.88131291682·10⁻³²⁴"]),
        ([1e308, 1.5e308], ["1.0·10³⁰⁸", "1.5·10³⁰⁸"]),
    ],
)
def test_numbers_beside_an_axis_that_lie_close_together_look_alike(values: list[float], shown: list[str]) -> None:
    say = canvas.alike(values)
    assert [say(value, 0) for value in values] == shown


NOWHERE = "\U00012000"  # cuneiform


@pytest.mark.parametrize("suffix", sorted(SIGNATURES))
def test_characters_without_a_font_are_told_once(tmp_path: Path, suffix: str) -> None:
    figure = figures.plot(example(2, names=(f"Stadt[{NOWHERE}]", f"{NOWHERE}{NOWHERE}"), target="größe_Ω"))
    path = tmp_path / f"f{suffix}"
    with pytest.warns(UserWarning, match=rf"has {NOWHERE}, so .* boxes .* install .* Noto Sans CJK") as told:
        figures.save(figure, path)
    assert [warning.filename for warning in told] == [__file__]
    assert path.read_bytes().startswith(SIGNATURES[suffix])
    with pytest.warns(UserWarning, match="boxes") as told:
        figure._repr_png_()  # type: ignore[attr-defined]
    assert len(told) == 1


def test_fonts_that_are_installed_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A font under one of the names that matplotlib's own leaves to others, taken after it."""
    from matplotlib import font_manager

    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["Noto Sans CJK JP", "DejaVu Sans", "Comic Sans"])
    assert canvas._families() == ["DejaVu Sans", "Noto Sans CJK JP"]
    monkeypatch.setattr(canvas, "_families", lambda: ["DejaVu Sans", "STIXGeneral"])
    figure = figures.plot(example(2, names=("\u2a3f", "b")))  # which the second has alone
    figures.save(figure, tmp_path / "f.png")  # any warning would fail here
    for text in figure.findobj(lambda artist: hasattr(artist, "set_fontfamily")):
        text.set_fontfamily(["DejaVu Sans Display"])  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match="No font"):
        figures.save(figure, tmp_path / "f.png")


def test_a_notebook_shows_a_figure_that_is_a_cells_value() -> None:
    assert figures.plot(example(2))._repr_png_().startswith(SIGNATURES[".png"])  # type: ignore[attr-defined]


def test_what_a_user_sets_by_tex_is_drawn_without(tmp_path: Path) -> None:
    """Names are no TeX, and there may be none; ticks that are made late are drawn likewise."""
    import matplotlib as mpl

    plain, asked = tmp_path / "plain.svg", tmp_path / "asked.svg"
    figures.save(figures.plot(example(2, names=("a_b", "50 %"))), plain)
    with mpl.rc_context({"text.usetex": True}):
        figure = figures.plot(example(2, names=("a_b", "50 %")))
        figures.save(figure, asked)
        assert asked.read_bytes() == plain.read_bytes()
        figure.axes[0].set_xlim(-1e-7, 1e-7)
        figure.draw_without_rendering()
        assert mpl.rcParams["text.usetex"]


@pytest.mark.parametrize("asked", ["module://no_such_module.backend", "no such backend"])
def test_a_window_that_is_not_there_is_not_needed(asked: str) -> None:
    code = "import os\nfrom linnet import canvas\ncanvas.blank()\nprint(os.environ['MPLBACKEND'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MPLBACKEND": asked},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{asked}\n"


def test_a_window_that_is_there_stays_asked_for() -> None:
    code = "from linnet import canvas\ncanvas.blank()\nimport matplotlib\nprint(matplotlib.rcParams['backend'])"
    environment = {**os.environ, "MPLBACKEND": "svg"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "svg\n"
