"""--frozen: layers of a network that keep their weights while the others learn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from counterflow.commands import numerals, options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from counterflow.design.graph import Graph, Unit
    from counterflow.design.network.description import Description

option = click.option(
    "--frozen",
    "frozen_layers",
    metavar="LAYERS",
    help="Layers that keep their weights: so many with weights from the first on, as in 3, and the "
    "norms behind them, or by the names of their units in the plan, as in conv0,norm1.",
)


def with_frozen(description: Description, layers: str | None) -> Description:
    """`description` with those layers frozen, besides those that it freezes itself.

    ValueError, one sentence, where `layers` is neither a number of layers with weights nor names of
    their units, or where all would be frozen.
    """
    from counterflow.design.network.description import Description

    if layers is None:
        return description
    places = {unit.name: unit.where for unit in description.graph.units if _can_be(unit)}
    fields = {name: getattr(description, name) for name in Description.model_fields}
    changed = description.model_dump(mode="json")
    for name in _names(layers, description, tuple(places)):
        one: Any = changed
        for key, index in re.findall(r"(\w+)\[(\d+)\]", places[name]):
            one = one[key][int(index)]
        one["frozen"] = True
    both: dict[str, Any] = {name: changed[name] for name in ("layers", "head") if name in changed}
    return options.checked(Description, {**fields, **both}).found_in(description.beside)


def _can_be(unit: Unit) -> bool:
    """Whether a unit is of a layer that can be frozen."""
    from counterflow.design.units.convolution import ConvolutionUnit
    from counterflow.design.units.normal_unit import NormalUnit

    return isinstance(unit, ConvolutionUnit) or (isinstance(unit, NormalUnit) and not unit.serves)


def _names(layers: str, description: Description, known: tuple[str, ...]) -> tuple[str, ...]:
    count = numerals.whole(layers)
    if count is None:
        found = tuple(part.strip() for part in layers.split(","))
        unknown = [name for name in found if name not in known]
        if unknown:
            raise ValueError(
                f"--frozen names {unknown[0]!r}, but the layers that can be frozen are "
                f"{', '.join(known)}; give some of these, or how many from the first on"
            )
        return found
    weighted = [unit.name for unit in description.weighted]
    if not 1 <= count < len(weighted):
        raise ValueError(
            f"--frozen is {count}, but of {len(weighted)} layers with weights 1 to "
            f"{len(weighted) - 1} can be frozen"
        )
    return (*weighted[:count], *_norms_behind(description.graph, weighted[:count]))


def _norms_behind(graph: Graph, frozen: list[str]) -> Iterator[str]:
    """The norms below which nothing learns but what is `frozen`."""
    learnt: set[int] = set()  # edges behind something that learns
    for unit in graph.units:
        behind = any(edge.number in learnt for edge in unit.inputs)
        norm = _can_be(unit) and not unit.learns
        if norm and not behind:
            yield unit.name
        if behind or (unit.learns and unit.name not in frozen):
            learnt |= {edge.number for edge in unit.outputs}
