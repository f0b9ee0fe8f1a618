"""A pool: the largest of each window, or its sum divided as hardware divides."""

from __future__ import annotations

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.pooling import Pooling
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.integer.images import gathered
from counterflow.exchange.integer.rounding import narrow


def pool(drawing: Drawing, stage: PassingStage, state: None, x: Value) -> tuple[str]:
    """y of x, [batch, inputs] to [batch, outputs]."""
    numbers: Pooling = stage.numbers
    beyond = 0 if numbers.average else numbers.x.min - 1  # less than any element
    windows = gathered(drawing, x, numbers.windows.covered, numbers.inputs, beyond)
    if not numbers.average:
        return (drawing.apply("ReduceMax", windows, axes=[2], keepdims=0),)
    sums, by = drawing.apply("ReduceSum", windows, np.array([2]), keepdims=0), numbers.mean
    product = drawing.apply("Add", drawing.apply("Mul", sums, by.multiplier), by.offset)
    return (narrow(drawing, product, numbers.x.frac + by.shift, numbers.x, by.rounding),)
