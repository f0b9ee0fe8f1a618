"""A rough count of LUTs, from the widths of what a unit adds, selects and keeps.

Blocks are counted exactly (`design.fpga.estimate`), LUTs are not: synthesis shares and folds logic
in ways that no short formula follows.  The weights below are fitted to what Yosys 0.70 made for
ECP5: base, sums and predictions of the eight units of `digits` and `lenet5`, within a tenth; what
is turned of 21 units without turns; what is returned of the seven of `cifar-resnet`, within a
seventh; gradients that only pass of 15 units with and without them, most within a fifth.  Expect a
fifth more or less elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.units.arithmetic import COMPENSATION_FRAC, UnitArithmetic
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.turns import bias_lanes, bias_turns

BASE = 1600.0  # counters, registers on the bus and streams of a unit
ADDED = 1.3  # for each bit of the sums in the lanes
AHEAD = 0.61  # for each bit of the sums of prediction and compensation
TURNED = 2.0  # for each bit that is turned into place between the banks of a window
BANK = 73.0  # for each further bank, to address it
ASIDE = 400.0  # for each loss whose gradients only pass: its queue, slots, sums and way out
MOVING = 180.0  # for each of these where a kernel moves: rows under it are begun and ended
RETURNED = 950.0  # where x goes back beside dx: read once more, kept in step, told apart


class Family(NamedTuple):
    """LUTs of a family: those of intake and loss, which vary little, and the rest.

    ``lut_ram``: for each cell; ``logic``: what the logic of a unit takes, compared with ECP5.
    """

    intake: int
    loss: int
    lut_ram: int
    logic: float


FAMILIES: Mapping[str, Family] = {
    "ecp5": Family(intake=710, loss=1000, lut_ram=6, logic=1.0),
    "ice40": Family(intake=410, loss=600, lut_ram=0, logic=0.66),
    "xc7": Family(intake=180, loss=430, lut_ram=4, logic=0.57),
    "xcup": Family(intake=180, loss=430, lut_ram=8, logic=0.57),
}
PASSING: Mapping[str, str] = {"xcup": "xc7"}
"""Families whose LUTs are those of another, as the kinds of passing units know them."""


def unit_luts(tiling: Tiling, numbers: UnitArithmetic, cells: MemoryCells, family: str) -> int:
    """About the LUTs of a unit with weights whose memories take `cells`."""
    of = FAMILIES[family]
    logic = BASE + ADDED * added_bits(tiling, numbers) + AHEAD * ahead_bits(tiling, numbers)
    logic += TURNED * turned_bits(tiling, numbers) + BANK * (tiling.banks - 1)
    logic += RETURNED * numbers.returns + aside_logic(tiling, numbers)
    return round(of.logic * logic) + of.lut_ram * cells.lut_rams + cells.flip_flops


def added_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the sums and roundings of a unit's lanes, biases and adder trees."""
    high, wide, lanes = tiling.lanes.outputs, tiling.lanes.inputs, tiling.lane_count
    narrowed = numbers.operand.bits * (1 + goes_back(tiling, numbers))
    # A frozen weight is the operand already.
    lane = narrowed * (not numbers.frozen) + numbers.forward_sum.bits
    if tiling.lanes.shared:
        lane += numbers.operand.bits + numbers.x.bits + numbers.dy.bits
    row = 3 * numbers.forward_sum.bits  # the sum, begun with each row, and kept until its turn
    total = lanes * lane + moved_bits(tiling, numbers) + high * row
    total += 2 * numbers.forward_sum.bits + 2 * numbers.y.bits + moved_bias_bits(tiling, numbers)
    if numbers.rectifies:
        total += 2 * wide * numbers.x.bits
    if numbers.dx is not None:
        column = 2 * numbers.backward_sum.bits + 2 * numbers.dx.bits
        total += lanes * numbers.backward_sum.bits + wide * column
    return total


def goes_back(tiling: Tiling, numbers: UnitArithmetic) -> bool:
    """Whether gradients are multiplied with weights as they stand, beside predicted ones."""
    return numbers.dx is not None or tiling.asides > 0


