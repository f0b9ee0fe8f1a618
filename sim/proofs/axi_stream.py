"""AXI4-Stream: packets become samples and labels, nothing lost, made twice or out of order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Assert, Cat, Module, Mux, Signal, Value

from counterflow.design.parts.formats import Format
from counterflow.design.parts.tokens import KIND_BITS
from counterflow.hw.axi.packets import LABELS, SKID, Packets
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, Watched, offered
from counterflow.sim.proofs.streams import in_queue


class PacketsSpec(Spec):
    """Each element goes on once, in order, but for bubbles; each packet has its label, in order."""

    component = Packets

    def build(self, m: Module) -> None:
        number = Format(bits=2, frac=0, signed=False)
        m.submodules.dut = self.dut = dut = self.component(number=number)
        samples, labels, beat = dut.samples, dut.labels, dut.packets.payload
        self.drive(m, dut.packets.valid, beat, samples.ready, labels.ready)
        offered(m, samples.valid, samples.ready, samples.payload, by_dut=True)
        offered(m, labels.valid, labels.ready, labels.payload, by_dut=True)
        taken = self.probe("dut.taken")
        enters = dut.packets.valid & dut.packets.ready
        inside, bubbles = Signal(name="inside"), Signal(name="bubbles")
        bubble = Mux(inside, bubbles, beat.user[:KIND_BITS] == 0)
        with m.If(enters):
            m.d.sync += [inside.eq(~beat.last), bubbles.eq(bubble)]
        item = Cat(beat.as_value(), ~inside, bubble)
        watched = Watched(m, self, enters=enters, leaves=taken, data=item, depth=SKID)
        word, first, drops = watched.data[:-2], watched.data[-2], watched.data[-1]
        there = type(beat)(beat.shape(), word)
        head = watched.on & (watched.ahead == 0)
        pushes = self._labels(m, taken, head, first, there.user)
        same = (
            (samples.payload.data == there.data[: number.bits])
            & (samples.payload.first == first)
            & (samples.payload.last == there.last)
        )
        m.d.comb += [
            Assert(dut.packets.ready == (watched.held < SKID)),
            Assert(~head | ~samples.valid | (same & ~drops)),
            Assert(~(head & taken & ~drops) | (samples.valid & samples.ready)),
            Assert(~(samples.valid & samples.ready) | taken),
            Assert(~(head & samples.ready & (~first | pushes)) | taken),  # nothing else holds it up
        ]
        self._inside(m, watched, inside, bubbles, word)

    def _labels(self, m: Module, taken: Value, head: Value, first: Value, user: Value) -> Value:
        """The label of each packet goes into a queue with its first element; room for one more."""
        push, labels = self.probe("dut.queue.w_en"), self.dut.labels
        data = self.probe("dut.queue.w_data", len(user))
        watched = Watched(
            m, self, enters=push, leaves=labels.valid & labels.ready, data=data, depth=LABELS
        )
        next_one = watched.on & (watched.ahead == 0)
        m.d.comb += [
            Assert(~head | (push == (taken & first))),
            Assert(~(head & push) | (data == user)),
            Assert(labels.valid == (watched.held != 0)),
            Assert(~next_one | (labels.payload.as_value() == watched.data)),
        ]
        in_queue(m, self, "dut.queue", watched, watched.data, LABELS)
        return watched.held < LABELS

    def _inside(
        self, m: Module, watched: Watched, inside: Value, bubbles: Value, word: Value
    ) -> None:
        """How the state behind the queue follows from that before it and from what is between."""
        words = in_queue(m, self, "dut.skid", watched, word, SKID)
        shape: Any = self.dut.packets.payload.shape()
        within, dropping = self.probe("dut.within"), self.probe("dut.dropping")
        goes_on, drops = within, dropping  # of the packet in front of the next to leave
        for place, raw in enumerate([*words, None]):
            now = watched.held == place
            m.d.comb += Assert(~now | ((inside == goes_on) & (~inside | (bubbles == drops))))
            if raw is None:
                return
            beat = shape(raw)
            drops = Mux(goes_on, drops, beat.user[:KIND_BITS] == 0)
            here = watched.on & (watched.ahead == place)
            m.d.comb += Assert(~here | (watched.data[-2:] == Cat(~goes_on, drops)))
            goes_on = ~beat.last


PROOFS = (
    Proof(
        "packets",
        "each element goes on once, in order, without those of bubbles; a label for each packet",
        PacketsSpec,
        (
            Mutant(Packets, "room = within | queue.w_rdy", "room = within | 1"),
            Mutant(Packets, "taken & ~within", "taken & beat.last"),
            Mutant(Packets, "room & ~bubble", "room"),
            Mutant(Packets, "dropping.eq(bubble)", "dropping.eq(0)"),
        ),
    ),
)
