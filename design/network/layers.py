"""The layers of a description, and the units that they become when they are chained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    Tag,
)

from counterflow.design.parts.fields import (
    MAX_ELEMENTS,
    MAX_WIDTH,
    Activation,
    FormatField,
    Frozen,
    Kernel,
    Padding,
)
from counterflow.design.parts.geometry import Geometry, Shape


class FormatOverrides(Frozen):
    """Formats of one layer that differ from the network's; unset roles follow the network."""

    activation: FormatField | None = None
    preactivation: FormatField | None = None
    operand: FormatField | None = None
    weight: FormatField | None = None
    velocity: FormatField | None = None
    error: FormatField | None = None


class Dense(Frozen):
    """A fully connected layer, y = f(W x + b), W of shape [outputs, inputs].

    ``error`` among its formats is that of the gradient arriving at its output.
    """

    kind: Literal["dense"] = "dense"
    outputs: int = Field(ge=1, le=MAX_WIDTH)
    activation: Activation = "relu"
    formats: FormatOverrides = FormatOverrides()


class Convolution(Frozen):
    """A 2-D convolution to `outputs` channels, with a bias each.

    ``kernel``, ``stride`` and ``padding`` are one number or [vertical, horizontal]; the padding is
    of zeros.  Weights have the shape [outputs, kernel height x kernel width x channels].
    """

    kind: Literal["convolution"] = "convolution"
    outputs: int = Field(ge=1, le=MAX_WIDTH)
    kernel: Kernel
    stride: Kernel = (1, 1)
    padding: Padding = (0, 0)
    activation: Activation = "relu"
    formats: FormatOverrides = FormatOverrides()


class Pool(Frozen):
    """The largest element, or the mean, of windows that lie side by side."""

    kind: Literal["max-pool", "average-pool"]
    kernel: Kernel = (2, 2)


class Flatten(Frozen):
    """Makes a vector of an image, row by row and channels last.

    It may be left out: a dense layer takes an image as it comes, in this order.
    """

    kind: Literal["flatten"]


WEIGHTED = (Dense, Convolution)
KINDS = ("dense", "convolution", "max-pool", "average-pool", "flatten")


def _kind(value: Any) -> Any:
    found = value.get("kind", "dense") if isinstance(value, dict) else getattr(value, "kind", None)
    return "pool" if found in ("max-pool", "average-pool") else found


Layer = Annotated[
    Annotated[Dense, Tag("dense")]
    | Annotated[Convolution, Tag("convolution")]
    | Annotated[Pool, Tag("pool")]
    | Annotated[Flatten, Tag("flatten")],
    Discriminator(_kind),
]


def named(layer: Layer) -> str:
    """Its kind, with an article."""
    return f"{'an' if layer.kind[0] in 'aeiou' else 'a'} {layer.kind} layer"


@dataclass(frozen=True)
class WeightedUnit:
    """A unit with weights: that of layer number `layer`.

    ``masks``: the layer below ends in a ReLU, whose derivative this unit applies to dx.
    """

    name: str
    layer: int
    geometry: Geometry
    masks: bool


@dataclass(frozen=True)
class PoolUnit:
    """A unit that pools images of shape `image`; `below` is the last layer with weights before it.

    ``masks`` as in `WeightedUnit`.
    """

    name: str
    layer: int
    image: Shape
    kernel: tuple[int, int]
    average: bool
    below: int
    masks: bool

    @property
    def result(self) -> Shape:
        """Shape of the image that comes out."""
        height, width, channels = self.image
        return height // self.kernel[0], width // self.kernel[1], channels


@dataclass(frozen=True)
class TanhUnit:
    """A unit that applies tanh to the sums of layer number `below`, an image of shape `result`."""

    name: str
    result: Shape
    below: int

    @property
    def elements(self) -> int:
        """Elements in and out."""
        return math.prod(self.result)


Unit = WeightedUnit | PoolUnit | TanhUnit


def chained(image: Shape, layers: Sequence[Layer]) -> tuple[Unit, ...]:
    """The units of `layers`, the first of which gets samples of shape `image`.

    Raises ValueError, one sentence that names the layer, where they do not fit each other.
    """
    units: list[Unit] = []
    masks, weighted = False, -1
    for index, layer in enumerate(layers):
        try:
            if isinstance(layer, Flatten):
                image = (1, 1, math.prod(image))
            elif isinstance(layer, Pool):
                pool = _pool(layer, index, image, weighted, masks)
                units.append(pool)
                image = pool.result
                masks = masks and not pool.average  # which applies the derivative itself
            else:
                geometry = _geometry(layer, image)
                kind = "conv" if isinstance(layer, Convolution) else "dense"
                units.append(WeightedUnit(f"{kind}{index}", index, geometry, masks))
                image, masks, weighted = geometry.result, layer.activation == "relu", index
                if isinstance(layer, Dense):
                    image = (1, 1, layer.outputs)
                if layer.activation == "tanh":
                    units.append(TanhUnit(f"tanh{index}", image, index))
            if math.prod(image) > MAX_ELEMENTS:
                raise ValueError(
                    f"its output of {_shown(image)} has {math.prod(image):,} elements; at most "
                    f"{MAX_ELEMENTS:,} are possible"
                )
        except ValueError as error:
            raise ValueError(f"layers[{index}], {named(layer)}: {error}") from None
    return tuple(units)


def _geometry(layer: Dense | Convolution, image: Shape) -> Geometry:
    if isinstance(layer, Dense):
        return Geometry.dense(math.prod(image), layer.outputs)
    if image[:2] == (1, 1) and layer.kernel != (1, 1) and layer.padding == (0, 0):
        raise ValueError(
            f"it gets a vector of {image[2]} elements, but a kernel of {layer.kernel[0]}x"
            f"{layer.kernel[1]} needs an image; give inputs = [height, width, channels] and put "
            "it before any dense or flatten layer"
        )
    return Geometry(image, layer.outputs, layer.kernel, layer.stride, layer.padding)


def _pool(layer: Pool, index: int, image: Shape, weighted: int, masks: bool) -> PoolUnit:
    if weighted < 0:
        raise ValueError("pooling before the first layer with weights is not offered")
    if layer.kernel == (1, 1):
        raise ValueError("its kernel of 1x1 does nothing; leave the layer out")
    for axis, name in enumerate(("height", "width")):
        if image[axis] % layer.kernel[axis]:
            raise ValueError(
                f"it gets images of {_shown(image)}, whose {name} of {image[axis]} is not a "
                f"multiple of its kernel's {layer.kernel[axis]}"
            )
    average = layer.kind == "average-pool"
    area = math.prod(layer.kernel)
    if average and area & (area - 1):
        raise ValueError(
            f"the mean of {layer.kernel[0]}x{layer.kernel[1]} = {area} elements needs a division; "
            "averages are taken over 2, 4, 8, ... elements"
        )
    name = f"pool{index}"
    return PoolUnit(name, index, image, layer.kernel, average, weighted, masks)


def _shown(image: Shape) -> str:
    return "x".join(map(str, image))
