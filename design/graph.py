"""The network as a graph: units in the order of the dataflow, joined by edges.

An edge is two streams in counterflow: activations pass it forward, gradients come back.  A
description is a chain of layers, of which some hold chains of their own; `Growth` makes units and
edges of them, so that everything else asks the graph what is joined to what.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from counterflow.design.parts.fields import MAX_ELEMENTS, Frozen
from counterflow.design.parts.formats import Format
from counterflow.design.parts.geometry import Shape
from counterflow.design.parts.horizon import END_TO_END, Horizon
from counterflow.design.parts.recipe import Recipe
from counterflow.design.parts.roles import Formats, Roundings


@dataclass(frozen=True)
class Edge:
    """What joins two units: number `number`, for images of `shape`.

    ``x`` is the format of activations, ``error`` that of gradients; ``paths``: the losses, by their
    numbers, whose gradients come back (before the first units with weights nobody wants any);
    ``rectified``: activations come from a ReLU, whose derivative whoever reads them applies to the
    gradients that it sends back; ``returned``: they come before that ReLU, if there is one, and
    whoever reads them applies it as it loads them, and sends each back beside its gradient, so that
    their maker need not keep them.
    """

    number: int
    shape: Shape
    x: Format
    error: Format
    paths: tuple[int, ...]
    rectified: bool
    returned: bool = False

    @property
    def wanted(self) -> bool:
        """Whether gradients come back."""
        return bool(self.paths)

    @property
    def elements(self) -> int:
        """Elements of an image."""
        return math.prod(self.shape)


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of the graph: its `kind`, a name, edges by port, and `where` its layer stands.

    A kind says more of its units in a class of its own; see `design.units`.
    """

    kind: ClassVar[str]
    learns: ClassVar[bool] = False
    """Whether it has parameters, and lanes that move them."""

    name: str
    where: str
    inputs: tuple[Edge, ...]
    outputs: tuple[Edge, ...]
    component: int = 1
    """The component that it is of, with its body or with its head."""
    head: int = 0
    """The component behind whose body it stands, in a head; 0 for those of bodies."""
    serves: int = 0
    """The loss whose gradients alone it passes back, as a copy of a unit; 0 unless it is one."""

    @property
    def returns(self) -> bool:
        """Whether it can read an edge whose activations are `returned`."""
        return False

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return 0

    @property
    def multipliers(self) -> int:
        """Multipliers besides those of lanes."""
        return 0

    @property
    def bound(self) -> int:
        """Shortest interval between tokens, whatever its lanes: one element a cycle."""
        return max(edge.elements for edge in (*self.inputs, *self.outputs))

    def times(self, tiling: Any, recipe: Recipe) -> Any:
        """It while a schedule is made, see `design.units.scheduled.Times`.

        ``tiling`` is that of its lanes, None where it has none.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Graph:
    """Units in an order in which each stands behind all that it reads from.

    ``source`` is the edge that the intake feeds.  Every other edge has one maker, and every edge
    one reader.
    """

    source: Edge
    units: tuple[Unit, ...]

    @cached_property
    def slowest(self) -> Unit:
        """The unit that bounds the interval most, whatever the lanes."""
        return max(self.units, key=lambda unit: unit.bound)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges as their makers know them, by number."""
        made = [edge for unit in self.units for edge in unit.outputs]
        return tuple(sorted([self.source, *made], key=lambda edge: edge.number))

    @cached_property
    def _readers(self) -> dict[int, Unit]:
        return {edge.number: unit for unit in self.units for edge in unit.inputs}

    @cached_property
    def _makers(self) -> dict[int, Unit]:
        return {edge.number: unit for unit in self.units for edge in unit.outputs}

    def reader(self, edge: Edge) -> Unit:
        """The unit that `edge` leads to."""
        return self._readers[edge.number]

    def maker(self, edge: Edge) -> Unit | None:
        """The unit that `edge` comes from; None if that is the intake."""
        return self._makers.get(edge.number)

    def above(self, unit: Unit) -> Iterator[Unit]:
        """The units that read what `unit` makes."""
        return (self.reader(edge) for edge in unit.outputs)


class MisfitError(ValueError):
    """Layers that do not fit each other, in a sentence that names the layer."""


