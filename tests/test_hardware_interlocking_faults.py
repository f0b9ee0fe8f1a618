"""Faults planted where a component ends, or where gradients of several losses pass, are located.

All of a design are in one build, each switched on by itself; without any it equals golden.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.sim.bench.job import Found
from counterflow.sim.exercise import mixed_tokens
from tests import faults_copies, faults_interlocking, faults_paths, planted
from tests.faulty_top import Fault
from tests.images import SAMPLES
from tests.test_hardware_branch_faults import job_of

pytestmark = pytest.mark.slow

DESIGNS: dict[str, ModuleType] = {
    "ends": faults_interlocking,
    "paths": faults_paths,
    "copies": faults_copies,
}


def named(chosen: Callable[[Fault], bool]) -> list[Any]:
    """(design, fault); those of a design share one build and stay in one process."""
    return [
        pytest.param(module, fault, id=f"{name}-{fault}", marks=pytest.mark.xdist_group(name))
        for name, module in DESIGNS.items()
        for fault in module.FAULTS
        if chosen(fault)
    ]


def run(module: ModuleType, fault: Fault, *, stalls: bool) -> Found:
    """Simulate with the fault, against a golden model without."""
    planned = module.design()
    job = job_of(planned, tokens=mixed_tokens(planned, SAMPLES))
    if stalls:  # long enough for labels to wait everywhere
        tokens = [Token(Kind.TRAIN, index % SAMPLES) for index in range(2 * SAMPLES)]
        drains = tuple(drained(tokens, planned.schedule.delay))
        job = job_of(planned, tokens=drains, stalls=("none", "none", "long"), seed=6)
    return planted.switched(module.verilog(), job, module.FAULTS.index(fault), stalls=stalls)


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize(("module", "fault"), named(lambda fault: fault.name == "nothing"))
def test_without_a_fault_nothing_differs(module: ModuleType, fault: Fault, stalls: bool) -> None:
    found = run(module, fault, stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize(("module", "fault"), named(lambda fault: bool(fault.unit)))
def test_a_fault_is_found_and_located_in_its_unit(module: ModuleType, fault: Fault) -> None:
    found = run(module, fault, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence


@pytest.mark.parametrize(
    ("module", "fault"), named(lambda fault: not fault.unit and fault.name != "nothing")
)
def test_a_lost_label_is_found_as_a_deadlock(module: ModuleType, fault: Fault) -> None:
    found = run(module, fault, stalls=True)
    assert found.mismatches > 0
    assert "deadlock" in str(found.first_divergence)
