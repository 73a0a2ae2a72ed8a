"""Comparison: several losses on the same rows side by side, and what the choice between them changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from linnet.block import Float64s, InputError
from linnet.fits import Fits
from linnet.fitting import fit_source
from linnet.influence import DecidingRows, deciding_rows
from linnet.losses import Absolute, Huber, Loss, Quantile, Quantiles, Squared, named_loss
from linnet.sources import open_source
from linnet.text import about, listed

if TYPE_CHECKING:
    from linnet.fitted import Fit
    from linnet.solution import Solution
    from linnet.solvers.solver import Step

LOSSES: dict[str, Loss] = {
    "squared": Squared(),
    "huber": Huber(k=1.345),
    "absolute": Absolute(),
    "quantile": Quantile(0.9),
}
"""What the names mean here. The mean; the mean with far rows held back, which costs 5 % efficiency when errors are
normal; the median; and the value that nine rows in ten stay below. When no row is far off, the first three agree, and
a quantile far from the middle has other weights where the spread of the errors depends on the features."""
Errors = Literal["auto", "classical", "bootstrap", "none"]
CLEAR = 2.0
"""Standard errors from which a weight, or a difference between two, is taken to be other than 0."""
LEADING = 3
"""Ranks that matter: an order among small weights is chance."""
NEGLIGIBLE = 2.0**-40
"""Size of a weight, in standard deviations of the target per one of its feature, that is rounding and counts as 0."""
SHOWN = 5
"""Flags of a kind that are spelled out before the rest is only counted."""


@dataclass(frozen=True)
class Flag:
    """A feature of which losses say different things.

    Attributes:
        feature: its name.
        change: "sign" of its weight; or "rank" of its weight's size, in standard deviations of the feature, among all.
        clear: whether standard errors leave no doubt of it: for a sign, weights on both sides of 0 that are more than
            two of them away; for a rank, a feature that is ahead under one loss and behind under another by more than
            twice the sum of both standard errors. False also where there are none.
        text: the sentence, with the losses between which it differs most.
    """

    feature: str
    change: Literal["sign", "rank"]
    clear: bool
    text: str


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several losses on the same rows side by side; `print` shows it in 80 columns.

    Attributes:
        fits: one Fit for each loss, its label being the loss's name; their notes are the flags that matter.
        flags: features whose sign or rank differs between losses, those that matter most first. A sign that is clearly
            different from 0 under no loss is no flag, nor is a rank below the first three.
        deciding: the rows that least squares lets decide; None unless squared and Huber loss are both among the losses.
    """

    fits: Fits
    flags: tuple[Flag, ...]
    deciding: DecidingRows | None

    @property
    def ranks(self) -> Float64s:
        """Rank of each weight by size in standard deviations of its feature, 1 for the largest, shape (k, d).

        NaN for a feature whose weight cannot be told from the others.
        """
        return _ranks(self.fits.fits)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """What it says, as plain Python values: what `Fits.to_dict` gives, and the flags and deciding rows."""
        from linnet.comparison_table import to_dict

        return to_dict(self, level)

    def __str__(self) -> str:
        from linnet.comparison_table import render

        return render(self)

    def __repr__(self) -> str:
        return f"<Comparison of {', '.join(self.fits.labels)}; flags: {len(self.flags)}>"