@dataclass(frozen=True)
class Place:
    """Where a layer stands: as errors say it, and as the names of its units end.

    ``scores``: the format of what it puts out if that feeds the softmax, else None;
    ``outermost``: it stands in no other layer.
    """

    where: str
    tag: str
    scores: Format | None = None
    outermost: bool = True

    def inside(self, chain: str, index: int) -> Place:
        """That of layer number `index` of the chain `chain` of this layer."""
        where, tag = f"{self.where}.{chain}[{index}]", f"{self.tag}{chain[0]}{index}"
        return Place(where, tag, outermost=False)


class Layer(Frozen):
    """A layer of a description.  Every one has a ``kind``."""

    kind: str

    @abstractmethod
    def grow(self, growth: Growth, edge: Edge, place: Place) -> Edge:
        """Add this layer's units behind `edge`; the edge behind them.

        Raises ValueError, one sentence without the layer's place, where it cannot stand there.
        """

    @property
    def named(self) -> str:
        """Its kind, with an article."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind} layer"


class Kind:
    """A kind of unit: the class of its units in the graph, and the layers that need it."""

    def __init__(self, unit: type[Unit], *layers: type[Layer]) -> None:
        self.unit, self.layers = unit, layers


class Growth:
    """A graph in the making; `formats` and `rounding` are those of the network.

    ``horizon``: what learns from which loss; ``scores``: the layer that gives the last one its
    scores; ``component``: the number of that which grows, whose units are those from number
    ``began`` on; ``paths``: the losses whose gradients pass the units that are added now; ``head``:
    that of these units, see `Unit`.
    """

    def __init__(
        self,
        formats: Formats,
        rounding: Roundings,
        horizon: Horizon = END_TO_END,
        scores: Layer | None = None,
    ) -> None:
        self.formats, self.rounding = formats, rounding
        self.horizon, self.scores = horizon, scores
        self.units: list[Unit] = []
        self.component, self.began, self.head = 1, 0, 0
        self.paths = horizon.paths(1)
        self._edges = 0

    def edge(
        self,
        shape: Shape,
        x: Format,
        error: Format,
        *,
        paths: tuple[int, ...] | None = None,
        rectified: bool,
        returned: bool = False,
    ) -> Edge:
        """A new edge, of the gradient paths of this part of the network unless `paths` says which.

        It is `returned` only where its reader can do that.
        """
        paths = self.paths if paths is None else paths
        return Edge(self.number(), shape, x, error, paths, rectified, returned)

    def graph(self, source: Edge) -> Graph:
        """All that has grown behind `source`."""
        kept = {
            edge.number
            for unit in self.units
            for edge in unit.inputs
            if edge.returned and not unit.returns
        }

        def told(edges: tuple[Edge, ...]) -> tuple[Edge, ...]:
            return tuple(
                replace(edge, returned=False) if edge.number in kept else edge for edge in edges
            )

        return Graph(
            source,
            tuple(
                replace(unit, inputs=told(unit.inputs), outputs=told(unit.outputs))
                for unit in self.units
            ),
        )

    def number(self) -> int:
        """That of a new edge."""
        self._edges += 1
        return self._edges - 1

    def add(self, unit: Unit) -> None:
        """Add a unit behind those that make its inputs."""
        self.units.append(replace(unit, component=self.component, head=self.head))

    def next_component(self) -> None:
        """What is added from now on is of the next component."""
        self.component, self.began = self.component + 1, len(self.units)
        self.paths = self.horizon.paths(self.component)

    def chain(self, layers: Sequence[Layer], edge: Edge, places: Sequence[Place]) -> Edge:
        """Add the units of `layers`, one behind the other; the edge behind them.

        Raises `MisfitError` where they do not fit each other.
        """
        for layer, place in zip(layers, places, strict=True):
            try:
                edge = layer.grow(self, edge, place)
                if edge.elements > MAX_ELEMENTS:
                    raise ValueError(
                        f"its output of {shown(edge.shape)} has {edge.elements:,} elements; at "
                        f"most {MAX_ELEMENTS:,} are possible"
                    )
            except MisfitError:
                raise
            except ValueError as error:
                raise MisfitError(f"{place.where}, {layer.named}: {error}") from None
        return edge


def shown(shape: Shape) -> str:
    """A shape for people: height x width x channels."""
    return "x".join(map(str, shape))
