"""A norm in time, whatever its source of statistics: what it learns, and when slots are over.

In slot j token j and the gradient of token j - delay pass; an update follows as soon as both have.
Tokens j + 2 and j + 2 - delay, which see what it leaves, must not have begun before.  The delay is
chosen so that they never have to wait for that in a stall-free run.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, QUEUE, SUM, UPDATE
from counterflow.design.units.normal import Normal
from counterflow.design.units.scheduled import (
    Border,
    Came,
    Gradients,
    PassedGradients,
    backward_borders,
    forward_borders,
)
from counterflow.design.units.slotted import (
    Block,
    Integers,
    Pairs,
    Parameter,
    ShortSlotError,
    Slotted,
    SlottedTimes,
    Written,
)
from counterflow.design.units.timing import Cycles, occupancy, steady
from counterflow.design.units.watched import Field, write_fields

SHIFT = 1  # a right shift by h, rounded
SHARED = 3  # a division by a constant
ROOT = 4  # a new variance to t and h: the leading one, the octave, the table, a register

FORWARD = MEMORY + SUM + PRODUCT + SHIFT + NARROW + SUM + QUEUE  # an element read to y offered
SCALED = PRODUCT  # later with a gamma
Y_QUEUE = FORWARD + 1  # words: as many as are under way, and one

BEGIN = 2  # all sums known to the first channel of an update addressed
STORE = MEMORY + UPDATE + 1  # a channel addressed to its new state at the memory's write port
TABLES = STORE + ROOT  # as STORE, to what the tokens that follow see of it, written
AGAIN = 2  # the last channel written to a token that may begin


def update_cycles(channels: int) -> int:
    """Cycles from all sums known to the first element of a token that sees the update."""
    return BEGIN + channels + TABLES + AGAIN


@dataclass(frozen=True)
class NormalStage(Slotted):
    """A norm in the schedule.

    ``start`` is the cycle in which the first element of token 0 goes forward, ``ends`` that of its
    last; ``errors`` when gradients arrive (None where it is frozen, whose ``delay`` is 0),
    ``gradient_times`` when they leave (None where nobody wants them); ``tokens`` may be between
    their forward and their backward pass, and so may ``stash_words`` elements of y if those above
    do not give them back (else 0), or of xhat where there is a gamma.
    """

    twin: ClassVar[str]
    totalled: ClassVar[int]  # `ends` to all that an update needs of a token that goes forward
    returned: ClassVar[int]  # the last dy taken to the sums that an update needs
    weighed: ClassVar[int] = 0  # later with a gamma

    unit: Any
    index: int
    numbers: Any
    delay: int
    interval: int
    start: int
    ends: int
    tokens: int
    stash_words: int
    output_times: Cycles = field(repr=False, compare=False)
    errors: Gradients | None = field(repr=False, compare=False)
    gradient_times: Gradients | None = field(repr=False, compare=False)

    @property
    def empties(self) -> int:
        """See `Slotted.empties`: the update of a token's gradient is seen a slot later."""
        return 0 if self.unit.frozen else self.delay + 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """See `Slotted.parameters`: those of `pairs`, one after the other."""
        numbers, formats = self.numbers, dict(self.running)
        for name, (moves, _) in numbers.learnt.items():
            formats |= {name: moves.weight, f"{name}_velocity": moves.velocity}
        names = [name for pair in self.pairs for name in pair]
        return tuple(Parameter(name, (numbers.channels,), formats[name]) for name in names)

    @property
    def moving(self) -> dict[str, tuple[UnitArithmetic, Format]]:
        """What learns by the rule, as `Normal.learnt` has it: nothing where that stays."""
        found: dict[str, tuple[UnitArithmetic, Format]] = self.numbers.learnt
        return found if self.unit.moves else {}

    @property
    def running(self) -> dict[str, Format]:
        """Formats of what a kind remembers of each channel besides what it learns, by name.

        An even number of them.
        """
        return {}

    def initial(self) -> dict[str, Integers]:
        """See `Slotted.initial`: a gamma of one."""
        found = super().initial()
        if self.numbers.gammas is not None:
            found["gamma"] += 1 << self.numbers.gammas.weight.frac
        return found

    @property
    def later(self) -> int:
        """Cycles by which y leaves later for its gamma."""
        return SCALED if self.unit.gamma else 0

    @classmethod
    def returns(cls, unit: Any) -> int:
        """Cycles from the last dy taken to the sums that an update needs."""
        return cls.returned + (cls.weighed if unit.gamma else 0)

    @property
    def pairs(self) -> tuple[tuple[str, ...], ...]:
        """The names of a channel's parameters in twos: beta, what else it remembers, gamma.

        What is frozen has no velocity: on the bus a zero stands beside it.
        """
        beta, *gamma = (
            (name,) if self.unit.frozen else (name, f"{name}_velocity")
            for name in self.numbers.learnt
        )
        running = list(self.running)
        return (beta, *zip(running[::2], running[1::2], strict=True), *gamma)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """See `Slotted.blocks`: the parameters in twos, of all channels each."""
        return (Block(len(self.pairs) * self.numbers.channels, 1),)

    def to_pairs(self, state: Any) -> tuple[Pairs, ...]:
        """See `Slotted.to_pairs`."""
        first = [getattr(state, name) for name, *_ in self.pairs]
        second = [
            getattr(state, pair[1]) if len(pair) > 1 else 0 * one
            for pair, one in zip(self.pairs, first, strict=True)
        ]
        return (Pairs(*(np.concatenate(half).reshape(-1, 1) for half in (first, second))),)

    def from_pairs(self, pairs: Sequence[Pairs]) -> Mapping[str, Integers]:
        """See `Slotted.from_pairs`."""
        halves = (half.reshape(len(self.pairs), -1) for half in pairs[0])
        rows = zip(self.pairs, *halves, strict=True)
        return {name: one for pair, *both in rows for name, one in zip(pair, both, strict=False)}

    def updates(self, slot: int, before: int) -> int:
        """The cycle in which the update of slot number `slot` of a run addresses channel 0."""
        known = self.ends + slot * self.interval + self.totalled
        token = slot - self.delay
        if self.errors is None:
            return known + BEGIN
        if token + before >= 0 and self.errors.pattern(token, before)[0] is not Came.BEFORE:
            came = int(self.errors.of(token, self.interval, before)[-1])
            known = max(known, came + self.returns(self.unit))
        return known + BEGIN

    def written(self, state: Any, slot: int, before: int) -> Sequence[Written]:
        """See `Slotted.written`."""
        times = self.updates(slot, before) + STORE + np.arange(self.numbers.channels)
        values = np.stack(list(state.arrays.values()), axis=1)
        return [Written("states", times, values)]

    @property
    def borders(self) -> tuple[Border, ...]:
        """See `Scheduled`."""
        back = [] if self.gradient_times is None else [self.gradient_times]
        return (
            *forward_borders(self.unit, [self.output_times], f"{self.twin}.forward"),
            *backward_borders(self.unit, back, f"{self.twin}.backward"),
        )

    @property
    def watched(self) -> tuple[Field, ...]:
        """See `Scheduled`: the words that it writes, too."""
        parts = [(one.name, one.number.bits) for one in self.parameters]
        made_by = f"{self.twin}.update"
        return (
            *super().watched,
            *write_fields(self.name, "states", self.numbers.channels, 1, parts, made_by),
        )

    def events(self, owner: str, member: str) -> Cycles:
        """See `Scheduled.events`."""
        if owner == "states":
            return self.updates(self.delay, 0) + STORE + np.arange(self.numbers.channels)
        return super().events(owner, member)

    @property
    def state_bits(self) -> int:
        """Bits of all that a channel remembers."""
        return sum(one.number.bits for one in self.parameters)

    @property
    def beta_bits(self) -> int:
        """Bits of beta and gamma as tokens see them: as they are, and predicted."""
        numbers = self.numbers
        bits: int = sum(number.bits for _, number in numbers.learnt.values())
        return bits * (2 if numbers.parameters.predicts else 1)

    @property
    def root_bits(self) -> int:
        """Bits of t and h."""
        bits: int = self.numbers.root.bits + self.numbers.halving_bits
        return bits

    @property
    def _common_memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of those that every norm has."""
        numbers = self.numbers
        found = [
            ("states", max(2, numbers.channels), self.state_bits),
            ("y", Y_QUEUE + self.later, numbers.y.bits + KIND_BITS),
        ]
        if self.stash_words:
            found.append(("stash", max(2, self.stash_words), numbers.y.bits))
        if numbers.parameters.accumulate > 1:
            for name, (moves, _) in self.moving.items():
                what = "waiting" if name == "beta" else f"{name} waiting"
                found.append((what, max(2, numbers.channels), moves.gradient.bits))
        return found

    @property
    @abstractmethod
    def memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of every memory, without the table of roots."""

    @property
    def memory_bits(self) -> int:
        return sum(words * bits for _, words, bits in self.memories)

    @property
    def held(self) -> Mapping[str, int]:
        """See `Scheduled.held`."""
        found: dict[str, int] = {}
        for name, words, bits in self.memories:
            what = {"stash": "stash", "y": "queues", "dx": "queues"}.get(name, "norms")
            found[what] = found.get(what, 0) + words * bits
        return found

    @property
    def waiting(self) -> tuple[int, ...]:
        return (0,)

    @property
    def returning(self) -> tuple[int, ...]:
        return (0,)


