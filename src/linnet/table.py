"""What a Fit says: as a table of plain text that reads well in 80 columns, and as plain values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from linnet.dependencies import SHARE
from linnet.text import (
    HELD,
    WIDTH,
    bound,
    bullets,
    error_to_place,
    last_place,
    number,
    p_value,
    plural,
    power_of,
    printable,
    sentence,
    shorten,
    spelled,
    to_place,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from linnet.dependencies import Dependencies
    from linnet.fitted import Fit

SHAPE = ("q", "k", "scale_by", "delta")  # settings that say what a loss is
ROWS = 40  # weights shown; a longer table is data, which to_dict() and --json give
SURE = 99.99999999  # per cent, the highest level that is written: no interval holds in 100 of 100 cases


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
    parts = [_header(fit), _weights(fit, level), _summary(fit), [*wrap(sentence(fit.status.text)), *bullets(fit.notes)]]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def to_dict(fit: Fit, level: float = 0.95) -> dict[str, Any]:
    """What the fit says as values that JSON knows: numbers that are not finite become None.

    Args:
        fit: the fit.
        level: of the intervals, between 0 and 1.

    Returns:
        The Fit's fields, apart from those that only predicting takes. Under `weights` one record for each weight, the
        intercept first if there is one, with its name, weight, identified (whether it can be told from the others),
        std_error, low and high (the interval's ends), t and p, exact (the exact optimum that a learned weight is judged
        by) and distance (from it, in standard errors). Under `dependencies` one record for each column that others
        reproduce in all rows used, with its name, terms (by the others' names, their coefficients) and constant, so
        that the column is their sum; None where there is none, or where it is not known.

    Raises:
        InputError: `level` is not between 0 and 1.
    """
    interval = fit.interval(level)
    columns = {
        "name": ("intercept", *fit.names),
        "weight": fit.coefficients.tolist(),
        "identified": (fit.bias_identified, *fit.identified.tolist()),
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
        "n_weightless": fit.n_weightless,
        "n_filled": fit.n_filled,
        "mean_weight": fit.mean_weight,
        "df_residual": fit.df_residual,
        "r2": fit.r2,
        "adjusted_r2": fit.adjusted_r2,
        "pseudo_r2": fit.pseudo_r2,
        "residual_sd": fit.residual_sd,
        "robust_scale": fit.robust_scale,
        "f_statistic": fit.f_statistic,
        "f_p_value": fit.f_p_value,
        "condition": fit.condition,
        "dependencies": None if fit.dependencies is None else _dependencies(fit, fit.dependencies),
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
    return dict(plain(values))


def _dependencies(fit: Fit, found: Dependencies) -> list[dict[str, Any]]:
    """Each dependency by names, in the columns' own units and about 0 instead of the centre."""
    records = []
    for column, coefficients in zip(found.columns.tolist(), found.coefficients.T.tolist(), strict=True):
        terms = {j: c for j, c in zip(found.others.tolist(), coefficients, strict=True) if c}
        centres = [float(fit.centre[column]), *(-c * float(fit.centre[j]) for j, c in terms.items())]
        constant = math.fsum(centres) if all(map(math.isfinite, centres)) else math.nan
        if abs(constant) <= SHARE * (sum(map(abs, centres)) + float(fit.scale[column])):  # rounding
            constant = 0.0
        named = {fit.names[j]: c for j, c in terms.items()}
        records.append({"name": fit.names[column], "terms": named, "constant": constant})
    return records


def plain(value: Any) -> Any:
    """The same as values that JSON knows: numbers that are not finite become None, tuples lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _header(fit: Fit) -> list[str]:
    known = {key.split("_")[0]: fit.settings[key] for key in SHAPE if fit.settings.get(key) is not None}
    shape = ", ".join(f"{key} {_said(value)}" for key, value in known.items())
    return [
        shorten(f"Linear regression of {fit.target}", WIDTH),
        *wrap(rows_used(fit)),
        *wrap(" · ".join([f"{fit.loss} loss" + (f" ({shape})" if shape else ""), *method(fit)])),
        *(wrap(_learning(fit)) if "lr" in fit.settings else []),
    ]


def rows_used(fit: Fit) -> str:
    """How many rows were used, how many were not, and how many values in them were not observed."""
    said = [f"{fit.n:,} {plural('row', fit.n)}"]
    if fit.n_dropped:
        said.append(f"{fit.n_dropped:,} dropped for missing values")
    if fit.n_weightless:
        said.append(f"{fit.n_weightless:,} of weight 0")
    if filled := sum(fit.n_filled.values()):
        said.append(f"{filled:,} missing {plural('value', filled)} filled with the column's mean")
    return ", ".join(said)


def method(fit: Fit) -> list[str]:
    """How the weights were found: solver, precision, and what departs from a plain fit."""
    judged = fit.precision == "exact" and fit.exact is not None  # learning itself is never exact
    said = [f"{fit.solver} solver", "optimum in exact precision" if judged else f"{fit.precision} precision"]
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
        parts.append(f"batches of {used['batch_size']} {plural('row', fit.settings['batch_size'])}")
    if "epochs" in used:
        parts.append(f"{used['epochs']} {plural('epoch', fit.settings['epochs'])}")
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

    first = 0 if fit.intercept else 1
    shown = slice(first, first + ROWS)
    names = list(map(printable, ("intercept", *fit.names)[shown]))

    widest = max(map(cell_len, names), default=0)
    for style in _styles(fit, shown):  # the first that leaves room for the names
        columns = _columns(fit, shown, style, level)
        room = WIDTH - sum(len(column[0]) + 2 for column in columns)
        if room >= max(min(widest, 24), 9):
            break
    width = max(min(widest, room), 9)

    lines = []
    for name, *cells in zip(["", *names], *columns, strict=True):
        label = shorten(name, width)
        lines.append(label + " " * (width - cell_len(label)) + "".join("  " + cell for cell in cells))
    rule = "─" * (width + sum(len(column[0]) + 2 for column in columns))
    lines = [lines[0], rule, *lines[1:], rule]
    if (more := 1 + len(fit.names) - shown.stop) > 0:
        lines.append(f"and {more:,} more: to_dict() and --json give all of them")
    if fit.exact is not None and fit.uncertainty is not None:
        lines.append("distance: from learned to exact, in standard errors")
    elif not style.ends and fit.uncertainty is not None:
        lines.append("±: how far the interval reaches to either side of the weight")
    return lines


class _Style(NamedTuple):
    """A way to write the rows of a table."""

    places: Sequence[int]  # of each row's last digit
    sizes: Sequence[float]
    ends: bool = True  # of each interval; or how far it reaches
    waste: int = 3  # cells that a column may be wider for having its decimal points below one another

    def weights(self, title: str, values: Sequence[float]) -> list[str]:
        """A column of weights."""
        return self.column(title, list(map(to_place, values, self.places, self.sizes)))

    def errors(self, title: str, values: Sequence[float]) -> list[str]:
        """A column of standard errors."""
        return self.column(title, list(map(error_to_place, values, self.places)))

    def column(self, title: str, cells: list[str]) -> list[str]:
        """A title and cells of one width."""
        tails = [len(cell) - cell.find(".") if "." in cell else 0 for cell in cells]
        aligned = [cell + " " * (max(tails) - tail) for cell, tail in zip(cells, tails, strict=True)]
        room = max(max(map(len, cells), default=0) + self.waste, len(title))
        return _column(title, aligned if max(map(len, aligned), default=0) <= room else cells)


def _styles(fit: Fit, shown: slice) -> Iterator[_Style]:
    """Ways to write weights and their errors, the most readable first, and last one that always has room.

    One number of decimals by the smallest standard error, where it is short; or each row to its own one's second digit.
    """
    errors = [fit.bias_std_error, *fit.std_errors.tolist()][shown]
    known = [0 < error < math.inf for error in errors]
    sizes = np.abs(fit.coefficients if fit.exact is None else fit.exact)[shown].tolist()
    if fit.exact is not None:  # of which noise may be smaller than that of what was learned
        learned = np.abs(fit.coefficients)[shown].tolist()
        sizes = [size if sure else max(size, other) for size, other, sure in zip(sizes, learned, known, strict=True)]
    sizes = [max(size, error) if sure else size for size, error, sure in zip(sizes, errors, known, strict=True)]
    if any(known):
        largest, smallest = max(sizes), min(error for error in errors if error > 0)
        for place in (last_place(smallest, 4, smallest), last_place(smallest, 3, smallest)):
            if place >= -6 and largest < 1e12 and power_of(largest) - place < HELD:
                yield _Style([place] * len(sizes), [largest] * len(sizes))
    rows = zip(errors, sizes, known, strict=True)
    places = [last_place(error, 2, size) if sure else power_of(size) - 5 for error, size, sure in rows]
    for ends, waste in ((True, WIDTH), (False, WIDTH), (False, 0)):
        yield _Style(places, sizes, ends, waste)


def _columns(fit: Fit, shown: slice, style: _Style, level: float) -> list[list[str]]:
    """How sure each weight is, or where what was learned lies beside the exact answer."""
    from linnet.inference import t_quantile

    reach, percent = t_quantile(level, fit.df_residual), f"{min(level * 100, SURE):.10g} %"
    told = {"weight": fit.coefficients} if fit.exact is None else {"learned": fit.coefficients, "exact": fit.exact}
    columns = [style.weights(title, values[shown].tolist()) for title, values in told.items()]
    if fit.uncertainty is None:
        return columns
    errors = np.r_[fit.bias_std_error, fit.std_errors][shown]
    columns.append(style.errors("std error", errors.tolist()))
    if fit.exact is not None:
        return [*columns, style.column("distance", [_ratio(x, 3) for x in fit.distance[shown].tolist()])]
    columns.append(style.column("t", [_ratio(x, 2) for x in fit.t_values[shown].tolist()]))
    columns.append(_column("p", [p_value(x) for x in fit.p_values[shown].tolist()]))
    if not style.ends:
        return [*columns, style.errors(f"± {percent}", (reach * errors).tolist())]
    low, high = (style.weights("", ends)[1:] for ends in fit.interval(level)[shown].T.tolist())
    return [*columns, _column(f"{percent} interval", [f"{a}  {b}" for a, b in zip(low, high, strict=True)])]


def _column(title: str, cells: Sequence[str]) -> list[str]:
    title = spelled(title)
    width = max([len(title), *map(len, cells)])
    return [text.rjust(width) for text in (title, *cells)]


def _ratio(value: float, decimals: int) -> str:
    """A number of standard errors."""
    return f"{value:z.{decimals}f}" if abs(value) < 99_999.5 else number(value, 3, top=5)


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
