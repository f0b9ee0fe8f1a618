"""Several streams of packets in one: none is torn, lost or made twice, and each gets its turn."""

from __future__ import annotations

from functools import partial

from amaranth.hdl import Array, Assert, Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from counterflow.hw.parts.merge import Merge
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, offered


class MergeSpec(Spec):
    """Each transfer passes once, as it is, with its stream's number; packets follow each other.

    There is no memory within, so that the order of a stream is kept where every transfer passes in
    the cycle in which it is taken.
    """

    component = Merge

    def __init__(self, *, channels: tuple[int, ...], bits: int = 2) -> None:
        super().__init__()
        self.channels = channels
        self.transfer = data.StructLayout({"data": bits, "last": 1})

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component(transfer=self.transfer, channels=self.channels)
        self.given = [dut.given(index) for index in range(len(self.channels))]
        out = dut.o.payload
        self.drive(m, dut.o.ready, *(s for one in self.given for s in (one.valid, one.payload)))
        for one in self.given:
            offered(m, one.valid, one.ready, one.payload, by_dut=False)
        offered(m, dut.o.valid, dut.o.ready, out, by_dut=True)
        moved, own = Signal(), []
        m.d.comb += moved.eq(dut.o.valid & dut.o.ready)
        for one, number in zip(self.given, self.channels, strict=True):
            chosen = dut.o.valid & (out.channel == number)
            same = (out.data == one.payload.data) & (out.last == one.payload.last)
            m.d.comb += [
                Assert((one.valid & one.ready) == (moved & chosen)),
                Assert(~chosen | (one.valid & same)),
            ]
            own.append(chosen)
        m.d.comb += Assert(~dut.o.valid | Cat(own).any())
        turn = self._whole(m, moved, out, dut.o.valid)
        self._fair(m, turn, [moved & out.last & one for one in own])

    def _whole(self, m: Module, moved: Value, out: Value, valid: Value) -> Value:
        """Within a packet all transfers are of one stream; the number of that whose turn it is."""
        inside, begun = Signal(name="inside"), Signal.like(out.channel, name="begun")
        with m.If(moved):
            m.d.sync += [inside.eq(~out.last), begun.eq(out.channel)]
        turn = self.probe("dut.turn", (len(self.channels) - 1).bit_length())
        m.d.comb += [
            Assert(~(inside & valid) | (out.channel == begun)),
            Assert(self.probe("dut.within") == inside),
            Assert(~inside | (Array(self.channels)[turn] == begun)),
            Assert(turn < len(self.channels)),
        ]
        return turn

    def _fair(self, m: Module, turn: Value, ends: list[Value]) -> None:
        """While any one stream waits, each other ends a packet at most, and its own turn comes."""
        count = len(self.channels)
        which, settled = Signal(range(count), name="which"), Signal(name="settled")
        m.d.sync += settled.eq(1)
        with m.If(~settled):  # the choice is free once, then it stays
            m.d.sync += which.eq(self.free(range(count), "any_stream") % count)
        valid, ready = (Array(getattr(g, n) for g in self.given)[which] for n in ("valid", "ready"))
        waits = Signal(name="waits")
        ahead = Signal(range(count), name="turns_to_go")
        steps, before, waited = Signal(range(2 * count)), Signal.like(turn, name="old"), Signal()
        m.d.comb += [waits.eq(settled & valid & ~ready), ahead.eq((which + count - turn) % count)]
        made = steps + (waited & (before != turn))
        m.d.sync += [before.eq(turn), waited.eq(waits), steps.eq(Mux(waits, made, 0))]
        m.d.comb += [Assert(which < count), Assert(~waits | (made + ahead < count))]
        for index, now in enumerate(ends):
            ended = Signal(name=f"ended{index}")
            m.d.sync += ended.eq(waits & (ended | now))
            there = (which + count - index) % count  # turns from that stream to the one that waits
            m.d.comb += [
                Assert(~(waits & ended & now)),
                Assert(~(waits & ended) | (ahead < there)),
            ]


PROOFS = (
    Proof(
        "merge",
        "packets of three streams: each leaves once, whole, with its number; none waits for more "
        "than one of each other",
        partial(MergeSpec, channels=(2, 3, 0)),
        (
            Mutant(Merge, "~(self.o.valid | within)", "~self.o.valid"),
            Mutant(Merge, "idle | (moved & out.last)", "idle | moved"),
            Mutant(Merge, "idle | (moved & out.last)", "idle"),
            Mutant(Merge, "given.ready.eq(self.o.ready)", "given.ready.eq(1)"),
            Mutant(Merge, "out.channel.eq(channel)", "out.channel.eq(index)"),
        ),
        quick=True,
    ),
)
