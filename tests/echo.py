"""The smallest thing that can be in the top of a board."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.boards.pins import pins
from counterflow.boards.pll import dividers
from counterflow.boards.table import board
from counterflow.boards.top import TOP, Top
from counterflow.hw.parts.modules import convert


class Echo(wiring.Component):
    """What a core looks like from outside."""

    def __init__(self) -> None:
        lamps = {name: Out(1) for name in ("alive", "training", "error")}
        super().__init__({"rx": In(1, init=1), "tx": Out(1, init=1), **lamps})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = Signal(24)
        m.d.sync += [self.tx.eq(self.rx), count.eq(count + 1)]
        m.d.comb += [self.alive.eq(count[-1]), self.training.eq(~self.rx), self.error.eq(0)]
        return m


def top_of(name: str, frequency: float) -> str:
    """Verilog of a board's top around an `Echo`."""
    found, family = pins(board(name)), board(name).fpga.family
    setting = dividers(family, found.clock, frequency)
    return convert(Top(family=family, pins=found, dividers=setting, core=Echo()), TOP)
