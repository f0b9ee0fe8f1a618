"""The weight memory of a unit: a word holds {weight, velocity} of every lane of a tile."""

from __future__ import annotations

from amaranth.hdl import Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.units.latency import MEMORY
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed


class WeightMemory(wiring.Component):
    """A simple dual-port memory: the walk reads, the update writes, the bus does either between.

    A word is never read and written in one cycle: the schedule's interval exceeds the latency from
    a tile's read to its write, and the bus is refused while either happens.

    Parameters: ``words``; ``lanes`` of ``bits`` each.
    Members: ``address`` in, with ``visited``: the walk needs it, ``data`` out two cycles later;
    ``learnt``, ``learnt_address``, ``learnt_data`` in: the update's write; ``fetch``, ``store``,
    ``fetch_address`` in: the bus' access, dropped if the walk visits in the next cycle;
    ``fetched`` out three cycles later, what is stored comes as ``learnt_data`` two cycles later;
    ``write_enable``, ``write_address``, ``write_data`` out: what stands at the write port.
    Cost: one memory of `words` x `lanes` x `bits`; latency 2, since a register stands
    behind the memory, whose output comes late in a cycle; one read and one write a cycle.
    """

    def __init__(self, *, words: int, lanes: int, bits: int) -> None:
        self.words, self.lanes, self.bits = words, lanes, bits
        address, width = range(max(2, words)), lanes * bits
        super().__init__(
            {
                "visited": In(1),
                "address": In(address),
                "data": Out(width),
                "learnt": In(1),
                "learnt_address": In(address),
                "learnt_data": In(width),
                "fetched": Out(width),
                "fetch": In(1),
                "store": In(1),
                "fetch_address": In(address),
                "write_enable": Out(1),
                "write_address": Out(address),
                "write_data": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = BlockMemory(
            words=max(2, self.words), bits=self.lanes * self.bits
        )
        # The bus is decided upon late in a cycle, so it waits for the next one.
        fetch = delayed(m, self.fetch, 1, "fetch") & ~self.visited
        store = delayed(m, delayed(m, self.store, 1, "store") & ~self.visited, 1, "stored")
        address = delayed(m, self.fetch_address, 1, "bus_address")
        m.d.comb += [
            memory.read_address.eq(Mux(fetch, address, self.address)),
            self.data.eq(delayed(m, memory.read_data, MEMORY - 1, "data")),
            self.write_enable.eq(self.learnt | store),
            self.write_address.eq(
                Mux(store, delayed(m, address, 1, "store_address"), self.learnt_address)
            ),
            self.write_data.eq(self.learnt_data),
            self.fetched.eq(self.data),
            memory.write_enable.eq(self.write_enable),
            memory.write_address.eq(self.write_address),
            memory.write_data.eq(self.write_data),
        ]
        return m
