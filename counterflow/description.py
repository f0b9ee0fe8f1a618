"""The description: network, number formats, recipe and fold as frozen, validated values.

Everything that the golden model, the hardware and the command line know of a design they read
from here, and a TOML file holds the same fields under the same names (`counterflow.files`).
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from counterflow.formats import Format, Rounding
from counterflow.scaling import scale_to_batch_one, snap

FormatField = Annotated[Format, BeforeValidator(Format.parse), PlainSerializer(str)]

MITIGATIONS = ("none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash")
Mitigation = Literal["none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash"]
Scheme = Literal["pipelined", "sequential", "fill-and-drain"]

MAX_WIDTH = 4096
MAX_MOMENTUM_SHIFT = 12
MIN_LOGIT = 4  # softmax scores that saturate earlier can hardly tell classes apart


class Frozen(BaseModel):
    """Base of every description value: immutable, strict about types, no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, arbitrary_types_allowed=True
    )


class FormatOverrides(Frozen):
    """Formats of one layer that differ from the network's; unset roles follow the network."""

    activation: FormatField | None = None
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
    activation: Literal["relu", "none"] = "relu"
    formats: FormatOverrides = FormatOverrides()


class Formats(Frozen):
    """Number formats by tensor role, for every layer that does not override them.

    ``weight`` and ``velocity`` are what the memories hold (the velocity scaled by the learning
    rate); ``operand`` is the narrower weight that the multipliers see.  Accumulators have no entry:
    their width follows from the shapes so that they cannot overflow.
    """

    input: FormatField = Format.parse("u8.8")
    activation: FormatField = Format.parse("u8.4")
    logit: FormatField = Format.parse("s12.6")
    operand: FormatField = Format.parse("s9.7")
    weight: FormatField = Format.parse("s20.18")
    velocity: FormatField = Format.parse("s14.18")
    error: FormatField = Format.parse("s10.8")

    @model_validator(mode="after")
    def _roles(self) -> Self:
        for role in ("logit", "operand", "weight", "velocity", "error"):
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
    """

    scheme: Scheme = "pipelined"
    batch: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=2.0**-9, gt=0, allow_inf_nan=False)
    momentum: float = Field(default=0.875, ge=0, lt=1)
    scale_from: Reference | None = None
    mitigation: Mitigation = "lwpv+sc"
    horizon: Literal[1, 2] = 1
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


class Description(Frozen):
    """A whole design: a chain of layers, its numbers, its recipe, its data set and its fold."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)
    dataset: str = "digits"
    inputs: int = Field(ge=1, le=MAX_WIDTH)
    layers: tuple[Dense, ...] = Field(min_length=1, strict=False)
    formats: Formats = Formats()
    rounding: Roundings = Roundings()
    recipe: Recipe = Recipe()
    fold: Fold = Fold()

    @model_validator(mode="after")
    def _chain(self) -> Self:
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            expected = "none" if index == last else "relu"
            if layer.activation != expected:
                where = "the last layer feeds the softmax" if index == last else "a hidden layer"
                raise ValueError(
                    f"layers[{index}] has activation {layer.activation!r}, but as {where} it "
                    f"must have {expected!r}"
                )
        self._ranges()
        if not 2 <= self.layers[last].outputs <= 256:
            raise ValueError(
                f"the last layer has {self.layers[last].outputs} outputs; a softmax needs 2 to 256"
            )
        error = self.layers[last].formats.error or self.formats.error
        if error.bits - error.frac < 2:
            raise ValueError(
                f"the last layer's error format is {error}, but a label's error can be a little "
                "below -1, so it needs at least two bits above the fraction"
            )
        if self.layers[last].formats.activation is not None:
            raise ValueError("the last layer's output has the format of formats.logit")
        if self.fold.lanes is not None and len(self.fold.lanes) != len(self.layers):
            raise ValueError(
                f"fold.lanes has {len(self.fold.lanes)} entries for {len(self.layers)} layers"
            )
        return self

    def _ranges(self) -> None:
        """Formats must hold what will certainly be in them."""
        logit = self.formats.logit
        if logit.value(logit.max + 1) < MIN_LOGIT:
            raise ValueError(
                f"formats.logit is {logit} and holds scores up to {logit.value(logit.max):g}; "
                f"it needs at least {MIN_LOGIT}, better 32, as s{logit.frac + 6}.{logit.frac} has"
            )
        for index, layer in enumerate(self.layers):
            needed = math.sqrt(2 / self.widths[index])
            for role in ("weight", "operand"):
                number = getattr(layer.formats, role) or getattr(self.formats, role)
                if number.value(number.max + 1) < min(needed, 1):
                    raise ValueError(
                        f"format of {role} in layers[{index}] is {number} and holds up to "
                        f"{number.value(number.max):g}; initial weights are mostly within "
                        f"{needed:.2f}, which needs more bits above the fraction"
                    )

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, then the outputs of each layer."""
        return (self.inputs, *(layer.outputs for layer in self.layers))

    @property
    def classes(self) -> int:
        return self.layers[-1].outputs

    def hash(self) -> str:
        """Twelve hex digits that name this description; equal values have equal hashes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
