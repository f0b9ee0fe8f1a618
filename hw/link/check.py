"""The two checks of a packet, a bit at a time: a serial line leaves many cycles a byte for them."""

from __future__ import annotations

from amaranth.hdl import C, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.link import HEADER_CRC, PACKET_CRC, Crc

BITS = 8  # of a byte


class PacketCheck(wiring.Component):
    """Keeps a byte and takes it into both CRCs of a packet, or compares it with the packet's.

    Members: ``start`` in: begin with a new packet; ``load`` in with ``data``: the next byte, to be
    given only while ``busy`` is low; ``closing`` in, while it is busy: the byte is one of the CRC
    itself, lowest first; ``byte`` out, kept until the next one; ``header`` and ``packet`` out, the
    header's check and the lowest byte of the CRC that is left; ``differs`` out: a byte of the CRC
    was not what it should be.
    Cost: about 75 logic cells, 53 of them with a register; a byte in 9 cycles.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "load": In(1),
                "data": In(BITS),
                "closing": In(1),
                "busy": Out(1),
                "byte": Out(BITS),
                "header": Out(HEADER_CRC.width),
                "packet": Out(BITS),
                "differs": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        step = Signal(range(2 * BITS), name="step")  # a bit each in the upper half
        place = step[:-1]
        header = Signal(HEADER_CRC.width, init=HEADER_CRC.initial, name="crc_8")
        packet = Signal(PACKET_CRC.width, init=PACKET_CRC.initial, name="crc_32")
        m.d.comb += [
            self.busy.eq(step[-1]),
            self.header.eq(header ^ HEADER_CRC.inverted),
            self.packet.eq((packet ^ PACKET_CRC.inverted)[:BITS]),
        ]
        with m.If(self.load):
            m.d.sync += [self.byte.eq(self.data), step.eq(BITS)]
        with m.Elif(self.busy):
            m.d.sync += step.eq(step + 1)
        first, last = self.byte.bit_select(place, 1), self.byte.bit_select(~place, 1)
        with m.If(self.start):
            m.d.sync += [
                header.eq(header.init),
                packet.eq(packet.init),
                self.differs.eq(0),
            ]
        with m.Elif(self.busy):
            m.d.sync += [
                header.eq(_with_bit(header, HEADER_CRC, last, C(1))),
                packet.eq(_with_bit(packet, PACKET_CRC, first, ~self.closing)),
                self.differs.eq(self.differs | (self.closing & (self.packet[0] != first))),
            ]
        return m


def _with_bit(state: Signal, check: Crc, bit: Value, covered: Value) -> Value:
    """The CRC with one more bit, the one that comes first in its order; else just moved on."""
    if check.reflected:
        moved, out = state >> 1, state[0]
        polynomial = int(f"{check.polynomial:0{check.width}b}"[::-1], 2)
    else:
        moved, out = (state << 1)[: check.width], state[-1]
        polynomial = check.polynomial
    return moved ^ Mux(covered & (out ^ bit), C(polynomial, check.width), 0)
