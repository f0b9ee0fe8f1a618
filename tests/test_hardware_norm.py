"""Networks with norms, held to the golden model in every cycle and under stalls.

Their memories give noise wherever a word is read in the cycle in which it is written.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from counterflow.design.parts.formats import Rounding
from counterflow.design.schedule.planner import plan
from counterflow.sim.bench.job import Found
from counterflow.sim.exercise import mixed_tokens
from tests.images import run
from tests.norms import NETWORKS, design, random_norms
from tests.test_hardware_branches import ORDER, STALLS, runs_of
from tests.thinned import builds

RESIDUAL = "two in a residual body"
FIRST = "behind the input, strides, one multiplier a lane, three samples an update"


def assert_equal(found: Found, at_least: int) -> None:
    assert found.mismatches == 0, found.first_divergence
    assert found.first_divergence is None
    assert found.compared >= at_least


def test_the_networks_have_norms_of_all_kinds() -> None:
    plans = [design(name) for name in NETWORKS]
    norms = [norm for one in plans for norm in one.schedule.norms]
    graphs = [(one.schedule.graph, norm) for one in plans for norm in one.schedule.norms]
    readers = {graph.reader(norm.unit.outputs[0]) for graph, norm in graphs}
    assert {reader.kind for reader in readers} == {"convolution", "pool", "fork", "sum"}
    assert {norm.unit.outputs[0].returned for norm in norms} == {False, True}
    assert {norm.unit.outputs[0].rectified for norm in norms} == {False, True}
    assert {norm.numbers.dx is None for norm in norms} == {False, True}
    gammas = {(norm.unit.gamma, norm.numbers.dx is None) for norm in norms}
    assert len(gammas) == 4
    assert {norm.stash_words > 1 for norm in norms} == {False, True}
    assert {norm.delay - norm.errors.delay for norm in norms} >= {0, 1}
    assert max(norm.numbers.channels for norm in norms) > 32
    assert min(norm.numbers.channels for norm in norms) == 1
    assert any(norm.numbers.pixels & (norm.numbers.pixels - 1) for norm in norms)
    assert {norm.numbers.parameters.round_update for norm in norms} > {Rounding.STOCHASTIC}
    recipes = [one.description.recipe for one in plans]
    assert {recipe.mitigation for recipe in recipes} == {"none", "lwpv", "sc", "lwpv+sc"}
    assert {recipe.accumulate for recipe in recipes} == {1, 2, 3}
    back = [stage for one in plans for stage in one.schedule.weighted if stage.arithmetic.returns]
    assert {stage.tiling.lanes.shared for stage in back} == {False, True}
    assert any(max(stage.tiling.geometry.stride) > 1 for stage in back)
    assert {stage.arithmetic.rectifies for stage in back} == {False, True}


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_every_cycle_equals_golden(name: str) -> None:
    found = run(design(name))
    assert_equal(found, 100_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_stalls_change_no_value_and_no_order(name: str) -> None:
    stalls = STALLS[list(NETWORKS).index(name) % len(STALLS)]
    assert_equal(run(design(name), ORDER, stalls=stalls), 10_000)


@pytest.mark.slow
@pytest.mark.parametrize("stalls", STALLS)
def test_any_stalls_will_do(stalls: tuple[str, str, str]) -> None:
    assert_equal(run(design(RESIDUAL), ORDER, stalls=stalls), 10_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_runs_that_find_gradients_of_earlier_ones_equal_golden_in_every_cycle(name: str) -> None:
    planned = design(name)
    assert_equal(run(planned, **runs_of(planned)), 100_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    for place in (0.6, 5.3):  # before anything comes back, and with gradients on all their ways
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle), 10_000)
    half = mixed_tokens(planned, 14)
    assert_equal(run(planned, ORDER, scenario="power_cycle", tokens=half + half), 10_000)


@pytest.mark.slow
def test_every_cycle_equals_golden_where_delays_and_tables_are_block_ram() -> None:
    assert_equal(run(replace(design(RESIDUAL), compact=True)), 100_000)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_random_norms_equal_golden_in_every_cycle_and_under_stalls(seed: int) -> None:
    mitigation = ("lwpv+sc", "none", "lwpv", "sc")[seed % 4]
    planned = plan(random_norms(seed, mitigation=mitigation, accumulate=1 + 2 * (seed % 2)))
    assert_equal(run(planned), 10_000)
    assert_equal(run(planned, ORDER, stalls=STALLS[seed % len(STALLS)]), 1_000)
