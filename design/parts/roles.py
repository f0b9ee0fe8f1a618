"""The numbers of a description: a format and a rounding for each role that a tensor can have."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from counterflow.design.parts.fields import FormatField, Frozen
from counterflow.design.parts.formats import Format, Rounding


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
