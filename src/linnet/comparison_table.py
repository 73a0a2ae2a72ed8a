"""What a Comparison says: the fits side by side and the rows that least squares lets decide, or plain values."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from linnet.text import WIDTH, number, shorten, wrap

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
    deciding = None if comparison.deciding is None else asdict(comparison.deciding)
    if deciding is not None:
        deciding["rows"] = [
            {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in row.items()}
            for row in deciding["rows"]
        ]
    ranks = [[None if math.isnan(rank) else int(rank) for rank in row] for row in comparison.ranks.tolist()]
    return {
        **comparison.fits.to_dict(level),
        "flags": [asdict(flag) for flag in comparison.flags],
        "ranks": dict(zip(comparison.fits.labels, ranks, strict=True)),
        "deciding": deciding,
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
    places, file = _places(deciding)
    said = f"Rows{file} that least squares lets decide: {deciding.count:,} of {deciding.n:,} ({share:.2g} %)."
    said += " Each counts for less than half under Huber loss, and has a Cook's distance above 4/n"
    if deciding.count > len(deciding.rows):
        said += f"; the {len(deciding.rows)} with the largest:"
    else:
        said += ":"
    table = []
    for head, name in HEADS.items():
        digits = 2 if name == "huber_weight" else 4
        cells = [head, *(number(getattr(row, name), digits) for row in deciding.rows)]
        table.append(["  " + cell.rjust(max(map(len, cells))) for cell in cells])
    room = WIDTH - sum(len(column[0]) for column in table)
    width = min(max(map(cell_len, places)), room)
    lines = []
    for place, *cells in zip(["", *(shorten(place, width) for place in places)], *table, strict=True):
        lines.append(place + " " * (width - cell_len(place)) + "".join(cells))
    rule = "─" * (width + WIDTH - room)
    return [*wrap(said), "", lines[0], rule, *lines[1:], rule]


def _places(deciding: DecidingRows) -> tuple[list[str], str]:
    """Where the rows are; a file that all of them are in stands apart, as " of 'houses.csv'"."""
    places = [row.where for row in deciding.rows]
    parts = [place.partition(" of ") for place in places]
    if len({file for _, _, file in parts}) > 1:
        return places, ""
    return [row for row, _, _ in parts], "".join(parts[0][1:])
