"""Tanh in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.graph import Unit
from counterflow.golden.reference.rules import Floats


class Tanh:
    """Tanh of every element; ``wanted``: somebody wants its gradient."""

    def __init__(self, wanted: bool = True) -> None:
        self.wanted = wanted
        self.outputs: dict[int, Floats] = {}

    @classmethod
    def of(cls, unit: Unit) -> Tanh:
        """That of a unit of the graph."""
        return cls(unit.inputs[0].wanted)

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; any shape."""
        y: Floats = np.tanh(x)
        if self.wanted:
            self.outputs[slot] = y
        return y

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`, which is forgotten; the derivative is 1 - y^2."""
        dx: Floats = dy * (1 - self.outputs.pop(token) ** 2)
        return dx
