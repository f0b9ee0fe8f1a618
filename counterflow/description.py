"""The description: network, number formats, recipe and fold as frozen, validated values.

Everything that the golden model, the hardware and the command line know of a design they read
from here, and a TOML file holds the same fields under the same names (`counterflow.files`).
"""

from __future__ import annotations

import hashlib
import json
import math
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from counterflow.formats import Format, Rounding
from counterflow.geometry import Shape
from counterflow.layers import (
    MAX_TANH_BITS,
    MAX_WIDTH,
    WEIGHTED,
    Convolution,
    Dense,
    Expected,
    Flatten,
    FormatField,
    FormatOverrides,
    Frozen,
    Layer,
    Pool,
    Unit,
    WeightedUnit,
    chained,
    integers,
    named,
)
from counterflow.scaling import scale_to_batch_one, snap

MITIGATIONS = ("none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash")
Mitigation = Literal["none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash"]
Scheme = Literal["pipelined", "sequential", "fill-and-drain"]

MAX_MOMENTUM_SHIFT = 12
MAX_ACCUMULATE = 256
MIN_LOGIT = 4  # softmax scores that saturate earlier can hardly tell classes apart


class Formats(Frozen):
    """Number formats by tensor role, for every layer that does not override them.

    A tanh gets its layer's sums in ``preactivation`` and puts out ``activation``, signed as s8.7.
    ``weight`` and ``velocity`` are what the memories hold (the velocity scaled by the learning
    rate); ``operand`` is the narrower weight that the multipliers see.  Accumulators have no entry:
    their width follows from the shapes so that they cannot overflow.
    """

    input: FormatField = Format.parse("u8.8")
    activation: FormatField = Format.parse("u8.4")
    preactivation: FormatField = Format.parse("s10.6")
    logit: FormatField = Format.parse("s12.6")
    operand: FormatField = Format.parse("s9.7")
    weight: FormatField = Format.parse("s20.18")
    velocity: FormatField = Format.parse("s14.18")
    error: FormatField = Format.parse("s10.8")

    @model_validator(mode="after")
    def _roles(self) -> Self:
        for role in ("preactivation", "logit", "operand", "weight", "velocity", "error"):
            if not getattr(self, role).signed:
                raise ValueError(f"format of {role} is {getattr(self, role)}, but must be signed")
        if self.velocity.frac != self.weight.frac:
            raise ValueError(
                f"velocity {self.velocity} and weight {self.weight} must have equally many "
                "fraction bits, because one is subtracted from the other without a shift"
            )
        if self.operand.frac > self.weight.frac:
            raise ValueError(
                f"operand {self.operand} has more fraction bits than weight {self.weight}; "
                f"at most {self.weight.frac} are possible"
            )
        return self


class Roundings(Frozen):
    """How each role is narrowed.  Only the update may be stochastic."""

    update: Rounding = Field(default=Rounding.STOCHASTIC, strict=False)
    activation: Rounding = Field(default=Rounding.NEAREST_EVEN, strict=False)
    operand: Rounding = Field(default=Rounding.NEAREST_EVEN, strict=False)
    error: Rounding = Field(default=Rounding.NEAREST_EVEN, strict=False)
    generator: Literal["xorshift32"] = "xorshift32"

    @model_validator(mode="after")
    def _update_only(self) -> Self:
        for role in ("activation", "operand", "error"):
            if getattr(self, role) is Rounding.STOCHASTIC:
                raise ValueError(
                    f"rounding of {role} is 'stochastic'; it may be 'truncate' or 'nearest-even' "
                    "(random bits are drawn for the update alone)"
                )
        return self


class Reference(Frozen):
    """Hyper-parameters known to work at some batch size, to be scaled to batch size one."""

    batch: int = Field(ge=1, le=2**20)
    learning_rate: float = Field(gt=0, allow_inf_nan=False)
    momentum: float = Field(ge=0, lt=1)


class RateDrop(Frozen):
    """From `epoch` (counted from 0) on, the learning rate is 2**-shift of the recipe's."""

    epoch: int = Field(ge=1)
    shift: int = Field(ge=0, le=7)


