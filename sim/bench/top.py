"""The top level that benches simulate: the chain, what feeds it, and what records it.

Stimulus and record stand in memories that the bench fills and reads by the block, because one
wide access is far cheaper than a visit in every cycle.  The chain is the product's, untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out, connect, flipped

from counterflow.design.parts.tokens import LABEL_BITS
from counterflow.design.schedule.planner import Plan
from counterflow.design.schedule.watch import fields
from counterflow.design.units.watched import Field
from counterflow.hw.chain import Chain, Request, Response, predictions
from counterflow.sim.bench.memories import (
    FEED_ELEMENTS,
    FEED_TOKENS,
    RECORD_BITS,
    feed_words,
    record_words,
)

COUNT_BITS = 32
LENGTH_BITS = 16


def _starts(watched: Sequence[Field]) -> dict[Field, int]:
    """Where each part of a written word begins in it: the parts of a memory's words, in order."""
    found: dict[Field, int] = {}
    ends: dict[tuple[str, str], int] = {}
    for field in watched:
        if field.lane is not None:
            memory = field.unit, field.path.split(".")[0]
            found[field] = ends.get(memory, 0)
            ends[memory] = found[field] + field.bits
    return found


class BenchTop(wiring.Component):
    """Chain, feeder and recorder.

    Parameters: ``plan``; ``depth`` of the record in cycles.
    Members: ``tokens`` and ``samples`` in: how many of each the feeder may have sent in all;
    ``recording`` in; ``sample_gate``, ``label_gate``, ``prediction_gate`` in: low stalls that
    stream; ``request``, ``response`` as the chain's; ``tokens_sent`` out; ``products`` out: the
    units' counters, summed.
    """

    def __init__(self, *, plan: Plan, depth: int) -> None:
        self.plan, self.depth = plan, depth
        self.chain = Chain(plan=plan)
        self.watched = fields(plan)
        self._starts = _starts(self.watched)
        super().__init__(
            {
                "tokens": In(COUNT_BITS),
                "samples": In(COUNT_BITS),
                "recording": In(1),
                "sample_gate": In(1),
                "label_gate": In(1),
                "prediction_gate": In(1),
                "request": In(stream.Signature(Request)),
                "response": Out(Response),
                "tokens_sent": Out(COUNT_BITS),
                "products": Out(48),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.chain = chain = self.chain
        connect(m, flipped(self.request), chain.request)
        m.d.comb += [
            self.response.eq(chain.response),
            *(
                getattr(chain, predictions(loss)).ready.eq(self.prediction_gate)
                for loss in chain.schedule.losses
            ),
            self.products.eq(
                sum(chain.parts[stage.name].registers.products for stage in chain.schedule.weighted)
            ),
        ]
        self._feed_samples(m)
        self._feed_labels(m)
        self._record(m)
        return m

    def _feed_samples(self, m: Module) -> None:
        """Send samples of the lengths in `length_memory`, which are `inputs` unless spoilt."""
        inputs, bits = self.plan.description.elements, self.plan.description.formats.input.bits
        words = feed_words(inputs)
        m.submodules.sample_memory = memory = Memory(
            shape=FEED_ELEMENTS * bits, depth=FEED_TOKENS * words, init=[]
        )
        m.submodules.length_memory = lengths = Memory(
            shape=LENGTH_BITS, depth=FEED_TOKENS, init=[inputs] * FEED_TOKENS
        )
        read, length = memory.read_port(domain="comb"), lengths.read_port(domain="comb")
        target = self.chain.samples
        sent, element = Signal(COUNT_BITS, name="sent"), Signal(LENGTH_BITS, name="element")
        slot = sent[: (FEED_TOKENS - 1).bit_length()]
        last = element == length.data - 1
        m.d.comb += [
            length.addr.eq(slot),
            read.addr.eq(slot * words + element // FEED_ELEMENTS),
            target.payload.data.eq(read.data.word_select(element % FEED_ELEMENTS, bits)),
            target.payload.first.eq(element == 0),
            target.payload.last.eq(last),
        ]
        self._offer(m, target, sent != self.samples, self.sample_gate)
        with m.If(target.valid & target.ready):
            m.d.sync += element.eq(Mux(last, 0, element + 1))
            m.d.sync += sent.eq(sent + last)

    def _feed_labels(self, m: Module) -> None:
        target = self.chain.labels
        m.submodules.token_memory = memory = Memory(
            shape=LABEL_BITS + 2, depth=FEED_TOKENS, init=[]
        )
        read = memory.read_port(domain="comb")
        sent = self.tokens_sent
        m.d.comb += [
            read.addr.eq(sent[: (FEED_TOKENS - 1).bit_length()]),
            target.payload.eq(read.data),
        ]
        self._offer(m, target, sent != self.tokens, self.label_gate)
        m.d.sync += sent.eq(sent + (target.valid & target.ready))

    @staticmethod
    def _offer(m: Module, target: stream.Interface, some: Value, gate: Value) -> None:
        """Valid while there is something and the gate is open; once valid, until it is taken."""
        held = Signal(name="held")
        m.d.comb += target.valid.eq(some & (gate | held))
        m.d.sync += held.eq(target.valid & ~target.ready)

    def _record(self, m: Module) -> None:
        """One row a cycle while recording; the row index wraps at `depth`."""
        row = Cat(self._value(field) for field in self.watched)
        position = Signal(range(self.depth), name="position")
        for index in range(record_words(len(row))):
            part = row[index * RECORD_BITS : (index + 1) * RECORD_BITS]
            memory = Memory(shape=len(part), depth=self.depth, init=[])
            m.submodules[f"record_{index}"] = memory
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.recording),
                write.addr.eq(position),
                write.data.eq(part),
            ]
        with m.If(self.recording):
            m.d.sync += position.eq(Mux(position == self.depth - 1, 0, position + 1))

    def _value(self, field: Field) -> Value:
        """The signal behind a watched field, zero without its strobe."""
        units = {"intake": self.chain.intake, **self.chain.parts}
        owner, member = field.path.split(".")
        target = getattr(units[field.unit], owner)
        if owner == "walk":
            now, idle = target.now, target.state.idle
            return now.issue & idle if member == "begin" else now.finish
        if member in ("write", "address") or field.lane is not None:
            return self._written(target, member, field)
        if member == "valid":
            return target.valid
        if member == "blocked":
            return target.valid & ~target.ready
        payload = target.payload
        value = getattr(payload, member) if isinstance(payload, data.View) else payload
        return Mux(target.valid, Value.cast(value), 0)[: field.bits]

    def _written(self, memory: Any, member: str, field: Field) -> Value:
        if member == "write":
            return memory.write_enable
        if member == "address":
            return Mux(memory.write_enable, memory.write_address, 0)[: field.bits]
        start = self._starts[field]
        value = Mux(memory.write_enable, memory.write_data[start : start + field.bits], 0)
        return value[: field.bits]
