"""One lane's arithmetic around its multipliers: prediction before them, the update behind them.

Twin of `golden.convolution.Convolution._predicted` and `_updated`; the equations stand in
`counterflow.arithmetic`.  Signals carry their pipeline stage as prefix.
"""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.arithmetic import COMPENSATION_FRAC, RANDOM_BITS, UnitArithmetic
from counterflow.formats import Format
from hw.narrow import narrow, round_off, saturate, shape_of
from hw.pipeline import delayed, times_constant


class Predict(wiring.Component):
    """Weights as the multipliers see them: w_hat = w - T u going forward, w going backward.

    Parameters: ``numbers``; ``target`` the format to narrow to.
    Members: ``weight``, ``velocity`` in; ``enable`` in, one cycle after them (without it the
    forward pass sees w); ``forward``, ``backward`` out, in `target`.
    Cost: no multiplier (T is a constant, made of shifted additions); latency 1, rate 1 a cycle.
    """

    def __init__(self, *, numbers: UnitArithmetic, target: Format) -> None:
        self.numbers, self.target = numbers, target
        super().__init__(
            {
                "weight": In(shape_of(numbers.weight)),
                "velocity": In(shape_of(numbers.velocity)),
                "enable": In(1),
                "forward": Out(shape_of(target)),
                "backward": Out(shape_of(target)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ahead = self.weight - times_constant(self.velocity, self.numbers.horizon)
        s1_ahead = Signal(ahead.shape())
        s1_weight = Signal.like(self.weight)
        m.d.sync += [s1_ahead.eq(ahead), s1_weight.eq(self.weight)]
        frac, rounding = self.numbers.weight.frac, self.numbers.round_operand
        predicted, _ = narrow(s1_ahead, frac, self.target, rounding)
        current, _ = narrow(s1_weight, frac, self.target, rounding)
        m.d.comb += [
            self.forward.eq(Mux(self.enable, predicted, current)),
            self.backward.eq(current),
        ]
        return m


class Update(wiring.Component):
    """New weight and velocity of one lane from its gradient: SGDM or spike compensation.

    Parameters: ``numbers``.
    Members: ``weight``, ``velocity``, ``gradient``, in the same cycle; ``random`` in, one cycle
    later; ``extra_shift`` and ``compensate`` settings; ``new_weight``, ``new_velocity`` and
    ``clipped`` out, `counterflow.latency.UPDATE` cycles after the inputs.
    Cost: no multiplier (rate and momentum are shifts, the coefficient is constant).
    """

    def __init__(self, *, numbers: UnitArithmetic) -> None:
        self.numbers = numbers
        super().__init__(
            {
                "weight": In(shape_of(numbers.weight)),
                "velocity": In(shape_of(numbers.velocity)),
                "gradient": In(shape_of(numbers.gradient)),
                "random": In(RANDOM_BITS),
                "extra_shift": In(3),
                "compensate": In(1),
                "new_weight": Out(shape_of(numbers.weight)),
                "new_velocity": Out(shape_of(numbers.velocity)),
                "clipped": Out(1),
            }
        )

    def _scaled(self) -> Value:
        """The gradient times the learning rate, aligned: one of rate_span + 1 constant shifts."""
        result: Value = self.gradient << self.numbers.gradient_shift(0)
        for extra in range(1, self.numbers.rate_span + 1):
            shifted = self.gradient << self.numbers.gradient_shift(extra)
            result = Mux(self.extra_shift == extra, shifted, result)
        return result

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, rounding = self.numbers, self.numbers.round_update
        k, drop = numbers.momentum_shift, numbers.velocity_drop
        scaled = self._scaled()
        s1_scaled = Signal(scaled.shape())
        s1_old, s1_weight = Signal.like(self.velocity), Signal.like(self.weight)
        m.d.sync += [s1_scaled.eq(scaled), s1_old.eq(self.velocity), s1_weight.eq(self.weight)]

        aligned = s1_old << drop
        grown = aligned - (s1_old << (drop - k)) + s1_scaled
        gap = aligned - (s1_scaled << k)
        s2_grown, s2_gap = Signal(grown.shape()), Signal(gap.shape())
        s2_whole = Signal((s1_scaled << k).shape())
        s2_random = Signal(RANDOM_BITS)
        m.d.sync += [
            s2_grown.eq(grown),
            s2_gap.eq(gap),
            s2_whole.eq(s1_scaled << k),
            s2_random.eq(self.random),
        ]
        s2_weight = delayed(m, s1_weight, 1, "s2_weight")

        velocity, velocity_clipped = saturate(
            round_off(s2_grown, drop, rounding, s2_random[:drop]), numbers.velocity
        )
        mixed = (s2_whole << COMPENSATION_FRAC) + times_constant(s2_gap, numbers.compensation)
        high = s2_random[RANDOM_BITS - numbers.weight_drop :]
        stepped = round_off(mixed, numbers.weight_drop, rounding, high)
        s3_velocity = Signal.like(self.velocity)
        s3_clipped = Signal()
        s3_step = Signal(signed(max(len(stepped), len(velocity))))
        m.d.sync += [
            s3_velocity.eq(velocity),
            s3_clipped.eq(velocity_clipped),
            s3_step.eq(Mux(self.compensate, stepped, velocity)),
        ]
        s3_weight = delayed(m, s2_weight, 1, "s3_weight")

        weight, weight_clipped = saturate(s3_weight - s3_step, numbers.weight)
        m.d.sync += [
            self.new_weight.eq(weight),
            self.new_velocity.eq(s3_velocity),
            self.clipped.eq(s3_clipped | weight_clipped),
        ]
        return m
