"""What a Fit says: as a table of plain text that reads well in 80 columns, and as plain values."""

from __future__ import annotations

import math
from decimal import ROUND_UP, Context
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from linnet.block import Float64s
    from linnet.fitted import Fit

WIDTH = 80
SHAPE = ("q", "k", "scale_by", "delta")  # settings that say what a loss is
ROWS = 40  # weights shown; a longer table is data, which to_dict() and --json give
DASH = "–"


def render(fit: Fit, level: float = 0.95) -> str:
    """The table that `print(fit)` shows.

    Args:
        fit: the fit.
        level: of the intervals, between 0 and 1.

    Returns:
        Lines of at most 80 cells (a wide character takes two), without a final newline.

    Raises:
        InputError: `level` is not between 0 and 1.
    """
    parts = [_header(fit), _weights(fit, level), _summary(fit), _sentences(fit)]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def to_dict(fit: Fit, level: float = 0.95) -> dict[str, Any]:
    """What the fit says as values that JSON knows: numbers that are not finite become None.

    Args:
        fit: the fit.
        level: of the intervals, between 0 and 1.

    Returns:
        The Fit's fields; under `weights` one record for each weight, the intercept first if there is one, with its
        name, weight, std_error, low and high (the interval's ends), t and p, exact (the exact optimum that a learned
        weight is judged by) and distance (from it, in standard errors).

    Raises:
        InputError: `level` is not between 0 and 1.
    """
    interval = fit.interval(level)
    columns = {
        "name": ("intercept", *fit.names),
        "weight": fit.coefficients.tolist(),
        "std_error": (fit.bias_std_error, *fit.std_errors.tolist()),
        "low": interval[:, 0].tolist(),
        "high": interval[:, 1].tolist(),
        "t": fit.t_values.tolist(),
        "p": fit.p_values.tolist(),
        "exact": [None] * (len(fit.names) + 1) if fit.exact is None else fit.exact.tolist(),
        "distance": fit.distance.tolist(),
    }
    records = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    values = {
        "target": fit.target,
        "weights": records if fit.intercept else records[1:],
        "level": level,
        "intercept": fit.intercept,
        "n": fit.n,
        "n_dropped": fit.n_dropped,
        "df_residual": fit.df_residual,
        "r2": fit.r2,
        "adjusted_r2": fit.adjusted_r2,
        "pseudo_r2": fit.pseudo_r2,
        "residual_sd": fit.residual_sd,
        "robust_scale": fit.robust_scale,
        "f_statistic": fit.f_statistic,
        "f_p_value": fit.f_p_value,
        "condition": fit.condition,
        "objective": fit.objective,
        "gap": fit.gap,
        "status": fit.status.name,
        "message": fit.status.text,
        "converged": fit.status.converged,
        "notes": fit.notes,
        "loss": fit.loss,
        "l2": fit.l2,
        "errors": fit.errors,
        "missing": fit.design.missing,
        "solver": fit.solver,
        "precision": fit.precision,
        "passes": fit.passes,
        "settings": fit.settings,
        "history": fit.history,
        "covariance": fit.covariance.tolist(),
    }
    plain: dict[str, Any] = _plain(values)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def number(value: float, digits: int = 5) -> str:
    """A number in about so many significant digits; scientific only where zeros would bury them."""
    if math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    power = int(exponent)
    if -5 < power < 9:
        return f"{value:.{max(0, digits - 1 - power)}f}"
    return f"{mantissa}e{power}"


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


def shorten(text: str, width: int) -> str:
    """Text in at most `width` cells, its middle replaced by … when it is longer; both ends tell names apart."""
    from rich.cells import cell_len

    clean = printable(text)
    if cell_len(clean) <= width:
        return clean
    head, tail = 0, len(clean)
    left = width - 1
    while True:
        front = head <= len(clean) - tail  # grow whichever end is shorter
        size = cell_len(clean[head] if front else clean[tail - 1])
        if size > left:
            return f"{clean[:head]}…{clean[tail:]}"
        left -= size
        head, tail = (head + 1, tail) if front else (head, tail - 1)


