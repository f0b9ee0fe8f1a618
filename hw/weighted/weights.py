"""The weight memory of a unit: a word holds {weight, velocity} of every lane of a tile."""

from __future__ import annotations

from typing import Any, NamedTuple

from amaranth.hdl import Array, Cat, Module, Mux, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import DEEP, READ_AT_ONCE, banks, slices
from counterflow.design.units.latency import MEMORY, WORD
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import FAN_OUT, delayed, own, spread
from counterflow.hw.weighted.bundles import lane_words, memory_access, memory_visits


class BusTurn(NamedTuple):
    """Whether the register bus has a memory in a cycle, to fetch or to store, and where."""

    fetch: Value
    store: Value
    address: Value


def turn_of_bus(m: Module, visited: Value, bus: Any, words: int) -> BusTurn:
    """Its turn of the next cycle at a memory of so many `words`, which the walk has `visited`.

    That is two cycles after it asked: the first decides late, and in the second it is found out
    whether the walk, which comes first, visits.
    """
    return BusTurn(
        delayed(m, bus.fetch, 1, "fetch") & ~visited,
        delayed(m, bus.store, 1, "store") & ~visited,
        delayed(m, bus.address[: (max(2, words) - 1).bit_length()], 1, "bus_address"),
    )


class WeightMemory(wiring.Component):
    """A simple dual-port memory: the walk reads, the update writes, the bus does either between.

    A word is never read and written in one cycle: the schedule's interval exceeds the latency from
    a tile's read to its write, and the bus is refused while either happens.

    Parameters: ``words``; ``lanes`` of ``bits`` each.
    Members: ``visits`` in: what the walk reads and the update writes; ``lanes`` out: the word
    WORD cycles after its visit, and the new one in, with its write; ``bus`` in, whose access is
    dropped if the walk visits in the next cycle: what it fetched is there four cycles later, what
    it stores comes from the lanes two cycles later;
    ``write_enable``, ``write_address``, ``write_data`` out: what stands at the write port.
    Cost: memories of `words` x `lanes` x `bits` in all (`design.fpga.blocks.slices`, `banks`), each
    with registers of its own for the addresses, for block RAMs lie far from each other; latency
    WORD, since a register stands behind the memory, whose output comes late in a cycle, or another
    one before a small one; one read and one write a cycle.
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
        visits, bus = self.visits, self.bus
        asked = turn_of_bus(m, visits.visited, bus, self.words)
        enable = visits.learnt | asked.store  # in the next cycle
        address = Mux(asked.store, asked.address, visits.learnt_address)
        m.d.comb += [
            self.write_enable.eq(delayed(m, enable, 1, "enable")),
            self.write_address.eq(own(m, address, "address")),
            self.write_data.eq(self.lanes.new),
            bus.fetched.eq(self.lanes.word),
        ]
        small = self.words <= READ_AT_ONCE
        read = Mux(asked.fetch, asked.address, visits.address)
        if small:
            read = delayed(m, read, 1, "read")
        words, within = banks(self.words), (DEEP - 1).bit_length()
        data: list[list[Value]] = []
        for index, bits in enumerate(slices(self.words, self.width)):
            data.append([])
            for bank, size in enumerate(words):
                name = f"{index}_{bank}" if len(words) > 1 else f"{index}"
                memory = BlockMemory(words=size, bits=len(bits))
                m.submodules[f"memory_{name}"] = memory
                ours = enable & (address[within:] == bank) if len(words) > 1 else enable
                m.d.comb += [
                    memory.read_address.eq(own(m, read[:within], f"at_{name}")),
                    memory.write_enable.eq(own(m, ours, f"enable_{name}")),
                    memory.write_address.eq(own(m, address[:within], f"address_{name}")),
                    memory.write_data.eq(self.write_data[bits.start : bits.stop]),
                ]
                # The register of a small one, which is LUT RAM, is the one behind it.
                word = memory.read_data
                data[-1].append(word if small else delayed(m, word, MEMORY - 1, f"data_{name}"))
        every = [Cat(one) for one in zip(*data, strict=True)]
        m.d.comb += self.lanes.word.eq(
            every[0] if len(every) == 1 else self._chosen(m, every, read[within:])
        )
        return m

    def _chosen(self, m: Module, words: list[Cat], bank: Value) -> Value:
        """That of the banks' words which was read: each has its register, and is chosen behind it.

        By a register for each few bits, since banks and lanes lie all over the chip.
        """
        chosen = spread(m, bank, -(-self.width // FAN_OUT), WORD, "bank")
        return Cat(
            Array(word[index * FAN_OUT : (index + 1) * FAN_OUT] for word in words)[which]
            for index, which in enumerate(chosen)
        )
