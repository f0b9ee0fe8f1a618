"""Norms in `golden.fast.chain`: both ways, LANES elements at a time, channels as an image has them.

What a token sees of each channel, its view, is repeated until it fills whole vectors: the `period`
of a norm, whose vector number n meets each vector of an image whose number is n modulo their count.
Sums over an image have 64 bits, all else is done in words.  Whoever reads y finds it behind its
ReLU, and the backward pass finds y - beta here, even where hardware has y come back, or xhat where
there is a gamma.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.fast.lanes import (
    LANES,
    count_set,
    first,
    if_greater,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    spread,
    store_first,
    store_lanes,
    widened,
)
from counterflow.golden.fast.records import TRAIN, VIEW, Memory, Words
from counterflow.golden.fast.words import (
    add,
    bit_or,
    bit_xor,
    compiled,
    mul,
    shift_left,
    shift_right,
    sub,
)

Record = Any  # an element of type `golden.fast.records.NORM_UNIT`

CENTRE, ROOT, HALVINGS, BETA, AHEAD, SCALE, PULL, GAMMA, GAMMA_AHEAD = range(len(VIEW))
FORWARD_SUMS, BACKWARD_SUMS = 2, 4  # of each channel
CORRELATION = 3  # the number of that of dy xhat, which gamma learns of, among those of the way back


@compiled
def view_of(unit: Record, token: int) -> int:
    """Where the view stands that the forward pass of token `token` sees."""
    return unit.views + token % unit.views_depth * len(VIEW) * unit.period


@compiled
def forward(memory: Memory, unit: Record, slot: int, kind: int) -> None:
    """y of token `slot`, whose image is at stash[unit.x], and the sums over it."""
    view, count = view_of(unit, slot), 0
    entry = unit.entries + slot % unit.depth * unit.size
    ahead = kind >= TRAIN and unit.horizon != 0
    beta = view + (AHEAD if ahead else BETA) * unit.period
    gamma = view + GAMMA * unit.period
    if ahead and unit.scaled != 0:  # its way back sees the same one, whatever is set by then
        for at in range(gamma, gamma + unit.period):
            memory.views[at] = memory.views[at + (GAMMA_AHEAD - GAMMA) * unit.period]
    clear(memory, unit.sums, FORWARD_SUMS * unit.channels)
    for phase in range(0, unit.period, LANES):
        count += _normalise(memory, unit, phase, view + phase, beta + phase, gamma + phase, entry)
    memory.saturations[unit.index] += count
    _send(memory, unit, unit.y + slot % unit.y_depth * unit.y_size)


@compiled
def _normalise(
    memory: Memory,
    unit: Record,
    phase: int,
    view: int,
    beta_at: int,
    gamma_at: int,
    entry: int,
) -> int:
    """y, before its ReLU, to `meeting`, of the vectors that the one at `view` is for.

    Keeps y - beta, or xhat, adds to the sums, and returns how many elements saturated.
    """
    stash, views, period = memory.stash, memory.views, unit.period
    one, frac = spread(stash, 1), spread(stash, unit.centre_frac)
    centre, root = load_lanes(views, view), load_lanes(views, view + ROOT * period)
    beta, halvings = load_lanes(views, beta_at), load_lanes(views, view + HALVINGS * period)
    shift = add(halvings, spread(stash, unit.normal_shift))
    half = shift_left(one, sub(shift, one))
    gamma = load_lanes(views, gamma_at)
    differences = squares = spread(memory.norm_sums, 0)
    count = 0
    for i in range(phase, unit.inputs, period):
        left = unit.inputs - i
        e = first(sub(shift_left(load_lanes(stash, unit.x + i), frac), centre), left)
        far = widened(e)
        differences, squares = add(differences, far), add(squares, mul(far, far))
        scaled = shift_right(add(mul(e, root), half), shift)
        xhat = limited_lanes(stash, scaled, unit.y_to)
        total = add(weighed(stash, unit, gamma, xhat, unit.gamma_frac), beta)
        y = limited_lanes(stash, total, unit.y_to)
        count += count_set(first(bit_or(bit_xor(scaled, xhat), bit_xor(total, y)), left))
        store_lanes(memory.meeting, i, y)
        kept = xhat if unit.scaled != 0 else sub(y, beta)
        store_lanes(memory.entries, entry + i, kept)
    store_lanes(memory.lane_sums, 0, differences)
    store_lanes(memory.lane_sums, LANES, squares)
    fold(memory, unit, unit.sums, phase, FORWARD_SUMS)
    return count


@compiled
def weighed(words: Words, unit: Record, gamma: Any, value: Any, drop: int) -> Any:
    """Lanes of `value` times gamma, if there is one, less the lowest `drop` bits; as `words`."""
    if unit.scaled == 0:
        return value
    whole = add(mul(gamma, value), spread(words, 1 << (drop - 1)))
    return shift_right(whole, spread(words, drop))


@compiled
def _send(memory: Memory, unit: Record, y: int) -> None:
    """The image in `meeting` to stash[y], behind the ReLU if there is one."""
    stash, at = memory.stash, 0
    least = spread(stash, 0 if unit.relu else unit.y_to.low)
    for row in range(unit.down):
        for i in range(0, unit.line, LANES):
            value = load_lanes(memory.meeting, at + i)
            value = if_greater(value, least, value, least)
            store_first(stash, y + row * unit.y_pitch + i, value, unit.line - i)
        at += unit.line


@compiled
def backward(memory: Memory, unit: Record, token: int) -> None:
    """dx of token `token`, which learns, and the sums over its gradients."""
    channels, errors = unit.channels, memory.errors
    dy = unit.dy + token % unit.dy_depth * unit.inputs
    sums = backward_sums(unit, token)
    clear(memory, sums, BACKWARD_SUMS * channels)
    correlate(memory, unit, token)
    if unit.backward:
        seen, now = view_of(unit, token), view_of(unit, token + unit.delay)
        entry = unit.entries + token % unit.depth * unit.size
        dx, count = unit.dx_start + token % unit.dx_depth * unit.inputs, 0
        for phase in range(0, unit.period, LANES):
            count += _differentiate(memory, unit, phase, seen, now, entry, dy, dx, sums)
        memory.saturations[unit.index] += count
        return
    for phase in range(0, unit.period, LANES):
        total = spread(memory.norm_sums, 0)
        for i in range(phase, unit.inputs, unit.period):
            total = add(total, widened(first(load_lanes(errors, dy + i), unit.inputs - i)))
        store_lanes(memory.lane_sums, 0, total)
        fold(memory, unit, sums, phase, 1)


@compiled
def _differentiate(
    memory: Memory,
    unit: Record,
    phase: int,
    seen: int,
    now: int,
    entry: int,
    dy: int,
    dx: int,
    sums: int,
) -> int:
    """dx of the vectors from number `phase` on; adds to the sums and counts what saturated.

    `seen` is the view of the token's forward pass, `now` that of its backward pass.
    """
    errors, views, period = memory.errors, memory.views, unit.period
    one, lift = spread(errors, 1), spread(errors, unit.lift)
    root = load_lanes(views, seen + phase + ROOT * period)
    halvings = load_lanes(views, seen + phase + HALVINGS * period)
    scale = load_lanes(views, now + phase + SCALE * period)
    pull = load_lanes(views, now + phase + PULL * period)
    shift, drop = (
        add(halvings, spread(errors, unit.scaled_shift)),
        spread(errors, unit.control_drop),
    )
    half, drop_half = shift_left(one, sub(shift, one)), shift_left(one, sub(drop, one))
    guard, count = spread(errors, unit.guard), 0
    gamma = load_lanes(views, seen + phase + GAMMA * period)
    total = products = gradients = spread(memory.norm_sums, 0)
    for i in range(phase, unit.inputs, period):
        left = unit.inputs - i
        error = first(load_lanes(errors, dy + i), left)
        xhat = first(load_lanes(memory.entries, entry + i), left)
        control = shift_right(add(mul(scale, xhat), drop_half), drop)
        given = weighed(errors, unit, gamma, error, unit.gamma_drop)
        z = sub(shift_left(given, guard), control)
        scaled = shift_right(add(shift_left(mul(z, root), lift), half), shift)
        wide = first(sub(scaled, pull), left)
        total, gradients = add(total, widened(error)), add(gradients, widened(wide))
        products = add(products, mul(widened(z), widened(xhat)))
        rounded = rounded_lanes(errors, wide, unit.dx)
        value = limited_lanes(errors, rounded, unit.dx)
        count += count_set(bit_xor(rounded, value))
        store_first(errors, dx + i, value, left)
    store_lanes(memory.lane_sums, 0, total)
    store_lanes(memory.lane_sums, LANES, products)
    store_lanes(memory.lane_sums, 2 * LANES, gradients)
    fold(memory, unit, sums, phase, CORRELATION)
    return count


@compiled
def correlate(memory: Memory, unit: Record, token: int) -> None:
    """Sum dy xhat over token `token`, if there is a gamma."""
    if unit.scaled == 0:
        return
    sums = backward_sums(unit, token) + CORRELATION * unit.channels
    dy = unit.dy + token % unit.dy_depth * unit.inputs
    entry = unit.entries + token % unit.depth * unit.size
    for phase in range(0, unit.period, LANES):
        total = spread(memory.norm_sums, 0)
        for i in range(phase, unit.inputs, unit.period):
            error = widened(first(load_lanes(memory.errors, dy + i), unit.inputs - i))
            total = add(total, mul(error, widened(load_lanes(memory.entries, entry + i))))
        store_lanes(memory.lane_sums, 0, total)
        fold(memory, unit, sums, phase, 1)


@compiled
def backward_sums(unit: Record, token: int) -> int:
    """Where the sums over the gradients of a token stand: of dy, z xhat, dx, and of dy xhat."""
    start = unit.sums + FORWARD_SUMS * unit.channels
    return start + token % unit.sums_depth * BACKWARD_SUMS * unit.channels


@compiled
def clear(memory: Memory, start: int, count: int) -> None:
    """Let sums be zero."""
    for at in range(start, start + count):
        memory.norm_sums[at] = 0


@compiled
def fold(memory: Memory, unit: Record, start: int, phase: int, count: int) -> None:
    """Add the lanes of `count` sums to those of their channels, which stand from `start` on."""
    for number in range(count):
        channel = phase % unit.channels
        for lane in range(number * LANES, (number + 1) * LANES):
            memory.norm_sums[start + channel] += memory.lane_sums[lane]
            channel = channel + 1 if channel + 1 < unit.channels else 0
        start += unit.channels
