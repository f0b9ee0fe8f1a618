"""Which format of a description each number of its network is in: the layer and the role."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from counterflow.design.graph import Edge, Graph, Unit
from counterflow.design.network.description import Description
from counterflow.design.parts.formats import Format
from counterflow.design.units.convolution import ConvolutionUnit
from counterflow.design.units.losses import LossUnit
from counterflow.design.units.normal_unit import NormalUnit
from counterflow.design.units.sum import SumUnit
from counterflow.design.units.tanh import TanhUnit

NETWORK = "network"
"""In place of a layer, of formats that are all layers' together."""

ROLES = (
    *("input", "activation", "preactivation", "logit"),
    *("operand", "weight", "velocity", "update", "error"),
)
"""In the order in which tables have them; an ``update`` is what a weight is to move by, of which
the memory keeps as many fraction bits as of the weight."""


@dataclass(frozen=True)
class Home:
    """A format: its `role` in the layer at `where`, whose unit is `layer`.

    ``bounded``: by what makes the numbers; ``table``: that is the table of a tanh.
    """

    layer: str
    where: str
    role: str
    format: Format
    bounded: bool = False
    table: bool = False

    def __str__(self) -> str:
        return f"{self.role} of {self.layer}"


def in_order(description: Description, homes: Iterable[Home]) -> list[Home]:
    """`homes` as tables have them: those of the network, then by layer and role."""
    layers = [NETWORK, *(unit.name for unit in description.graph.units)]
    return sorted(homes, key=lambda one: (layers.index(one.layer), ROLES.index(one.role)))


MAKERS = (ConvolutionUnit, NormalUnit, SumUnit, TanhUnit)
"""Units whose layers have formats of their own; what all others put out has that of their input."""


class Homes:
    """Those of a network, by what passes where."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.graph: Graph = description.graph

    @cached_property
    def layers(self) -> dict[str, str]:
        """The name of the unit that stands for a layer, by where that is."""
        found: dict[str, str] = {}
        for unit in self.graph.units:
            if isinstance(unit, MAKERS):
                found.setdefault(unit.where, unit.name)
        return found

    @cached_property
    def _scores(self) -> set[int]:
        """The edges that lead to losses."""
        ends = [unit for unit in self.graph.units if isinstance(unit, LossUnit)]
        return {unit.inputs[0].number for unit in ends}

    @cached_property
    def activations(self) -> dict[int, Home]:
        """What passes each edge forward, by its number."""
        return {edge.number: self._forward(edge) for edge in self.graph.edges}

    @cached_property
    def errors(self) -> dict[int, Home]:
        """What comes back by each edge, by its number."""
        return {
            edge.number: self._of(maker, "error", edge.error)
            for edge in self.graph.edges
            if (maker := self._maker(edge)) is not None
        }

    @cached_property
    def parameters(self) -> dict[tuple[str, str], Home]:
        """What units with parameters keep, by their names and by role."""
        found = {}
        for unit in self.graph.units:
            if not isinstance(unit, ConvolutionUnit | NormalUnit):
                continue
            formats = {"weight": unit.weight, "velocity": unit.velocity, "update": unit.weight}
            if isinstance(unit, ConvolutionUnit):
                formats["operand"] = unit.operand
            for role, one in formats.items():
                found[unit.name, role] = self._of(unit, role, one)
        return found

    def _maker(self, edge: Edge) -> Unit | None:
        """The unit whose layer says in which formats an edge is; None for the network's input."""
        unit = self.graph.maker(edge)
        while unit is not None and not isinstance(unit, MAKERS):
            unit = self.graph.maker(unit.inputs[0])
        return unit

    def _of(self, unit: Unit, role: str, number: Format, table: bool = False) -> Home:
        return Home(self.layers[unit.where], unit.where, role, number, table, table)

    def _forward(self, edge: Edge) -> Home:
        maker = self._maker(edge)
        if maker is None:
            return Home(NETWORK, NETWORK, "input", edge.x, bounded=True)
        if edge.number in self._scores:
            return Home(NETWORK, NETWORK, "logit", edge.x)
        if isinstance(maker, TanhUnit):
            return self._of(maker, "activation", edge.x, table=True)
        before = isinstance(self.graph.reader(edge), TanhUnit)
        return self._of(maker, "preactivation" if before else "activation", edge.x)
