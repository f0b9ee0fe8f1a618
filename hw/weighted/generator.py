"""The random generator of stochastic rounding, twin of `golden.parts.generator`: xorshift32."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Generator(wiring.Component):
    """Steps in each cycle with `step`; the new state is there in the next cycle.

    Members: ``step`` in; ``load`` in with ``initial``, replaces the state (never by zero);
    ``state`` out, 32 bits.
    Cost: 32 registers and about 80 exclusive-ors.
    """

    def __init__(self) -> None:
        super().__init__(
            {"step": In(1), "load": In(1), "initial": In(32), "state": Out(32, init=1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first = Signal(32, name="first")
        second = Signal(32, name="second")
        third = Signal(32, name="third")
        m.d.comb += [
            first.eq(self.state ^ (self.state << 13)[:32]),
            second.eq(first ^ (first >> 17)),
            third.eq(second ^ (second << 5)[:32]),
        ]
        with m.If(self.load):
            m.d.sync += self.state.eq(self.initial)
        with m.Elif(self.step):
            m.d.sync += self.state.eq(third)
        return m
