"""States of the units that learn, into the memory of `golden.fast.chain` and out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.normal_times import NormalStage
from counterflow.golden.fast.records import STATISTICS, Memory
from counterflow.golden.parts.narrow import Integers
from counterflow.golden.units import state_of
from counterflow.golden.units.state import State

BIASES = ("bias", "beta", "gamma")
"""The names of what stands among the biases, those of a unit one after the other."""


def starts(schedule: Schedule) -> list[int]:
    """Where the biases of each unit that learns stand."""
    held = [stage.initial() for stage in schedule.stages]
    counts = [sum(len(one[name]) for name in BIASES if name in one) for one in held]
    return [sum(counts[:index]) for index in range(len(counts))]


def arrays_of(held: Sequence[State]) -> dict[str, Integers]:
    """The parameters of all units one after the other, by their names in `Memory`.

    What is frozen has velocities of zero there.
    """
    found: dict[str, list[Integers]] = {
        name: [] for name in ("weight", "velocity", "bias", "bias_velocity", "statistics")
    }
    for state in held:
        arrays = state.arrays
        for name in (one for one in BIASES if one in arrays):
            found["bias"].append(arrays[name])
            found["bias_velocity"].append(arrays.get(f"{name}_velocity", 0 * arrays[name]))
        if "weight" in arrays:
            found["weight"].append(arrays["weight"].ravel())
            found["velocity"].append(arrays.get("velocity", 0 * arrays["weight"]).ravel())
        if "mean" in arrays:
            none = 0 * arrays["mean"]  # in place of what is frozen
            found["statistics"] += [arrays.get(name, none) for name in STATISTICS]
    empty = [np.zeros(0, np.int64)]
    return {name: np.concatenate(empty + parts) for name, parts in found.items()}


def states_of(schedule: Schedule, memory: Memory) -> list[State]:
    """The state of every unit, copied."""
    units, norms, states = iter(memory.units), iter(memory.norms), []
    for stage in schedule.stages:
        made = isinstance(stage, NormalStage)
        arrays = _of_norm(memory, next(norms)) if made else _of_weights(memory, next(units))
        own = {one.name: arrays[one.name] for one in stage.parameters}
        states.append(state_of(stage, own, int(memory.generator[stage.index])))
    return states


def _of_weights(memory: Memory, unit: Any) -> Mapping[str, Integers]:
    outputs, taps = int(unit["outputs"]), int(unit["taps"])
    weights = slice(unit["weights"], unit["weights"] + outputs * taps)
    biases = slice(unit["biases"], unit["biases"] + outputs)
    return {
        "weight": memory.weight[weights].astype(np.int64).reshape(outputs, taps),
        "velocity": memory.velocity[weights].astype(np.int64).reshape(outputs, taps),
        "bias": memory.bias[biases].copy(),
        "bias_velocity": memory.bias_velocity[biases].copy(),
    }


def _of_norm(memory: Memory, unit: Any) -> Mapping[str, Integers]:
    channels, start = int(unit["channels"]), int(unit["statistics"])
    names = () if unit["group"] else STATISTICS
    rows = memory.statistics[start : start + len(names) * channels].reshape(-1, channels)
    own = {name: row.copy() for name, row in zip(names, rows, strict=True)}
    learnt = {"beta": unit, "gamma": unit["gammas"]} if unit["scaled"] else {"beta": unit}
    for name, moves in learnt.items():
        found = slice(moves["biases"], moves["biases"] + channels)
        own |= {name: memory.bias[found].copy()}
        own |= {f"{name}_velocity": memory.bias_velocity[found].copy()}
    return own
