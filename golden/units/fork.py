"""The golden fork: what `hw.units.fork` computes, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.units import fork
from counterflow.golden.parts.narrow import Integers, narrow


@dataclass(frozen=True)
class Fork:
    """One unit; it remembers nothing."""

    numbers: fork.Fork

    def forward(self, x: Integers) -> tuple[Integers, ...]:
        """y of one token for each branch, shape [elements]."""
        return (x,) * self.numbers.branches

    def backward(self, *dy: Integers) -> Integers:
        """dx = narrow(the sum of all dy), shapes [elements]."""
        error = self.numbers.error
        total = sum(dy[1:], start=dy[0])
        dx, _ = narrow(total, error.frac, error, self.numbers.round_error, "dx")
        return dx

    def reset(self) -> None:
        """Forget the tokens under way."""

    def copy(self) -> Fork:
        """Another unit with the same tokens under way."""
        return self
