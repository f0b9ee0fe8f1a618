"""The golden binary cross-entropy, as `design.units.bce` describes it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.loss import EXP2, EXP_FRAC, LOG2, LOG2E_NUMERATOR, LOG_FRAC
from counterflow.golden.parts.narrow import Integers, narrow
from counterflow.golden.units.pointwise import targets_of

_EXP2, _LOG2 = np.array(EXP2, np.int64), np.array(LOG2, np.int64)


def _power(exponent: Integers) -> Integers:
    """2**-exponent with EXP_FRAC fraction bits, truncated; exponents have LOG_FRAC."""
    whole, part = exponent >> LOG_FRAC, exponent & (2**LOG_FRAC - 1)
    return _EXP2[part] >> np.minimum(whole, EXP_FRAC + 2)


def _log2(total: Integers) -> Integers:
    """log2 of `total` / 2**EXP_FRAC, which is 1 to 2, with LOG_FRAC fraction bits."""
    two = total >> (EXP_FRAC + 1)
    mantissa = (total >> (EXP_FRAC - LOG_FRAC)) & (2**LOG_FRAC - 1)
    return np.where(two == 1, 1 << LOG_FRAC, _LOG2[mantissa])


@dataclass(frozen=True)
class Bce:
    """The logistic function of each of `numbers.classes` scores, cross-entropy, its gradient."""

    numbers: BinaryCrossEntropy

    def __call__(self, scores: Integers, given: int | Integers) -> tuple[Integers, int]:
        """(error of each score in the error format, loss in bits with LOG_FRAC fraction bits).

        ``given``: targets [classes] or a label.
        """
        numbers, frac = self.numbers, self.numbers.given.frac
        one, shift = 1 << frac, numbers.exponent_shift
        targets = np.minimum(targets_of(numbers, given), one)
        u = (np.abs(scores) * LOG2E_NUMERATOR + (1 << (shift - 1))) >> shift
        logarithm = _log2((1 << EXP_FRAC) + _power(u))
        smaller = _power(u + logarithm)
        chance = np.where(scores >= 0, (1 << EXP_FRAC) - smaller, smaller)
        exact = (chance << frac) - (targets << EXP_FRAC)
        error, _ = narrow(exact, EXP_FRAC + frac, numbers.error, numbers.round_error, "dx")
        counted = np.where(scores >= 0, one - targets, targets)
        bits = logarithm + (u * counted >> frac)
        return error, int(bits.sum()) >> numbers.dropped
