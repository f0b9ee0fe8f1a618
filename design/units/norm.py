"""The norm: each channel brought to mean 0 and variance 1, and a bias beta added.

What it computes stands in `design.units.normalisation`.  Both ways it passes on what comes, an
element a cycle; slots are only a way of counting which statistics, controls and beta a token sees:

    in slot j the unit passes token j forward and token j - D back, and then updates all channels;
    both tokens see what the update of slot j - 2 left

so that an update has a whole slot, and nothing hangs on it.  D is the least delay at which the
gradient of token j - D has gone by in time; it adds nothing to the delays of the units below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from counterflow.design.graph import Edge, Growth, Layer, Place, Unit, shown
from counterflow.design.parts.fields import FormatField, Frozen
from counterflow.design.parts.formats import Format
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import updates_in_flight
from counterflow.design.units.arithmetic import UnitArithmetic, compensation_for
from counterflow.design.units.norm_times import NormTimes, update_cycles
from counterflow.design.units.normalisation import Normalisation
from counterflow.design.units.tiling import Tiling

LEAST_PIXELS = 4  # of an image that statistics are taken of


class NormFormats(Frozen):
    """Formats of a norm that differ from the network's; unset roles follow the network.

    ``activation`` is that of what it puts out, before its ReLU.
    """

    activation: FormatField = Format.parse("s9.5")
    weight: FormatField | None = None
    velocity: FormatField | None = None
    error: FormatField | None = None


class Norm(Layer):
    """Normalises each channel by running statistics, adds a bias, and applies `activation`."""

    kind: Literal["norm"]
    statistics: Literal["running"] = "running"
    activation: Literal["relu", "none"] = "relu"
    formats: NormFormats = NormFormats()

    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """See `Layer.grow`."""
        pixels = edge.shape[0] * edge.shape[1]
        if pixels < LEAST_PIXELS:
            raise ValueError(
                f"it gets images of {shown(edge.shape)}, but running statistics need images of at "
                f"least {LEAST_PIXELS} pixels; leave the norm out there"
            )
        if edge.rectified:
            raise ValueError(
                "what it normalises comes from a ReLU; give the layer below the activation 'none' "
                "and a signed format such as s12.5"
            )
        shared, own = growth.formats, self.formats
        y = growth.edge(
            edge.shape,
            own.activation,
            own.error or shared.error,
            rectified=self.activation == "relu",
            returned=True,
        )
        unit = NormUnit(
            name=f"norm{place.tag}",
            where=place.where,
            inputs=(edge,),
            outputs=(y,),
            weight=own.weight or shared.weight,
            velocity=own.velocity or shared.velocity,
            rounding=growth.rounding,
        )
        unit.check()
        growth.add(unit)
        return y


@dataclass(frozen=True, kw_only=True)
class NormUnit(Unit):
    """A norm of the graph.  Ports: x; y."""

    kind: ClassVar[str] = "norm"

    weight: Format
    velocity: Format
    rounding: Roundings

    @property
    def parameters(self) -> int:
        """Biases."""
        return self.inputs[0].shape[2]

    @property
    def bound(self) -> int:
        """See `Unit.bound`: two updates must fit into a slot, too."""
        return max(self.inputs[0].elements, 2 * update_cycles(self.inputs[0].shape[2]))

    def check(self) -> None:
        """ValueError where its formats cannot work together, whatever the recipe."""
        self.numbers(Recipe(), 0).check()

    def numbers(self, recipe: Recipe, delay: int) -> Normalisation:
        """What it computes where the gradient of a token comes `delay` slots behind it."""
        x, y = self.inputs[0], self.outputs[0]
        height, width, channels = x.shape
        horizon = updates_in_flight(recipe, delay + 1) * recipe.horizon
        one = Format(False, 1, 0)
        parameters = UnitArithmetic(
            taps=1,
            outputs=channels,
            positions=height * width,
            overlaps=1,
            accumulate=recipe.accumulate,
            relu=False,
            masks=False,
            x=one,
            y=y.x,
            dy=y.error,
            dx=None,
            operand=Format(True, max(2, y.x.bits), y.x.frac),
            weight=self.weight,
            velocity=self.velocity,
            rate_shift=recipe.rate_shift,
            rate_span=recipe.rate_span,
            momentum_shift=recipe.momentum_shift,
            horizon=horizon,
            predicts=recipe.predicts,
            compensates=recipe.compensates,
            compensation=compensation_for(recipe.momentum_shift, horizon),
            round_activation=self.rounding.activation,
            round_operand=self.rounding.operand,
            round_error=self.rounding.error,
            round_update=self.rounding.update,
        )
        return Normalisation(
            channels=channels,
            pixels=height * width,
            x=x.x,
            y=y.x,
            dy=y.error,
            dx=x.error if x.wanted else None,
            round_error=self.rounding.error,
            parameters=parameters,
        )

    @property
    def multipliers(self) -> int:
        return 5 if self.inputs[0].wanted else 2

    def times(self, tiling: Tiling | None, recipe: Recipe) -> NormTimes:
        """See `Unit.times`."""

        def numbers(delay: int) -> Normalisation:
            found = self.numbers(recipe, delay)
            found.parameters.check(self.where)
            return found

        return NormTimes(self, numbers)
