"""What all figures have in common: an empty one, its colours and fonts, and the file that it becomes."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from linnet.atomic import Paths, replacing
from linnet.block import Float64s
from linnet.text import printable, shorten, wrap

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.figure import Figure
    from matplotlib.text import Text

SUFFIXES = (".pdf", ".png", ".svg")
TITLE = "title"  # the id of what may have to be broken into lines
MARGIN = 0.1  # inches between a title and the right end of its figure
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

    A notebook shows it where it is the value of a cell. Its texts are not set by TeX, also where a user's matplotlibrc
    asks for that: names are no TeX.
    """
    mpl = _matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    plain = {"text.usetex": False}

    class Shown(Figure):
        def add_subplot(self, *where: Any, **how: Any) -> Any:
            with mpl.rc_context(plain):  # which axes ask when they are made,
                return super().add_subplot(*where, **how)

        def draw(self, renderer: RendererBase) -> None:
            with mpl.rc_context(plain):  # and ticks that are added when they are drawn
                super().draw(renderer)

        def _repr_png_(self) -> bytes:
            file = BytesIO()
            _write(self, file, format="png")
            _tell_of_boxes(self)
            return file.getvalue()

    figure = Shown(figsize=(7.0, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _matplotlib() -> ModuleType:
    """Import matplotlib, also where MPLBACKEND names a kind of window that it does not know, which stops it.

    A Jupyter kernel leaves that variable to processes of environments without its own kind. A figure needs none.
    """
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    asked = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib as mpl
    finally:
        if asked is not None:
            os.environ["MPLBACKEND"] = asked
    if asked:
        with suppress(ValueError):  # as it does itself, for figures of the user's own
            mpl.rcParams["backend"] = asked
    return mpl


def title(axes: Axes, text: str) -> None:
    """What a figure shows, above it; finish() breaks it into lines where it is too long for one."""
    axes.set_title(printable(text), loc="left", fontsize=11, color=INK, gid=TITLE)


def caption(figure: Figure, lines: Sequence[str]) -> None:
    """What a reader must know beside the axes, below them; a long line is broken."""
    figure.supxlabel("\n".join(piece for line in lines for piece in wrap(line, width=96)), fontsize=9, color=INK)


def in_rows(axes: Axes, names: Sequence[str]) -> None:
    """Give each name a row, the first on top, beside a line at 0."""
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    axes.set_yticks(range(len(names)), [shorten(name, 32) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def shade(axes: Axes, x: Float64s, low: Float64s, high: Float64s, label: str = "") -> bool:
    """Shade between two lines where both are finite, as an upright bar where they are at a single x; whether anywhere.

    Args:
        axes: where to draw.
        x: (n,), ascending.
        low: (n,).
        high: (n,).
        label: of the area, in a legend.
    """
    known = np.isfinite(low) & np.isfinite(high)
    beside = np.r_[False, known, False]
    alone = known & ~beside[:-2] & ~beside[2:]
    wide = known & ~alone
    if wide.any():
        axes.fill_between(x, low, high, where=wide, color=BLUE, alpha=0.2, linewidth=0, label=label)
        label = ""  # once is enough
    if alone.any():
        axes.vlines(x[alone], low[alone], high[alone], color=BLUE, alpha=0.4, linewidth=4, label=label)
    return bool(known.any())


def marks(
    axes: Axes,
    x: Float64s,
    y: Float64s,
    identified: NDArray[np.bool_],
    told: NDArray[np.bool_],
    colour: str,
    size: float,
    label: str = "",
) -> list[str]:
    """Mark weights; one without an interval looks other than one whose interval is short.

    Args:
        axes: where to draw.
        x: (n,), where the marks stand, across;
        y: (n,), and up.
        identified: (n,), whether each weight can be told from the others.
        told: (n,), whether its standard error can be told, where there are any.
        colour: of the marks.
        size: of the marks, in points.
        label: of the weights, in a legend.

    Returns:
        What a caption must say of those that are hollow.
    """
    sure = identified & told
    axes.plot(x[sure], y[sure], "o", color=colour, markersize=size, label=label)
    said = []
    for here, marker, meaning in (
        (~identified, "o", "hollow circles: cannot be told from the others"),
        (identified & ~told, "s", "hollow squares: the standard error cannot be told"),
    ):
        if here.any():
            axes.plot(x[here], y[here], marker, markersize=size, markerfacecolor="white", markeredgecolor=colour)
            said.append(meaning)
    return said


def tick(value: float) -> str:
    """A number beside an axis: 10⁻⁵ rather than 1e-05."""
    if value == 0 or 1e-4 < abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    mantissa, power = f"{value:.4g}".split("e") if "e" in f"{value:.4g}" else f"{value:e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return {"1": "", "-1": "−"}.get(mantissa, f"{mantissa.replace('-', '−')}·") + _power(int(power))


def alike(values: Sequence[float]) -> Callable[[float, float], str]:
    """How to write positive numbers beside an axis that lie close together: one power of ten, as many decimals."""
    plain = not values or 1e-4 < min(values) <= max(values) < 1e5
    power = 0 if plain else int(f"{max(values):e}".split("e")[1])
    tail = "" if plain else f"·{_power(power)}"

    def mantissa(value: float) -> Decimal:
        return Decimal(f"{value:.11e}").scaleb(-power)  # as many digits as a locator's arithmetic leaves

    places = max((len(f"{mantissa(value):f}".rstrip("0").partition(".")[2]) for value in values), default=0)
    return lambda value, _: f"{mantissa(value):.{places}f}{tail}"


def _power(power: int) -> str:
    return "10" + str(power).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def finish(figure: Figure) -> Figure:
    """The same figure with what is not data made quiet, in fonts that can show any name, its title within it."""
    from matplotlib.text import Text

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=INK)
        for text in (axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()):
            text.set_color(INK)
    texts = figure.findobj(Text)
    for text in texts:
        text.set_parse_math(False)  # a `$` in a column's name is a dollar
        text.set_usetex(False)  # and its `_` no subscript
        text.set_fontfamily(_families())
    for text in texts:
        if text.get_gid() == TITLE:
            _break(figure, text)
    return figure


def _break(figure: Figure, text: Text) -> None:
    """Break a text at spaces into lines that end within the figure; where they begin, only its layout tells.

    A word is shortened only where a line of its own is not enough. Matplotlib's own wrapping would take a name with two
    `$` in it for a formula.
    """
    from rich.cells import cell_len

    def fits(line: str) -> bool:
        text.set_text(line)
        return bool(text.get_window_extent().width <= room)

    words = re.split(r" +(?![%\d])", text.get_text())  # a number stays with the word before it, and with its %
    text.set_text("")
    lines: list[str] = []
    with _boxes_untold():
        figure.draw_without_rendering()
        room = figure.bbox.x1 - text.get_window_extent().x0 - MARGIN * figure.dpi
        for word in words:
            if lines and fits(f"{lines[-1]} {word}"):
                lines[-1] += f" {word}"
                continue
            lines.append(word)
            while not fits(lines[-1]) and len(lines[-1]) > 1:
                lines[-1] = shorten(lines[-1], cell_len(lines[-1]) - 1)
    text.set_text("\n".join(lines))


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
    with _boxes_untold():
        figure.savefig(file, facecolor="white", **how)


@contextmanager
def _boxes_untold() -> Iterator[None]:
    """Without matplotlib's warning of each character that no font has: they are told of together."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield


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


def key(figure: Figure, axes: Axes) -> None:
    """The legend of the axes, if they have one, above them: within, it would hide lines that cross everywhere.

    The figure grows by the legend's height, so that the axes keep theirs.
    """
    from rich.cells import cell_len

    labels = axes.get_legend_handles_labels()[1]
    if not labels:
        return
    columns = max(1, min(len(labels), 95 // (8 + max(cell_len(label) for label in labels))))
    figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(labels) // columns))
    figure.legend(loc="outside upper left", ncols=columns, frameon=False, fontsize=9, labelcolor=INK)
