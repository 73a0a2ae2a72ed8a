"""Losses: what a residual costs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, overload

import numpy as np

from linnet.block import Float64s, InputError
from linnet.settings import positive, share


class Loss(ABC):
    """What a residual r = y - prediction costs: three functions of r, each elementwise over shape (rows,).

    `Squared` estimates the mean of the target, `Absolute` its median, `Quantile` any other quantile; `Huber` lies
    between the first two.

    One of your own has a `name` that is none of these, and the three functions; with a `bend`, SGD learns it, and
    `linnet.fit` takes SGD for it by itself. Its standard errors are the bootstrap's. Huber's, tilted to a quantile:

    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import linnet
    >>> @dataclass(frozen=True)
    ... class Tilted(linnet.Loss):
    ...     q: float
    ...     name = "tilted"
    ...
    ...     def value(self, r):
    ...         inner = np.clip(r, -0.5, 0.5)
    ...         return (self.q - 0.5) * r + inner * (r - inner / 2)
    ...
    ...     def slope(self, r):
    ...         return self.q - 0.5 + np.clip(r, -0.5, 0.5)
    ...
    ...     def curvature(self, r):
    ...         return np.where(np.abs(r) <= 0.5, 1.0, 0.0)
    ...
    ...     @property
    ...     def bend(self):
    ...         return self.q - 0.5, 1.0, 0.5
    >>> X = np.linspace(-1, 1, 1000)[:, None]
    >>> fit = linnet.fit(X, 3 * X[:, 0] + np.tile([0, 1, 2, 3], 250), loss=Tilted(0.9))
    >>> print(f"{fit.solver}: {fit.weights[0]:.1f}, {fit.bias:.1f}")
    sgd: 3.0, 3.1
    """

    name: str

    @abstractmethod
    def value(self, r: Float64s) -> Float64s:
        """The cost of each residual."""

    @abstractmethod
    def slope(self, r: Float64s) -> Float64s:
        """The derivative of `value` with respect to r; at a kink, the mean of the slopes on its two sides."""

    @abstractmethod
    def curvature(self, r: Float64s) -> Float64s:
        """The second derivative of `value` with respect to r; 0 at a kink."""

    @property
    def bend(self) -> tuple[float, float, float] | None:
        """(tilt, steepness, limit), where slope(r) = tilt + clip(steepness·r, -limit, limit), or None where it is not.

        A slope of this shape is all that a compiled solver has to know of a loss. With an infinite steepness it is
        tilt + limit·sign(r).
        """
        return None

    @property
    def settings(self) -> dict[str, str | float | bool | None]:
        """What tells this loss from others of its name, as a Fit and a checkpoint keep it: numbers, texts and so on.

        The public fields of a dataclass, or attributes; what is none of these as text, an array as its list.
        """
        names: Iterable[str] = getattr(self, "__dataclass_fields__", {}) or getattr(self, "__dict__", {})
        return {name: _plain(getattr(self, name)) for name in names if not name.startswith("_")}


def _plain(value: Any) -> str | float | bool | None:
    """A value as a model file can keep it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return value if value is None or isinstance(value, str | float | int) else repr(value)


@dataclass(frozen=True)
class Squared(Loss):
    """Half the squared residual, r²/2, so that its slope is r."""

    name = "squared"

    def value(self, r: Float64s) -> Float64s:
        """r²/2."""
        return 0.5 * r * r

    def slope(self, r: Float64s) -> Float64s:
        """r."""
        return r

    def curvature(self, r: Float64s) -> Float64s:
        """1."""
        return np.ones_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A straight line."""
        return 0.0, 1.0, math.inf


@dataclass(frozen=True)
class Absolute(Loss):
    """The absolute residual, |r|."""

    name = "absolute"

    def value(self, r: Float64s) -> Float64s:
        """|r|."""
        return np.abs(r)

    def slope(self, r: Float64s) -> Float64s:
        """The sign of r, 0 at 0."""
        return np.sign(r)

    def curvature(self, r: Float64s) -> Float64s:
        """0."""
        return np.zeros_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A jump from -1 to 1."""
        return 0.0, math.inf, 1.0


