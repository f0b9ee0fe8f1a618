"""What compiled losses have in common that treat each output by itself."""

from __future__ import annotations

from typing import Any

from counterflow.design.units.pointwise import Pointwise
from counterflow.golden.fast.narrowings import narrowing
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import compiled


def record(numbers: Pointwise, frac: int) -> dict[str, Any]:
    """The fields of `golden.fast.records.LOSS` of errors that have `frac` fraction bits."""
    return {
        "target_frac": numbers.given.frac,
        "dropped": numbers.dropped,
        "error": narrowing(frac, numbers.error, numbers.round_error),
    }


@compiled
def target_of(memory: Memory, loss: Any, label: int, i: int) -> int:
    """The target of output `i`, of its stream or of the label."""
    if loss.targets >= 0:
        return int(memory.stash[loss.targets + i])
    if loss.classes == 1:
        return label
    return int(i == label)
