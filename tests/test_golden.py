"""The golden units and chain: exact integers, no overflow, and what training does to them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.data.sets import load, synthetic
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.recipe import MITIGATIONS
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained, epoch
from counterflow.design.schedule.build import build_schedule
from counterflow.design.schedule.folding import fold
from counterflow.design.schedule.initial import initial_floats
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.arithmetic import (
    COMPENSATION_FRAC,
    RANDOM_BITS,
    UnitArithmetic,
    compensation_for,
)
from counterflow.golden.chain import BorderRecord, Chain, LossRecord, Record
from counterflow.golden.parts.generator import draws, step
from counterflow.golden.parts.narrow import Integers, narrow
from counterflow.golden.reference.chain import reference_chain
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.training.start import initial_chain, initial_states
from counterflow.golden.units.convolution import Convolution, UnitState
from counterflow.golden.units.loss import Loss
from counterflow.golden.units.update import Settings

WIDE = {
    "activation": "u18.15",
    "logit": "s24.18",
    "operand": "s18.16",
    "weight": "s32.30",
    "velocity": "s30.30",
    "error": "s19.17",
}
"""Formats so fine that rounding is all but gone."""


def network(
    widths: tuple[int, ...],
    *,
    formats: dict[str, str] | None = None,
    update: str = "stochastic",
    multipliers: int = 24,
    lanes: list[dict[str, Any]] | None = None,
    **recipe: Any,
) -> Description:
    """A description; `recipe` holds the recipe's fields."""
    layers: list[dict[str, Any]] = [{"outputs": outputs} for outputs in widths[1:]]
    layers[-1]["activation"] = "none"
    return Description.model_validate(
        {
            "name": "net",
            "inputs": widths[0],
            "layers": layers,
            "formats": formats or {},
            "rounding": {"update": update},
            "recipe": recipe,
            "fold": {"lanes": lanes} if lanes else {"multipliers": multipliers},
        }
    )


def built(
    description: Description, seed: int | None = None, interval: int | None = None
) -> tuple[Schedule, Chain]:
    schedule = build_schedule(description, fold(description), interval)
    return schedule, initial_chain(description, schedule, seed)


def random_unit(unit: Convolution, seed: int) -> None:
    """Fill a unit's state with every value its formats can hold."""
    random = np.random.default_rng(seed)
    numbers, state = unit.stage.arithmetic, unit.state
    weight, velocity = numbers.weight, numbers.velocity
    state.weight = random.integers(weight.min, weight.max + 1, state.weight.shape)
    state.velocity = random.integers(velocity.min, velocity.max + 1, state.velocity.shape)
    state.bias = random.integers(weight.min, weight.max + 1, state.bias.shape)
    state.bias_velocity = random.integers(velocity.min, velocity.max + 1, state.bias.shape)


def assert_same_states(found: Chain, expected: Chain) -> None:
    for unit, other in zip(found.units, expected.units, strict=True):
        for name in ("weight", "velocity", "bias", "bias_velocity"):
            ours, theirs = getattr(unit.state, name), getattr(other.state, name)
            np.testing.assert_array_equal(ours, theirs, f"{unit.stage.name}.{name}")
        assert unit.state.generator == other.state.generator


# ---- the random generator ----------------------------------------------------------------------

Bits = tuple[int, ...]
"""A 32 x 32 matrix over GF(2): entry i holds, as a 32-bit integer, the image of bit i."""


def shift_and_add(amount: int) -> Bits:
    """The matrix of x ^ (x << amount), or for negative amounts x ^ (x >> -amount)."""
    moved = [1 << i + amount if 0 <= i + amount < 32 else 0 for i in range(32)]
    return tuple(1 << i ^ moved[i] for i in range(32))


def applied(matrix: Bits, vector: int) -> int:
    result = 0
    for i in range(32):
        if vector >> i & 1:
            result ^= matrix[i]
    return result


def times(left: Bits, right: Bits) -> Bits:
    """First `right`, then `left`."""
    return tuple(applied(left, column) for column in right)


def power(matrix: Bits, exponent: int) -> Bits:
    result = tuple(1 << i for i in range(32))
    while exponent:
        if exponent & 1:
            result = times(result, matrix)
        matrix, exponent = times(matrix, matrix), exponent >> 1
    return result


