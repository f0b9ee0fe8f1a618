"""Faults planted in frozen units are found, and located where they are."""

from __future__ import annotations

import pytest

from counterflow.sim.bench.job import Found
from tests import faults_trunk
from tests.faults_frozen import FAULTS, unwanted, verilog
from tests.faulty_top import Fault
from tests.frozen import BETWEEN, TRUNK, design, some_states
from tests.images import run as run_plain
from tests.planted import run

pytestmark = [pytest.mark.xdist_group("frozen faults"), pytest.mark.slow]  # they share one build


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[str(one) for one in FAULTS])
def test_a_fault_is_found_and_located_in_its_unit(number: int) -> None:
    fault = FAULTS[number]
    found = run(design(BETWEEN), verilog(), number, stalls=False)
    assert_located(found, fault)


@pytest.mark.parametrize(
    "number", range(len(faults_trunk.FAULTS)), ids=[str(one) for one in faults_trunk.FAULTS]
)
def test_a_fault_in_what_only_goes_forward_is_found_and_located(number: int) -> None:
    planned, text = design(TRUNK), faults_trunk.verilog()
    found = run(planned, text, number, stalls=False, states=some_states(planned))
    assert_located(found, faults_trunk.FAULTS[number])


def assert_located(found: Found, fault: Fault) -> None:
    if not fault.unit:
        assert found.mismatches == 0, found.first_divergence
        assert found.compared > 10_000
        return
    assert found.mismatches > 0
    place = str(found.first_divergence).split(": ")[1]
    assert place.startswith(f"{fault.unit}.{fault.field}"), found.first_divergence


def test_a_gradient_where_there_must_be_none_is_found_by_what_it_takes() -> None:
    """It changes no value; the products of the unit that makes it are counted."""
    found = run_plain(design(BETWEEN), verilog=unwanted())
    assert found.mismatches > 0
    assert "conv1.PRODUCTS" in str(found.first_divergence), found.first_divergence
