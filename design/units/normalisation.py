"""The arithmetic of a norm with running statistics: formats and shifts.

Per channel, with x in its last places (Chiley et al., arXiv 1905.05894, Online Normalization):

    e = 4 x - M                         M: the running mean with CENTRE_FRAC more fraction bits
    xhat = e * t * 2^..                 t 2^(4-h-8): one over the running standard deviation
    y = saturate(xhat + beta)           the ReLU, if there is one, belongs to whoever reads it

    z = dy - b c xhat                   c: control of scale         b = 2^-DECAY
    dx = narrow(z t 2^.. - b u)         u: control of shift

At the end of a token, over its pixels: mean += b (mean of x - mean), variance += b (mean of
(x - M/4)^2 - variance); c += mean of z xhat, u += mean of dx, beta by the sum of dy.  Nothing of
this needs a division by anything but the number of pixels, a constant, nor a product.  With a
gamma, z has gamma dy in place of dy, and gamma moves by the sum of dy xhat.  In a frozen norm mean
and variance stay as they are, too, and nothing is summed.

The square is taken around the mean that was in force, not around the image's own; what that adds to
the variance is the square of how far the mean moves; the method adds 127 times as much anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from counterflow.design.parts.formats import SUM_BITS, Format, signed_for
from counterflow.design.units.normal import (
    CENTRE_FRAC,
    GRADIENT_GUARD,
    SHARE_BITS,
    VARIANCE_FRAC,
    Normal,
    Share,
    share_of,
)

DECAY = 7  # of all running values: they move by 2^-7 of the way
MEAN_GUARD = 8  # fraction bits of the mean beyond those of x
VARIANCE_BITS = 31  # at most: a register of the bus holds them
SCALE_CONTROL = Format(True, 18, 16)
SHIFT_CONTROL = Format(True, 20, 18)


@dataclass(frozen=True)
class Normalisation(Normal):
    """Formats of a norm with running statistics."""

    def check(self) -> None:
        """See `Normal.check`."""
        self._check_output()
        widest = max(self.squares.bits, self.product_sum.bits, self.gradient_sum.bits)
        if self.mean.bits > 32 or widest + SHARE_BITS + 1 > SUM_BITS:
            raise ValueError(
                f"what it normalises has the format {self.x}, too wide for sums over "
                f"{self.pixels:,} pixels; a format of fewer bits would do, or a smaller image"
            )
        if self.control_drop < 1 or self.dy.bits > 20:
            raise ValueError(
                f"its format of error is {self.dy}, which leaves no room for the running "
                "statistics of gradients; use one such as s12.12"
            )
        if self.shift_drop < 1:
            raise ValueError(
                f"the format of gradients that leave it is {self.dx or self.dy}, which leaves no "
                "room for their running mean; give the layer below one of error such as s12.12"
            )

    @property
    def mean(self) -> Format:
        """Format of the running mean."""
        return Format(
            True, self.x.bits + MEAN_GUARD + (not self.x.signed), self.x.frac + MEAN_GUARD
        )

    @property
    def variance(self) -> Format:
        """Format of the running variance, in squared last places of x."""
        bits = 2 * (self.x.bits - self.x.signed) + VARIANCE_FRAC
        return Format(False, min(VARIANCE_BITS, bits), VARIANCE_FRAC)

    @property
    def centre(self) -> Format:
        """Format of M."""
        mean = self.mean
        drop = MEAN_GUARD - CENTRE_FRAC
        return Format(True, mean.bits - drop + 1, mean.frac - drop)

    @property
    def sums(self) -> Format:
        """The sum of e over the pixels of a channel."""
        return signed_for(self.pixels * self.difference.magnitude, self.difference.frac)

    @property
    def squares(self) -> Format:
        """The sum of e^2 over the pixels of a channel."""
        return Format(False, (self.pixels * self.difference.magnitude**2).bit_length(), 0)

    @property
    def control_drop(self) -> int:
        """Right shift of c xhat to z: it also multiplies by b."""
        return SCALE_CONTROL.frac + self.y.frac + DECAY - (self.dy.frac + GRADIENT_GUARD)

    @property
    def z(self) -> Format:
        """Format of z."""
        control = SCALE_CONTROL.magnitude * self.y.magnitude
        control >>= max(self.control_drop, 0)
        largest = (self.given.magnitude << self.guard) + control + 1
        return signed_for(largest, self.dy.frac + GRADIENT_GUARD)

    @property
    def wide(self) -> Format:
        """Format of dx before it is narrowed."""
        largest = self.scaled + (SHIFT_CONTROL.magnitude >> self.shift_drop) + 2
        return signed_for(largest, self.wide_frac)

    @property
    def shift_drop(self) -> int:
        """Right shift of u to b u beside dx."""
        return SHIFT_CONTROL.frac + DECAY - self.wide_frac

    @property
    def product_sum(self) -> Format:
        """The sum of z xhat over the pixels of a channel."""
        largest = self.pixels * self.z.magnitude * self.y.magnitude
        return signed_for(largest, self.z.frac + self.y.frac)

    @property
    def gradient_sum(self) -> Format:
        """The sum of dx before it is narrowed over the pixels of a channel."""
        return signed_for(self.pixels * self.wide.magnitude, self.wide_frac)

    def share(self, gained: int) -> Share:
        """Division by the pixels, to so many more fraction bits."""
        return share_of(self.pixels, gained)

    @cached_property
    def mean_share(self) -> Share:
        """From the sum of e to the mean's fraction bits."""
        return self.share(MEAN_GUARD - CENTRE_FRAC)

    @cached_property
    def variance_share(self) -> Share:
        """From the sum of e^2 to the variance's fraction bits."""
        return self.share(VARIANCE_FRAC - 2 * CENTRE_FRAC)

    @cached_property
    def scale_share(self) -> Share:
        """From the sum of z xhat to the fraction bits of c."""
        return self.share(SCALE_CONTROL.frac - self.product_sum.frac)

    @cached_property
    def shift_share(self) -> Share:
        """From the sum of dx to the fraction bits of u."""
        return self.share(SHIFT_CONTROL.frac - self.wide_frac)

    @property
    def products(self) -> list[tuple[Format, Format]]:
        """Factors of each multiplier: e t, e e; and where dx is wanted c xhat, z t, z xhat.

        A frozen norm has the first alone.
        """
        squares = [(self.difference, self.difference)] * (not self.frozen)
        forward = [(self.difference, self.root), *squares]
        back = [(SCALE_CONTROL, self.y), (self.z, self.root), (self.z, self.y)]
        return [*forward, *(back if self.dx is not None else []), *self.gamma_products]
