"""The biases of a unit: their memory, how forward sums begin, and the few lanes that move them.

A bias moves once a row of tiles, and is added to one sum of it.  So a few lanes take turns over
those of a row (`design.units.turns`), and what they read serves the sums, too, which come later.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import AHEAD, CHOSEN, MEMORY, REPORTED, SATURATED, WORD
from counterflow.design.units.slots import Stage
from counterflow.design.units.timing import tile_revisits
from counterflow.design.units.turns import (
    bias_lanes,
    bias_reads,
    bias_turns,
    bias_waits,
    bias_words,
    waiting_biases,
)
from counterflow.hw.parts.block_fifo import queue
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.counter import around
from counterflow.hw.parts.modules import instantiate
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.parts.turns import Turns, chosen_late, taken_by
from counterflow.hw.weighted.broadcast import (
    gradient_levels,
    random_levels,
    spread_random,
    spread_settings,
)
from counterflow.hw.weighted.bundles import (
    Settings,
    bias_stream,
    half_of_outputs,
    memory_access,
    stored_word,
    visit_signals,
)
from counterflow.hw.weighted.gradient_sums import GradientSums
from counterflow.hw.weighted.lane import GRADIENT, BiasLane
from counterflow.hw.weighted.update import Predict
from counterflow.hw.weighted.weights import turn_of_bus


class Biases(wiring.Component):
    """Reads the biases of a row, for its sums and to move them, one after the other.

    Turn number t is t cycles behind the first one, and all take the random bits of the row's first
    tile.  Cycles count from the visit of its last phase.

    Parameters: ``stage``.
    Members, with the cycle in which they are valid: ``visit`` in 0; ``forward``: biases as sums
    begin with them, row by row; ``learnt`` in 11: a row's first turn writes in the next; ``dy`` in
    4, or `gradient_levels` before: the row's gradients; ``random`` in 7 - `random_levels`;
    ``fresh`` in 0: no sum of gradients is earlier; ``tile_clipped``, SATURATED + REPORTED after 12
    or the last turn of its weights: a new word of the tile is; ``saturated`` out, as much later: a
    new bias is, the first one of a row whose tile is not; ``settings`` in; ``bus``, ``stored`` in,
    as `hw.weighted.weights.WeightMemory` has them, the word uppermost; ``write_enable``,
    ``write_address``, ``write_data`` out: what is learnt at the write port, word row x turns +
    turn.
    Cost: a memory, `bias_lanes` lanes and predictions, a queue of `waiting_biases`, sums of
    gradients where there are some.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        self.lanes, self.turns = bias_lanes(tiling), bias_turns(tiling)
        self.words = bias_words(tiling)
        width = self.lanes * numbers.word_bits
        members: dict[str, Any] = {
            "visit": In(visit_signals(stage)),
            "settings": In(Settings),
            "bus": In(memory_access(width)),
            "stored": In(stored_word(stage)),
            "forward": Out(bias_stream(stage)),
            "learnt": In(1),
            "saturated": Out(1),
            "write_enable": Out(1),
            "write_address": Out(range(max(2, self.words))),
            "write_data": Out(width),
        }
        if not numbers.frozen:
            members |= {"dy": In(tiling.lanes.outputs * numbers.dy.bits), "random": In(32)}
            members |= {"fresh": In(1), "tile_clipped": In(1)}
        super().__init__(members)
        self._written = Turns(turns=self.turns)  # whose new word is written in the next cycle

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self.stage.arithmetic.word_bits
        begun = delayed(m, self.visit.row_begin, bias_reads(self.stage.tiling), "begun")
        m.submodules.read = read = Turns(turns=self.turns)
        m.d.comb += read.start.eq(begun)
        word = self._read(m, read.active)
        words = [word.word_select(lane, bits) for lane in range(self.lanes)]
        self._wait(m, begun, read.active, words, platform)
        if not self.stage.arithmetic.frozen:
            self._learn(m, begun, read.turn, words, platform)
        return m

    def _read(self, m: Module, reads: Value) -> Signal:
        """The word of each turn, WORD cycles later; what is learnt or stored goes in.

        Words are read and written in order, never one in the same cycle: see `design.units.turns`.
        """
        bus = self.bus
        m.submodules.written = written = self._written
        at, place = (Signal(range(max(2, self.words)), name=name) for name in ("at", "place"))
        around(m, at, reads, self.words)
        around(m, place, written.active, self.words)
        asked = turn_of_bus(m, self.visit.issue, bus, self.words)
        read = delayed(m, Mux(asked.fetch, asked.address, at), 1, "read")
        small = self.words <= READ_AT_ONCE  # LUT RAM, whose register is the one behind it
        width = len(self.write_data)
        m.submodules.memory = memory = BlockMemory(words=max(2, self.words), bits=width)
        word = Signal(width, name="word")
        address = delayed(m, Mux(asked.store, asked.address, place), 1, "address")
        stores = delayed(m, asked.store, 1, "stores")
        m.d.comb += [
            written.start.eq(self.learnt),
            memory.read_address.eq(delayed(m, read, 1, "late_read") if small else read),
            word.eq(
                memory.read_data if small else delayed(m, memory.read_data, MEMORY - 1, "data")
            ),
            memory.write_enable.eq(delayed(m, asked.store | written.active, 1, "enable")),
            memory.write_address.eq(address),
            memory.write_data.eq(Mux(stores, self.stored.word[-width:], self.write_data)),
            self.write_enable.eq(delayed(m, written.active, 1, "write_active")),
            self.write_address.eq(address),
            bus.fetched.eq(word),
        ]
        return word

    def _wait(
        self, m: Module, begun: Value, reads: Value, words: list[Value], platform: object
    ) -> None:
        """What the forward pass sees of the words, until the sums of their row are finished."""
        numbers, tiling = self.stage.arithmetic.of_biases, self.stage.tiling
        training: Value = self.settings.predict & (self.visit.slot.kind >= Kind.TRAIN)
        if numbers.predicts:  # as is said of the row's first tile, with its words
            before = bias_reads(tiling) + WORD - 1
            first = delayed(m, begun, WORD - 1, "first")
            training = own(m, delayed(m, training, before, "training"), "predict", first)
        operands = []
        for lane, word in enumerate(words):
            parameters = {"numbers": numbers, "target": numbers.bias_operand, "back": False}
            ahead = instantiate(m, f"start_{lane}", platform, Predict, **parameters)
            m.d.comb += [
                Cat(ahead.weight, ahead.velocity)[: numbers.word_bits].eq(word),
                ahead.enable.eq(training),
            ]
            operands.append(ahead.forward)
        made, depth = delayed(m, reads, WORD + AHEAD, "made"), waiting_biases(tiling)
        half = half_of_outputs(self.stage.arithmetic)
        if depth == 1:
            m.d.comb += self.forward.bias.eq(own(m, operands[0] + half, "bias", made))
            return
        m.submodules.waiting = waiting = queue(platform, width=len(Cat(operands)), depth=depth)
        oldest, takes = self._one_by_one(m, waiting.r_data)
        bias = Signal.like(self.forward.bias, name="bias", reset_less=True)
        m.d.sync += bias.eq(oldest.as_signed() + half)
        m.d.comb += [
            waiting.w_en.eq(made),
            waiting.w_data.eq(Cat(operands)),
            waiting.r_en.eq(takes),
            self.forward.bias.eq(bias),
        ]

    def _one_by_one(self, m: Module, word: Value) -> tuple[Value, Value]:
        """(the bias that is asked for, of the oldest word; whether it is the last of that).

        In the order of the row's outputs, of which its last word has fewer.
        """
        asked, bits = self.forward.asked, self.stage.arithmetic.bias_operand.bits
        if self.lanes == 1:
            return word, asked
        high = self.stage.tiling.lanes.outputs
        output, lane = Signal(range(high), name="output"), Signal(range(self.lanes), name="lane")
        _, last = around(m, output, asked, high)
        takes = asked & (last | (lane == self.lanes - 1))
        with m.If(asked):
            m.d.sync += lane.eq(Mux(takes, 0, lane + 1))
        return word.word_select(lane, bits), takes

    def _learn(
        self, m: Module, begun: Value, turn: Value, words: list[Value], platform: object
    ) -> None:
        """The lanes, what each of them works on, and where that goes."""
        visit, numbers, tiling = self.visit, self.stage.arithmetic.of_biases, self.stage.tiling
        waits, high = bias_waits(tiling), tiling.lanes.outputs
        known = waits + WORD - 1 - CHOSEN  # whose gradient is chosen, after whose word is read
        dy = delayed(m, self.dy, gradient_levels(tiling), "dy")
        errors = [dy.word_select(output, numbers.dy.bits) for output in range(high)]
        dy_turn = delayed(m, turn, known, "dy_turn")
        held = self.turns > 1
        lanes = [
            instantiate(
                m, f"lane_{lane}", platform, BiasLane, numbers=numbers, waits=waits, held=held
            )
            for lane in range(self.lanes)
        ]
        for index, lane in enumerate(lanes):
            mine = taken_by(index, self.lanes, errors)
            m.d.comb += [
                lane.word.eq(words[index]),
                lane.dy.eq(chosen_late(m, mine, dy_turn, f"dy_{index}")),
            ]
            if held:
                m.d.comb += lane.draw.eq(self._draw(m, begun, index))
        spread_settings(m, numbers, self.settings, [lane.settings for lane in lanes])
        levels = random_levels(self.stage, platform)
        spread_random(m, numbers, self.random, lanes, levels)
        m.d.comb += self.write_data.eq(Cat(lane.new_word for lane in lanes))
        if numbers.sums_gradients:
            last = visit.phase == tiling.phases - 1
            self._sum(m, lanes, visit.issue & last & visit.first_column & visit.slot.learning)
        self._clipped(m, lanes)

    def _draw(self, m: Module, begun: Value, lane: int) -> Value:
        """When a lane takes random bits for all its turns."""
        return delayed(m, begun, WORD + bias_waits(self.stage.tiling) + 1, f"draw_{lane}")

    def _clipped(self, m: Module, lanes: list[Any]) -> None:
        """Whether a row has its first clipped word in a turn."""
        turn = delayed(m, self._written.turn, 1, "written_turn")
        now = Cat(turn == 0, self.write_enable, Cat(lane.clipped for lane in lanes).any())
        # That of the tile is known after the turns of its weights.
        later = self.stage.tiling.move_turns - 1 + SATURATED + REPORTED
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
        bits = self.stage.arithmetic.gradient.bits
        m.submodules.learnt_turns = learnt = Turns(turns=self.turns)
        m.submodules.sums = sums = GradientSums(
            words=self.words,
            bits=bits,
            sums=self.lanes,
            at=GRADIENT,
            apart=tile_revisits(self.stage.tiling),
        )
        place = Signal(range(max(2, self.words)), name="sums_place")
        around(m, place, learnt.active, self.words)
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
