"""The backward pass and the gradient, one error at a time, in `golden.fast.chain`.

Only errors that are not zero count, a minority behind a ReLU or a maximum; where they are many, as
behind a norm, `golden.fast.errors` does the same.  Each is multiplied with LANES taps at a time.
Dense layers need this where gradients are sums, and to send dx.
"""

from __future__ import annotations

from typing import Any

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
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.windows import operand_lanes
from counterflow.golden.fast.words import access, add, bit_and, bit_xor, compiled, mul, word

Record = Any  # an element of one of the types in `golden.fast.records`

load_word, store_word = access()


@compiled
def backward_operands(memory: Memory, unit: Record) -> None:
    """Operands as [outputs, kernel rows, width], zero where there is no tap."""
    to = 0
    for o in range(unit.outputs):
        for row in range(unit.kernel_rows):
            start = unit.weights + o * unit.taps + row * unit.row_taps
            for k in range(0, unit.row_taps, LANES):
                found = operand_lanes(memory, unit, start + k, 0)
                store_lanes(memory.operands, to, first(found, unit.row_taps - k))
                to += LANES


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
    backward_operands(memory, unit)
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
