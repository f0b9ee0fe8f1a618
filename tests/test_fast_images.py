"""The fast chain is the golden chain: convolution, pooling and accumulated gradients."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from numba import njit

from counterflow.design.data.sets import synthetic
from counterflow.design.network.description import Description
from counterflow.design.network.files import load
from counterflow.design.parts.tokens import Kind, Token, epoch
from counterflow.design.schedule.planner import plan
from counterflow.golden.chain import Chain
from counterflow.golden.fast.chain import MITIGATIONS, FastChain, offered
from counterflow.golden.fast.words import folded
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.update import Settings
from tests.fast_pair import (
    FORMATS,
    Pair,
    convolution,
    mixed,
    network,
    pool,
    some_network,
    trained,
)

DENSE = {"outputs": 5}


NETWORKS: dict[str, tuple[list[int], list[dict[str, Any]]]] = {
    "two convolutions": ([8, 8, 2], [convolution(4), convolution(3, padding=1), DENSE]),
    "an image that is not square": (
        [6, 11, 1],
        [convolution(3, [2, 4], stride=[1, 2], padding=[1, 2]), convolution(4, [3, 2]), DENSE],
    ),
    "pixels that no window covers": (
        [9, 8, 2],
        [convolution(3, 2, stride=2), convolution(4, [3, 3], stride=[2, 3]), DENSE],
    ),
    "pixels between windows": (
        [9, 8, 2],
        [convolution(3, 1, stride=[2, 3]), convolution(4, [1, 2], stride=[4, 1]), DENSE],
    ),
    "subsampled": (
        [9, 8, 2],
        [
            {"kind": "subsample", "stride": [1, 2], "outputs": 5},
            convolution(3, padding=1),
            {"kind": "subsample", "stride": 2, "outputs": 19},
            convolution(18, [1, 2]),
            {"kind": "subsample", "stride": [3, 1]},
            DENSE,
        ],
    ),
    "more outputs than lanes": ([5, 5, 3], [convolution(19), convolution(33, 2), DENSE]),
    "more taps than lanes": ([5, 6, 20], [convolution(20, 2, padding=1), convolution(3), DENSE]),
    "a kernel as large as the image": (
        [4, 4, 2],
        [convolution(6, 4), convolution(4, 1), convolution(7, 3, padding=1), DENSE],
    ),
    "maxima": ([8, 8, 1], [convolution(5, padding=1), pool("max"), convolution(4), DENSE]),
    "means": (
        [8, 8, 1],
        [convolution(5, padding=1), pool("average"), convolution(4), pool("average"), DENSE],
    ),
    "several pools in a row": (
        [12, 8, 1],
        [
            convolution(18, padding=1),
            pool("max", [3, 1]),
            pool("average", [1, 2]),
            pool("max", [2, 2]),
            convolution(4, 2, padding=1),
            pool("max", [3, 3]),
            DENSE,
        ],
    ),
    "windows that overlap, leave pixels out and leave the image": (
        [9, 8, 1],
        [
            convolution(5, padding=1),
            pool("max", 3, stride=1, padding=1),
            pool("average", 3, stride=2),
            convolution(18, 2, padding=1),
            pool("max", [2, 3], stride=[3, 1]),
            pool("average", [1, 3], stride=1, padding=[0, 2]),
            convolution(17, 1),
            pool("average", "all"),
            DENSE,
        ],
    ),
    "tanh": (
        [8, 8, 1],
        [
            convolution(5, padding=1, activation="tanh"),
            pool("average"),
            convolution(17, padding=1, activation="tanh"),
            convolution(3, [2, 1], padding=[1, 0], activation="tanh"),
            pool("max", [1, 2]),
            {"outputs": 7, "activation": "tanh"},
            {"outputs": 6, "activation": "relu", "formats": {"activation": "u8.4"}},
            DENSE,
        ],
    ),
    "no rectifier": (
        [6, 6, 1],
        [
            convolution(3, activation="none"),
            pool("average", [2, 4]),
            {"outputs": 6, "activation": "none"},
            {"outputs": 6, "activation": "none"},
            DENSE,
        ],
    ),
}


def images(name: str, **others: Any) -> Description:
    inputs, layers = NETWORKS[name]
    if name == "no rectifier":
        others["formats"] = {"activation": "s9.4", **others.get("formats", {})}
        layers = [*layers[:1], pool("average"), *layers[2:]]
    if name == "tanh" and not str(others.get("formats", {}).get("activation", "")).startswith("s"):
        others["formats"] = {**others.get("formats", {}), "activation": "s8.7"}
    return network(inputs=inputs, layers=layers, **others)


@pytest.mark.parametrize("name", NETWORKS)
def test_equal_on_all_shapes(name: str) -> None:
    pair = Pair(images(name, fold={"multipliers": 60}))
    pair.run(trained(30))
    pair.run(mixed(30, seed=2))


@pytest.mark.parametrize("wide", [1, 2, 5])
def test_equal_where_rows_of_tiles_wait_for_their_outputs(wide: int) -> None:
    """What sees nothing draws random bits, too."""
    first = {"outputs": 4 * wide, "inputs": wide}  # one cycle for each row of the kernel's three
    lanes = [first, {"outputs": 1, "inputs": 2, "shared": True}]
    last = {"outputs": 5, "activation": "none"}
    layers = [{"kind": "convolution", "outputs": 24, "kernel": [3, wide]}, last]
    pair = Pair(network(inputs=[6, 5, 1], layers=layers, fold={"lanes": lanes}))
    tiling = pair.schedule.weighted[0].tiling
    assert tiling.kernel_rows > tiling.geometry.kernel[0]
    pair.run(trained(30))
    pair.run(mixed(20, seed=2))


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_equal_where_everything_saturates(name: str, accumulate: int) -> None:
    rare = {"operand": "s4.2", "weight": "s9.8", "velocity": "s7.8", "error": "s5.3"}
    formats = {"input": "u4.2", "activation": "u4.1", **rare}
    if name == "no rectifier":
        formats["activation"] = "s5.1"
    for seed in range(3):
        description = images(
            name,
            formats=formats,
            rounding=("truncate", "nearest-even")[seed % 2],
            momentum=0.75,
            learning_rate=2.0**-3,
            accumulate=accumulate,
            fold={"multipliers": (20, 45, 150)[seed]},
        )
        pair = Pair(description, seed=seed, extreme=True)
        pair.run(mixed(40, seed, accumulate))
        assert sum(pair.fast.saturations) > 0


@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize("update", ["truncate", "nearest-even", "stochastic"])
def test_equal_in_all_formats(formats: str, update: str) -> None:
    rate = {"16x16": 2.0**-2, "18x18": 1.0, "no momentum": 2.0**-2}.get(formats, 2.0**-6)
    momentum = 0.0 if formats == "no momentum" else 0.875
    kept = dict(FORMATS[formats])
    pair = Pair(
        images("maxima", formats=kept, update=update, learning_rate=rate, momentum=momentum)
    )
    pair.run(trained(40))
    pair.run(mixed(20, seed=2))


@pytest.mark.parametrize("mitigation", MITIGATIONS)
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "scheme", [{}, {"scheme": "sequential"}, {"scheme": "fill-and-drain", "batch": 3}]
)
def test_equal_in_all_schemes(scheme: dict[str, Any], accumulate: int, mitigation: str) -> None:
    description = images("means", mitigation=mitigation, accumulate=accumulate, **scheme)
    assert offered(description)
    pair = Pair(description)
    order = np.random.default_rng(3).permutation(16)
    pair.run(list(epoch(description.recipe, order[:10], pair.schedule.delay)))
    pair.run([Token(Kind.INFER, index) for index in range(16)])
    pair.run(list(epoch(description.recipe, order[:5], pair.schedule.delay)))


@pytest.mark.parametrize(
    "lanes",
    [
        [(1, 1, False), (1, 1, False), (1, 1, False)],
        [(5, 2, False), (3, 7, True), (2, 3, True)],  # padding lanes in rows and columns
        [(2, 3, True), (4, 15, True), (5, 16, True)],
    ],
)
def test_equal_in_all_folds(lanes: list[tuple[int, int, bool]]) -> None:
    keys = ("outputs", "inputs", "shared")
    fold = {"lanes": [dict(zip(keys, lane, strict=True)) for lane in lanes]}
    for accumulate in (1, 2):
        pair = Pair(images("maxima", fold=fold, accumulate=accumulate), extreme=True)
        pair.run(mixed(50, 4, accumulate))
        assert sum(pair.fast.saturations) > 0


def test_equal_under_changes_of_settings() -> None:
    drops = [{"epoch": 1, "shift": 1}, {"epoch": 2, "shift": 3}]
    pair = Pair(images("maxima", rate_drops=drops))
    for extra_shift in (0, 1, 3, 0):
        for predict in (False, True):
            for compensate in (False, True):
                pair.set(Settings(predict, compensate, extra_shift))
                pair.run(mixed(9, seed=extra_shift))


def equal_on_random_networks(seed: int, count: int, **fields: Any) -> set[int]:
    """`count` networks that a generator makes; the bits of their machine words."""
    random = np.random.default_rng(seed)
    tried, words = 0, set()
    for seed in range(4000):
        try:
            description = some_network(random, **fields)
            pair = Pair(description, seed=seed, extreme=seed % 2 == 0)
        except ValueError:
            continue  # sizes or formats that do not fit together
        tried += 1
        words.add(pair.fast.word_bits)
        pair.run(mixed(25, seed, description.recipe.accumulate))
        if tried == count:
            break
    assert tried == count
    return words


@pytest.mark.parametrize("part", range(4))
def test_equal_on_random_networks(part: int) -> None:
    assert equal_on_random_networks(part, 40) == {32, 64}


def test_equal_on_random_networks_whose_windows_lie_anyhow() -> None:
    assert equal_on_random_networks(9, 40, sliding=True) == {32, 64}


@pytest.mark.parametrize("value", [1, -1, 1 << 31, 1 << 32, -1 << 63])
def test_a_mark_of_saturation_is_not_lost_in_a_narrower_word(value: int) -> None:
    @njit
    def mark(like: Any, value: int) -> int:
        return folded(like, value)

    for word in (np.int32, np.int64):
        assert mark(np.zeros(1, word), np.int64(value)) != 0
        assert mark(np.zeros(1, word), np.int64(0)) == 0


def test_more_gradients_than_the_sums_hold_are_refused() -> None:
    pair = Pair(network(accumulate=3))
    some = [Kind.ACCUMULATE, Kind.INFER, Kind.ACCUMULATE]
    pair.run([Token(kind, 0) for kind in [*some, Kind.TRAIN, *some]])
    with pytest.raises(
        ValueError, match=re.escape("3 gradients would wait for an update, but accumulate is 3")
    ):
        pair.fast.run(
            np.array(some[:1], np.uint8), np.zeros(1, np.int64), pair.samples, pair.labels
        )
    pair.run([Token(Kind.TRAIN, 1), *mixed(40, 1, 3)])


def test_lenet5_trains_as_the_golden_chain_does() -> None:
    description, count = load("lenet5"), 300
    schedule = plan(description).schedule
    data = synthetic(description.elements, description.classes, count, seed=1)
    samples = data.scaling.codes(data.train_x, description.formats.input)[:count]
    labels = data.train_y[:count]
    golden = Chain(description, schedule, initial_states(description, schedule, 1))
    fast = FastChain(description, schedule, initial_states(description, schedule, 1))
    order = np.arange(len(samples))
    kinds = np.full(len(samples), Kind.TRAIN, np.uint8)
    scores, _ = fast.run(kinds, order, samples, labels)
    expected = golden.run([Token(Kind.TRAIN, int(i)) for i in order], samples, labels)
    np.testing.assert_array_equal(scores, [one.scores for one in expected])
    for one, other in zip(fast.states, golden.states, strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)
        np.testing.assert_array_equal(one.velocity, other.velocity)
    assert fast.saturations == [unit.saturations for unit in golden.units]
    assert fast.word_bits == 32
