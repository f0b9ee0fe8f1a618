"""A golden chain at its initial state."""

from __future__ import annotations

from counterflow.design.network.description import Description
from counterflow.design.schedule.initial import generator_states, initial_integers
from counterflow.design.schedule.schedule import Schedule
from counterflow.golden.chain import Chain
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State


def initial_states(description: Description, schedule: Schedule, seed: int) -> list[State]:
    """States before the first sample: initial weights, all else as its kind begins with."""
    weights = dict(
        zip(
            [stage.name for stage in schedule.weighted],
            initial_integers(description, schedule, seed),
            strict=True,
        )
    )
    states = []
    generators = generator_states(schedule, seed)
    for stage, generator in zip(schedule.stages, generators, strict=True):
        arrays = stage.initial()
        if stage.name in weights:
            arrays["weight"] = weights[stage.name]
        states.append(state_of(stage, arrays, generator))
    return states


def initial_chain(description: Description, schedule: Schedule, seed: int | None = None) -> Chain:
    """A chain whose seed is the recipe's unless given."""
    chosen = description.recipe.seed if seed is None else seed
    return Chain(description, schedule, initial_states(description, schedule, chosen))
