"""Where in its image an element lies that is normalised, and in which group of channels."""

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
        pixel = Signal(range(max(2, self.pixels)), name="pixel")
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


class GroupPlace(wiring.Component):
    """Counts the groups of channels of the pixels that follow each other.

    Parameters: ``channels``, ``group`` of them together.
    Members: ``step`` in: the element is dealt with; of the current one, out: ``number`` of its
    group, ``opens``, ``closes``: it is of the first, the last channel of that.
    Cost: two counters.
    """

    def __init__(self, *, channels: int, group: int) -> None:
        self.group, self.groups = group, channels // group
        super().__init__(
            {
                "step": In(1),
                "number": Out(range(max(2, self.groups))),
                "opens": Out(1),
                "closes": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        member = Signal(range(max(2, self.group)), name="member")
        m.d.comb += [self.opens.eq(member == 0), self.closes.eq(member == self.group - 1)]
        with m.If(self.step):
            m.d.sync += member.eq(Mux(self.closes, 0, member + 1))
            with m.If(self.closes):
                last = self.number == self.groups - 1
                m.d.sync += self.number.eq(Mux(last, 0, self.number + 1))
        return m
