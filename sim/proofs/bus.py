"""The register bus: each access comes out once, in order, done by its own node and no other."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Module, Mux, Signal, Value
from amaranth.lib import data

from counterflow.design.units.latency import BUS_NODE
from counterflow.hw.parts.bus import Access, BusNode
from counterflow.sim.proofs.proof import Mutant, Proof
from counterflow.sim.proofs.spec import Spec, delay

NODES = 3
READ, WRITTEN, BOTH = 2, 4, 7  # registers of every node
WORD_BITS = 32


class BusSpec(Spec):
    """Three nodes in a row: an access is answered six cycles later, whatever came before."""

    component = BusNode

    def build(self, m: Module) -> None:
        nodes = [
            self.component(
                node=number,
                readable={READ: WORD_BITS, BOTH: WORD_BITS},
                writable=(WRITTEN, BOTH),
            )
            for number in range(NODES)
        ]
        link = Signal(Access, name="entering")
        self.drive(m, link)
        m.d.comb += Assume(~link.done & (link.next == (link.valid & (link.node == 0))))
        wanted = link  # as it should be in front of the node
        for number, node in enumerate(nodes):
            m.submodules[f"node_{number}"] = node
            self.drive(m, node.value(READ), node.value(BOTH), node.refuse)
            m.d.comb += node.i.eq(link)
            wanted = self._behind(m, number, node, wanted)
            link = node.o
            m.d.comb += Assert(Value.cast(link) == Value.cast(wanted))

    def _behind(self, m: Module, number: int, node: BusNode, wanted: data.View) -> data.View:
        """What is to stand behind a node two cycles after `wanted` stood in front of it."""
        wanted = data.View(Access, delay(m, Value.cast(wanted)))
        mine = wanted.valid & (wanted.node == number)
        reads = mine & ~wanted.write & wanted.register.matches(READ, BOTH)
        writes = mine & wanted.write & wanted.register.matches(WRITTEN, BOTH)
        for register in (WRITTEN, BOTH):
            strobe = writes & (wanted.register == register)
            m.d.comb += Assert(node.strobe(register) == strobe)
        m.d.comb += Assert(~writes | (node.data == wanted.data))
        value = Mux(wanted.register == READ, node.value(READ), node.value(BOTH))
        changed = Signal(Access, name=f"changed_{number}")
        m.d.comb += [
            changed.eq(wanted),
            changed.next.eq(wanted.valid & (wanted.node == number + 1)),
            changed.done.eq(wanted.done | reads | (writes & ~node.refuse)),
            changed.data.eq(Mux(reads, value, wanted.data)),
        ]
        return data.View(Access, delay(m, Value.cast(changed)))


PROOFS = (
    Proof(
        "bus",
        "three nodes: each access comes out six cycles later, done by the node that it names",
        BusSpec,
        (
            Mutant(BusNode, "mine = self.i.next", "mine = self.i.valid"),
            Mutant(BusNode, " & (near.node == self.node + 1)", ""),
            Mutant(BusNode, "& ~self.refuse)", ")"),
            Mutant(BusNode, " & ~reads.replicate(WORD_BITS)", ""),
        ),
        depth=BUS_NODE * NODES + 2,  # as long as an access is on its way
        quick=True,
    ),
)
