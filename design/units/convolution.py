"""Layers with weights, dense and convolution, and the unit that they become.

A dense layer is the convolution whose kernel stops at one place.  The unit's arithmetic is in
`design.units.arithmetic`, its times are in `design.units.slots`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from counterflow.design.graph import Edge, Growth, Layer, MisfitError, Place, Unit
from counterflow.design.parts.fields import (
    MAX_TANH_BITS,
    MAX_WIDTH,
    Activation,
    FormatField,
    Frozen,
    Kernel,
    Padding,
)
from counterflow.design.parts.formats import Format
from counterflow.design.parts.geometry import Geometry, Shape
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import updates_in_flight
from counterflow.design.units.arithmetic import UnitArithmetic, compensation_for
from counterflow.design.units.slot_times import SlotTimes
from counterflow.design.units.tanh import TanhUnit
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import can_be


class FormatOverrides(Frozen):
    """Formats of one layer that differ from the network's; unset roles follow the network."""

    activation: FormatField | None = Field(
        default=None, description="What the layer puts out; not of the last one."
    )
    preactivation: FormatField | None = Field(
        default=None, description='The sums that its tanh gets; only with `activation = "tanh"`.'
    )
    operand: FormatField | None = Field(
        default=None, description="The weight that its multipliers see."
    )
    weight: FormatField | None = Field(
        default=None, description="The weight that its memory holds."
    )
    velocity: FormatField | None = Field(
        default=None, description="Its velocity times the learning rate."
    )
    error: FormatField | None = Field(
        default=None, description="The gradient that arrives at its output."
    )


FROZEN: Any = Field(
    default=False,
    exclude_if=lambda value: not value,
    description="Whether it keeps the weights that are loaded, and learns nothing.",
)
"""A key of layers that may be ``frozen``; descriptions without it keep their hash."""


class Weighted(Layer):
    """What dense layers and convolutions have in common.

    A ``frozen`` one keeps its weights as they are loaded.
    """

    if TYPE_CHECKING:  # each has them among its own fields, in the order in which they are written
        outputs: int
        activation: Activation
        formats: FormatOverrides
        frozen: bool

    def geometry(self, image: Shape) -> Geometry:
        """How it passes over images of shape `image`; ValueError where it cannot."""
        raise NotImplementedError

    @property
    def stem(self) -> str:
        """How the name of its unit begins."""
        raise NotImplementedError

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        shared, own = growth.formats, self.formats
        activation = place.scores or own.activation or shared.activation
        error = own.error or shared.error
        sums = activation
        if self.activation == "tanh":
            sums = own.preactivation or shared.preactivation
        self._check(place, sums, activation)
        geometry = self.geometry(edge.shape)
        rectified = self.activation == "relu"
        paths = self._wanted(growth, edge)
        y = growth.edge(geometry.result, sums, error, paths=paths, rectified=rectified)
        operand = own.operand or shared.operand
        unit = ConvolutionUnit(
            name=f"{self.stem}{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            geometry=geometry,
            operand=operand,
            # What never moves needs no more places than the multipliers see.
            weight=operand if self.frozen else own.weight or shared.weight,
            velocity=own.velocity or shared.velocity,
            rounding=growth.rounding,
            frozen=self.frozen,
        )
        unit.check()
        growth.add(unit)
        if self.activation != "tanh":
            return y
        z = growth.edge(geometry.result, activation, error, paths=paths, rectified=False)
        name = f"tanh{place.tag}"
        rounding = growth.rounding.error
        growth.add(
            TanhUnit(name=name, where=place.where, inputs=(y,), outputs=(z,), round_error=rounding)
        )
        return z

    def _wanted(self, growth: Growth, edge: Edge) -> tuple[int, ...]:
        """The losses whose gradients it takes: a frozen one those that it passes on, no others."""
        passed = tuple(path for path in growth.paths if path in edge.paths)
        return passed if self.frozen else growth.paths

    def _check(self, place: Place, sums: Format, activation: Format) -> None:
        """What its function gets and gives must be fit for it."""
        if place.scores is not None:
            if self.activation != "none":
                raise MisfitError(
                    f"{place.where} has activation {self.activation!r}, but as the last layer "
                    "feeds the loss it must have 'none'"
                )
        elif self.activation != "relu" and not activation.signed:
            wanted = "a signed format" + " such as s8.7" * (self.activation == "tanh")
            raise MisfitError(
                f"{place.where} has activation {self.activation!r}, but its format of "
                f"activations, {activation}, holds no negative numbers; give it 'relu' or {wanted}"
            )
        own = self.formats.preactivation
        if self.activation != "tanh":
            if own is not None:
                raise MisfitError(
                    f"{place.where} has a format of preactivation, {own}, but only a layer with "
                    "activation 'tanh' can have one"
                )
            return
        for what, number in {"preactivation": sums, "activations": activation}.items():
            if not number.signed or number.bits > MAX_TANH_BITS:
                raise MisfitError(
                    f"{place.where} has activation 'tanh', but its format of {what} is {number}; "
                    f"for its table it must be signed and have at most {MAX_TANH_BITS} bits"
                )


