"""The rejoin: where the copies of a unit, one for each loss, meet a unit that all losses pass.

    y = x of the last copy          dx of each copy = dy of its loss

See `design.network.copies`.  It is nothing but wires: activations of the other copies, which are
there for their own gradients alone, end here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from counterflow.design.parts.formats import Format
from counterflow.design.units.passing import Passing, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles


@dataclass(frozen=True)
class Rejoin(Passing):
    """Of tokens of `elements` elements, from so many `copies`; ``paths``: the loss of each.

    Cost: no multiplier, no memory, no logic; latency 0 and one element a cycle each way.
    """

    elements: int
    paths: tuple[int, ...]
    x: Format
    error: Format

    @property
    def copies(self) -> int:
        return len(self.paths)

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        return []

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        return 0

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        return [arrivals[-1]]

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`; of one loss, whichever it is."""
        return [arrivals[0]] * self.copies

    def fitted(self, traffic: Traffic) -> Any:
        """See `Passing.fitted`."""
        return self

    @property
    def waiting(self) -> tuple[int, ...]:
        return (0,) * self.copies


@dataclass(frozen=True, kw_only=True)
class RejoinUnit(PassingUnit):
    """A rejoin of the graph.  Ports: x0, x1, ...; y, whose gradients come by dy and dy_LOSS."""

    kind: ClassVar[str] = "rejoin"

    @property
    def numbers(self) -> Rejoin:
        """See `PassingUnit.numbers`."""
        y = self.outputs[0]
        return Rejoin(elements=y.elements, paths=y.paths, x=y.x, error=y.error)
