"""What a unit's walk visits, by a derivation of its own: layers to try, and their visits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

from counterflow.design.parts.geometry import Geometry
from counterflow.design.schedule.planner import plan
from counterflow.design.units.slots import Stage
from counterflow.design.units.tiling import Lanes
from counterflow.hw.weighted.place import DECISIVE, shapes_of
from counterflow.hw.weighted.walk import Walk
from counterflow.sim.shapes import ODD, network, random_lanes
from counterflow.sim.streams import respond

CONDITIONS = ("words", "returning", "error_ready", "row_room", "line_room", "hold")
MEMBERS = {  # of the walk, by what they are called here; of others it is `now` that has them
    "words": "words.arrived",
    "word": "words.more",
    "returning": "slot.returning",
    "hold": "state.hold",
    "idle": "state.idle",
    "stalled": "state.stalled",
}
Columns = dict[str, list[int]]
Layer = tuple[Geometry, Lanes]


def lanes_of(outputs: int, inputs: int, shared: bool = False) -> Lanes:
    return Lanes(outputs=outputs, inputs=inputs, shared=shared)


DENSE = Geometry.dense(5, 4)
SMALL = Geometry((2, 3, 2), 2, (2, 2))
LAYERS: dict[str, Layer] = {
    "2x2": (DENSE, lanes_of(2, 2)),
    "1x2 shared": (DENSE, lanes_of(1, 2, True)),
    "4x1": (DENSE, lanes_of(4, 1)),
    "1x5": (DENSE, lanes_of(1, 5)),
    "4x5": (DENSE, lanes_of(4, 5)),
    "4x5 shared": (DENSE, lanes_of(4, 5, True)),
    "small image": (SMALL, lanes_of(1, 3)),
    "small image, shared": (SMALL, lanes_of(2, 4, True)),
}
IMAGES: dict[str, Layer] = {
    name: (geometry, random_lanes(geometry, seed))
    for seed, (name, geometry) in enumerate(ODD.items())
}


@lru_cache
def stage_of(layer: Layer, threshold: int = 2) -> Stage:
    """A second unit of this kind; its slot may start with the word number `threshold`."""
    geometry, lanes = layer
    high, wide, channels = geometry.image
    shape = {name: list(getattr(geometry, name)) for name in ("kernel", "stride", "padding")}
    layers = [
        {"kind": "convolution", "outputs": channels, "kernel": [1, 1]},
        {"kind": "convolution", "outputs": geometry.outputs, **shape},
    ]
    one = Lanes(outputs=1, inputs=1)
    fold = {"lanes": [lane.model_dump() for lane in (one, lanes, one)]}
    stage = plan(network((high, wide, 1), layers, fold=fold)).schedule.stages[1]
    assert stage.tiling.geometry == geometry
    return replace(stage, threshold=min(threshold, stage.tiling.image_words))


class Visit(NamedTuple):
    """One cycle of a slot."""

    down: int
    across: int
    row: int
    kernel_row: int
    part: int
    phase: int


def visits(stage: Stage) -> list[Visit]:
    """All of a slot, in order."""
    tiling, geometry = stage.tiling, stage.tiling.geometry
    kernel_rows = tiling.columns // tiling.parts  # those that see nothing, too
    counts = (tiling.rows, kernel_rows, tiling.parts, tiling.phases)
    return [Visit(*where) for where in product(*map(range, (*geometry.places, *counts)))]


def seen_by(stage: Stage, where: Visit) -> tuple[int, list[int]]:
    """(row of the image, granules of it from left to right) under the taps of a tile."""
    tiling, geometry = stage.tiling, stage.tiling.geometry
    y = where.down * geometry.stride[0] - geometry.padding[0] + where.kernel_row
    x = (where.across * geometry.stride[1] - geometry.padding[1]) * geometry.channels
    first = (x + where.part * tiling.lanes.inputs) // tiling.granule
    return y, list(range(first, first + tiling.banks))


def driven(
    stage: Stage, interval: int, columns: Columns, outputs: Sequence[str]
) -> list[tuple[int, ...]]:
    """`outputs` of the walk in each cycle, with these conditions.

    What it says of a place in the cycle after is that of this one here.
    """
    inputs = {MEMBERS.get(name, name): [*values, values[-1]] for name, values in columns.items()}
    late = [name in shapes_of(stage) and name not in DECISIVE for name in outputs]
    members = [
        MEMBERS.get(name, f"place.{name}" if later else f"now.{name}")
        for name, later in zip(outputs, late, strict=True)
    ]
    seen = respond(Walk(stage=stage, interval=interval), inputs, members)
    return [
        tuple((after if later else now)[index] for index, later in enumerate(late))
        for now, after in pairwise(seen)
    ]


def always_open(stage: Stage, cycles: int) -> Columns:
    """Nothing ever keeps the walk waiting, and a token comes back in every slot."""
    columns: Columns = {name: [1] * cycles for name in CONDITIONS}
    return columns | {"words": [2 * stage.tiling.image_words] * cycles, "hold": [0] * cycles}
