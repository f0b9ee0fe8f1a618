"""Weight decay: what it does to weights, alike in all columns, and where it stands still."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.fpga.logic import unit_luts
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, load, parse
from counterflow.design.parts.recipe import MAX_DECAY_SHIFT, MITIGATIONS, Recipe
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.schedule.standstill import check_moves, decay_stands
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.golden.parts.generator import draws
from counterflow.golden.reference.rules import Parameter, Rule
from counterflow.golden.units.update import Settings, updated
from counterflow.hw.parts.modules import convert
from counterflow.hw.weighted.lane import BiasLane
from counterflow.hw.weighted.update import Update
from tests import all_kinds, fast_pair, goldens
from tests.commands import succeed
from tests.fast_pair import Pair, convolution, mixed, trained
from tests.test_hardware import assert_equal

SHIFT = 7


def network(decay: float, rounding: str = "stochastic", **recipe: Any) -> Description:
    """A convolution and a dense layer."""
    return Description.model_validate(
        {
            "name": "net",
            "inputs": [4, 3, 2],
            "layers": [
                convolution(3, 2, activation="none", formats={"activation": "s12.5"}),
                {"kind": "norm"},
                {"outputs": 4, "activation": "none"},
            ],
            "rounding": {"update": rounding},
            "recipe": {"learning_rate": 2.0**-6, "weight_decay": decay, **recipe},
            "fold": {"multipliers": 30},
        }
    )


def numbers_of(description: Description) -> UnitArithmetic:
    return plan(description).schedule.weighted[0].arithmetic


# In floats


@pytest.mark.parametrize("delay", [0, 3])
@pytest.mark.parametrize("momentum", [0.0, 0.875])
def test_without_gradients_a_weight_decays_as_a_power_of_its_share(
    momentum: float, delay: int
) -> None:
    """Whatever the momentum and the compensation: w_n = w_0 (1 - share)^n."""
    share, start = 2.0**-SHIFT, np.array([1.0, -3.0])
    rule = Rule(0.5, momentum, horizon=delay, compensate=delay > 0, decay=share)
    one = Parameter(start)
    for _ in range(100):
        one.learn(np.zeros(2), rule)
    np.testing.assert_allclose(one.value, start * (1 - share) ** 100, rtol=1e-12)
    assert not one.step.any()


@pytest.mark.parametrize("delay", [0, 3])
def test_a_gradient_decays_with_the_weights_that_it_made(delay: int) -> None:
    """Its whole effect g / (1 - m) is there after long, but for what decayed since."""
    share, m = 2.0**-12, 0.5
    rule = Rule(1.0, m, horizon=delay, compensate=delay > 0, decay=share)
    one, count = Parameter(np.zeros(1)), 60
    one.learn(np.ones(1), rule)
    for _ in range(count):
        one.learn(np.zeros(1), rule)
    a, b = (m**delay, (1 - m**delay) / (1 - m)) if delay else (1.0, 0.0)
    steps = [a * m**j + b * (j == 0) for j in range(count + 1)]
    expected = -sum(step * (1 - share) ** (count - j) for j, step in enumerate(steps))
    np.testing.assert_allclose(one.value, expected, rtol=1e-12)
    np.testing.assert_allclose(one.value, -1 / (1 - m), rtol=count * share)


def test_it_is_decoupled_as_sgdw_is() -> None:
    """Loshchilov & Hutter, arXiv 1711.05101, algorithm 1, with v = u / eta."""
    rate, m, share = 2.0**-3, 0.75, 2.0**-5
    random, rule = np.random.default_rng(1), Rule(rate, m, decay=share)
    one = Parameter(random.normal(size=3))
    w, v = one.value.copy(), np.zeros(3)
    for _ in range(50):
        g = random.normal(size=3)
        one.learn(g, rule)
        v = m * v + g
        w = w - rate * v - share * w
    np.testing.assert_allclose(one.value, w, rtol=1e-12)


# In integers


def test_rounded_to_nearest_a_weight_stands_still_at_half_a_last_place() -> None:
    numbers = numbers_of(network(2.0**-SHIFT, "nearest-even", mitigation="none"))
    weight = np.array([10_000, -10_000, 1 << (SHIFT - 1), -(1 << (SHIFT - 1)), 3, 0])
    zero = np.zeros(len(weight), np.int64)
    now = weight
    for _ in range(2_000):
        now, _, _ = updated(numbers, Settings(compensate=False), now, zero, zero, zero)
    assert now.tolist() == [64, -64, 64, -64, 3, 0]
    assert numbers.weight.value(64) == pytest.approx(2.0**-12)
    said = decay_stands(plan(network(2.0**-SHIFT, "nearest-even")).schedule)
    assert said is not None
    assert "conv0 0.000244, dense2 0.000244" in said
    assert decay_stands(plan(network(2.0**-SHIFT)).schedule) is None


def test_rounded_stochastically_it_decays_to_nothing_and_by_its_mean() -> None:
    numbers = numbers_of(network(2.0**-SHIFT))
    count, weight, state = 4_000, 40, 1  # under half a last place an update
    now = np.full(count, weight)
    zero = np.zeros(count, np.int64)
    for step in range(1, 41):
        random = draws(state, count)
        state = int(random[-1])
        now, _, _ = updated(numbers, Settings(), now, zero, zero, random)
        if step == 40:
            expected = weight * (1 - 2.0**-SHIFT) ** step
            assert abs(now.mean() - expected) < 5 * now.std() / count**0.5
            assert now.std() > 0
    small = np.array([1, -1])
    for _ in range(3_000):
        random = draws(state, 2)
        state = int(random[-1])
        small, _, _ = updated(numbers, Settings(), small, zero[:2], zero[:2], random)
    assert small.tolist() == [0, 0]


@pytest.mark.parametrize("extra", [0, 1, 3])
def test_a_rate_drop_lowers_it_as_much(extra: int) -> None:
    drops = [{"epoch": 1, "shift": 1}, {"epoch": 2, "shift": 3}]
    numbers = numbers_of(network(2.0**-SHIFT, "nearest-even", rate_drops=drops))
    weight, zero = np.array([1 << 15, -(1 << 15)]), np.zeros(2, np.int64)
    settings = Settings(compensate=False, extra_shift=extra)
    now, _, _ = updated(numbers, settings, weight, zero, zero, zero)
    assert (weight - now).tolist() == [1 << (15 - SHIFT - extra), -(1 << (15 - SHIFT - extra))]


def test_biases_and_norms_do_not_decay() -> None:
    schedule = plan(network(2.0**-SHIFT)).schedule
    for stage in schedule.weighted:
        assert stage.arithmetic.decay_shift == SHIFT
        assert stage.arithmetic.of_biases == replace(stage.arithmetic, decay_shift=0)
    (norm,) = schedule.norms
    assert [moves.decay_shift for moves, _ in norm.moving.values()] == [0]


@pytest.mark.parametrize("update", ["truncate", "nearest-even", "stochastic"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_fast_chain_is_the_golden_chain(update: str, accumulate: int) -> None:
    drops = [{"epoch": 1, "shift": 2}]
    decay: dict[str, Any] = {"accumulate": accumulate, "rate_drops": drops}
    both = [
        fast_pair.network(update=update, weight_decay=2.0**-4, **decay),
        network(2.0**-4, update, **decay),
    ]
    for description in both:
        pair = Pair(description)
        for extra in (0, 2):
            pair.set(Settings(extra_shift=extra))
            pair.run(trained(30) if accumulate == 1 else mixed(40, 3, accumulate))


@pytest.mark.parametrize("mitigation", ["none", "lwpv+sc", "lwpw", "stash"])
def test_with_fine_formats_golden_is_the_float_reference(mitigation: str) -> None:
    """As without decay (`tests.test_golden`); of weights left alone a third and more decays."""
    description = goldens.network(
        (6, 8, 7, 3),
        formats=goldens.WIDE,
        update="nearest-even",
        multipliers=8,
        mitigation=mitigation,
        learning_rate=2.0**-7,
        momentum=0.5,
        rate_drops=[{"epoch": 1, "shift": 2}],
        weight_decay=2.0**-9,
    )
    off, moved = goldens.distance_to_reference(description, exact_loss=True)
    assert moved > 0.6
    assert off < 2.0**-17


# In hardware


def hardware() -> Plan:
    return plan(network(2.0**-SHIFT, rate_drops=[{"epoch": 1, "shift": 2}]))


@pytest.mark.slow  # tests/test_hardware_every_kind.py has it in the default suite
def test_every_cycle_equals_golden() -> None:
    assert_equal(all_kinds.run(hardware()), 10_000)


@pytest.mark.slow
def test_another_decay_is_found() -> None:
    found = all_kinds.run(hardware(), decay_shift=SHIFT + 1)
    assert found.first_divergence is not None
    assert ": conv0." in found.first_divergence


def test_without_it_nothing_of_it_is_in_the_verilog() -> None:
    with_it, without = (
        convert(Update(numbers=numbers_of(network(decay))), "update")
        for decay in (2.0**-SHIFT, 0.0)
    )
    assert "s3_part" in with_it
    assert "s3_part" not in without
    biased = convert(BiasLane(numbers=numbers_of(network(2.0**-SHIFT))), "lane")
    assert biased == convert(BiasLane(numbers=numbers_of(network(0.0))), "lane")


def test_it_takes_luts_and_neither_multipliers_nor_memory() -> None:
    design, plain = plan(network(2.0**-SHIFT)), plan(network(0.0))
    assert design.schedule.multipliers == plain.schedule.multipliers
    assert design.memory_bits == plain.memory_bits
    cells = MemoryCells(0, 0, 0)
    luts = [
        sum(
            unit_luts(one.tiling, one.arithmetic, cells, "ecp5")
            for one in planned.schedule.weighted
        )
        for planned in (design, plain)
    ]
    assert luts[0] > luts[1]


# What is refused


@pytest.mark.parametrize("value", [0.3, 2.0**-25, 1.0, -0.5, float("nan")])
def test_other_shares_are_refused(value: float) -> None:
    text = 'name = "n"\ninputs = 2\nlayers = [{outputs = 2, activation = "none"}]\n[recipe]\n'
    with pytest.raises(DescriptionError, match=r"recipe\.weight_decay|weight_decay in recipe"):
        parse(f"{text}weight_decay = {value}\n")


@pytest.mark.parametrize("mitigation", MITIGATIONS)
def test_the_least_share_works_with_the_default_formats(mitigation: str) -> None:
    recipe = Recipe(weight_decay=2.0**-MAX_DECAY_SHIFT, mitigation=mitigation)  # type: ignore[arg-type]
    assert recipe.decay_shift == MAX_DECAY_SHIFT
    plan(load("digits").model_copy(update={"recipe": recipe}))


def test_more_random_bits_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"what decays of a weight 31, .* has 32; raise"):
        plan(network(2.0**-24, rate_drops=[{"epoch": 1, "shift": 7}]))


def test_a_decay_of_nothing_is_refused() -> None:
    description = network(2.0**-20, "nearest-even")
    schedule = plan(description).schedule
    with pytest.raises(ValueError, match=r"recipe\.weight_decay is .*2\^-20.* at least 2\^-19"):
        check_moves(description, schedule)
    check_moves(network(2.0**-19, "nearest-even"), plan(network(2.0**-19, "nearest-even")).schedule)
    check_moves(network(2.0**-20), plan(network(2.0**-20)).schedule)


def test_a_plan_says_where_it_stands_still(tmp_path: Any) -> None:
    file = tmp_path / "net.toml"
    file.write_text(
        'name = "net"\ninputs = 3\nlayers = [{outputs = 2, activation = "none"}]\n'
        '[rounding]\nupdate = "nearest-even"\n[recipe]\nweight_decay = 0.0078125\n'
    )
    said = " ".join(succeed("plan", str(file)).output.split())
    assert "weights do not decay any more once they are no larger than these: dense0" in said
