"""Gather and Scatter lose, double or reorder nothing, whatever stalls; streams keep their rules."""

from __future__ import annotations

import random
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from amaranth.hdl import Cat

from counterflow.hw.parts.streams import Gather, Scatter
from counterflow.sim.bench.stalls import pattern
from counterflow.sim.streams import Taken, quiet, receive, send, simulate

BITS = 7
STALLS = (
    ("none", "none"),
    ("random", "none"),
    ("none", "random"),
    ("random", "random"),
    ("burst", "burst"),
    ("slow", "none"),
    ("none", "slow"),
    ("none", "late"),
)
SIZES = ((1, 1), (1, 4), (3, 7), (4, 8), (5, 3), (2, 1))  # lanes, elements in a token
TOKENS = 12


def elements(count: int) -> list[int]:
    """Elements of TOKENS tokens, none of them zero, so that padding shows."""
    source = random.Random(count)
    return [source.randrange(1, 1 << BITS) for _ in range(TOKENS * count)]


def words_of(items: list[int], lanes: int, count: int) -> list[int]:
    """The elements of each token, `lanes` a word, the last word of a token ending in zeros."""
    words = []
    for token in range(0, len(items), count):
        for start in range(token, token + count, lanes):
            parts = items[start : min(start + lanes, token + count)]
            words.append(sum(part << BITS * lane for lane, part in enumerate(parts)))
    return words


def gathered(items: list[int], lanes: int, count: int, stalls: tuple[str, str]) -> list[Taken]:
    """What leaves a Gather, and that it takes everything and makes nothing more."""
    gather = Gather(bits=BITS, lanes=lanes, count=count)
    words = len(words_of(items, lanes, count))
    got: list[Taken] = []

    async def source(ctx: Any) -> None:
        await send(ctx, gather.i, items, pattern(stalls[0], 1))

    async def sink(ctx: Any) -> None:
        got.extend(await receive(ctx, gather.o, words, pattern(stalls[1], 2)))
        await quiet(ctx, gather.o, 20)

    simulate(gather, source, sink, limit=4000)
    return got


@pytest.mark.parametrize("stalls", STALLS, ids="-".join)
@pytest.mark.parametrize(("lanes", "count"), SIZES)
def test_gather_packs_every_element_once_in_order_and_pads_with_zeros(
    lanes: int, count: int, stalls: tuple[str, str]
) -> None:
    items = elements(count)
    found = [word.payload for word in gathered(items, lanes, count, stalls)]
    assert found == words_of(items, lanes, count)


@pytest.mark.parametrize(("lanes", "count"), SIZES)
def test_gather_sends_a_word_in_the_cycle_of_its_last_element(lanes: int, count: int) -> None:
    found = [word.cycle for word in gathered(elements(count), lanes, count, ("none", "none"))]
    ends = [
        n for n in range(TOKENS * count) if (n % count + 1) % lanes == 0 or (n + 1) % count == 0
    ]
    assert found == ends


def test_gather_takes_all_of_a_word_but_its_last_element_though_nobody_takes_words() -> None:
    gather = Gather(bits=BITS, lanes=4, count=6)
    readiness = [1, 1, 1, 0, 0, 1, 0, 0, 1]  # a word of four elements and one of two

    async def bench(ctx: Any) -> None:
        ctx.set(gather.i.valid, 1)
        for cycle, ready in enumerate(readiness):
            assert ctx.get(gather.i.ready) == ready, f"cycle {cycle}"
            ctx.set(gather.o.ready, cycle in (4, 7))
            assert ctx.get(gather.i.ready) == (ready or cycle in (4, 7))
            await ctx.tick()
            ctx.set(gather.o.ready, 0)

    simulate(gather, bench)


