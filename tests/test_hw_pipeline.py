"""Sums are exact and as late as the schedule says; constant products need no multiplication."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from amaranth.hdl import Cat, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from counterflow.design.units.latency import tree_latency
from counterflow.hw.parts import pipeline
from counterflow.hw.parts.delay_line import DelayLine
from counterflow.hw.parts.pipeline import (
    FAN_OUT,
    delayed,
    spread,
    spread_levels,
    summed,
    times_constant,
)
from counterflow.sim.streams import respond

BITS = 9


class Sum(wiring.Component):
    """`summed` over inputs ``i0``, ``i1`` ...; ``o`` is wide enough not to cut the sum."""

    def __init__(self, shapes: list[Shape], **how: int) -> None:
        self.shapes, self.how = shapes, how
        members = {f"i{index}": In(shape) for index, shape in enumerate(shapes)}
        super().__init__({**members, "o": Out(signed(24))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        terms = [getattr(self, f"i{index}") for index in range(len(self.shapes))]
        m.d.comb += self.o.eq(summed(m, terms, "sum", **self.how))
        return m


class Delay(wiring.Component):
    """`delayed` by `cycles`."""

    i: Value
    o: Value

    def __init__(self, cycles: int) -> None:
        self.cycles = cycles
        super().__init__({"i": In(signed(BITS)), "o": Out(signed(BITS))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(delayed(m, self.i, self.cycles, "late"))
        return m


def numbers(shape: Shape, count: int, seed: int) -> list[int]:
    """Random values of a shape, the extreme ones first."""
    low = -(1 << shape.width - 1) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    source = random.Random(seed)
    return [low, high, low, *(source.randint(low, high) for _ in range(count - 3))]


def extremes_and_noise(shapes: list[Shape], count: int) -> dict[str, list[int]]:
    """Columns for `Sum`; rows 0 to 2 have all terms at one end of their range."""
    return {f"i{n}": numbers(shape, count, seed=n) for n, shape in enumerate(shapes)}


@pytest.mark.parametrize("terms", range(1, 21))
@pytest.mark.parametrize("kind", ["signed", "unsigned", "mixed"])
def test_a_sum_is_exact_and_comes_after_the_latency_of_the_tree(kind: str, terms: int) -> None:
    plain = unsigned(BITS) if kind == "unsigned" else signed(BITS)
    shapes = [unsigned(n % 7 + 3) if kind == "mixed" and n % 2 else plain for n in range(terms)]
    count, latency = 20, tree_latency(terms)
    columns = extremes_and_noise(shapes, count)
    found = [o for (o,) in respond(Sum(shapes), columns, ["o"])]
    expected = [sum(row) for row in zip(*columns.values(), strict=True)]
    assert found[latency:] == expected[: count - latency]
    assert found[:latency] == [0] * latency


@pytest.mark.parametrize(
    ("terms", "radix", "levels", "latency"),
    [
        (1, 2, 3, 3),
        (2, 2, 3, 3),
        (5, 2, 3, 3),
        (8, 2, 3, 3),
        (9, 2, 3, 4),
        (1, 4, 0, 0),
        (5, 4, 1, 2),
    ],
)
def test_a_sum_of_fewer_terms_a_level_takes_at_least_the_levels_asked_for(
    terms: int, radix: int, levels: int, latency: int
) -> None:
    columns = extremes_and_noise([signed(BITS)] * terms, 20)
    total = Sum([signed(BITS)] * terms, radix=radix, levels=levels)
    found = [o for (o,) in respond(total, columns, ["o"])]
    assert (
        found[latency:] == [sum(row) for row in zip(*columns.values(), strict=True)][: 20 - latency]
    )
    assert found[:latency] == [0] * latency


def test_the_tree_sums_four_terms_a_level() -> None:
    """Latencies written out, so that a changed radix shows here and in the schedule alike."""
    assert [tree_latency(n) for n in (1, 2, 4, 5, 16, 17, 64, 65)] == [0, 1, 1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize("cycles", [0, 1, 2, 5])
def test_a_delayed_value_is_what_it_was_that_many_cycles_ago(cycles: int) -> None:
    values = numbers(signed(BITS), 30, seed=cycles)
    found = [o for (o,) in respond(Delay(cycles), {"i": values}, ["o"])]
    assert found == [0] * cycles + values[: len(values) - cycles]


class Spread(wiring.Component):
    """`spread` to so many readers; ``o`` has what each of them sees."""

    def __init__(self, readers: int, cycles: int) -> None:
        self.readers, self.cycles = readers, cycles
        super().__init__({"i": In(signed(BITS)), "o": Out(readers * BITS)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.o.eq(Cat(spread(m, self.i, self.readers, self.cycles, "tree")))
        return m


@pytest.mark.parametrize("cycles", [0, 1, 2, 4])
@pytest.mark.parametrize("readers", [1, 8, 9, 70])
def test_every_reader_of_a_tree_sees_the_value_as_many_cycles_late(
    readers: int, cycles: int
) -> None:
    values = numbers(unsigned(BITS), 20, seed=readers + cycles)
    late = [0] * cycles + values[: len(values) - cycles]
    copies = sum(1 << BITS * index for index in range(readers))
    found = [o for (o,) in respond(Spread(readers, cycles), {"i": values}, ["o"])]
    assert found == [value * copies for value in late]


@pytest.mark.parametrize("more", [0, 1, 2])
@pytest.mark.parametrize("readers", [1, 7, 8, 9, 64, 65, 200, 513])
def test_no_register_of_a_tree_has_more_readers_than_the_fan_out(
    readers: int, more: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers_of: Counter[int] = Counter()
    made: list[Value] = []

    def own(m: Module, value: Value, name: str) -> Signal:
        readers_of[id(value)] += 1
        made.append(register := Signal(value.shape(), name=name))
        return register

    monkeypatch.setattr(pipeline, "own", own)
    source = Signal(BITS, name="source")
    found = spread(Module(), source, readers, spread_levels(readers) + more, "tree")
    readers_of.update(map(id, found))
    assert len(found) == readers
    assert max(readers_of.values()) <= FAN_OUT
    assert {id(source), *map(id, made)} == set(readers_of)  # and none without a reader


def test_levels_of_a_tree_grow_with_its_readers() -> None:
    """Written out, as a generator of random bits steps earlier by them."""
    assert [spread_levels(n) for n in (1, 8, 9, 64, 65, 512, 513)] == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("block", [False, True])
@pytest.mark.parametrize("cycles", [3, 8, 13])
def test_a_delay_line_gives_what_registers_would(cycles: int, block: bool) -> None:
    values = numbers(unsigned(BITS), 60, seed=cycles)
    line = DelayLine(bits=BITS, cycles=cycles, block=block)
    found = [o for (o,) in respond(line, {"i": values}, ["o"])]
    assert found == [0] * cycles + values[: len(values) - cycles]


def test_a_delay_line_of_two_cycles_is_refused() -> None:
    with pytest.raises(ValueError, match="cycles is 2, expected at least 3"):
        DelayLine(bits=BITS, cycles=2, block=True)


@pytest.mark.parametrize("shape", [signed(BITS), unsigned(BITS), signed(1), unsigned(1)], ids=repr)
def test_a_constant_product_is_the_product_for_every_constant(shape: Shape) -> None:
    factors = range(-40, 301)
    operand = Signal(shape)
    products = [Value.cast(times_constant(operand, factor)) for factor in factors]
    exact = [Signal(signed(BITS + 12), name=f"exact_{n}") for n in range(len(products))]
    total = Signal(len(exact) * (BITS + 12))
    m = Module()
    m.d.comb += [wide.eq(product) for wide, product in zip(exact, products, strict=True)]
    m.d.comb += total.eq(Cat(exact))
    simulator = Simulator(m)
    low = -(1 << shape.width - 1) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    values = {low, low + 1, -1, 0, 1, 3, 0x55, high - 1, high} & set(range(low, high + 1))

    async def bench(ctx: Any) -> None:
        for value in sorted(values):
            ctx.set(operand, value)
            found = ctx.get(total)
            for place, factor in enumerate(factors):
                word = (found >> place * (BITS + 12)) & ((1 << BITS + 12) - 1)
                expected = value * factor % (1 << BITS + 12)
                assert word == expected, f"{value} times {factor}"

    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("factor", [0, 1, 7, 128, 255, 171, 300, 1477])
def test_a_constant_product_has_a_term_for_each_non_zero_signed_digit_and_no_product(
    factor: int,
) -> None:
    digits = bin(3 * factor ^ factor).count("1")  # of the non-adjacent form
    text = repr(times_constant(Signal(signed(BITS), name="operand"), factor))
    assert "(*" not in text
    assert text.count("(sig operand)") == (digits or 2)  # zero is the operand less itself
