"""What norms have in common: constants, the table of roots, and formats that follow from both.

With x in its last places, whatever the source of mean and variance:

    e = 4 x - M                         M: the mean with CENTRE_FRAC more fraction bits
    xhat = e * t * 2^..                 t 2^(4-h-8): one over the standard deviation
    y = saturate(xhat + beta)           the ReLU, if there is one, belongs to whoever reads it

and back, of a z that is the gradient less what the statistics take of it, dx = narrow(z t 2^..).

With a gamma it is y = saturate(gamma xhat + beta), rounded once, and the gradient is gamma dy, with
the gamma that the token saw as it went forward.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from counterflow.design.parts.formats import Format, Rounding, signed_for
from counterflow.design.units.arithmetic import UnitArithmetic

CENTRE_FRAC = 2  # fraction bits of M beyond those of x
VARIANCE_FRAC = 8  # fraction bits of a variance, whose unit is a squared last place of x
ROOT_FRAC = 8  # fraction bits of t
ROOT_STEPS = 4  # log2 of the entries of `ROOTS` an octave of the variance
GRADIENT_GUARD = 2  # fraction bits of z beyond those of dy
SUM_GUARD = 4  # fraction bits of dx before it is narrowed
SHARE_BITS = 11  # bits of the constant by which sums are divided
GAMMA_FRAC = 8  # fraction bits of gamma as it multiplies

ROOTS = tuple(
    round(2**ROOT_FRAC / math.sqrt(1 + (i + 0.5) / 2**ROOT_STEPS)) for i in range(3 * 2**ROOT_STEPS)
)
"""t of a variance of (1 + i/16) 4^h to the next one: its xhat is within 1.6 % of the exact one."""


@dataclass(frozen=True)
class Share:
    """Division by a constant: (value * factor + half) >> shift, or << -shift."""

    factor: int
    shift: int


def share_of(count: int, gained: int, bits: int = SHARE_BITS) -> Share:
    """Division by `count`, to so many more fraction bits, by a factor of so many `bits`."""
    exponent = (count - 1).bit_length()
    if count == 1 << exponent:
        return Share(1, exponent - gained)
    shift = exponent + bits - 1
    return Share(round(2**shift / count), shift - gained)


@dataclass(frozen=True)
class Normal(ABC):
    """Formats of a norm over images of `pixels` pixels of `channels` channels.

    ``x``, ``y`` are those of activations in and out, y also that of xhat; ``dy``, ``dx`` of
    gradients (dx None where nobody wants it); ``parameters``: how beta moves, as the bias of an
    output that each pixel has; ``gammas``: how gamma moves, None where there is none.
    """

    channels: int
    pixels: int
    x: Format
    y: Format
    dy: Format
    dx: Format | None
    round_error: Rounding
    parameters: UnitArithmetic
    gammas: UnitArithmetic | None

    @abstractmethod
    def check(self) -> None:
        """ValueError, a sentence without the layer's place, unless all of it can work together."""

    def _check_output(self) -> None:
        if not self.y.signed or self.y.frac > 8:
            raise ValueError(
                f"its format of activations is {self.y}, but what is normalised is signed, and at "
                "most 8 fraction bits of it can be made; use one such as s9.5"
            )
        weight, most = self.parameters.weight, 2 * self.y.value(self.y.max + 1)
        if weight.value(weight.max + 1) > most:  # xhat = y - beta would be wider than y
            raise ValueError(
                f"its format of weight is {weight}, in which beta can be more than twice as large "
                f"as what its format of activations, {self.y}, holds; use a weight within {most:g}"
            )
        if self.gammas and (weight.frac < GAMMA_FRAC or weight.max < 1 << weight.frac):
            raise ValueError(
                f"its format of weight is {weight}, but gamma begins at 1 and is used with "
                f"{GAMMA_FRAC} fraction bits; use one such as s20.18"
            )

    @property
    def frozen(self) -> bool:
        """Whether it only goes forward, and keeps all that is loaded."""
        return self.parameters.frozen

    @property
    def elements(self) -> int:
        """Elements of an image."""
        return self.pixels * self.channels

    @property
    @abstractmethod
    def variance(self) -> Format:
        """Format of a variance, in squared last places of x."""

    @property
    @abstractmethod
    def centre(self) -> Format:
        """Format of M."""

    @property
    @abstractmethod
    def z(self) -> Format:
        """Format of z."""

    @property
    @abstractmethod
    def products(self) -> list[tuple[Format, Format]]:
        """Formats of the two factors of each multiplier."""

    @property
    def difference(self) -> Format:
        """Format of e."""
        largest = (self.x.magnitude << CENTRE_FRAC) + self.centre.magnitude
        return signed_for(largest, self.centre.frac)

    @property
    def root(self) -> Format:
        """Format of t."""
        return Format(False, ROOT_FRAC + 1, ROOT_FRAC)

    @property
    def halvings(self) -> tuple[int, int]:
        """The least and the largest h: half the octaves of a variance, of 1 and of the largest."""
        return VARIANCE_FRAC // 2, (self.variance.max + (1 << VARIANCE_FRAC)).bit_length() - 1 >> 1

    @property
    def halving_bits(self) -> int:
        """Bits of h, counted from the least one."""
        return (self.halvings[1] - self.halvings[0]).bit_length()

    @property
    def normal_shift(self) -> int:
        """Right shift of e t to y, without h."""
        return CENTRE_FRAC + VARIANCE_FRAC // 2 - self.y.frac

    @property
    def beta(self) -> Format:
        """Format of beta as it is added: the range of the weights, the fraction of y."""
        return self.parameters.bias_operand

    @property
    def gamma(self) -> Format:
        """Format of gamma, where there is one, as it multiplies."""
        assert self.gammas is not None
        return self.gammas.operand

    @property
    def learnt(self) -> dict[str, tuple[UnitArithmetic, Format]]:
        """What learns by the rule: how it moves, and its format as tokens see it."""
        found = {"beta": (self.parameters, self.beta)}
        return found if self.gammas is None else {**found, "gamma": (self.gammas, self.gamma)}

    @property
    def carried(self) -> Format:
        """Format of what a token's dx needs of its channel, besides the root: gamma, or beta."""
        return self.beta if self.gammas is None else self.gamma

    @property
    def given(self) -> Format:
        """Format of the gradient of xhat: gamma dy, or dy."""
        if self.gammas is None:
            return self.dy
        largest = self.dy.magnitude * self.gamma.magnitude >> self.gamma_drop
        return signed_for(largest + 1, self.dy.frac + GRADIENT_GUARD)

    @property
    def gamma_drop(self) -> int:
        """Right shift of gamma dy to its format."""
        return GAMMA_FRAC - GRADIENT_GUARD

    @property
    def guard(self) -> int:
        """Fraction bits of z beyond those of the gradient of xhat."""
        return self.dy.frac + GRADIENT_GUARD - self.given.frac

    @property
    def correlation(self) -> Format:
        """The sum of dy xhat over the pixels of a channel."""
        largest = self.pixels * self.dy.magnitude * self.y.magnitude
        return signed_for(largest, self.dy.frac + self.y.frac)

    @property
    def gamma_products(self) -> list[tuple[Format, Format]]:
        """Factors of what a gamma multiplies: gamma xhat; dy xhat to learn; for dx gamma dy."""
        if self.gammas is None:
            return []
        learns = [(self.dy, self.y)] * (not self.frozen)
        back = [(self.dy, self.gamma)] * (self.dx is not None)
        return [(self.gamma, self.y), *learns, *back]

    @property
    def wide_frac(self) -> int:
        """Fraction bits of dx before it is narrowed."""
        return (self.dx or self.dy).frac + SUM_GUARD

    @property
    def scaled_shift(self) -> int:
        """Right shift of z t to dx before it is narrowed, without h; it may be negative."""
        return self.z.frac + ROOT_FRAC - VARIANCE_FRAC // 2 - self.x.frac - self.wide_frac

    @property
    def lift(self) -> int:
        """Left shift of z t beforehand, so that what follows is a right shift for every h."""
        return max(0, 1 - self.halvings[0] - self.scaled_shift)

    @property
    def scaled(self) -> int:
        """The largest z t as it is shifted for the least h."""
        lifted = self.z.magnitude * self.root.max << self.lift
        return lifted >> self.scaled_shift + self.lift + self.halvings[0]

    @property
    def error_sum(self) -> Format:
        """The sum of dy over the pixels of a channel."""
        return signed_for(self.pixels * self.dy.magnitude, self.dy.frac)
