"""What packets ask for, done one after the other: tokens for the chain, register accesses."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.link import (
    MOST_BUBBLES,
    POSITION_BITS,
    TOKENS_BIT,
    Buffers,
    Operation,
    Record,
)
from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS, LABEL_BITS, Kind
from counterflow.hw.chain import Request, Response
from counterflow.hw.intake import SAMPLES, sample_stream
from counterflow.hw.parts.block_fifo import BlockFIFO
from counterflow.hw.parts.streams import label_stream

AnswerByte = data.StructLayout({"byte": 8, "last": 1})
LABELS = 4 * SAMPLES  # of samples in the intake, of the one on its way, of bubbles between


class RingBytes(wiring.Component):
    """The committed bytes of a ring as a stream.

    Parameters: ``depth`` of the ring, a power of two.
    Members: ``committed`` in; ``consumed`` out, position of the next byte; ``addr`` out and
    ``data`` in, the ring's read port; ``o`` stream of bytes.
    Cost: a counter and a register of a byte, for memories give theirs late in a cycle; latency 3,
    a byte in three cycles.
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
        taken = self.o.valid & self.o.ready
        held = len(self.addr) + 1  # bits that tell an empty ring from a full one
        some = self.consumed[:held] != self.committed[:held]
        fetched = Signal(name="fetched")  # what the memory gives is the next byte
        m.d.comb += self.addr.eq(self.consumed)
        m.d.sync += [
            fetched.eq(some & ~taken),
            self.o.valid.eq(fetched & ~taken),
            self.o.payload.eq(self.data),
        ]
        with m.If(taken):
            m.d.sync += self.consumed.eq(self.consumed + 1)
        return m


class Commands(wiring.Component):
    """Takes stored packets apart.

    Parameters: ``number`` (format of an element), ``elements`` of a sample, ``buffers``.
    Members: ``i`` stream of the bytes of stored packets; ``samples``, ``labels``, ``request`` out
    and ``response`` in, the chain's; ``answer`` out, stream of bytes: results of accesses;
    ``finished`` strobe: a packet has been worked through.
    Cost: about 90 registers, a block memory; an element a cycle, two where it has two bytes.
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
                "answer": Out(stream.Signature(AnswerByte)),
                "finished": Out(1),
            }
        )
        self.left = Signal(range(buffers.packets), name="left")  # bytes of the payload
        self.kind = Signal(8, name="kind")
        self.word = Signal(WORD_BITS, name="word")  # the last bytes, the latest one highest
        self.index = Signal(range(max(elements, MOST_BUBBLES + 1)), name="index")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.labels = labels = BlockFIFO(width=KIND_BITS + LABEL_BITS, depth=LABELS)
        m.d.comb += [
            self.labels.valid.eq(labels.r_rdy),
            self.labels.payload.eq(labels.r_data),
            labels.r_en.eq(self.labels.ready),
        ]
        byte, taken = self.i.payload, Signal(name="taken")
        m.d.comb += taken.eq(self.i.valid & self.i.ready)
        with m.If(taken):
            m.d.sync += [
                self.word.eq(Cat(self.word[8:], byte)),
                self.left.eq(self.left - 1),
            ]
        with m.FSM():
            with m.State("KIND"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.d.sync += self.kind.eq(byte)
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(taken):
                    m.next = "LENGTH_HIGH"
            with m.State("LENGTH_HIGH"):
                m.d.comb += self.i.ready.eq(1)
                length = Cat(self.word[-8:], byte)
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
        return m

    def _end(self, m: Module, ended: Value, following: str) -> None:
        """On to `following`, or to the next packet."""
        m.next = following
        with m.If(ended):
            m.d.comb += self.finished.eq(1)
            m.next = "KIND"

    def _tokens(self, m: Module, labels: BlockFIFO, taken: Value) -> None:
        """Labels and elements, one after the other."""
        byte, wide, high = self.i.payload, self.number.bits > 8, Signal(name="high")
        whole = high if wide else 1
        last = self.index == self.elements - 1
        final = self.left == 1
        value = Cat(self.word[-8:], byte) if wide else byte
        m.d.comb += [
            self.samples.payload.data.eq(value[: self.number.bits]),
            self.samples.payload.first.eq(self.index == 0),
            self.samples.payload.last.eq(last),
        ]
        with m.State("LABEL"):
            m.d.comb += [
                self.i.ready.eq(labels.w_rdy),
                labels.w_en.eq(taken),
                labels.w_data.eq(Cat(self.kind[:KIND_BITS], byte)),
            ]
            with m.If(taken):
                m.d.sync += [self.index.eq(0), high.eq(0)]
                self._end(m, final, "ELEMENT")
        with m.State("ELEMENT"):
            m.d.comb += [
                self.samples.valid.eq(self.i.valid & whole),
                self.i.ready.eq(self.samples.ready | ~whole if wide else self.samples.ready),
            ]
            with m.If(taken):
                m.d.sync += [high.eq(~high), self.index.eq(self.index + whole)]
                with m.If(whole & last):
                    m.next = "LABEL"
                with m.If(final):
                    m.d.comb += self.finished.eq(1)
                    m.next = "KIND"

    def _bubbles(self, m: Module, labels: BlockFIFO, taken: Value) -> None:
        """A count, lowest byte first, and as many bubbles."""
        with m.State("COUNT"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                self._end(m, self.left == 1, "COUNT_HIGH")
        with m.State("COUNT_HIGH"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(taken):
                m.d.sync += self.index.eq(0)
                m.next = "BUBBLE"
        with m.State("BUBBLE"):
            with m.If(self.index == self.word[-16:]):
                self._end(m, 1, "KIND")
            with m.Elif(labels.w_rdy):
                m.d.comb += [labels.w_en.eq(1), labels.w_data.eq(Kind.BUBBLE)]
                m.d.sync += self.index.eq(self.index + 1)

    def _accesses(self, m: Module, taken: Value) -> None:
        """Register accesses, each with its answer before the next one."""
        byte, final = self.i.payload, self.left == 1
        write = Signal(name="write")
        register = Signal(REGISTER_BITS, name="register")
        node = Signal(NODE_BITS, name="node")
        done, count = Signal(name="done"), Signal(range(WORD_BITS // 8), name="count")
        m.d.comb += [
            self.request.payload.write.eq(write),
            self.request.payload.register.eq(register),
            self.request.payload.node.eq(node),
            self.request.payload.data.eq(self.word),
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
                m.d.sync += count.eq(count + 1)
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
        self._answer(m, done, write, count)

    def _answer(self, m: Module, done: Value, write: Value, count: Signal) -> None:
        """The record of an access: its kind, and the word that was read."""
        answer, ended = self.answer.payload, self.left == 0
        reads = done & ~write
        with m.State("ANSWER"):
            kind = Mux(done, Mux(write, Record.WRITTEN, Record.READ), Record.REFUSED)
            m.d.comb += [self.answer.valid.eq(1), answer.byte.eq(kind), answer.last.eq(~reads)]
            with m.If(self.answer.ready):
                m.next = "WORD"
                with m.If(~reads):
                    self._end(m, ended, "OPERATION")
        with m.State("WORD"):
            last = count == WORD_BITS // 8 - 1
            m.d.comb += [
                self.answer.valid.eq(1),
                answer.byte.eq(self.word[:8]),
                answer.last.eq(last),
            ]
            with m.If(self.answer.ready):
                m.d.sync += [self.word.eq(self.word >> 8), count.eq(count + 1)]
                with m.If(last):
                    self._end(m, ended, "OPERATION")