class Recipe(Frozen):
    """How the network is trained.

    ``learning_rate`` and ``momentum`` belong to the undamped form v <- m v + g, w <- w - eta v.
    The hardware has no multiplier for them: the rate is a power of two and the momentum is 0 or
    1 - 2**-k.  ``scale_from`` derives both from hyper-parameters of another batch size.
    ``horizon`` multiplies the delay in prediction and compensation (2: overcompensation).
    ``accumulate``: weights move once for so many samples, by the sum of their gradients.
    ``sequential_after``: after so many samples (counted over all epochs) a pipelined training goes
    on sequentially, as the hybrid scheme of Zhang & Abdelrahman, arXiv 1912.12675, does.
    ``placement``: their pipeline placement vector, see `counterflow.placement`; without it every
    layer with weights is a stage of its own.
    """

    scheme: Scheme = "pipelined"
    batch: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2.0**-9, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.875, ge=0, lt=1)
    scale_from: Reference | None = None
    mitigation: Mitigation = "lwpv+sc"
    horizon: Literal[1, 2] = 1
    accumulate: int = Field(default=1, ge=1, le=MAX_ACCUMULATE)
    sequential_after: int | None = Field(default=None, ge=1)
    placement: tuple[int, ...] | None = Field(default=None, strict=False)
    epochs: int = Field(default=1, ge=1)
    rate_drops: tuple[RateDrop, ...] = Field(default=(), strict=False)
    init: Literal["he", "orthogonal"] = "he"
    seed: int = Field(default=1, ge=0, lt=2**31)

    @model_validator(mode="before")
    @classmethod
    def _scaled(cls, data: object) -> object:
        if not isinstance(data, dict) or data.get("scale_from") is None:
            return data
        for key in ("learning_rate", "momentum"):
            if key in data:
                raise ValueError(f"give either scale_from or {key}, not both")
        try:
            known = Reference.model_validate(data["scale_from"])
        except ValidationError:
            return data  # the field reports it, under its own name
        exact = scale_to_batch_one(known.batch, known.learning_rate, known.momentum)
        near = snap(*exact)
        return {**data, "learning_rate": near[0], "momentum": near[1]}

    @field_validator("learning_rate")
    @classmethod
    def _power_of_two(cls, value: float) -> float:
        if math.frexp(value)[0] != 0.5 or value > 1:
            near = 2.0 ** min(0, round(math.log2(value)))
            raise ValueError(
                f"learning_rate {value} is not a power of two of at most 1; the nearest is {near}"
            )
        return value

    @field_validator("momentum")
    @classmethod
    def _one_minus_power(cls, value: float) -> float:
        mantissa, exponent = math.frexp(1 - value)
        if mantissa != 0.5 or exponent < 1 - MAX_MOMENTUM_SHIFT:
            near = 1 - 2.0 ** max(-MAX_MOMENTUM_SHIFT, round(math.log2(1 - value)))
            raise ValueError(
                f"momentum {value} is not 0 or 1 - 2^-k with k up to {MAX_MOMENTUM_SHIFT}; "
                f"the nearest is {near}"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scheme != "fill-and-drain" and self.batch != 1:
            raise ValueError(
                f"batch {self.batch} needs scheme 'fill-and-drain', not {self.scheme!r}"
            )
        if self.sequential_after is not None and self.scheme != "pipelined":
            raise ValueError(
                f"sequential_after {self.sequential_after} needs scheme 'pipelined', which it "
                f"ends, not {self.scheme!r}"
            )
        if self.placement is not None and self.scheme != "pipelined":
            raise ValueError(
                f"placement {list(self.placement)} needs scheme 'pipelined', not {self.scheme!r}"
            )
        if self.placement is not None and list(self.placement) != sorted(set(self.placement)):
            raise ValueError(f"placement {list(self.placement)} must increase")
        if self.scheme == "fill-and-drain" and self.batch % self.accumulate:
            raise ValueError(
                f"accumulate {self.accumulate} does not divide batch {self.batch}, so that "
                "updates would be pending when the chain is drained"
            )
        epochs = [drop.epoch for drop in self.rate_drops]
        if epochs != sorted(set(epochs)):
            raise ValueError(f"rate_drops name epochs {epochs}; they must increase")
        return self

    @property
    def rate_shift(self) -> int:
        """log2 of 1 / learning_rate."""
        return -math.frexp(self.learning_rate)[1] + 1

    @property
    def momentum_shift(self) -> int:
        """k of momentum = 1 - 2**-k (0: no momentum)."""
        return -math.frexp(1 - self.momentum)[1] + 1

    @property
    def rate_span(self) -> int:
        """Largest extra rate shift that the recipe ever asks for; it sizes the shifter."""
        return max((drop.shift for drop in self.rate_drops), default=0)

    def extra_shift(self, epoch: int) -> int:
        """The rate drop in force in `epoch`."""
        return next((d.shift for d in reversed(self.rate_drops) if d.epoch <= epoch), 0)

    @property
    def float_only(self) -> str | None:
        """Why neither the integer model nor the hardware can train so, in one sentence, or None."""
        if self.placement is None:
            return None
        return (
            f"recipe.placement {list(self.placement)} puts groups of layers in one stage, which "
            "only the float model offers; without placement every layer with weights is a stage "
            "of its own, in the integer model and the hardware too"
        )

    @property
    def delayed(self) -> bool:
        """Whether updates happen between a token's forward and backward pass."""
        return self.scheme == "pipelined" or self.batch > 1

    @property
    def predicts(self) -> bool:
        """Whether there is a delay to predict across, and the mitigation does it."""
        return self.delayed and self.mitigation.startswith("lwp")

    @property
    def compensates(self) -> bool:
        """Whether there is a delay to compensate, and the mitigation does it."""
        return self.delayed and self.mitigation.endswith("sc")


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


__all__ = [
    "Convolution",
    "Dense",
    "Description",
    "Flatten",
    "Fold",
    "FormatOverrides",
    "Formats",
    "Lanes",
    "Pool",
    "RateDrop",
    "Recipe",
    "Reference",
    "Roundings",
]
