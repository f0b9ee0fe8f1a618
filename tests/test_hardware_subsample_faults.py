"""Faults planted in subsampling units are found and located, and so is a place too few in a queue.

All are in one build, each switched on by itself; without any the design equals golden.
"""

from __future__ import annotations

import pytest

from counterflow.sim.bench.job import Found
from tests import planted
from tests.faults_subsample import ADDING, FAULTS, design, numbers_of, verilog
from tests.test_hardware_branch_faults import job_of

pytestmark = [pytest.mark.xdist_group("subsample faults"), pytest.mark.slow]  # they share one build


def run(number: int, *, stalls: bool = False) -> Found:
    """Simulate with a fault, against a golden model without."""
    gates = ("none", "none", "long") if stalls else ("none", "none", "none")
    return planted.switched(verilog(), job_of(design(), stalls=gates), number, stalls=stalls)


def test_what_can_be_less_is_more_than_one() -> None:
    numbers = numbers_of(ADDING)
    assert min(numbers.begin, numbers.x_words, numbers.dy_words) > 1


@pytest.mark.parametrize("stalls", [False, True])
def test_without_a_fault_nothing_differs(stalls: bool) -> None:
    found = run(0, stalls=stalls)
    assert found.mismatches == 0, found.first_divergence
    assert found.compared > 10_000


@pytest.mark.parametrize("number", range(1, len(FAULTS)), ids=[str(one) for one in FAULTS[1:]])
def test_a_fault_is_found_and_located_in_its_unit(number: int) -> None:
    fault, found = FAULTS[number], run(number)
    assert found.mismatches > 0
    assert found.first_divergence is not None
    place = found.first_divergence.split(": ")[1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence
