"""AXI4-Lite: a subordinate that makes accesses of the register bus out of reads and writes."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import (
    ADDRESS_BITS,
    NODE_BITS,
    REGISTER_BITS,
    WORD_BITS,
    WORD_BYTES,
    IntakeRegister,
    Register,
    UnitRegister,
)
from counterflow.hw.chain import Request, Response


class Resp(IntEnum):
    """How an access went, as AXI encodes it."""

    OKAY = 0
    SLVERR = 2  # refused: the unit is in mid-slot, or not all bytes of the word were to be written
    DECERR = 3  # there is no such register, or it cannot be read or written


def axi_lite(address_bits: int = ADDRESS_BITS) -> wiring.Signature:
    """The five channels as the manager has them; members are named as in the standard."""
    return wiring.Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(WORD_BITS),
            "wstrb": Out(WORD_BYTES),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(WORD_BITS),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def _mask(registers: type[Register], can: Callable[[Register], bool]) -> int:
    """A bit for each register that can be accessed."""
    return sum(1 << one for one in registers if can(one))


def mapped(node: Value, register: Value, write: Value, units: int) -> Value:
    """Whether the register map has such an access in a chain with so many `units`."""
    readable, writable = (
        Mux(node == 0, _mask(IntakeRegister, can), _mask(UnitRegister, can))
        for can in (lambda one: one.readable, lambda one: one.writable)
    )
    known = Mux(write, writable, readable)
    return (node <= units) & known.bit_select(register, 1)


class AxiLite(wiring.Component):
    """One access after the other: a write once its address and its data are there, or a read.

    Reads and writes that wait take turns.  An access that the register map does not have
    is answered with DECERR and goes nowhere; one that a unit refuses, or a write of less than a
    whole word, with SLVERR.  The lowest two bits of addresses are ignored, and so is protection.

    Parameters: ``units`` with weights in the chain.
    Members: ``axil`` in, no output of which depends on an input in the same cycle; ``request``
    stream out, ``response`` in, as those of `hw.chain.Chain`.
    Cost: 142 registers; an access takes 5 cycles and one for each node of the register bus.
    """

    def __init__(self, *, units: int) -> None:
        self.units = units
        super().__init__(
            {
                "axil": In(axi_lite()),
                "request": Out(stream.Signature(Request)),
                "response": In(Response),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus, access = self.axil, self.request.payload
        done, whole, resp = Signal(name="done"), Signal(name="whole"), Signal(2, name="resp")
        write, write_waits = self._held(m, "aw", bus.awaddr, done & access.write)
        data, data_waits = self._held(m, "w", bus.wdata, done & access.write)
        read, read_waits = self._held(m, "ar", bus.araddr, done & ~access.write)
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += whole.eq(bus.wstrb.all())
        # Whatever waits beside an access has its turn behind it: the next of its own kind can
        # only be there a cycle later.
        writes = write_waits & data_waits
        place = Mux(writes, write, read)[-NODE_BITS - REGISTER_BITS :]
        m.d.comb += [bus.bresp.eq(resp), bus.rresp.eq(resp)]
        with m.FSM():
            with m.State("REST"):
                with m.If(writes | read_waits):
                    m.d.sync += [
                        access.write.eq(writes),
                        access.register.eq(place[:REGISTER_BITS]),
                        access.node.eq(place[REGISTER_BITS:]),
                        access.data.eq(Mux(writes, data, 0)),
                        bus.rdata.eq(0),
                    ]
                    m.next = "DECODE"
            with m.State("DECODE"):
                m.next = "REQUEST"
                with m.If(access.write & ~whole):
                    m.d.sync += resp.eq(Resp.SLVERR)
                    m.next = "ANSWER"
                with m.If(~mapped(access.node, access.register, access.write, self.units)):
                    m.d.sync += resp.eq(Resp.DECERR)
                    m.next = "ANSWER"
            with m.State("REQUEST"):
                m.d.comb += self.request.valid.eq(1)
                with m.If(self.request.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.response.valid):
                    m.d.sync += resp.eq(Mux(self.response.done, Resp.OKAY, Resp.SLVERR))
                    m.d.sync += bus.rdata.eq(self.response.data)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [bus.bvalid.eq(access.write), bus.rvalid.eq(~access.write)]
                m.d.comb += done.eq(Mux(access.write, bus.bready, bus.rready))
                with m.If(done):
                    m.next = "REST"
        return m

    def _held(self, m: Module, channel: str, payload: Value, free: Value) -> tuple[Value, Value]:
        """A channel's transfer, kept until `free`; whether there is one."""
        kept, full = Signal.like(payload, name=f"{channel}_kept"), Signal(name=f"{channel}_full")
        valid, ready = getattr(self.axil, f"{channel}valid"), getattr(self.axil, f"{channel}ready")
        m.d.comb += ready.eq(~full)
        with m.If(valid & ready):
            m.d.sync += [kept.eq(payload), full.eq(1)]
        with m.If(free):
            m.d.sync += full.eq(0)
        return kept, full
