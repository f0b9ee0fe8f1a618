"""A norm's registers: settings, counters, and the path of its parameters to and from the bus."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS, UnitRegister
from counterflow.design.units.latency import BUS_READ
from counterflow.design.units.normal_times import NormalStage
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.parts.counter import counter
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.weighted.bundles import GeneratorAccess, Settings
from counterflow.hw.weighted.node import unit_node


class NormRegisters(wiring.Component):
    """The bus node of a norm (`design.bus.registers.UnitRegister`).

    Its tiles are pairs of parameters: pair number t // channels of channel t % channels.

    Parameters: ``stage``.
    Members: ``bus_i``, ``bus_o``; ``settings`` out; ``generator`` out, access to its state;
    ``resting`` in: the bus may reach the parameters; ``fetch``, ``store``, ``at``, ``pair`` out,
    ``first``, ``second`` in BUS_READ - 1 cycles after a fetch, ``new_first``, ``new_second`` out;
    ``updated``, ``stalled`` in, to be counted, and ``clipped``, an event of saturation a bit.
    Cost: a register of two words, three counters.
    """

    def __init__(self, *, stage: NormalStage) -> None:
        self.stage = stage
        channel = range(max(2, stage.numbers.channels))
        super().__init__(
            {
                "bus_i": In(Access),
                "bus_o": Out(Access),
                "settings": Out(Settings),
                "generator": Out(GeneratorAccess),
                "resting": In(1),
                "fetch": Out(1),
                "store": Out(1),
                "at": Out(channel),
                "pair": Out(2),
                "first": In(WORD_BITS),
                "second": In(WORD_BITS),
                "new_first": Out(WORD_BITS),
                "new_second": Out(WORD_BITS),
                "updated": In(1),
                "stalled": In(1),
                "clipped": In(3),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        (block,) = self.stage.blocks
        node = unit_node(m, self, block.words)
        self._access(m, node)
        self._shift(m, node)
        self._count(m, node)
        return m

    def _access(self, m: Module, node: BusNode) -> None:
        """Let the bus at the parameters while nothing else can reach them, a cycle later."""
        r, channels = UnitRegister, self.stage.numbers.channels
        wanted = node.strobe(r.FETCH) | node.strobe(r.STORE)
        nothing = node.strobe(r.FETCH_BIAS) | node.strobe(r.STORE_BIAS)
        tile = node.data[: max(1, (len(self.stage.pairs) * channels - 1).bit_length())]
        pair, before = self._pair(tile)
        m.d.comb += node.refuse.eq(nothing | (wanted & ~self.resting))
        m.d.sync += [
            self.fetch.eq(node.strobe(r.FETCH) & self.resting),
            self.store.eq(node.strobe(r.STORE) & self.resting),
            self.pair.eq(pair),
            self.at.eq(tile - before),
        ]

    def _pair(self, tile: Value) -> tuple[Value, Value]:
        """The number of the pair that a tile is, and the tiles of the pairs before."""
        pair: Value = C(0, 2)
        before: Value = C(0, 1)
        for number in range(1, len(self.stage.pairs)):
            begins = number * self.stage.numbers.channels
            pair = Mux(tile >= begins, number, pair)
            before = Mux(tile >= begins, begins, before)
        return pair, before

    def _shift(self, m: Module, node: BusNode) -> None:
        """The pair that is to be stored, or that was fetched."""
        r = UnitRegister
        arrived = delayed(m, self.fetch, BUS_READ - 1, "arrived")
        m.d.comb += [
            node.value(r.WEIGHT).eq(self.new_first),
            node.value(r.VELOCITY).eq(self.new_second),
        ]
        for register, word, found in (
            (r.WEIGHT, self.new_first, self.first),
            (r.VELOCITY, self.new_second, self.second),
        ):
            with m.If(node.strobe(register)):
                m.d.sync += word.eq(node.data)
            with m.Elif(arrived):
                m.d.sync += word.eq(found)

    def _count(self, m: Module, node: BusNode) -> None:
        """Slots, stalls and saturations since reset."""
        r = UnitRegister
        for register, more in (
            (r.SLOTS, self.updated),
            (r.STALLS, self.stalled),
            (r.SATURATIONS, sum(self.clipped[1:], start=self.clipped[0])),
        ):
            count = counter(WORD_BITS, register.name.lower())
            m.d.sync += count.eq(count + more)
            m.d.comb += node.value(register).eq(count)
