"""Small networks with frozen layers: below all that learn, between two that do, above them."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from counterflow.design.schedule.planner import Plan, plan
from counterflow.design.units.normal_times import NormalStage
from counterflow.golden.training.start import initial_states
from counterflow.golden.units.state import State
from counterflow.sim.shapes import network
from tests.images import RECIPE, average, convolution, folded, maximum

BELOW, BETWEEN, ABOVE = "below all that learn", "between two that learn, and below", "the last ones"
TRUNK, GROUPS = "a trunk of all kinds", "a trunk with norms of groups"
FROZEN = {"frozen": True}
DENSE = {"kind": "dense", "outputs": 4}
SIGNED = {"activation": "none", "formats": {"activation": "s12.5"}}
TANH = {"activation": "tanh", "formats": {"activation": "s8.7"}}


def norm(**fields: Any) -> dict[str, Any]:
    return {"kind": "norm", **fields, **FROZEN}


def residual(body: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return {"kind": "residual", "body": body, "activation": "relu", **fields}


def inner(outputs: int, **fields: Any) -> dict[str, Any]:
    return {**convolution(outputs, (3, 3), padding=(1, 1)), **FROZEN, **fields}


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
    TRUNK: (
        (6, 4, 2),
        [
            {**convolution(3, (1, 2)), **SIGNED, **FROZEN},
            norm(),
            residual([inner(3, **SIGNED), norm(activation="none", gamma=True)]),
            residual(
                [inner(4, **TANH), maximum(2, 1)],
                shortcut=[{"kind": "subsample", "stride": [2, 1], "outputs": 4}],
            ),
            average(3, 1),
            {**DENSE, **TANH},
        ],
        {
            "fold": folded(
                (1, 2, False), (1, 3, False), (2, 3, False), (1, 4, False), (1, 2, False)
            ),
            "recipe": {**RECIPE, "mitigation": "lwpv+sc", "accumulate": 2},
        },
    ),
    GROUPS: (
        (5, 4, 2),
        [
            {**convolution(4, (1, 2)), **SIGNED, **FROZEN},
            norm(statistics="group", group=2, gamma=True),
            residual([inner(4, **SIGNED), norm(statistics="group", group=4, activation="none")]),
            {**convolution(2, (2, 2)), **SIGNED},
            {"kind": "norm", "statistics": "group", "group": 2},
        ],
        {
            "fold": folded((1, 2, False), (1, 3, False), (1, 4, False), (1, 2, False)),
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


def some_states(planned: Plan, seed: int = 3) -> tuple[State, ...]:
    """Those of a beginning, but for norms of which nothing is what it is without a training."""
    random = np.random.default_rng(seed)
    schedule = planned.schedule
    states = initial_states(planned.description, schedule, seed)
    for stage, state in zip(schedule.stages, states, strict=True):
        if isinstance(stage, NormalStage) and stage.unit.frozen:
            for one in stage.parameters:
                begins = getattr(state, one.name)  # 0, or one
                scale = begins if begins.any() else 1 << one.number.frac
                moved = begins + random.uniform(-0.7, 0.7, one.shape) * scale
                setattr(state, one.name, np.rint(moved).astype(np.int64))
    return tuple(states)
