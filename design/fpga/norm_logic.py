"""A rough count of a norm's LUTs, from the widths of what it adds, shifts and selects.

Fitted to what Yosys 0.70 made of eleven norms, each of which it gives within a tenth, and of four
frozen ones, within a seventh.  On Xilinx
the many words that wait a few cycles are shift registers in LUTs.
"""

from __future__ import annotations

from collections.abc import Mapping

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.fpga.logic import FAMILIES, ahead_bits_of, update_bits
from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.group_times import GroupNormStage
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import Normal, Share
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.normalisation import SCALE_CONTROL, SHIFT_CONTROL, Normalisation

BASE = 600.0  # counters, order of tokens and updates, registers on the bus
FROZEN_BASE = 100.0  # the same where nothing moves, and no token comes back
ADDED = 1.2  # for each bit that is added, rounded or saturated
SHIFTED = 1.0  # for each bit and step of a shift by h
SELECTED = 1.0  # for each bit of a word of states that is chosen

LOGIC: Mapping[str, float] = {"ecp5": 1.0, "ice40": 0.83, "xc7": 0.8, "xcup": 0.8}
"""What that takes, compared with ECP5, delays included."""


def norm_luts(stage: NormalStage, cells: MemoryCells, family: str) -> int:
    """About the LUTs of a norm whose memories take `cells`."""
    of, numbers = FAMILIES[family], stage.numbers
    logic = FROZEN_BASE if numbers.frozen else BASE
    logic += SHIFTED * shifted_bits(numbers) + ADDED * gamma_added_bits(numbers)
    if not (stage.unit.moves or stage.unit.frozen):  # what moves beta is not built
        logic -= ADDED * update_bits(numbers.parameters)
    if isinstance(stage, GroupNormStage):
        logic += ADDED * group_added_bits(numbers) + SELECTED * group_selected_bits(stage)
    elif isinstance(stage, NormStage):
        logic += ADDED * added_bits(numbers) + SELECTED * selected_bits(stage)
    return round(LOGIC[family] * logic) + of.lut_ram * cells.lut_rams + cells.flip_flops


def added_bits(numbers: Normalisation) -> int:
    """Bits of the sums and roundings of both ways, and of the update of a channel."""
    y, root, parameters = numbers.y.bits, numbers.root.bits, numbers.parameters
    way = numbers.difference.bits + numbers.difference.bits + root + 4 * y
    if numbers.frozen:
        return way + numbers.variance.bits
    way += numbers.sums.bits + numbers.squares.bits + numbers.error_sum.bits
    update = 3 * (numbers.mean.bits + numbers.variance.bits) + numbers.variance.bits
    update += _divided(numbers.sums.bits, numbers.mean_share)
    update += _divided(numbers.squares.bits, numbers.variance_share)
    if numbers.dx is not None:
        z, wide = numbers.z.bits, numbers.wide.bits
        way += y + (SCALE_CONTROL.bits + y) + z + (z + root) + 2 * wide + 2 * numbers.dx.bits
        way += numbers.product_sum.bits + numbers.gradient_sum.bits
        update += 2 * (SCALE_CONTROL.bits + SHIFT_CONTROL.bits)
        update += _divided(numbers.product_sum.bits, numbers.scale_share)
        update += _divided(numbers.gradient_sum.bits, numbers.shift_share)
    return way + update + update_bits(parameters) + ahead_bits_of(parameters)


def gamma_added_bits(numbers: Normal) -> int:
    """As `added_bits`, of what a gamma adds: its products are rounded or summed, and it moves."""
    if numbers.gammas is None:
        return 0
    way = numbers.gamma.bits + numbers.y.bits
    if numbers.frozen:
        return way
    way += numbers.correlation.bits
    if numbers.dx is not None:
        way += numbers.dy.bits + numbers.gamma.bits
    return way + update_bits(numbers.gammas) + ahead_bits_of(numbers.gammas)


def shifted_bits(numbers: Normal) -> int:
    """Bits of the shifts by h, one a step: of xhat and dx, and of the variance to its root."""
    bits = numbers.difference.bits + numbers.root.bits + 2 * numbers.variance.bits
    if numbers.dx is not None:
        bits += numbers.z.bits + numbers.root.bits
    return numbers.halving_bits * bits


def selected_bits(stage: NormStage) -> int:
    """Bits of the words that updates and the bus choose between."""
    controls = 0 if stage.unit.frozen else SCALE_CONTROL.bits + SHIFT_CONTROL.bits
    return 4 * stage.state_bits + stage.table_bits + controls


def group_added_bits(numbers: GroupNormalisation) -> int:
    """As `added_bits`, of a norm of groups; sums are of a channel first, then of its group."""
    y, root, parameters = numbers.y.bits, numbers.root.bits, numbers.parameters
    way = numbers.difference.bits + numbers.difference.bits + root + 4 * y
    way += 2 * (numbers.sums.bits + numbers.squares.bits)
    found = numbers.spread.bits * (1 + numbers.count.bit_count()) + numbers.variance.bits
    found += _divided(numbers.sums.bits, numbers.centre_share)
    found += _divided(numbers.spread.bits, numbers.variance_share)
    if numbers.frozen:
        return way + found
    way += 2 * numbers.error_sum.bits
    if numbers.dx is not None:
        z, wide = numbers.z.bits, numbers.wide.bits
        way += y + numbers.corrected.bits + (numbers.product_mean.bits + y) + z + (z + root)
        way += wide + 2 * numbers.dx.bits + 2 * numbers.product_sum.bits
        found += _divided(numbers.error_sum.bits, numbers.error_share)
        found += _divided(numbers.product_sum.bits, numbers.product_share)
    return way + found + update_bits(parameters) + ahead_bits_of(parameters)


def group_selected_bits(stage: GroupNormStage) -> int:
    """As `selected_bits`, of a norm of groups."""
    return 4 * stage.state_bits + stage.beta_bits


def _divided(bits: int, share: Share) -> int:
    """Bits that are added where a sum of `bits` is divided by a constant."""
    return bits * (1 if share.factor == 1 else share.factor.bit_count() + 1)
