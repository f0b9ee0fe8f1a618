"""Layers with weights and norms in floats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.graph import Edge
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.tensors import is_dense

Values = Mapping[str, NDArray[Any]]
"""The parameters of a unit by their names in its module."""


def convolution(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """A convolution, or a dense layer, with its ReLU."""
    geometry = stage.unit.geometry
    weight, bias = (own[one].astype(np.float32) for one in ("weight", "bias"))
    if is_dense(stage.unit):
        flat = drawing.apply("Flatten", x, axis=1)
        sums = drawing.apply("Gemm", flat, weight, bias, transB=1)
    else:
        pads = [*geometry.padding, *geometry.padding]
        sums = drawing.apply("Conv", x, weight, bias, strides=[*geometry.stride], pads=pads)
    return (rectified(drawing, sums, stage.unit.outputs[0]),)


def norm(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """With the statistics as training left them."""
    unit = stage.unit
    names = ("weight", "bias", "running_mean", "running_var")
    values = [own[one].astype(np.float32) for one in names]
    y = drawing.apply("BatchNormalization", x, *values, epsilon=float(epsilon(unit)))
    return (rectified(drawing, y, unit.outputs[0]),)


def group_norm(drawing: Drawing, stage: Any, own: Values, x: Value) -> tuple[Value]:
    """With the statistics of each image's groups."""
    unit, numbers = stage.unit, stage.numbers
    height, width, channels = unit.inputs[0].shape
    flat = drawing.apply("Reshape", x, np.array([0, numbers.groups, -1]))
    ones, zeros = np.ones(numbers.groups, np.float32), np.zeros(numbers.groups, np.float32)
    y = drawing.apply("InstanceNormalization", flat, ones, zeros, epsilon=float(epsilon(unit)))
    image = drawing.apply("Reshape", y, np.array([-1, channels, height, width]))
    wide = (channels, 1, 1)
    scaled = drawing.apply("Mul", image, own["weight"].astype(np.float32).reshape(wide))
    shifted = drawing.apply("Add", scaled, own["bias"].astype(np.float32).reshape(wide))
    return (rectified(drawing, shifted, unit.outputs[0]),)


def epsilon(unit: Any) -> float:
    """What is added to a variance: a squared last place of what is normalised."""
    return 4.0 ** -int(unit.inputs[0].x.frac)


def rectified(drawing: Drawing, x: Value, edge: Edge) -> Value:
    """`x`, or its ReLU where the edge behind comes from one."""
    return drawing.apply("Relu", x) if edge.rectified else x
