"""Splits in `golden.fast.chain`: a record for each branch, LANES elements at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.split import Split
from counterflow.golden.fast.lanes import copy_rows
from counterflow.golden.fast.narrowings import fields
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.words import compiled

RECORD = np.dtype([*PASSING, *fields("rows", "row")])
"""One branch, whose elements begin at stash[x]."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of a record for each branch."""
    numbers: Split = stage.numbers
    found = []
    for index, (edge, part) in enumerate(zip(stage.unit.outputs, numbers.parts, strict=True)):
        record = passing(stage, where, y=index)
        record["x"] += part.start
        found.append(record | {"rows": edge.shape[0], "row": edge.shape[1] * edge.shape[2]})
    return found


def fits(numbers: Split, bits: int) -> bool:
    """Whether words of `bits` bits hold every value."""
    return numbers.x.magnitude < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    """Copy this branch's elements of x of token `slot`."""
    y = unit.y + slot % unit.y_depth * unit.y_size
    copy_rows(memory.stash, unit.x, y, unit.rows, unit.row, unit.y_pitch)


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    """Nothing comes back."""
