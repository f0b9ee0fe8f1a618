"""The top of every board: clock, reset, the network behind its host link, and the lamps."""

from __future__ import annotations

import re
from typing import NamedTuple

from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.boards.clock import Clocking
from counterflow.boards.pins import LAMPS, Pins, pins
from counterflow.boards.pll import Dividers, dividers
from counterflow.boards.table import Board
from counterflow.design.parts.names import APART
from counterflow.design.schedule.planner import Plan
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.board_core import BoardCore
from counterflow.hw.tops.verilog import file_of

TOP = "top"  # the Verilog module


class Top(wiring.Component):
    """What is on the FPGA of a board.

    Parameters: ``family``; ``pins``, which also say what the board inverts; ``dividers`` of the
    PLL, None where the oscillator is the clock; ``core``, a component with ports rx, tx and the
    lamps alive, training, error.
    Members, one bit each, as the pins are: ``clock``, ``rx``, ``reset`` (where there is a button)
    in; ``tx``, the lamps, ``high0``, ... (driven high) out.
    Cost: that of the core and of `Clocking`.
    """

    def __init__(
        self, *, family: str, pins: Pins, dividers: Dividers | None, core: wiring.Component
    ) -> None:
        self.family, self.pins, self.dividers, self.core = family, pins, dividers, core
        inputs = ("clock", "rx", "reset")
        super().__init__({port: (In if port in inputs else Out)(1) for port in pins.ports})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.clocking = clocking = Clocking(family=self.family, dividers=self.dividers)
        m.submodules.core = core = self.core
        m.domains.sync = ClockDomain("sync")
        m.d.comb += [
            clocking.pin.eq(self.clock),
            ClockSignal().eq(clocking.clock),
            ResetSignal().eq(clocking.reset),
        ]
        for port, pin in self.pins.ports.items():
            outside = getattr(self, port)
            if port in ("tx", *LAMPS):
                m.d.comb += outside.eq(getattr(core, port) ^ pin.inverted)
            elif port == "rx":
                m.d.comb += core.rx.eq(outside ^ pin.inverted)
            elif port == "reset":
                m.d.comb += clocking.hold.eq(outside ^ pin.inverted)
            elif port != "clock":
                m.d.comb += outside.eq(not pin.inverted)
        return m


class Source(NamedTuple):
    """Verilog of a top; ``units`` names those of the network by Verilog module; ``frequency`` in
    MHz is what the PLL really makes."""

    verilog: str
    units: dict[str, str]
    frequency: float


def source(board: Board, design: Plan, *, frequency: float, baud: int) -> Source:
    """The top of `board` around `design`, at `frequency` MHz as near as the PLL gets.

    ValueError, in one sentence that begins with the board's name, where the PLL cannot make the
    frequency or the frequency not the baud rate.
    """
    found, family = pins(board), board.fpga.family
    try:
        setting = dividers(family, found.clock, frequency)
        made = found.clock if setting is None else setting.frequency
        core = BoardCore(plan=design, frequency=made * 1e6, baud=baud, board=board.name)
    except ValueError as error:
        raise ValueError(f"{board.name}: {error}") from None
    top = Top(family=family, pins=found, dividers=setting, core=core)
    text = file_of(convert(top, TOP, compact=design.compact))
    return Source(text, units(text, design), made)


def units(text: str, design: Plan) -> dict[str, str]:
    """The units of the network by module of the Verilog `text`."""
    names = {"intake", *(unit.name for unit in design.schedule.units)}
    modules = re.findall(rf"^module ({TOP}{APART}core{APART}\w+) ?\(", text, re.MULTILINE)
    found: dict[str, str] = {}
    for module in sorted(modules, key=lambda module: module.count(APART)):
        name = module.rsplit(APART, 1)[1]
        if name in names - set(found.values()):
            found[module] = name
    return found
