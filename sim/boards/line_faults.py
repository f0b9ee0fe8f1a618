"""Faults of a serial line, the same ones for the same seed and bytes."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

KINDS = ("flip", "lose", "double", "burst")
LONGEST_BURST = 32  # bytes


class LineFaults:
    """Spoils bytes that pass in one direction; ``injected`` counts faults by kind.

    At each byte a fault begins with the chance `rate`: a flipped bit, a lost byte, a doubled byte,
    or a burst of up to 32 bytes that come as others.
    """

    def __init__(self, rate: float, kinds: Sequence[str] = KINDS, seed: int = 1) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"the rate of faults is {rate}, expected 0 to below 1")
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise ValueError(
                f"{', '.join(unknown) or 'nothing'} is no kind of fault; possible are "
                f"{', '.join(KINDS)}"
            )
        self.rate, self.kinds = rate, tuple(kinds)
        self.injected: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._gap = self._next()
        self._burst = 0

    @property
    def total(self) -> int:
        return sum(self.injected.values())

    def spoil(self, data: bytes) -> bytes:
        """What comes out of the line where `data` goes in."""
        if not self.rate:
            return data
        out = bytearray()
        for byte in data:
            if self._burst:
                self._burst -= 1
                out.append(self._random.randrange(256))
            elif self._gap > 0:
                self._gap -= 1
                out.append(byte)
            else:
                out += self._faulty(byte)
                self._gap = self._next()
        return bytes(out)

    def _next(self) -> int:
        """Bytes until the next fault."""
        return int(self._random.expovariate(self.rate)) if self.rate else 0

    def _faulty(self, byte: int) -> bytes:
        kind = self._random.choice(self.kinds)
        self.injected[kind] += 1
        if kind == "flip":
            return bytes([byte ^ 1 << self._random.randrange(8)])
        if kind == "lose":
            return b""
        if kind == "double":
            return bytes([byte, byte])
        self._burst = self._random.randrange(LONGEST_BURST)
        return bytes([self._random.randrange(256)])
