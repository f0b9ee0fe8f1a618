"""Making a schedule: delays, horizons, depths, interval and the cycle of every event.

Two sweeps over the graph: arrivals in the order of the dataflow, gradients against it.  Every unit
starts its slot j at cycle `start` + j * `interval` of a stall-free run, so each event
has an affine time: start + slot * interval + offset.  Delays follow from these times (the earliest
slot in which a token's gradient has arrived), and so do the depths of all buffers (the most that a
stall-free run ever holds); neither is postulated, and golden and hardware both take them from here.
Cycle 0 is the one in which the first element of the first sample is accepted.
"""

from __future__ import annotations

from counterflow.design.network.description import Description
from counterflow.design.schedule.schedule import Schedule, times_of_intake
from counterflow.design.units.latency import BORDER, QUEUE
from counterflow.design.units.scheduled import Gradients, PassedGradients, Times
from counterflow.design.units.slotted import ShortSlotError, SlottedTimes
from counterflow.design.units.tiling import Lanes, Tiling
from counterflow.design.units.timing import Cycles, slot_bound


def tilings(description: Description, lanes: tuple[Lanes, ...]) -> tuple[Tiling, ...]:
    """The tiling of every layer with weights; `ValueError` where one cannot be."""
    pairs = zip(description.weighted, lanes, strict=True)
    return tuple(unit.tiling(choice) for unit, choice in pairs)


def build_schedule(
    description: Description, lanes: tuple[Lanes, ...], interval: int | None = None
) -> Schedule:
    """The schedule of `description` folded to `lanes`, with slots of at least `interval` cycles.

    They are a little longer where a norm would otherwise have no time for its updates.
    """
    tiled = tilings(description, lanes)
    shortest = description.graph.slowest.bound
    slot = max(shortest, *(slot_bound(tiling) for tiling in tiled), interval or 0)
    while True:
        try:
            return _built(description, tiled, slot)
        except ShortSlotError as short:
            slot = short.needed


def _built(description: Description, tiled: tuple[Tiling, ...], slot: int) -> Schedule:
    """The schedule with slots of `slot` cycles."""
    graph = description.graph
    intake_start = description.elements - 1 + QUEUE
    admitted = times_of_intake(intake_start, description.elements)
    folded = iter(tiled)
    times: list[Times] = [
        unit.times(next(folded) if unit.learns else None, description.recipe)
        for unit in graph.units
    ]
    for index, slotted in enumerate(one for one in times if isinstance(one, SlottedTimes)):
        slotted.index = index
    arrivals: dict[int, Cycles] = {graph.source.number: admitted}
    for unit, one in zip(graph.units, times, strict=True):
        left = one.forward([arrivals[edge.number] + BORDER for edge in unit.inputs])
        arrivals |= {edge.number: cycles for edge, cycles in zip(unit.outputs, left, strict=True)}
    errors: dict[tuple[int, int], Gradients] = {}
    for unit, one in zip(reversed(graph.units), reversed(times), strict=True):
        came = [
            _crossed(errors[edge.number, path], slot)
            for edge in unit.outputs
            for path in edge.paths
        ]
        wanted = [(edge.number, path) for edge in unit.inputs for path in edge.paths]
        errors |= dict(zip(wanted, one.backward(came, slot), strict=True))
    return Schedule(graph, slot, intake_start, tuple(one.scheduled(slot) for one in times))


def _crossed(gradients: Gradients, slot: int) -> Gradients:
    """Those of a unit as they arrive at the one before it."""
    return PassedGradients(
        sources=(gradients,),
        unit=lambda came: came[0] + BORDER,
        interval=slot,
        followed=lambda times, interval: times,
    )
