"""Faults planted in a norm and in the convolution that gives back what it made are located.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import pytest

from counterflow.sim.bench.job import Found
from tests import planted
from tests.faults_norm import FAULTS, KEEPER, NORM, READER, design, verilog
from tests.faulty_top import Fault

pytestmark = [pytest.mark.xdist_group("norm faults"), pytest.mark.slow]  # they share one build


def run(fault: Fault, *, stalls: bool) -> Found:
    return planted.run(design(), verilog(), FAULTS.index(fault), stalls=stalls)


def test_the_design_has_both_kinds_of_norms() -> None:
    units = design().schedule.by_name
    assert units[NORM].unit.outputs[0].returned
    assert units[READER].arithmetic.returns
    assert units[READER].arithmetic.rectifies
    assert units[KEEPER].stash_words > 1
    assert units[NORM].tokens > 1
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) > 15


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(stalls: bool) -> None:
    found = run(FAULTS[0], stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize(
    "fault",
    FAULTS[1:],
    ids=str,
)
def test_a_fault_is_found_and_located_in_its_unit(fault: Fault) -> None:
    found = run(fault, stalls=fault.stalls)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.removeprefix("cycle ").split(": ")[0 if fault.stalls else 1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence
    if not fault.stalls and fault.unit != "conv0":
        kind = "norm.Norm" if fault.unit in (NORM, KEEPER) else "convolution.Convolution"
        assert f"golden.units.{kind}" in found.first_divergence, found.first_divergence
