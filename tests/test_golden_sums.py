"""Sums of the golden model cannot overflow, and need every bit that they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.units.arithmetic import (
    COMPENSATION_FRAC,
    UnitArithmetic,
    compensation_for,
)
from counterflow.golden.parts.narrow import narrow
from tests.goldens import (
    built,
    network,
)


@st.composite
def arithmetics(draw: st.DrawFn) -> UnitArithmetic:
    """Of one unit in the middle of a chain, with any formats that go together."""

    def some(signed: bool, low: int, high: int, least_frac: int = 0) -> Format:
        return Format(signed, draw(st.integers(low, high)), draw(st.integers(least_frac, high)))

    weight = Format(True, draw(st.integers(8, 24)), draw(st.integers(6, 20)))
    k = draw(st.integers(0, 7))
    return UnitArithmetic(
        taps=draw(st.integers(1, 9)),
        outputs=draw(st.integers(1, 9)),
        positions=draw(st.integers(1, 9)),
        overlaps=draw(st.integers(1, 9)),
        accumulate=draw(st.integers(1, 9)),
        relu=draw(st.booleans()),
        masks=draw(st.booleans()),
        x=some(False, 1, 8),
        y=some(draw(st.booleans()), 2, 12),
        dy=some(True, 2, 12),
        dx=some(True, 2, 12),
        operand=Format(True, draw(st.integers(2, 9)), draw(st.integers(0, 6))),
        weight=weight,
        velocity=Format(True, draw(st.integers(2, 20)), weight.frac),
        rate_shift=draw(st.integers(0, 12)),
        rate_span=draw(st.integers(0, 3)),
        momentum_shift=k,
        horizon=draw(st.integers(0, 70)),
        predicts=draw(st.booleans()),
        compensates=draw(st.booleans()),
        compensation=compensation_for(k, draw(st.integers(0, 70))),
        round_activation=Rounding.NEAREST_EVEN,
        round_operand=Rounding.NEAREST_EVEN,
        round_error=Rounding.NEAREST_EVEN,
        round_update=Rounding.NEAREST_EVEN,
    )


@settings(derandomize=True, max_examples=300, deadline=None)
@given(numbers=arithmetics())
def test_the_extreme_sums_fit_their_accumulators_and_need_every_bit(
    numbers: UnitArithmetic,
) -> None:
    """And every intermediate value of an update, exactly, fits the bits stated for it."""
    x, operand, dy = numbers.x, numbers.operand, numbers.dy
    bias, forward, backward = numbers.bias_operand, numbers.forward_sum, numbers.backward_sum

    def extremes(left: Format, right: Format, count: int) -> list[int]:
        values = [a * b for a in (left.min, left.max) for b in (right.min, right.max)]
        return [count * min(values), count * max(values)]

    lowest, highest = extremes(operand, x, numbers.taps)
    check_extremes(forward, [lowest + bias.min, highest + bias.max])
    uses = numbers.overlaps  # of an input, by each output
    check_extremes(backward, extremes(operand, dy, uses * numbers.outputs))
    summed = numbers.positions * numbers.accumulate
    assert numbers.sums_gradients == (summed > 1)
    assert numbers.product.magnitude >= max(extremes(dy, x, 1))
    one = [dy.min << x.frac, dy.max << x.frac]  # of a bias
    gradients = [*extremes(dy, x, summed), *(summed * value for value in one)]
    check_extremes(numbers.gradient, gradients)

    held = Format(True, numbers.update_bits, 0)
    k, c = numbers.momentum_shift, numbers.compensation
    for gradient in gradients:
        for velocity in (numbers.velocity.min, numbers.velocity.max):
            old = velocity << numbers.velocity_drop
            scaled = gradient << numbers.gradient_shift(0)
            rest = c * (old - (scaled << k))
            whole = scaled << k << COMPENSATION_FRAC
            values = [old, scaled, rest, whole, whole + rest, old - (old >> k) + scaled]
            assert held.min <= min(values)
            assert max(values) <= held.max


def check_extremes(held: Format, values: list[int]) -> None:
    assert held.min <= min(values)
    assert max(values) <= held.max
    assert max(-min(values), max(values)) > held.max // 2  # the largest value of one bit less


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sums_of_a_chain_reach_the_last_bit_of_its_accumulators(sign: int) -> None:
    """Saturated weights and activations in the shipped formats; one bit less would overflow."""
    _, chain = built(network((64, 32, 10)))
    unit = chain.units[1]
    numbers, state = unit.stage.arithmetic, unit.state
    extreme = numbers.weight.min if sign < 0 else numbers.weight.max
    state.weight[:], state.bias[:] = extreme, extreme
    x = np.full(numbers.taps, numbers.x.max)
    operand, _ = narrow(state.weight, 18, numbers.operand, Rounding.NEAREST_EVEN)
    start, _ = narrow(state.bias, 18, numbers.bias_operand, Rounding.NEAREST_EVEN)
    assert operand[0, 0] == (numbers.operand.min if sign < 0 else numbers.operand.max)
    forward = int((operand @ x + start)[0])
    assert numbers.forward_sum.min <= forward <= numbers.forward_sum.max
    assert abs(forward) > numbers.forward_sum.max // 2
    dy = np.full(numbers.outputs, numbers.dy.min)
    backward = int((dy @ operand)[0])
    assert numbers.backward_sum.min <= backward <= numbers.backward_sum.max
    assert abs(backward) > numbers.backward_sum.max // 2
    y = unit.forward(x, training=False)
    assert set(y.tolist()) == {numbers.y.min if sign < 0 else numbers.y.max}
