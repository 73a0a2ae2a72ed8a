"""Text: numbers in the digits that are known of them, names and sentences in lines of a given width."""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import ROUND_UP, Context

WIDTH = 80
HELD = 15  # digits of any decimal number that float64 holds
DASH = "–"
SPELLED = "linnet.spelled"
"""An error handler of codecs: our own characters in ASCII, those of names as escapes, which tell names apart."""
ASCII = {
    "─": "-", "−": "-", "–": "-", "•": "*", "·": "*", "×": "x", "²": "2", "…": "...", "±": "+-", "∞": "inf",
    "λ": "lambda", "\N{REPLACEMENT CHARACTER}": "?",
}  # fmt: skip
_encoding: ContextVar[str | None] = ContextVar("encoding", default=None)
_worded: ContextVar[Callable[[str], str]] = ContextVar("worded", default=str)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    said = (
        ASCII.get(c) or c.encode("ascii", "backslashreplace").decode() for c in error.object[error.start : error.end]
    )
    return "".join(said), error.end


codecs.register_error(SPELLED, _in_ascii)


@contextmanager
def spelled_for(encoding: str | None, worded: Callable[[str], str] = str) -> Iterator[None]:
    """Names, lines and tables made meanwhile are as wide as they are where that encoding holds not all characters.

    Sentences are `worded` for their reader before they are broken into lines, which would be too long afterwards.
    """
    encoded, wording = _encoding.set(encoding), _worded.set(worded)
    try:
        yield
    finally:
        _encoding.reset(encoded)
        _worded.reset(wording)


def spelled(text: str) -> str:
    """Text as it will be printed: with spellings for characters that are not to be had there; see `spelled_for`."""
    encoding = _encoding.get()
    return text if encoding is None else text.encode(encoding, SPELLED).decode(encoding)


def number(value: float, digits: int = 5, top: int = 9) -> str:
    """A number in about so many significant digits; scientific where zeros would bury them, and from 10**top on."""
    if not math.isfinite(value):
        return DASH if math.isnan(value) else spelled("∞" if value > 0 else "-∞")
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -5 < power < top:
        return f"{value:.{max(0, digits - 1 - power)}f}"
    return f"{mantissa}e{power}"


def about(value: float, digits: int) -> str:
    """A number in a sentence: rounded to so many significant digits, without an exponent below a million."""
    if not math.isfinite(value):
        return number(value)
    text = f"{value:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(float(text)) < 1e6 else text


def last_place(error: float, digits: int, size: float) -> int:
    """The power of ten of a standard error's last of so many digits, or of the last that float64 holds of a `size`."""
    return max(int(f"{error:.{digits - 1}e}".split("e")[1]) - digits, power_of(size) - HELD) + 1


def to_place(value: float, place: int, size: float) -> str:
    """A number rounded at that power of ten; scientific where zeros would bury or end numbers as large as `size`."""
    if not math.isfinite(value) or power_of(value) - place > HELD:  # diverged, and far from that size
        return number(value, 4)
    if -5 < power_of(size) < (12 if place < 5 else 9):
        return f"{value:z.{max(0, -place)}f}"
    return number(value, max(2, power_of(value) - place + 1))


def error_to_place(error: float, place: int) -> str:
    """A standard error rounded where its weight is, but never before its second digit."""
    known = 0 < error < math.inf
    return to_place(error, min(place, last_place(error, 2, error)), error) if known else number(error)


def power_of(value: float) -> int:
    """The power of ten of a number's first digit; of 0 and what is not finite, one below any number's."""
    return math.floor(math.log10(abs(value))) if 0 < abs(value) < math.inf else -400


def bound(value: float) -> str:
    """What a number is at most, in two significant digits, rounded up so that it stays true; at least 0."""
    if not 0 < value < math.inf:
        return number(0.0 if value < 0 else value)
    return number(float(Context(prec=2, rounding=ROUND_UP).create_decimal_from_float(value)), 2)


def p_value(p: float) -> str:
    """A p value to three decimals, or `<0.001`."""
    if math.isnan(p):
        return DASH
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def printable(text: str) -> str:
    """Text without the characters that move a cursor or break a line, which a column's name may hold."""
    return spelled("".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text))


def shorten(text: str, width: int) -> str:
    """Text in at most `width` cells, its middle replaced by … when it is longer; both ends tell names apart."""
    from rich.cells import cell_len

    clean = printable(text)
    if cell_len(clean) <= width:
        return clean
    head, tail = 0, len(clean)
    gap = spelled("…")
    left = width - cell_len(gap)
    while True:
        front = head <= len(clean) - tail  # grow whichever end is shorter
        size = cell_len(clean[head] if front else clean[tail - 1])
        if size > left:
            return f"{clean[:head]}{gap}{clean[tail:]}"
        left -= size
        head, tail = (head + 1, tail) if front else (head, tail - 1)


def wrap(text: str, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """Text broken at spaces into lines of at most `width` cells, the first and the others indented as given."""
    from rich.cells import cell_len, chop_cells

    lines = [first]
    indent = first
    for word in printable(_worded.get()(text)).split():
        room = width - cell_len(rest)
        for piece in [word] if cell_len(word) <= room else chop_cells(word, room):
            gap = "" if lines[-1] == indent else " "
            if cell_len(lines[-1]) + len(gap) + cell_len(piece) > width:
                lines.append(rest)
                gap, indent = "", rest
            lines[-1] += gap + piece
    return lines


def bullets(notes: Sequence[str]) -> list[str]:
    """Notes as sentences, each behind a bullet."""
    return [line for note in notes for line in wrap(sentence(note), first="• ", rest="  ")]


def sentence(text: str) -> str:
    """Text as a sentence: a capital, and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def plural(word: str, count: int) -> str:
    """A noun, for so many."""
    return word if count == 1 else word + "s"


def listed(items: Sequence[str], most: int) -> str:
    """a, b and 40 more."""
    said = list(items)
    if len(said) > most:
        said = [*said[:most], f"{len(said) - most:,} more"]
    return " and ".join(filter(None, (", ".join(said[:-1]), said[-1])))
