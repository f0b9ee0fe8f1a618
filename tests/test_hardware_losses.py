"""Whole networks with each loss in hardware: every cycle, all exercises, standard buses, faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from counterflow.design.data.training import training_data
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.hw.losses.pointwise import PointwiseLoss
from counterflow.hw.tops.axi import axi_module_name, to_axi_verilog
from counterflow.hw.units import bce
from counterflow.sim.bench.job import Found, Job
from counterflow.sim.compiled.long_run import long_run
from counterflow.sim.exercise import EXERCISED, exercised
from counterflow.sim.simulate import all_runs, bench_verilog, worst_verilog
from tests import simulated
from tests.lossy import NETWORKS, described, job_of, samples_of

pytestmark = pytest.mark.xdist_group("losses")  # they share builds

FAST = ("mse of data", "bce of the input")  # both kinds, targets of both streams
AXI = "counterflow.sim.bench.axi"


def some(name: str) -> Any:
    """A default test of a few networks, a slow one of the others."""
    return pytest.param(name, marks=[] if name in FAST else pytest.mark.slow)


@pytest.mark.parametrize("name", [some(name) for name in NETWORKS])
def test_every_cycle_equals_golden(name: str) -> None:
    planned = plan(described(name))
    found = simulated.run(bench_verilog(planned), job_of(planned))
    assert found.first_divergence is None
    assert (found.mismatches, found.compared > 100_000) == (0, True)
    assert bool(found.correct) == planned.description.judged


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_all_exercises_equal_golden(name: str) -> None:
    """Stalls, spoilt samples, resets, power cycles, all kinds of tokens, numbers of all sizes."""
    planned = plan(described(name))
    runs, verilog = all_runs(planned, job_of(planned), 24), worst_verilog(planned)
    for run in runs:
        found = simulated.run(verilog, run.job, run.bench)
        assert (run.name, found.first_divergence, found.mismatches) == (run.name, None, 0)
    done = exercised(runs, worst_memories=True)
    left = {what for what in EXERCISED if not done[what]}
    assert left <= {"accumulation", "rate drops", "mitigation off"}  # the recipe has none


@pytest.mark.slow
def test_whole_epochs_equal_golden() -> None:
    planned = plan(load("tiny-mse"))
    report = long_run(planned, training_data(planned.description), seed=1, epochs=2)
    assert (report.first_divergence, report.mismatches) == (None, 0)
    assert report.losses[-1] < 0.7 * report.losses[0]
    assert report.accuracy == []


def axi(planned: Plan, **fields: Any) -> Found:
    samples, labels = samples_of(planned.description, 20)
    kinds = [Kind.TRAIN if at % 4 else Kind.INFER for at in range(20)]
    tokens = [Token(kind, at) for at, kind in enumerate(kinds)]
    job = Job(
        description=planned.description,
        tokens=tuple(drained(tokens, planned.schedule.delay)),
        samples=samples,
        labels=labels,
        seed=1,
        depth=60_000,
        **fields,
    )
    top = axi_module_name(planned)
    return simulated.run(to_axi_verilog(planned), job, AXI, top=top)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mse of data", "mse of the input"])
def test_targets_arrive_in_the_packets_of_samples(name: str) -> None:
    planned = plan(described(name))
    elements = planned.description.elements
    lengths = [elements] * (20 + planned.schedule.delay)
    lengths[3:6] = [elements - 1, 1, elements + 1]  # without their last target, and with one more
    for fields in ({"stalls": ("random",) * 3}, {"scenario": "spoilt", "lengths": tuple(lengths)}):
        found = axi(planned, **fields)
        assert (found.first_divergence, found.mismatches) == (None, 0)
        assert found.compared > 100


# ---- faults -------------------------------------------------------------------------------------


Patch = Callable[[], Any]


def too_small() -> Any:
    """The share of the loss that an output has, less its last place."""
    predict = PointwiseLoss._predict
    return mock.patch.object(
        PointwiseLoss, "_predict", lambda self, m, late, share: predict(self, m, late, share & ~1)
    )


def of_another_output() -> Any:
    target = PointwiseLoss._target
    return mock.patch.object(
        PointwiseLoss, "_target", lambda self, m, label, *given: target(self, m, label + 1, *given)
    )


def beside() -> Any:
    """The table of powers, from which chances are made, an entry further."""
    return mock.patch.object(bce, "EXP2", (*bce.EXP2[1:], bce.EXP2[-1]))


LOSS, ERRORS = "loss.predictions.loss", "loss.dx"
FAULTS: dict[str, tuple[str, Patch, str]] = {
    "a square too small": ("mse of data", too_small, LOSS),
    "an error of tokens that only infer": ("mse of data", lambda: ALL_LEARN, f"{ERRORS}0.data"),
    "a cross-entropy too small": ("bce of a label", too_small, LOSS),
    "an error of chances that only infer": ("bce of a label", lambda: ALL_LEARN, f"{ERRORS}.data"),
    "the target of another output": ("bce of a label", of_another_output, f"{ERRORS}.data"),
    "a table an entry further": ("bce of the input", beside, f"{ERRORS}0.data"),
    "a cross-entropy of the input too small": ("bce of the input", too_small, LOSS),
}


class _AllLearn:
    BUBBLE, TRAIN = Kind.BUBBLE, Kind.BUBBLE


ALL_LEARN = mock.patch("counterflow.hw.losses.pointwise.Kind", _AllLearn)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_where_it_is(fault: str) -> None:
    name, patch, place = FAULTS[fault]
    planned = plan(described(name))
    with patch():
        verilog = bench_verilog(planned)
    found = simulated.run(verilog, job_of(planned))
    assert found.first_divergence is not None
    assert place in found.first_divergence
