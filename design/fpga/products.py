"""What the products of lanes and other units take, of multiplier blocks or look-up tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from counterflow.design.fpga.blocks import multiplier_blocks
from counterflow.design.parts.formats import Format
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.tiling import Tiling

ROWS_AT_ONCE = 2  # bits of the narrower factor that one carry chain sees
FIRST: Mapping[str, float] = {"ecp5": 1.0, "ice40": 2.45, "xc7": 2.0, "xcup": 2.0}
"""LUTs of a bit of the first sums by family: those of further ones take one each.

On ECP5 the cells of a carry chain make the products of bits, too.  The others are fitted to what
Yosys 0.70 made of products of 6x4 to 16x16 bits, within a seventh."""
CELL = {"ecp5": 2}  # bits of a carry chain that a cell has, where LUTs are counted by cells


def factors(tiling: Tiling, numbers: UnitArithmetic) -> list[tuple[Format, Format]]:
    """The factors of each multiplier of a lane, as `hw.weighted.multiply` has them."""
    found = [(numbers.operand, numbers.loaded)]
    found += [(numbers.dy, numbers.loaded)] * (not numbers.frozen)
    found += [(numbers.operand, numbers.dy)] * (tiling.asides + (numbers.dx is not None))
    if not tiling.lanes.shared or len(found) == 1:
        return found
    # One product whose operands hold all of them: a weight or dy by x or dy.
    right = [numbers.loaded] if numbers.dx is None else [numbers.loaded, numbers.dy]
    return [(_holding(numbers.operand, numbers.dy), _holding(*right))]


def products_blocks(products: Sequence[tuple[Format, Format]], family: str) -> int:
    """Multiplier blocks of products by the formats of their factors."""
    return sum(multiplier_blocks(_signed(a), _signed(b), family) for a, b in products)


def unit_blocks(tiling: Tiling, numbers: UnitArithmetic, family: str) -> int:
    """Multiplier blocks of a unit with weights, as `hw.weighted.multiply` makes them."""
    lanes = tiling.lane_count - tiling.lanes.in_luts
    return lanes * products_blocks(factors(tiling, numbers), family)


def unit_product_luts(tiling: Tiling, numbers: UnitArithmetic, family: str) -> int:
    """LUTs of a unit's products that are no blocks, as `hw.parts.lut_product` makes them."""
    return tiling.lanes.in_luts * sum(
        product_luts(a.bits, b.bits, family, signed=(a if a.bits < b.bits else b).signed)
        for a, b in factors(tiling, numbers)
    )


@lru_cache(maxsize=1024)
def product_luts(a: int, b: int, family: str, *, signed: bool = True) -> int:
    """LUTs of the product of numbers of `a` and `b` bits, the narrower of which may be `signed`."""
    wide, rows, cell = max(a, b), min(a, b), CELL.get(family, 1)
    first = further = 0
    parts = [(at, min(rows, at + ROWS_AT_ONCE)) for at in range(0, rows, ROWS_AT_ONCE)]
    for at, end in parts:
        if end - at == 1 and not signed:  # no sum: the other factor or nothing
            further += wide
        else:
            first += _cells(wide + ROWS_AT_ONCE, cell)
    while len(parts) > 1:
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        further += sum(
            _cells(wide + high[1] - high[0], cell) for _, *rest in pairs for high in rest
        )
        parts = [(pair[0][0], pair[-1][1]) for pair in pairs]
    return round(FIRST[family] * first) + further


def _holding(*numbers: Format) -> Format:
    """Integers of as many bits as hold all these; signed if one of them is."""
    signed = any(number.signed for number in numbers)
    bits = max(number.bits + (signed and not number.signed) for number in numbers)
    return Format(signed=signed, bits=bits, frac=0)


def _signed(number: Format) -> int:
    """Bits of a number as a signed one."""
    return number.bits + (not number.signed)


def _cells(bits: int, cell: int) -> int:
    return -(-bits // cell) * cell
