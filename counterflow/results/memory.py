"""``python -m counterflow.results.memory``: where the bits of deep networks are, as planned.

Prints the table of ``docs/memory.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from counterflow.design.network.files import load
from counterflow.design.schedule.holdings import everything, holdings
from counterflow.design.schedule.planner import plan
from counterflow.results.markdown import grid

NETWORKS = (
    *("digits-resnet", "cifar-resnet", "resnet8", "resnet20", "resnet32"),
    *("resnet56", "resnet110", "vgg16", "resnet50-imagenet"),
)
COLUMNS = {
    "weights": ("weights",),
    "gradient sums": ("gradient sums",),
    "stash": ("stash",),
    "skip paths": ("skip paths",),
    "norms": ("norms",),
    "windows and errors": ("windows", "errors", "input gradients"),
}
HEAD = ("network", "delay", *COLUMNS, "the rest", "all, Mbit")


def row(name: str) -> list[str]:
    """What the memories of a network hold, in Mbit."""
    design = plan(load(name))
    held = everything(holdings(design))
    columns = [sum(held.get(what, 0) for what in parts) for parts in COLUMNS.values()]
    numbers = [*columns, sum(held.values()) - sum(columns), sum(held.values())]
    return [name, str(design.schedule.stages[0].delay), *(f"{one / 1e6:,.2f}" for one in numbers)]


def table(names: Sequence[str]) -> str:
    """In Markdown, a row a network."""
    return grid([HEAD, *(row(name) for name in names)])


if __name__ == "__main__":
    print(table(sys.argv[1:] or NETWORKS))
