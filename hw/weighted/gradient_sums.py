"""Sums of gradients that grow from visit to visit: of weights until their update, of inputs."""

from __future__ import annotations

from amaranth.hdl import Cat, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed, own
from counterflow.hw.weighted.bundles import gradient_sums


class GradientSums(wiring.Component):
    """A sum is read, added to by the lanes, and written, long before its word is visited again.

    Parameters: ``words`` of ``sums`` of ``bits`` each; ``at``: cycles from ``address`` to its sum
    (at least 2); ``soon``: a word may be visited again in the next cycle, however many there are.
    Members: ``address`` in with the visit of a tile; ``at`` cycles later ``lanes`` out, the earlier
    sum, and the one with the present gradient back, with ``write`` in.
    Cost: one memory, read two cycles before and written one after, with registers between, which
    its distance from the lanes needs; a small one has its read beside its write, so that a word may
    be visited in each cycle, and then each sum has a memory of its own beside what adds to it.
    """

    def __init__(self, *, words: int, bits: int, sums: int, at: int, soon: bool = False) -> None:
        self.words, self.bits, self.sums, self.at, self.soon = words, bits, sums, at, soon
        super().__init__(
            {
                "address": In(range(max(2, words))),
                "lanes": Out(gradient_sums(sums * bits)),
                "write": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = max(2, self.words)
        if self.soon or self.words <= READ_AT_ONCE:
            self._each(m, words)
            return m
        m.submodules.memory = memory = BlockMemory(words=words, bits=self.sums * self.bits)
        early = delayed(m, self.address, self.at - 2, "early")
        m.d.comb += [
            memory.read_address.eq(early),
            self.lanes.earlier.eq(delayed(m, memory.read_data, 1, "earlier")),
            memory.write_address.eq(delayed(m, early, 3, "address")),
            memory.write_enable.eq(delayed(m, self.write, 1, "write")),
            memory.write_data.eq(delayed(m, self.lanes.sum, 1, "sum")),
        ]
        return m

    def _each(self, m: Module, words: int) -> None:
        """A memory for each sum, read and written in one cycle."""
        late = delayed(m, self.address, self.at - 1, "address")
        found = []
        for index in range(self.sums):
            memory = Memory(shape=self.bits, depth=words, init=[])
            m.submodules[f"memory_{index}"] = memory
            read, write = memory.read_port(domain="comb"), memory.write_port()
            now = own(m, late, f"at_{index}")
            m.d.comb += [
                read.addr.eq(now),
                write.addr.eq(now),
                write.en.eq(self.write),
                write.data.eq(self.lanes.sum.word_select(index, self.bits)),
            ]
            found.append(read.data)
        m.d.comb += self.lanes.earlier.eq(Cat(found))
