"""Networks with norms: together they have one in every place where it can stand."""

from __future__ import annotations

import copy
import random
from typing import Any

from pydantic import ValidationError

from counterflow.design.network.description import Description
from tests.fast_pair import convolution, network, pool

Layer = dict[str, Any]
FORMATS = {"activation": "s12.5", "error": "s12.10"}
DENSE: Layer = {"outputs": 5}
SAME = {"padding": 1}


def linear(outputs: int, kernel: Any = 3, **others: Any) -> Layer:
    """A convolution whose outputs a norm can have."""
    return convolution(outputs, kernel, activation="none", **others)


def norm(activation: str = "relu", number: str = "s9.5", **more: Any) -> Layer:
    return {"kind": "norm", "activation": activation, "formats": {"activation": number}, **more}


def residual(body: list[Layer], shortcut: list[Layer]) -> Layer:
    return {"kind": "residual", "body": body, "shortcut": shortcut}


NETWORKS: dict[str, tuple[list[int], list[Layer]]] = {
    "before convolutions": (
        [8, 8, 1],
        [linear(4, **SAME), norm(), linear(3, **SAME), norm("none"), convolution(4, 2), DENSE],
    ),
    "before pools and a dense layer": (
        [8, 8, 2],
        [
            linear(5, **SAME),
            norm(),
            pool("max"),
            linear(4, **SAME),
            norm("none"),
            pool("average"),
            linear(3, 2, padding=1),
            norm(),
            {"outputs": 6},
            DENSE,
        ],
    ),
    "behind the input, and behind one another": (
        [5, 6, 3],
        [norm("none"), norm("none", "s10.4"), norm(), linear(2, 2), norm("none"), DENSE],
    ),
    "channels that fill no vector, or several": (
        [5, 5, 1],
        [linear(17, **SAME), norm(), linear(32, 1), norm(), linear(3, 4, **SAME), norm(), DENSE],
    ),
    "residual bodies": (
        [6, 6, 1],
        [
            linear(4, **SAME),
            residual([norm(), linear(4, **SAME), norm(), linear(4, **SAME)], []),
            residual(
                [norm(), linear(6, stride=2, **SAME), norm(), linear(6, **SAME)],
                [linear(6, 2, stride=2)],
            ),
            norm(),
            pool("max", 3),
            DENSE,
        ],
    ),
    "before a sum, in a shortcut, before a fork": (
        [6, 5, 2],
        [
            linear(3, **SAME),
            norm(),
            residual([linear(4, **SAME), norm("none")], [linear(4, 1), norm("none"), norm("none")]),
            residual([norm("none"), linear(4, **SAME)], [norm("none")]),
            norm(),
            DENSE,
        ],
    ),
}


def normalised(name: str, *, norms: str = "", gamma: bool = False, **fields: Any) -> Description:
    """One of `NETWORKS`; `norms`: the format of what all of its norms put out, with a `gamma`."""
    inputs, layers = copy.deepcopy(NETWORKS[name])
    for chain in _chains(layers):
        for layer in chain:
            if layer.get("kind") == "norm":
                layer["formats"] = {"activation": norms} if norms else layer["formats"]
                layer["gamma"] = gamma
    fields["formats"] = FORMATS | fields.get("formats", {})
    return network(inputs=inputs, layers=layers, **{"fold": {"multipliers": 90}, **fields})


def with_norms(description: Description, seed: int) -> Description:
    """`description` with norms in random places among those where they can stand."""
    chance = random.Random(seed)
    whole = description.model_dump(mode="json", exclude_unset=True)
    whole.pop("fold", None)
    for chain in _chains(whole["layers"]):
        for place in range(len(chain), -1, -1):
            if chance.random() < 0.3:
                continue
            before = list(chain)
            if place and chain[place - 1].get("kind") == "convolution":
                number = chance.choice(["s12.5", "s10.4", "s14.7"])
                own = {**chain[place - 1].get("formats", {}), "activation": number}
                own.pop("preactivation", None)
                chain[place - 1] = {**chain[place - 1], "activation": "none", "formats": own}
            activation, number = chance.choice(["relu", "none"]), chance.choice(NUMBERS)
            gamma = len(chain) % 2 == 0
            chain.insert(place, norm(activation, number, gamma=gamma))
            try:
                Description.model_validate(whole)
            except ValidationError:
                chain[:] = before
    return Description.model_validate(whole)


NUMBERS = ("s9.5", "s8.4", "s11.6")


def _chains(layers: list[Layer]) -> list[list[Layer]]:
    """`layers` and all chains of layers in them."""
    found = [layers]
    for layer in layers:
        for name in ("body", "shortcut"):
            found += _chains(layer[name]) if layer.get(name) else []
    return found
