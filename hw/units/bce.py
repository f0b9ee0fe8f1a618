"""The binary cross-entropy: a logistic function of tables; twin of `golden.units.bce`.

cycle after a score was taken  1   |z|, and the share of u that counts
                               2   u
                               3   2**-u
                               4   L
                               5   u + L; their product with the share
                               6   q
                               7   p - t
                               8   the error, narrowed
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value

from counterflow.design.units.bce import BinaryCrossEntropy
from counterflow.design.units.loss import EXP2, EXP_FRAC, LOG2, LOG2E_NUMERATOR, LOG_FRAC
from counterflow.hw.losses.pointwise import PointwiseLoss
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed, looked_up, times_constant

BITS = EXP_FRAC + 1  # of a power of two of at most one


class Bce(PointwiseLoss):
    """Binary cross-entropy; see `PointwiseLoss`.

    Cost: three tables, and a multiplier where targets are a stream.
    """

    numbers: BinaryCrossEntropy

    def _worked_on(
        self, m: Module, score: Value, target: Value, platform: object
    ) -> tuple[Value, Value]:
        """See `PointwiseLoss`."""
        numbers, frac = self.numbers, self.numbers.given.frac
        negative, one = score < 0, 1 << frac
        s0_target = Signal(frac + 1, name="s0_target")
        m.d.comb += s0_target.eq(Mux(target > one, one, target))
        s1_size = Signal(numbers.logit.bits, name="s1_size")
        s1_share = Signal(frac + 1, name="s1_share")
        m.d.sync += [
            s1_size.eq(Mux(negative, -score, score)),
            s1_share.eq(Mux(negative, s0_target, one - s0_target)),
        ]
        shift = numbers.exponent_shift
        s2_u = Signal(numbers.exponent.bits, name="s2_u")
        m.d.sync += s2_u.eq(
            (times_constant(s1_size, LOG2E_NUMERATOR) + (1 << (shift - 1))) >> shift
        )
        s3_power = self._power(m, "exponentials", "s3_power", s2_u, platform)
        s4_logarithm = self._logarithm(m, s3_power, platform)
        s4_u = delayed(m, s2_u, 2, "u")
        s5_exponent = Signal(numbers.exponent.bits + 1, name="s5_exponent")
        m.d.sync += s5_exponent.eq(s4_u + s4_logarithm)
        s6_smaller = self._power(m, "chances", "s6_smaller", s5_exponent, platform)
        s6_negative = delayed(m, negative, 6, "negative")
        s6_target = delayed(m, s0_target, 6, "target")
        chance = Mux(s6_negative, s6_smaller, (1 << EXP_FRAC) - s6_smaller)
        exact = (chance << frac) - (s6_target << EXP_FRAC)
        s7_exact = delayed(m, exact, 1, "s7_exact")
        value, _ = narrow(s7_exact, EXP_FRAC + frac, numbers.error, numbers.round_error)
        s4_share = delayed(m, s1_share, 3, "share")
        s5_counted = Signal(len(s4_u) + frac + 1, name="s5_counted")
        counted = Mux(s4_share[0], s4_u, 0) if numbers.target is None else s4_u * s4_share
        m.d.sync += s5_counted.eq(counted)
        s5_logarithm = delayed(m, s4_logarithm, 1, "s5_logarithm")
        bits = (s5_counted >> frac) + s5_logarithm
        return delayed(m, value, 1, "s8_error"), delayed(m, bits, 3, "bits")

    def _power(self, m: Module, table: str, name: str, exponent: Value, platform: object) -> Signal:
        """2**-exponent, a cycle later."""
        part, whole = exponent[:LOG_FRAC], exponent[LOG_FRAC:]
        entry = looked_up(m, table, EXP2, BITS, part, platform)
        power = Signal(BITS, name=name)
        for amount in range(BITS):
            with m.If(whole == amount):
                m.d.sync += power.eq(entry >> amount)
        with m.If(whole > EXP_FRAC):
            m.d.sync += power.eq(0)
        return power

    def _logarithm(self, m: Module, power: Value, platform: object) -> Signal:
        """log2(1 + power), a cycle later; a power of 1 makes it 1."""
        mantissa = power[EXP_FRAC - LOG_FRAC : EXP_FRAC]
        entry = looked_up(m, "logarithms", LOG2, LOG_FRAC + 1, mantissa, platform)
        logarithm = Signal(LOG_FRAC + 1, name="s4_logarithm")
        m.d.sync += logarithm.eq(Mux(power[EXP_FRAC], 1 << LOG_FRAC, entry))
        return logarithm
