"""What golden losses have in common that treat each output by itself."""

from __future__ import annotations

import numpy as np

from counterflow.design.units.pointwise import Pointwise
from counterflow.golden.parts.narrow import Integers


def targets_of(numbers: Pointwise, given: int | Integers) -> Integers:
    """Targets in `numbers.given`, shape [classes]: those given, or what a label makes of them."""
    if isinstance(given, np.ndarray):
        return given
    if numbers.classes == 1:
        return np.array([given])
    found = np.zeros(numbers.classes, np.int64)
    found[given] = 1
    return found
