"""Subsampling in float64."""

from __future__ import annotations

import numpy as np

from counterflow.design.parts.geometry import Shape
from counterflow.design.units.subsample import SubsampleUnit
from counterflow.golden.reference.rules import Floats


class Subsample:
    """Pixels `stride` apart of images of shape `image`, with zeros up to `outputs` channels."""

    def __init__(self, image: Shape, stride: tuple[int, int], outputs: int) -> None:
        self.image, self.outputs = image, outputs
        height, width, channels = image
        pixels = [
            row * width + column
            for row in range(0, height, stride[0])
            for column in range(0, width, stride[1])
        ]
        self.pixels, self.channels = np.array(pixels), channels

    @classmethod
    def of(cls, unit: SubsampleUnit) -> Subsample:
        """That of a unit of the graph."""
        return cls(unit.inputs[0].shape, unit.stride, unit.outputs[0].shape[2])

    def forward(self, slot: int, x: Floats) -> Floats:
        """y of token `slot`; shapes [inputs] to [outputs]."""
        y = np.zeros((len(self.pixels), self.outputs))
        y[:, : self.channels] = x.reshape(-1, self.channels)[self.pixels]
        return y.ravel()

    def backward(self, token: int, dy: Floats) -> Floats:
        """dx of `token`; shapes [outputs] to [inputs]."""
        dx = np.zeros((self.image[0] * self.image[1], self.channels))
        dx[self.pixels] = dy.reshape(-1, self.outputs)[:, : self.channels]
        return dx.ravel()
