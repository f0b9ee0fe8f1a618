"""The golden subsampling unit: what `hw.units.subsample` computes, in exact integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from counterflow.design.units.subsample import Subsampling
from counterflow.golden.parts.narrow import Integers


@dataclass(frozen=True)
class Subsample:
    """One unit; it remembers nothing."""

    numbers: Subsampling

    def forward(self, x: Integers) -> Integers:
        """y of one token, flat images of shapes `image` to `result`, both in the format of x."""
        down, across = self.numbers.stride
        kept = x.reshape(self.numbers.image)[::down, ::across]
        added = self.numbers.outputs - kept.shape[2]
        return np.pad(kept, [(0, 0), (0, 0), (0, added)]).ravel()

    def backward(self, dy: Integers) -> Integers:
        """dx of one token, flat images of shapes `result` to `image`, in the format of dy."""
        down, across = self.numbers.stride
        dx = np.zeros(self.numbers.image, np.int64)
        channels = dx.shape[2]
        dx[::down, ::across] = dy.reshape(self.numbers.result)[:, :, :channels]
        return dx.ravel()