def scattered(
    words: list[int], tags: list[int], unit: Scatter, latency: int, stalls: tuple[str, str]
) -> tuple[list[Taken], list[int]]:
    """Elements with tags that leave a Scatter whose words come `latency` cycles after their room.

    The second list is of the cycles of the pushes.
    """
    got: list[Taken] = []
    pushes: list[int] = []
    payload = Cat(unit.o.payload, unit.o_tag) if unit.tag else unit.o.payload
    port = SimpleNamespace(payload=payload, valid=unit.o.valid, ready=unit.o.ready)
    sends = len(words) // -(-unit.count // unit.lanes) * unit.count

    async def source(ctx: Any) -> None:
        gate: Iterator[bool] = pattern(stalls[0], 3)
        under_way: list[int | None] = [None] * latency
        waiting = list(range(len(words)))
        cycle = 0
        while waiting or any(index is not None for index in under_way):
            take = bool(waiting) and next(gate) and bool(ctx.get(unit.room))
            ctx.set(unit.reserve, take)
            under_way.append(waiting.pop(0) if take else None)
            index = under_way.pop(0)
            ctx.set(unit.push, index is not None)
            if index is not None:
                pushes.append(cycle)
                ctx.set(unit.word, words[index])
                if unit.tag:
                    ctx.set(unit.word_tag, tags[index])
            await ctx.tick()
            cycle += 1
        ctx.set(unit.reserve, 0)
        ctx.set(unit.push, 0)

    async def sink(ctx: Any) -> None:
        got.extend(await receive(ctx, port, sends, pattern(stalls[1], 4)))
        await quiet(ctx, unit.o, 20)

    simulate(unit, source, sink, limit=8000)
    return got, pushes


@pytest.mark.parametrize("stalls", STALLS, ids="-".join)
@pytest.mark.parametrize(("depth", "latency", "tag"), [(1, 1, 0), (2, 6, 2), (9, 5, 0)])
@pytest.mark.parametrize(("lanes", "count"), [(1, 4), (3, 7), (4, 8), (5, 3)])
def test_scatter_sends_every_element_once_in_order_with_its_tag_and_never_overflows(
    lanes: int, count: int, depth: int, latency: int, tag: int, stalls: tuple[str, str]
) -> None:
    items = elements(count)
    words = words_of(items, lanes, count)
    tags = [random.Random(5 + n).randrange(1 << tag) for n in range(len(words))]
    unit = Scatter(bits=BITS, lanes=lanes, count=count, depth=depth, tag=tag)
    found, _ = scattered(words, tags, unit, latency, stalls)
    per_token = -(-count // lanes)
    expected = [
        item | tags[n // count * per_token + n % count // lanes] << BITS
        for n, item in enumerate(items)
    ]
    assert [taken.payload for taken in found] == expected


@pytest.mark.parametrize(("lanes", "count"), [(1, 4), (3, 7), (5, 3)])
def test_scatter_sends_without_a_gap_from_the_cycle_after_a_push(lanes: int, count: int) -> None:
    items = elements(count)
    words = words_of(items, lanes, count)
    unit = Scatter(bits=BITS, lanes=lanes, count=count, depth=len(words))
    found, pushes = scattered(words, [0] * len(words), unit, 2, ("none", "none"))
    start = pushes[0] + 1
    assert [taken.cycle for taken in found] == list(range(start, start + len(items)))


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_scatter_grants_as_many_words_as_it_holds_and_one_again_for_each_that_has_left(
    depth: int,
) -> None:
    unit = Scatter(bits=BITS, lanes=2, count=4, depth=depth)

    async def bench(ctx: Any) -> None:
        for granted in range(depth + 1):
            assert ctx.get(unit.room) == (granted < depth)
            ctx.set(unit.reserve, granted < depth)
            ctx.set(unit.push, granted < depth)
            await ctx.tick()
        for _ in range(2 * depth):
            assert ctx.get(unit.room) == 0
            ctx.set(unit.o.ready, 1)
            await ctx.tick()
            assert ctx.get(unit.room) == 0  # half of the word is still there
            await ctx.tick()
            ctx.set(unit.o.ready, 0)
            assert ctx.get(unit.room) == 1
            ctx.set(unit.reserve, 1)
            ctx.set(unit.push, 1)
            await ctx.tick()
            ctx.set(unit.reserve, 0)
            ctx.set(unit.push, 0)

    simulate(unit, bench)


def test_scatter_without_a_tag_has_no_member_of_zero_bits() -> None:
    for tag, expected in ((0, set()), (2, {"word_tag", "o_tag"})):
        unit = Scatter(bits=BITS, lanes=2, count=4, depth=2, tag=tag)
        simulate(unit)
        assert unit.signature.members.keys() & {"word_tag", "o_tag"} == expected
