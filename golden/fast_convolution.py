"""Units whose kernel stops at several places, in `golden.fast`.

The weights are rounded once a slot into operands.  The forward pass makes a sum for LANES outputs
and PLACES places at a time, tap by tap.  The backward pass and the gradient go through the errors
that are not zero, a minority behind a ReLU or a maximum, each with LANES taps at a time.
"""

from __future__ import annotations

from typing import Any

from golden.fast_dense import bias_operand
from golden.fast_lanes import (
    LANES,
    any_set,
    first,
    if_greater,
    load_lanes,
    spread,
    store_first,
    store_lanes,
)
from golden.fast_memory import PLACES, Memory
from golden.fast_words import (
    access,
    add,
    bit_and,
    bit_xor,
    clip,
    compiled,
    mul,
    shift_left,
    shift_right,
    sub,
    word,
)

Record = Any  # an element of one of the types in `golden.fast_memory`

load_word, store_word = access()


@compiled
def rounded_lanes(like: Any, value: Any, how: Record) -> Any:
    """Lanes of words of the type of the array `like` narrowed, all but the clipping."""
    drop = spread(like, how.drop)
    value = shift_left(value, spread(like, how.lift))
    even = bit_and(shift_right(value, drop), spread(like, how.even))
    return shift_right(add(add(value, spread(like, how.half)), even), drop)


@compiled
def limited_lanes(like: Any, value: Any, how: Record) -> Any:
    """The clipping of a narrowing."""
    return clip(value, spread(like, how.low), spread(like, how.high))


@compiled
def _operand_lanes(memory: Memory, unit: Record, at: int, horizon: int) -> Any:
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
            store_lanes(row, k, _operand_lanes(memory, unit, at, horizon))
        for k in range(taps):
            store_word(operands, k * block + o, load_word(row, k))
        operands[taps * block + o] = bias_operand(memory, unit, o, horizon)


@compiled
def _backward_operands(memory: Memory, unit: Record) -> None:
    """Operands as [outputs, kernel rows, width], zero where there is no tap."""
    to = 0
    for o in range(unit.outputs):
        for row in range(unit.kernel_rows):
            start = unit.weights + o * unit.taps + row * unit.row_taps
            for k in range(0, unit.row_taps, LANES):
                found = _operand_lanes(memory, unit, start + k, 0)
                store_lanes(memory.operands, to, first(found, unit.row_taps - k))
                to += LANES


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
        rounded = rounded_lanes(stash, total, unit.y)
        value = limited_lanes(stash, rounded, unit.y)
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


@compiled
def find_errors(memory: Memory, unit: Record, dy: int) -> int:
    """List the errors that are not zero, with window and output, and add them to the biases'.

    Returns how many there are.
    """
    errors, count, at = memory.errors, 0, dy
    for row in range(unit.down):
        for column in range(unit.across):
            window = row * unit.step_down + column * unit.step_across
            for start in range(0, unit.outputs, LANES):
                left = unit.outputs - start
                if not any_set(first(load_lanes(errors, at + start), left)):
                    continue
                for o in range(start, start + min(left, LANES)):
                    error = load_word(errors, at + o)
                    store_word(memory.found_error, count, error)
                    store_word(memory.found_window, count, window)
                    store_word(memory.found_output, count, o)
                    count += error != 0
            at += unit.outputs
    for n in range(count):
        memory.bias_gradient[unit.biases + memory.found_output[n]] += memory.found_error[n]
    return count


@compiled
def add_gradient(memory: Memory, unit: Record, x: int, count: int) -> None:
    """Add the products of the errors found with their windows of stash[x] to the gradient."""
    stash, gradient = memory.stash, memory.gradient
    for n in range(count):
        error = spread(gradient, memory.found_error[n])
        to = unit.gradient + memory.found_output[n] * unit.kernel_rows * unit.width
        start = x + memory.found_window[n]
        for _ in range(unit.kernel_rows):
            for k in range(0, unit.width, LANES):
                products = mul(error, load_lanes(stash, start + k))
                store_lanes(gradient, to + k, add(load_lanes(gradient, to + k), products))
            to += unit.width
            start += unit.pitch


@compiled
def convolve_back(memory: Memory, unit: Record, count: int) -> None:
    """Add the products of the errors found with the weights to the sums of dx."""
    _backward_operands(memory, unit)
    sums, operands = memory.sums, memory.operands
    for n in range(count):
        error = spread(sums, memory.found_error[n])
        weights = memory.found_output[n] * unit.kernel_rows * unit.width
        start = memory.found_window[n]
        for _ in range(unit.kernel_rows):
            for k in range(0, unit.width, LANES):
                products = mul(error, load_lanes(operands, weights + k))
                store_lanes(sums, start + k, add(load_lanes(sums, start + k), products))
            weights += unit.width
            start += unit.pitch


@compiled
def emit_gradient(memory: Memory, unit: Record, x: int, dx: int, stamp: int) -> int:
    """Narrow the sums to dx at errors[dx], masked by a ReLU that x comes from, and clear them.

    Returns the words of windows that saturated; `stamp` is a number that none has had before.
    """
    sums, stash, errors, any_clipped = memory.sums, memory.stash, memory.errors, False
    zero, count, inputs = spread(sums, 0), 0, unit.row_inputs
    passing = spread(sums, 0 if unit.masks else -1)
    flags = sums  # a sum that has been read makes room for its flag
    for row in range(unit.image_rows):
        start = unit.origin + row * unit.pitch
        for i in range(0, inputs, LANES):
            rounded = rounded_lanes(sums, load_lanes(sums, start + i), unit.dx)
            seen = load_lanes(stash, x + start + i)
            rounded = if_greater(seen, zero, rounded, bit_and(rounded, passing))
            value = limited_lanes(sums, rounded, unit.dx)
            clipped = first(bit_xor(rounded, value), inputs - i)
            any_clipped |= any_set(clipped)
            store_first(flags, start + i, clipped, inputs - i)
            to = dx + row * inputs + i
            store_first(errors, to, value, inputs - i)
    if any_clipped:
        for row in range(unit.image_rows):
            for i in range(inputs):
                place = memory.covers[unit.covers + row * inputs + i]
                flag = flags[unit.origin + row * unit.pitch + i]
                if flag != 0 and memory.marks[place] != stamp:
                    memory.marks[place] = stamp
                    count += 1
    for i in range(unit.size):
        store_word(sums, i, word(sums, 0))
    return count
