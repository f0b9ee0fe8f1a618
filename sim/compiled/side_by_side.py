"""Golden chain and hardware side by side: given the same, held to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from counterflow.design.schedule.planner import Plan
from counterflow.design.units.slotted import Slotted
from counterflow.golden.fast.chain import FastChain
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.training.models import Bytes, Part
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings
from counterflow.sim.compiled.hardware import Hardware, OnSlice
from counterflow.sim.simulator import SimulationError


@dataclass
class Comparison:
    """How much was compared, how much of it differed, and where first."""

    compared: int = 0
    mismatches: int = 0
    first: str | None = None

    def check(self, what: str, found: object, expected: object) -> None:
        """Compare two numbers or arrays called `what`."""
        got, want = np.asarray(found), np.asarray(expected)
        self.compared += want.size
        wrong = np.argwhere(got != want)
        if len(wrong):
            place = tuple(int(i) for i in wrong[0])
            index = list(place) if place else ""
            self.differ(f"{what}{index} is {got[place]}, golden has {want[place]}", len(wrong))

    def check_states(
        self,
        when: str,
        stages: Sequence[Slotted],
        found: Sequence[State],
        expected: Sequence[State],
    ) -> None:
        """Compare all that the units of these stages remember."""
        for stage, got, want in zip(stages, found, expected, strict=True):
            for name in stage.remembered:
                what = f"{when}: {stage.name}.{name}"
                self.check(what, getattr(got, name), getattr(want, name))

    def add(self, other: Comparison) -> None:
        """Count what was compared elsewhere, too, after what was compared here."""
        self.compared += other.compared
        self.mismatches += other.mismatches
        self.first = self.first or other.first

    def differ(self, sentence: str, count: int = 1) -> None:
        """Count differences; the sentence is kept if they are the first."""
        self.mismatches += count
        self.first = self.first or sentence


class SideBySide:
    """Both with the same weights, settings and tokens; `when` begins the sentence on a difference.

    The hardware may stop answering once it has gone wrong: that is a difference too.
    """

    def __init__(self, plan: Plan, hardware: Hardware) -> None:
        self.plan, self.hardware = plan, hardware

    def start(self, states: Sequence[State]) -> None:
        """Both anew with these weights."""
        own = [state.copy() for state in states]
        self.golden = FastChain(self.plan.description, self.plan.schedule, own)
        self.hardware.reset()
        self.hardware.load(states)

    def set(self, settings: Settings) -> None:
        """Change the run-time settings of both, whose chains are empty."""
        self.golden.set(settings)
        self.hardware.set(settings)

    def run(
        self,
        when: str,
        kinds: Bytes,
        indices: Integers,
        part: Part,
        comparison: Comparison,
        on_slice: OnSlice | None = None,
    ) -> tuple[Integers, Integers]:
        """Feed both, compare every prediction of every loss.

        Scores and losses [losses, ...], the network's first, of the hardware if it has any.
        """
        tokens = kinds, indices, part.samples, part.labels
        expected = self.golden.run_all(*tokens)
        try:
            found = self.hardware.run_all(*tokens, on_slice=on_slice)
        except SimulationError as error:
            comparison.differ(f"{when}: {error}")
            return expected
        schedule = self.plan.schedule
        for index, loss in enumerate((schedule.loss, *schedule.losses[:-1])):
            for name, got, want in zip(("score", "loss"), found, expected, strict=True):
                comparison.check(f"{when}: {loss.name}.{name}", got[index], want[index])
        return found

    def compare_states(self, when: str, comparison: Comparison) -> None:
        """Compare all that the units remember, and how often they have saturated."""
        try:
            found = self.hardware.read_back()
            saturations = self.hardware.counters().saturations
        except SimulationError as error:
            comparison.differ(f"{when}: {error}")
            return
        stages = self.plan.schedule.stages
        comparison.check_states(when, stages, found, self.golden.states)
        for index, stage in enumerate(stages):
            expected = self.golden.saturations[index] % (1 << 32)
            comparison.check(f"{when}: {stage.name}.saturations", saturations[index], expected)
