"""Gradient clipping: gradients saturate at a bound of the recipe, alike in all columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from counterflow.design.fpga.blocks import MemoryCells
from counterflow.design.fpga.logic import unit_luts
from counterflow.design.network.description import Description
from counterflow.design.network.files import DescriptionError, parse
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.golden.reference.rules import Parameter, Rule
from counterflow.golden.units.update import Settings, updated
from counterflow.hw.parts.modules import convert
from counterflow.hw.weighted.update import Update
from tests import all_kinds, fast_pair, goldens
from tests.fast_pair import Pair, convolution, mixed, trained
from tests.test_hardware import assert_equal

BOUND = 2.0**-6


def network(
    bound: float | None = BOUND, rounding: str = "stochastic", **recipe: Any
) -> Description:
    """A convolution, a norm with a gamma, and a dense layer."""
    signed = {"activation": "none", "formats": {"activation": "s12.5"}}
    return Description.model_validate(
        {
            "name": "net",
            "inputs": [4, 3, 2],
            "layers": [
                convolution(3, 2, **signed),
                {"kind": "norm", "gamma": True},
                {"outputs": 4, "activation": "none"},
            ],
            "rounding": {"update": rounding},
            "recipe": {"learning_rate": 2.0**-6, "gradient_clip": bound, **recipe},
            "fold": {"multipliers": 30},
        }
    )


def numbers_of(description: Description, index: int = 0) -> UnitArithmetic:
    return plan(description).schedule.weighted[index].arithmetic


def test_the_reference_clips_what_an_update_takes() -> None:
    rule = Rule(0.5, 0.75, clip=1.0)
    one, w, u = Parameter(np.zeros(4)), np.zeros(4), np.zeros(4)
    for total in ([0.5, -3.0, 1.0, -1.0], [8.0, 0.0, 0.25, -2.0]):
        one.learn(np.array(total) - 1, rule, update=False)
        one.learn(np.ones(4), rule)  # of both together, not of each
        u = 0.75 * u + 0.5 * np.clip(total, -1, 1)
        w = w - u
        np.testing.assert_allclose(one.value, w)


def test_a_gradient_beyond_the_bound_moves_a_weight_as_one_at_it_and_counts() -> None:
    numbers = numbers_of(network(rounding="nearest-even", momentum=0.0, mitigation="none"))
    bound = round(BOUND * 2**numbers.gradient.frac)
    gradient = np.array([bound - 1, bound, 7 * bound, -bound, -bound - 1, 1 - bound])
    zero = np.zeros(len(gradient), np.int64)
    moved, velocity, clipped = updated(
        numbers, Settings(compensate=False), zero, zero, gradient, zero
    )
    assert clipped.tolist() == [False, True, True, False, True, False]
    assert moved.tolist() == (-velocity).tolist()
    assert len({int(one) for one in moved[:3]}) == len({int(one) for one in moved[3:5]}) == 1
    assert numbers.clipped.bits < numbers.gradient.bits


def test_all_that_learns_has_the_bound() -> None:
    schedule = plan(network()).schedule
    (norm,) = schedule.norms
    every = [stage.arithmetic for stage in schedule.weighted]
    every += [moves for moves, _ in norm.moving.values()]
    assert len(every) == 4
    for one in every:
        assert one.clips
        assert one.clipped.value(one.clipped.max + 1) == BOUND


def test_a_bound_that_no_gradient_reaches_is_no_bound() -> None:
    """And leaves no logic; nor does a description without one."""
    far = replace(numbers_of(network()), clip_shift=20)
    assert not far.clips
    assert far.clipped == far.gradient
    plain, beyond, near = (
        convert(Update(numbers=one), "update")
        for one in (numbers_of(network(None)), far, numbers_of(network()))
    )
    assert plain == beyond != near


@pytest.mark.parametrize("update", ["truncate", "nearest-even", "stochastic"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("bound", [2.0**-3, 2.0**-7])
def test_the_fast_chain_is_the_golden_chain(update: str, accumulate: int, bound: float) -> None:
    recipe: dict[str, Any] = {"accumulate": accumulate, "rate_drops": [{"epoch": 1, "shift": 2}]}
    dense = fast_pair.network(update=update, gradient_clip=bound, **recipe)
    for description in (dense, network(bound, update, **recipe)):
        pair = Pair(description)
        for extra in (0, 2):
            pair.set(Settings(extra_shift=extra))
            pair.run(trained(30) if accumulate == 1 else mixed(40, 3, accumulate))
        assert sum(pair.fast.saturations) > 0


def test_where_everything_saturates_the_fast_chain_is_the_golden_chain() -> None:
    pair = Pair(fast_pair.network(gradient_clip=2.0**-4, momentum=0.75), extreme=True)
    pair.run(trained(40))


@pytest.mark.parametrize("mitigation", ["none", "lwpv+sc"])
def test_with_fine_formats_golden_is_the_float_reference(mitigation: str) -> None:
    """As without a bound (`tests.test_golden`), which is reached by some gradients."""
    description = goldens.network(
        (6, 8, 7, 3),
        formats=goldens.WIDE,
        update="nearest-even",
        multipliers=8,
        mitigation=mitigation,
        learning_rate=2.0**-7,
        momentum=0.5,
        gradient_clip=0.25,
    )
    off, moved = goldens.distance_to_reference(description, exact_loss=True)
    assert moved > 0.3
    assert off < 2.0**-17
    free = description.model_copy(
        update={"recipe": description.recipe.model_copy(update={"gradient_clip": None})}
    )
    _, further = goldens.distance_to_reference(free, exact_loss=True)
    assert further > 1.1 * moved


def hardware() -> Plan:
    return plan(network(rate_drops=[{"epoch": 1, "shift": 2}]))


@pytest.mark.slow  # tests/test_hardware_every_kind.py has it in the default suite
def test_every_cycle_equals_golden() -> None:
    assert_equal(all_kinds.run(hardware()), 10_000)


@pytest.mark.slow  # as another decay, which is in the default suite
def test_another_bound_is_found() -> None:
    design = hardware()
    bound = design.description.recipe.clip_shift
    assert bound is not None
    found = all_kinds.run(design, clip_shift=bound - 1)
    assert found.first_divergence is not None
    assert ": conv0." in found.first_divergence


def test_it_takes_no_multipliers_and_no_memory_and_narrows_what_follows() -> None:
    design, plain = plan(network()), plan(network(None))
    assert design.schedule.multipliers == plain.schedule.multipliers
    assert design.memory_bits == plain.memory_bits
    cells = MemoryCells()
    luts = [
        [unit_luts(one.tiling, one.arithmetic, cells, "ecp5") for one in planned.schedule.weighted]
        for planned in (design, plain)
    ]
    assert luts[0] != luts[1]


@pytest.mark.parametrize("value", ["0.3", "0.0", "-0.5", "nan", "inf", "33554432.0"])
def test_other_bounds_are_refused(value: str) -> None:
    text = 'name = "n"\ninputs = 2\nlayers = [{outputs = 2, activation = "none"}]\n[recipe]\n'
    with pytest.raises(DescriptionError, match="gradient_clip"):
        parse(f"{text}gradient_clip = {value}\n")


def test_a_bound_below_the_last_place_of_gradients_is_refused() -> None:
    with pytest.raises(ValueError, match=r"gradient_clip is 2\^-20, but .* use at least 2\^-"):
        plan(network(2.0**-20))
