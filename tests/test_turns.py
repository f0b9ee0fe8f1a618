"""As few bias lanes serve a unit by turns as its folding allows; turns are counted, and chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.hdl import C, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.latency import (
    AHEAD,
    ISSUE,
    MEMORY,
    OPERANDS,
    PRODUCT,
    QUEUE,
    SUM,
    WORD,
    tree_latency,
)
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import can_be, rest, weight_writes
from counterflow.design.units.turns import (
    bias_lanes,
    bias_reads,
    bias_turns,
    bias_words,
    from_turns,
    in_turns,
    waiting_biases,
)
from counterflow.hw.parts.turns import Turns, chosen
from counterflow.sim.streams import simulate

GEOMETRIES = (
    Geometry.dense(7, 9),
    Geometry.dense(40, 32),
    Geometry((5, 5, 2), 6, kernel=(3, 2)),
)


def tilings() -> list[Tiling]:
    """Folds that differ in rows, columns, phases and positions."""
    found = [
        Tiling(geometry, Lanes(outputs=high, inputs=wide, shared=shared), first=False)
        for geometry in GEOMETRIES
        for high in range(1, geometry.outputs + 1)
        for wide in (1, 2, 4, 7)
        for shared in (False, True)
    ]
    return [one for one in found if can_be(one)]


def test_every_bias_has_its_turn_in_as_few_lanes_as_can_be() -> None:
    several = False
    for tiling in tilings():
        lanes, turns, high = bias_lanes(tiling), bias_turns(tiling), tiling.lanes.outputs
        assert lanes * turns >= high > lanes * (turns - 1)
        last_visit = (tiling.columns - 1) * tiling.phases  # after the turn that comes first
        assert turns - 1 <= last_visit
        several |= lanes > 1
        assert lanes == 1 or -(-high // (lanes - 1)) - 1 > last_visit  # gradients would be gone
    assert several


def test_no_bias_is_read_before_it_is_written() -> None:
    """In the same turn of the same row in the next slot, the only one in which it is."""
    for tiling in tilings():
        last_position = (tiling.geometry.positions - 1) * tiling.position_cycles
        written = weight_writes(tiling)[0] - last_position - (tiling.move_turns - 1)
        again = tiling.position_cycles + rest(tiling)
        assert written < again + ISSUE + bias_reads(tiling) + WORD - MEMORY


@pytest.mark.parametrize("stall", [0, 1, 7, 40])
def test_biases_are_there_when_their_sums_are_finished_and_as_many_wait_as_is_said(
    stall: int,
) -> None:
    """Every second row waits so long before its last tile, for words that have not arrived."""
    most = 0
    for tiling in tilings():
        high, lanes, row = tiling.lanes.outputs, bias_lanes(tiling), tiling.row_cycles
        sums = OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs) + SUM
        last = (tiling.columns - 1) * tiling.phases
        made, asked, begin = [], [], 0
        for number in range(6):
            wait = stall * (number % 2) if tiling.columns > 1 else 0
            first = begin + bias_reads(tiling) + WORD + AHEAD
            made += [first + turn for turn in range(bias_turns(tiling))]
            ends = begin + last + wait + sums - 1
            asked.append([ends + output for output in range(high)])
            # Sums leave one by one before those of the next row are finished.
            begin += max(row + wait, ends + high - (last + sums - 1) - begin)
        given = [
            asks[min(high, lanes * (turn + 1)) - 1] for asks in asked for turn in turns(tiling)
        ]
        needed = [asks[lanes * turn] for asks in asked for turn in turns(tiling)]
        assert all(at + QUEUE <= ask for at, ask in zip(made, needed, strict=True))
        levels = [sum(m < at for m in made) - sum(g < at for g in given) for at in made]
        assert max(levels) + 1 <= waiting_biases(tiling)
        most = max(most, max(levels) + 1)
    assert most > 8


def turns(tiling: Tiling) -> range:
    return range(bias_turns(tiling))


def test_a_vector_lies_in_the_memory_in_turns_and_comes_back() -> None:
    for tiling in tilings():
        vector = 1 + np.arange(tiling.outputs)
        words = in_turns(tiling, vector)
        assert words.shape == (bias_words(tiling), bias_lanes(tiling))
        row, output = divmod(tiling.outputs - 1, tiling.lanes.outputs)
        turn, lane = divmod(output, bias_lanes(tiling))
        assert words[row * bias_turns(tiling) + turn, lane] == tiling.outputs
        assert np.count_nonzero(words) == tiling.outputs
        assert np.array_equal(from_turns(tiling, words), vector)


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
