"""Norms in the schedule: no token finds an update unfinished, whatever came in which run."""

from __future__ import annotations

import pytest

from counterflow.design.network.description import Description
from counterflow.design.schedule import build
from counterflow.design.schedule.planner import plan
from counterflow.design.units.norm_times import NormStage
from counterflow.design.units.normal_times import BEGIN, update_cycles
from counterflow.design.units.scheduled import Came
from tests.norms import NETWORKS, design, random_norms

CHANNELS = (1, 2, 3, 5, 8, 16, 19, 24, 33)
TIGHT, SLOWER = 786, 2  # a network whose slots updates so many cycles slower make longer


def waits(norm: NormStage, before: int, slower: int = 0) -> bool:
    """Whether a token of a run finds an update unfinished that it must see."""
    interval, found = norm.interval, False
    for slot in range(2 * norm.delay + 3):
        over = norm.updates(slot, before) - BEGIN + update_cycles(norm.numbers.channels) + slower
        found |= over > norm.start + (slot + 2) * interval
        token = slot + 2 - norm.delay
        if token + before >= 0 and norm.errors.pattern(token, before)[0] is not Came.BEFORE:
            found |= over > int(norm.errors.of(token, interval, before)[0])
    return found


def norms(description: Description) -> list[NormStage]:
    schedule = plan(description).schedule
    found = [norm for norm in schedule.norms if isinstance(norm, NormStage)]
    assert found
    return found


@pytest.mark.parametrize("name", NETWORKS)
def test_no_token_of_a_network_waits_for_an_update(name: str) -> None:
    for norm in norms(design(name).description):
        for before in range(norm.delay + 2):
            assert not waits(norm, before)
        assert norm.delay - norm.errors.delay in (0, 1, 2)


@pytest.mark.parametrize("start", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
def test_no_token_of_a_random_network_waits_for_an_update(start: int) -> None:
    longer = set()
    for seed in range(200 * start, 200 * start + 60):
        for norm in norms(random_norms(seed, CHANNELS)):
            assert not any(waits(norm, before) for before in (0, 1, norm.delay))
            longer.add(norm.delay - norm.errors.delay)
    assert {0, 1} <= longer <= {0, 1, 2}


def test_slots_are_longer_where_an_update_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And without that a token would wait."""
    monkeypatch.setattr(
        "counterflow.design.units.normal_times.update_cycles",
        lambda channels: update_cycles(channels) + SLOWER,
    )
    tight = random_norms(TIGHT, CHANNELS)
    found = norms(tight)
    bounds = [tight.graph.slowest.bound]
    bounds += [build.slot_bound(stage.tiling) for stage in plan(tight).schedule.weighted]
    assert found[0].interval > max(bounds)
    assert not any(
        waits(norm, before, SLOWER) for norm in found for before in range(norm.delay + 2)
    )
    monkeypatch.setattr("counterflow.design.units.norm_times.NormTimes._check", lambda *_: None)
    shorter = norms(tight)
    assert shorter[0].interval == max(bounds)
    assert any(waits(norm, before, SLOWER) for norm in shorter for before in range(norm.delay + 2))
