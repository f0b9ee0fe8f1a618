"""The long run: whole epochs in hardware beside the golden model, everything compared on the way.

Cycles are judged by the cocotb benches; here no Python stands in the cycle, so that a training run
of many epochs is feasible.  Compared are every prediction, and at the end of each epoch all
weights, velocities, biases and generator states, and how often each unit has saturated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.losses import decided
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.epochs import Head
from counterflow.golden.training.models import Part, Run, epoch_runs, parts
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State
from counterflow.sim.bench.reports import LongRunReport
from counterflow.sim.compiled.hardware import Counters, Hardware, OnSlice, Stalls
from counterflow.sim.compiled.side_by_side import Comparison, SideBySide

NARROWED = 256  # samples; a fault that shows within them is narrowed down to one of them
WORD = 1 << 32  # counters are modulo this

Progress = Callable[[int, int], None]


def long_run(
    plan: Plan,
    dataset: Dataset,
    *,
    seed: int,
    epochs: int | None = None,
    limit: int | None = None,
    on_progress: Progress | None = None,
    verilog: str | None = None,
    stalls: Stalls | None = None,
    states: Sequence[State] = (),
) -> LongRunReport:
    """Train `epochs` epochs (default: the recipe's) in hardware.

    ``limit``: at most so many samples of an epoch, and of the test behind it.  ``on_progress`` is
    called with tokens done and to do.  ``verilog`` takes the place of the plan's own, and
    ``states`` of all units that of those of the seed.  The run ends early with an epoch in which
    something differed.
    """
    with Hardware(plan, verilog, stalls) as hardware:
        run = _LongRun(plan, dataset, hardware, seed, limit, on_progress)
        begun = states or initial_states(plan.description, plan.schedule, seed)
        return run.report(begun, plan.description.recipe.epochs if epochs is None else epochs)


@dataclass
class Utilisation:
    """Useful products over multipliers x cycles, of the slots in the steady state."""

    plan: Plan
    made: int = 0
    possible: int = 0
    _before: Counters | None = field(default=None, repr=False)

    def watch(self, admitted: int, trained: int, now: Counters) -> None:
        """Add what was counted since the last call, if `trained` tokens ran without a break."""
        schedule = self.plan.schedule
        settled = max(stage.start + stage.delay * schedule.interval for stage in schedule.stages)
        first = -(-(settled - schedule.intake_start) // schedule.interval) + 1
        passing = 2 * BUS_SPACING * len(schedule.stages)  # cycles of reading the counters
        reading = 1 + passing // schedule.interval
        steady = first <= admitted <= trained - reading
        if steady and self._before is not None:
            pairs = zip(now.products, self._before.products, strict=True)
            self.made += sum((late - early) % WORD for late, early in pairs)
            self.possible += schedule.lane_multipliers * ((now.cycles - self._before.cycles) % WORD)
        self._before = now if steady else None

    @property
    def share(self) -> float | None:
        return self.made / self.possible if self.possible else None


class _LongRun:
    """The epochs of one run."""

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        hardware: Hardware,
        seed: int,
        limit: int | None,
        on_progress: Progress | None,
    ) -> None:
        self.plan, self.hardware, self.seed = plan, hardware, seed
        self.train, test = parts(plan.description, dataset)
        self.test = Part(test.samples[:limit], test.labels[:limit])
        self.count = min(limit or len(self.train), len(self.train))
        self.numbers = plan.schedule.loss.arithmetic
        self.both = SideBySide(plan, hardware)
        self.comparison, self.utilisation = Comparison(), Utilisation(plan)
        self.accuracy: list[float] = []
        self.tested: list[float] = []
        self.heads: list[tuple[Head, ...]] = []
        self.losses: list[float] = []
        self.on_progress = on_progress

    def report(self, begun: Sequence[State], epochs: int) -> LongRunReport:
        """Train and compare until the end, or until something differs."""
        began, cycles = time.perf_counter(), 0
        self.both.start([state.copy() for state in begun])
        self.both.compare_states("before training", self.comparison)
        for epoch in range(epochs):
            if self.comparison.mismatches:
                break
            states, order = self.both.golden.states, self._order(epoch)
            self._train(epoch, epochs, order)
            cycles = self.hardware.cycles
            if self.comparison.mismatches:
                self.comparison.first = self._located(epoch, states, order)
        return LongRunReport(
            epochs=len(self.losses),
            samples=len(self.losses) * self.count,
            cycles=cycles,
            seconds=time.perf_counter() - began,
            mismatches=self.comparison.mismatches,
            first_divergence=self.comparison.first,
            accuracy=self.accuracy,
            compared=self.comparison.compared,
            utilisation_planned=self.plan.schedule.utilisation,
            utilisation_measured=self.utilisation.share,
            losses=self.losses,
            test_losses=self.tested,
            heads=self.heads,
        )

    def _order(self, epoch: int) -> Integers:
        return epoch_order(len(self.train), self.seed, epoch)[: self.count]

    def _runs(self, epoch: int, order: Integers) -> list[Run]:
        recipe, delay = self.plan.description.recipe, self.plan.schedule.delay
        return epoch_runs(recipe, order, delay, epoch, before=epoch * self.count)

    def _train(self, epoch: int, epochs: int, order: Integers) -> None:
        """One epoch, and the test samples behind it."""
        runs = self._runs(epoch, order)
        tokens, tested = sum(len(run.kinds) for run in runs), len(self.test)
        when, total, before = f"epoch {epoch}", 0, 0

        def progress(done: int) -> None:
            if self.on_progress:
                self.on_progress(epoch * (tokens + tested) + done, epochs * (tokens + tested))

        for run in runs:
            trained = int(np.flatnonzero(run.kinds != Kind.BUBBLE)[-1]) + 1

            def training(
                admitted: int, counters: Counters, trained: int = trained, before: int = before
            ) -> None:
                progress(before + admitted)
                self.utilisation.watch(admitted, trained, counters)

            total += int(self._run(when, run, self.comparison, training).sum())
            before += len(run.kinds)
        self.losses.append(total / len(order) * self.numbers.one_loss)
        if not self.comparison.mismatches and tested:
            self._test(when, lambda admitted, _: progress(tokens + admitted))
        self.both.compare_states(f"{when}, end", self.comparison)
        progress(tokens + tested)

    def _test(self, when: str, on_slice: OnSlice) -> None:
        """All test samples, forward only: what each loss says of them."""
        count = len(self.test)
        scores, losses = self.both.run(
            f"{when}, test",
            np.full(count, Kind.INFER, np.uint8),
            np.arange(count),
            self.test,
            self.comparison,
            on_slice,
        )
        chosen = decided(scores, self.numbers.threshold)
        right = (chosen == self.test.labels).mean(axis=1).tolist()
        nats = (losses.mean(axis=1) * self.numbers.one_loss).tolist()
        numbers = self.plan.schedule.heads
        heads = zip(numbers, nats[1:], right[1:], strict=True)
        if self.plan.description.judged:
            self.accuracy.append(right[0])
        self.tested.append(nats[0])
        self.heads.append(tuple(Head(*one) for one in heads))

    def _run(
        self, when: str, run: Run, comparison: Comparison, on_slice: OnSlice | None = None
    ) -> Integers:
        """Both models on one run of training samples; the losses of the network."""
        self.both.set(run.settings)
        return self.both.run(when, run.kinds, run.indices, self.train, comparison, on_slice)[1][0]

    def _located(self, epoch: int, states: Sequence[State], order: Integers) -> str | None:
        """The first difference where fewest samples of the epoch, learnt from `states`, show one.

        An update that went wrong then stands alone, before others follow from it.
        """

        def shown(count: int) -> str | None:
            trial = Comparison()
            when = f"epoch {epoch}, after {count} of its samples"
            self.both.start(states)
            for run in self._runs(epoch, order[:count]):
                self._run(when, run, trial)
            if not trial.mismatches or count <= NARROWED:
                self.both.compare_states(when, trial)
            return trial.first

        none, some, sentence = 0, 1, shown(1)
        while sentence is None and some < len(order):
            none, some = some, min(2 * some, len(order))
            sentence = shown(some)
        while sentence is not None and some <= NARROWED and some - none > 1:
            middle = (none + some) // 2
            found = shown(middle)
            none, some = (middle, some) if found is None else (none, middle)
            sentence = found or sentence
        return sentence or self.comparison.first
