"""The golden activation unit: what `hw.units.tanh` computes, in exact integers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from counterflow.design.units import tanh
from counterflow.golden.parts.narrow import Integers, narrow


@dataclass
class Tanh:
    """One unit; ``remembered`` holds |y| of a token, shape [elements], until its gradient comes."""

    unit: tanh.Tanh
    remembered: deque[Integers] = field(default_factory=deque)

    def forward(self, x: Integers) -> Integers:
        """y of one token, shape [elements]; x in the format of sums, y in that of activations."""
        most = np.array(self.unit.table)[np.minimum(np.abs(x), self.unit.x.max)]
        if self.unit.wanted:
            self.remembered.append(most)
        y: Integers = np.where(x < 0, -most, most)
        return y

    def backward(self, dy: Integers) -> Integers:
        """dx of the token that has waited longest, shape [elements].

        IndexError where none waits.
        """
        unit = self.unit
        products = dy * np.array(unit.slopes)[self.remembered.popleft()]
        frac = unit.dy.frac + unit.slope.frac
        dx, _ = narrow(products, frac, unit.dx, unit.round_error, "dx")
        return dx

    def reset(self) -> None:
        """Forget the tokens under way."""
        self.remembered.clear()

    def copy(self) -> Tanh:
        """Another unit with the same tokens under way; neither changes the other."""
        return Tanh(self.unit, deque(entry.copy() for entry in self.remembered))
