"""The residual layer: a body of layers, and a shortcut around it that is added to what it gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationInfo

from counterflow.design.graph import Edge, Growth, Layer, Place, shown
from counterflow.design.parts.fields import FormatField, Frozen
from counterflow.design.units.fork import ForkUnit
from counterflow.design.units.sum import SumUnit


def _layer(value: Any, info: ValidationInfo) -> Any:
    """What stands in a chain of a layer, read as what stands in that of the description is."""
    read = (info.context or {}).get("layer")
    return read(value) if read else value


Chain = tuple[Annotated[SerializeAsAny[Layer], BeforeValidator(_layer)], ...]


class SumFormats(Frozen):
    """Formats of the sum that differ from the network's; unset roles follow the network."""

    activation: FormatField | None = Field(
        default=None, description="The sum. Signed unless its activation is a ReLU."
    )
    error: FormatField | None = Field(
        default=None, description="The gradient that arrives at the sum."
    )


class Residual(Layer):
    """`body` and `shortcut` get the same input, and `activation` is applied to their sum."""

    kind: Literal["residual"] = Field(
        description="Adds what `body` and `shortcut` make of the same input."
    )
    body: Chain = Field(
        min_length=1, strict=False, description="Layers, some of them with weights."
    )
    shortcut: Chain = Field(
        default=(), strict=False, description="Layers around the body. Without any, the identity."
    )
    activation: Literal["relu", "none"] = Field(
        default="none",
        exclude_if=lambda value: value == "none",  # a description says it where there is one
        description="The function of the sum.",
    )
    formats: SumFormats = Field(default=SumFormats(), description="Number formats of its own.")

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        if place.scores is not None:
            raise ValueError("the softmax behind the last layer needs the scores of a dense layer")
        before = len(growth.units)
        branches = [replace(edge, number=growth.number(), returned=False) for _ in range(2)]
        growth.add(
            ForkUnit(
                name=f"fork{place.tag}",
                where=place.where,
                inputs=(edge,),
                outputs=tuple(branches),
                round_error=growth.rounding.error,
            )
        )
        body = growth.chain(self.body, branches[0], places_inside(place, "body", self.body))
        if not any(unit.learns for unit in growth.units[before:]):
            raise ValueError("its body has no layer with weights, so that nothing in it learns")
        shortcut = growth.chain(
            self.shortcut, branches[1], places_inside(place, "shortcut", self.shortcut)
        )
        self._meet(body, shortcut)
        activation = self.formats.activation or growth.formats.activation
        rectified = self.activation == "relu"
        for name, end in (("body", body), ("shortcut", shortcut)):
            if end.x.signed and not activation.signed and not rectified:
                raise ValueError(
                    f"its {name} gives activations in {end.x}, which can be negative, but their "
                    f"sum has the format {activation}; give formats.activation a signed format "
                    "such as s9.4, or the layer the activation 'relu'"
                )
        error = self.formats.error or growth.formats.error
        paths = tuple(one for one in growth.paths if one in (*body.paths, *shortcut.paths))
        y = growth.edge(body.shape, activation, error, paths=paths, rectified=rectified)
        growth.add(
            SumUnit(
                name=f"sum{place.tag}",
                where=place.where,
                inputs=(body, shortcut),
                outputs=(y,),
                rounding=growth.rounding,
            )
        )
        return y

    def _meet(self, body: Edge, shortcut: Edge) -> None:
        """What is to be added must have one shape."""
        if body.shape != shortcut.shape:
            there = "its shortcut" if self.shortcut else "its shortcut, the identity,"
            raise ValueError(
                f"its body gives {shown(body.shape)}, but {there} {shown(shortcut.shape)}; both "
                "must have one shape: give it a shortcut with a convolution, or a subsample layer, "
                "of as many outputs and the strides of the body"
            )


def places_inside(place: Place, chain: str, layers: Sequence[Layer]) -> list[Place]:
    """Where the layers of a chain of the layer at `place` stand."""
    return [place.inside(chain, index) for index in range(len(layers))]
