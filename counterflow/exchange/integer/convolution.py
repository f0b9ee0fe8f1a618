"""A unit with weights: windows by constant indices, times the weights as multipliers see them."""

from __future__ import annotations

from typing import Any

from counterflow.design.units.slots import Stage
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.integer.images import gathered, shaped
from counterflow.exchange.integer.rounding import narrow, rectified
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.parts.narrow import narrow as narrowed
from counterflow.golden.units.convolution import UnitState


def operands(stage: Stage, state: Any) -> tuple[Integers, Integers]:
    """Weights [outputs, taps] as multipliers see them, and biases [outputs] as they are added."""
    numbers = stage.arithmetic
    frac, rounding = numbers.weight.frac, numbers.round_operand
    weight, _ = narrowed(state.weight, frac, numbers.operand, rounding)
    bias, _ = narrowed(state.bias, frac, numbers.bias_operand, rounding)
    return weight, bias


def convolution(drawing: Drawing, stage: Stage, state: UnitState, x: Value) -> tuple[str]:
    """y of x, [batch, inputs] to [batch, elements]."""
    numbers, geometry = stage.arithmetic, stage.tiling.geometry
    operand, bias = operands(stage, state)
    if numbers.rectifies:
        x = rectified(drawing, x)
    if geometry.positions > 1 or geometry.taps != geometry.inputs:
        x = gathered(drawing, x, geometry.covered, geometry.inputs, 0)
    else:
        x = shaped(drawing, x, 1, geometry.taps)
    sums = drawing.apply("Add", drawing.apply("MatMul", x, operand.T.copy()), bias)
    if numbers.relu:
        sums = rectified(drawing, sums)
    y = narrow(drawing, sums, numbers.forward_sum.frac, numbers.y, numbers.round_activation)
    return (shaped(drawing, y, geometry.elements),)
