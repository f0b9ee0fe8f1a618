"""Units with slots while a schedule is made: when a slot starts, and how long a gradient takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from counterflow.design.graph import Unit
from counterflow.design.units.arithmetic import UnitArithmetic
from counterflow.design.units.latency import FREE, ISSUE, QUEUE
from counterflow.design.units.scheduled import Gradients, SlotGradients, nothing
from counterflow.design.units.slots import Depths, Stage
from counterflow.design.units.slotted import SlottedTimes
from counterflow.design.units.tiling import Tiling
from counterflow.design.units.timing import (
    Cycles,
    first_of_words,
    gradient_offsets,
    last_of_words,
    needed_words,
    occupancy,
    output_offsets,
    row_queue,
    row_starts,
    rows_done,
    steady,
)


class SlotTimes(SlottedTimes):
    """A unit with slots while a schedule is made.

    `arithmetic` gives its numbers for a delay, with an input gradient or without.  The gradients of
    losses that it does not learn from pass it as another unit's with the same slots would: these
    are its ``asides``.
    """

    def __init__(
        self,
        unit: Unit,
        tiling: Tiling,
        arithmetic: Callable[[int, bool], UnitArithmetic],
    ) -> None:
        self.unit, self.tiling, self.arithmetic = unit, tiling, arithmetic
        alone = replace(tiling, first=False, asides=0)
        self.asides = [SlotTimes(unit, alone, arithmetic) for _ in range(tiling.asides)]
        self.arrivals = nothing()
        self.start = self.threshold = self.delay = self.delay_above = 0
        self.errors: Cycles = nothing()
        self.gradients: SlotGradients | None = None

    def forward(self, arrivals: Sequence[Cycles]) -> Sequence[Cycles]:
        """Start with the arrival of a word: the first that comes late enough for all others."""
        (self.arrivals,) = arrivals
        tiling = self.tiling
        ready = last_of_words(self.arrivals, tiling.geometry.image[0], tiling.lanes.inputs) + QUEUE
        words, needs = needed_words(tiling)
        trigger = int(np.searchsorted(ready, (ready[words] - needs).max()))
        self.start, self.threshold = int(ready[trigger]), trigger + 1
        for one in self.asides:
            one.arrivals, one.start, one.threshold = self.arrivals, self.start, self.threshold
        return [self.start + output_offsets(tiling)]

    def backward(self, errors: Sequence[Gradients], slot: int) -> Sequence[Gradients]:
        """Set the delay: the earliest slot whose rows find their gradient there."""
        tiling = self.tiling
        if not errors:  # it only goes forward
            return []
        *others, own = errors
        left = [
            gradients
            for one, came in zip(self.asides, others, strict=True)
            for gradients in one.backward([came], slot)
        ]
        self.errors, self.delay_above = own.later, own.delay
        came = last_of_words(self.errors, tiling.geometry.positions, tiling.lanes.outputs)
        needs = self.start + row_starts(tiling)
        self.delay = max(1, math.ceil(int((came + QUEUE - needs).max()) / slot))
        if tiling.first:
            return left
        leaves = self.start + self.delay * slot + gradient_offsets(tiling)
        self.gradients = SlotGradients(leaves, steady(leaves, slot), self.delay)
        return [*left, self.gradients]

    def scheduled(self, slot: int) -> Stage:
        """See `Times.scheduled`."""
        asides = [one.aside(slot) for one in self.asides]
        return Stage(
            unit=self.unit,
            index=self.index,
            tiling=self.tiling,
            arithmetic=self.arithmetic(self.delay, not self.tiling.first),
            delay=self.delay,
            interval=slot,
            start=self.start,
            back=self.start + self.delay * slot,
            threshold=self.threshold,
            depths=self._depths(slot),
            gradient_times=self.gradients,
            asides=tuple(asides),
        )

    def aside(self, slot: int) -> Stage:
        """The unit as the gradient of another loss sees it."""
        return self.scheduled(slot).passing()

    def _depths(self, slot: int) -> Depths:
        """What a stall-free run holds at most, and what is left over when it ends.

        In its last slot a unit has not yet got back as many tokens as its delay; those that came
        back to where its gradient comes from, wait here.
        """
        tiling, back = self.tiling, self.start + self.delay * slot
        geometry = tiling.geometry
        left_over = (self.delay - self.delay_above) * len(row_starts(tiling))
        taken = first_of_words(self.arrivals, geometry.image[0], tiling.lanes.inputs)
        rows, ends = rows_done(tiling)
        words = rows * tiling.row_words
        window = occupancy(taken, self.start + ends + FREE, slot, words)
        if not self.delay:
            return Depths(window, stash=0, errors=0, outputs=row_queue(tiling), gradients=0)
        came = last_of_words(self.errors, geometry.positions, tiling.lanes.outputs)
        used = back + row_starts(tiling) + tiling.row_cycles + ISSUE
        gradients = 0
        if self.gradients is not None:
            begins = back + np.repeat(np.append(0, ends[:-1] + 1), rows)
            lines = self.gradients.later.reshape(geometry.image[0], -1)
            gradients = occupancy(begins, lines[:, -1] + 1, slot)
        return Depths(
            window=window,
            stash=occupancy(taken, back + ends + FREE, slot, words),
            errors=max(occupancy(came, used, slot), left_over),
            outputs=row_queue(tiling),
            gradients=gradients,
        )
