"""The register bus: a daisy chain of nodes, one register stage each, no wide multiplexer.

An access enters at the first node and leaves behind the last one as its own response; the node that
it names replaces the data and marks it as done.  Nothing ever waits, so the response comes after as
many cycles as there are nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from counterflow.design.bus.registers import NODE_BITS, REGISTER_BITS, WORD_BITS, Register

Access = data.StructLayout(
    {
        "valid": 1,
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
    Members: ``i``, ``o`` accesses; per readable register r ``read_r`` in (its value, sampled in
    the cycle of ``reading_r``); per writable one ``write_r`` out (a strobe) with ``data`` out;
    ``refuse`` in: the write of this cycle is not done.
    Cost: 45 registers; latency 1, one access a cycle.
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
        chosen: Value = self.i.valid & (self.i.node == self.node) & ~self.i.done
        m.d.comb += self.data.eq(self.i.data)
        # At most one register is hit: an OR of those that are asks no order, and is not so deep.
        # What is replicated is a signal: of an expression each bit would be a copy in the Verilog.
        read, write, passed = (Signal(name=name) for name in ("read", "write", "passed"))
        m.d.comb += [
            read.eq(chosen & ~self.i.write),
            write.eq(chosen & self.i.write),
            passed.eq(~self._any(read, self.readable)),
        ]
        found: Value = self.i.data & passed.replicate(WORD_BITS)
        for register in self.readable:
            hit = self.reading(register)
            m.d.comb += hit.eq(self._hit(read, register))
            found |= self.value(register) & hit.replicate(WORD_BITS)
        for register in self.writable:
            m.d.comb += self.strobe(register).eq(self._hit(write, register))
        done = ~passed | (self._any(write, self.writable) & ~self.refuse)
        m.d.sync += [self.o.eq(self.i), self.o.data.eq(found), self.o.done.eq(self.i.done | done)]
        return m

    def _hit(self, chosen: Value, register: int) -> Value:
        return chosen & (self.i.register == register)

    def _any(self, chosen: Value, registers: Iterable[int]) -> Value:
        return chosen & self.i.register.matches(*registers)
