"""Pooling units in `golden.fast.chain`: LANES channels of a window at a time.

Windows are visited in order, so that what a vector stores beyond the channels is set right by the
windows that follow in the row; only beyond the end of a row nothing may be stored.  Where windows
do not lie side by side, gradients are added to those of others, and only channels are stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.division import Division
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.pooling import Pooling
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
        *fields("high", "wide", "down", "across", "channels", "average", "relu", "tiled"),
        *fields("height", "width", "step_down", "step_across", "above", "before"),
        *fields("mean", "mean_offset", "share", "share_offset"),
        *[(name, NARROW) for name in ("y_to", "dx")],
    ]
)
"""Windows of `high` x `wide` elements of each channel, `down` x `across` of them.

They are `step_down` and `step_across` pixels apart in images of `height` x `width`; the first one
begins `above` and `before` pixels outside.  What is narrowed of an average is a sum times `mean` or
`share`, and an offset.
"""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of its record."""
    numbers: Pooling = stage.numbers
    down, across = numbers.windows.down, numbers.windows.across
    mean, share = _divisions(numbers)
    size = numbers.inputs if numbers.average else numbers.outputs
    own = {
        "high": down.kernel,
        "wide": across.kernel,
        "down": down.count,
        "across": across.count,
        "channels": numbers.channels,
        "average": numbers.average,
        "relu": numbers.relu,
        "tiled": numbers.windows.tiled,
        "height": down.size,
        "width": across.size,
        "step_down": down.stride,
        "step_across": across.stride,
        "above": down.padding,
        "before": across.padding,
        "mean": mean.multiplier,
        "mean_offset": mean.offset,
        "share": share.multiplier,
        "share_offset": share.offset,
        "y_to": narrowing(numbers.x.frac + mean.shift, numbers.x, numbers.round_activation),
        "dx": narrowing(numbers.dy.frac + share.shift, numbers.dx, numbers.round_error),
    }
    return [passing(stage, where, entries=size) | own]


def _divisions(numbers: Pooling) -> tuple[Division, Division]:
    """Those of a sum of elements and of a sum of dy; a maximum divides by one."""
    if numbers.average:
        return numbers.mean, numbers.share
    return Division(1, numbers.x.magnitude), Division(1, numbers.overlaps * numbers.dy.magnitude)


