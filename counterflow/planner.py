"""The planner: lanes for every unit within a budget, and what the folded design will cost."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import lru_cache

from counterflow.description import Description, Lanes
from counterflow.geometry import Geometry
from counterflow.layers import TanhUnit
from counterflow.schedule import Schedule, Stage, build_schedule, can_be, loss_bound, slot_bound
from counterflow.tiling import Tiling

SLACK = 0.1  # intervals this much above the fastest are accepted where fewer multipliers idle


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
    """A description, its schedule and its predicted cost."""

    description: Description
    schedule: Schedule
    units: tuple[UnitCost, ...]

    @property
    def memory_bits(self) -> int:
        """Those of all units, with and without weights."""
        streams = sum(stream.memory_bits for stream in self.schedule.streams)
        return streams + sum(unit.memory_bits for unit in self.units)


@lru_cache(maxsize=4096)
def choices(geometry: Geometry, first: bool) -> tuple[tuple[int, Tiling], ...]:
    """Useful tilings of a layer as (shortest interval, tiling), fewest multipliers per interval.

    Only the smallest lanes that give a number of rows or columns are looked at; sorted by interval,
    each entry needs fewer multipliers than every faster one.
    """
    found: list[tuple[int, int, int, Tiling]] = []
    for high in _divisions(geometry.outputs):
        for wide in _divisions(geometry.row_taps):
            for shared in (False, True):
                tiling = Tiling(geometry, Lanes(outputs=high, inputs=wide, shared=shared), first)
                if can_be(tiling):
                    found.append((slot_bound(tiling), tiling.multipliers, tiling.banks, tiling))
    found.sort(key=lambda f: (f[1], f[0], f[2], f[3].lanes.inputs, f[3].lanes.shared))
    best: list[tuple[int, Tiling]] = []
    for bound, _, _, tiling in found:
        if not best or bound < best[-1][0]:
            best.append((bound, tiling))
    return tuple(reversed(best))


def _divisions(size: int) -> list[int]:
    """The smallest divisor for each possible quotient, rounded up."""
    return sorted({-(-size // parts) for parts in range(1, size + 1)})


def fold(description: Description) -> tuple[Lanes, ...]:
    """Lanes for every layer as the description's fold asks; `ValueError` where nothing fits."""
    wanted = description.fold
    if wanted.lanes is not None:
        return wanted.lanes
    units = description.weighted
    layers = [choices(unit.geometry, unit is units[0]) for unit in units]
    floor = max(loss_bound(description.classes), *(layer[0][0] for layer in layers))
    if wanted.multipliers is None:
        target = wanted.interval if wanted.interval is not None else 4 * max(floor, 32)
        if target < floor:
            raise ValueError(
                f"fold.interval is {target} cycles, but {description.name} needs at least {floor}"
            )
        return tuple(t.lanes for t in _within(layers, target))
    return _fastest(description, layers, floor, wanted.multipliers, wanted.interval)


def _within(layers: list[tuple[tuple[int, Tiling], ...]], interval: int) -> list[Tiling]:
    """For each layer the fewest multipliers that keep up with `interval`."""
    return [
        layer[bisect.bisect_right(layer, interval, key=lambda choice: choice[0]) - 1][1]
        for layer in layers
    ]


def _fastest(
    description: Description,
    layers: list[tuple[tuple[int, Tiling], ...]],
    floor: int,
    budget: int,
    limit: int | None,
) -> tuple[Lanes, ...]:
    """The fold with the least idle multipliers among those close to the fastest in the budget."""
    candidates = sorted({max(bound, floor) for layer in layers for bound, _ in layer})
    useful = sum(layer[0][1].useful for layer in layers)
    spent = sum(isinstance(unit, TanhUnit) for unit in description.units)  # one each, and no lane
    feasible: list[tuple[int, int, list[Tiling]]] = []
    fastest: int | None = None
    for interval in candidates:
        tiled = _within(layers, interval)
        used = sum(t.multipliers for t in tiled)
        if used + spent <= budget:
            fastest = fastest or interval
            if limit is not None and interval > limit:
                break
            if feasible and interval > feasible[0][0] * (1 + SLACK):
                break
            feasible.append((interval, used * interval - useful, tiled))
    if fastest is None:
        least = spent + sum(layer[-1][1].multipliers for layer in layers)
        raise ValueError(
            f"fold.multipliers is {budget}, but {description.name} needs at least {least} "
            "(one a unit)"
        )
    if not feasible:
        raise ValueError(
            f"{budget} multipliers give an interval of {fastest} cycles, but fold.interval "
            f"asks for at most {limit}; raise the multipliers or the interval"
        )
    _, _, tiled = min(feasible, key=lambda f: (f[1], f[0]))
    return tuple(t.lanes for t in tiled)


def plan(description: Description) -> Plan:
    """Fold and schedule a description; `ValueError` where the fold cannot be."""
    schedule = build_schedule(description, fold(description))
    target = description.fold.interval
    if target is not None and schedule.interval > target:
        raise ValueError(
            f"fold.lanes give an interval of {schedule.interval} cycles, but fold.interval asks "
            f"for at most {target}; use more lanes or raise the interval"
        )
    result = Plan(description, schedule, tuple(_cost(stage) for stage in schedule.stages))
    limit = description.fold.memory
    if limit is not None and result.memory_bits > limit:
        largest = max(result.units, key=lambda unit: unit.memory_bits)
        raise ValueError(
            f"fold.memory is {limit} bits, but {description.name} needs {result.memory_bits}, most "
            f"of it ({largest.memory_bits}) in {largest.name}; use narrower formats or fewer layers"
        )
    return result


def _cost(stage: Stage) -> UnitCost:
    tiling, numbers, depths = stage.tiling, stage.arithmetic, stage.depths
    high, wide = tiling.lanes.outputs, tiling.lanes.inputs
    words = tiling.tiles * tiling.lane_count + tiling.rows * high
    sums = words * numbers.gradient.bits if numbers.sums_gradients else 0
    gradient = 0
    if numbers.dx is not None:
        row = tiling.row_words * wide
        sums += tiling.geometry.kernel[0] * row * numbers.backward_sum.bits
        gradient = depths.gradients * row * numbers.dx.bits
    return UnitCost(
        name=stage.name,
        lanes=tiling.lanes,
        cycles=tiling.cycles,
        delay=stage.delay,
        multipliers=tiling.multipliers,
        weights=words * numbers.word_bits,
        stash=depths.stash * wide * numbers.x.bits,
        window=depths.window * wide * numbers.x.bits + depths.errors * high * numbers.dy.bits,
        sums=sums,
        queues=depths.outputs * high * (numbers.y.bits + 2) + gradient,
    )
