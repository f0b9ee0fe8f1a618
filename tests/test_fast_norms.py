"""The fast chain is the golden chain: norms, in every place where one can stand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterflow.design.parts.tokens import Kind, Token, epoch
from counterflow.design.schedule.planner import plan
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.fast.chain import MITIGATIONS, offered
from counterflow.golden.fast.places import places
from counterflow.golden.fast.units import norm as fast
from counterflow.golden.units.update import Settings
from counterflow.sim.shapes import random_branches
from tests.fast_norms import NETWORKS, normalised, with_norms
from tests.fast_pair import Pair, mixed, trained

RESIDUAL = "residual bodies"


@pytest.mark.parametrize("gamma", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_in_all_places(name: str, gamma: bool) -> None:
    description = normalised(name, gamma=gamma)
    assert offered(description)
    pair = Pair(description)
    assert pair.fast.word_bits == 32
    pair.run(trained(30))
    pair.run(mixed(30, seed=2))
    pair.run([Token(Kind.BUBBLE)] * 9)
    pair.run(mixed(12, seed=3))


@pytest.mark.parametrize(("accumulate", "gamma"), [(1, False), (3, False), (1, True), (3, True)])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_where_everything_saturates(name: str, accumulate: int, gamma: bool) -> None:
    formats = {"weight": "s18.16", "velocity": "s10.16", "operand": "s6.4", "error": "s7.5"}
    description = normalised(
        name,
        formats=formats,
        rounding=("truncate", "nearest-even")[accumulate % 2],
        update=("stochastic", "nearest-even")[accumulate % 2],
        momentum=0.75,
        learning_rate=2.0**-3,
        accumulate=accumulate,
        gamma=gamma,
    )
    pair = Pair(description, seed=accumulate, extreme=True)
    pair.run(mixed(40, 5, accumulate))
    counts = [pair.fast.saturations[stage.index] for stage in fast.stages(pair.schedule)]
    assert min(counts) > 0


@pytest.mark.parametrize(
    ("x", "y", "error", "words"),
    [
        ("s6.1", "s4.2", "s6.4", 32),
        ("s13.6", "s10.6", "s13.11", 32),
        ("s18.9", "s9.5", "s12.10", 64),
        ("s12.5", "s18.8", "s12.10", 64),
        ("s12.0", "s9.5", "s20.18", 64),
    ],
)
@pytest.mark.parametrize("update", ["truncate", "nearest-even", "stochastic"])
@pytest.mark.parametrize("gamma", [False, True])
def test_equal_in_all_formats(
    x: str, y: str, error: str, words: int, update: str, gamma: bool
) -> None:
    fields = {"update": update, "learning_rate": 2.0**-4, "gamma": gamma}
    pair = Pair(normalised(RESIDUAL, **fields, **_all(x, y, error)))
    assert pair.fast.word_bits == words
    pair.run(trained(30))
    pair.run(mixed(20, seed=2))


def _all(x: str, y: str, error: str) -> dict[str, Any]:
    """Fields of the network whose norms have these formats, the x of each that of the network."""
    return {"formats": {"activation": x, "error": error}, "norms": y}


@pytest.mark.parametrize("mitigation", MITIGATIONS)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "scheme", [{}, {"scheme": "sequential"}, {"scheme": "fill-and-drain", "batch": 3}]
)
def test_equal_in_all_schemes(scheme: dict[str, Any], accumulate: int, mitigation: str) -> None:
    description = normalised(RESIDUAL, mitigation=mitigation, accumulate=accumulate, **scheme)
    pair = Pair(description)
    order = np.random.default_rng(3).permutation(16)
    pair.run(list(epoch(description.recipe, order[:7], pair.schedule.delay)))
    pair.run([Token(Kind.INFER, index) for index in range(5)])
    pair.run(list(epoch(description.recipe, order[:4], pair.schedule.delay)))


def test_equal_under_changes_of_settings() -> None:
    drops = [{"epoch": 1, "shift": 1}, {"epoch": 2, "shift": 3}]
    pair = Pair(normalised("before convolutions", gamma=True, rate_drops=drops), extreme=True)
    for extra_shift in (0, 1, 3, 0):
        for predict in (False, True):
            for compensate in (False, True):
                pair.set(Settings(predict, compensate, extra_shift))
                pair.run(mixed(9, seed=extra_shift))


def test_blocks_may_be_cut_anywhere() -> None:
    whole, parts = Pair(normalised(RESIDUAL)), Pair(normalised(RESIDUAL))
    tokens = mixed(40, seed=6)
    whole.run(tokens)
    for start in range(0, 40, 7):
        parts.run(tokens[start : start + 7])
    for one, other in zip(whole.fast.states, parts.fast.states, strict=True):
        for name, values in one.arrays.items():
            np.testing.assert_array_equal(values, other.arrays[name])


def _leads(schedule: Schedule) -> set[int]:
    """The slots by which gradients come to each norm before the update that they belong to."""
    passed = places(schedule).passed
    return {
        stage.delay - passed[stage.name, stage.unit.outputs[0].paths[-1]]
        for stage in fast.stages(schedule)
    }


# Among these are gradients that come in the slot of their update, one before, and two before.
SEEDS = [3, 5, 9, 14, 16, 19, 22, 29]


def test_gradients_come_as_long_before_their_update_as_they_can() -> None:
    descriptions = [with_norms(random_branches(seed), seed) for seed in SEEDS]
    assert set.union(*(_leads(plan(one).schedule) for one in descriptions)) == {0, 1, 2}


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_in_random_branches(seed: int) -> None:
    _compare(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_equal_in_more_random_branches(seed: int) -> None:
    _compare(seed)


def _compare(seed: int) -> None:
    accumulate = 1 + 2 * (seed % 2)
    recipe = {
        "mitigation": MITIGATIONS[seed % len(MITIGATIONS)],
        "accumulate": accumulate,
        "learning_rate": 2.0**-5,
        "momentum": 0.75,
    }
    description = with_norms(random_branches(seed, recipe=recipe), seed)
    pair = Pair(description, seed=seed, extreme=seed % 3 == 0)
    pair.run(mixed(12, seed, accumulate=accumulate))
    pair.set(Settings(predict=False))
    pair.run(mixed(2 * pair.schedule.delay + 4, seed + 1))


@pytest.mark.parametrize("name", ["statistics", "bias", "views", "entries", "roots"])
def test_what_a_norm_remembers_is_compared(name: str) -> None:
    """A last place more anywhere in its memory, and the chains part."""
    pair = Pair(normalised("before convolutions", gamma=True))
    pair.run(trained(20))
    getattr(pair.fast._memory, name)[:] += 1
    with pytest.raises(AssertionError):
        pair.run(trained(20))
