"""What all figures have in common: an empty one, its colours and fonts, and the file that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from linnet.atomic import Paths, replacing
from linnet.table import shorten, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
# Okabe and Ito's colours, which people who see fewer colours can tell apart, in the order in which runs take them.
BLUE, ORANGE, GREEN, PINK, SKY, AMBER = COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY, PALE, INK = "#9A9A9A", "#E6E6E6", "#333333"


def blank() -> Figure:
    """An empty figure, drawn with matplotlib's object interface: no window, no state shared with a user's own plots.

    A notebook shows it where it is the value of a cell.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = BytesIO()
            self.savefig(file, format="png", facecolor="white")
            return file.getvalue()

    figure = Shown(figsize=(7.0, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def title(axes: Axes, text: str) -> None:
    """What a figure shows, above it."""
    axes.set_title(shorten(text, 84), loc="left", fontsize=11, color=INK)


def caption(figure: Figure, lines: Sequence[str]) -> None:
    """What a reader must know beside the axes, below them; a long line is broken."""
    figure.supxlabel("\n".join(piece for line in lines for piece in wrap(line, width=96)), fontsize=9, color=INK)


def finish(figure: Figure) -> Figure:
    """The same figure with what is not data made quiet, in fonts that can show any name."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_color(INK)
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)  # a `$` in a column's name is a dollar
        text.set_fontfamily(_families())
    return figure


def save(figure: Figure, path: Paths) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of its name; whole or not at all.

    Raises:
        InputError: another ending, or nothing can be written at `path`.
        OSError: the file could not be written.
    """
    import warnings
    from pathlib import Path

    import matplotlib as mpl

    kind = Path(path).suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # the same fit gives the same file
    with replacing(path, SUFFIXES) as temporary, warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "linnet"}):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # a box stands in for a rare character
        figure.savefig(temporary, format=kind, metadata=undated, facecolor="white")


def _families() -> list[str]:
    """Matplotlib's own font first, then those installed here that know the scripts it lacks."""
    from matplotlib import font_manager

    wanted = (
        "Noto Sans CJK SC",
        "Noto Sans SC",
        "PingFang SC",
        "Microsoft YaHei",
        "WenQuanYi Zen Hei",
        "Arial Unicode MS",
    )
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in wanted if name in installed)]
