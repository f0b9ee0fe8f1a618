"""Forks in float64."""

from __future__ import annotations

from counterflow.design.graph import Unit
from counterflow.golden.reference.rules import Floats


class Fork:
    """The same activations for each of `branches`, whose gradients are summed."""

    def __init__(self, branches: int) -> None:
        self.branches = branches

    @classmethod
    def of(cls, unit: Unit) -> Fork:
        """That of a unit of the graph."""
        return cls(len(unit.outputs))

    def forward(self, slot: int, x: Floats) -> tuple[Floats, ...]:
        """y of token `slot` for each branch; any shape."""
        return (x,) * self.branches

    def backward(self, token: int, *dy: Floats) -> Floats:
        """dx of `token`."""
        total: Floats = sum(dy[1:], start=dy[0])
        return total
