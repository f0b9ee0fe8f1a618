"""A rough count of LUTs, from the widths of what a unit adds, selects and keeps.

Blocks are counted exactly (`counterflow.estimate`), LUTs are not: synthesis shares and folds logic
in ways that no short formula follows.  The weights below are fitted to what Yosys made of some
twenty units for ECP5; expect a fifth more or less, and more than that on other families.
"""

from __future__ import annotations

from collections.abc import Mapping

from counterflow.arithmetic import COMPENSATION_FRAC, UnitArithmetic
from counterflow.blocks import memory_cells
from counterflow.estimate import Memory, memories_of
from counterflow.schedule import Depths
from counterflow.tiling import Tiling

BASE = 900.0  # counters, registers on the bus and streams of a unit
ADDED = 1.0  # for each bit of the sums in the lanes
TURNED = 1.0  # for each bit that is turned into place between the banks of a window
INTAKE, LOSS, POOL = 600, 950, 640  # whole units, which vary little
LUTS_OF_RAM: Mapping[str, float] = {"ecp5": 6, "ice40": 0, "xc7": 4}  # for each cell of LUT RAM
LUTS_OF_BIT: Mapping[str, float] = {"ecp5": 1, "ice40": 1, "xc7": 1}  # of a memory in flip-flops


def unit_luts(tiling: Tiling, numbers: UnitArithmetic, depths: Depths, family: str) -> int:
    """Roughly the LUTs of a unit with weights."""
    memory = memory_luts(memories_of(tiling, numbers, depths), family)
    return round(BASE + ADDED * added_bits(tiling, numbers) + TURNED * turned_bits(tiling, numbers) + memory)


def memory_luts(parts: list[Memory], family: str) -> float:
    """LUTs of the memories that are in no block RAM."""
    cells = [
        memory_cells(p.words, p.bits, family, clocked=p.clocked, collides=p.collides) for p in parts
    ]
    return sum(
        LUTS_OF_RAM[family] * made.lut_rams + LUTS_OF_BIT[family] * made.flip_flops
        for made in cells
    )


def added_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of all sums and roundings of a unit's lanes, biases and adder trees."""
    high, wide, lanes = tiling.lanes.outputs, tiling.lanes.inputs, tiling.lane_count
    lane = _update_bits(numbers) + _narrowed_bits(numbers, numbers.operand.bits)
    if tiling.lanes.shared:
        lane += numbers.operand.bits + numbers.x.bits + numbers.dy.bits
    bias = _update_bits(numbers) + _narrowed_bits(numbers, numbers.bias_operand.bits)
    row = 2 * numbers.forward_sum.bits + 2 * numbers.y.bits
    total = lanes * (lane + numbers.forward_sum.bits) + high * (bias + row)
    if numbers.dx is not None:
        column = 2 * numbers.backward_sum.bits + 2 * numbers.dx.bits
        total += lanes * numbers.backward_sum.bits + wide * column
    return total


def turned_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the multiplexers between the banks of windows and lanes, both ways."""
    width = 2 * numbers.x.bits + (0 if numbers.dx is None else numbers.backward_sum.bits)
    return (tiling.banks - 1) * tiling.lanes.inputs * width // 2


def _update_bits(numbers: UnitArithmetic) -> int:
    """Bits of the sums of one update, and of the word that the bus reads and writes."""
    gradient = numbers.gradient.bits
    grown = max(
        numbers.velocity.bits + numbers.velocity_drop, gradient + numbers.gradient_shift(0)
    )
    bits = numbers.velocity.bits + numbers.momentum_shift + 2 * grown
    bits += numbers.velocity.bits + 2 * numbers.weight.bits + numbers.word_bits
    bits += numbers.rate_span * gradient
    if numbers.sums_gradients:
        bits += 2 * gradient
    if numbers.compensates:
        terms = numbers.compensation.bit_count() + 1
        bits += (terms + 3) * (grown + COMPENSATION_FRAC)
    return bits


def _narrowed_bits(numbers: UnitArithmetic, bits: int) -> int:
    """Bits of the weight as the multipliers see it, with and without prediction."""
    if not numbers.predicts:
        return 2 * bits
    return 5 * bits + numbers.horizon.bit_count() * numbers.weight.bits
