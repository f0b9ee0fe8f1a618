"""The sum: where branches of a network meet, their activations are added.

    y = narrow(f(x_0 + x_1 + ...))       dx_i = narrow(dy), 0 where x_i comes from a ReLU and is 0

Activations that come early wait in a queue for their fellows: what a skip path holds.  The sum is
exact, passes a ReLU f if it has one (whose derivative whoever reads y applies), and is narrowed
once; a gradient is only brought to the format of its branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from counterflow.design.parts.formats import Format, Rounding, signed_for
from counterflow.design.parts.roles import Roundings
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.fork import JOIN, joined, queue_luts, rooms
from counterflow.design.units.latency import MEMORY, NARROW, QUEUE
from counterflow.design.units.passing import QUEUE_WORDS, Passing, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles, occupancy

BACKWARD = MEMORY + NARROW + QUEUE  # dy taken to dx offered


@dataclass(frozen=True)
class Branch:
    """One of the branches that meet: formats of its activations and its gradients.

    ``wanted``: gradients go back; ``masks``: they do so only where x is positive.
    """

    x: Format
    dx: Format
    wanted: bool
    masks: bool


@dataclass(frozen=True)
class Sum(Passing):
    """A sum of `branches` of tokens of `elements` elements.

    ``queues``: activations of each branch that can wait; ``stash_words``: elements that can be
    between their forward and their backward pass, of each of which a bit a masking branch is kept;
    ``relu``: the sum ends in one.  Where no branch wants gradients, none come.
    Cost: no multiplier; latency JOIN forward, BACKWARD back; one element a cycle each way.
    """

    holds: ClassVar[Mapping[str, str]] = {**Passing.holds, "x": "skip paths"}

    elements: int
    branches: tuple[Branch, ...]
    y: Format
    dy: Format
    round_activation: Rounding
    round_error: Rounding
    queues: tuple[int, ...]
    stash_words: int
    relu: bool = False

    @property
    def total(self) -> Format:
        """The exact sum of an element's activations."""
        frac = max(branch.x.frac for branch in self.branches)
        most = sum(branch.x.magnitude << frac - branch.x.frac for branch in self.branches)
        return signed_for(most, frac)

    @property
    def masks(self) -> tuple[int, ...]:
        """The branches of whose activations it is remembered where they are positive."""
        found = enumerate(self.branches)
        return tuple(index for index, branch in found if branch.masks and branch.wanted)

    @property
    def wanted(self) -> bool:
        """Whether gradients come."""
        return any(branch.wanted for branch in self.branches)

    @property
    def waiting_bits(self) -> tuple[int, ...]:
        """Bits of what waits in each queue: an activation, of the first branch with its kind."""
        first, *others = (branch.x.bits for branch in self.branches)
        return (first + KIND_BITS, *others)

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        waiting = enumerate(zip(self.queues, self.waiting_bits, strict=True))
        parts = [(f"x{index}", words, bits) for index, (words, bits) in waiting]
        parts.append(("y", QUEUE_WORDS, self.y.bits + KIND_BITS))
        if self.masks:
            parts.append(("stash", max(2, self.stash_words), len(self.masks)))
        return parts + [
            (f"dx{index}", QUEUE_WORDS, branch.dx.bits)
            for index, branch in enumerate(self.branches)
            if branch.wanted
        ]

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        bits = sum(one.x.bits + one.dx.bits * one.wanted for one in self.branches)
        return queue_luts(family, bits, self.memories, cells)

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        return [joined(arrivals) + JOIN - QUEUE]

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`."""
        return [arrivals[0] + BACKWARD for branch in self.branches if branch.wanted]

    def fitted(self, traffic: Traffic) -> Sum:
        """See `Passing.fitted`."""
        arrivals, interval = traffic.arrivals, traffic.interval
        queues, stash = rooms(arrivals, interval, [0] * len(arrivals)), 0
        if self.masks:
            stash = occupancy(joined(arrivals), traffic.errors[0] + 1, interval)
        return replace(self, queues=queues, stash_words=stash)

    @property
    def waiting(self) -> tuple[int, ...]:
        return self.queues


@dataclass(frozen=True, kw_only=True)
class SumUnit(PassingUnit):
    """A sum of the graph.  Ports: x0, x1, ...; y."""

    kind: ClassVar[str] = "sum"
    rounding: Roundings

    @property
    def numbers(self) -> Sum:
        """See `PassingUnit.numbers`."""
        y = self.outputs[0]
        return Sum(
            elements=y.elements,
            branches=tuple(
                Branch(edge.x, edge.error, edge.wanted, edge.rectified) for edge in self.inputs
            ),
            y=y.x,
            dy=y.error,
            round_activation=self.rounding.activation,
            round_error=self.rounding.error,
            queues=(1,) * len(self.inputs),
            stash_words=y.elements,
            relu=y.rectified,
        )
