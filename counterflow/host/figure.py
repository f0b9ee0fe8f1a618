"""The picture of a training on a board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from counterflow.figures import (
    HARDWARE,
    from_zero,
    of_each,
    panels,
    save,
    smooth,
    whole_numbers,
    window_of,
)


def curves(
    path: Path,
    losses: Sequence[float],
    right: Sequence[bool],
    *,
    title: str,
    unit: str = "nats",
) -> Path:
    """Loss and, if labels say it, accuracy of each sample when it was learnt from: running means.

    ``unit`` is that of losses.
    """
    window = window_of(len(losses), most=500)
    shown_values = [(smooth(losses, window), f"Loss, {unit}")]
    if right:
        shown_values.append((100 * smooth(right, window), "Right before learning, %"))
    figure, axes = panels(len(shown_values))
    shown = slice(window // 4, None)  # before, the mean is of too few
    steps = np.arange(1, len(losses) + 1)[shown]
    for axis, (values, label) in zip(axes, shown_values, strict=True):
        axis.plot(steps, values[shown], "." if window == 1 else "-", color=HARDWARE, lw=1.4)
        axis.set(xlabel="sample")
        from_zero(axis)
        whole_numbers(axis)
        axis.set_title(f"{label} {of_each(window)}", loc="left", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)
