"""Norms of groups in Verilog, held to the golden model in every cycle and under stalls.

Their memories give noise wherever a word is read in the cycle in which it is written.
"""

from __future__ import annotations

import pytest

from counterflow.sim.exercise import mixed_tokens
from tests.group_norms import NETWORKS, design
from tests.images import run
from tests.test_hardware_branches import ORDER, STALLS, assert_equal, runs_of
from tests.thinned import builds

RESIDUAL = "behind the input, and in a residual body"


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_every_cycle_equals_golden(name: str) -> None:
    found = run(design(name))
    assert_equal(found, 50_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_stalls_change_no_value_and_no_order(name: str) -> None:
    stalls = STALLS[list(NETWORKS).index(name)]
    assert_equal(run(design(name), ORDER, stalls=stalls), 5_000)


@pytest.mark.slow
@pytest.mark.parametrize("stalls", STALLS)
def test_images_wait_under_all_stalls(stalls: tuple[str, str, str]) -> None:
    assert_equal(run(design(RESIDUAL), ORDER, stalls=stalls), 5_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    for place in (0.6, 1.4, 5.3):  # an image arrives, is read back; all ways are full
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle), 5_000)
    half = mixed_tokens(planned, 14)
    assert_equal(run(planned, ORDER, scenario="power_cycle", tokens=half + half), 5_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_runs_that_find_gradients_of_earlier_ones_equal_golden_in_every_cycle(name: str) -> None:
    """All mitigations in turn, where the units were made for both."""
    planned = design(name)
    assert_equal(run(planned, **runs_of(planned)), 20_000)
