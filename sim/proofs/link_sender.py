"""PacketSender: what leaves are whole packets, of what was asked for, and results in order."""

from __future__ import annotations

from amaranth.hdl import Array, Assert, Assume, Const, Module, Mux, Signal

from counterflow.design.bus.link import Buffers, Info
from counterflow.hw.link.sender import PacketSender
from counterflow.sim.proofs.framing import HEADER, SYNC, FramedSpec, Framing
from counterflow.sim.proofs.link_ring import WatchedByte
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import delay, offered

INFO, STATUS, RESULTS = 0x41, 0x42, 0x43
STATUS_BYTES = 9
FLAGS = ("info", "status", "again")  # in the source, what is still to be done
DEPTH = 8  # bytes of the ring of results
KNOWN = 2  # of them that the host knows at the start, though they are to be sent again, ...
BEFORE = 4  # ... of those sent before: so a fault of what happens then shows soon
POSITIONS = ("sequence", "consumed", "expected", "mark")  # those that the results do not move
IDLE, IN_HEADER, IN_PAYLOAD, IN_CRC = range(4)  # states, as the source names them


class SenderSpec(FramedSpec):
    """A stream of packets that a receiver with the same `Framing` finds right, and what is in them.

    The CRCs are those of any unit that is an `AnyCheck`.  Results are written while fewer than a
    buffer is kept, and the host acknowledges those that it has got, and no others.
    """

    component = PacketSender

    def build(self, m: Module) -> None:
        info = Info("00" * 6, 1, 2, Buffers(results=DEPTH), 1, 1, "", "")
        m.submodules.dut = self.dut = dut = self.component(info=info, buffers=info.buffers)
        self.text = info.encoded()
        self.drive(m, dut.hello, dut.report, dut.resend, dut.complaint, dut.data, dut.o.ready)
        self.drive(m, *(getattr(dut, name) for name in POSITIONS))
        offered(m, dut.o.valid, dut.o.ready, dut.o.payload, by_dut=True)
        self.taken = dut.o.valid & dut.o.ready
        self.framing = framing = Framing(
            m, taken=self.taken, byte=dut.o.payload, longest=len(self.text)
        )
        m.d.comb += [
            Assert(~self.taken | (framing.count != 0) | framing.begins),
            Assert(~framing.refused),
            Assert(~framing.ends | framing.right),
        ]
        self.state = self.probe("dut.fsm_state", 2)
        self.idle = self.state == IDLE
        self._results(m)
        self._choose(m)
        self._bytes(m)
        quiet = Signal(range(4), name="quiet")  # cycles without a byte, but for those of the check
        m.d.sync += quiet.eq(Mux(self.idle | self.check.busy | dut.o.valid, 0, quiet + 1))
        m.d.comb += Assert(quiet <= 2)
        if not self.seeking:
            self._inside(m)

    def narrow(self, m: Module) -> None:
        """Events are between packets; bytes are taken at once, up to one that never is."""
        dut, stopped = self.dut, Signal(name="stopped")
        m.d.sync += stopped.eq(stopped | ~dut.o.ready)
        quiet = ~(dut.hello | dut.report | dut.resend | self.grows) & (self.passes == 0)
        m.d.comb += [Assume(self.idle | quiet), Assume(~stopped | ~dut.o.ready)]

    def _results(self, m: Module) -> None:
        """The ring of results, its ends, and how far the host can have got what is in it."""
        grows, passes = self.free(1, "grows"), self.free(range(DEPTH), "passes")
        self.grows, self.passes = grows, passes
        written, oldest = (
            Signal(16, name="written", init=BEFORE),
            Signal(16, name="oldest", init=KNOWN),
        )
        self.sent, self.farthest = Signal(16, name="sent"), Signal(16, name="farthest", init=BEFORE)
        kept, known = Signal(16, name="kept"), Signal(16, name="known")
        m.d.sync += [written.eq(written + grows), oldest.eq(oldest + passes)]
        m.d.comb += [
            self.dut.written.eq(written),
            self.dut.oldest.eq(oldest),
            kept.eq(written - oldest),
            known.eq(self.farthest - oldest),
            Assume(kept + grows < DEPTH),
            Assume(passes <= known),
        ]
        self.written, self.oldest = written, oldest
        self.watched = WatchedByte(m, self, first=oldest, passes=passes, end=written, grows=grows)
        self.watched.read(m, self.dut.addr, self.dut.data)
        again = Signal(16, name="sent_before")  # bytes that are sent once more
        m.d.comb += [
            again.eq(self.farthest - self.sent),
            Assert((known <= kept) & (kept < DEPTH) & (again < DEPTH)),
        ]

    def _choose(self, m: Module) -> None:
        """Between packets: back to the oldest result if need be; else INFO, STATUS or RESULTS."""
        dut = self.dut
        hello, report, resend = self.owed = Signal(), Signal(), Signal()
        self.kind, self.length = Signal(8, name="kind"), Signal(8, name="length")
        waiting, behind = Signal(16, name="waiting"), Signal(16, name="behind")
        m.d.comb += [waiting.eq(self.written - self.sent), behind.eq(self.sent - self.oldest)]
        back = resend | behind[-1]
        with m.If(self.idle & back):
            m.d.sync += [self.sent.eq(self.oldest), resend.eq(0)]
        with m.Elif(self.idle & hello):
            m.d.sync += [self.kind.eq(INFO), self.length.eq(len(self.text)), hello.eq(0)]
        with m.Elif(self.idle & report):
            m.d.sync += [self.kind.eq(STATUS), self.length.eq(STATUS_BYTES), report.eq(0)]
        with m.Elif(self.idle):
            m.d.sync += [self.kind.eq(RESULTS), self.length.eq(waiting)]
        for owed, strobe in ((hello, dut.hello), (report, dut.report), (resend, dut.resend)):
            with m.If(strobe):
                m.d.sync += owed.eq(1)
        self.begins = self.idle & ~back & (hello | report | (waiting != 0))
        carries = self.taken & (self.kind == RESULTS) & self.framing.in_payload
        with m.If(carries):
            m.d.sync += self.sent.eq(self.sent + 1)
            with m.If(self.sent == self.farthest):
                m.d.sync += self.farthest.eq(self.farthest + 1)
        left = Mux(self.framing.in_payload, self.framing.left, self.length)
        done = self.idle | (self.kind != RESULTS) | self.framing.in_crc
        m.d.comb += Assert(done | (left <= waiting))  # all that it still has to carry is written
        m.d.comb += Assert(waiting < 2 * DEPTH)
        m.d.comb += Assert(~self.idle | ~delay(m, self.begins))  # at once

    def _bytes(self, m: Module) -> None:
        """Each field, number and byte of a packet is what it should be when its turn comes."""
        dut, framing, load = self.dut, self.framing, self.check.load
        at = self.at = (framing.count - HEADER)[:8]  # in the payload
        sequence = Mux(self.kind == INFO, dut.sequence, self.sent)
        header = {1: self.kind, 2: self.length, 4: sequence, 6: dut.consumed}
        status = {0: dut.expected, 2: self.oldest, 4: self.written, 6: dut.mark, 8: dut.complaint}
        number, whole = Signal(16, name="number"), Signal(16, name="whole")
        due, wanted = Signal(8, name="due"), Signal(8, name="wanted")
        m.d.comb += due.eq(whole[8:])  # the second byte of what has been begun
        places = [(place, framing.count == place, value) for place, value in header.items()]
        states = (self.kind == STATUS) & framing.in_payload
        places += [(place, states & (at == place), value) for place, value in status.items()]
        for _, here, value in places:
            with m.If(here):
                m.d.comb += [number.eq(value), due.eq(number[:8])]
                with m.If(load):
                    m.d.sync += whole.eq(number)
        with m.If((self.kind == INFO) & framing.in_payload):
            m.d.comb += due.eq(Array(Const(byte, 8) for byte in self.text)[at])
        with m.If(load):
            m.d.sync += wanted.eq(due)
        checked = framing.count.matches(0, HEADER - 1) | framing.in_crc  # by the framing
        result = (self.kind == RESULTS) & framing.in_payload
        watched = result & self.watched.on & (self.watched.place == self.sent)
        m.d.comb += [
            Assert(~dut.o.valid | checked | result | (dut.o.payload == wanted)),
            Assert(~(dut.o.valid & watched) | (dut.o.payload == self.watched.data)),
        ]
        self.whole, self.wanted, self.known = whole, wanted, ~(checked | result)
        self.is_watched = watched

    def _inside(self, m: Module) -> None:
        """Where the states of the hardware and those of the specification belong together."""
        dut, framing, count = self.dut, self.framing, self.framing.count
        index = self.probe("dut.index", 8)
        header = ~self.idle & (count < HEADER)
        first = Mux(count < HEADER, 0, Mux(framing.in_payload, HEADER, HEADER + self.length))
        lengths = Mux(self.kind == INFO, len(self.text), STATUS_BYTES)
        m.d.comb += [
            *(
                Assert(self.probe(f"dut.{flag}") == owed)
                for flag, owed in zip(FLAGS, self.owed, strict=True)
            ),
            Assert(~self.idle | (count == 0)),
            Assert((self.state == IN_HEADER) == header),
            Assert((self.state == IN_PAYLOAD) == framing.in_payload),
            Assert((self.state == IN_CRC) == framing.in_crc),
            Assert(index == 1 + count - first),
            Assert(dut.sent == self.sent),
            Assert(self.idle | ((dut.kind == self.kind) & (dut.length == self.length))),
            Assert(self.idle | self.kind.matches(INFO, STATUS, RESULTS)),
            Assert(self.idle | (self.kind == RESULTS) | (self.length == lengths)),
            Assert(self.idle | ((self.length != 0) & (self.length <= len(self.text)))),
            Assert((count < 2) | (framing.kind == self.kind)),
            Assert((count < 3) | (framing.length[:8] == self.length)),
            Assert((count < 4) | (framing.length[8:] == 0)),
            Assert((count == 0) | ~framing.spoilt),
        ]
        self._inside_byte(m)

    def _inside_byte(self, m: Module) -> None:
        """A byte's time: found by the memories, loaded, in the checks, offered."""
        dut, framing, check, count = self.dut, self.framing, self.check, self.framing.count
        fetched, loaded = self.probe("dut.fetched"), self.probe("dut.loaded")
        later, second = self.probe("dut.later", 8), count[0] != framing.in_payload
        states = (self.kind == STATUS) & framing.in_payload & (self.at < STATUS_BYTES - 1)
        numbers = count.matches(*range(2, HEADER - 1)) | states  # of two bytes
        m.d.comb += [
            Assert(~loaded | fetched),
            Assert(~check.busy | loaded),
            Assert(~self.idle | ~fetched),
            Assert(dut.o.valid == (loaded & ~check.busy)),
            Assert(~loaded | ~self.known | (check.byte == self.wanted)),
            Assert(~loaded | (count != 0) | (check.byte == SYNC)),
            Assert(~loaded | (count != HEADER - 1) | (check.byte == framing.check)),
            Assert(~loaded | ~framing.in_crc | (check.byte == ~framing.crc[:8])),
            Assert(~loaded | ~self.is_watched | (check.byte == self.watched.data)),
            Assert((count > 1) | (count[0] == loaded) | (later == self.kind) | self.idle),
            Assert((count != 3) | (self.whole == self.length)),
            Assert((count != 1) | ~loaded | (self.wanted == self.kind)),
            Assert((count != 2) | ~loaded | (self.whole == self.length)),
            Assert((count != 2) | ~loaded | (self.wanted == self.length)),
            Assert((count != 3) | ~loaded | (self.wanted == 0)),
            Assert(~numbers | (second == loaded) | (later == self.whole[8:])),
        ]
        with m.If(count != 0):
            crc = Mux(loaded, framing.crc_next, framing.crc)
            byte_check = Mux(loaded, framing.check_next, framing.check)
            m.d.comb += Assert(check.crc_next == crc)
            m.d.comb += Assert(~framing.in_header | (check.check_next == byte_check))


