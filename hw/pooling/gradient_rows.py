"""Rows of windows of gradients, each of which is needed for every element of its window."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.pooling import Pooling
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.pooling.raster import Raster
from counterflow.hw.pooling.rings import advanced


class GradientRows(wiring.Component):
    """Takes words of gradient in order and gives, element of the image by element, its window's.

    The words stand in a circle.  One is first used for the first element of its window, which waits
    for it; by the time of the others it is there.  With the last one it makes room.

    Parameters: ``pooling``.
    Members: ``room`` out: a word can be reserved, ``reserve`` in; ``write`` in with ``word``, some
    cycles later; ``able`` in: an element can be made, ``step`` out: it is, of ``place`` in its
    window, ``found`` out two cycles later: the window's word.
    Cost: a block memory of `Pooling.gradient_words`; one element a cycle.
    """

    def __init__(self, *, pooling: Pooling) -> None:
        self.pooling = pooling
        self.bits = pooling.dx.bits + pooling.place_bits
        super().__init__(
            {
                "room": Out(1),
                "reserve": In(1),
                "write": In(1),
                "word": In(self.bits),
                "able": In(1),
                "step": Out(1),
                "place": Out(range(pooling.elements)),
                "found": Out(self.bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = self.pooling.gradient_words
        m.submodules.memory = memory = BlockMemory(words=words, bits=self.bits)
        m.submodules.raster = raster = Raster(pooling=self.pooling)
        free = Signal(range(words + 1), init=words, name="free")
        fresh = Signal(range(words + 1), name="fresh")  # written and not yet used
        opens, closes = Signal(name="opens"), Signal(name="closes")
        # The address rests on the next word, even while it is written; only then it is fresh.
        m.d.comb += [
            opens.eq(raster.first_row & raster.first_column),
            closes.eq(raster.last_row & raster.last_column),
            self.room.eq(free != 0),
            self.step.eq(self.able & ((fresh != 0) | ~opens)),
            self.place.eq(raster.place),
            raster.step.eq(self.step),
            memory.write_enable.eq(self.write),
            memory.write_address.eq(advanced(m, self.write, words, "next_write")),
            memory.write_data.eq(self.word),
            memory.read_address.eq(self._address(m, raster)),
        ]
        m.d.sync += [
            free.eq(free - self.reserve + (self.step & closes)),
            fresh.eq(fresh + self.write - (self.step & opens)),
            self.found.eq(memory.read_data),
        ]
        return m

    def _address(self, m: Module, raster: Raster) -> Value:
        """Where the window's word stands.

        It goes back to the window's first word with each of its columns, to the first word of the
        row of windows with each of its rows.
        """
        words = self.pooling.gradient_words
        address, window, row, following = (
            Signal(range(words), name=name) for name in ("address", "window", "row", "following")
        )
        m.d.comb += following.eq(Mux(address == words - 1, 0, address + 1))
        with m.If(self.step):
            m.d.sync += address.eq(following)
            with m.If(raster.pixel_end):
                with m.If(~raster.last_column):
                    m.d.sync += address.eq(window)
                with m.Elif(raster.row_end & ~raster.last_row):
                    m.d.sync += [address.eq(row), window.eq(row)]
                with m.Else():
                    m.d.sync += window.eq(following)
                    with m.If(raster.row_end):
                        m.d.sync += row.eq(following)
        return address
