"""Faults planted where a component ends are found and located.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import pytest

from counterflow.design.parts.tokens import Kind, Token, drained
from counterflow.sim.bench.job import Found
from counterflow.sim.simulate import run_job
from counterflow.sim.simulator import SimulationError
from tests.bench_faults import BENCH, FAULT
from tests.faults_branches import Fault
from tests.faults_interlocking import FAULTS, design, verilog
from tests.images import SAMPLES, mixed_tokens
from tests.test_hardware_branch_faults import job_of

pytestmark = pytest.mark.xdist_group("interlocking faults")  # they share one build


def run(fault: Fault, monkeypatch: pytest.MonkeyPatch, *, stalls: bool) -> Found:
    """Simulate with the fault, against a golden model without."""
    monkeypatch.setenv(FAULT, str(FAULTS.index(fault)))
    monkeypatch.setenv(BENCH, "order" if stalls else "cycles")
    planned = design()
    job = job_of(planned, tokens=mixed_tokens(planned))
    if stalls:  # long enough for labels to wait everywhere
        tokens = [Token(Kind.TRAIN, index % SAMPLES) for index in range(2 * SAMPLES)]
        drains = tuple(drained(tokens, planned.schedule.delay))
        job = job_of(planned, tokens=drains, stalls=("none", "none", "long"), seed=6)
    return run_job(verilog(), job, "tests.bench_faults", quick=True)


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(monkeypatch: pytest.MonkeyPatch, stalls: bool) -> None:
    found = run(FAULTS[0], monkeypatch, stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize("fault", [one for one in FAULTS if one.unit], ids=str)
def test_a_fault_is_found_and_located_in_its_unit(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run(fault, monkeypatch, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence


def test_a_lost_label_is_found_as_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    (fault,) = (one for one in FAULTS[1:] if not one.unit)
    with pytest.raises(SimulationError, match="the bench tests"):
        run(fault, monkeypatch, stalls=True)
