"""Narrowing in hardware: drop fraction bits with a named rounding, then saturate.

Twin of `golden.parts.narrow`.  Pure combinational logic without multipliers: one adder to round,
two comparisons to saturate.
"""

from __future__ import annotations

from amaranth.hdl import C, Cat, Mux, Shape, Value

from counterflow.design.parts.formats import Format, Rounding


def shape_of(number: Format) -> Shape:
    """The Amaranth shape that holds a format."""
    return Shape(number.bits, number.signed)


def round_off(value: Value, drop: int, rounding: Rounding, random: Value | None = None) -> Value:
    """`value` without its lowest `drop` bits; `random` has `drop` bits, for stochastic rounding."""
    if drop <= 0:
        return value.shift_left(-drop)
    if len(value) <= drop + 1:  # widen, so that something is left
        value = value + C(0, Shape(drop + 2, value.shape().signed))
    if rounding is Rounding.TRUNCATE:
        return value.shift_right(drop)
    if rounding is Rounding.STOCHASTIC:
        if random is None:
            raise ValueError("stochastic rounding needs random bits")
        return (value + random).shift_right(drop)
    # Adding half less one, plus the bit that will be the lowest, carries exactly when the rest is
    # above half, or is half and the kept part is odd.
    carry = Cat(C((1 << (drop - 1)) - 1, drop), C(0, 1)) + value[drop]
    return (value + carry).shift_right(drop)


def half_of(drop: int, rounding: Rounding) -> int:
    """What `cut_off` wants in a value already: half of what its kept part counts in."""
    return 1 << (drop - 1) if drop > 0 and rounding is Rounding.NEAREST_EVEN else 0


def cut_off(value: Value, drop: int, rounding: Rounding) -> Value:
    """`round_off` of a value that has `half_of` more: an addition before it spares that of a carry.

    Where nothing is left below the kept part it was between two numbers, and has become the higher
    one; the even one is that, or the next lower one, which differs in the lowest bit only.
    """
    if not half_of(drop, rounding):
        return round_off(value, drop, rounding)
    kept = round_off(value, drop, Rounding.TRUNCATE)
    even = kept[0] & value[:drop].any()
    cut = Cat(even, kept[1:])
    return cut.as_signed() if kept.shape().signed else cut


def saturate(value: Value, target: Format) -> tuple[Value, Value]:
    """`value` clipped to the range of `target`, as that shape, and whether it was clipped."""
    shape = value.shape()
    if len(value) < target.bits + 1:  # widen, so that slice and comparisons are in range
        value = value + C(0, Shape(target.bits + 1, shape.signed))
    # The range is that of all bits, so the ones above tell, and no comparison needs a carry chain.
    sign = value[-1] if shape.signed else C(0, 1)
    spilt = value[target.bits - target.signed :]
    if target.signed:
        low, high = sign & ~spilt.all(), ~sign & spilt.any()
    else:
        low, high = sign, ~sign & spilt.any()
    inside = value[: target.bits]
    clipped = Mux(low, C(target.min, target.bits), Mux(high, C(target.max, target.bits), inside))
    sized = clipped[: target.bits]
    return (sized.as_signed() if target.signed else sized), low | high


def narrow(value: Value, frac: int, target: Format, rounding: Rounding) -> tuple[Value, Value]:
    """`value` with `frac` fraction bits as `target`, and whether it saturated."""
    return saturate(round_off(value, frac - target.frac, rounding), target)
