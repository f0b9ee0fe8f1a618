"""Register accesses that load a unit's state or read it back, and what the answers mean.

They come as lists of `Transfer` and as tables, one access a row, which whole networks want.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS, UnitRegister
from counterflow.design.units.slots import Stage

Integers = NDArray[np.int64]
Words = NDArray[np.uint64]


class State(Protocol):
    """What a unit with weights remembers between two samples, as
    `golden.units.convolution.UnitState`."""

    @property
    def weight(self) -> Integers: ...
    @property
    def velocity(self) -> Integers: ...
    @property
    def bias(self) -> Integers: ...
    @property
    def bias_velocity(self) -> Integers: ...
    @property
    def generator(self) -> int: ...


class Parts(NamedTuple):
    """A `State`: weights and velocities [outputs, taps], biases and theirs [outputs], generator."""

    weight: Integers
    velocity: Integers
    bias: Integers
    bias_velocity: Integers
    generator: int


class Transfer(NamedTuple):
    """One access to the register bus."""

    write: bool
    node: int
    register: int
    data: int


def load_accesses(stage: Stage, state: State) -> list[Transfer]:
    """Write weights, biases and generator of one unit."""
    return _listed(load_table(stage, state))


def read_accesses(stage: Stage) -> list[Transfer]:
    """Read weights, biases and generator of one unit."""
    return _listed(read_table(stage))


def load_table(stage: Stage, state: State) -> Integers:
    """As `load_accesses`; shape [accesses, 4], columns as `Transfer`."""
    tiling, node = stage.tiling, stage.index + 1
    parts = [_row(True, node, UnitRegister.GENERATOR, state.generator)]
    for store, weight, velocity in (
        (UnitRegister.STORE, tiling.in_tiles(state.weight), tiling.in_tiles(state.velocity)),
        (UnitRegister.STORE_BIAS, tiling.in_rows(state.bias), tiling.in_rows(state.bias_velocity)),
    ):
        words, lanes = weight.shape  # the rest of a shift register behind biases is filled up
        table = _pair_table(True, node, words, tiling.lane_count, fetches=0)
        table[:, 0 : 2 * lanes : 2, 3], table[:, 1 : 2 * lanes : 2, 3] = weight, velocity
        table[:, -1, 2], table[:, -1, 3] = store, np.arange(words)
        parts.append(table.reshape(-1, 4))
    return np.concatenate(parts)


def read_table(stage: Stage) -> Integers:
    """As `read_accesses`; shape [accesses, 4], columns as `Transfer`."""
    tiling, node = stage.tiling, stage.index + 1
    parts = [_row(False, node, UnitRegister.GENERATOR, 0)]
    for fetch, words, lanes in (
        (UnitRegister.FETCH, tiling.tiles, tiling.lane_count),
        (UnitRegister.FETCH_BIAS, tiling.rows, tiling.lanes.outputs),
    ):
        table = _pair_table(False, node, words, lanes, fetches=1)
        table[:, 0, 0], table[:, 0, 2], table[:, 0, 3] = True, fetch, np.arange(words)
        parts.append(table.reshape(-1, 4))
    return np.concatenate(parts)


def packed(table: Integers) -> Words:
    """The requests of a table as `hw.chain.Request` lays them out, write lowest."""
    write, node, register, data = table.T.astype(np.uint64)
    shifts = np.cumsum([1, NODE_BITS, REGISTER_BITS]).astype(np.uint64)
    low = np.uint64((1 << WORD_BITS) - 1)
    words: Words = write | node << shifts[0] | register << shifts[1] | (data & low) << shifts[2]
    return words


def parts(stage: Stage, words: Sequence[int] | Integers) -> Parts:
    """The state in the responses to `read_accesses`."""
    tiling, answers = stage.tiling, np.asarray(words, np.int64)
    pairs = 1 + tiling.tiles * (1 + 2 * tiling.lane_count)
    weight, velocity = _pairs(answers[1:pairs], tiling.tiles)
    bias, bias_velocity = _pairs(answers[pairs:], tiling.rows)
    outputs = tiling.outputs
    return Parts(
        tiling.from_tiles(weight),
        tiling.from_tiles(velocity),
        bias.reshape(-1)[:outputs],
        bias_velocity.reshape(-1)[:outputs],
        int(answers[0]),
    )


def _row(write: bool, node: int, register: int, data: int) -> Integers:
    return np.array([[write, node, register, data]], np.int64)


def _pair_table(write: bool, node: int, words: int, lanes: int, fetches: int) -> Integers:
    """Accesses to WEIGHT and VELOCITY of `lanes` lanes for each word, and a row before or behind.

    With `fetches` of 1 the free row is the first one, else the last.
    """
    table = np.zeros((words, 2 * lanes + 1, 4), np.int64)
    table[:, :, 0], table[:, :, 1] = write, node
    first = fetches
    table[:, first : first + 2 * lanes : 2, 2] = UnitRegister.WEIGHT
    table[:, first + 1 : first + 2 * lanes : 2, 2] = UnitRegister.VELOCITY
    return table


def _pairs(answers: Integers, words: int) -> tuple[Integers, Integers]:
    """(weights, velocities) [words, lanes]: behind each fetch's own response, signed."""
    half = 1 << (WORD_BITS - 1)
    found = (answers.reshape(words, -1)[:, 1:] + half) % (1 << WORD_BITS) - half
    return found[:, 0::2], found[:, 1::2]


def _listed(table: Integers) -> list[Transfer]:
    return [Transfer(bool(write), *rest) for write, *rest in table.tolist()]
