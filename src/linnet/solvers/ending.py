"""The last Step of a run that learned: the weights, the objective there, and what a reader must know beside them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from linnet.block import Block, Float64s, InputError
from linnet.moments import PARALLEL, in_chunks
from linnet.objective import Objective, residual
from linnet.solvers.gathering import survey_of
from linnet.solvers.solver import Step
from linnet.solvers.survey import CLOSE, SAMPLE, Survey
from linnet.sources.source import Source
from linnet.status import Status
from linnet.text import about
from linnet.threads import one_thread_blas

if TYPE_CHECKING:
    from linnet.solvers.run import Run

CROSSED = 20.0
"""Condition number from which correlation of the columns is what slows a run,"""
FAR_OUT = 5.0
"""and how many times larger than usual the fourth moments of rows are where these do."""
SLOW = 0.01
"""Share of what is stable, below which a given learning rate is what slows a run."""
FALLEN = 0.1
"""Share of its first value, below which a learning rate has fallen by its schedule too far."""
SETTLED = 10
"""Epochs of which the second half tells whether a run still comes nearer,"""
STILL = 0.5
"""and the share of what was missing before it that then is missing yet."""


def ending(run: Run, status: Status, notes: tuple[str, ...]) -> Step:
    """The last Step: the weights, and all that is known about them, behind these notes."""
    survey = run.survey = run.rows.survey or survey_of(run.spool.blocks, run.objective, run.source)
    place, history, seen = run.now.place, run.now.history, run.now.seen
    if survey.solution is not None and seen:
        for record in history:
            at = seen.get(int(record["epoch"]))
            if at is not None and (objective := survey.look(at)[0]) is not None:
                record["objective"] = objective
    solver, learner = run.solver, run.learner
    u = learner.reported(place)
    weights, bias = u[1:], float(u[0])
    looked = (
        history[-1].get("objective") if history and history[-1]["epoch"] == place.epoch and not place.rows else None
    )
    value, squares = _evaluate(survey, u, run.spool.blocks, looked)
    settings = {
        **run.objective.loss.settings,
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
        notes=(*notes, *_notes(run, status, u, value)),
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


def completed(last: Step, objective: Objective, source: Source) -> tuple[Step, int]:
    """The last Step of a solver that leaves weights and no more, with what a Fit needs beside them.

    Where the step has no status, it is said how far from the optimum of squared loss the weights are.

    Args:
        last: weights (d,), a bias, and what else the solver tells; a Solution saves a pass.
        objective: what the run lowered.
        source: the rows.

    Returns:
        The Step, and how many times the rows were read.

    Raises:
        InputError: the rows cannot be read again, or a number is not finite.
    """
    if not source.rereadable:
        raise InputError(
            "The solver left weights alone, and what a Fit tells beside them takes another pass over rows that can be "
            "read only once: give a table or files."
        )
    passes = 0

    def blocks() -> Iterator[Block]:
        nonlocal passes
        passes += 1
        return source.blocks()

    known = last.solution
    survey = survey_of(blocks, objective, source) if known is None else Survey.of(known, objective, last.moments)
    assert last.weights is not None
    assert last.bias is not None
    u = np.append(last.bias, last.weights)
    value, squares = _evaluate(survey, u, blocks)
    names = ("the intercept", *(f"`{name}`" for name in source.design.names))
    near = survey.optimum is not None and survey.look(u)[1]
    far = "" if near or last.status is not None else _distance(survey, names, u, value)
    whole = last._replace(
        objective=value,
        settings={**objective.loss.settings, **last.settings},
        solution=survey.solution,
        moments=survey.moments,
        survey=survey,
        squares=squares,
        status=last.status or (survey.reached if near else Status.RAN),
        notes=(*last.notes, far) if far else last.notes,
    )
    return whole, passes


def _evaluate(
    survey: Survey, u: Float64s, blocks: Callable[[], Iterable[Block]], value: float | None = None
) -> tuple[float, float]:
    """The objective and the mean of the squared residuals at [bias, weights]; by a pass where no sums tell them.

    The `value` of the objective is given where somebody has looked before.
    """
    objective, bias, weights = survey.objective, float(u[0]), u[1:]
    if survey.optimum is not None:
        value = survey.look(u)[0] if value is None else value
        if value is not None:
            return value, 2.0 * max(value - objective.penalty(weights), 0.0)

    def cost(part: Block) -> Float64s:
        r = residual(part, weights, bias)
        w = np.ones(part.rows) if part.weight is None else part.weight
        return np.array([w @ objective.loss.value(r), w @ (r * r)])

    sums = np.zeros(2)
    for block in blocks():
        sums += sum(one_thread_blas(partial(in_chunks, block, cost, PARALLEL)))
    value, squares = sums / survey.total
    return float(value) + objective.penalty(weights), float(squares)


def _notes(run: Run, status: Status, u: Float64s, value: float) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    survey, now = run.survey, run.now
    assert survey is not None
    names = ("the intercept", *(f"`{name}`" for name in run.names))
    if status is Status.DIVERGED:
        why = survey.blame(run.names)
        of = "" if run.squared else ", for squared loss,"
        limit = f"gradient descent{of} is stable up to {_stable(run)[1]}, and small minibatches need less"
        yield f"learning rate {about(now.place.rate, 3)}: {limit}" + (f"; {why}" if why else "")
    elif status in (Status.STOPPED, Status.RAN) and survey.optimum is not None:
        far = _distance(survey, names, u, value)
        if parts := [*([far] if far else ()), *_hindrances(run, bool(far))]:
            yield "; ".join(parts)
    if now.retries:
        times = "once" if now.retries == 1 else f"{now.retries} times"
        yield f"the learning rate was lowered {times}, to {about(now.place.rate, 3)}: some rows are far out"
    if run.rows.ordered and run.solver.shuffle is not True:
        yield "rows that lie together are alike: without a whole shuffle (shuffle=True) weights stay farther off"
    elif run.rows.ordered and run.spool.on_disk:
        yield "rows that lie together are alike, and these are more than fit into memory: they were shuffled " + (
            run.spool.shuffled_by(run.solver.shuffle)
        )


def _distance(survey: Survey, names: tuple[str, ...], u: Float64s, value: float) -> str:
    """Which of [bias, weights] is farthest from the optimum, where that is known; empty if none is far.

    `value` is the objective there. Where columns that vary cannot be told from each other, their weights may be
    anything, and predictions tell more.
    """
    if survey.optimum is None:
        return ""
    solution = survey.solution
    assert solution is not None
    if solution.dependencies and (~solution.identified & (survey.scale[:-1] > 0)).any():
        # the variance of a residual of mean weight times the rows' mean leverage: no unit of weights takes part
        df, spent = solution.df_residual, solution.rank + solution.equations.intercept
        error = math.sqrt(2.0 * solution.objective / df * spent) if df > 0 else 0.0
        off = math.sqrt(max(2.0 * (value - survey.lowest), 0.0))
        if not survey.look(u)[1] and off > CLOSE * error:
            told = f"{about(off / error, 2)} of their standard errors" if error > 0 else about(off, 2)
            return f"predictions are {told} from the exact ones (root mean square)"
    apart = np.abs(u - survey.optimum)
    far = apart / survey.tolerance
    worst = int(far.argmax())
    if not far[worst] > 1:
        return ""
    away, sd = float(apart[worst]), float(survey.sd[worst])
    distance = f"{about(away / sd, 2)} classical standard errors" if sd > 0 else about(away, 2)
    return f"{names[worst]} is {distance} from its exact value"


def _hindrances(run: Run, far: bool) -> Iterator[str]:
    """What keeps a run from coming nearer, where that is `far` yet, or a rate that will make it explode."""
    survey, solver, place = run.survey, run.solver, run.now.place
    assert survey is not None
    auto = solver.lr == "auto"
    given = f"the learning rate, {about(place.rate, 3)}, is"
    # λ lies between the trace of the second moments and its share of each column: most runs need no more to be judged
    trace = float(survey.size @ survey.size) + run.objective.intercept + run.objective.l2
    if not auto and place.rate * trace > 2.0:
        stable, border = _stable(run)
        if place.rate > stable:
            why = survey.blame(run.names)
            known = f"{given} too large, gradient descent is stable up to {border}"
            yield f'{known}: use lr="auto", or a smaller one' + (f"; {why}" if why else "")
            return
    if not far:
        return
    if not auto and (why := survey.blame(run.names)):
        yield f'learning rates are stable up to {_stable(run)[1]}: {why}, or use lr="auto"'
        return
    if not auto and place.rate * trace < 2.0 * SLOW * survey.scale.size and place.rate < SLOW * _for_minibatches(run):
        other = ' and schedule="constant"' if solver.schedule == "inverse-time" else ""
        yield f'{given} far below the stable {_stable(run)[1]}: use lr="auto"{other}'
        return
    several = run.learner.size < run.spool.rows
    if solver.schedule == "inverse-time" and run.learner.rate(place) < FALLEN * place.rate:
        other = 'schedule="constant"' + ("" if auto else ' and lr="auto"')
        yield f"the learning rate fell to {about(run.learner.rate(place), 2)} by its schedule: use {other}"
    elif _stands(run) and several and solver.shuffle is False:
        other = "shuffle=True" + ("" if auto else ' and lr="auto"')
        yield f"rows in the same order in each epoch keep it off: use {other}"
    elif _stands(run) and not auto:
        yield 'with this learning rate it comes hardly nearer: use lr="auto"'
    # an exact dependency slows nothing
    condition = 0.0 if survey.solution is None else survey.solution.kept_condition
    if condition > CROSSED:
        yield f"columns that nearly depend on each other slow it (condition number {about(condition, 3)})"
    elif auto and survey.outlying(run.spool.sample(SAMPLE), run.learner.unit) > FAR_OUT:
        yield "rows far out among the features keep the learning rate small"


def _stable(run: Run) -> tuple[float, str]:
    """The learning rate beyond which gradient descent on all rows diverges (squared loss), and how it is told.

    That is 2/λ, with momentum m 2(1+m)/λ (Polyak 1964, USSR Computational Mathematics and Mathematical Physics 4(5)).
    """
    assert run.survey is not None
    rate, momentum = run.survey.stable_rate(run.spool.sample(SAMPLE)), float(run.solver.momentum)
    plain, border = f"{about(rate, 3)} (2/λ)", rate * (1.0 + momentum)
    return border, plain + (f", with this momentum up to {about(border, 3)}" if momentum else "")


def _for_minibatches(run: Run) -> float:
    """About the largest stable learning rate for minibatches, without momentum (see Survey.rate)."""
    assert run.survey is not None
    sample, size = run.spool.sample(SAMPLE), run.learner.size
    square = np.einsum("ij,ij->i", sample.X, sample.X) + run.objective.intercept
    share = square if sample.weight is None else square * sample.weight * run.learner.unit
    fourth = float(share @ share / (share.sum() or 1.0)) + run.objective.l2
    curvature = 2.0 / run.survey.stable_rate(sample)
    largest = (curvature * (size - 1) + fourth) / size
    return (1.0 - float(run.solver.momentum)) * 2.0 / largest if largest > 0 else math.inf


def _stands(run: Run) -> bool:
    """Whether the second half of the epochs brought the objective hardly nearer to its minimum."""
    survey, history, last = run.survey, run.now.history, run.now.place.epoch
    assert survey is not None
    if last < SETTLED:
        return False
    known = [(record["epoch"], record["objective"] - survey.lowest) for record in history if "objective" in record]
    before = [missing for epoch, missing in known if 2 * epoch <= last]
    return bool(before) and known[-1][1] > STILL * before[-1]
