"""A delay in a memory, for data that a row of registers would carry along."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.hw.parts.block_memory import falling_memory


class DelayLine(wiring.Component):
    """What came in `cycles` cycles ago, out of a ring with one place for both ends.

    A word is read in the cycle at whose end its place is written again.  As in registers without a
    reset, the first words after one are of no use.

    Parameters: ``bits``, ``cycles`` (at least 3); ``block``: in block RAM, which is read in the
    first half of that cycle, else in LUT RAM, with a register behind it.
    Members: ``i`` in, ``o`` out.
    Cost: a memory of `cycles` words, or one less, a counter; latency `cycles`, a word a cycle.
    """

    def __init__(self, *, bits: int, cycles: int, block: bool) -> None:
        if cycles < 3:
            raise ValueError(f"cycles is {cycles}, expected at least 3")
        self.bits, self.cycles, self.block = bits, cycles, block
        super().__init__({"i": In(bits), "o": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        places = self.cycles if self.block else self.cycles - 1
        place = Signal(range(places), reset_less=True, name="place")
        m.d.sync += place.eq(Mux(place == places - 1, 0, place + 1))
        if self.block:
            write, read = falling_memory(m, "ring", shape=self.bits, depth=places)
            m.d.comb += self.o.eq(read.data)
        else:
            m.submodules.ring = ring = Memory(shape=self.bits, depth=places, init=[])
            write, read = ring.write_port(), ring.read_port(domain="comb")
            late = Signal(self.bits, reset_less=True, name="late")
            m.d.sync += late.eq(read.data)
            m.d.comb += self.o.eq(late)
        m.d.comb += [
            read.addr.eq(place),
            write.en.eq(1),
            write.addr.eq(place),
            write.data.eq(self.i),
        ]
        return m
