"""Where the bits of a plan are: by what they hold, and by the size of the images that pass
there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from counterflow.design.graph import Edge
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.scheduled import Scheduled

KINDS = (
    "weights",
    "gradient sums",
    "stash",
    "windows",
    "errors",
    "input gradients",
    "skip paths",
    "norms",
    "queues",
    "tables",
)
"""What memories hold, in the order in which it is listed; a kind of unit may add its own name.

``weights``: with velocities; ``stash``: what a backward pass needs of the forward pass;
``windows``: images that pass, for the forward pass; ``errors``: gradients that arrive; ``input
gradients``: their sums under the kernel; ``skip paths``: what waits for its fellows where branches
meet; ``norms``: running statistics, what tokens see of them, sums."""


@dataclass(frozen=True)
class Holding:
    """Units that get images of `height` x `width`.

    ``multipliers`` are theirs, ``held`` the bits of their memories by what they hold.
    """

    height: int
    width: int
    units: tuple[str, ...]
    multipliers: int
    held: Mapping[str, int]

    @property
    def name(self) -> str:
        """The size of the images."""
        return f"{self.height}x{self.width}"

    @property
    def bits(self) -> int:
        """All of them."""
        return sum(self.held.values())


def holdings(design: Plan, beside: Mapping[str, int] | None = None) -> tuple[Holding, ...]:
    """The units of a plan by the size of their images, in the order of the dataflow.

    `beside`: bits that a unit keeps in place of a stash that is outside the chip, by its name.
    """
    groups: dict[tuple[int, int], list[Scheduled]] = defaultdict(list)
    for unit in design.schedule.units:
        groups[_size(unit.unit.inputs[0])].append(unit)
    return tuple(
        Holding(
            *size,
            units=tuple(unit.name for unit in units),
            multipliers=sum(_multipliers(unit) for unit in units),
            held=_together(units, beside or {}),
        )
        for size, units in groups.items()
    )


def everything(parts: tuple[Holding, ...]) -> dict[str, int]:
    """What all of them hold, in bits."""
    names = dict.fromkeys(name for one in parts for name in one.held)
    return _listed({name: sum(one.held.get(name, 0) for one in parts) for name in names})


def _size(edge: Edge) -> tuple[int, int]:
    return edge.shape[:2]


def _multipliers(unit: Scheduled) -> int:
    lanes = getattr(unit, "tiling", None)
    return int(unit.unit.multipliers) + (lanes.multipliers if lanes else 0)


def _together(units: list[Scheduled], beside: Mapping[str, int]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for unit in units:
        held = dict(unit.held)
        if unit.name in beside:
            held["stash"] = beside[unit.name]
        for what, bits in held.items():
            found[what] += bits
    return _listed(found)


def _listed(found: Mapping[str, int]) -> dict[str, int]:
    """In the order of `KINDS`, others last, without those that hold nothing."""
    names = [*KINDS, *(name for name in found if name not in KINDS)]
    return {name: found[name] for name in names if found.get(name)}
