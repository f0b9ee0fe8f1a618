"""A queue that can be in block RAM, without the cycle more that one costs elsewhere."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import LEAST_BLOCK
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.modules import is_compact


def queue(platform: object, *, width: int, depth: int) -> SyncFIFO | BlockFIFO:
    """Amaranth's queue; where it would be flip-flops and block RAM is to spare, the one there."""
    if is_compact(platform) and width * depth >= LEAST_BLOCK:
        return BlockFIFO(width=width, depth=depth)
    return SyncFIFO(width=width, depth=depth)


class BlockFIFO(wiring.Component):
    """First in, first out, in every cycle like `amaranth.lib.fifo.SyncFIFO`.

    That one reads its memory without a register, which only LUT RAM can; where there is none, as on
    iCE40, it is made of flip-flops.  This one reads the word that is next in the next cycle.

    Parameters: ``width``, ``depth`` (at least 2).
    Members: ``w_en``, ``w_data``, ``w_rdy``; ``r_en``, ``r_data``, ``r_rdy``; ``level``.
    Cost: a memory of `depth` words, ``width`` registers around it, none where the memory reads at
    the falling edge; latency 1, a word a cycle.
    """

    def __init__(self, *, width: int, depth: int) -> None:
        if depth < 2:
            raise ValueError(f"depth is {depth}, expected at least 2")
        self.width, self.depth = width, depth
        super().__init__(
            {
                "w_en": In(1),
                "w_data": In(width),
                "w_rdy": Out(1),
                "r_en": In(1),
                "r_data": Out(width),
                "r_rdy": Out(1),
                "level": Out(range(depth + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        produce = Signal(range(self.depth), name="produce")
        consume = Signal(range(self.depth), name="consume")
        taken, given = self.r_rdy & self.r_en, self.w_rdy & self.w_en
        following = Signal.like(consume, name="following")
        m.d.comb += [
            self.w_rdy.eq(self.level != self.depth),
            self.r_rdy.eq(self.level != 0),
            following.eq(Mux(taken, self._after(consume), consume)),
        ]
        if is_compact(platform):
            self._falling(m, given, produce, consume)
        else:
            self._clocked(m, given, produce, following)
        m.d.sync += [consume.eq(following), self.level.eq(self.level + given - taken)]
        with m.If(given):
            m.d.sync += produce.eq(self._after(produce))
        return m

    def _clocked(self, m: Module, given: Value, produce: Signal, following: Signal) -> None:
        """Ask for the word that is next in the next cycle."""
        m.submodules.storage = storage = Memory(shape=self.width, depth=self.depth, init=[])
        write = storage.write_port()
        # The word that is written while it is next is read as it will be.
        read = storage.read_port(domain="sync", transparent_for=(write,))
        m.d.comb += [
            write.addr.eq(produce),
            write.data.eq(self.w_data),
            write.en.eq(given),
            read.addr.eq(following),
            read.en.eq(1),
            self.r_data.eq(read.data),
        ]

    def _falling(self, m: Module, given: Value, produce: Signal, consume: Signal) -> None:
        """Ask for the next word in the same cycle: what is written now need not be known."""
        m.submodules.storage = storage = BlockMemory(
            words=self.depth, bits=self.width, falling=True
        )
        m.d.comb += [
            storage.write_address.eq(produce),
            storage.write_data.eq(self.w_data),
            storage.write_enable.eq(given),
            storage.read_address.eq(consume),
            self.r_data.eq(storage.read_data),
        ]

    def _after(self, place: Value) -> Value:
        """The place behind `place`."""
        return Mux(place == self.depth - 1, 0, place + 1)
