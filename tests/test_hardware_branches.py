"""Networks that branch, held to the golden model in every cycle and under stalls.

Their memories give noise wherever a word is read in the cycle in which it is written.
"""

from __future__ import annotations

from typing import Any

import pytest

from counterflow.design.parts.tokens import BUBBLE, Kind, Token, drained
from counterflow.design.schedule.planner import Plan, plan
from counterflow.golden.units.update import Settings
from counterflow.sim.bench.job import Found
from counterflow.sim.exercise import mixed_tokens
from counterflow.sim.shapes import random_branches
from tests.branches import NETWORKS, design
from tests.images import RECIPE, run
from tests.thinned import builds

ORDER = "counterflow.sim.bench.order"
STALLS = (
    ("random", "random", "long"),
    ("burst", "long", "long"),
    ("none", "none", "long"),
    ("slow", "late", "random"),
)


def assert_equal(found: Found, at_least: int) -> None:
    assert found.mismatches == 0, found.first_divergence
    assert found.first_divergence is None
    assert found.compared >= at_least


def test_the_networks_have_all_ways_to_branch() -> None:
    plans = [design(name) for name in NETWORKS]
    units = [unit for one in plans for unit in one.schedule.units]
    forks = [unit for unit in units if unit.unit.kind == "fork"]
    sums = [unit for unit in units if unit.unit.kind == "sum"]
    assert {fork.numbers.wanted for fork in forks} == {False, True}
    assert {len(one.numbers.masks) for one in sums} == {0, 1, 2}
    ends = {(one.numbers.relu, one.numbers.y.signed) for one in sums}
    assert ends == {(False, False), (False, True), (True, False), (True, True)}
    assert any(len({branch.x for branch in one.numbers.branches}) == 2 for one in sums)
    assert any(len({branch.dx for branch in one.numbers.branches}) == 2 for one in sums)
    recipes = [one.description.recipe for one in plans]
    assert {recipe.mitigation for recipe in recipes} == {"none", "lwpv", "sc", "lwpv+sc"}
    assert {recipe.accumulate for recipe in recipes} == {1, 3}
    delays = [
        [one.schedule.by_name[unit.name].delay for unit in one.schedule.graph.above(fork.unit)]
        for one in plans
        for fork in one.schedule.units
        if fork.unit.kind == "fork"
    ]
    assert any(first > second for first, second in delays)
    assert any(first < second for first, second in delays)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_every_cycle_equals_golden(name: str) -> None:
    found = run(design(name))
    assert_equal(found, 100_000)
    assert found.losses == found.golden_losses


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_stalls_change_no_value_and_no_order(name: str) -> None:
    stalls = STALLS[list(NETWORKS).index(name) % len(STALLS)]
    assert_equal(run(design(name), ORDER, stalls=stalls), 10_000)


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    for place in (0.6, 5.3):  # before anything comes back, and with gradients on all their ways
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle), 10_000)
    half = mixed_tokens(planned, 14)
    assert_equal(run(planned, ORDER, scenario="power_cycle", tokens=half + half), 10_000)


def runs_of(planned: Plan) -> dict[str, Any]:
    """Runs that each find a chain at rest, with all that it can do about delays and without.

    The first ones leave gradients behind, of fewer tokens than wait in a chain that was full.
    """
    delay, recipe = planned.schedule.delay, planned.description.recipe
    train = [Token(Kind.TRAIN, index) for index in range(12)]
    parts: list[tuple[Settings, list[Token]]] = [
        (Settings(True, True), train[:1]),
        (Settings(False, True), [*train[1:3], BUBBLE]),
        (Settings(True, False), list(drained(train[3:4], delay))),
        (Settings(False, False), list(drained(train[:8], delay))),
        (Settings(True, True), list(drained([Token(Kind.INFER, 3), *train[4:]], delay))),
    ]
    settings, tokens = [], []
    for change, part in parts:
        possible = Settings(
            change.predict and recipe.predicts, change.compensate and recipe.compensates
        )
        settings.append((len(tokens), possible))
        tokens += part
    return {"settings": tuple(settings), "tokens": tuple(tokens)}


@pytest.mark.parametrize("name", builds(NETWORKS))
def test_runs_that_find_gradients_of_earlier_ones_equal_golden_in_every_cycle(name: str) -> None:
    """All mitigations in turn, where the units were made for both."""
    planned = design(name)
    assert_equal(run(planned, **runs_of(planned)), 100_000)
    assert_equal(run(planned, ORDER, stalls=STALLS[0], **runs_of(planned)), 10_000)


def test_one_network_can_all_mitigations() -> None:
    assert "lwpv+sc" in {design(name).description.recipe.mitigation for name in NETWORKS}


BOTH = 27  # with subsampling and with strides larger than kernels


def test_a_random_network_leaves_pixels_out_in_both_ways() -> None:
    graph = random_branches(BOTH).graph
    assert any(unit.kind == "subsample" for unit in graph.units)
    shapes = [unit.geometry for unit in random_branches(BOTH).weighted]
    assert any(s > k for one in shapes for s, k in zip(one.stride, one.kernel, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [*range(1, 14), *(15, 16, 17, 19, 20, 21, 23, 24, 25, 26), BOTH])
def test_random_branches_equal_golden_in_every_cycle_and_under_stalls(seed: int) -> None:
    mitigation = ("lwpv+sc", "none", "lwpv", "sc")[seed % 4]
    recipe = {**RECIPE, "mitigation": mitigation, "accumulate": 1 + 2 * (seed % 2)}
    planned = plan(random_branches(seed, recipe=recipe))
    assert_equal(run(planned), 10_000)
    assert_equal(run(planned, ORDER, stalls=STALLS[seed % len(STALLS)]), 1_000)
