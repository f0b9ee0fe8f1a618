"""The components of a planned network: which loss each learns from, its delays, what waits."""

from __future__ import annotations

from dataclasses import dataclass

from counterflow.design.schedule.planner import Plan
from counterflow.design.units.scheduled import Scheduled
from counterflow.design.units.slotted import Slotted


@dataclass(frozen=True)
class Part:
    """Units that learn, of a body or of a head, in the order of the dataflow.

    ``delays`` are theirs; ``stash``: bits that wait there for their gradients, those of units
    between them included.
    """

    units: tuple[str, ...]
    delays: tuple[int, ...]
    stash: int


@dataclass(frozen=True)
class Component:
    """Component number `number`, whose body learns from loss number `loss`.

    The loss behind the last component is that of the network.  ``head`` is None where none stands
    behind the body.
    """

    number: int
    loss: int
    body: Part
    head: Part | None


def components(design: Plan) -> tuple[Component, ...]:
    """Those of a plan, in order; one where nothing cuts the network."""
    units = design.schedule.units
    found = []
    for number in sorted({unit.unit.component for unit in units}):
        own = [unit for unit in units if unit.unit.component == number]
        body = [unit for unit in own if not unit.unit.head]
        head = [unit for unit in own if unit.unit.head]
        learns = next(unit for unit in body if unit.unit.learns and unit.unit.outputs[0].wanted)
        loss = learns.unit.outputs[0].paths[-1]
        found.append(Component(number, loss, _part(body), _part(head) if head else None))
    return tuple(found)


def _part(units: list[Scheduled]) -> Part:
    learning = [unit for unit in units if isinstance(unit, Slotted)]
    return Part(
        units=tuple(unit.name for unit in learning),
        delays=tuple(unit.delay for unit in learning),
        stash=sum(unit.held.get("stash", 0) for unit in units),
    )
