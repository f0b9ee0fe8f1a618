"""Forks in `golden.fast.chain`: a record for each branch, LANES elements at a time.

A branch by which gradients of several losses come back has one for each; all of them copy.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.fork import Fork
from counterflow.design.units.passing import PassingStage
from counterflow.golden.fast.lanes import (
    LANES,
    copy_rows,
    limited_lanes,
    load_lanes,
    rounded_lanes,
    store_first,
    store_lanes,
)
from counterflow.golden.fast.narrowings import NARROW, fields, largest_narrowed, narrowing
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import add, compiled

RECORD = np.dtype([*PASSING, *fields("rows", "row", "first", "last"), ("dx", NARROW)])
"""One branch; the `first` one starts the sum of gradients, the `last` one sends it back."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of a record for each branch, and each loss whose gradients come back by it."""
    numbers: Fork = stage.numbers
    edge, back = stage.unit.inputs[0], numbers.back
    return [
        passing(stage, where, y=index, path=path)
        | {
            "rows": edge.shape[0],
            "row": edge.shape[1] * edge.shape[2],
            "first": not numbers.sums or index == back[0],
            "last": not numbers.sums or index == back[-1],
            "dx": narrowing(edge.error.frac, edge.error, numbers.round_error),
        }
        for index, branch in enumerate(stage.unit.outputs)
        for path in branch.paths or (None,)
    ]


def fits(numbers: Fork, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value."""
    most = max(1, len(numbers.back)) * numbers.error.magnitude
    return largest_narrowed(most, 0) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    """Copy x of token `slot` to this branch."""
    y = unit.y + slot % unit.y_depth * unit.y_size
    copy_rows(memory.stash, unit.x, y, unit.rows, unit.row, unit.y_pitch)


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    """Add dy of this branch; behind the last one, send their sum back."""
    errors, meeting = memory.errors, memory.meeting
    dy = unit.dy + token % unit.dy_depth * unit.inputs
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    for i in range(0, unit.inputs, LANES):
        total = load_lanes(errors, dy + i)
        if not unit.first:
            total = add(total, load_lanes(meeting, i))
        if unit.last:
            value = limited_lanes(errors, rounded_lanes(errors, total, unit.dx), unit.dx)
            store_first(errors, dx + i, value, unit.inputs - i)
        else:
            store_lanes(meeting, i, total)
