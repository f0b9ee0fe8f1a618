"""The subsample layer: fewer pixels and more channels without a weight, as shortcuts need them.

    y = every stride-th pixel of every stride-th row, then channels of zeros
    dx = dy at those pixels without the added channels, zero at all others

It is the shortcut without parameters of residual networks ("option A" of He et al., 2016).  Nothing
is rounded.  Where x comes from a ReLU, so does y: its added channels are zero and get no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from counterflow.design.graph import Edge, Growth, Layer, Place, shown
from counterflow.design.parts.fields import MAX_WIDTH, Kernel
from counterflow.design.parts.formats import Format
from counterflow.design.parts.geometry import Indices, Shape
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import QUEUE
from counterflow.design.units.passing import Passing, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles, occupancy, paced, steady

NEVER = np.iinfo(np.int64).min // 2  # a cycle before all others


class Weights(NamedTuple):
    """What LUTs go to: the unit, bits of a stream, of addresses of queues and of counters, and each
    LUT RAM or flip-flop of the queues.
    """

    unit: float
    bit: float
    address: float
    counter: float
    cell: float


LUTS: Mapping[str, Weights] = {
    "ecp5": Weights(unit=1.5, bit=0, address=7.3, counter=2.1, cell=7.8),
    "ice40": Weights(unit=0, bit=0.4, address=10.4, counter=1.3, cell=0.83),
    "xc7": Weights(unit=14, bit=0, address=4.2, counter=0.43, cell=8.1),
}
"""Fitted to what Yosys 0.70 made of seven units, each of which they give within a fifth."""


@dataclass(frozen=True)
class Grid:
    """The elements of images of `shape` that lie on a grid: pixels `stride` apart, from the first
    one on, and the first `channels` channels of these.
    """

    shape: Shape
    stride: tuple[int, int]
    channels: int

    @cached_property
    def elements(self) -> Indices:
        """Their numbers, in the order in which they travel."""
        height, width, channels = self.shape
        numbers = np.arange(height * width * channels).reshape(self.shape)
        on: Indices = numbers[:: self.stride[0], :: self.stride[1], : self.channels]
        return on.ravel()

    @property
    def counters(self) -> int:
        """Bits of the counters that tell of an element whether it is on the grid."""
        channels = self.shape[2]
        if max(self.stride) > 1:
            return sum((one - 1).bit_length() for one in (*self.shape, *self.stride))
        return (channels - 1).bit_length() if self.channels < channels else 0


@dataclass(frozen=True)
class Subsampling(Passing):
    """A subsampling unit for images of shape `image`, all in the formats `x` and `error`.

    ``wanted``: gradients go back.  ``x_words`` and ``dy_words``: kept elements that can wait.
    y of a token begins to leave when ``begin`` kept elements of it have come, so that it is through
    before that of the next token begins.
    Cost: no multiplier, two queues; latency `latency.QUEUE` each way, one element a cycle.
    """

    image: Shape
    stride: tuple[int, int]
    outputs: int
    x: Format
    error: Format
    wanted: bool
    begin: int = 1
    x_words: int = 1
    dy_words: int = 1

    @property
    def result(self) -> Shape:
        """Shape of the images that it gives."""
        down, across = (-(-self.image[axis] // self.stride[axis]) for axis in (0, 1))
        return down, across, self.outputs

    @cached_property
    def large(self) -> Grid:
        """Where the kept elements lie in x, and in dx."""
        return Grid(self.image, self.stride, self.image[2])

    @cached_property
    def small(self) -> Grid:
        """Where they lie in y, and in dy."""
        return Grid(self.result, (1, 1), self.image[2])

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        found = [("x", self.x_words, self.x.bits + KIND_BITS)]
        if self.wanted:
            found.append(("dy", self.dy_words, self.error.bits))
        return found

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        bits = self.x.bits + self.error.bits * self.wanted
        places = sum((words - 1).bit_length() for _, words, _ in self.memories)
        counters = (self.large.counters + self.small.counters) * (1 + self.wanted)
        made = cells[0] or cells[1]
        counts = (1, bits, places, counters, made)
        return round(sum(w * n for w, n in zip(LUTS[family], counts, strict=True)))

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        times, _ = self._begun(arrivals[0])
        return [times]

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`."""
        return [_spread(arrivals[0][self.small.elements] + QUEUE, self.large)]

    def _begun(self, arrivals: Cycles) -> tuple[Cycles, int]:
        """(when y leaves, kept elements with which it begins).

        Tokens follow each other after as many cycles as one takes to come, or to leave, at least.
        """
        ready = arrivals[self.large.elements] + QUEUE
        between = int(max(len(arrivals), np.prod(self.result), arrivals[-1] - arrivals[0] + 1))
        last = int(_spread(ready, self.small)[-1])
        first = int(np.searchsorted(ready, last + 1 - between))
        return _spread(np.maximum(ready, ready[first]), self.small), first + 1

    def fitted(self, traffic: Traffic) -> Subsampling:
        """See `Passing.fitted`."""
        (arrivals,), interval = traffic.arrivals, traffic.interval
        times, begin = self._begun(arrivals)
        kept, leave = arrivals[self.large.elements], times[self.small.elements]
        found = replace(self, begin=begin, x_words=occupancy(kept, leave + 1, interval))
        if not self.wanted:
            return found
        came = traffic.errors[0]
        gone = steady(self.backward([came])[0], interval)[self.large.elements]
        words = occupancy(came[self.small.elements], gone + 1, interval)
        return replace(found, dy_words=words)

    @property
    def waiting(self) -> tuple[int, ...]:
        return (self.x_words,)

    @property
    def returning(self) -> tuple[int, ...]:
        return (self.dy_words if self.wanted else 0,)


