"""Fixed-point number formats and the named ways to narrow into them.

A format is written ``s20.18`` or ``u8.4``: *s* for two's complement or *u* for unsigned, the total
number of bits, and how many of those bits are fraction.  The value of an integer ``n`` held in a
format is ``n * 2**-frac``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_BITS = 32  # of a format that a description names: one word of the register bus
SUM_BITS = 62  # of a derived one: sums of products must stay inside int64 in the model

_PATTERN = re.compile(r"([su])([0-9]{1,9})\.([0-9]{1,9})")


class Rounding(StrEnum):
    """How a narrowing drops fraction bits (saturation always follows).

    ``truncate`` rounds towards minus infinity, ``nearest-even`` to the nearest value with ties to
    the even one, ``stochastic`` adds uniform random bits below the kept ones and truncates.
    """

    TRUNCATE = "truncate"
    NEAREST_EVEN = "nearest-even"
    STOCHASTIC = "stochastic"


@dataclass(frozen=True, slots=True)
class Format:
    """A fixed-point format: ``signed``, total ``bits``, ``frac`` fraction bits."""

    signed: bool
    bits: int
    frac: int

    def __post_init__(self) -> None:
        _limit(self.signed, self.bits, self.frac, SUM_BITS)

    @classmethod
    def parse(cls, text: object) -> Format:
        """Read ``s20.18`` or ``u8.4``; a `Format` passes through.  Raises `ValueError`."""
        if isinstance(text, Format):
            return text
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError(
                f"{text!r} is not a number format; write s or u, total bits, a dot and fraction "
                "bits, as in 's20.18' or 'u8.4'"
            )
        signed, bits, frac = match[1] == "s", int(match[2]), int(match[3])
        _limit(signed, bits, frac, MAX_BITS)
        return cls(signed, bits, frac)

    @property
    def min(self) -> int:
        """Smallest integer that the format holds."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Largest integer that the format holds."""
        return (1 << (self.bits - (1 if self.signed else 0))) - 1

    @property
    def magnitude(self) -> int:
        """Largest absolute value among the integers that the format holds."""
        return max(-self.min, self.max)

    def value(self, integer: int) -> float:
        """The real value of an integer held in this format."""
        return integer * 2.0**-self.frac

    def __str__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}.{self.frac}"


def _limit(signed: bool, bits: int, frac: int, most: int) -> None:
    name, smallest = f"{'s' if signed else 'u'}{bits}.{frac}", 2 if signed else 1
    if not smallest <= bits <= most:
        raise ValueError(f"format {name} has {bits} bits; {smallest} to {most} are possible")
    if not 0 <= frac <= most:
        raise ValueError(f"format {name} has {frac} fraction bits; 0 to {most} are possible")


def signed_for(magnitude: int, frac: int) -> Format:
    """The narrowest signed format with `frac` fraction bits that holds -magnitude..magnitude."""
    return signed_within(-magnitude, magnitude, frac)


def signed_within(low: int, high: int, frac: int) -> Format:
    """The narrowest signed format with `frac` fraction bits that holds low..high, and zero."""
    return Format(True, max(2, 1 + max(high.bit_length(), (~min(low, 0)).bit_length())), frac)