PROOFS = (
    Proof(
        "link-sender",
        "what leaves are whole packets with right checks, asked for, with the fields of their "
        "time; results go on where they ended, or from the oldest if that is wanted",
        SenderSpec,
        (
            Mutant(PacketSender, "index == link.HEADER_BYTES)", "index == link.HEADER_BYTES - 1)"),
            Mutant(PacketSender, "eq(STATUS_BYTES)", "eq(STATUS_BYTES - 1)"),
            Mutant(PacketSender, "check.start.eq(index == 1)", "check.start.eq(0)"),
            Mutant(PacketSender, "fetched.eq(~idle & ~moved)", "fetched.eq(~idle)"),
            Mutant(
                PacketSender, "loaded.eq(fetched & ~moved)", "loaded.eq(fetched & ~self.o.valid)"
            ),
            Mutant(PacketSender, 'ongoing("PAYLOAD") & (', 'ongoing("CRC") & ('),
            Mutant(PacketSender, "back = again | beyond[-1]", "back = again"),
            Mutant(PacketSender, "self.sent.eq(self.oldest), again", "again"),
            Mutant(PacketSender, "self.oldest), again.eq(0)", "self.oldest), info.eq(0)"),
            Mutant(PacketSender, "number[:8]), later)", "number[:8]), number[8:])"),
            Mutant(PacketSender, "info | status | (waiting != 0)", "1"),
            Mutant(PacketSender, "sequence = Mux(self.kind == Packet.INFO,", "sequence = Mux(0,"),
        ),
        shows=range(64, 67),
    ),
)
