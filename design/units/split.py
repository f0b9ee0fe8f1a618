"""The split: the elements of a token in order, each branch's behind those of the one before it.

    y_0 = x[: n_0]          y_1 = x[n_0 : n_0 + n_1]          ...

It stands where samples come with their targets behind them: those go to the loss.  No gradient
passes it, since none is wanted of a sample.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import ClassVar

from counterflow.design.parts.formats import Format
from counterflow.design.units.passing import Passing, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles

LUTS: Mapping[str, tuple[float, float]] = {"ecp5": (0, 3.4), "ice40": (4, 1.8), "xc7": (5, 1.0)}
"""Those of a unit, and those for each bit of the counter of elements, of three units in Yosys."""


@dataclass(frozen=True)
class Split(Passing):
    """A split of tokens into branches of so many elements each, all in the format `x`.

    Cost: a counter; latency 0, one element a cycle.
    """

    elements: tuple[int, ...]
    x: Format

    @property
    def parts(self) -> list[slice]:
        """Which elements each branch gets."""
        return [slice(*ends) for ends in pairwise([0, *accumulate(self.elements)])]

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        return []

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        unit, bit = LUTS[family]
        return round(unit + bit * (sum(self.elements) - 1).bit_length())

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.forward`."""
        return [arrivals[0][part] for part in self.parts]

    def backward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Passing.backward`."""
        return []

    def fitted(self, traffic: Traffic) -> Split:
        """See `Passing.fitted`."""
        return self

    @property
    def returning(self) -> tuple[int, ...]:
        return (0,) * len(self.elements)


@dataclass(frozen=True, kw_only=True)
class SplitUnit(PassingUnit):
    """A split of the graph.  Ports: x; y0, y1, ..."""

    kind: ClassVar[str] = "split"

    @property
    def numbers(self) -> Split:
        """See `PassingUnit.numbers`."""
        return Split(tuple(edge.elements for edge in self.outputs), self.inputs[0].x)
