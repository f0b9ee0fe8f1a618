"""Where a walk over an image, and over what is beside it, stands."""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class Course(NamedTuple):
    """One direction of a walk: `steps` steps, whose phase counts modulo `stride` from `phase`."""

    steps: int
    stride: int
    phase: int


class Sweep(wiring.Component):
    """Counts the steps of walks that follow each other, row by row, channels last.

    Parameters: ``down`` and ``across``, ``channels``.
    Members: ``step`` in: the step is made, the next one is to be described; of the current one,
    out: ``row``, ``row_phase``, ``column``, ``column_phase``, and ``first``, that of a walk.
    Cost: five counters.
    """

    def __init__(self, *, down: Course, across: Course, channels: int) -> None:
        self.down, self.across, self.channels = down, across, channels
        super().__init__(
            {
                "step": In(1),
                "row": Out(range(max(2, down.steps))),
                "row_phase": Out(range(max(2, down.stride)), init=down.phase),
                "column": Out(range(max(2, across.steps))),
                "column_phase": Out(range(max(2, across.stride)), init=across.phase),
                "first": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        channel = Signal(range(max(2, self.channels)), name="channel")
        last = channel == self.channels - 1
        with m.If(self.step):
            m.d.sync += channel.eq(Mux(last, 0, channel + 1))
        carry: Value = self.step & last
        for course, place, phase in (
            (self.across, self.column, self.column_phase),
            (self.down, self.row, self.row_phase),
        ):
            ends = place == course.steps - 1
            following = Mux(phase == course.stride - 1, 0, phase + 1)
            with m.If(carry):
                m.d.sync += [
                    place.eq(Mux(ends, 0, place + 1)),
                    phase.eq(Mux(ends, course.phase, following)),
                ]
            carry = carry & ends
        m.d.comb += self.first.eq((channel == 0) & (self.column == 0) & (self.row == 0))
        return m
