"""A rough count of LUTs, from the widths of what a unit adds, selects and keeps.

Blocks are counted exactly (`counterflow.estimate`), LUTs are not: synthesis shares and folds logic
in ways that no short formula follows.  The weights below are fitted to what Yosys made of some
twenty units for ECP5; expect a fifth more or less, and more than that on other families.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from counterflow.arithmetic import COMPENSATION_FRAC, UnitArithmetic
from counterflow.blocks import MemoryCells
from counterflow.tiling import Tiling

BASE = 790.0  # counters, registers on the bus and streams of a unit
ADDED = 1.69  # for each bit of the sums in the lanes
AHEAD = 1.0  # for each bit of the sums of prediction and compensation
TURNED = 4.0  # for each bit that is turned into place between the banks of a window
INTAKE, LOSS, POOL = 700, 1000, 640  # whole units, which vary little
LUTS_OF_RAM: Mapping[str, float] = {"ecp5": 6, "ice40": 0, "xc7": 4}  # for each cell of LUT RAM
LUTS_OF_BIT = 1  # of a memory in flip-flops


def unit_luts(tiling: Tiling, numbers: UnitArithmetic, cells: MemoryCells, family: str) -> int:
    """About the LUTs of a unit with weights whose memories take `cells`."""
    parts = (
        (ADDED, added_bits(tiling, numbers)),
        (AHEAD, ahead_bits(tiling, numbers)),
        (TURNED, turned_bits(tiling, numbers)),
        (LUTS_OF_RAM[family], cells.lut_rams),
        (LUTS_OF_BIT, cells.flip_flops),
    )
    return round(BASE + sum(weight * amount for weight, amount in parts))


def added_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the sums and roundings of a unit's lanes, biases and adder trees."""
    high, wide, lanes = tiling.lanes.outputs, tiling.lanes.inputs, tiling.lane_count
    update = _update_bits(numbers)
    lane = update + 2 * numbers.operand.bits
    if tiling.lanes.shared:
        lane += numbers.operand.bits + numbers.x.bits + numbers.dy.bits
    bias = update + 2 * numbers.bias_operand.bits
    row = 2 * numbers.forward_sum.bits + 2 * numbers.y.bits
    total = lanes * (lane + numbers.forward_sum.bits) + high * (bias + row)
    if numbers.dx is not None:
        column = 2 * numbers.backward_sum.bits + 2 * numbers.dx.bits
        total += lanes * numbers.backward_sum.bits + wide * column
    return total


def ahead_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the sums that predict weights and compensate updates."""
    lanes, high = tiling.lane_count, tiling.lanes.outputs
    bits = (lanes + high) * _compensated_bits(numbers)
    if numbers.predicts:
        steps = numbers.horizon.bit_count() * numbers.weight.bits
        bits += lanes * (3 * numbers.operand.bits + steps)
        bits += high * (3 * numbers.bias_operand.bits + steps)
    return bits


def turned_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the multiplexers between the banks of windows and lanes, both ways."""
    width = 2 * numbers.x.bits + (0 if numbers.dx is None else numbers.backward_sum.bits)
    return (tiling.banks - 1) * tiling.lanes.inputs * width // 2


@lru_cache(maxsize=256)
def _update_bits(numbers: UnitArithmetic) -> int:
    """Bits of the sums of one update, and of the word that the bus reads and writes."""
    gradient = numbers.gradient.bits
    bits = numbers.velocity.bits + numbers.momentum_shift + 2 * _grown_bits(numbers)
    bits += numbers.velocity.bits + 2 * numbers.weight.bits + numbers.word_bits
    bits += numbers.rate_span * gradient
    return bits + (2 * gradient if numbers.sums_gradients else 0)


@lru_cache(maxsize=256)
def _compensated_bits(numbers: UnitArithmetic) -> int:
    if not numbers.compensates:
        return 0
    terms = numbers.compensation.bit_count() + 1
    return (terms + 3) * (_grown_bits(numbers) + COMPENSATION_FRAC)


def _grown_bits(numbers: UnitArithmetic) -> int:
    """Bits of a velocity and a gradient, aligned."""
    velocity = numbers.velocity.bits + numbers.velocity_drop
    return max(velocity, numbers.gradient.bits + numbers.gradient_shift(0))