def printable(text: str) -> str:
    """Text without the characters that move a cursor or break a line, which a column's name may hold."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)


def wrap(text: str, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    """Text broken at spaces into lines of at most `width` cells, the first and the others indented as given."""
    from rich.cells import cell_len, chop_cells

    lines = [first]
    indent = first
    for word in printable(text).split():
        room = width - cell_len(rest)
        for piece in [word] if cell_len(word) <= room else chop_cells(word, room):
            gap = "" if lines[-1] == indent else " "
            if cell_len(lines[-1]) + len(gap) + cell_len(piece) > width:
                lines.append(rest)
                gap, indent = "", rest
            lines[-1] += gap + piece
    return lines


def _header(fit: Fit) -> list[str]:
    shape = ", ".join(f"{key.split('_')[0]} {_said(fit.settings[key])}" for key in SHAPE if key in fit.settings)
    return [
        shorten(f"Linear regression of {fit.target}", WIDTH),
        rows_used(fit),
        *wrap(" · ".join([f"{fit.loss} loss" + (f" ({shape})" if shape else ""), *method(fit)])),
        *(wrap(_learning(fit)) if "lr" in fit.settings else []),
    ]


def rows_used(fit: Fit) -> str:
    """How many rows were used, and how many were not."""
    rows = f"{fit.n:,} {_plural('row', fit.n)}"
    return rows + f", {fit.n_dropped:,} dropped for missing values" if fit.n_dropped else rows


def method(fit: Fit) -> list[str]:
    """How the weights were found: solver, precision, and what departs from a plain fit."""
    said = [f"{fit.solver} solver", f"{fit.precision} precision"]
    if fit.l2:
        said.append(f"l2 {number(fit.l2, 4)}")
    if not fit.intercept:
        said.append("no intercept")
    if fit.errors not in ("classical", "none") and fit.uncertainty is not None:
        said.append(f"{fit.errors} errors")
    return said


def _learning(fit: Fit) -> str:
    """How an iterative solver went about it, as far as its settings tell."""
    used = {key: _said(value) for key, value in fit.settings.items() if value}
    parts = []
    if "lr" in used:
        parts.append(f"learning rate {used['lr']}" + (" (auto)" if "lr_auto" in used else ""))
    if used.get("schedule", "constant") != "constant":
        parts.append(f"{used['schedule']} schedule")
    if "batch_size" in used:
        parts.append(f"batches of {used['batch_size']} {_plural('row', fit.settings['batch_size'])}")
    if "epochs" in used:
        parts.append(f"{used['epochs']} {_plural('epoch', fit.settings['epochs'])}")
    if "momentum" in used:
        parts.append(f"momentum {used['momentum']}")
    if "average" in used:
        parts.append("averaged weights")
    if "shuffle" in used:
        parts.append(f"shuffle: {used['shuffle']}")
    return " · ".join(parts)


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _weights(fit: Fit, level: float) -> list[str]:
    from rich.cells import cell_len

    names = ["intercept", *fit.names]
    errors = [fit.bias_std_error, *fit.std_errors.tolist()]
    first = 0 if fit.intercept else 1
    shown = slice(first, min(len(names), first + ROWS))

    widest = max(map(cell_len, names[shown]), default=0)
    for style in _styles(errors[shown]):  # the first that leaves room for the names
        columns = _tested(fit, shown, style, level) if fit.exact is None else _judged(fit, fit.exact, shown, style)
        room = WIDTH - sum(len(column[0]) + 2 for column in columns)
        if room >= max(min(widest, 24), 9):
            break
    width = max(min(widest, room), 9)

    lines = []
    for name, *cells in zip(["", *names[shown]], *columns, strict=True):
        label = shorten(name, width)
        lines.append(label + " " * (width - cell_len(label)) + "".join("  " + cell for cell in cells))
    rule = "─" * (width + sum(len(column[0]) + 2 for column in columns))
    lines = [lines[0], rule, *lines[1:], rule]
    if shown.stop < len(names):
        lines.append(f"and {len(names) - shown.stop:,} more: to_dict() and --json give all of them")
    if fit.exact is not None and fit.uncertainty is not None:
        lines.append("distance: from learned to exact, in standard errors")
    return lines


def _judged(fit: Fit, exact: Float64s, shown: slice, style: Callable[[float], str]) -> list[list[str]]:
    """The columns of a table that holds what was learned against the exact answer."""
    columns = [
        _column("learned", [style(x) for x in fit.coefficients[shown].tolist()]),
        _column("exact", [style(x) for x in exact[shown].tolist()]),
    ]
    if fit.uncertainty is not None:
        errors = np.r_[fit.bias_std_error, fit.std_errors]
        columns += [
            _column("std error", [style(x) for x in errors[shown].tolist()]),
            _column("distance", [_ratio(x, 3) for x in fit.distance[shown].tolist()]),
        ]
    return columns


def _tested(fit: Fit, shown: slice, style: Callable[[float], str], level: float) -> list[list[str]]:
    """The columns of a table that tells how sure each weight is."""
    columns = [_column("weight", [style(x) for x in fit.coefficients[shown].tolist()])]
    if fit.uncertainty is None:
        return columns
    errors = np.r_[fit.bias_std_error, fit.std_errors]
    low, high = (_column("", [style(x) for x in ends])[1:] for ends in fit.interval(level)[shown].T.tolist())
    ends = [f"{a}  {b}" for a, b in zip(low, high, strict=True)]
    return [
        *columns,
        _column("std error", [style(x) for x in errors[shown].tolist()]),
        _column("t", [_ratio(x, 2) for x in fit.t_values[shown].tolist()]),
        _column("p", [p_value(x) for x in fit.p_values[shown].tolist()], align=False),
        _column(f"{level * 100:.10g} % interval", ends, align=False),
    ]


def _styles(errors: Sequence[float]) -> Iterator[Callable[[float], str]]:
    """Ways to write weights and their errors, the most readable first.

    One number of decimals throughout, by the smallest standard error, where that comes out short enough; otherwise
    each number in so many significant digits of its own.
    """
    positive = [error for error in errors if error > 0 and math.isfinite(error)]
    if positive:
        power = math.floor(math.log10(min(positive)))
        for digits in (4, 3):
            if power - digits + 1 >= -6 and max(positive) < 1e8:
                yield partial(_fixed, decimals=max(0, digits - 1 - power))
    for digits in (6, 5, 4, 3):
        yield partial(number, digits=digits)


def _fixed(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < 1e12 else number(value, 4)


def _column(title: str, cells: list[str], *, align: bool = True) -> list[str]:
    """A title and cells of one width, the decimal points below one another where that does not waste much room."""
    if align:
        tails = [len(cell) - cell.find(".") if "." in cell else 0 for cell in cells]
        aligned = [cell + " " * (max(tails, default=0) - tail) for cell, tail in zip(cells, tails, strict=True)]
        widest = max(map(len, cells), default=0)
        if max(map(len, aligned), default=0) <= max(widest + 3, len(title)):
            cells = aligned
    width = max([len(title), *map(len, cells)])
    return [text.rjust(width) for text in (title, *cells)]


def _ratio(value: float, decimals: int) -> str:
    """A number of standard errors."""
    return f"{value:z.{decimals}f}" if abs(value) < 99_999.5 else number(value, 4)


def _summary(fit: Fit) -> list[str]:
    f_test = number(fit.f_statistic, 5)
    if not math.isnan(fit.f_p_value):
        p = p_value(fit.f_p_value)
        f_test += f" (p {p})" if p.startswith("<") else f" (p = {p})"
    if fit.loss == "squared":
        left = [("R²", number(fit.r2, 5)), ("adjusted R²", number(fit.adjusted_r2, 5)), ("F", f_test)]
        first = ("residual sd", number(fit.residual_sd, 5))
    else:
        left = [("pseudo-R²", number(fit.pseudo_r2, 5)), ("F (Wald)", f_test), ("objective", number(fit.objective, 5))]
        first = ("robust scale", number(fit.robust_scale, 5))
    right = [
        first,
        ("degrees of freedom", number(fit.df_residual, 6) if fit.df_residual % 1 else f"{fit.df_residual:,.0f}"),
        ("condition number", number(fit.condition, 4)),
    ]
    lines = [f"{a:<13}{x:<25}{b:<20}{y}" for (a, x), (b, y) in zip(left, right, strict=True)]
    if not math.isnan(fit.gap):
        lines.append(f"{'':<13}at most {bound(fit.gap)} of itself above the optimum")
    return lines


def _sentences(fit: Fit) -> list[str]:
    return [*wrap(sentence(fit.status.text)), *bullets(fit.notes)]


def bullets(notes: Sequence[str]) -> list[str]:
    """Notes as sentences, each behind a bullet."""
    return [line for note in notes for line in wrap(sentence(note), first="• ", rest="  ")]


def sentence(text: str) -> str:
    """Text as a sentence: a capital, and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _plural(word: str, count: int) -> str:
    return word if count == 1 else word + "s"
