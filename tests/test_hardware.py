"""Generated Verilog under Verilator and cocotb, held to the golden model.

Stall-free: every watched value in every clock cycle.  Under stalls, spoilt samples, reset and
power-cycle: the same values in the same order, all weights, all counters.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest

from counterflow.design.data.sets import Dataset, load, synthetic
from counterflow.design.network.description import Description, Fold
from counterflow.design.network.files import load as load_description
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Formats, Roundings
from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.convolution import Dense
from counterflow.design.units.loss import NATS
from counterflow.design.units.tiling import Lanes
from counterflow.design.units.timing import rest
from counterflow.design.units.turns import bias_lanes, bias_turns
from counterflow.golden.training.start import initial_chain
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.simulate import bench_verilog, quantised, record_depth, simulate
from tests import simulated

pytestmark = pytest.mark.xdist_group("chains")  # most of it shares a build


def mixed_tokens(count: int, delay: int, seed: int = 7) -> tuple[Token, ...]:
    """Train, infer and bubble tokens in random order, a train token first, drained at the end."""
    random = np.random.default_rng(seed)
    kinds = random.choice([Kind.TRAIN, Kind.INFER, Kind.BUBBLE], count, p=[0.6, 0.2, 0.2])
    tokens = [BUBBLE if k == Kind.BUBBLE else Token(Kind(int(k)), i) for i, k in enumerate(kinds)]
    tokens[0] = Token(Kind.TRAIN, 0)
    return tuple(drained(tokens, delay))


def job_of(design: Plan, data: Dataset, tokens: tuple[Token, ...], **changes: object) -> Job:
    job = Job(
        description=design.description,
        tokens=tokens,
        samples=quantised(design.description, data),
        labels=data.train_y,
        seed=1,
        depth=record_depth(design),
    )
    return dataclasses.replace(job, **changes)  # type: ignore[arg-type]


@cache
def verilog_of(design: Plan) -> str:
    """To write it takes longer than many a run."""
    return bench_verilog(design)


def assert_equal(found: Found, at_least: int) -> None:
    assert found.mismatches == 0, found.first_divergence
    assert found.first_divergence is None
    assert found.compared >= at_least


def network(
    name: str, widths: list[int], lanes: list[tuple[int, int, bool]], **more: object
) -> Plan:
    layers = [Dense(outputs=w) for w in widths[1:-1]]
    layers.append(Dense(outputs=widths[-1], activation="none"))
    folded = [Lanes(outputs=o, inputs=i, shared=s) for o, i, s in lanes]
    return plan(
        Description.model_validate(
            {"name": name, "inputs": widths[0], "layers": layers, "fold": Fold(lanes=folded)} | more
        )
    )


DESIGNS = {
    "padding lanes in both directions": network(
        "padding", [7, 5, 3], [(2, 3, False), (2, 2, False)]
    ),
    "one multiplier a lane": network("shared", [6, 5, 4], [(2, 4, True), (3, 2, True)]),
    "one layer": network("single", [9, 4], [(2, 2, False)]),
    "wide rows, deep trees": network(
        "rows", [24, 17, 3], [(1, 21, False), (3, 1, False)], recipe=Recipe(mitigation="sc")
    ),
    "16-bit formats, no momentum, nearest": network(
        "sixteen",
        [5, 6, 4],
        [(1, 2, False), (2, 1, True)],
        formats=Formats.model_validate(
            {
                "input": "s16.11",
                "activation": "s16.11",
                "operand": "s16.14",
                "weight": "s18.16",
                "velocity": "s14.16",
                "error": "s16.13",
                "logit": "s16.10",
            }
        ),
        rounding=Roundings(update="nearest-even", activation="truncate", error="truncate"),
        recipe=Recipe(momentum=0.0, learning_rate=2.0**-5, mitigation="none"),
    ),
    "rate drops, heavy momentum, overcompensation": network(
        "heavy",
        [4, 3, 3, 2],
        [(1, 1, False), (1, 2, False), (1, 1, False)],
        recipe=Recipe.model_validate(
            {
                "momentum": 0.96875,
                "learning_rate": 2.0**-7,
                "horizon": 2,
                "rate_drops": [{"epoch": 1, "shift": 3}],
            }
        ),
    ),
    "turns of several bias lanes, of shared updates": network(
        "turns", [7, 9, 7, 5, 4], [(9, 4, False), (3, 3, True), (2, 5, True), (4, 1, False)]
    ),
    "rows of one tile, two biases at a time": network(
        "short", [4, 3, 4, 2], [(3, 1, False), (2, 3, True), (1, 1, False)]
    ),
}


LATER = (
    "one layer",
    "one multiplier a lane",
    "16-bit formats, no momentum, nearest",
    "turns of several bias lanes, of shared updates",
)  # builds left to the slow tests


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[pytest.mark.slow] * (one in LATER)) for one in DESIGNS],
)
def test_every_cycle_equals_golden(name: str) -> None:
    design = DESIGNS[name]
    description = design.description
    data = synthetic(description.elements, description.classes, 48, 2)
    tokens = mixed_tokens(48, design.schedule.delay)
    found = simulated.run(verilog_of(design), job_of(design, data, tokens))
    assert_equal(found, 20_000)
    golden = initial_chain(description, design.schedule, 1)
    predictions = golden.run(tokens, quantised(description, data), data.train_y)
    assert found.losses == [p.loss * NATS for p in predictions]


def test_turns_are_taken_in_all_ways() -> None:
    stages = DESIGNS["turns of several bias lanes, of shared updates"].schedule.stages
    tilings = [stage.tiling for stage in stages]
    ways = [(bias_lanes(one), bias_turns(one), one.move_turns) for one in tilings]
    assert ways == [(5, 2, 1), (1, 3, 3), (1, 2, 3), (1, 4, 1)]


@pytest.mark.parametrize(
    "name",
    [
        "padding lanes in both directions",
        pytest.param("one multiplier a lane", marks=pytest.mark.slow),
        pytest.param("turns of several bias lanes, of shared updates", marks=pytest.mark.slow),
    ],
)
def test_a_chain_that_stands_for_long_reads_no_weight_before_it_is_written(name: str) -> None:
    """Late slots follow each other without the pauses that a stall-free run has."""
    design = DESIGNS[name]
    assert any(rest(stage.tiling) for stage in design.schedule.stages)
    data = synthetic(design.description.elements, design.description.classes, 48, 2)
    tokens = tuple(drained([Token(Kind.TRAIN, i) for i in range(48)], design.schedule.delay))
    job = job_of(design, data, tokens, stalls=("none", "none", "long"))
    assert_equal(simulated.run(verilog_of(design), job, "counterflow.sim.bench.order"), 10_000)


# Delays, tables and small memories in block RAM

BLOCKS = dataclasses.replace(plan(load_description("digits-8bit")), compact=True)


def test_every_cycle_equals_golden_where_delays_and_queues_are_block_ram() -> None:
    verilog = verilog_of(BLOCKS)
    for memory in ("7x16", "4x10", "11x11", "3x14", "64x13"):  # lines, a queue, a table
        assert f"module bench_top__memory_{memory}_falling" in verilog
    tokens = mixed_tokens(24, BLOCKS.schedule.delay)
    found = simulated.run(verilog, job_of(BLOCKS, load("digits"), tokens))
    assert_equal(found, 1_000_000)


@pytest.mark.parametrize("scenario", ["reset", "stalls"])
def test_block_rams_that_no_reset_empties_change_nothing(scenario: str) -> None:
    tokens = mixed_tokens(12, BLOCKS.schedule.delay)
    stalls = ("random", "burst", "random") if scenario == "stalls" else ("none",) * 3
    job = job_of(BLOCKS, load("digits"), tokens, scenario=scenario, interrupt=2_000, stalls=stalls)
    assert_equal(simulated.run(verilog_of(BLOCKS), job, "counterflow.sim.bench.order"), 10_000)


@pytest.fixture(scope="module")
def tiny() -> Plan:
    return plan(load_description("tiny"))


@pytest.fixture(scope="module")
def tiny_data(tiny: Plan) -> Dataset:
    return synthetic(tiny.description.elements, tiny.description.classes, 64, 1)


@pytest.mark.parametrize(
    "stalls",
    [
        ("none", "none", "none"),
        ("random", "random", "random"),
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (
                ("burst", "none", "none"),
                ("none", "burst", "none"),
                ("none", "late", "none"),
            )
        ),
        ("none", "none", "burst"),
        ("late", "none", "slow"),
        ("slow", "random", "burst"),
    ],
    ids=lambda stalls: "-".join(stalls),
)
def test_stalls_change_no_value_and_no_order(
    tiny: Plan, tiny_data: Dataset, stalls: tuple[str, str, str]
) -> None:
    tokens = mixed_tokens(60, tiny.schedule.delay)
    job = job_of(tiny, tiny_data, tokens, stalls=stalls)
    assert_equal(simulated.run(verilog_of(tiny), job, "counterflow.sim.bench.order"), 50_000)


SLOW_CYCLES = [pytest.param(one, marks=pytest.mark.slow) for one in (100, 777)]


@pytest.mark.parametrize("cycle", [1, 333, *SLOW_CYCLES])
def test_reset_in_mid_training_leaves_nothing_behind(
    tiny: Plan, tiny_data: Dataset, cycle: int
) -> None:
    tokens = mixed_tokens(40, tiny.schedule.delay)
    job = job_of(tiny, tiny_data, tokens, scenario="reset", interrupt=cycle)
    assert_equal(simulated.run(verilog_of(tiny), job, "counterflow.sim.bench.order"), 30_000)


def test_training_goes_on_bit_for_bit_after_a_power_cycle(tiny: Plan, tiny_data: Dataset) -> None:
    half = mixed_tokens(30, tiny.schedule.delay)
    job = job_of(tiny, tiny_data, half + half, scenario="power_cycle")
    assert_equal(simulated.run(verilog_of(tiny), job, "counterflow.sim.bench.order"), 50_000)


@pytest.mark.parametrize("stalls", [("none",) * 3, ("random",) * 3], ids=["flowing", "stalled"])
def test_spoilt_samples_are_counted_and_dropped_whole(
    tiny: Plan, tiny_data: Dataset, stalls: tuple[str, str, str]
) -> None:
    inputs, classes = tiny.description.elements, tiny.description.classes
    tokens = tuple(drained([Token(Kind.TRAIN, i) for i in range(50)], tiny.schedule.delay))
    lengths = [inputs] * len(tokens)
    lengths[0], lengths[5], lengths[6], lengths[20] = 1, inputs - 1, inputs + 1, 3 * inputs
    labels = tiny_data.train_y.copy()
    labels[[3, 5, 30]] = classes, classes, 255
    job = job_of(
        tiny,
        tiny_data,
        tokens,
        scenario="spoilt",
        lengths=tuple(lengths),
        labels=labels,
        stalls=stalls,
    )
    assert_equal(simulated.run(verilog_of(tiny), job, "counterflow.sim.bench.order"), 30_000)


@pytest.mark.slow
def test_digits_trains_an_epoch_with_every_cycle_and_weight_equal() -> None:
    design = plan(load_description("digits"))
    report = simulate(design, load("digits"), seed=1, samples=1_437)
    assert report.equal, report.first_divergence
    assert report.samples == 1_437
    assert report.compared == 23_056_151
    assert report.utilisation_measured == pytest.approx(report.utilisation_planned, abs=1e-12)
    assert report.utilisation_planned > 0.97


@pytest.mark.slow
def test_deep_digits_fills_runs_and_drains_with_every_cycle_equal() -> None:
    design = plan(load_description("deep-digits"))
    assert design.description.recipe.mitigation == "lwpv+sc"
    report = simulate(design, load("digits"), seed=1, samples=3 * design.schedule.delay)
    assert report.equal, report.first_divergence
    assert report.utilisation_measured == pytest.approx(report.utilisation_planned, abs=1e-12)


def test_one_slot_a_sample_in_the_steady_state() -> None:
    schedule: Schedule = plan(load_description("mnist")).schedule
    assert schedule.utilisation > 0.97
