"""The clock of a board's design, and the reset that holds until it is steady."""

from __future__ import annotations

from amaranth.hdl import ClockDomain, ClockSignal, Const, Instance, Module, ResetSignal, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.boards.pll import Dividers, filter_range
from counterflow.hw.parts.far_reset import in_a_row

HOLD = 256  # cycles of reset behind the lock: block RAMs of iCE40 need 3 us until they can be read


class Clocking(wiring.Component):
    """A clock of the wanted frequency and its reset.

    Parameters: ``family``; ``dividers`` of its PLL, or None where ``pin`` is the clock itself.
    Members: ``pin`` in, from the oscillator; ``hold`` in, asynchronous: while it is high the design
    is reset; ``clock`` out; ``reset`` out, which rises at once and falls with the clock, `HOLD`
    cycles and `hw.parts.far_reset.REGISTERS` after PLL and ``hold`` allow it.
    Cost: a PLL, 13 registers, and copies of the last ones (`design.tools.reset_copies`).
    """

    def __init__(self, *, family: str, dividers: Dividers | None) -> None:
        self.family, self.dividers = family, dividers
        super().__init__({"pin": In(1), "hold": In(1), "clock": Out(1), "reset": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        locked = Signal(name="locked")
        if self.dividers is None:
            m.d.comb += [self.clock.eq(self.pin), locked.eq(1)]
        else:
            made = {"ecp5": _ecp5, "ice40": _ice40, "xc7": _xc7}[self.family]
            made(m, self.dividers, self.pin, self.clock, locked)
        m.domains.steady = ClockDomain("steady", async_reset=True, local=True)
        m.d.comb += [
            ClockSignal("steady").eq(self.clock),
            ResetSignal("steady").eq(~locked | self.hold),
        ]
        # The first two registers see the reset end at any time, what follows only with the clock.
        ended, count = Signal(2, name="ended"), Signal(range(HOLD), name="count")
        m.d.steady += ended.eq(ended << 1 | 1)
        with m.If(ended[1] & (count != HOLD - 1)):
            m.d.steady += count.eq(count + 1)
        m.d.comb += self.reset.eq(in_a_row(m, count != HOLD - 1, "steady"))
        return m


def _ecp5(m: Module, to: Dividers, pin: Signal, clock: Signal, locked: Signal) -> None:
    """A PLL of ECP5; parameters and attributes as Trellis' ecppll writes them."""
    m.submodules.pll = Instance(
        "EHXPLLL",
        a_FREQUENCY_PIN_CLKI=f"{to.frequency * to.reference / to.feedback:g}",
        a_FREQUENCY_PIN_CLKOP=f"{to.frequency:g}",
        a_ICP_CURRENT="12",
        a_LPF_RESISTOR="8",
        a_MFG_ENABLE_FILTEROPAMP="1",
        a_MFG_GMCREF_SEL="2",
        p_PLLRST_ENA="DISABLED",
        p_INTFB_WAKE="DISABLED",
        p_STDBY_ENABLE="DISABLED",
        p_DPHASE_SOURCE="DISABLED",
        p_OUTDIVIDER_MUXA="DIVA",
        p_CLKI_DIV=to.reference,
        p_CLKOP_ENABLE="ENABLED",
        p_CLKOP_DIV=to.output,
        p_CLKOP_CPHASE=to.output // 2,
        p_CLKOP_FPHASE=0,
        p_FEEDBK_PATH="CLKOP",
        p_CLKFB_DIV=to.feedback,
        i_CLKI=pin,
        i_CLKFB=clock,
        i_RST=Const(0),
        i_STDBY=Const(0),
        i_PHASESEL0=Const(0),
        i_PHASESEL1=Const(0),
        i_PHASEDIR=Const(1),
        i_PHASESTEP=Const(1),
        i_PHASELOADREG=Const(1),
        i_PLLWAKESYNC=Const(0),
        i_ENCLKOP=Const(0),
        o_CLKOP=clock,
        o_LOCK=locked,
    )


def _ice40(m: Module, to: Dividers, pin: Signal, clock: Signal, locked: Signal) -> None:
    """A PLL of iCE40 that takes its clock from the pad, as icepll -p writes it."""
    detector = to.oscillator / to.feedback
    m.submodules.pll = Instance(
        "SB_PLL40_PAD",
        p_FEEDBACK_PATH="SIMPLE",
        p_DIVR=Const(to.reference - 1, 4),
        p_DIVF=Const(to.feedback - 1, 7),
        p_DIVQ=Const(to.output.bit_length() - 1, 3),
        p_FILTER_RANGE=Const(filter_range(detector), 3),
        i_PACKAGEPIN=pin,
        i_RESETB=Const(1),
        i_BYPASS=Const(0),
        o_PLLOUTGLOBAL=clock,
        o_LOCK=locked,
    )


def _xc7(m: Module, to: Dividers, pin: Signal, clock: Signal, locked: Signal) -> None:
    """A PLL of Xilinx 7 with the buffer behind it."""
    feedback, made = Signal(name="feedback"), Signal(name="made")
    period = 1000 * to.feedback / (to.oscillator * to.reference)
    m.submodules.pll = Instance(
        "PLLE2_BASE",
        p_CLKIN1_PERIOD=period,
        p_DIVCLK_DIVIDE=to.reference,
        p_CLKFBOUT_MULT=to.feedback,
        p_CLKOUT0_DIVIDE=to.output,
        i_CLKIN1=pin,
        i_CLKFBIN=feedback,
        i_RST=Const(0),
        i_PWRDWN=Const(0),
        o_CLKFBOUT=feedback,
        o_CLKOUT0=made,
        o_LOCKED=locked,
    )
    m.submodules.buffer = Instance("BUFG", i_I=made, o_O=clock)
