"""The fast chain is the golden chain: convolution, pooling and accumulated gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from counterflow.data import synthetic
from counterflow.description import Description
from counterflow.files import load
from counterflow.planner import plan
from counterflow.tokens import Kind, Token, epoch
from golden.chain import Chain
from golden.convolution import Settings
from golden.fast import MITIGATIONS, FastChain, offered
from golden.models import codes
from golden.start import initial_states
from tests.fast_pair import FORMATS, Pair, mixed, network, trained

DENSE = {"outputs": 5}


def convolution(outputs: int, kernel: Any = 3, **others: Any) -> dict[str, Any]:
    return {"kind": "convolution", "outputs": outputs, "kernel": kernel, **others}


def pool(kind: str, kernel: Any = 2) -> dict[str, Any]:
    return {"kind": f"{kind}-pool", "kernel": kernel}


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


def some_network(random: np.random.Generator, seed: int) -> Description:
    """A random network; `ValueError` where its parts do not fit together."""

    def pair(low: int, high: int) -> list[int]:
        return [int(one) for one in random.integers(low, high, 2)]

    layers: list[dict[str, Any]] = []
    for _ in range(random.integers(1, 4)):
        layers.append(
            convolution(
                int(random.choice([1, 2, 3, 5, 17])),
                pair(1, 4),
                stride=pair(1, 3),
                padding=pair(0, 3),
            )
        )
        for _ in range(random.choice(3, p=[0.4, 0.4, 0.2])):
            layers.append(pool(str(random.choice(["max", "average"])), pair(1, 3)))
    for outputs in random.integers(2, 9, random.integers(1, 3)):
        layers.append({"outputs": int(outputs)})
    signed = random.random() < 0.3
    for layer in layers:
        if (signed and "kernel" not in layer) or layer.get("kind") == "convolution":
            layer["activation"] = "none" if signed and random.random() < 0.5 else "relu"
    frac = int(random.integers(8, 20))
    formats = {
        "input": f"{random.choice(['u', 's'])}{random.integers(3, 10)}.{random.integers(0, 9)}",
        "activation": f"{'s' if signed else 'u'}{random.integers(3, 16)}.{random.integers(0, 8)}",
        "logit": f"s{random.integers(6, 16)}.3",
        "operand": f"s{random.integers(4, 16)}.{random.integers(2, 8)}",
        "weight": f"s{random.integers(frac, frac + 6)}.{frac}",
        "velocity": f"s{random.integers(frac - 4, frac + 4)}.{frac}",
        "error": f"s{random.integers(6, 13)}.{random.integers(4, 6)}",
    }
    return network(
        inputs=[*pair(3, 12), int(random.choice([1, 2, 3, 17]))],
        layers=layers,
        formats=formats,
        update=str(random.choice(["truncate", "nearest-even", "stochastic"])),
        rounding=str(random.choice(["truncate", "nearest-even"])),
        fold={"multipliers": int(random.integers(9, 200))},
        learning_rate=2.0 ** -random.integers(0, 12),
        momentum=1 - 2.0 ** -random.integers(0, 10),
        mitigation=str(random.choice(MITIGATIONS)),
        accumulate=int(random.choice([1, 3])),
        horizon=int(random.integers(1, 3)),
    )


@pytest.mark.parametrize("part", range(4))
def test_equal_on_random_networks(part: int) -> None:
    random = np.random.default_rng(part)
    tried, words = 0, set()
    for seed in range(4000):
        try:
            description = some_network(random, seed)
            pair = Pair(description, seed=seed, extreme=seed % 2 == 0)
        except ValueError:
            continue  # sizes or formats that do not fit together
        tried += 1
        words.add(pair.fast.word_bits)
        pair.run(mixed(25, seed, description.recipe.accumulate))
        if tried == 40:
            break
    assert tried == 40
    assert words == {32, 64}


def test_lenet5_trains_as_the_golden_chain_does() -> None:
    description, count = load("lenet5"), 300
    schedule = plan(description).schedule
    data = synthetic(description.elements, description.classes, count, seed=1)
    samples = codes(data.train_x, data.pixel_max, description.formats.input)[:count]
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
