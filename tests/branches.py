"""Small networks that branch: together they have every way to nest and to cut short."""

from __future__ import annotations

from functools import cache
from typing import Any

from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network
from tests.images import RECIPE, Layer, average, convolution, maximum


def residual(*body: Layer, shortcut: tuple[Layer, ...] = (), **formats: str) -> Layer:
    """A body of layers, and what stands beside it."""
    own = {"formats": formats} if formats else {}
    return {"kind": "residual", "body": list(body), "shortcut": list(shortcut), **own}


def rectified(layer: Layer) -> Layer:
    """A residual layer whose sum ends in a ReLU, and so do those in its branches."""
    if layer.get("kind") != "residual":
        return layer
    inside = {name: [rectified(one) for one in layer[name]] for name in ("body", "shortcut")}
    return {**layer, **inside, "activation": "relu"}


def linear(layer: Layer) -> Layer:
    return {**layer, "activation": "none", "formats": {"activation": "s10.5"}}


def hyperbolic(layer: Layer) -> Layer:
    return {**layer, "activation": "tanh", "formats": {"activation": "s8.7"}}


SAME = {"padding": (1, 1)}
SHORTCUT = "a shortcut without parameters, three samples an update"
LINEAR = linear(convolution(2, (1, 1)))
SIGNED = {"formats": {"activation": "s9.4"}}
NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer], dict[str, Any]]] = {
    "a convolution and the identity": (
        (4, 4, 2),
        [convolution(3, (3, 3), **SAME), residual(convolution(3, (3, 3), **SAME))],
        {"recipe": {**RECIPE, "mitigation": "lwpv+sc"}},
    ),
    "a shortcut with strides, three samples an update": (
        (6, 4, 1),
        [
            convolution(2, (3, 3), **SAME),
            residual(
                convolution(4, (3, 3), stride=(2, 2), **SAME),
                linear(convolution(4, (3, 3), **SAME)),
                shortcut=(linear(convolution(4, (1, 1), stride=(1, 1))), maximum(2, 2)),
                activation="s9.4",
            ),
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv", "accumulate": 3}},
    ),
    "one in the body and one in the shortcut of another": (
        (4, 4, 1),
        [
            convolution(2, (3, 3), **SAME),
            residual(
                linear(convolution(2, (3, 3), **SAME)),
                residual(convolution(2, (3, 3), **SAME), error="s9.6"),
                maximum(2, 2),
                shortcut=(
                    convolution(2, (1, 1)),
                    residual(hyperbolic(convolution(2, (3, 1), padding=(1, 0)))),
                    average(2, 2),
                ),
            ),
            {"outputs": 4},
        ],
        {**SIGNED, "recipe": {**RECIPE, "mitigation": "sc"}},
    ),
    SHORTCUT: (
        (6, 5, 1),
        [
            convolution(2, (3, 3), **SAME),
            residual(
                convolution(5, (3, 3), stride=(2, 2), **SAME),
                convolution(5, (3, 3), **SAME),
                shortcut=({"kind": "subsample", "stride": 2, "outputs": 5},),
            ),
            {"kind": "subsample", "stride": [1, 2], "outputs": 7},
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv", "accumulate": 3}},
    ),
    "behind the input, two in a row": (
        (3, 4, 2),
        [
            residual(convolution(2, (3, 3), **SAME)),
            rectified(residual(convolution(2, (1, 1)), linear(convolution(2, (3, 3), **SAME)))),
        ],
        {"recipe": {**RECIPE, "mitigation": "none"}},
    ),
    "ReLUs behind sums": (
        (4, 3, 1),
        [
            rectified(residual(linear(convolution(2, (3, 3), **SAME)), shortcut=(LINEAR,))),
            rectified(residual(linear(convolution(2, (1, 3), padding=(0, 1))), activation="s9.4")),
            average(2, 1),
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv+sc"}},
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    return plan(network(image, layers, **{"recipe": RECIPE, **fields}))
