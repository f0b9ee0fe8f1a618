"""The forward pass of units whose kernel stops at several places, in `golden.fast.chain`.

The weights are rounded once a slot into operands.  Sums are made for LANES outputs and PLACES
places at a time, tap by tap.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.dense import bias_operand
from counterflow.golden.fast.lanes import (
    LANES,
    any_set,
    first,
    if_greater,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    spread,
    store_first,
    store_lanes,
)
from counterflow.golden.fast.records import PLACES, Memory
from counterflow.golden.fast.words import access, add, bit_xor, compiled, mul, sub

Record = Any  # an element of one of the types in `golden.fast.records`

load_word, store_word = access()


@compiled
def operand_lanes(memory: Memory, unit: Record, at: int, horizon: int) -> Any:
    """The operands of the weights from number `at` on, predicted."""
    weight = memory.weight
    ahead = mul(load_lanes(memory.velocity, at), spread(weight, horizon))
    value = sub(load_lanes(weight, at), ahead)
    return limited_lanes(weight, rounded_lanes(weight, value, unit.operand), unit.operand)


@compiled
def _forward_operands(memory: Memory, unit: Record, horizon: int) -> None:
    """Operands as [taps, outputs], and the biases behind them; what fills a row means nothing."""
    operands, row, taps, block = memory.operands, memory.row, unit.taps, unit.block
    for o in range(unit.outputs):
        for k in range(0, taps, LANES):
            at = unit.weights + o * taps + k
            store_lanes(row, k, operand_lanes(memory, unit, at, horizon))
        for k in range(taps):
            store_word(operands, k * block + o, load_word(row, k))
        operands[taps * block + o] = bias_operand(memory, unit, o, horizon)


@compiled
def convolve(memory: Memory, unit: Record, x: int, y: int, horizon: int) -> int:
    """Forward pass from stash[x] to stash[y]; returns its saturations."""
    _forward_operands(memory, unit, horizon)
    count = 0
    for row in range(unit.down):
        for column in range(0, unit.across, PLACES):
            left = unit.across - column
            at = x + row * unit.step_down + column * unit.step_across
            _sum_windows(memory, unit, at, left)
            to = y + row * unit.y_pitch + column * unit.outputs
            for place in range(min(left, PLACES)):
                start, room = place * unit.block, (left - place) * unit.outputs
                count += _emit_outputs(memory, unit, start, to + place * unit.outputs, room)
    return count


@compiled
def _sum_windows(memory: Memory, unit: Record, at: int, left: int) -> None:
    """Sums of the windows at stash[at] and the next places into `totals`, `left` at most."""
    stash, operands, totals, block = memory.stash, memory.operands, memory.totals, unit.block
    at1 = at + (unit.step_across if left > 1 else 0)
    at2 = at1 + (unit.step_across if left > 2 else 0)
    at3 = at2 + (unit.step_across if left > 3 else 0)
    for start in range(0, block, LANES):
        total0 = load_lanes(operands, unit.taps * block + start)
        total1 = total2 = total3 = total0
        weights = start
        for row in range(unit.kernel_rows):
            offset = row * unit.pitch
            for k in range(offset, offset + unit.row_taps):
                operand = load_lanes(operands, weights)
                total0 = add(total0, mul(operand, spread(stash, load_word(stash, at + k))))
                total1 = add(total1, mul(operand, spread(stash, load_word(stash, at1 + k))))
                total2 = add(total2, mul(operand, spread(stash, load_word(stash, at2 + k))))
                total3 = add(total3, mul(operand, spread(stash, load_word(stash, at3 + k))))
                weights += block
        store_lanes(totals, start, total0)
        store_lanes(totals, block + start, total1)
        store_lanes(totals, 2 * block + start, total2)
        store_lanes(totals, 3 * block + start, total3)


@compiled
def _emit_outputs(memory: Memory, unit: Record, start: int, y: int, room: int) -> int:
    """Activate the sums of one place; returns the rows of tiles that saturated.

    It may spoil some of the words behind, up to `room` words from y on, which later places set.
    """
    stash, flags, any_clipped = memory.stash, memory.flags, False
    for o in range(0, unit.block, LANES):
        total = load_lanes(memory.totals, start + o)
        if unit.relu:
            zero = spread(stash, 0)
            total = if_greater(total, zero, total, zero)
        rounded = rounded_lanes(stash, total, unit.y_to)
        value = limited_lanes(stash, rounded, unit.y_to)
        store_first(stash, y + o, value, room - o)
        clipped = first(bit_xor(rounded, value), unit.outputs - o)
        store_lanes(flags, o, clipped)
        any_clipped |= any_set(clipped)
    count = 0
    if any_clipped:
        for row in range(unit.rows):
            hit = False
            for o in range(row * unit.high, min((row + 1) * unit.high, unit.outputs)):
                hit |= flags[o] != 0
            count += hit
    return count
