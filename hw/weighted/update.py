"""One lane's arithmetic around its multipliers: prediction before them, the update behind them.

Twin of `golden.units.convolution.Convolution._predicted` and `golden.units.update.updated`; the
equations stand in `design.units.arithmetic`.  Signals carry their pipeline stage as prefix.
"""

from __future__ import annotations

from typing import NamedTuple

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.arithmetic import COMPENSATION_FRAC, RANDOM_BITS, UnitArithmetic
from counterflow.design.units.latency import STEP, tree_latency
from counterflow.hw.parts.narrow import narrow, round_off, saturate, shape_of
from counterflow.hw.parts.pipeline import (
    apart,
    delayed,
    own,
    summed,
    terms_of,
    times_constant,
    within,
)


class RandomBits(NamedTuple):
    """Bits `start` to `stop` of the generator, which an update takes so many cycles `later`."""

    start: int
    stop: int
    later: int


def random_bits(numbers: UnitArithmetic) -> list[RandomBits]:
    """Which bits of the generator an update looks at: for velocity, decay and compensation."""
    if numbers.round_update is not Rounding.STOCHASTIC or numbers.frozen:
        return []
    spare, drop = _spare(numbers), numbers.velocity_drop
    found = [RandomBits(0, drop, spare), RandomBits(drop, drop + numbers.decay_drop, spare)]
    if numbers.compensates:
        later = _mixed_levels(numbers)
        found.append(RandomBits(RANDOM_BITS - numbers.weight_drop, RANDOM_BITS, later))
    return [one for one in found if one.stop > one.start]


def random_width(numbers: UnitArithmetic) -> int:
    """How many of them an update takes in all: some two times, at different times."""
    return max(1, sum(one.stop - one.start for one in random_bits(numbers)))


def taken_late(m: Module, numbers: UnitArithmetic, random: Value, name: str) -> Value:
    """`random_bits` of the generator, one behind the other, each when an update takes it.

    Where several take the same, they need not wait in each.
    """
    return Cat(
        delayed(m, random[start:stop], later, f"{name}_{start}")
        for start, stop, later in random_bits(numbers)
    )


def _mixed_levels(numbers: UnitArithmetic) -> int:
    """Registered levels of a step's sum: the terms of c gap, and the rest."""
    return tree_latency(1 + len(terms_of(C(0), numbers.compensation)))


def _spare(numbers: UnitArithmetic) -> int:
    """Stages of an update to spare: one without compensation, for the gradient, often a sum."""
    return 0 if numbers.compensates else 1


class Predict(wiring.Component):
    """Weights as the multipliers see them: w_hat = w - T u going forward, w going backward.

    Parameters: ``numbers``; ``target`` the format to narrow to; ``back``: whether w is needed, too.
    Members: ``weight``, ``velocity`` in; ``enable`` in, with them, or one cycle after them where
    there is a way back (without it the forward pass sees w); ``forward`` out, and ``backward`` if
    there is one, in `target`.
    Cost: no multiplier (T is a constant, made of shifted additions); latency 1, rate 1 a cycle.
    """

    def __init__(self, *, numbers: UnitArithmetic, target: Format, back: bool) -> None:
        self.numbers, self.target, self.back = numbers, target, back
        members = {
            "weight": In(shape_of(numbers.weight)),
            "velocity": In(shape_of(numbers.velocity)),
            "enable": In(1),
            "forward": Out(shape_of(target)),
        }
        super().__init__(members | ({"backward": Out(shape_of(target))} if back else {}))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self.back:
            velocity = Mux(self.enable, self.velocity, 0)
            m.d.comb += self.forward.eq(self._narrow(m, self._ahead(velocity), "s1_ahead"))
            return m
        current = self._narrow(m, self.weight, "s1_weight")
        m.d.comb += [self.forward.eq(current), self.backward.eq(current)]
        if self.numbers.predicts:
            predicted = self._narrow(m, self._ahead(self.velocity), "s1_ahead")
            m.d.comb += self.forward.eq(Mux(self.enable, predicted, current))
        return m

    def _ahead(self, velocity: Value) -> Value:
        """w - T u, where the recipe predicts."""
        if not self.numbers.predicts:
            return self.weight
        return self.weight - times_constant(velocity, self.numbers.horizon)

    def _narrow(self, m: Module, value: Value, name: str) -> Value:
        """`value`, of a weight's fraction, as an operand in the next cycle."""
        register = Signal(value.shape(), reset_less=True, name=name)
        m.d.sync += register.eq(value)
        frac, rounding = self.numbers.weight.frac, self.numbers.round_operand
        return narrow(register, frac, self.target, rounding)[0]


