"""Packets to the host: what the device is, how far it has come, and results until they arrived."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus import link
from counterflow.design.bus.link import (
    MOST_RESULTS,
    POSITION_BITS,
    STATUS_BYTES,
    Buffers,
    Info,
    Packet,
)
from counterflow.hw.link.check import PacketCheck
from counterflow.hw.parts.block_memory import BlockMemory

Position = POSITION_BITS


class PacketSender(wiring.Component):
    """Sends INFO and STATUS when asked to, results as they come and again where the host wants it.

    It has no timer: what is lost, the host asks for.

    Parameters: ``info``, ``buffers``.
    Members: strobes ``hello``, ``report`` and ``resend`` in; ``sequence`` in, of the hello;
    ``consumed``, ``expected``, ``oldest``, ``written``, ``mark``, ``complaint`` in, the status;
    ``addr`` out and ``data`` in, read port of the ring of results; ``o`` stream of bytes.
    Cost: a `PacketCheck`, about 50 registers, a memory of INFO; a byte in 11 cycles.
    """

    def __init__(self, *, info: Info, buffers: Buffers) -> None:
        self.text, self.results = info.encoded(), buffers.results
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
        self.kind = Signal(8, init=Packet.INFO, name="kind")
        self.length = Signal(range(max(MOST_RESULTS, len(self.text)) + 1), name="length")
        self.sent = Signal(Position, name="sent")  # of the next result that goes out

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = PacketCheck()
        # A byte's time: the memories find it, it is loaded, checked, and offered.
        fetched = Signal(name="fetched")
        loaded = Signal(name="loaded")
        moved = Signal(name="moved")
        index = Signal(
            range(max(len(self.text), MOST_RESULTS) + 1), init=1, name="index"
        )  # of the byte, from 1
        idle, some, ended = Signal(name="idle"), Signal(name="some"), Signal(name="ended")
        m.d.comb += [
            self.o.payload.eq(check.byte),
            self.o.valid.eq(loaded & ~check.busy),
            moved.eq(self.o.valid & self.o.ready),
            check.load.eq(fetched & ~loaded),
        ]
        m.d.sync += [fetched.eq(~idle & ~moved), loaded.eq(fetched & ~moved)]
        with m.FSM() as states:
            with m.State("IDLE"):
                m.d.comb += idle.eq(1)
                with m.If(some):
                    m.next = "HEADER"
            with m.State("HEADER"):
                m.d.comb += [check.start.eq(index == 1), ended.eq(index == link.HEADER_BYTES)]
                with m.If(moved & ended):
                    m.next = "PAYLOAD"
            with m.State("PAYLOAD"):
                m.d.comb += ended.eq(index == self.length)
                with m.If(moved & ended):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [check.closing.eq(1), ended.eq(index == link.CRC_BYTES)]
                with m.If(moved & ended):
                    m.next = "IDLE"
        with m.If(moved):
            m.d.sync += index.eq(Mux(ended, 1, index + 1))
        with m.If(moved & states.ongoing("PAYLOAD") & (self.kind == Packet.RESULTS)):
            m.d.sync += self.sent.eq(self.sent + 1)
        m.d.comb += some.eq(self._chosen(m, idle))
        fields = self._fields(m, index, states.ongoing("HEADER"), check)
        m.d.comb += check.data.eq(self._payload(m, index, fields))
        with m.If(states.ongoing("HEADER")):
            m.d.comb += check.data.eq(fields)
        with m.Elif(states.ongoing("CRC")):
            m.d.comb += check.data.eq(check.packet)
        return m

    def _chosen(self, m: Module, idle: Value) -> Value:
        """Decide between two packets what is sent next; whether there is something."""
        info = Signal(name="info")
        status = Signal(name="status")
        again = Signal(name="again")
        waiting = Signal(range(self.results + 1), name="waiting")
        beyond = Signal(
            range(2 * self.results), name="beyond"
        )  # the results are a buffer at most, on either side
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
                length = Mux(waiting >= MOST_RESULTS, MOST_RESULTS, waiting)
                m.d.sync += [self.kind.eq(Packet.RESULTS), self.length.eq(length)]
        for flag, wanted in ((info, self.hello), (status, self.report), (again, self.resend)):
            with m.If(wanted):
                m.d.sync += flag.eq(1)
        return ~back & (info | status | (waiting != 0))

    def _fields(self, m: Module, index: Signal, header: Value, check: PacketCheck) -> Value:
        """Byte number `index` of the header, else of STATUS: four pairs of bytes and one more.

        A pair's higher byte is kept for later: positions may move between the two.
        """
        sequence = Mux(self.kind == Packet.INFO, self.sequence, self.sent)
        headers = (Cat(C(link.SYNC, 8), self.kind), self.length, sequence, self.consumed)
        status = (self.expected, self.oldest, self.written, self.mark)
        number, later = Signal(Position, name="number"), Signal(8, name="later")
        with m.Switch(Cat(index[1:3], header)):
            for place, value in enumerate((*status, *headers)):
                with m.Case(place):
                    m.d.comb += number.eq(value)
        with m.If(check.load):
            m.d.sync += later.eq(number[8:])
        flags = Mux(self.complaint, link.COMPLAINT, 0)
        last = Mux(header, check.header, flags)
        return Mux(index[0], Mux(index[3], last, number[:8]), later)

    def _payload(self, m: Module, index: Signal, fields: Value) -> Value:
        """Byte number `index` of what is in the packet."""
        m.submodules.text = text = BlockMemory(
            words=1 + len(self.text), bits=8, init=[0, *self.text]
        )
        m.d.comb += [text.read_address.eq(index), self.addr.eq(self.sent)]
        memory = Mux(self.kind == Packet.INFO, text.read_data, self.data)
        return Mux(self.kind == Packet.STATUS, fields, memory)
