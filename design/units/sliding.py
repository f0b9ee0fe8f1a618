"""Pooling over windows that overlap, leave pixels out or go beyond the image.

    max       y = largest element of the window in the image
              dx = sum of dy of the windows of which it is the first place with the largest
    average   y = round(sum / elements), zeros beyond the image
              dx = round(sum of dy of the windows that it is in / elements)

The sums are exact and narrowed once.  Forward, what is kept of windows that have begun stands in a
line of pixels and a line of columns of windows, as many windows a word as can be unfinished at
once; backward, so do their dy.  No image is kept.  See `design.units.windows` for the two walks.

Where more windows end at an edge than pixels come, x waits in a queue.  A token's walk starts when
`ahead` elements of it wait there: so many that, in a stall-free run, it is over before the next
token's walk could start, however late the last elements come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, NARROW, QUEUE, tree_latency
from counterflow.design.units.passing import QUEUE_WORDS
from counterflow.design.units.pooling import JOIN, LEAST_GRADIENTS, QUEUE_SPARE, WRITE, Pooling
from counterflow.design.units.pooling_luts import pooling_luts
from counterflow.design.units.timing import Cycles, occupancy, paced
from counterflow.design.units.windows import Windows


@dataclass(frozen=True)
class Sliding(Pooling):
    """One pooling unit whose windows lie anyhow: every `stride` pixels, from `padding` before.

    ``queue_words`` of x and ``gradient_words`` of dy can wait; ``ahead``: see above, 1 or more.
    Queue and `ahead` are there only where the walk forward has more steps than the image
    (`queued`).  Others as in `Pooling`, but for `gradient_rows`, which have no meaning.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    queue_words: int = 2
    ahead: int = 1
    waiting_words: int = LEAST_GRADIENTS

    def _check_windows(self) -> None:
        if min(self.queue_words, self.ahead, self.waiting_words) < 1:
            raise ValueError("pooling: queue_words, ahead and waiting_words must be positive")
        _ = self.windows

    @cached_property
    def windows(self) -> Windows:
        """See `Pooling.windows`."""
        shape = (self.height, self.width, self.channels)
        return Windows.of(shape, self.kernel, self.stride, self.padding)

    # ---- sizes ---------------------------------------------------------------------------------

    @property
    def queued(self) -> bool:
        """Whether x waits in a queue."""
        return self.windows.steps > self.inputs

    @property
    def gradient_bits(self) -> int:
        """Bits of what is kept of a window that dy came for: dy, and the place of a maximum."""
        return self.dy.bits + self.place_bits

    @property
    def column_bits(self) -> int:
        """Bits of what is kept of a column of windows: the sum of their dy, or all of them."""
        if self.average:
            return self.dy.bits + (self.windows.down.overlap - 1).bit_length()
        return self.windows.down.overlap * self.gradient_bits

    @property
    def gradient_words(self) -> int:
        """Words of dy that can wait."""
        return max(self.waiting_words, LEAST_GRADIENTS)

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """See `Passing.memories`."""
        down, across = self.windows.down, self.windows.across
        pixels, columns = max(2, self.channels), max(2, self.row_words)
        found = []
        if self.queued:
            found.append(("x", self.queue_words, self.x.bits + KIND_BITS))
        lines = [
            ("pixel", pixels, across.kept * self.partial_bits),
            ("row", columns, down.kept * self.partial_bits),
        ]
        if self.wanted:
            lines += [
                ("gradient pixel", pixels, across.kept_back * self.column_bits),
                ("gradient row", columns, down.kept_back * self.gradient_bits),
            ]
        found += [line for line in lines if line[2]]
        if self.stash_words:
            words = max(2, self.stash_words)
            found.append(("stash", words, self.stash_bits // self.stash_words))
        if self.wanted:
            found.append(("gradients", self.gradient_words, self.gradient_bits))
        found.append(("y", self.y_words, self.x.bits + KIND_BITS))
        if self.wanted:
            found.append(("dx", self.dx_words, self.dx.bits))
        return found

    @property
    def joined_bits(self) -> int:
        """See `Pooling.joined_bits`."""
        windows = self.windows.down.overlap + self.windows.across.overlap
        forward = windows * self.partial_bits
        if not self.wanted:
            return forward
        return forward + windows * self.dy.bits + self.candidates * self.gradient_bits

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        return pooling_luts(family, self.joined_bits, self.divisions, self.memories, cells)

    @property
    def waiting(self) -> tuple[int, ...]:
        return (self.queue_words if self.queued else 0,)

    # ---- latencies -----------------------------------------------------------------------------

    @property
    def column_latency(self) -> int:
        """Cycles from the words of a column of windows to what is kept of it."""
        return max(JOIN, tree_latency(self.windows.down.overlap)) if self.average else JOIN

    @property
    def candidates(self) -> int:
        """What is added for an element of dx."""
        return self.windows.across.overlap if self.average else self.overlaps

    @property
    def summing(self) -> int:
        """Cycles from the columns that an element is in to the sum of its dy."""
        return max(JOIN, tree_latency(self.candidates))

    @property
    def step_latency(self) -> int:
        """Cycles from a step back to its dx."""
        inside = self.column_latency + self.summing + self.sharing
        return MEMORY + inside + NARROW + QUEUE

    @property
    def backward_latency(self) -> int:
        """See `Pooling.backward_latency`."""
        return MEMORY + WRITE + self.step_latency

    @property
    def dx_words(self) -> int:
        """Words of the queue of dx."""
        return max(QUEUE_WORDS, self.step_latency + QUEUE_SPARE)

    @property
    def interval(self) -> int:
        """Shortest spacing of tokens in cycles: a step each cycle, forward and back."""
        return max(self.windows.steps, self.windows.steps_back if self.wanted else 0)

    # ---- times ---------------------------------------------------------------------------------

    def steps_of(self, arrivals: Cycles) -> Cycles:
        """Cycle of each step forward, given that in which each x of the token was taken."""
        if not self.queued:
            return arrivals
        earliest = np.full(self.windows.steps, arrivals[0] + QUEUE)
        earliest[self.windows.taken] = arrivals + QUEUE
        earliest[0] += arrivals[self.ahead_of(arrivals) - 1] - arrivals[0]
        return paced(earliest)

    def ahead_of(self, arrivals: Cycles) -> int:
        """Elements that must wait before the walk starts, if every token's x arrive like these."""
        earliest = np.full(self.windows.steps, arrivals[0] + QUEUE)
        earliest[self.windows.taken] = arrivals + QUEUE
        interval = max(self.interval, int(arrivals[-1] - arrivals[0]) + 1)
        start = int(paced(earliest)[-1]) + 1 - interval
        return int(np.searchsorted(arrivals + QUEUE, start)) + 1

    def output_times(self, arrivals: Cycles) -> Cycles:
        """See `Pooling.output_times`."""
        times: Cycles = self.steps_of(arrivals)[self.windows.ended] + self.forward_latency
        return times

    def steps_back_of(self, arrivals: Cycles) -> Cycles:
        """Cycle of each step back, given that in which each dy of the token was taken."""
        earliest = np.full(self.windows.steps_back, arrivals[0])
        earliest[self.windows.begun] = arrivals + MEMORY + WRITE
        return paced(earliest)

    def gradient_times(self, arrivals: Cycles) -> Cycles:
        """See `Pooling.gradient_times`."""
        times: Cycles = self.steps_back_of(arrivals)[self.windows.given] + self.step_latency
        return times

    def followed(self, times: Cycles, interval: int) -> Cycles:
        """See `Passing.followed`: there are steps without dx before a row."""
        first = times[-1] - interval + 1 - (self.windows.steps_back - 1)
        found: Cycles = np.maximum(times, first + self.windows.given)
        return found

    def _followed_steps(self, arrivals: Cycles, interval: int) -> Cycles:
        """Cycles of the steps back of a token that follows another."""
        steps = self.steps_back_of(arrivals)
        found: Cycles = np.maximum(steps, steps[-1] - interval + 1 + np.arange(len(steps)))
        return found

    def gradient_interval(self, arrivals: Cycles) -> int:
        """See `Pooling.gradient_interval`."""
        steps = self.steps_back_of(arrivals)
        return int(steps[-1] - steps[0]) + 1

    def gradients_held(self, arrivals: Cycles, interval: int) -> int:
        """See `Pooling.gradients_held`."""
        begun = self._followed_steps(arrivals, interval)[self.windows.begun]
        return occupancy(arrivals, begun + 1, interval)

    def stash_held(self, x_arrivals: Cycles, dy_arrivals: Cycles, interval: int) -> int:
        """See `Pooling.stash_held`."""
        steps = self.steps_of(x_arrivals)
        if not self.average:
            return occupancy(steps[self.windows.ended], dy_arrivals + 1, interval)
        if not self.relu:
            return 0
        given = self._followed_steps(dy_arrivals, interval)[self.windows.given]
        return occupancy(steps[self.windows.taken], given + 1, interval)

    def queue_held(self, arrivals: Cycles, interval: int) -> int:
        """Words of x that wait at once if every token's x arrive like these."""
        return occupancy(arrivals, self.steps_of(arrivals)[self.windows.taken] + 1, interval)

    def forward_only(self, arrivals: Cycles, interval: int) -> Sliding:
        """See `Pooling.forward_only`."""
        if not self.queued:
            return self
        words = max(2, self.queue_held(arrivals, interval))
        return replace(self, queue_words=words, ahead=self.ahead_of(arrivals))

    def sized(self, arrivals: Cycles, errors: Cycles, interval: int) -> Sliding:
        """See `Pooling.sized`."""
        steps, back = self.steps_of(arrivals), self._followed_steps(errors, interval)
        last = int(back[-1]) + self.step_latency
        return replace(
            self.forward_only(arrivals, interval),
            tokens=math.ceil((last + 1 - int(steps[0])) / interval),
            waiting_words=self.gradients_held(errors, interval),
        )
