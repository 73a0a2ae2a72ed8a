"""What all figures have in common: an empty one, its colours and fonts, and the file that it becomes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

from linnet.atomic import Paths, replacing
from linnet.table import shorten, wrap

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
# Okabe and Ito's colours, which people who see fewer colours can tell apart, in the order in which runs take them.
BLUE, ORANGE, GREEN, PINK, SKY, AMBER = COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY, PALE, INK = "#9A9A9A", "#E6E6E6", "#333333"
# For scripts that matplotlib's own font lacks. Chinese comes first, since its characters are Japanese and Korean ones
# too; of a file with several fonts, such as Noto's, matplotlib before 3.11 knows the first alone, which is JP.
FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC", "Hiragino Sans GB",
    "Microsoft YaHei", "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Droid Sans Fallback",
    "Noto Sans CJK TC", "Noto Sans TC", "Noto Sans CJK HK", "PingFang TC", "PingFang HK", "Microsoft JhengHei",
    "Noto Sans CJK JP", "Noto Sans JP", "Source Han Sans JP", "Source Han Sans", "Hiragino Sans", "Yu Gothic", "Meiryo",
    "MS Gothic", "IPAexGothic", "IPAGothic", "TakaoGothic", "VL Gothic",
    "Noto Sans CJK KR", "Noto Sans KR", "Source Han Sans KR", "Apple SD Gothic Neo", "AppleGothic", "Malgun Gothic",
    "NanumGothic", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Nirmala UI", "Noto Sans Thai",
    "Leelawadee UI", "Thonburi", "Arial Unicode MS", "Unifont",
)  # fmt: skip


def blank() -> Figure:
    """An empty figure, drawn with matplotlib's object interface: no window, no state shared with a user's own plots.

    A notebook shows it where it is the value of a cell.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = BytesIO()
            _write(self, file, format="png")
            _tell_of_boxes(self)
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

    Warns once, by a UserWarning, of characters that no font has, for which it shows boxes.

    Raises:
        InputError: another ending, or nothing can be written at `path`.
        OSError: the file could not be written.
    """
    from pathlib import Path

    import matplotlib as mpl

    kind = Path(path).suffix.lower().removeprefix(".")
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # the same fit gives the same file
    with replacing(path, SUFFIXES) as temporary, mpl.rc_context({"svg.hashsalt": "linnet"}):
        _write(figure, temporary, format=kind, metadata=undated)
    _tell_of_boxes(figure)


def _write(figure: Figure, file: Path | IO[bytes], **how: Any) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # they are told of together
        figure.savefig(file, facecolor="white", **how)


def _tell_of_boxes(figure: Figure) -> None:
    """Warn, once for a figure, of names in characters that no font has."""
    if boxes := _without_font(figure):
        shown = "".join(boxes[:12]) + ("…" if len(boxes) > 12 else "")
        warnings.warn(
            f"No font that is installed here has {shown}, so the figure shows boxes instead: install one that does, "
            "such as Noto Sans CJK (Chinese, Japanese and Korean), and draw it again.",
            stacklevel=3,
        )


def _without_font(figure: Figure) -> list[str]:
    """The characters in a figure's texts that none of their fonts has."""
    from matplotlib.font_manager import findfont, get_font
    from matplotlib.text import Text

    boxes: dict[str, None] = {}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        fonts = [get_font(findfont(family)) for family in text.get_fontfamily()]
        for c in text.get_text():
            if c.isprintable() and not any(font.get_char_index(ord(c)) for font in fonts):
                boxes[c] = None
    return [*boxes]


def _families() -> list[str]:
    """Matplotlib's own font first, then those installed here that know the scripts it lacks."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(family for family in FAMILIES if family in installed)]
