"""The kinds of units in exact integers, each the twin of one in `hw.units`.

A unit that passes on what comes has `forward`, with an argument an input, and `backward`, with one
an output; each returns an array, or a tuple where there are several ports, and so does a new kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from counterflow.design.units.slotted import Slotted
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units.bce import Bce
from counterflow.golden.units.convolution import Convolution
from counterflow.golden.units.fork import Fork
from counterflow.golden.units.group_norm import GroupNorm
from counterflow.golden.units.loss import Loss
from counterflow.golden.units.mse import Mse
from counterflow.golden.units.norm import Norm
from counterflow.golden.units.pool import Pool
from counterflow.golden.units.rejoin import Rejoin
from counterflow.golden.units.split import Split
from counterflow.golden.units.state import State
from counterflow.golden.units.subsample import Subsample
from counterflow.golden.units.sum import Sum
from counterflow.golden.units.tanh import Tanh

UNITS: dict[str, Any] = {
    "convolution": Convolution,
    "norm": Norm,
    "group_norm": GroupNorm,
    "pool": Pool,
    "tanh": Tanh,
    "subsample": Subsample,
    "fork": Fork,
    "sum": Sum,
    "rejoin": Rejoin,
    "split": Split,
    "loss": Loss,
    "mse": Mse,
    "bce": Bce,
}


def state_of(stage: Slotted, arrays: Mapping[str, Integers], generator: int) -> State:
    """The state of a unit that learns, of its parameters by name."""
    state: State = UNITS[stage.unit.kind].State(**arrays, generator=generator)
    return state
