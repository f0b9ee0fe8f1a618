"""Granules are known to be in the image, and to be met for the first and the last time."""

from __future__ import annotations

import pytest

from counterflow.design.units.latency import BEGIN
from counterflow.sim.shapes import random_geometry, random_lanes
from tests.visits import IMAGES, Layer, always_open, driven, seen_by, stage_of, visits

FLAGS = ("granules_inside", "granules_first", "granules_last")


def check_flags(layer: Layer) -> None:
    """A place of the image is known by its row and its granule in it."""
    stage = stage_of(layer)
    tiling, geometry = stage.tiling, stage.tiling.geometry
    wide = -(-geometry.row_taps // tiling.granule)
    met: list[list[tuple[int, int] | None]] = []
    for where in visits(stage):
        y, granules = seen_by(stage, where)
        places: list[tuple[int, int] | None] = []
        for index, granule in enumerate(granules):
            inside = 0 <= y < geometry.image[0]
            inside &= 0 <= granule < -(-geometry.row_inputs // tiling.granule)
            inside &= where.part * tiling.banks + index < wide
            places.append((y, granule) if inside else None)
        met.append(places)
    flat = [(n, place) for n, places in enumerate(met) for place in places if place]
    last = {place: n - n % tiling.phases for n, place in flat}
    first = {place: n - n % tiling.phases for n, place in reversed(flat)}
    banks = range(tiling.banks)
    seen = driven(stage, stage.cycles, always_open(stage, stage.cycles + BEGIN), FLAGS)[BEGIN:]
    for n, (places, flags) in enumerate(zip(met, seen, strict=True)):
        marks = [[flag >> bank & 1 for bank in banks] for flag in flags]
        for place, inside, begins, ends in zip(places, *marks, strict=True):
            assert inside == (place is not None), f"visit {n}"
            if place is not None:
                now = n - n % tiling.phases
                assert (begins, ends) == (now == first[place], now == last[place]), f"visit {n}"


@pytest.mark.parametrize("name", IMAGES)
def test_granules_are_marked_in_the_image_and_at_their_first_and_last_visit(name: str) -> None:
    check_flags(IMAGES[name])


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_granules_of_random_shapes_are_marked_likewise(seed: int) -> None:
    geometry = random_geometry(seed)
    check_flags((geometry, random_lanes(geometry, seed + 1)))
