"""The fork: where a network branches, every branch gets the same activations.

    y_i = x          dx = narrow(dy_0 + dy_1 + ...)

The gradients of an element meet in the fork: those that come early wait in a queue for their
fellows, whose branch has the larger delay.  They are summed exactly and narrowed once.  Where only
one branch sends some back, because a component ends there, they pass at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import ClassVar, NamedTuple

import numpy as np

from counterflow.design.parts.formats import Format, Rounding, signed_for
from counterflow.design.units.latency import NARROW, QUEUE
from counterflow.design.units.passing import QUEUE_WORDS, Passing, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles, occupancy


class Weights(NamedTuple):
    """What LUTs go to, in a unit of queues and sums: see `queue_luts`."""

    unit: float
    bit: float
    address: float
    lut_ram: float
    flip_flop: float


LUTS: Mapping[str, Weights] = {
    "ecp5": Weights(unit=7, bit=1.5, address=8.3, lut_ram=7.3, flip_flop=0),
    "ice40": Weights(unit=37, bit=1.1, address=7.2, lut_ram=0, flip_flop=0.8),
    "xc7": Weights(unit=8, bit=1.8, address=4.2, lut_ram=2.9, flip_flop=0),
}
"""Fitted to what Yosys 0.70 made of 15 forks and sums, each of which they give within an eighth."""


def queue_luts(
    family: str, bits: int, memories: Sequence[tuple[str, int, int]], cells: tuple[int, int]
) -> int:
    """About the LUTs of a unit through which streams of `bits` in all pass.

    Its `memories` cost address bits to count; `cells` are the LUT RAMs and flip-flops among them.
    """
    places = sum((words - 1).bit_length() for _, words, _ in memories)
    counts = (1, bits, places, *cells)
    return round(sum(w * n for w, n in zip(LUTS[family], counts, strict=True)))


OLDEST = 1  # the ends of queues, which may be in block RAM, in registers
# The last of an element's fellows taken to their sum offered
JOIN = QUEUE + OLDEST + NARROW + QUEUE


def joined(arrivals: Sequence[Cycles]) -> Cycles:
    """When each element's fellows leave their queues together, given when they are taken."""
    return reduce(np.maximum, arrivals) + QUEUE


def rooms(arrivals: Sequence[Cycles], interval: int, left_over: Sequence[int]) -> tuple[int, ...]:
    """Words of the queues in which fellows wait for each other, each at least one.

    ``left_over``: of how many tokens they wait when a run ends.
    """
    leave = joined(arrivals) + 1
    return tuple(
        max(occupancy(one, leave, interval), tokens * len(one))
        for one, tokens in zip(arrivals, left_over, strict=True)
    )


@dataclass(frozen=True)
class Fork(Passing):
    """A fork of tokens of `elements` elements into `branches`, all of one format each way.

    ``wanted``: gradients come back.  ``queues``: gradients of each branch that can wait, 0 where it
    sends none back.  ``meet``: those of several branches are of one loss, and summed.
    Cost: no multiplier; latency 0 forward, JOIN back (0 from a single branch); one element a cycle
    each way.
    """

    holds: ClassVar[Mapping[str, str]] = {"dy": "skip paths", "dx": "queues"}

    elements: int
    branches: int
    x: Format
    error: Format
    round_error: Rounding
    wanted: bool
    queues: tuple[int, ...]
    meet: bool = True

    @property
    def back(self) -> tuple[int, ...]:
        """The branches that send gradients back."""
        return tuple(index for index, words in enumerate(self.queues) if words)

    @property
    def sums(self) -> bool:
        """Whether gradients of several branches meet."""
        return len(self.back) > 1 and self.meet

    @property
    def total(self) -> Format:
        """The exact sum of an element's gradients."""
        return signed_for(len(self.back) * self.error.magnitude, self.error.frac)

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        if not self.sums:
            return []
        bits = self.error.bits
        waiting = [(f"dy{index}", self.queues[index], bits) for index in self.back]
        return [*waiting, ("dx", QUEUE_WORDS, bits)]

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`; without gradients that meet it only copies."""
        bits = len(self.back) * self.error.bits if self.sums else 0
        return queue_luts(family, bits, self.memories, cells)

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        return [arrivals[0]] * self.branches

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`."""
        return [joined(arrivals) + JOIN - QUEUE if self.sums else arrivals[0]]

    def fitted(self, traffic: Traffic) -> Fork:
        """See `Passing.fitted`."""
        if not self.sums:
            return self
        found = rooms(traffic.errors, traffic.interval, traffic.left_over)
        words = dict(zip(self.back, found, strict=True))
        queues = tuple(words.get(index, 0) for index in range(self.branches))
        return replace(self, queues=queues)

    @property
    def returning(self) -> tuple[int, ...]:
        return self.queues if self.sums else (0,) * self.branches


@dataclass(frozen=True, kw_only=True)
class ForkUnit(PassingUnit):
    """A fork of the graph.  Ports: x; y0, y1, ..."""

    kind: ClassVar[str] = "fork"
    round_error: Rounding

    @property
    def numbers(self) -> Fork:
        """See `PassingUnit.numbers`."""
        edge = self.inputs[0]
        paths = [path for branch in self.outputs for path in branch.paths]
        queues = tuple(int(edge.wanted and branch.wanted) for branch in self.outputs)
        return Fork(
            elements=edge.elements,
            branches=len(self.outputs),
            x=edge.x,
            error=edge.error,
            round_error=self.round_error,
            wanted=edge.wanted,
            queues=queues,
            meet=len(set(paths)) < len(paths),
        )