class Dense(Weighted):
    """A fully connected layer, y = f(W x + b), W of shape [outputs, inputs]."""

    kind: Literal["dense"] = Field(
        default="dense",
        description="Fully connected, y = f(W x + b). What a layer without `kind` is. It takes an "
        "image as a vector.",
    )
    outputs: int = Field(ge=1, le=MAX_WIDTH, description="Elements that it puts out.")
    activation: Activation = Field(default="relu", description="The function f of its sums.")
    formats: FormatOverrides = Field(
        default=FormatOverrides(), description="Number formats of its own."
    )
    frozen: bool = FROZEN

    @property
    def stem(self) -> str:
        return "dense"

    def geometry(self, image: Shape) -> Geometry:
        """See `Weighted.geometry`: images are taken as vectors."""
        return Geometry.dense(math.prod(image), self.outputs)


class Convolution(Weighted):
    """A 2-D convolution to `outputs` channels, with a bias each.

    ``kernel``, ``stride`` and ``padding`` are one number or [vertical, horizontal]; the padding is
    of zeros.  Weights have the shape [outputs, kernel height x kernel width x channels].
    """

    kind: Literal["convolution"] = Field(
        default="convolution",
        description="A 2-D convolution over all channels of an image, with a bias for each of its "
        "own.",
    )
    outputs: int = Field(ge=1, le=MAX_WIDTH, description="Channels that it puts out.")
    kernel: Kernel = Field(description="Pixels of the kernel.")
    stride: Kernel = Field(default=(1, 1), description="Pixels from one place to the next.")
    padding: Padding = Field(default=(0, 0), description="Pixels of zeros on each side.")
    activation: Activation = Field(default="relu", description="The function of its sums.")
    formats: FormatOverrides = Field(
        default=FormatOverrides(), description="Number formats of its own."
    )
    frozen: bool = FROZEN

    @property
    def stem(self) -> str:
        return "conv"

    def geometry(self, image: Shape) -> Geometry:
        """See `Weighted.geometry`."""
        if image[:2] == (1, 1) and self.kernel != (1, 1) and self.padding == (0, 0):
            raise ValueError(
                f"it gets a vector of {image[2]} elements, but a kernel of {self.kernel[0]}x"
                f"{self.kernel[1]} needs an image; give inputs = [height, width, channels], of "
                "height 1 for a signal, and put it before any dense or flatten layer"
            )
        return Geometry(image, self.outputs, self.kernel, self.stride, self.padding)


