"""Halving as compiled loops."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.golden.fast.lanes import (
    LANES,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    store_first,
)
from counterflow.golden.fast.narrowings import NARROW, fields, largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import compiled
from tests.toy import design

RECORD = np.dtype([*PASSING, *fields("rows", "row"), ("y_to", NARROW), ("dx", NARROW)])


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    numbers: design.Halving = stage.numbers
    shape, x, error = stage.unit.inputs[0].shape, numbers.x, numbers.error
    own = {
        "rows": shape[0],
        "row": shape[1] * shape[2],
        "y_to": narrowing(x.frac + numbers.bits, x, numbers.round_activation),
        "dx": narrowing(error.frac + numbers.bits, error, numbers.round_error),
    }
    return [passing(stage, where) | own]


def fits(numbers: design.Halving, bits: int) -> bool:
    most = max(numbers.x.magnitude, numbers.error.magnitude)
    return largest_narrowed(most, numbers.bits) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    stash = memory.stash
    y = unit.y + slot % unit.y_depth * unit.y_size
    for row in range(unit.rows):
        for i in range(0, unit.row, LANES):
            x = load_lanes(stash, unit.x + row * unit.row + i)
            value = limited_lanes(stash, rounded_lanes(stash, x, unit.y_to), unit.y_to)
            store_first(stash, y + row * unit.y_pitch + i, value, unit.row - i)


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    errors = memory.errors
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    for i in range(0, unit.inputs, LANES):
        dy = load_lanes(errors, unit.dy + i)
        value = limited_lanes(errors, rounded_lanes(errors, dy, unit.dx), unit.dx)
        store_first(errors, dx + i, value, unit.inputs - i)
