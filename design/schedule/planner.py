"""The planner: a description with its schedule, and what the folded design will cost in bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from counterflow.design.network.description import Description
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.folding import fold
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.slots import Stage
from counterflow.design.units.tiling import Lanes


@dataclass(frozen=True)
class UnitCost:
    """Predicted cost of one unit; memory in bits by what it holds."""

    name: str
    lanes: Lanes
    cycles: int
    delay: int
    multipliers: int
    weights: int
    stash: int
    window: int
    sums: int
    queues: int

    @property
    def memory_bits(self) -> int:
        return self.weights + self.stash + self.window + self.sums + self.queues


@dataclass(frozen=True)
class Plan:
    """A description, its schedule and its predicted cost.

    ``compact``: long delays, tables and small memories are block RAM, and some sums follow each
    other within a cycle.  That is for a device without LUT RAM but with block RAM to spare
    (`design.fpga.needs.settled`), where a delay takes a logic cell a bit; no cycle changes.
    ``outside``: the units whose stash is in a memory beside the chip (`design.fpga.outside`), which
    can be planned and no more.
    ``beside``: the folder of the file that it was made of, where paths of data begin.
    """

    description: Description
    schedule: Schedule
    units: tuple[UnitCost, ...]
    compact: bool = False
    outside: tuple[str, ...] = ()
    beside: Path | None = field(default=None, compare=False, repr=False)

    @property
    def memory_bits(self) -> int:
        """Those of all units, with and without weights."""
        weighted = sum(unit.memory_bits for unit in self.units)
        others = [*self.schedule.norms, *self.schedule.passing]
        others += [loss for loss in self.schedule.losses if loss.listed]
        return weighted + sum(unit.memory_bits for unit in others)


def plan(description: Description) -> Plan:
    """Fold and schedule a description; `ValueError` where the fold cannot be."""
    schedule = build_schedule(description, fold(description))
    target = description.fold.interval
    if target is not None and schedule.interval > target:
        raise ValueError(
            f"fold.lanes give an interval of {schedule.interval} cycles, but fold.interval asks "
            f"for at most {target}; use more lanes or raise the interval"
        )
    result = Plan(description, schedule, tuple(_cost(stage) for stage in schedule.weighted))
    limit = description.fold.memory
    if limit is not None and result.memory_bits > limit:
        largest = max(result.units, key=lambda unit: unit.memory_bits)
        raise ValueError(
            f"fold.memory is {limit} bits, but {description.name} needs {result.memory_bits}, most "
            f"of it ({largest.memory_bits}) in {largest.name}; use narrower formats or fewer layers"
        )
    return result


def _cost(stage: Stage) -> UnitCost:
    return UnitCost(
        name=stage.name,
        lanes=stage.tiling.lanes,
        cycles=stage.cycles,
        delay=stage.delay,
        multipliers=stage.tiling.multipliers,
        **stage.memories,
    )