def moved_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of what moves the weights of a tile, and of their words on the way to and from it."""
    lanes, bits = tiling.lane_count, numbers.word_bits
    if numbers.frozen:
        return lanes * bits
    sums = 2 * numbers.gradient.bits if numbers.sums_gradients else 0
    total = lanes * (bits + sums) + tiling.movers * (update_bits(numbers) - bits - sums)
    if tiling.move_turns > 1:  # chosen among the lanes of an update
        total += lanes * (bits + numbers.gradient.bits) // 2
    return total


def moved_bias_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """As `moved_bits`, of the biases, which take turns, on their way to the sums, too."""
    bits, lanes = numbers.word_bits + numbers.bias_operand.bits, bias_lanes(tiling)
    if numbers.frozen:
        return lanes * bits
    total = lanes * (bits + update_bits(numbers.of_biases))
    if bias_turns(tiling) > 1:
        total += tiling.lanes.outputs * numbers.dy.bits // 3
    return total


def aside_logic(tiling: Tiling, numbers: UnitArithmetic) -> float:
    """What the gradients take, as LUTs of ECP5, of losses that a unit does not learn from."""
    wide, total = tiling.lanes.inputs, numbers.backward_sum.bits
    bits = tiling.lane_count * total + wide * (total + numbers.dy.bits)  # dx is about as wide
    logic = ASIDE + ADDED * bits + MOVING * (tiling.geometry.positions > 1)
    logic += (tiling.banks - 1) * (BANK + TURNED * wide * total / 2)
    return tiling.asides * logic


def ahead_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the sums that predict weights and compensate updates."""
    lanes = tiling.lane_count
    bits = (tiling.movers + bias_lanes(tiling)) * _compensated_bits(numbers)
    if numbers.predicts:
        steps = numbers.horizon.bit_count() * numbers.weight.bits
        bits += lanes * (3 * numbers.operand.bits + steps)
        bits += bias_lanes(tiling) * (2 * numbers.bias_operand.bits + steps)
    return bits


def ahead_bits_of(numbers: UnitArithmetic) -> int:
    """As `ahead_bits`, of one bias."""
    steps = numbers.horizon.bit_count() * numbers.weight.bits
    predicted = 3 * numbers.bias_operand.bits + steps if numbers.predicts else 0
    return _compensated_bits(numbers) + predicted


def turned_bits(tiling: Tiling, numbers: UnitArithmetic) -> int:
    """Bits of the multiplexers between the banks of windows and lanes, both ways."""
    seen = (numbers.returns * numbers.x.bits or numbers.masks) * (numbers.dx is not None)
    width = numbers.x.bits + (seen if numbers.frozen else numbers.x.bits)
    width += 0 if numbers.dx is None else numbers.backward_sum.bits
    width += numbers.x.bits if numbers.returns else 0
    return (tiling.banks - 1) * tiling.lanes.inputs * width // 2


@lru_cache(maxsize=256)
def update_bits(numbers: UnitArithmetic) -> int:
    """Bits of the sums of one update, and of the word that the bus reads and writes."""
    if numbers.frozen:
        return numbers.word_bits
    gradient, clipped = numbers.gradient.bits, numbers.clipped.bits
    bits = numbers.velocity.bits + numbers.momentum_shift + 2 * _grown_bits(numbers)
    # A weight waits in LUT RAM, which is not much less than an addition.
    bits += numbers.velocity.bits + 3 * numbers.weight.bits + numbers.word_bits
    bits += numbers.rate_span * clipped
    if numbers.clips:  # the bits above the bound are compared, those below it replaced
        bits += gradient
    if numbers.decay_shift:  # shifted by the rate, rounded, taken off: fitted to a few lanes
        bits += (5 + 2 * numbers.rate_span) * numbers.weight.bits // 4
    return bits + (2 * gradient if numbers.sums_gradients else 0)


@lru_cache(maxsize=256)
def _compensated_bits(numbers: UnitArithmetic) -> int:
    """The gap, its multiple added to the rest, the rounding."""
    if not numbers.compensates:
        return 0
    multiple = numbers.compensation
    digits = (multiple ^ 3 * multiple).bit_count()  # of the non-adjacent form
    return (digits + 2) * (_grown_bits(numbers) + COMPENSATION_FRAC)


def _grown_bits(numbers: UnitArithmetic) -> int:
    """Bits of a velocity and a gradient, aligned."""
    velocity = numbers.velocity.bits + numbers.velocity_drop
    return max(velocity, numbers.clipped.bits + numbers.gradient_shift(0))
