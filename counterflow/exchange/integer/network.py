"""The whole network as an integer graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from counterflow.design.graph import Edge
from counterflow.design.network.description import Description
from counterflow.design.parts.geometry import Shape
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.loss import LossStage
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.files import texts_of
from counterflow.exchange.integer.branches import added, fork, rejoin, subsample
from counterflow.exchange.integer.convolution import convolution
from counterflow.exchange.integer.norms import group_norm, norm
from counterflow.exchange.integer.pool import pool
from counterflow.exchange.integer.tanh import tanh
from counterflow.golden.units.state import State

UNITS: Mapping[str, Callable[..., tuple[Value, ...]]] = {
    "convolution": convolution,
    "norm": norm,
    "group_norm": group_norm,
    "pool": pool,
    "tanh": tanh,
    "subsample": subsample,
    "fork": fork,
    "sum": added,
    "rejoin": rejoin,
}
"""What a unit makes of its inputs; a new kind has its function here."""

INPUT, OUTPUT = "samples", "logits"


def integer_model(
    description: Description,
    schedule: Schedule,
    states: Sequence[State],
    metadata: Mapping[str, object],
) -> bytes:
    """An ONNX file whose int64 ``logits`` are those of the golden model with `states`.

    ``samples`` is int64 [batch, channels, height, width] of the input format, or [batch, elements]
    of a network of vectors; scores of heads are ``logits1``, ... by the number of the component.
    The scales of all of them are in the file's metadata.
    """
    drawing, wires = Drawing("input"), {}
    image = description.image
    wires[schedule.graph.source.number] = samples_last(drawing, INPUT, image)
    by_name = {one.name: state for one, state in zip(schedule.stages, states, strict=True)}
    ends: dict[int, tuple[str, Edge]] = {}
    for one in schedule.units:
        inputs = [wires[edge.number] for edge in one.unit.inputs]
        if isinstance(one, LossStage):
            ends[one.unit.head] = drawing.named(inputs[0]), one.unit.inputs[0]
            continue
        drawing.scope = one.name
        outputs = UNITS[one.unit.kind](drawing, one, by_name.get(one.name), *inputs)
        numbers = (edge.number for edge in one.unit.outputs)
        wires.update(zip(numbers, outputs, strict=True))
    names = {f"{OUTPUT}{head or ''}": ends[head] for head in sorted(ends)}
    scales = {INPUT: 2.0**-description.formats.input.frac}
    scales |= {name: 2.0**-edge.x.frac for name, (_, edge) in names.items()}
    outputs_of = {name: (ours, (edge.elements,)) for name, (ours, edge) in names.items()}
    given, texts = {INPUT: shape_of(image)}, texts_of({**metadata, "scales": scales})
    return drawing.model(description.name, given, outputs_of, np.int64, texts)


def shape_of(image: Shape) -> tuple[int, ...]:
    """A sample as PyTorch has it: channels first, or a vector."""
    height, width, channels = image
    return (channels,) if (height, width) == (1, 1) else (channels, height, width)


def samples_last(drawing: Drawing, name: str, image: Shape) -> Any:
    """Samples [batch, elements], channels last."""
    height, width, channels = image
    if (height, width) == (1, 1):
        return name
    last = drawing.apply("Transpose", name, perm=[0, 2, 3, 1])
    return drawing.apply("Reshape", last, np.array([-1, height * width * channels]))
