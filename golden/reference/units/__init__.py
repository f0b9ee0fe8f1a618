"""The kinds of units in float64: what the integers approximate.

A unit that passes on what comes has `forward` and `backward` of a token, with an argument a port;
each returns an array, or a tuple where there are several ports.  `of` makes it of a graph's unit.
"""

from __future__ import annotations

from typing import Any

from counterflow.golden.reference.units.bce import binary_cross_entropy
from counterflow.golden.reference.units.convolution import Convolution
from counterflow.golden.reference.units.fork import Fork
from counterflow.golden.reference.units.group_norm import GroupNorm
from counterflow.golden.reference.units.loss import cross_entropy
from counterflow.golden.reference.units.mse import squared_error
from counterflow.golden.reference.units.norm import Norm
from counterflow.golden.reference.units.pool import Pool
from counterflow.golden.reference.units.rejoin import Rejoin
from counterflow.golden.reference.units.split import Split
from counterflow.golden.reference.units.subsample import Subsample
from counterflow.golden.reference.units.sum import Sum
from counterflow.golden.reference.units.tanh import Tanh

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
    "loss": cross_entropy,
    "mse": squared_error,
    "bce": binary_cross_entropy,
}
