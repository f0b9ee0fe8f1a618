"""A unit's registers: settings, counters, and the path of its weights to and from the bus."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS, UnitRegister
from counterflow.design.units.latency import BUS_READ, OPERANDS, PRODUCT, UPDATE
from counterflow.design.units.slots import Stage
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.parts.pipeline import delayed, own

COUNTER_BITS = 48

MemoryAccess = wiring.Signature({"fetch": Out(1), "store": Out(1), "address": Out(16)})


class UnitRegisters(wiring.Component):
    """The bus node of a unit with weights (`design.bus.registers.UnitRegister`).

    Parameters: ``stage``.
    Members: ``bus_i``, ``bus_o``; settings ``predict``, ``compensate``, ``extra_shift`` out;
    ``generator_write`` with ``data`` out and ``generator`` in; of the walk in: ``idle``, ``due``
    (the words of its next tile are there), ``stalled``; of the visit: ``issue``, ``finish``,
    ``phase``, ``last_row``, ``last_part``, ``learning``, ``forwarding``; ``clipped`` in;
    ``hold`` out: start no slot; ``weights``, ``biases`` memory accesses out, the read words in
    BUS_READ cycles later; ``shifted`` out, the word to store.
    Cost: one {weight, velocity} register a lane, five counters.
    """

    def __init__(self, *, stage: Stage) -> None:
        self.stage = stage
        numbers, tiling = stage.arithmetic, stage.tiling
        high = tiling.lanes.outputs
        flags = ("issue", "idle", "due", "finish", "stalled", "last_row", "last_part")
        members = {
            "bus_i": In(Access),
            "bus_o": Out(Access),
            "predict": Out(1),
            "compensate": Out(1),
            "extra_shift": Out(3),
            "generator_write": Out(1),
            "data": Out(WORD_BITS),
            "generator": In(WORD_BITS),
            **{name: In(1) for name in (*flags, "learning", "forwarding")},
            "phase": In(2),
            "clipped": In(2 if tiling.first else 3),
            "hold": Out(1),
            "weights": Out(MemoryAccess),
            "biases": Out(MemoryAccess),
            "weight_data": In(tiling.lane_count * numbers.word_bits),
            "bias_data": In(high * numbers.word_bits),
            "shifted": Out(tiling.lane_count * numbers.word_bits),
        }
        super().__init__(members)
        self.products = Signal(COUNTER_BITS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        r = UnitRegister
        m.submodules.node = node = BusNode.of(node=self.stage.index + 1, registers=r)
        settings = Cat(self.predict, self.compensate, self.extra_shift)
        m.d.comb += [
            node.i.eq(self.bus_i),
            self.bus_o.eq(node.o),
            node.value(r.TILES).eq(self.stage.tiling.tiles),
            node.value(r.CONTROL).eq(settings),
            node.value(r.GENERATOR).eq(self.generator),
            self.generator_write.eq(node.strobe(r.GENERATOR)),
            self.data.eq(node.data),
        ]
        with m.If(node.strobe(r.CONTROL)):
            m.d.sync += settings.eq(node.data)
        self._shift(m, node)
        self._access(m, node)
        self._count(m, node)
        return m

    def _access(self, m: Module, node: BusNode) -> None:
        """Let the bus at the memories while the unit rests; a slot that is due comes first."""
        r = UnitRegister
        latency = OPERANDS + PRODUCT + UPDATE + 1  # from a visit
        settling = Signal(range(latency + 1))
        with m.If(self.issue):
            m.d.sync += settling.eq(latency)
        with m.Elif(settling != 0):
            m.d.sync += settling.eq(settling - 1)
        wanted = (
            node.strobe(r.FETCH)
            | node.strobe(r.STORE)
            | node.strobe(r.FETCH_BIAS)
            | node.strobe(r.STORE_BIAS)
        )
        resting = self.idle & ~self.issue & (settling == 0)
        m.d.comb += node.refuse.eq(wanted & (~resting | self.due))
        m.d.sync += self.hold.eq(wanted & resting)  # while a word is on its way to the memory
        for port, fetch, store in (
            (self.weights, r.FETCH, r.STORE),
            (self.biases, r.FETCH_BIAS, r.STORE_BIAS),
        ):
            m.d.comb += [
                port.fetch.eq(node.strobe(fetch) & resting),
                port.store.eq(node.strobe(store) & resting),
                port.address.eq(node.data),
            ]

    def _shift(self, m: Module, node: BusNode) -> None:
        """The shift register of {weight, velocity} pairs, lane 0 lowest."""
        r, numbers = UnitRegister, self.stage.arithmetic
        bits = numbers.word_bits
        weight = Signal(numbers.weight.bits)
        low = self.shifted[: numbers.weight.bits].as_signed()
        high = self.shifted[numbers.weight.bits : bits].as_signed()
        m.d.comb += [node.value(r.WEIGHT).eq(low), node.value(r.VELOCITY).eq(high)]
        # A cycle later than the bus asks: the strobes go to every lane.
        writing, moving = node.strobe(r.VELOCITY), node.reading(r.VELOCITY)
        with m.If(node.strobe(r.WEIGHT)):
            m.d.sync += weight.eq(node.data)
        entering = Signal(bits)
        pair = Cat(weight, node.data[: numbers.velocity.bits])
        m.d.sync += entering.eq(Mux(writing, pair, self.shifted[:bits]))
        # A slot that began in that cycle shows in the visit of the next, and has the memories then.
        fetched, fetched_bias = (
            delayed(m, delayed(m, port.fetch, 1, f"{name}_asked") & ~self.issue, BUS_READ - 2, name)
            for name, port in (("fetched", self.weights), ("fetched_bias", self.biases))
        )
        following = Cat(self.shifted[bits:], entering)
        for lane in range(len(self.shifted) // bits):
            word = self.shifted.word_select(lane, bits)
            with m.If(own(m, writing | moving, f"move_{lane}")):
                m.d.sync += word.eq(following.word_select(lane, bits))
            with m.If(own(m, fetched, f"fetched_{lane}")):
                m.d.sync += word.eq(self.weight_data.word_select(lane, bits))
            if lane < self.stage.tiling.lanes.outputs:
                with m.If(own(m, fetched_bias, f"fetched_bias_{lane}")):
                    m.d.sync += word.eq(self.bias_data.word_select(lane, bits))

    def _count(self, m: Module, node: BusNode) -> None:
        """Slots, useful products, stalls and saturations since reset."""
        r, tiling = UnitRegister, self.stage.tiling
        high, wide = tiling.lanes.outputs, tiling.lanes.inputs
        high_left = tiling.outputs - (tiling.rows - 1) * high
        wide_left = tiling.geometry.row_taps - (tiling.parts - 1) * wide
        cells = Mux(
            self.last_row,
            Mux(self.last_part, high_left * wide_left, high_left * wide),
            Mux(self.last_part, high * wide_left, high * wide),
        )
        forward, learnt = Mux(self.forwarding, cells, 0), Mux(self.learning, cells, 0)
        if tiling.phases > 1:
            made = Mux(self.phase == 0, forward, learnt)
        else:
            made = forward + learnt if tiling.first else forward + (learnt << 1)
        slots, stalls = Signal(WORD_BITS), Signal(WORD_BITS)
        saturations = Signal(WORD_BITS)
        # Long counters take events a cycle later.
        recent = Signal(made.shape())
        m.d.sync += recent.eq(Mux(self.issue, made, 0))
        m.d.sync += [
            self.products.eq(self.products + recent),
            slots.eq(slots + delayed(m, self.finish, 1, "finish")),
            stalls.eq(stalls + delayed(m, self.stalled, 1, "stalled")),
            saturations.eq(saturations + sum(self.clipped[1:], start=self.clipped[0])),
        ]
        m.d.comb += [
            node.value(r.SLOTS).eq(slots),
            node.value(r.PRODUCTS).eq(self.products[:WORD_BITS]),
            node.value(r.PRODUCTS_HIGH).eq(self.products[WORD_BITS:]),
            node.value(r.STALLS).eq(stalls),
            node.value(r.SATURATIONS).eq(saturations),
        ]
