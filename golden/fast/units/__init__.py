"""The kinds of units as compiled loops.

A module of a kind without slots has the type of its `RECORD`, `records` that fill it for a unit,
`fits`, and the loops `forward` and `backward` of one record and one token; perhaps `tables`.
That of a loss has `record`, what a record has beside the places of scores, targets and errors.
"""

from __future__ import annotations

from types import ModuleType

from counterflow.golden.fast.units import (
    bce,
    convolution,
    fork,
    group_norm,
    loss,
    mse,
    norm,
    pool,
    rejoin,
    split,
    subsample,
    sum,
    tanh,
)

UNITS: dict[str, ModuleType] = {
    "convolution": convolution,
    "norm": norm,
    "group_norm": group_norm,
    "pool": pool,
    "tanh": tanh,
    "subsample": subsample,
    "fork": fork,
    "sum": sum,
    "rejoin": rejoin,
    "split": split,
    "loss": loss,
    "mse": mse,
    "bce": bce,
}


def passing_kinds() -> list[str]:
    """The kinds without slots, in the order in which `golden.fast.records.STEP` numbers them."""
    return [kind for kind, module in UNITS.items() if hasattr(module, "RECORD")]
