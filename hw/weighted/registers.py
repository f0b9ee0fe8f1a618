"""A unit's registers: settings, counters, and the path of its weights to and from the bus."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import PRODUCTS_BITS, WORD_BITS, UnitRegister
from counterflow.design.parts.tokens import Kind
from counterflow.design.units.latency import BUS_WEIGHT, OPERANDS, PRODUCT, UPDATE
from counterflow.design.units.slots import Stage
from counterflow.design.units.turns import bias_lanes
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.parts.counter import counter
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.broadcast import SPREAD
from counterflow.hw.weighted.bundles import (
    GeneratorAccess,
    Settings,
    WalkState,
    memory_access,
    stored_word,
    visit_signals,
)
from counterflow.hw.weighted.node import unit_node
from counterflow.hw.weighted.place import seen


class UnitRegisters(wiring.Component):
    """The bus node of a unit with weights (`design.bus.registers.UnitRegister`).

    Parameters: ``stage``.
    Members: ``bus_i``, ``bus_o``; ``settings`` out; ``generator`` out, access to its state;
    ``walk`` in, how it gets on, and ``visit`` in; ``clipped`` in, an event of saturation a bit;
    ``passed`` in, whether a token of another loss comes back with a gradient, a bit a loss;
    ``weights``, ``biases`` out, accesses to the memories, whose words come BUS_WEIGHT cycles later;
    ``stored`` out, the word to store.
    Cost: one {weight, velocity} register a lane, five counters.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        bits, tiling = stage.arithmetic.word_bits, stage.tiling
        members = {
            "bus_i": In(Access),
            "bus_o": Out(Access),
            "settings": Out(Settings),
            "generator": Out(GeneratorAccess),
            "walk": In(WalkState),
            "visit": In(visit_signals(stage)),
            "clipped": In(1 + tiling.backward_products + (not tiling.frozen) + len(stage.asides)),
            "weights": Out(memory_access(tiling.lane_count * bits)),
            "biases": Out(memory_access(bias_lanes(tiling) * bits)),
            "stored": Out(stored_word(stage)),
        }
        if stage.asides:
            members["passed"] = In(len(stage.asides))
        super().__init__(members)
        self.products = counter(PRODUCTS_BITS, "products")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        node = unit_node(m, self, self.stage.tiling.tiles)
        self._shift(m, node)
        self._access(m, node)
        self._count(m, node)
        return m

    def _access(self, m: Module, node: BusNode) -> None:
        """Let the bus at the memories while the unit rests; a slot that is due comes first."""
        r = UnitRegister
        latency = OPERANDS + PRODUCT + UPDATE + self.stage.tiling.move_turns  # from a visit
        settling = Signal(range(latency + 1), name="settling")
        with m.If(self.visit.issue):
            m.d.sync += settling.eq(latency)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        wanted = (
            node.strobe(r.FETCH)
            | node.strobe(r.STORE)
            | node.strobe(r.FETCH_BIAS)
            | node.strobe(r.STORE_BIAS)
        )
        resting = self.walk.idle & ~self.visit.issue & (settling == 0)
        m.d.comb += node.refuse.eq(wanted & (~resting | self.walk.arrived))
        m.d.sync += self.walk.hold.eq(wanted & resting)  # while a word is on its way to the memory
        for port, fetch, store in (
            (self.weights, r.FETCH, r.STORE),
            (self.biases, r.FETCH_BIAS, r.STORE_BIAS),
        ):
            m.d.comb += [
                port.fetch.eq(node.strobe(fetch) & resting),
                port.store.eq(node.strobe(store) & resting),
                port.address.eq(node.data),
            ]
        # What is learnt stands at the memories in the last of these cycles.  A while after the last
        # of it the lanes turn to what may be stored, and back long before there is more.
        rests = Signal(name="rests", reset_less=True)
        m.d.sync += rests.eq(settling <= SPREAD + 1)
        m.d.comb += self.stored.weights.eq(rests)

    def _shift(self, m: Module, node: BusNode) -> None:
        """The shift register of {weight, velocity} pairs, lane 0 lowest.

        A word of biases, which has fewer, is fetched to the lowest and stored from the uppermost.
        Frozen weights have no velocities, which are zeros on the bus.
        """
        r, numbers = UnitRegister, self.stage.arithmetic
        bits, issue = numbers.word_bits, self.visit.issue
        # Whoever reads it has fetched it, so that no reset has to reach all of it.
        shifted = Signal.like(self.stored.word, name="shifted", reset_less=True)
        m.d.comb += self.stored.word.eq(shifted)
        weight = Signal(numbers.weight.bits, name="weight")
        low = shifted[: numbers.weight.bits].as_signed()
        high = C(0) if numbers.frozen else shifted[numbers.weight.bits : bits].as_signed()
        m.d.comb += [node.value(r.WEIGHT).eq(low), node.value(r.VELOCITY).eq(high)]
        # A cycle later than the bus asks: the strobes go to every lane.
        writing, moving = node.strobe(r.VELOCITY), node.reading(r.VELOCITY)
        with m.If(node.strobe(r.WEIGHT)):
            m.d.sync += weight.eq(node.data)
        entering = Signal(bits, name="entering")
        pair = Cat(weight, node.data)[:bits]
        m.d.sync += entering.eq(Mux(writing, pair, shifted[:bits]))
        # A slot that began in that cycle shows in the visit of the next, and has the memories then.
        fetched, fetched_bias = (
            delayed(m, delayed(m, port.fetch, 1, f"{name}_asked") & ~issue, BUS_WEIGHT - 2, name)
            for name, port in (("fetched", self.weights), ("fetched_bias", self.biases))
        )
        following = Cat(shifted[bits:], entering)
        for lane in range(len(shifted) // bits):
            word = shifted.word_select(lane, bits)
            with m.If(own(m, writing | moving, f"move_{lane}")):
                m.d.sync += word.eq(following.word_select(lane, bits))
            with m.If(own(m, fetched, f"fetched_{lane}")):
                m.d.sync += word.eq(self.weights.fetched.word_select(lane, bits))
            if lane < bias_lanes(self.stage.tiling):
                with m.If(own(m, fetched_bias, f"fetched_bias_{lane}")):
                    m.d.sync += word.eq(self.biases.fetched.word_select(lane, bits))

    def _count(self, m: Module, node: BusNode) -> None:
        """Slots, useful products, stalls and saturations since reset."""
        r, tiling, visit = UnitRegister, self.stage.tiling, self.visit
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        high_left = tiling.outputs - (tiling.rows - 1) * high
        wide_left = tiling.geometry.row_taps - (tiling.parts - 1) * wide
        cells = Mux(
            visit.last_row,
            Mux(visit.last_part, high_left * wide_left, high_left * wide),
            Mux(visit.last_part, high * wide_left, high * wide),
        )
        cells = seen(cells, visit.kernel_row, tiling)
        forward = Mux(visit.slot.kind != Kind.BUBBLE, cells, 0)
        learnt = Mux(visit.slot.learning, cells, 0)
        if tiling.phases > 1:
            made = Mux(visit.phase == 0, forward, learnt)
        else:
            made = forward + (learnt << 1 if tiling.backward_products == 2 else learnt)
            made = made if tiling.backward_products else forward
        for index in range(len(self.stage.asides)):
            made = made + Mux(self.passed[index], cells, 0)
        slots, stalls = counter(WORD_BITS, "slots"), counter(WORD_BITS, "stalls")
        saturations = counter(WORD_BITS, "saturations")
        # Long counters take events later, those from all over the unit by another register.
        events = [delayed(m, one, 1, f"clip_{at}") for at, one in enumerate(self.clipped)]
        saturated = Signal(range(len(events) + 1), name="saturated")
        m.d.sync += saturated.eq(sum(events[1:], start=events[0]))
        recent = Signal(made.shape(), name="recent")
        m.d.sync += recent.eq(Mux(visit.issue, made, 0))
        m.d.sync += [
            self.products.eq(self.products + recent),
            slots.eq(slots + delayed(m, visit.finish, 1, "finish")),
            stalls.eq(stalls + delayed(m, self.walk.stalled, 1, "stalled")),
            saturations.eq(saturations + saturated),
        ]
        m.d.comb += [
            node.value(r.SLOTS).eq(slots),
            node.value(r.PRODUCTS).eq(self.products[:WORD_BITS]),
            node.value(r.PRODUCTS_HIGH).eq(self.products[WORD_BITS:]),
            node.value(r.STALLS).eq(stalls),
            node.value(r.SATURATIONS).eq(saturations),
        ]
