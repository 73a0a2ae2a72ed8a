"""Source: where rows come from. It can be read again, or refuses the second reading in one sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Floats
from linnet.design import Design


class Source(ABC):
    """Rows as Blocks, as often as a Solver needs to read them.

    One of your own sets `design`, `target` and `rows` and has `blocks`; it is given to `linnet.fit` in the place of
    data and target. It vouches for its row weights, which Solvers take as they come: finite and at least 0, as
    `Block.check` judges them.

    >>> import numpy as np
    >>> import linnet
    >>> class Sensor(linnet.Source):
    ...     design, target, rows = linnet.Design.numbers(["volt", "ohm"]), "watt", 3000
    ...
    ...     def blocks(self):
    ...         rng = np.random.default_rng(0)
    ...         for start in range(0, self.rows, 1000):
    ...             X = rng.uniform(size=(1000, 2))
    ...             yield linnet.Block(X, X @ [3.0, -1.0] + 2.0, start=start)
    >>> fit = linnet.fit(Sensor())
    >>> fit.names, fit.target, fit.weights.round(6).tolist()
    (('volt', 'ohm'), 'watt', [3.0, -1.0])

    Attributes:
        design: how the columns became features; its `names` are the feature names.
        target: name of the target.
        rows: number of rows a pass will deliver at most (before rows with missing values are dropped),
            or None when that is not known before reading.
        dropped: rows left out of the latest pass because a value was missing.
        weightless: rows of weight 0 among those delivered in the latest pass.
        rereadable: whether `blocks()` may be called a second time.
        shuffle: which random order this source can promise a solver that wants one.
    """

    shuffle: ClassVar[str] = "none"
    design: Design
    target: str
    rows: int | None
    dropped: int = 0
    weightless: int = 0
    rereadable: bool = True

    @abstractmethod
    def blocks(self) -> Iterator[Block]:
        """Read every row once, in order.

        Raises:
            InputError: the rows cannot be read, or not a second time.
        """

    def held(self) -> Block | None:
        """All rows as one Block, where they lie in memory and none of X needs to be copied; None otherwise."""
        return None

    def where(self, row: int) -> str:
        """How a message names a row of the latest block, numbered from 0 as `Block.start` numbers it."""
        return numbered(row)


def numbered(row: int) -> str:
    """How a message names a row, counted from 0, where there is no more to say: `row 17`."""
    return f"row {row + 1:,}"


@dataclass(frozen=True, slots=True)
class NewRows:
    """Some rows to predict from.

    Attributes:
        X: features, shape (rows, features), a row NaN throughout where the fit dropped such rows.
        filled: for each column with missing values for which its mean stands in, in which rows, (rows,).
        place: how a message names one of them, counted from 0.
        dropped: which rows are NaN for that, (rows,), though X may have no feature to tell; None where X does.
    """

    X: Floats
    filled: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    place: Callable[[int], str] = numbered
    dropped: NDArray[np.bool_] | None = None
