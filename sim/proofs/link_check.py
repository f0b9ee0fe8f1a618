"""PacketCheck: both CRCs of a packet are what the protocol says, whatever the bytes are."""

from __future__ import annotations

from amaranth.hdl import Array, Assert, Assume, Module, Mux, Signal, Value

from counterflow.hw.link.check import PacketCheck
from counterflow.sim.proofs.framing import ONES, AnyCheck, header_check, packet_crc
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, delay

CYCLES = 8  # for which it is busy with a byte


class CheckSpec(Spec):
    """It is an `AnyCheck` that is busy for 8 cycles with each byte."""

    component = PacketCheck

    def build(self, m: Module) -> None:
        m.submodules.dut = dut = self.component()
        done = Signal(range(CYCLES), name="done")  # bits of the byte
        m.submodules.wanted = wanted = AnyCheck(self, done != CYCLES - 1)
        self.drive(m, dut.start, dut.load, dut.data, dut.closing)
        for name in ("start", "load", "data", "closing"):
            m.d.comb += getattr(wanted, name).eq(getattr(dut, name))
        with m.If(dut.busy):
            m.d.sync += done.eq(done + 1)
        still = dut.busy & delay(m, dut.busy)
        m.d.comb += [
            Assume(~(dut.load & dut.busy)),
            Assume(~still | (dut.start == delay(m, dut.start))),
            Assume(~still | (dut.closing == delay(m, dut.closing))),
            Assert(dut.busy == wanted.busy),
            Assert(dut.byte == wanted.byte),
        ]
        for name in ("header", "packet", "differs"):
            same = getattr(dut, name) == getattr(wanted, name)
            m.d.comb += Assert(dut.busy | same)
        self._inside(m, dut, wanted, done)

    def _inside(self, m: Module, dut: PacketCheck, wanted: AnyCheck, done: Value) -> None:
        """After so many bits of the byte, the registers are what the definition gives for them."""
        check, crc = self.probe("dut.crc_8", 8), self.probe("dut.crc_32", 32)
        check_with = Array(header_check(m, wanted.check, wanted.byte)[:CYCLES])[done]
        crc_with = Array(packet_crc(m, wanted.crc, wanted.byte)[:CYCLES])[done]
        left = Array(wanted.crc >> bits for bits in range(CYCLES))[done]
        differs = (wanted.byte ^ ~wanted.crc[:CYCLES]) & ((1 << done) - 1)
        restarted = dut.busy & (done != 0) & dut.start
        m.d.comb += [
            Assert(dut.busy | (done == 0)),
            Assert(self.probe("dut.step", 4) == Mux(dut.busy, CYCLES + done, 0)),
            Assert(check == Mux(restarted, 0, check_with)),
            Assert(crc == Mux(restarted, ONES, Mux(dut.closing, left, crc_with))),
            Assert(dut.differs == (~restarted & (wanted.wrong | (dut.closing & (differs != 0))))),
        ]


_REVERSED = "packet, Crc(32, 0xEDB88320, 0, reflected=True, inverted=0), first"

PROOFS = (
    Proof(
        "link-check",
        "both CRCs of a packet are those of the protocol, 8 cycles behind each byte",
        CheckSpec,
        (
            Mutant(PacketCheck, "packet, PACKET_CRC, first", _REVERSED),
            Mutant(PacketCheck, "HEADER_CRC, last, C(1)", "HEADER_CRC, first, C(1)"),
            Mutant(PacketCheck, "first, ~self.closing", "first, C(1)"),
            Mutant(PacketCheck, "self.packet[0] != first", "self.packet[0] != last"),
            Mutant(PacketCheck, "self.differs | (self", "(self"),
            Mutant(PacketCheck, "self.differs.eq(0)", "self.differs.eq(self.differs)"),
        ),
        quick=True,
    ),
)
