"""Windows over an image, and the two walks that pass by them element by element.

The walk *forward* takes an image row by row; a window ends with its last pixel.  The walk *back*
gives an image row by row; a window begins with its first pixel.  In each direction a step ends, or
begins, one window at most.  Where more of them end, or begin, at an edge of the image, a walk has
steps beside it: forward behind its rows and below it, back before its rows and above it.

Pixels that are in no window count to the one before them, which ends behind them: so no gradient of
a pixel can leave before the pixel has come.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.geometry import Shape, all_padding, too_large

Indices = NDArray[np.int64]

MAX_OVERLAP = 8  # windows that a pixel may be in, in each direction: each costs a place to join it


@dataclass(frozen=True)
class Axis:
    """One direction of it: windows of `kernel` pixels, `stride` pixels apart, over `size` of them.

    The first window begins `padding` pixels before the image; all of them end at most `padding`
    pixels behind it.
    """

    size: int
    kernel: int
    stride: int
    padding: int = 0

    @property
    def count(self) -> int:
        """Windows beside each other."""
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def overlap(self) -> int:
        """Windows that a pixel can be in."""
        return -(-self.kernel // self.stride)

    @property
    def reach(self) -> int:
        """Pixels from a window's first one to its end."""
        return max(self.kernel, self.stride)

    @property
    def kept(self) -> int:
        """Windows that have begun and not ended between two steps forward."""
        return -(-(self.reach - 1) // self.stride)

    @property
    def kept_back(self) -> int:
        """Windows that are needed again behind a step back."""
        return -(-(self.kernel - 1) // self.stride)

    @property
    def tiled(self) -> bool:
        """Whether each pixel is in one window."""
        return self.stride == self.kernel and not self.padding and self.size % self.kernel == 0

    @property
    def first_end(self) -> int:
        """Step forward with which the first window ends, if it is not the last one."""
        return self.reach - 1 - self.padding

    @property
    def last_end(self) -> int:
        """Step forward with which the last window would end if the walk were as long as it takes.

        It ends with the walk's last step, be that sooner or later.
        """
        return self.first_end + (self.count - 1) * self.stride

    @property
    def last_pixel(self) -> int:
        """The last pixel that is in a window."""
        end = self.kernel - 1 - self.padding + (self.count - 1) * self.stride
        return min(end, self.size - 1)

    @property
    def steps(self) -> int:
        """Steps forward: the pixels, and one more at least than to the end of the last window but
        one."""
        return max(self.size, self.last_end - self.stride + 2)

    @property
    def lead(self) -> int:
        """Steps back before the first pixel; the first window begins with the first of them."""
        return self.padding - self.inset

    @property
    def inset(self) -> int:
        """Place of the first step back in the first window."""
        return min(self.padding, self.stride - 1)

    @property
    def steps_back(self) -> int:
        """Steps back."""
        return self.lead + self.size

    @cached_property
    def ends(self) -> Indices:
        """Step forward with which each window ends; shape [count]."""
        found: Indices = self.first_end + np.arange(self.count) * self.stride
        found[-1] = self.steps - 1
        return found

    @cached_property
    def begins(self) -> Indices:
        """Step back with which each window begins; shape [count]."""
        return np.maximum(np.arange(self.count) * self.stride - self.inset, 0)

    def check(self, name: str) -> None:
        """ValueError, one sentence, where windows cannot lie so; `name` is that of `size`."""
        padded = self.size + 2 * self.padding
        if self.kernel > padded:
            raise too_large(name, self.kernel, padded)
        if self.padding >= self.kernel:
            raise all_padding(name, self.kernel, self.padding, "outside")
        if self.overlap > MAX_OVERLAP:
            raise ValueError(
                f"with its stride of {self.stride} a pixel is in {self.overlap} windows of a "
                f"{name} of {self.kernel}, but at most {MAX_OVERLAP} are possible; use a stride of "
                f"at least {-(-self.kernel // MAX_OVERLAP)}"
            )


@dataclass(frozen=True)
class Windows:
    """Those over images of `channels` channels, each of which is pooled by itself."""

    down: Axis
    across: Axis
    channels: int

    @classmethod
    def of(
        cls,
        image: Shape,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int] = (0, 0),
    ) -> Windows:
        """Pairs are (vertical, horizontal); ValueError, one sentence, where they cannot lie so."""
        down, across = (
            Axis(*numbers) for numbers in zip(image[:2], kernel, stride, padding, strict=True)
        )
        down.check("height")
        across.check("width")
        return cls(down, across, image[2])

    @property
    def tiled(self) -> bool:
        """Whether they lie side by side and cover the image."""
        return self.down.tiled and self.across.tiled

    @property
    def result(self) -> Shape:
        """Shape of the image that comes out."""
        return self.down.count, self.across.count, self.channels

    @property
    def steps(self) -> int:
        """Steps forward, an element each."""
        return self.down.steps * self.across.steps * self.channels

    @property
    def steps_back(self) -> int:
        """Steps back, an element each."""
        return self.down.steps_back * self.across.steps_back * self.channels

    @cached_property
    def covered(self) -> Indices:
        """Element of the image at each place of each window, -1 outside.

        Shape [outputs, places], places in raster order.
        """
        rows, columns = (
            np.arange(one.count)[:, None] * one.stride + np.arange(one.kernel) - one.padding
            for one in (self.down, self.across)
        )
        row, column = rows[:, None, None, :, None], columns[None, :, None, None, :]
        inside = (row >= 0) & (row < self.down.size) & (column >= 0) & (column < self.across.size)
        channel = np.arange(self.channels)[None, None, :, None, None]
        element = (row * self.across.size + column) * self.channels + channel
        found: Indices = np.where(inside, element, -1)
        return found.reshape(-1, self.down.kernel * self.across.kernel)

    @cached_property
    def taken(self) -> Indices:
        """Step forward that takes each element of the image; shape [inputs]."""
        rows, columns = np.arange(self.down.size), np.arange(self.across.size)
        return self._numbered(rows, columns, self.across.steps)

    @cached_property
    def ended(self) -> Indices:
        """Step forward that ends the window of each output; shape [outputs]."""
        return self._numbered(self.down.ends, self.across.ends, self.across.steps)

    @cached_property
    def begun(self) -> Indices:
        """Step back that begins the window of each output; shape [outputs]."""
        return self._numbered(self.down.begins, self.across.begins, self.across.steps_back)

    @cached_property
    def given(self) -> Indices:
        """Step back that gives each element of the image; shape [inputs]."""
        rows, columns = (one.lead + np.arange(one.size) for one in (self.down, self.across))
        return self._numbered(rows, columns, self.across.steps_back)

    def _numbered(self, rows: Indices, columns: Indices, line: int) -> Indices:
        """Numbers of the steps at these rows and columns of a walk over `line` columns."""
        places = rows[:, None] * line + columns
        return (places[:, :, None] * self.channels + np.arange(self.channels)).ravel()
