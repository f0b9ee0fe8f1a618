"""How a unit's lanes divide its weight matrix into tiles, and the order in which they are visited.

A tile is what all lanes do at once: `lanes.outputs` rows by `lanes.inputs` columns of W.  A unit
walks its tiles row by row (all columns of the first rows, then the next rows), `phases` cycles a
tile.  Tile (r, c) covers outputs r * lanes.outputs ... and inputs c * lanes.inputs ...; lanes that
fall outside the matrix are padding and do no useful work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from counterflow.description import Lanes


@dataclass(frozen=True)
class Tiling:
    """The tiles of one dense unit; `first` units make no input gradient and need no lane for it."""

    outputs: int
    inputs: int
    lanes: Lanes
    first: bool

    @property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.outputs // self.lanes.outputs)

    @property
    def columns(self) -> int:
        """Columns of tiles."""
        return -(-self.inputs // self.lanes.inputs)

    @property
    def tiles(self) -> int:
        return self.rows * self.columns

    @property
    def lane_count(self) -> int:
        return self.lanes.outputs * self.lanes.inputs

    @property
    def products(self) -> int:
        """Products that each weight takes part in: forward, gradient and, but first, backward."""
        return 2 if self.first else 3

    @property
    def phases(self) -> int:
        """Cycles that one tile takes."""
        return self.products if self.lanes.shared else 1

    @property
    def multipliers(self) -> int:
        return self.lane_count * (1 if self.lanes.shared else self.products)

    @property
    def cycles(self) -> int:
        """Cycles of one walk over all tiles."""
        return self.tiles * self.phases

    @property
    def row_cycles(self) -> int:
        """Cycles from one row of tiles to the next."""
        return self.columns * self.phases

    @property
    def useful(self) -> int:
        """Useful products in one slot of the pipelined steady state."""
        return self.outputs * self.inputs * self.products

    @cached_property
    def tile_of(self) -> NDArray[np.int64]:
        """Index of the tile that holds weight [o, i]; shape [outputs, inputs]."""
        row = np.arange(self.outputs) // self.lanes.outputs
        column = np.arange(self.inputs) // self.lanes.inputs
        return row[:, None] * self.columns + column[None, :]

    def in_tiles(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """A matrix [outputs, inputs] as [tiles, lanes], padding lanes zero.

        Lane l of a tile is output l // lanes.inputs, input l % lanes.inputs of it.
        """
        high, wide = self.lanes.outputs, self.lanes.inputs
        padded = np.zeros((self.rows * high, self.columns * wide), np.int64)
        padded[: self.outputs, : self.inputs] = matrix
        split = padded.reshape(self.rows, high, self.columns, wide)
        return split.transpose(0, 2, 1, 3).reshape(self.tiles, self.lane_count)

    def from_tiles(self, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `in_tiles`."""
        high, wide = self.lanes.outputs, self.lanes.inputs
        split = tiles.reshape(self.rows, self.columns, high, wide).transpose(0, 2, 1, 3)
        return split.reshape(self.rows * high, self.columns * wide)[: self.outputs, : self.inputs]

    def in_rows(self, vector: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """A vector [outputs] as [rows, lanes.outputs], padding lanes zero."""
        padded = np.zeros(self.rows * self.lanes.outputs, np.int64)
        padded[: self.outputs] = vector
        return padded.reshape(self.rows, self.lanes.outputs)
