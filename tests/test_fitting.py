"""Folds for a device: within its blocks, and against every fold that there is."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.description import Convolution, Dense, Description, Fold, Lanes, Recipe
from counterflow.fitting import UnfitError, fit
from counterflow.folding import folds
from counterflow.knapsack import Item, Knapsack, undominated
from counterflow.needs import Needs, needs
from counterflow.planner import plan
from counterflow.targets import TARGETS, Resources, Target

VGG = """
name = "vgg"
dataset = "cifar10"
inputs = [32, 32, 3]
layers = [
    { kind = "convolution", outputs = 16, kernel = 3, padding = 1 },
    { kind = "convolution", outputs = 16, kernel = 3, padding = 1 },
    { kind = "max-pool", kernel = 2 },
    { kind = "convolution", outputs = 32, kernel = 3, padding = 1 },
    { kind = "convolution", outputs = 32, kernel = 3, padding = 1 },
    { kind = "max-pool", kernel = 2 },
    { kind = "convolution", outputs = 64, kernel = 3, padding = 1 },
    { kind = "convolution", outputs = 64, kernel = 3, padding = 1 },
    { kind = "max-pool", kernel = 2 },
    { kind = "convolution", outputs = 64, kernel = 3, padding = 1 },
    { kind = "flatten" },
    { outputs = 64 },
    { outputs = 10, activation = "none" },
]
[recipe]
mitigation = "none"
learning_rate = 0.0009765625
"""


def device(family: str, multipliers: int, block_rams: int, luts: int = 10**6) -> Target:
    """A device of a family with as much as a test likes."""
    near = {"ecp5": "ecp5-85f", "ice40": "up5k", "xc7": "xc7a100t"}[family]
    has = Resources(multipliers, block_rams, luts=luts)
    return dataclasses.replace(TARGETS[near], name="small", has=has)


def dense(inputs: int, *outputs: int) -> Description:
    layers = [Dense(outputs=size) for size in outputs[:-1]]
    layers.append(Dense(outputs=outputs[-1], activation="none"))
    recipe = Recipe(mitigation="none", learning_rate=2.0**-6)
    return Description(name="net", inputs=inputs, layers=tuple(layers), recipe=recipe)


def convolution() -> Description:
    layers = (Convolution(outputs=4, kernel=3), Dense(outputs=3, activation="none"))
    recipe = Recipe(mitigation="none", learning_rate=2.0**-6)
    return Description(name="net", inputs=(5, 5, 2), layers=layers, recipe=recipe)


NETS = {"a": dense(9, 12, 5), "b": dense(24, 16, 4), "c": convolution()}


@cache
def every_fold(net: str, family: str) -> list[tuple[int, int, int]]:
    """(interval, multipliers, block RAMs) of every fold of a network, counted one by one."""
    description = NETS[net]
    found = []
    choices = [
        [tiling.lanes for _, tiling in folds(unit.geometry, index == 0, 64)]
        for index, unit in enumerate(description.weighted)
    ]
    for lanes in product(*choices):
        counted = counted_fold(description, lanes, family)
        found.append((counted.interval, counted.total.multipliers, counted.total.block_rams))
    return found


def counted_fold(description: Description, lanes: tuple[Lanes, ...], family: str) -> Needs:
    return needs(plan(description.model_copy(update={"fold": Fold(lanes=lanes)})), family)


# ---- the search --------------------------------------------------------------------------------

ITEMS = st.lists(
    st.builds(Item, st.integers(0, 4), st.integers(0, 4), st.integers(0, 9)), max_size=5
)


@settings(derandomize=True, deadline=None)
@given(lists=st.lists(ITEMS, min_size=1, max_size=4))
def test_a_knapsack_is_every_combination(lists: list[list[Item]]) -> None:
    knapsack = Knapsack(lists, (9, 7))
    cheapest: dict[tuple[int, int], float] = {}
    for chosen in product(*lists):
        pair = sum(item.first for item in chosen), sum(item.second for item in chosen)
        cheapest[pair] = min(cheapest.get(pair, math.inf), sum(item.price for item in chosen))
    for pair, price in np.ndenumerate(knapsack.prices):
        assert price == cheapest.get((pair[0], pair[1]), math.inf)
        if price < math.inf:
            picked = knapsack.chosen(*pair)
            items = [items[index] for items, index in zip(lists, picked, strict=True)]
            assert (sum(i.first for i in items), sum(i.second for i in items)) == pair
            assert sum(i.price for i in items) == price


@settings(derandomize=True, deadline=None)
@given(rows=st.lists(st.tuples(*[st.integers(0, 3)] * 3), max_size=12))
def test_what_is_undominated_is_as_good_as_anything(rows: list[tuple[int, ...]]) -> None:
    kept = undominated(rows)
    for row in rows:
        assert any(all(a <= b for a, b in zip(rows[k], row, strict=True)) for k in kept)
    for one, other in product(kept, repeat=2):
        better = all(a <= b for a, b in zip(rows[one], rows[other], strict=True))
        assert one == other or not better


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    net=st.sampled_from(sorted(NETS)),
    family=st.sampled_from(["ecp5", "ice40"]),
    multipliers=st.integers(2, 60),
    block_rams=st.integers(0, 30),
)
def test_of_all_folds_that_fit_the_one_that_idles_least_close_to_the_fastest(
    net: str, family: str, multipliers: int, block_rams: int
) -> None:
    """Against every fold of small networks, each scheduled and counted for itself."""
    target = device(family, multipliers, block_rams)
    able = [
        (interval, used, blocks)
        for interval, used, blocks in every_fold(net, family)
        if used <= multipliers and blocks <= block_rams
    ]
    if not able:
        with pytest.raises(UnfitError, match="does not fit small"):
            fit(NETS[net], target)
        return
    found = fit(NETS[net], target).needs
    assert found.total.multipliers <= multipliers
    assert found.total.block_rams <= block_rams
    fastest = min(able)[0]
    assert fastest <= found.interval <= fastest * 1.1
    near = [
        (used * interval, blocks) for interval, used, blocks in able if interval <= fastest * 1.1
    ]
    idle = found.total.multipliers * found.interval
    assert (idle, found.total.block_rams) == min(near)
