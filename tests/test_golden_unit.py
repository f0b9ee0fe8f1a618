"""One golden unit, in exact rationals."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.schedule.planner import plan
from counterflow.design.units.arithmetic import (
    COMPENSATION_FRAC,
    RANDOM_BITS,
    UnitArithmetic,
)
from counterflow.golden.parts.generator import step
from counterflow.golden.units.update import Settings
from tests.goldens import (
    built,
    network,
    random_unit,
)


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
