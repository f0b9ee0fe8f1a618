"""Pooling units in `golden.fast.chain`: LANES channels of a window at a time.

Windows are visited in order, so that what a vector stores beyond the channels is set right by the
windows that follow in the row; only beyond the end of a row nothing may be stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.pool import Pooling
from counterflow.golden.fast.lanes import (
    LANES,
    if_equal,
    if_greater,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    spread,
    store_first,
)
from counterflow.golden.fast.narrowings import NARROW, fields, largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import add, compiled, mul

Record = Any  # an element of type RECORD

RECORD = np.dtype(
    [
        *PASSING,
        *fields("high", "wide", "down", "across", "channels", "average", "relu"),
        *[(name, NARROW) for name in ("y_to", "dx")],
    ]
)
"""Windows of `high` x `wide` elements of each channel, `down` x `across` of them."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of its record."""
    numbers: Pooling = stage.numbers
    shift = numbers.average_shift
    size = numbers.inputs if numbers.average else numbers.outputs
    own = {
        "high": numbers.kernel[0],
        "wide": numbers.kernel[1],
        "down": numbers.height // numbers.kernel[0],
        "across": numbers.columns,
        "channels": numbers.channels,
        "average": numbers.average,
        "relu": numbers.relu,
        "y_to": narrowing(numbers.x.frac + shift, numbers.x, numbers.round_activation),
        "dx": narrowing(numbers.dy.frac + shift, numbers.dx, numbers.round_error),
    }
    return [passing(stage, where, entries=size) | own]


def fits(numbers: Pooling, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value."""
    shift, elements = numbers.average_shift, numbers.elements if numbers.average else 1
    error = numbers.dy.frac + shift - numbers.dx.frac
    largest = largest_narrowed(elements * numbers.x.magnitude, shift)
    return max(largest, largest_narrowed(numbers.dy.magnitude, error)) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, pool: Record, slot: int) -> None:
    """y of token `slot`, whose image is at stash[pool.x]; keeps its entry (`golden.units.pool`)."""
    stash, entries = memory.stash, memory.entries
    y = pool.y + slot % pool.y_depth * pool.y_size
    line = pool.across * pool.wide * pool.channels
    entry = pool.entries + slot % pool.depth * pool.size
    if pool.average:
        one, zero = spread(stash, 1), spread(stash, 0)
        others = zero if pool.relu else one
        for i in range(0, pool.inputs, LANES):
            x = load_lanes(stash, pool.x + i)
            store_first(entries, entry + i, if_greater(x, zero, one, others), pool.inputs - i)
    for row in range(pool.down):
        for column in range(pool.across):
            x = pool.x + row * pool.high * line + column * pool.wide * pool.channels
            to = y + row * pool.y_pitch + column * pool.channels
            kept = entry + (row * pool.across + column) * pool.channels
            for channel in range(0, pool.channels, LANES):
                room = (pool.across - column) * pool.channels - channel
                if pool.average:
                    value = _average(memory, pool, x + channel, line)
                else:
                    value, place = _largest(memory, pool, x + channel, line)
                    store_first(entries, kept + channel, place, room)
                store_first(stash, to + channel, value, room)


@compiled
def _average(memory: Memory, pool: Record, x: int, line: int) -> Any:
    """The mean of each channel's window."""
    stash = memory.stash
    total = spread(stash, 0)
    for i in range(pool.high):
        for j in range(pool.wide):
            total = add(total, load_lanes(stash, x + i * line + j * pool.channels))
    return limited_lanes(stash, rounded_lanes(stash, total, pool.y_to), pool.y_to)


@compiled
def _largest(memory: Memory, pool: Record, x: int, line: int) -> Any:
    """The largest element of each channel's window, and its place there: the first of equals."""
    stash, number = memory.stash, 0
    best, place = load_lanes(stash, x), spread(stash, 0)
    for i in range(pool.high):
        for j in range(pool.wide):
            value = load_lanes(stash, x + i * line + j * pool.channels)
            place = if_greater(value, best, spread(stash, number), place)
            best = if_greater(value, best, value, best)
            number += 1
    return best, place


@compiled
def backward(memory: Memory, pool: Record, slot: int) -> None:
    """dx of token number `slot`, whose dy is at errors[pool.dy]."""
    errors, entries = memory.errors, memory.entries
    dx = pool.dx_start + slot % pool.dx_depth * pool.inputs
    line = pool.across * pool.wide * pool.channels
    entry = pool.entries + slot % pool.depth * pool.size
    zero = spread(errors, 0)
    for row in range(pool.down):
        for column in range(pool.across):
            window = (row * pool.across + column) * pool.channels
            corner = row * pool.high * line + column * pool.wide * pool.channels
            for i in range(pool.high):
                for j in range(pool.wide):
                    at = corner + i * line + j * pool.channels
                    room = line - (column * pool.wide + j) * pool.channels
                    number = spread(errors, i * pool.wide + j)
                    for channel in range(0, pool.channels, LANES):
                        dy = load_lanes(errors, pool.dy + window + channel)
                        dy = limited_lanes(errors, rounded_lanes(errors, dy, pool.dx), pool.dx)
                        if pool.average:
                            value = mul(dy, load_lanes(entries, entry + at + channel))
                        else:
                            place = load_lanes(entries, entry + window + channel)
                            value = if_equal(place, number, dy, zero)
                        store_first(errors, dx + at + channel, value, room - channel)
