"""Benches' tops with many faults planted in one design, each of which a bench can switch on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib.memory import Memory

from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.modules import convert
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.harsh import harsh
from counterflow.sim.simulate import TOP, record_depth


@dataclass(frozen=True)
class Fault:
    """``unit`` is where the first difference must be seen, of a ``field`` where that is given.

    Some need ``stalls`` to show; after one that is nowhere the chain comes to rest too early.
    """

    name: str
    unit: str
    field: str = ""
    stalls: bool = False

    def __str__(self) -> str:
        return self.name


class Switch:
    """Which of several faults, told by their names, is on."""

    def __init__(self, faults: Sequence[Any]) -> None:
        self._numbers = {fault.name: number for number, fault in enumerate(faults)}
        self.chosen = Signal(range(len(faults)), name="fault")

    def on(self, name: str) -> Value:
        """Whether a fault is switched on."""
        return self._numbers[name] == self.chosen


class FaultyTop(BenchTop):
    """The bench top of a design; ``fault_memory`` holds the number of the fault that is on.

    Those of its ``parts`` that are named, and its ``chain``, become of the faulty kinds given.
    """

    def __init__(
        self,
        planned: Plan,
        switch: Switch,
        parts: Mapping[str, type] | None = None,
        chain: type[Chain] = Chain,
    ) -> None:
        super().__init__(plan=planned, depth=record_depth(planned))
        self._chosen = switch.chosen
        self.chain.__class__ = chain
        for name, kind in (parts or {}).items():
            self.chain.parts[name].__class__ = kind

    def verilog(self) -> str:
        """What a bench simulates; its memories give noise where a word is read as it is written."""
        return harsh(convert(self, TOP))

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.submodules.fault_memory = memory = Memory(shape=self._chosen.shape(), depth=2, init=[])
        m.d.comb += self._chosen.eq(memory.read_port(domain="comb").data)
        return m
