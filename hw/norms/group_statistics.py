"""Mean and deviation of a group, of its sums."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.group_normalisation import GroupNormalisation
from counterflow.design.units.group_times import SQUARES, STATISTICS
from counterflow.design.units.latency import PRODUCT
from counterflow.design.units.normal_times import SHARED
from counterflow.hw.norms.roots import rooted
from counterflow.hw.norms.rounding import register, shared
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, summed, terms_of


class GroupStatistics(wiring.Component):
    """Part of the twin of `golden.units.group_norm.GroupNorm.forward`.

    Parameters: ``numbers``.
    Members: ``total``, ``squares`` in, S and Q; ``centre``, ``root``, ``halvings`` out.
    Cost: a multiplier; latency `design.units.group_times.STATISTICS`, a group a cycle.
    """

    def __init__(self, *, numbers: GroupNormalisation) -> None:
        self.numbers = numbers
        super().__init__(
            {
                "total": In(shape_of(numbers.sums)),
                "squares": In(numbers.squares.bits),
                "centre": Out(shape_of(numbers.centre)),
                "root": Out(numbers.root.bits),
                "halvings": Out(numbers.halving_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers = self.numbers
        product = register(m, self.total * self.total, "product")
        product = delayed(m, product, SQUARES - PRODUCT, "product_late")
        squares = summed(m, terms_of(self.squares, numbers.count), "squares", levels=SQUARES)
        spread = Signal(numbers.spread.bits, name="spread", reset_less=True)
        m.d.sync += spread.eq(squares - product)
        variance = shared(m, spread, numbers.variance_share, "variance")
        halvings, root = rooted(m, numbers, variance, platform)
        centre = shared(m, self.total, numbers.centre_share, "centre")
        sized = centre[: numbers.centre.bits].as_signed()
        m.d.comb += [
            self.centre.eq(delayed(m, sized, STATISTICS - SHARED, "centre_late")),
            self.root.eq(root),
            self.halvings.eq(halvings),
        ]
        return m
