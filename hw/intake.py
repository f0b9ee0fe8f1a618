"""The intake: joins samples with labels, lets only whole and valid ones into the chain."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory, ReadPort
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import WORD_BITS, IntakeRegister
from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS, Kind
from counterflow.hw.parts.block_memory import falling_memory
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.hw.parts.counter import counter
from counterflow.hw.parts.fifo import SyncFIFO
from counterflow.hw.parts.modules import is_compact
from counterflow.hw.parts.narrow import shape_of
from counterflow.hw.parts.pipeline import delayed
from counterflow.hw.parts.streams import activation_stream, label_stream

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
            m.submodules.memory = memory = Memory(shape=bits, depth=words, init=[])
            write = memory.write_port()
            read = memory.read_port()
        m.submodules.verdicts = verdicts = SyncFIFO(width=1, depth=2 * SAMPLES)
        held = Signal(range(SAMPLES + 1), name="held")
        taken = self._receive(m, write, verdicts, held)
        released, bad_sample, bad_label, start = self._emit(m, read, verdicts)
        m.d.sync += held.eq(held + taken - released)
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

    def _receive(self, m: Module, write: Any, verdicts: SyncFIFO, held: Signal) -> Value:
        """Write samples to memory and judge them; high when a good one is complete."""
        bank, within, spoilt = Signal(name="bank"), Signal(name="within"), Signal(name="spoilt")
        count = Signal(range(self.inputs + 1), name="count")
        element = self.samples.payload
        cut_short = Signal(name="cut_short")
        accept = Signal(name="accept")
        bad = Signal(name="bad")
        good = Signal(name="good")
        index = Signal.like(count, name="index")
        room = verdicts.w_rdy & (held != SAMPLES)
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
            verdicts.w_en.eq((accept & element.last) | cut_short),
            verdicts.w_data.eq(good),
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

    def _emit(self, m: Module, read: Any, verdicts: SyncFIFO) -> tuple[Value, Value, Value, Value]:
        """Admit tokens; (sample released, bad sample, bad label, token admitted) strobes."""
        bank = Signal(name="bank")
        emitting = Signal(name="emitting")
        kind = Signal(KIND_BITS, name="kind")
        index = Signal(range(max(2, self.inputs)), name="index")
        wait = Signal(range(max(2, self.interval)), name="wait")
        label = self.labels.payload
        bubble = label.kind == Kind.BUBBLE
        in_range = label.label < self.classes  # two bits hold nothing but kinds
        judged = self.labels.valid & ~bubble & verdicts.r_rdy
        sent, ended, start, bad_sample, bad_label = (
            Signal(name=n) for n in ("sent", "ended", "start", "bad_sample", "bad_label")
        )
        m.d.comb += [
            sent.eq(self.x.valid & self.x.ready),
            ended.eq(sent & (index == self.inputs - 1)),
            bad_sample.eq(judged & ~verdicts.r_data & ~emitting),
            bad_label.eq(judged & verdicts.r_data & ~in_range & ~emitting),
            self.admitted.valid.eq(
                self.labels.valid
                & (bubble | (judged & verdicts.r_data & in_range))
                & (wait == 0)
                & (~emitting | ended)
            ),
            self.admitted.payload.kind.eq(label.kind),
            self.admitted.payload.label.eq(Mux(bubble, 0, label.label)),
            start.eq(self.admitted.valid & self.admitted.ready),
            self.labels.ready.eq(start | bad_sample | bad_label),
            verdicts.r_en.eq((start & ~bubble) | bad_sample | bad_label),
        ]
        # A sample's bank is freed with the element before its last, which is being read by then, so
        # that the next sample is whole in time even if the interval is no longer than a sample.
        filled = kind != Kind.BUBBLE
        final = ended if self.inputs == 1 else sent & (index == self.inputs - 2)
        released = (final & filled) | bad_label
        next_bank = bank ^ released
        m.d.sync += bank.eq(next_bank)
        # Counted, for the memory takes the rest of the cycle.
        following = Signal(range(SAMPLES * self.inputs + 1), name="following")
        first = Mux(next_bank, self.inputs, 0)
        m.d.comb += [
            read.en.eq(start | sent),
            read.addr.eq(Mux(start, first, following)),
            self.x.valid.eq(emitting),
            self.x.payload.data.eq(Mux(filled, read.data, 0)),
            self.x.payload.kind.eq(kind),
        ]
        with m.If(sent):
            m.d.sync += [index.eq(index + 1), following.eq(following + 1)]
        with m.If(ended):
            m.d.sync += emitting.eq(0)
        with m.If(wait != 0):
            m.d.sync += wait.eq(wait - 1)
        with m.If(start):
            m.d.sync += [
                emitting.eq(1),
                index.eq(0),
                following.eq(Mux(next_bank, self.inputs + 1, 1)),
                kind.eq(label.kind),
                wait.eq(self.interval - 1),
            ]
        return released, bad_sample, bad_label, start

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
