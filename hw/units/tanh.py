"""The activation unit: tanh by a table and its derivative by a second one, twin of
`golden.units.tanh`.

Forward:

    cycle after x was taken   0   its magnitude and sign
                              1   the table is addressed
                              2   |y|; it enters the stash, and gets the sign
                              3   y enters its queue
                              4   y can leave

Backward:

    cycle after dy was taken  0   the stash is addressed
                              2   |y|, which addresses the table of 1 - y^2
                              3   dy and 1 - y^2 at the multiplier
                              4   their product, narrowed
                              5   dx enters its queue
                              6   dx can leave
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units import tanh
from counterflow.design.units.latency import MEMORY, NARROW, PRODUCT
from counterflow.design.units.passing import QUEUE_WORDS, PassingStage
from counterflow.design.units.tanh import ABSOLUTE, SIGN, TABLE
from counterflow.hw.parts.narrow import narrow
from counterflow.hw.parts.pipeline import delayed, looked_up
from counterflow.hw.parts.streams import Scatter, activation_stream, error_stream
from counterflow.hw.pooling.rings import Stash


class Tanh(wiring.Component):
    """Tanh of every element; its gradients come back in the order of the tokens, each once.

    An element's dy must not come before its y has left.  x waits where the stash is full, which is
    emptied as dy comes.

    Parameters: ``unit``.
    Members: ``x`` stream of sums, ``y`` of activations, each element with the kind of its token;
    ``dy``, ``dx`` streams of gradients, where they are wanted.
    Cost: one multiplier, the memories of `design.units.tanh.Tanh.memories`, two tables, without
    gradients no multiplier and one table; latency FORWARD from x to y, BACKWARD from dy to dx; one
    element a cycle each way.
    """

    def __init__(self, *, unit: tanh.Tanh) -> None:
        self.unit = unit
        members: dict[str, In | Out] = {
            "x": In(activation_stream(unit.x)),
            "y": Out(activation_stream(unit.y)),
        }
        if unit.wanted:
            members |= {"dy": In(error_stream(unit.dy)), "dx": Out(error_stream(unit.dx))}
        super().__init__(members)

    @classmethod
    def of(cls, stage: PassingStage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(unit=stage.numbers)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stash = None
        if self.unit.wanted:
            m.submodules.stash = stash = Stash(
                words=self.unit.stash_words, bits=self.unit.kept_bits
            )
            self._backward(m, stash)
        self._forward(m, stash)
        return m

    def _forward(self, m: Module, stash: Stash | None) -> None:
        """Take x, look y up, send it and remember its magnitude."""
        unit = self.unit
        m.submodules.outputs = queue = Scatter(
            bits=unit.y.bits, lanes=1, count=1, depth=QUEUE_WORDS, tag=KIND_BITS
        )
        taken = Signal(name="taken")
        entry = looked_up(m, "table", unit.table, unit.kept_bits, self._magnitude(m))
        most = delayed(m, entry, TABLE, "most")
        negative = delayed(m, self.x.payload.data < 0, ABSOLUTE + TABLE, "negative")
        y = Signal(Shape(unit.y.bits, signed=True), name="y")
        m.d.sync += y.eq(Mux(negative, -most, most))
        m.d.comb += [
            self.x.ready.eq(queue.room if stash is None else queue.room & stash.room),
            taken.eq(self.x.valid & self.x.ready),
            queue.reserve.eq(taken),
            queue.push.eq(delayed(m, taken, ABSOLUTE + TABLE + SIGN, "push")),
            queue.word.eq(y),
            queue.word_tag.eq(
                delayed(m, self.x.payload.kind, ABSOLUTE + TABLE + SIGN, "kind"),
            ),
        ]
        queue.leaves_by(m, self.y)
        if stash is not None:
            m.d.comb += [
                stash.reserve.eq(taken),
                stash.write.eq(delayed(m, taken, ABSOLUTE + TABLE, "looked_up")),
                stash.word.eq(most),
            ]

    def _magnitude(self, m: Module) -> Signal:
        """|x| a cycle later, at most the largest x."""
        number, x = self.unit.x, self.x.payload.data
        result = Signal(number.bits - 1, name="magnitude")
        m.d.sync += result.eq(Mux(x == number.min, number.max, Mux(x < 0, -x, x)))
        return result

    def _backward(self, m: Module, stash: Stash) -> None:
        """Take dy, recall the slope at its y, send their product."""
        unit = self.unit
        m.submodules.inputs = queue = Scatter(
            bits=unit.dx.bits, lanes=1, count=1, depth=QUEUE_WORDS
        )
        taken = Signal(name="taken")
        entry = looked_up(m, "slopes", unit.slopes, unit.slope.bits, stash.oldest)
        slope = delayed(m, entry, TABLE, "slope")
        dy = delayed(m, self.dy.payload, MEMORY + TABLE, "dy")
        product = Signal((dy * slope).shape(), name="product")
        m.d.sync += product.eq(dy * slope)
        frac = unit.dy.frac + unit.slope.frac
        dx, _ = narrow(product, frac, unit.dx, unit.round_error)
        latency = MEMORY + TABLE + PRODUCT + NARROW
        m.d.comb += [
            self.dy.ready.eq(queue.room),
            taken.eq(self.dy.valid & self.dy.ready),
            stash.read.eq(taken),
            queue.reserve.eq(taken),
            queue.push.eq(delayed(m, taken, latency, "dx_push")),
            queue.word.eq(delayed(m, dx, NARROW, "dx")),
        ]
        queue.leaves_by(m, self.dx)
