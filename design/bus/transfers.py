"""Register accesses that load a unit's state or read it back, and what the answers mean.

They come as lists of `Transfer` and as tables, one access a row, which whole networks want.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS, UnitRegister
from counterflow.design.units.slotted import Integers, Pairs, Slotted

Words = NDArray[np.uint64]


class State(Protocol):
    """What a unit remembers between two samples: its parameters as attributes, and this."""

    @property
    def generator(self) -> int: ...


class Parts(NamedTuple):
    """A state as it came over the bus: parameters, which are attributes too, and the generator."""

    arrays: Mapping[str, Integers]
    generator: int

    def __getattr__(self, name: str) -> Integers:
        if name not in self.arrays:
            raise AttributeError(f"there is no {name!r} among {', '.join(self.arrays)}")
        return self.arrays[name]


STORES = (UnitRegister.STORE, UnitRegister.STORE_BIAS)
FETCHES = (UnitRegister.FETCH, UnitRegister.FETCH_BIAS)


class Transfer(NamedTuple):
    """One access to the register bus."""

    write: bool
    node: int
    register: int
    data: int


def load_accesses(stage: Slotted, state: State) -> list[Transfer]:
    """Write parameters and generator of one unit."""
    return _listed(load_table(stage, state))


def read_accesses(stage: Slotted) -> list[Transfer]:
    """Read parameters and generator of one unit."""
    return _listed(read_table(stage))


def load_table(stage: Slotted, state: State) -> Integers:
    """As `load_accesses`; shape [accesses, 4], columns as `Transfer`."""
    node = stage.index + 1
    parts = [_row(True, node, UnitRegister.GENERATOR, state.generator)]
    for store, pairs in zip(STORES, stage.to_pairs(state), strict=False):
        words, lanes = pairs.first.shape
        table = _pair_table(True, node, words, lanes, fetches=0)
        table[:, 0 : 2 * lanes : 2, 3], table[:, 1 : 2 * lanes : 2, 3] = pairs
        table[:, -1, 2], table[:, -1, 3] = store, np.arange(words)
        parts.append(table.reshape(-1, 4))
    return np.concatenate(parts)


def read_table(stage: Slotted) -> Integers:
    """As `read_accesses`; shape [accesses, 4], columns as `Transfer`."""
    node = stage.index + 1
    parts = [_row(False, node, UnitRegister.GENERATOR, 0)]
    for fetch, block in zip(FETCHES, stage.blocks, strict=False):
        table = _pair_table(False, node, block.words, block.lanes, fetches=1)
        table[:, 0, 0], table[:, 0, 2], table[:, 0, 3] = True, fetch, np.arange(block.words)
        parts.append(table.reshape(-1, 4))
    return np.concatenate(parts)


def packed(table: Integers) -> Words:
    """The requests of a table as `hw.chain.Request` lays them out, write lowest."""
    write, node, register, data = table.T.astype(np.uint64)
    shifts = np.cumsum([1, NODE_BITS, REGISTER_BITS]).astype(np.uint64)
    low = np.uint64((1 << WORD_BITS) - 1)
    words: Words = write | node << shifts[0] | register << shifts[1] | (data & low) << shifts[2]
    return words


def parts(stage: Slotted, words: Sequence[int] | Integers) -> Parts:
    """The state in the responses to `read_accesses`."""
    answers, at, found = np.asarray(words, np.int64), 1, []
    for block in stage.blocks:
        end = at + block.words * (1 + 2 * block.lanes)
        found.append(_pairs(answers[at:end], block.words))
        at = end
    return Parts(stage.from_pairs(found), int(answers[0]))


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


def _pairs(answers: Integers, words: int) -> Pairs:
    """The pairs of a block, signed: behind each fetch's own response."""
    half = 1 << (WORD_BITS - 1)
    found = (answers.reshape(words, -1)[:, 1:] + half) % (1 << WORD_BITS) - half
    return Pairs(found[:, 0::2], found[:, 1::2])


def _listed(table: Integers) -> list[Transfer]:
    return [Transfer(bool(write), *rest) for write, *rest in table.tolist()]
