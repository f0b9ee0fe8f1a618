"""One design with many faults where a component ends, each of which a bench can switch on.

Each overrides, while it is on, what the genuine part does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Module, Signal

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.loss import Loss
from tests import interlocked
from tests.faulty_top import Fault, FaultyTop, Switch

FORK, LOSS, HEAD = "forkh1", "loss1", "denseh1l0"
ABOVE, HEAD_ABOVE = "dense2", "denseh2l0"

FAULTS = (
    Fault("nothing", ""),
    # the gradient that a body learns from
    Fault("gradient of the head lost", FORK, "dx.data"),
    Fault("gradient of the head is that of the element before", FORK, "dx.data"),
    Fault("gradient of the next head in its place", FORK, "dx.data"),
    Fault("gradient of the next component passed down, too", FORK, "dx.data"),
    # its label
    Fault("label of the token before", LOSS),
    Fault("label of another class", LOSS),
    Fault("a label taken twice while another loss has no room", LOSS, stalls=True),
    Fault("a label lost while another loss has no room", "", stalls=True),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


def design() -> Plan:
    """Three components of dense layers; the faults are at the end of the first."""
    return interlocked.design(interlocked.DENSE)


@cache
def verilog() -> str:
    return FaultyTop(design(), _SWITCH, {FORK: _Fork, LOSS: _Loss}, _Chain).verilog()


class _Chain(Chain):
    def _edges(self, m: Module) -> None:
        super()._edges(m)
        into, own = self.parts[FORK].dy1.payload, self.parts[HEAD].dx.payload
        with m.If(on("gradient of the next head in its place")):
            m.d.comb += into.eq(self.parts[HEAD_ABOVE].dx.payload)
        with m.If(on("gradient of the next component passed down, too")):
            m.d.comb += into.eq(own + self.parts[ABOVE].dy.payload)

    def _labels(self, m: Module, takers: list[Any]) -> None:
        super()._labels(m, takers)
        admitted, loss = self.intake.admitted, self.parts[LOSS].labels
        with m.If(on("a label taken twice while another loss has no room")):
            m.d.comb += loss.valid.eq(admitted.valid)
        with m.If(on("a label lost while another loss has no room")):
            m.d.comb += admitted.ready.eq(loss.ready)


class _Fork(Fork):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        before = Signal.like(self.dy1.payload)
        with m.If(self.dy1.valid & self.dy1.ready):
            m.d.sync += before.eq(self.dy1.payload)
        with m.If(on("gradient of the head lost")):
            m.d.comb += self.dx.payload.eq(0)
        with m.If(on("gradient of the head is that of the element before")):
            m.d.comb += self.dx.payload.eq(before)
        return m


class _Loss(Loss):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        queue, given = m.submodules.labels, self.labels.payload.as_value()
        before = Signal(len(given))
        with m.If(self.labels.valid & self.labels.ready):
            m.d.sync += before.eq(given)
        with m.If(on("label of the token before")):
            m.d.comb += queue.w_data.eq(before)
        with m.If(on("label of another class")):
            m.d.comb += queue.w_data.eq(given ^ (1 << KIND_BITS))
        return m
