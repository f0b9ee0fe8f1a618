"""The whole network as an integer graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.parts.geometry import Shape
from counterflow.design.schedule.schedule import Schedule
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.integer.branches import added, fork, rejoin, subsample
from counterflow.exchange.integer.convolution import convolution
from counterflow.exchange.integer.norms import group_norm, norm
from counterflow.exchange.integer.pool import pool
from counterflow.exchange.integer.tanh import tanh
from counterflow.exchange.wires import SAMPLES, Units, drawer, file_of, joined, shape_of
from counterflow.golden.units.state import State

UNITS: Units = {
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
    drawing, image = Drawing("input"), description.image
    by_name = {one.name: state for one, state in zip(schedule.stages, states, strict=True)}

    def draw(one: Any, *inputs: Value) -> tuple[Value, ...]:
        return drawer(UNITS, one.unit)(drawing, one, by_name.get(one.name), *inputs)

    source = {schedule.graph.source.number: _last(drawing, SAMPLES, image)}
    ends = joined(drawing, schedule, source, draw)
    scales = {SAMPLES: 2.0**-description.formats.input.frac}
    scales |= {name: 2.0**-edge.x.frac for name, (_, edge) in ends.items()}
    facts = {**metadata, "scales": scales}
    given = {SAMPLES: shape_of(image)}
    return file_of(drawing, description.name, given, ends, np.int64, facts)


def _last(drawing: Drawing, name: str, image: Shape) -> Value:
    """Samples [batch, elements], channels last."""
    height, width, channels = image
    if (height, width) == (1, 1):
        return name
    last = drawing.apply("Transpose", name, perm=[0, 2, 3, 1])
    return drawing.apply("Reshape", last, np.array([-1, height * width * channels]))
