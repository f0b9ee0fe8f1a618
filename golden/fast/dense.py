"""Units whose only window is the whole image, in `golden.fast.chain`: what a dense layer is.

It could go the way of `golden.fast.windows`, with the same results.  But each of its weights is
used once, so that rounding the weights beforehand would cost as much as using them: here they are
rounded where they are used, and read twice a slot from the nearest cache, row by row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.golden.fast.draws import draw, fill_row
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.update import same_random, tiles_hit, update_bias, update_row
from counterflow.golden.fast.words import (
    access,
    add,
    bit_and,
    clip,
    compiled,
    mul,
    shift_right,
    sub,
    word,
)

Record = Any  # an element of one of the types in `golden.fast.records`

load_weight, _ = access("weight")
load_velocity, _ = access("velocity")
load_stash, _ = access("stash")
load_sum, store_sum = access("sums")


@compiled
def round_off(value: int, how: Record) -> int:
    """One value narrowed, all but the clipping."""
    value <<= how.lift
    return (value + how.half + (how.even & (value >> how.drop))) >> how.drop


@compiled
def limit(value: int, how: Record) -> int:
    """The clipping of a narrowing."""
    return min(max(value, how.low), how.high)


@compiled
def bias_operand(memory: Memory, unit: Record, o: int, horizon: int) -> int:
    """The bias of output `o`, predicted, as sums start with it."""
    at = unit.biases + o
    bias = round_off(memory.bias[at] - horizon * memory.bias_velocity[at], unit.bias)
    return limit(bias, unit.bias)


@compiled
def _forward_row(memory: Memory, unit: Record, start: int, x: int, horizon: int) -> Any:
    """The sum of the products of a row of predicted weights with the inputs at stash[x]."""
    weight, velocity, stash, how = memory.weight, memory.velocity, memory.stash, unit.operand
    drop, half, even = word(weight, how.drop), word(weight, how.half), word(weight, how.even)
    low, high = word(weight, how.low), word(weight, how.high)
    ahead, total = word(weight, horizon), word(weight, 0)
    for i in range(unit.taps):
        value = sub(load_weight(weight, start + i), mul(load_velocity(velocity, start + i), ahead))
        rounded = add(add(value, half), bit_and(shift_right(value, drop), even))
        operand = clip(shift_right(rounded, drop), low, high)
        total = add(total, mul(operand, load_stash(stash, x + i)))
    return np.int64(total)


@compiled
def _backward_row(memory: Memory, unit: Record, start: int, dy: int) -> None:
    """Add the products of a row of weights with its error to the sums of dx."""
    weight, sums, how = memory.weight, memory.sums, unit.operand
    drop, half, even = word(weight, how.drop), word(weight, how.half), word(weight, how.even)
    low, high = word(weight, how.low), word(weight, how.high)
    error = word(weight, dy)
    for i in range(unit.taps):
        value = load_weight(weight, start + i)
        rounded = add(add(value, half), bit_and(shift_right(value, drop), even))
        operand = clip(shift_right(rounded, drop), low, high)
        store_sum(sums, i, add(load_sum(sums, i), mul(operand, error)))


@compiled
def dense_back(memory: Memory, unit: Record, dy: int) -> None:
    """Add the products of all weights with the errors from errors[dy] on to the sums of dx."""
    for o in range(unit.outputs):
        error = np.int64(memory.errors[dy + o])
        if error != 0:
            _backward_row(memory, unit, unit.weights + o * unit.taps, error)


@compiled
def dense_rows(
    memory: Memory,
    unit: Record,
    x: int,
    y: int,
    horizon: int,
    old_x: int,
    dy: int,
    passes: tuple[bool, bool, bool],
    state: Any,
) -> Any:
    """All passes of a unit in one walk over its rows.

    `passes`: whether to make the products of the forward pass (there are none of a bubble in the
    first unit), the backward pass, and an update by the gradient of this one sample.  Returns the
    generator's state and the saturations of forward pass and update.
    """
    forward, backward, update = passes
    saturations = 0
    if update and unit.stochastic:
        state = draw(memory, unit, state)
    elif update:
        same_random(memory, unit)
    for row in range(unit.rows):
        clipped = hit = bias_hit = False
        if update and unit.stochastic:
            fill_row(memory, unit, row)
        for o in range(row * unit.high, min((row + 1) * unit.high, unit.outputs)):
            start = unit.weights + o * unit.taps
            total = bias_operand(memory, unit, o, horizon)
            if forward:
                total += _forward_row(memory, unit, start, x, horizon)
            if unit.relu:
                total = max(total, 0)
            rounded = round_off(total, unit.y_to)
            memory.stash[y + o] = limit(rounded, unit.y_to)
            clipped |= memory.stash[y + o] != rounded
            if backward or update:
                error = np.int64(memory.errors[dy + o])
                if backward and error != 0:
                    _backward_row(memory, unit, start, error)
                if update:
                    hit |= update_row(memory, unit, start, memory.stash, old_x, error)
                    bias_hit |= update_bias(memory, unit, unit.biases + o, error * unit.one, 0)
        saturations += clipped
        if hit or bias_hit:
            saturations += tiles_hit(memory, unit, bias_hit)
    return state, saturations
