"""Tiles hold every weight once, in the order of the walk, and words the image as it streams."""

from __future__ import annotations

import numpy as np
import pytest

from counterflow.design.parts.geometry import Geometry
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.sim.shapes import ODD, random_geometry, tilings

every = pytest.mark.parametrize("tiling", tilings(160), ids=lambda t: f"{t.geometry} {t.lanes}")
SMALL = [*ODD.values(), *(random_geometry(seed) for seed in range(20))]
all_folds = pytest.mark.parametrize("shape", SMALL, ids=str)


def folds(shape: Geometry) -> list[Tiling]:
    """Every one that there is, of lanes that are not shared."""
    return [
        Tiling(shape, Lanes(outputs=high, inputs=wide), first=False)
        for high in range(1, shape.outputs + 1)
        for wide in range(1, shape.row_taps + 1)
    ]


def numbered(shape: Geometry) -> np.ndarray:
    """Weights [outputs, taps] that are all different, and not zero."""
    return np.arange(1, shape.outputs * shape.taps + 1).reshape(shape.outputs, shape.taps)


@every
def test_a_row_of_tiles_takes_as_many_cycles_as_it_makes_outputs(tiling: Tiling) -> None:
    """Unless there is no other: rows that see nothing are added where no gradient goes back."""
    kernel = tiling.geometry.kernel[0]
    alone = tiling.rows == 1 == tiling.geometry.positions
    assert alone or tiling.row_cycles >= tiling.lanes.outputs
    assert tiling.kernel_rows == kernel or tiling.first
    added = tiling.kernel_rows - kernel
    if added:  # and none too many
        assert tiling.row_cycles - tiling.parts * tiling.phases < tiling.lanes.outputs
    assert tiling.columns == (kernel + added) * tiling.parts
    assert tiling.tile_of.max() < tiling.tiles


def test_the_folds_that_are_looked_at_have_rows_of_tiles_that_see_nothing() -> None:
    assert sum(one.kernel_rows > one.geometry.kernel[0] for one in tilings(160)) >= 2


# ---- weights -----------------------------------------------------------------------------------


@all_folds
def test_tiles_give_back_the_weights_that_were_put_in(shape: Geometry) -> None:
    for tiling in folds(shape):
        tiles = tiling.in_tiles(numbered(shape))
        assert tiles.shape == (tiling.tiles, tiling.lane_count)
        assert np.count_nonzero(tiles) == shape.outputs * shape.taps  # the rest is padding
        assert (tiling.from_tiles(tiles) == numbered(shape)).all()


