"""The intake: joins samples with labels, lets only whole and valid ones into the chain."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import In, Out, flipped

from counterflow.design.bus.registers import WORD_BITS, IntakeRegister
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.hw.parts.block_memory import falling_memory
from counterflow.hw.parts.border import Border, join
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.parts.counter import counter
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import activation_stream, label_stream
from counterflow.hw.parts.verdicts import Verdicts

SAMPLES = 2  # whole samples that the intake holds


def sample_stream(number: Format) -> stream.Signature:
    """Elements of samples, the first and the last one of each marked."""
    return stream.Signature(data.StructLayout({"data": shape_of(number), "first": 1, "last": 1}))


class Intake(wiring.Component):
    """Admits one token every `interval` cycles.

    Token k of the label stream belongs to sample k of the sample stream, bubbles aside, which have
    no sample and are made here as zeros.  A sample whose marks do not enclose exactly `inputs`
    elements, or whose label is out of range, is counted, dropped together with its label,
    and never seen by the chain.  A sample that starts before the one before it ended counts as two.

    Parameters: ``inputs``, ``classes``, ``number`` (format of an element), ``interval``,
    ``identity`` (32 bits for the host to read).
    Members: ``samples``, ``labels`` streams in; ``x`` stream of activations and ``admitted`` stream
    of labels out; ``bus_i``, ``bus_o`` register bus, node 0.
    Cost: a memory of two samples; latency `design.units.latency.INTAKE` behind a sample's last
    element, one element a cycle.
    """

    def __init__(
        self, *, inputs: int, classes: int, number: Format, interval: int, identity: int
    ) -> None:
        self.inputs, self.classes, self.number = inputs, classes, number
        self.interval, self.identity = interval, identity
        super().__init__(
            {
                "samples": In(sample_stream(number)),
                "labels": In(label_stream()),
                "x": Out(activation_stream(number)),
                "admitted": Out(label_stream()),
                "bus_i": In(Access),
                "bus_o": Out(Access),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits, words = self.number.bits, SAMPLES * self.inputs
        if is_compact(platform):
            write, read = self._falling(m, bits, words)
        else:
            # A sample is read when it is whole, and until then nobody looks at what is read.
            memory = Memory(shape=bits, depth=words, init=[], attrs={"never_collides": 1})
            m.submodules.memory = memory
            write = memory.write_port()
            read = memory.read_port()
        m.submodules.verdicts = verdicts = Verdicts(depth=2 * SAMPLES)
        held = Signal(range(SAMPLES + 1), name="held")
        free = Signal(init=1, name="free")
        taken = self._receive(m, write, verdicts, free)
        released, bad_sample, bad_label, start = self._emit(m, read, verdicts)
        more = Signal.like(held, name="more")
        m.d.comb += more.eq(held + taken - released)
        m.d.sync += [held.eq(more), free.eq(more != SAMPLES)]
        self._registers(m, bad_sample, bad_label, start)
        return m

    @staticmethod
    def _falling(m: Module, bits: int, words: int) -> tuple[Any, Any]:
        """Ports of a memory that reads at the falling edge, with the register of its address."""
        write, at = falling_memory(m, "memory", shape=bits, depth=words)
        read = ReadPort.Signature(addr_width=len(at.addr), shape=bits).create(path=("read",))
        with m.If(read.en):
            m.d.sync += at.addr.eq(read.addr)
        m.d.comb += read.data.eq(at.data)
        return write, read

    def _receive(self, m: Module, write: Any, verdicts: Verdicts, free: Signal) -> Value:
        """Write samples to memory and judge them; high when a good one is complete."""
        bank, within, spoilt = Signal(name="bank"), Signal(name="within"), Signal(name="spoilt")
        count = Signal(range(self.inputs + 1), name="count")
        element = self.samples.payload
        cut_short = Signal(name="cut_short")
        accept = Signal(name="accept")
        bad = Signal(name="bad")
        good = Signal(name="good")
        index = Signal.like(count, name="index")
        room = verdicts.room & free
        m.d.comb += [
            # The verdict on an unfinished sample takes a cycle of its own before the next starts.
            cut_short.eq(self.samples.valid & within & element.first & room),
            self.samples.ready.eq(room & ~(within & element.first)),
            accept.eq(self.samples.valid & self.samples.ready),
            index.eq(Mux(within, count, 0)),
            bad.eq(
                (within & spoilt)
                | (~within & ~element.first)
                | (element.last != (index == self.inputs - 1))
            ),
            good.eq(accept & element.last & ~bad),
            verdicts.given.eq((accept & element.last) | cut_short),
            verdicts.good.eq(good),
            write.en.eq(accept & (index < self.inputs)),
            write.addr.eq(Mux(bank, self.inputs, 0) + index),
            write.data.eq(element.data),
        ]
        with m.If(cut_short):
            m.d.sync += within.eq(0)
        with m.If(accept):
            m.d.sync += [within.eq(~element.last), spoilt.eq(bad & ~element.last)]
            with m.If(index < self.inputs):
                m.d.sync += count.eq(index + 1)
        with m.If(good):
            m.d.sync += bank.eq(~bank)
        return good

    def _emit(self, m: Module, read: Any, verdicts: Verdicts) -> tuple[Value, Value, Value, Value]:
        """Admit tokens; (sample released, bad sample, bad label, token admitted) strobes."""
        x = activation_stream(self.number).create(path=("element",))
        join(m, "elements", x, flipped(self.x))  # the first unit lies anywhere
        emitting = Signal(name="emitting")
        kind = Signal(KIND_BITS, name="kind")
        label, bubble, in_range = self._label(m)
        good, bad = verdicts.has_good, verdicts.has_bad
        sent, last, free, start = (Signal(name=name) for name in ("sent", "last", "free", "start"))
        bad_sample, bad_label = Signal(name="bad_sample"), Signal(name="bad_label")
        ended, dropped, due = sent & last, bad_sample | bad_label, self._due(m, start)
        # The sample of a bad label gives its bank back a cycle later, before the next label's turn.
        skip = Signal(name="skip")
        m.d.sync += skip.eq(bad_label)
        idle = ~emitting & ~skip
        # The last element is known late in a cycle.  Where tokens are further apart than a sample
        # is long, none starts with it.
        follows = ended if self.interval <= self.inputs else C(0)
        m.d.comb += [
            sent.eq(x.valid & x.ready),
            free.eq(idle | follows),
            bad_sample.eq(label.valid & ~bubble & bad & idle),
            bad_label.eq(label.valid & ~bubble & good & ~in_range & idle),
            self.admitted.valid.eq(label.valid & (bubble | (good & in_range)) & due & free),
            self.admitted.payload.kind.eq(label.payload.kind),
            self.admitted.payload.label.eq(Mux(bubble, 0, label.payload.label)),
            start.eq(self.admitted.valid & self.admitted.ready),
            label.ready.eq(start | dropped),
            verdicts.taken.eq((start & ~bubble) | dropped),
        ]
        filled = kind != Kind.BUBBLE
        m.d.comb += [
            x.valid.eq(emitting),
            x.payload.data.eq(Mux(filled, read.data, 0)),
            x.payload.kind.eq(kind),
        ]
        with m.If(ended):
            m.d.sync += emitting.eq(0)
        with m.If(start):
            m.d.sync += [emitting.eq(1), kind.eq(label.payload.kind)]
        final = self._count(m, sent, start, last)
        self._read(m, read, start & ~bubble, sent & ~last & filled, sent, skip)
        return (final & filled) | skip, bad_sample, bad_label, start

    def _due(self, m: Module, start: Value) -> Signal:
        """An interval has gone by since the last start."""
        due = Signal(init=1, name="due")
        wait = Signal(range(max(2, self.interval)), name="wait")
        with m.If(start):
            m.d.sync += [wait.eq(self.interval - 1), due.eq(self.interval == 1)]
        with m.Elif(~due):
            m.d.sync += [wait.eq(wait - 1), due.eq(wait == 1)]
        return due

    def _label(self, m: Module) -> tuple[Any, Value, Value]:
        """(the oldest label, it is a bubble's, it is in range), all out of registers."""
        given = self.labels.payload
        judged = data.StructLayout({"label": given.shape(), "bubble": 1, "in_range": 1})
        m.submodules.label = border = Border(transfer=stream.Signature(judged))
        label = label_stream().create(path=("label",))
        m.d.comb += [
            border.i.valid.eq(self.labels.valid),
            self.labels.ready.eq(border.i.ready),
            border.i.payload.label.eq(given),
            border.i.payload.bubble.eq(given.kind == Kind.BUBBLE),
            border.i.payload.in_range.eq(given.label < self.classes),  # two bits are but kinds
            label.valid.eq(border.o.valid),
            label.payload.eq(border.o.payload.label),
            border.o.ready.eq(label.ready),
        ]
        return label, border.o.payload.bubble, border.o.payload.in_range

    def _count(self, m: Module, sent: Value, start: Value, last: Signal) -> Value:
        """Elements that are sent: the `last` one is next; high when a sample's bank is free.

        That is with the element before its last, which is being read by then, so that the next
        sample is whole in time even if the interval is no longer than a sample.
        """
        if self.inputs == 1:
            m.d.comb += last.eq(1)
            return sent
        index = Signal(range(self.inputs), name="index")
        before = Signal(name="before")
        with m.If(sent):
            m.d.sync += [
                index.eq(index + 1),
                before.eq(index == self.inputs - 3),
                last.eq(before),
            ]
        with m.If(start):
            m.d.sync += [index.eq(0), before.eq(self.inputs == 2), last.eq(0)]
        return sent & before

    def _read(
        self, m: Module, read: Any, first: Value, further: Value, sent: Value, skip: Value
    ) -> None:
        """Elements follow each other around the two banks; a sample to `skip` is a bank of them."""
        words = SAMPLES * self.inputs
        at = Signal(range(words), name="at")
        m.d.comb += [read.addr.eq(at), read.en.eq(first | sent)]
        with m.If(skip):
            m.d.sync += at.eq(Mux(at == 0, self.inputs, 0))
        with m.Elif(first | further):
            m.d.sync += at.eq(Mux(at == words - 1, 0, at + 1))

    def _registers(self, m: Module, bad_sample: Value, bad_label: Value, start: Value) -> None:
        r = IntakeRegister
        m.submodules.node = node = BusNode.of(node=0, registers=r)
        counters: dict[IntakeRegister, Value] = {
            r.CYCLES: C(1),
            r.TOKENS: start,
            r.BAD_SAMPLES: bad_sample,
            r.BAD_LABELS: bad_label,
        }
        for register, event in counters.items():
            name = register.name.lower()
            count = counter(WORD_BITS, name)
            # An event is known late in a cycle, and a long counter needs all of one.
            recent = event if register is r.CYCLES else delayed(m, event, 1, f"{name}_more")
            m.d.sync += count.eq(count + recent)
            m.d.comb += node.value(register).eq(count)
        m.d.comb += [
            node.value(r.IDENTITY).eq(self.identity),
            node.i.eq(self.bus_i),
            self.bus_o.eq(node.o),
        ]
