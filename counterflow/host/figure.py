"""The picture of a training on a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterflow.figures import HARDWARE, panels, save, smooth


def curves(path: Path, losses: Sequence[float], right: Sequence[bool], *, title: str) -> Path:
    """Loss (in nats) and accuracy of each sample when it was learnt from, as running means."""
    window = max(1, min(500, len(losses) // 8))
    figure, axes = panels(2)
    shown = slice(window // 4, None)  # before, the mean is of too few
    steps = np.arange(1, len(losses) + 1)[shown]
    for axis, values, label in (
        (axes[0], smooth(losses, window), "Loss, nats"),
        (axes[1], 100 * smooth(right, window), "Right before learning, %"),
    ):
        axis.plot(steps, values[shown], color=HARDWARE, lw=1.4)
        axis.set(xlabel="sample", ylim=(0, None))
        axis.set_title(f"{label}: mean of {window} samples", loc="left", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)
