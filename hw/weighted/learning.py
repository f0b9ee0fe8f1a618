"""When a unit's weights move: sums of gradients, random bits, and the memories' write ports."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS
from counterflow.design.parts.formats import Rounding
from counterflow.design.units.latency import UPDATE
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.pipeline import delayed, delayed_beside
from counterflow.hw.weighted.generator import Generator
from counterflow.hw.weighted.gradient_sums import GradientSums
from counterflow.hw.weighted.lane import GRADIENT
from counterflow.hw.weighted.visit import Visit
from counterflow.hw.weighted.weights import WeightMemory


class Learning(wiring.Component):
    """Drives both memories of a unit from its walk; what to write comes from the lanes.

    Gradients add up over the positions of a sample, and over samples until a token moves the
    weights: the tile's visit at the last position then writes new ones.

    Parameters: ``stage``, ``walk``, the memories ``weights`` and ``biases`` (whose addresses and
    strobes are driven here).
    Members: ``learning``, ``moving`` in: the slot's backward token has a gradient, and weights move
    by it; ``generator`` out with ``generator_write``, ``generator_data`` in, the random bits;
    ``clipped``, ``bias_clipped`` in with the new words, ``saturated`` out: a write of clipped ones;
    where gradients are sums (`GradientSums`), GRADIENT cycles after a tile's visit: ``earlier``,
    ``bias_earlier`` out, ``sums``, ``bias_sums`` in; ``fresh`` out a cycle before: nothing is
    earlier.
    Cost: the sums' memories and a generator.
    """

    def __init__(
        self, *, stage: Stage, walk: Visit, weights: WeightMemory, biases: WeightMemory
    ) -> None:
        self.stage, self.walk, self.weights, self.biases = stage, walk, weights, biases
        members = {
            **{name: In(1) for name in ("learning", "moving", "generator_write")},
            "generator": Out(WORD_BITS),
            "generator_data": In(WORD_BITS),
            "clipped": In(1),
            "bias_clipped": In(1),
            "saturated": Out(1),
        }
        bits = stage.arithmetic.gradient.bits
        self.width = stage.tiling.lane_count * bits
        self.bias_width = stage.tiling.lanes.outputs * bits
        if stage.arithmetic.sums_gradients:
            members |= {
                "fresh": Out(1),
                "earlier": Out(self.width),
                "bias_earlier": Out(self.bias_width),
                "sums": In(self.width),
                "bias_sums": In(self.bias_width),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        walk, tiling = self.walk, self.stage.tiling
        turn = walk.issue & (walk.phase == tiling.phases - 1)
        moves = turn & self.moving & walk.last_across & walk.last_down
        m.submodules.generator = generator = Generator()
        if self.stage.arithmetic.round_update is Rounding.STOCHASTIC:
            m.d.comb += generator.step.eq(delayed(m, moves, GRADIENT, "moves"))
        written = delayed(m, moves, GRADIENT + UPDATE, "write")
        places = {
            "write_first": walk.first_column,
            "write_tile": walk.tile,
            "write_row": walk.row,
        }
        first, tile, row = delayed_beside(m, places, GRADIENT + UPDATE, platform)
        m.d.comb += [
            generator.load.eq(self.generator_write),
            generator.initial.eq(self.generator_data),
            self.generator.eq(generator.state),
            self.weights.visited.eq(walk.issue),
            self.biases.visited.eq(walk.issue),
            self.weights.address.eq(walk.tile),
            self.weights.learnt.eq(written),
            self.weights.learnt_address.eq(tile),
            self.biases.address.eq(walk.row),
            self.biases.learnt.eq(written & first),
            self.biases.learnt_address.eq(row),
            self.saturated.eq(written & (self.clipped | (first & self.bias_clipped))),
        ]
        if self.stage.arithmetic.sums_gradients:
            self._sums(m, turn & self.learning)
        return m

    def _sums(self, m: Module, turn: Signal) -> None:
        """Memories of the sums; a sum starts where nothing waits for its update."""
        walk, tiling = self.walk, self.stage.tiling
        waiting = Signal()
        if self.stage.arithmetic.accumulate > 1:
            with m.If(walk.finish & self.learning):
                m.d.sync += waiting.eq(~self.moving)
        m.submodules.sums = sums = GradientSums(words=tiling.tiles, bits=self.width, at=GRADIENT)
        m.submodules.bias_sums = bias_sums = GradientSums(
            words=tiling.rows, bits=self.bias_width, at=GRADIENT
        )
        first = walk.first_across & walk.first_down & ~waiting
        m.d.comb += [
            self.fresh.eq(delayed(m, first, GRADIENT - 1, "fresh")),
            sums.address.eq(walk.tile),
            sums.write.eq(delayed(m, turn, GRADIENT, "turn")),
            sums.sum.eq(self.sums),
            self.earlier.eq(sums.earlier),
            bias_sums.address.eq(walk.row),
            bias_sums.write.eq(delayed(m, turn & walk.first_column, GRADIENT, "bias_turn")),
            bias_sums.sum.eq(self.bias_sums),
            self.bias_earlier.eq(bias_sums.earlier),
        ]
