"""The recipe of a description: how the network is trained."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from counterflow.design.parts.fields import Frozen
from counterflow.design.parts.limits import MAX_BATCH, MAX_EPOCHS, MAX_SAMPLES
from counterflow.design.parts.scaling import scale_to_batch_one, snap

MITIGATIONS = ("none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash")
Mitigation = Literal["none", "lwpv", "lwpw", "sc", "lwpv+sc", "lwpw+sc", "stash"]
Scheme = Literal["pipelined", "sequential", "fill-and-drain"]

MAX_MOMENTUM_SHIFT = 12
MAX_ACCUMULATE = 256
MAX_DECAY_SHIFT = 24
MAX_CLIP_SHIFT = 24


class Reference(Frozen):
    """Hyper-parameters known to work at some batch size, to be scaled to batch size one."""

    batch: int = Field(ge=1, le=MAX_BATCH, description="Samples of a batch there.")
    learning_rate: float = Field(
        gt=0, le=1e6, allow_inf_nan=False, description="Learning rate known to work there."
    )
    momentum: float = Field(ge=0, lt=1, description="Momentum known to work there.")


class RateDrop(Frozen):
    """From `epoch` (counted from 0) on, the learning rate is 2**-shift of the recipe's."""

    epoch: int = Field(
        ge=1, le=MAX_EPOCHS, description="First epoch of the lower rate, counted from 0."
    )
    shift: int = Field(ge=0, le=7, description="The rate is 2^-shift of `learning_rate`.")


class Recipe(Frozen):
    """How the network is trained.

    ``learning_rate`` and ``momentum`` belong to the undamped form v <- m v + g, w <- w - eta v.
    The hardware has no multiplier for them: the rate is a power of two and the momentum is 0 or
    1 - 2**-k.  ``sequential_after`` and ``placement`` are the hybrid scheme and the pipeline
    placement vector of Zhang & Abdelrahman, arXiv 1912.12675.
    """

    scheme: Scheme = Field(
        default="pipelined",
        description="Whether samples follow each other without a wait, each waits for the update "
        "of the one before, or the pipeline is drained after every `batch`.",
    )
    batch: int = Field(
        default=1,
        ge=1,
        le=MAX_BATCH,
        description='Samples between two drains. Above 1 only with `scheme = "fill-and-drain"`.',
    )
    learning_rate: float = Field(
        default=2.0**-9,
        gt=0,
        le=1e6,
        allow_inf_nan=False,
        description="eta in v = m v + g, w = w - eta v. A power of two of at most 1, since the "
        "hardware only shifts.",
    )
    momentum: float = Field(
        default=0.875,
        ge=0,
        lt=1,
        description=f"m in v = m v + g: 0 or 1 - 2^-k, with k up to {MAX_MOMENTUM_SHIFT}.",
    )
    scale_from: Reference | None = Field(
        default=None,
        description="Learning rate and momentum of another batch size, from which those of batch "
        "size one follow. In place of the two keys above.",
    )
    mitigation: Mitigation = Field(
        default="lwpv+sc",
        description="What makes up for stale weights: prediction of weights by velocity (lwpv) or "
        "by weights (lwpw), spike compensation (sc), or old weights kept (stash). Hardware has "
        "none, lwpv, sc and lwpv+sc.",
    )
    horizon: Literal[1, 2] = Field(
        default=1,
        description="Prediction and compensation reckon with so many times the delay.",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=MAX_ACCUMULATE,
        description="Weights move once for so many samples, by the sum of their gradients.",
    )
    sequential_after: int | None = Field(
        default=None,
        ge=1,
        le=MAX_SAMPLES,
        description="After so many samples, over all epochs, a pipelined training goes on "
        "sequentially.",
    )
    placement: tuple[int, ...] | None = Field(
        default=None,
        strict=False,
        description="Layers with weights, counted from 1, behind which a stage of the pipeline "
        "ends. Without it each is a stage. With it only `train --model float` works.",
    )
    epochs: int = Field(
        default=1, ge=1, le=MAX_EPOCHS, description="Passes over the training samples."
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Share of itself by which an update makes each weight smaller, whatever the "
        f"momentum: 0 or 2^-k, with k up to {MAX_DECAY_SHIFT}. Rate drops lower it, too; biases "
        "and norms have none.",
        exclude_if=lambda value: not value,
    )
    gradient_clip: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        exclude_if=lambda value: value is None,
        description="Bound at which the gradient of each parameter saturates before an update "
        f"takes it, on either side of zero: 2^k, with k from -{MAX_CLIP_SHIFT} to "
        f"{MAX_CLIP_SHIFT}. One that clips the usual errors of the last layer lets scores drift.",
    )
    rate_drops: tuple[RateDrop, ...] = Field(
        default=(),
        strict=False,
        description="Epochs from which the learning rate is lower, in their order.",
    )
    init: Literal["he", "orthogonal"] = Field(
        default="he", description="How initial weights are drawn."
    )
    seed: int = Field(
        default=1,
        ge=0,
        lt=2**31,
        description="Seed of initial weights, of the order of samples and of random bits.",
    )

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

    @field_validator("weight_decay")
    @classmethod
    def _power_below_one(cls, value: float) -> float:
        if value and (math.frexp(value)[0] != 0.5 or value < 2.0**-MAX_DECAY_SHIFT):
            near = 2.0 ** min(-1, max(-MAX_DECAY_SHIFT, round(math.log2(value))))
            raise ValueError(
                f"weight_decay {value} is not 0 or 2^-k with k from 1 to {MAX_DECAY_SHIFT}; the "
                f"nearest is {near}"
            )
        return value

    @field_validator("gradient_clip")
    @classmethod
    def _power(cls, value: float | None) -> float | None:
        if value is None:
            return None
        mantissa, exponent = math.frexp(value)
        if mantissa != 0.5 or abs(exponent - 1) > MAX_CLIP_SHIFT:
            shift = min(max(round(math.log2(value)), -MAX_CLIP_SHIFT), MAX_CLIP_SHIFT)
            raise ValueError(
                f"gradient_clip {value} is not 2^k with k from -{MAX_CLIP_SHIFT} to "
                f"{MAX_CLIP_SHIFT}; the nearest is {2.0**shift}"
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
    def decay_shift(self) -> int:
        """k of weight_decay = 2**-k (0: no decay)."""
        return -math.frexp(self.weight_decay)[1] + 1 if self.weight_decay else 0

    @property
    def clip_shift(self) -> int | None:
        """k of gradient_clip = 2**k, None where there is none."""
        return None if self.gradient_clip is None else math.frexp(self.gradient_clip)[1] - 1

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
