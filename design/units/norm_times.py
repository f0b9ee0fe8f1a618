"""A norm in time: the cycle of each event, the delay of its update, and what waits in it.

Passing tokens on takes a constant number of cycles each way.  In slot j an update follows as soon
as token j and the gradient of token j - delay have passed; tokens j + 2 and j + 2 - delay, which
see what it leaves, must not have begun before.  The delay is chosen so that they never have to wait
for that in a stall-free run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, QUEUE, SUM, UPDATE
from counterflow.design.units.normalisation import SCALE_CONTROL, SHIFT_CONTROL, Normalisation
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
ROOT = 4  # a new variance to t and h: the leading one, the octave, the table, a register

FORWARD = MEMORY + SUM + PRODUCT + SHIFT + NARROW + SUM + QUEUE  # x taken to y offered
BACKWARD = MEMORY + SUM + PRODUCT + SUM + PRODUCT + SHIFT + SUM + NARROW + QUEUE  # dy to dx

Y_QUEUE, DX_QUEUE = FORWARD + 1, BACKWARD + 1  # words: as many as are under way, and one

TOTALLED = MEMORY + SUM + PRODUCT + SUM  # the last x taken to all sums over its token known
RETURNED = MEMORY + SUM + PRODUCT + SUM + PRODUCT + SHIFT + SUM + SUM  # as TOTALLED, of the last dy
BEGIN = 2  # both known to the first channel of an update addressed
STORE = MEMORY + UPDATE + 1  # a channel addressed to its new state at the memory's write port
TABLES = STORE + ROOT  # as STORE, to what the tokens that follow see of it, written
AGAIN = 2  # the last channel written to a token that may begin

TWIN = "golden.units.norm.Norm"


def update_cycles(channels: int) -> int:
    """Cycles from both sums known to the first element of a token that sees the update."""
    return BEGIN + channels + TABLES + AGAIN


@dataclass(frozen=True)
class NormStage(Slotted):
    """A norm in the schedule.

    ``start`` is the cycle in which the first element of token 0 is taken, ``ends`` that of its
    last; ``errors`` when gradients arrive, ``gradient_times`` when they leave (None where nobody
    wants them); ``tokens`` may be between their forward and their backward pass, and so may
    ``stash_words`` elements of y if those above do not give them back (else 0).
    """

    unit: Any
    index: int
    numbers: Normalisation
    delay: int
    interval: int
    start: int
    ends: int
    tokens: int
    stash_words: int
    output_times: Cycles = field(repr=False, compare=False)
    errors: Gradients = field(repr=False, compare=False)
    gradient_times: Gradients | None = field(repr=False, compare=False)

    @property
    def empties(self) -> int:
        """See `Slotted.empties`: the update of a token's gradient is seen a slot later."""
        return self.delay + 1

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """See `Slotted.parameters`."""
        numbers = self.numbers
        formats = {
            "beta": numbers.parameters.weight,
            "beta_velocity": numbers.parameters.velocity,
            "mean": numbers.mean,
            "variance": numbers.variance,
            "scale_control": SCALE_CONTROL,
            "shift_control": SHIFT_CONTROL,
        }
        return tuple(Parameter(name, (numbers.channels,), one) for name, one in formats.items())

    def initial(self) -> dict[str, Integers]:
        """See `Slotted.initial`: a variance of one."""
        numbers, found = self.numbers, super().initial()
        one = 1 << 2 * numbers.x.frac + numbers.variance.frac
        found["variance"] += min(one, numbers.variance.max)
        return found

    @property
    def blocks(self) -> tuple[Block, ...]:
        """See `Slotted.blocks`: the parameters in twos, of all channels each."""
        return (Block(3 * self.numbers.channels, 1),)

    def to_pairs(self, state: Any) -> tuple[Pairs, ...]:
        """See `Slotted.to_pairs`."""
        values = [getattr(state, parameter.name) for parameter in self.parameters]
        first, second = (
            np.concatenate(half).reshape(-1, 1) for half in (values[::2], values[1::2])
        )
        return (Pairs(first, second),)

    def from_pairs(self, pairs: Sequence[Pairs]) -> Mapping[str, Integers]:
        """See `Slotted.from_pairs`."""
        names = [parameter.name for parameter in self.parameters]
        first, second = (half.reshape(3, -1) for half in pairs[0])
        return dict(zip(names[::2] + names[1::2], [*first, *second], strict=True))

    def updates(self, slot: int, before: int) -> int:
        """The cycle in which the update of slot number `slot` of a run addresses channel 0."""
        known = self.ends + slot * self.interval + TOTALLED
        token = slot - self.delay
        if token + before >= 0 and self.errors.pattern(token, before)[0] is not Came.BEFORE:
            came = int(self.errors.of(token, self.interval, before)[-1])
            known = max(known, came + RETURNED)
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
            *forward_borders(self.unit, [self.output_times], f"{TWIN}.forward"),
            *backward_borders(self.unit, back, f"{TWIN}.backward"),
        )

    @property
    def watched(self) -> tuple[Field, ...]:
        """See `Scheduled`: the words that it writes, too."""
        parts = [(one.name, one.number.bits) for one in self.parameters]
        return (
            *super().watched,
            *write_fields(self.name, "states", self.numbers.channels, 1, parts, f"{TWIN}.update"),
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
    def table_bits(self) -> int:
        """Bits of what a token sees of a channel: centre, root, and beta as it is and predicted."""
        numbers = self.numbers
        betas = 2 if numbers.parameters.predicts else 1
        root = numbers.root.bits + numbers.halving_bits
        return numbers.centre.bits + root + betas * numbers.beta.bits

    @property
    def kept_bits(self) -> int:
        """Bits of what the backward pass of a token needs: its kind; root and beta for dx."""
        numbers = self.numbers
        if numbers.dx is None:
            return KIND_BITS
        return numbers.root.bits + numbers.halving_bits + numbers.beta.bits + KIND_BITS

    @cached_property
    def memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of every memory, without the table of roots."""
        numbers, channels = self.numbers, self.numbers.channels
        forward = numbers.sums.bits + numbers.squares.bits
        backward = numbers.error_sum.bits
        found = [
            ("states", max(2, channels), self.state_bits),
            ("tables", 2 * channels, self.table_bits),
            ("sums", max(2, channels), forward),
            ("totals", 2 * channels, forward + numbers.centre.bits),
            ("kept", max(2, self.tokens * channels), self.kept_bits),
            ("y", Y_QUEUE, numbers.y.bits + KIND_BITS),
        ]
        if numbers.dx is not None:
            backward += numbers.product_sum.bits + numbers.gradient_sum.bits
            controls = SCALE_CONTROL.bits + SHIFT_CONTROL.bits
            found += [
                ("controls", 2 * channels, controls),
                ("dx", DX_QUEUE, numbers.dx.bits),
            ]
            if self.stash_words:
                found.append(("stash", max(2, self.stash_words), numbers.y.bits))
        found += [
            ("gradient sums", max(2, channels), backward),
            ("gradient totals", 2 * channels, backward),
        ]
        if numbers.parameters.accumulate > 1:
            found.append(("waiting", max(2, channels), numbers.parameters.gradient.bits))
        return found

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


class NormTimes(SlottedTimes):
    """A norm while a schedule is made; `numbers` gives what it computes for a delay."""

    def __init__(self, unit: Any, numbers: Callable[[int], Normalisation]) -> None:
        self.unit, self.numbers = unit, numbers
        self.arrivals: Cycles = np.zeros(0, np.int64)
        self.errors: Gradients | None = None
        self.gradients: Gradients | None = None
        self.delay = 0

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """See `Times.forward`."""
        (self.arrivals,) = arrivals
        return [self.arrivals + FORWARD]

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """See `Times.backward`; sets the delay.

        The least for which the update of a slot is over when the token two slots on begins.
        """
        self.errors = errors[0]
        known = int(self.errors.later[-1]) + RETURNED
        over = update_cycles(self.unit.inputs[0].shape[2])
        slack = int(self.arrivals[0]) + 2 * slot - over
        self.delay = max(1, self.errors.delay, math.ceil((known - slack) / slot))
        if not self.unit.inputs[0].wanted:
            return []
        self.gradients = PassedGradients(
            tuple(errors), lambda came: came[0] + BACKWARD, slot, steady
        )
        return [self.gradients]

    def scheduled(self, slot: int) -> NormStage:
        """See `Times.scheduled`."""
        assert self.errors is not None  # somebody wants the gradient of what a norm puts out
        begins, ends = int(self.arrivals[0]), int(self.arrivals[-1])
        returns = int(self.errors.later[-1])
        self._check(slot)
        kept, stashes = 0, not self.unit.outputs[0].returned
        if stashes and self.gradients is not None:
            kept = occupancy(self.arrivals, self.errors.later + 1, slot)
        return NormStage(
            unit=self.unit,
            index=self.index,
            numbers=self.numbers(self.delay),
            delay=self.delay,
            interval=slot,
            start=begins,
            ends=ends,
            # A token begins in a later cycle than another one is back.
            tokens=(returns - begins) // slot + 1,
            stash_words=kept,
            output_times=self.arrivals + FORWARD,
            errors=self.errors,
            gradient_times=self.gradients,
        )

    def _check(self, slot: int) -> None:
        """ShortSlotError where a token would have to wait for the update two slots before it.

        However a gradient may come: as the first of a run, beside what an earlier run left behind.
        One that no slot of its run is late enough for would have to wait for the next run.
        """
        errors = self.errors
        assert errors is not None
        over, shift = update_cycles(self.unit.inputs[0].shape[2]), self.delay * slot
        begins, ends = int(self.arrivals[0]), int(self.arrivals[-1]) + TOTALLED
        patterns = {errors.pattern(token, errors.delay) for token in range(-errors.delay, 1)}
        short = self.delay - errors.delay - 2
        for came in map(errors.times, patterns | {errors.pattern(0, 0)}):
            known = max(ends, int(came[-1]) + RETURNED - shift)
            short = max(short, known + over - 2 * slot - min(begins, int(came[0]) - shift))
        if short > 0:
            raise ShortSlotError(self.unit.where, slot + short)
