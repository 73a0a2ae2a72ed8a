from __future__ import annotations

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


def test_captions_are_broken_into_lines_and_titles_shortened() -> None:
    figure = canvas.blank()
    axes = figure.add_subplot()
    canvas.title(axes, "a" * 300)
    canvas.caption(figure, ["word " * 60, "$x_1$"])
    canvas.finish(figure)
    figure.canvas.draw()
    assert len(axes.get_title(loc="left")) == 84
    *lines, last = figure.get_supxlabel().splitlines()
    assert max(map(len, lines)) <= 96
    assert " ".join(lines).split() == ["word"] * 60
    assert last == "$x_1$"


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