def compare(
    data: Any,
    target: Any = None,
    *,
    features: Sequence[str] | None = None,
    weight: Any = None,
    losses: Sequence[str | Loss | Quantiles] = tuple(LOSSES),
    intercept: bool = True,
    l2: float = 0.0,
    missing: Literal["error", "drop", "mean"] = "error",
    errors: Errors = "auto",
    progress: bool | Callable[[Step], None] | None = None,
) -> Comparison:
    """Fit the same table with several losses, each to its optimum, and say what the choice changes.

    Args:
        data: as for `linnet.fit`.
        target: likewise.
        features: likewise.
        weight: likewise.
        losses: names or instances, each once. "huber" is here Huber(k=1.345) and "quantile" Quantile(0.9).
        intercept: whether to fit a bias.
        l2: ridge penalty, the same for all (see Objective).
        missing: as for `linnet.fit`.
        errors: "auto", "classical", "bootstrap" or "none", for all losses, as for `linnet.fit`.
        progress: as for `linnet.fit`; the fits follow one another.

    Raises:
        InputError: input that cannot be used, or rows that can be read only once; no loss, or one twice; a loss whose
            optimum these rows do not have.
    """
    chosen = _labelled(losses)
    if errors not in get_args(Errors):
        raise InputError(f"errors must be one of {', '.join(get_args(Errors))}, but is {errors!r}.")
    source = open_source(data, target, features=features, weight=weight, missing=missing)
    if not source.rereadable:
        raise InputError("Comparing losses reads the rows several times, but these only once: give a table or files.")
    fitted: dict[str, Fit] = {}
    least: Solution | None = None
    for label, loss in chosen.items():
        try:
            fit, moments = fit_source(source, loss=loss, intercept=intercept, l2=l2, errors=errors, progress=progress)
        except InputError as error:
            if not fitted:  # no reason to blame this loss rather than the rows
                raise
            raise InputError(f"With {label} loss: {error} Or leave that loss out (losses=…).") from error
        fitted[label] = fit
        if fit.loss == "squared":
            assert moments is not None
            least = moments.solve(fit.l2, fit.intercept)
    robust = next((fit for fit in fitted.values() if fit.loss == "huber"), None)
    deciding = None
    if least is not None and robust is not None:
        deciding = deciding_rows(source, least, robust)
    fits = Fits(tuple(fitted.values()), tuple(fitted))
    flags, notes = _flags(fits)
    return Comparison(replace(fits, notes=notes), flags, deciding)


def _labelled(losses: Sequence[str | Loss | Quantiles]) -> dict[str, Loss]:
    """The losses by what tells them apart.

    Raises:
        InputError: there is none, or one twice, or something that is no loss.
    """
    given = [losses] if isinstance(losses, str | Loss | Quantiles) else list(losses)
    if not given:
        raise InputError(f"There is no loss to compare: choose from {', '.join(LOSSES)}, or give instances of Loss.")
    each: list[Loss] = []
    for loss in given:
        if isinstance(loss, Quantiles):
            each += loss.each()
        else:
            each.append(LOSSES[loss] if isinstance(loss, str) and loss in LOSSES else named_loss(loss))
    labelled: dict[str, Loss] = {}
    for loss in each:
        label = f"{loss.name} {loss.q:g}" if isinstance(loss, Quantile) else loss.name
        if isinstance(loss, Huber) and sum(isinstance(other, Huber) for other in each) > 1:
            label += f" delta={loss.delta:g}" if loss.k is None else f" k={loss.k:g}"
        if label in labelled:
            raise InputError(f"{label.capitalize()} loss is there twice: give each loss once.")
        labelled[label] = loss
    return labelled


# --- Flags ----------------------------------------------------------------------------------------------------------


def _flags(fits: Fits) -> tuple[tuple[Flag, ...], tuple[str, ...]]:
    """The flags, and the notes that spell out or count them."""
    if len(fits) < 2:
        return (), ()
    known = _known(fits.fits)
    signs, ranks = list(_sign_changes(fits, known)), list(_rank_changes(fits, known))
    signs.sort(key=lambda flag: not flag.clear)
    ranks.sort(key=lambda flag: not flag.clear)
    flags = (*signs, *ranks)
    sure, chance = [flag for flag in ranks if flag.clear], [flag for flag in ranks if not flag.clear]
    notes = [flag.text for flag in (*signs[:SHOWN], *sure[:SHOWN])]
    if len(signs) > SHOWN:
        notes.append(f"and {len(signs) - SHOWN:,} more features change sign")
    if chance:
        also = "also " if sure else ""
        notes.append(
            f"{_listed([f.feature for f in chance])} {also}change places among the largest, which may be chance"
        )
    if not flags and known.any():
        order = ", and the largest keep their order" if np.count_nonzero(known) > 1 else ""
        notes.append(f"no weight changes its sign between these losses where one is clearly different from 0{order}")
    if not known.all():
        unknown = [name for name, told in zip(fits.names, known, strict=True) if not told]
        notes.append(f"not compared, because their weights cannot be told from others: {_listed(unknown)}")
    return flags, tuple(notes)