class Flatten(Layer):
    """Makes a vector of an image, row by row and channels last.

    It may be left out: a dense layer takes an image as it comes, in this order.
    """

    kind: Literal["flatten"] = Field(
        description="Makes a vector of an image, row by row, channels last. It may be left out "
        "before a dense layer."
    )

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`: no unit, the same edge with another shape."""
        return replace(edge, shape=(1, 1, edge.elements))


@dataclass(frozen=True, kw_only=True)
class ConvolutionUnit(Unit):
    """A unit with weights, of formats ``operand``, ``weight`` and ``velocity``.

    Ports: x; y.
    """

    kind: ClassVar[str] = "convolution"
    learns: ClassVar[bool] = True

    geometry: Geometry
    operand: Format
    weight: Format
    velocity: Format
    rounding: Roundings
    frozen: bool = False
    """Whether its weights stay as they are loaded; then ``velocity`` says nothing."""

    @property
    def returns(self) -> bool:
        """See `Unit.returns`; what no place of the kernel covers could not go back."""
        return self.geometry.covers_all

    @property
    def first(self) -> bool:
        """Whether nobody wants the gradient of its input of the loss that it learns from."""
        return not set(self.outputs[0].paths[-1:]) & set(self.inputs[0].paths)

    @property
    def asides(self) -> tuple[int, ...]:
        """Losses that it does not learn from, whose gradients it passes on to units below."""
        return self.outputs[0].paths[:-1]

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return (self.geometry.taps + 1) * self.geometry.outputs

    def check(self) -> None:
        """Formats must hold what will certainly be in them; `MisfitError` where they do not."""
        needed = math.sqrt(2 / self.geometry.taps)
        for role in ("weight", "operand"):
            number: Format = getattr(self, role)
            if number.value(number.max + 1) < min(needed, 1):
                raise MisfitError(
                    f"format of {role} in {self.where} is {number} and holds up to "
                    f"{number.value(number.max):g}; initial weights are mostly within "
                    f"{needed:.2f}, which needs more bits above the fraction"
                )

    def tiling(self, lanes: Lanes) -> Tiling:
        """Its tiles with these lanes; ValueError where they cannot be."""
        geometry = self.geometry
        if lanes.outputs > geometry.outputs or lanes.inputs > geometry.row_taps:
            taps = "inputs" if geometry.positions == 1 else "taps in a row of its kernel"
            raise ValueError(
                f"{self.where} is folded to {lanes.outputs}x{lanes.inputs} lanes but has "
                f"only {geometry.outputs} outputs and {geometry.row_taps} {taps}"
            )
        if lanes.shared and self.asides:
            raise ValueError(
                f"{self.where} has shared lanes, but passes on the gradients of "
                f"{len(self.asides) + 1} losses, for which each product needs a multiplier of its "
                "own"
            )
        tiling = Tiling(geometry, lanes, self.first, len(self.asides), self.frozen)
        if lanes.in_luts > tiling.lane_count:
            raise ValueError(
                f"{self.where} has {lanes.in_luts} lanes of LUTs, but {tiling.lane_count} in all"
            )
        if not can_be(tiling):
            raise ValueError(
                f"{self.where} with {lanes.outputs}x{lanes.inputs} lanes makes "
                f"{lanes.outputs} outputs every {tiling.row_cycles} cycles, but its output "
                "stream carries one a cycle; use fewer output lanes or fewer input lanes"
            )
        return tiling

    def arithmetic(
        self, recipe: Recipe, horizon: int, compensation: int, *, back: bool
    ) -> UnitArithmetic:
        """Its arithmetic, with an input gradient if it goes `back`.

        ValueError where its formats cannot work together.
        """
        x, y, geometry = self.inputs[0], self.outputs[0], self.geometry
        numbers = UnitArithmetic(
            taps=geometry.taps,
            outputs=geometry.outputs,
            positions=geometry.positions,
            overlaps=geometry.overlaps,
            accumulate=recipe.accumulate,
            relu=y.rectified,
            masks=x.rectified,
            rectifies=x.rectified and x.returned,
            returns=x.returned,
            x=x.x,
            y=y.x,
            dy=y.error,
            dx=x.error if back else None,
            operand=self.operand,
            weight=self.weight,
            velocity=self.velocity,
            rate_shift=recipe.rate_shift,
            rate_span=recipe.rate_span,
            momentum_shift=recipe.momentum_shift,
            horizon=0 if self.frozen else horizon,
            predicts=recipe.predicts and not self.frozen,
            compensates=recipe.compensates and not self.frozen,
            compensation=compensation,
            round_activation=self.rounding.activation,
            round_operand=self.rounding.operand,
            round_error=self.rounding.error,
            round_update=self.rounding.update,
            frozen=self.frozen,
            decay_shift=0 if self.frozen else recipe.decay_shift,
            clip_shift=None if self.frozen else recipe.clip_shift,
        )
        numbers.check(self.where)
        return numbers

    def times(self, tiling: Tiling | None, recipe: Recipe) -> SlotTimes:
        """See `Unit.times`."""
        assert tiling is not None  # the schedule makes one for every unit that has lanes

        def arithmetic(delay: int, back: bool) -> UnitArithmetic:
            horizon = updates_in_flight(recipe, delay) * recipe.horizon
            compensation = compensation_for(recipe.momentum_shift, horizon)
            return self.arithmetic(recipe, horizon, compensation, back=back)

        return SlotTimes(self, tiling, arithmetic)
