"""Register accesses that load a unit of the golden model or read it back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from counterflow.design.bus.registers import control_word
from counterflow.design.bus.transfers import (
    Transfer,
    load_table,
    parts,
    read_table,
)
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.slotted import Integers, Slotted
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State
from counterflow.golden.units.update import Settings


def decode(stage: Slotted, words: Sequence[int] | Integers) -> State:
    """The state in the responses to `read_accesses`."""
    return state_of(stage, *parts(stage, words))


def control_of(settings: Settings) -> int:
    """The CONTROL register of a unit with these settings."""
    return control_word(settings.predict, settings.compensate, settings.extra_shift)


class Loadable(ABC):
    """A chain of ``plan`` whose registers can be had by the table."""

    plan: Plan

    @abstractmethod
    def access(self, table: Sequence[Transfer] | Integers) -> Integers:
        """Make register accesses in order; the words of the responses."""

    def load(self, states: Sequence[State]) -> None:
        """Write all parameters and generator states of a resting chain."""
        for stage, state in zip(self.plan.schedule.stages, states, strict=True):
            self.access(load_table(stage, state))

    def read_back(self) -> list[State]:
        """Read all that `load` writes."""
        stages = self.plan.schedule.stages
        return [decode(stage, self.access(read_table(stage))) for stage in stages]
