"""The long run: whole epochs in hardware beside the golden model, everything compared on the way.

Cycles are judged by the cocotb benches; here no Python stands in the cycle, so that a training run
of many epochs is feasible.  Compared are every prediction, and at the end of each epoch all
weights, velocities, biases and generator states, and how often each unit has saturated.

Golden is some fifty times as fast as simulated hardware, so it can tell before what an epoch begins
with: parts of a run are simulated beside each other, each begun with what golden says that the
part before it must end with, and held to it there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import chain, pairwise

from counterflow.design.data.sets import Dataset
from counterflow.design.parts.beside import Beside, Progress
from counterflow.design.schedule.planner import Plan
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State
from counterflow.hw.tops.verilog import to_verilog
from counterflow.sim.bench.reports import LongRunReport
from counterflow.sim.compiled.hardware import Hardware, Stalls
from counterflow.sim.compiled.side_by_side import Comparison
from counterflow.sim.compiled.stretch import Course, Stretch


def long_run(
    plan: Plan,
    dataset: Dataset,
    *,
    seed: int,
    epochs: int | None = None,
    limit: int | None = None,
    jobs: int = 1,
    on_progress: Progress | None = None,
    verilog: str | None = None,
    stalls: Stalls | None = None,
    states: Sequence[State] = (),
) -> LongRunReport:
    """Train `epochs` epochs (default: the recipe's) in hardware.

    ``limit``: at most so many samples of an epoch, and of the test behind it.  ``jobs`` simulations
    share the epochs, each in a thread and with epochs that follow each other: of one, nothing
    breaks the run.  ``on_progress`` is called with tokens done and to do.  ``verilog`` takes the
    place of the plan's own, and ``states`` of all units that of those of the seed.  The run ends
    early with an epoch in which something differed.
    """
    shares = shared(plan.description.recipe.epochs if epochs is None else epochs, jobs)
    text = verilog or to_verilog(plan)
    course = Course(plan, dataset, seed, limit)
    initial = states or initial_states(plan.description, plan.schedule, seed)
    beside = Beside(len(shares), on_progress)
    total = sum(map(course.tokens, range(shares[-1].stop)))
    # Threads end before what they simulate with is closed.
    with ExitStack() as closing, ThreadPoolExecutor(len(shares)) as pool:
        first = closing.enter_context(Hardware(plan, text, stalls))
        others = [closing.enter_context(first.another()) for _ in shares[1:]]
        stretches = [
            Stretch(
                *(course, share, hardware),
                report=partial(beside.tell, index, total=total),
                differs=partial(beside.end, index),
            )
            for index, (share, hardware) in enumerate(zip(shares, [first, *others], strict=True))
        ]
        began = time.perf_counter()
        try:
            starts, runs = [], []
            firsts = [share.start for share in shares]
            for stretch, begun in zip(stretches, course.states(initial, firsts), strict=True):
                starts.append(begun)
                runs.append(pool.submit(stretch.run, begun))
            counted = _until_one_differs(run.result() for run in runs)
        except BaseException:  # an interruption, too, ends all of them
            beside.end()
            raise
    joined = _joined(plan, counted, starts)
    return _report(plan, counted, joined, time.perf_counter() - began)


def shared(epochs: int, jobs: int) -> list[range]:
    """All epochs in order, shared out among at most so many jobs, each of which has one at least.

    >>> shared(8, 3)
    [range(0, 3), range(3, 6), range(6, 8)]
    """
    if jobs < 1:
        raise ValueError(f"{jobs} jobs cannot share anything, expected 1 or more")
    count = max(1, min(jobs, epochs))
    bounds = [-(-epochs * place // count) for place in range(count + 1)]
    return [range(*ends) for ends in pairwise(bounds)]


def _until_one_differs(stretches: Iterator[Stretch]) -> list[Stretch]:
    """Those that count: nobody waits for one behind a difference."""
    counted = []
    for stretch in stretches:
        counted.append(stretch)
        if stretch.comparison.mismatches:
            break
    return counted


def _joined(
    plan: Plan, stretches: Sequence[Stretch], starts: Sequence[Sequence[State]]
) -> Comparison:
    """All that was compared, and that each stretch ended with what the next one has begun with."""
    joined = Comparison()
    for place, stretch in enumerate(stretches):
        if place:
            when = f"epoch {stretch.epochs.start}, begun after epoch {stretch.epochs.start - 1}"
            ended = stretches[place - 1].both.golden.states
            joined.check_states(when, plan.schedule.stages, starts[place], ended)
        joined.add(stretch.comparison)
    return joined


def _report(
    plan: Plan, stretches: Sequence[Stretch], joined: Comparison, seconds: float
) -> LongRunReport:
    """What all stretches have brought, in the order of their epochs."""
    every = chain.from_iterable
    losses = list(every(stretch.losses for stretch in stretches))
    made = sum(stretch.utilisation.made for stretch in stretches)
    possible = sum(stretch.utilisation.possible for stretch in stretches)
    return LongRunReport(
        epochs=len(losses),
        samples=len(losses) * stretches[0].course.count,
        cycles=sum(stretch.cycles for stretch in stretches),
        seconds=seconds,
        mismatches=joined.mismatches,
        first_divergence=joined.first,
        accuracy=list(every(stretch.accuracy for stretch in stretches)),
        compared=joined.compared,
        utilisation_planned=plan.schedule.utilisation,
        utilisation_measured=made / possible if possible else None,
        losses=losses,
        test_losses=list(every(stretch.tested for stretch in stretches)),
        heads=list(every(stretch.heads for stretch in stretches)),
        stretches=len(stretches),
    )
