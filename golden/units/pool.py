"""The golden pooling unit: what `hw.units.pool` computes, in exact integers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from counterflow.design.units.pool import Pooling
from counterflow.golden.parts.narrow import Integers, narrow


@dataclass
class Pool:
    """One unit; ``remembered`` holds a token's entry from its forward to its backward pass.

    An entry is, of a maximum, the place of each window's largest element (shape [outputs]), of an
    average whether each element of x lets its gradient pass (shape [inputs]).
    """

    pooling: Pooling
    remembered: deque[Integers] = field(default_factory=deque)

    def forward(self, x: Integers) -> Integers:
        """y of one token, shapes [inputs] to [outputs], both in the format of x."""
        windows = self._windows(x)
        if not self.pooling.average:
            places = windows.argmax(axis=1)  # the first of equals, in raster order
            self.remembered.append(places)
            return windows[np.arange(len(windows)), places]
        passing = x > 0 if self.pooling.relu else np.ones(len(x), np.bool_)
        self.remembered.append(passing.astype(np.int64))
        number, shift = self.pooling.x, self.pooling.average_shift
        y, _ = narrow(
            windows.sum(axis=1), number.frac + shift, number, self.pooling.round_activation
        )
        return y

    def backward(self, dy: Integers) -> Integers:
        """dx of the token that has waited longest, shapes [outputs] to [inputs].

        IndexError where none waits.
        """
        entry = self.remembered.popleft()
        frac = self.pooling.dy.frac + self.pooling.average_shift
        value, _ = narrow(dy, frac, self.pooling.dx, self.pooling.round_error)
        if self.pooling.average:
            return value[self.pooling.window_of] * entry
        windows = np.zeros((self.pooling.outputs, self.pooling.elements), np.int64)
        windows[np.arange(len(windows)), entry] = value
        return self._image(windows)

    def reset(self) -> None:
        """Forget the tokens under way."""
        self.remembered.clear()

    def copy(self) -> Pool:
        """Another unit with the same tokens under way; neither changes the other."""
        return Pool(self.pooling, deque(entry.copy() for entry in self.remembered))

    def _windows(self, x: Integers) -> Integers:
        """The elements of each window in raster order; shape [inputs] to [outputs, elements]."""
        high, wide = self.pooling.kernel
        parts = x.reshape(-1, high, self.pooling.columns, wide, self.pooling.channels)
        return parts.transpose(0, 2, 4, 1, 3).reshape(-1, self.pooling.elements)

    def _image(self, windows: Integers) -> Integers:
        """The inverse of `_windows`."""
        high, wide = self.pooling.kernel
        parts = windows.reshape(-1, self.pooling.columns, self.pooling.channels, high, wide)
        return parts.transpose(0, 3, 1, 4, 2).reshape(-1)