XORSHIFT32 = times(shift_and_add(5), times(shift_and_add(-17), shift_and_add(13)))
"""Marsaglia, Xorshift RNGs (2003), as a matrix: shifts 13 left, 17 right, 5 left."""


@settings(derandomize=True, max_examples=500, deadline=None)
@given(state=st.integers(0, 2**32 - 1))
def test_the_generator_is_the_matrix_of_xorshift32(state: int) -> None:
    assert step(state) == applied(XORSHIFT32, state)


def test_the_generator_visits_every_state_but_zero() -> None:
    """Its matrix has the order 2**32 - 1 = 3 x 5 x 17 x 257 x 65537; so no state leads to zero."""
    unity = power(XORSHIFT32, 0)
    assert power(XORSHIFT32, 2**32 - 1) == unity
    for prime in (3, 5, 17, 257, 65537):
        assert power(XORSHIFT32, (2**32 - 1) // prime) != unity


def test_draws_are_successive_states() -> None:
    drawn = draws(2463534242, 5)
    assert drawn[0] == 723471715  # the first output in Marsaglia's paper's example
    state = 2463534242
    for value in drawn:
        state = step(state)
        assert value == state


# ---- sums that cannot overflow -----------------------------------------------------------------


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


# ---- one unit, in exact rationals --------------------------------------------------------------


def clip(value: int, target: Format) -> int:
    return min(max(value, target.min), target.max)


def rounded(value: Fraction, rounding: Rounding, draw: Fraction) -> int:
    """`draw`: uniform in [0, 1), for stochastic rounding."""
    if rounding is Rounding.STOCHASTIC:
        return math.floor(value + draw)
    return math.floor(value) if rounding is Rounding.TRUNCATE else round(value)


def updated(
    numbers: UnitArithmetic,
    now: tuple[int, int],
    gradient: Fraction,
    flags: Settings,
    random: int,
    decay: int = 0,
    bound: Fraction | None = None,
) -> tuple[int, int, bool]:
    """(w', u', clipped) of one weight, from the equations in `design.units.arithmetic`.

    u' = m u + eta g and w' = w - u', or with compensation w' = w - (2^k eta g + c (u - 2^k eta g));
    u' draws the random bits from the lowest end, the compensated step from the highest.  Of w a
    2^-decay part decays, where there is a decay; its random bits are those above the ones of u'.
    First of all g is within the ``bound``, below it above zero.
    """
    weight, velocity = now
    k, rounding = numbers.momentum_shift, numbers.round_update
    unit = Fraction(2) ** numbers.velocity.frac
    u, g = velocity / unit, gradient
    if bound is not None:
        last = Fraction(1, 2**numbers.gradient.frac)
        g = min(max(gradient, -bound), bound - last)
    effect = g / 2 ** (numbers.rate_shift + flags.extra_shift)
    low = Fraction(random % 2**numbers.velocity_drop, 2**numbers.velocity_drop)
    exact = (1 - Fraction(1, 2**k)) * u + effect
    whole = rounded(exact * unit, rounding, low)
    u_next = clip(whole, numbers.velocity)
    change = u_next
    if flags.compensate:
        c = Fraction(numbers.compensation, 2**COMPENSATION_FRAC)
        high = Fraction(random >> max(0, RANDOM_BITS - numbers.weight_drop), 2**numbers.weight_drop)
        exact = 2**k * effect + c * (u - 2**k * effect)
        change = rounded(exact * unit, rounding, high)
    if decay:
        places = decay + numbers.rate_span
        middle = Fraction((random >> numbers.velocity_drop) % 2**places, 2**places)
        change += rounded(Fraction(weight, 2 ** (decay + flags.extra_shift)), rounding, middle)
    w_next = clip(weight - change, numbers.weight)
    return w_next, u_next, u_next != whole or w_next != weight - change or g != gradient


@settings(derandomize=True, max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    update=st.sampled_from(list(Rounding)),
    rate_shift=st.integers(0, 9),
    k=st.integers(0, 5),
    mitigation=st.sampled_from(["none", "sc", "lwpv+sc"]),
    horizon=st.sampled_from([1, 2]),
    drop=st.integers(0, 2),
    large=st.booleans(),
    decay=st.sampled_from([0, 1, 6]),
    clip=st.sampled_from([None, Fraction(1, 8), Fraction(1, 2**10), Fraction(2**20)]),
)
def test_an_update_is_exact_rational_arithmetic_with_one_rounding(
    seed: int,
    update: Rounding,
    rate_shift: int,
    k: int,
    mitigation: str,
    horizon: int,
    drop: int,
    large: bool,
    decay: int,
    clip: Fraction | None,
) -> None:
    """Weights, velocities, biases, draws and the saturation counter; extreme and small values."""
    description = network(
        (5, 3, 4),
        formats={"weight": "s18.16", "velocity": "s12.16"},
        update=str(update),
        lanes=[{"outputs": 2, "inputs": 3}, {"outputs": 2, "inputs": 2}],
        learning_rate=2.0**-rate_shift,
        momentum=1 - 2.0**-k,
        mitigation=mitigation,
        horizon=horizon,
        rate_drops=[{"epoch": 1, "shift": 2}],
        weight_decay=2.0**-decay if decay else 0.0,
        gradient_clip=None if clip is None else float(clip),
    )
    _, chain = built(description)
    flags = Settings(False, mitigation != "none", drop)
    random = np.random.default_rng(seed)
    for unit in chain.units:
        unit.settings = flags
        random_unit(unit, seed)
        numbers, before, tiling = unit.stage.arithmetic, unit.state.copy(), unit.stage.tiling
        if not large:
            before.velocity >>= 6
            unit.state = before.copy()
        limit = numbers.dy.max if large else 3
        dy = random.integers(-limit, limit + 1, numbers.outputs)
        x = random.integers(0, numbers.x.max + 1, numbers.taps)
        unit.learn(dy, x)
        states = [before.generator]
        for _ in range(tiling.tiles):
            states.append(step(states[-1]))
        hits = set()
        for o in range(numbers.outputs):
            for i in range(-1, numbers.taps):  # -1: the bias
                row, column = o // tiling.lanes.outputs, max(i, 0) // tiling.lanes.inputs
                tile = row * tiling.columns + column
                gradient = Fraction(int(dy[o]), 2**numbers.dy.frac)
                if i >= 0:
                    gradient *= Fraction(int(x[i]), 2**numbers.x.frac)
                    now = int(before.weight[o, i]), int(before.velocity[o, i])
                    found = unit.state.weight[o, i], unit.state.velocity[o, i]
                else:
                    now = int(before.bias[o]), int(before.bias_velocity[o])
                    found = unit.state.bias[o], unit.state.bias_velocity[o]
                own = decay if i >= 0 else 0  # biases have none
                *expected, clipped = updated(
                    numbers, now, gradient, flags, states[tile + 1], own, clip
                )
                assert [int(found[0]), int(found[1])] == expected, (o, i)
                hits |= {tile} if clipped else set()
        assert unit.saturations == len(hits)
        drawn = states[-1] if update is Rounding.STOCHASTIC else states[0]
        assert unit.state.generator == drawn


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    rounding=st.sampled_from(["truncate", "nearest-even"]),
    predict=st.booleans(),
    weight_form=st.booleans(),
    training=st.booleans(),
)
def test_forward_and_backward_are_exact_rational_arithmetic_with_one_rounding(
    seed: int, rounding: str, predict: bool, weight_form: bool, training: bool
) -> None:
    """y = f(w_hat x + b_hat) of narrowed operands; dx = w^T dy where the ReLU below was open."""
    data = network((5, 7, 4), mitigation="lwpw" if weight_form else "lwpv").model_dump(mode="json")
    for role in ("activation", "operand", "error"):
        data["rounding"][role] = rounding
    _, chain = built(Description.model_validate(data))
    named = Rounding(rounding)
    random = np.random.default_rng(seed)
    for unit in chain.units:
        numbers = unit.stage.arithmetic
        unit.settings = Settings(predict=predict)
        random_unit(unit, seed)
        unit.state.velocity >>= 4
        before = (unit.state.weight, unit.state.bias)
        unit.learn(random.integers(-20, 20, numbers.outputs), random.integers(0, 20, numbers.taps))
        x = random.integers(0, numbers.x.max + 1, numbers.taps)
        x[random.random(numbers.taps) < 0.4] = 0
        dy = random.integers(numbers.dy.min, numbers.dy.max + 1, numbers.outputs)
        state = unit.state
        w, b = state.weight.astype(object), state.bias.astype(object)
        w_hat, b_hat = w, b
        if predict and training and weight_form:
            w_hat, b_hat = (
                w + numbers.horizon * (w - before[0]),
                b + numbers.horizon * (b - before[1]),
            )
        elif predict and training:
            w_hat = w - numbers.horizon * state.velocity.astype(object)
            b_hat = b - numbers.horizon * state.bias_velocity.astype(object)

        def narrowed(value: Fraction, target: Format) -> int:
            return clip(rounded(value * 2**target.frac, named, Fraction(0)), target)

        def real(value: int, held: Format) -> Fraction:
            return Fraction(int(value), 2**held.frac)

        y = unit.forward(x, training=training)
        for o in range(numbers.outputs):
            total = real(
                narrowed(real(b_hat[o], numbers.weight), numbers.bias_operand), numbers.bias_operand
            )
            for i in range(numbers.taps):
                operand = narrowed(real(w_hat[o, i], numbers.weight), numbers.operand)
                total += real(operand, numbers.operand) * real(x[i], numbers.x)
            if numbers.relu:
                total = max(total, Fraction(0))
            assert y[o] == narrowed(total, numbers.y)
        if numbers.dx is None:
            continue
        dx = unit.backward(dy, x)
        for i in range(numbers.taps):
            total = Fraction(0)
            for o in range(numbers.outputs):
                operand = narrowed(real(w[o, i], numbers.weight), numbers.operand)
                total += real(operand, numbers.operand) * real(dy[o], numbers.dy)
            assert dx[i] == (narrowed(total, numbers.dx) if x[i] > 0 else 0)


