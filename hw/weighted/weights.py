"""The weight memory of a unit: a word holds {weight, velocity} of every lane of a tile."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE, SLICE, slices
from counterflow.design.units.latency import MEMORY
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import lane_words, memory_access, memory_visits


class WeightMemory(wiring.Component):
    """A simple dual-port memory: the walk reads, the update writes, the bus does either between.

    A word is never read and written in one cycle: the schedule's interval exceeds the latency from
    a tile's read to its write, and the bus is refused while either happens.

    Parameters: ``words``; ``lanes`` of ``bits`` each.
    Members: ``visits`` in: what the walk reads and the update writes; ``coming`` in: the address of
    the next cycle's visit; ``lanes`` out: the word two cycles after its visit, and the new one in,
    with its write; ``bus`` in, whose access is dropped if the walk visits in the next cycle: what
    it fetched is there four cycles later, what it stores comes from the lanes two cycles later;
    ``write_enable``, ``write_address``, ``write_data`` out: what stands at the write port.
    Cost: memories of `words` x `lanes` x `bits` in all (`design.fpga.blocks.slices`), each with a
    register of its own for the address, for block RAMs lie far from each other; latency 2, since a
    register stands behind the memory, whose output comes late in a cycle, or before a small one;
    one read and one write a cycle.
    """

    def __init__(self, *, words: int, lanes: int, bits: int) -> None:
        self.words, self.width = words, lanes * bits
        address, width = range(max(2, words)), self.width
        super().__init__(
            {
                "visits": In(memory_visits(words)),
                "lanes": Out(lane_words(width)),
                "coming": In(address),
                "bus": In(memory_access(width)),
                "write_enable": Out(1),
                "write_address": Out(address),
                "write_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        visits, bus = self.visits, self.bus
        # The bus is decided upon late in a cycle, so it waits for the next one, and finds out then.
        may = delayed(m, bus.fetch, 1, "fetch") & ~visits.visited
        store = delayed(m, delayed(m, bus.store, 1, "store") & ~visits.visited, 1, "stored")
        asked = delayed(m, bus.address[: len(visits.address)], 1, "bus_address")
        address = delayed(m, asked, 1, "store_address")
        fetch = delayed(m, may, 1, "fetched")
        m.d.comb += [
            self.write_enable.eq(visits.learnt | store),
            self.write_address.eq(Mux(store, address, visits.learnt_address)),
            self.write_data.eq(self.lanes.new),
            bus.fetched.eq(self.lanes.word),
        ]
        small = self.words <= READ_AT_ONCE
        now = Mux(fetch, address, visits.address) if small else Mux(may, asked, self.coming)
        words = []
        for index, bits in enumerate(slices(self.words, self.width)):
            memory = BlockMemory(words=max(2, self.words), bits=bits)
            m.submodules[f"memory_{index}"] = memory
            first = index * SLICE
            data = memory.read_data
            m.d.comb += [
                memory.read_address.eq(own(m, now, f"at_{index}")),
                memory.write_enable.eq(self.write_enable),
                memory.write_address.eq(self.write_address),
                memory.write_data.eq(self.write_data[first : first + bits]),
            ]
            # The register of a small one, which is LUT RAM, is the one behind it.
            words.append(data if small else delayed(m, data, MEMORY - 1, f"data_{index}"))
        m.d.comb += self.lanes.word.eq(Cat(words))
        return m
