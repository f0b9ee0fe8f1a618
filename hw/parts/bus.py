"""The register bus: a daisy chain of nodes, two register stages each, no wide multiplexer.

An access enters at the first node and leaves behind the last one as its own response; the node that
it names replaces the data and marks it as done.  Nothing ever waits, so the response comes after
twice as many cycles as there are nodes.
"""

from __future__ import annotations

from collections.abc import Mapping

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS, Register

Access = data.StructLayout(
    {
        "valid": 1,
        "next": 1,  # it is for the node that it comes to next
        "done": 1,
        "write": 1,
        "node": NODE_BITS,
        "register": REGISTER_BITS,
        "data": WORD_BITS,
    }
)


class BusNode(wiring.Component):
    """One node of the bus: decodes accesses to `node` and passes on everything else.

    Parameters: ``node`` number; ``readable`` and ``writable`` register numbers.
    Members: ``i``, ``o`` accesses, which say already whether they are for the next node, of the
    number after; per readable register r ``read_r`` in (its value, sampled in
    the cycle of ``reading_r``, the one after the access); per writable one ``write_r`` out (a
    strobe, likewise) with ``data`` out; ``refuse`` in: the write of this cycle is not done.
    Cost: 94 registers and one a strobe; latency 2, one access a cycle.
    """

    def __init__(
        self, *, node: int, readable: Mapping[int, int], writable: tuple[int, ...]
    ) -> None:
        self.node, self.readable, self.writable = node, readable, writable
        members: dict[str, In | Out] = {
            "i": In(Access),
            "o": Out(Access),
            "data": Out(WORD_BITS),
            "refuse": In(1),
        }
        for register in readable:
            members[f"read_{register}"] = In(WORD_BITS)
            members[f"reading_{register}"] = Out(1)
        for register in writable:
            members[f"write_{register}"] = Out(1)
        super().__init__(members)

    @classmethod
    def of(cls, *, node: int, registers: type[Register]) -> BusNode:
        """The node of these registers, which can do what the register map says."""
        return cls(
            node=node,
            readable={int(one): WORD_BITS for one in registers if one.readable},
            writable=tuple(int(one) for one in registers if one.writable),
        )

    def value(self, register: int) -> Signal:
        """Where to put the value of a readable register."""
        result: Signal = getattr(self, f"read_{register}")
        return result

    def strobe(self, register: int) -> Signal:
        """High in the cycle in which `register` is written; `data` has the word."""
        result: Signal = getattr(self, f"write_{register}")
        return result

    def reading(self, register: int) -> Signal:
        """High in the cycle in which `register` is read."""
        result: Signal = getattr(self, f"reading_{register}")
        return result

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Found out before the register that keeps an access off the way between units: behind it
        # what reaches the registers of a unit, and what comes of them, is one level of logic.
        mine = self.i.next
        near = Signal(Access, name="near")
        word = Signal(WORD_BITS, name="word", reset_less=True)
        reads, writes = Signal(name="reads"), Signal(name="writes")
        read, write = mine & ~self.i.write, mine & self.i.write
        m.d.sync += [
            near.eq(self.i),
            word.eq(self.i.data),
            reads.eq(read & self.i.register.matches(*self.readable)),
            writes.eq(write & self.i.register.matches(*self.writable)),
        ]
        found: Value = word & ~reads.replicate(WORD_BITS)
        for register in self.readable:
            asked = self.reading(register)
            m.d.sync += asked.eq(read & (self.i.register == register))
            found |= self.value(register) & asked.replicate(WORD_BITS)
        for register in self.writable:
            m.d.sync += self.strobe(register).eq(write & (self.i.register == register))
        done = near.done | reads | (writes & ~self.refuse)
        after = Signal(WORD_BITS, name="after", reset_less=True)
        left = Signal(Access, name="left")
        m.d.sync += [
            after.eq(found),
            left.eq(near),
            left.done.eq(done),
            left.next.eq(near.valid & (near.node == self.node + 1)),
        ]
        m.d.comb += [self.data.eq(word), self.o.eq(left), self.o.data.eq(after)]
        return m
