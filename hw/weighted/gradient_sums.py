"""Sums of gradients that grow from visit to visit: of weights until their update, of inputs."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE, slices
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import gradient_sums

BLOCK_BEFORE, BLOCK_AFTER = 2, 1  # cycles by which a block RAM is read before, written after
BEFORE = 1  # cycles by which LUT RAM is read before, where there is time


class GradientSums(wiring.Component):
    """A sum is read, added to by the lanes, and written, long before its word is visited again.

    Parameters: ``words`` of ``sums`` of ``bits`` each; ``at``: cycles from ``address`` to its sum
    (at least 2); ``apart``: the fewest cycles between two visits of a word; ``block``: it may be a
    block RAM, if it is large.
    Members: ``address`` in with the visit of a tile; ``at`` cycles later ``lanes`` out, the earlier
    sum, and the one with the present gradient back, with ``write`` in a cycle before.
    Cost: one memory, read two cycles before and written one after, with registers between, which
    its distance from the lanes needs; otherwise a memory of each sum beside what adds to it, read a
    cycle before it is written, or in that very cycle where words may be visited in each.
    """

    def __init__(
        self, *, words: int, bits: int, sums: int, at: int, apart: int, block: bool = True
    ) -> None:
        self.words, self.bits, self.sums, self.at = max(2, words), bits, sums, at
        self.apart, self.block = apart, block and words > READ_AT_ONCE
        super().__init__(
            {
                "address": In(range(max(2, words))),
                "lanes": Out(gradient_sums(sums * bits)),
                "write": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if not self.block:
            self._each(m, BEFORE if self.apart > BEFORE and not is_compact(platform) else 0)
            return m
        assert self.apart > BLOCK_BEFORE + BLOCK_AFTER
        self._beside(m)
        return m

    def _beside(self, m: Module) -> None:
        """Block RAMs beside each other, with registers of their own for where and whether."""
        early = delayed(m, self.address, self.at - BLOCK_BEFORE - 1, "early")
        late = delayed(m, early, BLOCK_BEFORE + BLOCK_AFTER, "late")
        write = delayed(m, self.write, BLOCK_AFTER, "write")
        new = delayed(m, self.lanes.sum, BLOCK_AFTER, "sum")
        found = []
        for index, bits in enumerate(slices(self.words, self.sums * self.bits)):
            memory = BlockMemory(words=self.words, bits=len(bits))
            m.submodules[f"memory_{index}"] = memory
            m.d.comb += [
                memory.read_address.eq(own(m, early, f"read_{index}")),
                memory.write_address.eq(own(m, late, f"address_{index}")),
                memory.write_enable.eq(own(m, write, f"write_{index}")),
                memory.write_data.eq(new[bits.start : bits.stop]),
            ]
            found.append(delayed(m, memory.read_data, 1, f"earlier_{index}"))
        m.d.comb += self.lanes.earlier.eq(Cat(found))

    def _each(self, m: Module, before: int) -> None:
        """A memory for each sum, read `before` cycles ahead of its write, 0 or `BEFORE`."""
        late = delayed(m, self.address, self.at - before - 1, "address")
        found: list[Value] = []
        for index in range(self.sums):
            near = own(m, late, f"near_{index}")
            new = self.lanes.sum.word_select(index, self.bits)
            read = self._before if before else self._at_once
            write = own(m, self.write, f"write_{index}")
            found.append(read(m, f"memory_{index}", near, write, new))
        m.d.comb += self.lanes.earlier.eq(Cat(found))

    def _at_once(self, m: Module, name: str, address: Value, enable: Value, new: Value) -> Value:
        """The sum of a memory that is read and written in one cycle."""
        m.submodules[name] = memory = Memory(shape=self.bits, depth=self.words, init=[])
        read, write = memory.read_port(domain="comb"), memory.write_port()
        m.d.comb += [
            read.addr.eq(address),
            write.addr.eq(address),
            write.en.eq(enable),
            write.data.eq(new),
        ]
        return read.data

    def _before(self, m: Module, name: str, address: Value, enable: Value, new: Value) -> Value:
        """The sum of a memory that is read in the cycle before it is written."""
        memory = BlockMemory(words=self.words, bits=self.bits, distributed=True)
        m.submodules[name] = memory
        m.d.comb += [
            memory.read_address.eq(address),
            memory.write_address.eq(delayed(m, address, BEFORE, f"{name}_write")),
            memory.write_enable.eq(enable),
            memory.write_data.eq(new),
        ]
        return memory.read_data
