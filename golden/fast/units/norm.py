"""Norms in `golden.fast.chain`: both ways, LANES elements at a time, channels as an image has them.

What a token sees of each channel, its view, is repeated until it fills whole vectors: the `period`
of a norm, whose vector number n meets each vector of an image whose number is n modulo their count.
Sums over an image have 64 bits, all else is done in words.  Whoever reads y finds it behind its
ReLU, and the backward pass finds y - beta here, even where hardware has y come back.
"""

from __future__ import annotations

import math
from typing import Any

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import normal
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal import Share
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.normalisation import (
    DECAY,
    MEAN_GUARD,
    SCALE_CONTROL,
    SHIFT_CONTROL,
    Normalisation,
)
from counterflow.golden.fast.lanes import (
    LANES,
    count_set,
    filled,
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
from counterflow.golden.fast.narrowings import largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import TRAIN, VIEW, Memory, passing
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

CENTRE, ROOT, HALVINGS, BETA, AHEAD, SCALE, PULL = range(len(VIEW))
FORWARD_SUMS, BACKWARD_SUMS = 2, 3  # of each channel


def stages(schedule: Schedule) -> list[NormalStage]:
    """The norms of a schedule, whatever their source of statistics."""
    return list(schedule.norms)


def record(stage: NormStage, where: Places) -> dict[str, Any]:
    """The fields of its record but for those that say where its own part of the memory starts."""
    numbers = stage.numbers
    formats = {one.name: one.number for one in stage.parameters}
    return common(stage, where) | {
        "guard": normal.GRADIENT_GUARD,
        "control_drop": numbers.control_drop,
        "centre_drop": MEAN_GUARD - normal.CENTRE_FRAC,
        "decay": DECAY,
        "pull_drop": numbers.shift_drop,
        "mean": _share(numbers.mean_share, formats["mean"]),
        "variance": _share(numbers.variance_share, formats["variance"]),
        "scale": _share(numbers.scale_share, formats["scale_control"]),
        "shift": _share(numbers.shift_share, formats["shift_control"]),
    }


def common(stage: NormalStage, where: Places) -> dict[str, Any]:
    """Those of its fields that every norm has."""
    numbers, beta = stage.numbers, stage.numbers.parameters
    down, across, channels = stage.unit.outputs[0].shape
    wide, rounding = Format(True, 2, numbers.wide_frac), numbers.round_error
    passed = where.passed[stage.name]
    return passing(stage, where, entries=filled(numbers.elements)) | {
        "index": stage.index,
        "channels": channels,
        "period": math.lcm(channels, LANES),
        "delay": stage.delay,
        "relu": stage.unit.outputs[0].rectified,
        "backward": numbers.dx is not None,
        "down": down,
        "line": across * channels,
        "views_depth": max(passed, stage.delay) + 3,
        "sums_depth": stage.delay - passed + 1,
        "centre_frac": normal.CENTRE_FRAC,
        "normal_shift": numbers.normal_shift,
        "lift": numbers.lift,
        "scaled_shift": numbers.scaled_shift + numbers.lift,
        "steps_frac": normal.ROOT_STEPS,
        "variance_one": 1 << normal.VARIANCE_FRAC,
        "taps": channels,
        "row_taps": channels,
        "rows": 1,
        "kernel_rows": 1,
        "parts": channels,
        "wide": 1,
        "stochastic": beta.round_update is Rounding.STOCHASTIC,
        "ahead": beta.horizon,
        "bias": narrowing(beta.weight.frac, beta.bias_operand, beta.round_operand),
        "y_to": narrowing(numbers.y.frac, numbers.y, rounding),
        "dx": narrowing(wide.frac, numbers.dx or wide, rounding),
    }


def _share(share: Share, number: Format) -> tuple[int, ...]:
    """The fields of SHARE."""
    return share.factor, share.shift, number.min, number.max


def fits(numbers: Normalisation, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value but for sums over an image."""
    root, (_, halvings) = max(normal.ROOTS), numbers.halvings
    most = halvings + numbers.normal_shift
    xhat = numbers.y.magnitude + numbers.beta.magnitude  # and more than y less beta
    largest = [numbers.difference.magnitude * root + (1 << most), xhat]
    shifts = [most]
    if numbers.dx is not None:
        control = SCALE_CONTROL.magnitude * xhat + (1 << numbers.control_drop)
        z = (numbers.dy.magnitude << normal.GRADIENT_GUARD) + (control >> numbers.control_drop)
        shift = numbers.scaled_shift + numbers.lift
        scaled = (z * root << numbers.lift) + (1 << halvings + shift)
        pull = (SHIFT_CONTROL.magnitude >> numbers.shift_drop) + 1
        wide = (scaled >> numbers.halvings[0] + shift) + pull
        largest += [control, scaled, largest_narrowed(wide, numbers.wide_frac - numbers.dx.frac)]
        shifts += [numbers.control_drop, halvings + shift]
    return max(largest) < 1 << (bits - 1) and max(shifts) < bits - 1


@compiled
def view_of(unit: Record, token: int) -> int:
    """Where the view stands that the forward pass of token `token` sees."""
    return unit.views + token % unit.views_depth * len(VIEW) * unit.period


@compiled
def forward(memory: Memory, unit: Record, slot: int, kind: int) -> None:
    """y of token `slot`, whose image is at stash[unit.x], and the sums over it."""
    view, count = view_of(unit, slot), 0
    entry = unit.entries + slot % unit.depth * unit.size
    beta = view + (AHEAD if kind >= TRAIN and unit.horizon != 0 else BETA) * unit.period
    clear(memory, unit.sums, FORWARD_SUMS * unit.channels)
    for phase in range(0, unit.period, LANES):
        count += _normalise(memory, unit, phase, view + phase, beta + phase, entry)
    memory.saturations[unit.index] += count
    _send(memory, unit, unit.y + slot % unit.y_depth * unit.y_size)


@compiled
def _normalise(
    memory: Memory, unit: Record, phase: int, view: int, beta_at: int, entry: int
) -> int:
    """y, before its ReLU, to `meeting`, of the vectors that the one at `view` is for.

    Keeps y - beta, adds to the sums, and returns how many elements saturated.
    """
    stash, views, period = memory.stash, memory.views, unit.period
    one, frac = spread(stash, 1), spread(stash, unit.centre_frac)
    centre, root = load_lanes(views, view), load_lanes(views, view + ROOT * period)
    beta, halvings = load_lanes(views, beta_at), load_lanes(views, view + HALVINGS * period)
    shift = add(halvings, spread(stash, unit.normal_shift))
    half = shift_left(one, sub(shift, one))
    differences = squares = spread(memory.norm_sums, 0)
    count = 0
    for i in range(phase, unit.inputs, period):
        left = unit.inputs - i
        e = first(sub(shift_left(load_lanes(stash, unit.x + i), frac), centre), left)
        far = widened(e)
        differences, squares = add(differences, far), add(squares, mul(far, far))
        scaled = shift_right(add(mul(e, root), half), shift)
        xhat = limited_lanes(stash, scaled, unit.y_to)
        total = add(xhat, beta)
        y = limited_lanes(stash, total, unit.y_to)
        count += count_set(first(bit_or(bit_xor(scaled, xhat), bit_xor(total, y)), left))
        store_lanes(memory.meeting, i, y)
        store_lanes(memory.entries, entry + i, sub(y, beta))
    fold(memory, unit, unit.sums, phase, differences)
    fold(memory, unit, unit.sums + unit.channels, phase, squares)
    return count


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
        fold(memory, unit, sums, phase, total)


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
    errors, views, period, channels = memory.errors, memory.views, unit.period, unit.channels
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
    total = products = gradients = spread(memory.norm_sums, 0)
    for i in range(phase, unit.inputs, period):
        left = unit.inputs - i
        error = first(load_lanes(errors, dy + i), left)
        xhat = first(load_lanes(memory.entries, entry + i), left)
        control = shift_right(add(mul(scale, xhat), drop_half), drop)
        z = sub(shift_left(error, guard), control)
        scaled = shift_right(add(shift_left(mul(z, root), lift), half), shift)
        wide = first(sub(scaled, pull), left)
        total, gradients = add(total, widened(error)), add(gradients, widened(wide))
        products = add(products, mul(widened(z), widened(xhat)))
        rounded = rounded_lanes(errors, wide, unit.dx)
        value = limited_lanes(errors, rounded, unit.dx)
        count += count_set(bit_xor(rounded, value))
        store_first(errors, dx + i, value, left)
    fold(memory, unit, sums, phase, total)
    fold(memory, unit, sums + channels, phase, products)
    fold(memory, unit, sums + 2 * channels, phase, gradients)
    return count


@compiled
def backward_sums(unit: Record, token: int) -> int:
    """Where the sums over the gradients of token `token` stand: of dy, of z xhat, of dx."""
    start = unit.sums + FORWARD_SUMS * unit.channels
    return start + token % unit.sums_depth * BACKWARD_SUMS * unit.channels


@compiled
def clear(memory: Memory, start: int, count: int) -> None:
    """Let sums be zero."""
    for at in range(start, start + count):
        memory.norm_sums[at] = 0


@compiled
def fold(memory: Memory, unit: Record, start: int, phase: int, total: Any) -> None:
    """Add the lanes of a sum to those of their channels, which stand from `start` on."""
    store_lanes(memory.lane_sums, 0, total)
    channel = phase % unit.channels
    for lane in range(LANES):
        memory.norm_sums[start + channel] += memory.lane_sums[lane]
        channel = channel + 1 if channel + 1 < unit.channels else 0
