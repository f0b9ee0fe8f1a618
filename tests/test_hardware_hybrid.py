"""The hybrid scheme in hardware: the same design trains pipelined, then sequentially."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from counterflow.design.data.sets import Dataset, synthetic
from counterflow.design.parts.order import epoch_order
from counterflow.design.parts.tokens import Kind
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.training.models import IntegerModel, Part, epoch_runs, tokens_of
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.update import Settings
from counterflow.hw.chain import Chain
from counterflow.sim.bench.job import Job
from counterflow.sim.compiled.hardware import Hardware
from counterflow.sim.compiled.long_run import long_run
from counterflow.sim.shapes import network
from counterflow.sim.simulate import bench_verilog, quantised, record_depth, simulate
from tests import simulated

pytestmark = pytest.mark.xdist_group("hybrid")  # the benches share a build

SAMPLES, AFTER, SEED = 40, 23, 2
LAYERS: list[dict[str, Any]] = [
    {"kind": "convolution", "outputs": 3, "kernel": [2, 2], "padding": [1, 0]},
    {"kind": "max-pool", "kernel": [1, 3]},
    {"kind": "convolution", "outputs": 2, "kernel": [3, 1]},
]


def planned(**recipe: Any) -> Plan:
    rates = {"learning_rate": 2.0**-6, "momentum": 0.75, "epochs": 2}
    fields = {**rates, "mitigation": "lwpv+sc", "sequential_after": AFTER, **recipe}
    return plan(network((3, 4, 1), LAYERS, recipe=fields))


@pytest.fixture(scope="module")
def design() -> Plan:
    return planned()


@pytest.fixture(scope="module")
def verilog(design: Plan) -> str:
    return bench_verilog(design)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(12, 3, SAMPLES, 2, (3, 4, 1))


def test_every_cycle_of_both_schemes_equals_golden(design: Plan, data: Dataset) -> None:
    report = simulate(design, data, seed=SEED, samples=SAMPLES)
    assert report.equal, report.first_divergence
    assert report.samples == SAMPLES == len(report.losses)
    assert report.compared > 50_000
    interval, delay = design.schedule.interval, design.schedule.delay
    assert report.cycles > (SAMPLES + delay * (SAMPLES - AFTER)) * interval


def job_of(design: Plan, data: Dataset, **changes: Any) -> Job:
    recipe, delay = design.description.recipe, design.schedule.delay
    first, second = epoch_runs(recipe, epoch_order(SAMPLES, SEED, 0), delay, epoch=0, before=0)
    assert first.settings != second.settings
    tokens = [token for run in (first, second) for token in tokens_of(run.kinds, run.indices)]
    fields = {
        "description": design.description,
        "tokens": tuple(tokens),
        "samples": quantised(design.description, data),
        "labels": data.train_y,
        "seed": 1,
        "depth": record_depth(design),
        "settings": ((0, first.settings), (len(first.kinds), second.settings)),
    }
    return Job(**{**fields, **changes})


def test_stalls_change_no_value_of_either_scheme(design: Plan, verilog: str, data: Dataset) -> None:
    job = job_of(design, data, stalls=("random", "burst", "random"))
    found = simulated.run(verilog, job, "counterflow.sim.bench.order")
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 20_000


def test_the_switch_changes_what_comes_after_it_alone(
    design: Plan, verilog: str, data: Dataset
) -> None:
    job = job_of(design, data)
    (_, first), (start, _) = job.settings
    kept = job_of(design, data, settings=((0, first), (start, first)))
    one, other = (simulated.run(verilog, each) for each in (job, kept))
    assert one.mismatches == other.mismatches == 0
    assert one.losses[:AFTER] == other.losses[:AFTER]
    assert one.losses[AFTER:] != other.losses[AFTER:]


@pytest.fixture(scope="module")
def late() -> Plan:
    """The switch is in the second of three epochs."""
    return planned(sequential_after=SAMPLES + 17, epochs=3)


@pytest.mark.slow
def test_a_switch_that_the_hardware_misses_is_found(
    late: Plan, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = Hardware.set

    def set_once(hardware: Hardware, settings: Settings) -> None:
        genuine(hardware, replace(settings, predict=True))

    monkeypatch.setattr(Hardware, "set", set_once)
    report = long_run(late, data, seed=SEED)
    assert not report.equal
    assert report.first_divergence is not None
    assert report.first_divergence.startswith("epoch 1")


@pytest.mark.slow
def test_whole_epochs_switch_where_the_recipe_says(late: Plan, data: Dataset) -> None:
    """The losses are those of the golden training."""
    design, report = late, long_run(late, data, seed=SEED)
    assert report.equal, report.first_divergence
    assert (report.epochs, report.samples) == (3, 3 * SAMPLES)
    states = initial_states(design.description, design.schedule, SEED)
    model = IntegerModel(design.description, design.schedule, states)
    part = Part(quantised(design.description, data), data.train_y)
    schemes = []
    for epoch in range(3):
        order = epoch_order(SAMPLES, SEED, epoch)
        recipe, total = design.description.recipe, 0.0
        for run in epoch_runs(recipe, order, model.delay, epoch, before=epoch * SAMPLES):
            model.set(run.settings)
            total += model.run(run.kinds, run.indices, part)[1]
            schemes.append((epoch, int((run.kinds == Kind.TRAIN).sum()), run.settings.predict))
        assert report.losses[epoch] == pytest.approx(total / SAMPLES)
    assert schemes == [(0, 40, True), (1, 17, True), (1, 23, False), (2, 40, False)]


def test_groups_of_layers_in_one_stage_are_refused() -> None:
    design = planned(placement=[1], sequential_after=None)
    with pytest.raises(ValueError, match="only the float model offers"):
        Chain(plan=design)
