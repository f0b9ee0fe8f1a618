"""Splits in float64."""

from __future__ import annotations

from counterflow.design.units.split import SplitUnit
from counterflow.golden.reference.rules import Floats


class Split:
    """The elements of a token in order, in `parts`."""

    def __init__(self, parts: list[slice]) -> None:
        self.parts = parts

    @classmethod
    def of(cls, unit: SplitUnit) -> Split:
        """That of a unit of the graph."""
        return cls(unit.numbers.parts)

    def forward(self, slot: int, x: Floats) -> tuple[Floats, ...]:
        """y of token `slot` for each branch."""
        return tuple(x[part] for part in self.parts)
