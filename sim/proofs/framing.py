"""What a packet is, byte by byte, for the proofs of both ends of the link: docs/host-link.md.

Its numbers stand here once more, as that page has them, so that a wrong one in the hardware or in
`design.bus.link` is found.
"""

from __future__ import annotations

from unittest import mock

from amaranth.hdl import Assert, Assume, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.sim.proofs.spec import Spec, delay

SYNC = 0xA7
HEADER = 9  # bytes, from sync to check
FIELDS = 7  # bytes of them that are between these two
CRC = 4  # bytes behind the payload
ONES = 0xFFFFFFFF  # the CRC-32 of nothing, before it is inverted


def header_check(m: Module, state: Value, byte: Value) -> list[Value]:
    """CRC-8 with no, one ... all bits of one more byte: polynomial 07, highest bit first."""
    states = [state]
    for place in reversed(range(8)):
        state = Signal(8, name="check_with")
        out = states[-1][7] ^ byte[place]
        m.d.comb += state.eq((states[-1] << 1) ^ Mux(out, 0x07, 0))
        states.append(state)
    return states


def packet_crc(m: Module, state: Value, byte: Value) -> list[Value]:
    """CRC-32 likewise, as zlib has it: lowest bit first, 04C11DB7 from its other end."""
    states = [state]
    for place in range(8):
        state = Signal(32, name="crc_with")
        out = states[-1][0] ^ byte[place]
        m.d.comb += state.eq((states[-1] >> 1) ^ Mux(out, 0xEDB88320, 0))
        states.append(state)
    return states


class Framing:
    """What a stream of bytes is, of which one is `byte` whenever `taken` is high.

    ``count``: bytes of the packet so far, 0 between packets; ``kind``, ``length``, ``sequence``,
    ``acknowledge``: the fields of the last one, once they are there.  While `taken` is high:
    ``begins``: with a sync; ``refused``: its header is wrong, or longer than `longest`;
    ``ends``: this is the last byte, and the packet is ``right``.
    """

    def __init__(self, m: Module, *, taken: Value, byte: Value, longest: int) -> None:
        self.count = count = Signal(range(HEADER + longest + CRC), name="count")
        self.check, self.check_next = Signal(8, name="check"), Signal(8, name="check_next")
        self.crc, self.crc_next = Signal(32, name="crc"), Signal(32, name="crc_next")
        self.spoilt = Signal(name="spoilt")  # of the CRC so far
        fields = [Signal(8, name=f"field_{place}") for place in range(FIELDS)]
        self.fields = Cat(*fields)
        self.kind, self.length = fields[0], Cat(*fields[1:3])
        self.sequence, self.acknowledge = Cat(*fields[3:5]), Cat(*fields[5:7])
        behind = HEADER + self.length[: longest.bit_length()]  # where the payload ends
        self.in_header = (count != 0) & (count < HEADER)
        self.in_payload = (count >= HEADER) & (count < behind)
        self.in_crc = (count >= HEADER) & (count >= behind)
        self.left = behind - count  # bytes of the payload
        self.begins = taken & (count == 0) & (byte == SYNC)
        self.refused = (
            taken & (count == HEADER - 1) & ((byte != self.check) | (self.length > longest))
        )
        self.ends = taken & self.in_crc & (count == behind + CRC - 1)
        differs = byte != ~self.crc[:8]
        self.right = ~self.spoilt & ~differs
        m.d.comb += [
            self.check_next.eq(header_check(m, self.check, byte)[-1]),
            # Behind the payload, what is left of the CRC; the byte that has to come is the lowest.
            self.crc_next.eq(Mux(self.in_crc, self.crc >> 8, packet_crc(m, self.crc, byte)[-1])),
        ]
        m.d.comb += Assert(  # whatever comes, after so many bytes at most it is between packets
            (count < HEADER) | ((self.length <= longest) & (count < behind + CRC))
        )
        with m.If(taken & (count == 0)):
            m.d.sync += [count.eq(byte == SYNC), self.check.eq(0), self.crc.eq(ONES)]
            m.d.sync += self.spoilt.eq(0)
        with m.Elif(taken):
            m.d.sync += count.eq(Mux(self.refused | self.ends, 0, count + 1))
            m.d.sync += [self.check.eq(self.check_next), self.crc.eq(self.crc_next)]
            m.d.sync += self.spoilt.eq(self.spoilt | (self.in_crc & differs))
            with m.Switch(count):
                for place, field in enumerate(fields):
                    with m.Case(1 + place):
                        m.d.sync += field.eq(byte)


