"""Initial weights of a description: the same integers for the golden model and the hardware."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from counterflow.design.network.description import Description
from counterflow.design.schedule.schedule import Schedule

HEAD_PLACES = 4096  # more than a head has units that learn
HEADS = 1024  # more than a network has components
GENERATOR_SEED = 0x9E3779B9  # odd constant that spreads the units' generator states


def initial_floats(description: Description, seed: int) -> list[NDArray[np.float64]]:
    """Weight matrices [outputs, taps] in float64; biases start at zero.

    Those of a head are drawn apart, so that all others are what they are without it.

    ``he``: normal with standard deviation sqrt(2 / taps); ``orthogonal``: a random matrix with
    orthonormal rows or columns, scaled by sqrt 2; without the sqrt 2 at layers that
    have no ReLU.
    """
    sources: dict[int, np.random.Generator] = {}
    matrices = []
    for unit in description.weighted:
        if unit.head not in sources:
            own = [unit.head] if unit.head else []
            sources[unit.head] = np.random.default_rng([seed, 0, *own])
        random = sources[unit.head]
        inputs, outputs = unit.geometry.taps, unit.geometry.outputs
        gain = math.sqrt(2) if unit.outputs[0].rectified else 1.0
        matrix = random.standard_normal((outputs, inputs))
        if description.recipe.init == "orthogonal":
            tall = matrix if outputs >= inputs else matrix.T
            q, r = np.linalg.qr(tall)
            q = q * np.sign(np.diag(r))
            matrix = gain * (q if outputs >= inputs else q.T)
        else:
            matrix = gain * matrix / math.sqrt(inputs)
        matrices.append(matrix)
    return matrices


def initial_integers(
    description: Description, schedule: Schedule, seed: int
) -> list[NDArray[np.int64]]:
    """The weights of each unit that has some, in the weight format, rounded and clipped."""
    result = []
    for stage, matrix in zip(schedule.weighted, initial_floats(description, seed), strict=True):
        target = stage.arithmetic.weight
        integers = np.clip(np.rint(matrix * 2.0**target.frac), target.min, target.max)
        result.append(integers.astype(np.int64))
    return result


def generator_states(schedule: Schedule, seed: int) -> list[int]:
    """The states of the units' random generators before the first sample.

    They follow from a unit's number in the bodies, or in its head, or among the copies that serve
    a loss, and none of these counts elsewhere.
    """
    counts: dict[tuple[int, int], int] = {}
    states = []
    for stage in schedule.stages:
        apart = stage.unit.head, stage.unit.serves
        counts[apart] = counts.get(apart, 0) + 1
        place = counts[apart] + (apart[0] + apart[1] * HEADS) * HEAD_PLACES
        state = (GENERATOR_SEED * (2 * (seed + 1) + 1) * place) & 0xFFFFFFFF
        states.append(state or GENERATOR_SEED)
    return states
