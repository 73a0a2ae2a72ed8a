"""What several Fits say side by side: as a table of plain text that reads well in 80 columns, and as plain values."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING, Any

from linnet.table import ROWS, method, rows_used
from linnet.table import to_dict as fit_to_dict
from linnet.text import (
    DASH,
    WIDTH,
    bound,
    bullets,
    error_to_place,
    last_place,
    number,
    power_of,
    printable,
    sentence,
    shorten,
    to_place,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from linnet.fits import Fits
    from linnet.fitted import Fit

LABEL, NAME = 12, 24  # cells that a label and a feature's name may take
SHOWN = ROWS // 2  # weights, of two lines each
Row = tuple[str, list[str]]  # a name, and a cell for each fit


def render(fits: Fits) -> str:
    """The table that `print(fits)` shows: a row for each weight and a column for each fit, standard errors below.

    As many fits as 80 columns hold stand beside one another, the others follow below.

    Args:
        fits: the fits.

    Returns:
        Lines of at most 80 cells (a wide character takes two), without a final newline.
    """
    parts = [_header(fits), *_blocks(fits), _sentences(fits)]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def to_dict(fits: Fits, level: float = 0.95) -> dict[str, Any]:
    """What the fits say as values that JSON knows: numbers that are not finite become None.

    Args:
        fits: the fits.
        level: of the intervals, between 0 and 1.

    Returns:
        `target`, `n`, `converged` (whether all are), `notes`, and under `fits`, by label, what `Fit.to_dict` gives.

    Raises:
        InputError: `level` is not between 0 and 1.
    """
    return {
        "target": fits.target,
        "n": fits.n,
        "converged": fits.converged,
        "notes": list(fits.notes),
        "fits": {label: fit_to_dict(fit, level) for label, fit in zip(fits.labels, fits, strict=True)},
    }


def _header(fits: Fits) -> list[str]:
    """What is true of all fits; what is not, stands below the weights."""
    first, *others = fits
    said = [f"{fit.loss} loss" for fit in fits]
    told = said[:1] if len(set(said)) == 1 else [f"{len(fits)} losses"]
    told += [part for part in method(first) if all(part in method(other) for other in others)]
    return [shorten(f"Linear regression of {fits.target}", WIDTH), *wrap(rows_used(first)), *wrap(" · ".join(told))]


def _blocks(fits: Fits) -> Iterator[list[str]]:
    """The weights and what sums up each fit, as many fits beside one another as there is room for."""
    from rich.cells import cell_len

    heads = [shorten(label, LABEL) for label in fits.labels]
    weights, facts = list(_weights(fits)), list(_facts(fits))
    if _sure(fits):  # a weight's last digit stands above that of (its error)
        heads = [f"{head} " for head in heads]
        facts = [(name, [f"{cell} " for cell in cells]) for name, cells in facts]
    rows = [(printable(name), cells) for name, cells in (*weights, *facts)]
    width = min(max(cell_len(name) for name, _ in rows), NAME)
    column = 2 + max(cell_len(cell) for cell in (*heads, *(cell for _, cells in rows for cell in cells)))
    beside = min(max((WIDTH - width) // column, 1), len(fits))
    beside = math.ceil(len(fits) / math.ceil(len(fits) / beside))  # about as many in each block
    left = len(fits.names) - SHOWN

    for start in range(0, len(fits), beside):
        part = slice(start, start + beside)
        lines = []
        for name, cells in (("", heads), *rows):
            label = shorten(name, width)
            filled = [" " * (column - cell_len(cell)) + cell for cell in cells[part]]
            lines.append(label + " " * (width - cell_len(label)) + "".join(filled))
        rule = "─" * (width + column * len(heads[part]))
        below = [f"and {left:,} more: to_dict() and --json give all of them"] if left > 0 else []
        yield [lines[0], rule, *lines[1 : 1 + len(weights)], rule, *below, *lines[1 + len(weights) :]]


def _errors(fit: Fit) -> list[float]:
    """Standard errors, the intercept's first; NaN where there is none."""
    return [fit.bias_std_error if fit.intercept else math.nan, *fit.std_errors.tolist()]


