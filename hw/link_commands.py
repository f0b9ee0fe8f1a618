"""What packets ask for, done one after the other: tokens for the chain, register accesses."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from counterflow.formats import Format
from counterflow.link import POSITION_BITS, TOKENS_BIT, Buffers, Operation, Record
from counterflow.registers import NODE_BITS, REGISTER_BITS, WORD_BITS
from counterflow.tokens import KIND_BITS, Kind
from hw.chain import Request, Response
from hw.intake import LABEL_BITS, SAMPLES, label_stream, sample_stream

RECORD_BITS = 3
Answer = data.StructLayout({"record": RECORD_BITS, "data": WORD_BITS})
LABELS = 2 * SAMPLES  # of samples in the intake, and of the one on its way


class RingBytes(wiring.Component):
    """The committed bytes of a ring as a stream.

    Parameters: ``depth`` of the ring, a power of two.
    Members: ``committed`` in; ``consumed`` out, position of the next byte; ``addr`` out and
    ``data`` in, the ring's read port; ``o`` stream of bytes.
    Cost: a counter; latency 2, a byte a cycle.
    """

    def __init__(self, *, depth: int) -> None:
        super().__init__(
            {
                "committed": In(POSITION_BITS),
                "consumed": Out(POSITION_BITS),
                "addr": Out(range(depth)),
                "data": In(8),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        following = Signal(POSITION_BITS)
        m.d.comb += [
            following.eq(self.consumed + (self.o.valid & self.o.ready)),
            self.addr.eq(following),
            self.o.payload.eq(self.data),
        ]
        m.d.sync += [self.consumed.eq(following), self.o.valid.eq(following != self.committed)]
        return m


class Commands(wiring.Component):
    """Takes stored packets apart.

    Parameters: ``number`` (format of an element), ``elements`` of a sample, ``buffers``.
    Members: ``i`` stream of the bytes of stored packets; ``samples``, ``labels``, ``request`` out
    and ``response`` in, the chain's; ``answer`` out, stream of results of accesses; ``finished``
    strobe: a packet has been worked through.
    Cost: about 130 registers; an element a cycle, two where it has two bytes.
    """

    def __init__(self, *, number: Format, elements: int, buffers: Buffers) -> None:
        self.number, self.elements, self.buffers = number, elements, buffers
        super().__init__(
            {
                "i": In(stream.Signature(8)),
                "samples": Out(sample_stream(number)),
                "labels": Out(label_stream()),
                "request": Out(stream.Signature(Request)),
                "response": In(Response),
                "answer": Out(stream.Signature(Answer)),
                "finished": Out(1),
            }
        )
        self.left = Signal(range(buffers.packets))  # bytes of the payload
        self.kind, self.word = Signal(8), Signal(WORD_BITS)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.labels = labels = SyncFIFO(width=KIND_BITS + LABEL_BITS, depth=LABELS)
        m.d.comb += [
            self.labels.valid.eq(labels.r_rdy),
            self.labels.payload.eq(labels.r_data),
            labels.r_en.eq(self.labels.ready),
        ]
        byte, taken = self.i.payload, Signal()
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        with m.FSM() as states:
            with m.State("KIND"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += self.kind.eq(byte)
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += self.word.eq(byte)
                    m.next = "LENGTH_HIGH"
            with m.State("LENGTH_HIGH"):
                m.d.comb += self.i.ready.eq(1)
                length = Cat(self.word[:8], byte)
                with m.If(taken):
                    m.d.sync += self.left.eq(length)
                    m.next = "OPERATION"
                    with m.If(self.kind[TOKENS_BIT.bit_length() - 1]):
                        m.next = "LABEL"
                        with m.If(self.kind[:KIND_BITS] == Kind.BUBBLE):
                            m.next = "COUNT"
                    with m.If(length == 0):
                        m.d.comb += self.finished.eq(1)
                        m.next = "KIND"
            self._tokens(m, labels, taken)
            self._bubbles(m, labels, taken)
            self._accesses(m, taken)
        payload = ("LABEL", "ELEMENT", "COUNT", "COUNT_HIGH", "OPERATION", "NODE", "DATA")
        with m.If(taken & Cat(states.ongoing(name) for name in payload).any()):
            m.d.sync += self.left.eq(self.left - 1)
        return m

    def _end(self, m: Module, ended: Value, following: str) -> None:
        """On to `following`, or to the next packet."""
        m.next = following
        with m.If(ended):
            m.d.comb += self.finished.eq(1)
            m.next = "KIND"

    def _tokens(self, m: Module, labels: SyncFIFO, taken: Value) -> None:
        """Labels and elements, one after the other."""
        byte, wide = self.i.payload, self.number.bits > 8
        index, high = Signal(range(max(2, self.elements))), Signal()
        whole = high if wide else 1
        last = index == self.elements - 1
        final = self.left == 1
        value = Cat(self.word[:8], byte) if wide else byte
        m.d.comb += [
            self.samples.payload.data.eq(value[: self.number.bits]),
            self.samples.payload.first.eq(index == 0),
            self.samples.payload.last.eq(last),
        ]
        with m.State("LABEL"):
            m.d.comb += [
                self.i.ready.eq(labels.w_rdy),
                labels.w_en.eq(taken),
                labels.w_data.eq(Cat(self.kind[:KIND_BITS], byte)),
            ]
            with m.If(taken):
                m.d.sync += [index.eq(0), high.eq(0)]
                self._end(m, final, "ELEMENT")
        with m.State("ELEMENT"):
            m.d.comb += [
                self.samples.valid.eq(self.i.valid & whole),
                self.i.ready.eq(self.samples.ready | ~whole if wide else self.samples.ready),
            ]
            with m.If(taken):
                m.d.sync += [high.eq(~high), index.eq(index + whole)]
                if wide:
                    m.d.sync += self.word.eq(byte)
                with m.If(whole & last):
                    m.next = "LABEL"
                with m.If(final):
                    m.d.comb += self.finished.eq(1)
                    m.next = "KIND"

    def _bubbles(self, m: Module, labels: SyncFIFO, taken: Value) -> None:
        """A count, lowest byte first, and as many bubbles."""
        byte, count = self.i.payload, self.word[:16]
        with m.State("COUNT"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += self.word.eq(byte)
                self._end(m, self.left == 1, "COUNT_HIGH")
        with m.State("COUNT_HIGH"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += self.word.eq(Cat(self.word[:8], byte))
                m.next = "BUBBLE"
        with m.State("BUBBLE"):
            with m.If(count == 0):
                self._end(m, 1, "KIND")
            with m.Elif(labels.w_rdy):
                m.d.comb += [labels.w_en.eq(1), labels.w_data.eq(Kind.BUBBLE)]
                m.d.sync += count.eq(count - 1)

    def _accesses(self, m: Module, taken: Value) -> None:
        """Register accesses, each with its answer before the next one."""
        byte, final = self.i.payload, self.left == 1
        write, register, node = Signal(), Signal(REGISTER_BITS), Signal(NODE_BITS)
        done, count = Signal(), Signal(range(WORD_BITS // 8))
        m.d.comb += [
            self.request.payload.write.eq(write),
            self.request.payload.register.eq(register),
            self.request.payload.node.eq(node),
            self.request.payload.data.eq(self.word),
            self.answer.payload.data.eq(self.word),
            self.answer.payload.record.eq(
                Mux(done, Mux(write, Record.WRITTEN, Record.READ), Record.REFUSED)
            ),
        ]
        with m.State("OPERATION"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += [write.eq(byte[Operation.WRITE.bit_length() - 1]), register.eq(byte)]
                self._end(m, final, "NODE")
        with m.State("NODE"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += [node.eq(byte), count.eq(0)]
                m.next = "REQUEST"
                with m.If(write):
                    self._end(m, final, "DATA")
        with m.State("DATA"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += [self.word.eq(Cat(self.word[8:], byte)), count.eq(count + 1)]
                with m.If(count == WORD_BITS // 8 - 1):
                    m.next = "REQUEST"
                with m.Elif(final):
                    self._end(m, 1, "KIND")
        with m.State("REQUEST"):
            m.d.comb += self.request.valid.eq(1)
            with m.If(self.request.ready):
                m.next = "RESPONSE"
        with m.State("RESPONSE"), m.If(self.response.valid):
            m.d.sync += [done.eq(self.response.done), self.word.eq(self.response.data)]
            m.next = "ANSWER"
        with m.State("ANSWER"):
            m.d.comb += self.answer.valid.eq(1)
            with m.If(self.answer.ready):
                self._end(m, self.left == 0, "OPERATION")
