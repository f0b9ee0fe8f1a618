"""Subsampling units in `golden.fast.chain`: LANES channels of a pixel at a time.

Pixels are visited in order, so that what a vector stores beyond the channels of one is set right by
those that follow; only beyond the end of a row nothing may be stored.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.subsample import Subsampling
from counterflow.golden.fast.lanes import LANES, first, load_lanes, spread, store_first
from counterflow.golden.fast.narrowings import fields
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import compiled

RECORD = np.dtype(
    [
        *PASSING,
        *fields("high", "wide", "channels", "down", "across", "made"),
        *fields("step_down", "step_across"),
    ]
)
"""Images of `high` x `wide` pixels of `channels`, to `down` x `across` of `made` channels."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of its record."""
    numbers: Subsampling = stage.numbers
    names = ("high", "wide", "channels", "down", "across", "made", "step_down", "step_across")
    values = (*numbers.image, *numbers.result, *numbers.stride)
    return [passing(stage, where) | dict(zip(names, values, strict=True))]


def fits(numbers: Subsampling, bits: int) -> bool:
    """Whether words of `bits` bits hold every value."""
    return max(numbers.x.magnitude, numbers.error.magnitude) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    """y of token `slot`, whose image is at stash[unit.x]."""
    stash = memory.stash
    y = unit.y + slot % unit.y_depth * unit.y_size
    for row in range(unit.down):
        line = unit.x + row * unit.step_down * unit.wide * unit.channels
        for column in range(unit.across):
            x = line + column * unit.step_across * unit.channels
            to = y + row * unit.y_pitch + column * unit.made
            room = (unit.across - column) * unit.made
            for channel in range(0, unit.made, LANES):
                kept = first(load_lanes(stash, x + channel), unit.channels - channel)
                store_first(stash, to + channel, kept, room - channel)


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    """dx of token number `token`, whose dy is at errors[unit.dy]."""
    errors = memory.errors
    dy = unit.dy + token % unit.dy_depth * unit.outputs
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    for i in range(0, unit.inputs, LANES):
        store_first(errors, dx + i, spread(errors, 0), unit.inputs - i)
    for row in range(unit.down):
        line = dx + row * unit.step_down * unit.wide * unit.channels
        for column in range(unit.across):
            to = line + column * unit.step_across * unit.channels
            for channel in range(0, unit.channels, LANES):
                value = load_lanes(errors, dy + channel)
                store_first(errors, to + channel, value, unit.channels - channel)
            dy += unit.made
