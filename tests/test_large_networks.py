"""Networks far larger than a device: planned in seconds, and what is short said to the block."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.design.fit.fitting import UnfitError, fit
from counterflow.design.fit.knapsack import Item, Knapsack
from counterflow.design.fit.nearest import nearest
from counterflow.design.fit.relaxed import Relaxed
from counterflow.design.fit.search import Search, rams
from counterflow.design.fit.shortage import MEMORY, Short, outcomes, short_of, shortages
from counterflow.design.fpga.needs import needs
from counterflow.design.fpga.targets import TARGETS, Resources, Target
from counterflow.design.network.description import Description
from counterflow.design.schedule.holdings import everything, holdings
from counterflow.design.schedule.planner import plan
from tests.residual_networks import large_images, network, small_images

ITEMS = st.lists(
    st.builds(Item, st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)), min_size=1, max_size=5
)
LISTS = st.lists(ITEMS, min_size=1, max_size=5)
LIMITS = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 30))


@cache
def small() -> Description:
    return network(small_images(1, (4, 8), 16))


def device(near: str, **changes: int) -> Target:
    return replace(TARGETS[near], name="small", has=TARGETS[near].has._replace(**changes))


# ---- speed -------------------------------------------------------------------------------------


def test_a_hundred_and_twelve_units_are_planned_within_ten_seconds() -> None:
    begun = time.process_time()
    made = plan(network(small_images(18)))
    counted = needs(made, "xc7").total
    assert time.process_time() - begun < 10
    assert len(made.schedule.stages) == 112
    assert made.schedule.delay > 100
    assert counted.block_rams > TARGETS["xc7k480t"].has.block_rams


@pytest.mark.slow
def test_bottlenecks_over_images_of_224x224_are_planned_within_a_minute() -> None:
    begun = time.process_time()
    made = plan(network(large_images()))
    parts = holdings(made)
    assert time.process_time() - begun < 60
    sizes = [one.name for one in parts]
    assert sizes == ["224x224", "112x112", "56x56", "28x28", "14x14", "7x7", "1x1"]
    whole = everything(parts)
    assert whole["weights"] >= 34 * made.description.parameters


# ---- choices by price --------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=60)
@given(lists=LISTS, limits=LIMITS, aim=st.integers(0, 1))
def test_a_choice_by_price_keeps_to_its_limits_and_beats_no_table(
    lists: list[list[Item]], limits: tuple[int, int, int], aim: int
) -> None:
    relaxed = Relaxed(lists)
    picked = relaxed.within(limits, aim)
    table = Knapsack(lists, limits[:2]).prices
    able = np.argwhere(table <= limits[2])
    if picked is None:
        return
    taken = relaxed.amounts(picked)
    items = [items[index] for items, index in zip(lists, picked, strict=True)]
    assert taken == tuple(float(sum(column)) for column in zip(*items, strict=True))
    assert all(n <= most for n, most in zip(taken, limits, strict=True))
    assert taken[aim] >= able[:, aim].min()


@settings(derandomize=True, deadline=None, max_examples=60)
@given(lists=LISTS, aim=st.integers(0, 2))
def test_with_room_for_anything_each_list_takes_what_it_has_least_of(
    lists: list[list[Item]], aim: int
) -> None:
    picked = Relaxed(lists).within((1e6, 1e6, 1e6), aim)
    assert picked is not None
    taken = Relaxed(lists).amounts(picked)
    assert taken[aim] == sum(min(item[aim] for item in items) for items in lists)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(items=ITEMS, limits=LIMITS)
def test_where_nothing_fits_nothing_is_found(
    items: list[Item], limits: tuple[int, int, int]
) -> None:
    fits = [all(n <= most for n, most in zip(item, limits, strict=True)) for item in items]
    if not any(fits):
        assert Relaxed([items]).within(limits, 0) is None


def test_searches_by_price_and_by_table_find_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    by_table = fit(small(), TARGETS["xc7a100t"])
    monkeypatch.setattr("counterflow.design.fit.search.TABLE", 0)
    by_price = fit(small(), TARGETS["xc7a100t"])
    assert by_price.search.fits(by_price.needs)
    assert by_price.needs.interval <= 1.1 * by_table.needs.interval


@pytest.mark.parametrize("name", ["xc7a200t", "xcku5p"])
def test_a_fit_for_a_large_target_is_counted_as_its_plan_is(name: str) -> None:
    target = TARGETS[name]
    found = fit(small(), target)
    again = needs(plan(found.plan.description), target.family, target.has)
    assert again.total == found.needs.total
    assert found.needs.total.multipliers <= target.has.multipliers
    assert found.needs.total.block_rams <= target.has.block_rams
    assert found.needs.total.ultra_rams <= target.has.ultra_rams


# ---- what is short -----------------------------------------------------------------------------


def short(target: Target) -> list[Short]:
    try:
        fit(small(), target)
    except UnfitError as error:
        return short_of(small(), target, error)
    return []


def test_what_is_short_is_what_the_fold_needs_that_takes_least_of_it() -> None:
    few = device("ecp5-85f", block_rams=10, luts=2000)
    search = Search(small(), few.has, "ecp5")
    found = {one.resource: one for one in short(few)}
    assert set(found) == {"block_rams", "luts"}
    for index, name in ((1, "block_rams"), (2, "luts")):
        least = search.least(index)
        one = found[name]
        assert one.needed == getattr(least.total, name)
        assert one.there == getattr(few.has, name)
        assert one.lacking == one.needed - one.there
        assert one.factor == one.needed / one.there
        assert one.unit == least.largest(name)
    enough = device("ecp5-85f", block_rams=found["block_rams"].needed, luts=found["luts"].needed)
    assert shortages(Search(small(), enough.has, "ecp5")) != list(found.values())
    one_less = found["block_rams"].needed - 1
    again = shortages(Search(small(), enough.has._replace(block_rams=one_less), "ecp5"))
    assert [(s.resource, s.lacking) for s in again] == [("block_rams", 1)]


def test_too_few_multipliers_are_said_of_the_target_and_of_a_budget() -> None:
    units = len(small().weighted)
    (one,) = short(TARGETS["hx8k"])
    assert (one.resource, one.needed, one.there, one.factor) == ("multipliers", units, 0, None)
    with pytest.raises(UnfitError) as raised:
        fit(small(), TARGETS["ecp5-85f"], multipliers=2)
    (one,) = short_of(small(), TARGETS["ecp5-85f"], raised.value, multipliers=2)
    assert (one.needed, one.there) == (units, 2)


def test_block_rams_and_ultra_rams_are_short_together() -> None:
    has = Resources(2000, 10, 1, 10**6, 10**6, ultra_rams=1)
    (one,) = shortages(Search(small(), has, "xcup"))
    needed = Search(small(), has, "xcup").least(1).total
    assert one.resource == MEMORY
    assert one.there == rams(has) == 26
    assert one.needed == 26 + needed.block_rams - 10
    assert needed.ultra_rams <= 1
    assert f"{one.lacking} block RAMs (UltraRAMs as 16) ({one.needed} of 26, " in str(one)


def test_where_one_resource_is_spared_for_another_the_nearest_fold_is_short() -> None:
    has = TARGETS["ecp5-85f"].has
    few = Search(small(), has, "ecp5").least(0).total.multipliers
    full = Search(small(), has._replace(multipliers=few), "ecp5")
    tight = {
        "multipliers": few,
        "block_rams": full.least(1).total.block_rams,
        "luts": full.least(2).total.luts,
    }
    search = Search(small(), Resources(**tight), "ecp5")
    least = [search.least(index).total for index in range(3)]
    assert all(getattr(one, name) <= tight[name] for one, name in zip(least, tight, strict=True))
    found = shortages(search)
    assert found
    closest = nearest(search).total
    assert {one.resource: one.needed for one in found} == {
        name: getattr(closest, name) for name in tight if getattr(closest, name) > tight[name]
    }


def test_every_target_is_asked_and_those_fit_that_a_search_says() -> None:
    names = ("ecp5-25f", "ecp5-85f", "xc7a35t", "xc7a100t", "hx8k")
    found = {one.target.name: one for one in outcomes(small(), [TARGETS[name] for name in names])}
    assert set(found) == set(names)
    for name in names:
        fitted = found[name].fitted
        assert (fitted is None) == bool(short(TARGETS[name]))
        if fitted is None:
            assert found[name].short
            assert found[name].words.startswith("short of ")
        else:
            assert found[name].words.startswith("fits: " if fitted.routable else "may fit: ")
    assert found["ecp5-85f"].words.startswith("fits: ")
    assert found["ecp5-25f"].words.startswith("may fit: ")
    assert found["hx8k"].fitted is None
