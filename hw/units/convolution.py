"""The unit with weights: one read and one write of them a cycle, three products from them.

    dy ->[queue]---------------------+--------+
    x --+->[window]-> x under the    |        |
        |             kernel    weights -> lanes: w_hat x, w dy, dy x_stash
        +->[stash]--> x_stash        |        |       |
                               sum -> y   sum -> dx  sum -> update -> weights

Twin of `golden.units.convolution`.  In slot j the forward pass of token j and the backward pass,
gradient and update of token j - D visit the same tile at the same position in the same cycle;
weights are written at the last position.  A dense layer has one position only.  Cycle numbers in
names and comments count from a tile's issue; `design.units.timing` predicts them.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.design.schedule.stages import Stage
from counterflow.design.units.convolution import RANDOM_BITS
from counterflow.design.units.latency import OPERANDS
from counterflow.hw.parts.block_fifo import queue
from counterflow.hw.parts.bus import Access
from counterflow.hw.parts.modules import instantiate
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import Gather, activation_stream, error_stream, signed_lanes
from counterflow.hw.weighted.arrivals import Arrivals
from counterflow.hw.weighted.input_gradient import InputGradient
from counterflow.hw.weighted.lane import BiasLane, Lane
from counterflow.hw.weighted.learning import Learning
from counterflow.hw.weighted.registers import UnitRegisters
from counterflow.hw.weighted.row_sums import RowSums
from counterflow.hw.weighted.visit import Visit
from counterflow.hw.weighted.walk import Walk
from counterflow.hw.weighted.weights import WeightMemory

AT_LANES = OPERANDS - 1  # cycle of a visit in which inputs and gradients stand at the lanes


class Convolution(wiring.Component):
    """One layer that learns: y = f(w * x + b), dx = w^T * dy masked, SGDM update.

    Parameters: ``stage``, ``interval`` of the schedule.
    Members: ``x``, ``y`` streams of activations; ``dy``, ``dx`` streams of gradients (no ``dx`` on
    a first unit); ``bus_i``, ``bus_o`` register bus, node stage.index + 1.
    Cost: ``stage.tiling.multipliers`` multipliers; memories: weights {w, u} of tiles x lanes and
    rows x output lanes, as many sums of gradients where these are sums, and those of `stage.depths`
    and of `hw.weighted.input_gradient`.
    Latency and rate: `design.units.timing.output_offsets`, one token a slot.
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
        self.visit = Visit(walk=self.walk)
        self.registers = UnitRegisters(stage=stage)
        self.weights = WeightMemory(
            words=stage.tiling.tiles, lanes=stage.tiling.lane_count, bits=numbers.word_bits
        )
        self.biases = WeightMemory(
            words=stage.tiling.rows, lanes=stage.tiling.lanes.outputs, bits=numbers.word_bits
        )
        self.forward_kind = Signal(KIND_BITS)
        # Whether this slot has a backward token, it has a gradient, and weights move by it.
        self.returning, self.learning, self.moving = Signal(), Signal(), Signal()
        self.random = Signal(RANDOM_BITS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walk = self.walk
        m.submodules.visit = self.visit
        m.submodules.weights = self.weights
        m.submodules.biases = self.biases
        m.submodules.registers = self.registers
        x, stash = self._inputs(m)
        dy = self._errors(m, platform)
        self._tokens(m)
        lanes, biases = self._lanes(m, x, stash, dy, platform)
        clipped = self._forward(m, lanes, biases)
        if self.stage.arithmetic.dx is not None:
            clipped += self._backward(m, lanes, stash)
        else:
            m.d.comb += self.walk.line_room.eq(1)
        clipped += self._learn(m, lanes, biases)
        self._registers(m, clipped)
        return m

    def _tokens(self, m: Module) -> None:
        """Which token comes back in this slot: the kinds of the last D tokens."""
        delay = self.stage.delay
        for flag, now in (
            (self.returning, C(1)),
            (self.learning, self.forward_kind >= Kind.TRAIN),
            (self.moving, self.forward_kind == Kind.TRAIN),
        ):
            past = Signal(delay, name=f"{flag.name}_past")
            m.d.comb += flag.eq(past[-1])
            with m.If(self.walk.finish):
                m.d.sync += past.eq(Cat(now, past))
        m.d.comb += [
            self.visit.slot_kind.eq(self.forward_kind),
            self.visit.slot_returning.eq(self.returning),
            self.visit.slot_learning.eq(self.learning),
            self.visit.slot_moving.eq(self.moving),
        ]

    def _inputs(self, m: Module) -> tuple[list[Value], list[Value]]:
        """Window and stash; lanes of x and of the stashed x at cycle 3."""
        walk, numbers, tiling = self.walk, self.stage.arithmetic, self.stage.tiling
        m.submodules.arrivals = arrivals = Arrivals(stage=self.stage, walk=walk, visit=self.visit)
        wiring.connect(m, wiring.flipped(self.x), arrivals.x)
        m.d.comb += [
            arrivals.inside.eq(self.visit.granules_inside),
            walk.words.eq(arrivals.words),
            walk.word.eq(arrivals.word),
            self.forward_kind.eq(arrivals.kind),
        ]
        shape, lanes = shape_of(numbers.x), tiling.lanes.inputs
        return signed_lanes(arrivals.taps, shape, lanes), signed_lanes(
            arrivals.stashed, shape, lanes
        )

    def _errors(self, m: Module, platform: object) -> list[Value]:
        """Queue of arriving gradients; lanes of the row's dy at cycle 3, zero if none is due."""
        walk, visit = self.walk, self.visit
        tiling, number = self.stage.tiling, self.stage.arithmetic.dy
        lanes = tiling.lanes.outputs
        m.submodules.gather = gather = Gather(bits=number.bits, lanes=lanes, count=tiling.outputs)
        m.submodules.errors = waiting = queue(
            platform, width=lanes * number.bits, depth=self.stage.depths.errors
        )
        m.d.comb += [
            gather.i.payload.eq(self.dy.payload),
            gather.i.valid.eq(self.dy.valid),
            self.dy.ready.eq(gather.i.ready),
            gather.o.ready.eq(waiting.w_rdy),
            waiting.w_en.eq(gather.o.valid),
            waiting.w_data.eq(gather.o.payload),
            walk.returning.eq(self.returning),
            waiting.r_en.eq(visit.row_end & visit.returning),
        ]
        # What the queue will hold once the walk has had its own, known a cycle before.
        unclaimed = Signal.like(waiting.level)
        more = unclaimed + (waiting.w_en & waiting.w_rdy)
        claimed = walk.row_end & self.returning
        m.d.sync += [
            unclaimed.eq(Mux(claimed, more - 1, more)),
            walk.error_ready.eq(Mux(claimed, more != 1, more != 0)),
        ]
        word = Signal(lanes * number.bits)
        m.d.comb += word.eq(Mux(visit.returning, waiting.r_data, 0))
        return signed_lanes(delayed(m, word, AT_LANES, "dy"), shape_of(number), lanes)

    def _lanes(
        self, m: Module, x: list[Value], stash: list[Value], dy: list[Value], platform: object
    ) -> tuple[list[Lane], list[BiasLane]]:
        """Instantiate all lanes and feed them; products leave at cycle 5, new words at cycle 9."""
        numbers, registers, tiling = self.stage.arithmetic, self.registers, self.stage.tiling
        shared, wide = tiling.lanes.shared, tiling.lanes.inputs
        training = registers.predict & (self.visit.kind >= Kind.TRAIN)
        predict = delayed(m, training, AT_LANES, "predict")
        phase = delayed(m, self.visit.phase, AT_LANES, "phase")
        lanes: list[Any] = [
            instantiate(m, f"lane_{index}", platform, Lane, numbers=numbers, shared=shared)
            for index in range(tiling.lane_count)
        ]
        biases = [
            instantiate(m, f"bias_{index}", platform, BiasLane, numbers=numbers)
            for index in range(tiling.lanes.outputs)
        ]
        for index, lane in enumerate(lanes):
            m.d.comb += [
                lane.word.eq(self.weights.data.word_select(index, numbers.word_bits)),
                lane.phase.eq(phase),
                lane.x.eq(x[index % wide]),
                lane.stash.eq(stash[index % wide]),
                lane.dy.eq(dy[index // wide]),
                lane.store.eq(registers.weights.store),
                lane.stored.eq(registers.shifted.word_select(index, numbers.word_bits)),
            ]
        for index, bias in enumerate(biases):
            m.d.comb += [
                bias.word.eq(self.biases.data.word_select(index, numbers.word_bits)),
                bias.dy.eq(dy[index]),
                bias.store.eq(registers.biases.store),
                bias.stored.eq(registers.shifted.word_select(index, numbers.word_bits)),
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
        walk, visit = self.walk, self.visit
        m.submodules.rows = rows = RowSums(stage=self.stage)
        wiring.connect(m, rows.y, wiring.flipped(self.y))
        m.d.comb += [
            rows.turn.eq(visit.issue & (visit.phase == 0)),
            rows.first.eq(visit.first_column),
            rows.last.eq(visit.last_column),
            rows.kind.eq(visit.kind),
            rows.begin.eq(walk.row_begin),
            walk.row_room.eq(rows.room),
        ]
        m.d.comb += [rows.starts[i].eq(bias.start) for i, bias in enumerate(biases)]
        m.d.comb += [rows.products[i].eq(lane.y) for i, lane in enumerate(lanes)]
        return [rows.clipped]

    def _backward(self, m: Module, lanes: list[Lane], stash: list[Value]) -> list[Value]:
        """Feed the backward sums; returns their clip flag."""
        walk, visit, tiling = self.walk, self.visit, self.stage.tiling
        m.submodules.gradient = gradient = InputGradient(stage=self.stage, walk=visit)
        wiring.connect(m, gradient.dx, wiring.flipped(self.dx))
        m.d.comb += [
            gradient.turn.eq(visit.issue & (visit.phase == (1 if tiling.phases > 1 else 0))),
            gradient.begin.eq(walk.first_across & walk.row_begin & walk.first_row & self.returning),
            gradient.begin_rows.eq(walk.rows_done),
            gradient.returning.eq(visit.returning),
            gradient.inside.eq(visit.granules_inside),
            gradient.first.eq(visit.granules_first),
            gradient.last.eq(visit.granules_last),
            walk.line_room.eq(gradient.room),
        ]
        masks = self.stage.arithmetic.masks
        m.d.comb += [gradient.active[i].eq(x > 0 if masks else 1) for i, x in enumerate(stash)]
        m.d.comb += [gradient.products[i].eq(lane.dx) for i, lane in enumerate(lanes)]
        return [gradient.clipped]

    def _learn(self, m: Module, lanes: list[Lane], biases: list[BiasLane]) -> list[Value]:
        """Sum gradients, write the tile's new weights and biases back; returns a clip flag."""
        m.submodules.learning = learning = Learning(
            stage=self.stage, walk=self.visit, weights=self.weights, biases=self.biases
        )
        registers = self.registers
        m.d.comb += [
            learning.learning.eq(self.visit.learning),
            learning.moving.eq(self.visit.moving),
            learning.generator_write.eq(registers.generator_write),
            learning.generator_data.eq(registers.data),
            registers.generator.eq(learning.generator),
            self.random.eq(learning.generator),
            self.weights.learnt_data.eq(Cat(lane.new_word for lane in lanes)),
            self.biases.learnt_data.eq(Cat(bias.new_word for bias in biases)),
            learning.clipped.eq(Cat(lane.clipped for lane in lanes).any()),
            learning.bias_clipped.eq(Cat(bias.clipped for bias in biases).any()),
        ]
        if self.stage.arithmetic.sums_gradients:
            bits = self.stage.arithmetic.gradient.bits
            m.d.comb += [
                learning.sums.eq(Cat(lane.sum for lane in lanes)),
                learning.bias_sums.eq(Cat(bias.sum for bias in biases)),
            ]
            for index, lane in enumerate(lanes):
                m.d.comb += lane.earlier.eq(learning.earlier.word_select(index, bits))
            for index, bias in enumerate(biases):
                m.d.comb += bias.earlier.eq(learning.bias_earlier.word_select(index, bits))
            every: list[Any] = [*lanes, *biases]
            for any_lane in every:
                m.d.comb += any_lane.fresh.eq(learning.fresh)
        return [learning.saturated]

    def _registers(self, m: Module, clipped: list[Value]) -> None:
        """Connect bus, counters and the load and readback path."""
        registers, walk, visit = self.registers, self.walk, self.visit
        m.d.comb += [
            registers.bus_i.eq(self.bus_i),
            self.bus_o.eq(registers.bus_o),
            registers.idle.eq(walk.idle),
            registers.due.eq(walk.arrived),
            walk.hold.eq(registers.hold),
            registers.stalled.eq(walk.stalled),
            registers.issue.eq(visit.issue),
            registers.finish.eq(visit.finish),
            registers.clipped.eq(Cat(clipped)),
            registers.learning.eq(visit.learning),
            registers.forwarding.eq(visit.kind != Kind.BUBBLE),
            registers.phase.eq(visit.phase),
            registers.last_row.eq(visit.last_row),
            registers.last_part.eq(visit.last_part),
            registers.weight_data.eq(self.weights.fetched),
            registers.bias_data.eq(self.biases.fetched),
        ]
        for memory, port in ((self.weights, registers.weights), (self.biases, registers.biases)):
            m.d.comb += [
                memory.fetch.eq(port.fetch),
                memory.fetch_address.eq(port.address),
                memory.store.eq(port.store),
            ]
