"""AXI4-Stream: packets with the label beside them become samples and labels of the chain."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS, LABEL_BITS, Kind
from counterflow.hw.intake import SAMPLES, sample_stream
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.streams import label_stream

USER_BITS = KIND_BITS + LABEL_BITS  # of a sample's TUSER: its kind lowest, then its label
LABELS = 2 * SAMPLES  # that wait: the intake never lacks one for a sample that it holds
SKID = 2  # transfers between a ready that no valid depends on, and a full rate


def data_bits(number: Format) -> int:
    """Width of TDATA for one element: whole bytes, as the standard wants it."""
    return -(-number.bits // 8) * 8


def packet_stream(number: Format) -> stream.Signature:
    """What a transfer of samples carries: TDATA, TLAST and TUSER."""
    layout = {"data": data_bits(number), "last": 1, "user": USER_BITS}
    return stream.Signature(data.StructLayout(layout))


class Packets(wiring.Component):
    """A packet is a token: an element of the sample a transfer, kind and label in TUSER.

    Only the TUSER of a packet's first transfer counts.  The packet of a bubble may have any length;
    what is in it is dropped.  A packet of a wrong length goes on to the intake, which drops it with
    its label and counts it.

    Parameters: ``number``, the format of an element.
    Members: ``packets`` stream in; ``samples``, ``labels`` streams out, as the intake wants them.
    Cost: 13 registers, queues of SKID transfers and LABELS labels in LUTs; latency 1, one element a
    cycle.
    """

    def __init__(self, *, number: Format) -> None:
        self.number = number
        super().__init__(
            {
                "packets": In(packet_stream(number)),
                "samples": Out(sample_stream(number)),
                "labels": Out(label_stream()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        layout = self.packets.payload.shape()
        m.submodules.skid = skid = SyncFIFO(width=layout.size, depth=SKID)
        m.submodules.queue = queue = SyncFIFO(width=USER_BITS, depth=LABELS)
        beat = data.View(layout, skid.r_data)
        within, dropping = Signal(name="within"), Signal(name="dropping")
        bubble = Mux(within, dropping, beat.user[:KIND_BITS] == Kind.BUBBLE)
        room = within | queue.w_rdy  # for the label, which goes with the first transfer
        taken = Signal(name="taken")
        m.d.comb += [
            skid.w_en.eq(self.packets.valid),
            skid.w_data.eq(self.packets.payload),
            self.packets.ready.eq(skid.w_rdy),
            self.samples.valid.eq(skid.r_rdy & room & ~bubble),
            self.samples.payload.data.eq(beat.data[: self.number.bits]),
            self.samples.payload.first.eq(~within),
            self.samples.payload.last.eq(beat.last),
            taken.eq(skid.r_rdy & room & (bubble | self.samples.ready)),
            skid.r_en.eq(taken),
            queue.w_en.eq(taken & ~within),
            queue.w_data.eq(beat.user),
            self.labels.valid.eq(queue.r_rdy),
            self.labels.payload.eq(queue.r_data),
            queue.r_en.eq(self.labels.ready),
        ]
        with m.If(taken):
            m.d.sync += [within.eq(~beat.last), dropping.eq(bubble)]
        return m
