"""Pooling in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.units.pool import PoolUnit
from counterflow.design.units.windows import Windows
from counterflow.golden.reference.rules import Floats


class Pool:
    """The maximum or average of each of `windows`; beyond the image an average counts zeros.

    ``masks``: the layer below ends in a ReLU, whose derivative an average applies to dx (after a
    maximum, whoever takes its output does).  ``wanted``: somebody wants dx.
    """

    def __init__(
        self, windows: Windows, *, average: bool, masks: bool, wanted: bool = True
    ) -> None:
        self.windows = windows
        self.average, self.masks, self.wanted = average, masks, wanted
        self.inputs: dict[int, Floats] = {}

    @classmethod
    def of(cls, unit: PoolUnit) -> Pool:
        """That of a unit of the graph."""
        edge = unit.inputs[0]
        return cls(unit.windows, average=unit.average, masks=edge.rectified, wanted=edge.wanted)

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; shapes [inputs] to [outputs]."""
        if self.wanted:
            self.inputs[slot] = x
        windows = self._windows(x)
        found: Floats = windows.mean(axis=1) if self.average else windows.max(axis=1)
        return found

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`, which is forgotten; shapes [outputs] to [inputs].

        A maximum hands dy to the first of equals, in raster order of its window.
        """
        x = self.inputs.pop(token)
        windows = self._windows(x)
        if self.average:
            shares = np.repeat(dy[:, None] / windows.shape[1], windows.shape[1], axis=1)
        else:
            shares = np.zeros_like(windows)
            np.put_along_axis(shares, windows.argmax(axis=1, keepdims=True), dy[:, None], axis=1)
        dx = np.zeros(len(x) + 1)
        np.add.at(dx, self.windows.covered.ravel(), shares.ravel())
        return dx[:-1] * (x > 0) if self.average and self.masks else dx[:-1]

    def _windows(self, x: Floats) -> Floats:
        """The elements of each window; shape [inputs] to [outputs, elements]."""
        found: Floats = np.append(x, 0.0 if self.average else -np.inf)[self.windows.covered]
        return found
