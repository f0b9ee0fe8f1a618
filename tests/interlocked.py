"""Small networks in components: together they have every kind of head and what stands around it."""

from __future__ import annotations

from functools import cache
from typing import Any

from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network
from tests.branches import linear, rectified, residual
from tests.images import RECIPE, Layer, average, convolution, maximum

SAME = {"padding": (1, 1)}
SCORES: Layer = {"outputs": 3, "activation": "none"}
NORM: Layer = {"kind": "norm"}
GROUPS: Layer = {"kind": "norm", "statistics": "group"}
LINEAR: Layer = {**convolution(2, (3, 3), **SAME), "activation": "none"}
LOCAL: dict[str, Any] = {"interlocking": 1}
DENSE = "dense, heads of two layers"
THREE = "dense, three losses seen"
EXITS = "early exits from which nothing learns"
BLOCKS = "residual blocks with norms"
PAIRWISE = "residual blocks with norms, two losses seen"
COPIES = "all that has copies, three losses seen"
POOLS = "pools that no gradient passes"


def head(*layers: Layer) -> Layer:
    return {"kind": "head", "layers": list(layers)}


def hidden(outputs: int) -> Layer:
    return {"outputs": outputs}


NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer], dict[str, Any]]] = {
    DENSE: (
        (1, 1, 6),
        [hidden(5), hidden(4), hidden(5), hidden(4)],
        {
            **LOCAL,
            "components": [2, 1, 2],
            "head": [hidden(4), SCORES],
            "recipe": {**RECIPE, "mitigation": "lwpv+sc"},
        },
    ),
    THREE: (
        (1, 1, 6),
        [hidden(5), hidden(4), hidden(5), hidden(4)],
        {
            "interlocking": 3,
            "components": [1, 1, 1, 1, 1],
            "head": [SCORES],
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2},
        },
    ),
    "convolutions, two losses seen": (
        (6, 5, 2),
        [
            convolution(2, (3, 3), **SAME),
            head(average(2, 1), SCORES),
            convolution(3, (3, 3), **SAME, stride=(2, 1)),
            convolution(2, (2, 3), **SAME),
            head(SCORES),
            maximum(1, 2),
            convolution(3, (2, 2)),
        ],
        {"interlocking": 2, "recipe": {**RECIPE, "mitigation": "lwpv"}},
    ),
    EXITS: (
        (1, 1, 6),
        [hidden(5), hidden(4), hidden(5)],
        {
            "components": [1, 2, 1],
            "exits": True,
            "recipe": {**RECIPE, "mitigation": "lwpv"},
        },
    ),
    "convolutions, pools in heads, three samples an update": (
        (8, 6, 1),
        [
            convolution(2, (3, 3), **SAME),
            head(average(2, 2), SCORES),
            convolution(3, (3, 3), **SAME),
            maximum(2, 2),
            head(convolution(2, (2, 2)), maximum(3, 2), SCORES),
            convolution(2, (3, 3), **SAME),
        ],
        {**LOCAL, "recipe": {**RECIPE, "mitigation": "sc", "accumulate": 3}},
    ),
    "a branch in a head, a head behind a sum": (
        (4, 4, 1),
        [
            convolution(2, (3, 3), **SAME),
            residual(convolution(2, (3, 3), **SAME)),
            head(residual(convolution(2, (3, 3), **SAME)), SCORES),
            rectified(residual(linear(convolution(2, (1, 1))))),
            head(SCORES),
            convolution(2, (3, 3), **SAME),
        ],
        {**LOCAL, "recipe": {**RECIPE, "mitigation": "lwpv+sc"}},
    ),
    BLOCKS: (
        (4, 4, 1),
        [
            {**convolution(2, (3, 3), **SAME), "activation": "none"},
            *[residual(NORM, {**convolution(2, (3, 3), **SAME), "activation": "none"})] * 2,
            {"kind": "average-pool", "kernel": "all"},
        ],
        {
            **LOCAL,
            "components": [1, 1, 3],
            "formats": {"activation": "s12.5", "error": "s14.12"},
            "recipe": {**RECIPE, "mitigation": "lwpv"},
        },
    ),
    PAIRWISE: (
        (4, 4, 1),
        [
            LINEAR,
            *[residual(NORM, LINEAR)] * 3,
            {"kind": "average-pool", "kernel": "all"},
        ],
        {
            "interlocking": 2,
            "components": [1, 1, 1, 3],
            "formats": {"activation": "s12.5", "error": "s14.12"},
            "recipe": {**RECIPE, "mitigation": "lwpv+sc"},
        },
    ),
    COPIES: (
        (6, 6, 1),
        [
            convolution(2, (3, 3), **SAME),
            maximum(3, 3, stride=1),
            {**LINEAR, "activation": "tanh", "formats": {"activation": "s8.6"}},
            rectified(residual(GROUPS, LINEAR)),
            {
                "kind": "residual",
                "body": [{**LINEAR, "outputs": 4}],
                "shortcut": [{"kind": "subsample", "outputs": 4}],
            },
            {"kind": "average-pool", "kernel": 2},
        ],
        {
            "interlocking": 3,
            "components": [1, 2, 1, 2, 1],
            "head": [SCORES],
            "formats": {"activation": "s12.5", "error": "s14.12"},
            "recipe": {**RECIPE, "mitigation": "lwpv", "accumulate": 2},
        },
    ),
    POOLS: (
        (8, 8, 1),
        [
            maximum(3, 3, stride=1, **SAME),
            convolution(2, (3, 3), **SAME),
            head(SCORES),
            maximum(2, 2),
            convolution(3, (3, 3), **SAME),
            head(average(2, 2), SCORES),
            average(2, 2),
            convolution(2, (2, 2), **SAME),
            head(SCORES),
            average(3, 2, stride=1),
        ],
        {**LOCAL, "recipe": {**RECIPE, "learning_rate": 2.0**-9, "mitigation": "lwpv+sc"}},
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    return plan(network(image, layers, **{"recipe": RECIPE, **fields}))
