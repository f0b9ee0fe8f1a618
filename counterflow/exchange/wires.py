"""What graphs of integers and of floats have in common: their ends, and how units are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from counterflow.design.graph import Edge, Unit
from counterflow.design.network.ends import TARGETS
from counterflow.design.parts.geometry import Shape
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.losses import LossStage
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.files import texts_of

SAMPLES, LOGITS = "samples", "logits"  # the names of what goes in and comes out

Units = Mapping[str, Callable[..., tuple[Value, ...]]]
"""What a unit of each kind makes of its inputs."""

Ends = dict[str, tuple[str, Edge]]
"""The scores of the network, then those of heads: names in the graph, and their edges."""


def drawer(units: Units, unit: Unit) -> Callable[..., tuple[Value, ...]]:
    """What draws `unit`; ValueError, one sentence, for a kind that nothing draws yet."""
    if unit.kind not in units:
        raise ValueError(
            f"{unit.where}: units of the kind {unit.kind} cannot be exported to ONNX yet; "
            "safetensors and npz are possible"
        )
    return units[unit.kind]


def joined(
    drawing: Drawing,
    schedule: Schedule,
    wires: dict[int, Value],
    draw: Callable[..., tuple[Value, ...]],
) -> Ends:
    """All units drawn by `draw`, which gets one and its inputs; ``wires``: the source, by edge.

    A graph has no losses, and so no targets: what comes in is what the first layer gets.
    """
    ends: dict[int, tuple[str, Edge]] = {}
    for one in schedule.units:
        if one.name == TARGETS:
            wires[one.unit.outputs[0].number] = wires.pop(one.unit.inputs[0].number)
            continue
        if isinstance(one, LossStage):
            scores = one.unit.inputs[0]
            ends[one.unit.head] = drawing.named(wires[scores.number]), scores
            continue
        inputs = [wires[edge.number] for edge in one.unit.inputs]
        drawing.scope = one.name
        numbers = (edge.number for edge in one.unit.outputs)
        wires.update(zip(numbers, draw(one, *inputs), strict=True))
    return {f"{LOGITS}{head or ''}": ends[head] for head in sorted(ends)}


def shape_of(image: Shape) -> tuple[int, ...]:
    """A sample as PyTorch has it: channels first, or a vector."""
    height, width, channels = image
    return (channels,) if (height, width) == (1, 1) else (channels, height, width)


def file_of(
    drawing: Drawing,
    name: str,
    inputs: Mapping[str, tuple[int, ...]],
    ends: Ends,
    kind: type[np.generic],
    metadata: Mapping[str, Any],
) -> bytes:
    """The finished graph."""
    outputs = {given: (ours, (edge.elements,)) for given, (ours, edge) in ends.items()}
    return drawing.model(name, inputs, outputs, kind, texts_of(metadata))
