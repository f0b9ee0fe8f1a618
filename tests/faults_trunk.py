"""A design with faults in units that only go forward: a norm, a tanh and a sum."""

from __future__ import annotations

from functools import cache
from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value

from counterflow.design.units.latency import MEMORY
from counterflow.design.units.normal import GAMMA_FRAC
from counterflow.hw.norms.forward import Forward
from counterflow.hw.norms.normal import difference
from counterflow.hw.norms.update import ChannelUpdate
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.units.norm import Norm
from counterflow.hw.units.sum import Sum
from counterflow.hw.units.tanh import Tanh
from tests.faulty_top import Fault, FaultyTop, Switch
from tests.frozen import TRUNK, design

NORM, TANH, SUM = "norm2b1", "tanh3b0", "sum2"

FAULTS = (
    Fault("nothing", ""),
    Fault("a frozen norm that is written", NORM, "states.write"),
    Fault("the mean that was loaded left out", NORM, "y.data"),
    Fault("the gamma that was loaded left out", NORM, "y.data"),
    Fault("the beta that was loaded left out", NORM, "y.data"),
    Fault("the sign of a tanh lost", TANH, "y.data"),
    Fault("kinds lost in a sum", SUM, "y.kind"),
)
_SWITCH = Switch(FAULTS)
on = _SWITCH.on


@cache
def verilog() -> str:
    return FaultyTop(design(TRUNK), _SWITCH, {NORM: _Norm, TANH: _Tanh, SUM: _Sum}).verilog()


class _Norm(Norm):
    def _ways(self) -> tuple[Any, Any]:
        self.states.__class__ = _Update
        forward, backward = super()._ways()
        forward.__class__ = _Forward
        return forward, backward


class _Update(ChannelUpdate):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("a frozen norm that is written")):
            m.d.comb += self.write_enable.eq(1)
        return m


class _Forward(Forward):
    def _difference(self, m: Module) -> Signal:
        x = delayed(m, self.x.payload.data, MEMORY, "x")
        centre = Mux(on("the mean that was loaded left out"), 0, self.view.centre)
        return difference(m, self.stage.numbers, x, centre)

    def _learnt(self, kind: Value) -> dict[str, Value]:
        found = super()._learnt(kind)
        none = {"beta": 0, "gamma": 1 << GAMMA_FRAC}
        return {
            name: Mux(on(f"the {name} that was loaded left out"), none[name], value)
            for name, value in found.items()
        }


class _Tanh(Tanh):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        y = m.submodules.outputs.o.payload.as_signed()
        with m.If(on("the sign of a tanh lost")):
            m.d.comb += self.y.payload.data.eq(Mux(y < 0, -y, y))
        return m


class _Sum(Sum):
    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        with m.If(on("kinds lost in a sum")):
            m.d.comb += m.submodules.outputs.word_tag.eq(0)
        return m
