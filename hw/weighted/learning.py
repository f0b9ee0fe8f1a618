"""When a unit's weights move: sums of gradients, random bits, and the memories' write ports."""

from __future__ import annotations

from amaranth.hdl import C, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.formats import Rounding
from counterflow.design.units.latency import REPORTED, SATURATED, UPDATE
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import tile_revisits
from counterflow.hw.parts.pipeline import delayed, delayed_beside
from counterflow.hw.weighted.broadcast import SPREAD, random_levels
from counterflow.hw.weighted.bundles import (
    GeneratorAccess,
    lane_learning,
    memory_visits,
    visit_signals,
)
from counterflow.hw.weighted.generator import Generator
from counterflow.hw.weighted.gradient_sums import GradientSums
from counterflow.hw.weighted.lane import GRADIENT


class Learning(wiring.Component):
    """Says when both memories of a unit are read and written; what to write comes from the lanes.

    Gradients add up over the positions of a sample, and over samples until a token moves the
    weights: the tile's visit at the last position then writes new ones.

    Parameters: ``stage``.
    Members: ``visit`` in; ``weights`` out to the memory, which is read with the visit and written
    GRADIENT + UPDATE cycles later, in the last turn of a tile then; ``bias_learnt`` out: the first
    turn of a row's biases is, which is said a cycle before; ``lanes`` out: of a tile's gradients
    the earlier sums (and back, with the present ones) GRADIENT cycles after its visit, and so much
    before what their trees of registers need: `fresh` a cycle before that, `random` a cycle later,
    out of a generator that steps early enough; `clipped` SATURATED cycles after the new words;
    ``saturated`` out, REPORTED later: a write of clipped ones; ``fresh`` out with the visit: no
    gradients are earlier, where they are summed; ``generator`` in, the bus at the random generator.
    Cost: the sums' memory and a generator.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        super().__init__(
            {
                "visit": In(visit_signals(stage)),
                "weights": Out(memory_visits(stage.tiling.tiles)),
                "bias_learnt": Out(1),
                "lanes": Out(lane_learning(stage)),
                "saturated": Out(1),
                "fresh": Out(1),
                "generator": In(GeneratorAccess),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        visit = self.visit
        if self.stage.arithmetic.frozen:
            return self._frozen(m)
        turn = visit.issue & (visit.phase == self.stage.tiling.phases - 1)
        moves = turn & visit.slot.moving & visit.last_across & visit.last_down
        self._random(m, moves, random_levels(self.stage, platform))
        before = GRADIENT + UPDATE - 1
        written = delayed(m, moves, before, "write")
        places = {"write_first": visit.first_column, "write_tile": visit.tile}
        first, tile = delayed_beside(m, places, before, platform)
        turns = self.stage.tiling.move_turns - 1  # after the first one
        learnt = delayed(m, written, turns, "learnt")
        saturated = delayed(m, learnt, 1 + SATURATED, "was_learnt") & self.lanes.clipped
        m.d.comb += [
            self.weights.visited.eq(visit.issue),
            self.weights.address.eq(visit.tile),
            self.weights.learnt.eq(learnt),
            self.weights.learnt_address.eq(delayed(m, tile, turns, "learnt_tile")),
            self.bias_learnt.eq(written & first),
            self.saturated.eq(delayed(m, saturated, REPORTED, "saturated")),
        ]
        if self.stage.arithmetic.sums_gradients:
            self._sums(m, turn & visit.slot.learning)
        return m

    def _frozen(self, m: Module) -> Module:
        """Weights are only read."""
        visit = self.visit
        self._random(m, C(0), 0)
        m.d.comb += [
            self.weights.visited.eq(visit.issue),
            self.weights.address.eq(visit.tile),
        ]
        return m

    def _random(self, m: Module, moves: Value, levels: int) -> None:
        """New random bits for each tile that moves, for lanes that see them `levels` later."""
        m.submodules.generator = generator = Generator()
        numbers = self.stage.arithmetic
        if numbers.round_update is Rounding.STOCHASTIC and not numbers.frozen:
            m.d.comb += generator.step.eq(delayed(m, moves, GRADIENT - levels, "moves"))
        m.d.comb += [
            generator.load.eq(self.generator.load),
            generator.initial.eq(self.generator.initial),
            self.generator.state.eq(generator.state),
            self.lanes.random.eq(generator.state),
        ]

    def _sums(self, m: Module, turn: Value) -> None:
        """The memory of the sums; a sum starts where nothing waits for its update."""
        visit, lanes, tiling = self.visit, self.lanes, self.stage.tiling
        waiting = Signal(name="waiting")
        if self.stage.arithmetic.accumulate > 1:
            with m.If(visit.finish & visit.slot.learning):
                m.d.sync += waiting.eq(~visit.slot.moving)
        bits = self.stage.arithmetic.gradient.bits
        m.submodules.sums = sums = GradientSums(
            words=tiling.tiles,
            bits=bits,
            sums=tiling.lane_count,
            at=GRADIENT,
            apart=tile_revisits(tiling),
        )
        connect(m, sums.lanes, flipped(lanes.weights))
        m.d.comb += [
            self.fresh.eq(visit.first_across & visit.first_down & ~waiting),
            lanes.fresh.eq(delayed(m, self.fresh, GRADIENT - 1 - SPREAD, "fresh")),
            sums.address.eq(visit.tile),
            sums.write.eq(delayed(m, turn, GRADIENT - 1, "turn")),
        ]
