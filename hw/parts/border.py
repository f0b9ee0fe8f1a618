"""The border between two units: all that crosses it comes out of registers, either way."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect


class Border(wiring.Component):
    """A stream behind registers: valid and payload for the reader, ready for the sender.

    Without it the readiness of one unit would go through another one's decisions in the same cycle,
    and units need not lie beside each other.

    Parameters: ``transfer``, the signature of the stream.
    Members: ``i`` stream in, ``o`` stream out.
    Cost: two registers and a multiplexer of the payload's width; latency
    `design.units.latency.BORDER`, one element a cycle.
    """

    def __init__(self, *, transfer: stream.Signature) -> None:
        super().__init__({"i": In(transfer), "o": Out(transfer)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(Value.cast(self.i.payload))
        word, spare = (Signal(width, name=name, reset_less=True) for name in ("word", "spare"))
        # The spare takes what is sent in the cycle in which the reader first refuses.
        full, given = Signal(name="full"), Signal(name="given")
        free = Signal(init=1, name="free")  # a register's very output: the sender may be far
        waiting = ~free
        moves = self.o.ready | ~full
        m.d.comb += [
            self.i.ready.eq(free),
            given.eq(waiting | self.i.valid),
            self.o.valid.eq(full),
            Value.cast(self.o.payload).eq(word),
        ]
        m.d.sync += free.eq(~given | moves)
        with m.If(~waiting):
            m.d.sync += spare.eq(self.i.payload)
        with m.If(moves):
            m.d.sync += [full.eq(given), word.eq(Mux(waiting, spare, self.i.payload))]
        return m


def join(m: Module, name: str, sender: stream.Interface, reader: stream.Interface) -> None:
    """Connect `sender` to `reader` by a border called `name`."""
    m.submodules[name] = border = Border(transfer=reader.signature.flip())
    connect(m, sender, border.i)
    connect(m, border.o, reader)
