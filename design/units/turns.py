"""How few lanes serve all biases of a unit: each takes its turns over those of a row of tiles.

A bias moves once a row of tiles, a lane could move one a cycle.  They are read turn by turn, for
the update and for the sums of the row, and written in the same order, so that no word is read
before it is written wherever no tile is.  The gradients of a row stay until its last tile has been
visited: so much later may the last turn be.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.latency import (
    AHEAD,
    OPERANDS,
    PRODUCT,
    QUEUE,
    SUM,
    WORD,
    tree_latency,
)
from counterflow.design.units.tiling import Tiling

Integers = NDArray[np.int64]


def bias_lanes(tiling: Tiling) -> int:
    """Lanes that move the biases of a unit.

    Number b of them moves in turn t that of output t x lanes + b of a row of tiles.
    """
    stays = (tiling.columns - 1) * tiling.phases + 1
    return -(-tiling.lanes.outputs // stays)


def bias_turns(tiling: Tiling) -> int:
    """Turns that each of them takes in a row of tiles, a cycle each."""
    return -(-tiling.lanes.outputs // bias_lanes(tiling))


def bias_words(tiling: Tiling) -> int:
    """Words of the memory of biases, one a turn of `bias_lanes`: those of a row stand together."""
    return tiling.rows * bias_turns(tiling)


def in_turns(tiling: Tiling, vector: Integers) -> Integers:
    """A vector [outputs] as it lies in the memory of biases; shape [`bias_words`, `bias_lanes`]."""
    rows, lanes = tiling.in_rows(vector), bias_lanes(tiling)
    padded = np.zeros((len(rows), bias_turns(tiling) * lanes), np.int64)
    padded[:, : rows.shape[1]] = rows
    return padded.reshape(-1, lanes)


def from_turns(tiling: Tiling, words: Integers) -> Integers:
    """The inverse of `in_turns`."""
    return words.reshape(tiling.rows, -1)[:, : tiling.lanes.outputs].ravel()[: tiling.outputs]


def bias_reads(tiling: Tiling) -> int:
    """Cycles from the visit of a row's first tile until the turns begin in which biases are read.

    So they reach their lanes with the gradients that move them, which belong to the last phase.
    Where a row ends so soon that its sums would wait for them they are read earlier.
    """
    queued = WORD + AHEAD + QUEUE + 1  # with a register behind the queue
    return min(_moved(tiling) - WORD, _finished(tiling) - queued)


def bias_waits(tiling: Tiling) -> int:
    """Cycles that a bias waits at its lane for its gradient."""
    return _moved(tiling) - WORD - bias_reads(tiling)


def waiting_biases(tiling: Tiling) -> int:
    """Words of biases, one a turn, that wait for the sums of their rows at most.

    Rows that follow come before the last sum of one has its bias: each begins behind the one ahead.
    One bias alone waits in a register; all else is a queue, of two words at least.
    """
    high, row = tiling.lanes.outputs, tiling.row_cycles
    asked = _finished(tiling) - 1 + high - 1
    following = row + bias_reads(tiling) + WORD + AHEAD
    rows = 1 + max(0, (asked - following) // max(row, high) + 1)
    words = rows * bias_turns(tiling)
    return words if bias_lanes(tiling) == 1 else max(2, words)


def _moved(tiling: Tiling) -> int:
    """Cycles from the visit of a row's first tile to its gradients at the updates."""
    return tiling.phases - 1 + OPERANDS + PRODUCT


def _finished(tiling: Tiling) -> int:
    """Cycles from the visit of a row's first tile to its finished sums."""
    last = (tiling.columns - 1) * tiling.phases
    return last + OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs) + SUM
