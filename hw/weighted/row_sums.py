"""The forward sums of a unit with weights: each row of lanes to one output, on top of its bias."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import NARROW, OPERANDS, PRODUCT, SUM, tree_latency
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.narrow import narrow, shape_of
from counterflow.hw.parts.pipeline import delayed, summed
from counterflow.hw.parts.streams import Scatter, activation_stream


class RowSums(wiring.Component):
    """Sums products over the lanes of a row and over its tiles, activates, narrows, sends.

    Twin of `golden.units.convolution.Convolution._sums` and `_activate`.

    Parameters: ``stage``.
    Members, with the cycle after a tile's visit in which they are valid: ``turn``: a tile is
    visited for its forward product, with ``first``, ``last`` column of its row and the token's
    ``kind`` 0; ``starts`` (the biases) 3; ``products``, lane by lane, 5.  With the issue of a tile:
    ``room``: a row can be begun, ``begin``: it is.  ``y`` stream out; ``clipped`` out: a value of a
    finished row saturated.
    Cost: an adder tree and an accumulator a row of lanes; latency 8 + tree from the visit of a
    row's last tile to its first output, one tile a cycle.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        super().__init__(
            {
                "turn": In(1),
                "first": In(1),
                "last": In(1),
                "kind": In(KIND_BITS),
                "starts": In(shape_of(numbers.bias_operand)).array(tiling.lanes.outputs),
                "products": In(shape_of(numbers.forward_sum)).array(tiling.lane_count),
                "room": Out(1),
                "begin": In(1),
                "y": Out(activation_stream(numbers.y)),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, tiling = self.stage.arithmetic, self.stage.tiling
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        summing = OPERANDS + PRODUCT + tree_latency(wide)
        m.submodules.scatter = scatter = Scatter(
            bits=numbers.y.bits,
            lanes=high,
            count=tiling.outputs,
            depth=self.stage.depths.outputs,
            tag=KIND_BITS,
            block=True,
        )
        valid = delayed(m, self.turn, summing, "valid")
        first = delayed(m, self.first, summing, "first")
        outputs, flags = [], []
        for lane in range(high):
            start = delayed(m, self.starts[lane], summing - (OPERANDS - 1), f"start_{lane}")
            total = summed(m, self.products[lane * wide : (lane + 1) * wide], f"tree_{lane}")
            accumulator = Signal(shape_of(numbers.forward_sum), name=f"sum_{lane}", reset_less=True)
            with m.If(valid):
                m.d.sync += accumulator.eq(Mux(first, start, accumulator) + total)
            active = Mux(accumulator < 0, 0, accumulator) if numbers.relu else accumulator
            y, clipped = narrow(
                active, numbers.forward_sum.frac, numbers.y, numbers.round_activation
            )
            outputs.append(delayed(m, y, NARROW, f"y_{lane}"))
            flags.append(clipped)
        ready = delayed(m, self.turn & self.last, summing + SUM, "ready")
        m.d.comb += [
            self.room.eq(scatter.room),
            scatter.reserve.eq(self.begin),
            scatter.push.eq(delayed(m, ready, NARROW, "push")),
            scatter.word.eq(Cat(outputs)),
            scatter.word_tag.eq(delayed(m, self.kind, summing + SUM + NARROW, "kind")),
            self.y.payload.data.eq(scatter.o.payload),
            self.y.payload.kind.eq(scatter.o_tag),
            self.y.valid.eq(scatter.o.valid),
            scatter.o.ready.eq(self.y.ready),
            self.clipped.eq(delayed(m, ready & Cat(flags).any(), 1, "clipped")),
        ]
        return m
