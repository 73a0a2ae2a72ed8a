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


def test_a_notebook_shows_a_figure_that_is_a_cells_value() -> None:
    assert figures.plot(example(2))._repr_png_().startswith(SIGNATURES[".png"])  # type: ignore[attr-defined]
