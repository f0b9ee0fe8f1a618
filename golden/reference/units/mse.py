"""Half the squared error in float64."""

from __future__ import annotations

import numpy as np

from counterflow.golden.reference.rules import Floats


def targets_of(scores: Floats, given: int | Floats) -> Floats:
    """Targets [classes]: those given, or what a label makes of them."""
    if isinstance(given, np.ndarray):
        return given
    if len(scores) == 1:
        return np.array([float(given)])
    found = np.zeros_like(scores)
    found[given] = 1.0
    return found


def squared_error(scores: Floats, given: int | Floats) -> tuple[Floats, float]:
    """(scores - targets, half the sum of their squares) for targets [classes] or a label."""
    error = scores - targets_of(scores, given)
    return error, float((error * error).sum()) / 2
