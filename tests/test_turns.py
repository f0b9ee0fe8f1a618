"""As few bias lanes serve a unit by turns as its folding allows; turns are counted, and chosen."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import C, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.latency import ISSUE, WORD
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import rest, weight_writes
from counterflow.design.units.turns import bias_lanes, bias_turns
from counterflow.hw.parts.turns import Turns, chosen
from counterflow.sim.streams import simulate

GEOMETRIES = (
    Geometry.dense(7, 9),
    Geometry.dense(40, 32),
    Geometry((5, 5, 2), 6, kernel=(3, 2)),
)


def tilings() -> list[Tiling]:
    """Folds that differ in rows, columns, phases and positions."""
    return [
        Tiling(geometry, Lanes(outputs=high, inputs=wide, shared=shared), first=False)
        for geometry in GEOMETRIES
        for high in range(1, geometry.outputs + 1)
        for wide in (1, 2, 4)
        for shared in (False, True)
    ]


def late(tiling: Tiling, turns: int) -> str:
    """What does not bear so many turns, if anything."""
    last_visit = (tiling.columns - 1) * tiling.phases  # after the turn that comes first
    if turns - 1 > last_visit:
        return "words and gradients are gone"
    last_position = (tiling.geometry.positions - 1) * tiling.position_cycles
    first = weight_writes(tiling)[0] - last_position - (tiling.move_turns - 1)
    read = tiling.position_cycles + rest(tiling) + ISSUE + WORD - 1
    return "the row is read before" if first + turns - 1 >= read else ""


def test_every_bias_has_its_turn_in_as_few_lanes_as_can_be() -> None:
    reasons = set()
    for tiling in tilings():
        lanes, turns, high = bias_lanes(tiling), bias_turns(tiling), tiling.lanes.outputs
        assert lanes * turns >= high > lanes * (turns - 1)
        assert not late(tiling, turns)
        if lanes > 1:
            reasons.add(late(tiling, -(-high // (lanes - 1))))
    assert reasons == {"words and gradients are gone", "the row is read before"}


@pytest.mark.parametrize("turns", [1, 2, 5])
def test_turns_are_counted_from_the_start_on(turns: int) -> None:
    dut = Turns(turns=turns)
    starts = [0, turns, 3 * turns + 2]
    seen = []

    async def bench(ctx: Any) -> None:
        for cycle in range(5 * turns + 4):
            ctx.set(dut.start, cycle in starts)
            await ctx.delay(0)
            if ctx.get(dut.active):
                seen.append((cycle, ctx.get(dut.turn)))
            else:
                assert ctx.get(dut.turn) == 0
            await ctx.tick()

    simulate(dut, bench)
    assert seen == [(start + turn, turn) for start in starts for turn in range(turns)]


class Choice(wiring.Component):
    """`chosen` among so many constants."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__({"index": In(range(max(2, count))), "o": Out(8)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += Signal().eq(1)
        m.d.comb += self.o.eq(chosen([C(100 + n, 8) for n in range(self.count)], self.index))
        return m


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_the_value_of_each_turn_is_chosen(count: int) -> None:
    dut = Choice(count)

    async def bench(ctx: Any) -> None:
        for index in range(count):
            ctx.set(dut.index, index)
            await ctx.tick()
            assert ctx.get(dut.o) == 100 + index

    simulate(dut, bench)
