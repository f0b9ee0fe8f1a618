"""What a gradient does in the end: spike compensation, and stochastic rounding."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.units.arithmetic import (
    COMPENSATION_FRAC,
)
from counterflow.golden.units.convolution import Convolution
from tests.goldens import (
    built,
    network,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    k=st.integers(0, 4),
    compensation=st.integers(0, 2**COMPENSATION_FRAC),
    velocity=st.integers(-(2**12), 2**12),
    error=st.integers(-(2**6), 2**6),
)
def test_a_gradients_whole_effect_is_exact_whatever_the_coefficient(
    k: int, compensation: int, velocity: int, error: int
) -> None:
    """With c the coefficient, w - c 2^k u is what w becomes when no gradient comes any more.

    One update moves it by exactly 2^k eta g = eta g / (1 - m): spike compensation moves a
    gradient's effect in time but does not change its size, however c is rounded.
    """
    unit = lone_unit(k, compensation)
    state = unit.state
    state.velocity[:] = velocity << (k + COMPENSATION_FRAC)  # so that no rounding interferes
    state.weight[:] = 12345

    def destination() -> Fraction:
        c = Fraction(compensation * 2**k, 2**COMPENSATION_FRAC)
        return Fraction(int(state.weight[0, 0])) - c * int(state.velocity[0, 0])

    before = destination()
    unit.learn(np.array([error << COMPENSATION_FRAC, 0]), np.array([1]))
    effect = (error << COMPENSATION_FRAC) * 2**k
    assert unit.saturations == 0
    assert destination() == before - effect


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("compensation", [0, 1, 85, 200, 256])
def test_an_impulse_moves_a_weight_by_its_size_over_one_minus_momentum(
    k: int, compensation: int
) -> None:
    """Each of the roundings in between costs half a bit of w, or of u, whose effect is c 2^k."""
    unit = lone_unit(k, compensation)
    size = 1 << 20
    unit.learn(np.array([size, 0]), np.array([1]))
    steps = 1
    before = 0
    while unit.state.velocity[0, 0] != before:  # nearest-even never decays the last 2^(k - 1)
        before = int(unit.state.velocity[0, 0])
        unit.learn(np.zeros(2, np.int64), np.array([1]))
        steps += 1
    assert abs(before) <= 2 ** (k - 1)
    c = compensation / 2**COMPENSATION_FRAC
    expected = -(size - c * before) * 2**k
    bound = 0.5 * steps * (1 + c * 2**k)
    assert bound < size / 2000
    assert abs(int(unit.state.weight[0, 0]) - expected) <= bound


def lone_unit(k: int, compensation: int) -> Convolution:
    """One weight whose update at rate one has no alignment: u, w and g in the same units."""
    description = network(
        (1, 2),
        formats={
            "input": "u1.0",
            "operand": "s18.0",
            "weight": "s32.0",
            "velocity": "s32.0",
            "error": "s32.0",
        },
        update="nearest-even",
        learning_rate=1.0,
        momentum=1 - 2.0**-k,
        mitigation="sc",
    )
    schedule, chain = built(description)
    stage = schedule.stages[0]
    numbers = replace(stage.arithmetic, compensation=compensation)
    state = chain.units[0].state
    state.weight[:] = 0
    return Convolution(replace(stage, arithmetic=numbers), state)


# ---- stochastic rounding ----------------------------------------------------------------------


@pytest.mark.parametrize("error", [1, 3, 7, -5])
@pytest.mark.parametrize("mitigation", ["none", "sc"])
def test_gradients_below_the_last_bit_move_the_weights_by_their_mean(
    error: int, mitigation: str
) -> None:
    """64 x 64 weights, one draw each; mean within five standard deviations, no bias either way."""
    description = network(
        (64, 64, 2),
        lanes=[{"outputs": 1, "inputs": 1, "shared": True}, {"outputs": 1, "inputs": 1}],
        learning_rate=2.0**-6,
        momentum=0.0,
        mitigation=mitigation,
    )
    _, chain = built(description)
    unit = chain.units[0]
    unit.state.weight[:] = 0
    dy, x = np.full(64, error), np.full(64, 1)
    rounds = 10
    for _ in range(rounds):
        unit.learn(dy, x)
    # Gradients have 8 + 8 fraction bits, the rate is 2^-6 and weights have 18 fraction bits.
    exact = -error * 2.0 ** (18 - 16 - 6)
    chance = exact % 1
    deviation = math.sqrt(chance * (1 - chance) / (64 * 64 * rounds))
    assert abs(unit.state.weight.mean() / rounds - exact) < 5 * deviation


def test_nearest_rounding_loses_the_same_gradients() -> None:
    """Why the update is stochastic: what is below half of the last bit never arrives."""
    _, chain = built(
        network((64, 8, 2), update="nearest-even", learning_rate=2.0**-6, momentum=0.0)
    )
    before = chain.units[0].state.weight.copy()
    for _ in range(10):
        chain.units[0].learn(np.full(8, 7), np.full(64, 1))
    np.testing.assert_array_equal(chain.units[0].state.weight, before)
