"""The forward sums of a unit: each row of lanes to one output, on top of its bias."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.units.latency import NARROW, OPERANDS, PRODUCT, SUM, tree_latency
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.narrow import narrow, shape_of
from counterflow.hw.parts.pipeline import delayed, own, spread, summed
from counterflow.hw.parts.streams import Scatter, activation_stream
from counterflow.hw.weighted.bundles import forward_products, visit_signals, walk_claims


class RowSums(wiring.Component):
    """Sums products over the lanes of a row and over its tiles, activates, narrows, sends.

    Twin of `golden.units.convolution.Convolution._sums` and `_activate`.

    Parameters: ``stage``.
    Members, with the cycle after a tile's visit in which they are valid: ``visit`` in 0; ``lanes``
    in: the biases 4, the products 6; ``room`` out: a row can be begun, as ``claims`` in says;
    ``y`` stream out; ``clipped`` out: a value of a finished row saturated.
    Cost: an adder tree and an accumulator a row of lanes; latency 8 + tree from the visit of a
    row's last tile to its first output, one tile a cycle.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        super().__init__(
            {
                "claims": In(walk_claims(stage)),
                "visit": In(visit_signals(stage)),
                "lanes": In(forward_products(stage)),
                "room": Out(1),
                "y": Out(activation_stream(stage.arithmetic.y)),
                "clipped": Out(1),
            }
        )

        self._summing = OPERANDS + PRODUCT + tree_latency(stage.tiling.lanes.inputs)

    def _each(self, m: Module, visited: Value, name: str) -> list[Signal]:
        """What was said of a visit, in a register of its own for each accumulator."""
        high, levels = self.stage.tiling.lanes.outputs, 2
        early = delayed(m, visited, self._summing - levels, name)
        tree = spread(m, early, high, levels - 1, name)
        return [own(m, one, f"near_{name}_{lane}") for lane, one in enumerate(tree)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, tiling = self.stage.arithmetic, self.stage.tiling
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        summing = self._summing
        m.submodules.scatter = scatter = Scatter(
            bits=numbers.y.bits,
            lanes=high,
            count=tiling.outputs,
            depth=self.stage.depths.outputs,
            tag=KIND_BITS,
            block=True,
        )
        turn = Signal(name="turn")
        m.d.comb += turn.eq(self.visit.issue & (self.visit.phase == 0))
        valid = self._each(m, turn, "valid")
        first = self._each(m, self.visit.first_column, "first")
        outputs, flags = [], []
        for lane in range(high):
            start = delayed(m, self.lanes.starts[lane], summing - (OPERANDS - 1), f"start_{lane}")
            products = self.lanes.products[lane * wide : (lane + 1) * wide]
            total = summed(m, products, f"tree_{lane}")
            accumulator = Signal(shape_of(numbers.forward_sum), name=f"sum_{lane}", reset_less=True)
            with m.If(valid[lane]):
                m.d.sync += accumulator.eq(Mux(first[lane], start, accumulator) + total)
            y, clipped = narrow(
                accumulator, numbers.forward_sum.frac, numbers.y, numbers.round_activation
            )
            if numbers.relu:  # behind the narrowing, where there are fewer bits
                negative = accumulator < 0
                y = Mux(negative, 0, y) if numbers.y.signed else y  # unsigned it is zero already
                clipped = clipped & ~negative
            outputs.append(delayed(m, y, NARROW, f"y_{lane}"))
            flags.append(delayed(m, clipped, 1, f"saturated_{lane}"))
        ready = delayed(m, turn & self.visit.last_column, summing + SUM, "ready")
        push = delayed(m, ready, NARROW, "push")
        m.d.comb += [
            self.room.eq(scatter.room),
            scatter.reserve.eq(self.claims.output),
            scatter.push.eq(push),
            scatter.word.eq(Cat(outputs)),
            scatter.word_tag.eq(delayed(m, self.visit.slot.kind, summing + SUM + NARROW, "kind")),
            self.clipped.eq(delayed(m, push & Cat(flags).any(), 1, "clipped")),
        ]
        scatter.leaves_by(m, self.y)
        return m
