"""The plots of the page of results, in the style of `counterflow.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterflow.design.fpga.targets import RESOURCE_NAMES
from counterflow.figures import GOLDEN, HARDWARE, TESTED, panels, plainly, save, whole_numbers
from counterflow.results.accuracy import Run, Summary
from counterflow.results.records import Record
from counterflow.results.settings import WAYS

COLOURS = dict(
    zip((way.name for way in WAYS), ("#333333", TESTED, GOLDEN, "#9cc4e4", HARDWARE), strict=True)
)
DPI = 90  # the plots are kept in the repository
SHOWN = ("multipliers", "block_rams", "luts", "flip_flops")


@plainly
def curves(path: Path, title: str, found: Sequence[tuple[str, str, Summary]]) -> Path:
    """Loss while learning and accuracy after each epoch of (way, its title, its trainings)."""
    figure, (losses, tests) = panels(2)
    for way, label, summary in found:
        steps, means = mean_curve(summary.runs)
        losses.plot(steps / 1000, means, color=COLOURS[way], lw=1.4)
        shares = 100 * np.array([run.test_accuracy for run in summary.runs])
        epochs, mean = 1 + np.arange(shares.shape[1]), shares.mean(axis=0)
        tests.plot(epochs, mean, color=COLOURS[way], lw=1.4, label=f"{label} ({len(shares)})")
        if len(shares) > 1:
            spread = shares.std(axis=0, ddof=1)
            low, high = mean - spread, mean + spread
            tests.fill_between(epochs, low, high, color=COLOURS[way], alpha=0.12, lw=0)
    losses.set(xlabel="thousand samples", ylabel="loss, nats", yscale="log")
    losses.set_title("Loss while learning, mean of seeds", loc="left", fontsize=10)
    tests.set(xlabel="epoch", ylabel="test accuracy, %")
    tests.set_title("Test accuracy, mean and standard deviation", loc="left", fontsize=10)
    tests.legend(frameon=False, fontsize=8, loc="lower right")
    whole_numbers(tests)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path, dpi=DPI)


def mean_curve(runs: Sequence[Run]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Samples and mean loss at the points of the first of `runs`."""
    steps = np.array([point[0] for point in runs[0].curve], dtype=np.float64)
    each = [
        np.interp(steps, [point[0] for point in run.curve], [point[1] for point in run.curve])
        for run in runs
    ]
    return steps, np.mean(each, axis=0)


@plainly
def stages(path: Path, title: str, plan: Record) -> Path:
    """Delay of every stage, and the inputs that it keeps for as long."""
    units = plan.result["units"]
    names = [unit["name"] for unit in units]
    figure, axes = panels(2, height=1.3 + 0.3 * len(names))
    delays = axes[0].barh(names, [unit["delay"] for unit in units], color=HARDWARE)
    stashes = axes[1].barh(names, [unit["stash_bits"] / 1000 for unit in units], color=GOLDEN)
    axes[0].set(xlabel="samples from a forward to its backward pass")
    axes[0].set_title("Delay", loc="left", fontsize=10)
    axes[1].set(xlabel="kbit")
    axes[1].set_title("Stash of inputs", loc="left", fontsize=10)
    for axis, bars, form in zip(axes, (delays, stashes), ("%d", "%.1f"), strict=True):
        axis.bar_label(bars, padding=3, fontsize=9, fmt=form)
        axis.invert_yaxis()
        axis.margins(x=0.1)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path, dpi=DPI)


@plainly
def resources(path: Path, title: str, synthesis: Record) -> Path:
    """What each unit takes of the device, one panel a resource."""
    units, available = synthesis.result["units"], synthesis.result["available"]
    figure, axes = panels(len(SHOWN), height=1.3 + 0.25 * len(units))
    figure.set_size_inches(2.9 * len(SHOWN), figure.get_figheight())
    for axis, name in zip(axes, SHOWN, strict=True):
        amounts = [unit[name] for unit in units.values()]
        bars = axis.barh(list(units), amounts, color=HARDWARE)
        axis.bar_label(bars, [f"{one:,}" for one in amounts], padding=3, fontsize=8)
        there = f"{sum(amounts):,} of {available[name]:,} {RESOURCE_NAMES[name]}"
        axis.set_title(there, loc="left", fontsize=9)
        axis.invert_yaxis()
        axis.margins(x=0.25)
        axis.xaxis.set_visible(False)
        axis.spines["bottom"].set_visible(False)
        if axis is not axes[0]:
            axis.tick_params(labelleft=False)
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    return save(figure, path, dpi=DPI)