class NormalTimes(SlottedTimes):
    """A norm while a schedule is made; `numbers` gives what it computes for a delay."""

    stage: ClassVar[type[NormalStage]]

    def __init__(self, unit: Any, numbers: Callable[[int], Normal]) -> None:
        self.unit, self.numbers = unit, numbers
        self.passes: Cycles = np.zeros(0, np.int64)  # when the elements of token 0 go forward
        self.errors: Gradients | None = None
        self.gradients: Gradients | None = None
        self.delay = 0
        self.leaves = FORWARD + (SCALED if unit.gamma else 0)  # an element read to y offered
        self.returned = self.stage.returns(unit)

    @abstractmethod
    def through(self, arrivals: Cycles) -> Cycles:
        """When elements go forward, given when they arrive; shapes [elements]."""

    @abstractmethod
    def back(self, arrivals: Cycles) -> Cycles:
        """When dx leaves, given when dy arrives; shapes [elements]."""

    @abstractmethod
    def over(self, later: Cycles) -> int:
        """The last cycle in which what was kept of a token is needed, given its dy's arrivals."""

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Times.forward`."""
        self.passes = self.through(arrivals[0])
        return [self.passes + self.leaves]

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """See `Times.backward`; sets the delay.

        The least for which the update of a slot is over when the token two slots on begins.
        """
        if not errors:
            return []
        self.errors = errors[0]
        known = int(self.errors.later[-1]) + self.returned
        over = update_cycles(self.unit.inputs[0].shape[2])
        slack = int(self.passes[0]) + 2 * slot - over
        self.delay = max(1, self.errors.delay, math.ceil((known - slack) / slot))
        if not self.unit.inputs[0].wanted:
            return []
        self.gradients = PassedGradients(
            tuple(errors), lambda came: self.back(came[0]), slot, steady
        )
        return [self.gradients]

    def scheduled(self, slot: int) -> NormalStage:
        """See `Times.scheduled`."""
        begins, ends = int(self.passes[0]), int(self.passes[-1])
        tokens, kept = 0, 0
        if self.errors is not None:
            self._check(slot)
            # One begins in a later cycle than another one is over.
            tokens = (self.over(self.errors.later) - begins) // slot + 1
            stashes = not self.unit.outputs[0].returned
            if stashes and (self.gradients is not None or self.unit.gamma):
                kept = occupancy(self.passes, self.errors.later + 1, slot)
        return self.stage(
            unit=self.unit,
            index=self.index,
            numbers=self.numbers(self.delay),
            delay=self.delay,
            interval=slot,
            start=begins,
            ends=ends,
            tokens=tokens,
            stash_words=kept,
            output_times=self.passes + self.leaves,
            errors=self.errors,
            gradient_times=self.gradients,
            **self.depths(slot),
        )

    def depths(self, slot: int) -> Mapping[str, int]:
        """What else a stage of this kind has room for."""
        return {}

    def _check(self, slot: int) -> None:
        """ShortSlotError where a token would have to wait for the update two slots before it.

        However a gradient may come: as the first of a run, beside what an earlier run left behind.
        One that no slot of its run is late enough for would have to wait for the next run.
        """
        errors, stage = self.errors, self.stage
        assert errors is not None
        over, shift = update_cycles(self.unit.inputs[0].shape[2]), self.delay * slot
        begins, ends = int(self.passes[0]), int(self.passes[-1]) + stage.totalled
        patterns = {errors.pattern(token, errors.delay) for token in range(-errors.delay, 1)}
        short = self.delay - errors.delay - 2
        for came in map(errors.times, patterns | {errors.pattern(0, 0)}):
            known = max(ends, int(came[-1]) + self.returned - shift)
            short = max(short, known + over - 2 * slot - min(begins, int(came[0]) - shift))
        if short > 0:
            raise ShortSlotError(self.unit.where, slot + short)
