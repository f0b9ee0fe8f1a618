"""Prediction and update of a lane equal golden's in every bit, at the cycle the schedule says."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Rounding
from counterflow.design.schedule.planner import plan
from counterflow.design.units.arithmetic import RANDOM_BITS, UnitArithmetic
from counterflow.design.units.latency import UPDATE
from counterflow.design.units.slots import Stage
from counterflow.golden.parts.narrow import Integers, narrow
from counterflow.golden.units import update as golden
from counterflow.golden.units.convolution import Convolution, UnitState
from counterflow.golden.units.update import Settings
from counterflow.hw.weighted.update import Predict, Update, random_bits
from counterflow.sim.streams import respond

COARSE = {"input": "u8.6", "operand": "s8.6", "error": "s8.6", "weight": "s16.14"}
WIDE = {"input": "u16.12", "activation": "u16.10", "operand": "s16.14", "error": "s16.10"}
CASES: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "8 bit": ({**COARSE, "velocity": "s10.14"}, {"learning_rate": 2.0**-4}),
    "20 bit": ({"weight": "s20.18", "velocity": "s14.18"}, {"horizon": 2}),
    "16 by 16 bit": (
        {**WIDE, "weight": "s24.20", "velocity": "s22.20"},
        {"learning_rate": 2.0**-4},
    ),
    "no momentum": ({}, {"momentum": 0.0}),
    "no momentum, nothing dropped": (
        {"input": "u4.2", "error": "s6.4", "weight": "s12.10", "velocity": "s9.10"},
        {"momentum": 0.0, "learning_rate": 2.0**-4, "rate_drops": ()},
    ),
    "momentum 127/128": ({}, {"momentum": 127 / 128}),
    "momentum 4095/4096, coarse gradient": (
        {"error": "s8.4", "velocity": "s18.18"},
        {"momentum": 4095 / 4096, "learning_rate": 2.0**-2},
    ),
    "no delay": ({}, {"scheme": "sequential"}),
    "prediction alone": ({}, {"mitigation": "lwpv"}),
    "compensation alone": ({}, {"mitigation": "sc"}),
    "decay": ({}, {"weight_decay": 2.0**-5}),
    "decay of all but nothing, no delay": (
        {},
        {"weight_decay": 2.0**-18, "scheme": "sequential"},
    ),
    "decay at one rate": ({}, {"weight_decay": 2.0**-7, "mitigation": "lwpv", "rate_drops": ()}),
    "clipped gradients": ({}, {"gradient_clip": 0.25}),
    "clipped gradients, no compensation, decay": (
        {},
        {"gradient_clip": 2.0**-7, "mitigation": "lwpv", "weight_decay": 2.0**-6},
    ),
    "samples that accumulate": ({}, {"accumulate": 5, "learning_rate": 2.0**-4}),
}


def stage_of(name: str, rounding: Rounding, index: int = 0) -> Stage:
    """Unit `index` of a small network with the formats and recipe of a case."""
    formats, recipe = CASES[name]
    drops = [{"epoch": 1, "shift": 1}, {"epoch": 2, "shift": 3}]
    description = Description.model_validate(
        {
            "name": "lane",
            "inputs": 4,
            "layers": [{"outputs": 3}, {"outputs": 2, "activation": "none"}],
            "formats": formats,
            "rounding": {"update": rounding, "operand": without_random(rounding)},
            "recipe": {"rate_drops": drops, **recipe},
        }
    )
    return plan(description).schedule.stages[index]


def without_random(rounding: Rounding) -> Rounding:
    """Operands are never rounded stochastically."""
    return Rounding.NEAREST_EVEN if rounding is Rounding.STOCHASTIC else rounding


def vectors(ranges: Sequence[tuple[int, int]], count: int, seed: int) -> list[Integers]:
    """Columns within `ranges`: all combinations of extremes and ones, then random rows."""
    corners = [sorted({low, high, 0, 1, max(low, -1)}) for low, high in ranges]
    extreme = np.array(list(product(*corners)), np.int64)
    source = np.random.default_rng(seed)
    rows = [source.integers(low, high + 1, count) for low, high in ranges]
    return [np.concatenate(pair) for pair in zip(extreme.T, rows, strict=True)]


def random_words(count: int, seed: int) -> Integers:
    """Words of a generator, every other one of a kind that rounds down or up whatever the rest."""
    words = np.random.default_rng(seed).integers(0, 1 << RANDOM_BITS, count)
    words[1::4], words[3::4] = 0, (1 << RANDOM_BITS) - 1
    return words


def gradients(numbers: UnitArithmetic) -> tuple[int, int]:
    """The range of a weight's or a bias' gradient."""
    largest = numbers.accumulate * max(numbers.x.max, 1 << numbers.x.frac)
    return numbers.dy.min * largest, numbers.dy.max * largest


def taken_late(numbers: UnitArithmetic, random: list[int], before: int) -> list[int]:
    """Random words, a cycle for the settings and so many others `before`, as an update takes them.

    Upper bits come later, as it says.
    """
    found, at = [0] * (1 + len(random) + UPDATE), 0
    for start, stop, later in random_bits(numbers):
        for cycle, word in enumerate(random, 1 + before + later):
            if cycle < len(found):
                found[cycle] |= (word >> start) % (1 << (stop - start)) << at
        at += stop - start
    return found


def updated(
    stage: Stage, columns: list[Integers], compensate: bool, extra: int, generator_delay: int = 1
) -> list[Integers]:
    """(new weight, new velocity, clipped) of `hw.weighted.update.Update`, each row at its own
    cycle."""
    weight, velocity, gradient, random = (column.tolist() for column in columns)
    idle, rows, before = [0] * UPDATE, len(weight), [0]  # a cycle for the settings
    inputs = {
        "weight": before + weight + idle,
        "velocity": before + velocity + idle,
        "gradient": before + gradient + idle,
        "random": taken_late(stage.arithmetic, random, generator_delay),
        "compensate": [compensate] * (1 + rows + UPDATE),
        "extra_shift": [extra] * (1 + rows + UPDATE),
    }
    update = Update(numbers=stage.arithmetic)
    seen = respond(update, inputs, ["new_weight", "new_velocity", "clipped"])
    return list(np.array(seen[UPDATE + 1 :], np.int64).T)


@pytest.mark.parametrize("rounding", Rounding)
@pytest.mark.parametrize("case", CASES)
def test_the_update_equals_golden_with_and_without_compensation_at_every_rate(
    case: str, rounding: Rounding
) -> None:
    stage = stage_of(case, rounding)
    numbers = stage.arithmetic
    ranges = [
        (numbers.weight.min, numbers.weight.max),
        (numbers.velocity.min, numbers.velocity.max),
        gradients(numbers),
    ]
    seen_clipped = set()
    both = (False, True) if numbers.compensates else (False,)
    for compensate, extra in product(both, sorted({0, 1, 3, numbers.rate_span})):
        if extra > numbers.rate_span:
            continue
        columns = vectors(ranges, 60, seed=extra)
        columns.append(random_words(len(columns[0]), seed=extra))
        settings = Settings(compensate=compensate, extra_shift=extra)
        expected = golden.updated(numbers, settings, *columns)
        found = updated(stage, columns, compensate, extra)
        for what, wanted, column in zip(
            ("weight", "velocity", "clipped"), expected, found, strict=True
        ):
            message = f"{what}, compensate {compensate}, extra shift {extra}"
            np.testing.assert_array_equal(column, wanted, message)
        seen_clipped |= set(found[2].tolist())
    assert seen_clipped == {0, 1}  # vectors reach both


@pytest.mark.parametrize("sum_", ["scaled", "grown", "grown_rounded", "mixed", "mixed_rounded"])
def test_a_bit_less_than_a_sum_of_the_update_is_said_to_need_is_too_few(sum_: str) -> None:
    stage = stage_of("20 bit", Rounding.STOCHASTIC)
    numbers = stage.arithmetic
    ranges = [(one.min, one.max) for one in (numbers.weight, numbers.velocity)]
    columns = vectors([*ranges, gradients(numbers)], 60, seed=4)
    columns.append(random_words(len(columns[0]), seed=4))
    expected = golden.updated(numbers, Settings(), *columns)
    whole = getattr(numbers, sum_)
    for bits, enough in ((whole.bits, True), (whole.bits - 1, False)):
        vars(numbers)[sum_] = dataclasses.replace(whole, bits=bits)
        found = updated(stage, columns, True, 0)
        equal = all(np.array_equal(f, g) for f, g in zip(found, expected, strict=True))
        assert equal == enough, f"{bits} bits"


@pytest.mark.parametrize("case", ["no delay", "prediction alone"])
def test_without_compensation_in_the_recipe_its_setting_changes_nothing(case: str) -> None:
    stage = stage_of(case, Rounding.STOCHASTIC)
    columns = vectors([(-999, 999)] * 3, 50, seed=2)
    columns.append(random_words(len(columns[0]), seed=2))
    with_it, without = (updated(stage, columns, setting, 0) for setting in (True, False))
    np.testing.assert_array_equal(with_it, without)


@pytest.mark.parametrize("case", ["no delay", "compensation alone"])
def test_without_prediction_in_the_recipe_forward_is_backward(case: str) -> None:
    numbers = stage_of(case, Rounding.TRUNCATE).arithmetic
    weight, velocity = (column.tolist() for column in vectors([(-9999, 9999)] * 2, 50, seed=3))
    inputs = {"weight": weight, "velocity": velocity, "enable": [1] * len(weight)}
    predict = Predict(numbers=numbers, target=numbers.operand, back=True)
    assert all(f == b for f, b in respond(predict, inputs, ["forward", "backward"]))


@pytest.mark.parametrize("compensate", [False, True])
def test_an_update_takes_its_random_bits_one_cycle_behind_the_gradient(compensate: bool) -> None:
    """One cycle earlier or later gives other results: the comparison above would see it."""
    stage = stage_of("20 bit", Rounding.STOCHASTIC)
    columns = vectors([(-9, 9), (-9, 9), (-9, 9)], 100, seed=5)
    columns.append(random_words(len(columns[0]), seed=5))
    expected = golden.updated(stage.arithmetic, Settings(compensate=compensate), *columns)
    for delay in range(3):
        found = updated(stage, columns, compensate, 0, delay)
        equal = all(np.array_equal(f, g) for f, g in zip(found, expected, strict=True))
        assert equal == (delay == 1), f"{delay} cycles behind"


@pytest.mark.parametrize("rounding", [Rounding.TRUNCATE, Rounding.NEAREST_EVEN])
@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_prediction_equals_golden_for_weights_and_biases(
    case: str, index: int, rounding: Rounding
) -> None:
    stage = stage_of(case, rounding, index)
    numbers = stage.arithmetic
    weight, velocity = vectors(
        [
            (numbers.weight.min, numbers.weight.max),
            (numbers.velocity.min, numbers.velocity.max),
        ],
        150,
        seed=index,
    )
    state = UnitState(weight, weight, 1, velocity, velocity)
    predicted = Convolution(stage, state)._predicted()
    enable = np.random.default_rng(8).integers(0, 2, len(weight))
    for target, ahead in zip((numbers.operand, numbers.bias_operand), predicted, strict=True):
        frac, how = numbers.weight.frac, numbers.round_operand
        current, _ = narrow(weight, frac, target, how)
        used = np.where(enable, ahead, weight) if numbers.predicts else weight
        forward, _ = narrow(used, frac, target, how)
        inputs = {
            "weight": [*weight.tolist(), 0],
            "velocity": [*velocity.tolist(), 0],
            "enable": [0, *enable.tolist()],
        }
        predict = Predict(numbers=numbers, target=target, back=True)
        seen = np.array(respond(predict, inputs, ["forward", "backward"])[1:], np.int64)
        np.testing.assert_array_equal(seen[:, 0], forward, f"forward as {target}")
        np.testing.assert_array_equal(seen[:, 1], current, f"backward as {target}")
        alone = Predict(numbers=numbers, target=target, back=False)
        inputs["enable"] = [*enable.tolist(), 0]
        seen = np.array(respond(alone, inputs, ["forward"])[1:], np.int64)
        np.testing.assert_array_equal(seen[:, 0], forward, f"forward alone as {target}")


def test_the_cases_cover_what_they_are_named_for() -> None:
    stages = {case: stage_of(case, Rounding.TRUNCATE).arithmetic for case in CASES}
    assert stages["no momentum, nothing dropped"].velocity_drop == 0
    assert stages["no momentum"].momentum_shift == 0
    assert stages["momentum 127/128"].momentum_shift == 7
    assert stages["no delay"].horizon == 0
    assert {s.velocity_drop > s.momentum_shift for s in stages.values()} == {False, True}
    assert max(s.horizon for s in stages.values()) >= 6
    assert {s.compensation for s in stages.values()} >= {0}
    modes = {(s.predicts, s.compensates) for s in stages.values()}
    assert modes == {(False, False), (False, True), (True, False), (True, True)}
    assert stages["samples that accumulate"].gradient.bits > stages["20 bit"].gradient.bits
