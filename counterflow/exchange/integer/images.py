"""Elements of images taken by constant indices."""

from __future__ import annotations

import numpy as np

from counterflow.design.parts.geometry import Indices
from counterflow.exchange.drawing import Drawing, Value


def gathered(drawing: Drawing, x: Value, places: Indices, elements: int, beyond: int) -> str:
    """x [batch, elements] at `places`, `beyond` where these are -1; [batch, *places]."""
    if (places < 0).any():
        x = drawing.apply("Pad", x, np.array([0, 0, 0, 1]), beyond)
        places = np.where(places < 0, elements, places)
    return drawing.apply("Gather", x, places, axis=1)


def shaped(drawing: Drawing, x: Value, *shape: int) -> str:
    """`x` as [batch, *shape]."""
    return drawing.apply("Reshape", x, np.array([-1, *shape]))
