"""What a Comparison says: the fits side by side and the rows that least squares lets decide, or plain values."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from linnet.table import plain
from linnet.text import WIDTH, number, printable, wrap

if TYPE_CHECKING:
    from linnet.comparison import Comparison
    from linnet.influence import DecidingRows

HEADS = {
    "value": "value",
    "squared": "squared",
    "huber": "huber",
    "Huber weight": "huber_weight",
    "Cook's D": "cooks_distance",
}


def render(comparison: Comparison) -> str:
    """The table that `print(comparison)` shows, in lines of at most 80 cells."""
    parts = [str(comparison.fits)]
    if comparison.deciding is not None:
        parts.append("\n".join(line.rstrip() for line in _deciding(comparison.deciding)))
    return "\n\n".join(parts)


def to_dict(comparison: Comparison, level: float = 0.95) -> dict[str, Any]:
    """What the comparison says as values that JSON knows.

    Args:
        comparison: the comparison.
        level: of the intervals, between 0 and 1.

    Returns:
        What `Fits.to_dict` gives; `flags` with feature, change, clear and text; `ranks`, by the fits' labels, one
        number for each feature, None where it has none; and `deciding` with rows, count, distrusted and n, or None.

    Raises:
        InputError: `level` is not between 0 and 1.
    """
    ranks = [[None if math.isnan(rank) else int(rank) for rank in row] for row in comparison.ranks.tolist()]
    return {
        **comparison.fits.to_dict(level),
        "flags": [asdict(flag) for flag in comparison.flags],
        "ranks": dict(zip(comparison.fits.labels, ranks, strict=True)),
        "deciding": None if comparison.deciding is None else plain(asdict(comparison.deciding)),
    }


def _deciding(deciding: DecidingRows) -> list[str]:
    """How many rows decide, and the farthest of them."""
    from rich.cells import cell_len

    if not deciding.count:
        return wrap(
            "No row is left to least squares to decide: none that counts for less than half under Huber loss has a "
            "Cook's distance above 4/n."
        )
    share = 100 * deciding.count / deciding.n
    table = []
    for head, name in HEADS.items():
        digits = 2 if name == "huber_weight" else 4
        cells = [head, *(number(getattr(row, name), digits) for row in deciding.rows)]
        table.append(["  " + cell.rjust(max(map(len, cells))) for cell in cells])
    room = WIDTH - sum(len(column[0]) for column in table)
    places, file, below = _places([row.where for row in deciding.rows], room)
    said = f"Rows{file} that least squares lets decide: {deciding.count:,} of {deciding.n:,} ({share:.2g} %)."
    said += " Each counts for less than half under Huber loss, and has a Cook's distance above 4/n"
    if deciding.count > len(deciding.rows):
        said += f"; the {len(deciding.rows)} with the largest:"
    else:
        said += ":"
    width = max(map(cell_len, places))
    lines = []
    for place, *cells in zip(["", *places], *table, strict=True):
        lines.append(place + " " * (width - cell_len(place)) + "".join(cells))
    rule = "─" * (width + WIDTH - room)
    return [*wrap(said), "", lines[0], rule, *lines[1:], rule, *below]


def _places(wheres: Sequence[str], room: int) -> tuple[list[str], str, list[str]]:
    """What tells the rows apart in at most `room` cells each.

    Args:
        wheres: their places, such as "row 17 of 'data/part-1.csv'".
        room: cells.

    Returns:
        What stands before each row; what all their files have in common, as " of 'data/part-….csv'", if anything; and
        lines for below the table, which tell what the numbers in brackets stand for.
    """
    parts = [printable(where).partition(" of ") for where in wheres]
    files = list(dict.fromkeys(file for _, _, file in parts))
    if len(files) == 1:
        labels = [row for row, _, _ in parts]
        if _fit(labels, room):
            return labels, f" of {files[0]}" if files[0] else "", []
    labels = list(map(printable, wheres))
    if _fit(labels, room):
        return labels, "", []
    if len(files) > 1 and all(files):
        common, own = _apart(files)
        labels = [f"{row} of {own[file]}" for row, _, file in parts]
        if _fit(labels, room):
            return labels, common, []
        labels = [f"{row} [{files.index(file) + 1}]" for row, _, file in parts]
        if _fit(labels, room):
            return labels, "", _explained(files)
    places = list(dict.fromkeys(map(printable, wheres)))
    return [f"[{places.index(printable(where)) + 1}]" for where in wheres], "", _explained(places)


def _apart(files: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What different names have in common, as " of 'data/part-….csv'" or nothing, and what is each one's own.

    They are cut between words, never within one, and each keeps at least a word.
    """
    words = [re.findall(r"[^\W_]+|[\W_]", file) for file in files]
    least = min(map(len, words))
    head = next((i for i in range(least) if len({each[i] for each in words}) > 1), least)
    tail = next((i for i in range(least - head) if len({each[-1 - i] for each in words}) > 1), least - head)
    own = [each[head : len(each) - tail] for each in words]
    while head + tail and not all(any(map(str.isalnum, each)) for each in own):
        head, tail = (head - 1, tail) if head else (0, tail - 1)
        own = [each[head : len(each) - tail] for each in words]
    front, back = "".join(words[0][:head]), "".join(words[0][len(words[0]) - tail :])
    common = f" of {front}…{back}" if len(front + back) > len("''") else ""
    return common, dict(zip(files, map("".join, own), strict=True))


def _fit(labels: Sequence[str], room: int) -> bool:
    """Whether each label has room."""
    from rich.cells import cell_len

    return max(map(cell_len, labels)) <= room


def _explained(places: Sequence[str]) -> list[str]:
    """What numbers in brackets stand for."""
    return [
        line
        for number, place in enumerate(places, 1)
        for line in wrap(place, first=f"[{number}] ", rest=" " * len(f"[{number}] "))
    ]
