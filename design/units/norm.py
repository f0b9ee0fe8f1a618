"""The norm: each channel brought to mean 0 and variance 1, and a bias beta added.

What it computes stands in `design.units.normalisation`.  Both ways it passes on what comes, an
element a cycle; slots are only a way of counting which statistics, controls and beta a token sees:

    in slot j the unit passes token j forward and token j - D back, and then updates all channels;
    both tokens see what the update of slot j - 2 left

so that an update has a whole slot, and nothing hangs on it.  D is the least delay at which the
gradient of token j - D has gone by in time; it adds nothing to the delays of the units below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from counterflow.design.graph import Edge, Growth, Layer, Place, shown
from counterflow.design.parts.fields import MAX_WIDTH, FormatField, Frozen
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import Recipe
from counterflow.design.units.convolution import FROZEN
from counterflow.design.units.group_norm import GROUP, GroupNormUnit, check_group
from counterflow.design.units.norm_times import NormTimes
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.normalisation import Normalisation
from counterflow.design.units.tiling import Tiling

LEAST_PIXELS = 4  # of an image that statistics are taken of


class NormFormats(Frozen):
    """Formats of a norm that differ from the network's; unset roles follow the network."""

    activation: FormatField = Field(
        default=Format.parse("s9.5"), description="What it puts out, before its ReLU. Signed."
    )
    weight: FormatField | None = Field(
        default=None, description="Bias and factor that its memory holds."
    )
    velocity: FormatField | None = Field(
        default=None, description="Their velocity times the learning rate."
    )
    error: FormatField | None = Field(
        default=None, description="The gradient that arrives at its output."
    )


def _is_none(value: object) -> bool:
    return value is None


def _is_false(value: object) -> bool:
    return value is False


class Norm(Layer):
    """Normalises by running statistics of each channel, or by those of each image's `group`s.

    Behind that it multiplies by a ``gamma`` of each channel, if that is wanted, adds a bias and
    applies `activation`.  A ``frozen`` one keeps all of that, and its running statistics.
    ``group``, ``gamma`` and ``frozen`` are no part of what a layer without them is written as.
    """

    kind: Literal["norm"] = Field(
        description="Brings each channel to mean 0 and variance 1, then adds a bias that is "
        'learnt. The layer below has `activation = "none"`.'
    )
    statistics: Literal["running", "group"] = Field(
        default="running",
        description="Of what mean and variance are: of a channel over past samples, or of some "
        "channels of the very image.",
    )
    group: int | None = Field(
        default=None,
        ge=1,
        le=MAX_WIDTH,
        exclude_if=_is_none,
        description="Channels that are normalised together, which divide all channels; only with "
        f'`statistics = "group"`, and {GROUP} there by default.',
    )
    gamma: bool = Field(
        default=False,
        exclude_if=_is_false,
        description="Whether it multiplies each channel by a factor that is learnt.",
    )
    activation: Literal["relu", "none"] = Field(
        default="relu", description="The function of what it makes."
    )
    formats: NormFormats = Field(default=NormFormats(), description="Number formats of its own.")
    frozen: bool = FROZEN

    @model_validator(mode="before")
    @classmethod
    def _grouped(cls, value: Any) -> Any:
        """What stands there, with the group that it means."""
        if isinstance(value, Mapping) and value.get("statistics") == "group":
            return {"group": GROUP, **value}
        return value

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        if edge.rectified:
            raise ValueError(
                "what it normalises comes from a ReLU; give the layer below the activation 'none' "
                "and a signed format such as s12.5"
            )
        if self.frozen and edge.wanted:
            raise ValueError(
                "it is frozen, but something below it learns, and a norm can be frozen only where "
                "nothing does; freeze the layers below it, too, or leave frozen out"
            )
        shared, own = growth.formats, self.formats
        unit_of = self._unit(edge)
        y = growth.edge(
            edge.shape,
            own.activation,
            own.error or shared.error,
            paths=() if self.frozen else None,
            rectified=self.activation == "relu",
            # xhat does not follow from gamma xhat, rounded
            returned=not (self.gamma or self.frozen),
        )
        unit = unit_of(
            name=f"norm{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            weight=own.weight or shared.weight,
            velocity=own.velocity or shared.velocity,
            rounding=growth.rounding,
            gamma=self.gamma,
            frozen=self.frozen,
        )
        unit.check()
        growth.add(unit)
        return y

    def _unit(self, edge: Edge) -> Callable[..., NormalUnit]:
        """What makes a unit of its kind, if that can stand behind `edge`."""
        if self.statistics == "group":
            assert self.group is not None
            check_group(edge, self.group)
            return partial(GroupNormUnit, group=self.group)
        if self.group is not None:
            raise ValueError(
                f"its group is {self.group}, but running statistics are of each channel alone; "
                "leave group out, or give it statistics = 'group'"
            )
        if edge.shape[0] * edge.shape[1] < LEAST_PIXELS:
            raise ValueError(
                f"it gets images of {shown(edge.shape)}, but running statistics need images of at "
                f"least {LEAST_PIXELS} pixels; leave the norm out there"
            )
        return NormUnit


@dataclass(frozen=True, kw_only=True)
class NormUnit(NormalUnit):
    """A norm with running statistics of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "norm"

    def numbers(self, recipe: Recipe, delay: int) -> Normalisation:
        """See `NormalUnit.numbers`."""
        return Normalisation(**self.common(recipe, delay))

    def times(self, tiling: Tiling | None, recipe: Recipe) -> NormTimes:
        """See `Unit.times`."""
        return NormTimes(self, partial(self.checked, recipe))
