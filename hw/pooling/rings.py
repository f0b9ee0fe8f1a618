"""Memories that are gone through in a fixed order, so that nobody has to address them."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.units.latency import MEMORY
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.pipeline import delayed

AT_ONCE = 2  # words of a line, each of which is addressed again before it could be written later


def advanced(m: Module, step: Value, words: int, name: str) -> Signal:
    """A place among `words` that moves on, in a circle, after each cycle with `step`."""
    place = Signal(range(max(2, words)), name=name)
    with m.If(step):
        m.d.sync += place.eq(Mux(place == words - 1, 0, place + 1))
    return place


class Line(wiring.Component):
    """Replaces, step by step, the word that was put in `words` steps ago.

    Parameters: ``words`` of ``bits``.
    Members: ``step`` in; ``old`` out and ``new`` in, both two cycles after their step.
    Cost: a memory and one or two registers of a word, LUT RAM up to READ_AT_ONCE words, beyond that
    a block memory; up to `AT_ONCE` words, and of a compact design all that are no block memory, one
    that is read and written in one cycle; one step a cycle.
    """

    def __init__(self, *, words: int, bits: int) -> None:
        self.words, self.bits = words, bits
        super().__init__({"step": In(1), "old": Out(bits), "new": In(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        small = self.words <= READ_AT_ONCE
        if self.words <= AT_ONCE or (small and is_compact(platform)):
            self._at_once(m)
            return m
        block = BlockMemory(words=self.words, bits=self.bits, distributed=small)
        m.submodules.memory = block
        # A word is written the cycle after it was made, which is before it is addressed again.
        rewrite = delayed(m, self.step, MEMORY + 1, "step")
        behind = 0 if small else MEMORY - 1  # registers behind the memory's own
        asked = delayed(m, self.step, MEMORY - 1 - behind, "asked")
        m.d.comb += [
            block.read_address.eq(advanced(m, asked, self.words, "read")),
            self.old.eq(delayed(m, block.read_data, behind, "old")),
            block.write_enable.eq(rewrite),
            block.write_address.eq(advanced(m, rewrite, self.words, "written")),
            block.write_data.eq(delayed(m, self.new, 1, "made")),
        ]
        return m

    def _at_once(self, m: Module) -> None:
        """A memory that is read and written in one cycle."""
        rewrite = delayed(m, self.step, MEMORY, "step")
        written = advanced(m, rewrite, self.words, "written")
        m.submodules.memory = memory = Memory(shape=self.bits, depth=max(2, self.words), init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        m.d.comb += [
            read.addr.eq(written),
            self.old.eq(read.data),
            write.en.eq(rewrite),
            write.addr.eq(written),
            write.data.eq(self.new),
        ]


class Stash(wiring.Component):
    """Gives words back in the order in which they came, as many later as it is asked for them.

    A place is reserved before the word is written, so that a pipeline between the two never has to
    stop.  Whoever reads knows that the word is there: it was written in an earlier cycle.

    Parameters: ``words`` of ``bits``.
    Members: ``room`` out: a word can be reserved, ``reserve`` in; ``write`` in with ``word``;
    ``read`` in, and ``oldest`` out two cycles later.
    Cost: one block memory; one word a cycle.
    """

    def __init__(self, *, words: int, bits: int) -> None:
        self.words, self.bits = words, bits
        super().__init__(
            {
                "room": Out(1),
                "reserve": In(1),
                "write": In(1),
                "word": In(bits),
                "read": In(1),
                "oldest": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = BlockMemory(words=max(2, self.words), bits=self.bits)
        # The address rests on the next word, even while it is written; only then it is asked for.
        free = Signal(range(self.words + 1), init=self.words, name="free")
        m.d.sync += [
            free.eq(free - self.reserve + self.read),
            self.oldest.eq(memory.read_data),
        ]
        m.d.comb += [
            self.room.eq(free != 0),
            memory.read_address.eq(advanced(m, self.read, self.words, "next_read")),
            memory.write_enable.eq(self.write),
            memory.write_address.eq(advanced(m, self.write, self.words, "next_write")),
            memory.write_data.eq(self.word),
        ]
        return m
