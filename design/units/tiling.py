"""How a unit's lanes divide its weights into tiles, and the order in which they are visited.

A tile is what all lanes do at once: `lanes.outputs` rows by `lanes.inputs` columns of the weights
[outputs, taps].  The taps of a tile lie side by side in one row of the kernel, and so in one row of
the image: they are one word of the memories that hold it.  Tile (r, c) covers outputs
r * lanes.outputs ... and word c % parts of row c // parts of the kernel; lanes that fall outside
are padding and do no useful work.

For each position of the kernel, a unit walks all its tiles row by row (all columns of the first
rows, then the next rows), `phases` cycles a tile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from counterflow.design.parts.fields import MAX_WIDTH, Frozen
from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.latency import MOVED


class Lanes(Frozen):
    """The multiplier array of one unit: `outputs` x `inputs` lanes.

    With ``shared`` each lane has one multiplier that makes its products one after the other;
    without, it has one multiplier for each product.  So many of them as are ``in_luts`` have no
    multiplier blocks.
    """

    outputs: int = Field(ge=1, le=MAX_WIDTH, description="Outputs that are worked on at once.")
    inputs: int = Field(ge=1, le=MAX_WIDTH, description="Inputs that are worked on at once.")
    shared: bool = Field(
        default=False,
        description="Whether a lane has one multiplier for all its products, in turn, instead of "
        "one for each.",
    )
    in_luts: int = Field(
        default=0,
        ge=0,
        le=MAX_WIDTH**2,
        description="How many of the lanes make their products of LUTs, where multiplier blocks do "
        "not suffice: the last ones.",
        exclude_if=lambda value: not value,
    )


@dataclass(frozen=True)
class Tiling:
    """The tiles of one unit; `first` units make no input gradient and need no lane for it.

    ``asides``: further input gradients, of losses from which only units below learn; ``frozen``:
    its weights do not move, so that they have no gradient.
    """

    geometry: Geometry
    lanes: Lanes
    first: bool
    asides: int = 0
    frozen: bool = False

    @property
    def outputs(self) -> int:
        return self.geometry.outputs

    @cached_property
    def rows(self) -> int:
        """Rows of tiles."""
        return -(-self.outputs // self.lanes.outputs)

    @cached_property
    def parts(self) -> int:
        """Columns of tiles in one row of the kernel."""
        return -(-self.geometry.row_taps // self.lanes.inputs)

    @cached_property
    def columns(self) -> int:
        """Columns of tiles, those that see nothing included."""
        return self.kernel_rows * self.parts

    @cached_property
    def kernel_rows(self) -> int:
        """Rows of the kernel, and behind them those that see nothing.

        Outputs leave one a cycle, so that a row of tiles takes at least as many cycles as it makes
        outputs.  Where the kernel has too few words for that, further rows of it that nothing is
        under, and that have no weights, make up for them; only where no gradient goes back, whose
        sums are in the order of the kernel.
        """
        kernel = self.geometry.kernel[0]
        if not self.first or self.asides or (self.rows == 1 == self.geometry.positions):
            return kernel
        return max(kernel, math.ceil(self.lanes.outputs / (self.parts * self.phases)))

    @cached_property
    def tiles(self) -> int:
        return self.rows * self.columns

    @cached_property
    def row_words(self) -> int:
        """Words of `lanes.inputs` elements that hold one row of the image."""
        return -(-self.geometry.row_inputs // self.lanes.inputs)

    @property
    def sum_rows(self) -> int:
        """Rows of the image that can be under the kernel at once, and so are summed at once."""
        return min(self.geometry.kernel[0], self.geometry.image[0])

    @property
    def image_words(self) -> int:
        """Words that hold the whole image."""
        return self.geometry.image[0] * self.row_words

    @cached_property
    def granule(self) -> int:
        """Elements that always stand together in a word, wherever the kernel is.

        A word of the kernel that begins within a word of the image takes granules from two words;
        one that ends within a word takes only those that belong to it.
        """
        geometry, wide = self.geometry, self.lanes.inputs
        begins = geometry.places[1] == 1 and geometry.padding[1] == 0
        ends = geometry.row_taps == geometry.row_inputs or geometry.row_taps % wide == 0
        return wide if begins and ends else math.gcd(wide, geometry.channels)

    @property
    def banks(self) -> int:
        """Granules of a word; each is a memory of its own."""
        return self.lanes.inputs // self.granule

    @property
    def lane_count(self) -> int:
        return self.lanes.outputs * self.lanes.inputs

    @property
    def products(self) -> int:
        """Products that each weight takes part in: forward, gradient and, but first, backward.

        Where it is frozen there is no gradient.
        """
        return 1 + self.backward_products + self.asides

    @property
    def backward_products(self) -> int:
        """Those of them that are made of the gradient of the loss that the unit learns from."""
        return (not self.first) + (not self.frozen)

    @cached_property
    def phases(self) -> int:
        """Cycles that one tile takes."""
        return self.products if self.lanes.shared else 1

    @cached_property
    def movers(self) -> int:
        """Lanes that move weights: one for as many weights as a tile takes cycles.

        Number m of them moves in turn t the weight of lane t x movers + m.  A tile is written with
        the last turn; there are no more than can be before its next visit without a longer rest.
        """
        if self.frozen:
            return self.lane_count
        left = self.position_cycles - self.phases - MOVED + 1
        return -(-self.lane_count // min(self.phases, max(1, left)))

    @property
    def move_turns(self) -> int:
        """Turns that each of them takes, a cycle each."""
        return -(-self.lane_count // self.movers)

    @property
    def multipliers(self) -> int:
        return self.lane_count * (1 if self.lanes.shared else self.products)

    @cached_property
    def position_cycles(self) -> int:
        """Cycles of one walk over all tiles."""
        return self.tiles * self.phases

    @property
    def cycles(self) -> int:
        """Cycles of a sample: a walk over all tiles at each position."""
        return self.geometry.positions * self.position_cycles

    @property
    def row_cycles(self) -> int:
        """Cycles from one row of tiles to the next."""
        return self.columns * self.phases

    @property
    def useful(self) -> int:
        """Useful products in one slot of the pipelined steady state.

        Those with the zeros around an image count, as they do in the literature.
        """
        return self.geometry.positions * self.outputs * self.geometry.taps * self.products

    @cached_property
    def place_of(self) -> NDArray[np.int64]:
        """Column of tiles times lanes.inputs, plus lane, of each tap; shape [taps]."""
        row, within = np.divmod(np.arange(self.geometry.taps), self.geometry.row_taps)
        return row * self.parts * self.lanes.inputs + within

    @cached_property
    def column_of(self) -> NDArray[np.int64]:
        """Column of tiles of each tap; shape [taps]."""
        return self.place_of // self.lanes.inputs

    @cached_property
    def tile_of(self) -> NDArray[np.int64]:
        """Index of the tile that holds weight [o, k]; shape [outputs, taps]."""
        row = np.arange(self.outputs) // self.lanes.outputs
        return row[:, None] * self.columns + self.column_of[None, :]

    def in_tiles(self, matrix: NDArray[np.int64]) -> NDArray[np.int64]:
        """A matrix [outputs, taps] as [tiles, lanes], padding lanes zero.

        Lane l of a tile is output l // lanes.inputs, tap l % lanes.inputs of it.
        """
        high, wide = self.lanes.outputs, self.lanes.inputs
        padded = np.zeros((self.rows * high, self.columns * wide), np.int64)
        padded[: self.outputs, self.place_of] = matrix
        split = padded.reshape(self.rows, high, self.columns, wide)
        return split.transpose(0, 2, 1, 3).reshape(self.tiles, self.lane_count)

    def from_tiles(self, tiles: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `in_tiles`."""
        high, wide = self.lanes.outputs, self.lanes.inputs
        split = tiles.reshape(self.rows, self.columns, high, wide).transpose(0, 2, 1, 3)
        padded = split.reshape(self.rows * high, self.columns * wide)
        return padded[: self.outputs][:, self.place_of]

    def in_rows(self, vectors: NDArray[np.int64] | NDArray[np.bool_]) -> NDArray[np.int64]:
        """Vectors [..., outputs] as [..., rows, lanes.outputs], padding lanes zero."""
        padded = np.zeros((*vectors.shape[:-1], self.rows * self.lanes.outputs), np.int64)
        padded[..., : self.outputs] = vectors
        return padded.reshape(*vectors.shape[:-1], self.rows, self.lanes.outputs)

    def in_columns(self, windows: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Flags [positions, taps] as [positions, columns]: whether any lane of a word has one."""
        padded = np.zeros((len(windows), self.columns * self.lanes.inputs), bool)
        padded[:, self.place_of] = windows
        words = padded.reshape(len(windows), self.columns, self.lanes.inputs)
        return np.asarray(words.any(axis=2))
