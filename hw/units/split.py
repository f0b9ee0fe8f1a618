"""The split: each element to the branch whose turn it is; twin of `golden.units.split`."""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import split
from counterflow.design.units.passing import PassingStage
from counterflow.hw.parts.streams import activation_stream


class Split(wiring.Component):
    """Sends the first elements of a token to one branch, and those behind them to the next.

    Parameters: ``numbers``.
    Members: ``x`` stream of activations; ``y0``, ``y1``, ... streams of the branches' elements.
    Cost: a counter of elements; latency 0, one element a cycle.
    """

    def __init__(self, *, numbers: split.Split) -> None:
        self.numbers = numbers
        members: dict[str, In | Out] = {"x": In(activation_stream(numbers.x))}
        for index in range(len(numbers.elements)):
            members[f"y{index}"] = Out(activation_stream(numbers.x))
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(numbers=stage.numbers)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = sum(self.numbers.elements)
        element = Signal(range(max(2, count)), name="element")
        for index, part in enumerate(self.numbers.parts):
            y = getattr(self, f"y{index}")
            turn = (element >= part.start) & (element < part.stop)
            m.d.comb += [y.payload.eq(self.x.payload), y.valid.eq(self.x.valid & turn)]
            with m.If(turn & y.ready):
                m.d.comb += self.x.ready.eq(1)
        with m.If(self.x.valid & self.x.ready):
            m.d.sync += element.eq(Mux(element == count - 1, 0, element + 1))
        return m
