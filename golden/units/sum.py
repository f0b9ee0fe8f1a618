"""The golden sum: what `hw.units.sum` computes, in exact integers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units import sum as design
from counterflow.golden.parts.narrow import Integers, narrow


@dataclass
class Sum:
    """One unit; ``remembered`` holds of a token, until its gradient comes, where x lets it pass."""

    numbers: design.Sum
    remembered: deque[list[NDArray[np.bool_]]] = field(default_factory=deque)

    def forward(self, *x: Integers) -> Integers:
        """y = narrow(f(the sum of all x)), aligned, of one token; shapes [elements]."""
        numbers, frac = self.numbers, self.numbers.total.frac
        total = np.zeros(numbers.elements, np.int64)
        for one, branch in zip(x, numbers.branches, strict=True):
            total = total + (one << frac - branch.x.frac)
        if numbers.wanted:
            self.remembered.append([one > 0 for one in x])
        if numbers.relu:
            total = np.maximum(total, 0)
        y, _ = narrow(total, frac, numbers.y, numbers.round_activation, "y")
        return y

    def backward(self, dy: Integers) -> tuple[Integers, ...]:
        """dx for each branch that wants it, of the token that has waited longest.

        IndexError where none waits.
        """
        numbers, found = self.numbers, []
        for branch, positive in zip(numbers.branches, self.remembered.popleft(), strict=True):
            if branch.wanted:
                passed = np.where(positive, dy, 0) if branch.masks else dy
                dx, _ = narrow(passed, numbers.dy.frac, branch.dx, numbers.round_error, "dx")
                found.append(dx)
        return tuple(found)

    def reset(self) -> None:
        """Forget the tokens under way."""
        self.remembered.clear()

    def copy(self) -> Sum:
        """Another unit with the same tokens under way; neither changes the other."""
        return Sum(self.numbers, deque(list(entry) for entry in self.remembered))