def _sum(m: Module, state: Value, byte: Value) -> list[Value]:
    """Something that depends on every byte, and is no work for a solver."""
    return [Cat(state[8:], state[:8]) ^ byte]


class AnyCheck(wiring.Component):
    """`PacketCheck` as it is at its ports, but busy with a byte for as long as `lasts` says.

    What it says while it is busy is anything.  The proof ``link-check`` is that the real one is one
    of these; for a proof of what uses it, this one takes its place: it also asserts that it is used
    as it may be.  ``check``, ``crc`` and ``wrong`` are its state, those with ``next`` what it will
    be when it is no longer busy.
    """

    def __init__(self, spec: Spec, lasts: Value | None = None) -> None:
        super().__init__(
            {
                **{name: In(1) for name in ("start", "load", "closing")},
                **{name: Out(8) for name in ("byte", "header", "packet")},
                **{name: Out(1) for name in ("busy", "differs")},
                "data": In(8),
            }
        )
        self.lasts = spec.free(1, "lasts") if lasts is None else lasts
        self.noise = spec.free(17, "noise")
        self.check, self.check_next = Signal(8), Signal(8)
        self.crc, self.crc_next = Signal(32, init=ONES), Signal(32)
        self.wrong, self.wrong_next = Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._after(m)
        said = Cat(self.check, ~self.crc[:8], self.wrong)
        m.d.comb += Cat(self.header, self.packet, self.differs).eq(Mux(self.busy, self.noise, said))
        with m.If(self.load):
            m.d.sync += [self.byte.eq(self.data), self.busy.eq(1)]
        with m.Elif(self.busy & ~self.lasts):
            m.d.sync += self.busy.eq(0)
        with m.If(self.start | (self.busy & ~self.lasts)):
            m.d.sync += [self.check.eq(self.check_next), self.crc.eq(self.crc_next)]
            m.d.sync += self.wrong.eq(self.wrong_next)
        still = self.busy & delay(m, self.busy)
        m.d.comb += [
            Assert(~(self.load & self.busy)),
            Assert(~still | (self.start == delay(m, self.start))),
            Assert(~still | (self.closing == delay(m, self.closing))),
        ]
        return m

    def _after(self, m: Module) -> None:
        """The state behind the byte, if there is one, or at the start of a packet."""
        check = header_check(m, self.check, self.byte)[-1]
        crc = Mux(self.closing, self.crc >> 8, packet_crc(m, self.crc, self.byte)[-1])
        differs = self.closing & (self.byte != ~self.crc[:8])
        m.d.comb += [
            self.check_next.eq(Mux(self.busy, check, self.check)),
            self.crc_next.eq(Mux(self.busy, crc, self.crc)),
            self.wrong_next.eq(self.wrong | (self.busy & differs)),
        ]
        with m.If(self.start):
            m.d.comb += [self.check_next.eq(Const(0, 8)), self.crc_next.eq(ONES)]
            m.d.comb += self.wrong_next.eq(0)


class FramedSpec(Spec):
    """Of a component that uses `PacketCheck`: an `AnyCheck` stands in its place.

    So there is no CRC in the hardware here.  Where faults of it are looked for, sums do in place of
    the CRCs, the checks are prompt, and only what can be seen from outside is asserted: what is
    found then is a fault all the same, and one that matters.
    """

    def rtlil(self) -> str:
        self.check = AnyCheck(self)
        sums = {"header_check": _sum, "packet_crc": _sum} if self.seeking else {}
        scope = self.component.elaborate.__globals__  # type: ignore[attr-defined]
        with (
            mock.patch.dict(scope, PacketCheck=lambda: self.check),
            mock.patch.dict(globals(), sums),
        ):
            return super().rtlil()

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        if self.seeking:
            m.d.comb += Assume(~self.check.lasts & (self.check.noise == 0))
            self.narrow(m)
        return m

    def narrow(self, m: Module) -> None:
        """Further assumptions about the inputs that break the claim."""
