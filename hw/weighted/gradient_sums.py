"""Sums of gradients that grow from visit to visit: of weights until their update, of inputs."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Value
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
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
    sum, and the one with the present gradient back, with ``write`` in.
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
            self._each(m, at_once=self.apart < BEFORE + 1 or is_compact(platform))
            return m
        assert self.apart > BLOCK_BEFORE + BLOCK_AFTER
        m.submodules.memory = memory = BlockMemory(words=self.words, bits=self.sums * self.bits)
        early = delayed(m, self.address, self.at - BLOCK_BEFORE, "early")
        m.d.comb += [
            memory.read_address.eq(early),
            self.lanes.earlier.eq(delayed(m, memory.read_data, 1, "earlier")),
            memory.write_address.eq(delayed(m, early, BLOCK_BEFORE + BLOCK_AFTER, "address")),
            memory.write_enable.eq(delayed(m, self.write, BLOCK_AFTER, "write")),
            memory.write_data.eq(delayed(m, self.lanes.sum, BLOCK_AFTER, "sum")),
        ]
        return m

    def _each(self, m: Module, *, at_once: bool) -> None:
        """A memory for each sum, which is written in the cycle in which it is there."""
        found = []
        for index in range(self.sums):
            found.append((self._at_once if at_once else self._before)(m, index))
        m.d.comb += self.lanes.earlier.eq(Cat(found))

    def _at_once(self, m: Module, index: int) -> Value:
        """One that is read in that cycle, too."""
        memory = Memory(shape=self.bits, depth=self.words, init=[])
        m.submodules[f"memory_{index}"] = memory
        read, write = memory.read_port(domain="comb"), memory.write_port()
        now = own(m, delayed(m, self.address, self.at - 1, "address"), f"at_{index}")
        m.d.comb += [
            read.addr.eq(now),
            write.addr.eq(now),
            write.en.eq(self.write),
            write.data.eq(self.lanes.sum.word_select(index, self.bits)),
        ]
        return read.data

    def _before(self, m: Module, index: int) -> Value:
        """One that is read in the cycle before."""
        memory = BlockMemory(words=self.words, bits=self.bits, distributed=True)
        m.submodules[f"memory_{index}"] = memory
        late = delayed(m, self.address, self.at - BEFORE - 1, "address")
        before = own(m, late, f"before_{index}")
        m.d.comb += [
            memory.read_address.eq(before),
            memory.write_address.eq(delayed(m, before, BEFORE, f"at_{index}")),
            memory.write_enable.eq(self.write),
            memory.write_data.eq(self.lanes.sum.word_select(index, self.bits)),
        ]
        return memory.read_data
