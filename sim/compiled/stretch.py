"""A stretch of a long run: epochs one after the other in one simulation, beside golden's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from counterflow.design.data.sets import Dataset
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.latency import BUS_SPACING
from counterflow.design.units.losses import decided
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.epochs import Head
from counterflow.golden.training.models import Part, Run, epoch_runs, parts
from counterflow.golden.units.state import State
from counterflow.sim.compiled.hardware import Counters, Hardware, OnSlice
from counterflow.sim.compiled.side_by_side import Comparison, SideBySide

NARROWED = 256  # samples; a fault that shows within them is narrowed down to one of them
WORD = 1 << 32  # counters are modulo this

Report = Callable[[int], None]


class Course:
    """What a long run trains on: samples and, by epoch, their order and settings."""

    def __init__(self, plan: Plan, dataset: Dataset, seed: int, limit: int | None) -> None:
        self.plan, self.seed = plan, seed
        self.train, test = parts(plan.description, dataset)
        self.test = Part(test.samples[:limit], test.labels[:limit])
        self.count = min(limit or len(self.train), len(self.train))

    def order(self, epoch: int) -> Integers:
        return epoch_order(len(self.train), self.seed, epoch)[: self.count]

    def runs(self, epoch: int, order: Integers) -> list[Run]:
        recipe, delay = self.plan.description.recipe, self.plan.schedule.delay
        return epoch_runs(recipe, order, delay, epoch, before=epoch * self.count)

    def tokens(self, epoch: int) -> int:
        """Those of training, and a test behind them."""
        some = np.arange(self.count)  # in any order
        return sum(len(run.kinds) for run in self.runs(epoch, some)) + len(self.test)

    def states(self, begun: Sequence[State], epochs: Sequence[int]) -> Iterator[list[State]]:
        """What golden begins each of these epochs with, which rise; `begun` before the first."""
        states, now = [state.copy() for state in begun], 0
        golden = FastChain(self.plan.description, self.plan.schedule, states)
        for epoch in epochs:
            for before in range(now, epoch):
                for run in self.runs(before, self.order(before)):
                    golden.set(run.settings)
                    tokens = run.kinds, run.indices, self.train.samples, self.train.labels
                    golden.run_all(*tokens)
            now = epoch
            yield [state.copy() for state in golden.states]


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


class Stretch:
    """The epochs of a range, trained in one simulation without a break between them.

    After `run`: what was compared, and what each epoch brought.  ``report`` is called with the
    tokens done and may end the run by raising; ``differs`` as soon as something does.
    """

    def __init__(
        self,
        course: Course,
        epochs: range,
        hardware: Hardware,
        report: Report,
        differs: Callable[[], None],
    ) -> None:
        self.course, self.epochs, self.hardware = course, epochs, hardware
        self.plan = course.plan
        self.numbers = self.plan.schedule.loss.arithmetic
        self.both = SideBySide(self.plan, hardware)
        self.comparison, self.utilisation = Comparison(), Utilisation(self.plan)
        self.accuracy: list[float] = []
        self.tested: list[float] = []
        self.heads: list[tuple[Head, ...]] = []
        self.losses: list[float] = []
        self.report, self.differs = report, differs
        self.done = self.cycles = 0

    def run(self, begun: Sequence[State]) -> Stretch:
        """Train, begun with these weights, until the end, or until something differs."""
        self.both.start(begun)
        first = self.epochs.start
        when = f"epoch {first}, begun" if first else "before training"
        self.both.compare_states(when, self.comparison)
        if self.comparison.mismatches:
            self.differs()
            return self
        for epoch in self.epochs:
            states, order = self.both.golden.states, self.course.order(epoch)
            self._train(epoch, order)
            self.cycles = self.hardware.cycles
            if self.comparison.mismatches:
                self.differs()
                self.comparison.first = self._located(epoch, states, order)
                break
        return self

    def _train(self, epoch: int, order: Integers) -> None:
        """One epoch, and the test samples behind it."""
        when, total = f"epoch {epoch}", 0
        for run in self.course.runs(epoch, order):
            trained = int(np.flatnonzero(run.kinds != Kind.BUBBLE)[-1]) + 1

            def training(admitted: int, counters: Counters, trained: int = trained) -> None:
                self.report(self.done + admitted)
                self.utilisation.watch(admitted, trained, counters)

            total += int(self._run(when, run, self.comparison, training).sum())
            self.done += len(run.kinds)
        self.losses.append(total / len(order) * self.numbers.one_loss)
        if not self.comparison.mismatches and len(self.course.test):
            self._test(when, lambda admitted, _: self.report(self.done + admitted))
        self.done += len(self.course.test)
        self.both.compare_states(f"{when}, end", self.comparison)
        self.report(self.done)

    def _test(self, when: str, on_slice: OnSlice) -> None:
        """All test samples, forward only: what each loss says of them."""
        test, count = self.course.test, len(self.course.test)
        scores, losses = self.both.run(
            f"{when}, test",
            np.full(count, Kind.INFER, np.uint8),
            np.arange(count),
            test,
            self.comparison,
            on_slice,
        )
        chosen = decided(scores, self.numbers.threshold)
        right = (chosen == test.labels).mean(axis=1).tolist()
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
        tokens = run.kinds, run.indices, self.course.train
        return self.both.run(when, *tokens, comparison, on_slice)[1][0]

    def _located(self, epoch: int, states: Sequence[State], order: Integers) -> str | None:
        """The first difference where fewest samples of the epoch, learnt from `states`, show one.

        An update that went wrong then stands alone, before others follow from it.
        """

        def shown(count: int) -> str | None:
            trial = Comparison()
            when = f"epoch {epoch}, after {count} of its samples"
            self.both.start(states)
            for run in self.course.runs(epoch, order[:count]):
                self._run(when, run, trial, lambda *_: self.report(self.done))
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
