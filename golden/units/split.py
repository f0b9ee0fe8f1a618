"""The golden split: what `hw.units.split` does."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.units import split
from counterflow.golden.parts.narrow import Integers


@dataclass(frozen=True)
class Split:
    """One unit; it remembers nothing."""

    numbers: split.Split

    def forward(self, x: Integers) -> tuple[Integers, ...]:
        """y of one token for each branch: its elements."""
        return tuple(x[part] for part in self.numbers.parts)

    def reset(self) -> None:
        """Forget the tokens under way."""

    def copy(self) -> Split:
        """Another unit with the same tokens under way."""
        return self
