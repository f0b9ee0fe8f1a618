"""PacketReceiver: nothing of a packet acts before all of it is there and its CRC is right."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value

from counterflow.design.bus.link import Buffers
from counterflow.hw.link.receiver import PacketReceiver
from counterflow.sim.proofs.framing import FIELDS, HEADER, FramedSpec, Framing
from counterflow.sim.proofs.proof import Mutant, Proof

HELLO, POLL, RESEND, MARK = 1, 2, 3, 4
SEQUENCED = 0x30  # kinds 10 to 3F have one of these bits; 40 and more nobody sends to a device
STORED = 3  # bytes in front of the payload that stay with it: kind, length
HUNT, IN_HEADER, IN_CRC, IN_PAYLOAD, VERDICT = range(5)  # states, as the source names them


class ReceiverSpec(FramedSpec):
    """What the bytes are is said by `Framing`; each output follows from it and nothing else does.

    ``consumed`` goes on by any step, not beyond ``committed``; at the start, `unread` bytes are
    between the two, so that a fault of what happens with a full buffer shows soon.  The CRCs are
    those of any unit that is an `AnyCheck`, however many cycles it needs.
    """

    component = PacketReceiver

    def __init__(self, *, packets: int, unread: int) -> None:
        super().__init__()
        self.packets, self.unread = packets, unread

    def build(self, m: Module) -> None:
        m.submodules.dut = self.dut = dut = self.component(buffers=Buffers(packets=self.packets))
        self.drive(m, dut.i.valid, dut.i.payload)
        taken = dut.i.valid & dut.i.ready
        longest = self.packets // 2 - 1
        self.framing = framing = Framing(m, taken=taken, byte=dut.i.payload, longest=longest)
        self.waits = Signal(name="waits")  # for the verdict on what has come
        self.judged = self.waits & ~self.check.busy
        with m.If(framing.ends):
            m.d.sync += self.waits.eq(1)
        with m.Elif(self.judged):
            m.d.sync += self.waits.eq(0)
        m.d.comb += Assert(dut.i.ready == ~(self.check.busy | self.waits))
        self.stored = taken & (framing.in_payload | framing.count.matches(*range(1, 1 + STORED)))
        self._room(m, framing.begins)
        self._judge(m)
        self._watch(m)
        if not self.seeking:
            self._inside(m)

    def narrow(self, m: Module) -> None:
        """Bytes one after the other, a short payload, nothing consumed but between packets."""
        short = (self.framing.count < HEADER) | (self.framing.length < 2)
        between = (self.step == 0) | (self.framing.count == 0)
        m.d.comb += Assume(self.dut.i.valid & short & between)

    def _room(self, m: Module, begins: Value) -> None:
        """How many bytes of a packet have come, and whether one of them found no room."""
        self.committed = Signal(16, name="committed")
        self.size = Signal(range(self.packets), name="size")
        self.lost = Signal(name="lost")
        self.step = self.free(range(self.packets + 1), "step")
        self.consumed = Signal(16, init=-self.unread % (1 << 16))
        self.held = held = Signal(16, name="held")
        m.d.sync += self.consumed.eq(self.consumed + self.step)
        m.d.comb += [
            self.dut.consumed.eq(self.consumed),
            held.eq(self.committed - self.consumed),
            Assume(self.step <= held),
            Assert(held <= self.packets),
        ]
        with m.If(begins):
            m.d.sync += [self.size.eq(0), self.lost.eq(0)]
        with m.Elif(self.stored):
            full = held + self.size >= self.packets
            m.d.sync += [self.size.eq(self.size + 1), self.lost.eq(self.lost | full)]

    def _judge(self, m: Module) -> None:
        """What a packet does, if its CRC is right: all of that, in the cycle of the verdict."""
        dut, framing, kind = self.dut, self.framing, self.framing.kind
        good, ahead = self.judged & ~framing.spoilt, Signal(16, name="ahead")
        sequenced = good & ((kind & SEQUENCED) != 0)
        due, again = sequenced & (ahead == 0), sequenced & ahead[-1]
        asked = good & kind.matches(POLL, RESEND, MARK)
        self.commits = due & ~self.lost
        bad = (
            framing.refused | (self.judged & framing.spoilt) | (sequenced & ~again & ~self.commits)
        )
        mark, complaint = Signal(16, name="mark"), Signal(name="complaint")
        m.d.comb += [
            ahead.eq(framing.sequence - self.committed),
            Assert(dut.committed == self.committed),
            Assert(dut.mark == mark),
            Assert(dut.complaint == complaint),
            Assert(dut.hello == (good & (kind == HELLO))),
            Assert(dut.resend == (good & (kind == RESEND))),
            Assert(dut.acknowledged == (good & (kind != HELLO))),
            Assert(dut.report == (asked | again | (bad & ~complaint))),
            Assert(~good | (dut.header.as_value() == framing.fields)),
        ]
        with m.If(self.commits):
            m.d.sync += self.committed.eq(self.committed + STORED + framing.length)
        with m.If(good & (kind == MARK)):
            m.d.sync += mark.eq(framing.sequence)
        with m.If(bad):
            m.d.sync += complaint.eq(1)
        with m.Elif(self.commits | asked | (good & (kind == HELLO))):
            m.d.sync += complaint.eq(0)

    def _watch(self, m: Module) -> None:
        """Any one byte of those to be stored: from its commit until it is consumed it is there."""
        ring, byte = self.dut.ring, self.dut.i.payload
        choose, on, kept = self.free(1, "choose"), Signal(name="watching"), Signal(name="kept")
        place, data, cell = Signal(16), Signal(8, name="watched"), Signal(8, name="cell")
        here, depth = Signal(16), self.packets
        with m.If(self.stored & choose & ~on):
            m.d.comb += here.eq(self.committed + self.size)
            m.d.sync += [on.eq(1), kept.eq(0), place.eq(here), data.eq(byte)]
            m.d.sync += cell.eq(self.free(8, "unwritten"))
        with m.Else():
            m.d.comb += here.eq(place)
        with m.If(ring.en & (ring.addr == here % depth)):
            m.d.sync += cell.eq(ring.data)
        with m.If(on & ~kept & (self.judged | self.framing.refused)):
            m.d.sync += [kept.eq(1), on.eq(self.commits)]
        before, behind = Signal(16), Signal(16)  # bytes before it, of its packet those behind it
        m.d.comb += [before.eq(place - self.consumed), behind.eq(place - self.committed)]
        with m.If(on & kept & (self.step > before)):
            m.d.sync += on.eq(0)
        m.d.comb += [
            Assert(~(on & kept) | (cell == data)),
            Assert(~(on & ~kept & ~self.lost) | (cell == data)),
            Assert(~(on & kept) | (before < (self.committed - self.consumed)[:16])),
            Assert(~(on & ~kept) | (behind < self.size)),
            Assert(~(on & ~kept) | self.waits | (self.framing.count > 1)),
            Assert(~(on & ~kept & ~self.lost) | (before < depth)),
        ]

    def _inside(self, m: Module) -> None:
        """Where the states of the hardware and those of the specification belong together."""
        framing, check, count = self.framing, self.check, self.framing.count
        state, index = self.probe("dut.fsm_state", 3), self.probe("dut.index", 3)
        left = self.probe("dut.left", (self.packets - 1).bit_length())
        inside, whole = (count != 0) | self.waits, STORED + framing.length
        payload = Mux(framing.in_crc, whole, STORED + count - HEADER)
        header = Mux(count > STORED, STORED, count - 1)
        size = Mux(self.waits, whole, Mux(framing.in_header, header, payload))
        m.d.comb += [
            Assert(~self.waits | (count == 0)),
            Assert((state == HUNT) == ~inside),
            Assert((state == VERDICT) == self.waits),
            Assert((state == IN_HEADER) == framing.in_header),
            Assert((state == IN_PAYLOAD) == framing.in_payload),
            Assert((state == IN_CRC) == framing.in_crc),
            Assert(~framing.in_header | (index == count - 1)),
            Assert(~framing.in_payload | ((left == framing.left) & (index == 0))),
            Assert(~framing.in_crc | (index == count - HEADER - framing.length)),
            Assert(~inside | (self.size == size)),
            Assert(~inside | self.lost | (self.held + size <= self.packets)),
            Assert(~inside | (self.probe("dut.size", len(self.size)) == self.size)),
            Assert(~inside | (self.probe("dut.lost") == self.lost)),
            Assert(~self.waits | (framing.length < self.packets // 2)),
            Assert(~inside | (check.crc_next == framing.crc)),
            Assert(~framing.in_header | (check.check_next == framing.check)),
            Assert(~inside | (check.wrong_next == framing.spoilt)),
        ]
        fields = self.dut.header.as_value()
        for there in range(1, FIELDS):  # each is pushed in at the end, the first one first
            same = fields[8 * (FIELDS - there) :] == framing.fields[: 8 * there]
            m.d.comb += Assert((count != 1 + there) | same)
        m.d.comb += Assert((count < 1 + FIELDS) & ~self.waits | (fields == framing.fields))


PROOFS = (
    Proof(
        "link-receiver",
        "a packet is committed, or acts, if all of it came, both checks are right and it is due; "
        "its bytes stay until they are consumed",
        partial(ReceiverSpec, packets=8, unread=6),
        (
            Mutant(PacketReceiver, "(check.header != byte) | too_long", "too_long"),
            Mutant(PacketReceiver, "(check.header != byte) | too_long", "check.header != byte"),
            Mutant(PacketReceiver, "sequenced = judging & right", "sequenced = judging & 1"),
            Mutant(PacketReceiver, "(kind == Packet.HELLO)),", "1),"),
            Mutant(PacketReceiver, "resend.eq(good &", "resend.eq(judging &"),
            Mutant(PacketReceiver, "(kind != Packet.HELLO)", "1"),
            Mutant(PacketReceiver, "sequenced & (ahead == 0)", "sequenced & ~ahead[-1]"),
            Mutant(PacketReceiver, "with m.If(due & ~lost):", "with m.If(due):"),
            Mutant(PacketReceiver, "full.eq(held[-1])", "full.eq(0)"),
            Mutant(PacketReceiver, "stored.eq(index < link", "stored.eq(index <= link"),
            Mutant(PacketReceiver, "[size.eq(0), lost", "[lost"),
            Mutant(PacketReceiver, "closing.eq(index != 0)", "closing.eq(1)"),
            Mutant(PacketReceiver, "link.CRC_BYTES - 1", "link.CRC_BYTES - 2"),
            Mutant(PacketReceiver, "ring.addr.eq(end)", "ring.addr.eq(self.committed)"),
        ),
        shows=range(27, 36),
    ),
)
