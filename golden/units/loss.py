"""The golden loss unit: zero-sum softmax cross-entropy, as `design.units.loss` describes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from counterflow.design.units.loss import (
    EXP2,
    EXP_FRAC,
    LOG2,
    LOG2E_NUMERATOR,
    LOG_FRAC,
    LossArithmetic,
)
from counterflow.golden.parts.narrow import Integers, narrow, tell

_EXP2 = np.array(EXP2, np.int64)


def _power(exponent: Integers) -> Integers:
    """2**-exponent with EXP_FRAC fraction bits, truncated; exponents have LOG_FRAC."""
    whole, part = exponent >> LOG_FRAC, exponent & (2**LOG_FRAC - 1)
    return _EXP2[part] >> np.minimum(whole, EXP_FRAC + 2)


def _log2(total: int) -> int:
    """log2 of `total` / 2**EXP_FRAC, which is at least one, with LOG_FRAC fraction bits."""
    place = total.bit_length() - 1
    mantissa = (total << LOG_FRAC >> place) - 2**LOG_FRAC
    return ((place - EXP_FRAC) << LOG_FRAC) + LOG2[mantissa]


@dataclass(frozen=True)
class Loss:
    """Softmax, cross-entropy and its gradient over `numbers.classes` logits."""

    numbers: LossArithmetic

    def __call__(self, logits: Integers, label: int) -> tuple[Integers, int]:
        """(error of each class in the error format, loss in bits with LOG_FRAC fraction bits)."""
        difference = int(logits.max()) - logits
        shift = self.numbers.exponent_shift
        scaled = (difference * LOG2E_NUMERATOR + (1 << (shift - 1))) >> shift
        exponent = scaled + _log2(int(_power(scaled).sum()))
        numbers, exact = self.numbers, _power(exponent)
        error, _ = narrow(exact, EXP_FRAC, numbers.error, numbers.round_error)
        for one in (exact, error):
            one[label] = 0
            one[label] = -one.sum()
        tell("dx", exact, EXP_FRAC, error, numbers.error)
        return error, int(exponent[label])
