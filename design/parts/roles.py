"""The numbers of a description: a format and a rounding for each role that a tensor can have."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from counterflow.design.parts.fields import FormatField, Frozen
from counterflow.design.parts.formats import Format, Rounding


class Formats(Frozen):
    """Number formats by tensor role, for every layer that does not override them.

    Accumulators have no entry: their width follows from the shapes so that they cannot overflow.
    """

    input: FormatField = Field(default=Format.parse("u8.8"), description="Elements of a sample.")
    activation: FormatField = Field(
        default=Format.parse("u8.4"),
        description="What hidden layers put out. Signed for a layer without ReLU, as s8.7 behind a "
        "tanh.",
    )
    preactivation: FormatField = Field(
        default=Format.parse("s10.6"), description="The sums that a tanh gets. Signed."
    )
    logit: FormatField = Field(
        default=Format.parse("s12.6"),
        description="Scores that the loss gets. Signed.",
    )
    operand: FormatField = Field(
        default=Format.parse("s9.7"),
        description="The weight that multipliers see. Signed, with no more fraction bits than "
        "`weight`.",
    )
    weight: FormatField = Field(
        default=Format.parse("s20.18"), description="The weight that memories hold. Signed."
    )
    velocity: FormatField = Field(
        default=Format.parse("s14.18"),
        description="The velocity times the learning rate. Signed, with as many fraction bits as "
        "`weight`.",
    )
    error: FormatField = Field(
        default=Format.parse("s10.8"), description="Gradients between layers. Signed."
    )

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

    update: Rounding = Field(
        default=Rounding.STOCHASTIC,
        strict=False,
        description="Of weights and velocities at an update.",
    )
    activation: Rounding = Field(
        default=Rounding.NEAREST_EVEN,
        strict=False,
        description="Of what layers put out. Not stochastic.",
    )
    operand: Rounding = Field(
        default=Rounding.NEAREST_EVEN,
        strict=False,
        description="Of weights to what multipliers see. Not stochastic.",
    )
    error: Rounding = Field(
        default=Rounding.NEAREST_EVEN, strict=False, description="Of gradients. Not stochastic."
    )
    generator: Literal["xorshift32"] = Field(
        default="xorshift32", description="Where random bits come from, in each unit."
    )

    @model_validator(mode="after")
    def _update_only(self) -> Self:
        for role in ("activation", "operand", "error"):
            if getattr(self, role) is Rounding.STOCHASTIC:
                raise ValueError(
                    f"rounding of {role} is 'stochastic'; it may be 'truncate' or 'nearest-even' "
                    "(random bits are drawn for the update alone)"
                )
        return self
