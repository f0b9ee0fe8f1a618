"""Results for the host: predictions and answers as records of bytes in a ring."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.link import CLASS_BYTES, POSITION_BITS, WORD_BYTES, Buffers, Record, loss_bytes
from counterflow.softmax import LossArithmetic
from hw.link_commands import Answer
from hw.link_receiver import RingWrite
from hw.loss import prediction_stream
from hw.narrow import shape_of

LONGEST = 1 + WORD_BYTES  # bytes of a record
CLASS_BITS = 8 * CLASS_BYTES


class Results(wiring.Component):
    """Makes a record of each prediction, of its best class only, and of each answer.

    A record is begun when there is room for the longest one, else the chain has to wait.

    Parameters: ``numbers`` of the loss, ``buffers``.
    Members: ``predictions`` stream in, the chain's; ``answers`` stream in; ``ring`` writes;
    ``oldest`` in and ``written`` out, positions of the first byte that is still needed and of the
    next one that will be written.
    Cost: about 90 registers; a byte a cycle.
    """

    def __init__(self, *, numbers: LossArithmetic, buffers: Buffers) -> None:
        assert 1 + CLASS_BYTES + loss_bytes(numbers) <= LONGEST
        self.numbers, self.buffers = numbers, buffers
        super().__init__(
            {
                "predictions": In(prediction_stream(numbers)),
                "answers": In(stream.Signature(Answer)),
                "ring": Out(RingWrite(buffers.results)),
                "oldest": In(POSITION_BITS),
                "written": Out(POSITION_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        record, left = Signal(8 * LONGEST), Signal(range(LONGEST + 1))
        idle = Signal()
        held = Signal(len(self.ring.addr) + 1)
        p, answer = self.predictions.payload, self.answers.payload
        m.d.comb += [
            held.eq(self.written - self.oldest),
            idle.eq((left == 0) & (held < self.buffers.results - LONGEST)),
            self.predictions.ready.eq(idle),
            self.answers.ready.eq(idle & ~self.predictions.valid),
            self.ring.en.eq(left != 0),
            self.ring.addr.eq(self.written),
            self.ring.data.eq(record),
        ]
        best = self._best(m, self.predictions.valid & idle)
        loss = Cat(p.loss, Const(0, 8 * loss_bytes(self.numbers) - len(p.loss)))
        with m.If(left != 0):
            m.d.sync += [
                record.eq(record[8:]),
                left.eq(left - 1),
                self.written.eq(self.written + 1),
            ]
        with m.Elif(self.predictions.valid & idle & p.last):
            m.d.sync += [
                record.eq(Cat(Cat(p.kind, Const(0, 8 - len(p.kind))), best, loss)),
                left.eq(1 + CLASS_BYTES + loss_bytes(self.numbers)),
            ]
        with m.Elif(self.answers.valid & self.answers.ready):
            first = Cat(answer.record, Const(0, 8 - len(answer.record)))
            m.d.sync += [
                record.eq(Cat(first, answer.data)),
                left.eq(Mux(answer.record == Record.READ, LONGEST, 1)),
            ]
        return m

    def _best(self, m: Module, taken: Value) -> Value:
        """The class of the largest score, the first one of equals, when the last score is taken."""
        p = self.predictions.payload
        index, chosen, best = Signal(CLASS_BITS), Signal(CLASS_BITS), Signal(CLASS_BITS)
        largest = Signal(shape_of(self.numbers.logit))
        better = (index == 0) | (p.score > largest)
        m.d.comb += best.eq(Mux(better, index, chosen))
        with m.If(taken):
            m.d.sync += [index.eq(Mux(p.last, 0, index + 1)), chosen.eq(best)]
            with m.If(better):
                m.d.sync += largest.eq(p.score)
        return best
