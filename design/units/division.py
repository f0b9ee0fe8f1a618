"""Division by the area of a window, for averages: a multiplication made of shifts and additions.

    n / area = (multiplier n + offset) / 2**shift          multiplier = round(2**shift / area)

An area that is a power of two has the multiplier 1 and no offset, and so is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.parts.formats import SUM_BITS, Rounding
from counterflow.design.units.latency import tree_latency


@dataclass(frozen=True)
class Division:
    """That of integers n of up to `magnitude` by `area`, for a narrowing with `rounding`.

    The narrowing appends up to `lift` fraction bits.  ``shift`` is such that its result equals that
    of the exact quotient, but for exact ties: a mean half way between two numbers may be rounded to
    either.  Hence it is the exact one where `area` is odd or `rounding` truncates, and nowhere more
    than one last place from it.

    The multiplier is off by half at most, so that the quotient is off by less than half of the
    smallest distance that it can have from an integer without being one, 1/area.  Where `rounding`
    truncates, the offset adds as much, so that whole quotients stay whole.
    """

    area: int
    magnitude: int
    lift: int = 0
    rounding: Rounding = Rounding.NEAREST_EVEN

    @property
    def exact(self) -> bool:
        """Whether it is a shift only."""
        return self.area & (self.area - 1) == 0

    @property
    def shift(self) -> int:
        """Fraction bits of the quotient."""
        if self.exact:
            return self.area.bit_length() - 1
        return (self.area * (self.magnitude + 1) << self.lift).bit_length()

    @property
    def multiplier(self) -> int:
        """What n is multiplied by."""
        return 1 if self.exact else ((2 << self.shift) // self.area + 1) // 2

    @property
    def offset(self) -> int:
        """What is added to the product."""
        truncates = self.rounding is Rounding.TRUNCATE and not self.exact
        return (self.magnitude + 1) // 2 if truncates else 0

    @property
    def largest(self) -> int:
        """Largest magnitude of product and offset."""
        return self.multiplier * self.magnitude + self.offset

    @property
    def terms(self) -> int:
        """Terms that are added: the non-zero digits of the multiplier's non-adjacent form, and the
        offset."""
        return (self.multiplier ^ 3 * self.multiplier).bit_count() + (self.offset > 0)

    @property
    def latency(self) -> int:
        """Registered levels of its additions."""
        return tree_latency(self.terms)

    def check(self, what: str) -> None:
        """ValueError, one sentence, unless the model's integers hold its products."""
        bits = self.largest.bit_length() + 1
        if bits > SUM_BITS:
            raise ValueError(
                f"the mean of {self.area} elements, which divides {what}, takes products of {bits} "
                f"bits, but at most {SUM_BITS} are possible; use a smaller kernel or fewer bits"
            )
