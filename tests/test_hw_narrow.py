"""Narrowing in hardware equals narrowing in the golden model for every value of a whole range."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Cat, Module, Shape, Signal, Value
from amaranth.sim import Simulator
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format, Rounding
from counterflow.golden.parts import narrow as golden
from counterflow.hw.parts import narrow as hw

DETERMINISTIC = (Rounding.TRUNCATE, Rounding.NEAREST_EVEN)
SHAPES = (Shape(11, signed=True), Shape(11, signed=False), Shape(6, signed=True))


def everything(shape: Shape) -> NDArray[np.int64]:
    """All values of a shape."""
    low = -(1 << shape.width - 1) if shape.signed else 0
    return np.arange(low, low + (1 << shape.width))


def evaluated(
    inputs: Sequence[tuple[Shape, NDArray[np.int64]]], build: Callable[..., Sequence[Value]]
) -> list[NDArray[np.int64]]:
    """Each value that `build` makes of input signals, for every row of their columns."""
    signals = [Signal(shape, name=f"input_{n}") for n, (shape, _) in enumerate(inputs)]
    results = [Value.cast(value) for value in build(*signals)]
    total = Signal(sum(map(len, results)))
    m = Module()
    m.d.comb += total.eq(Cat(results))
    simulator = Simulator(m)
    seen: list[int] = []

    async def bench(ctx: Any) -> None:
        for row in zip(*(column.tolist() for _, column in inputs), strict=True):
            for signal, value in zip(signals, row, strict=True):
                ctx.set(signal, value)
            seen.append(ctx.get(total))

    simulator.add_testbench(bench)
    simulator.run()
    columns, place = [], 0
    for result in results:
        bits, shape = len(result), result.shape()
        column = np.array([(word >> place) & ((1 << bits) - 1) for word in seen])
        sign = 1 << bits - 1 if shape.signed else 0
        columns.append((column ^ sign) - sign)
        place += bits
    return columns


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_rounding_off_equals_golden_for_every_value(shape: Shape, rounding: Rounding) -> None:
    values = everything(shape)
    drops = range(-4, shape.width)
    found = evaluated(
        [(shape, values)], lambda value: [hw.round_off(value, drop, rounding) for drop in drops]
    )
    for drop, column in zip(drops, found, strict=True):
        expected = golden.round_off(values, drop, rounding)
        np.testing.assert_array_equal(column, expected, f"drop {drop}")


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_cutting_off_what_has_half_already_equals_golden_for_every_value(
    shape: Shape, rounding: Rounding
) -> None:
    values = everything(shape)
    drops = range(-4, shape.width + 3)

    def build(value: Value) -> list[Value]:
        return [hw.cut_off(value + hw.half_of(drop, rounding), drop, rounding) for drop in drops]

    for drop, column in zip(drops, evaluated([(shape, values)], build), strict=True):
        expected = golden.round_off(values, drop, rounding)
        np.testing.assert_array_equal(column, expected, f"drop {drop}")


@pytest.mark.parametrize("drop", [6, 7, 9])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_rounding_off_as_many_bits_as_there_are_or_more_equals_golden(
    rounding: Rounding, signed: bool, drop: int
) -> None:
    shape = Shape(6, signed)
    values = everything(shape)
    (found,) = evaluated([(shape, values)], lambda value: [hw.round_off(value, drop, rounding)])
    np.testing.assert_array_equal(found, golden.round_off(values, drop, rounding))


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("drop", [-2, 0, 1, 2, 3, 4])
def test_stochastic_rounding_equals_golden_for_every_value_and_random_number(
    drop: int, shape: Shape
) -> None:
    random_bits = max(1, drop)
    grid = np.meshgrid(everything(shape), np.arange(1 << random_bits), indexing="ij")
    values, random = (part.reshape(-1) for part in grid)
    (found,) = evaluated(
        [(shape, values), (Shape(random_bits), random)],
        lambda value, bits: [hw.round_off(value, drop, Rounding.STOCHASTIC, bits)],
    )
    expected = golden.round_off(values, drop, Rounding.STOCHASTIC, random)
    np.testing.assert_array_equal(found, expected)


def test_stochastic_rounding_without_random_bits_is_an_error() -> None:
    with pytest.raises(ValueError, match="stochastic rounding needs random bits"):
        hw.round_off(Signal(4), 1, Rounding.STOCHASTIC)


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
@pytest.mark.parametrize("signed", [False, True])
def test_saturation_and_its_flag_equal_golden_for_every_value_and_width(
    signed: bool, shape: Shape
) -> None:
    values = everything(shape)
    targets = [Format(signed, bits, 0) for bits in range(2 if signed else 1, 14)]

    def build(value: Value) -> list[Value]:
        return [part for target in targets for part in hw.saturate(value, target)]

    found = evaluated([(shape, values)], build)
    for target, column, flag in zip(targets, found[::2], found[1::2], strict=True):
        clipped, hit = golden.saturate(values, target)
        np.testing.assert_array_equal(column, clipped, str(target))
        np.testing.assert_array_equal(flag, hit, str(target))


@pytest.mark.parametrize("shape", SHAPES[:2], ids=repr)
@pytest.mark.parametrize("rounding", DETERMINISTIC)
def test_narrowing_equals_golden_for_every_value_and_many_formats(
    rounding: Rounding, shape: Shape
) -> None:
    frac = 5
    values = everything(shape)
    targets = [
        Format(signed, bits, target_frac)
        for signed, bits, target_frac in product((False, True), (2, 5, 8, 12), (0, 2, 4, 5, 8))
    ]

    def build(value: Value) -> list[Value]:
        return [part for t in targets for part in hw.narrow(value, frac, t, rounding)]

    found = evaluated([(shape, values)], build)
    for target, column, flag in zip(targets, found[::2], found[1::2], strict=True):
        narrowed, hit = golden.narrow(values, frac, target, rounding)
        np.testing.assert_array_equal(column, narrowed, str(target))
        np.testing.assert_array_equal(flag, hit, str(target))


@pytest.mark.parametrize("text", ["s2.0", "u1.0", "s20.18", "u8.8"])
def test_a_narrowed_value_has_the_width_and_sign_of_its_format(text: str) -> None:
    target = Format.parse(text)
    for shape in SHAPES:
        result, _ = hw.narrow(Signal(shape), 4, target, Rounding.NEAREST_EVEN)
        assert result.shape() == hw.shape_of(target) == Shape(target.bits, target.signed)
