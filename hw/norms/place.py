"""Where in its image an element lies that is normalised."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Place(wiring.Component):
    """Counts the elements of images that follow each other, pixel by pixel, channels last.

    Parameters: ``channels``, ``pixels``.
    Members: ``step`` in: the element is dealt with; of the current one, out: ``channel``, ``first``
    and ``last``: it is of the first, the last pixel; ``begins``, ``ends``: it is the first, the
    last element of an image.
    Cost: two counters.
    """

    def __init__(self, *, channels: int, pixels: int) -> None:
        self.channels, self.pixels = channels, pixels
        flags = ("first", "last", "begins", "ends")
        channel = range(max(2, channels))
        super().__init__(
            {"step": In(1), "channel": Out(channel), **{name: Out(1) for name in flags}}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pixel = Signal(range(max(2, self.pixels)))
        end = self.channel == self.channels - 1
        with m.If(self.step):
            m.d.sync += self.channel.eq(Mux(end, 0, self.channel + 1))
            with m.If(end):
                m.d.sync += pixel.eq(Mux(self.last, 0, pixel + 1))
        m.d.comb += [
            self.first.eq(pixel == 0),
            self.last.eq(pixel == self.pixels - 1),
            self.begins.eq(self.first & (self.channel == 0)),
            self.ends.eq(self.last & end),
        ]
        return m
