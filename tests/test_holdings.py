"""Where a plan's bits are: every bit of every memory once, by what it holds and by image size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from counterflow.design.network.files import load
from counterflow.design.schedule.holdings import KINDS, everything, holdings
from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.scheduled import Scheduled
from tests.branches import NETWORKS, design
from tests.residual_networks import network, small_images

PLANS = [*NETWORKS, "lenet5-classic", "deep-digits", "digits-conv"]


def planned(name: str) -> Plan:
    return design(name) if name in NETWORKS else plan(load(name))


@pytest.mark.parametrize("name", PLANS)
def test_all_that_units_hold_is_listed_once(name: str) -> None:
    made = planned(name)
    parts = holdings(made)
    assert [unit for one in parts for unit in one.units] != []
    assert sorted(unit for one in parts for unit in one.units) == sorted(made.schedule.by_name)
    whole = everything(parts)
    tables = whole.pop("tables", 0)
    assert sum(whole.values()) == made.memory_bits + made.schedule.loss.memory_bits
    found = [unit.numbers.tables for unit in made.schedule.passing]
    assert tables == sum(words * bits for part in found for _, words, bits in part)
    assert sum(one.bits for one in parts) == sum(whole.values()) + tables
    assert sum(one.multipliers for one in parts) == made.schedule.multipliers


@pytest.mark.parametrize("name", PLANS)
def test_parts_add_up_to_what_plans_have_always_said(name: str) -> None:
    for stage in planned(name).schedule.stages:
        assert sum(stage.held.values()) == stage.memory_bits == sum(stage.memories.values())


def test_stages_are_the_sizes_of_images_in_their_order() -> None:
    parts = holdings(plan(network(small_images(1, (4, 8, 8), 16))))
    assert [one.name for one in parts] == ["16x16", "8x8", "4x4", "1x1"]
    assert all(list(one.held) == [k for k in KINDS if k in one.held] for one in parts[:-1])
    # Skip paths are in forks and sums, and where images are large stashes are largest.
    assert parts[0].held["skip paths"] > 0
    assert "skip paths" not in parts[-1].held
    assert parts[0].held["stash"] > parts[1].held["stash"] > parts[2].held["stash"]


def test_a_kind_that_does_not_say_what_it_holds_is_listed_by_its_name() -> None:
    made = plan(load("tiny-conv"))
    assert everything(holdings(made))["loss"] == made.schedule.loss.memory_bits

    class Strange(Scheduled):
        unit: Any = made.schedule.loss.unit
        memory_bits = 7
        borders = waiting = returning = ()  # type: ignore[assignment]

    assert dict(Strange().held) == {"loss": 7}


def test_what_is_kept_of_a_stash_outside_takes_its_place() -> None:
    made = plan(load("tiny-conv"))
    name = made.schedule.stages[0].name
    before = everything(holdings(made))
    after: Mapping[str, int] = everything(holdings(made, {name: 5}))
    assert after["stash"] == before["stash"] - made.schedule.stages[0].held["stash"] + 5
