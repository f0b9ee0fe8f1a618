"""Binary cross-entropy: each score says with which chance its output is 1, whatever the others say.

A logistic function is a softmax of two classes whose logits are z and 0, so that the tables and
shifts of `design.units.loss` serve.  With u = |z| log2(e),

    L = log2(1 + 2**-u)        q = 2**-(u + L)        p = 1 - q where z >= 0, else q
    dy = narrow(p - t)         loss = L + u (1 - t) where z >= 0, else L + u t, in bits

q is the smaller chance of the two, so that a confident, correct answer has the error 0.  A target
above 1 counts as 1.  It is a multiple of 2**-frac, for which the loss needs a multiplier; a label's
target is 0 or 1, and needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from counterflow.design.parts.formats import Format
from counterflow.design.units.loss import (
    EXP2,
    EXP_FRAC,
    LOG2,
    LOG2E_NUMERATOR,
    LOG2E_SHIFT,
    LOG_FRAC,
    NATS,
)
from counterflow.design.units.pointwise import Pointwise, PointwiseUnit


@dataclass(frozen=True)
class BinaryCrossEntropy(Pointwise):
    """Formats of the binary cross-entropy.

    Cost: three tables of 64 entries, a multiplier where targets are a stream; latency 8 to the
    queues; a score a cycle.
    """

    logic: ClassVar[Mapping[str, float]] = {"ecp5": 545, "ice40": 645, "xc7": 307}
    latency: ClassVar[int] = 8  # |z|, u, 2**-u, L, u + L, q, p - t, error

    @property
    def exponent_shift(self) -> int:
        """Right shift that takes |z| * LOG2E_NUMERATOR to LOG_FRAC fraction bits (rounded)."""
        return LOG2E_SHIFT + self.logit.frac - LOG_FRAC

    @property
    def exponent(self) -> Format:
        """u."""
        shift = self.exponent_shift
        largest = (-self.logit.min * LOG2E_NUMERATOR + (1 << (shift - 1))) >> shift
        return Format(False, max(1, largest.bit_length()), LOG_FRAC)

    @property
    def weight(self) -> Format:
        """The share of u that the loss counts: from 0 to 1."""
        return Format(False, self.given.frac + 1, self.given.frac)

    @property
    def products(self) -> tuple[tuple[Format, Format], ...]:
        """See `LossNumbers`."""
        return ((self.weight, self.exponent),) if self.target else ()

    @property
    def total(self) -> Format:
        """See `Pointwise`."""
        most = self.classes * (self.exponent.max + (1 << LOG_FRAC))
        return Format(False, most.bit_length(), LOG_FRAC)

    @property
    def one_loss(self) -> float:
        """See `LossNumbers`: nats."""
        return NATS * 2.0**self.dropped

    @property
    def threshold(self) -> int | None:
        """See `LossNumbers`: an even chance."""
        return 0 if self.classes == 1 else None

    @property
    def tables(self) -> list[tuple[str, int, int]]:
        """See `LossNumbers`."""
        return [
            ("exponentials", len(EXP2), EXP_FRAC + 1),
            ("logarithms", len(LOG2), LOG_FRAC + 1),
            ("chances", len(EXP2), EXP_FRAC + 1),
        ]


@dataclass(frozen=True, kw_only=True)
class BceUnit(PointwiseUnit):
    """Binary cross-entropy of the scores that come."""

    kind: ClassVar[str] = "bce"
    arithmetic: ClassVar[type[Pointwise]] = BinaryCrossEntropy
    twin: ClassVar[str] = "golden.units.bce.Bce"
