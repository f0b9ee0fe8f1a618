"""When what subsampling units send is ready, found element by element."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.units.latency import QUEUE

Cycles = NDArray[np.int64]


def pairs_of(one: Any) -> tuple[list[int], list[int]]:
    """The last kept element of x up to each of y, and the last of dy that is kept up to each of dx.

    Zeros leave behind the element before them.
    """
    x, y = one.unit.inputs[0].shape, one.unit.outputs[0].shape
    down, across = one.unit.stride
    of_x, of_y, kept_x, kept_y = [], [], 0, 0
    for row, column, channel in np.ndindex(y):
        if channel < x[2]:
            kept_x = (row * down * x[1] + column * across) * x[2] + channel
        of_y.append(kept_x)
    for row, column, channel in np.ndindex(x):
        if row % down == column % across == 0:
            kept_y = (row // down * y[1] + column // across) * y[2] + channel
        of_x.append(kept_y)
    return of_y, of_x


def subsampled(one: Any, came: Cycles) -> Cycles:
    """When y could leave: the first one when so many of the kept have come, as the unit says."""
    of_y, _ = pairs_of(one)
    kept = sorted(set(of_y))
    left = came[:, of_y] + QUEUE
    left[:, 0] = came[:, kept[one.numbers.begin - 1]] + QUEUE
    return left
