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
    "1x1 kernel, every second pixel": Geometry((6, 5, 3), 4, (1, 1), (2, 2)),
    "2x2 kernel, stride 3": Geometry((8, 7, 2), 3, (2, 2), (3, 3)),
    "rows between windows left out": Geometry((7, 4, 3), 2, (1, 2), (3, 1)),
    "columns between windows left out": Geometry((4, 9, 2), 3, (2, 1), (1, 4)),
    "padded, rows and columns left out": Geometry((7, 8, 2), 2, (2, 3), (3, 4), (1, 2)),
    "one pixel of many": Geometry((4, 5, 3), 2, (1, 1), (5, 6)),
    "1x1 kernel": Geometry((3, 4, 5), 4, (1, 1)),
    "one channel": Geometry((6, 5, 1), 3, (3, 3)),
}


def random_geometry(seed: int) -> Geometry:
    """A small layer of any shape."""
    chance = random.Random(seed)
    while True:
        image = (chance.randint(1, 7), chance.randint(1, 7), chance.randint(1, 5))
        kernel = (chance.randint(1, 4), chance.randint(1, 4))
        most = (max(kernel[0], seed % 4), max(kernel[1], seed % 5))  # larger than the kernel, too
        stride = (chance.randint(1, most[0]), chance.randint(1, most[1]))
        padding = (chance.randint(0, kernel[0] - 1), chance.randint(0, kernel[1] - 1))
        try:
            return Geometry(image, chance.randint(1, 6), kernel, stride, padding)
        except ValueError:  # larger than the image
            continue


def random_lanes(geometry: Geometry, seed: int, first: bool = False) -> Lanes:
    """Lanes that this layer can be folded to."""
    chance = random.Random(seed)
    for _ in range(100):
        high, wide = chance.randint(1, geometry.outputs), chance.randint(1, geometry.row_taps)
        shared = chance.random() < 0.5
        in_luts = seed % (high * wide + 1)  # of no consequence for what they compute
        lanes = Lanes(outputs=high, inputs=wide, shared=shared, in_luts=in_luts)
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


def random_network(seed: int, *, sliding: bool = False, **fields: Any) -> Description:
    """A small chain of convolutions, pools and dense layers; every other one folded to be fast.

    Windows of its pools lie side by side, or anyhow if they are `sliding`.
    """
    chance = random.Random(seed)
    image = (chance.randint(2, 9), chance.randint(2, 9), chance.randint(1, 3))
    layers: list[dict[str, Any]] = []
    shape = image
    for _ in range(chance.randint(1, 5)):
        pools = _sliding_pool(chance, shape) if sliding and layers else None
        layers.append(pools or _random_layer(chance, shape, first=not layers))
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
    if not first and chance.random() < 0.15:
        return _random_subsample(chance, image)
    if chance.random() < 0.2:
        return {"outputs": chance.randint(1, 6)}
    padding = (chance.randint(0, 1), chance.randint(0, 1))
    high, wide = (
        chance.randint(more + 1, max(more + 1, min(3, size + 2 * more)))
        for size, more in zip(image, padding, strict=False)
    )
    further = 2 * (chance.random() < 0.3)  # pixels between windows may be left out
    return {
        "kind": "convolution",
        "outputs": chance.randint(1, 5),
        "kernel": [high, wide],
        "stride": [chance.randint(1, high + further), chance.randint(1, wide + further)],
        "padding": list(padding),
    }


def _random_subsample(chance: random.Random, image: Shape) -> dict[str, Any]:
    """One that drops pixels, adds channels, or both."""
    stride = [chance.randint(1, min(3, size)) for size in image[:2]]
    if stride != [1, 1] and chance.random() < 0.3:
        return {"kind": "subsample", "stride": stride}
    return {"kind": "subsample", "stride": stride, "outputs": image[2] + chance.randint(1, 3)}


def _sliding_pool(chance: random.Random, image: Shape) -> dict[str, Any] | None:
    """One that an image of this shape can pass; at times none."""
    kind = {"kind": chance.choice(["max-pool", "average-pool"])}
    if chance.random() < 0.1 and image[:2] != (1, 1):
        return {**kind, "kernel": "all"}
    kernel, stride = ([chance.randint(1, 3) for _ in range(2)] for _ in range(2))
    padding = [chance.randint(0, one - 1) for one in kernel]
    larger = zip(kernel, image, padding, strict=False)
    if chance.random() < 0.3 or kernel == [1, 1] or any(k > n + 2 * p for k, n, p in larger):
        return None
    return {**kind, "kernel": kernel, "stride": stride, "padding": padding}