def _listed(names: Sequence[str]) -> str:
    """`a`, `b` and 40 more."""
    return listed([f"`{name}`" for name in names], SHOWN)


def _sign_changes(fits: Fits, known: NDArray[np.bool_]) -> Iterator[Flag]:
    """Features whose weight is above 0 under one loss and below under another, and not merely by chance."""
    weights = np.where(_sizes(fits.fits) > 0, fits.weights, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = weights / fits.std_errors
    sure = np.isfinite(t).any()  # otherwise nothing tells what is chance
    strength = np.abs(np.nan_to_num(t) if sure else weights)
    for j in np.flatnonzero(known & (weights > 0).any(axis=0) & (weights < 0).any(axis=0)):
        up, down = (
            int(np.argmax(np.where(side, strength[:, j], -1.0))) for side in (weights[:, j] > 0, weights[:, j] < 0)
        )
        clear = [bool(abs(t[i, j]) > CLEAR) for i in (up, down)]
        if sure and not any(clear):
            continue
        told = (("no standard error" if np.isnan(each) else f"t {each:.1f}") for each in t[sorted((up, down)), j])
        sides = [
            f"{about(weights[i, j], 4)} under {fits.labels[i]}" + (f" ({how})" if sure else "")
            for i, how in zip(sorted((up, down)), told, strict=True)
        ]
        text = f"`{fits.names[j]}` changes sign: {' but '.join(sides)}"
        if sure and not all(clear):
            text += f"; only under {fits.labels[up if clear[0] else down]} is it clearly different from 0"
        yield Flag(fits.names[j], "sign", all(clear), text)


def _rank_changes(fits: Fits, known: NDArray[np.bool_]) -> Iterator[Flag]:
    """Features that are among the largest under one loss, and have another rank under another."""
    size, rank = _sizes(fits.fits), _ranks(fits.fits)
    error = fits.std_errors * fits.fits[0].scale
    best, worst = rank.min(axis=0), rank.max(axis=0)
    leading = np.flatnonzero(known & (best <= LEADING) & (best < worst))
    for j in leading[np.argsort(best[leading], kind="stable")]:
        first, last = int(np.argmin(rank[:, j])), int(np.argmax(rank[:, j]))
        margin = CLEAR * (error[:, [j]] + error)
        ahead, behind = ((sign * (size[:, [j]] - size) > margin).any(axis=0) for sign in (1, -1))
        clear = bool(np.any(known & ahead & behind))
        text = (
            f"`{fits.names[j]}` ranks {_ordinal(rank[first, j])} by standardised weight under {fits.labels[first]}, "
            f"{_ordinal(rank[last, j])} under {fits.labels[last]}"
        )
        yield Flag(fits.names[j], "rank", clear, text if clear else f"{text}, which may be chance")


def _known(fits: Sequence[Fit]) -> NDArray[np.bool_]:
    """Whether each weight can be told from the others, (d,)."""
    return np.asarray(np.array([fit.identified for fit in fits]).all(axis=0))


def _sizes(fits: Sequence[Fit]) -> Float64s:
    """|weight| · standard deviation of the feature, (k, d); 0 where that is rounding."""
    size = np.abs([fit.weights for fit in fits]) * fits[0].scale
    return np.where(size > NEGLIGIBLE * fits[0].target_scale, size, 0.0)


def _ranks(fits: Sequence[Fit]) -> Float64s:
    """Ranks of the sizes, (k, d), 1 for the largest, ties in order; NaN where a weight cannot be told."""
    size = _sizes(fits)
    known = np.flatnonzero(_known(fits))
    rank = np.full(size.shape, np.nan)
    order = known[np.argsort(-size[:, known], axis=1, kind="stable")]
    np.put_along_axis(rank, order, np.arange(1.0, known.size + 1), axis=1)
    return rank


def _ordinal(rank: float) -> str:
    """1st, 2nd, 3rd, 4th, 11th."""
    n = int(rank)
    return f"{n:,}{'th' if n % 100 in (11, 12, 13) else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
