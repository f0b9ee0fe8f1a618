"""The unit with weights: one read and one write of them a cycle, three products from them.

                    walk -> visit -> what all parts do in a cycle

    dy ->[errors]--------------------+--------+
    x --+->[window]-> x under the    |        |
        |             kernel    weights -> lanes: w_hat x, w dy, dy x_stash
        +->[stash]--> x_stash        |        |       |
                               rows -> y   gradient -> dx   learning -> weights

Twin of `golden.units.convolution`: ``rows`` is its `forward`, ``gradient`` its `backward`,
``learning`` with the lanes its `learn`.  In slot j the forward pass of token j and the backward
pass, gradient and update of token j - D visit the same tile at the same position in the same cycle;
weights are written at the last position.  A dense layer has one position only.  Cycle numbers in
names and comments count from a tile's visit: products leave the lanes at cycle 6, new words stand
at the memory at cycle 12; `design.units.timing` predicts them.
"""

from __future__ import annotations

from typing import Self

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.schedule.schedule import Schedule
from counterflow.design.units.scheduled import gradient_port
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.bus import Access
from counterflow.hw.parts.streams import activation_stream, error_stream
from counterflow.hw.weighted.arrivals import Arrivals
from counterflow.hw.weighted.aside import Aside
from counterflow.hw.weighted.biases import Biases
from counterflow.hw.weighted.errors import Errors
from counterflow.hw.weighted.input_gradient import InputGradient
from counterflow.hw.weighted.lanes import Lanes
from counterflow.hw.weighted.learning import Learning
from counterflow.hw.weighted.multiply import factors
from counterflow.hw.weighted.registers import UnitRegisters
from counterflow.hw.weighted.row_sums import RowSums
from counterflow.hw.weighted.slots import Slots
from counterflow.hw.weighted.visit import Visit
from counterflow.hw.weighted.walk import Walk
from counterflow.hw.weighted.weights import WeightMemory


