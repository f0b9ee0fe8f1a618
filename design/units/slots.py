"""Units with slots in time: when they start, how long a gradient takes, what waits in them.

In slot j a unit makes the forward pass of token j and the backward pass of token j - delay.  A slot
starts as soon as enough of its token has arrived never to wait in a stall-free run; the delay is
the least at which all rows find their gradient.  Both follow from arrivals, and so do all depths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from counterflow.design.graph import Unit
from counterflow.design.parts.formats import Format
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.scheduled import (
    Border,
    Gradients,
    backward_borders,
    forward_borders,
)
from counterflow.design.units.slotted import (
    Block,
    Integers,
    Pairs,
    Parameter,
    Slotted,
    Written,
)
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import (
    Cycles,
    output_offsets,
    weight_writes,
)
from counterflow.design.units.turns import (
    bias_lanes,
    bias_turns,
    bias_words,
    from_turns,
    in_turns,
)
from counterflow.design.units.watched import Field, write_fields

TWIN = "golden.units.convolution.Convolution"
PASSES = Format(False, 1, 0)  # whether a gradient may pass


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


@dataclass(frozen=True)
class Stage(Slotted):
    """A unit with slots in the schedule, number `index` of them, with weights in lanes.

    ``delay`` is D in slots of ``interval`` cycles, 0 where nothing comes back: in a frozen unit
    below all that learn; ``start`` the cycle of slot 0, ``back`` that of the slot in which token 0
    comes back; ``threshold`` the words of a token that must have arrived before its slot starts (so
    that a slot, once started, never waits in a stall-free run);
    ``gradient_times`` those of the input gradients (None in a first unit); ``asides``: what it is
    for the gradients of each loss that it does not learn from, which it passes on in its slots.
    """

    unit: Unit
    index: int
    tiling: Tiling
    arithmetic: UnitArithmetic
    delay: int
    interval: int
    start: int
    back: int
    threshold: int
    depths: Depths
    gradient_times: Gradients | None = field(repr=False, compare=False)
    asides: tuple[Stage, ...] = field(default=(), repr=False)

    @property
    def cycles(self) -> int:
        return self.tiling.cycles

    @property
    def longest(self) -> int:
        """Slots for which it keeps what it got of a token: the longest of all delays."""
        return max(self.delay, *(one.delay for one in self.asides), 0)

    @property
    def empties(self) -> int:
        """See `Slotted.empties`."""
        return self.longest

    @property
    def behind(self) -> Stage:
        """It as its gradient sees it.

        Of x a frozen unit needs a bit where that may pass, unless x goes back beside it.
        """
        return self.passing() if self.arithmetic.frozen else self

    def passing(self) -> Stage:
        """It as a gradient sees it from which its weights do not learn."""
        numbers = self.arithmetic
        return self if numbers.returns else replace(self, arithmetic=replace(numbers, x=PASSES))

    @property
    def stashes(self) -> bool:
        """Whether it keeps of x what the backward pass of its own loss needs."""
        return self.delay > 0 and (self.sees or not self.arithmetic.frozen)

    @property
    def sees(self) -> bool:
        """Whether its inputs tell where their gradients pass, or go back beside these."""
        return self.arithmetic.masks or self.arithmetic.returns

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
        """As `weight_writes`, for the biases of each row, turn by turn from its first tile on."""
        first = self.weight_writes[:: self.tiling.columns] - (self.tiling.move_turns - 1)
        return (first[:, None] + np.arange(bias_turns(self.tiling))).ravel()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it remembers between updates, besides the state of its random generator."""
        numbers = self.arithmetic
        matrix, vector = (numbers.outputs, numbers.taps), (numbers.outputs,)
        if numbers.frozen:
            return (
                Parameter("weight", matrix, numbers.weight),
                Parameter("bias", vector, numbers.weight),
            )
        return (
            Parameter("weight", matrix, numbers.weight),
            Parameter("velocity", matrix, numbers.velocity),
            Parameter("bias", vector, numbers.weight),
            Parameter("bias_velocity", vector, numbers.velocity),
        )

    @property
    def strobes(self) -> tuple[str, ...]:
        """See `Slotted.strobes`: a slot's first and last cycle."""
        return "walk.begin", "walk.finish"

    def written(self, state: Any, slot: int, before: int) -> Sequence[Written]:
        """See `Slotted.written`: all weights and biases, these turn by turn."""
        begin = self.start + slot * self.interval
        weights, biases = (np.stack(pair, axis=2) for pair in self.to_pairs(state))
        return [
            Written("weights", begin + self.weight_writes, weights.reshape(len(weights), -1)),
            Written("biases", begin + self.bias_writes, biases.reshape(len(biases), -1)),
        ]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """See `Slotted.blocks`: tiles of weights, turns of biases."""
        tiling = self.tiling
        return Block(tiling.tiles, tiling.lane_count), Block(bias_words(tiling), bias_lanes(tiling))

    def to_pairs(self, state: Any) -> tuple[Pairs, ...]:
        """See `Slotted.to_pairs`; the velocities of a frozen unit are zeros."""
        tiling = self.tiling
        weights, biases = tiling.in_tiles(state.weight), in_turns(tiling, state.bias)
        if self.arithmetic.frozen:
            return Pairs(weights, weights * 0), Pairs(biases, biases * 0)
        return (
            Pairs(weights, tiling.in_tiles(state.velocity)),
            Pairs(biases, in_turns(tiling, state.bias_velocity)),
        )

    def from_pairs(self, pairs: Sequence[Pairs]) -> Mapping[str, Integers]:
        """See `Slotted.from_pairs`."""
        tiling, (weights, biases) = self.tiling, pairs
        found = {
            "weight": tiling.from_tiles(weights.first),
            "velocity": tiling.from_tiles(weights.second),
            "bias": from_turns(tiling, biases.first),
            "bias_velocity": from_turns(tiling, biases.second),
        }
        return {one.name: found[one.name] for one in self.parameters}

    @property
    def borders(self) -> tuple[Border, ...]:
        """See `Scheduled`."""
        every = [*(one.gradient_times for one in self.asides), self.gradient_times]
        back = [one for one in every if one is not None]
        return (
            *forward_borders(self.unit, [self.output_times], f"{TWIN}.forward"),
            *backward_borders(self.unit, back, f"{TWIN}.backward"),
        )

    @property
    def watched(self) -> tuple[Field, ...]:
        """See `Scheduled`: its slots and the words that it writes, too."""
        tiling, numbers, learn = self.tiling, self.arithmetic, f"{TWIN}.learn"
        parts = [("weight", numbers.weight.bits), ("velocity", numbers.velocity.bits)]
        parts = parts[:1] if numbers.frozen else parts
        lanes, turns = tiling.lane_count, bias_words(tiling)
        return (
            *(Field(self.name, path, 1, made_by="design.schedule.build") for path in self.strobes),
            *super().watched,
            *write_fields(self.name, "weights", tiling.tiles, lanes, parts, learn),
            *write_fields(self.name, "biases", turns, bias_lanes(tiling), parts, learn),
        )

    def events(self, owner: str, member: str) -> Cycles:
        """See `Scheduled.events`."""
        if owner == "walk":
            return np.array([self.start + (0 if member == "begin" else self.cycles - 1)])
        if owner in ("weights", "biases"):
            return self.start + (self.weight_writes if owner == "weights" else self.bias_writes)
        return super().events(owner, member)

    @property
    def held(self) -> dict[str, int]:
        """See `Scheduled.held`."""
        tiling, numbers, depths = self.tiling, self.arithmetic, self.depths
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        words = tiling.tiles * tiling.lane_count + bias_words(tiling) * bias_lanes(tiling)
        found = {
            "weights": words * numbers.word_bits,
            "gradient sums": words * numbers.gradient.bits if numbers.sums_gradients else 0,
            "stash": depths.stash * wide * self.behind.arithmetic.x.bits * self.stashes,
            "windows": depths.window * wide * numbers.x.bits,
            "errors": 0,
            "input gradients": 0,
            "queues": depths.outputs * high * (numbers.y.bits + 2),
        }
        for one in (self, *self.asides):
            for what, bits in one.held_back.items():
                found[what] += bits
        for one in self.asides:
            found["stash"] += one.depths.stash * wide * one.arithmetic.x.bits * one.sees
        return found

    @property
    def held_back(self) -> dict[str, int]:
        """What is held of gradients that arrive and leave."""
        tiling, numbers, depths = self.tiling, self.arithmetic, self.depths
        row = tiling.row_words * tiling.lanes.inputs
        rows = leaving = 0
        if numbers.dx is not None:
            rows = tiling.sum_rows * row * numbers.backward_sum.bits
            leaving = depths.gradients * row * numbers.back_bits
        errors = depths.errors * tiling.lanes.outputs * numbers.dy.bits
        return {"errors": errors, "input gradients": rows, "queues": leaving}

    @property
    def memories(self) -> dict[str, int]:
        """Bits of its memories by what they hold, in fewer parts than `held`."""
        held = self.held
        return {
            "weights": held["weights"],
            "stash": held["stash"],
            "window": held["windows"] + held["errors"],
            "sums": held["gradient sums"] + held["input gradients"],
            "queues": held["queues"],
        }

    @property
    def memory_bits(self) -> int:
        return sum(self.memories.values())

    @property
    def waiting(self) -> tuple[int, ...]:
        return (self.depths.window * self.tiling.lanes.inputs,)

    @property
    def returning(self) -> tuple[int, ...]:
        every = sum(one.depths.errors for one in (self, *self.asides))
        return (every * self.tiling.lanes.outputs,)
