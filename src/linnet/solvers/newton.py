"""Newton: the optimum of Huber loss, from sums over the rows on each side of where the loss bends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from linnet.block import InputError
from linnet.losses import Huber
from linnet.objective import Objective
from linnet.settings import kept
from linnet.solvers.descent import Descent, exact
from linnet.solvers.frame import PASSES, first_pass
from linnet.solvers.solver import Solver, Step, check_given
from linnet.sources.source import Source


@dataclass(frozen=True)
class Newton(Solver):
    """Huber loss, solved by Newton's method: reweighted least squares with pulls from the rows outside.

    The objective is a quadratic wherever no residual changes sides of ±delta, so that Newton's steps end, after
    finitely many, at the minimum itself. Where delta is small beside the residuals, the minima for larger ones lead
    there (Madsen and Nielsen 1993, SIAM J. Optim. 3, 223-235); a step that does not lower the objective is followed by
    a search for the best length. Of many rows a sample is solved first, so that few passes over all of them are left.
    With Huber(k=…) the scale is found in the same passes, until weights and scale fit each other.

    The run has converged when the gap, a true bound of how far the objective lies above its minimum (see Piece.gap), is
    below 1e-10 of it, and the next step's size, the root mean square of how it moves the inner rows' predictions, below
    1e-11 of that of the rows' slopes (1e-8 where rows are read anew for each step); neither depends on the units of the
    data. That step is taken too, and with it the last correction of the scale.

    Attributes:
        passes: passes over the rows at most; five to ten are usual.
    """

    name: ClassVar[str] = "newton"
    passes: int = 200

    def __post_init__(self) -> None:
        object.__setattr__(self, "passes", kept("passes", self.passes, PASSES))

    def steps(self, objective: Objective, source: Source) -> Iterator[Step]:
        """Read the rows until the certificate holds; a Step for each block, then the optimum.

        Raises:
            InputError: another loss, rows that can be read only once, too many features, numbers that are not finite,
                no rows, a delta that rounding hides, or a scale of 0.
        """
        check_given(self, objective, source)
        loss = objective.loss
        if not isinstance(loss, Huber):
            raise InputError(f'The Newton solver is for Huber loss, not {loss.name}: use solver="auto".')
        first = yield from first_pass(self.name, objective, source)
        if first.solution.residual == 0 and not objective.l2:
            yield exact(first, objective, loss)
            return
        yield from Descent(self.passes, objective, loss, source, first).steps()
