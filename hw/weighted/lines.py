"""Where the rows of an image stand in a memory that is used as a ring."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.tiling import Tiling
from counterflow.hw.parts.modules import is_compact


class Lines(wiring.Component):
    """Follows the kernel down an image: address of the row of the image under each of its rows.

    Images follow each other in a ring of `words` words, `tiling.row_words` a row.  Rows of padding
    have addresses, too; nobody looks there.

    Parameters: ``tiling``, ``words``.
    Members: ``down`` in: on to the next row of the kernel; ``restart`` in: back to its first row;
    ``place_down`` in: on to the next row of places; ``finish`` in: to the first place of the next
    image (the last two go with `restart`); ``line`` out, and ``under``: ``line`` - `words`.
    Cost: four registers of an address, eight adders beside each other; for images of one row in a
    compact design one register and three adders, one after the other.
    """

    def __init__(self, *, tiling: Tiling, words: int) -> None:
        self.tiling, self.words = tiling, words
        strobes = ("down", "restart", "place_down", "finish")
        super().__init__(
            {
                **{name: In(1) for name in strobes},
                "line": Out(range(max(2, words))),
                "under": Out(range(-words, 0)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, row, words = self.tiling.geometry, self.tiling.row_words, self.words
        first = -geometry.padding[0] * row % words
        rest = geometry.image[0] - (geometry.places[0] - 1) * geometry.stride[0]
        if is_compact(platform) and geometry.places[0] == 1 == geometry.kernel[0]:
            self._of_one_row(m)
            return m
        # Whoever adds to an address takes `under` once it is past the end: no subtraction behind.
        top, line = (Signal.like(self.line, name=name, init=first) for name in ("top", "now"))
        under_top, under_line = (
            Signal.like(self.under, name=f"under_{name}", init=first - words)
            for name in ("top", "now")
        )
        stepped = self._on((top, under_top), geometry.stride[0] * row)
        ended = self._on((top, under_top), rest * row)
        down = self._on((line, under_line), row)
        for index, (now, kept) in enumerate(((line, top), (under_line, under_top))):
            next_top = Mux(self.finish, ended[index], Mux(self.place_down, stepped[index], kept))
            with m.If(self.restart):
                m.d.sync += [kept.eq(next_top), now.eq(next_top)]
            with m.Elif(self.down):
                m.d.sync += now.eq(down[index])
        m.d.comb += [self.line.eq(line), self.under.eq(under_line)]
        return m

    def _of_one_row(self, m: Module) -> None:
        """Images without rows: nothing but their ends moves the address."""
        under = Signal.like(self.under, init=-self.words, name="under")
        further = under + self.tiling.image_words % self.words
        with m.If(self.restart & self.finish):
            m.d.sync += under.eq(Mux(further < 0, further, further - self.words))
        m.d.comb += [self.under.eq(under), self.line.eq(under + self.words)]

    def _on(self, place: tuple[Value, Value], by: int) -> list[Value]:
        """A place (address, address - words) in the ring, by so many words further on."""
        by %= self.words
        past = place[0] >= self.words - by
        return [Mux(past, one + (by - self.words), one + by) for one in place]
