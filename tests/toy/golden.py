"""Halving in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.golden.parts.narrow import Integers, narrow
from tests.toy import design


@dataclass(frozen=True)
class Halving:
    """The golden twin; it remembers nothing."""

    numbers: design.Halving

    def forward(self, x: Integers) -> Integers:
        number = self.numbers.x
        return narrow(x, number.frac + self.numbers.bits, number, self.numbers.round_activation)[0]

    def backward(self, dy: Integers) -> Integers:
        number = self.numbers.error
        return narrow(dy, number.frac + self.numbers.bits, number, self.numbers.round_error)[0]
