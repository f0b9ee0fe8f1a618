"""What a plan takes of an FPGA, by unit: blocks counted exactly, LUTs roughly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.fpga.estimate import (
    blocks_of,
    cells,
    estimate,
    passing_luts,
    unit_memories,
    unit_multipliers,
)
from counterflow.design.fpga.logic import FAMILIES, unit_luts
from counterflow.design.fpga.memories import Memory
from counterflow.design.fpga.norm_logic import norm_luts
from counterflow.design.fpga.products import unit_product_luts
from counterflow.design.fpga.targets import Resources, Target, total
from counterflow.design.fpga.ultra import placed
from counterflow.design.schedule.planner import Plan
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.tiling import Tiling


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


def needs(design: Plan, family: str, has: Resources | None = None) -> Needs:
    """What `design` takes; ValueError for a family of which nothing is known.

    Where it `has` so much, memories are in UltraRAM as `design.fpga.ultra.placed` says.
    """
    products, parts = unit_multipliers(design, family), unit_memories(design)
    if has is not None and has.ultra_rams:
        parts = placed(parts, family, has)
    made = {name: cells(some, family) for name, some in parts.items()}
    of = FAMILIES[family]
    luts = {"intake": of.intake}
    for one in design.schedule.losses:
        small = made[one.name].lut_rams, made[one.name].flip_flops
        own = one.arithmetic.luts(family, small)
        luts[one.name] = of.loss if own is None else own
    luts |= {one.name: passing_luts(one.numbers, family) for one in design.schedule.passing}
    luts |= {one.name: norm_luts(one, made[one.name], family) for one in design.schedule.norms}
    luts |= {
        one.name: weighted_luts(one.tiling, one.arithmetic, made[one.name], family)
        for one in design.schedule.weighted
    }
    names = ("intake", *(unit.name for unit in design.schedule.units))
    units = {
        name: Resources(
            products.get(name, 0),
            made[name].blocks,
            luts=luts[name],
            ultra_rams=made[name].ultra_rams,
        )
        for name in names
    }
    return Needs(design, units)


def weighted_luts(tiling: Tiling, numbers: UnitArithmetic, cells: MemoryCells, family: str) -> int:
    """About the LUTs of a unit with weights whose memories take `cells`, products included."""
    around = unit_luts(tiling, numbers, cells, family)
    return around + unit_product_luts(tiling, numbers, family)


def unit_needs(
    tiling: Tiling, numbers: UnitArithmetic, parts: list[Memory], family: str
) -> Resources:
    """What a unit with weights takes whose memories are `parts`."""
    count, made = blocks_of(tiling, numbers, parts, family)
    luts = weighted_luts(tiling, numbers, made, family)
    return Resources(count, made.blocks, luts=luts, ultra_rams=made.ultra_rams)
