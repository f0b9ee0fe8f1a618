"""Chains with frozen layers, held to golden in every cycle, under stalls, over a reset."""

from __future__ import annotations

import pytest

from counterflow.design.parts.tokens import Kind
from counterflow.sim.exercise import mixed_tokens
from tests.frozen import ABOVE, BELOW, BETWEEN, GROUPS, NETWORKS, TRUNK, design, some_states
from tests.images import SAMPLES, run
from tests.test_hardware_images import assert_equal
from tests.thinned import builds

ORDER = "counterflow.sim.bench.order"
STALLS = {
    BELOW: ("random", "random", "long"),
    BETWEEN: ("burst", "long", "random"),
    ABOVE: ("none", "none", "long"),
    TRUNK: ("random", "burst", "random"),
    GROUPS: ("long", "random", "none"),
}


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_every_cycle_equals_golden(name: str) -> None:
    planned = design(name)
    assert {token.kind for token in mixed_tokens(planned, SAMPLES)} >= set(Kind) - {Kind.ACCUMULATE}
    found = run(planned, states=some_states(planned))
    assert_equal(found, 50_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_stalls_change_no_value_and_no_order(name: str) -> None:
    planned = design(name)
    found = run(planned, ORDER, stalls=STALLS[name], states=some_states(planned))
    assert_equal(found, 1_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    states = some_states(planned)
    for place in (0.1, 3.7):
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle, states=states), 1_000)
    half = mixed_tokens(planned, 14)
    assert_equal(
        run(planned, ORDER, scenario="power_cycle", tokens=half + half, states=states), 1_000
    )