def test_the_first_unit_makes_no_input_gradient() -> None:
    _, chain = built(network((5, 3, 2)))
    with pytest.raises(ValueError, match="dense0 is the first unit and makes no input gradient"):
        chain.units[0].backward(np.zeros(3, np.int64), np.zeros(5, np.int64))


def test_an_update_as_wide_as_is_allowed_does_not_overflow() -> None:
    """62 bits, the extremes of velocity and gradient, against Python's integers."""
    _, chain = built(network((2, 2), formats=widest("s23.18"), **SLOW))
    unit = chain.units[0]
    numbers, state = unit.stage.arithmetic, unit.state
    assert numbers.update_bits == 62
    x = np.full(2, numbers.x.max)
    velocities = (numbers.velocity.min, numbers.velocity.max)
    for velocity, error in product(velocities, (numbers.dy.min, numbers.dy.max)):
        state.velocity[:], state.weight[:] = velocity, 0
        unit.learn(np.full(2, error), x)
        gradient = Fraction(error * numbers.x.max, 2**numbers.gradient.frac)
        random = state.generator  # one tile, so the last draw was the first
        weight, step_, _ = updated(numbers, (0, velocity), gradient, unit.settings, random)
        assert state.weight.tolist() == [[weight, weight]] * 2
        assert state.velocity.tolist() == [[step_, step_]] * 2


