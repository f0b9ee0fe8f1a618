"""Binary cross-entropy in float64."""

from __future__ import annotations

import numpy as np

from counterflow.golden.reference.rules import Floats
from counterflow.golden.reference.units.mse import targets_of


def binary_cross_entropy(scores: Floats, given: int | Floats) -> tuple[Floats, float]:
    """(logistic(scores) - targets, -sum of t ln p + (1 - t) ln(1 - p)), the loss in nats.

    ``given``: targets [classes] from 0 to 1 (larger ones count as 1), or a label.
    """
    targets = np.minimum(targets_of(scores, given), 1.0)
    smaller = np.exp(-np.abs(scores))
    chances = np.where(scores >= 0, 1.0, smaller) / (1.0 + smaller)
    losses = np.maximum(scores, 0.0) - scores * targets + np.log1p(smaller)
    return chances - targets, float(losses.sum())
