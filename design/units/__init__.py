"""The kinds of units: what layers become, their numbers and their times.

A kind has a module of its own here, and one of the same name in `golden.units`,
`golden.reference.units`, `golden.fast.units` and `hw.units`.
"""

from __future__ import annotations

from counterflow.design.graph import Kind
from counterflow.design.units.bce import BceUnit
from counterflow.design.units.convolution import Convolution, ConvolutionUnit, Dense, Flatten
from counterflow.design.units.fork import ForkUnit
from counterflow.design.units.group_norm import GroupNormUnit
from counterflow.design.units.head import Head
from counterflow.design.units.loss import SoftmaxUnit
from counterflow.design.units.mse import MseUnit
from counterflow.design.units.norm import Norm, NormUnit
from counterflow.design.units.pool import Pool, PoolUnit
from counterflow.design.units.rejoin import RejoinUnit
from counterflow.design.units.residual import Residual
from counterflow.design.units.split import SplitUnit
from counterflow.design.units.subsample import Subsample, SubsampleUnit
from counterflow.design.units.sum import SumUnit
from counterflow.design.units.tanh import TanhUnit

KINDS: dict[str, Kind] = {
    "convolution": Kind(ConvolutionUnit, Dense, Convolution, Flatten),
    "norm": Kind(NormUnit, Norm),
    "group_norm": Kind(GroupNormUnit),
    "pool": Kind(PoolUnit, Pool),
    "tanh": Kind(TanhUnit),
    "subsample": Kind(SubsampleUnit, Subsample),
    "fork": Kind(ForkUnit),
    "sum": Kind(SumUnit, Residual),
    "rejoin": Kind(RejoinUnit),
    "split": Kind(SplitUnit),
    "loss": Kind(SoftmaxUnit, Head),
    "mse": Kind(MseUnit),
    "bce": Kind(BceUnit),
}
