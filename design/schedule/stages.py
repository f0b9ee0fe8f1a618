"""What a schedule says of each unit: delay, cycles of its events, depths of its buffers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from counterflow.design.units.convolution import UnitArithmetic
from counterflow.design.units.kinds import Streaming
from counterflow.design.units.latency import LOSS_FIXED
from counterflow.design.units.loss import LossArithmetic
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import Cycles, output_offsets, steady, weight_writes


@dataclass(frozen=True)
class Depths:
    """What the buffers of a unit with weights hold at most.

    ``window`` and ``stash``: words of its input, for the forward pass and for the gradient;
    ``errors``: words of arriving gradient, one for each row of tiles; ``outputs``: words of output;
    ``gradients``: rows of input gradient on their way out (0 for a first unit).
    """

    window: int
    stash: int
    errors: int
    outputs: int
    gradients: int


@dataclass(frozen=True, eq=False)
class Gradients:
    """Cycles in which the elements of a gradient pass a border.

    ``first``: those of token 0, with nothing before it; ``later``: those that token 0 would have if
    it followed others, so that token j > 0 has `later` + j * interval.
    """

    first: Cycles
    later: Cycles

    def of(self, token: int, interval: int, oldest: int = 0) -> Cycles:
        """Those of token number `token` where none comes back before token number `oldest`."""
        return (self.later if token > oldest else self.first) + token * interval

    def through(self, unit: Callable[[Cycles], Cycles], interval: int) -> Gradients:
        """Those behind a unit that makes a time of each of its outputs from those of its inputs."""
        return Gradients(unit(self.first), steady(unit(self.later), interval))


@dataclass(frozen=True)
class Stage:
    """One unit with weights in the schedule, number `index` of them.

    ``delay`` is D in slots, ``start`` the cycle of slot 0, ``back`` that of the slot in which token
    0 comes back; ``threshold`` the words of a token that must have arrived before its slot starts
    (so that a slot, once started, never waits in a stall-free run); ``gradient_times`` those of the
    input gradients (None in a first unit).
    """

    name: str
    index: int
    tiling: Tiling
    arithmetic: UnitArithmetic
    delay: int
    start: int
    back: int
    threshold: int
    depths: Depths
    gradient_times: Gradients | None = field(repr=False, compare=False)

    @property
    def cycles(self) -> int:
        return self.tiling.cycles

    @cached_property
    def output_times(self) -> Cycles:
        """Cycles in which the outputs of token 0 leave; shape [elements]."""
        return self.start + output_offsets(self.tiling)

    @cached_property
    def weight_writes(self) -> Cycles:
        """Cycle after a slot's start at which tile n's new words stand at the write port."""
        return weight_writes(self.tiling)

    @cached_property
    def bias_writes(self) -> Cycles:
        """As `weight_writes`, for the biases of each row (learnt with the row's first tile)."""
        return self.weight_writes[:: self.tiling.columns]


@dataclass(frozen=True, eq=False)
class StreamStage:
    """A unit without weights in the schedule, behind stage number `below`; it has no slots.

    ``output_times`` [outputs]: cycles in which the outputs of token 0 leave, ``gradient_times``
    [inputs] those of its gradients, as `Gradients`.
    """

    name: str
    below: int
    unit: Streaming
    output_times: Cycles
    gradient_times: Gradients

    @property
    def memory_bits(self) -> int:
        return sum(words * bits for _, words, bits in self.unit.memories)


@dataclass(frozen=True)
class LossStage:
    """The loss unit in the schedule; `start` is the cycle of token 0's last logit."""

    arithmetic: LossArithmetic
    start: int

    @cached_property
    def output_offsets(self) -> Cycles:
        """Cycle after the last logit at which error and score i leave; shape [classes]."""
        classes = self.arithmetic.classes
        return 2 * classes + LOSS_FIXED + np.arange(classes)


@dataclass(frozen=True)
class Schedule:
    """All times and depths of a folded design.

    ``interval`` is the slot length in cycles; ``intake_start`` the cycle in which the intake
    admits token 0, whose elements follow from the next cycle on.
    """

    interval: int
    intake_start: int
    stages: tuple[Stage, ...]
    streams: tuple[StreamStage, ...]
    loss: LossStage

    def streams_behind(self, stage: int) -> tuple[StreamStage, ...]:
        """The units without weights between stage number `stage` and the next, in chain order."""
        return tuple(stream for stream in self.streams if stream.below == stage)

    @property
    def delay(self) -> int:
        """Delay of the first stage: bubbles that empty the chain."""
        return self.stages[0].delay

    @property
    def lane_multipliers(self) -> int:
        """Those that make the products of weights."""
        return sum(stage.tiling.multipliers for stage in self.stages)

    @property
    def multipliers(self) -> int:
        """All of them: those of the lanes and those of units without weights."""
        return self.lane_multipliers + sum(stream.unit.multipliers for stream in self.streams)

    @property
    def useful(self) -> int:
        """Useful products of one training sample."""
        return sum(stage.tiling.useful for stage in self.stages)

    @property
    def utilisation(self) -> float:
        """Useful products over multipliers x cycles in the pipelined steady state, of the lanes.

        The one multiplier of a tanh is no lane: it works at the rate of a stream, whatever the
        fold, and counts neither as busy nor as idle.
        """
        return self.useful / (self.lane_multipliers * self.interval)

    @property
    def label_tokens(self) -> int:
        """Labels that wait for their logits: those of the tokens between intake and loss."""
        done = self.loss.start + int(self.loss.output_offsets[-1]) + 1
        return math.ceil((done - self.intake_start) / self.interval) + 2