def _sure(fits: Fits) -> bool:
    """Whether any weight has a standard error."""
    return not all(math.isnan(error) for fit in fits for error in _errors(fit))


def _weights(fits: Fits) -> Iterator[Row]:
    """A row for each weight and, below it, one for its standard errors, in as many decimals as the smallest needs.

    Where no fit has an error of that weight, a usual error stands in to tell decimals. A dash is an error that cannot
    be told; a fit that has none at all has none there either.
    """
    first = 0 if any(fit.intercept for fit in fits) else 1
    sure = _sure(fits)
    columns = [(fit.coefficients.tolist(), _errors(fit), _usual_errors(fit)) for fit in fits]
    for j, name in list(enumerate(["intercept", *fits.names[:SHOWN]]))[first:]:
        weights, errors, usual = ([column[i][j] for column in columns] for i in range(3))
        known = [error for error in errors if 0 < error < math.inf] or [e for e in usual if 0 < e < math.inf]
        size = max(map(abs, [*weights, *known]))
        place = last_place(min(known), 3, size) if known else _last_place_of(weights)
        yield name, [to_place(weight, place, size) + " " * sure for weight in weights]
        if sure:
            unsaid = [f"{DASH} " if fit.uncertainty is not None and (j or fit.intercept) else "" for fit in fits]
            said = [f"({error_to_place(error, place)})" for error in errors]
            yield "", [b if math.isnan(error) else a for error, a, b in zip(errors, said, unsaid, strict=True)]


def _usual_errors(fit: Fit) -> list[float]:
    """About as large as an error of each weight would be, by those of the others; infinite or NaN where unknown.

    In standard deviations of their columns most errors of one fit are alike.
    """
    scales = [1.0, *fit.scale.tolist()]  # the intercept's column has no spread, but is in units of the target too
    known = [error * scale for error, scale in zip(_errors(fit), scales, strict=True) if 0 < error * scale < math.inf]
    middle = median(known) if known else math.nan
    return [middle / scale if scale > 0 else math.nan for scale in scales]


def _last_place_of(weights: list[float]) -> int:
    """Where nothing tells what is sure: the fifth digit of the smallest weight, or the seventh of the largest."""
    powers = [power_of(weight) for weight in weights if 0 < abs(weight) < math.inf] or [0]
    return max(min(powers) - 4, max(powers) - 6)


def _facts(fits: Fits) -> Iterator[Row]:
    """What sums up each fit; least squares and the other losses are summed up by different things."""
    squared = [fit.loss == "squared" for fit in fits]
    if any(squared):
        yield "R²", [number(fit.r2, 4) if fit.loss == "squared" else DASH for fit in fits]
        yield "residual sd", [number(fit.residual_sd, 4) if fit.loss == "squared" else DASH for fit in fits]
    if not all(squared):
        yield "pseudo-R²", [number(fit.pseudo_r2, 4) for fit in fits]
        yield "robust scale", [number(fit.robust_scale, 4) for fit in fits]
    deltas = [fit.settings.get("delta", math.nan) for fit in fits]
    if any(isinstance(delta, float) and delta > 0 for delta in deltas):
        yield "delta", [number(delta, 4) if isinstance(delta, float) else DASH for delta in deltas]
    if not all(math.isnan(fit.gap) for fit in fits):
        yield "gap, at most", [bound(fit.gap) for fit in fits]
    errors = [fit.errors if fit.uncertainty is not None else DASH for fit in fits]
    if len(set(errors)) > 1:
        yield "errors", errors


def _sentences(fits: Fits) -> list[str]:
    """How the fits ended, and what else is to be known; with the labels of those concerned, unless that is all."""
    said: dict[str, list[str]] = {}
    for about in ([fit.status.text] for fit in fits), (fit.notes for fit in fits):
        for label, texts in zip(fits.labels, about, strict=True):
            for text in dict.fromkeys(texts):
                said.setdefault(text, []).append(label)
    told = [text if len(of) == len(fits) else f"({', '.join(of)}) {sentence(text)}" for text, of in said.items()]
    alike = len({fit.status for fit in fits}) == 1
    first = wrap(sentence(told.pop(0))) if alike else []
    return [*first, *bullets([*fits.notes, *told])]
