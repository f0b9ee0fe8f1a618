"""The squared error in `golden.fast.chain`."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.mse import SquaredError
from counterflow.golden.fast.dense import limit, round_off
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.units import pointwise
from counterflow.golden.fast.units.pointwise import target_of
from counterflow.golden.fast.words import compiled


def record(numbers: SquaredError) -> dict[str, Any]:
    """The fields of `golden.fast.records.LOSS` that are its own."""
    frac = numbers.aligned
    return pointwise.record(numbers, frac) | {
        "score_lift": frac - numbers.logit.frac,
        "target_lift": frac - numbers.given.frac,
    }


@compiled
def squares_of(memory: Memory, index: int, slot: int, label: int, learns: bool) -> int:
    """The loss of the scores that loss number `index` gets; if `learns`, their error, too."""
    loss, total = memory.losses[index], 0
    start = loss.errors + slot % loss.errors_depth * loss.classes
    for i in range(loss.classes):
        score = np.int64(memory.stash[loss.x + i]) << loss.score_lift
        exact = score - (target_of(memory, loss, label, i) << loss.target_lift)
        error = limit(round_off(exact, loss.error), loss.error)
        if learns:
            memory.errors[start + i] = error
        total += error * error
    return total >> loss.dropped
