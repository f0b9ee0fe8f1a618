"""The backward pass and the gradient by all errors, zero or not, in `golden.fast.chain`.

It is what `golden.fast.gradient` does for few errors, with the same results.  Sums stay in
registers: a gradient's for PLACES outputs over a whole image, those of dx for PLACES windows over
all outputs.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.gradient import backward_operands
from counterflow.golden.fast.lanes import (
    LANES,
    count_set,
    first,
    load_lanes,
    spread,
    store_lanes,
    widened,
)
from counterflow.golden.fast.records import PLACES, Memory
from counterflow.golden.fast.words import access, add, compiled, mul

Record = Any  # an element of one of the types in `golden.fast.records`

FEW = 3  # times as many zeros as other errors are worth a list of these

load_word, _ = access()


@compiled
def are_many(memory: Memory, unit: Record, dy: int) -> bool:
    """Whether so many of the errors from errors[dy] on are not zero that a list does not pay."""
    size, count = unit.down * unit.across * unit.outputs, 0
    for i in range(0, size, LANES):
        count += count_set(first(load_lanes(memory.errors, dy + i), size - i))
    return FEW * count > size


@compiled
def add_whole_gradient(memory: Memory, unit: Record, x: int, dy: int) -> None:
    """Add the products of all errors with their windows of stash[x] to the gradient."""
    _add_to_biases(memory, unit, dy)
    size = unit.kernel_rows * unit.width
    for o in range(0, unit.outputs, PLACES):
        left, to = unit.outputs - o, unit.gradient + o * size
        for row in range(unit.kernel_rows):
            for k in range(0, unit.width, LANES):
                _add_taps(memory, unit, x + row * unit.pitch + k, dy + o, left, to)
                to += LANES


@compiled
def _add_taps(memory: Memory, unit: Record, x: int, dy: int, left: int, to: int) -> None:
    """Add to the gradient of LANES taps for the next outputs, `left` at most."""
    errors, stash, gradient = memory.errors, memory.stash, memory.gradient
    size = unit.kernel_rows * unit.width
    o1, o2, o3 = min(1, left - 1), min(2, left - 1), min(3, left - 1)
    total0 = load_lanes(gradient, to)
    total1, total2 = load_lanes(gradient, to + o1 * size), load_lanes(gradient, to + o2 * size)
    total3 = load_lanes(gradient, to + o3 * size)
    at = dy
    for row in range(unit.down):
        start = x + row * unit.step_down
        for _ in range(unit.across):
            taps = load_lanes(stash, start)
            total0 = add(total0, mul(taps, spread(errors, load_word(errors, at))))
            total1 = add(total1, mul(taps, spread(errors, load_word(errors, at + o1))))
            total2 = add(total2, mul(taps, spread(errors, load_word(errors, at + o2))))
            total3 = add(total3, mul(taps, spread(errors, load_word(errors, at + o3))))
            start += unit.step_across
            at += unit.outputs
    store_lanes(gradient, to, total0)
    store_lanes(gradient, to + o1 * size, total1)
    store_lanes(gradient, to + o2 * size, total2)
    store_lanes(gradient, to + o3 * size, total3)


@compiled
def _add_to_biases(memory: Memory, unit: Record, dy: int) -> None:
    """Add all errors to the gradient of their output's bias."""
    for o in range(0, unit.outputs, LANES):
        total, at = spread(memory.lane_sums, 0), dy + o
        for _ in range(unit.down * unit.across):
            total = add(total, widened(load_lanes(memory.errors, at)))
            at += unit.outputs
        store_lanes(memory.lane_sums, 0, total)
        for lane in range(min(LANES, unit.outputs - o)):
            memory.bias_gradient[unit.biases + o + lane] += memory.lane_sums[lane]


@compiled
def convolve_all_back(memory: Memory, unit: Record, dy: int) -> None:
    """Add the products of all errors with the weights to the sums of dx.

    Windows that are done together, or one after the other, do not overlap: a processor waits long
    where it reads what was written in other pieces just before.
    """
    backward_operands(memory, unit)
    apart = -(-unit.width // unit.step_across)
    for row in range(unit.down):
        for first_column in range(min(apart, unit.across)):
            for column in range(first_column, unit.across, PLACES * apart):
                left = (unit.across - column + apart - 1) // apart
                at = dy + (row * unit.across + column) * unit.outputs
                start = row * unit.step_down + column * unit.step_across
                _spread_windows(memory, unit, at, start, apart, left)


@compiled
def _spread_windows(
    memory: Memory, unit: Record, dy: int, start: int, apart: int, left: int
) -> None:
    """Add what the errors of PLACES windows give to the sums of dx, those of `left` at most.

    The first one has its errors at errors[dy] and its sums at sums[start]; the next ones are
    `apart` places on.
    """
    errors, sums, operands = memory.errors, memory.sums, memory.operands
    far, wide = apart * unit.outputs, apart * unit.step_across
    p1, p2, p3 = min(1, left - 1), min(2, left - 1), min(3, left - 1)
    size = unit.kernel_rows * unit.width
    for row in range(unit.kernel_rows):
        for k in range(0, unit.width, LANES):
            to, weights = start + row * unit.pitch + k, row * unit.width + k
            total0, total1 = load_lanes(sums, to), load_lanes(sums, to + p1 * wide)
            total2, total3 = load_lanes(sums, to + p2 * wide), load_lanes(sums, to + p3 * wide)
            for at in range(dy, dy + unit.outputs):
                operand = load_lanes(operands, weights)
                total0 = add(total0, mul(operand, spread(sums, load_word(errors, at))))
                total1 = add(total1, mul(operand, spread(sums, load_word(errors, at + p1 * far))))
                total2 = add(total2, mul(operand, spread(sums, load_word(errors, at + p2 * far))))
                total3 = add(total3, mul(operand, spread(sums, load_word(errors, at + p3 * far))))
                weights += size
            store_lanes(sums, to, total0)
            store_lanes(sums, to + p1 * wide, total1)
            store_lanes(sums, to + p2 * wide, total2)
            store_lanes(sums, to + p3 * wide, total3)
