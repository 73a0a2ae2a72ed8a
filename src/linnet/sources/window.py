"""Window: rows in memory in the order in which they are visited, brought together before their turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from linnet.block import Block, Floats
from linnet.row_kernels import collect, shuffle, spread
from linnet.threads import Team, aside

Shuffle = bool | Literal["pieces"]
Order = NDArray[np.int64]

PIECE = 64
"""Rows in a piece, where pieces are shuffled instead of rows."""
LEG = 1 << 22
"""Bytes of rows that a second thread copies together at a time: they stay in a cache that both threads share,"""
FAR = 1 << 26
"""and bytes of rows from which on most are in no cache, so that a thread is worth starting."""
TURNS = 3
"""The first thread fetches one leg in so many itself: copying the others takes as long as learning from all."""
AS_THEY_COME = np.empty(0, np.int64)


class Leg(NamedTuple):
    """Some visits: those from `start` to `stop` in `order` among the rows of `block`; see Window."""

    block: Block
    order: Order
    start: int
    stop: int


class Window(NamedTuple):
    """Rows in memory, and the order in which to visit them. The next Window may take the place of this one's rows.

    Attributes:
        block: the rows, each contiguous.
        order: (m·rows,), row numbers for m epochs; (0,) to visit rows as they come.
        at: visits that are done already.
    """

    block: Block
    order: Order
    at: int

    def legs(self, end: int, batch_size: int, most: int, since: int, threads: Callable[[], int]) -> Iterator[Leg]:
        """The visits from `at` to `end`; the rows of a Leg are there until the next one is asked for.

        Many rows in random order wait for memory. A second thread then copies those of coming legs together, so that
        twice as many are under way; which rows a Leg has, and in which order, stays the same.

        Args:
            end: visits in all.
            batch_size: all legs but the last have a multiple of so many rows.
            most: visits after each of which a Leg ends, a multiple of `batch_size`;
            since: how many of the first of these are done.
            threads: tells how many there may be.
        """
        X = self.block.X
        waits = X.nbytes > FAR and self.order.size and end == self.block.rows  # of several epochs no leg is cut
        rows = max(1, LEG // (X[:1].nbytes * batch_size)) * batch_size if waits else most
        if not (rows < min(most, end) and plain(self.block) and threads() > 1):
            yield from self._cut(end, most, since, most)
            return
        legs = list(self._cut(end, most, since, rows))
        theirs = [leg for k, leg in enumerate(legs) if k % TURNS]
        rooms = [room(self.block, rows) for _ in range(TURNS)]
        with Team(2, "linnet-collector", aside()) as team:
            coming = [team.submit(_collected, *pair) for pair in zip(theirs, rooms, strict=False)]
            asked = len(coming)
            for k, leg in enumerate(legs):
                if k % TURNS == 0:
                    yield leg
                    continue
                copy = coming.pop(0)
                # there may be no second thread, or it is late: then the first fetches these too
                yield leg if copy is None or copy.cancel() else copy.result()
                if asked < len(theirs):
                    coming.append(team.submit(_collected, theirs[asked], rooms[asked % TURNS]))
                    asked += 1

    def _cut(self, end: int, most: int, since: int, rows: int) -> Iterator[Leg]:
        """Legs of so many rows, of which one ends after every `most` visits."""
        for first in range(self.at - since, end, most):
            stop = min(first + most, end)
            for start in range(max(first, self.at), stop, rows):
                yield Leg(self.block, self.order, start, min(start + rows, stop))


def plain(block: Block) -> bool:
    """Whether copies of rows are laid out as the rows are: compiled loops add up other layouts in another order."""
    return all(array.flags.c_contiguous for array in arrays_of(block))


def _collected(leg: Leg, space: Block) -> Leg:
    """The same visits, their rows copied together into `space`, where they lie in the order of the visits."""
    block, out = leg.block, space.part(slice(leg.stop - leg.start))
    collect(block.X, block.y, block.weights, leg.order[leg.start : leg.stop], out.X, out.y, out.weights)
    return Leg(out, AS_THEY_COME, 0, out.rows)


def drawn(rows: int, choice: Shuffle, rng: np.random.Generator | None, epochs: int = 1) -> Order:
    """A Window's `order` for so many epochs, each drawn after the one before it."""
    if not choice:
        return AS_THEY_COME
    assert rng is not None
    if choice is True:
        return permutations(rows, rng, epochs).reshape(-1)
    order = np.empty((epochs, rows), np.int64)
    spread(permutations(-(-rows // PIECE), rng, epochs), PIECE, order)
    return order.reshape(-1)


def permutations(n: int, rng: np.random.Generator, count: int = 1) -> Order:
    """Random orders of 0 to n-1, (count, n), in a third of the time of `rng.permutation`."""
    order = np.empty((count, n), np.int64)
    shuffle(rng.random((count, n)), order)
    return order


def room(like: Block, rows: int) -> Block:
    """Memory for so many rows of the same types, each contiguous."""
    assert like.y is not None
    weight = None if like.weight is None else np.empty(rows)
    return Block(np.empty((rows, like.features), like.X.dtype), np.empty(rows, like.y.dtype), weight)


def arrays_of(block: Block) -> tuple[Floats, ...]:
    """X, y and the weights, if there are any."""
    assert block.y is not None
    return (block.X, block.y) if block.weight is None else (block.X, block.y, block.weight)


def row_bytes(block: Block) -> int:
    """Bytes of a row, target and weight included."""
    return sum(array.itemsize * (array.shape[1] if array.ndim == 2 else 1) for array in arrays_of(block))
