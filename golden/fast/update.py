"""Velocities, weights and biases of a unit moved by a gradient: the update of `golden.fast.chain`.

The loops are written for the type of the gradient's words, which is that of their arithmetic.  One
product of an error and an input comes as these (see `update_row`), a sum is formed beforehand.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.draws import draw, fill_row
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import (
    access,
    add,
    bit_and,
    bit_or,
    bit_xor,
    clip,
    compiled,
    folded,
    mul,
    shift_right,
    sub,
    word,
)

Record = Any  # an element of one of the types in `golden.fast.records`

load_weight, store_weight = access("weight")
load_velocity, store_velocity = access("velocity")
load_gradient, store_gradient = access("stash")
load_random, _ = access("random")
load_hit, store_hit = access("hits")


@compiled
def update_row(
    memory: Memory, unit: Record, start: int, gradient: Any, first: int, factor: int
) -> bool:
    """Move a row of weights by `factor` * `gradient`, whose elements are those from `first` on.

    `hits` gets a bit wherever a velocity or weight saturates.
    """
    weight, velocity, hits, like = memory.weight, memory.velocity, memory.hits, gradient
    u, w = unit.new_velocity, unit.step
    # Clipped, the product is made first; else its factor goes into those of both forms.
    clips, product = unit.clips != 0, word(like, factor)
    within = 1 if clips else factor
    g_low, g_high = word(like, unit.bound.low), word(like, unit.bound.high)
    u_old, u_new = word(like, u.velocity), word(like, u.gradient * within)
    w_old, w_new = word(like, w.velocity), word(like, w.gradient * within)
    u_drop, u_even = word(like, u.to.drop), word(like, u.to.even)
    w_drop, w_even = word(like, w.to.drop), word(like, w.to.even)
    u_low, u_high = word(like, u.to.low), word(like, u.to.high)
    w_low, w_high = word(like, w.to.low), word(like, w.to.high)
    d_drop, d_even = word(like, unit.decayed.to.drop), word(like, unit.decayed.to.even)
    nearest, compensate = (u.to.even | w.to.even) != 0, unit.compensate != 0
    decays = unit.decays != 0
    any_hit = word(hits, 0)
    for i in range(unit.taps):
        old = word(like, load_velocity(velocity, start + i))
        seen = beyond = word(like, load_gradient(gradient, first + i))
        if clips:
            beyond = mul(seen, product)
            seen = clip(beyond, g_low, g_high)
        mixed = add(mul(old, u_old), mul(seen, u_new))
        if nearest:
            mixed = add(mixed, bit_and(shift_right(mixed, u_drop), u_even))
        random = word(like, load_random(memory.velocity_random, i))
        mixed = shift_right(add(mixed, random), u_drop)
        new = clip(mixed, u_low, u_high)
        step = new
        if compensate:
            step = add(mul(old, w_old), mul(seen, w_new))
            if nearest:
                step = add(step, bit_and(shift_right(step, w_drop), w_even))
            random = word(like, load_random(memory.step_random, i))
            step = shift_right(add(step, random), w_drop)
        now = word(like, load_weight(weight, start + i))
        moved = sub(now, step)
        if decays:
            random = word(like, load_random(memory.decay_random, i))
            random = add(random, bit_and(shift_right(now, d_drop), d_even))
            moved = sub(moved, shift_right(add(now, random), d_drop))
        kept = clip(moved, w_low, w_high)
        changed = bit_or(bit_xor(mixed, new), bit_xor(moved, kept))
        hit = folded(hits, bit_or(changed, bit_xor(seen, beyond)))
        store_hit(hits, i, bit_or(load_hit(hits, i), hit))
        any_hit = bit_or(any_hit, hit)
        store_velocity(velocity, start + i, word(velocity, new))
        store_weight(weight, start + i, word(weight, kept))
    return any_hit != 0


@compiled
def update_bias(memory: Memory, unit: Record, at: int, gradient: int, tap: int) -> bool:
    """As `update_row` for one bias; it shares the random bits of tap number `tap` of the row."""
    u, w, old = unit.new_velocity, unit.step, memory.bias_velocity[at]
    beyond = gradient
    if unit.clips:
        gradient = min(max(gradient, unit.bound.low), unit.bound.high)
    mixed = u.velocity * old + u.gradient * gradient
    mixed += u.to.even & (mixed >> u.to.drop)
    mixed = (mixed + memory.velocity_random[tap]) >> u.to.drop
    step = new = min(max(mixed, u.to.low), u.to.high)
    if unit.compensate:
        step = w.velocity * old + w.gradient * gradient
        step += w.to.even & (step >> w.to.drop)
        step = (step + memory.step_random[tap]) >> w.to.drop
    moved = memory.bias[at] - step
    memory.bias_velocity[at] = new
    memory.bias[at] = min(max(moved, w.to.low), w.to.high)
    return mixed != new or moved != memory.bias[at] or gradient != beyond


@compiled
def same_random(memory: Memory, unit: Record) -> None:
    """Set what `fill_row` would to what rounds without random bits."""
    for i in range(unit.taps):
        memory.velocity_random[i] = unit.new_velocity.to.half
        memory.step_random[i] = unit.step.to.half
        memory.decay_random[i] = unit.decayed.to.half


@compiled
def tiles_hit(memory: Memory, unit: Record, bias_hit: bool) -> int:
    """Tiles of a row of tiles in which anything saturated; clears `hits`."""
    count, hits = 0, memory.hits
    for row in range(unit.kernel_rows):
        for part in range(unit.parts):
            hit = bias_hit and row == 0 and part == 0
            start = row * unit.row_taps
            for i in range(part * unit.wide, min((part + 1) * unit.wide, unit.row_taps)):
                hit |= hits[start + i] != 0
                hits[start + i] = 0
            count += hit
    return count


@compiled
def update_by_sums(memory: Memory, unit: Record, state: Any) -> Any:
    """Move all weights and biases by the sums of gradients, and clear these.

    Returns the generator's state and the tiles that saturated.  It is done in 64 bits.
    """
    if unit.stochastic:
        state = draw(memory, unit, state)
    else:
        same_random(memory, unit)
    count, row_of = 0, memory.wide_row
    for row in range(unit.rows):
        hit = bias_hit = False
        if unit.stochastic:
            fill_row(memory, unit, row)
        for o in range(row * unit.high, min((row + 1) * unit.high, unit.outputs)):
            _take_row(memory, unit, o)
            hit |= update_row(memory, unit, unit.weights + o * unit.taps, row_of, 0, 1)
            at = unit.biases + o
            bias_hit |= update_bias(memory, unit, at, memory.bias_gradient[at] * unit.one, 0)
            memory.bias_gradient[at] = 0
        if hit or bias_hit:
            count += tiles_hit(memory, unit, bias_hit)
    return state, count


@compiled
def _take_row(memory: Memory, unit: Record, o: int) -> None:
    """Move the gradient of output `o` to `wide_row`, without the filling, and clear it."""
    gradient, to = memory.gradient, 0
    start = unit.gradient + o * unit.kernel_rows * unit.width
    for row in range(start, start + unit.kernel_rows * unit.width, unit.width):
        for i in range(row, row + unit.row_taps):
            memory.wide_row[to] = gradient[i]
            gradient[i] = 0
            to += 1
