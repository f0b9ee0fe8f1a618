"""The golden pooling unit: what `hw.units.pool` computes, in exact integers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from counterflow.design.parts.formats import Format
from counterflow.design.units.division import Division
from counterflow.design.units.pooling import Pooling
from counterflow.golden.parts.narrow import Integers, narrow


@dataclass
class Pool:
    """One unit; ``remembered`` holds a token's entry from its forward to its backward pass.

    An entry is, of a maximum, the place of each window's largest element (shape [outputs]), of an
    average whether each element of x lets its gradient pass (shape [inputs]).  There is none where
    no gradient is wanted.
    """

    pooling: Pooling
    remembered: deque[Integers] = field(default_factory=deque)

    def forward(self, x: Integers) -> Integers:
        """y of one token, shapes [inputs] to [outputs], both in the format of x."""
        numbers = self.pooling
        if not numbers.average:
            windows = self._windows(x, beyond=numbers.x.min - 1)  # less than any element
            places = windows.argmax(axis=1)  # the first of equals, in raster order
            self._remember(places)
            return windows[np.arange(len(windows)), places]
        passing = x > 0 if numbers.relu else np.ones(len(x), np.bool_)
        self._remember(passing.astype(np.int64))
        sums = self._windows(x, beyond=0).sum(axis=1)
        return self._divided(sums, numbers.x.frac, numbers.mean, numbers.x, "y")

    def _remember(self, entry: Integers) -> None:
        if self.pooling.wanted:
            self.remembered.append(entry)

    def backward(self, dy: Integers) -> Integers:
        """dx of the token that has waited longest, shapes [outputs] to [inputs].

        IndexError where none waits.
        """
        entry, numbers = self.remembered.popleft(), self.pooling
        if numbers.average:
            shares = np.repeat(dy[:, None], numbers.elements, axis=1)
            sums = self._image(shares)
            passed = sums * entry
            return self._divided(passed, numbers.dy.frac, numbers.share, numbers.dx, "dx") * entry
        windows = np.zeros((numbers.outputs, numbers.elements), np.int64)
        windows[np.arange(len(windows)), entry] = dy
        sums, rounding = self._image(windows), numbers.round_error
        dx, _ = narrow(sums, numbers.dy.frac, numbers.dx, rounding, "dx")
        return dx

    def reset(self) -> None:
        """Forget the tokens under way."""
        self.remembered.clear()

    def copy(self) -> Pool:
        """Another unit with the same tokens under way; neither changes the other."""
        return Pool(self.pooling, deque(entry.copy() for entry in self.remembered))

    @staticmethod
    def _divided(sums: Integers, frac: int, by: Division, to: Format, what: str) -> Integers:
        """`sums` with `frac` fraction bits, divided by the area of a window."""
        product = sums * by.multiplier + by.offset
        quotient, _ = narrow(product, frac + by.shift, to, by.rounding, what)
        return quotient

    def _windows(self, x: Integers, beyond: int) -> Integers:
        """The elements of each window in raster order, `beyond` where it leaves the image.

        Shape [inputs] to [outputs, elements].
        """
        return np.append(x, beyond)[self.pooling.windows.covered]

    def _image(self, windows: Integers) -> Integers:
        """The transpose of `_windows`: what stands at each element, summed."""
        image = np.zeros(self.pooling.inputs + 1, np.int64)
        np.add.at(image, self.pooling.windows.covered.ravel(), windows.ravel())
        return image[:-1]
