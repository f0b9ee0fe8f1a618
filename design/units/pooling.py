"""Pooling over windows that do not overlap: shapes, formats, depths and the cycle of every event.

The unit stands between two weighted units of the chain.  It has no weights and no slots; it takes
what comes and sends on what results.  Images travel pixel by pixel, row by row, channels last:
element (row * width + column) * channels + channel.

    max       y = largest element of the window      dx = dy at the first place of it, else 0
    average   y = round(sum / elements)              dx = round(dy / elements) at every place

The quotient of an area that is no power of two is `design.units.division`'s.
Gradients are only rounded once more to the format of `dx`; the derivative of a ReLU below is
applied by whoever takes its output.  After a maximum the unit above has done so already, since y is
positive exactly where its element was; after an average it is done here (`relu`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np

from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.division import Division
from counterflow.design.units.latency import MEMORY, NARROW, QUEUE
from counterflow.design.units.passing import QUEUE_WORDS, OneToOne, Traffic
from counterflow.design.units.pooling_luts import pooling_luts
from counterflow.design.units.timing import Cycles, occupancy, steady
from counterflow.design.units.windows import Windows

JOIN = 1  # an element joined with what was kept of its window
WRITE = 1  # a word at a memory's write port to its address at the read port

# Without what an average needs to divide by an area that is no power of two:
FORWARD = MEMORY + 2 * JOIN + NARROW + QUEUE  # last element of a window taken to y offered
STEP = MEMORY + QUEUE  # a word of gradient addressed to dx offered
BACKWARD = MEMORY + WRITE + STEP  # dy taken to dx offered

QUEUE_SPARE = 2  # words of a queue beyond its latency: left and reserved again
LEAST_GRADIENTS = 4  # words of dy below which the way from freed to refilled shows


@dataclass(frozen=True)
class Pooling(OneToOne):
    """One pooling unit: `height` x `width` pixels of `channels`, windows of `kernel` (rows, cols).

    ``average`` or maximum; ``relu``: a ReLU stands below (see above).  ``x`` is the format of both
    activations, ``dy``/``dx`` those of the gradients in and out, which there are where they are
    ``wanted``.  ``tokens`` may be in the unit
    between their forward and their backward pass, ``gradient_rows`` rows of windows of dy can wait
    (two keep dx at one element a cycle as long as dy comes as soon as there is room; see
    `gradients_held` for what a given pattern of arrivals needs).

    Raises `ValueError`, one sentence, where the numbers cannot work together.
    """

    holds: ClassVar[Mapping[str, str]] = {
        **OneToOne.holds,
        **dict.fromkeys(("pixel", "row"), "windows"),
        **dict.fromkeys(("gradients", "gradient pixel", "gradient row"), "errors"),
        "x": "queues",
    }

    height: int
    width: int
    channels: int
    kernel: tuple[int, int]
    average: bool
    relu: bool
    x: Format
    dy: Format
    dx: Format
    round_activation: Rounding
    round_error: Rounding
    tokens: int
    gradient_rows: int = 2
    wanted: bool = True

    def __post_init__(self) -> None:
        for name in ("height", "width", "channels", "tokens", "gradient_rows"):
            if getattr(self, name) < 1:
                raise ValueError(f"pooling: {name} is {getattr(self, name)}, but must be positive")
        high, wide = self.kernel
        if high < 1 or wide < 1 or high * wide == 1:
            raise ValueError(f"pooling: a window of {high}x{wide} elements pools nothing")
        self._check_windows()
        if self.average:
            self.mean.check(f"sums in {self.x}")
            if self.wanted:
                self.share.check(f"gradients in {self.dy}")
        if Rounding.STOCHASTIC in (self.round_activation, self.round_error):
            raise ValueError("pooling: it has no random bits, so it cannot round stochastically")

    def _check_windows(self) -> None:
        if self.height % self.kernel[0] or self.width % self.kernel[1]:
            raise ValueError(
                f"pooling: windows of {self.kernel[0]}x{self.kernel[1]} do not tile an image of "
                f"{self.height}x{self.width}; height and width must be multiples of the window's"
            )

    @cached_property
    def windows(self) -> Windows:
        """Where its windows lie."""
        return Windows.of((self.height, self.width, self.channels), self.kernel, self.kernel)

    @property
    def elements(self) -> int:
        """Elements of a window."""
        return self.kernel[0] * self.kernel[1]

    @property
    def inputs(self) -> int:
        """Elements of x, and of dx."""
        return self.height * self.width * self.channels

    @property
    def outputs(self) -> int:
        """Elements of y, and of dy."""
        return math.prod(self.windows.result)

    @property
    def y(self) -> Format:
        """Format of y, which is that of x."""
        return self.x

    @property
    def columns(self) -> int:
        """Windows beside each other."""
        return self.windows.across.count

    @property
    def row_words(self) -> int:
        """Elements of y in one row of windows."""
        return self.columns * self.channels

    @property
    def growth(self) -> int:
        """Bits by which a sum over a window is wider than an element; 0 of a maximum."""
        return (self.elements - 1).bit_length() if self.average else 0

    @cached_property
    def mean(self) -> Division:
        """What makes an average of a sum over a window."""
        largest = self.elements * self.x.magnitude
        return Division(self.elements, largest, 0, self.round_activation)

    @cached_property
    def share(self) -> Division:
        """What makes dx of an average of the sum of an element's dy."""
        lift = max(0, self.dx.frac - self.dy.frac)
        return Division(self.elements, self.overlaps * self.dy.magnitude, lift, self.round_error)

    @property
    def overlaps(self) -> int:
        """Windows that an element can be in."""
        return self.windows.down.overlap * self.windows.across.overlap

    @property
    def dividing(self) -> int:
        """Cycles that the division of a sum takes; 0 where it is a shift."""
        return self.mean.latency if self.average else 0

    @property
    def sharing(self) -> int:
        """Cycles that the division of a gradient takes; 0 where it is a shift."""
        return self.share.latency if self.average else 0

    @property
    def forward_latency(self) -> int:
        """Cycles from the step that ends a window to its y."""
        return FORWARD + self.dividing

    @property
    def backward_latency(self) -> int:
        """Cycles from dy taken to the first dx that it makes."""
        return BACKWARD + self.sharing

    @property
    def y_words(self) -> int:
        """Words of the queue of y: all that are on their way at one a cycle."""
        return max(QUEUE_WORDS, self.forward_latency + QUEUE_SPARE)

    @property
    def place_bits(self) -> int:
        """Bits that name an element of a window; 0 where no gradient has to find the largest."""
        return 0 if self.average or not self.wanted else (self.elements - 1).bit_length()

    @property
    def partial_bits(self) -> int:
        """Bits of what is kept of an unfinished window: the largest yet and its place, or a sum."""
        return self.x.bits + self.growth + self.place_bits

    @property
    def gradient_words(self) -> int:
        """Words of dy that can wait."""
        return max(self.gradient_rows * self.row_words, LEAST_GRADIENTS)

    @property
    def stash_words(self) -> int:
        """Words between forward and backward pass: a place a window, or a bit an element of x."""
        if not self.wanted or (self.average and not self.relu):
            return 0
        return self.tokens * (self.inputs if self.average else self.outputs)

    @property
    def stash_bits(self) -> int:
        """Bits of the stash."""
        return self.stash_words * (1 if self.average else self.place_bits)

    @property
    def divisions(self) -> tuple[Division, ...]:
        """What its hardware divides by."""
        if not self.average:
            return ()
        return (self.mean, self.share) if self.wanted else (self.mean,)

    @property
    def joined_bits(self) -> int:
        """Bits of what is joined with others, forward and back."""
        return 2 * self.partial_bits + self.dx.bits * self.wanted

    def luts(self, family: str, cells: tuple[int, int]) -> int:
        """See `Passing.luts`."""
        if self.wanted and all(by.exact for by in self.divisions):
            return super().luts(family, cells)
        return pooling_luts(family, self.joined_bits, self.divisions, self.memories, cells)

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of every memory of the unit."""
        high, wide = self.kernel
        found = []
        if wide > 1:
            found.append(("pixel", max(2, self.channels), self.partial_bits))
        if high > 1:
            found.append(("row", max(2, self.row_words), self.partial_bits))
        if self.stash_words:
            words = max(2, self.stash_words)
            found.append(("stash", words, self.stash_bits // self.stash_words))
        if self.wanted:
            found.append(("gradients", self.gradient_words, self.dx.bits + self.place_bits))
        found.append(("y", self.y_words, self.x.bits + KIND_BITS))
        if self.wanted:
            found.append(("dx", QUEUE_WORDS, self.dx.bits))
        return found

    @cached_property
    def window_of(self) -> Cycles:
        """Element of y to which each element of x belongs; shape [inputs]."""
        shape = (self.height, self.width, self.channels)
        row, column, channel = np.indices(shape).reshape(3, -1)
        high, wide = self.kernel
        window: Cycles = (row // high * self.columns + column // wide) * self.channels + channel
        return window

    @cached_property
    def last_of(self) -> Cycles:
        """Last element of x of each window; shape [outputs]."""
        last = np.zeros(self.outputs, np.int64)
        last[self.window_of] = np.arange(self.inputs)  # the last one that is written stays
        return last

    @property
    def interval(self) -> int:
        """Shortest spacing of tokens in cycles: x and dx carry one element a cycle."""
        return self.inputs

    def output_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each y leaves, given that in which each x of the token was taken.

        Shapes [inputs] to [outputs]; tokens may follow each other without a gap.
        """
        times: Cycles = arrivals[self.last_of] + self.forward_latency
        return times

    def gradient_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each dx leaves, given that in which each dy of the token was taken.

        Shapes [outputs] to [inputs].  It holds if the token before has left by then, which is so
        if tokens are at least `gradient_interval` apart.
        """
        steps = np.arange(self.inputs)
        earliest = arrivals[self.window_of] + self.backward_latency - steps
        times: Cycles = np.maximum.accumulate(earliest) + steps
        return times

    def gradient_interval(self, arrivals: Cycles) -> int:
        """Shortest spacing of tokens whose dy all arrive like this one: the time that dx takes.

        It is `interval` unless dx has to wait for dy within a token.
        """
        times = self.gradient_times(arrivals)
        return int(times[-1] - times[0]) + 1

    def gradients_held(self, arrivals: Cycles, interval: int) -> int:
        """Words of dy that wait at once if every token's dy arrives like this one's.

        Tokens are `interval` cycles apart, at least `gradient_interval`.  With that many
        `gradient_words` no dy is ever refused.
        """
        return occupancy(arrivals, self.gradient_times(arrivals)[self.last_of] - STEP + 1, interval)

    def stash_held(self, x_arrivals: Cycles, dy_arrivals: Cycles, interval: int) -> int:
        """Words of the stash in use at once if every token's x and dy arrive like this one's.

        As `gradients_held`, with both arrivals of one token.  With `tokens` of so many words no x
        is ever refused.
        """
        if not self.average:
            return occupancy(x_arrivals[self.last_of], dy_arrivals + 1, interval)
        if not self.relu:
            return 0
        return occupancy(x_arrivals, self.gradient_times(dy_arrivals) - STEP + 1, interval)

    @property
    def returning(self) -> tuple[int, ...]:
        return (self.gradient_words if self.wanted else 0,)

    def fitted(self, traffic: Traffic) -> Pooling:
        """See `Passing.fitted`."""
        if self.wanted:
            return self.sized(traffic.arrivals[0], traffic.errors[0], traffic.interval)
        return self.forward_only(traffic.arrivals[0], traffic.interval)

    def forward_only(self, arrivals: Cycles, interval: int) -> Pooling:
        """As `sized`, where no gradients come."""
        return self

    def sized(self, arrivals: Cycles, errors: Cycles, interval: int) -> Pooling:
        """This unit with room for what a stall-free run ever holds and no more.

        ``arrivals`` and ``errors``: cycles in which x and dy of one token are taken; another one
        follows every `interval` cycles.
        """
        leave = steady(self.gradient_times(errors), interval)
        tokens = math.ceil((int(leave[-1]) + 1 - int(arrivals[0])) / interval)
        held = occupancy(errors, leave[self.last_of] - STEP + 1, interval)
        rows = max(1, math.ceil(held / self.row_words))
        return replace(self, tokens=tokens, gradient_rows=rows)
