"""Results for the host: predictions and answers as records of bytes in a ring."""

from __future__ import annotations

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.link import (
    CHANNEL_SHIFT,
    CLASS_BYTES,
    POSITION_BITS,
    WORD_BYTES,
    Buffers,
    loss_bytes,
)
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.design.schedule.schedule import Schedule
from counterflow.hw.chain import all_predictions
from counterflow.hw.link.commands import AnswerByte
from counterflow.hw.link.receiver import RingWrite
from counterflow.hw.parts.narrow import shape_of

LONGEST = 1 + WORD_BYTES  # bytes of a record
SPARE = 8  # bytes of room in which a record is begun: a power of two, so that few bits tell
LATE = 2  # bytes taken that the room for a record does not tell of yet


class Results(wiring.Component):
    """Makes a record of each prediction, of its best class only, and of each answer.

    A record is begun when there is room for the longest one, else the chain has to wait; it also
    waits with a token's last score until the record is written.  Writes leave by a register, and
    ``written`` tells of them when they do.

    Parameters: ``schedule``, of which the losses are; ``buffers``.
    Members: ``predictions`` stream in, of all losses; ``answers`` stream in, of bytes; ``ring``
    writes; ``oldest`` in and ``written`` out, positions of the first byte that is still needed and
    of the next one that will be written; ``held`` out, bytes between the two.
    Cost: about 60 registers; a byte a cycle, latency 1.
    """

    def __init__(self, *, schedule: Schedule, buffers: Buffers) -> None:
        numbers, self.heads = schedule.loss.arithmetic, schedule.heads
        assert 1 + CLASS_BYTES + loss_bytes(numbers) <= LONGEST <= SPARE - LATE
        self.numbers, self.buffers = numbers, buffers
        super().__init__(
            {
                "predictions": In(all_predictions(schedule)),
                "answers": In(stream.Signature(AnswerByte)),
                "ring": Out(RingWrite(buffers.results)),
                "oldest": In(POSITION_BITS),
                "written": Out(POSITION_BITS),
                "held": Out(range(buffers.results + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        p, answer = self.predictions.payload, self.answers.payload
        room, answering = Signal(name="room"), Signal(name="answering")
        index, writing = Signal(range(LONGEST), name="index"), Signal(name="writing")
        records = 1 + CLASS_BYTES + loss_bytes(self.numbers)
        # Nearly full, by a part of SPARE bytes: its number has ones only.
        low, free = SPARE.bit_length() - 1, Signal(name="free")
        m.d.sync += free.eq(~(self.held[-1] | self.held[low:-1].all()))
        m.d.comb += [
            self.held.eq(self.written - self.oldest),
            room.eq(free | (index != 0) | answering),
            writing.eq(self.predictions.valid & p.last & room & ~answering),
            self.predictions.ready.eq(room & ~answering & (~p.last | (index == records - 1))),
            self.answers.ready.eq(room & (answering | ~self.predictions.valid)),
        ]
        taken = self.predictions.valid & self.predictions.ready
        best = self._best(m, taken)
        first = Cat(p.kind, C(0, CHANNEL_SHIFT - KIND_BITS), p.channel) if self.heads else p.kind
        byte, writes = Signal(8, name="byte"), Signal(name="writes")
        with m.Switch(index):
            for place, value in enumerate((first, best, *self._loss_bytes())):
                with m.Case(place):
                    m.d.comb += byte.eq(value)
        with m.If(writing):
            m.d.comb += writes.eq(1)
            m.d.sync += index.eq(Mux(index == records - 1, 0, index + 1))
        with m.Elif(self.answers.valid & self.answers.ready):
            m.d.comb += [writes.eq(1), byte.eq(answer.byte)]
            m.d.sync += answering.eq(~answer.last)
        m.d.sync += [self.ring.en.eq(writes), self.ring.data.eq(byte)]
        m.d.comb += self.ring.addr.eq(self.written)
        with m.If(self.ring.en):
            m.d.sync += self.written.eq(self.written + 1)
        return m

    def _loss_bytes(self) -> list[Value]:
        loss = self.predictions.payload.loss
        return [loss[8 * place : 8 * place + 8] for place in range(loss_bytes(self.numbers))]

    def _best(self, m: Module, taken: Value) -> Value:
        """The class of the largest score, the first one of equals, once the last score is there.

        One score tells two classes apart, and where there are no labels, none is named.
        """
        p, numbers = self.predictions.payload, self.numbers
        if not numbers.judged:
            return C(0, 8 * CLASS_BYTES)
        if numbers.threshold is not None:
            return p.score >= numbers.threshold
        classes = range(max(2, self.numbers.classes))
        index = Signal(classes, name="index")
        chosen = Signal(classes, name="chosen")
        best = Signal(classes, name="best")
        largest = Signal(shape_of(self.numbers.logit), name="largest")
        better = (index == 0) | (p.score > largest)
        m.d.comb += best.eq(Mux(better, index, chosen))
        with m.If(taken):
            m.d.sync += index.eq(Mux(p.last, 0, index + 1))
            with m.If(better):
                m.d.sync += [largest.eq(p.score), chosen.eq(index)]
        return best