def random_branches(seed: int, **fields: Any) -> Description:
    """A small network with residual layers, one in the other, of everything that there is."""
    chance = random.Random(seed)
    image = (chance.randint(3, 7), chance.randint(3, 7), chance.randint(1, 2))
    layers: list[dict[str, Any]] = []
    shape, depth = image, chance.randint(1, 3)
    if chance.random() < 0.7:
        layers.append(_random_layer(chance, shape, first=True))
        shape = _behind(image, layers)
    for _ in range(chance.randint(1, 2)):
        layers.append(_random_residual(chance, shape, depth, first=not layers))
        shape = _behind(image, layers)
        if chance.random() < 0.4:
            layers.append({"outputs": chance.randint(2, 5)})
            shape = _behind(image, layers)
    fields.setdefault("formats", {"activation": "s9.4"})
    found = network(image, layers, **fields)
    if seed % 2:
        return found
    shapes = [unit.geometry for unit in found.weighted]
    lanes = [random_lanes(one, seed + index, index == 0) for index, one in enumerate(shapes)]
    return network(image, layers, **fields, fold={"lanes": [one.model_dump() for one in lanes]})


def _behind(image: Shape, layers: list[dict[str, Any]]) -> Shape:
    """The shape of what `layers` make of an image, wherever in a network they stand."""
    formats = {"activation": "s9.4"}
    before = {"kind": "convolution", "outputs": image[2], "kernel": 1}
    return network(image, [before, *layers], formats=formats).graph.units[-2].inputs[0].shape


def _random_residual(
    chance: random.Random, image: Shape, depth: int, *, first: bool = False
) -> dict[str, Any]:
    """One that an image of this shape can pass: its shortcut leads to where its body does."""
    body = _random_chain(chance, image, depth, first)
    if all(_learns_nothing(layer) for layer in body):
        body.append(_shaped(chance, _behind(image, body) if body else image))
    target = _behind(image, body)
    shortcut: list[dict[str, Any]] = []
    if target != image or chance.random() < 0.3:
        shortcut = _random_chain(chance, image, depth - 1, first) if chance.random() < 0.5 else []
        shape = _behind(image, shortcut) if shortcut else image
        shortcut.append(_leading(chance, shape, target))
        steps = [-(-size // wanted) for size, wanted in zip(shape, target, strict=True)]
        thinned = all(-(-shape[axis] // steps[axis]) == target[axis] for axis in (0, 1))
        if thinned and target[2] >= shape[2] and shape != target and chance.random() < 0.5:
            shortcut[-1] = {"kind": "subsample", "stride": steps[:2], "outputs": target[2]}
        if chance.random() < 0.3:
            shortcut.append({"kind": "residual", "body": [_shaped(chance, target)]})
    formats = {}
    if chance.random() < 0.5:
        formats = {"activation": chance.choice(["s8.3", "s10.6"]), "error": "s9.7"}
    return {"kind": "residual", "body": body, "shortcut": shortcut, "formats": formats}


def _random_chain(
    chance: random.Random, image: Shape, depth: int, first: bool
) -> list[dict[str, Any]]:
    """Layers of a branch, some of them residual ones that nest at most `depth` deep."""
    layers: list[dict[str, Any]] = []
    shape = image
    for _ in range(chance.randint(0, 2)):
        if depth > 0 and chance.random() < 0.4:
            layers.append(_random_residual(chance, shape, depth - 1, first=first and not layers))
        else:
            layer = _random_layer(chance, shape, first=first and not layers)
            layers.append(_activated(chance, layer))
        shape = _behind(image, layers)
    return layers


def _learns_nothing(layer: dict[str, Any]) -> bool:
    """Whether it is a layer without weights, and so without an activation."""
    return "pool" in layer.get("kind", "dense") or layer.get("kind") == "subsample"


def _activated(chance: random.Random, layer: dict[str, Any]) -> dict[str, Any]:
    """`layer` with a ReLU, a tanh, or nothing behind it."""
    if _learns_nothing(layer):
        return layer
    variants: tuple[dict[str, Any], ...] = (
        {},
        {"activation": "none"},
        {"activation": "tanh", "formats": {"activation": "s8.7"}},
        {"formats": {"activation": "u8.5", "error": "s10.6"}},
    )
    return {**layer, **chance.choice(variants)}


def _shaped(chance: random.Random, image: Shape) -> dict[str, Any]:
    """A convolution that keeps the shape."""
    kernel = [chance.choice((1, 3)), chance.choice((1, 3))]
    padding = [one // 2 for one in kernel]
    layer = {"kind": "convolution", "outputs": image[2], "kernel": kernel, "padding": padding}
    return _activated(chance, layer)


def _leading(chance: random.Random, image: Shape, target: Shape) -> dict[str, Any]:
    """A convolution from one shape to another, padded where that is larger."""
    kernel, stride, padding = [], [], []
    for size, wanted in zip(image[:2], target[:2], strict=True):
        fits = [
            (reach, step, edge)
            for reach in range(1, size + 8)
            for step in range(1, reach + 2)
            for edge in range(reach)
            if size + 2 * edge >= reach and (size + 2 * edge - reach) // step + 1 == wanted
        ]
        one = chance.choice(fits[:6])
        kernel.append(one[0])
        stride.append(one[1])
        padding.append(one[2])
    layer = {"kind": "convolution", "kernel": kernel, "stride": stride, "padding": padding}
    return _activated(chance, {**layer, "outputs": target[2]})
