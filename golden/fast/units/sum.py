"""Sums in `golden.fast.chain`: a record for each branch, LANES elements at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.sum import Sum
from counterflow.golden.fast.lanes import (
    LANES,
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

RECORD = np.dtype(
    [
        *PASSING,
        *fields("rows", "row", "first", "last", "relu", "factor", "masks", "wanted"),
        *[(name, NARROW) for name in ("y_to", "dx")],
    ]
)
"""One branch; the `first` one starts the sum, in which it counts `factor` times, `last` ends it.

A sum with a `relu` that is negative counts as zero.
"""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of a record for each branch."""
    numbers: Sum = stage.numbers
    shape, frac, found = stage.unit.outputs[0].shape, numbers.total.frac, []
    for index, branch in enumerate(numbers.branches):
        masks = branch.masks and branch.wanted
        found.append(
            passing(stage, where, x=index, entries=numbers.elements if masks else 0)
            | {
                "rows": shape[0],
                "row": shape[1] * shape[2],
                "first": index == 0,
                "last": index == len(numbers.branches) - 1,
                "relu": numbers.relu,
                "factor": 1 << frac - branch.x.frac,
                "masks": masks,
                "wanted": branch.wanted,
                "y_to": narrowing(frac, numbers.y, numbers.round_activation),
                "dx": narrowing(numbers.dy.frac, branch.dx, numbers.round_error),
            }
        )
    return found


def fits(numbers: Sum, bits: int) -> bool:
    """Whether words of `bits` bits hold every intermediate value."""
    total = numbers.total
    largest = [largest_narrowed(total.magnitude, total.frac - numbers.y.frac)]
    largest += [
        largest_narrowed(numbers.dy.magnitude, numbers.dy.frac - branch.dx.frac)
        for branch in numbers.branches
    ]
    return max(largest) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    """Add x of token `slot` of this branch; behind the last one, send their sum on."""
    stash, meeting, entries = memory.stash, memory.meeting, memory.entries
    y = unit.y + slot % unit.y_depth * unit.y_size
    entry = unit.entries + slot % unit.depth * unit.size
    one, zero, factor = spread(stash, 1), spread(stash, 0), spread(stash, unit.factor)
    at = 0
    for row in range(unit.rows):
        for i in range(0, unit.row, LANES):
            x, left = load_lanes(stash, unit.x + at + i), unit.row - i
            if unit.masks:
                store_first(entries, entry + at + i, if_greater(x, zero, one, zero), left)
            total = mul(x, factor)
            if not unit.first:
                total = add(total, load_lanes(meeting, at + i))
            if unit.last:
                if unit.relu:
                    total = if_greater(total, zero, total, zero)
                rounded = rounded_lanes(stash, total, unit.y_to)
                value = limited_lanes(stash, rounded, unit.y_to)
                store_first(stash, y + row * unit.y_pitch + i, value, left)
            else:
                store_first(meeting, at + i, total, left)
        at += unit.row


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    """dx of token number `token` for this branch, if it wants it."""
    if not unit.wanted:
        return
    errors = memory.errors
    dy = unit.dy + token % unit.dy_depth * unit.outputs
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    entry = unit.entries + token % unit.depth * unit.size
    for i in range(0, unit.inputs, LANES):
        rounded = rounded_lanes(errors, load_lanes(errors, dy + i), unit.dx)
        value = limited_lanes(errors, rounded, unit.dx)
        if unit.masks:
            value = mul(value, load_lanes(memory.entries, entry + i))
        store_first(errors, dx + i, value, unit.inputs - i)
