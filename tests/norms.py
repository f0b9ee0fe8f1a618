"""Small networks with norms: together they have every reader of one, and every odd shape."""

from __future__ import annotations

import random
from functools import cache
from typing import Any

from counterflow.design.network.description import Description
from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network, random_lanes
from tests.branches import residual
from tests.images import Layer, average, convolution, folded, maximum

RECIPE = {"learning_rate": 2.0**-6, "momentum": 0.75}


def norm(*, relu: bool = True, gamma: bool = False, **formats: str) -> Layer:
    """A norm, perhaps with formats of its own."""
    own = {"formats": formats} if formats else {}
    return {"kind": "norm", "activation": "relu" if relu else "none", "gamma": gamma, **own}


def linear(layer: Layer, activation: str = "s12.5", **formats: str) -> Layer:
    """`layer` without a ReLU, as a norm wants what it reads."""
    return {**layer, "activation": "none", "formats": {"activation": activation, **formats}}


SAME = {"padding": (1, 1)}
FORMATS = {"activation": "s12.5", "error": "s14.12"}
NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer], dict[str, Any]]] = {
    "two in a residual body": (
        (4, 4, 1),
        [
            linear(convolution(2, (3, 3), **SAME)),
            residual(
                norm(),
                linear(convolution(2, (3, 3), **SAME)),
                norm(activation="s8.4"),
                linear(convolution(2, (3, 3), **SAME)),
                **FORMATS,
            ),
        ],
        {"formats": FORMATS, "recipe": {**RECIPE, "mitigation": "lwpv+sc"}},
    ),
    "behind the input, strides, one multiplier a lane, three samples an update": (
        (3, 5, 1),
        [
            norm(relu=False, activation="s10.6"),
            linear(convolution(3, (3, 3), **SAME), "s10.4"),
            norm(activation="s10.6", error="s10.8"),
            linear(convolution(2, (3, 3), stride=(2, 1), padding=(1, 1)), "s16.8"),
            norm(relu=False, activation="s8.4", error="s14.12"),
        ],
        {
            "formats": {**FORMATS, "input": "s8.4"},
            "fold": folded((2, 2, True), (1, 4, True), (1, 5, False)),
            "rounding": {"update": "nearest-even", "activation": "truncate", "error": "truncate"},
            "recipe": {**RECIPE, "mitigation": "none", "accumulate": 3},
        },
    ),
    "before a pool, a fork, a sum and a dense layer": (
        (4, 4, 2),
        [
            linear(convolution(2, (1, 1))),
            norm(activation="s10.6"),
            maximum(2, 1),
            residual(
                linear(convolution(2, (3, 3), **SAME), error="s10.8"),
                norm(relu=False, activation="s10.5"),
                shortcut=(linear(convolution(2, (1, 1))), norm(activation="s9.4")),
                **FORMATS,
            ),
            norm(relu=False),
            residual(linear(convolution(2, (1, 1))), **FORMATS),
            norm(activation="s8.4"),
            {"outputs": 4},
        ],
        {"formats": FORMATS, "recipe": {**RECIPE, "mitigation": "lwpv"}},
    ),
    "more channels than are read at once": (
        (2, 2, 3),
        [
            linear(convolution(35, (1, 1)), "s10.4"),
            norm(activation="s10.6"),
            linear(convolution(33, (1, 1))),
            norm(relu=False),
            average(2, 1),
        ],
        {
            "formats": FORMATS,
            "fold": folded((1, 3, False), (3, 5, False), (1, 6, False)),
            "recipe": {**RECIPE, "mitigation": "sc", "accumulate": 2},
        },
    ),
    "gammas, behind the input, in a residual body and before a pool": (
        (4, 3, 2),
        [
            norm(relu=False, gamma=True, activation="s10.6"),
            linear(convolution(3, (3, 3), **SAME)),
            residual(
                norm(gamma=True),
                linear(convolution(3, (3, 3), **SAME)),
                norm(gamma=True, activation="s8.4", weight="s18.16", velocity="s12.16"),
                linear(convolution(3, (3, 3), **SAME)),
                **FORMATS,
            ),
            norm(gamma=True),
            maximum(2, 1),
        ],
        {
            "formats": {**FORMATS, "input": "s8.4"},
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2},
        },
    ),
    "one channel, deep": (
        (3, 3, 1),
        [
            linear(convolution(1, (3, 3), **SAME)),
            *[norm(), linear(convolution(1, (3, 3), **SAME))] * 3,
            norm(relu=False),
            {**convolution(2, (2, 2)), "activation": "tanh", "formats": {"activation": "s8.7"}},
        ],
        {"formats": FORMATS, "recipe": {**RECIPE, "mitigation": "lwpv+sc", "horizon": 2}},
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    return plan(network(image, layers, **{"recipe": RECIPE, **fields}))


IMAGES = ((2, 2), (3, 3), (2, 4), (4, 4), (3, 5), (6, 6), (4, 1))


def random_norms(seed: int, channels: tuple[int, ...] = (1, 2, 3), **recipe: Any) -> Description:
    """A small network of convolutions, residual layers and norms at any place, folded anyhow."""
    chance = random.Random(seed)
    high, wide = chance.choice(IMAGES)
    many = chance.choice(channels)

    def same() -> Layer:
        kernel = chance.choice((1, 3)), chance.choice((1, 3))
        return linear(convolution(many, kernel, padding=(kernel[0] // 2, kernel[1] // 2)))

    layers = [same()]
    for _ in range(chance.randint(0, 3)):
        kind = chance.random()
        if kind < 0.4:
            layers += [norm(relu=chance.random() < 0.5, gamma=seed % 3 == 1), same()]
        elif kind < 0.7:
            twice = [norm(), same()] if chance.random() < 0.6 else []
            layers.append(residual(norm(), same(), *twice, **FORMATS))
        else:
            layers.append(residual(same(), norm(relu=False), **FORMATS))
    layers.append(norm())
    if high % 2 == 0 and chance.random() < 0.4:
        layers.append(maximum(2, 1))
    image = (high, wide, chance.choice((1, 2, 3)))
    fields = {"formats": FORMATS, "recipe": {**RECIPE, **recipe}}
    found = network(image, layers, **fields, fold={"multipliers": chance.choice((200, 2000))})
    if chance.random() < 0.6:
        units = enumerate(found.weighted)
        lanes = [random_lanes(unit.geometry, seed + at, at == 0) for at, unit in units]
        fold = {"lanes": [one.model_dump() for one in lanes]}
        found = network(image, layers, **fields, fold=fold)
    return found
