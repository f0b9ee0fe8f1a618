"""Fitting a network to a device: a fold that does, or what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from counterflow.design.fit.nearest import next_step
from counterflow.design.fit.search import Search
from counterflow.design.fpga.needs import Needs
from counterflow.design.fpga.targets import RESOURCE_NAMES, Target
from counterflow.design.network.description import Description, Fold
from counterflow.design.schedule.folding import one_a_unit
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.timing import slot_bound

ROUGH = (
    1.25  # LUTs are counted so roughly that a fold may seem to need this part of those there are
)
ROUTABLE = (
    0.72  # of the LUTs: packed for nextpnr a design takes a tenth more cells, and with 84 of 100
    # taken `cifar-resnet` was placed but not routed, while with 80 it was
)
PLANNED = ("multipliers", "block_rams", "luts")  # what is counted of a plan
FASTER = 0.8  # of an interval, at most, is a step that is worth a larger device


class UnfitError(ValueError):
    """No fold fits; one sentence without a full stop says why.

    ``search``: the one that found none, if there was one.
    """

    def __init__(self, why: str, search: Search | None = None) -> None:
        super().__init__(why)
        self.search = search


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fold that fits `target`, and the search that found it."""

    target: Target
    needs: Needs
    search: Search

    @property
    def plan(self) -> Plan:
        return self.needs.plan

    @property
    def routable(self) -> bool:
        """Whether so many LUTs can be expected to be placed and routed."""
        return self.needs.total.luts <= ROUTABLE * self.target.has.luts

    @property
    def bottleneck(self) -> tuple[str, ...]:
        """The units that set the interval."""
        return bottleneck(self.plan)

    @property
    def next_interval(self) -> int | None:
        """The longest interval that is markedly shorter; None where no fold has one."""
        shorter = [t for t in self.search.intervals if t <= self.needs.interval * FASTER]
        return max(shorter, default=None)

    @cached_property
    def next_step(self) -> Needs | None:
        """What `next_interval` takes; None where it needs `nearest.STEP` times what there is."""
        interval = self.next_interval
        return None if interval is None else next_step(self.search, interval)

    @cached_property
    def lacking(self) -> tuple[str, ...]:
        """What there is too little of for the next step."""
        if self.next_step is None:
            return ()
        taken, has = self.next_step.total, self.search.has
        return tuple(name for name in PLANNED if getattr(taken, name) > getattr(has, name))


def fit(
    description: Description,
    target: Target,
    *,
    multipliers: int | None = None,
    interval: int | None = None,
    lut_multipliers: int = 0,
    luts: float = 1.0,
    rough: float = ROUGH,
    outside: bool = False,
) -> Fitted:
    """The fold of `description` for `target`; `UnfitError` where there is none.

    `multipliers`, where fewer than the target's, are the budget, for the fastest fold; with an
    `interval` (cycles) alone the fold has the fewest multipliers that keep up with it.  Beside
    these it may have so many ``lut_multipliers`` of LUTs, if those suffice.  ROUTABLE of
    the part `luts` of the target's is planned with, and `rough` times that part where nothing fits
    otherwise; with ``outside`` each stash that frees memory by it is beside the chip.  ValueError
    where the limit of memory bits
    that a description's fold may have is passed.
    """
    count, least = target.has.multipliers, description.least_multipliers
    count = count if multipliers is None else min(count, multipliers)
    if count < least:
        raise UnfitError(
            f"{description.name} does not fit {target.name}: it needs at least {least} multipliers "
            f"({one_a_unit(description)}), and "
            f"{'the budget is' if multipliers == count else 'there are'} {count}"
        )
    has = target.has._replace(multipliers=count)
    search = Search(
        description, has, target.family, outside=outside, lut_multipliers=lut_multipliers
    )
    found: Needs | None = None
    for share in (luts * ROUTABLE, luts * rough):
        search.luts = share * target.has.luts
        if interval is not None and multipliers is None:
            found = search.within(interval)
        else:
            found = search.fastest(interval)
        if found is not None:
            break
    if found is None:
        raise UnfitError(_why(search, target, interval), search)
    if interval is not None and found.interval > interval:
        raise UnfitError(
            f"{description.name} on {target.name} with {count} multipliers needs an interval of "
            f"{found.interval:,} cycles, but {interval:,} are asked for",
            search,
        )
    if description.fold.memory is not None:
        lanes = found.plan.description.fold.lanes
        asked = Fold(lanes=lanes, memory=description.fold.memory)
        found = replace(found, plan=plan(description.model_copy(update={"fold": asked})))
    return Fitted(target, found, search)


def bottleneck(design: Plan) -> tuple[str, ...]:
    """The units that set the interval of a plan, by name."""
    schedule = design.schedule
    found = [s.name for s in schedule.weighted if slot_bound(s.tiling) == schedule.interval]
    others = (unit for unit in schedule.graph.units if not unit.learns)
    found += [unit.name for unit in others if unit.bound == schedule.interval]
    # Otherwise slots are as long as the updates of some norm take.
    return tuple(found or (norm.name for norm in schedule.norms))


def _why(search: Search, target: Target, interval: int | None) -> str:
    """What there is too little of, if that can be said of one thing alone."""
    name = search.description.name
    for index, resource in enumerate(PLANNED):
        least = search.least(index)
        needed = getattr(least.total, resource)
        there = search.luts if resource == "luts" else getattr(search.has, resource)
        if needed > there:
            unit = least.largest(resource)
            about = "about " if resource == "luts" else ""
            ultra = least.total.ultra_rams if resource == "block_rams" else 0
            beside = f" beside {ultra:,} UltraRAMs" if ultra else ""
            return (
                f"{name} does not fit {target.name}: it needs at least {about}{needed:,} "
                f"{RESOURCE_NAMES[resource]}{beside}, most of them "
                f"({getattr(least.units[unit], resource):,}) in {unit}, and there are "
                f"{getattr(search.has, resource):,}"
            )
    if interval is not None and interval < search.intervals[0]:
        return (
            f"an interval of {interval:,} cycles is asked for, but {name} needs at least "
            f"{search.intervals[0]:,}, whatever there is"
        )
    closest = next_step(search, search.intervals[-1] if interval is None else interval)
    within = "" if interval is None else f" within {interval:,} cycles"
    if closest is None:
        return f"{name} does not fit {target.name}{within}"
    return f"{name} does not fit {target.name}{within}: the closest fold needs {takes(closest)}"


def takes(needed: Needs) -> str:
    """Multipliers, block RAMs and LUTs of a plan in words."""
    taken = needed.total
    ultra = f", {taken.ultra_rams:,} UltraRAMs" if taken.ultra_rams else ""
    return (
        f"{taken.multipliers:,} multipliers, {taken.block_rams:,} block RAMs{ultra} and about "
        f"{round(taken.luts, -2):,} LUTs"
    )
