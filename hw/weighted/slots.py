"""The slots of a unit: which token goes forward in the running one, and which one comes back."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.units.slots import Stage
from counterflow.hw.weighted.bundles import Slot


class Slots(wiring.Component):
    """Remembers the kinds of the last D tokens: the one D slots ago comes back.

    Parameters: ``stage``, with its `delay` D.
    Members: ``kind`` of the token that goes forward in, ``finish`` in: the slot ends; ``slot`` out.
    Cost: 3 D registers; latency 0.  Where D is 0 nothing comes back.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        super().__init__({"kind": In(KIND_BITS), "finish": In(1), "slot": Out(Slot)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.slot.kind.eq(self.kind)
        for name, now in (
            ("returning", C(1)),
            ("learning", self.kind >= Kind.TRAIN),
            ("moving", self.kind == Kind.TRAIN),
        ):
            if not self.stage.delay:
                break
            past = Signal(self.stage.delay, name=f"{name}_past")
            m.d.comb += getattr(self.slot, name).eq(past[-1])
            with m.If(self.finish):
                m.d.sync += past.eq(Cat(now, past))
        return m
