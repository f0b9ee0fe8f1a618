"""Networks that are named after another one and what their components learn from.

``deep-digits-local`` is `deep-digits` in four components, of which each learns from its own loss,
``digits-resnet-local`` `digits-resnet` with a component for the first convolution and one for each
residual block.  ``tiny-local`` has four components of one small layer each, for tests.  Of
``deep-digits-pairwise`` each learns from the next one's loss, of ``tiny-threewise`` from that of
the next but one.

So ``resnet32-local``, ``resnet32-pairwise`` and ``resnet20-w4-threewise`` have a component for each
residual block, the last of which takes the rest.  ``resnet32-interlocked`` is the pairwise one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

HORIZONS: Mapping[str, int] = {"local": 1, "pairwise": 2, "threewise": 3, "interlocked": 2}

CHANGES: Mapping[str, Mapping[str, Any]] = {
    "deep-digits": {"components": [4, 4, 4, 5]},
    "digits-conv": {"components": [2, 2]},
    "digits-resnet": {"components": [1, 1, 3]},
    "fashion-resnet": {"components": "residual"},
    "cifar-resnet": {"components": "residual", "fold": {"multipliers": 100}},
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

LOCAL: Mapping[str, Mapping[str, Any]] = {
    # Delays are so short that they need no mitigation, and allow twice the rate of the whole.
    "deep-digits": {"learning_rate": 2.0**-15, "mitigation": "none"},
    "digits-resnet": {"mitigation": "none"},
}
"""What differs in the recipe where components learn from their own losses."""

BLOCKS = r"(?:digits-)?resnet[0-9]{1,9}(?:-w[0-9]{1,9})?(?:-group)?"  # with a component a block
_NAME = re.compile(rf"({'|'.join(CHANGES)}|{BLOCKS})-({'|'.join(HORIZONS)})")
SHOWN = f"{', '.join(CHANGES)}, resnet32 and its like with -local, -pairwise or -threewise"


def interlocked(name: str, named: Callable[[str], Mapping[str, Any]]) -> dict[str, Any] | None:
    """The fields of the description that `name` names, None if it is not of these.

    `named` gives those of the network with a name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    base, horizon = match[1], HORIZONS[match[2]]
    changes = CHANGES.get(base, {"components": "residual"})
    fields = {**named(base), **changes, "name": name, "interlocking": horizon}
    if horizon == 1:
        fields["recipe"] = {**fields["recipe"], **LOCAL.get(base, {})}
    return fields
