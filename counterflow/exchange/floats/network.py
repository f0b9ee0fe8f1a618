"""The whole network as a graph of floats."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.schedule.schedule import Schedule
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.floats.passing import added, fork, pool, rejoin, subsample, tanh
from counterflow.exchange.floats.weighted import convolution, group_norm, norm
from counterflow.exchange.tensors import Tensors, module_of
from counterflow.exchange.wires import SAMPLES, Ends, Units, drawer, file_of, joined, shape_of
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


def float_model(
    description: Description,
    schedule: Schedule,
    states: Sequence[State],
    metadata: Mapping[str, object],
) -> bytes:
    """An ONNX file with the weights of `states` and no rounding.

    ``samples`` is float32 [batch, channels, height, width] or [batch, elements], ``logits`` float32
    [batch, classes].  The metadata have the format of what each unit gives, and of its weights as
    multipliers see them.
    """
    drawing, tensors = Drawing(), Tensors(schedule)
    parameters = _parameters(tensors, states)

    def draw(one: Any, *inputs: Value) -> tuple[Value, ...]:
        return drawer(UNITS, one.unit)(drawing, one, parameters[module_of(one.unit)], *inputs)

    source = schedule.graph.source.number
    ends: Ends = joined(drawing, schedule, {source: SAMPLES}, draw)
    activations = {
        one.name: str(one.unit.outputs[0].x) for one in schedule.units if one.unit.outputs
    }
    operands = {one.name: str(one.arithmetic.operand) for one in schedule.weighted}
    facts = {
        **metadata,
        "formats": {"samples": str(description.formats.input), **activations},
        "operands": operands,
    }
    given = {SAMPLES: shape_of(description.image)}
    return file_of(drawing, description.name, given, ends, np.float32, facts)


def _parameters(tensors: Tensors, states: Sequence[State]) -> Mapping[str, dict[str, NDArray[Any]]]:
    """By module and leaf."""
    found: dict[str, dict[str, NDArray[Any]]] = defaultdict(dict)
    for one in tensors.by_name.values():
        found[one.module][one.leaf] = one.values(states)
    for name, count in tensors.ones.items():
        found[name.removesuffix(".weight")]["weight"] = np.ones(count, np.float32)
    return found
