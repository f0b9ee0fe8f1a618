"""The forward sums of a unit: each row of lanes to one sum, and these one by one to outputs."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.units.latency import OPERANDS, PRODUCT, SUM, tree_latency
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, own, spread, summed
from counterflow.hw.parts.streams import activation_stream
from counterflow.hw.weighted.bundles import bias_stream, visit_signals, walk_claims
from counterflow.hw.weighted.outputs import Outputs


class RowSums(wiring.Component):
    """Sums products over the lanes of a row and over its tiles; what is finished goes to `Outputs`.

    Twin of `golden.units.convolution.Convolution._sums`.

    Parameters: ``stage``.
    Members, with the cycle after a tile's visit in which they are valid: ``visit`` in 0;
    ``products`` in 6; ``biases`` in, as they are asked for; ``room`` out: a row can be begun, as
    ``claims`` in says; ``y`` stream out; ``clipped`` out: a value of a finished row saturated.
    Cost: an adder tree and an accumulator a row of lanes, and `Outputs`; latency 8 + tree from the
    visit of a row's last tile to its first output, one tile a cycle.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        super().__init__(
            {
                "claims": In(walk_claims(stage)),
                "visit": In(visit_signals(stage)),
                "products": In(shape_of(numbers.forward_sum)).array(tiling.lane_count),
                "biases": In(bias_stream(stage)),
                "room": Out(1),
                "y": Out(activation_stream(numbers.y)),
                "clipped": Out(1),
            }
        )
        self._summing = OPERANDS + PRODUCT + tree_latency(tiling.lanes.inputs)

    def _each(self, m: Module, visited: Value, name: str) -> list[Signal]:
        """What was said of a visit, in a register of its own for each accumulator."""
        high, levels = self.stage.tiling.lanes.outputs, 2
        early = delayed(m, visited, self._summing - levels, name)
        tree = spread(m, early, high, levels - 1, name)
        return [own(m, one, f"near_{name}_{lane}") for lane, one in enumerate(tree)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, wide = self.stage.arithmetic, self.stage.tiling.lanes.inputs
        m.submodules.outputs = outputs = Outputs(stage=self.stage)
        turn = Signal(name="turn")
        m.d.comb += turn.eq(self.visit.issue & (self.visit.phase == 0))
        valid = self._each(m, turn, "valid")
        first = self._each(m, self.visit.first_column, "first")
        for lane, finished in enumerate(outputs.sums):
            products = self.products[lane * wide : (lane + 1) * wide]
            total = summed(m, products, f"tree_{lane}")
            accumulator = Signal(shape_of(numbers.forward_sum), name=f"sum_{lane}", reset_less=True)
            with m.If(valid[lane]):
                m.d.sync += accumulator.eq(Mux(first[lane], 0, accumulator) + total)
            m.d.comb += finished.eq(accumulator)
        before = self._summing + SUM - 1
        ends = turn & self.visit.last_column
        connect(m, flipped(self.claims), outputs.claims)
        connect(m, flipped(self.biases), outputs.biases)
        connect(m, outputs.y, flipped(self.y))
        m.d.comb += [
            outputs.coming.eq(delayed(m, ends, before, "coming")),
            outputs.kind.eq(delayed(m, self.visit.slot.kind, before, "kind")),
            outputs.last_row.eq(delayed(m, self.visit.last_row, before, "last_row")),
            self.room.eq(outputs.room),
            self.clipped.eq(outputs.clipped),
        ]
        return m
