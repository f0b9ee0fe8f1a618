"""Pooling in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.parts.geometry import Geometry, Shape
from counterflow.design.units.pool import PoolUnit
from counterflow.golden.reference.rules import Floats


class Pool:
    """Windows of `kernel` side by side in images of shape `image`: their maximum or average.

    ``masks``: the layer below ends in a ReLU, whose derivative an average applies to dx (after a
    maximum, whoever takes its output does).
    """

    def __init__(
        self, image: Shape, kernel: tuple[int, int], *, average: bool, masks: bool
    ) -> None:
        self.geometry = Geometry(image, 1, kernel, kernel)  # of which only the windows are used
        self.average, self.masks = average, masks
        self.inputs: dict[int, Floats] = {}

    @classmethod
    def of(cls, unit: PoolUnit) -> Pool:
        """That of a unit of the graph."""
        edge = unit.inputs[0]
        return cls(edge.shape, unit.kernel, average=unit.average, masks=edge.rectified)

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; shapes [inputs] to [outputs]."""
        self.inputs[slot] = x
        windows = self._windows(x)
        return (windows.mean(axis=1) if self.average else windows.max(axis=1)).ravel()

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`, which is forgotten; shapes [outputs] to [inputs].

        A maximum hands dy to the first of equals, in raster order of its window.
        """
        x = self.inputs.pop(token)
        windows = self._windows(x)
        values = dy.reshape(len(windows), 1, -1)
        if self.average:
            shares = np.broadcast_to(values / windows.shape[1], windows.shape)
        else:
            shares = np.zeros_like(windows)
            np.put_along_axis(shares, windows.argmax(axis=1, keepdims=True), values, axis=1)
        dx = self.geometry.scattered(shares.reshape(len(windows), -1))
        return dx * (x > 0) if self.average and self.masks else dx

    def _windows(self, x: Floats) -> Floats:
        """The elements of each window; shape [inputs] to [positions, elements, channels]."""
        positions, channels = self.geometry.positions, self.geometry.channels
        return self.geometry.gathered(x).reshape(positions, -1, channels)