def fits(numbers: Pooling, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value."""
    mean, share = _divisions(numbers)
    error = numbers.dy.frac + share.shift - numbers.dx.frac
    largest = largest_narrowed(mean.largest, mean.shift), largest_narrowed(share.largest, error)
    return max(largest) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, pool: Record, slot: int) -> None:
    """y of token `slot`, whose image is at stash[pool.x]; keeps its entry (`golden.units.pool`)."""
    stash, entries = memory.stash, memory.entries
    y = pool.y + slot % pool.y_depth * pool.y_size
    entry = pool.entries + slot % pool.depth * pool.size
    if pool.average:
        one, zero = spread(stash, 1), spread(stash, 0)
        others = zero if pool.relu else one
        for i in range(0, pool.inputs, LANES):
            x = load_lanes(stash, pool.x + i)
            store_first(entries, entry + i, if_greater(x, zero, one, others), pool.inputs - i)
    for row in range(pool.down):
        for column in range(pool.across):
            to = y + row * pool.y_pitch + column * pool.channels
            kept = entry + (row * pool.across + column) * pool.channels
            for channel in range(0, pool.channels, LANES):
                room = (pool.across - column) * pool.channels - channel
                if pool.average:
                    value = _average(memory, pool, row, column, channel)
                else:
                    value, place = _largest(memory, pool, row, column, channel)
                    store_first(entries, kept + channel, place, room)
                store_first(stash, to + channel, value, room)


@compiled
def _corner(pool: Record, row: int, column: int) -> tuple[int, int, int, int, int]:
    """Element of the image at the corner of a window, perhaps outside, and what of it is inside.

    Of its rows those from the second number to before the third, of its columns likewise.
    """
    down = row * pool.step_down - pool.above
    right = column * pool.step_across - pool.before
    corner = (down * pool.width + right) * pool.channels
    top, bottom = max(0, -down), min(pool.high, pool.height - down)
    return corner, top, bottom, max(0, -right), min(pool.wide, pool.width - right)


@compiled
def _average(memory: Memory, pool: Record, row: int, column: int, channel: int) -> Any:
    """The mean of each channel's window."""
    stash, line = memory.stash, pool.width * pool.channels
    corner, top, bottom, left, right = _corner(pool, row, column)
    x, total = pool.x + corner + channel, spread(stash, 0)
    for i in range(top, bottom):
        for j in range(left, right):
            total = add(total, load_lanes(stash, x + i * line + j * pool.channels))
    total = add(mul(total, spread(stash, pool.mean)), spread(stash, pool.mean_offset))
    return limited_lanes(stash, rounded_lanes(stash, total, pool.y_to), pool.y_to)


@compiled
def _largest(memory: Memory, pool: Record, row: int, column: int, channel: int) -> Any:
    """The largest element of each channel's window, and its place there: the first of equals."""
    stash, line = memory.stash, pool.width * pool.channels
    corner, top, bottom, left, right = _corner(pool, row, column)
    x = pool.x + corner + channel
    best = load_lanes(stash, x + top * line + left * pool.channels)
    place = spread(stash, top * pool.wide + left)
    for i in range(top, bottom):
        for j in range(left, right):
            value = load_lanes(stash, x + i * line + j * pool.channels)
            place = if_greater(value, best, spread(stash, i * pool.wide + j), place)
            best = if_greater(value, best, value, best)
    return best, place


@compiled
def backward(memory: Memory, pool: Record, slot: int) -> None:
    """dx of token number `slot`, whose dy is at errors[pool.dy]."""
    dx = pool.dx_start + slot % pool.dx_depth * pool.inputs
    entry = pool.entries + slot % pool.depth * pool.size
    if pool.tiled:
        _hand_back(memory, pool, dx, entry)
    else:
        _add_back(memory, pool, dx, entry)


@compiled
def _narrowed(memory: Memory, pool: Record, total: Any) -> Any:
    """Sums of dy as dx."""
    errors = memory.errors
    total = add(mul(total, spread(errors, pool.share)), spread(errors, pool.share_offset))
    return limited_lanes(errors, rounded_lanes(errors, total, pool.dx), pool.dx)


@compiled
def _hand_back(memory: Memory, pool: Record, dx: int, entry: int) -> None:
    """dx of windows side by side: that of one window each."""
    errors, entries = memory.errors, memory.entries
    line, zero = pool.width * pool.channels, spread(errors, 0)
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
                        dy = _narrowed(memory, pool, dy)
                        if pool.average:
                            value = mul(dy, load_lanes(entries, entry + at + channel))
                        else:
                            place = load_lanes(entries, entry + window + channel)
                            value = if_equal(place, number, dy, zero)
                        store_first(errors, dx + at + channel, value, room - channel)


@compiled
def _add_back(memory: Memory, pool: Record, dx: int, entry: int) -> None:
    """dx of any windows: the sum over all that an element is in, narrowed once it is whole."""
    errors, entries = memory.errors, memory.entries
    line, zero = pool.width * pool.channels, spread(errors, 0)
    for i in range(0, pool.inputs, LANES):
        store_first(errors, dx + i, zero, pool.inputs - i)
    for row in range(pool.down):
        for column in range(pool.across):
            window = (row * pool.across + column) * pool.channels
            corner, top, bottom, left, right = _corner(pool, row, column)
            for i in range(top, bottom):
                for j in range(left, right):
                    at = dx + corner + i * line + j * pool.channels
                    number = spread(errors, i * pool.wide + j)
                    for channel in range(0, pool.channels, LANES):
                        value = load_lanes(errors, pool.dy + window + channel)
                        if not pool.average:
                            place = load_lanes(entries, entry + window + channel)
                            value = if_equal(place, number, value, zero)
                        value = add(value, load_lanes(errors, at + channel))
                        store_first(errors, at + channel, value, pool.channels - channel)
    for i in range(0, pool.inputs, LANES):
        value = _narrowed(memory, pool, load_lanes(errors, dx + i))
        if pool.average:
            value = mul(value, load_lanes(entries, entry + i))
        store_first(errors, dx + i, value, pool.inputs - i)
