"""A picture of what a horizon costs: the delay of each unit, and what waits in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from counterflow.design.schedule.planner import Plan
from counterflow.figures import BACKWARD, FORWARD, GOLDEN, HARDWARE, TESTED, panels, plainly, save

COLOURS = (HARDWARE, GOLDEN, TESTED, FORWARD, BACKWARD)


@plainly
def horizons(path: Path, plans: Mapping[str, Plan], *, title: str) -> Path:
    """Delay and stash of the units of bodies, one line for each of `plans`, by their labels.

    Heads are left out: which there are depends on the horizon.
    """
    figure, axes = panels(2, height=4.2, width=6.0)
    names: list[str] = []
    for number, (label, design) in enumerate(plans.items()):
        bodies = [one for one in design.schedule.weighted if not one.unit.head]
        names = [one.name for one in bodies]
        colour, width = COLOURS[number % len(COLOURS)], 4.5 - 3 * number / max(1, len(plans) - 1)
        delays: list[float] = [one.delay for one in bodies]
        stashes: list[float] = [one.held["stash"] / 1000 for one in bodies]
        for axis, values in zip(axes, (delays, stashes), strict=True):
            axis.plot(range(len(names)), values, "o-", ms=4, lw=width, color=colour, label=label)
    for axis, what, unit in zip(axes, ("Delay", "Stash"), ("slots", "kbit"), strict=True):
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axis.set(ylabel=unit, ylim=(0, None))
        axis.set_title(what, loc="left", fontsize=10)
    axes[0].legend(frameon=False, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path)
