"""Layers of all shapes, for tests: odd ones by name, and any number of random ones."""

from __future__ import annotations

import random

from counterflow.description import Lanes
from counterflow.geometry import Geometry
from counterflow.planner import choices
from counterflow.schedule import can_be
from counterflow.tiling import Tiling

ODD = {
    "dense": Geometry.dense(7, 5),
    "one to one": Geometry.dense(1, 1),
    "square": Geometry((5, 5, 2), 3, (3, 3)),
    "wide image": Geometry((3, 8, 2), 3, (2, 3)),
    "high image": Geometry((8, 3, 3), 2, (3, 2)),
    "padded": Geometry((4, 5, 3), 4, (3, 3), (1, 1), (1, 1)),
    "padded to the full": Geometry((3, 4, 2), 2, (3, 3), (1, 1), (2, 2)),
    "padded above only": Geometry((4, 4, 2), 2, (3, 2), (1, 1), (1, 0)),
    "padded beside only": Geometry((4, 4, 2), 2, (2, 3), (1, 1), (0, 1)),
    "strided": Geometry((6, 6, 2), 3, (2, 2), (2, 2)),
    "unequal strides": Geometry((7, 6, 3), 2, (3, 2), (2, 1)),
    "strided and padded": Geometry((6, 7, 2), 3, (3, 3), (2, 2), (1, 1)),
    "uncovered edges": Geometry((6, 8, 2), 2, (3, 3), (2, 3)),
    "one pixel, all taps but one outside": Geometry((1, 1, 4), 3, (3, 3), (1, 1), (1, 1)),
    "one column": Geometry((5, 1, 3), 2, (2, 1)),
    "one column, padded beside": Geometry((5, 1, 3), 2, (2, 3), (1, 1), (0, 1)),
    "one row": Geometry((1, 6, 2), 3, (1, 2)),
    "kernel as large as the image": Geometry((4, 3, 2), 3, (4, 3)),
    "kernel as large as the padded image": Geometry((2, 3, 2), 3, (4, 5), (1, 1), (1, 1)),
    "one place, padded above": Geometry((3, 2, 2), 2, (5, 2), (1, 1), (1, 0)),
    "one place across, columns left out": Geometry((5, 5, 2), 2, (3, 3), (1, 3)),
    "1x1 kernel": Geometry((3, 4, 5), 4, (1, 1)),
    "one channel": Geometry((6, 5, 1), 3, (3, 3)),
}


def random_geometry(seed: int) -> Geometry:
    """A small layer of any shape."""
    chance = random.Random(seed)
    while True:
        image = (chance.randint(1, 7), chance.randint(1, 7), chance.randint(1, 5))
        kernel = (chance.randint(1, 4), chance.randint(1, 4))
        stride = (chance.randint(1, kernel[0]), chance.randint(1, kernel[1]))
        padding = (chance.randint(0, kernel[0] - 1), chance.randint(0, kernel[1] - 1))
        try:
            return Geometry(image, chance.randint(1, 6), kernel, stride, padding)
        except ValueError:  # larger than the image
            continue


def random_lanes(geometry: Geometry, seed: int, first: bool = False) -> Lanes:
    """Lanes that this layer can be folded to."""
    chance = random.Random(seed)
    for _ in range(100):
        lanes = Lanes(
            outputs=chance.randint(1, geometry.outputs),
            inputs=chance.randint(1, geometry.row_taps),
            shared=chance.random() < 0.5,
        )
        if can_be(Tiling(geometry, lanes, first)):
            return lanes
    return choices(geometry, first)[-1][1].lanes


def tilings(count: int) -> list[Tiling]:
    """The odd layers in four folds each, then random ones, `count` in all."""
    found = []
    for index in range(count):
        shapes = list(ODD.values())
        geometry = shapes[index // 4] if index < 4 * len(shapes) else random_geometry(index)
        first = index % 3 == 0
        found.append(Tiling(geometry, random_lanes(geometry, index, first), first))
    return found
