"""Packets to the host: what the device is, how far it has come, and results until they arrived."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from counterflow import link
from counterflow.link import MOST_RESULTS, POSITION_BITS, STATUS_BYTES, Buffers, Info, Packet
from hw.link_receiver import crc_of

Position = POSITION_BITS


class PacketSender(wiring.Component):
    """Sends INFO and STATUS when asked to, results as they come and again where the host wants it.

    It has no timer: what is lost, the host asks for.

    Parameters: ``info``, ``buffers``.
    Members: strobes ``hello``, ``report`` and ``resend`` in; ``sequence`` in, of the hello;
    ``consumed``, ``expected``, ``oldest``, ``written``, ``mark``, ``complaint`` in, the status;
    ``addr`` out and ``data`` in, read port of the ring of results; ``o`` stream of bytes.
    Cost: two CRCs, about 110 registers, a small table; a byte in two cycles.
    """

    def __init__(self, *, info: Info, buffers: Buffers) -> None:
        self.text = info.encoded()
        positions = ("sequence", "consumed", "expected", "oldest", "written", "mark")
        super().__init__(
            {
                **{name: In(1) for name in ("hello", "report", "resend", "complaint")},
                **{name: In(Position) for name in positions},
                "addr": Out(range(buffers.results)),
                "data": In(8),
                "o": Out(stream.Signature(8)),
            }
        )
        self.kind, self.length = Signal(8), Signal(range(max(MOST_RESULTS, len(self.text)) + 1))
        self.sent = Signal(Position)  # of the next result that goes out

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = crc_of(link.HEADER_CRC)
        m.submodules.crc = whole = crc_of(link.PACKET_CRC)
        byte, moved, settled, start = Signal(8), Signal(), Signal(), Signal()
        index = Signal(range(max(len(self.text), MOST_RESULTS)))
        covered = Signal()  # by the CRC
        idle, some = Signal(), Signal()
        m.d.comb += [
            self.o.payload.eq(byte),
            moved.eq(self.o.valid & self.o.ready),
            *(unit.start.eq(start) for unit in (check, whole)),
            *(unit.data.eq(byte) for unit in (check, whole)),
            *(unit.valid.eq(moved & covered) for unit in (check, whole)),
        ]
        # Memories and CRC know the next byte a cycle after the one before has gone.
        m.d.sync += settled.eq(~moved)
        with m.FSM() as states:
            with m.State("IDLE"):
                m.d.comb += [start.eq(1), idle.eq(1)]
                m.d.sync += index.eq(0)
                with m.If(some):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [self.o.valid.eq(settled), covered.eq(index != 0)]
                self._step(m, index, moved, link.HEADER_BYTES, "PAYLOAD")
            with m.State("PAYLOAD"):
                m.d.comb += [self.o.valid.eq(settled), covered.eq(1)]
                self._step(m, index, moved, self.length, "CRC")
            with m.State("CRC"):
                m.d.comb += self.o.valid.eq(settled)
                self._step(m, index, moved, link.CRC_BYTES, "IDLE")
        m.d.comb += some.eq(self._chosen(m, idle))
        with m.If(moved & states.ongoing("PAYLOAD") & (self.kind == Packet.RESULTS)):
            m.d.sync += self.sent.eq(self.sent + 1)
        with m.If(states.ongoing("CRC")):
            m.d.comb += byte.eq(whole.crc.word_select(index[:2], 8))
        with m.Else():
            self._byte(m, byte, states.ongoing("HEADER"), index, moved, check.crc)
        return m

    @staticmethod
    def _step(m: Module, index: Signal, moved: Value, count: Value | int, following: str) -> None:
        with m.If(moved):
            m.d.sync += index.eq(index + 1)
            with m.If(index == count - 1):
                m.d.sync += index.eq(0)
                m.next = following

    def _chosen(self, m: Module, idle: Value) -> Value:
        """Decide between two packets what is sent next; whether there is something."""
        info, status, again = Signal(), Signal(), Signal()
        waiting, beyond = Signal(Position), Signal(Position)
        m.d.comb += [waiting.eq(self.written - self.sent), beyond.eq(self.sent - self.oldest)]
        back = again | beyond[-1]  # the second: acknowledged from what was sent before
        with m.If(idle):
            with m.If(back):
                m.d.sync += [self.sent.eq(self.oldest), again.eq(0)]
            with m.Elif(info):
                m.d.sync += [self.kind.eq(Packet.INFO), self.length.eq(len(self.text)), info.eq(0)]
            with m.Elif(status):
                m.d.sync += [self.kind.eq(Packet.STATUS), self.length.eq(STATUS_BYTES)]
                m.d.sync += status.eq(0)
            with m.Else():
                length = Mux(waiting > MOST_RESULTS, MOST_RESULTS, waiting)
                m.d.sync += [self.kind.eq(Packet.RESULTS), self.length.eq(length)]
        for flag, wanted in ((info, self.hello), (status, self.report), (again, self.resend)):
            with m.If(wanted):
                m.d.sync += flag.eq(1)
        return ~back & (info | status | (waiting != 0))

    def _byte(
        self, m: Module, byte: Value, header: Value, index: Value, moved: Value, check: Value
    ) -> None:
        """The byte number `index` of header or payload; a number's higher byte is kept for later.

        Positions may move between the two.
        """
        text = Memory(shape=8, depth=len(self.text), init=self.text)
        m.submodules.text = text
        read = text.read_port(domain="comb")
        m.d.comb += [read.addr.eq(index), self.addr.eq(self.sent)]
        number, later = Signal(Position), Signal(8)
        sequence = Mux(self.kind == Packet.INFO, self.sequence, self.sent)
        parts: dict[int, Value] = {2: self.length, 4: sequence, 6: self.consumed}
        status: dict[int, Value] = {
            0: self.expected,
            2: self.oldest,
            4: self.written,
            6: self.mark,
        }
        with m.If(moved):
            m.d.sync += later.eq(number[8:])
        with m.If(header):
            with m.Switch(index):
                for at, value in parts.items():
                    with m.Case(at):
                        m.d.comb += number.eq(value)
                    with m.Case(at + 1):
                        m.d.comb += number.eq(later)
                for at, value in ((0, link.SYNC), (1, self.kind), (8, check)):
                    with m.Case(at):
                        m.d.comb += number.eq(value)
            m.d.comb += byte.eq(number)
        with m.Elif(self.kind == Packet.STATUS):
            with m.Switch(index):
                for at, value in status.items():
                    with m.Case(at):
                        m.d.comb += number.eq(value)
                    with m.Case(at + 1):
                        m.d.comb += number.eq(later)
                with m.Default():
                    m.d.comb += number.eq(Mux(self.complaint, link.COMPLAINT, 0))
            m.d.comb += byte.eq(number)
        with m.Else():
            m.d.comb += byte.eq(Mux(self.kind == Packet.INFO, read.data, self.data))
