"""Where the rows of an image stand in a memory that is used as a ring."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.tiling import Tiling


def wrapped(value: Value, words: int) -> Value:
    """`value`, which is below twice `words`, as an address of a ring of `words` words."""
    return Mux(value >= words, value - words, value)


class Lines(wiring.Component):
    """Follows the kernel down an image: address of the row of the image under each of its rows.

    Images follow each other in a ring of `words` words, `tiling.row_words` a row.  Rows of padding
    have addresses, too; nobody looks there.

    Parameters: ``tiling``, ``words``.
    Members: ``down`` in: on to the next row of the kernel; ``restart`` in: back to its first row;
    ``place_down`` in: on to the next row of places; ``finish`` in: to the first place of the next
    image (the last two go with `restart`); ``line`` out.
    Cost: two registers of an address, two adders.
    """

    def __init__(self, *, tiling: Tiling, words: int) -> None:
        self.tiling, self.words = tiling, words
        strobes = ("down", "restart", "place_down", "finish")
        super().__init__({**{name: In(1) for name in strobes}, "line": Out(range(max(2, words)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, row, words = self.tiling.geometry, self.tiling.row_words, self.words
        first = -geometry.padding[0] * row % words
        step = geometry.stride[0] * row % words
        rest = geometry.image[0] - (geometry.places[0] - 1) * geometry.stride[0]
        top = Signal(range(max(2, words)), init=first)
        next_top = Signal.like(top)
        moved = Mux(self.finish, rest * row % words, Mux(self.place_down, step, 0))
        m.d.comb += next_top.eq(wrapped(top + moved, words))
        line = Signal.like(top, init=first)
        with m.If(self.restart):
            m.d.sync += [top.eq(next_top), line.eq(next_top)]
        with m.Elif(self.down):
            m.d.sync += line.eq(wrapped(line + row % words, words))
        m.d.comb += self.line.eq(line)
        return m
