"""The compiled loops of `golden.fast`: a block of tokens through all units in one call.

All arithmetic on weights is done in the machine word that the arrays of `Memory` have: int32 where
`golden.fast` has proven that every intermediate value fits, else int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.fast_memory import Memory
from golden.fast_words import (
    FILL,
    access,
    add,
    bit_and,
    bit_or,
    bit_xor,
    clip,
    compiled,
    compiled_once,
    fill,
    fill_end,
    mul,
    shift_left,
    shift_right,
    shift_right_unsigned,
    sub,
    word,
)

Record = Any  # an element of one of the types in `golden.fast_memory`
Integers = NDArray[np.int64]

BUBBLE, TRAIN = 0, 2  # as in `counterflow.tokens.Kind`

load_weight, store_weight = access("weight")
load_velocity, store_velocity = access("velocity")
load_stash, store_stash = access("stash")
load_random, _ = access("random")
load_hit, store_hit = access("hits")
load_sum, store_sum = access("sums")


@compiled(forceinline=True)
def _round_off(value: int, how: Record) -> int:
    value <<= how.lift
    return (value + how.half + (how.even & (value >> how.drop))) >> how.drop


@compiled(forceinline=True)
def _clip(value: int, how: Record) -> int:
    return min(max(value, how.low), how.high)


@compiled(forceinline=True)
def _forward_row(memory: Memory, unit: Record, start: int, x: int, horizon: int) -> Any:
    """The sum of the products of a row of predicted weights with the inputs at stash[x]."""
    weight, velocity, stash, how = memory.weight, memory.velocity, memory.stash, unit.operand
    drop, half, even = word(weight, how.drop), word(weight, how.half), word(weight, how.even)
    low, high = word(weight, how.low), word(weight, how.high)
    ahead, total = word(weight, horizon), word(weight, 0)
    for i in range(unit.inputs):
        value = sub(load_weight(weight, start + i), mul(load_velocity(velocity, start + i), ahead))
        rounded = add(add(value, half), bit_and(shift_right(value, drop), even))
        operand = clip(shift_right(rounded, drop), low, high)
        total = add(total, mul(operand, load_stash(stash, x + i)))
    return np.int64(total)


@compiled(forceinline=True)
def _backward_row(memory: Memory, unit: Record, start: int, dy: int) -> None:
    """Add the products of a row of weights with its error to the sums of dx."""
    weight, sums, how = memory.weight, memory.sums, unit.operand
    drop, half, even = word(weight, how.drop), word(weight, how.half), word(weight, how.even)
    low, high = word(weight, how.low), word(weight, how.high)
    error = word(weight, dy)
    for i in range(unit.inputs):
        value = load_weight(weight, start + i)
        rounded = add(add(value, half), bit_and(shift_right(value, drop), even))
        operand = clip(shift_right(rounded, drop), low, high)
        store_sum(sums, i, add(load_sum(sums, i), mul(operand, error)))


@compiled(forceinline=True)
def _update_row(memory: Memory, unit: Record, start: int, x: int, dy: int) -> bool:
    """New velocities and weights of a row; `hits` gets a bit wherever one of them saturates."""
    weight, velocity, stash, hits = memory.weight, memory.velocity, memory.stash, memory.hits
    u, w = unit.new_velocity, unit.step
    u_old, u_new = word(weight, u.velocity), word(weight, u.gradient * dy)
    w_old, w_new = word(weight, w.velocity), word(weight, w.gradient * dy)
    u_drop, u_even = word(weight, u.to.drop), word(weight, u.to.even)
    w_drop, w_even = word(weight, w.to.drop), word(weight, w.to.even)
    u_low, u_high = word(weight, u.to.low), word(weight, u.to.high)
    w_low, w_high = word(weight, w.to.low), word(weight, w.to.high)
    nearest, compensate = (u.to.even | w.to.even) != 0, unit.compensate != 0
    any_hit = word(weight, 0)
    for i in range(unit.inputs):
        old, seen = load_velocity(velocity, start + i), load_stash(stash, x + i)
        mixed = add(mul(old, u_old), mul(seen, u_new))
        if nearest:
            mixed = add(mixed, bit_and(shift_right(mixed, u_drop), u_even))
        mixed = shift_right(add(mixed, load_random(memory.velocity_random, i)), u_drop)
        new = clip(mixed, u_low, u_high)
        step = new
        if compensate:
            step = add(mul(old, w_old), mul(seen, w_new))
            if nearest:
                step = add(step, bit_and(shift_right(step, w_drop), w_even))
            step = shift_right(add(step, load_random(memory.step_random, i)), w_drop)
        moved = sub(load_weight(weight, start + i), step)
        kept = clip(moved, w_low, w_high)
        hit = bit_or(bit_xor(mixed, new), bit_xor(moved, kept))
        store_hit(hits, i, bit_or(load_hit(hits, i), hit))
        any_hit = bit_or(any_hit, hit)
        store_velocity(velocity, start + i, new)
        store_weight(weight, start + i, kept)
    return any_hit != 0


@compiled(forceinline=True)
def _update_bias(memory: Memory, unit: Record, at: int, dy: int) -> bool:
    """As `_update_row` for one bias; it shares the random bits of the row's first tile."""
    u, w, gradient, old = unit.new_velocity, unit.step, dy * unit.one, memory.bias_velocity[at]
    mixed = u.velocity * old + u.gradient * gradient
    mixed += u.to.even & (mixed >> u.to.drop)
    mixed = (mixed + memory.velocity_random[0]) >> u.to.drop
    step = new = _clip(mixed, u.to)
    if unit.compensate:
        step = w.velocity * old + w.gradient * gradient
        step += w.to.even & (step >> w.to.drop)
        step = (step + memory.step_random[0]) >> w.to.drop
    moved = memory.bias[at] - step
    memory.bias_velocity[at], memory.bias[at] = new, _clip(moved, w.to)
    return mixed != new or moved != memory.bias[at]


