"""The loss unit in `golden.fast.chain`."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.design.units.loss import EXP_FRAC, LOG2E_NUMERATOR, LOG_FRAC, LossArithmetic
from counterflow.golden.fast.dense import limit, round_off
from counterflow.golden.fast.narrowings import narrowing
from counterflow.golden.fast.records import Memory
from counterflow.golden.fast.words import compiled


def record(numbers: LossArithmetic) -> dict[str, Any]:
    """The fields of `golden.fast.records.LOSS` that are its own."""
    return {
        "numerator": LOG2E_NUMERATOR,
        "shift": numbers.exponent_shift,
        "log_frac": LOG_FRAC,
        "exp_frac": EXP_FRAC,
        "error": narrowing(EXP_FRAC, numbers.error, numbers.round_error),
    }


@compiled
def loss_of(memory: Memory, index: int, slot: int, label: int, learns: bool) -> int:
    """The loss of the logits that loss number `index` gets; if `learns`, their error, too."""
    loss = memory.losses[index]
    count, x = loss.classes, loss.x
    part, most, exponents = (1 << loss.log_frac) - 1, loss.exp_frac + 2, memory.exponents
    largest, total = np.int64(memory.stash[x]), 0
    for i in range(1, count):
        largest = max(largest, np.int64(memory.stash[x + i]))
    for i in range(count):
        scaled = (largest - memory.stash[x + i]) * loss.numerator
        exponents[i] = (scaled + (1 << (loss.shift - 1))) >> loss.shift
        total += memory.exp2[exponents[i] & part] >> min(exponents[i] >> loss.log_frac, most)
    place = 0
    while total >> (place + 1):
        place += 1
    mantissa = ((total << loss.log_frac) >> place) - (1 << loss.log_frac)
    log2 = ((place - loss.exp_frac) << loss.log_frac) + memory.log2[mantissa]
    if learns:
        start = loss.errors + slot % loss.errors_depth * count
        others = 0
        for i in range(count):
            t = exponents[i] + log2
            power = memory.exp2[t & part] >> min(t >> loss.log_frac, most)
            error = limit(round_off(power, loss.error), loss.error)
            memory.errors[start + i] = error
            others += error
        memory.errors[start + label] -= others
    return exponents[label] + log2
