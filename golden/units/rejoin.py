"""The golden rejoin: what `hw.units.rejoin` passes on, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.units import rejoin
from counterflow.golden.parts.narrow import Integers


@dataclass(frozen=True)
class Rejoin:
    """One unit; it remembers nothing."""

    numbers: rejoin.Rejoin

    def forward(self, *x: Integers) -> Integers:
        """y of one token: that of the last copy; shapes [elements]."""
        return x[-1]

    def backward(self, dy: Integers) -> Integers:
        """dx of one loss for its copy; shapes [elements]."""
        return dy

    def reset(self) -> None:
        """Forget the tokens under way."""

    def copy(self) -> Rejoin:
        """Another unit with the same tokens under way."""
        return self