@compiled(forceinline=True)
def _draw_row(memory: Memory, unit: Record, state: Any) -> Any:
    """The random bits of a row of tiles, one draw of xorshift32 a tile; returns its state."""
    low, high = memory.velocity_random, memory.step_random
    u, w = unit.new_velocity, unit.step
    u_shift, u_mask = word(memory.generator, u.shift), word(memory.generator, u.mask)
    w_shift, w_mask = word(memory.generator, w.shift), word(memory.generator, w.mask)
    for column in range(unit.columns):
        state = bit_xor(state, shift_left(state, np.uint32(13)))
        state = bit_xor(state, shift_right_unsigned(state, np.uint32(17)))
        state = bit_xor(state, shift_left(state, np.uint32(5)))
        u_bits = word(low, bit_and(shift_right_unsigned(state, u_shift), u_mask))
        w_bits = word(high, bit_and(shift_right_unsigned(state, w_shift), w_mask))
        start = column * unit.wide
        block = start & ~(FILL - 1)
        fill_end(low, block, u_bits, start - block)
        fill_end(high, block, w_bits, start - block)
        for place in range(block + FILL, start + unit.wide, FILL):
            fill(low, place, u_bits)
            fill(high, place, w_bits)
    return state


@compiled(forceinline=True)
def _tiles_hit(memory: Memory, unit: Record, bias_hit: bool) -> int:
    """Tiles of a row of tiles in which anything saturated; clears `hits`."""
    count = 0
    for column in range(unit.columns):
        hit = bias_hit and column == 0
        for i in range(column * unit.wide, min((column + 1) * unit.wide, unit.inputs)):
            hit |= memory.hits[i] != 0
            memory.hits[i] = 0
        count += hit
    return count


@compiled(forceinline=True)
def _emit_gradient(memory: Memory, unit: Record, x: int, dx: int) -> int:
    """Narrow the sums to dx at errors[dx], masked by ReLU; returns the words that saturated."""
    count = 0
    for column in range(unit.columns):
        clipped = False
        for i in range(column * unit.wide, min((column + 1) * unit.wide, unit.inputs)):
            rounded = _round_off(np.int64(memory.sums[i]), unit.dx)
            value = _clip(rounded, unit.dx) if memory.stash[x + i] > 0 else 0
            clipped |= memory.stash[x + i] > 0 and value != rounded
            memory.errors[dx + i] = value
            memory.sums[i] = 0
        count += clipped
    return count


