"""The biases of a unit: their memory, how forward sums begin, and the few lanes that move them.

A bias moves once a row of tiles.  So `design.units.turns.bias_lanes` lanes take turns over those of
a row, whose words and gradients stay as they are until its last tile has been visited.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import MEMORY, SATURATED, WORD
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import tile_revisits
from counterflow.design.units.turns import bias_lanes, bias_turns
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.counter import around
from counterflow.hw.parts.modules import instantiate
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed, own, spread
from counterflow.hw.parts.turns import Turns, chosen_late, taken_by
from counterflow.hw.weighted.broadcast import (
    gradient_levels,
    random_levels,
    spread_random,
    spread_settings,
)
from counterflow.hw.weighted.bundles import (
    Settings,
    memory_access,
    memory_visits,
    stored_word,
    visit_signals,
)
from counterflow.hw.weighted.gradient_sums import GradientSums
from counterflow.hw.weighted.lane import AT_LANES, GRADIENT, BiasLane
from counterflow.hw.weighted.update import Predict
from counterflow.hw.weighted.weights import turn_of_bus


class Biases(wiring.Component):
    """Reads the biases of a row for its sums; moves them one after the other, with the same bits.

    Turn number t is t cycles behind the last phase of the visit of a row's first tile, which is its
    cycle 0.  All take the random bits of that tile.

    Parameters: ``stage``.
    Members, with the cycle in which they are valid: ``visit`` in 0, with ``visits``: what is read,
    and in 11 that a row's first turn ends in the next; ``starts`` out 4: the biases as sums begin;
    ``dy`` in 4, or `gradient_levels` before: the row's gradients; ``random`` in 7 -
    `random_levels`; ``fresh`` in 0: no sum of gradients is earlier; ``tile_clipped``, 2 SATURATED
    after 12 or the last turn of its weights: a new word of the tile is; ``saturated`` out, as much
    later: a new bias is, the first one of a row whose tile is not; ``settings`` in; ``bus``,
    ``stored`` in, as `hw.weighted.weights.WeightMemory` has them; ``write_enable``,
    ``write_address``, ``write_data`` out: what is learnt at the write port, word row x turns +
    turn.
    Cost: a memory an output, `bias_lanes` lanes, sums of gradients where there are some.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        high, self.lanes, self.turns = tiling.lanes.outputs, bias_lanes(tiling), bias_turns(tiling)
        members: dict[str, Any] = {
            "visit": In(visit_signals(stage)),
            "visits": In(memory_visits(tiling.rows)),
            "settings": In(Settings),
            "bus": In(memory_access(high * numbers.word_bits)),
            "stored": In(stored_word(stage)),
            "starts": Out(shape_of(numbers.bias_operand)).array(high),
            "saturated": Out(1),
            "write_enable": Out(1),
            "write_address": Out(range(max(2, tiling.rows * self.turns))),
            "write_data": Out(self.lanes * numbers.word_bits),
        }
        if not numbers.frozen:
            members |= {"dy": In(high * numbers.dy.bits), "random": In(32)}
            members |= {"fresh": In(1), "tile_clipped": In(1)}
        super().__init__(members)
        self._written = Turns(turns=self.turns)  # whose new word is written in the next cycle

    def elaborate(self, platform: object) -> Module:
        m = Module()
        numbers, bits = self.stage.arithmetic.of_biases, self.stage.arithmetic.word_bits
        word = self._read(m)
        words = [
            word.word_select(output, bits) for output in range(self.stage.tiling.lanes.outputs)
        ]
        training = self.settings.predict & (self.visit.slot.kind >= Kind.TRAIN)
        predicting: list[Value] = [C(0)] * len(words)
        if numbers.predicts:
            predicting = spread(m, training, len(words), WORD, "predict")
        for output, one in enumerate(words):
            ahead = instantiate(
                m,
                f"start_{output}",
                platform,
                Predict,
                numbers=numbers,
                target=numbers.bias_operand,
                back=False,
            )
            m.d.comb += [
                Cat(ahead.weight, ahead.velocity)[:bits].eq(one),
                ahead.enable.eq(predicting[output]),
                self.starts[output].eq(ahead.forward),
            ]
        if not numbers.frozen:
            self._learn(m, words, platform)
        return m

    def _read(self, m: Module) -> Signal:
        """The words of the row that is visited, in cycle WORD; what is learnt or stored goes in.

        A word is never read and written in one cycle, as in `hw.weighted.weights.WeightMemory`.
        """
        tiling, bits = self.stage.tiling, self.stage.arithmetic.word_bits
        visits, bus = self.visits, self.bus
        m.submodules.written = written = self._written
        m.d.comb += written.start.eq(visits.learnt)
        asked = turn_of_bus(m, visits, bus)
        read = delayed(m, Mux(asked.fetch, asked.address, visits.address), 1, "read")
        word = Signal(tiling.lanes.outputs * bits, name="word")
        small = tiling.rows <= READ_AT_ONCE  # LUT RAM, whose register is the one behind it
        for output in range(tiling.lanes.outputs):
            memory = BlockMemory(words=max(2, tiling.rows), bits=bits)
            m.submodules[f"bank_{output}"] = memory
            data = memory.read_data
            turned, lane = divmod(output, self.lanes)
            learnt = self.write_data.word_select(lane, bits)
            # All banks hear of a write by registers of their own, for they lie anywhere.
            writes = written.active & (written.turn == turned)  # in the next cycle
            row = Mux(asked.store, asked.address, visits.learnt_address)
            store = own(m, asked.store, f"store_{output}")
            m.d.comb += [
                memory.read_address.eq(own(m, read, f"row_{output}") if small else read),
                word.word_select(output, bits).eq(
                    data if small else delayed(m, data, MEMORY - 1, f"data_{output}")
                ),
                memory.write_enable.eq(own(m, asked.store | writes, f"enable_{output}")),
                memory.write_address.eq(own(m, row, f"address_{output}")),
                memory.write_data.eq(
                    Mux(store, self.stored.word.word_select(output, bits), learnt)
                ),
            ]
        m.d.comb += bus.fetched.eq(word)
        return word

    def _learn(self, m: Module, words: list[Value], platform: object) -> None:
        """The lanes, what each of them works on, and where that goes."""
        visit, numbers = self.visit, self.stage.arithmetic
        turn = visit.issue & (visit.phase == self.stage.tiling.phases - 1)
        begins = turn & visit.first_column
        begun = delayed(m, begins, WORD - 1, "begun")  # so does the first turn in the next cycle
        m.submodules.read = read = Turns(turns=self.turns)
        dy = delayed(m, self.dy, gradient_levels(self.stage.tiling), "dy")
        errors = [dy.word_select(output, numbers.dy.bits) for output in range(len(words))]
        dy_turn = delayed(m, read.turn, AT_LANES - WORD, "dy_turn")
        m.d.comb += read.start.eq(begun)
        lanes = [
            instantiate(
                m,
                f"lane_{lane}",
                platform,
                BiasLane,
                numbers=numbers,
                held=self.turns > 1,
            )
            for lane in range(self.lanes)
        ]
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.word.eq(chosen_late(m, self._of(index, words), read.turn, f"word_{index}")),
                lane.dy.eq(chosen_late(m, self._of(index, errors), dy_turn, f"dy_{index}")),
            ]
            if self.turns > 1:
                m.d.comb += lane.draw.eq(self._draw(m, begun, index))
        spread_settings(m, numbers, self.settings, [lane.settings for lane in lanes])
        levels = random_levels(self.stage, platform)
        spread_random(m, numbers, self.random, lanes, levels)
        m.d.comb += self.write_data.eq(Cat(lane.new_word for lane in lanes))
        if numbers.sums_gradients:
            self._sum(m, lanes, begins & visit.slot.learning)
        self._write(m, lanes)

    def _draw(self, m: Module, begun: Value, lane: int) -> Value:
        """When a lane takes random bits for all its turns."""
        return delayed(m, begun, GRADIENT + 2 - WORD, f"draw_{lane}")

    def _of(self, lane: int, values: list[Value]) -> list[Value]:
        """What a lane takes of one value an output, in the order of its turns."""
        return taken_by(lane, self.lanes, values)

    def _write(self, m: Module, lanes: list[Any]) -> None:
        """Where what is learnt goes; whether a row has its first clipped word there."""
        turn, active, row = (
            delayed(m, one, 1, name)
            for one, name in (
                (self._written.turn, "written_turn"),
                (self._written.active, "written_active"),
                (self.visits.learnt_address, "written_row"),
            )
        )
        m.d.comb += [
            self.write_enable.eq(active),
            self.write_address.eq(row * self.turns + turn),
        ]
        now = Cat(turn == 0, active, Cat(lane.clipped for lane in lanes).any())
        # That of the tile is known after the turns of its weights.
        later = self.stage.tiling.move_turns - 1 + 2 * SATURATED
        first, active, clipped = (
            delayed(m, one, later, name)
            for one, name in zip(now, ("first", "active", "clipped"), strict=True)
        )
        seen = Signal(name="seen")
        before = Mux(first, self.tile_clipped, seen)
        m.d.sync += seen.eq(before | clipped)
        m.d.comb += self.saturated.eq(active & clipped & ~before)

    def _sum(self, m: Module, lanes: list[Any], learns: Value) -> None:
        """Sums of gradients, a word a turn, in the order of the turns."""
        bits, words = self.stage.arithmetic.gradient.bits, self.stage.tiling.rows * self.turns
        m.submodules.learnt = learnt = Turns(turns=self.turns)
        m.submodules.sums = sums = GradientSums(
            words=words,
            bits=bits,
            sums=self.lanes,
            at=GRADIENT,
            apart=tile_revisits(self.stage.tiling),
        )
        place = Signal(range(max(2, words)), name="place")
        around(m, place, learnt.active, words)
        fresh = delayed(m, self.fresh, GRADIENT - 1, "fresh")
        m.d.comb += [
            learnt.start.eq(learns),
            sums.address.eq(place),
            sums.write.eq(delayed(m, learnt.active, GRADIENT - 1, "write")),
            sums.lanes.sum.eq(Cat(lane.sum for lane in lanes)),
        ]
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.fresh.eq(fresh),
                lane.earlier.eq(sums.lanes.earlier.word_select(index, bits)),
            ]
