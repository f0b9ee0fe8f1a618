"""How few lanes serve all biases of a unit: each takes its turns over those of a row of tiles.

A bias moves once a row of tiles, a lane could move one a cycle.  The words and gradients of a row
stay where they are read until its last tile has been visited.  So a bias may come as much later
than the first one, and the last one must be in memory before its row is read again, in the next
slot.
"""

from __future__ import annotations

from counterflow.design.units.latency import MOVED, WORD
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import rest


def bias_lanes(tiling: Tiling) -> int:
    """Lanes that move the biases of a unit.

    Number b of them moves in turn t that of output t x lanes + b of a row of tiles.
    """
    stays = (tiling.columns - 1) * tiling.phases + 1
    # From the issue of a tile to the first cycle in which its new words can be read; biases are
    # read WORD cycles after that of a tile, or one before in a memory of so many rows that
    # `stays` is the less.
    written = MOVED + tiling.phases
    left = tiling.position_cycles + rest(tiling) + WORD + 1 - written
    return -(-tiling.lanes.outputs // min(stays, left))


def bias_turns(tiling: Tiling) -> int:
    """Turns that each of them takes in a row of tiles, a cycle each."""
    return -(-tiling.lanes.outputs // bias_lanes(tiling))