class Convolution(wiring.Component):
    """One layer that learns: y = f(w * x + b), dx = w^T * dy masked, SGDM update.

    A frozen one has no update, and below all that learn it only goes forward.

    Parameters: ``stage``, ``interval`` of the schedule.
    Members: ``x``, ``y`` streams of activations; ``dy``, ``dx`` streams of gradients (no ``dx`` on
    a first unit), and of those of other losses that pass (`design.units.scheduled.gradient_port`);
    ``bus_i``, ``bus_o`` register bus, node stage.index + 1.
    Cost: ``stage.tiling.multipliers`` multipliers; memories: weights {w, u} of tiles x lanes and
    rows x output lanes, as many sums of gradients where these are sums, and those of `stage.depths`
    and of `hw.weighted.input_gradient`.
    Latency and rate: `design.units.timing.output_offsets`, one token a slot.
    """

    def __init__(self, *, stage: Stage, interval: int) -> None:
        self.stage, self.interval = stage, interval
        numbers, tiling = stage.arithmetic, stage.tiling
        members = {
            "x": In(activation_stream(numbers.x)),
            "y": Out(activation_stream(numbers.y)),
            "bus_i": In(Access),
            "bus_o": Out(Access),
        }
        for one, dy, dx in self._gradients():
            numbers = one.arithmetic
            members[dy] = In(error_stream(numbers.dy))
            if numbers.dx is not None:
                x = numbers.x if numbers.returns else None
                members[dx] = Out(error_stream(numbers.dx, x))
        super().__init__(members)
        numbers = stage.arithmetic
        bits = numbers.word_bits
        self.walk = Walk(stage=stage, interval=interval)
        self.registers = UnitRegisters(stage=stage)
        self.weights = WeightMemory(words=tiling.tiles, lanes=tiling.lane_count, bits=bits)
        self.biases = Biases(stage=stage)

    def _gradients(self) -> list[tuple[Stage, str, str]]:
        """(the unit as a loss sees it, its ports dy and dx), its own loss last."""
        stage = self.stage
        above, below = stage.unit.outputs[0], stage.unit.inputs[0]
        if not above.wanted:
            return []
        return [
            (
                one,
                gradient_port("dy", 0, 1, above, path),
                gradient_port("dx", 0, 1, below, path) if path in below.paths else "",
            )
            for one, path in zip((*stage.asides, stage.behind), above.paths, strict=True)
        ]

    @classmethod
    def of(cls, stage: Stage, schedule: Schedule) -> Self:
        """That of a unit of a schedule."""
        return cls(stage=stage, interval=schedule.interval)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stage, walk, registers = self.stage, self.walk, self.registers
        m.submodules.walk = walk
        m.submodules.visit = visit = Visit(stage=stage)
        m.submodules.slots = slots = Slots(stage=stage)
        m.submodules.arrivals = arrivals = Arrivals(stage=stage)
        m.submodules.weights = self.weights
        m.submodules.biases = self.biases
        m.submodules.lanes = lanes = Lanes(stage=stage)
        m.submodules.rows = rows = RowSums(stage=stage)
        m.submodules.learning = learning = Learning(stage=stage)
        m.submodules.registers = registers

        # When: the walk decides upon a tile's visit, and a cycle later all parts know.
        connect(m, walk.now, visit.walk)
        connect(m, walk.place, visit.place)
        connect(m, walk.claims, arrivals.claims, rows.claims)
        parts = (arrivals, lanes, rows, learning, self.biases, registers)
        connect(m, visit.now, *(part.visit for part in parts))
        connect(m, slots.slot, walk.slot)
        connect(m, arrivals.words, walk.words)
        connect(m, walk.state, registers.walk)
        m.d.comb += [
            slots.kind.eq(arrivals.kind),
            slots.finish.eq(walk.claims.image),
            walk.row_room.eq(rows.room),
        ]
        # What: inputs, gradients and weights meet in the lanes.
        connect(m, flipped(self.x), arrivals.x)
        connect(m, self.weights.lanes, lanes.weights)
        m.d.comb += [
            lanes.x.eq(arrivals.taps),
        ]
        products = zip(rows.products, lanes.forward, strict=True)
        m.d.comb += [to.eq(one) for to, one in products]
        connect(m, self.biases.forward, rows.biases)
        connect(m, rows.y, flipped(self.y))
        clipped = [rows.clipped, *self._returning(m, visit, arrivals, lanes)]
        connect(m, lanes.learning, learning.lanes)
        connect(m, learning.weights, self.weights.visits)
        m.d.comb += self.biases.learnt.eq(learning.bias_learnt)
        if not stage.arithmetic.frozen:
            m.d.comb += [
                self.biases.random.eq(learning.lanes.random),
                self.biases.fresh.eq(learning.fresh),
                self.biases.tile_clipped.eq(learning.saturated),
            ]
            clipped += [learning.saturated, self.biases.saturated]
        self._registers(m, lanes, learning, clipped)
        return m

    def _returning(self, m: Module, visit: Visit, arrivals: Arrivals, lanes: Lanes) -> list[Signal]:
        """What comes back, if something does; returns the clip flags of what is passed on."""
        walk, every, numbers = self.walk, self._gradients(), self.stage.arithmetic
        if not every:
            m.d.comb += [walk.error_ready.eq(1), walk.line_room.eq(1)]
            return []
        *others, (_, dy, dx) = every
        m.submodules.errors = errors = Errors(stage=self.stage)
        connect(m, walk.claims, errors.claims)
        connect(m, visit.now, errors.visit)
        connect(m, flipped(getattr(self, dy)), errors.dy)
        m.d.comb += walk.error_ready.eq(errors.ready)
        given = {"dy": errors.word}
        if self.stage.stashes:
            given["stash"] = arrivals.stashed
        m.d.comb += [getattr(lanes, name).eq(given[name]) for name in factors(numbers)]
        if not numbers.frozen:
            m.d.comb += self.biases.dy.eq(errors.word)
        clipped = []
        if numbers.dx is not None:
            clipped.append(self._backward(m, visit, arrivals, lanes, getattr(self, dx)))
        else:
            m.d.comb += walk.line_room.eq(1)
        if others:
            clipped += self._asides(m, visit, arrivals, lanes, others)
        return clipped

    def _asides(
        self,
        m: Module,
        visit: Visit,
        arrivals: Arrivals,
        lanes: Lanes,
        others: list[tuple[Stage, str, str]],
    ) -> list[Signal]:
        """The gradients of losses that the unit does not learn from; returns their clip flags."""
        asides = [Aside(stage=stage) for stage, _, _ in others]
        for index, (aside, (_, dy, dx)) in enumerate(zip(asides, others, strict=True)):
            m.submodules[f"aside_{index}"] = aside
            connect(m, self.walk.now, aside.walk)
            connect(m, visit.now, aside.visit)
            connect(m, flipped(getattr(self, dy)), aside.dy)
            connect(m, aside.dx, flipped(getattr(self, dx)))
            connect(m, getattr(lanes, f"backward_{index}"), aside.lanes)
            m.d.comb += [
                getattr(lanes, f"dy_{index}").eq(aside.word),
                getattr(arrivals, f"returning_{index}").eq(aside.returning),
                aside.stash.eq(getattr(arrivals, f"passing_{index}")),
                aside.kind.eq(arrivals.kind),
                self.registers.passed[index].eq(aside.learning),
            ]
        m.d.comb += [
            self.walk.row_able.eq(Cat(one.row_able for one in asides).all()),
            self.walk.line_able.eq(Cat(one.line_able for one in asides).all()),
        ]
        return [one.clipped for one in asides]

    def _backward(
        self, m: Module, visit: Visit, arrivals: Arrivals, lanes: Lanes, dx: stream.Interface
    ) -> Signal:
        """The input gradient; returns its clip flag."""
        m.submodules.gradient = gradient = InputGradient(stage=self.stage.behind)
        connect(m, self.walk.claims, gradient.claims)
        connect(m, visit.now, gradient.visit)
        connect(m, lanes.backward, gradient.lanes)
        connect(m, gradient.dx, flipped(dx))
        m.d.comb += self.walk.line_room.eq(gradient.room)
        if self.stage.stashes:
            m.d.comb += gradient.stash.eq(arrivals.stashed)
        return gradient.clipped

    def _registers(
        self, m: Module, lanes: Lanes, learning: Learning, clipped: list[Signal]
    ) -> None:
        """The register bus: settings, generator, and the memories' words on their way."""
        registers = self.registers
        connect(m, registers.settings, lanes.settings, self.biases.settings)
        connect(m, registers.stored, lanes.stored, self.biases.stored)
        connect(m, registers.generator, learning.generator)
        connect(m, registers.weights, self.weights.bus)
        connect(m, registers.biases, self.biases.bus)
        m.d.comb += [
            registers.bus_i.eq(self.bus_i),
            self.bus_o.eq(registers.bus_o),
            registers.clipped.eq(Cat(clipped)),
        ]
