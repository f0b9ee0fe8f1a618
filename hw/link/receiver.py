"""Packets from bytes: nothing of a packet acts before all of it is there and its CRC is right."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus import link
from counterflow.design.bus.link import POSITION_BITS, Buffers, Packet
from counterflow.hw.link.check import PacketCheck

Position = POSITION_BITS
HeaderLayout = data.StructLayout({"kind": 8, "length": 16, "sequence": 16, "acknowledge": 16})
HEADER_FIELDS = 7  # bytes of the header between sync and check


class RingWrite(wiring.Signature):
    """Writes of bytes to a ring of `depth`."""

    def __init__(self, depth: int) -> None:
        super().__init__({"en": Out(1), "addr": Out(range(depth)), "data": Out(8)})


class PacketReceiver(wiring.Component):
    """Writes packets into the ring as they come and commits those in sequence that arrive whole.

    What cannot be a packet is skipped: a sync is looked for in the byte after the fault is known.

    Parameters: ``buffers``.
    Members: ``i`` stream of bytes; ``ring`` writes; ``consumed`` in and ``committed`` out,
    positions of the ring's reader and of the end of the last good packet; ``header`` out, of the
    last packet; ``mark`` out, the host's; strobes ``hello``, ``acknowledged``, ``resend``, and
    ``report``: the host should hear the status;
    ``complaint`` out: something was lost or broken since the last good packet.
    Cost: a `PacketCheck`, about 120 registers; a byte in 9 cycles, latency 10 from a packet's last.
    """

    def __init__(self, *, buffers: Buffers) -> None:
        self.buffers = buffers
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "ring": Out(RingWrite(buffers.packets)),
                "consumed": In(Position),
                "committed": Out(Position),
                "header": Out(HeaderLayout),
                "mark": Out(Position),
                **{name: Out(1) for name in ("hello", "acknowledged", "resend", "report")},
                "complaint": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = PacketCheck()
        byte = Signal(8, name="byte")
        taken = Signal(name="taken")
        start = Signal(name="start")
        broken = Signal(name="broken")
        index = Signal(range(HEADER_FIELDS + 1), name="index")
        left = Signal(range(self.buffers.packets), name="left")
        judging = Signal(name="judging")
        judged = Signal(name="judged")
        stored = Signal(name="stored")
        m.d.comb += [
            self.i.ready.eq(~check.busy & ~judging),
            byte.eq(self.i.payload),
            taken.eq(self.i.valid & self.i.ready),
            check.start.eq(start),
            check.data.eq(byte),
            check.load.eq(taken & ~start),
            judged.eq(judging & ~check.busy),
        ]
        too_long = self.header.length >= self.buffers.packets // 2
        with m.FSM():
            with m.State("HUNT"), m.If(taken & (byte == link.SYNC)):
                m.d.comb += start.eq(1)
                m.d.sync += index.eq(0)
                m.next = "HEADER"
            with m.State("HEADER"), m.If(taken):
                m.d.sync += index.eq(index + 1)
                m.d.comb += stored.eq(index < link.STORED_BYTES)
                with m.If(index != HEADER_FIELDS):
                    m.d.sync += self.header.eq(Cat(self.header.as_value()[8:], byte))
                with m.Elif((check.header != byte) | too_long):
                    m.d.comb += broken.eq(1)
                    m.next = "HUNT"
                with m.Else():
                    m.d.sync += [left.eq(self.header.length), index.eq(0)]
                    m.next = "CRC"
                    with m.If(self.header.length != 0):
                        m.next = "PAYLOAD"
            with m.State("PAYLOAD"), m.If(taken):
                m.d.comb += stored.eq(1)
                m.d.sync += left.eq(left - 1)
                with m.If(left == 1):
                    m.next = "CRC"
            with m.State("CRC"):
                # Before the first byte of the CRC, the last one of the payload is still on its way.
                m.d.comb += check.closing.eq(index != 0)
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == link.CRC_BYTES - 1):
                        m.next = "VERDICT"
            with m.State("VERDICT"):
                m.d.comb += [judging.eq(1), check.closing.eq(1)]
                with m.If(judged):
                    m.next = "HUNT"
        size, lost = self._store(m, start, stored, byte)
        self._judge(m, judged, ~check.differs, broken, size, lost)
        return m

    def _store(self, m: Module, start: Value, stored: Value, byte: Value) -> tuple[Value, Value]:
        """Write behind the last good packet; (bytes written of this one, no room for all).

        It matters only for packets that are then committed what is written here.
        """
        size = Signal(range(self.buffers.packets), name="size")
        lost = Signal(name="lost")
        full = Signal(name="full")
        end = Signal(len(self.ring.addr) + 1, name="end")
        held = Signal(len(self.ring.addr) + 1, name="held")
        m.d.comb += [
            end.eq(self.committed + size),
            held.eq(end - self.consumed),
            full.eq(held[-1]),
            self.ring.en.eq(stored & ~full),
            self.ring.addr.eq(end),
            self.ring.data.eq(byte),
        ]
        with m.If(start):
            m.d.sync += [size.eq(0), lost.eq(0)]
        with m.Elif(stored):
            m.d.sync += [size.eq(size + 1), lost.eq(lost | full)]
        return size, lost

    def _judge(
        self, m: Module, judging: Value, right: Value, broken: Value, size: Value, lost: Value
    ) -> None:
        """Commit a good packet in sequence; strobes for what the others ask for."""
        kind = self.header.kind
        good, sequenced = judging & right, (kind & link.SEQUENCED_BITS) != 0
        ahead = Signal(Position, name="ahead")
        due = Signal(name="due")
        bad = Signal(name="bad")
        asked = Signal(name="asked")
        marked = Signal(name="marked")
        m.d.comb += [
            ahead.eq(self.header.sequence - self.committed),
            due.eq(good & sequenced & (ahead == 0)),
            bad.eq(
                broken
                | (judging & ~right)
                | (due & lost)
                | (good & sequenced & (ahead != 0) & ~ahead[-1])
            ),
            self.hello.eq(good & (kind == Packet.HELLO)),
            self.resend.eq(good & (kind == Packet.RESEND)),
            self.acknowledged.eq(good & (kind != Packet.HELLO)),
            marked.eq(good & (kind == Packet.MARK)),
            asked.eq(good & (marked | (kind == Packet.POLL) | (kind == Packet.RESEND))),
            # What comes a second time comes because the host has not heard that it came.
            self.report.eq(asked | (good & sequenced & ahead[-1]) | (bad & ~self.complaint)),
        ]
        with m.If(due & ~lost):
            m.d.sync += self.committed.eq(self.committed + size)
        with m.If(marked):
            m.d.sync += self.mark.eq(self.header.sequence)
        m.d.sync += self.complaint.eq(
            Mux(bad, 1, Mux((due & ~lost) | asked | self.hello, 0, self.complaint))
        )
