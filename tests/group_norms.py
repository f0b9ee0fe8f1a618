"""Small networks with norms of groups: together they have every way that one can stand."""

from __future__ import annotations

from functools import cache
from typing import Any

from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network
from tests.images import Layer, convolution, maximum

SAME = {"padding": (1, 1)}
FORMATS = {"activation": "s12.5", "error": "s14.12", "logit": "s12.6"}
RECIPE = {"learning_rate": 2.0**-4, "momentum": 0.75}


def group_norm(group: int | None = None, **more: Any) -> Layer:
    own = {} if group is None else {"group": group}
    return {"kind": "norm", "statistics": "group", **own, **more}


def linear(outputs: int, kernel: tuple[int, int] = (3, 3), **more: Any) -> Layer:
    layer = convolution(outputs, kernel, **{**SAME, **more})
    return {**layer, "activation": "none"}


NETWORKS: dict[str, tuple[tuple[int, int, int], list[Layer], dict[str, Any]]] = {
    "one whose y comes back, one that keeps it": (
        (4, 3, 2),
        [
            linear(4),
            group_norm(2, formats={"activation": "s8.4"}),
            linear(3),
            group_norm(3),
            maximum(2, 1),
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2}},
    ),
    "behind the input, and in a residual body": (
        (4, 4, 2),
        [
            group_norm(1, activation="none"),
            linear(4),
            {
                "kind": "residual",
                "body": [group_norm(), linear(4), group_norm(4), linear(4)],
                "formats": {"activation": "s12.5", "error": "s14.12"},
            },
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv"}},
    ),
    "gammas, behind the input and between convolutions": (
        (4, 3, 2),
        [
            group_norm(1, gamma=True, activation="none"),
            linear(4),
            group_norm(2, gamma=True, formats={"activation": "s8.4"}),
            linear(3),
            group_norm(3, gamma=True),
            maximum(2, 1),
        ],
        {"recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2}},
    ),
    "a row, no mitigation, nearest": (
        (1, 9, 1),
        [
            linear(6, (1, 3), padding=(0, 1)),
            group_norm(1, formats={"activation": "s10.6"}),
            linear(2, (1, 1), padding=(0, 0)),
            group_norm(2, activation="none"),
        ],
        {
            "recipe": {**RECIPE, "mitigation": "none"},
            "rounding": {"update": "nearest-even", "error": "truncate"},
            "formats": {**FORMATS, "activation": "s16.8", "error": "s16.13"},
        },
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    return plan(network(image, layers, **{"formats": FORMATS, **fields}))