class Update(wiring.Component):
    """New weight and velocity of one lane from its gradient: SGDM or spike compensation, decay.

    Parameters: ``numbers``; ``early``: cycles by which weight and velocity come first; ``held``:
    random bits are those of the last cycle with ``draw``.
    Members: ``weight``, ``velocity``, ``gradient``, but for `early` in the same cycle; ``random``
    in, `random_bits` one after the other, one cycle later and what these say, ``draw`` one cycle
    later; ``extra_shift`` and ``compensate`` settings, a cycle before; ``new_weight``,
    ``new_velocity`` and ``clipped`` out, `design.units.latency.UPDATE` cycles after the inputs.
    Instead of them ``stored`` {weight, velocity} stands there two cycles after ``store``.
    Cost: no multiplier (rate, momentum and decay are shifts, the coefficient is constant).
    """

    def __init__(self, *, numbers: UnitArithmetic, early: int = 0, held: bool = False) -> None:
        self.numbers, self.early, self.held = numbers, early, held
        self.spare = _spare(numbers)
        super().__init__(
            {
                "weight": In(shape_of(numbers.weight)),
                "velocity": In(shape_of(numbers.velocity)),
                "gradient": In(shape_of(numbers.gradient)),
                "random": In(random_width(numbers)),
                "extra_shift": In(3),
                "compensate": In(1),
                "store": In(1),
                "stored": In(numbers.word_bits),
                "new_weight": Out(shape_of(numbers.weight)),
                "new_velocity": Out(shape_of(numbers.velocity)),
                "clipped": Out(1),
                **({"draw": In(1)} if held else {}),
            }
        )

    def _random(self, m: Module, start: int, stop: int) -> Value:
        """These of the random bits, in a register when rounding asks for them, if it does."""
        at = 0
        for one in random_bits(self.numbers):
            bits = self.random[at : at + one.stop - one.start]
            if (one.start, one.stop) == (start, stop):
                name = f"random_{start}"
                draw = delayed(m, self.draw, one.later, f"draw_{start}") if self.held else None
                return own(m, bits, name, draw)
            at += len(bits)
        return C(0, max(0, stop - start))

    def _scaled(self, m: Module) -> tuple[Value, Value]:
        """The gradient times the learning rate, aligned: one of rate_span + 1 constant shifts.

        Whether it was beyond its bound comes with it, in the cycle of the inputs.
        """
        gradient: Value = self.gradient
        beyond: Value = C(0)
        if self.numbers.clips:
            gradient, beyond = saturate(gradient, self.numbers.clipped)
        gradient = delayed(m, gradient, self.spare, "s0_gradient")
        return self._by_rate(m, gradient, self.numbers.gradient_shift(0), "rate"), beyond

    def _by_rate(self, m: Module, value: Value, shift: int, name: str) -> Value:
        """`value` shifted left by so many places, one less for each extra shift of the rate."""
        result: Value = value.shift_left(shift)
        if self.numbers.rate_span == 0:
            return result
        extra_shift = own(m, self.extra_shift[: self.numbers.rate_span.bit_length()], name)
        for extra in range(1, self.numbers.rate_span + 1):
            result = Mux(extra_shift == extra, value.shift_left(shift - extra), result)
        return result

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, rounding = self.numbers, self.numbers.round_update
        k, drop = numbers.momentum_shift, numbers.velocity_drop
        velocity = delayed(m, self.velocity, self.early + self.spare, "s0_velocity", platform)
        scaled, beyond = self._scaled(m)
        s1_scaled = self._register(m, within(scaled, numbers.scaled), "s1_scaled")
        s1_old = self._register(m, velocity, "s1_old")
        kept = apart(m, s1_old.shift_left(drop) - s1_old.shift_left(drop - k), "s1_kept")
        s2_grown = self._register(m, within(kept + s1_scaled, numbers.grown), "s2_grown")
        rounded = round_off(s2_grown, drop, rounding, self._random(m, 0, drop))
        s3_rounded = self._register(m, within(rounded, numbers.grown_rounded), "s3_rounded")
        new_velocity, velocity_clipped = saturate(s3_rounded, numbers.velocity)
        # Without compensation the cycle of this register is the one that the gradient has.
        s4_velocity = delayed(m, new_velocity, 1 - self.spare, "s4_velocity")
        step = s4_velocity
        if numbers.compensates:
            compensate = own(m, self.compensate, "near_compensate")
            step = Mux(compensate, self._compensated(m, s1_old, s1_scaled), s4_velocity)
        s5_moved = self._register(m, self._weight(m, platform) - step, "s5_moved")
        weight, weight_clipped = saturate(s5_moved, numbers.weight)
        late = delayed(m, velocity_clipped, 2 - self.spare, "s5_clipped")
        if numbers.clips:
            late = late | delayed(m, beyond, 5, "s5_beyond")
        new = Cat(weight[: len(self.new_weight)], self._register(m, s4_velocity, "s5_velocity"))
        word = Mux(own(m, self.store, "store"), self.stored, new)
        m.d.comb += [
            Cat(self.new_weight, self.new_velocity).eq(self._register(m, word, "s6_word")),
            self.clipped.eq(self._register(m, late | weight_clipped, "s6_clipped")),
        ]
        return m

    def _weight(self, m: Module, platform: object) -> Value:
        """The old weight less what decays of it, in the fourth stage."""
        numbers, drop = self.numbers, self.numbers.decay_drop
        if not drop:
            return delayed(m, self.weight, self.early + STEP, "s4_weight", platform)
        before = 2 + self.spare  # random bits are there
        weight = delayed(m, self.weight, self.early + before, "s2_weight", platform)
        start = numbers.velocity_drop
        part = round_off(
            self._by_rate(m, weight, numbers.rate_span, "decay_rate"),
            drop,
            numbers.round_update,
            self._random(m, start, start + drop),
        )
        part = delayed(m, part, 1 - self.spare, "s3_part")
        weight = delayed(m, weight, 1 - self.spare, "s3_weight")
        s4_weight = Signal.like(self.weight, name="s4_weight", reset_less=True)
        m.d.sync += s4_weight.eq(weight - part)
        return s4_weight

    def _compensated(self, m: Module, s1_old: Value, s1_scaled: Value) -> Value:
        """The step of spike compensation, c gap + whole rounded, in the fourth stage."""
        numbers, k = self.numbers, self.numbers.momentum_shift
        gap = s1_old.shift_left(numbers.velocity_drop) - s1_scaled.shift_left(k)
        s2_gap = self._register(m, gap, "s2_gap")
        whole = s1_scaled.shift_left(k + COMPENSATION_FRAC)
        s2_whole = self._register(m, within(whole, numbers.mixed), "s2_whole")
        terms = [s2_whole, *terms_of(s2_gap, numbers.compensation)]
        levels = _mixed_levels(numbers)
        mixed = summed(m, terms, "mixed", number=numbers.mixed)
        random = self._random(m, RANDOM_BITS - numbers.weight_drop, RANDOM_BITS)
        stepped = round_off(mixed, numbers.weight_drop, numbers.round_update, random)
        stepped = within(stepped, numbers.mixed_rounded)
        # What takes fewer levels than the most waits where it has the fewest bits.
        return delayed(m, stepped, 2 - levels, "s4_stepped")

    @staticmethod
    def _register(m: Module, value: Value, name: str) -> Signal:
        register = Signal(value.shape(), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register
