"""A design with faults in a frozen unit; one in which a gradient comes that nobody wants."""

from __future__ import annotations

from functools import cache
from unittest import mock

from amaranth.hdl import Module

from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.schedule.watch import fields
from counterflow.design.units.convolution import Weighted
from counterflow.hw.parts.modules import convert
from counterflow.hw.units.convolution import Convolution
from counterflow.sim.bench.top import BenchTop
from counterflow.sim.harsh import harsh
from counterflow.sim.simulate import TOP, record_depth
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.frozen import BETWEEN, design

UNIT = "conv2"  # frozen, between two that learn

FAULTS = (
    Fault("nothing", ""),
    Fault("a frozen layer that learns", UNIT, "weights.write"),
    Fault("a gradient lost that it should pass", UNIT, "dx.data"),
    Fault("derivative of the ReLU below left out", UNIT, "dx.data"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def verilog() -> str:
    return FaultyTop(design(BETWEEN), _SWITCH, {UNIT: _Unit}).verilog()


class _Unit(Convolution):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("a frozen layer that learns")):
            m.d.comb += self.weights.visits.learnt.eq(m.submodules.visit.now.finish)
        with m.If(on("a gradient lost that it should pass")):
            m.d.comb += m.submodules.lanes.dy.eq(0)
        with m.If(on("derivative of the ReLU below left out")):
            m.d.comb += m.submodules.gradient.stash.eq(~0)
        return m


@cache
def unwanted() -> str:
    """The design, whose lowest unit that learns sends a gradient back to frozen ones below it."""
    wanted = design(BETWEEN)
    with mock.patch.object(Weighted, "_wanted", lambda layer, growth, edge: growth.paths):
        fault = plan(Description.model_validate(wanted.description.model_dump(mode="json")))
        return harsh(convert(_Top(fault, wanted), TOP))


class _Top(BenchTop):
    """Of a plan, watched as another one is."""

    def __init__(self, fault: Plan, wanted: Plan) -> None:
        super().__init__(plan=fault, depth=record_depth(wanted))
        self.watched = fields(wanted)
