"""The weight memory of a unit: a word holds {weight, velocity} of every lane of a tile."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.design.units.latency import MEMORY
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import lane_words, memory_access, memory_visits


class WeightMemory(wiring.Component):
    """A simple dual-port memory: the walk reads, the update writes, the bus does either between.

    A word is never read and written in one cycle: the schedule's interval exceeds the latency from
    a tile's read to its write, and the bus is refused while either happens.

    Parameters: ``words``; ``lanes`` of ``bits`` each.
    Members: ``visits`` in: what the walk reads and the update writes; ``lanes`` out: the word two
    cycles after its visit, and the new one in, with its write; ``bus`` in, whose access is dropped
    if the walk visits in the next cycle: what it fetched is there three cycles later, what it
    stores comes from the lanes two cycles later; ``write_enable``, ``write_address``,
    ``write_data`` out: what stands at the write port.
    Cost: one memory of `words` x `lanes` x `bits`; latency 2, since a register stands
    behind the memory, whose output comes late in a cycle, or before a small one, where the choice
    of an address does; one read and one write a cycle.
    """

    def __init__(self, *, words: int, lanes: int, bits: int) -> None:
        self.words, self.width = words, lanes * bits
        address, width = range(max(2, words)), self.width
        super().__init__(
            {
                "visits": In(memory_visits(words)),
                "lanes": Out(lane_words(width)),
                "bus": In(memory_access(width)),
                "write_enable": Out(1),
                "write_address": Out(address),
                "write_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = BlockMemory(words=max(2, self.words), bits=self.width)
        visits, bus = self.visits, self.bus
        # The bus is decided upon late in a cycle, so it waits for the next one.
        fetch = delayed(m, bus.fetch, 1, "fetch") & ~visits.visited
        store = delayed(m, delayed(m, bus.store, 1, "store") & ~visits.visited, 1, "stored")
        address = delayed(m, bus.address[: len(visits.address)], 1, "bus_address")
        read = Mux(fetch, address, visits.address)
        small = self.words <= READ_AT_ONCE  # LUT RAM, whose register is the one behind it
        data = memory.read_data
        m.d.comb += [
            memory.read_address.eq(own(m, read, "at") if small else read),
            self.lanes.word.eq(data if small else delayed(m, data, MEMORY - 1, "data")),
            self.write_enable.eq(visits.learnt | store),
            self.write_address.eq(
                Mux(store, delayed(m, address, 1, "store_address"), visits.learnt_address)
            ),
            self.write_data.eq(self.lanes.new),
            bus.fetched.eq(self.lanes.word),
            memory.write_enable.eq(self.write_enable),
            memory.write_address.eq(self.write_address),
            memory.write_data.eq(self.write_data),
        ]
        return m
