"""Mean squared error: the loss of regression and of autoencoders.

    dy_i = narrow(y_i - t_i)          loss = (dy_0^2 + dy_1^2 + ...) / 2

The difference of a score and its target is exact, and narrowed once to the error format, whose
range clips it.  The loss counts the errors that are learnt from, so that one narrow multiplier
squares them; where their format has the fraction bits of scores and targets and they stay within
its range, it is exact.  Its mean over outputs is half the mean squared error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from counterflow.design.parts.formats import Format
from counterflow.design.units.pointwise import Pointwise, PointwiseUnit


@dataclass(frozen=True)
class SquaredError(Pointwise):
    """Formats of the squared error.

    Cost: a multiplier of two errors; latency 3 to the queues; a score a cycle.
    """

    logic: ClassVar[Mapping[str, float]] = {"ecp5": 0, "ice40": 98, "xc7": 0}
    latency: ClassVar[int] = 3  # difference, error, square
    unit: ClassVar[str] = "half a sum of squares"

    @property
    def aligned(self) -> int:
        """Fraction bits of the exact difference."""
        return max(self.logit.frac, self.given.frac)

    @property
    def products(self) -> tuple[tuple[Format, Format], ...]:
        """See `LossNumbers`."""
        return ((self.error, self.error),)

    @property
    def total(self) -> Format:
        """See `Pointwise`."""
        most = self.classes * self.error.min**2
        return Format(False, most.bit_length(), 2 * self.error.frac)

    @property
    def one_loss(self) -> float:
        """See `LossNumbers`: halves of a square."""
        return 2.0 ** (self.dropped - 2 * self.error.frac - 1)

    @property
    def threshold(self) -> int | None:
        """See `LossNumbers`: a half."""
        return (1 << self.logit.frac) >> 1 if self.classes == 1 else None


@dataclass(frozen=True, kw_only=True)
class MseUnit(PointwiseUnit):
    """Mean squared error of the scores that come."""

    kind: ClassVar[str] = "mse"
    unit_of: ClassVar[str] = SquaredError.unit
    arithmetic: ClassVar[type[Pointwise]] = SquaredError
    twin: ClassVar[str] = "golden.units.mse.Mse"
