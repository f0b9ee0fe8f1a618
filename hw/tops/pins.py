"""A top with four pins around a component of any number of ports, for routing it alone."""

from __future__ import annotations

import gc
import re
import warnings

from amaranth.hdl import (
    Cat,
    ClockDomain,
    ClockSignal,
    Module,
    ResetSignal,
    Signal,
    UnusedElaboratable,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.names import APART
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.far_reset import in_a_row
from counterflow.hw.parts.modules import convert

TOP = "top"  # the Verilog module with the pins


class Pins(wiring.Component):
    """Shifts all inputs of a component in bit by bit, and folds all its outputs into one bit.

    Every input bit follows a register and every output bit ends in one, so that nothing is
    optimised away and the package's pins limit neither size nor clock frequency.

    Parameters: ``inner``, the component.
    Members: ``clk``, ``rst``, ``i`` in, ``o`` out, one bit each.
    Cost: a register for each input bit, two for each output bit, and the reset's.
    """

    def __init__(self, *, inner: wiring.Component) -> None:
        super().__init__({"clk": In(1), "rst": In(1), "i": In(1), "o": Out(1)})
        self.inner = inner

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.domains.always = ClockDomain("always", reset_less=True)
        m.d.comb += [
            ClockSignal("sync").eq(self.clk),
            ClockSignal("always").eq(self.clk),
            ResetSignal("sync").eq(in_a_row(m, self.rst, "always")),
        ]
        m.submodules.inner = inner = self.inner
        ports = {wiring.In: [], wiring.Out: []}  # type: ignore[var-annotated]
        for _, member, value in inner.signature.flatten(inner):
            ports[member.flow].append(value)
        inputs, outputs = Cat(ports[wiring.In]), Cat(ports[wiring.Out])
        # Registers of data need no reset; one would cost every bit a wire from the reset's pin.
        given = Signal(len(inputs), reset_less=True, name="given")
        taken = Signal(len(outputs), reset_less=True, name="taken")
        folded = Signal(len(outputs), reset_less=True, name="folded")
        m.d.comb += [inputs.eq(given), self.o.eq(folded[-1])]
        m.d.sync += [
            given.eq(Cat(self.i, given)),
            taken.eq(outputs),
            folded.eq(taken ^ Cat(0, folded)),
        ]
        return m


def pinned_verilog(plan: Plan, unit: str | None = None) -> tuple[str, dict[str, str]]:
    """Verilog of module `TOP` around the chain or around one of its units.

    Also the units in it: the name of each by its Verilog module.  ValueError, in one sentence, if
    the chain has no such unit.
    """
    chain = Chain(plan=plan)
    if unit is None:
        text = convert(Pins(inner=chain), TOP, compact=plan.compact)
        return text, {_module(name): name for name in _units(text)}
    units = {"intake": chain.intake, **chain.parts}
    inner, names = units.get(unit), ", ".join(sorted(units))
    with warnings.catch_warnings():
        # Amaranth takes a component that was made but not elaborated for a mistake.
        warnings.simplefilter("ignore", UnusedElaboratable)
        del chain, units
        gc.collect()
    if inner is None:
        raise ValueError(f"{plan.description.name} has no unit {unit!r}; it has {names}")
    return convert(Pins(inner=inner), TOP, compact=plan.compact), {_module(): unit}


def _module(*unit: str) -> str:
    """The Verilog module of the component, or of a unit in it."""
    return APART.join((TOP, "inner", *unit))


def _units(text: str) -> list[str]:
    """Names of what the chain is made of, from the modules of its Verilog."""
    found = re.findall(rf"^module {_module()}{APART}(\w+)\(", text, re.MULTILINE)
    return [name for name in found if APART not in name]
