"""Where streams meet: their elements wait in queues until all fellows are there."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.fpga.blocks import READ_AT_ONCE
from counterflow.hw.parts.block_fifo import BlockFIFO
from counterflow.hw.parts.fifo import SyncFIFO


class Join(wiring.Component):
    """Gives one element of each of several streams at a time, in their order.

    A stream is refused only while its own queue is full: none waits for another's valid.

    Parameters: for each stream the ``bits`` of an element and the ``depths`` of its queue.
    Members: ``i0``, ``i1``, ... streams; ``o0``, ``o1``, ... out: their oldest elements; ``valid``
    out: there is one of each, ``take`` in: they are taken.
    Cost: the queues, in block RAM where they are deep; latency 1, one element of each a cycle.
    """

    def __init__(self, *, bits: Sequence[int], depths: Sequence[int]) -> None:
        self.bits, self.depths = tuple(bits), tuple(depths)
        members: dict[str, In | Out] = {"valid": Out(1), "take": In(1)}
        for index, width in enumerate(self.bits):
            members[f"i{index}"] = In(stream.Signature(width))
            members[f"o{index}"] = Out(width)
        super().__init__(members)

    def given(self, index: int) -> stream.Interface:
        """Stream number `index`."""
        return getattr(self, f"i{index}")

    def oldest(self, index: int) -> Signal:
        """The oldest element of stream number `index`."""
        found: Signal = getattr(self, f"o{index}")
        return found

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ready = []
        for index, (width, depth) in enumerate(zip(self.bits, self.depths, strict=True)):
            kind = BlockFIFO if depth > READ_AT_ONCE else SyncFIFO
            m.submodules[f"queue{index}"] = queue = kind(width=width, depth=depth)
            given = self.given(index)
            m.d.comb += [
                queue.w_data.eq(given.payload),
                queue.w_en.eq(given.valid),
                given.ready.eq(queue.w_rdy),
                queue.r_en.eq(self.valid & self.take),
                self.oldest(index).eq(queue.r_data),
            ]
            ready.append(queue.r_rdy)
        m.d.comb += self.valid.eq(1)
        for one in ready:
            with m.If(~one):
                m.d.comb += self.valid.eq(0)
        return m
