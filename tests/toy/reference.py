"""Halving in float64."""

from __future__ import annotations

from counterflow.golden.reference.rules import Floats
from tests.toy import design


class Halving:
    """The float twin."""

    def __init__(self, bits: int) -> None:
        self.factor = 2.0**-bits

    @classmethod
    def of(cls, unit: design.HalvingUnit) -> Halving:
        return cls(unit.bits)

    def forward(self, slot: int, x: Floats) -> Floats:
        return x * self.factor

    def backward(self, token: int, dy: Floats) -> Floats:
        return dy * self.factor
