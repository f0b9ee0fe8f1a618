"""Pooling layers, and the pooling unit of the graph that each becomes.

    kernel    size of the windows, or "all": one window, the whole image
    stride    from window to window; the kernel unless it is given
    padding   pixels around the image, which a maximum ignores and an average counts as zeros

A window that would end beyond the image and its padding is left out, as in convolutions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from counterflow.design.graph import Edge, Growth, Layer, Place, shown
from counterflow.design.parts.fields import MAX_KERNEL, Kernel, Padding, Window
from counterflow.design.parts.roles import Roundings
from counterflow.design.units.passing import PassingUnit
from counterflow.design.units.pooling import Pooling
from counterflow.design.units.sliding import Sliding
from counterflow.design.units.windows import Windows


class Pool(Layer):
    """The largest element, or the mean, of each window of each channel."""

    kind: Literal["max-pool", "average-pool"] = Field(
        description="The largest element, or the mean, of each window of each channel."
    )
    kernel: Window = Field(
        default=(2, 2), description="Pixels of a window; all of the image is one window."
    )
    stride: Kernel | None = Field(
        default=None, description="Pixels from one window to the next, by default its size."
    )
    padding: Padding = Field(
        default=(0, 0),
        description="Pixels on each side, which a maximum ignores and a mean counts as zeros.",
    )

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without keys at their default, so that descriptions without them keep their hash."""
        fields: dict[str, Any] = handler(self)
        if self.stride is None:
            fields.pop("stride", None)
        if self.padding == (0, 0):
            fields.pop("padding", None)
        return fields

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        average = self.kind == "average-pool"
        windows = self._windows(edge)
        # An average applies the derivative of a ReLU before it, after a maximum the reader does.
        y = growth.edge(
            windows.result,
            edge.x,
            edge.error,
            paths=edge.paths,
            rectified=edge.rectified and not average,
        )
        unit = PoolUnit(
            name=f"pool{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            kernel=(windows.down.kernel, windows.across.kernel),
            stride=(windows.down.stride, windows.across.stride),
            padding=self.padding,
            average=average,
            rounding=growth.rounding,
        )
        _ = unit.numbers  # what they cannot be, they say
        growth.add(unit)
        return y

    def _windows(self, edge: Edge) -> Windows:
        """Those over the images of an edge; ValueError where they cannot lie so."""
        kernel = self.kernel
        if kernel == "all":
            if self.stride is not None or self.padding != (0, 0):
                raise ValueError(
                    "its kernel is all of the image, which leaves nothing to a stride or padding; "
                    "leave them out"
                )
            kernel = edge.shape[:2]
            if max(kernel) > MAX_KERNEL:
                raise ValueError(
                    f"it gets images of {shown(edge.shape)}, but a kernel has at most {MAX_KERNEL} "
                    "pixels in each direction; pool in two steps"
                )
        if kernel == (1, 1) and self.stride not in (None, kernel):
            raise ValueError(
                "its kernel of 1x1 pools nothing; give the layer before it the stride, and leave "
                "this one out"
            )
        if kernel == (1, 1):
            raise ValueError("its kernel of 1x1 does nothing; leave the layer out")
        return Windows.of(edge.shape, kernel, self.stride or kernel, self.padding)


@dataclass(frozen=True, kw_only=True)
class PoolUnit(PassingUnit):
    """A pooling unit of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "pool"

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    average: bool
    rounding: Roundings

    @property
    def windows(self) -> Windows:
        """Where its windows lie."""
        return Windows.of(self.inputs[0].shape, self.kernel, self.stride, self.padding)

    @property
    def bound(self) -> int:
        """See `Unit.bound`; it may have more steps than elements."""
        return self.numbers.interval

    @property
    def numbers(self) -> Pooling:
        """See `PassingUnit.numbers`."""
        edge = self.inputs[0]
        height, width, channels = edge.shape
        fields: dict[str, Any] = {
            "height": height,
            "width": width,
            "channels": channels,
            "kernel": self.kernel,
            "average": self.average,
            "relu": edge.rectified,
            "x": edge.x,
            "dy": self.outputs[0].error,
            "dx": edge.error,
            "round_activation": self.rounding.activation,
            "round_error": self.rounding.error,
            "tokens": 1,
            "wanted": edge.wanted,
        }
        if self.windows.tiled:
            return Pooling(**fields)
        return Sliding(**fields, stride=self.stride, padding=self.padding)
