"""The binary cross-entropy in `golden.fast.chain`."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.loss import EXP_FRAC, LOG2E_NUMERATOR, LOG_FRAC
from counterflow.golden.fast.dense import limit, round_off
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.units import pointwise
from counterflow.golden.fast.units.pointwise import target_of
from counterflow.golden.fast.words import compiled


def record(numbers: BinaryCrossEntropy) -> dict[str, Any]:
    """The fields of `golden.fast.records.LOSS` that are its own."""
    return pointwise.record(numbers, EXP_FRAC + numbers.given.frac) | {
        "numerator": LOG2E_NUMERATOR,
        "shift": numbers.exponent_shift,
        "log_frac": LOG_FRAC,
        "exp_frac": EXP_FRAC,
    }


@compiled
def _power(memory: Memory, loss: Any, exponent: int) -> int:
    """2**-exponent."""
    part = exponent & ((1 << loss.log_frac) - 1)
    return memory.exp2[part] >> min(exponent >> loss.log_frac, loss.exp_frac + 2)


@compiled
def chances_of(memory: Memory, index: int, slot: int, label: int, learns: bool) -> int:
    """The loss of the scores that loss number `index` gets; if `learns`, their error, too."""
    loss, total = memory.losses[index], 0
    start = loss.errors + slot % loss.errors_depth * loss.classes
    one, frac = 1 << loss.target_frac, loss.target_frac
    for i in range(loss.classes):
        score = np.int64(memory.stash[loss.x + i])
        target = min(target_of(memory, loss, label, i), one)
        u = (abs(score) * loss.numerator + (1 << (loss.shift - 1))) >> loss.shift
        total_power = (1 << loss.exp_frac) + _power(memory, loss, u)
        logarithm = 1 << loss.log_frac
        if total_power >> (loss.exp_frac + 1) == 0:
            mantissa = (total_power >> (loss.exp_frac - loss.log_frac)) - logarithm
            logarithm = memory.log2[mantissa]
        chance = _power(memory, loss, u + logarithm)
        if score >= 0:
            chance = (1 << loss.exp_frac) - chance
        if learns:
            exact = (chance << frac) - (target << loss.exp_frac)
            memory.errors[start + i] = limit(round_off(exact, loss.error), loss.error)
        counted = one - target if score >= 0 else target
        total += logarithm + (u * counted >> frac)
    return total >> loss.dropped
