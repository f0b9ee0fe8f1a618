"""What a plan takes of an FPGA, by unit: blocks counted exactly, LUTs roughly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from counterflow.design.fpga.estimate import cells, estimate, memories
from counterflow.design.fpga.logic import FAMILIES, unit_luts
from counterflow.design.fpga.targets import Resources, Target, total
from counterflow.design.schedule.planner import Plan


@dataclass(frozen=True, eq=False)
class Needs:
    """A plan with what it takes by unit: multipliers, block RAMs and about how many LUTs."""

    plan: Plan
    units: Mapping[str, Resources]

    @property
    def interval(self) -> int:
        return self.plan.schedule.interval

    @cached_property
    def total(self) -> Resources:
        return total(self.units.values())

    def largest(self, resource: str) -> str:
        """The unit that takes most of a resource."""
        return max(self.units, key=lambda unit: int(getattr(self.units[unit], resource)))


def settled(design: Plan, target: Target, around: int = 0) -> Plan:
    """`design`, `compact` where `target` has no LUT RAM but block RAMs for it and `around`."""
    plain, compact = (replace(design, compact=choice) for choice in (False, True))
    if target.has.lut_rams:
        return plain
    taken = sum(unit.block_rams for unit in estimate(compact, target.family).values())
    return compact if taken + around <= target.has.block_rams else plain


def needs(design: Plan, family: str) -> Needs:
    """What `design` takes; ValueError for a family of which nothing is known."""
    schedule, found = design.schedule, estimate(design, family)
    of = FAMILIES[family]
    luts = {"intake": of.intake, "loss": of.loss}
    luts |= {unit.name: unit.numbers.luts[family] for unit in schedule.passing}
    for stage in schedule.stages:
        made = cells(memories(stage, compact=design.compact), family)
        luts[stage.name] = unit_luts(stage.tiling, stage.arithmetic, made, family)
    units = {
        name: Resources(found[name].multipliers, found[name].block_rams, luts=luts[name])
        for name in ("intake", *(unit.name for unit in schedule.units))
    }
    return Needs(design, units)
