"""--frozen: layers of a network that keep their weights while the others learn."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from counterflow.commands import numerals, options

if TYPE_CHECKING:
    from counterflow.design.network.description import Description

option = click.option(
    "--frozen",
    "frozen_layers",
    metavar="LAYERS",
    help="Layers that keep their weights: so many from the first on, as in 3, or by the names of "
    "their units in the plan, as in conv0,dense4.",
)


def with_frozen(description: Description, layers: str | None) -> Description:
    """`description` with those layers frozen, besides those that it freezes itself.

    ValueError, one sentence, where `layers` is neither a number of layers with weights nor names of
    their units, or where all would be frozen.
    """
    from counterflow.design.network.description import Description

    if layers is None:
        return description
    places = {unit.name: unit.where for unit in description.weighted}
    fields = {name: getattr(description, name) for name in Description.model_fields}
    changed = description.model_dump(mode="json")
    for name in _names(layers, tuple(places)):
        one: Any = changed
        for key, index in re.findall(r"(\w+)\[(\d+)\]", places[name]):
            one = one[key][int(index)]
        one["frozen"] = True
    both: dict[str, Any] = {name: changed[name] for name in ("layers", "head") if name in changed}
    return options.checked(Description, {**fields, **both})


def _names(layers: str, known: tuple[str, ...]) -> tuple[str, ...]:
    count = numerals.whole(layers)
    if count is None:
        found = tuple(part.strip() for part in layers.split(","))
        unknown = [name for name in found if name not in known]
        if unknown:
            raise ValueError(
                f"--frozen names {unknown[0]!r}, but the layers with weights are "
                f"{', '.join(known)}; give some of these, or how many from the first on"
            )
        return found
    if not 1 <= count < len(known):
        raise ValueError(
            f"--frozen is {count}, but of {len(known)} layers with weights 1 to {len(known) - 1} "
            "can be frozen"
        )
    return known[:count]
