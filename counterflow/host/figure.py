"""The picture of a training on a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterflow.figures import HARDWARE, of_each, panels, save, smooth, window_of


def curves(path: Path, losses: Sequence[float], right: Sequence[bool], *, title: str) -> Path:
    """Loss (in nats) and accuracy of each sample when it was learnt from, as running means."""
    window = window_of(len(losses), most=500)
    figure, axes = panels(2)
    shown = slice(window // 4, None)  # before, the mean is of too few
    steps = np.arange(1, len(losses) + 1)[shown]
    for axis, values, label in (
        (axes[0], smooth(losses, window), "Loss, nats"),
        (axes[1], 100 * smooth(right, window), "Right before learning, %"),
    ):
        axis.plot(steps, values[shown], "." if window == 1 else "-", color=HARDWARE, lw=1.4)
        axis.set(xlabel="sample", ylim=(0, None))
        axis.set_title(f"{label} {of_each(window)}", loc="left", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)
