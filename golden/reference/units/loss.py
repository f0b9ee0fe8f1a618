"""The loss in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from counterflow.golden.reference.rules import Floats

Loss = Callable[[Floats, Any], tuple[Floats, float]]
"""(scores [classes], label or targets [classes]) to (gradient at the scores [classes], loss)."""


def cross_entropy(scores: Floats, label: int) -> tuple[Floats, float]:
    """Softmax cross-entropy: (softmax(scores) - onehot(label), -ln p_label), the loss in nats."""
    shifted = scores - scores.max()
    exponentials = np.exp(shifted)
    total = float(exponentials.sum())
    error = exponentials / total
    error[label] -= 1
    return error, float(np.log(total) - shifted[label])
