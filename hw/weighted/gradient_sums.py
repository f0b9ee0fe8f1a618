"""Sums of gradients that grow from visit to visit: of weights until their update, of inputs."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.hw.parts.block_memory import BlockMemory
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.weighted.bundles import gradient_sums


class GradientSums(wiring.Component):
    """A sum is read, added to by the lanes, and written, long before its word is visited again.

    Parameters: ``words`` of ``bits``; ``at``: cycles from ``address`` to its sum (at least 2);
    ``soon``: a word may be visited again in the next cycle, however many there are.
    Members: ``address`` in with the visit of a tile; ``at`` cycles later ``lanes`` out, the earlier
    sum, and the one with the present gradient back, with ``write`` in.
    Cost: one memory; a small one has its read beside its write, so that a word may be visited in
    each cycle; a block memory is read two cycles before and written one after, with registers
    between, which its distance from the lanes needs.
    """

    def __init__(self, *, words: int, bits: int, at: int, soon: bool = False) -> None:
        self.words, self.bits, self.at, self.soon = words, bits, at, soon
        super().__init__(
            {
                "address": In(range(max(2, words))),
                "lanes": Out(gradient_sums(bits)),
                "write": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words = max(2, self.words)
        now = Signal.like(self.address, name="now")
        if self.soon or self.words <= READ_AT_ONCE:
            m.submodules.memory = small = Memory(shape=self.bits, depth=words, init=[])
            read, write = small.read_port(domain="comb"), small.write_port()
            m.d.comb += [
                now.eq(delayed(m, self.address, self.at, "address")),
                read.addr.eq(now),
                self.lanes.earlier.eq(read.data),
                write.addr.eq(now),
                write.en.eq(self.write),
                write.data.eq(self.lanes.sum),
            ]
            return m
        m.submodules.memory = memory = BlockMemory(words=words, bits=self.bits)
        early = delayed(m, self.address, self.at - 2, "early")
        m.d.comb += [
            memory.read_address.eq(early),
            self.lanes.earlier.eq(delayed(m, memory.read_data, 1, "earlier")),
            now.eq(delayed(m, early, 3, "address")),
            memory.write_address.eq(now),
            memory.write_enable.eq(delayed(m, self.write, 1, "write")),
            memory.write_data.eq(delayed(m, self.lanes.sum, 1, "sum")),
        ]
        return m
