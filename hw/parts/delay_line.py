"""A delay in block RAM, for data that a row of registers would carry along."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.hw.parts.block_memory import BlockMemory


class DelayLine(wiring.Component):
    """What came in `cycles` cycles ago, out of a ring with one place for both ends.

    A word is read in the first half of the cycle at whose end its place is written again.  As in
    registers without a reset, the first words after one are of no use.

    Parameters: ``bits``, ``cycles`` (at least 2).
    Members: ``i`` in, ``o`` out.
    Cost: a memory of `cycles` words, a counter; latency `cycles`, a word a cycle.
    """

    def __init__(self, *, bits: int, cycles: int) -> None:
        if cycles < 2:
            raise ValueError(f"cycles is {cycles}, expected at least 2")
        self.bits, self.cycles = bits, cycles
        super().__init__({"i": In(bits), "o": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ring = ring = BlockMemory(words=self.cycles, bits=self.bits, falling=True)
        place = Signal(range(self.cycles), reset_less=True, name="place")
        m.d.sync += place.eq(Mux(place == self.cycles - 1, 0, place + 1))
        m.d.comb += [
            ring.read_address.eq(place),
            self.o.eq(ring.read_data),
            ring.write_enable.eq(1),
            ring.write_address.eq(place),
            ring.write_data.eq(self.i),
        ]
        return m
