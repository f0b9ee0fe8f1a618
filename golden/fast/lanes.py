"""Vectors of machine words for Numba, which by itself has none: LANES words of an array at once.

The operations of `golden.fast.words` (add, mul, shifts, bits, clip) take them too.  Loads always
read LANES words, so every array that is read so has LANES words to spare at its end.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from counterflow.golden.fast.words import (
    add,
    bit_and,
    block,
    clip,
    compiled,
    intrinsic,
    repeated,
    shift_left,
    shift_right,
)

LANES = 16


def filled(count: int) -> int:
    """`count` filled up to whole vectors."""
    return -(-count // LANES) * LANES


class Lanes(types.Type):
    """The Numba type of LANES words of the type `dtype`."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        vector = ir.VectorType(ir.IntType(kind.dtype.bitwidth), LANES)
        super().__init__(manager, kind, vector)  # type: ignore[no-untyped-call]


def _numbers(kind: Any) -> Any:
    """0, 1, ... LANES - 1."""
    return ir.Constant(ir.VectorType(ir.IntType(kind.dtype.bitwidth), LANES), list(range(LANES)))


def _limited(context: Any, builder: Any, kind: Any, count: Any, of: Any) -> Any:
    """`count`, at most LANES, in every lane."""
    most = ir.Constant(count.type, LANES)
    least = builder.select(builder.icmp_signed("<", count, most), count, most)
    return repeated(builder, context.cast(builder, least, of, kind.dtype), LANES)


@intrinsic
def spread(typing_context: Any, array: Any, value: Any) -> Any:
    """`value` in every lane, in the type of the elements of `array`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return repeated(builder, context.cast(builder, values[1], value, array.dtype), LANES)

    return Lanes(array.dtype)(array, value), generate


@intrinsic
def load_lanes(typing_context: Any, array: Any, index: Any) -> Any:
    """The elements from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = block(context, builder, array, values, LANES)
        return builder.load(place, align=array.dtype.bitwidth // 8)

    return Lanes(array.dtype)(array, index), generate


@intrinsic
def store_lanes(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
    """Store `value` from `index` on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = block(context, builder, array, values, LANES)
        builder.store(values[2], place, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def _store_first(typing_context: Any, array: Any, index: Any, value: Any, count: Any) -> Any:
    """As `store_first`, by way of what stands there."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place, align = block(context, builder, array, values, LANES), array.dtype.bitwidth // 8
        limit = _limited(context, builder, value, values[3], count)
        chosen = builder.icmp_signed("<", _numbers(value), limit)
        old = builder.load(place, align=align)
        builder.store(builder.select(chosen, values[2], old), place, align=align)
        return context.get_dummy_value()

    return types.void(array, index, value, count), generate


@compiled
def store_first(array: Any, index: int, value: Any, count: int) -> None:
    """Store the first `count` lanes from `index` on, all of them where it is LANES or more."""
    if count >= LANES:
        store_lanes(array, index, value)
    else:
        _store_first(array, index, value, count)


@intrinsic
def first(typing_context: Any, value: Any, count: Any) -> Any:
    """`value` with zero in all lanes but the first `count`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        limit = _limited(context, builder, value, values[1], count)
        chosen = builder.icmp_signed("<", _numbers(value), limit)
        return builder.select(chosen, values[0], ir.Constant(values[0].type, None))

    return value(value, count), generate


def _choice(relation: str) -> Any:
    @intrinsic
    def choose(typing_context: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return builder.select(builder.icmp_signed(relation, *values[:2]), *values[2:])

        return yes(a, b, yes, no), generate

    return choose


if_greater = _choice(">")  # lane by lane: `yes` where a > b, else `no`
if_equal = _choice("==")


@intrinsic
def any_set(typing_context: Any, value: Any) -> Any:
    """Whether any lane is not zero."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        flags = builder.icmp_signed("!=", values[0], ir.Constant(values[0].type, None))
        bits = builder.bitcast(flags, ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(value), generate


@intrinsic
def count_set(typing_context: Any, value: Any) -> Any:
    """How many lanes are not zero."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        flags = builder.icmp_signed("!=", values[0], ir.Constant(values[0].type, None))
        bits = builder.bitcast(flags, ir.IntType(LANES))
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(value), generate


@intrinsic
def widened(typing_context: Any, value: Any) -> Any:
    """Lanes of 64 bits with the numbers of `value`."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        if value.dtype.bitwidth == 64:
            return values[0]
        return builder.sext(values[0], ir.VectorType(ir.IntType(64), LANES))

    return Lanes(types.int64)(value), generate


@compiled
def rounded_lanes(like: Any, value: Any, how: Any) -> Any:
    """Lanes of words of the type of the array `like` narrowed, all but the clipping."""
    drop = spread(like, how.drop)
    value = shift_left(value, spread(like, how.lift))
    even = bit_and(shift_right(value, drop), spread(like, how.even))
    return shift_right(add(add(value, spread(like, how.half)), even), drop)


@compiled
def limited_lanes(like: Any, value: Any, how: Any) -> Any:
    """The clipping of a narrowing."""
    return clip(value, spread(like, how.low), spread(like, how.high))


@compiled
def copy_rows(stash: Any, source: int, to: int, rows: int, row: int, pitch: int) -> None:
    """Copy `rows` of so many elements each to where they begin `pitch` apart."""
    for number in range(rows):
        for i in range(0, row, LANES):
            value = load_lanes(stash, source + number * row + i)
            store_first(stash, to + number * pitch + i, value, row - i)