@dataclass(frozen=True, init=False)
class Huber(Loss):
    """r²/2 where |r| is at most delta, delta·(|r| - delta/2) beyond: squared for small residuals, absolute for large.

    P. J. Huber, "Robust estimation of a location parameter", Ann. Math. Statist. 35 (1964).

    `Huber(k=1.345)` has no delta yet: it is k times a robust scale of the residuals, which the Newton solver estimates
    together with the weights. With k = 1.345 the weights of normal residuals are 95 % as precise as least squares'.

    Attributes:
        delta: the residual from which the cost grows only linearly, in units of the target; above 0. None where it is
            still to be estimated (against the annotation, which spares everybody who has one the question).
        k: the same in units of the robust scale; None where delta was given.
        scale: the robust scale: "mad", the median of |r| over 0.6745, or "concomitant", Huber's proposal 2 (see the
            classes of `solvers.robust_scale`), whose degrees of freedom count rows, not their weights; None where
            delta was given.

    Raises:
        InputError: delta or k is out of range, both are given, or the scale is not known or given without k.
    """

    name = "huber"
    delta: float
    k: float | None
    scale: Literal["mad", "concomitant"] | None

    @overload
    def __init__(self, delta: float = 1.0) -> None: ...
    @overload
    def __init__(
        self, delta: None = None, *, k: float, scale: Literal["mad", "concomitant"] | None = "mad"
    ) -> None: ...
    def __init__(self, delta: Any = ..., *, k: float | None = None, scale: str | None = None) -> None:
        if k is None:
            delta = 1.0 if delta is ... else delta
            if (read := positive(delta)) is None:
                raise InputError(
                    f"The delta of the Huber loss must be a finite number above 0, but is {delta!r}: give the size of "
                    "a residual, in units of the target, from which it counts as an outlier."
                )
            if scale is not None:
                raise InputError("The scale of the Huber loss is what its k is in units of: give k, or leave it out.")
            delta = read
        else:
            if delta is not ... and delta is not None:
                raise InputError(
                    f"The Huber loss takes delta={delta!r}, in units of the target, or k={k!r}, in units of a robust "
                    "scale of the residuals, not both: leave out one of them."
                )
            if (read := positive(k)) is None:
                raise InputError(
                    f"The k of the Huber loss must be a finite number above 0, but is {k!r}: 1.345 is usual, the size "
                    "of a residual, in units of their robust scale, from which it counts as an outlier."
                )
            k, delta, scale = read, None, "mad" if scale is None else scale
            if scale not in ("mad", "concomitant"):
                raise InputError(f'The scale of the Huber loss must be "mad" or "concomitant", but is {scale!r}.')
        for name, value in (("delta", delta), ("k", k), ("scale", scale)):
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return f"Huber(delta={self.delta!r})" if self.k is None else f"Huber(k={self.k!r}, scale={self.scale!r})"

    def settle(self, sigma: float) -> Huber:
        """The loss with delta = k·sigma, or itself where delta was given."""
        return self if self.k is None else Huber(self.k * sigma)

    def value(self, r: Float64s) -> Float64s:
        """r²/2 or delta·(|r| - delta/2)."""
        size, delta = np.abs(r), self._bent_at()
        inner = np.minimum(size, delta)
        return inner * (size - 0.5 * inner)

    def slope(self, r: Float64s) -> Float64s:
        """r, held between -delta and delta."""
        delta = self._bent_at()
        return np.clip(r, -delta, delta)

    def curvature(self, r: Float64s) -> Float64s:
        """1 where |r| is at most delta, 0 beyond."""
        return np.where(np.abs(r) <= self._bent_at(), 1.0, 0.0)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A straight line between two level ones."""
        return 0.0, 1.0, float(self._bent_at())

    def _bent_at(self) -> float:
        """Delta, once there is one."""
        if self.k is not None:
            raise InputError(
                f"Huber loss with k = {self.k:g} has no delta before the scale of the residuals is known, which only "
                'the Newton solver estimates: use solver="newton", or in place of k give a delta (delta=…), for '
                "instance the one that a fit with that solver prints."
            )
        return self.delta


@dataclass(frozen=True, init=False)  # __new__ sets the field, since what it makes of several q is no Quantile
class Quantile(Loss):
    """q·r above the prediction, (1 - q)·|r| below it, so that a share q of the rows comes to lie below: "pinball loss".

    R. Koenker and G. Bassett, "Regression quantiles", Econometrica 46 (1978).

    `Quantile([0.1, 0.5, 0.9])` asks for several quantiles at once: it gives Quantiles.

    Attributes:
        q: which quantile of the target to estimate, above 0 and below 1; 0.5 is the median.

    Raises:
        InputError: q is out of range.
    """

    name = "quantile"
    q: float = 0.5

    @overload
    def __new__(cls, q: float = 0.5) -> Quantile: ...
    @overload
    def __new__(cls, q: Iterable[float]) -> Quantiles: ...  # type: ignore[misc]  # which is no Quantile, and meant so
    def __new__(cls, q: float | Iterable[float] = 0.5) -> Quantile | Quantiles:  # type: ignore[misc]  # likewise
        """One loss, or Quantiles where q holds several."""
        if isinstance(q, Iterable) and not isinstance(q, str | bytes) and getattr(q, "ndim", True):
            return Quantiles(tuple(q))
        self = super().__new__(cls)
        object.__setattr__(self, "q", _share(q))
        return self

    def value(self, r: Float64s) -> Float64s:
        """The larger of q·r and (q - 1)·r."""
        return np.maximum(self.q * r, (self.q - 1) * r)

    def slope(self, r: Float64s) -> Float64s:
        """q above 0, q - 1 below 0, q - 1/2 at 0."""
        return (self.q - 0.5) + 0.5 * np.sign(r)

    def curvature(self, r: Float64s) -> Float64s:
        """0."""
        return np.zeros_like(r)

    @property
    def bend(self) -> tuple[float, float, float]:
        """A jump from q - 1 to q."""
        return float(self.q) - 0.5, math.inf, 0.5


@dataclass(frozen=True)
class Quantiles:
    """Several quantiles of the same rows, each a loss of its own; `Quantile([0.1, 0.5, 0.9])` makes them too.

    Attributes:
        q: which quantiles of the target to estimate, in ascending order, each above 0 and below 1; any sequence of
            numbers becomes a tuple of floats.

    Raises:
        InputError: there is none, one is out of range, or they do not ascend.
    """

    name = "quantile"
    q: tuple[float, ...]

    def __post_init__(self) -> None:
        try:
            asked = tuple(self.q)
        except TypeError:
            raise InputError(
                f"Quantiles takes several numbers, such as [0.1, 0.5, 0.9], but is given {self.q!r}."
            ) from None
        if not asked:
            raise InputError("There is no quantile to estimate: give at least one, such as [0.1, 0.5, 0.9].")
        object.__setattr__(self, "q", tuple(map(_share, asked)))
        if any(not low < high for low, high in pairwise(self.q)):
            raise InputError(
                f"Quantiles must ascend, each given once, but are {', '.join(map(str, self.q))}: "
                f"give {sorted(set(self.q))}."
            )

    def each(self) -> tuple[Quantile, ...]:
        """The losses, one for each quantile."""
        return tuple(map(Quantile, self.q))


def _share(q: object) -> float:
    """A q of the quantile loss, checked."""
    read = share(q)
    if read is None:
        raise InputError(
            f"The q of the quantile loss must lie above 0 and below 1, but is {q!r}: 0.5 is the median, "
            "0.9 the value that nine rows in ten stay below."
        )
    return read


LOSSES: dict[str, type[Loss]] = {"squared": Squared, "absolute": Absolute, "huber": Huber, "quantile": Quantile}


def named_loss(loss: str | Loss) -> Loss:
    """The loss by that name, or the Loss itself.

    Raises:
        InputError: there is none; or the Loss has no name, or that of another.
    """
    if isinstance(loss, Loss):
        name = getattr(loss, "name", None)
        if not isinstance(name, str) or not isinstance(loss, LOSSES.get(name, Loss)):
            raise InputError(f"A Loss of your own needs a name that no other has, but {loss!r} has the name {name!r}.")
        return loss
    if loss not in tuple(LOSSES):  # a tuple, since what cannot be hashed is no name either
        raise InputError(f"There is no loss {loss!r}: choose from {', '.join(LOSSES)}.")
    return LOSSES[loss]()
