"""The last Step of a run of SGD: the weights, the objective there, and what a reader must know beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from linnet.block import Block, Float64s
from linnet.moments import PARALLEL, in_chunks
from linnet.objective import residual
from linnet.solvers.gathering import survey_of
from linnet.solvers.solver import Step
from linnet.solvers.survey import SAMPLE
from linnet.status import Status

if TYPE_CHECKING:
    from linnet.solvers.run import Run

CROSSED = 20.0
"""Condition number from which correlation of the columns is what slows a run,"""
FAR_OUT = 5.0
"""and how many times larger than usual the fourth moments of rows are where these do."""


def ending(run: Run, status: Status, notes: tuple[str, ...] = ()) -> Step:
    """The last Step: the weights, and all that is known about them, behind these notes."""
    survey = run.survey = run.survey or survey_of(run.spool, run.objective, run.source)
    place, history, seen = run.now.place, run.now.history, run.now.seen
    if survey.solution is not None and seen:
        for record in history:
            if (at := seen.get(int(record["epoch"]))) is not None:
                record["objective"] = survey.lowest + survey.look(at)[0]
    solver, learner = run.solver, run.learner
    u = learner.reported(place)
    weights, bias = u[1:], float(u[0])
    if survey.optimum is not None:
        value = survey.lowest + survey.look(u)[0]
        squares = 2.0 * max(value - run.objective.penalty(weights), 0.0)
    else:
        value, squares = _evaluate(run, weights, bias)
    settings = {
        **vars(run.objective.loss),
        "lr": place.rate,
        "lr_auto": solver.lr == "auto",
        "batch_size": solver.batch_size,
        "epochs": place.epoch,
        "steps": place.step,
        "momentum": float(solver.momentum),
        "average": learner.averaging >= 0,
        "schedule": _schedule(run),
        "shuffle": run.spool.shuffled_by(solver.shuffle),
        "init": solver.init if solver.start is None else "given",
        "seed": solver.seed,
    }
    return Step(
        epoch=place.epoch + bool(place.rows),
        step=place.step,
        rows=place.rows or run.spool.rows,
        weights=weights,
        bias=bias,
        objective=value,
        loss=history[-1]["loss"] if history else None,
        solution=survey.solution,
        moments=survey.moments,
        status=status,
        notes=(*notes, *_notes(run, status, u)),
        settings=settings,
        history=history,
        survey=survey,
        squares=squares,
    )


def _schedule(run: Run) -> str:
    """How the learning rate fell."""
    (fall, power), asked = run.learner.fall, run.solver.schedule
    if fall == 0 or asked != "constant":
        return asked
    return "inverse-root" if power == 0.5 else f"inverse-power-{power:g}"


def _evaluate(run: Run, weights: Float64s, bias: float) -> tuple[float, float]:
    """The objective and the mean of the squared residuals, by a pass over the rows."""

    def cost(part: Block) -> Float64s:
        r = residual(part, weights, bias)
        w = np.ones(part.rows) if part.weight is None else part.weight
        return np.array([w @ run.objective.loss.value(r), w @ (r * r)])

    sums = np.zeros(2)
    for window in run.spool.windows(False):
        sums += sum(in_chunks(window.block, cost, PARALLEL))
    value, squares = sums / run.spool.weight_total
    return float(value) + run.objective.penalty(weights), float(squares)


def _notes(run: Run, status: Status, u: Float64s) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    survey, now = run.survey, run.now
    assert survey is not None
    names = ("the intercept", *(f"`{name}`" for name in run.names))
    if status is Status.DIVERGED:
        stable = survey.stable_rate(run.spool.sample(SAMPLE))
        why = survey.blame(run.names)
        of = "" if run.squared else ", for squared loss,"
        limit = f"gradient descent{of} is stable up to {stable:.3g} (2/λ), and small minibatches need less"
        yield f"learning rate {now.place.rate:.3g}: {limit}" + (f"; {why}" if why else "")
    elif status in (Status.STOPPED, Status.RAN) and survey.optimum is not None:
        away = np.abs(u - survey.optimum)
        far = away / survey.tolerance
        worst = int(np.argmax(far))
        if far[worst] > 1:
            sd = survey.sd[worst]
            distance = f"{away[worst] / sd:.2g} standard errors" if sd > 0 else f"{away[worst]:.2g}"
            yield f"{names[worst]} is {distance} from its exact value{_hindrance(run)}"
    if now.retries:
        times = "once" if now.retries == 1 else f"{now.retries} times"
        yield f"the learning rate was lowered {times}, to {now.place.rate:.3g}: some rows are far out"
    if run.rows.ordered and run.solver.shuffle is not True:
        yield "rows that lie together are alike: without a whole shuffle (shuffle=True) weights stay farther off"
    elif run.rows.ordered and run.spool.on_disk:
        yield "rows that lie together are alike, and these are more than fit into memory: they were shuffled " + (
            run.spool.shuffled_by(run.solver.shuffle)
        )


def _hindrance(run: Run) -> str:
    """What keeps a run from coming nearer, if it lies in the rows."""
    survey = run.survey
    assert survey is not None
    if run.solver.lr != "auto" and (why := survey.blame(run.names)):
        stable = survey.stable_rate(run.spool.sample(SAMPLE))
        return f'; learning rates are stable up to {stable:.3g}: {why}, or use lr="auto"'
    if survey.solution is not None and survey.solution.condition > CROSSED:
        return f"; columns that nearly depend on each other slow it (condition number {survey.solution.condition:.3g})"
    if run.solver.lr == "auto" and survey.outlying(run.spool.sample(SAMPLE), run.learner.unit) > FAR_OUT:
        return "; rows far out among the features keep the learning rate small"
    return ""
