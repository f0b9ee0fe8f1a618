"""What of the networks that can be planned can also be built: hardware has limits that plans do
not."""

from __future__ import annotations

from counterflow.design.bus.registers import NODE_BITS, UnitRegister
from counterflow.design.schedule.planner import Plan

MOST_INPUTS = 4096  # elements of a sample: its packet on the host link has 16 bits for its length
MOST_ELEMENTS = 2**16  # of an image between two layers, up to which hardware was tried


def check_buildable(design: Plan) -> None:
    """ValueError, one or two sentences, where `design` is a plan for which no hardware is made."""
    schedule = design.schedule
    if design.outside:
        raise ValueError(
            f"{design.description.name} is planned with the stash of {design.outside[0]} outside "
            "the chip, for which no hardware is made yet; plan it with every stash inside"
        )
    if schedule.graph.source.elements > MOST_INPUTS:
        raise ValueError(
            f"a sample of {schedule.graph.source.elements:,} elements can be planned, but hardware "
            f"is made for at most {MOST_INPUTS:,}"
        )
    largest = max(schedule.graph.edges, key=lambda edge: edge.elements)
    if largest.elements > MOST_ELEMENTS:
        maker = schedule.graph.maker(largest)
        raise ValueError(
            f"{maker.name if maker else 'the intake'} puts out images of {largest.elements:,} "
            f"elements, which can be planned, but hardware is made for at most {MOST_ELEMENTS:,}"
        )
    _check_registers(design)


def _check_registers(design: Plan) -> None:
    """As `check_buildable`: each unit and each of its tiles must have a number on the bus."""
    stages, nodes = design.schedule.stages, (1 << NODE_BITS) - 1
    if len(stages) > nodes:
        raise ValueError(
            f"{design.description.name} has {len(stages)} units that learn, but the register bus "
            f"has addresses for {nodes}"
        )
    tiles = (1 << UnitRegister.TILES.bits) - 1
    words = {stage.name: stage.blocks[0].words for stage in stages}
    most = max(words, key=lambda name: words[name])
    if words[most] > tiles:
        raise ValueError(
            f"{most} is folded to {words[most]:,} tiles, but its registers count at "
            f"most {tiles:,}; use more lanes"
        )
