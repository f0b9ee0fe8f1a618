"""The finished sums of a row of tiles, one after the other: with its bias, narrowed, sent."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import BIASED
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import rest
from counterflow.hw.parts.block_fifo import queue
from counterflow.hw.parts.counter import level
from counterflow.hw.parts.narrow import cut_off, saturate, shape_of
from counterflow.hw.parts.pipeline import delayed, spread
from counterflow.hw.parts.streams import activation_stream
from counterflow.hw.parts.turns import Turns
from counterflow.hw.weighted.bundles import bias_stream, rounded_sum, walk_claims


class Outputs(wiring.Component):
    """Adds biases to the sums of a row, activates, narrows and queues: an element a cycle.

    They leave one a cycle, too, and a row takes at least as many cycles (`design.units.timing`).
    So one addition and one narrowing are enough for all of them.
    Twin of `golden.units.convolution.Convolution._activate`.

    Parameters: ``stage``.
    Members: ``claims`` in: a row begins for which there was ``room`` out; ``sums`` of a row in, in
    the cycle after that in which they are ``coming``; with this, the ``kind`` of their token, and
    whether it is the ``last_row`` of tiles; ``biases``: asked for a cycle before they are added;
    ``y`` stream out; ``clipped`` out: a value of a row saturated.
    Cost: a register a sum but one, an addition, a narrowing, a queue of `depths.outputs` rows;
    latency BIASED + QUEUE from sums to the first output.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, self.high = stage.arithmetic, stage.tiling.lanes.outputs
        super().__init__(
            {
                "claims": In(walk_claims(stage)),
                "room": Out(1),
                "coming": In(1),
                "kind": In(KIND_BITS),
                "last_row": In(1),
                "sums": In(shape_of(numbers.forward_sum)).array(self.high),
                "biases": In(bias_stream(stage)),
                "y": Out(activation_stream(numbers.y)),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, stage = self.stage.arithmetic, self.stage
        m.submodules.turns = turns = Turns(turns=self.high)
        m.d.comb += [turns.start.eq(self.coming), self.biases.asked.eq(turns.active)]
        total = Signal(shape_of(rounded_sum(numbers)), name="total", reset_less=True)
        m.d.sync += total.eq(self._next(m) + self.biases.bias)  # and half of what y counts in
        drop = numbers.forward_sum.frac - numbers.y.frac
        y, clipped = saturate(cut_off(total, drop, numbers.round_activation), numbers.y)
        if numbers.relu:  # behind the narrowing, where there are fewer bits
            negative = total < 0
            y = Mux(negative, 0, y) if numbers.y.signed else y  # unsigned it is zero already
            clipped = clipped & ~negative
        there, ends, kind = self._place(m, turns)
        parts = [Value.cast(y)[: numbers.y.bits], kind]
        m.submodules.queue = elements = queue(
            platform,
            width=numbers.y.bits + KIND_BITS + (self.high > 1),
            depth=stage.depths.outputs * self.high,
        )
        m.d.comb += [
            elements.w_en.eq(there),
            elements.w_data.eq(Cat(*parts, ends) if self.high > 1 else Cat(parts)),
        ]
        self._send(m, elements.r_rdy, elements.r_data, elements.r_en)
        seen, any_clipped = Signal(name="seen"), Signal(name="any_clipped")
        m.d.comb += any_clipped.eq(there & (clipped | seen))
        m.d.sync += seen.eq(Mux(there, any_clipped & ~ends, seen))
        m.d.comb += self.clipped.eq(delayed(m, any_clipped & ends, 1, "clipped"))
        return m

    def _next(self, m: Module) -> Value:
        """The sum whose turn it is: the first one of a row at once, others out of registers."""
        loads = spread(m, self.coming, self.high, 1, "load")
        following: Value | None = None
        for index in reversed(range(1, self.high)):
            kept = Signal.like(self.sums[index], name=f"kept_{index}", reset_less=True)
            others = self.sums[index] if following is None else following
            m.d.sync += kept.eq(Mux(loads[index], self.sums[index], others))
            following = kept
        return self.sums[0] if following is None else Mux(loads[0], self.sums[0], following)

    def _place(self, m: Module, turns: Turns) -> tuple[Value, Value, Value]:
        """Of what is narrowed: it is an output, the last one of its row, the kind of its token."""
        tiling = self.stage.tiling
        kept = Signal(KIND_BITS + 1, name="kept", reset_less=True)
        with m.If(self.coming):
            m.d.sync += kept.eq(Cat(self.kind, self.last_row))
        there, turn = delayed(m, turns.active, 1, "active"), delayed(m, turns.turn, 1, "turn")
        left = tiling.outputs - (tiling.rows - 1) * self.high
        last = turn == self.high - 1
        if left != self.high:
            last_row = kept[KIND_BITS]
            there = there & (~last_row | (turn < left))
            last = Mux(last_row, turn == left - 1, last)
        return (
            delayed(m, there, BIASED, "there"),
            delayed(m, last, BIASED, "last"),
            delayed(m, kept[:KIND_BITS], BIASED, "kind"),
        )

    def _send(self, m: Module, there: Value, element: Value, takes: Value) -> None:
        """The oldest element to the stream; when its row has left there is room for another one."""
        rows, bits = self.stage.depths.outputs, self.stage.arithmetic.y.bits
        free, some = Signal(range(rows + 1), init=rows, name="free"), Signal(init=1, name="some")
        ends = element[bits + KIND_BITS] if self.high > 1 else C(1)
        m.d.comb += [
            Value.cast(self.y.payload.data).eq(element[:bits]),
            self.y.payload.kind.eq(element[bits : bits + KIND_BITS]),
            self.y.valid.eq(there),
            takes.eq(there & self.y.ready),
            self.room.eq(some & ~self._busy(m)),
        ]
        level(m, free, some, takes & ends, self.claims.output)

    def _busy(self, m: Module) -> Value:
        """Whether a row that begins could end before the one ahead has left the registers.

        That may be where a row is all of a slot, and slots follow each other after a stall.
        """
        tiling = self.stage.tiling
        cycles = self.high - tiling.row_cycles
        if cycles <= rest(tiling):
            return C(0)
        left, busy = Signal(range(cycles + 1), name="left"), Signal(name="busy")
        with m.If(self.claims.image):
            m.d.sync += left.eq(cycles)
        with m.Elif(busy):
            m.d.sync += left.eq(left - 1)
        m.d.comb += busy.eq(left != 0)
        return busy
