"""Random walks of a design and a mutant of it side by side: which registers ever differ, and how.

What a proof takes long to find out, that some registers do differ, is often seen at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.sim.aig import Aig

LANES = 64
"""Walks at a time, one a bit of a word."""

CYCLES = 1000
CHANGE = 160  # cycles after which walks get other odds for their inputs
ODDS = (0, 2, 20, 128, 235, 253, 255)  # of 255: a bit that is high in so many cycles
OPEN = (30, 128, 250, 255, 255, 255)  # the same of valid and ready: mostly something moves
RESET = (0,) * 40 + (1,)

Words = NDArray[np.uint64]
Bits = NDArray[np.bool_]
Given = Callable[[Words], Words]


class Walked(NamedTuple):
    """Registers that differed in any walk, and by which output in which cycle one shows, if any."""

    differing: set[int]
    shown: tuple[int, int] | None


class Lanes:
    """A circuit for words of bits in place of bits: gates of one level are made together."""

    def __init__(self, aig: Aig) -> None:
        self.first = 1 + aig.inputs + aig.registers
        level = [0] * self.first
        for a, b in aig.gates:
            level.append(1 + max(level[a >> 1], level[b >> 1]))
        levels = np.array(level[self.first :], dtype=np.int64)
        order = np.argsort(levels, kind="stable")
        self._place = np.arange(len(level))
        self._place[self.first + order] = self.first + np.arange(len(order))
        gates = np.array(aig.gates, dtype=np.int64).reshape(-1, 2)[order]
        self._sources = self._place[gates >> 1]
        self._inverted = _mask(gates & 1)
        self._cuts = np.searchsorted(levels[order], np.arange(1, levels.max(initial=0) + 2))

    def values(self, start: Words) -> Words:
        """Of all nodes, for those of the inputs and registers."""
        found = np.zeros((len(self._place), start.shape[1]), dtype=np.uint64)
        found[1 : self.first] = start
        for low, high in zip(self._cuts[:-1], self._cuts[1:], strict=True):
            sources, inverted = self._sources[low:high], self._inverted[low:high]
            left = found[sources[:, 0]] ^ inverted[:, :1]
            right = found[sources[:, 1]] ^ inverted[:, 1:]
            found[self.first + low : self.first + high] = left & right
        return found

    def taken(self, values: Words, literals: Sequence[int]) -> Words:
        """What literals are among the values of all nodes."""
        several = np.array(literals, dtype=np.int64)
        taken: Words = values[self._place[several >> 1]] ^ _mask(several & 1)[:, None]
        return taken


def _mask(bits: NDArray[np.int64]) -> Words:
    return (-bits).view(np.uint64)


class Walks:
    """Inputs of `LANES` walks: ``names`` are those of the input bits, one a bit of a word.

    The last two bits of ``samples__payload`` mark the first and the last of so many ``elements``;
    in most walks they do so at the right places.
    """

    def __init__(self, names: Sequence[str], elements: int, seed: int) -> None:
        self.elements, self._random = elements, np.random.default_rng(seed)
        self._kinds = [
            RESET if name == "rst" else OPEN if name.endswith(("valid", "gate")) else ODDS
            for name in names
        ]
        self._valid = [index for index, name in enumerate(names) if name == "samples__valid"]
        self._marks = [n for n, name in enumerate(names) if name == "samples__payload"][-2:]
        self._place = np.zeros(LANES, dtype=np.int64)

    def inputs(self, cycle: int) -> Bits:
        """Of all bits, in all walks."""
        if cycle % CHANGE == 0:
            self._odds = np.array([self._random.choice(one, LANES) for one in self._kinds], "u1")
            self._marked = self._random.random(LANES) < 0.85
        found: Bits = self._random.integers(0, 255, self._odds.shape, dtype=np.uint8) < self._odds
        for bit, place in zip(self._marks, (0, self.elements - 1), strict=False):
            found[bit] = np.where(self._marked, self._place == place, found[bit])
        return found

    def took(self, inputs: Bits, ready: Bits) -> None:
        """The samples' stream was so ready in the cycle of these inputs."""
        for valid in self._valid:
            moved = inputs[valid] & ready
            self._place = (self._place + moved) % self.elements


def walked(
    aig: Aig, lanes: Lanes, walks: Walks, given: Given, seen: Sequence[int], ready: int | None
) -> Walked:
    """`CYCLES` cycles of the design and of a mutant, whose inputs ``given`` says for both.

    ``seen`` are the outputs that are compared, ``ready`` is that of the samples' stream.
    """
    state = np.zeros((aig.registers, 2), dtype=np.uint64)
    differing = np.zeros(aig.registers, dtype=bool)
    compared = [aig.outputs[index] for index in seen]
    for cycle in range(CYCLES):
        bits = walks.inputs(cycle)
        packed = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
        values = lanes.values(np.concatenate([given(packed), state]))
        outputs = lanes.taken(values, compared)
        apart = np.flatnonzero(outputs[:, 0] != outputs[:, 1])
        if len(apart):
            return Walked(set(), (seen[apart[0]], cycle))
        if ready is not None:
            word = lanes.taken(values, [aig.outputs[ready]])[:, :1]
            walks.took(bits, np.unpackbits(word.view(np.uint8), bitorder="little").astype(bool))
        state = lanes.taken(values, aig.nexts)
        differing |= state[:, 0] != state[:, 1]
    return Walked({int(index) for index in np.flatnonzero(differing)}, None)
