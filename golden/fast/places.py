"""Where the tokens at each edge stand in the memory of `golden.fast.chain`.

Activations stand as their reader wants them: a unit with weights keeps those of `longest` + 1
tokens, with the zeros around them; others use a token's at once.  Gradients wait for as long as
they pass their maker in a later slot than whoever sent them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.scheduled import Scheduled
from counterflow.design.units.slots import Stage


@dataclass(frozen=True)
class Place:
    """A ring of `depth` tokens from `start` on, `size` words each.

    The first element of a token stands `origin` words behind its start, and rows are `pitch` words
    apart.
    """

    start: int
    depth: int
    size: int
    origin: int
    pitch: int


@dataclass(frozen=True)
class Places:
    """Those of the activations and of the gradients at each edge, by its number and by the loss.

    ``activations`` and ``gradients`` count the words that all of them take; ``passed`` counts the
    slots after which a token's gradient passes each unit, by its name and the loss.
    """

    forward: Mapping[int, Place]
    back: Mapping[tuple[int, int], Place]
    passed: Mapping[tuple[str, int], int]
    activations: int
    gradients: int


def places(schedule: Schedule) -> Places:
    """Those of a schedule."""
    forward: dict[int, Place] = {}
    back: dict[tuple[int, int], Place] = {}
    activations = gradients = 0
    edges = {edge.number: edge for edge in schedule.graph.edges}
    readers = {edge.number: unit for unit in schedule.units for edge in unit.unit.inputs}
    makers = {edge.number: unit for unit in schedule.units for edge in unit.unit.outputs}
    passed = _passed(schedule, readers)
    # Those of units with weights first, one behind the other: they are used most.
    for number in sorted(edges, key=lambda one: not isinstance(readers[one], Stage)):
        depth, size, origin, pitch = _as_read(edges[number].shape, readers[number])
        forward[number] = Place(activations, depth, size, origin, pitch)
        activations += depth * size
    for number, edge in edges.items():
        for path in edge.paths:
            maker, reader = makers[number].name, readers[number].name
            depth = passed[maker, path] - passed[reader, path] + 1
            back[number, path] = Place(gradients, depth, edge.elements, 0, 0)
            gradients += depth * edge.elements
    return Places(forward, back, passed, activations, gradients)


def _passed(schedule: Schedule, readers: Mapping[int, Scheduled]) -> dict[tuple[str, int], int]:
    """The slots after which a token's gradient passes each unit, of each loss.

    In a unit with weights that is its delay; others send it back in the slot in which it has come,
    but a norm not before that whose update the token must see, which is two before its own.
    """
    found: dict[tuple[str, int], int] = {}
    for unit in reversed(schedule.units):
        edges = (*unit.unit.inputs, *unit.unit.outputs)
        for path in {path for edge in edges for path in edge.paths}:
            came = [
                found[readers[edge.number].name, path]
                for edge in unit.unit.outputs
                if path in edge.paths
            ]
            if isinstance(unit, NormalStage):
                came.append(unit.delay - 2)
            found[unit.name, path] = max(came, default=0)
        if isinstance(unit, Stage):
            delays = (*(one.delay for one in unit.asides), unit.delay)
            paths = unit.unit.outputs[0].paths
            delays = delays if paths else ()
            found |= {(unit.name, path): delay for path, delay in zip(paths, delays, strict=True)}
    return found


def _as_read(shape: tuple[int, int, int], reader: Scheduled) -> tuple[int, int, int, int]:
    """(depth, size, origin, pitch) of images of this shape for a unit."""
    row, size = shape[1] * shape[2], shape[0] * shape[1] * shape[2]
    if not isinstance(reader, Stage):
        return 1, size, 0, row
    geometry = reader.tiling.geometry
    margin = geometry.padding[1] * geometry.channels
    line = geometry.row_inputs + 2 * margin
    size = line * (geometry.image[0] + 2 * geometry.padding[0])
    pitch = row + 2 * margin if geometry.image == shape else row  # perhaps it is flattened
    return reader.longest + 1, size, geometry.padding[0] * line + margin, pitch
