"""Networks that are named after another one and what their components learn from.

``deep-digits-local`` is `deep-digits` in four components, of which each learns from its own loss,
``digits-resnet-local`` `digits-resnet` with a component for the first convolution and one for each
residual block.  ``tiny-local`` has four components of one small layer each, for tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

HORIZONS: Mapping[str, int] = {"local": 1, "pairwise": 2, "threewise": 3}

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "deep-digits": {
        "components": [4, 4, 4, 5],
        "recipe": {
            "learning_rate": 2.0**-15,  # twice that of the whole: delays are short
            "mitigation": "none",  # and need none
        },
    },
    "digits-conv": {"components": [2, 2]},
    "digits-resnet": {"components": [1, 1, 3], "recipe": {"mitigation": "none"}},
    "tiny": {
        "components": [1, 1, 1, 1],
        "layers": [
            {"outputs": 5},
            {"outputs": 5},
            {"outputs": 5},
            {"outputs": 4, "activation": "none"},
        ],
    },
}
"""What differs from the network of that name, besides the horizon."""

_NAME = re.compile(rf"^({'|'.join(CHANGES)})-({'|'.join(HORIZONS)})$")
SHOWN = f"{', '.join(CHANGES)} with -local"


def interlocked(name: str, named: Callable[[str], Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fields of the description that `name` names, None if it is not of these.

    `named` gives those of the network with a name.
    """
    match = _NAME.match(name)
    if match is None:
        return None
    fields = {**named(match[1]), "name": name, "interlocking": HORIZONS[match[2]]}
    for key, change in CHANGES[match[1]].items():
        mapping = isinstance(change, Mapping)
        fields[key] = {**fields.get(key, {}), **change} if mapping else change
    return fields
