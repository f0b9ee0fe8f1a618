"""Norms of groups in `golden.fast.chain`: as `golden.fast.normalise`, but for their statistics.

Centre and root of a token's groups are written into its view before it goes forward, and the means
of its gradient in place of the controls that a norm with running statistics has there.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast import normalise
from counterflow.golden.fast.half_up import rooted, shared
from counterflow.golden.fast.lanes import (
    LANES,
    count_set,
    first,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    spread,
    store_first,
    store_lanes,
    widened,
)
from counterflow.golden.fast.normalise import (
    BACKWARD_SUMS,
    CENTRE,
    CORRELATION,
    FORWARD_SUMS,
    GAMMA,
    HALVINGS,
    PULL,
    ROOT,
    SCALE,
    backward_sums,
    clear,
    correlate,
    fold,
    view_of,
    weighed,
)
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import add, bit_xor, compiled, mul, shift_left, shift_right, sub

Record = Any  # an element of type `golden.fast.records.NORM_UNIT`


@compiled
def forward(memory: Memory, unit: Record, slot: int, kind: int) -> None:
    """y of token `slot`, whose image is at stash[unit.x]."""
    channels, sums, view = unit.channels, unit.sums, view_of(unit, slot)
    clear(memory, sums, FORWARD_SUMS * channels)
    for phase in range(0, unit.period, LANES):
        _add(memory, unit, phase)
    for opens in range(0, channels, unit.group):
        total = squares = 0
        for c in range(opens, opens + unit.group):
            total += memory.norm_sums[sums + c]
            squares += memory.norm_sums[sums + channels + c]
        spread_out = unit.count * squares - total * total
        centre = shared(total, unit.mean)
        root, halvings = rooted(memory, unit, shared(spread_out, unit.variance))
        _show(memory, unit, view + CENTRE * unit.period, opens, centre)
        _show(memory, unit, view + ROOT * unit.period, opens, root)
        _show(memory, unit, view + HALVINGS * unit.period, opens, halvings)
    normalise.forward(memory, unit, slot, kind)


@compiled
def _show(memory: Memory, unit: Record, at: int, opens: int, value: int) -> None:
    """Write what is seen of a group whose first channel is `opens` to all of its places."""
    for c in range(opens, opens + unit.group):
        for place in range(at + c, at + unit.period, unit.channels):
            memory.views[place] = value


@compiled
def _add(memory: Memory, unit: Record, phase: int) -> None:
    """Add x and its square, of the vectors from number `phase` on, to the sums."""
    total = squares = spread(memory.norm_sums, 0)
    for i in range(phase, unit.inputs, unit.period):
        x = widened(first(load_lanes(memory.stash, unit.x + i), unit.inputs - i))
        total, squares = add(total, x), add(squares, mul(x, x))
    store_lanes(memory.lane_sums, 0, total)
    store_lanes(memory.lane_sums, LANES, squares)
    fold(memory, unit, unit.sums, phase, 2)


@compiled
def backward(memory: Memory, unit: Record, token: int) -> None:
    """dx of token `token`, which learns, and the sums over its gradients."""
    if not unit.backward:
        normalise.backward(memory, unit, token)
        return
    channels, sums, view = unit.channels, backward_sums(unit, token), view_of(unit, token)
    dy = unit.dy + token % unit.dy_depth * unit.inputs
    entry = unit.entries + token % unit.depth * unit.size
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    clear(memory, sums, BACKWARD_SUMS * channels)
    correlate(memory, unit, token)
    for phase in range(0, unit.period, LANES):
        _add_back(memory, unit, phase, view, entry, dy, sums)
    for opens in range(0, channels, unit.group):
        errors = products = 0
        for c in range(opens, opens + unit.group):
            errors += memory.norm_sums[sums + 2 * channels + c]
            products += memory.norm_sums[sums + channels + c]
        _show(memory, unit, view + PULL * unit.period, opens, shared(errors, unit.shift))
        _show(memory, unit, view + SCALE * unit.period, opens, shared(products, unit.scale))
    count = 0
    for phase in range(0, unit.period, LANES):
        count += _differentiate(memory, unit, phase, view + phase, entry, dy, dx)
    memory.saturations[unit.index] += count


@compiled
def _add_back(
    memory: Memory, unit: Record, phase: int, view: int, entry: int, dy: int, sums: int
) -> None:
    """Add dy, gamma dy xhat and gamma dy, of the vectors from number `phase` on, to the sums."""
    total = products = weights = spread(memory.norm_sums, 0)
    gamma = load_lanes(memory.views, view + phase + GAMMA * unit.period)
    for i in range(phase, unit.inputs, unit.period):
        left = unit.inputs - i
        error = first(load_lanes(memory.errors, dy + i), left)
        given = widened(weighed(memory.errors, unit, gamma, error, unit.gamma_drop))
        xhat = widened(first(load_lanes(memory.entries, entry + i), left))
        total, weights = add(total, widened(error)), add(weights, given)
        products = add(products, mul(given, xhat))
    store_lanes(memory.lane_sums, 0, total)
    store_lanes(memory.lane_sums, LANES, products)
    store_lanes(memory.lane_sums, 2 * LANES, weights)
    fold(memory, unit, sums, phase, CORRELATION)


@compiled
def _differentiate(
    memory: Memory, unit: Record, phase: int, view: int, entry: int, dy: int, dx: int
) -> int:
    """dx of the vectors that the one at `view` is for; counts what saturated."""
    errors, views, period = memory.errors, memory.views, unit.period
    one, lift = spread(errors, 1), spread(errors, unit.lift)
    root, halvings = (
        load_lanes(views, view + ROOT * period),
        load_lanes(views, view + HALVINGS * period),
    )
    of_products = load_lanes(views, view + SCALE * period)
    of_errors = load_lanes(views, view + PULL * period)
    shift = add(halvings, spread(errors, unit.scaled_shift))
    drop = spread(errors, unit.control_drop)
    half, drop_half = shift_left(one, sub(shift, one)), shift_left(one, sub(drop, one))
    guard, frac, count = spread(errors, unit.guard), spread(errors, unit.y_frac), 0
    gamma = load_lanes(views, view + GAMMA * period)
    for i in range(phase, unit.inputs, period):
        left = unit.inputs - i
        error = first(load_lanes(errors, dy + i), left)
        xhat = first(load_lanes(memory.entries, entry + i), left)
        given = weighed(errors, unit, gamma, error, unit.gamma_drop)
        corrected = sub(shift_left(given, guard), of_errors)
        exact = sub(shift_left(corrected, frac), mul(of_products, xhat))
        z = shift_right(add(exact, drop_half), drop)
        wide = first(shift_right(add(shift_left(mul(z, root), lift), half), shift), left)
        rounded = rounded_lanes(errors, wide, unit.dx)
        value = limited_lanes(errors, rounded, unit.dx)
        count += count_set(bit_xor(rounded, value))
        store_first(errors, dx + i, value, left)
    return count
