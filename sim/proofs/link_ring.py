"""RingBytes, and what a reader of one of the link's rings sees of its memory."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Assert, Assume, Module, Signal, Value

from counterflow.hw.link.commands import RingBytes
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, delay, offered


class WatchedByte:
    """Any one byte of a ring: from when it is there until it has been given up, it is `data`.

    Bytes are there from position `first`, which goes on by `passes`, to in front of `end`, which
    goes on by `grows`.  All that is read in other places, or too early or too late, is anything: so
    it is in a block memory in which a byte is written while it is read.
    ``on``: there is such a byte, at position ``place``; ``data``: what it is.
    """

    def __init__(
        self, m: Module, spec: Spec, *, first: Value, passes: Value, end: Value, grows: Value
    ) -> None:
        choose, which = spec.free(1, "choose"), spec.free(len(grows), "which")
        self.on, self.place = Signal(name="watching"), Signal(16, name="place")
        self.data = Signal(8, name="watched")
        before, there = Signal(16, name="before"), Signal(16, name="there")
        with m.If(choose & ~self.on & (which < grows)):
            m.d.sync += [self.on.eq(1), self.place.eq(end + which)]
            m.d.sync += self.data.eq(spec.free(8, "byte"))
        with m.Elif(passes > before):
            m.d.sync += self.on.eq(0)
        m.d.comb += [
            before.eq(self.place - first),
            there.eq(end - first),
            Assert(~self.on | (before < there)),
        ]

    def read(self, m: Module, addr: Value, data: Value) -> None:
        """The memory of the ring: `data` is what was at `addr` a cycle ago."""
        asked = delay(m, self.on & (addr == self.place[: len(addr)]))
        m.d.comb += Assume(~asked | (data == self.data))


class RingBytesSpec(Spec):
    """Each committed byte is given once, in order; it is offered until it is taken."""

    component = RingBytes

    def __init__(self, *, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(depth=self.depth)
        self.drive(m, dut.data, dut.o.ready)
        offered(m, dut.o.valid, dut.o.ready, by_dut=True)
        grows = self.free(range(self.depth + 1), "grows")
        committed, place, held = Signal(16), Signal(16), Signal(16)
        taken = dut.o.valid & dut.o.ready
        m.d.sync += [committed.eq(committed + grows), place.eq(place + taken)]
        watched = WatchedByte(m, self, first=place, passes=taken, end=committed, grows=grows)
        watched.read(m, dut.addr, dut.data)
        here = dut.o.valid & watched.on & (watched.place == place)
        waited = delay(m, ~taken & (held != 0))
        m.d.comb += [
            dut.committed.eq(committed),
            held.eq(committed - place),
            Assume(held + grows <= self.depth),  # what is not consumed is not written again
            Assert(held <= self.depth),
            Assert(dut.consumed == place),
            Assert(~dut.o.valid | (held != 0)),
            Assert(~here | (dut.o.payload == watched.data)),
            Assert(dut.o.valid | ~(waited & delay(m, waited))),  # soon, where there is one
        ]


PROOFS = (
    Proof(
        "link-bytes",
        "a ring of 4 bytes: each committed byte is given once, in order, and none before",
        partial(RingBytesSpec, depth=4),
        (
            Mutant(RingBytes, "some & ~taken", "some"),
            Mutant(RingBytes, "fetched & ~taken", "fetched"),
            Mutant(RingBytes, "held = len(self.addr) + 1", "held = len(self.addr)"),
            Mutant(RingBytes, "taken = self.o.valid & self.o.ready", "taken = self.o.ready"),
            Mutant(RingBytes, "self.addr.eq(self.consumed)", "self.addr.eq(self.consumed + 1)"),
        ),
        quick=True,
    ),
)
