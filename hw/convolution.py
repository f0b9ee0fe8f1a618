"""The dense unit: one read and one write of its weights a cycle, three products from them.

    dy ->[queue]----------------------+--------+
    x  ->[window]-+->[stash]-> x_stash |        |
                  |          weights -> lanes: w_hat x, w dy, dy x_stash
                  |                     |        |       |
                  |                 sum -> y   sum -> dx  update -> weights

Twin of `golden.convolution`.  In slot j the forward pass of token j and the backward pass, gradient and
update of token j - D visit the same tile in the same cycle.  Cycle numbers in names and comments
count from a tile's issue; `counterflow.schedule` predicts them.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from counterflow.arithmetic import RANDOM_BITS
from counterflow.formats import Rounding
from counterflow.schedule import UPDATE, Stage
from counterflow.tokens import Kind
from hw.bus import Access
from hw.column_sums import ColumnSums
from hw.generator import Generator
from hw.lane import GRADIENT, BiasLane, Lane
from hw.modules import place
from hw.narrow import shape_of
from hw.pipeline import delayed
from hw.row_sums import RowSums
from hw.streams import KIND_BITS, Gather, activation_stream, error_stream, signed_lanes
from hw.unit_registers import UnitRegisters
from hw.walk import Walk
from hw.weights import WeightMemory
from hw.window import Stash, Window


class Convolution(wiring.Component):
    """One fully connected layer that learns: y = f(W x + b), dx = W^T dy masked, SGDM update.

    Parameters: ``stage``, ``interval`` of the schedule.
    Members: ``x``, ``y`` streams of activations; ``dy``, ``dx`` streams of gradients (no ``dx`` on
    a first unit); ``bus_i``, ``bus_o`` register bus, node stage.index + 1.
    Cost: ``stage.tiling.multipliers`` multipliers; memories: weights {w, u} of tiles x lanes and
    rows x output lanes, window 2 tokens, stash D + 1 tokens, gradient queue, sums of dx.
    Latency and rate: `counterflow.schedule.output_offsets`, one token a slot.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        numbers = stage.arithmetic
        members = {
            "x": In(activation_stream(numbers.x)),
            "y": Out(activation_stream(numbers.y)),
            "dy": In(error_stream(numbers.dy)),
            "bus_i": In(Access),
            "bus_o": Out(Access),
        }
        if numbers.dx is not None:
            members["dx"] = Out(error_stream(numbers.dx))
        super().__init__(members)
        self.walk = Walk(stage=stage, interval=interval)
        self.registers = UnitRegisters(stage=stage)
        self.weights = WeightMemory(
            words=stage.tiling.tiles, lanes=stage.tiling.lane_count, bits=numbers.word_bits
        )
        self.biases = WeightMemory(
            words=stage.tiling.rows, lanes=stage.tiling.lanes.outputs, bits=numbers.word_bits
        )
        self.forward_kind = Signal(KIND_BITS)
        self.returning, self.learning = Signal(), Signal()
        self.random = Signal(RANDOM_BITS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = self.walk
        m.submodules.weights = self.weights
        m.submodules.biases = self.biases
        m.submodules.registers = self.registers
        x, stash = self._inputs(m)
        dy = self._errors(m)
        self._tokens(m)
        lanes, biases = self._lanes(m, x, stash, dy, platform)
        clipped = self._forward(m, lanes, biases)
        if self.stage.arithmetic.dx is not None:
            clipped += self._backward(m, lanes, stash)
        else:
            m.d.comb += self.walk.word_room.eq(1)
        clipped += self._learn(m, lanes, biases)
        self._registers(m, clipped)
        return m

    def _tokens(self, m: Module) -> None:
        """Which token comes back in this slot: the kinds of the last D tokens."""
        delay = self.stage.delay
        present, trained = Signal(delay), Signal(delay)
        m.d.comb += [self.returning.eq(present[-1]), self.learning.eq(trained[-1])]
        with m.If(self.walk.finish):
            m.d.sync += [
                present.eq(Cat(1, present)),
                trained.eq(Cat(self.forward_kind == Kind.TRAIN, trained)),
            ]

    def _inputs(self, m: Module) -> tuple[list[Value], list[Value]]:
        """Window and stash; lanes of x and of the stashed x at cycle 2."""
        walk, numbers, tiling = self.walk, self.stage.arithmetic, self.stage.tiling
        m.submodules.window = window = Window(stage=self.stage)
        m.submodules.stash = stash = Stash(stage=self.stage)
        wiring.connect(m, wiring.flipped(self.x), window.x)
        fresh = walk.issue & walk.first_row & (walk.phase == 0)
        m.d.comb += [
            walk.words.eq(window.words),
            self.forward_kind.eq(window.kind),
            window.column.eq(walk.column),
            window.finish.eq(walk.finish),
            stash.read_column.eq(walk.column),
            stash.finish.eq(walk.finish),
            stash.write.eq(delayed(m, fresh, 2, "fresh")),
            stash.column.eq(delayed(m, walk.column, 2, "stash_column")),
            stash.word.eq(window.word),
        ]
        shape, lanes = shape_of(numbers.x), tiling.lanes.inputs
        return signed_lanes(window.word, shape, lanes), signed_lanes(stash.stashed, shape, lanes)

    def _errors(self, m: Module) -> list[Value]:
        """Queue of arriving gradients; lanes of the row's dy at cycle 2, zero if none is due."""
        walk, tiling, number = self.walk, self.stage.tiling, self.stage.arithmetic.dy
        lanes = tiling.lanes.outputs
        m.submodules.gather = gather = Gather(bits=number.bits, lanes=lanes, count=tiling.outputs)
        m.submodules.errors = queue = SyncFIFO(
            width=lanes * number.bits, depth=self.stage.error_tokens * tiling.rows
        )
        m.d.comb += [
            gather.i.payload.eq(self.dy.payload),
            gather.i.valid.eq(self.dy.valid),
            self.dy.ready.eq(gather.i.ready),
            gather.o.ready.eq(queue.w_rdy),
            queue.w_en.eq(gather.o.valid),
            queue.w_data.eq(gather.o.payload),
            walk.returning.eq(self.returning),
            walk.error_ready.eq(queue.r_rdy),
            queue.r_en.eq(walk.row_end & self.returning),
        ]
        word = Signal(lanes * number.bits)
        m.d.comb += word.eq(Mux(self.returning, queue.r_data, 0))
        return signed_lanes(delayed(m, word, 2, "dy"), shape_of(number), lanes)

    def _lanes(
        self, m: Module, x: list[Value], stash: list[Value], dy: list[Value], platform: object
    ) -> tuple[list[Lane], list[BiasLane]]:
        """Place all lanes and feed them; products leave at cycle 4, new words at cycle 8."""
        numbers, registers, tiling = self.stage.arithmetic, self.registers, self.stage.tiling
        shared, wide = tiling.lanes.shared, tiling.lanes.inputs
        training = registers.predict & (self.forward_kind == Kind.TRAIN)
        predict = delayed(m, training, 2, "predict")
        phase = delayed(m, self.walk.phase, 2, "phase")
        lanes = [
            place(m, f"lane_{index}", platform, Lane, numbers=numbers, shared=shared)
            for index in range(tiling.lane_count)
        ]
        biases = [
            place(m, f"bias_{index}", platform, BiasLane, numbers=numbers)
            for index in range(tiling.lanes.outputs)
        ]
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.word.eq(self.weights.data.word_select(index, numbers.word_bits)),
                lane.phase.eq(phase),
                lane.x.eq(x[index % wide]),
                lane.stash.eq(stash[index % wide]),
                lane.dy.eq(dy[index // wide]),
            ]
        for index, bias in enumerate(biases):
            m.d.comb += [
                bias.word.eq(self.biases.data.word_select(index, numbers.word_bits)),
                bias.dy.eq(dy[index]),
            ]
        for any_lane in [*lanes, *biases]:
            m.d.comb += [
                any_lane.predict.eq(predict),
                any_lane.compensate.eq(registers.compensate),
                any_lane.extra_shift.eq(registers.extra_shift),
                any_lane.random.eq(self.random),
            ]
        return lanes, biases

    def _forward(self, m: Module, lanes: list[Lane], biases: list[BiasLane]) -> list[Value]:
        """Feed the forward sums; returns their clip flag."""
        walk = self.walk
        m.submodules.rows = rows = RowSums(stage=self.stage)
        wiring.connect(m, rows.y, wiring.flipped(self.y))
        m.d.comb += [
            rows.turn.eq(walk.issue & (walk.phase == 0)),
            rows.first.eq(walk.first_column),
            rows.last.eq(walk.last_column),
            rows.kind.eq(self.forward_kind),
            rows.begin.eq(walk.row_begin),
            walk.row_room.eq(rows.room),
        ]
        m.d.comb += [rows.starts[i].eq(bias.start) for i, bias in enumerate(biases)]
        m.d.comb += [rows.products[i].eq(lane.y) for i, lane in enumerate(lanes)]
        return [rows.clipped]

    def _backward(self, m: Module, lanes: list[Lane], stash: list[Value]) -> list[Value]:
        """Feed the backward sums; returns their clip flag."""
        walk, phases = self.walk, self.stage.tiling.phases
        m.submodules.columns = columns = ColumnSums(stage=self.stage)
        wiring.connect(m, columns.dx, wiring.flipped(self.dx))
        leaving = walk.last_row & self.returning
        m.d.comb += [
            columns.turn.eq(walk.issue & (walk.phase == (1 if phases > 1 else 0))),
            columns.first.eq(walk.first_row),
            columns.last.eq(walk.last_row),
            columns.returning.eq(self.returning),
            columns.column.eq(walk.column),
            columns.begin.eq(walk.issue & (walk.phase == 0) & leaving),
            walk.word_room.eq(columns.room),
        ]
        m.d.comb += [columns.active[i].eq(x > 0) for i, x in enumerate(stash)]
        m.d.comb += [columns.products[i].eq(lane.dx) for i, lane in enumerate(lanes)]
        return [columns.clipped]

    def _learn(self, m: Module, lanes: list[Lane], biases: list[BiasLane]) -> list[Value]:
        """Write the tile's new weights and biases back; returns clip flags."""
        walk, tiling = self.walk, self.stage.tiling
        turn = walk.issue & (walk.phase == tiling.phases - 1) & self.learning
        m.submodules.generator = generator = Generator()
        if self.stage.arithmetic.round_update is Rounding.STOCHASTIC:
            m.d.comb += generator.step.eq(delayed(m, turn, GRADIENT, "learn"))
        m.d.comb += [
            generator.load.eq(self.registers.generator_write),
            generator.initial.eq(self.registers.data),
            self.registers.generator.eq(generator.state),
            self.random.eq(generator.state),
        ]
        written = delayed(m, turn, GRADIENT + UPDATE, "write")
        first = delayed(m, walk.first_column, GRADIENT + UPDATE, "write_first")
        m.d.comb += [
            self.weights.address.eq(walk.tile),
            self.weights.learnt.eq(written),
            self.weights.learnt_address.eq(delayed(m, walk.tile, GRADIENT + UPDATE, "write_tile")),
            self.weights.learnt_data.eq(Cat(lane.new_word for lane in lanes)),
            self.biases.address.eq(walk.row),
            self.biases.learnt.eq(written & first),
            self.biases.learnt_address.eq(delayed(m, walk.row, GRADIENT + UPDATE, "write_row")),
            self.biases.learnt_data.eq(Cat(bias.new_word for bias in biases)),
        ]
        any_bias = first & Cat(bias.clipped for bias in biases).any()
        return [written & (Cat(lane.clipped for lane in lanes).any() | any_bias)]

    def _registers(self, m: Module, clipped: list[Value]) -> None:
        """Connect bus, counters and the load and readback path."""
        registers, walk = self.registers, self.walk
        m.d.comb += [
            registers.bus_i.eq(self.bus_i),
            self.bus_o.eq(registers.bus_o),
            registers.issue.eq(walk.issue),
            registers.idle.eq(walk.idle),
            registers.finish.eq(walk.finish),
            registers.stalled.eq(walk.stalled),
            registers.clipped.eq(Cat(clipped)),
            registers.learning.eq(self.learning),
            registers.forwarding.eq(self.forward_kind != Kind.BUBBLE),
            registers.phase.eq(walk.phase),
            registers.last_row.eq(walk.last_row),
            registers.last_column.eq(walk.last_column),
            walk.hold.eq(registers.hold),
            registers.weight_data.eq(self.weights.data),
            registers.bias_data.eq(self.biases.data),
        ]
        for memory, port in ((self.weights, registers.weights), (self.biases, registers.biases)):
            m.d.comb += [
                memory.fetch.eq(port.fetch),
                memory.fetch_address.eq(port.address),
                memory.store.eq(port.store),
                memory.store_data.eq(registers.shifted[: len(memory.store_data)]),
            ]
