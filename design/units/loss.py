"""Tables and formats of the loss unit: softmax cross-entropy in the base-2 logarithmic domain.

No multiplier and no divider: with d_i = max(z) - z_i and t_i = d_i * log2(e),

    sum = sum_i 2**-t_i          L = log2(sum)          p_i = 2**-(t_i + L)

where 2**-fraction and log2(1 + fraction) are tables of 64 entries.  The gradient must sum to
zero, or a confident, correct network keeps drifting: e_i = p_i for the wrong classes and
e_label = -sum of the others.  The loss -log2(p_label) is t_label + L, in bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from counterflow.design.parts.formats import Format

LOG_FRAC = 6  # fraction bits of t, L and the loss; the tables have 2**LOG_FRAC entries
EXP_FRAC = 12  # fraction bits of 2**-t and of p
LOG2E_NUMERATOR, LOG2E_SHIFT = 1477, 10  # 1477 / 1024 = 1.44238, log2(e) = 1.44270

EXP2 = tuple(round(2**EXP_FRAC * 2 ** (-k / 2**LOG_FRAC)) for k in range(2**LOG_FRAC))
"""2**-(k/64) with EXP_FRAC fraction bits; entry 0 is exactly one."""

LOG2 = tuple(
    round(2**LOG_FRAC * math.log2(1 + (k + 0.5) / 2**LOG_FRAC)) if k else 0
    for k in range(2**LOG_FRAC)
)
"""log2(1 + (k + 1/2)/64) with LOG_FRAC fraction bits; entry 0 is exactly zero."""


@dataclass(frozen=True)
class LossArithmetic:
    """Formats of the loss unit: `classes` logits of format `logit`, errors of format `error`."""

    classes: int
    logit: Format
    error: Format

    @property
    def exponent_shift(self) -> int:
        """Right shift that takes d * LOG2E_NUMERATOR to LOG_FRAC fraction bits (rounded)."""
        return LOG2E_SHIFT + self.logit.frac - LOG_FRAC

    @property
    def exponent(self) -> Format:
        """t alone: the largest difference of two logits times log2(e)."""
        largest = ((1 << self.logit.bits) * LOG2E_NUMERATOR >> self.exponent_shift) + 1
        return Format(False, largest.bit_length(), LOG_FRAC)

    @property
    def sum(self) -> Format:
        """Sum of the exponentials: between one and `classes`."""
        return Format(False, (self.classes << EXP_FRAC).bit_length(), EXP_FRAC)

    @property
    def loss(self) -> Format:
        """t + L, in bits (base-2 units), with LOG_FRAC fraction bits; L <= log2(classes)."""
        largest = self.exponent.max + ((self.classes - 1).bit_length() + 1 << LOG_FRAC)
        return Format(False, largest.bit_length(), LOG_FRAC)
