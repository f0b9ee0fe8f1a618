"""The folds of one unit that are worth a look, with what each takes about."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from counterflow.design.fit.knapsack import Item, undominated
from counterflow.design.fpga.estimate import memories_of
from counterflow.design.fpga.needs import unit_needs
from counterflow.design.schedule.folding import folds
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import row_queue

GRAIN = 50  # LUTs that make no difference between two folds of a unit


class Option(NamedTuple):
    """A way to fold one unit, the shortest interval it allows, and about what it takes.

    ``item``: multipliers, block RAMs, LUTs.
    """

    tiling: Tiling
    bound: int
    item: Item


def unit_options(stage: Stage, multipliers: int, family: str) -> list[Option]:
    """Folds of a unit onto so many multipliers at most, of which none is better in all respects.

    `stage` is the unit in some schedule.
    """
    numbers, first = stage.arithmetic, stage.tiling.first
    found = []
    for bound, tiling in folds(stage.tiling.geometry, first, max(1, multipliers)):
        parts = memories_of(tiling, numbers, scaled(stage, tiling))
        taken = unit_needs(tiling, numbers, parts, family)
        luts = -(-taken.luts // GRAIN) * GRAIN
        item = Item(taken.multipliers, taken.block_rams, luts)
        found.append(Option(tiling, bound, item))
    return [found[index] for index in undominated([(o.bound, *o.item) for o in found])]


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
