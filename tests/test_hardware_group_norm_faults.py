"""Faults planted in a norm of groups are located.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import pytest

from counterflow.sim.bench.job import Found
from tests import planted
from tests.faults_group_norm import FAULTS, NORM, design, verilog
from tests.faulty_top import Fault

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("group norm faults")]  # one build


def run(fault: Fault, *, stalls: bool) -> Found:
    return planted.run(design(), verilog(), FAULTS.index(fault), stalls=stalls)


def test_every_fault_has_a_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 15


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(stalls: bool) -> None:
    found = run(FAULTS[0], stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize("fault", FAULTS[1:], ids=str)
def test_a_fault_is_found_and_located_in_its_unit(fault: Fault) -> None:
    found = run(fault, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence
    if not fault.stalls and fault.unit == NORM:
        assert "golden.units.group_norm.GroupNorm" in found.first_divergence
