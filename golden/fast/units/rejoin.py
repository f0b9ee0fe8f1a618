"""Rejoins in `golden.fast.chain`: a record for each copy, of which the last one feeds what follows.

Both ways they copy, LANES elements at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.rejoin import Rejoin
from counterflow.golden.fast.lanes import LANES, load_lanes, store_first
from counterflow.golden.fast.narrowings import fields
from counterflow.golden.fast.places import Places
from counterflow.golden.fast.records import PASSING, Memory, passing
from counterflow.golden.fast.units import fork
from counterflow.golden.fast.words import compiled

RECORD = np.dtype([*PASSING, *fields("rows", "row", "feeds")])
"""One copy; only that which `feeds` what follows is read."""


def records(stage: PassingStage, where: Places) -> list[dict[str, Any]]:
    """The fields of a record for each copy."""
    numbers: Rejoin = stage.numbers
    edge = stage.unit.outputs[0]
    return [
        passing(stage, where, x=index, path=path)
        | {
            "rows": edge.shape[0],
            "row": edge.shape[1] * edge.shape[2],
            "feeds": path == numbers.paths[-1],
        }
        for index, path in enumerate(numbers.paths)
    ]


def fits(numbers: Rejoin, bits: int) -> bool:
    """Whether words of `bits` bits hold every value."""
    return max(numbers.x.magnitude, numbers.error.magnitude) < 1 << (bits - 1)


@compiled
def forward(memory: Memory, unit: Any, slot: int) -> None:
    """Copy x of token `slot` to y, as a fork does to a branch."""
    if unit.feeds:
        fork.forward(memory, unit, slot)


@compiled
def backward(memory: Memory, unit: Any, token: int) -> None:
    """Copy dy of the loss of this copy to its dx."""
    errors = memory.errors
    dy = unit.dy + token % unit.dy_depth * unit.inputs
    dx = unit.dx_start + token % unit.dx_depth * unit.inputs
    for i in range(0, unit.inputs, LANES):
        store_first(errors, dx + i, load_lanes(errors, dy + i), unit.inputs - i)
