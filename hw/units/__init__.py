"""The kinds of units in hardware, each the twin of one in `golden.units`.

A kind is made by its method `of` from a unit of a schedule.  Its members are streams named as the
ports of the graph's unit: ``x`` and ``dx`` at inputs, ``y`` and ``dy`` at outputs, with a number
where there are several.
"""

from __future__ import annotations

from typing import Any

from counterflow.hw.units.bce import Bce
from counterflow.hw.units.convolution import Convolution
from counterflow.hw.units.fork import Fork
from counterflow.hw.units.group_norm import GroupNorm
from counterflow.hw.units.loss import Loss
from counterflow.hw.units.mse import Mse
from counterflow.hw.units.norm import Norm
from counterflow.hw.units.pool import Pool
from counterflow.hw.units.rejoin import Rejoin
from counterflow.hw.units.split import Split
from counterflow.hw.units.subsample import Subsample
from counterflow.hw.units.sum import Sum
from counterflow.hw.units.tanh import Tanh

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
