"""Folding: lanes for every layer, within a budget of multipliers or for a target interval.

What a design takes of an FPGA besides multipliers is another matter: see `design.fit.fitting`.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from functools import lru_cache

from counterflow.design.network.description import Description, Fold
from counterflow.design.parts.fields import MAX_WIDTH
from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import can_be, slot_bound

MOST_TILES = 2**16 - 1  # of a unit: the register bus has 16 bits for a tile's number
SLACK = 0.1  # intervals this much above the fastest are accepted where fewer multipliers idle


@lru_cache(maxsize=4096)
def folds(
    geometry: Geometry, first: bool, lanes: int, asides: int = 0, frozen: bool = False
) -> tuple[tuple[int, Tiling], ...]:
    """Tilings of a layer with at most so many lanes, as (shortest interval, tiling).

    Only the smallest lanes that give a number of rows or columns are looked at, and no more tiles
    than hardware can count, unless all these tilings have more.
    """
    found = []
    for high in _divisions(geometry.outputs):
        for wide in _divisions(geometry.row_taps):
            if high * wide > lanes or wide > MAX_WIDTH:
                break
            for shared in (False,) if asides else (False, True):
                own = Lanes(outputs=high, inputs=wide, shared=shared)
                tiling = Tiling(geometry, own, first, asides, frozen)
                if can_be(tiling):
                    found.append((slot_bound(tiling), tiling))
    return tuple(one for one in found if one[1].tiles <= MOST_TILES) or tuple(found)


@lru_cache(maxsize=4096)
def choices(
    geometry: Geometry, first: bool, asides: int = 0, frozen: bool = False
) -> tuple[tuple[int, Tiling], ...]:
    """Useful tilings of a layer as (shortest interval, tiling), fewest multipliers per interval.

    Sorted by interval, each entry needs fewer multipliers than every faster one.
    """
    lanes = geometry.outputs * geometry.row_taps
    found = [
        (bound, tiling.multipliers, tiling.banks, tiling)
        for bound, tiling in folds(geometry, first, lanes, asides, frozen)
    ]
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
    layers = [
        choices(unit.geometry, unit.first, len(unit.asides), unit.frozen)
        for unit in description.weighted
    ]
    floor = max(description.graph.slowest.bound, *(layer[0][0] for layer in layers))
    if wanted.multipliers is None:
        target = wanted.interval if wanted.interval is not None else 4 * max(floor, 32)
        if target < floor:
            raise ValueError(
                f"fold.interval is {target} cycles, but {description.name} needs at least {floor}"
            )
        return tuple(t.lanes for t in _within(layers, target))
    return _fastest(description, layers, floor, wanted)


def with_luts(
    tilings: Sequence[Tiling], excess: int, blocks: Sequence[int] | None = None
) -> tuple[Lanes, ...]:
    """The lanes of every unit, with so many of LUTs that `excess` multipliers need no block.

    They are those of the largest units, since a lane is the same in all of them but for a few bits.
    `blocks`: those that a lane of each unit takes, one a multiplier unless given.
    """
    found = [tiling.lanes for tiling in tilings]
    each = blocks or [tiling.multipliers // tiling.lane_count for tiling in tilings]
    for index in sorted(range(len(found)), key=lambda unit: -tilings[unit].lane_count):
        if excess > 0 and each[index]:
            count = min(tilings[index].lane_count, -(-excess // each[index]))
            found[index] = found[index].model_copy(update={"in_luts": count})
            excess -= count * each[index]
    return tuple(found)


def in_luts(tilings: Sequence[Tiling], lanes: Sequence[Lanes]) -> int:
    """How many multipliers of units with these `lanes` are of LUTs."""
    pairs = zip(tilings, lanes, strict=True)
    return sum(one.in_luts * tiling.multipliers // tiling.lane_count for tiling, one in pairs)


def one_a_unit(description: Description) -> str:
    """What the least number of multipliers is made of."""
    spent = description.other_multipliers
    return f"one a unit with weights, {spent} in others" if spent else "one a unit"


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
    wanted: Fold,
) -> tuple[Lanes, ...]:
    """The fold with the least idle multipliers among those close to the fastest in the budget."""
    budget, limit = int(wanted.multipliers or 0), wanted.interval
    candidates = sorted({max(bound, floor) for layer in layers for bound, _ in layer})
    useful = sum(layer[0][1].useful for layer in layers)
    spent = description.other_multipliers  # none of which is a lane
    feasible: list[tuple[int, int, tuple[Lanes, ...]]] = []
    fastest: int | None = None
    for interval in candidates:
        tiled = _within(layers, interval)
        used = sum(t.multipliers for t in tiled)
        lanes = with_luts(tiled, used + spent - budget)
        of_luts = in_luts(tiled, lanes)
        if of_luts <= wanted.lut_multipliers and used + spent - of_luts <= budget:
            fastest = fastest or interval
            if limit is not None and interval > limit:
                break
            if feasible and interval > feasible[0][0] * (1 + SLACK):
                break
            feasible.append((interval, used * interval - useful, lanes))
    if fastest is None:
        least = spent + sum(layer[-1][1].multipliers for layer in layers)
        raise ValueError(
            f"fold.multipliers is {budget}, but {description.name} needs at least {least} "
            f"({one_a_unit(description)})"
        )
    if not feasible:
        more = f" and {wanted.lut_multipliers} of LUTs" if wanted.lut_multipliers else ""
        raise ValueError(
            f"{budget} multipliers{more} give an interval of {fastest} cycles, but fold.interval "
            f"asks for at most {limit}; raise the multipliers or the interval"
        )
    return min(feasible, key=lambda f: (f[1], f[0]))[2]
