"""A schedule: all units of a folded design with their times, and what follows from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from counterflow.design.graph import Edge, Graph
from counterflow.design.units.latency import INTAKE, QUEUE
from counterflow.design.units.losses import LossStage
from counterflow.design.units.normal_times import NormalStage
from counterflow.design.units.passing import PassingStage
from counterflow.design.units.scheduled import Scheduled
from counterflow.design.units.slots import Stage
from counterflow.design.units.slotted import Slotted
from counterflow.design.units.timing import Cycles


@dataclass(frozen=True)
class Waiting:
    """Elements that wait at the ends of an edge at most.

    ``activations`` wait in the unit that reads them, ``gradients`` in the one that made what they
    are of.
    """

    edge: Edge
    maker: str
    reader: str
    activations: int
    gradients: int


def times_of_intake(start: int, elements: int) -> Cycles:
    """When the elements of a token leave the intake that admits it in cycle `start`."""
    return start + INTAKE - QUEUE + np.arange(elements)


@dataclass(frozen=True)
class Schedule:
    """All times and depths of a folded design.

    ``interval`` is the slot length in cycles; ``intake_start`` the cycle in which the intake
    admits token 0, whose elements leave it in the cycles `intake_times`; ``units`` in the graph's
    order.
    """

    graph: Graph
    interval: int
    intake_start: int
    units: tuple[Scheduled, ...]

    @cached_property
    def intake_times(self) -> Cycles:
        """When the elements of token 0 leave the intake."""
        return times_of_intake(self.intake_start, self.graph.source.elements)

    @cached_property
    def stages(self) -> tuple[Slotted, ...]:
        """The units that learn: they have slots and parameters."""
        return tuple(unit for unit in self.units if isinstance(unit, Slotted))

    @cached_property
    def weighted(self) -> tuple[Stage, ...]:
        """Those of them that have weights in lanes."""
        return tuple(unit for unit in self.units if isinstance(unit, Stage))

    @cached_property
    def norms(self) -> tuple[NormalStage, ...]:
        """Those of them that normalise."""
        return tuple(unit for unit in self.units if isinstance(unit, NormalStage))

    @cached_property
    def passing(self) -> tuple[PassingStage, ...]:
        """The units that pass on what comes."""
        return tuple(unit for unit in self.units if isinstance(unit, PassingStage))

    @cached_property
    def loss(self) -> LossStage:
        """The loss of the network, the last of the units."""
        loss = self.units[-1]
        assert isinstance(loss, LossStage)
        return loss

    @cached_property
    def losses(self) -> tuple[LossStage, ...]:
        """The losses at the ends of all components that have one, that of the network last."""
        return tuple(unit for unit in self.units if isinstance(unit, LossStage))

    @cached_property
    def heads(self) -> tuple[int, ...]:
        """The numbers of the components whose heads have losses, in their order."""
        return tuple(loss.unit.head for loss in self.losses[:-1])

    @cached_property
    def by_name(self) -> dict[str, Scheduled]:
        return {unit.name: unit for unit in self.units}

    @cached_property
    def edges(self) -> tuple[Waiting, ...]:
        """What waits at each edge, by its number."""
        activations = {
            edge.number: words
            for unit in self.units
            for edge, words in zip(unit.unit.inputs, unit.waiting, strict=True)
        }
        gradients = {
            edge.number: words
            for unit in self.units
            for edge, words in zip(unit.unit.outputs, unit.returning, strict=True)
        }
        found = []
        for edge in self.graph.edges:
            maker, number = self.graph.maker(edge), edge.number
            found.append(
                Waiting(
                    edge,
                    maker.name if maker else "intake",
                    self.graph.reader(edge).name,
                    activations[number],
                    gradients.get(number, 0) if edge.wanted else 0,
                )
            )
        return tuple(found)

    @property
    def delay(self) -> int:
        """The longest delay: bubbles that empty the chain."""
        return max(stage.empties for stage in self.stages)

    @property
    def lane_multipliers(self) -> int:
        """Those that make the products of weights."""
        return sum(stage.tiling.multipliers for stage in self.weighted)

    @property
    def multipliers(self) -> int:
        """All of them: those of the lanes and those of units without weights."""
        return self.lane_multipliers + sum(unit.multipliers for unit in self.graph.units)

    @property
    def useful(self) -> int:
        """Useful products of one training sample."""
        return sum(stage.tiling.useful for stage in self.weighted)

    @property
    def utilisation(self) -> float:
        """Useful products over multipliers x cycles in the pipelined steady state, of the lanes.

        The one multiplier of a tanh is no lane: it works at the rate of a stream, whatever the
        fold, and counts neither as busy nor as idle.
        """
        return self.useful / (self.lane_multipliers * self.interval)

    def label_tokens(self, loss: LossStage) -> int:
        """Labels that wait for their logits: those of the tokens between intake and `loss`."""
        done = loss.start + int(loss.output_offsets[-1]) + 1
        return math.ceil((done - self.intake_start) / self.interval) + 2
