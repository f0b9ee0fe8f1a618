"""Faults planted in the gammas of norms are located.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import pytest

from counterflow.sim.bench.job import Found
from tests import planted
from tests.faults_gamma import FAULTS, GROUP, RUNNING, design, verilog
from tests.faulty_top import Fault

pytestmark = [pytest.mark.xdist_group("gamma faults"), pytest.mark.slow]  # they share one build

TWINS = {RUNNING: "golden.units.norm.Norm", GROUP: "golden.units.group_norm.GroupNorm"}


def run(fault: Fault) -> Found:
    return planted.run(design(), verilog(), FAULTS.index(fault), stalls=False)


def test_the_design_has_both_kinds_of_norms_and_every_fault_a_name() -> None:
    units = design().schedule.by_name
    assert {name: units[name].twin for name in TWINS} == TWINS
    assert all(units[name].unit.gamma and units[name].tokens > 1 for name in TWINS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 15


def test_without_a_fault_nothing_differs() -> None:
    found = run(FAULTS[0])
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize(
    "fault",
    FAULTS[1:],
    ids=str,
)
def test_a_fault_is_found_and_located_in_its_unit(fault: Fault) -> None:
    found = run(fault)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence
    assert TWINS[fault.unit] in found.first_divergence, found.first_divergence
