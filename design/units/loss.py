"""Tables and formats of the loss unit: softmax cross-entropy in the base-2 logarithmic domain.

No multiplier and no divider: with d_i = max(z) - z_i and t_i = d_i * log2(e),

    sum = sum_i 2**-t_i          L = log2(sum)          p_i = 2**-(t_i + L)

where 2**-fraction and log2(1 + fraction) are tables of 64 entries.  The gradient must sum to
zero, or a confident, correct network keeps drifting: e_i = p_i for the wrong classes and
e_label = -sum of the others.  The loss -log2(p_label) is t_label + L, in bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.recipe import Recipe
from counterflow.design.units.latency import LOSS_FIXED, LOSS_TAIL
from counterflow.design.units.losses import LossNumbers, LossStage, LossUnit
from counterflow.design.units.scheduled import Gradients, Times
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import Cycles

LOG_FRAC = 6  # fraction bits of t, L and the loss; the tables have 2**LOG_FRAC entries
NATS = math.log(2) * 2.0**-LOG_FRAC  # of a loss, which hardware and golden count in bits
EXP_FRAC = 12  # fraction bits of 2**-t and of p
LOG2E_NUMERATOR, LOG2E_SHIFT = 1477, 10  # 1477 / 1024 = 1.44238, log2(e) = 1.44270

EXP2 = tuple(round(2**EXP_FRAC * 2 ** (-k / 2**LOG_FRAC)) for k in range(2**LOG_FRAC))
"""2**-(k/64) with EXP_FRAC fraction bits; entry 0 is exactly one."""

LOG2 = tuple(
    round(2**LOG_FRAC * math.log2(1 + (k + 0.5) / 2**LOG_FRAC)) if k else 0
    for k in range(2**LOG_FRAC)
)
"""log2(1 + (k + 1/2)/64) with LOG_FRAC fraction bits; entry 0 is exactly zero."""

TWIN = "golden.units.loss.Loss"


@dataclass(frozen=True)
class LossArithmetic(LossNumbers):
    """Formats of the loss unit: `classes` logits of format `logit`, errors of format `error`."""

    classes: int
    logit: Format
    error: Format
    round_error: Rounding = Rounding.NEAREST_EVEN

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

    @property
    def one_loss(self) -> float:
        """See `LossNumbers`: nats."""
        return NATS

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `LossNumbers`: its queues, and the logits that it works on."""
        n = self.classes
        return [
            ("errors", 2 * n, self.error.bits),
            ("results", 2 * n, self.prediction_bits),
            ("logits", 2 << (n - 1).bit_length(), self.logit.bits),
        ]

    @property
    def beside(self) -> list[tuple[str, int, int]]:
        """See `LossNumbers`: the errors of the wrong classes, until the label's is known."""
        return [("kept", self.classes, self.error.bits)]

    @property
    def tables(self) -> list[tuple[str, int, int]]:
        """See `LossNumbers`."""
        return [
            ("exponentials", len(EXP2), EXP_FRAC + 1),
            ("logarithms", len(LOG2), LOG_FRAC + 1),
        ]


def loss_bound(classes: int) -> int:
    """Shortest interval of the loss unit."""
    return 3 * classes + LOSS_TAIL


@dataclass(frozen=True, kw_only=True)
class SoftmaxUnit(LossUnit):
    """Softmax cross-entropy of the scores that come."""

    kind: ClassVar[str] = "loss"

    @property
    def numbers(self) -> LossArithmetic:
        """See `LossUnit`."""
        scores = self.inputs[0]
        return LossArithmetic(scores.elements, scores.x, scores.error, self.round_error)

    @property
    def bound(self) -> int:
        """Shortest interval: its own, and that of the stream that it shares.

        The stream goes round, no longer than a packet with each loss.  So each sends one packet in
        as many cycles as all scores of a token are, and none waits with two.
        """
        classes = self.inputs[0].elements
        return max(loss_bound(classes), self.together * classes)

    def times(self, tiling: Tiling | None, recipe: Recipe) -> LossTimes:
        """See `Unit.times`."""
        return LossTimes(self)


@dataclass(frozen=True, eq=False)
class SoftmaxStage(LossStage):
    """The softmax in the schedule; errors leave beside scores."""

    twin: ClassVar[str] = TWIN
    listed: ClassVar[bool] = False

    @cached_property
    def output_offsets(self) -> Cycles:
        """See `LossStage`."""
        classes = self.arithmetic.classes
        offsets: Cycles = 2 * classes + LOSS_FIXED + np.arange(classes)
        return offsets

    @property
    def error_times(self) -> Cycles:
        """See `LossStage`."""
        return self.start + self.output_offsets

    @property
    def waiting(self) -> tuple[int, ...]:
        return (2 * self.arithmetic.classes,)


class LossTimes(Times):
    """The loss unit while a schedule is made."""

    def __init__(self, unit: SoftmaxUnit) -> None:
        self.unit, self.start = unit, 0

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Times.forward`: it sends nothing on."""
        self.start = int(arrivals[0][-1])
        return []

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """See `Times.backward`: here gradients begin."""
        return [self.scheduled(slot).gradients]

    def scheduled(self, slot: int) -> SoftmaxStage:
        """See `Times.scheduled`."""
        return SoftmaxStage(self.unit, self.unit.numbers, self.start)
