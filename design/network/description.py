"""The description: network, number formats, recipe and fold as frozen, validated values.

Everything that the golden model, the hardware and the command line know of a design they read
from here, and a TOML file holds the same fields under the same names (`design.network.files`).
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from counterflow.design.network.layers import (
    WEIGHTED,
    Dense,
    FormatOverrides,
    Layer,
    Unit,
    WeightedUnit,
    chained,
    named,
)
from counterflow.design.parts.fields import MAX_TANH_BITS, MAX_WIDTH, Expected, Frozen, integers
from counterflow.design.parts.formats import Format
from counterflow.design.parts.geometry import Shape
from counterflow.design.parts.recipe import (
    Recipe,
)
from counterflow.design.parts.roles import Formats, Roundings

MIN_LOGIT = 4  # softmax scores that saturate earlier can hardly tell classes apart


class Lanes(Frozen):
    """The multiplier array of one unit: `outputs` x `inputs` lanes.

    With ``shared`` each lane has one multiplier that makes its products one after the other;
    without, it has one multiplier for each product.
    """

    outputs: int = Field(ge=1, le=MAX_WIDTH)
    inputs: int = Field(ge=1, le=MAX_WIDTH)
    shared: bool = False


class Fold(Frozen):
    """What the planner is asked for: a budget, a target interval, or lanes given by hand."""

    multipliers: int | None = Field(default=None, ge=1)
    memory: int | None = Field(default=None, ge=1)
    interval: int | None = Field(default=None, ge=1)
    lanes: tuple[Lanes, ...] | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.lanes is not None and self.multipliers is not None:
            raise ValueError("give either fold.lanes or fold.multipliers, not both")
        return self


INPUTS = Expected(f"an integer from 1 to {MAX_WIDTH} or [height, width, channels]")


def _inputs(value: object) -> int | tuple[int, ...]:
    if type(value) is int and 1 <= value <= MAX_WIDTH:
        return value
    found = integers(value, 3, 1, MAX_WIDTH)
    if found is None:
        raise INPUTS.error()
    return found


class Description(Frozen):
    """A whole design: a chain of layers, its numbers, its recipe, its data set and its fold.

    ``inputs`` is the number of elements of a sample, or [height, width, channels] of an image.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    dataset: str = "digits"
    inputs: Annotated[int | tuple[int, int, int], BeforeValidator(_inputs), INPUTS]
    layers: tuple[Layer, ...] = Field(min_length=1, strict=False)
    formats: Formats = Formats()
    rounding: Roundings = Roundings()
    recipe: Recipe = Recipe()
    fold: Fold = Fold()

    @model_validator(mode="after")
    def _chain(self) -> Self:
        last = self.layers[-1]
        if not isinstance(last, Dense):
            raise ValueError(
                f"the last layer is {named(last)}, but the softmax behind it needs the scores of "
                "a dense layer"
            )
        for index, layer in enumerate(self.layers[:-1]):
            signed = self.activation_format(index).signed
            if isinstance(layer, WEIGHTED) and layer.activation != "relu" and not signed:
                wanted = "a signed format" + " such as s8.7" * (layer.activation == "tanh")
                raise ValueError(
                    f"layers[{index}] has activation {layer.activation!r}, but its format of "
                    f"activations, {self.activation_format(index)}, holds no negative numbers; "
                    f"give it 'relu' or {wanted}"
                )
            self._tanh(index, layer)
        if last.activation != "none":
            raise ValueError(
                f"layers[{len(self.layers) - 1}] has activation {last.activation!r}, but as the "
                "last layer feeds the softmax it must have 'none'"
            )
        if math.prod(self.image) > MAX_WIDTH:
            raise ValueError(
                f"inputs name {math.prod(self.image)} elements a sample; at most {MAX_WIDTH} are "
                "possible"
            )
        units = self.units
        self._ranges()
        if not 2 <= last.outputs <= 256:
            raise ValueError(f"the last layer has {last.outputs} outputs; a softmax needs 2 to 256")
        error = last.formats.error or self.formats.error
        if error.bits - error.frac < 2:
            raise ValueError(
                f"the last layer's error format is {error}, but a label's error can be a little "
                "below -1, so it needs at least two bits above the fraction"
            )
        if last.formats.activation is not None:
            raise ValueError("the last layer's output has the format of formats.logit")
        weighted = sum(isinstance(unit, WeightedUnit) for unit in units)
        placement = self.recipe.placement
        if placement and not (placement[0] >= 1 and placement[-1] < weighted):
            raise ValueError(
                f"recipe.placement {list(placement)} names a layer behind which no registers can "
                f"be; they are between the {weighted} layers with weights, so that all numbers are "
                f"at least 1 and less than {weighted}"
            )
        if self.fold.lanes is not None and len(self.fold.lanes) != weighted:
            raise ValueError(
                f"fold.lanes has {len(self.fold.lanes)} entries for {weighted} layers with weights"
            )
        return self

    def _tanh(self, index: int, layer: Layer) -> None:
        """What a tanh of layer number `index` gets and gives must be fit for a table."""
        own = self.overrides(index).preactivation
        if not isinstance(layer, WEIGHTED) or layer.activation != "tanh":
            if own is not None:
                raise ValueError(
                    f"layers[{index}] has a format of preactivation, {own}, but only a layer with "
                    "activation 'tanh' can have one"
                )
            return
        formats = {
            "preactivation": self.sum_format(index),
            "activations": self.activation_format(index),
        }
        for what, number in formats.items():
            if not number.signed or number.bits > MAX_TANH_BITS:
                raise ValueError(
                    f"layers[{index}] has activation 'tanh', but its format of {what} is {number}; "
                    f"for its table it must be signed and have at most {MAX_TANH_BITS} bits"
                )

    def _ranges(self) -> None:
        """Formats must hold what will certainly be in them."""
        logit = self.formats.logit
        if logit.value(logit.max + 1) < MIN_LOGIT:
            raise ValueError(
                f"formats.logit is {logit} and holds scores up to {logit.value(logit.max):g}; "
                f"it needs at least {MIN_LOGIT}, better 32, as s{logit.frac + 6}.{logit.frac} has"
            )
        for unit in self.weighted:
            needed = math.sqrt(2 / unit.geometry.taps)
            for role in ("weight", "operand"):
                own = self.overrides(unit.layer)
                number = getattr(own, role) or getattr(self.formats, role)
                if number.value(number.max + 1) < min(needed, 1):
                    raise ValueError(
                        f"format of {role} in layers[{unit.layer}] is {number} and holds up to "
                        f"{number.value(number.max):g}; initial weights are mostly within "
                        f"{needed:.2f}, which needs more bits above the fraction"
                    )

    @property
    def image(self) -> Shape:
        """Shape of a sample: height, width, channels."""
        return (1, 1, self.inputs) if isinstance(self.inputs, int) else self.inputs

    @property
    def elements(self) -> int:
        """Elements of a sample."""
        return math.prod(self.image)

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """What the layers become, in the order of the chain."""
        return chained(self.image, self.layers)

    @property
    def weighted(self) -> tuple[WeightedUnit, ...]:
        """Those of the units that have weights."""
        return tuple(unit for unit in self.units if isinstance(unit, WeightedUnit))

    @property
    def widths(self) -> tuple[int, ...]:
        """Elements of a sample, then of the output of each layer with weights."""
        return (self.elements, *(unit.geometry.elements for unit in self.weighted))

    @property
    def classes(self) -> int:
        return self.weighted[-1].geometry.outputs

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        shapes = [unit.geometry for unit in self.weighted]
        return sum((shape.taps + 1) * shape.outputs for shape in shapes)

    def rectified(self, layer: int) -> bool:
        """Whether layer number `layer` ends in a ReLU."""
        found = self.layers[layer]
        return isinstance(found, WEIGHTED) and found.activation == "relu"

    def overrides(self, layer: int) -> FormatOverrides:
        """The formats that layer number `layer`, one with weights, sets itself."""
        found = self.layers[layer]
        return found.formats if isinstance(found, WEIGHTED) else FormatOverrides()

    def activation_format(self, layer: int) -> Format:
        """Format of what layer number `layer`, one with weights, puts out."""
        if layer == len(self.layers) - 1:
            return self.formats.logit
        return self.overrides(layer).activation or self.formats.activation

    def sum_format(self, layer: int) -> Format:
        """Format that the sums of layer number `layer` are narrowed to: what a tanh gets."""
        found = self.layers[layer]
        if isinstance(found, WEIGHTED) and found.activation == "tanh":
            return found.formats.preactivation or self.formats.preactivation
        return self.activation_format(layer)

    def error_format(self, layer: int) -> Format:
        """Format of the gradient that arrives at the output of layer number `layer`."""
        return self.overrides(layer).error or self.formats.error

    def hash(self) -> str:
        """Twelve hex digits that name this description; equal values have equal hashes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
