"""Small networks with frozen layers: below all that learn, between two that do, above them."""

from __future__ import annotations

from functools import cache
from typing import Any

from counterflow.design.schedule.planner import Plan, plan
from counterflow.sim.shapes import network
from tests.images import RECIPE, convolution, folded, maximum

BELOW, BETWEEN, ABOVE = "below all that learn", "between two that learn, and below", "the last ones"
FROZEN = {"frozen": True}
DENSE = {"kind": "dense", "outputs": 4}

NETWORKS: dict[str, tuple[tuple[int, int, int], list[dict[str, Any]], dict[str, Any]]] = {
    BELOW: (
        (6, 4, 2),
        [
            {**convolution(3, (3, 3), padding=(1, 1)), **FROZEN},
            maximum(2, 2),
            {**convolution(4, (2, 2), padding=(1, 1)), **FROZEN},
            {**DENSE},
        ],
        {
            "fold": folded((2, 4, False), (1, 3, True), (1, 8, False), (1, 2, False)),
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 3},
        },
    ),
    BETWEEN: (
        (5, 6, 1),
        [
            {**convolution(2, (1, 2)), **FROZEN},
            convolution(3, (2, 2)),
            {**convolution(4, (3, 2), stride=(2, 2), padding=(1, 0)), **FROZEN},
            {**DENSE, "outputs": 5},
            {**DENSE, **FROZEN},
        ],
        {
            "fold": folded(
                (1, 2, False),
                (1, 4, False),
                (2, 3, False),
                (1, 3, False),
                (1, 2, True),
                (1, 2, True),
            ),
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2},
        },
    ),
    ABOVE: (
        (4, 5, 2),
        [
            {**DENSE, **FROZEN},
            {**DENSE, "outputs": 6},
            {**DENSE, "activation": "none", "formats": {"activation": "s9.4"}, **FROZEN},
            {**DENSE, **FROZEN},
        ],
        {
            "fold": folded(*[(1, 4, False)] * 4, (1, 1, True)),
            "recipe": {**RECIPE, "mitigation": "sc"},
        },
    ),
}


@cache
def design(name: str) -> Plan:
    image, layers, fields = NETWORKS[name]
    description = network(image, layers, **fields)
    if name == ABOVE:
        *others, last = description.model_dump(mode="json")["layers"]
        whole = description.model_dump(mode="json")
        whole["layers"] = [*others, {**last, **FROZEN}]
        description = type(description).model_validate(whole)
    return plan(description)
