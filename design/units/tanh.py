"""The activation unit, tanh by a table: its formats, its tables and the cycle of every event.

The unit stands right behind a weighted unit.  It has no weights and no slots; it takes what comes
and sends on what results, one element a cycle in each direction:

    y = table[|x|], with the sign of x              dx = narrow(dy * slopes[|y|])

Tanh is odd, so half a table will do; the derivative is 1 - y^2, a function of the y that was sent,
and only |y| is remembered until the gradient comes back.  Where nobody wants dx nothing is.

With x as s10.6 and y as s8.7 no y is further than 0.00782 from the tanh of its x, and only where y
stops at 127/128; before that it is within half a last place, 0.00389.  The slope is within 0.01563
of that of the exact tanh: it ends at 4/256, so that no unit is ever beyond learning.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from counterflow.design.parts.fields import MAX_TANH_BITS
from counterflow.design.parts.formats import Format, Rounding
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT, QUEUE
from counterflow.design.units.passing import QUEUE_WORDS, OneToOne, PassingUnit, Traffic
from counterflow.design.units.timing import Cycles, occupancy

ABSOLUTE = 1  # x to its magnitude and sign
TABLE = 1  # an index to the table's entry in a register
SIGN = 1  # a magnitude to the number

FORWARD = ABSOLUTE + TABLE + SIGN + QUEUE  # x taken to y offered
BACKWARD = MEMORY + TABLE + PRODUCT + NARROW + QUEUE  # dy taken to dx offered

SLOPE_FRAC = 8  # fraction bits of 1 - y^2: the slope of the largest y is still 4/256


@dataclass(frozen=True)
class Tanh(OneToOne):
    """One activation unit for tokens of `elements` elements.

    ``x`` is the format of what the sums below were narrowed to, ``y`` that of the activations,
    ``dy``/``dx`` those of the gradients in and out, which there are where they are ``wanted``;
    ``stash_words`` elements may be between their forward and their backward pass.  Cost: one
    multiplier, none where no gradient is wanted, `memories` and `tables`, of which a small one
    becomes logic and a large one a block RAM.

    Raises `ValueError`, one sentence, where the numbers cannot work together.
    """

    elements: int
    x: Format
    y: Format
    dy: Format
    dx: Format
    round_error: Rounding
    stash_words: int
    wanted: bool = True

    def __post_init__(self) -> None:
        for name in ("elements", "stash_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"tanh: {name} is {getattr(self, name)}, but must be positive")
        for name in ("x", "y"):
            number: Format = getattr(self, name)
            if not number.signed or number.bits > MAX_TANH_BITS:
                raise ValueError(
                    f"tanh: format of {name} is {number}, but must be signed and of at most "
                    f"{MAX_TANH_BITS} bits"
                )
        if self.round_error is Rounding.STOCHASTIC:
            raise ValueError("tanh: it has no random bits, so it cannot round stochastically")

    @property
    def inputs(self) -> int:
        """Elements of x, and of dx."""
        return self.elements

    @property
    def outputs(self) -> int:
        """Elements of y, and of dy."""
        return self.elements

    @property
    def products(self) -> list[tuple[Format, Format]]:
        """That of dy by the slope."""
        return [(self.dy, self.slope)] if self.wanted else []

    @cached_property
    def table(self) -> tuple[int, ...]:
        """|y| for each |x| from 0 to the largest x (and that of the least x, too): the nearest."""
        scale = 1 << self.y.frac
        exact = (math.tanh(self.x.value(index)) * scale for index in range(self.x.max + 1))
        return tuple(min(round(value), self.y.max) for value in exact)

    @cached_property
    def slopes(self) -> tuple[int, ...]:
        """1 - y^2 for each |y| from 0 to the largest: the nearest, in the format `slope`."""
        frac = self.y.frac
        rest = ((1 << 2 * frac) - most * most for most in range(self.table[-1] + 1))
        return tuple(round(value * 2.0 ** (SLOPE_FRAC - 2 * frac)) for value in rest)

    @property
    def slope(self) -> Format:
        """Format of 1 - y^2, which can be one."""
        return Format(False, SLOPE_FRAC + 1, SLOPE_FRAC)

    @property
    def table_error(self) -> float:
        """Largest difference of y and the tanh of its x, over all x."""
        codes = np.arange(self.x.min, self.x.max + 1)
        exact = np.tanh(codes * 2.0**-self.x.frac)
        found = self.every_y * 2.0**-self.y.frac
        return float(np.abs(found - exact).max())

    @property
    def slope_error(self) -> float:
        """Largest difference of the slope and 1 - tanh(x)^2, over all x."""
        codes = np.arange(self.x.min, self.x.max + 1)
        exact = 1 - np.tanh(codes * 2.0**-self.x.frac) ** 2
        found = np.array(self.slopes)[np.abs(self.every_y)] * 2.0**-SLOPE_FRAC
        return float(np.abs(found - exact).max())

    @property
    def every_y(self) -> NDArray[np.int64]:
        """y of every x from the least to the largest."""
        codes = np.arange(self.x.min, self.x.max + 1)
        most = np.array(self.table)[np.minimum(np.abs(codes), self.x.max)]
        found: NDArray[np.int64] = np.where(codes < 0, -most, most)
        return found

    @property
    def kept_bits(self) -> int:
        """Bits of the |y| that is remembered."""
        return max(1, self.table[-1].bit_length())

    @property
    def memories(self) -> list[tuple[str, int, int]]:
        """(name, words, bits) of every memory of the unit, without the tables."""
        found = [("y", QUEUE_WORDS, self.y.bits + KIND_BITS)]
        if not self.wanted:
            return found
        stash = ("stash", max(2, self.stash_words), self.kept_bits)
        return [stash, *found, ("dx", QUEUE_WORDS, self.dx.bits)]

    @property
    def tables(self) -> list[tuple[str, int, int]]:
        """(name, entries, bits) of its tables."""
        forward = ("table", len(self.table), self.kept_bits)
        return [forward, *[("slopes", len(self.slopes), self.slope.bits)] * self.wanted]

    def output_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each y leaves, given that in which each x of the token was taken."""
        times: Cycles = arrivals + FORWARD
        return times

    def gradient_times(self, arrivals: Cycles) -> Cycles:
        """Cycle in which each dx leaves, given that in which each dy of the token was taken."""
        times: Cycles = arrivals + BACKWARD
        return times

    def fitted(self, traffic: Traffic) -> Tanh:
        """See `Passing.fitted`."""
        if not self.wanted:
            return self
        return self.sized(traffic.arrivals[0], traffic.errors[0], traffic.interval)

    def sized(self, arrivals: Cycles, errors: Cycles, interval: int) -> Tanh:
        """This unit with room for what a stall-free run ever holds and no more.

        ``arrivals`` and ``errors``: cycles in which x and dy of one token are taken; another one
        follows every `interval` cycles.
        """
        return replace(self, stash_words=occupancy(arrivals, errors + 1, interval))


@dataclass(frozen=True, kw_only=True)
class TanhUnit(PassingUnit):
    """The unit behind one with weights whose activation is tanh.  Ports: x; y."""

    kind: ClassVar[str] = "tanh"
    round_error: Rounding

    @property
    def numbers(self) -> Tanh:
        """See `PassingUnit.numbers`."""
        x, y = self.inputs[0], self.outputs[0]
        return Tanh(
            elements=y.elements,
            x=x.x,
            y=y.x,
            dy=y.error,
            dx=x.error,
            round_error=self.round_error,
            stash_words=y.elements,
            wanted=x.wanted,
        )
