"""Networks in components, held to the golden model in every cycle and under stalls.

Their memories give noise wherever a word is read in the cycle in which it is written.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token
from counterflow.design.schedule.planner import plan
from counterflow.sim.exercise import mixed_tokens
from tests.images import run
from tests.interlocked import DENSE, EXITS, NETWORKS, design
from tests.test_hardware_branches import ORDER, STALLS, assert_equal, runs_of

DEFAULT = {EXITS}


def named(default: Collection[str] = DEFAULT) -> list[Any]:
    """The networks, some of them by `default`; what shares a build stays in one process."""
    return [
        pytest.param(
            name,
            marks=[pytest.mark.xdist_group(name)] + [pytest.mark.slow] * (name not in default),
        )
        for name in NETWORKS
    ]


def test_the_networks_have_all_kinds_of_heads() -> None:
    plans = [design(name) for name in NETWORKS]
    units = [unit for one in plans for unit in one.description.graph.units]
    assert {unit.kind for unit in units if unit.head} == {
        *("convolution", "fork", "sum", "pool", "norm", "loss")
    }
    forks = [unit.numbers for unit in units if unit.kind == "fork"]  # type: ignore[attr-defined]
    assert {one.back for one in forks} == {(), (0,), (1,), (0, 1), (0, 1, 2)}
    recipes = [one.description.recipe for one in plans]
    assert {recipe.mitigation for recipe in recipes} == {"lwpv", "sc", "lwpv+sc"}
    assert {recipe.accumulate for recipe in recipes} == {1, 2, 3}
    lengths = [
        [unit.head for unit in one.description.weighted].count(number)
        for one in plans
        for number in (1, 2)
    ]
    assert {1, 2} <= set(lengths)


@pytest.mark.parametrize("name", named())
def test_every_cycle_equals_golden(name: str) -> None:
    found = run(design(name))
    assert_equal(found, 100_000)
    assert found.losses == found.golden_losses


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny-local", "tiny-pairwise", "tiny-threewise"])
def test_every_cycle_of_a_named_one_equals_golden_and_so_it_does_under_stalls(name: str) -> None:
    planned = plan(load(name))
    assert_equal(run(planned), 100_000)
    for stalls in STALLS:
        assert_equal(run(planned, ORDER, stalls=stalls), 10_000)


@pytest.mark.parametrize("name", named())
def test_stalls_change_no_value_and_no_order(name: str) -> None:
    stalls = STALLS[list(NETWORKS).index(name) % len(STALLS)]
    assert_equal(run(design(name), ORDER, stalls=stalls), 10_000)


@pytest.mark.parametrize("name", named(()))
def test_a_reset_in_mid_training_and_a_power_cycle_leave_nothing_behind(name: str) -> None:
    planned = design(name)
    for place in (0.6, 5.3):  # before anything comes back, and with gradients on all their ways
        cycle = int(place * planned.schedule.interval)
        assert_equal(run(planned, ORDER, scenario="reset", interrupt=cycle), 10_000)
    half = mixed_tokens(planned, 14)
    assert_equal(run(planned, ORDER, scenario="power_cycle", tokens=half + half), 10_000)


@pytest.mark.parametrize("name", named(DEFAULT))
def test_runs_that_find_gradients_of_earlier_ones_equal_golden_in_every_cycle(name: str) -> None:
    """All mitigations in turn, where the units were made for both."""
    planned = design(name)
    assert_equal(run(planned, **runs_of(planned)), 100_000)
    assert_equal(run(planned, ORDER, stalls=STALLS[0], **runs_of(planned)), 10_000)


@pytest.mark.slow
def test_inference_among_training_moves_no_head() -> None:
    """Tokens of one kind after the other: what a head learns from is its own token's kind."""
    planned = design(DENSE)
    kinds = [Kind.TRAIN, Kind.INFER, Kind.INFER, Kind.TRAIN, Kind.INFER, Kind.TRAIN]
    tokens = [Token(kind, index) for index, kind in enumerate(kinds)]
    assert_equal(run(planned, tokens=(*tokens, *mixed_tokens(planned, 4))), 10_000)
