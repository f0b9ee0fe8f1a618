"""Units that learn: they have slots, and parameters that a host loads and reads back.

What a checkpoint holds, what the register bus carries and what a bench compares at the end follows
from `Slotted`, whatever the kind of unit.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.formats import Format
from counterflow.design.units.scheduled import Scheduled, Times
from counterflow.design.units.timing import Cycles

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Parameter:
    """An array that a unit remembers between updates: its name, shape and format."""

    name: str
    shape: tuple[int, ...]
    number: Format


class Block(NamedTuple):
    """Words of a unit that the bus loads and reads back, `lanes` pairs of numbers each."""

    words: int
    lanes: int


class Pairs(NamedTuple):
    """What is in a `Block`: the first and the second number of each pair; shapes [words, lanes]."""

    first: Integers
    second: Integers


class Written(NamedTuple):
    """Words that a bench sees a unit write: to `memory`, from its first word on.

    ``times``: the cycle of each word; ``values``: the watched parts of each, lane by lane; shapes
    [words] and [words, parts].
    """

    memory: str
    times: Cycles
    values: Integers


class ShortSlotError(ValueError):
    """Slots are too short for what a unit does between tokens; `needed` cycles may do."""

    def __init__(self, where: str, needed: int) -> None:
        super().__init__(f"{where}: its slots must have at least {needed} cycles")
        self.needed = needed


class Slotted(Scheduled):
    """A unit with slots and parameters in the schedule, number `index` of them."""

    index: int

    @property
    @abstractmethod
    def parameters(self) -> tuple[Parameter, ...]:
        """What it remembers between updates, besides the state of its random generator."""

    @property
    def remembered(self) -> tuple[str, ...]:
        """The names of all that it remembers between updates: parameters and generator."""
        return (*(parameter.name for parameter in self.parameters), "generator")

    def initial(self) -> dict[str, Integers]:
        """Its parameters before the first sample: zeros, unless a kind begins with others."""
        return {one.name: np.zeros(one.shape, np.int64) for one in self.parameters}

    @property
    def empties(self) -> int:
        """Slots behind a token's own after which nothing of the token is under way in the unit."""
        return self.delay

    @property
    def strobes(self) -> tuple[str, ...]:
        """Watched fields that are high once a slot, at the cycle that `events` says."""
        return ()

    @abstractmethod
    def written(self, state: Any, slot: int, before: int) -> Sequence[Written]:
        """What it writes where it learns in slot number `slot` of a run and has `state` then.

        The run finds an empty chain that has made `before` slots.
        """

    @property
    @abstractmethod
    def blocks(self) -> tuple[Block, ...]:
        """What the bus reaches: by FETCH and STORE, and by FETCH_BIAS and STORE_BIAS if two."""

    @abstractmethod
    def to_pairs(self, state: Any) -> tuple[Pairs, ...]:
        """The parameters of `state`, which has them as attributes, as they lie in the blocks."""

    @abstractmethod
    def from_pairs(self, pairs: Sequence[Pairs]) -> Mapping[str, Integers]:
        """The inverse of `to_pairs`: parameters by name."""


class SlottedTimes(Times):
    """A unit with slots while a schedule is made, number `index` of them."""

    index: int = 0
