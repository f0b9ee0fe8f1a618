"""A tanh: the table of hardware, of every number of its input format."""

from __future__ import annotations

from counterflow.design.units.passing import PassingStage
from counterflow.design.units.tanh import Tanh
from counterflow.exchange.drawing import Drawing, Value


def tanh(drawing: Drawing, stage: PassingStage, state: None, x: Value) -> tuple[str]:
    """y of x, [batch, elements] both."""
    numbers: Tanh = stage.numbers
    places = drawing.apply("Sub", x, numbers.x.min)
    return (drawing.apply("Gather", numbers.every_y, places, axis=0),)
