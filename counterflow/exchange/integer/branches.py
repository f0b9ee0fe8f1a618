"""Units that join and part branches, or thin images: sum, fork, rejoin, subsample."""

from __future__ import annotations

import numpy as np

from counterflow.design.units.passing import PassingStage
from counterflow.exchange.drawing import Drawing, Value
from counterflow.exchange.integer.images import gathered
from counterflow.exchange.integer.rounding import narrow, raised, rectified
from counterflow.golden.units.subsample import Subsample


def fork(drawing: Drawing, stage: PassingStage, state: None, x: Value) -> tuple[Value, ...]:
    """x for each branch."""
    return (x,) * len(stage.unit.outputs)


def rejoin(drawing: Drawing, stage: PassingStage, state: None, *x: Value) -> tuple[Value]:
    """That of the last copy."""
    return (x[-1],)


def added(drawing: Drawing, stage: PassingStage, state: None, *x: Value) -> tuple[str]:
    """The sum of all x, aligned, narrowed to y."""
    numbers = stage.numbers
    frac = numbers.total.frac
    total: Value = 0
    for one, branch in zip(x, numbers.branches, strict=True):
        total = drawing.apply("Add", raised(drawing, one, frac - branch.x.frac), total)
    if numbers.relu:
        total = rectified(drawing, total)
    return (narrow(drawing, total, frac, numbers.y, numbers.round_activation),)


def subsample(drawing: Drawing, stage: PassingStage, state: None, x: Value) -> tuple[str]:
    """The pixels that are kept, and channels of zeros."""
    elements = int(np.prod(stage.numbers.image))
    kept = Subsample(stage.numbers).forward(np.arange(elements) + 1) - 1
    return (gathered(drawing, x, kept, elements, 0),)
