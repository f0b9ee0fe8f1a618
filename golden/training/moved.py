"""Which share of its weights a training has moved, by the units that learn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.slots import Stage
from counterflow.golden.training.models import FloatModel, IntegerModel

LEARNT = ("weight", "bias", "beta", "gamma")
"""Among what a unit remembers, what it learns."""

Weights = dict[str, NDArray[Any]]
"""All that each unit learns, in a row, by its name."""


def weights_of(model: IntegerModel | FloatModel, schedule: Schedule) -> Weights:
    """A copy of all weights, biases, betas and gammas as they are; none of what is frozen."""
    found = {}
    for index, stage in enumerate(schedule.stages):
        if isinstance(stage, NormalStage) and not stage.moving:
            continue
        if isinstance(stage, Stage) and stage.arithmetic.frozen:
            continue
        parts: list[NDArray[Any]]
        if isinstance(model, IntegerModel):
            arrays = model.chain.states[index].arrays
            parts = [arrays[name] for name in LEARNT if name in arrays]
        else:
            parts = [one.value for one in model.chain.units[index].parameters]
        found[stage.name] = np.concatenate([part.ravel() for part in parts])
    return found


def moved(before: Weights, after: Weights) -> dict[str, float]:
    """The share of each unit's weights that are not what they were."""
    return {name: float((before[name] != after[name]).mean()) for name in before}


def diverged(losses: Sequence[float]) -> str | None:
    """A sentence on a training whose loss is no number any more, if it is so."""
    first = next((at for at, loss in enumerate(losses, 1) if not math.isfinite(loss)), None)
    if first is None:
        return None
    return (
        f"The training diverged in epoch {first}: its loss is {losses[first - 1]} from there on. "
        "A lower learning rate or momentum may hold it."
    )


def standing(shares: Mapping[str, float]) -> str | None:
    """A sentence on the units of which no weight has moved, if there are such."""
    still = [name for name, share in shares.items() if not share]
    if not still:
        return None
    whose = "" if len(still) == len(shares) else f" of {', '.join(still)}"
    return (
        f"No weight{whose} has moved: what was trained there is what it began with. "
        "`counterflow profile` tells whether updates are rounded to zero."
    )
