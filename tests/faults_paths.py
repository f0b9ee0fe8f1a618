"""One design with many faults where gradients of several losses pass a unit side by side.

Each overrides, while it is on, what the genuine part does.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Module

from counterflow.design.schedule.planner import Plan
from counterflow.hw.chain import Chain
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.units.convolution import Convolution
from tests import interlocked
from tests.faulty_top import Fault, FaultyTop, Switch

BELOW, UNIT = "dense1", "dense2"  # which pass on the gradients of loss 3, and of 3 and 4

FAULTS = (
    Fault("nothing", ""),
    Fault("gradient of a loss that only passes lost", UNIT, "dx_3.data"),
    Fault("gradient of another such loss in its place", UNIT, "dx_3.data"),
    Fault("mask of another element", UNIT, "dx_3.data"),
    Fault("derivative of the ReLU left out", UNIT, "dx_3.data"),
    Fault("learnt from the gradient of a loss that only passes", UNIT),
    Fault("gradient of the loss that it learns from passed on", UNIT, "dx.data"),
    Fault("gradients of two losses exchanged at a border", BELOW, ""),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


def design() -> Plan:
    """Five components of one dense layer, of which each sees three losses."""
    return interlocked.design(interlocked.THREE)


@cache
def verilog() -> str:
    return FaultyTop(design(), _SWITCH, {UNIT: _Unit}, _Chain).verilog()


class _Chain(Chain):
    def _edges(self, m: Module) -> None:
        super()._edges(m)
        with m.If(on("gradients of two losses exchanged at a border")):
            m.d.comb += [
                self.parts[BELOW].dy_3.payload.eq(self.parts[UNIT].dx.payload),
                self.parts[BELOW].dy.payload.eq(self.parts[UNIT].dx_3.payload),
            ]


class _Unit(Convolution):
    def _asides(self, m: Module, visit: Any, arrivals: Any, lanes: Any, others: Any) -> Any:
        clipped = super()._asides(m, visit, arrivals, lanes, others)
        third, fourth = m.submodules.aside_0, m.submodules.aside_1
        with m.If(on("gradient of a loss that only passes lost")):
            m.d.comb += lanes.dy_0.eq(0)
        with m.If(on("gradient of another such loss in its place")):
            m.d.comb += lanes.dy_0.eq(fourth.word)
        with m.If(on("mask of another element")):
            m.d.comb += third.stash.eq(delayed(m, arrivals.passing_0, 1, "late"))
        with m.If(on("derivative of the ReLU left out")):
            m.d.comb += third.stash.eq(~0)
        with m.If(on("learnt from the gradient of a loss that only passes")):
            m.d.comb += lanes.dy.eq(fourth.word)
        with m.If(on("gradient of the loss that it learns from passed on")):
            m.d.comb += lanes.dy_1.eq(m.submodules.errors.word)
        return clipped
