"""The backward sums of a dense unit: each column of lanes to one input gradient."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.schedule import NARROW, OPERANDS, PRODUCT, SUM, Stage, tree_latency
from hw.narrow import narrow, shape_of
from hw.pipeline import delayed, summed
from hw.streams import Scatter, error_stream, signed_lanes


class ColumnSums(wiring.Component):
    """Sums products over the lanes of a column and over the rows of tiles, masks, narrows, sends.

    Twin of `golden.convolution.Convolution.backward`.  The sums of all columns stand in a memory that is read
    and written in one cycle; the last row's sums leave instead of being written.

    Parameters: ``stage``, of a unit that is not the first.
    Members, with the cycle after a tile's issue in which they are valid: ``turn``: a tile was
    issued for its backward product, with its ``column``, ``first`` and ``last`` row, and whether a
    token is ``returning`` 0; ``active`` a lane: the stashed input was positive 2; ``products``,
    lane by lane, 4; ``room``: a word can be begun, ``begin``: it is; ``dx`` stream out; ``clipped``
    out: a value of a finished word saturated.
    Cost: an adder tree a column of lanes, a memory of one sum for each input; latency 7 + tree from
    a word's last tile to its first element, one tile a cycle.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        assert numbers.dx is not None, "a first unit makes no input gradient"
        self.dx_format = numbers.dx
        flags = ("turn", "first", "last", "returning", "begin")
        super().__init__(
            {
                **{name: In(1) for name in flags},
                "column": In(range(max(2, tiling.columns))),
                "active": In(1).array(tiling.lanes.inputs),
                "products": In(shape_of(numbers.backward_sum)).array(tiling.lane_count),
                "room": Out(1),
                "dx": Out(error_stream(numbers.dx)),
                "clipped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, tiling = self.stage.arithmetic, self.stage.tiling
        wide, width = tiling.lanes.inputs, numbers.backward_sum.bits
        summing = OPERANDS + PRODUCT + tree_latency(tiling.lanes.outputs)
        m.submodules.scatter = scatter = Scatter(
            bits=self.dx_format.bits,
            lanes=wide,
            count=tiling.inputs,
            depth=self.stage.backward_queue,
        )
        m.submodules.sums = sums = Memory(shape=wide * width, depth=max(2, tiling.columns), init=[])
        read, write = sums.read_port(domain="comb"), sums.write_port()
        first = delayed(m, self.first, summing, "first")
        column = delayed(m, self.column, summing, "column")
        old = signed_lanes(read.data, signed(width), wide)
        new, outputs, flags = [], [], []
        for lane in range(wide):
            total = summed(m, self.products[lane::wide], f"tree_{lane}")
            value = Signal(signed(width), name=f"sum_{lane}")
            m.d.comb += value.eq(Mux(first, 0, old[lane]) + total)
            new.append(value)
            done = delayed(m, value, SUM, f"done_{lane}")
            dx, clipped = narrow(
                done, numbers.backward_sum.frac, self.dx_format, numbers.round_error
            )
            active = delayed(m, self.active[lane], summing + SUM - 2, f"active_{lane}")
            masked = Mux(active, dx, 0)[: self.dx_format.bits]
            outputs.append(delayed(m, masked, NARROW, f"dx_{lane}"))
            flags.append(clipped & active)
        ready = delayed(m, self.turn & self.last & self.returning, summing + SUM, "ready")
        m.d.comb += [
            read.addr.eq(column),
            write.addr.eq(column),
            write.en.eq(delayed(m, self.turn, summing, "turn")),
            write.data.eq(Cat(new)),
            self.room.eq(scatter.room),
            scatter.reserve.eq(self.begin),
            scatter.push.eq(delayed(m, ready, NARROW, "push")),
            scatter.word.eq(Cat(outputs)),
            self.dx.payload.eq(scatter.o.payload),
            self.dx.valid.eq(scatter.o.valid),
            scatter.o.ready.eq(self.dx.ready),
            self.clipped.eq(delayed(m, ready & Cat(flags).any(), 1, "clipped")),
        ]
        return m