def _spread(ready: Cycles, grid: Grid) -> Cycles:
    """When the elements of an image leave of which those on `grid` are `ready` in these cycles.

    Zeros in between, and behind, follow at once.
    """
    earliest = np.full(np.prod(grid.shape), NEVER)
    earliest[grid.elements] = ready
    return paced(earliest)


class Subsample(Layer):
    """Keeps every `stride`-th pixel of every `stride`-th row, and adds channels of zeros."""

    kind: Literal["subsample"] = Field(
        description="Leaves out pixels and adds channels of zeros: a shortcut without weights."
    )
    stride: Kernel = Field(
        default=(1, 1), description="Every so many pixels of every so many rows are kept."
    )
    outputs: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WIDTH,
        description="Channels that come out, by default and at least as many as come in.",
    )

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        channels = edge.shape[2]
        outputs = channels if self.outputs is None else self.outputs
        for axis, name in enumerate(("height", "width")):
            if self.stride[axis] > edge.shape[axis]:
                raise ValueError(
                    f"it gets images of {shown(edge.shape)}, whose {name} of {edge.shape[axis]} is "
                    f"less than its stride of {self.stride[axis]}"
                )
        if outputs < channels:
            raise ValueError(
                f"it gets {channels} channels and can add some, but leave none out; its outputs "
                f"of {outputs} must be at least {channels}"
            )
        if self.stride == (1, 1) and outputs == channels:
            raise ValueError(
                f"it keeps every pixel and adds nothing to the {channels} channels that it gets; "
                "leave the layer out, or give it a stride or more outputs"
            )
        down, across = (-(-edge.shape[axis] // self.stride[axis]) for axis in (0, 1))
        y = growth.edge(
            (down, across, outputs),
            edge.x,
            edge.error,
            paths=edge.paths,
            rectified=edge.rectified,
        )
        unit = SubsampleUnit(
            name=f"subsample{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            stride=self.stride,
        )
        growth.add(unit)
        return y


@dataclass(frozen=True, kw_only=True)
class SubsampleUnit(PassingUnit):
    """A subsampling unit of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "subsample"
    stride: tuple[int, int]

    @property
    def numbers(self) -> Subsampling:
        """See `PassingUnit.numbers`."""
        x, y = self.inputs[0], self.outputs[0]
        return Subsampling(x.shape, self.stride, y.shape[2], x.x, x.error, x.wanted)