SLOW: dict[str, Any] = {"learning_rate": 2.0**-9, "momentum": 1 - 2.0**-12, "mitigation": "sc"}


def widest(error: str) -> dict[str, str]:
    return {"weight": "s32.31", "velocity": "s32.31", "operand": "s9.8", "error": error}


@pytest.mark.parametrize(
    ("formats", "recipe", "message"),
    [
        (
            {},
            {"learning_rate": 2.0**-16, "momentum": 0.0},
            "layers[0]: the update drops 14 + 22 bits, but its random generator has 32; raise the "
            "learning rate (now 2^-16), lower the momentum or give the velocity more fraction bits",
        ),
        (
            widest("s24.18"),
            SLOW,
            "layers[0]: the update needs 63 bits and the model has 62; use fewer fraction bits, a "
            "higher learning rate or a lower momentum",
        ),
    ],
)
def test_formats_that_cannot_work_together_are_refused(
    formats: dict[str, str], recipe: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plan(network((2, 2), formats=formats, **recipe))


# ---- spike compensation ------------------------------------------------------------------------


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


# ---- stochastic rounding -----------------------------------------------------------------------


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


# ---- slots and tokens --------------------------------------------------------------------------


def clusters(inputs: int, classes: int, count: int) -> tuple[Integers, Integers]:
    data = synthetic(inputs, classes, count, seed=3)
    return data.scaling.codes(data.train_x, Format.parse("u8.8")), data.train_y.astype(np.int64)


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_a_run_in_pieces_is_the_run_in_one(mitigation: str) -> None:
    description = network((6, 5, 4, 3), mitigation=mitigation)
    schedule, whole = built(description)
    _, pieces = built(description)
    samples, labels = clusters(6, 3, 40)
    tokens = list(epoch(description.recipe, range(40), schedule.delay))
    expected = whole.run(tokens, samples, labels)
    found = [
        p
        for cut in (0, 1, 2)
        for p in pieces.run(tokens[cut * 17 : cut * 17 + 17], samples, labels)
    ]
    assert [(p.token, p.loss, p.scores.tolist()) for p in found] == [
        (p.token, p.loss, p.scores.tolist()) for p in expected
    ]
    assert_same_states(pieces, whole)


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_inference_between_training_samples_leaves_no_trace(mitigation: str) -> None:
    """Bubbles and inference are the same to every weight, velocity and generator."""
    description = network((6, 5, 4, 3), mitigation=mitigation)
    schedule, plain = built(description)
    _, mixed = built(description)
    samples, labels = clusters(6, 3, 60)
    pattern = [Token(Kind.TRAIN, i) if i % 3 else BUBBLE for i in range(60)]
    filled = [Token(Kind.INFER, i) if t is BUBBLE else t for i, t in enumerate(pattern)]
    plain.run(drained(pattern, schedule.delay), samples, labels)
    answers = mixed.run(drained(filled, schedule.delay), samples, labels)
    assert_same_states(mixed, plain)
    assert [p.token.sample for p in answers] == list(range(60))


def test_inference_alone_changes_nothing_and_reads_the_weights_as_they_are() -> None:
    description = network((6, 5, 3))
    schedule, chain = built(description)
    samples, labels = clusters(6, 3, 30)
    chain.run(epoch(description.recipe, range(30), schedule.delay), samples, labels)
    before = [state.copy() for state in chain.states]
    infer = [Token(Kind.INFER, 7)] * 2 * schedule.delay
    answers = chain.run(infer, samples, labels)
    for state, old in zip(chain.states, before, strict=True):
        np.testing.assert_array_equal(state.weight, old.weight)
        np.testing.assert_array_equal(state.velocity, old.velocity)
        assert state.velocity.any()  # so a prediction would have shown
    assert len({tuple(p.scores) for p in answers}) == 1
    chain.set(Settings(predict=False, compensate=False))
    assert chain.run(infer[:1], samples, labels)[0].scores.tolist() == answers[0].scores.tolist()


def test_weight_prediction_has_one_value_in_both_forms() -> None:
    """w - T u = w + T (w - w before) in plain SGDM, bit for bit, where nothing saturates."""
    samples, labels = clusters(6, 3, 80)
    chains = []
    for mitigation in ("lwpv", "lwpw", "lwpv+sc", "lwpw+sc"):
        description = network((6, 5, 4, 3), mitigation=mitigation)
        schedule, chain = built(description)
        chain.run(epoch(description.recipe, range(80), schedule.delay), samples, labels)
        chains.append(chain)
    assert_same_states(chains[0], chains[1])
    with pytest.raises(AssertionError, match=r"dense0\.weight"):
        assert_same_states(chains[2], chains[3])


def test_the_fold_does_not_show_in_the_numbers() -> None:
    """Other lanes at equal delays: the same bits, where no random draw depends on the tiles."""
    folds = [[(1, 1), (2, 2), (1, 1)], [(3, 2), (1, 1), (3, 4)], [(5, 6), (4, 5), (3, 4)]]
    samples, labels = clusters(6, 3, 60)
    chains = []
    for lane_pairs in folds:
        lanes = [{"outputs": outputs, "inputs": inputs} for outputs, inputs in lane_pairs]
        description = network((6, 5, 4, 3), update="nearest-even", lanes=lanes)
        schedule, chain = built(description, interval=100)
        assert [stage.delay for stage in schedule.stages] == [3, 2, 1]
        chain.run(epoch(description.recipe, range(60), schedule.delay), samples, labels)
        chains.append(chain)
    assert_same_states(chains[0], chains[1])
    assert_same_states(chains[0], chains[2])


def test_observers_see_what_the_chain_holds() -> None:
    description = network((6, 5, 3))
    schedule, chain = built(description)
    samples, labels = clusters(6, 3, 12)
    last: dict[int, UnitState] = {}
    sent: dict[tuple[str, str, int], list[int]] = {}
    losses = []

    def observe(record: Record) -> None:
        if isinstance(record, LossRecord):
            losses.append((record.loss, record.logits.tolist()))
            assert record.kind is Kind.TRAIN or not record.error.any()
        elif isinstance(record, BorderRecord):
            sent[record.unit, record.port, record.token] = record.values.tolist()
        elif record.state is not None:
            last[record.stage] = record.state
            assert record.learnt

    tokens = [Token(Kind.TRAIN if i % 3 else Kind.INFER, i) for i in range(12)]
    answers = chain.run(drained(tokens, schedule.delay), samples, labels, observe)
    assert losses[:12] == [(p.loss, p.scores.tolist()) for p in answers]
    for number, answer in enumerate(answers):
        assert sent["intake", "x", number] == samples[number].tolist()
        assert sent["dense1", "y", number] == answer.scores.tolist()
    for index, unit in enumerate(chain.units):
        np.testing.assert_array_equal(last[index].weight, unit.state.weight)
        np.testing.assert_array_equal(last[index].bias, unit.state.bias)


def test_saturations_are_counted_in_rows_of_outputs_and_words_of_gradients() -> None:
    """20 inputs to 6 outputs in three rows of two; 6 inputs in a word of four and one of two."""
    description = network(
        (20, 6, 4), lanes=[{"outputs": 2, "inputs": 2}, {"outputs": 1, "inputs": 4}]
    )
    _, chain = built(description)
    first, second = chain.units
    first.state.weight[:] = 0
    first.state.weight[3:6] = first.stage.arithmetic.weight.max
    y = first.forward(np.full(20, 255), training=False)
    assert y.tolist() == [0, 0, 0, 255, 255, 255]
    assert first.saturations == 2
    y = first.forward(np.full(20, 50), training=False)
    assert y.tolist() == [0, 0, 0, 125, 125, 125]  # 16 x 20 x 50/256 x 255/128 = 124.5
    assert first.saturations == 2
    second.state.weight[:] = second.stage.arithmetic.weight.max
    dx = second.backward(np.full(4, 511), np.array([1, 0, 1, 1, 0, 0]))
    assert dx.tolist() == [511, 0, 511, 511, 0, 0]
    assert second.saturations == 1  # of the second word only masked elements were clipped


# ---- against the float reference ---------------------------------------------------------------


class ExactLoss(Loss):
    """Exact softmax cross-entropy, rounded to the error format, in place of the tables."""

    def __call__(self, logits: Integers, label: int) -> tuple[Integers, int]:
        error, _ = cross_entropy(logits / 2**self.numbers.logit.frac, label)
        return np.rint(error * 2.0**self.numbers.error.frac).astype(np.int64), 0


def distance_to_reference(description: Description, *, exact_loss: bool) -> tuple[float, float]:
    """(largest difference of any weight after two epochs, largest change of any weight)."""
    schedule, chain = built(description)
    if exact_loss:
        chain.losses = {name: ExactLoss(loss.numbers) for name, loss in chain.losses.items()}
    reference = reference_chain(description, schedule)
    initial = [unit.weight.value for unit in reference.units]
    samples, labels = clusters(6, 3, 200)
    recipe = description.recipe
    for number in range(2):
        shift = recipe.extra_shift(number)
        settings = Settings(recipe.predicts, recipe.compensates, shift)
        chain.set(settings)
        reference.set(settings)
        tokens = list(epoch(recipe, epoch_order(200, 1, number), schedule.delay))
        chain.run(tokens, samples, labels)
        reference.run(tokens, samples / 256, labels)
    units = list(zip(chain.units, reference.units, strict=True))
    scale = 2.0**-description.formats.weight.frac
    off = max(np.abs(a.state.weight * scale - b.weight.value).max() for a, b in units)
    off_bias = max(np.abs(a.state.bias * scale - b.bias.value).max() for a, b in units)
    moved = max(np.abs(b.weight.value - w).max() for (_, b), w in zip(units, initial, strict=True))
    return max(off, off_bias), moved


@pytest.mark.parametrize("scheme", ["pipelined", "fill-and-drain"])
@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_with_fine_formats_golden_is_the_float_reference(mitigation: str, scheme: str) -> None:
    """With an exact loss and m = 1/2, whose powers the compensation's coefficient holds exactly.

    Two epochs of 200 samples, the rate dropping in between: weights move by up to 0.43 or more and
    stay within 2^-17 of the reference (measured: 2^-18.4).
    """
    description = network(
        (6, 8, 7, 3),
        formats=WIDE,
        update="nearest-even",
        multipliers=8,
        mitigation=mitigation,
        scheme=scheme,
        batch=4 if scheme == "fill-and-drain" else 1,
        learning_rate=2.0**-7,
        momentum=0.5,
        rate_drops=[{"epoch": 1, "shift": 2}],
    )
    off, moved = distance_to_reference(description, exact_loss=True)
    assert moved > 0.4
    assert off < 2.0**-17


@pytest.mark.parametrize(("mitigation", "horizon"), [("none", 1), ("lwpv+sc", 1), ("lwpv+sc", 2)])
def test_with_fine_formats_and_its_own_loss_golden_stays_near_the_reference(
    mitigation: str, horizon: int
) -> None:
    """The tables of the softmax are good to about 1 %, and their errors average out.

    Weights that move by up to 0.35 stay within 2^-9 of the reference (measured: 2^-11.4).
    """
    description = network(
        (6, 8, 7, 3),
        formats=WIDE,
        update="nearest-even",
        multipliers=8,
        mitigation=mitigation,
        horizon=horizon,
        learning_rate=2.0**-8,
        momentum=0.5,
    )
    off, moved = distance_to_reference(description, exact_loss=False)
    assert moved > 0.3
    assert off < 2.0**-9


def test_golden_learns_the_digits_as_well_as_the_reference() -> None:
    """One epoch in the shipped formats: accuracy on the last 500 samples within five points."""
    description = network((64, 32, 32, 10), multipliers=66, learning_rate=2.0**-8, momentum=0.875)
    schedule, chain = built(description, interval=144)
    assert [stage.delay for stage in schedule.stages] == [6, 4, 2]
    data = load("digits")
    samples = data.scaling.codes(data.train_x, Format.parse("u8.8"))
    tokens = list(epoch(description.recipe, epoch_order(1437, 1, 0), schedule.delay))
    reference = reference_chain(description, schedule)
    found = chain.run(tokens, samples, data.train_y)[-500:]
    expected = reference.run(tokens, samples / 256, data.train_y)[-500:]
    accuracy = sum(p.correct for p in found) / 500
    assert accuracy > 0.8
    assert abs(accuracy - sum(p.correct for p in expected) / 500) < 0.05


# ---- initial state -----------------------------------------------------------------------------


@pytest.mark.parametrize("init", ["he", "orthogonal"])
def test_initial_weights_are_the_floats_rounded_and_generators_differ(init: str) -> None:
    description = network((12, 9, 9, 4), init=init)
    schedule = plan(description).schedule
    states = initial_states(description, schedule, seed=5)
    for state, matrix in zip(states, initial_floats(description, 5), strict=True):
        assert np.abs(state.weight * 2.0**-18 - matrix).max() <= 2.0**-19
        assert not state.velocity.any()
        assert not state.bias.any()
        assert 0 < state.generator < 2**32
    assert len({state.generator for state in states}) == len(states)
    again = initial_states(description, schedule, seed=5)
    other = initial_states(description, schedule, seed=6)
    np.testing.assert_array_equal(again[0].weight, states[0].weight)
    assert (other[0].weight != states[0].weight).any()


def test_orthogonal_weights_are_orthogonal_with_the_gain_of_a_relu() -> None:
    first, second, last = initial_floats(network((12, 9, 15, 4), init="orthogonal"), 1)
    np.testing.assert_allclose(first @ first.T, 2 * np.eye(9), atol=1e-12)
    np.testing.assert_allclose(second.T @ second, 2 * np.eye(9), atol=1e-12)
    np.testing.assert_allclose(last @ last.T, np.eye(4), atol=1e-12)
