"""Units without weights in floats."""

from __future__ import annotations

from typing import Any

import numpy as np

from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.floats.weighted import Values, rectified


def pool(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """The largest of each window, or its mean with zeros around the image."""
    unit = stage.unit
    window: dict[str, Any] = {
        "kernel_shape": [*unit.kernel],
        "strides": [*unit.stride],
        "pads": [*unit.padding, *unit.padding],
    }
    if unit.average:
        return (drawing.apply("AveragePool", x, count_include_pad=1, **window),)
    return (drawing.apply("MaxPool", x, **window),)


def tanh(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """The exact one."""
    return (drawing.apply("Tanh", x),)


def fork(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value, ...]:
    """x for each branch."""
    return (x,) * len(stage.unit.outputs)


def rejoin(drawing: Drawing, stage: Any, own: Values, *x: Value) -> tuple[Value]:
    """That of the last copy."""
    return (x[-1],)


def added(drawing: Drawing, stage: Any, own: Values, *x: Value) -> tuple[Value]:
    """The sum of all x."""
    total = x[0]
    for one in x[1:]:
        total = drawing.apply("Add", total, one)
    return (rectified(drawing, total, stage.unit.outputs[0]),)


def subsample(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """Every stride-th pixel, and channels of zeros."""
    numbers = stage.numbers
    (height, width, channels), stride = numbers.image, np.array(numbers.stride)
    ends = np.array([height, width])
    kept = drawing.apply("Slice", x, np.array([0, 0]), ends, np.array([2, 3]), stride)
    more = numbers.outputs - channels
    if not more:
        return (kept,)
    zero = np.array(0, np.float32)
    return (drawing.apply("Pad", kept, np.array([0, 0, 0, 0, 0, more, 0, 0]), zero),)
