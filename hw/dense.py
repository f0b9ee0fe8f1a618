"""The dense unit: one read and one write of its weights a cycle, three products from them.

    dy ->[queue]----------------------+--------+
    x  ->[window]-+->[stash]-> x_stash |        |
                  |          weights -> lanes: w_hat x, w dy, dy x_stash
                  |                     |        |       |
                  |                 sum -> y   sum -> dx  update -> weights

Twin of `golden.dense`.  In slot j the forward pass of token j and the backward pass, gradient and
update of token j - D visit the same tile in the same cycle.  Cycle numbers in names and comments
count from a tile's issue; `counterflow.schedule` predicts them.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.arithmetic import RANDOM_BITS
from counterflow.formats import Rounding
from counterflow.schedule import NARROW, OPERANDS, PRODUCT, SUM, UPDATE, Stage, tree_latency
from counterflow.tokens import Kind
from hw.bus import Access
from hw.dense_registers import DenseRegisters
from hw.generator import Generator
from hw.lane import GRADIENT, BiasLane, Lane
from hw.modules import place
from hw.narrow import narrow, shape_of
from hw.pipeline import delayed, summed
from hw.streams import KIND_BITS, Gather, Scatter, activation_stream, error_stream, signed_lanes
from hw.walk import Walk
from hw.weights import WeightMemory
from hw.window import Stash, Window


class Dense(wiring.Component):
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
        self.registers = DenseRegisters(stage=stage)
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
        """Sum each row over its columns on top of the bias, activate, queue; returns clip flags."""
        walk, numbers, tiling = self.walk, self.stage.arithmetic, self.stage.tiling
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        summing = OPERANDS + PRODUCT + tree_latency(wide)
        m.submodules.scatter = scatter = Scatter(
            bits=numbers.y.bits,
            lanes=high,
            count=tiling.outputs,
            depth=self.stage.forward_queue,
            tag=KIND_BITS,
        )
        valid = delayed(m, walk.issue & (walk.phase == 0), summing, "sum_valid")
        first = delayed(m, walk.first_column, summing, "sum_first")
        complete = walk.issue & (walk.phase == 0) & walk.last_column
        outputs, flags = [], []
        for lane in range(high):
            start = delayed(m, biases[lane].start, summing - 2, f"bias_{lane}")
            row = lanes[lane * wide : (lane + 1) * wide]
            total = summed(m, [one.y for one in row], f"y_{lane}")
            accumulator = Signal(shape_of(numbers.forward_sum), name=f"y_sum_{lane}")
            with m.If(valid):
                m.d.sync += accumulator.eq(Mux(first, start, accumulator) + total)
            active = Mux(accumulator < 0, 0, accumulator) if numbers.relu else accumulator
            y, clip = narrow(active, numbers.forward_sum.frac, numbers.y, numbers.round_activation)
            outputs.append(delayed(m, y, NARROW, f"y_out_{lane}"))
            flags.append(clip)
        ready = delayed(m, complete, summing + SUM, "row_complete")
        kind = delayed(m, self.forward_kind, summing + SUM + NARROW, "y_kind")
        m.d.comb += [
            walk.row_room.eq(scatter.room),
            scatter.reserve.eq(walk.row_begin),
            scatter.push.eq(delayed(m, ready, NARROW, "row_push")),
            scatter.word.eq(Cat(outputs)),
            scatter.word_tag.eq(kind),
            self.y.payload.data.eq(scatter.o.payload),
            self.y.payload.kind.eq(scatter.o_tag),
            self.y.valid.eq(scatter.o.valid),
            scatter.o.ready.eq(self.y.ready),
        ]
        return [delayed(m, ready & Cat(flags).any(), 1, "y_clipped")]

    def _backward(self, m: Module, lanes: list[Lane], stash: list[Value]) -> list[Value]:
        """Sum each column over the rows, mask by the stashed x, queue; returns clip flags."""
        walk, numbers, tiling = self.walk, self.stage.arithmetic, self.stage.tiling
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        assert numbers.dx is not None
        summing = OPERANDS + PRODUCT + tree_latency(high)
        turn = walk.issue & (walk.phase == (1 if tiling.phases > 1 else 0))
        m.submodules.scatter_dx = scatter = Scatter(
            bits=numbers.dx.bits,
            lanes=wide,
            count=tiling.inputs,
            depth=self.stage.backward_queue,
        )
        width = numbers.backward_sum.bits
        m.submodules.sums = sums = Memory(shape=wide * width, depth=tiling.columns, init=[])
        read, write = sums.read_port(domain="comb"), sums.write_port()
        first = delayed(m, walk.first_row, summing, "dx_first")
        column = delayed(m, walk.column, summing, "dx_column")
        old = signed_lanes(read.data, signed(width), wide)
        new, outputs, flags = [], [], []
        for lane in range(wide):
            total = summed(m, [one.dx for one in lanes[lane::wide]], f"dx_{lane}")
            value = Signal(signed(width), name=f"dx_sum_{lane}")
            m.d.comb += value.eq(Mux(first, 0, old[lane]) + total)
            new.append(value)
            done = delayed(m, value, SUM, f"dx_done_{lane}")
            dx, clip = narrow(done, numbers.backward_sum.frac, numbers.dx, numbers.round_error)
            active = delayed(m, stash[lane] > 0, summing + SUM - 2, f"active_{lane}")
            outputs.append(delayed(m, Mux(active, dx, 0)[: numbers.dx.bits], NARROW, f"dx_{lane}"))
            flags.append(clip & active)
        m.d.comb += [
            read.addr.eq(column),
            write.addr.eq(column),
            write.en.eq(delayed(m, turn, summing, "dx_turn")),
            write.data.eq(Cat(new)),
        ]
        complete = turn & walk.last_row & self.returning
        ready = delayed(m, complete, summing + SUM, "dx_complete")
        m.d.comb += [
            walk.word_room.eq(scatter.room),
            scatter.reserve.eq(walk.issue & (walk.phase == 0) & walk.last_row & self.returning),
            scatter.push.eq(delayed(m, ready, NARROW, "dx_push")),
            scatter.word.eq(Cat(outputs)),
            self.dx.payload.eq(scatter.o.payload),
            self.dx.valid.eq(scatter.o.valid),
            scatter.o.ready.eq(self.dx.ready),
        ]
        return [delayed(m, ready & Cat(flags).any(), 1, "dx_clipped")]

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
