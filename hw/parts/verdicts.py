"""What the intake thinks of the samples that it holds."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Verdicts(wiring.Component):
    """Whether samples are good, in their order, the oldest one out of registers.

    Parameters: ``depth``.
    Members: ``room`` out; ``given`` in with ``good``; ``has_good``, ``has_bad`` out: the oldest is;
    ``taken`` in.
    Cost: two registers each; latency 1, one a cycle.
    """

    def __init__(self, *, depth: int) -> None:
        self.depth = depth
        super().__init__(
            {
                "room": Out(1, init=1),
                "given": In(1),
                "good": In(1),
                "has_good": Out(1),
                "has_bad": Out(1),
                "taken": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        good, bad = (Signal(self.depth, name=name) for name in ("good_ones", "bad_ones"))
        there = Signal(self.depth, name="there")
        m.d.comb += there.eq(good | bad)
        # Each moves on by one with the oldest; a new one comes behind the last that stays.
        last = Mux(self.taken, there, Cat(C(1, 1), there))
        for ones, new in ((good, self.good), (bad, ~self.good)):
            kept = Mux(self.taken, ones >> 1, ones)
            added = last & ~Mux(self.taken, there >> 1, there)
            new_one = added & (self.given & new).replicate(self.depth)
            m.d.sync += ones.eq(kept | new_one)
        m.d.comb += [self.has_good.eq(good[0]), self.has_bad.eq(bad[0])]
        m.d.comb += self.room.eq(~there[-1])
        return m
