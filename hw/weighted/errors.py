"""The gradients that arrive at a unit: they wait until the row of tiles that they are for."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.block_fifo import queue
from counterflow.hw.parts.counter import level
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Gather, error_stream
from counterflow.hw.weighted.broadcast import gradient_levels
from counterflow.hw.weighted.bundles import visit_signals, walk_claims
from counterflow.hw.weighted.lane import AT_LANES


class Errors(wiring.Component):
    """Packs elements into words of a row of tiles, queues them, gives them to their rows.

    Parameters: ``stage``.
    Members: ``dy`` stream of gradients; ``claims``, ``visit`` in; ``ready`` out: there is one for
    the row that the walk comes to; ``word`` out, AT_LANES cycles after the visit of a tile, or
    `gradient_levels` before, zero if no token comes back.
    Cost: a queue of `stage.depths.errors` words.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        number = stage.arithmetic.dy
        self.width = stage.tiling.lanes.outputs * number.bits
        super().__init__(
            {
                "dy": In(error_stream(number)),
                "claims": In(walk_claims(stage)),
                "visit": In(visit_signals(stage)),
                "ready": Out(1),
                "word": Out(self.width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        tiling, returning = self.stage.tiling, self.visit.slot.returning
        m.submodules.gather = gather = Gather(
            bits=self.stage.arithmetic.dy.bits, lanes=tiling.lanes.outputs, count=tiling.outputs
        )
        m.submodules.queue = waiting = queue(
            platform, width=self.width, depth=self.stage.depths.errors
        )
        connect(m, flipped(self.dy), gather.i)
        m.d.comb += [
            gather.o.ready.eq(waiting.w_rdy),
            waiting.w_en.eq(gather.o.valid),
            waiting.w_data.eq(gather.o.payload),
            waiting.r_en.eq(self.visit.row_end & returning),
        ]
        # What the queue will hold once the walk has had its own, known a cycle before.
        unclaimed = Signal.like(waiting.level, name="unclaimed")
        level(m, unclaimed, self.ready, waiting.w_en & waiting.w_rdy, self.claims.error)
        word = Mux(returning, waiting.r_data, 0)
        # A deep queue is block RAM: the first register is its own, late for a bias to choose from.
        levels = gradient_levels(tiling)
        deep = tiling.lanes.outputs > 1 and self.stage.depths.errors > READ_AT_ONCE
        latest = AT_LANES - max(levels, deep)
        stays = min(latest, tiling.row_cycles) - 1  # cycles after its first in which it is there
        taken = Signal(self.width, name="taken", reset_less=True)
        with m.If(delayed(m, self.visit.row_begin, stays, "takes")):
            m.d.sync += taken.eq(word)
        m.d.comb += self.word.eq(delayed(m, taken, AT_LANES - levels - 1 - stays, "dy"))
        return m
