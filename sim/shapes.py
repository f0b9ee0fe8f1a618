"""Layers of all shapes, for tests: odd ones by name, and any number of random ones."""

from __future__ import annotations

import random
from typing import Any

from counterflow.design.network.description import Description
from counterflow.design.parts.geometry import Geometry, Shape
from counterflow.design.schedule.folding import choices
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import can_be

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


def network(
    image: tuple[int, int, int] | int, layers: list[dict[str, Any]], **fields: Any
) -> Description:
    """A description of these layers and a last dense one of three classes behind them."""
    last = {"outputs": 3, "activation": "none"}
    inputs = image if isinstance(image, int) else list(image)
    plain = {"name": "net", "dataset": "synthetic", "inputs": inputs, "layers": [*layers, last]}
    return Description.model_validate({**plain, **fields})


def random_network(seed: int, **fields: Any) -> Description:
    """A small chain of convolutions, pools and dense layers; every other one folded to be fast."""
    chance = random.Random(seed)
    image = (chance.randint(2, 9), chance.randint(2, 9), chance.randint(1, 3))
    layers: list[dict[str, Any]] = []
    shape = image
    for _ in range(chance.randint(1, 5)):
        layers.append(_random_layer(chance, shape, first=not layers))
        shape = network(image, layers).graph.units[-3].outputs[0].shape
    found = network(image, layers, **fields)
    shapes = [unit.geometry for unit in found.weighted]
    lanes = [random_lanes(one, seed + index, index == 0) for index, one in enumerate(shapes)]
    if seed % 2:
        lanes = [choices(one, one is shapes[0])[0][1].lanes for one in shapes]
    fold = {"lanes": [one.model_dump() for one in lanes]}
    return network(image, layers, **fields, fold=fold)


def _random_layer(chance: random.Random, image: Shape, *, first: bool) -> dict[str, Any]:
    """One that an image of this shape can pass."""
    pools = [
        (high, wide)
        for high in (1, 2, 3)
        for wide in (1, 2, 3)
        if high * wide > 1 and image[0] % high == image[1] % wide == 0
    ]
    if pools and not first and chance.random() < 0.5:
        kernel = chance.choice(pools)
        average = kernel[0] * kernel[1] in (2, 4) and chance.random() < 0.5
        return {"kind": "average-pool" if average else "max-pool", "kernel": list(kernel)}
    if chance.random() < 0.2:
        return {"outputs": chance.randint(1, 6)}
    padding = (chance.randint(0, 1), chance.randint(0, 1))
    high, wide = (
        chance.randint(more + 1, max(more + 1, min(3, size + 2 * more)))
        for size, more in zip(image, padding, strict=False)
    )
    return {
        "kind": "convolution",
        "outputs": chance.randint(1, 5),
        "kernel": [high, wide],
        "stride": [chance.randint(1, high), chance.randint(1, wide)],
        "padding": list(padding),
    }