@compiled(forceinline=True)
def _unit_slot(memory: Memory, index: int, slot: int, kind: int, learns: bool) -> None:
    """Forward pass of token `slot`; if `learns`, all the rest for token `slot` - delay."""
    unit, after = memory.units[index], memory.units[index + 1]
    x = unit.stash + slot % (unit.delay + 1) * unit.inputs
    y = after.stash + slot % (after.delay + 1) * after.inputs
    old_x = unit.stash + (slot + 1) % (unit.delay + 1) * unit.inputs
    old_dy = unit.errors + (slot + 1) % (unit.delay + 1) * unit.outputs
    horizon = unit.horizon if kind == TRAIN else 0
    state, saturations = memory.generator[index], 0
    if learns and not unit.stochastic:
        for i in range(unit.inputs):
            memory.velocity_random[i] = unit.new_velocity.to.half
            memory.step_random[i] = unit.step.to.half
    for row in range(unit.rows):
        clipped = hit = bias_hit = False
        if learns and unit.stochastic:
            state = _draw_row(memory, unit, state)
        for o in range(row * unit.high, min((row + 1) * unit.high, unit.outputs)):
            start, at = unit.weights + o * unit.inputs, unit.biases + o
            total = _clip(
                _round_off(memory.bias[at] - horizon * memory.bias_velocity[at], unit.bias),
                unit.bias,
            )
            if index > 0 or kind != BUBBLE:
                total += _forward_row(memory, unit, start, x, horizon)
            if unit.relu:
                total = max(total, 0)
            rounded = _round_off(total, unit.y)
            memory.stash[y + o] = _clip(rounded, unit.y)
            clipped |= memory.stash[y + o] != rounded
            if learns:
                dy = np.int64(memory.errors[old_dy + o])
                if index > 0 and dy != 0:
                    _backward_row(memory, unit, start, dy)
                hit |= _update_row(memory, unit, start, old_x, dy)
                bias_hit |= _update_bias(memory, unit, at, dy)
        saturations += clipped
        if hit or bias_hit:
            saturations += _tiles_hit(memory, unit, bias_hit)
    if learns and index > 0:
        before = memory.units[index - 1]
        token = slot - unit.delay
        dx = before.errors + token % (before.delay + 1) * before.outputs
        saturations += _emit_gradient(memory, unit, old_x, dx)
    memory.generator[index] = state
    memory.saturations[index] += saturations


@compiled(forceinline=True)
def _loss(memory: Memory, slot: int, label: int, learns: bool) -> int:
    """Loss of the logits at the end of the chain; if `learns`, the error for the last unit."""
    count, loss = len(memory.units), memory.loss[0]
    last, end = memory.units[count - 2], memory.units[count - 1]
    part, most, exponents = (1 << loss.log_frac) - 1, loss.exp_frac + 2, memory.exponents
    largest, total = np.int64(memory.stash[end.stash]), 0
    for i in range(1, end.inputs):
        largest = max(largest, np.int64(memory.stash[end.stash + i]))
    for i in range(end.inputs):
        scaled = (largest - memory.stash[end.stash + i]) * loss.numerator
        exponents[i] = (scaled + (1 << (loss.shift - 1))) >> loss.shift
        total += memory.exp2[exponents[i] & part] >> min(exponents[i] >> loss.log_frac, most)
    place = 0
    while total >> (place + 1):
        place += 1
    mantissa = ((total << loss.log_frac) >> place) - (1 << loss.log_frac)
    log2 = ((place - loss.exp_frac) << loss.log_frac) + memory.log2[mantissa]
    if learns:
        start = last.errors + slot % (last.delay + 1) * last.outputs
        others = 0
        for i in range(end.inputs):
            t = exponents[i] + log2
            power = memory.exp2[t & part] >> min(t >> loss.log_frac, most)
            error = _clip(_round_off(power, loss.error), loss.error)
            memory.errors[start + i] = error
            others += error
        memory.errors[start + label] -= others
    return exponents[label] + log2


@compiled(forceinline=True)
def _admit(
    memory: Memory, slot: int, small: NDArray[np.uint8], large: Integers, sample: int
) -> None:
    """Copy a sample into the first unit's stash."""
    unit = memory.units[0]
    start = unit.stash + slot % (unit.delay + 1) * unit.inputs
    if len(small):
        for i in range(unit.inputs):
            store_stash(memory.stash, start + i, word(memory.stash, small[sample, i]))
    else:
        for i in range(unit.inputs):
            store_stash(memory.stash, start + i, word(memory.stash, large[sample, i]))


@compiled_once
def run(
    memory: Memory,
    slot: int,
    kinds: NDArray[np.uint8],
    samples: Integers,
    small: NDArray[np.uint8],
    large: Integers,
    labels: Integers,
    scores: Integers,
    losses: Integers,
) -> None:
    """One slot a token from number `slot` on; the samples are in `small` or else in `large`."""
    end, window = memory.units[len(memory.units) - 1], len(memory.kinds)
    done = 0
    for token in range(len(kinds)):
        kind = kinds[token]
        memory.kinds[slot % window] = kind
        if kind != BUBBLE:
            _admit(memory, slot, small, large, samples[token])
        for index in range(len(memory.units) - 1):
            back = slot - memory.units[index].delay
            learns = back >= 0 and memory.kinds[back % window] == TRAIN
            _unit_slot(memory, index, slot, kind, learns)
        if kind != BUBBLE:
            losses[done] = _loss(memory, slot, labels[samples[token]], kind == TRAIN)
            for i in range(end.inputs):
                scores[done, i] = memory.stash[end.stash + i]
            done += 1
        slot += 1
