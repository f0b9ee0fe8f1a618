"""How a kernel passes over an image: the shape of one layer with weights.

Images are [height, width, channels] and streamed in that order, channels last.  A kernel of
[height, width] taps in each channel stops at every `stride`-th place of the image with `padding`
zeros around it; where the stride is larger than the kernel, no window covers the pixels between.
A dense layer is the special case of one place: an image of 1x1 pixels whose channels are the
inputs, under a kernel of 1x1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Number = TypeVar("Number", np.int64, np.float64)
Shape = tuple[int, int, int]  # height, width, channels


def too_large(name: str, kernel: int, padded: int) -> ValueError:
    """What is wrong with a kernel larger than its padded image; ``name``: of the direction."""
    remedy = "use a smaller kernel or more padding"
    if name == "height" and padded == 1:
        remedy = f"along a signal, an image of height one, write kernel = [1, {kernel}]"
    return ValueError(
        f"its kernel has a {name} of {kernel}, but the padded image only {padded}; {remedy}"
    )


def all_padding(name: str, kernel: int, padding: int, what: str) -> ValueError:
    """What is wrong with so much padding that some windows are nothing else."""
    remedy = f"use at most {kernel - 1}"
    if name == "height" and kernel == 1:
        remedy += f", as in padding = [0, {padding}]"
    return ValueError(
        f"its padding of {padding} is not smaller than its kernel's {name} of {kernel}, so that "
        f"whole windows would be {what}; {remedy}"
    )


@dataclass(frozen=True)
class Geometry:
    """A kernel over an image; pairs are (vertical, horizontal).

    The weights of a layer are a matrix [outputs, taps], taps in the order [kernel height, kernel
    width, channels].  ValueError, one sentence, where the kernel cannot pass over the image.
    """

    image: Shape
    outputs: int
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        for axis, size in enumerate(self.image[:2]):
            name, padded = ("height", "width")[axis], size + 2 * self.padding[axis]
            kernel = self.kernel[axis]
            if kernel > padded:
                raise too_large(name, kernel, padded)
            if self.padding[axis] >= kernel:
                raise all_padding(name, kernel, self.padding[axis], "zeros")

    @classmethod
    def dense(cls, inputs: int, outputs: int) -> Geometry:
        """A fully connected layer."""
        return cls((1, 1, inputs), outputs)

    @property
    def channels(self) -> int:
        return self.image[2]

    @cached_property
    def inputs(self) -> int:
        """Elements of the image."""
        return math.prod(self.image)

    @cached_property
    def row_inputs(self) -> int:
        """Elements of one row of the image."""
        return self.image[1] * self.image[2]

    @cached_property
    def places(self) -> tuple[int, int]:
        """How many places the kernel stops at, down and across."""
        down, across = (
            (self.image[axis] + 2 * self.padding[axis] - self.kernel[axis]) // self.stride[axis] + 1
            for axis in (0, 1)
        )
        return down, across

    @cached_property
    def positions(self) -> int:
        """Places in all: how often every weight is used in a sample."""
        return math.prod(self.places)

    @property
    def result(self) -> Shape:
        """Shape of the image that comes out."""
        return (*self.places, self.outputs)

    @cached_property
    def elements(self) -> int:
        """Elements of the image that comes out."""
        return math.prod(self.result)

    @cached_property
    def row_taps(self) -> int:
        """Taps of one row of the kernel, which lie side by side in a row of the image."""
        return self.kernel[1] * self.channels

    @cached_property
    def taps(self) -> int:
        """Taps of the whole kernel: weights of one output."""
        return self.kernel[0] * self.row_taps

    @property
    def overlaps(self) -> int:
        """At how many positions an element of the image can be under the kernel."""
        down, across = (
            min(-(-self.kernel[axis] // self.stride[axis]), self.places[axis]) for axis in (0, 1)
        )
        return down * across

    def reached(self, axis: int) -> list[bool]:
        """Whether any place covers each row of the image (axis 0) or each of its columns (1)."""
        places = np.arange(self.places[axis])[:, None] * self.stride[axis]
        under = places + np.arange(self.kernel[axis]) - self.padding[axis]
        return [bool(line in under) for line in range(self.image[axis])]

    @cached_property
    def covered(self) -> Indices:
        """Element of the image under each tap at each position, -1 outside; [positions, taps]."""
        height, width, channels = self.image
        down, across = (
            np.arange(self.places[axis])[:, None] * self.stride[axis]
            + np.arange(self.kernel[axis])
            - self.padding[axis]
            for axis in (0, 1)
        )
        y, x = down[:, None, :, None, None], across[None, :, None, :, None]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        element = (y * width + x) * channels + np.arange(channels)
        found = np.where(inside, element, -1)
        return found.reshape(self.positions, self.taps)

    @property
    def covers_all(self) -> bool:
        """Whether every element of the image is under the kernel at some place."""
        return all(
            self.stride[axis] <= self.kernel[axis]
            and (self.places[axis] - 1) * self.stride[axis] + self.kernel[axis]
            >= self.image[axis] + self.padding[axis]
            for axis in (0, 1)
        )

    @cached_property
    def last_cover(self) -> NDArray[np.bool_]:
        """Where `covered` names an element for the last time; [positions, taps]."""
        flat = self.covered.ravel()
        last = np.full(self.inputs, -1)
        np.maximum.at(last, flat[flat >= 0], np.flatnonzero(flat >= 0))
        found: NDArray[np.bool_] = (flat >= 0) & (last[flat] == np.arange(flat.size))
        return found.reshape(self.positions, self.taps)

    def rows_done(self, down: int) -> int:
        """Rows of the image above all that a place below the `down`-th row of places covers."""
        if down == self.places[0] - 1:
            return self.image[0]
        return min(max((down + 1) * self.stride[0] - self.padding[0], 0), self.image[0])

    def gathered(self, image: NDArray[Number]) -> NDArray[Number]:
        """The windows of an image [inputs]: [positions, taps], zero outside."""
        padded = np.concatenate([image, np.zeros(1, image.dtype)])
        return padded[self.covered]

    def scattered(self, windows: NDArray[Number]) -> NDArray[Number]:
        """The transpose of `gathered`: windows [positions, taps] summed to an image [inputs]."""
        image = np.zeros(self.inputs + 1, windows.dtype)
        np.add.at(image, self.covered.ravel(), windows.ravel())  # NumPy is fast in one dimension
        return image[:-1]
