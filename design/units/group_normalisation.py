"""The arithmetic of a norm with the statistics of groups: formats and shifts.

Per group of `group` channels of an image, N = pixels x group numbers, x in its last places
(Wu and He, arXiv 1803.08494, Group Normalization):

    S = sum of x, Q = sum of x^2        exact, while the image arrives
    M = 4 S / N                         half up
    v = (N Q - S S) / N^2               the variance; a squared last place of x is added to it

then xhat and y as `design.units.normal` says.  Back, with the sums over the same N numbers:

    c1 = mean of dy, c2 = mean of dy xhat
    z = dy - c1 - c2 xhat
    dx = narrow(z t 2^..)               the true gradient: mean and variance depend on x

With a gamma, gamma dy stands in place of dy in all three, and gamma moves by the sum of dy xhat.

N Q - S S is exact, so that nothing cancels.  Where N is no power of two, M and v are products with
constants, M within 9/16 of its last place, v within 2^-11 of itself.  Hence

    |xhat - exact| <= half a last place + 1.6 % of it + 0.15 last places of x / deviation

with the exact one of the same variance and the same squared last place more.
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

CENTRE_GUARD = 3  # bits of the constant that M is divided by, beyond those of M
MEAN_GUARD = 4  # fraction bits of c1 and c2 beyond those of dy


@dataclass(frozen=True)
class GroupNormalisation(Normal):
    """Formats of a norm that takes the statistics of `group` channels of each image together."""

    group: int

    def check(self) -> None:
        """See `Normal.check`."""
        self._check_output()
        if self.x.bits > 20 or self._spread_bits + SHARE_BITS + 1 > SUM_BITS:
            raise ValueError(
                f"what it normalises has the format {self.x}, too wide for sums of squares over "
                f"{self.count:,} numbers; a format of fewer bits would do, or a smaller group"
            )
        if self.correction_drop < 1 or self.dy.bits > 20:
            raise ValueError(
                f"its format of error is {self.dy}, which leaves no room for the means of "
                "gradients; use one such as s12.12"
            )

    @property
    def groups(self) -> int:
        """Groups of an image."""
        return self.channels // self.group

    @property
    def count(self) -> int:
        """N, the numbers that are normalised together."""
        return self.pixels * self.group

    @property
    def sums(self) -> Format:
        """S, and the part of it that is of one channel."""
        return signed_for(self.count * self.x.magnitude, self.x.frac)

    @property
    def squares(self) -> Format:
        """Q, and the part of it that is of one channel."""
        return Format(False, (self.count * self.x.magnitude**2).bit_length(), 0)

    @property
    def _spread_bits(self) -> int:
        return (self.count**2 * self.x.magnitude**2).bit_length()

    @cached_property
    def spread(self) -> Format:
        """N Q - S S, and either of them."""
        return Format(False, self._spread_bits, 0)

    @property
    def variance(self) -> Format:
        """Format of v, with what a division by a constant can add."""
        largest = self.x.magnitude**2 << VARIANCE_FRAC
        return Format(False, (largest + (largest >> SHARE_BITS) + 1).bit_length(), VARIANCE_FRAC)

    @property
    def centre(self) -> Format:
        """Format of M."""
        return signed_for((self.x.magnitude << CENTRE_FRAC) + 1, self.x.frac + CENTRE_FRAC)

    @cached_property
    def centre_share(self) -> Share:
        """From S to M."""
        return share_of(self.count, CENTRE_FRAC, self.x.bits + CENTRE_FRAC + CENTRE_GUARD)

    @cached_property
    def variance_share(self) -> Share:
        """From N Q - S S to v."""
        return share_of(self.count**2, VARIANCE_FRAC)

    @property
    def product_sum(self) -> Format:
        """The sum of dy xhat over a group, and the part of it that is of one channel."""
        largest = self.count * self.given.magnitude * self.y.magnitude
        return signed_for(largest, self.given.frac + self.y.frac)

    @property
    def group_error_sum(self) -> Format:
        """The sum of dy over a group."""
        return signed_for(self.count * self.given.magnitude, self.given.frac)

    @cached_property
    def error_share(self) -> Share:
        """From the sum of dy to c1."""
        return share_of(self.count, self.mean_guard)

    @cached_property
    def product_share(self) -> Share:
        """From the sum of dy xhat to c2."""
        return share_of(self.count, self.mean_guard - self.y.frac)

    @property
    def mean_guard(self) -> int:
        """Fraction bits of c1 and c2 beyond those of the gradient of xhat."""
        return MEAN_GUARD - GRADIENT_GUARD + self.guard

    def _most(self, mean: int) -> int:
        """The largest mean, with what a division by a constant can add."""
        return mean + (mean >> SHARE_BITS) + 1

    @property
    def _most_error(self) -> int:
        return self._most(self.given.magnitude << self.mean_guard)

    @property
    def _most_product(self) -> int:
        half_root = 33 * (1 << self.y.frac) + 16  # in 2^-(frac + 5)
        return self._most(self.given.magnitude * half_root << self.mean_guard >> self.y.frac + 5)

    @property
    def error_mean(self) -> Format:
        """Format of c1."""
        return signed_for(self._most_error, self.dy.frac + MEAN_GUARD)

    @property
    def product_mean(self) -> Format:
        """Format of c2.

        By Cauchy and Schwarz it is below the largest gradient times the root of the mean of xhat^2,
        and that below 33/32 (the table of roots, the division by N) and half a last place.
        """
        return signed_for(self._most_product, self.dy.frac + MEAN_GUARD)

    @property
    def _most_corrected(self) -> int:
        return (self.given.magnitude << self.mean_guard) + self._most_error

    @property
    def corrected(self) -> Format:
        """dy - c1, exact."""
        return signed_for(self._most_corrected, self.dy.frac + MEAN_GUARD)

    @property
    def correction_drop(self) -> int:
        """Right shift of dy - c1 - c2 xhat to z."""
        return self.y.frac + MEAN_GUARD - GRADIENT_GUARD

    @property
    def z(self) -> Format:
        """Format of z."""
        largest = self._most_corrected << self.y.frac
        largest += self._most_product * self.y.magnitude
        return signed_for((largest >> self.correction_drop) + 1, self.dy.frac + GRADIENT_GUARD)

    @property
    def wide(self) -> Format:
        """Format of dx before it is narrowed."""
        return signed_for(self.scaled + 1, self.wide_frac)

    @property
    def products(self) -> list[tuple[Format, Format]]:
        """Factors of each multiplier: e t, x x, S S; and for dx dy xhat, c2 xhat, z t."""
        forward = [(self.difference, self.root), (self.x, self.x), (self.sums, self.sums)]
        back = [(self.given, self.y), (self.product_mean, self.y), (self.z, self.root)]
        return [*forward, *(back if self.dx is not None else []), *self.gamma_products]
