"""A golden chain at its initial state."""

from __future__ import annotations

import numpy as np

from counterflow.design.network.description import Description
from counterflow.design.schedule.initial import initial_integers
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.units.convolution import UnitState


def initial_states(description: Description, schedule: Schedule, seed: int) -> list[UnitState]:
    """States before the first sample: initial weights, everything else zero."""
    states = []
    for weight, generator in initial_integers(description, schedule, seed):
        outputs = weight.shape[0]
        zeros = np.zeros(outputs, np.int64)
        states.append(UnitState(weight, np.zeros_like(weight), zeros, zeros.copy(), generator))
    return states


def initial_chain(description: Description, schedule: Schedule, seed: int | None = None) -> Chain:
    """A chain whose seed is the recipe's unless given."""
    chosen = description.recipe.seed if seed is None else seed
    return Chain(description, schedule, initial_states(description, schedule, chosen))
