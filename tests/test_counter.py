"""Counters go around, and their flags come out of registers."""

from __future__ import annotations

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.hw.parts.counter import around
from counterflow.sim.streams import respond


class Around(wiring.Component):
    """A counter of `count` steps with its flags."""

    step: Signal
    value: Signal
    first: Signal
    last: Signal

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(
            {
                "step": In(1),
                "value": Out(range(max(2, count))),
                **{name: Out(1) for name in ("first", "last")},
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first, last = around(m, self.value, self.step, self.count)
        m.d.comb += [self.first.eq(first), self.last.eq(last)]
        return m


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8])
def test_a_counter_goes_around_and_says_first_and_last_in_every_cycle(count: int) -> None:
    steps = [1, 1, 0, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1]
    found = respond(Around(count), {"step": steps}, ["value", "first", "last"])
    places = [sum(steps[:cycle]) % count for cycle in range(len(steps))]
    assert found == [(place, place == 0, place == count - 1) for place in places]
