"""A serial line of eight data bits, no parity and one stop bit, to and from streams of bytes."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

LEAST_DIVISOR = 4  # cycles a bit: fewer would sample a bit too close to its edges
MOST_ERROR = 0.02  # of the rate; the last bit is then sampled a fifth of a bit off its middle
MAJORITY_DIVISOR = 8  # with fewer cycles the outer two of three are too close to the edges
FRAME_BITS = 10  # start, eight data bits, stop


def divisor_of(frequency: float, baud: int) -> int:
    """Clock cycles of a bit; ValueError where `frequency` (Hz) cannot make `baud` (bits/s)."""
    divisor = round(frequency / baud)
    if divisor < LEAST_DIVISOR:
        raise ValueError(
            f"a clock of {frequency / 1e6:g} MHz is too slow for {baud:,} baud; at most "
            f"{int(frequency / LEAST_DIVISOR):,} are possible"
        )
    error = abs(frequency / divisor / baud - 1)
    if error > MOST_ERROR:
        raise ValueError(
            f"a clock of {frequency / 1e6:g} MHz makes {frequency / divisor:,.0f} baud, "
            f"{100 * error:.1f} % off the {baud:,} wanted; choose a rate nearer to "
            f"{frequency / 1e6:g} MHz divided by a whole number"
        )
    return divisor


class UartReceiver(wiring.Component):
    """Bytes from a line.

    The line is looked at in every cycle (through two registers): a start bit counts only if it is
    still low in its middle, each bit is what it is in its middle (from 8 cycles a bit on the
    majority of three cycles about it), and a byte whose stop bit is low is dropped.

    Parameters: ``divisor``, cycles of a bit, at least 4.
    Members: ``rx`` in; ``o`` stream of bytes, each valid for one cycle whether it is taken or not,
    since a line cannot wait.
    Cost: about 30 registers; a byte in 10 x divisor cycles.
    """

    def __init__(self, *, divisor: int) -> None:
        if divisor < LEAST_DIVISOR:
            raise ValueError(f"divisor is {divisor}, expected at least {LEAST_DIVISOR}")
        self.divisor = divisor
        super().__init__({"rx": In(1, init=1), "o": Out(stream.Signature(8))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rx, recent = Signal(init=1, name="rx"), Signal(2, init=0b11, name="recent")
        m.submodules.synchronizer = FFSynchronizer(self.rx, rx, init=1)
        m.d.sync += recent.eq(Cat(rx, recent))
        majority = (rx & recent[0]) | (rx & recent[1]) | (recent[0] & recent[1])
        level = majority if self.divisor >= MAJORITY_DIVISOR else recent[0]
        busy, bits = Signal(name="busy"), Signal(range(FRAME_BITS), name="bits")
        timer = Signal(range(self.divisor), name="timer")
        word = Signal(8, name="word")
        m.d.comb += self.o.payload.eq(word)
        m.d.sync += self.o.valid.eq(0)
        with m.If(~busy):
            # The edge is seen up to a cycle late, which matters where a bit is only a few cycles.
            first = self.divisor // 2 - (self.divisor < MAJORITY_DIVISOR)
            m.d.sync += [timer.eq(first), bits.eq(0), busy.eq(~rx & recent[0])]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self.divisor - 1), bits.eq(bits + 1)]
            with m.If(bits == 0):
                m.d.sync += busy.eq(~level)
            with m.Elif(bits == FRAME_BITS - 1):
                m.d.sync += [busy.eq(0), self.o.valid.eq(level)]
            with m.Else():
                m.d.sync += word.eq(Cat(word[1:], level))
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a line.

    Parameters: ``divisor``, cycles of a bit.
    Members: ``i`` stream of bytes; ``tx`` out, high at rest.
    Cost: about 25 registers; a byte in 10 x divisor cycles, without a gap.
    """

    def __init__(self, *, divisor: int) -> None:
        self.divisor = divisor
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, init=1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        timer = Signal(range(max(2, self.divisor)), name="timer")
        left = Signal(range(FRAME_BITS + 1), name="left")
        word = Signal(FRAME_BITS - 1, init=-1, name="word")  # what follows the bit on the line
        over = timer == 0
        m.d.comb += self.i.ready.eq((left == 0) | ((left == 1) & over))
        m.d.sync += timer.eq(Mux(over, self.divisor - 1, timer - 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.tx.eq(0),
                word.eq(Cat(self.i.payload, 1)),
                left.eq(FRAME_BITS),
                timer.eq(self.divisor - 1),
            ]
        with m.Elif(over & (left != 0)):
            m.d.sync += [self.tx.eq(word[0]), word.eq(Cat(word[1:], 1)), left.eq(left - 1)]
        return m
