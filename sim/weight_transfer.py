"""Register accesses that load a unit's state or read it back, and what the answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.registers import WORD_BITS, UnitRegister
from counterflow.schedule import Stage
from golden.dense import DenseState


class Transfer(NamedTuple):
    """One access to the register bus."""

    write: bool
    node: int
    register: int
    data: int


def load_accesses(stage: Stage, state: DenseState) -> list[Transfer]:
    """Write weights, biases and generator of one unit."""
    tiling, node = stage.tiling, stage.index + 1
    accesses = [Transfer(True, node, UnitRegister.GENERATOR, state.generator)]
    weights = zip(tiling.in_tiles(state.weight), tiling.in_tiles(state.velocity), strict=True)
    biases = zip(tiling.in_rows(state.bias), tiling.in_rows(state.bias_velocity), strict=True)
    for store, words in ((UnitRegister.STORE, weights), (UnitRegister.STORE_BIAS, biases)):
        for address, (weight, velocity) in enumerate(words):
            missing = tiling.lane_count - len(weight)
            for w, v in zip([*weight, *[0] * missing], [*velocity, *[0] * missing], strict=True):
                accesses.append(Transfer(True, node, UnitRegister.WEIGHT, int(w)))
                accesses.append(Transfer(True, node, UnitRegister.VELOCITY, int(v)))
            accesses.append(Transfer(True, node, store, address))
    return accesses


def read_accesses(stage: Stage) -> list[Transfer]:
    """Read weights, biases and generator of one unit."""
    tiling, node = stage.tiling, stage.index + 1
    accesses = [Transfer(False, node, UnitRegister.GENERATOR, 0)]
    for fetch, words, lanes in (
        (UnitRegister.FETCH, tiling.tiles, tiling.lane_count),
        (UnitRegister.FETCH_BIAS, tiling.rows, tiling.lanes.outputs),
    ):
        for address in range(words):
            accesses.append(Transfer(True, node, fetch, address))
            for _ in range(lanes):
                accesses.append(Transfer(False, node, UnitRegister.WEIGHT, 0))
                accesses.append(Transfer(False, node, UnitRegister.VELOCITY, 0))
    return accesses


def decode(stage: Stage, words: Sequence[int]) -> DenseState:
    """The state in the responses to `read_accesses`."""
    tiling = stage.tiling
    answers = iter(words)
    generator = next(answers)
    weight, velocity = _pairs(answers, tiling.tiles, tiling.lane_count)
    bias, bias_velocity = _pairs(answers, tiling.rows, tiling.lanes.outputs)
    outputs = tiling.outputs
    return DenseState(
        tiling.from_tiles(weight),
        tiling.from_tiles(velocity),
        bias.reshape(-1)[:outputs],
        bias_velocity.reshape(-1)[:outputs],
        generator,
    )


def _pairs(
    answers: Iterator[int], words: int, lanes: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    found = np.zeros((words, lanes, 2), np.int64)
    for word in range(words):
        next(answers)  # the fetch's own response
        for lane in range(lanes):
            found[word, lane] = next(answers), next(answers)
    half = 1 << (WORD_BITS - 1)
    found = (found + half) % (1 << WORD_BITS) - half
    return found[:, :, 0], found[:, :, 1]
