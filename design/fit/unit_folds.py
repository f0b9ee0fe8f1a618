"""The folds of one unit that are worth a look, with what each takes about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from counterflow.design.fit.knapsack import Item, undominated
from counterflow.design.fpga.estimate import aside_memories, memories_of
from counterflow.design.fpga.memories import freed_words
from counterflow.design.fpga.needs import unit_needs
from counterflow.design.fpga.ultra import WORTH
from counterflow.design.schedule.folding import folds
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import row_queue

GRAIN = 50  # LUTs that make no difference between two folds of a unit
MANY = 2000  # folds of a unit of which only those with few multipliers for their pace are looked at
WASTE = 1.2  # times the fewest multipliers for a pace, up to which one of so many is


class Option(NamedTuple):
    """A way to fold one unit, the shortest interval it allows, and about what it takes.

    ``item``: multipliers, block RAMs, LUTs.
    """

    tiling: Tiling
    bound: int
    item: Item


def unit_options(
    stage: Stage, multipliers: int, family: str, *, outside: bool = False
) -> list[Option]:
    """Folds of a unit onto so many multipliers at most, of which none is better in all respects.

    `stage` is the unit in some schedule; with its stash `outside` where that frees memory.  An
    UltraRAM counts as the block RAMs that hold as many bits.
    """
    numbers, tiled = stage.arithmetic, stage.tiling
    found = []
    every = folds(tiled.geometry, tiled.first, max(1, multipliers), tiled.asides, tiled.frozen)
    for bound, tiling in _few(every):
        depths = scaled(stage, tiling)
        beside = outside and freed_words(tiling, depths) > 0
        parts = memories_of(tiling, numbers, depths, outside=beside)
        alone = replace(tiling, first=False, asides=0)
        for aside in stage.asides:
            parts += aside_memories(aside, alone, scaled(aside, alone))
        taken = unit_needs(tiling, numbers, parts, family)
        luts = -(-taken.luts // GRAIN) * GRAIN
        item = Item(taken.multipliers, taken.block_rams + WORTH * taken.ultra_rams, luts)
        found.append(Option(tiling, bound, item))
    return [found[index] for index in undominated([(o.bound, *o.item) for o in found])]


def _few(found: Sequence[tuple[int, Tiling]]) -> Sequence[tuple[int, Tiling]]:
    """Those of very many folds that waste few multipliers."""
    if len(found) <= MANY:
        return found
    bounds = np.array([bound for bound, _ in found])
    taken = np.array([tiling.multipliers for _, tiling in found])
    order = np.argsort(bounds, kind="stable")
    fewest = np.minimum.accumulate(taken[order])
    # The fewest of all folds that are no slower.
    least = fewest[np.searchsorted(bounds[order], bounds, side="right") - 1]
    return [one for one, few in zip(found, taken <= WASTE * least, strict=True) if few]


def scaled(stage: Stage, tiling: Tiling) -> Depths:
    """The depths of a unit folded as `tiling`, from those with which it was scheduled.

    Buffers hold as many rows of the image as before, and as much of the output.
    """
    depths, old = stage.depths, stage.tiling
    words, rows = tiling.row_words / old.row_words, tiling.rows / old.rows
    return replace(
        depths,
        window=math.ceil(depths.window * words),
        stash=math.ceil(depths.stash * words),
        errors=math.ceil(depths.errors * rows),
        outputs=row_queue(tiling),
    )