@every
def test_a_weight_is_in_the_tile_and_lane_of_its_output_and_tap(tiling: Tiling) -> None:
    """The taps of a tile lie side by side in one row of the kernel."""
    shape, wide, high = tiling.geometry, tiling.lanes.inputs, tiling.lanes.outputs
    tiles = tiling.in_tiles(numbered(shape))
    parts = -(-shape.row_taps // wide)
    for output in range(shape.outputs):
        for tap in range(shape.taps):
            row, within = divmod(tap, shape.row_taps)
            column = row * parts + within // wide
            tile = output // high * tiling.columns + column
            lane = output % high * wide + within % wide
            assert tiling.column_of[tap] == column
            assert tiling.place_of[tap] == column * wide + within % wide
            assert tiling.tile_of[output, tap] == tile
            assert tiles[tile, lane] == numbered(shape)[output, tap]


@every
def test_rows_hold_the_outputs_of_each_position(tiling: Tiling) -> None:
    vectors = np.arange(1, 3 * tiling.outputs + 1).reshape(3, tiling.outputs)
    rows = tiling.in_rows(vectors)
    assert rows.shape == (3, tiling.rows, tiling.lanes.outputs)
    for (token, output), value in np.ndenumerate(vectors):
        assert rows[token, *divmod(output, tiling.lanes.outputs)] == value
    assert np.count_nonzero(rows) == vectors.size
    assert (tiling.in_rows(vectors[1]) == rows[1]).all()


@every
def test_a_column_is_flagged_where_one_of_its_taps_is(tiling: Tiling) -> None:
    random = np.random.default_rng(1)
    flags = random.random((tiling.geometry.positions, tiling.geometry.taps)) < 0.3
    found = tiling.in_columns(flags)
    assert found.shape == (tiling.geometry.positions, tiling.columns)
    for column in range(tiling.columns):
        inside = np.flatnonzero(tiling.column_of == column)
        assert found[:, column].tolist() == flags[:, inside].any(axis=1).tolist()


# ---- words of the image ------------------------------------------------------------------------


@all_folds
def test_a_granule_always_stands_in_one_word_wherever_the_kernel_is(shape: Geometry) -> None:
    """Words of the kernel begin at multiples of it in a row of the image; so all of it is read
    from one word, and its elements stand at its place in the word and at no other."""
    for tiling in folds(shape):
        wide, granule = tiling.lanes.inputs, tiling.granule
        assert wide % granule == 0
        assert tiling.banks * granule == wide
        for position in range(shape.places[1]):
            left = (position * shape.stride[1] - shape.padding[1]) * shape.channels
            for part in range(tiling.parts):
                begins = left + part * wide
                assert begins % granule == 0
                for first in range(begins, begins + wide, granule):
                    assert first // wide == (first + granule - 1) // wide


@all_folds
def test_a_granule_of_the_kernel_has_no_element_of_the_image_beside_it(shape: Geometry) -> None:
    """Lanes beyond the end of the kernel's row see zeros: they would learn otherwise."""
    for tiling in folds(shape):
        within = -(-shape.row_taps // tiling.granule) * tiling.granule
        for position in range(shape.places[1]):
            left = (position * shape.stride[1] - shape.padding[1]) * shape.channels
            beside = range(left + shape.row_taps, left + within)
            assert not any(0 <= element < shape.row_inputs for element in beside)


@all_folds
def test_a_word_of_the_kernel_lies_in_two_words_of_the_image_at_most(shape: Geometry) -> None:
    """In one where it is a single granule; no bank is read twice."""
    for tiling in folds(shape):
        wide = tiling.lanes.inputs
        for position in range(shape.places[1]):
            left = (position * shape.stride[1] - shape.padding[1]) * shape.channels
            for part in range(tiling.parts):
                granules = range(left + part * wide, left + (part + 1) * wide, tiling.granule)
                assert len({first // wide for first in granules}) <= min(2, tiling.banks)
                assert len({first % wide for first in granules}) == tiling.banks


@every
def test_words_hold_each_row_of_the_image_from_its_begin(tiling: Tiling) -> None:
    shape, wide = tiling.geometry, tiling.lanes.inputs
    words = {
        (y, x // wide)
        for y in range(shape.image[0])
        for x in range(shape.image[1] * shape.image[2])
    }
    assert tiling.image_words == len(words) == shape.image[0] * tiling.row_words


@every
def test_no_more_rows_of_the_image_are_under_the_kernel_than_are_summed(tiling: Tiling) -> None:
    shape = tiling.geometry
    most = 0
    for elements in shape.covered:
        most = max(most, len({int(e) // shape.row_inputs for e in elements if e >= 0}))
    assert most <= tiling.sum_rows <= shape.image[0]
    if shape.padding[0] == 0:
        assert most == tiling.sum_rows


# ---- cycles and products -----------------------------------------------------------------------


@every
def test_cycles_and_products_are_counted_by_walking_all_positions(tiling: Tiling) -> None:
    """In each cycle each multiplier makes one product, useful where its lane is no padding."""
    kinds = ["forward", "gradient"] if tiling.first else ["forward", "backward", "gradient"]
    ones = tiling.in_tiles(np.ones((tiling.outputs, tiling.geometry.taps), np.int64))
    cycles = useful = 0
    for _ in range(tiling.geometry.positions):
        for tile in ones:
            for together in [[kind] for kind in kinds] if tiling.lanes.shared else [kinds]:
                cycles += 1
                assert tiling.multipliers == tiling.lane_count * len(together)
                useful += int(tile.sum()) * len(together)
    assert tiling.cycles == cycles == tiling.geometry.positions * tiling.position_cycles
    assert tiling.useful == useful
    assert tiling.row_cycles * tiling.rows == tiling.position_cycles
